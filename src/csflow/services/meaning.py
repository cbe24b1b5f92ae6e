"""The one row that an id means: a subject or a case; what is not there is told with the nearest id that is."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from csflow.errors import UsageError
from csflow.store import tables as t
from csflow.store.catalogue import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from csflow.flow.definition import Definition

NEAR = 200  # ids on each side, in their order, among which the nearest is looked for


@dataclass(frozen=True, slots=True)
class Meant:
    """What an id means: a row of a kind of subject, or a case (``kind`` is then ``case``)."""

    kind: str
    id: int
    key: str
    customer: int | None
    flow: str | None = None  # of a case


def near(name: str, names: Iterable[str]) -> str:
    """``: did you mean 'x'?`` when a name is near, else nothing: the end of a message."""
    folded = {one.casefold(): one for one in sorted(names)}
    found = get_close_matches(name.casefold(), folded, n=1)
    return f": did you mean '{folded[found[0]]}'?" if found else ""


def find_customer(connection: Connection, key: str) -> Meant:
    """The customer of that id; UsageError with the nearest one when there is none."""
    return _one_of(connection, "customer", key)


def find_subject(connection: Connection, said: str, kind: str = "customer") -> Meant:
    """A customer's id, ``contract:ID``, ``contact:ID``, ``person:ID`` or ``organisation``; UsageError otherwise.

    ``kind`` is what an id without a prefix means. A contract's id that several customers use is written
    ``contract:CUSTOMER/ID``.
    """
    head, colon, rest = said.partition(":")
    if colon and head in SUBJECTS:
        kind, said = head, rest
    elif said == "organisation":
        kind = said
    if kind == "organisation":
        row = connection.execute(select(t.organisation.c.id, t.organisation.c.key)).first()
        if row is None:
            raise UsageError("the organisation is not known yet: run csflow advance once")
        if said not in ("organisation", row.key):
            raise UsageError(f"'{said}' is not the organisation: write organisation")
        return Meant("organisation", row.id, row.key, None)
    return _contract(connection, said) if kind == "contract" else _one_of(connection, kind, said)


def find_case(connection: Connection, definition: Definition, said: str) -> Meant:
    """The case written ``flow/SUBJECT/number``; UsageError with the nearest flow or subject, or the cases there are."""
    return _case(connection, definition, said, parts_of_case(said))


def _case(connection: Connection, definition: Definition, said: str, parts: tuple[str, str, int]) -> Meant:
    flow_name, subject_key, number = parts
    flow = definition.flows.get(flow_name)
    if flow is None:
        raise UsageError(f"no flow '{flow_name}'{near(flow_name, definition.flows)}")
    subject = find_subject(connection, subject_key, flow.subject)
    rows = connection.execute(
        select(t.case.c.id, t.case.c.number, t.case.c.customer)
        .where(t.case.c.flow == flow_name, t.case.c.subject == subject.id)
        .order_by(t.case.c.number)
    ).all()
    for row in rows:
        if row.number == number:
            return Meant("case", row.id, said, row.customer, flow_name)
    there = f"there are {', '.join(f'{flow_name}/{subject.key}/{row.number}' for row in rows[-5:])}"
    raise UsageError(f"no case '{said}': {there if rows else f'{subject.key} has none of that flow'}")


def find_meant(connection: Connection, definition: Definition, said: str) -> Meant:
    """A case if it is written as one, else a subject."""
    if is_case(said):
        return find_case(connection, definition, said)
    try:
        return find_subject(connection, said)
    except UsageError:
        flow, _, subject = said.partition("/")
        if not subject or flow not in definition.flows:
            raise
    return _case(connection, definition, said, (flow, subject, 0))  # a case without its number: told with those there


def is_case(said: str) -> bool:
    """Whether an id is written like a case: ``flow/SUBJECT/number``."""
    head, _, rest = said.partition("/")
    subject, slash, number = rest.rpartition("/")
    return bool(slash and subject) and number.isdecimal() and ":" not in head


def parts_of_case(said: str) -> tuple[str, str, int]:
    """Flow, subject and number of a case's id; UsageError when it is not written like one."""
    flow, _, rest = said.partition("/")
    subject, _, number = rest.rpartition("/")
    if not (flow and subject and number.isdecimal()):
        raise UsageError(f"'{said}' is not a case: write flow/SUBJECT/number, e.g. lifecycle/C-1/1")
    return flow, subject, int(number)


def _one_of(connection: Connection, kind: str, key: str) -> Meant:
    table: Any = getattr(t, kind)
    row = connection.execute(select(table).where(table.c.key == key)).first()
    if row is None:
        raise UsageError(f"no {kind} '{key}'{near_key(connection, table, key)}")
    return Meant(kind, row.id, row.key, row.id if kind == "customer" else getattr(row, "customer", None))


def _contract(connection: Connection, said: str) -> Meant:
    """A contract's id is unique for one customer only."""
    c, owner = t.contract.c, t.customer.c
    joined = select(c.id, c.key, c.customer, owner.key.label("owner")).join(t.customer, owner.id == c.customer)
    rows = connection.execute(joined.where(c.key == said).order_by(owner.key).limit(6)).all()
    cuts = [place for place, letter in enumerate(said) if letter == "/"] if not rows else []
    for cut in cuts:
        rows = rows or connection.execute(joined.where(owner.key == said[:cut], c.key == said[cut + 1 :])).all()
    if not rows:
        raise UsageError(f"no contract '{said}'{near_key(connection, t.contract, said)}")
    if len(rows) > 1:
        names = ", ".join(f"{row.owner}/{row.key}" for row in rows)
        raise UsageError(f"several customers have a contract '{said}', say whose: {names}")
    return Meant("contract", rows[0].id, f"{rows[0].owner}/{rows[0].key}", rows[0].customer)


def near_ids(connection: Connection, table: Any, key: str) -> list[str]:
    """Ids of a kind of subject that stand before and after this one in their order: few, however many there are."""
    after = select(table.c.key).where(table.c.key >= key).order_by(table.c.key).limit(NEAR)
    before = select(table.c.key).where(table.c.key < key).order_by(table.c.key.desc()).limit(NEAR)
    return [*connection.execute(after).scalars(), *connection.execute(before).scalars()]


def near_key(connection: Connection, table: Any, key: str) -> str:
    """The end of a message with the nearest id of a table: looked for around where it would stand, not in all."""
    return near(key, {one for said in {key, key.upper(), key.lower()} for one in near_ids(connection, table, said)})
