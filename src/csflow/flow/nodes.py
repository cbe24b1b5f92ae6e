"""A checked expression as a tree: what both back ends (Python closures, SQL) read.

Values are in their stored form: numbers and shares float, money minor units of the project's currency, a date a day
number, a time an instant, booleans bool, words text. ``None`` is unknown. ``at`` is the offset in the source text.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any

from csflow.flow.records import record
from csflow.flow.types import BOOLEAN, DATE, NUMBER, TIME, Fact, Outside, Type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from csflow.values import Length


@record
class Node:
    """A part of an expression and its type.

    Comparing, hashing and showing are written once here, not generated for each kind: that would cost every start.
    """

    type: Type
    at: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and type(self) is type(other) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        kind: Any = type(self)
        told = ", ".join(f"{name}={value!r}" for name, value in zip(_names(kind), self._values(), strict=True))
        return f"{type(self).__name__}({told})"

    def _values(self) -> tuple[Any, ...]:
        kind: Any = type(self)  # mypy takes the hash of its instances for that of the class
        return tuple(getattr(self, name) for name in _names(kind))

    def parts(self) -> Iterator[Node]:
        """The nodes directly below, in the order they are written."""
        kind: Any = type(self)  # mypy takes the hash of its instances for that of the class
        for name in _names(kind):
            yield from _nodes(getattr(self, name))

    def walk(self) -> Iterator[Node]:
        """The node and all below it."""
        yield self
        for part in self.parts():
            yield from part.walk()


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(spec.name for spec in fields(kind))


def _nodes(value: object) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _nodes(item)


@record
class Const(Node):
    """A constant; ``currency`` is set for money of another currency, converted at the moment's rate."""

    value: float | int | str | bool | Length | None
    currency: str | None = None

    @property
    def number(self) -> float:
        """The value of a constant that can only be a number; 0 for anything else."""
        return float(self.value) if isinstance(self.value, int | float) else 0.0


@record
class Read(Node):
    """A fact."""

    fact: Fact


@record
class Clockface(Node):
    """``today`` (a date) or ``now`` (a time)."""


@record
class Not(Node):
    """Kleene negation."""

    item: Node


@record
class And(Node):
    """Kleene conjunction."""

    items: tuple[Node, ...]


@record
class Or(Node):
    """Kleene disjunction."""

    items: tuple[Node, ...]


@record
class Compare(Node):
    """``== != < <= > >=`` of two values of one type; aggregates on either side compare as ranges."""

    op: str
    left: Node
    right: Node


@record
class Elapsed(Node):
    """``since(item) op length`` or, with ``until``, ``until(item) op length``: item ± length against the moment."""

    item: Node
    op: str
    length: Length
    until: bool


@record
class Span(Node):
    """``since(x)`` or ``until(x)`` not compared: in days, with a fraction for a time; only a metric may be one."""

    item: Node
    until: bool


@record
class OneOf(Node):
    """``item in (…)``; unknown when the item is."""

    item: Node
    values: tuple[Const, ...]
    negated: bool


@record
class Within(Node):
    """``item in period``; ``shift`` is a length added to the item first."""

    item: Node
    shift: Length | None
    negated: bool


@record
class IsKnown(Node):
    """``item is known`` / ``is unknown``: never unknown itself."""

    item: Node
    known: bool


@record
class Arithmetic(Node):
    """``+ - * /`` on numbers; division by zero is unknown."""

    op: str
    left: Node
    right: Node


@record
class Shift(Node):
    """A date or time plus (or minus) a length of whole days, or of hours and minutes for a time."""

    item: Node
    length: Length
    minus: bool


@record
class DaysBetween(Node):
    """Whole days from ``start`` to ``end`` (negative when end is earlier)."""

    start: Node
    end: Node


@record
class Default(Node):
    """The item, or the fallback where it is unknown."""

    item: Node
    fallback: Node


@record
class Extreme(Node):
    """``min`` or ``max``; unknown when any item is."""

    largest: bool
    items: tuple[Node, ...]


@record
class Quarter(Node):
    """The quarter (1–4) of the fiscal year that a date falls in."""

    item: Node
    year_starts: int


@record
class Call(Node):
    """A function of a plugin; unknown when any item is, or where the function fails."""

    outside: Outside
    items: tuple[Node, ...]


@record
class Aggregate(Node):
    """``count sum average first last`` over the things of the same subject for which ``cond`` holds."""

    fn: str
    thing: str
    value: Node | None
    cond: Node | None


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that measure keeps watch on; ``key`` is its text, the same wherever it is written."""

    key: str
    subject: str
    node: Node


@record
class Held(Node):
    """``has_been(condition, length)``."""

    condition: Condition
    length: Length


@record
class FirstTime(Node):
    """``first_time(condition)``: the earliest recorded moment it held."""

    condition: Condition


@record
class Ago(Node):
    """A metric as it was known a length ago."""

    fact: Fact
    length: Length


@record
class Recorded(Node):
    """When a fact was last stated, even with the same value."""

    fact: Fact


@record
class Choose(Node):
    """The word of the first condition that holds; an unknown one before it makes the answer unknown,
    unless every answer still possible is the same.
    """

    pairs: tuple[tuple[Node, Const], ...]
    otherwise: Const


@record
class Rows(Node):
    """What the first row whose condition holds chooses; unknown as soon as a condition before it is."""

    rows: tuple[tuple[Node, Choose], ...]


@record
class Points(Node):
    """A word's points; unknown for a word without."""

    item: Node
    points: tuple[tuple[str, float], ...]


@record
class Weighted(Node):
    """A weighted mean of parts 0–100 in groups; unknown parts give their weight to the known ones of their group.

    ``groups``: (weight, ((weight, part), …)); ``caps``: (value, condition) – a cap only lowers, and only where its
    condition is true; ``needs``: the share of all weight that must be known.
    """

    groups: tuple[tuple[Const, tuple[tuple[Const, Node], ...]], ...]
    caps: tuple[tuple[Const, Node], ...]
    needs: float


def truth(node: Node) -> bool:
    """Whether the node is a condition."""
    return node.type.name == BOOLEAN.name


def ranged(node: Node) -> bool:
    """Whether the node is a range where conditions are unknown: a count or a sum."""
    return isinstance(node, Aggregate) and node.fn in ("count", "sum")


def scale(value: Node | None) -> float:
    """How many grains make one in sums and averages: millionths, but of stored money its own minor units."""
    return 1.0 if isinstance(value, Read) and value.type.name == "money" else 1e6


def may_be_never(node: Node) -> bool:
    """Whether the fact is the last of something that csflow itself logs, so that there is a *never*."""
    return isinstance(node, Read) and (node.fact.kind == "activity" or node.fact.owner == "activity")


LARGEST_EXACT = 4_503_599_627_370_496.0  # 2^52: doubles from here on are whole numbers
DAY_TYPES = (DATE.name, TIME.name)
NUMBER_TYPES = (NUMBER.name, "share", "money")
