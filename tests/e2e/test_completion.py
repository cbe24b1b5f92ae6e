"""Shell completion, in the shells themselves: a reader types a few letters and the tab key."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from csflow.cli import COMMANDS, main

BESIDE = str(Path(sys.executable).parent)
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if not key.startswith(("CSFLOW_", "_CSFLOW"))},
    "PATH": f"{BESIDE}{os.pathsep}{os.environ.get('PATH', '')}", "TERM": "dumb", "PS1": "$ ",
}  # fmt: skip


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, command: list[str], folder: Path) -> None:
        ours, theirs = pty.openpty()
        environment = {**ENVIRONMENT, "HOME": str(folder), "ZDOTDIR": str(folder)}
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.end, self.shown = ours, ""

    def type(self, keys: str, until: str, seconds: float = 30) -> str:
        """Type, and wait until something is shown; what was shown since."""
        before, last = len(self.shown), time.monotonic() + seconds
        os.write(self.end, keys.encode())
        while until not in self.shown[before:]:
            ready, _, _ = select.select([self.end], [], [], max(last - time.monotonic(), 0))
            if not ready:
                raise AssertionError(f"{until!r} was not shown, but: {self.shown[before:]!r}")
            self.shown += os.read(self.end, 65536).decode("utf-8", "replace")
        return self.shown[before:]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.end)


@pytest.fixture
def terminal(request: pytest.FixtureRequest, tmp_path: Path):
    opened: list[Terminal] = []

    def start(*command: str) -> Terminal:
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed here")
        opened.append(Terminal(list(command), tmp_path))
        return opened[0]

    yield start
    for one in opened:
        one.close()


def test_bash_completes_a_command_and_its_option(terminal) -> None:
    shell = terminal("bash", "--norc", "--noprofile", "-i")
    shell.type("eval \"$(csflow completion bash)\"; echo rea''dy\n", "ready")
    shell.type("csflow adv\t", "csflow advance ")
    assert "Usage: csflow advance" in shell.type("--hel\t\n", "Options:")


def test_zsh_completes_a_command(terminal) -> None:
    shell = terminal("zsh", "-f", "-i")
    shell.type("autoload -U compinit && compinit -u -D; eval \"$(csflow completion zsh)\"; echo rea''dy\n", "ready")
    shell.type("csflow adv\t", "csflow advance")
    assert "Usage: csflow advance" in shell.type("--help\n", "Options:")


def test_fish_completes_a_command_and_tells_what_it_does(tmp_path: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed here")
    done = subprocess.run(
        ["fish", "--no-config", "-c", 'csflow completion fish | source; complete -C "csflow adv"'],
        env={**ENVIRONMENT, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"advance\t{COMMANDS['advance'][1]}"]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("csflow ", list(COMMANDS)),
        ("csflow do", ["doctor"]),
        ("csflow --pro", ["--project"]),
        ("csflow case s", ["set", "show"]),
        ("csflow completion ", ["bash", "zsh", "fish"]),
        ("csflow run --dry", ["--dry-run"]),
        ("csflow nothing-of-that-na", []),
    ],
)
def test_what_csflow_offers_a_shell(words: str, wanted: list[str]) -> None:
    count = len(words.split()) - (0 if words.endswith(" ") else 1)
    done = CliRunner().invoke(
        main, [], prog_name="csflow",
        env={"_CSFLOW_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count)},
    )  # fmt: skip
    offered = [line.partition(",")[2] for line in done.output.splitlines() if line]
    assert set(wanted) <= set(offered)
    assert bool(offered) == bool(wanted)


def test_to_offer_the_commands_none_of_them_is_imported() -> None:
    script = "import sys\nfrom csflow.cli import main\ntry: main([])\nfinally: print(*sys.modules, file=sys.stderr)"
    environment = {**ENVIRONMENT, "_CSFLOW_COMPLETE": "bash_complete", "COMP_WORDS": "csflow ", "COMP_CWORD": "1"}
    script = f"import sys; sys.argv = ['csflow']\n{script}"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert "plain,advance" in done.stdout.splitlines()
    assert not [name for name in done.stderr.split() if name.startswith(("csflow.cli.", "csflow.app", "sqlalchemy"))]
