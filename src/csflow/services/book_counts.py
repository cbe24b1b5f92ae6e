"""What a book metric counts, as one statement: each count of it, grouped by whose customers they are.

A metric of a book is a small sum over counts (``count(…) / count(…)``). The database counts, group by group, how much
is surely in, how much may be, and what could not be judged; the sum itself is done in Python (`services.book`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Double,
    Integer,
    Select,
    Subquery,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
)

from csflow.flow import nodes as n
from csflow.flow.expressions import Expression
from csflow.services.views import View
from csflow.store import tables as t
from csflow.store.guards import Translator, grains_of, least_and_greatest
from csflow.store.reading import Reader

Column = ColumnElement[Any]
Group = tuple[str | None, ...]
MANY = -1  # the part that counts the customers themselves


@dataclass(frozen=True, slots=True)
class Counted:
    """One count of one group: what is surely in, the least and the most it may be, how many things are unknown.

    ``low`` and ``high`` are in grains (`nodes.scale`) for sums and averages; ``lacking`` things are in, or may be, and
    have no value.
    """

    sure: int
    low: float
    high: float
    lacking: int
    doubtful: int


Found = dict[Group, dict[int, Counted]]  # group → place of the count in the metric (MANY: the customers) → counted


@dataclass(frozen=True, slots=True)
class Whose:
    """The customers of a book: those for whom ``when`` holds, grouped by roles (texts) and words (expressions)."""

    when: Expression | None = None
    by: tuple[str | Expression, ...] = ()

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles among what it is grouped by."""
        return tuple(one for one in self.by if isinstance(one, str))

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """What is read of each customer."""
        return tuple(one for one in (self.when, *self.by) if isinstance(one, Expression))


def counts(
    connection: Connection, view: View, totals: Iterable[n.Aggregate], whose: Whose, *, each: bool = False
) -> Found:
    """Count everything in one statement; with ``each`` every customer is a group of its own, its id the last word."""
    statement = _statement(view, list(totals), whose, each=each)
    width = len(whose.by) + each
    found: Found = {}
    for part, *rest in connection.execute(statement):
        group = tuple(rest[:width])
        sure, low, high, lacking, doubtful = rest[width:]
        found.setdefault(group, {})[part] = Counted(int(sure), low, high, int(lacking), int(doubtful))
    return found


def _statement(view: View, totals: list[n.Aggregate], whose: Whose, *, each: bool) -> Any:
    book = _book(view, whose)
    words: list[Column] = [book.c[f"g{place}"] for place in range(len(whose.by))] + ([book.c.key] if each else [])
    zero = literal(0.0, Double)
    many = cast(func.count(book.c.id), Double)
    parts = [select(literal(MANY, Integer), *words, many, zero, zero, zero, zero).group_by(*words)]
    parts += [
        _part(view, book, total, place=place, words=words, roles=whose.roles)
        for place, total in enumerate(totals)
        if total.thing not in view.moment.unfed
    ]
    return union_all(*parts)


def _book(view: View, whose: Whose) -> CTE:
    """The customers, with the words they are grouped by."""
    reader = view.subjects("customer")
    row: Any = reader.base
    translator = Translator(reader)
    words = [
        _owner(reader, one) if isinstance(one, str) else cast(translator.value(one.node), Text) for one in whose.by
    ]
    where = [row.c.happened <= view.moment.today]
    if whose.when is not None:
        where.append(translator.condition(whose.when.node))
    columns = [row.c.id, row.c.key, *(word.label(f"g{place}") for place, word in enumerate(words))]
    return select(*columns).select_from(reader.source()).where(*where).cte("book")


def _owner(reader: Reader, role: str) -> Column:
    """Who fills the role for the customer."""
    customer: Any = reader.base
    held: Any = reader.joined(
        ("assignment", role), t.assignment, lambda row: and_(row.c.customer == customer.c.id, row.c.role == role)
    )
    return held.c.person  # type: ignore[no-any-return]


def _part(
    view: View, book: CTE, total: n.Aggregate, *, place: int, words: list[Column], roles: tuple[str, ...]
) -> Select[Any]:
    """One count, grouped."""
    things = _things(view, book, total.thing, words, roles)
    inner, row = things.inner, things.inner.base
    translator, zero = Translator(inner), literal(0.0, Double)
    holds = translator.number_of(total.cond) if total.cond is not None else literal(1, Integer)
    yes, maybe = holds == 1, holds.is_(None)
    grains = literal(1.0, Double) if total.value is None else grains_of(translator, total.value)
    lacks: Column = false() if total.value is None else and_(grains.is_(None), or_(yes, maybe))
    least, greatest = least_and_greatest(grains, zero)

    def many(which: Column) -> Column:
        return cast(func.count(case((which, row.c.id))), Double)

    def total_of(doubtful: Column) -> Column:
        return func.coalesce(func.sum(case((yes, grains), (maybe, doubtful), else_=zero), type_=Double), zero)

    columns = [many(yes), total_of(least), total_of(greatest), many(lacks), many(or_(maybe, lacks))]
    own = [things.outer.base.c[str(word.key)] for word in words]
    source = inner.source().join(things.outer.source(), true())
    statement = select(literal(place, Integer), *own, *columns).select_from(source)
    return statement.where(*things.where).group_by(*own)


@dataclass(frozen=True, slots=True)
class _Things:
    """The things of a book: a reader of each, one of what stands around it, and how the two belong together."""

    inner: Reader
    outer: Reader
    where: tuple[Column, ...]


def _things(view: View, book: CTE, thing: str, words: list[Column], roles: tuple[str, ...]) -> _Things:
    """Each thing of the customers of a book; a person is one who fills a role for one of them."""
    known = (view.book, view.moment)
    if thing == "person":
        pairs = _serving(book, words, roles)
        row: Any = t.person.alias("each_person")
        outer = Reader(pairs, *known, subjects={})
        inner = Reader(row, *known, subjects={"person": row.c.id}, each=thing, outer=outer)
        return _Things(inner, outer, (row.c.key == pairs.c.person,))
    outer = Reader(book, *known, subjects={"customer": book.c.id})
    if thing == "customer":
        row = t.customer.alias("each_customer")
        inner = Reader(row, *known, subjects={"customer": row.c.id}, each=thing, outer=outer)
        return _Things(inner, outer, (row.c.id == book.c.id,))
    inner, statement, _ = outer.things(thing)
    if thing == "task":  # by a join: a question about every pair of task and customer would never end
        task = inner.base
        of: Any = inner.joined("case", t.case, lambda row: row.c.id == task.c.case)
        return _Things(inner, outer, (of.c.customer == book.c.id,))
    mine = statement.whereclause
    return _Things(inner, outer, () if mine is None else (mine,))


def _serving(book: CTE, words: list[Column], roles: tuple[str, ...]) -> Subquery:
    """Colleagues who fill a role – one of those it is grouped by – for a customer of the book, once for each group."""
    a = t.assignment.alias("serves")
    serving = select(a.c.person, *words).join(book, book.c.id == a.c.customer)
    if roles:
        serving = serving.where(a.c.role.in_(roles))
    return serving.distinct().subquery("serving")
