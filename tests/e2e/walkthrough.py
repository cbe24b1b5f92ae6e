"""Reads the fenced blocks of a page of the docs and follows them in an empty folder, word for word.

A block with ``title="file"`` is written to that file. In a ``console`` block each line that begins with ``$ `` is a
command (further lines of it begin with ``> ``); what stands below must be what it prints. ``…`` stands for anything,
alone in a line for any number of lines. Commands are typed into one shell after the other, which keeps its folder.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the further words behind it, the file it is to become, its text and line."""

    language: str
    words: frozenset[str]
    title: str | None
    text: str
    line: int


@dataclass
class Command:
    """A command of a console block and what it is shown to print."""

    text: str
    shown: list[str] = field(default_factory=list)


def pages() -> list[Path]:
    return sorted(DOCS.rglob("*.md"))


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    found = []
    for match in FENCE.finditer(text):
        language, *words = match["info"].split() or [""]
        title = TITLE.search(match["info"])
        body = "".join(line.removeprefix(match["indent"]) for line in match["body"].splitlines(keepends=True))
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(language, frozenset(words), title and title[1], body, line))
    return found


def commands(block: Block) -> list[Command]:
    found: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:]))
        elif line.startswith("> ") and found and not found[-1].shown:
            found[-1].text += "\n" + line[2:]
        else:
            found[-1].shown.append(line)
    return found


def fits(shown: list[str], printed: list[str]) -> bool:
    """Whether what is printed is what is shown."""
    if not shown:
        return not printed
    if shown[0].strip() == "…":
        return any(fits(shown[1:], printed[skipped:]) for skipped in range(len(printed) + 1))
    if not printed:
        return False
    pattern = re.escape(shown[0].rstrip()).replace("…", ".*")
    return re.fullmatch(pattern, printed[0].rstrip()) is not None and fits(shown[1:], printed[1:])


class Walk:
    """One reader following a page: her folder, and what she typed so far."""

    def __init__(self, folder: Path, replaced: dict[str, str] | None = None) -> None:
        self.folder, self.replaced = folder, replaced or {}  # what a page names and this machine calls otherwise
        self.note = folder.parent / f"{folder.name}.pwd"
        beside_python = str(Path(sys.executable).parent)
        plain = {key: value for key, value in os.environ.items() if not key.startswith("CSFLOW_")}
        self.environment = {
            **plain, "PATH": f"{beside_python}{os.pathsep}{plain.get('PATH', '')}", "CSFLOW_ACTOR": "li",
            "COLUMNS": "120", "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8",
        }  # fmt: skip

    def follow(self, page: Path) -> list[str]:
        """What differs from the page, as sentences; nothing when it is right word for word."""
        wrong = []
        for block in blocks(page):
            if block.title is not None:
                target = self.folder / block.title
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(self.here(block.text), "utf-8")
            elif block.language == "console":
                for command in commands(block):
                    printed = self.type(command.text)
                    if not fits(command.shown, printed):
                        shown, real = "\n".join(command.shown), "\n".join(printed)
                        wrong.append(
                            f"{page.name}:{block.line}: $ {command.text}\n-- shown\n{shown}\n-- printed\n{real}"
                        )
        return wrong

    def here(self, text: str) -> str:
        for name, ours in self.replaced.items():
            text = text.replace(name, ours)
        return text

    def type(self, command: str) -> list[str]:
        """Type a command; what it prints on both channels. The shell's folder is kept."""
        script = f'{self.here(command)}\nprintf %s "$PWD" >"$WALK_FOLDER"'
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder, env={**self.environment, "WALK_FOLDER": str(self.note)}, text=True, encoding="utf-8",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False,
        )  # fmt: skip
        if self.note.exists():
            self.folder = Path(self.note.read_text("utf-8"))
        printed = done.stdout
        for name, ours in self.replaced.items():
            printed = printed.replace(ours, name)
        return printed.splitlines()


def rewrite(page: Path, folder: Path, replaced: dict[str, str] | None = None) -> None:
    """Follow the page and put what is really printed into it, except where ``…`` stands and fits."""
    walk, text = Walk(folder, replaced), page.read_text("utf-8")
    for block in blocks(page):
        if block.title is not None:
            target = walk.folder / block.title
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(walk.here(block.text), "utf-8")
        elif block.language == "console":
            lines = []
            for command in commands(block):
                printed = walk.type(command.text)
                if "Traceback (most recent call last):" in printed:
                    raise SystemExit("\n".join(printed))
                lines.append("$ " + command.text.replace("\n", "\n> "))
                lines += command.shown if fits(command.shown, printed) else [line.rstrip() for line in printed]
            text = text.replace(f"```console\n{block.text}```", "```console\n" + "\n".join(lines) + "\n```", 1)
    page.write_text(text, "utf-8")


if __name__ == "__main__":  # python tests/e2e/walkthrough.py PAGE FOLDER: renew the shown output, then read the diff
    Path(sys.argv[2]).mkdir(parents=True)
    rewrite(Path(sys.argv[1]), Path(sys.argv[2]))
