"""Where each fact stands: a fact as SQL columns, with the joins they need, seen from a case or from a subject.

Every statement that reads facts – guards, openings, metrics, explain – is built on a ``Reader``, so a fact has one
meaning everywhere.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Double,
    FromClause,
    Integer,
    Select,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
)

from csflow.flow.records import record
from csflow.flow.types import WORDS, Fact
from csflow.store import as_of
from csflow.store import tables as t
from csflow.store.as_of import AsOf
from csflow.store.catalogue import COLUMNS, SUBJECTS
from csflow.values import parse_length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from csflow.flow.moments import Moment
    from csflow.flow.nodes import Condition
    from csflow.values import Length

Column = ColumnElement[Any]
MOST_JOINS = 48  # SQLite joins 64 tables at most, and what is built around a reader joins some, too


@record
class Book:
    """What a reader must know of the project: numbers of names, variants of flows."""

    ids: dict[tuple[str, str], int]  # (kind, name) → number; a name that was never stored has none
    variants: dict[str, tuple[str, ...]]  # flow → itself and the flows that extend it
    required: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)  # (flow, stage) → its milestones

    def number(self, kind: str, name: str) -> int:
        """The number of a name; -1 (of nothing) when nothing was ever stored under it."""
        return self.ids.get((kind, name), -1)


class _Sought:
    """A row that is not joined: each of its columns is looked up by itself. Its table has one row for that at most."""

    def __init__(self, table: Any, on: Column) -> None:
        self._table, self._on, self.c = table, on, self

    def __getitem__(self, name: str) -> Column:
        table = self._table
        return select(table.c[name]).where(self._on).correlate_except(table).scalar_subquery()

    __getattr__ = __getitem__


class Reader:
    """Facts as columns of one FROM clause that grows with what is asked for."""

    def __init__(
        self,
        base: FromClause,
        book: Book,
        moment: Moment,
        *,
        subjects: dict[str, Column],
        flow: str | None = None,
        stage: str | None = None,
        each: str | None = None,
        outer: Reader | None = None,
    ) -> None:
        self.base, self.book, self.moment, self.subjects = base, book, moment, subjects
        self.flow, self.stage, self.each, self.outer = flow, stage, each, outer
        self._joins: dict[Any, tuple[FromClause, Column, bool]] = {}
        self._sought: dict[Any, _Sought] = {}
        self._count = 0

    def source(self) -> FromClause:
        """The FROM clause with every join asked for so far."""
        source = self.base
        for table, on, _ in self._joins.values():
            source = source.outerjoin(table, on)
        return source

    def tables(self) -> list[FromClause]:
        """The rows it reads itself, none of which an enclosing statement may lend it."""
        return [self.base, *(table for table, _, _ in self._joins.values())]

    def joined(self, key: Any, table: Any, on: Callable[[Any], Column]) -> Any:
        """The alias joined under this key, joining it the first time."""
        if key not in self._joins:
            alias = self._alias(table)
            self._joins[key] = (alias, on(alias), False)
        return self._joins[key][0]

    def _alias(self, table: Any) -> Any:
        self._count += 1
        return table.alias(f"{'e' if self.each else 'j'}{self._count}")

    def _found(self, key: Any, table: Any, on: Callable[[Any], Column]) -> Any:
        """The one row of a table under this key: joined, or looked up where the database would join too many."""
        if key in self._joins or (key not in self._sought and len(self._joins) < MOST_JOINS):
            return self.joined(key, table, on)
        if key not in self._sought:
            alias = self._alias(table)
            self._sought[key] = _Sought(alias, on(alias))
        return self._sought[key]

    def column(self, fact: Fact) -> Column:
        """The fact's value in stored form, NULL when unknown."""
        return self._column(fact)[0]

    def happened(self, fact: Fact) -> Column:
        """When it came to be: an instant for facts with one, else a day number; NULL when that is not known."""
        return self._column(fact)[1]

    def stated(self, fact: Fact) -> Column:
        """When it was last stated, an instant."""
        if self.outer is not None and not fact.owner.startswith("each:"):
            return self.outer.stated(fact)
        if fact.kind == "metric":
            return self._measurement(fact).c.known  # type: ignore[no-any-return]
        return self._field(fact).c.stated  # type: ignore[no-any-return]

    def _column(self, fact: Fact) -> tuple[Column, Column]:
        owner = fact.owner
        if owner.startswith("each:") and self.each != owner.removeprefix("each:"):
            raise LookupError(fact.name)
        if self.outer is not None and not owner.startswith("each:"):
            return self.outer._column(fact)  # noqa: SLF001  # of the same class
        if fact.kind == "metric":
            row = self._measurement(fact)
            return _value(row, fact), row.c.happened
        if fact.kind == "field":
            return self._field_value(fact)
        if fact.kind == "milestone":
            row = self._milestone(self._case(fact.owner), fact.key)
            return row.c.at, row.c.at
        if fact.kind == "activity" or owner == "activity":
            column = self._last(fact)
            return column, column
        return self._core(fact)

    def _core(self, fact: Fact) -> tuple[Column, Column]:
        owner = fact.owner
        if owner == "milestones":
            return self._milestones(fact)
        if owner == "tasks":
            return self._tasks(fact), null()
        if owner == "open":
            return self._open(fact.key), null()
        kind = owner.removeprefix("each:")
        if kind in SUBJECTS:
            row = self._row(kind)
            happened = case((row.c.happened > 0, row.c.happened), else_=null())
            return self._subject_column(kind, row, fact.key), happened
        if kind in ("activity", "task"):
            return self.base.c[COLUMNS[kind][fact.key]], null()
        return self._case_column(self._case(owner), fact.key)

    def _row(self, kind: str) -> Any:
        if self.each == kind or (self.each is None and getattr(self.base, "name", "") == kind):
            return self.base
        subject = self.subject(kind)
        return self.joined(kind, getattr(t, kind), lambda row: row.c.id == subject)

    def subject(self, kind: str) -> Column:
        """The id of the subject of that kind that the rule is about."""
        if kind in self.subjects:
            return self.subjects[kind]
        if kind == "contract":  # joined only when asked for
            return self._row("customer").c.contract  # type: ignore[no-any-return]
        if kind == "organisation":
            organisation = t.organisation.alias("o")
            return select(func.min(organisation.c.id)).correlate_except(organisation).scalar_subquery()
        raise LookupError(kind)

    def _subject_column(self, kind: str, row: Any, key: str) -> Column:
        if kind == "contract" and key == "ends_on":
            return row.c.ends - 1  # type: ignore[no-any-return]
        if kind == "contract" and key in ("renewed", "renewed_amount"):
            return self._renewal(row, key)
        return row.c[COLUMNS[kind][key]]  # type: ignore[no-any-return]

    def _renewal(self, row: Any, key: str) -> Column:
        next_one = t.contract.alias("rn")
        names_it = and_(
            next_one.c.customer == row.c.customer,
            next_one.c.replaces == row.c.key,
            next_one.c.happened <= as_of.today(self.moment),
        )
        if key == "renewed":
            found = exists(select(literal(1)).select_from(next_one).where(names_it).correlate_except(next_one))
            return case((row.c.id.is_(None), null()), (found, 1), else_=0)
        missing = func.sum(case((next_one.c.value.is_(None), 1), else_=0))
        total = case((missing > 0, null()), else_=func.coalesce(func.sum(cast(next_one.c.value, Double)), 0.0))
        amount = select(total).select_from(next_one).where(names_it).correlate_except(next_one).scalar_subquery()
        return case((row.c.id.is_(None), null()), else_=amount)

    def _measurement(self, fact: Fact) -> Any:
        kind = fact.owner.removeprefix("each:")
        subject = self.base.c.id if fact.owner.startswith("each:") else self.subject(kind)
        # Of a metric that is stale there is no row to be found.
        number = AsOf(self.moment, ("fresh", fact.key, self.book.number("metric", fact.key)), Integer())
        return self._found(
            ("metric", fact.key), t.measurement, lambda row: and_(row.c.metric == number, row.c.subject == subject)
        )

    def _field(self, fact: Fact) -> Any:
        owner = fact.owner
        if owner.startswith("each:"):
            subject: Column = self.base.c.id
        elif owner == "case" or owner.startswith("flow:"):
            subject = self._case(owner).c.id
        else:
            subject = self.subject(owner)
        numbers = [self.book.number("field", name) for name in self._field_names(fact)]
        return self._found(
            ("field", owner, fact.key),
            t.field_value,
            lambda row: and_(
                row.c.field == numbers[0] if len(numbers) == 1 else row.c.field.in_(numbers), row.c.subject == subject
            ),
        )

    def _field_names(self, fact: Fact) -> Iterable[str]:
        """A variant's fields are stored under its own name, read under its base's."""
        flow, _, name = fact.key.partition(".")
        return [f"{variant}.{name}" for variant in self.book.variants.get(flow, (flow,))]

    def _field_value(self, fact: Fact) -> tuple[Column, Column]:
        row = self._field(fact)
        value = _value(row, fact)
        if fact.fresh is not None:
            _, reached = as_of.borders(self.moment, parse_length(fact.fresh), until=False, time=True)
            value = case((row.c.stated > reached, value), else_=null())
        return value, case((row.c.happened > 0, row.c.happened), else_=null())

    def _case(self, owner: str) -> Any:
        """The case row: this one, each one, or the latest of a flow for the same customer."""
        if owner == "case" or owner.startswith("each:"):
            return self.base
        name = owner.removeprefix("flow:")
        latest = t.case.alias(f"l{len(self._joins)}")
        newest = (
            select(latest.c.id)
            .where(
                latest.c.customer == self.subjects["customer"],
                _flow_is(latest.c.flow, self.book.variants[name]),
                latest.c.opened_at <= as_of.now(self.moment),
            )
            .order_by(latest.c.opened_at.desc(), latest.c.number.desc(), latest.c.key.desc(), latest.c.id.desc())
            .limit(1)
            .correlate_except(latest)
            .scalar_subquery()
        )
        return self.joined(("flow", name), t.case, lambda row: row.c.id == newest)

    def _case_column(self, row: Any, key: str) -> tuple[Column, Column]:
        if key == "stage":
            return row.c.stage, row.c.entered_at
        if key == "end":
            return row.c.ended, row.c.ended_at
        if key in ("overdue", "missed", "due"):
            return self._deadlines(row, key), null()
        if key == "responsible":
            return null(), null()
        return row.c[key], row.c[key] if key.endswith("_at") else null()

    def _deadlines(self, row: Any, key: str) -> Column:
        line, open_task = t.deadline.alias("dl"), t.task.alias("tk")
        mine = and_(line.c.case == row.c.id, line.c.dropped == 0)
        if key == "missed":
            many = select(func.count()).where(mine, line.c.missed.is_not(None)).correlate_except(line).scalar_subquery()
            return case((row.c.id.is_(None), null()), else_=many)
        if key == "due":
            waits = and_(mine, line.c.met.is_(None), line.c.missed.is_(None))
            return select(func.min(line.c.due)).where(waits).correlate_except(line).scalar_subquery()
        missed = exists(
            select(literal(1)).where(mine, line.c.missed.is_not(None), line.c.met.is_(None)).correlate_except(line)
        )
        late = exists(
            select(literal(1))
            .where(
                open_task.c.case == row.c.id, open_task.c.done_at.is_(None), open_task.c.due < as_of.now(self.moment)
            )
            .correlate_except(open_task)
        )
        return case((row.c.id.is_(None), null()), (or_(missed, late), 1), else_=0)

    def _milestone(self, row: Any, name: str) -> Any:
        return self._found(
            ("milestone", id(row), name),
            t.milestone,
            lambda m: and_(m.c.case == row.c.id, m.c.name == name, m.c.current == 1),
        )

    def _milestones(self, fact: Fact) -> tuple[Column, Column]:
        if fact.key != "all":
            row = self._milestone(self.base, fact.key)
            return row.c.at, row.c.at
        wanted = self.book.required.get((self.flow or "", self.stage or ""), ())
        if not wanted:
            return literal(1), null()
        m = t.milestone.alias("ms")
        mine = and_(m.c.case == self.base.c.id, m.c.stay == self.base.c.stay, m.c.name.in_(wanted))
        many = select(func.count()).where(mine).correlate_except(m).scalar_subquery()
        newest = select(func.max(m.c.at)).where(mine).correlate_except(m).scalar_subquery()
        return case((many == len(wanted), 1), else_=0), newest

    def _tasks(self, fact: Fact) -> Column:
        k = t.task.alias("ta")
        waits = and_(k.c.case == self.base.c.id, k.c.done_at.is_(None), k.c.move.is_(None))
        many = select(func.count()).where(waits).correlate_except(k).scalar_subquery()
        return many if fact.key == "open" else case((many == 0, 1), else_=0)

    def _open(self, flow: str) -> Column:
        k = t.case.alias("op")
        mine = and_(
            k.c.customer == self.subjects["customer"] if "customer" in self.subjects else k.c.subject == self._own_id(),
            _flow_is(k.c.flow, self.book.variants[flow]),
            k.c.ended.is_(None),
            k.c.opened_at <= as_of.now(self.moment),
        )
        return select(func.count()).where(mine).correlate_except(k).scalar_subquery()

    def _own_id(self) -> Column:
        return next(iter(self.subjects.values()))

    def _last(self, fact: Fact) -> Column:
        a = t.activity.alias("ac")
        conditions = [a.c.at <= as_of.now(self.moment)]
        if fact.owner.removeprefix("each:") == "contact":
            contact = self.base.c.id if fact.owner.startswith("each:") else self.subject("contact")
            conditions.append(a.c.contact == contact)
        else:
            conditions.append(a.c.customer == self.subjects["customer"])
        kind = fact.key.removeprefix("last_")
        if kind not in ("last", "touch"):
            conditions.append(a.c.kind == kind)
        return select(func.max(a.c.at)).where(*conditions).correlate_except(a).scalar_subquery()

    def first_day(self) -> Column:
        """Start of the customer's first contract, for what never happened."""
        if self.outer is not None:
            return self.outer.first_day()
        return self._row("customer").c.first_day  # type: ignore[no-any-return]

    def span(self, condition: Condition) -> Any:
        """The row that measure keeps of a watched condition."""
        number = self.book.number("condition", condition.key)
        subject = self.subject(condition.subject)
        return self._found(
            ("span", condition.key), t.span, lambda row: and_(row.c.condition == number, row.c.subject == subject)
        )

    def ago(self, fact: Fact, length: Length) -> Column:
        """The metric as it was known a length before now."""
        _, until = as_of.borders(self.moment, length, until=False, time=True)
        log = t.measurement_log.alias("lg")
        mine = and_(
            log.c.metric == self.book.number("metric", fact.key),
            log.c.subject == self.subject(fact.owner),
            log.c.known <= until,
        )
        newest = select(log.c.text if fact.type.name in WORDS else log.c.number).where(mine)
        return newest.order_by(log.c.known.desc()).limit(1).correlate_except(log).scalar_subquery()

    def things(self, thing: str) -> tuple[Reader, Select[Any], list[Column]]:
        """A reader of each thing of this subject, a select over them without columns, and their order."""
        table: Any = t.case if thing in self.book.variants else getattr(t, thing)
        row = table.alias(f"each_{thing}")
        inner = Reader(row, self.book, self.moment, subjects=self.subjects, each=thing, outer=self)
        by_contact = "customer" not in self.subjects or (thing == "activity" and "contact" in self.subjects)
        if thing == "task":
            k = t.case.alias("tc")
            mine = select(k.c.id).where(k.c.customer == self.subjects["customer"]).correlate_except(k)
            statement = select().select_from(row).where(row.c.case.in_(mine))
            return inner, statement, [row.c.opened_at, row.c.name, row.c.number, row.c.id]
        mine = row.c.contact == self.subjects["contact"] if by_contact else row.c.customer == self.subjects["customer"]
        statement = select().where(mine)
        if thing in self.book.variants:
            statement = statement.where(
                _flow_is(row.c.flow, self.book.variants[thing]), row.c.opened_at <= as_of.now(self.moment)
            )
            return inner, statement, [row.c.opened_at, row.c.number, row.c.key, row.c.id]
        if thing == "activity":
            return inner, statement.where(row.c.at <= as_of.now(self.moment)), [row.c.at, row.c.ref, row.c.id]
        order = [row.c.starts_on, row.c.key] if thing == "contract" else [row.c.happened, row.c.key]
        return inner, statement.where(row.c.happened <= as_of.today(self.moment)), order


