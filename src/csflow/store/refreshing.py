"""What follows from contracts, answers and the day, kept beside each customer so that guards read one row.

The choice of the contract (decisions, 13): the one in force that ends first, else the next to begin, else the one that
ended last. It changes only when a contract changes or a border is crossed, so only those customers are looked at.
"""

from __future__ import annotations

import secrets
from functools import cache
from itertools import product
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Update,
    and_,
    bindparam,
    case,
    func,
    literal,
    null,
    or_,
    select,
    update,
)

from csflow.store import tables as t
from csflow.store.insertion import insert_for, missing_only
from csflow.store.names import ids
from csflow.store.touching import BOTH, touching
from csflow.values import Day, Zone

FAR = 10_000_000  # a day after every other
k = t.contract.alias("k")
MINE = k.c.customer == t.customer.c.id
TODAY: ColumnElement[int] = bindparam("today", type_=Integer)


def refresh(connection: Connection, today: Day, queue: int, zone: Zone, *, everyone: bool = False) -> None:
    """Bring customers up to date whose contracts or answers changed, or for whom a border has come."""
    mark_passed(connection, today)
    when = {"today": today, "queue": queue}
    if not everyone and connection.execute(_any_waiting(), when).first() is None:
        return
    _answers(connection, when, zone, everyone=everyone)
    connection.execute(_choosing(everyone=everyone), when)


def mark_passed(connection: Connection, today: Day) -> None:
    """Touch the customers for whom a border has come."""
    for statement in _passed(connection.dialect.name):
        connection.execute(statement, {"today": today, "mark": secrets.randbits(62)})


@cache
def _passed(dialect: str) -> tuple[Any, ...]:
    found = select(t.customer.c.id).where(t.customer.c.next_change <= TODAY).subquery("subjects")
    return tuple(touching(dialect, "customer", found.c[0], literal(0, Integer), queue=queue) for queue in BOTH)


def _waiting() -> Select[Any]:
    """The customers that are to be asked about again by today."""
    c = t.touched.c
    queue = bindparam("queue", type_=c.queue.type)
    return select(c.subject).where(c.queue == queue, c.kind == "customer", c.day <= TODAY)


@cache
def _any_waiting() -> Select[Any]:
    return _waiting().limit(1)


def refresh_contracts(connection: Connection, today: Day, customers: Select[Any]) -> None:
    """Choose the contract of these customers again."""
    connection.execute(_choice().where(t.customer.c.id.in_(customers)), {"today": today})


@cache
def _choosing(*, everyone: bool) -> Update:
    return _choice() if everyone else _choice().where(t.customer.c.id.in_(_waiting()))


@cache
def _choice() -> Update:
    """Choose the contract again, as of today."""
    seen = and_(MINE, k.c.happened <= TODAY)
    in_force = and_(seen, k.c.starts_on <= TODAY, or_(k.c.ends.is_(None), k.c.ends > TODAY))
    return update(t.customer).values(
        contract=_chosen(seen),
        amount=_one(
            case(
                (func.sum(case((k.c.value.is_(None), 1), else_=0)) > 0, null()),
                else_=func.coalesce(func.sum(k.c.value), 0),
            ),
            in_force,
        ),
        contracts=_one(func.count(), in_force),
        first_day=_one(func.min(k.c.starts_on), seen),
        next_change=_next_border(),
    )


def _chosen(seen: ColumnElement[Any]) -> ColumnElement[Any]:
    begun = k.c.starts_on <= TODAY
    lasts = or_(k.c.ends.is_(None), k.c.ends > TODAY)
    rank = case((and_(begun, lasts), 0), (k.c.starts_on > TODAY, 1), else_=2)
    within = case(
        (and_(begun, lasts), func.coalesce(k.c.ends, FAR)), (k.c.starts_on > TODAY, k.c.starts_on), else_=-k.c.ends
    )
    ordered = select(k.c.id).where(seen).order_by(rank, within, k.c.starts_on, k.c.key).limit(1)
    return ordered.correlate(t.customer).scalar_subquery()


def _one(value: ColumnElement[Any], where: ColumnElement[Any]) -> ColumnElement[Any]:
    return select(value).select_from(k).where(where).correlate(t.customer).scalar_subquery()


def _next_border() -> ColumnElement[Any]:
    def ahead(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.coalesce(func.min(case((column > TODAY, column))), FAR)

    starts, ends, happened = ahead(k.c.starts_on), ahead(k.c.ends), ahead(k.c.happened)
    least = case((and_(starts <= ends, starts <= happened), starts), (ends <= happened, ends), else_=happened)
    return _one(func.nullif(least, FAR), MINE)


def _answers(connection: Connection, when: dict[str, int], zone: Zone, *, everyone: bool) -> None:
    """Fill the fields that survey answers state: the newest answer to a question is the field's value."""
    questions = connection.execute(_questions()).scalars().all()
    if not questions:
        return
    numbers = ids(connection, "field")
    for question, kind in product(sorted(questions), ("customer", "contact")):
        field = numbers.get(f"{kind}.{question}")
        if field is not None:
            statement = _stated(connection.dialect.name, kind, everyone=everyone)
            # The end of a day: exact in zones without clock changes, within the hour in others.
            values = {"asked": question, "own_field": field, "first": zone.end_of(0)}
            connection.execute(statement, when | values)


@cache
def _questions() -> Select[str]:
    return select(t.answer.c.question).distinct()


@cache
def _stated(dialect: str, kind: str, *, everyone: bool) -> Any:
    """Give a field the newest answers to its question."""
    a, f = t.answer.c, t.field_value.c
    subject = a[kind]
    place = func.row_number().over(partition_by=subject, order_by=(a.day.desc(), a.ref.desc())).label("place")
    asked = (a.question == bindparam("asked"), a.day <= TODAY, subject.is_not(None))
    newest = select(subject.label("subject"), a.number, a.text, a.day, place).where(*asked).subquery()
    number, first = bindparam("own_field", type_=f.field.type), bindparam("first", type_=f.stated.type)
    stated = newest.c.day * literal(86_400_000_000) + first
    rows = select(number, newest.c.subject, newest.c.number, newest.c.text, newest.c.day, stated)
    rows = rows.where(newest.c.place == 1)
    if not everyone:
        mine = _waiting()
        if kind == "contact":
            mine = select(t.contact.c.id).where(t.contact.c.customer.in_(mine))
        rows = rows.where(newest.c.subject.in_(mine))
    names = ["field", "subject", "number", "text", "happened", "stated"]
    statement = insert_for(dialect, t.field_value).from_select(names, rows)
    new = statement.excluded
    other = or_(f.stated < new.stated, f.number.is_distinct_from(new.number), f.text.is_distinct_from(new.text))
    return statement.on_conflict_do_update(
        index_elements=["field", "subject"],
        set_={name: new[name] for name in ("number", "text", "happened", "stated")},
        where=and_(f.happened <= new.happened, other),
    )


def sync_people(connection: Connection, people: dict[str, str | None], organisation: str) -> None:
    """Have a row for the organisation and for each colleague that the definition names (id → display name)."""
    dialect = connection.dialect.name
    connection.execute(missing_only(dialect, t.organisation), {"key": "organisation", "name": organisation})
    there = set(connection.execute(_people()).scalars())
    new = [{"key": key, "name": name} for key, name in people.items() if key not in there]
    if new:
        connection.execute(missing_only(dialect, t.person), new)


@cache
def _people() -> Select[str]:
    return select(t.person.c.key)
