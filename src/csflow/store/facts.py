"""One row's facts, loaded: whatever some expressions read of it, so that Python can say what SQL would."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, select, true

from csflow.flow import nodes as n
from csflow.store.catalogue import SUBJECTS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from csflow.flow.evaluation import SpanRow, Value
    from csflow.flow.expressions import Expression
    from csflow.flow.types import Fact
    from csflow.store.reading import Reader
    from csflow.values import Day, Instant, Length, Zone

Column = ColumnElement[Any]
Key = tuple[Any, ...]
Question = tuple[Key, Callable[["Reader"], Sequence[Column]]]
AT_ONCE = 30  # each fact may be a join, and SQLite joins at most 64 tables


@dataclass(slots=True)
class LoadedFacts:
    """What was read of one row (a case, a subject) or of one thing counted around it; implements ``Facts``."""

    zone: Zone
    outer: LoadedFacts | None = None
    found: dict[Key, Sequence[Any]] = field(default_factory=dict)
    things: dict[str, list[LoadedFacts]] = field(default_factory=dict)

    def value(self, fact: Fact) -> Value:
        """The stored value, None when unknown; LookupError for a fact that no expression reads."""
        value = self._of(fact, "fact")[0]
        return bool(value) if fact.type.name == "boolean" and value is not None else value

    def happened(self, fact: Fact) -> Instant | None:
        """When it came to be, None when that is not known; a day begins with its first moment."""
        at: int | None = self._of(fact, "fact")[1]
        if at is None or not _dated_by_day(fact):
            return at
        return self.zone.start_of(int(at))

    def stated(self, fact: Fact) -> Instant | None:
        """When a metric or field was last stated."""
        at = self._of(fact, "stated")[0]
        return None if at is None else int(at)

    def rows(self, thing: str) -> Sequence[LoadedFacts]:
        """The things of the same subject, by start or opening order."""
        return self.things[thing]

    def span(self, condition: n.Condition) -> SpanRow | None:
        """What measure has recorded of a watched condition."""
        if self.outer is not None:
            return self.outer.span(condition)
        truth, since, false_until, first_true = self.found["span", condition.key]
        return None if since is None else (None if truth is None else bool(truth), since, false_until, first_true)

    def ago(self, fact: Fact, length: Length) -> Value:
        """A metric as it was known a length before the moment."""
        if self.outer is not None:
            return self.outer.ago(fact, length)
        value = self.found["ago", fact, length][0]
        return bool(value) if fact.type.name == "boolean" and value is not None else value

    def first_day(self) -> Day | None:
        """Start of the customer's first contract."""
        if self.outer is not None:
            return self.outer.first_day()
        day: Day | None = self.found["first_day",][0]
        return day

    def _of(self, fact: Fact, what: str) -> Sequence[Any]:
        if self.outer is not None and not fact.owner.startswith("each:"):
            return self.outer._of(fact, what)  # noqa: SLF001  # of the same class
        return self.found[what, fact]


def load_facts(
    connection: Connection,
    make_reader: Callable[[], Reader],
    where: Callable[[Any], ColumnElement[bool]],
    expressions: Iterable[Expression],
) -> LoadedFacts:
    """Everything the expressions read of one row.

    ``where`` picks it, given the reader's base (``lambda case: case.c.id == 7``). The number of statements follows
    from the expressions alone: one for each ``AT_ONCE`` facts, and one for each kind of thing counted. LookupError
    when there is no such row.
    """
    found = load_many(connection, make_reader, where, expressions)
    if not found:
        raise LookupError("no such row")
    return next(iter(found.values()))


def load_many(
    connection: Connection,
    make_reader: Callable[[], Reader],
    where: Callable[[Any], ColumnElement[bool]],
    expressions: Iterable[Expression],
) -> dict[int, LoadedFacts]:
    """Everything the expressions read of each row that ``where`` picks, by the id of the reader's base.

    As many statements as for one row; all rows are held in memory, so ask for some hundred at once.
    """
    nodes = [expression.node for expression in expressions]
    outer, each = _questions(nodes)
    found: dict[int, LoadedFacts] = {}
    for start in range(0, max(len(outer), 1), AT_ONCE):
        reader, asked = make_reader(), outer[start : start + AT_ONCE]
        columns = [ask(reader) for _, ask in asked]
        base: Any = reader.base
        statement = select(base.c.id, *_labelled(columns)).select_from(reader.source()).where(where(base))
        for row in connection.execute(statement):
            loaded = found.setdefault(row[0], LoadedFacts(reader.moment.zone))
            loaded.found.update(_dealt(asked, columns, row[1:]))
    for thing, questions in each.items():
        _load_things(connection, make_reader(), where, (thing, questions, found))
    return found


