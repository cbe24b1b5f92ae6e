"""Every page with commands is followed in an empty folder, and prints what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from walkthrough import DOCS, Command, Walk, blocks, commands, fits, pages

FOLLOWED = [page for page in pages() if any(block.language == "console" for block in blocks(page))]
SERVER = "postgresql://csflow:secret@db.example.com/csflow"  # stands in pages for the reader's own server


@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_reader_who_types_what_the_page_says_sees_what_the_page_shows(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    replaced = {}
    if SERVER in page.read_text("utf-8"):
        replaced[SERVER] = request.getfixturevalue("postgresql_schema")()
    folder = tmp_path / "empty"
    folder.mkdir()
    assert "\n\n".join(Walk(folder, replaced).follow(page)) == ""


def test_the_first_lifecycle_of_the_readme_is_followed_word_for_word(tmp_path: Path) -> None:
    """In a folder where the project was made; without the `uv run`, which would look for csflow's own sources there."""
    walk = Walk(tmp_path, {"uv run csflow": "csflow"})
    assert walk.type("uv run csflow init my-project")[0] == "my-project holds a project now. Next:"
    page = tmp_path / "README.md"
    text = (DOCS.parent / "README.md").read_text("utf-8")
    page.write_text(text.partition("## A first lifecycle")[2], "utf-8")
    assert "\n\n".join(walk.follow(page)) == ""


def test_the_tutorial_goes_through_all_the_verbs_it_promises() -> None:
    typed = " ".join(
        command.text
        for block in blocks(DOCS / "tutorial" / "first-lifecycle.md")
        if block.language == "console"
        for command in commands(block)
    )
    promised = ("init", "validate", "import", "run", "status", "explain", "history", "task done")
    assert [verb for verb in promised if f"csflow {verb}" not in typed] == []


def test_what_is_shown_fits_only_what_is_printed() -> None:
    assert fits(["a … c"], ["a b c"])
    assert not fits(["a … c"], ["a b d"])
    assert fits(["a", "…", "d"], ["a", "b", "c", "d"])
    assert fits(["…"], [])
    assert not fits(["a"], ["a", "b"])
    assert not fits([], ["a"])


def test_a_line_with_a_dollar_is_a_command_and_the_rest_its_output(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        'x\n```csv title="a/b.csv"\n1\n```\n```console\n$ echo 1; \\\n> echo 2\n1\n2\n$ cd a\n```\n', "utf-8"
    )
    first, second = blocks(page)
    assert (first.title, first.text, second.line) == ("a/b.csv", "1\n", 5)
    assert commands(second) == [Command("echo 1; \\\necho 2", ["1", "2"]), Command("cd a", [])]


def test_a_walk_keeps_its_folder_and_tells_what_differs(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '```csv title="a/b.csv"\n1\n```\n```console\n$ cd a\n$ cat b.csv\n1\n$ cat b.csv\n2\n```\n', "utf-8"
    )
    folder = tmp_path / "empty"
    folder.mkdir()
    wrong = Walk(folder, {}).follow(page)
    assert len(wrong) == 1
    assert "-- shown\n2\n-- printed\n1" in wrong[0]
