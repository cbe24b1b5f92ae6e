"""What is installed: read once, kept under the dates of the folders that Python imports from."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from csflow import installed as module
from csflow.installed import COMMANDS, PLUGINS, Entry, fits, installed, places, recall, remember


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to import from, with one installed package."""
    folder = tmp_path / "site"
    info = folder / "shop_orders-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: shop-orders\nVersion: 1.2\nRequires-Dist: csflow-other>=7\n"
        "Requires-Dist: csflow[postgres] <1,>=0.1 ; extra == 'x'\n",
        "utf-8",
    )
    (info / "entry_points.txt").write_text(
        "[csflow.plugins]\norders = shop_orders\n[csflow.commands]\nsell = shop_orders:sell\n", "utf-8"
    )
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    return folder


def test_an_installed_package_is_found_with_what_it_needs_of_csflow(package: Path, tmp_path: Path) -> None:
    found = [entry for entry in installed(PLUGINS, cache=tmp_path / "cache") if entry.name == "orders"]
    assert found == [Entry(PLUGINS, "orders", "shop_orders", "shop-orders", "1.2", "<1,>=0.1")]
    assert "sell" in [entry.name for entry in installed(COMMANDS, cache=tmp_path / "cache")]


def test_it_is_looked_for_once_and_again_when_something_is_installed(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    look = module._look
    monkeypatch.setattr(module, "_look", lambda: looked.append(1) or look())
    for _ in range(3):
        installed(PLUGINS, cache=tmp_path / "cache")
    assert len(looked) == 1
    other = package / "other-1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n", "utf-8")
    (other / "entry_points.txt").write_text("[csflow.plugins]\nother = other\n", "utf-8")
    assert "other" in [entry.name for entry in installed(PLUGINS, cache=tmp_path / "cache")]
    assert len(looked) == 2


def test_a_cache_that_cannot_be_read_is_looked_past(package: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    installed(PLUGINS, cache=cache)
    (kept,) = cache.glob("installed-*.json")
    for text in ("", "[1]", json.dumps([{"group": 1}])):
        kept.write_text(text, "utf-8")
        assert "orders" in [entry.name for entry in installed(PLUGINS, cache=cache)]


@pytest.mark.parametrize(
    ("needs", "version", "good"),
    [
        ("", "0.1.0", True),
        (">=0.1,<1", "0.1.0", True),
        (">=0.2", "0.1.9", False),
        (">=0.1", "0.1", True),
        ("==0.1", "0.1.0", True),
        ("!=0.1.0", "0.1", False),
        ("~=0.1.3", "0.1.9", True),
        ("~=0.1.3", "0.2.0", False),
        ("<=2, >1.5", "1.10", True),
        (">=0.1.0b1", "0.1.0", True),
    ],
)
def test_a_version_fits_when_every_part_holds(needs: str, version: str, good: bool) -> None:
    assert fits(needs, version) is good


def test_what_was_remembered_holds_under_its_key_alone(tmp_path: Path) -> None:
    assert recall(tmp_path, "k") is None
    remember(tmp_path / "new", "k", observed=True)
    assert (recall(tmp_path / "new", "k"), recall(tmp_path / "new", "other")) == (True, None)


def test_another_file_or_another_word_is_another_place(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    before = places(["x"], [path])
    path.write_text("", "utf-8")
    assert len({before, places(["x"], [path]), places(["y"], [path])}) == 3
