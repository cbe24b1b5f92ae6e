"""Who fills a role for a customer, where the role says how (`assign:`): set-wise, in one order of customers.

Only customers with a case are given somebody, and only where nobody fills the role – or the word of `by:` is another
than the one csflow itself chose by. What people decided by hand is never touched.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from csflow.flow.definition import Definition, Role
from csflow.services.asking import Hit
from csflow.services.parties import OF_CUSTOMERS
from csflow.services.views import View
from csflow.store import as_of
from csflow.store import tables as t
from csflow.store.guards import Translator
from csflow.store.insertion import insert_into, listed
from csflow.store.names import name_id
from csflow.store.prepared import Kept
from csflow.store.touching import ADVANCE, organisation_touched
from csflow.values import minor_digits

Column = ColumnElement[Any]
Owners = dict[tuple[int, str], str | None]  # (customer, role) → who fills it from now on
Rows = Callable[[tuple[Any, ...], Callable[[], Executable]], Iterable[Any]]  # asks a statement, by its key

LEAST_CUSTOMERS, LEAST_AMOUNT, ROUND = "least_customers", "least_amount", "round_robin"
CHOOSING = frozenset({LEAST_CUSTOMERS, LEAST_AMOUNT, ROUND})
LAST = "round_robin "  # key in `meta`, before the role: whose turn it was


def automatic(definition: Definition) -> list[Role]:
    """The roles that csflow fills, each after those that it may follow; none for most projects."""
    roles, found = definition.roles, {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        role = roles[name]
        if name in found or name in above:
            return
        for way in role.assign.values():
            if way in roles:
                visit(way, (*above, name))
        if any(_active(definition, way) for way in role.assign.values()):
            found[name] = role

    for name in roles:
        visit(name, ())
    return list(found.values())


def _active(definition: Definition, way: str) -> bool:
    """Whether a way can come to a person without anybody deciding."""
    return way in CHOOSING or way in definition.roles


@dataclass(frozen=True, slots=True)
class Whom:
    """Which customers are looked at: those of a list, those touched by a day, or (neither) all; with a case or not."""

    customers: bool = False
    touched: bool = False
    cases: bool = True

    def conditions(self, customer: Column, view: View) -> list[Column]:
        """As conditions on the customer's id."""
        found: list[Column] = []
        if self.cases:
            own = t.case.alias("own")
            found.append(exists(select(own.c.id).where(own.c.customer == customer, own.c.ended.is_(None))))
        if self.customers:
            found.append(listed(customer, bindparam("customers", "[]", Text)))
        if self.touched:
            waits = t.touched.c
            due = waits.day <= as_of.today(view.moment)
            found.append(
                customer.in_(select(waits.subject).where(waits.queue == ADVANCE, waits.kind == "customer", due))
            )
        return found


def fill(connection: Connection, view: View, whom: Whom, *, rows: Rows, actor: str) -> Owners:
    """Give customers that lack somebody for a role the one whose turn it is; returns what changed."""
    changed: Owners = {}
    for role in automatic(view.definition):
        key = ("assign", role.name, whom.customers, whom.touched, whom.cases)
        lacking = sorted(rows(key, partial(_lacking, view, role, whom)), key=lambda row: str(row.key))
        if lacking:
            changed.update(_decide(connection, view, role, lacking, actor))
    return changed


def _lacking(view: View, role: Role, whom: Whom) -> Executable:
    """The customers whose role is to be filled, or filled anew."""
    definition, reader = view.definition, view.subjects("customer")
    customer: Any = reader.base
    word = literal("", Text) if role.by is None else cast(Translator(reader).value(role.by.node), Text)

    def owner(name: str) -> Any:
        return reader.joined(
            ("assignment", name),
            t.assignment,
            lambda row: and_(row.c.customer == customer.c.id, row.c.role == name),
        )

    held = owner(role.name)
    active = [one for one, way in role.assign.items() if _active(definition, way)]
    followed: dict[str, Any] = {way: owner(way) for way in role.assign.values() if way in definition.roles}
    needs = [and_(held.c.person.is_(None), word.in_(active)), and_(held.c.word.is_not(None), held.c.word != word)]
    for way, other in followed.items():
        words = [one for one, its in role.assign.items() if its == way]
        moved = func.coalesce(other.c.person, "") != held.c.person
        needs.append(and_(held.c.word.is_not(None), word.in_(words), moved))
    columns = [
        customer.c.id,
        customer.c.key,
        customer.c.amount,
        word.label("word"),
        held.c.person,
        held.c.word.label("former"),
    ]
    columns += [other.c.person.label(f"by_{way}") for way, other in followed.items()]
    where = [customer.c.happened <= as_of.today(view.moment), word.is_not(None)]
    limits = whom.conditions(customer.c.id, view)
    return select(*columns).select_from(reader.source()).where(*where, or_(*needs), *limits)