def _flow_is(column: Column, names: tuple[str, ...]) -> Column:
    return column == names[0] if len(names) == 1 else column.in_(names)


def _value(row: Any, fact: Fact) -> Column:
    return row.c.text if fact.type.name in WORDS else row.c.number  # type: ignore[no-any-return]


def whole(column: Column) -> Column:
    """A stored number as an integer (days, instants)."""
    return cast(column, Integer)


def case_reader(
    flow: str, subject: str, book: Book, moment: Moment, *, stage: str | None = None, base: FromClause | None = None
) -> Reader:
    """A reader of one flow's cases; ``subject`` is the flow's kind of subject."""
    row: Any = t.case.alias("c") if base is None else base
    subjects: dict[str, Column] = {subject: row.c.subject}
    if subject in ("contract", "contact"):
        subjects["customer"] = row.c.customer
    return Reader(row, book, moment, subjects=subjects, flow=flow, stage=stage)


def subject_reader(kind: str, book: Book, moment: Moment) -> Reader:
    """A reader of all subjects of a kind: for openings and metrics."""
    row: Any = getattr(t, kind)
    subjects: dict[str, Column] = {kind: row.c.id}
    if kind in ("contract", "contact"):
        subjects["customer"] = row.c.customer
    return Reader(row, book, moment, subjects=subjects)


def with_contacts(reader: Reader) -> Any:
    """Let a reader of cases read each case once for each contact of its customer; the contact's alias."""
    base: Any = reader.base
    contact = reader.joined("contact", t.contact, lambda row: row.c.customer == base.c.customer)
    reader.subjects["contact"] = contact.c.id
    return contact
