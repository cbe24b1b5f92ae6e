"""One statement for one rule: which cases (or subjects) does it hold for, and the facts it was read from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Text, null, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from csflow.flow import nodes as n
from csflow.flow.dating import dater
from csflow.flow.expressions import Expression
from csflow.flow.moments import Moment
from csflow.flow.names import CASE_ID
from csflow.flow.records import record
from csflow.flow.types import BOOLEAN, WORDS, Fact, Type
from csflow.store.guards import Translator
from csflow.store.reading import Reader
from csflow.values import Instant

Column = ColumnElement[Any]


class Unindexed(FunctionElement[Any]):
    """A column that SQLite may not use an index for: its planner, knowing no counts, prefers more equal signs."""

    inherit_cache = True
    name = "unindexed"

    def __init__(self, column: Column) -> None:
        self.type = column.type
        super().__init__(column)


@compiles(Unindexed)
def _as_it_is(element: Unindexed, compiler: Any, **options: Any) -> str:
    return compiler.process(element.clauses, **options)  # type: ignore[no-any-return]


@compiles(Unindexed, "sqlite")
def _plus(element: Unindexed, compiler: Any, **options: Any) -> str:
    return f"+{compiler.process(element.clauses, **options)}"


class KeyText(FunctionElement[str]):
    """A value as the text that keys of cases are kept as, '' when unknown: what Python's `str` makes of it."""

    name = "key_text"
    inherit_cache = True
    type = Text()


class KeyNumber(KeyText):
    """The same of what is kept as a number: PostgreSQL writes a whole one without `.0`."""

    name = "key_number"
    inherit_cache = True


@compiles(KeyText)
def _spelt(element: KeyText, compiler: Any, **options: Any) -> str:
    return f"coalesce(({compiler.process(element.clauses, **options)})::text, '')"


@compiles(KeyNumber)
def _spelt_whole(element: KeyNumber, compiler: Any, **options: Any) -> str:
    whole = "pg_typeof(v) = 'double precision'::regtype AND v = trunc(v)"
    text = f"CASE WHEN {whole} THEN v::text::numeric::text || '.0' ELSE v::text END"
    one = f"(SELECT {compiler.process(element.clauses, **options)} AS v) AS one"
    return f"coalesce((SELECT {text} FROM {one}), '')"  # noqa: S608  # an expression of SQLAlchemy's


@compiles(KeyText, "sqlite")
@compiles(KeyNumber, "sqlite")
def _spelt_by_itself(element: KeyText, compiler: Any, **options: Any) -> str:
    return f"coalesce({compiler.process(element.clauses, **options)}, '')"


def key_text(reader: Reader, node: n.Node) -> KeyText:
    """What an expression gives, as the text of a key."""
    return (KeyText if node.type.name in WORDS else KeyNumber)(Translator(reader).value(node))


@record
class Reason:
    """One fact behind a decision: its name, stored value and type, and when it was measured or stated."""

    fact: str
    value: Any
    type: Type
    measured: Instant | None


