"""The commands that csflow tells people to type next."""

from __future__ import annotations

import shlex
import sys

import pytest
from click.testing import CliRunner

from csflow.cli import main
from csflow.cli.called import DEPTH, as_called, hints_as_called


@pytest.fixture
def through_uv(monkeypatch):
    monkeypatch.setenv(DEPTH, "1")
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)


def test_who_called_csflow_through_uv_is_told_to_do_so_again(through_uv):
    assert as_called("csflow run") == "uv run csflow run"


def test_who_called_csflow_by_its_name_is_told_its_name(monkeypatch):
    monkeypatch.delenv(DEPTH, raising=False)
    assert as_called("csflow run") == "csflow run"


def test_a_csflow_from_elsewhere_that_something_run_by_uv_calls_is_called_by_its_name(
    through_uv, monkeypatch, tmp_path
):
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path))
    assert as_called("csflow run") == "csflow run"


def test_in_a_sentence_only_commands_are_changed(through_uv):
    said = "csflow outbox list names them; csflow sets WAL; in csflow db upgrade, csflow-demo"
    assert hints_as_called(said) == (
        "uv run csflow outbox list names them; csflow sets WAL; in uv run csflow db upgrade, csflow-demo"
    )


def test_the_hint_of_init_can_be_typed_whatever_the_folder_is_called(through_uv, tmp_path):
    folder = tmp_path / "my shop"
    *_, hint = CliRunner().invoke(main, ["init", str(folder)]).stdout.splitlines()
    uv, run, csflow, *words = shlex.split(hint)
    assert (uv, run, csflow) == ("uv", "run", "csflow")
    assert CliRunner().invoke(main, words).exit_code == 0
    told = CliRunner().invoke(main, ["--project", str(folder), "plugins", "new", "extra"]).stdout
    assert told.splitlines()[-1] == "  uv run csflow plugins"
    told = CliRunner().invoke(main, ["--project", str(folder), "status"]).stdout
    assert "Next:  uv run csflow import DIR   (or: uv run csflow customer add ID)" in told
    assert "– uv run csflow run, every night" in CliRunner().invoke(main, ["--project", str(folder), "doctor"]).stdout
