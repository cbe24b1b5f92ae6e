"""What follows from contracts, answers and the day, kept beside each customer so that guards read one row.

The choice of the contract (decisions, 13): the one in force that ends first, else the next to begin, else the one that
ended last. It changes only when a contract changes or a border is crossed, so only those customers are looked at.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    func,
    literal,
    null,
    or_,
    select,
    update,
)

from csflow.store import tables as t
from csflow.store.insertion import insert_into
from csflow.store.touching import BOTH, touch
from csflow.values import Day, Zone

FAR = 10_000_000  # a day after every other
k = t.contract.alias("k")
MINE = k.c.customer == t.customer.c.id


def refresh(connection: Connection, today: Day, queue: int, zone: Zone, *, everyone: bool = False) -> None:
    """Bring customers up to date whose contracts or answers changed, or for whom a border has come."""
    passed = select(t.customer.c.id).where(t.customer.c.next_change <= today)
    touch(connection, "customer", passed, queues=BOTH)
    if not everyone and connection.execute(waiting(queue, today).limit(1)).first() is None:
        return
    _answers(connection, today, queue, zone, everyone=everyone)
    refresh_contracts(connection, today, None if everyone else waiting(queue, today))


def waiting(queue: int, today: Day, kind: str = "customer") -> Select[Any]:
    """The subjects of a kind that are to be asked about again by today."""
    return select(t.touched.c.subject).where(
        t.touched.c.queue == queue, t.touched.c.kind == kind, t.touched.c.day <= today
    )


def refresh_contracts(connection: Connection, today: Day, customers: Select[Any] | None) -> None:
    """Choose each customer's contract again, for those selected or for all."""
    seen = and_(MINE, k.c.happened <= today)
    in_force = and_(seen, k.c.starts_on <= today, or_(k.c.ends.is_(None), k.c.ends > today))
    statement = update(t.customer).values(
        contract=_chosen(today, seen),
        amount=_one(
            case(
                (func.sum(case((k.c.value.is_(None), 1), else_=0)) > 0, null()),
                else_=func.coalesce(func.sum(k.c.value), 0),
            ),
            in_force,
        ),
        contracts=_one(func.count(), in_force),
        first_day=_one(func.min(k.c.starts_on), seen),
        next_change=_next_border(today),
    )
    if customers is not None:
        statement = statement.where(t.customer.c.id.in_(customers))
    connection.execute(statement)


def _chosen(today: Day, seen: ColumnElement[Any]) -> ColumnElement[Any]:
    begun = k.c.starts_on <= today
    lasts = or_(k.c.ends.is_(None), k.c.ends > today)
    rank = case((and_(begun, lasts), 0), (k.c.starts_on > today, 1), else_=2)
    within = case(
        (and_(begun, lasts), func.coalesce(k.c.ends, FAR)), (k.c.starts_on > today, k.c.starts_on), else_=-k.c.ends
    )
    ordered = select(k.c.id).where(seen).order_by(rank, within, k.c.starts_on, k.c.key).limit(1)
    return ordered.correlate(t.customer).scalar_subquery()


def _one(value: ColumnElement[Any], where: ColumnElement[Any]) -> ColumnElement[Any]:
    return select(value).select_from(k).where(where).correlate(t.customer).scalar_subquery()


def _next_border(today: Day) -> ColumnElement[Any]:
    def ahead(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.coalesce(func.min(case((column > today, column))), FAR)

    starts, ends, happened = ahead(k.c.starts_on), ahead(k.c.ends), ahead(k.c.happened)
    least = case((and_(starts <= ends, starts <= happened), starts), (ends <= happened, ends), else_=happened)
    return _one(func.nullif(least, FAR), MINE)


def _answers(connection: Connection, today: Day, queue: int, zone: Zone, *, everyone: bool) -> None:
    """Fill the fields that survey answers state: the newest answer to a question is the field's value."""
    questions = connection.execute(select(t.answer.c.question).distinct()).scalars().all()
    numbers = {row.name: row.id for row in connection.execute(select(t.name).where(t.name.c.kind == "field"))}
    for question in sorted(questions):
        for kind, subject in (("customer", t.answer.c.customer), ("contact", t.answer.c.contact)):
            field = numbers.get(f"{kind}.{question}")
            if field is None:
                continue
            newest = (
                select(
                    subject.label("subject"),
                    t.answer.c.number,
                    t.answer.c.text,
                    t.answer.c.day,
                    func.row_number()
                    .over(partition_by=subject, order_by=(t.answer.c.day.desc(), t.answer.c.ref.desc()))
                    .label("place"),
                )
                .where(t.answer.c.question == question, t.answer.c.day <= today, subject.is_not(None))
                .subquery()
            )
            if not everyone:
                mine = waiting(queue, today)
                newest = (
                    select(newest)
                    .where(newest.c.subject.in_(mine if kind == "customer" else _contacts_of(mine)))
                    .subquery()
                )
            _state(connection, field, newest, zone)


def _contacts_of(customers: Select[Any]) -> Select[Any]:
    return select(t.contact.c.id).where(t.contact.c.customer.in_(customers))


def _state(connection: Connection, field: int, newest: Any, zone: Zone) -> None:
    columns = ["field", "subject", "number", "text", "happened", "stated"]
    first = zone.end_of(0)  # the end of a day: exact in zones without clock changes, within the hour in others
    rows = select(
        literal(field), newest.c.subject, newest.c.number, newest.c.text, newest.c.day,
        newest.c.day * literal(86_400_000_000) + literal(first),
    ).where(newest.c.place == 1)  # fmt: skip
    statement = insert_into(connection, t.field_value).from_select(columns, rows)
    new = statement.excluded
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["field", "subject"],
            set_={"number": new.number, "text": new.text, "happened": new.happened, "stated": new.stated},
            where=and_(
                t.field_value.c.happened <= new.happened,
                or_(
                    t.field_value.c.stated < new.stated,
                    t.field_value.c.number.is_distinct_from(new.number),
                    t.field_value.c.text.is_distinct_from(new.text),
                ),
            ),
        )
    )


def sync_people(connection: Connection, people: dict[str, str | None], organisation: str) -> None:
    """Have a row for the organisation and for each colleague that the definition names (id → display name)."""
    connection.execute(
        insert_into(connection, t.organisation)
        .values(key="organisation", name=organisation)
        .on_conflict_do_nothing(index_elements=["key"])
    )
    there = dict(connection.execute(select(t.person.c.key, t.person.c.name)).all())
    new = [{"key": key, "name": name} for key, name in people.items() if key not in there]
    if new:
        connection.execute(insert_into(connection, t.person).on_conflict_do_nothing(index_elements=["key"]), new)