class Evidence:
    """The columns that say why an expression is true, and how to read them from a row, asked at that moment."""

    def __init__(self, moment: Moment, expression: Expression | None, *, dated: bool) -> None:
        self._moment, self._dated = moment, dated
        self._expression = expression
        self._node = expression.node if expression is not None else None

    # Worked out when the first row is read: most questions of a pass find none.

    @cached_property
    def _facts(self) -> tuple[Fact, ...]:
        return self._expression.facts if self._expression is not None else ()

    @cached_property
    def _held(self) -> list[n.Held]:
        return [x for x in _walk(self._node) if isinstance(x, n.Held)]

    @cached_property
    def _totals(self) -> list[n.Aggregate]:
        return [x for x in _walk(self._node) if isinstance(x, n.Aggregate)]

    @cached_property
    def _operands(self) -> list[n.Node]:
        return list(_alternatives(self._node)) if self._dated else []

    @cached_property
    def _date(self) -> Callable[..., Instant] | None:
        return dater(self._node) if self._dated and self._node is not None else None

    @cached_property
    def _place(self) -> dict[Fact, int]:
        return {fact: i for i, fact in enumerate(self._facts)}

    def columns(self, reader: Reader) -> list[Column]:
        """The columns, over a reader's rows."""
        translator = Translator(reader)
        columns: list[Column] = []
        for i, fact in enumerate(self._facts):
            columns += [reader.column(fact).label(f"f{i}"), _measured(reader, fact).label(f"m{i}")]
            if self._dated:
                columns.append(reader.happened(fact).label(f"h{i}"))
        for i, held in enumerate(self._held):
            row = reader.span(held.condition)
            columns += [translator.number_of(held).label(f"s{i}"), row.c.since.label(f"t{i}")]
        columns += [translator.value(total).label(f"a{i}") for i, total in enumerate(self._totals)]
        return columns + [translator.number_of(item).label(f"o{i}") for i, item in enumerate(self._operands)]

    def reasons(self, row: Row[Any]) -> list[Reason]:
        """The facts of this row, as written in the rule."""
        values = row._mapping  # noqa: SLF001  # SQLAlchemy's public name for it
        found = [
            Reason(fact.name, values[f"f{i}"], fact.type, values[f"m{i}"])
            for i, fact in enumerate(self._facts)
            if fact.type != CASE_ID  # a number that means nothing outside this database
        ]
        found += [
            Reason(held_name(held), values[f"s{i}"], BOOLEAN, values[f"t{i}"]) for i, held in enumerate(self._held)
        ]
        found += [
            Reason(f"{total.fn}({total.thing})", values[f"a{i}"], total.type, None)
            for i, total in enumerate(self._totals)
        ]
        return found

    def since(self, row: Row[Any]) -> Instant:
        """When the rule, which is true for this row, became so by its newest fact."""
        if self._date is None:
            return self._moment.now
        values, place = row._mapping, self._place  # noqa: SLF001
        truths = {id(item): values[f"o{i}"] for i, item in enumerate(self._operands)}
        spans = {held.condition.key: values[f"t{i}"] for i, held in enumerate(self._held)}
        zone = self._moment.zone

        def happened(fact: Fact) -> Instant | None:
            value = values[f"h{place[fact]}"] if fact in place else None
            if value is None:
                return None
            stamp = int(value)
            return stamp if stamp > 10_000_000 else zone.start_of(stamp)  # a day number is far smaller

        def truth(node: n.Node) -> bool | None:
            value = truths.get(id(node), 1)
            return None if value is None else bool(value)

        return self._date(
            truth=truth,
            value=lambda fact: values[f"f{place[fact]}"] if fact in place else None,
            happened=happened,
            held_since=lambda condition: spans.get(condition.key),
            moment=self._moment,
        )


def held_name(held: n.Held) -> str:
    """How a watched condition is named among the reasons."""
    length = held.length
    return f"has_been({held.condition.key.partition(': ')[2]}, {length.unit}({length.amount}))"


def _walk(node: n.Node | None) -> Iterable[n.Node]:
    return node.walk() if node is not None else ()


def _alternatives(node: n.Node | None) -> Iterable[n.Node]:
    """What stands between the or's that a date depends on: those inside a count speak of things, not of the row."""
    if isinstance(node, n.Or):
        yield from node.items
    if isinstance(node, n.And | n.Or):
        for item in node.items:
            yield from _alternatives(item)


def _measured(reader: Reader, fact: Fact) -> Column:
    if fact.kind in ("metric", "field"):
        return reader.stated(fact)
    return null()


def holding(
    reader: Reader,
    expression: Expression | None,
    columns: Iterable[Column],
    *,
    where: Iterable[Column] = (),
    dated: bool = False,
) -> tuple[Select[Any], Evidence]:
    """The rows of the reader for which the expression holds, with the columns asked for and the evidence."""
    evidence = Evidence(reader.moment, expression, dated=dated)
    conditions = list(where)
    if expression is not None:
        conditions.append(Translator(reader).condition(expression.node))
    statement = select(*columns, *evidence.columns(reader)).select_from(reader.source()).where(*conditions)
    return statement, evidence


def values_of(
    reader: Reader, expressions: dict[str, Expression], *, key: Column, where: Iterable[Column]
) -> Select[Any]:
    """``key`` and the value of each expression, under its label, for the rows asked for."""
    translator = Translator(reader)
    columns = [translator.value(expression.node).label(label) for label, expression in expressions.items()]
    return select(key.label("key"), *columns).select_from(reader.source()).where(*where)
