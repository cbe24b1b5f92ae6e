"""YAML text → a tree that remembers where everything stands, or problems; no object is ever constructed.

Only the events of the YAML parser are used, so tags, anchors and merge keys cannot do anything: they are refused. Text
that a YAML 1.1 and a YAML 1.2 reader would take for different things is refused too (language.md, section 1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError, YAMLStreamError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from csflow.errors import Problem
from csflow.flow.lookalikes import lookalike

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MOST_PROBLEMS = 50  # of one file, in reading it: a bomb of aliases has thousands, and who mends it needs the first

_LOOK_BACK = 4  # lines above a mistake of YAML in which its reason may stand

BOOLEAN_WORDS = frozenset({"on", "off", "yes", "no", "true", "false", "y", "n"})
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?[0-9]+\.[0-9]*\Z|[-+]?\.[0-9]+\Z")
# Numbers for one reader and text (or another number) for the other.
_AMBIGUOUS = re.compile(
    r"""(?ix) [-+]?0[0-9_]+ (\.[0-9_]*)?      # 012 is ten or twelve
    | [-+]?0[bo][0-7_]+                        # 0o7, 0b1
    | [-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?   # 1:30 is ninety or a time
    | [-+]?[0-9][0-9_.]*_[0-9_.]*              # 1_000
    | [-+]?[0-9.]+e[-+]?[0-9]+                 # 1e3
    | [-+]?0x[0-9a-f_]+
    | [-+]?\.(inf|nan) | =
    """
)
_BAD_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")

READERS = "means different things to different YAML readers: quote it"
BOOLEAN_KEY = "is a boolean for many YAML readers: choose another word"

Scalar = str | int | float | bool | None
Place = tuple[str, int, int]  # file, line, column


@dataclass(slots=True)
class Item:
    """A value and its place (lines and columns from 1); ``value`` is a scalar, a dict of Items or a list of Items.

    ``key_line``/``key_column`` are those of the key that names it. ``spans`` (line, column, length) are the pieces of a
    scalar that runs over several lines; ``merged`` says that more than one layer wrote this mapping, ``removes`` that
    this null took something away.
    """

    value: Any
    file: str
    line: int
    column: int
    key_line: int = 0
    key_column: int = 0
    text: str = ""
    spans: tuple[tuple[int, int, int], ...] = ()
    merged: bool = False
    removes: bool = False

    def place(self, offset: int = 0) -> Place:
        """File, line and column of the value, or of its character number ``offset``."""
        if not offset or not isinstance(self.value, str):
            return self.file, self.line, self.column + self._quote()
        for line, column, length in self.spans:
            if offset <= length:
                return self.file, line, column + offset
            offset -= length + 1
        return self.file, self.line, self.column + self._quote() + (0 if self.spans else offset)

    def _quote(self) -> int:
        return 1 if isinstance(self.value, str) and self.text[:1] in {'"', "'"} else 0

    def key_place(self) -> Place:
        """File, line and column of the key; of the value where no key names it."""
        return (self.file, self.key_line, self.key_column) if self.key_line else (self.file, self.line, self.column)


def problem_at(place: Place, message: str) -> Problem:
    """The mistake at that place."""
    file, line, column = place
    return Problem(file, line, column, message)


def plain(item: Item) -> Any:
    """The item without its places: JSON-able dicts, lists and scalars."""
    if isinstance(item.value, dict):
        return {key: plain(child) for key, child in item.value.items()}
    if isinstance(item.value, list):
        return [plain(child) for child in item.value]
    return item.value


@dataclass(slots=True)
class _Open:
    """A mapping or list that is being read; ``key`` waits for its value."""

    item: Item
    key: ScalarEvent | None = None
    key_usable: bool = True
    last: str | None = None  # the key whose value came last
    is_flow: bool = False


@dataclass(slots=True)
class _Reader:
    file: str
    lines: list[str]
    problems: list[Problem] = field(default_factory=list)
    stack: list[_Open] = field(default_factory=list)
    root: Item | None = None
    documents: int = 0

    def problem(self, event: Event, message: str) -> None:
        mark = event.start_mark
        self.problems.append(Problem(self.file, mark.line + 1, mark.column + 1, message))

    def read(self, events: Iterator[Event]) -> bool:
        """Take all events; False = the rest of the file cannot be trusted."""
        for event in events:
            if isinstance(event, DocumentStartEvent):
                self.documents += 1
                if event.version is not None or event.tags:
                    self.problem(event, "directives (%) are not used here: take the line out")
                    return False
                if self.documents > 1:
                    self.problem(event, "one document to a file: split it, or take the '---' out")
                    return False
            elif isinstance(event, CollectionEndEvent):
                self._close()
            elif isinstance(event, NodeEvent) and not self._node(event):
                return False
        return True

    def _node(self, event: NodeEvent) -> bool:
        if isinstance(event, AliasEvent) or event.anchor is not None:
            self.problem(event, "anchors are not used here: share by 'vars:' or 'extends:'")
        tag = getattr(getattr(event, "ctag", None), "trval", None)
        if tag not in {None, "!"}:
            self.problem(event, f"tags are not used here: take '{_short(str(tag))}' out")
        top = self.stack[-1] if self.stack else None
        if top and isinstance(top.item.value, dict) and top.key is None:
            return self._key(top, event)
        item = self._item(event)
        self._place(item, event)
        if isinstance(event, (MappingStartEvent, SequenceStartEvent)):
            if len(self.stack) >= MAX_DEPTH:
                self.problem(event, f"more than {MAX_DEPTH} levels deep")
                return False
            self.stack.append(_Open(item, is_flow=bool(event.flow_style)))
        return True

    def _key(self, top: _Open, event: NodeEvent) -> bool:
        if not isinstance(event, ScalarEvent):
            self.problem(event, "a key is a word, not a list, a mapping or an alias")
            return False
        top.key, top.key_usable = event, self._usable_key(top, event)
        return True

    def _usable_key(self, top: _Open, event: ScalarEvent) -> bool:
        text = event.value
        if event.style is None and text == "<<":
            self.problem(event, "merge keys are not used here: share by 'vars:' or 'extends:'")
        elif event.style is None and text in _NULLS:
            self.problem(event, "a key is a word; this one is empty")
        elif event.style is None and text.lower() in BOOLEAN_WORDS:
            self.problem(event, f"key '{text}' {BOOLEAN_KEY}")
        elif event.style is None and text not in top.item.value and _AMBIGUOUS.fullmatch(text):
            self.problem(event, f"key {_short(text)} {READERS}")
        else:
            return True
        return False

    def _item(self, event: NodeEvent) -> Item:
        mark = event.start_mark
        item = Item(None, self.file, mark.line + 1, mark.column + 1)
        if isinstance(event, MappingStartEvent):
            item.value = {}
        elif isinstance(event, SequenceStartEvent):
            item.value = []
        elif isinstance(event, ScalarEvent):
            item.value = self._scalar(event)
            item.text = (event.style or "") + event.value if event.style in {'"', "'"} else event.value
            if event.end_mark.line > mark.line:
                item.spans = self._spans(event)
        return item

    def _scalar(self, event: ScalarEvent) -> Scalar:
        text: str = event.value
        if event.style is not None or text in _NULLS:
            return text if event.style is not None else None
        if text in _TRUTHS:
            return _TRUTHS[text]
        if text.lower() in BOOLEAN_WORDS or _AMBIGUOUS.fullmatch(text):
            self.problem(event, f"{_short(text)} {READERS}")
            return text
        if len(text) <= 40 and _INTEGER.match(text):
            return int(text)
        if len(text) <= 40 and _FLOAT.match(text):
            return float(text)
        return text

    def _spans(self, event: ScalarEvent) -> tuple[tuple[int, int, int], ...]:
        block = event.style in {"|", ">"}
        first, last = event.start_mark.line, min(event.end_mark.line, len(self.lines) - 1)
        pieces = []
        for number in range(first + 1 if block else first, last + 1):
            line = self.lines[number]
            begin = (
                len(line) - len(line.lstrip()) if number > first else event.start_mark.column + len(event.style or "")
            )
            text = line[begin:].rstrip()
            if text or not block:
                pieces.append((number + 1, begin + 1, len(text)))
        return tuple(pieces)

    def _place(self, item: Item, event: NodeEvent) -> None:
        if not self.stack:
            self.root = item
            return
        top = self.stack[-1]
        if isinstance(top.item.value, list):
            if not isinstance(event, AliasEvent):
                top.item.value.append(item)
            return
        key, top.key = top.key, None
        if key is None:
            return
        item.key_line, item.key_column = key.start_mark.line + 1, key.start_mark.column + 1
        if not top.key_usable or isinstance(event, AliasEvent) or self._cut_expression(top, key, item):
            return
        if key.value in top.item.value:
            self.problem(key, _duplicate(key.value, top.item.value[key.value], item))
            return
        top.item.value[key.value] = item
        top.last = key.value

    def _cut_expression(self, top: _Open, key: ScalarEvent, item: Item) -> bool:
        """True where ``{b: f(x, y)}`` was read as ``{b: 'f(x', 'y)': null}``; reported once, at the value."""
        before = top.item.value.get(top.last) if top.is_flow and top.last else None
        if before is None or not isinstance(before.value, str) or item.value is not None or item.text:
            return False
        if before.text[:1] in {'"', "'"} or before.value.count("(") <= before.value.count(")"):
            return False
        hint = "inside { } a comma ends the value, so quote the expression or give it its own line"
        self.problems.append(
            Problem(self.file, before.line, before.column, f"cannot read '{_short(before.value)}': {hint}")
        )
        before.value = f"{before.value}, {key.value}"
        return True

    def _close(self) -> None:
        self.stack.pop()


def _duplicate(key: str, first: Item, second: Item) -> str:
    if isinstance(first.value, (dict, list)) or isinstance(second.value, (dict, list)):
        return f'found duplicate key "{_short(key)}" (first in line {first.key_line})'
    new, old = _short(second.text.strip("\"'")), _short(first.text.strip("\"'"))
    return f'found duplicate key "{_short(key)}" with value "{new}" (original value: "{old}")'


def _short(text: str, limit: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def read_text(text: str, file: str) -> tuple[Item | None, list[Problem], bool]:
    """The tree of one YAML document, what is wrong with it, and whether the tree is whole enough to go on.

    ``file`` is the name shown in problems. An empty text gives no tree and no problem.
    """
    bad = _BAD_CHARACTER.search(text)
    if bad:
        line, column = text.count("\n", 0, bad.start()) + 1, bad.start() - text.rfind("\n", 0, bad.start())
        return None, [Problem(file, line, column, f"character U+{ord(bad.group()):04X} is not allowed in YAML")], False
    reader = _Reader(file, text.split("\n"))
    try:
        whole = reader.read(YAML(typ="safe", pure=True).parse(text.removeprefix("\ufeff")))
    except MarkedYAMLError as error:
        return None, [*reader.problems, _syntax_problem(error, reader)], False
    except (
        YAMLError,
        YAMLStreamError,
        ValueError,
        ArithmeticError,
        AssertionError,
        LookupError,
        AttributeError,
        TypeError,
    ) as error:
        # The parser has a few internal failures on broken text (a directive cut short, an escape out of range).
        return None, [*reader.problems, Problem(file, 1, 1, f"not YAML: {_short(str(error), 160)}")], False
    return reader.root, _some(reader.problems), whole


def _some(problems: list[Problem]) -> list[Problem]:
    """The first of many, and how many more there are."""
    if len(problems) <= MOST_PROBLEMS:
        return problems
    kept, rest = problems[:MOST_PROBLEMS], problems[MOST_PROBLEMS:]
    return [*kept, Problem(rest[0].file, rest[0].line, rest[0].column, f"and {len(rest):,} more like these")]


def _syntax_problem(error: MarkedYAMLError, reader: _Reader) -> Problem:
    mark = error.problem_mark or error.context_mark
    what = " ".join(part for part in (error.context, error.problem) if part) or "not YAML"
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    if "'\\t' that cannot start" in what:
        what = "a tab stands here: YAML is indented with blanks"
    return Problem(reader.file, line, column, f"not YAML: {_short(what, 160)}{_other_sign(reader.lines, line)}")


def _other_sign(lines: list[str], line: int) -> str:
    """A sign in or a little above that line which only looks like one of YAML's; one in a text is nobody's mistake."""
    for number in range(min(line, len(lines)), max(line - _LOOK_BACK, 0), -1):
        place, said = lookalike(lines[number - 1], "：“”‘’\u00a0") or (0, "")
        if said and (": " not in lines[number - 1][:place] or lines[number - 1][place] in "“”‘’"):
            return f"; in line {number}, {said}"
    return ""


def read_bytes(content: bytes, file: str) -> tuple[Item | None, list[Problem], bool]:
    """As `read_text`, after the checks on size and encoding (UTF-8, a byte order mark is allowed)."""
    if len(content) > MAX_BYTES:
        return None, [Problem(file, 1, 1, f"{len(content):,} bytes are too many: {MAX_BYTES:,} to a file")], False
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        return None, [Problem(file, line, column, "not UTF-8: save the file in UTF-8")], False
    return read_text(text.replace("\r\n", "\n"), file)


def read_file(path: Path, file: str) -> tuple[Item | None, list[Problem], bool]:
    """As `read_bytes`, from a file; one that cannot be opened is a problem, not an exception."""
    if path.exists() and not path.is_file():  # a pipe would be waited for, for ever; a device has no end
        what = "csflow may not read this folder" if path.is_dir() else "not a file"
        return None, [Problem(file, 1, 1, f"cannot be read: {what}")], False
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        return None, [Problem(file, 1, 1, f"cannot be read: {error.strerror or error}")], False
    return read_bytes(content, file)