def fill_at_start(
    connection: Connection, view: View, kept: Kept, *, actor: str, customers: Sequence[int] | None, everyone: bool
) -> None:
    """At the beginning of a pass: whoever was touched, has a case and lacks somebody – or is by now of another word."""
    if not automatic(view.definition):
        return
    wide = everyone or customers is not None or organisation_touched(connection, ADVANCE)
    whom = Whom(customers=customers is not None, touched=not wide)
    fill(connection, view, whom, rows=_asking(connection, view, kept, customers), actor=actor)


def fill_for_openings(
    chunk: Callable[[], AbstractContextManager[Connection]],
    view: View,
    kept: Kept,
    *,
    actor: str,
    hits: Iterable[Hit],
) -> None:
    """Before these cases open: for all their customers at once, whatever order they are written in."""
    if not automatic(view.definition):
        return
    customers = {hit.party for hit in hits if hit.kind == "opening" and hit.rule[0].subject in OF_CUSTOMERS}
    if customers:
        with chunk() as connection:
            rows = _asking(connection, view, kept, sorted(customers))
            fill(connection, view, Whom(customers=True, cases=False), rows=rows, actor=actor)


def fill_for_cases(connection: Connection, view: View, kept: Kept, *, actor: str, customers: Iterable[int]) -> Owners:
    """When cases of these customers have opened in any other way: by a word, by hand, by an effect."""
    rows = _asking(connection, view, kept, sorted(set(customers)))
    return fill(connection, view, Whom(customers=True), rows=rows, actor=actor)


def _asking(connection: Connection, view: View, kept: Kept, customers: Sequence[int] | None) -> Rows:
    values = {} if customers is None else {"customers": json.dumps(list(customers))}
    world = view.world(connection.dialect.name)

    def rows(key: tuple[Any, ...], build: Callable[[], Executable]) -> Iterable[Any]:
        return kept.prepared(connection, world, key, build).ask(connection, view.moment, **values)

    return rows


@dataclass(slots=True)
class Loads:
    """What each colleague of a role carries, and whose turn it is."""

    role: Role
    capacity: Mapping[str, float | None]
    minor: int
    customers: dict[str, int] = field(default_factory=dict)
    amounts: dict[str, int] = field(default_factory=dict)
    last: str | None = None

    def take(self, way: str, amount: int) -> str | None:
        """The colleague who gets the next customer, and carries it from now on; None where nobody has the role."""
        people = sorted(self.capacity)
        if not people:
            return None
        if way == ROUND:
            found = self.last = next((one for one in people if self.last is None or one > self.last), people[0])
        else:
            found = min(people, key=lambda one: (self._full(one, way, amount), *self._load(one, way), one))
        self.carry(found, amount, 1)
        return found

    def carry(self, person: str, amount: int, many: int) -> None:
        """Count a customer to somebody (``many`` 1) or away from them (-1)."""
        self.customers[person] = self.customers.get(person, 0) + many
        self.amounts[person] = self.amounts.get(person, 0) + many * amount

    def _load(self, person: str, way: str) -> tuple[int, int]:
        """What counts, and what decides between equals."""
        amount, many = self.amounts.get(person, 0), self.customers.get(person, 0)
        return (amount, many) if way == LEAST_AMOUNT else (many, amount)

    def _full(self, person: str, way: str, amount: int) -> bool:
        """Whether one more is too much: capacity is money where money is counted, else a number of customers."""
        most = self.capacity[person]
        if most is None:
            return False
        more, unit = (amount, self.minor) if way == LEAST_AMOUNT else (1, 1)
        return self._load(person, way)[0] + more > most * unit


