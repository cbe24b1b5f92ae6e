"""The first page: its YAML loads, and its two commands are the ones that CI calls."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from csflow.cli import COMMANDS, main

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def test_the_first_lifecycle_is_valid_without_a_warning(tmp_path: Path) -> None:
    [flow] = re.findall(r"```yaml[^\n]*\n(.*?)```", README, re.DOTALL)
    (tmp_path / "csflow.yaml").write_text(
        "csflow: 1\nname: first\ncurrency: EUR\nzone: UTC\nactivities: {visit: Visit}\nroles: {csm: Manager}\n", "utf-8"
    )
    (tmp_path / "lifecycle.yaml").write_text(flow, "utf-8")
    done = CliRunner().invoke(main, ["validate", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "1 flow, 4 stages" in done.output
    assert "0 warnings" in done.output


def test_every_command_it_names_is_there() -> None:
    code = re.findall(r"`csflow [^`]+`|^csflow .*$|uv run csflow .*$", README, re.MULTILINE)
    named = {word for line in code for word in re.findall(r"csflow (?:--project \S+ )?([a-z]+)", line)}
    assert {"run", "demo", "explain"} <= named
    assert named <= set(COMMANDS)


def test_the_two_commands_come_first_and_fetch_what_they_need() -> None:
    [first] = re.findall(r"```console\n(.*?)```", README, re.DOTALL)[:1]
    assert first.splitlines() == [
        "pip install -q uv && uv run csflow demo",
        "pip install -q uv && uv run pytest",
    ]


def test_what_its_commands_make_in_a_clone_is_no_news_to_git() -> None:
    ignored = (Path(__file__).parents[2] / ".gitignore").read_text("utf-8").splitlines()
    made = {*re.findall(r"csflow init (\S+)`", README), *re.findall(r"folder `([a-z-]+)`", README)} - {"DIR"}
    assert made == {"my-project", "csflow-demo"}
    assert {f"/{name}/" for name in made} <= set(ignored)
