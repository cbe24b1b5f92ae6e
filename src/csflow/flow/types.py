"""Types of facts, and what a name in an expression may mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from csflow.flow.records import record

NUMBERS = frozenset({"number", "share", "money"})
WORDS = frozenset({"text", "choice", "choices", "person", "contact", "file"})


@dataclass(frozen=True, slots=True)
class Type:
    """A fact's type; ``choices`` are the words a choice may be (leaves), ``branches`` name groups of leaves."""

    name: str
    choices: tuple[str, ...] = ()
    branches: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __str__(self) -> str:
        """The type as it is written in YAML."""
        return self.name


NUMBER, SHARE, MONEY = Type("number"), Type("share"), Type("money")
BOOLEAN, TEXT, DATE, TIME, LENGTH = Type("boolean"), Type("text"), Type("date"), Type("time"), Type("length")
END = Type("choice", ("good", "bad", "neutral"))


@dataclass(frozen=True, slots=True)
class Fact:
    """Something a guard can read.

    ``owner`` says which row holds it (``customer``, ``contract``, ``contact``, ``person``, ``organisation``, ``case``,
    ``milestones``, ``tasks``, ``activity``, ``open`` or ``flow:NAME`` for the latest case of a flow); ``kind`` is
    ``column`` (core), ``field`` (people fill it) or ``metric`` (csflow measures it); ``key`` its name there.
    """

    name: str
    type: Type
    owner: str
    kind: str
    key: str
    fresh: str | None = None  # a length: unknown when stated longer ago


@record
class Outside:
    """A function that a plugin brings: its types, and its two forms.

    Both get stored values, none of them unknown. ``python`` gives None where it fails; so does ``sql``, and the
    function is then unknown. ``version`` stands for the plugin's text: another one is another function. ``plugin`` is
    who brings it, to be named when the database cannot compute it.
    """

    name: str
    version: str
    takes: tuple[Type, ...]
    gives: Type
    python: Callable[..., Any]
    sql: Callable[..., Any]
    plugin: str = ""

    def __repr__(self) -> str:
        """The same wherever it is loaded."""
        return f"{self.name}@{self.version}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Outside) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


Functions = Mapping[str, Outside]


def no_functions() -> Functions:
    """Nothing but the language's own functions."""
    return {}


@record
class Importable:
    """What the columns of one kind of import may fill: csflow's own names, and whose declared fields.

    ``needs``: groups of names of which one must be filled. ``fields`` None: it has no fields of a subject.
    """

    columns: tuple[str, ...]
    needs: tuple[tuple[str, ...], ...] = ()
    fields: str | None = None


Importables = Mapping[str, Importable]


@dataclass(frozen=True, slots=True)
class SubjectKind:
    """What the store offers of one kind of subject or of one countable thing: name → type."""

    name: str
    columns: dict[str, Type] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The facts that the store knows without any definition: handed to ``flow`` by the floors above it."""

    kinds: dict[str, SubjectKind]  # customer contract contact person organisation activity task case
    things: tuple[str, ...] = ("contact", "contract", "activity", "task")
    book_things: tuple[str, ...] = ("customer", "person")