def _loads(connection: Connection, view: View, role: Role) -> Loads:
    definition = view.definition
    people = {
        one.id: one.extra.get("capacity", role.capacity) for one in definition.people.values() if role.name in one.roles
    }
    loads = Loads(role, people, 10 ** minor_digits(definition.currency))
    a, c, k = t.assignment.c, t.customer.c, t.case
    lives = exists(select(k.c.id).where(k.c.customer == a.customer, k.c.ended.is_(None)))
    carried = (
        select(a.person, func.sum(case((lives, 1), else_=0)), func.sum(func.coalesce(c.amount, 0)))
        .join(t.customer, c.id == a.customer)
        .where(a.role == role.name)
        .group_by(a.person)
    )
    for person, many, amount in connection.execute(carried):
        loads.customers[person], loads.amounts[person] = int(many), int(amount)
    loads.last = connection.execute(select(t.meta.c.value).where(t.meta.c.key == LAST + role.name)).scalar()
    return loads


def _decide(connection: Connection, view: View, role: Role, lacking: list[Any], actor: str) -> Owners:
    """Choose for each customer, in the order of their ids, and write it down."""
    loads = _loads(connection, view, role)
    turn = loads.last
    changes: list[tuple[Any, str | None]] = []
    kept: list[tuple[Any, str | None]] = []
    for row in lacking:
        way, amount = role.assign.get(row.word, "by_hand"), row.amount or 0
        same = row.person is not None and (way == role.assign.get(row.former, "by_hand") or way == "by_hand")
        if way in view.definition.roles:
            person = row._mapping[f"by_{way}"]  # noqa: SLF001  # SQLAlchemy's public name for it
        elif same:
            person = row.person
        else:
            if row.person is not None:
                loads.carry(row.person, amount, -1)
            person = loads.take(way, amount) if way in CHOOSING else None
        (kept if person == row.person else changes).append((row, person))
    _write(connection, role, [(row, person) for row, person in (*changes, *kept) if person is not None])
    gone = [row.id for row, person in changes if person is None and row.person is not None]
    a = t.assignment.c
    for customer in gone:
        connection.execute(delete(t.assignment).where(a.customer == customer, a.role == role.name))
    _note(connection, view, role, [row for row, person in changes if person != row.person], actor)
    _hand_over(connection, role, changes)
    if loads.last != turn:
        _remember(connection, role, loads.last)
    return {(row.id, role.name): person for row, person in changes if person != row.person}


def _write(connection: Connection, role: Role, given: list[tuple[Any, str]]) -> None:
    if not given:
        return
    statement = insert_into(connection, t.assignment)
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=["customer", "role"], set_={"person": new.person, "word": new.word}
    )
    values = [{"customer": row.id, "role": role.name, "person": person, "word": row.word} for row, person in given]
    connection.execute(statement, values)


def _note(connection: Connection, view: View, role: Role, changed: list[Any], actor: str) -> None:
    """The trail: who filled it before, as for what people change by hand."""
    if not changed:
        return
    number = name_id(connection, "field", f"role.{role.name}")
    noted = {"field": number, "number": None, "happened": 0, "stated": view.now, "actor": actor}
    connection.execute(insert(t.field_log), [{**noted, "subject": row.id, "text": row.person} for row in changed])


def _hand_over(connection: Connection, role: Role, changes: list[tuple[Any, str | None]]) -> None:
    """Open tasks of the role go to whoever fills it now, if nobody had them or the one before did."""
    by_person: dict[tuple[str | None, str | None], list[int]] = defaultdict(list)
    for row, person in changes:
        by_person[row.person, person].append(row.id)
    k = t.task.c
    for (former, person), customers in sorted(by_person.items(), key=lambda item: (item[0][0] or "", item[0][1] or "")):
        if former == person:
            continue
        theirs = select(t.case.c.id).where(listed(t.case.c.customer, literal(str(customers), Text)))
        held = k.person.is_(None) if former is None else k.person == former
        waiting = update(t.task).where(k.role == role.name, k.done_at.is_(None), held, k.case.in_(theirs))
        connection.execute(waiting.values(person=person))


def _remember(connection: Connection, role: Role, last: str | None) -> None:
    statement = insert_into(connection, t.meta).values(key=LAST + role.name, value=last)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["key"], set_={"value": statement.excluded.value})
    )