def _load_things(
    connection: Connection,
    reader: Reader,
    where: Callable[[Any], ColumnElement[bool]],
    what: tuple[str, list[Question], dict[int, LoadedFacts]],
) -> None:
    """Give each row its things, one LoadedFacts for each, in the order that `first` and `last` go by."""
    thing, questions, found = what
    inner, statement, order = reader.things(thing)
    base: Any = reader.base
    columns = [ask(inner) for _, ask in questions]
    statement = statement.add_columns(base.c.id.label("around"), *_labelled(columns))
    statement = statement.select_from(inner.source().join(reader.source(), true())).where(where(base))
    for loaded in found.values():
        loaded.things[thing] = []
    for row in connection.execute(statement.order_by(*order)):
        outer = found[row.around]
        outer.things[thing].append(LoadedFacts(outer.zone, outer, _dealt(questions, columns, row[1:])))


def _questions(nodes: Sequence[n.Node]) -> tuple[list[Question], dict[str, list[Question]]]:
    """What to ask of the row itself, and of each kind of thing, each question once and in the order written."""
    outer: dict[Key, Callable[[Reader], Sequence[Column]]] = {}
    each: dict[str, dict[Key, Callable[[Reader], Sequence[Column]]]] = {}
    for node in (part for top in nodes for part in top.walk()):
        if isinstance(node, n.Aggregate):
            each.setdefault(node.thing, {})
        if isinstance(node, n.Read | n.Recorded):
            owner = node.fact.owner
            home = each.setdefault(owner.removeprefix("each:"), {}) if owner.startswith("each:") else outer
            home.update([_read(node) if isinstance(node, n.Read) else _recorded(node)])
            if n.may_be_never(node):
                outer["first_day",] = lambda reader: [reader.first_day()]
        elif isinstance(node, n.Held | n.FirstTime):
            outer["span", node.condition.key] = _spans(node.condition)
        elif isinstance(node, n.Ago):
            outer["ago", node.fact, node.length] = _ago(node)
    return list(outer.items()), {thing: list(found.items()) for thing, found in each.items()}


def _read(node: n.Read) -> Question:
    fact = node.fact
    return ("fact", fact), lambda reader: [reader.column(fact), reader.happened(fact)]


def _recorded(node: n.Recorded) -> Question:
    fact = node.fact
    return ("stated", fact), lambda reader: [reader.stated(fact)]


def _spans(condition: n.Condition) -> Callable[[Reader], Sequence[Column]]:
    def ask(reader: Reader) -> Sequence[Column]:
        row = reader.span(condition)
        return [row.c.truth, row.c.since, row.c.false_until, row.c.first_true]

    return ask


def _ago(node: n.Ago) -> Callable[[Reader], Sequence[Column]]:
    return lambda reader: [reader.ago(node.fact, node.length)]


def _labelled(columns: Sequence[Sequence[Column]]) -> list[Column]:
    """Every column under a name of its own, because two facts may be one column."""
    return [c.label(f"f{i}_{j}") for i, some in enumerate(columns) for j, c in enumerate(some)]


def _dealt(
    questions: Sequence[Question], columns: Sequence[Sequence[Column]], row: Sequence[Any]
) -> dict[Key, Sequence[Any]]:
    """The row cut into the answers to each question."""
    found: dict[Key, Sequence[Any]] = {}
    place = 0
    for (key, _), some in zip(questions, columns, strict=True):
        found[key] = [float(value) if isinstance(value, Decimal) else value for value in row[place : place + len(some)]]
        place += len(some)
    return found


def _dated_by_day(fact: Fact) -> bool:
    return fact.kind in ("metric", "field") or (fact.kind == "column" and fact.owner.removeprefix("each:") in SUBJECTS)


__all__ = ["LoadedFacts", "load_facts", "load_many"]
