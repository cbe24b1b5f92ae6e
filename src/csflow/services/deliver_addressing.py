"""Who a message goes to: a role becomes the people who fill it, once, so that every repeat goes to the same."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from csflow.flow.definition import Definition
from csflow.hookspecs import Recipient
from csflow.services.messages import in_language
from csflow.store import tables as t
from csflow.store.insertion import among, insert_into
from csflow.store.opening import Store

CHUNK = 500
COPIED = ("case", "seq", "party", "verb", "recipient", "message", "via", "body", "at", "status")


def address(store: Store, definition: Definition) -> list[tuple[Any, str]]:
    """Give every message that is to go out its addressee; those that have none are dead: each with the reason."""
    dead: list[tuple[Any, str]] = []
    o = t.outbox.c
    statement = select(t.outbox).where(o.status == "pending", o.turn.is_(None)).order_by(o.id).limit(CHUNK)
    while True:
        with store.writing() as connection:
            rows = connection.execute(statement.with_for_update(skip_locked=True)).all()
            if not rows:
                return dead
            dead += _address(connection, definition, rows)


def _address(connection: Connection, definition: Definition, rows: Sequence[Any]) -> list[tuple[Any, str]]:
    owners = _owners(connection, rows)
    addressed: list[dict[str, Any]] = []
    copies: list[dict[str, Any]] = []
    dead: list[tuple[Any, str]] = []
    for row in rows:
        found = _addressees(definition, row, owners)
        if not found:
            reason = f"nobody fills the role '{row.recipient.partition(':')[2]}' for this case"
            dead.append((row, reason))
            continue
        addressed.append({"own": row.id, "new": found[0]})
        for person in found[1:]:
            copied = {name: getattr(row, name) for name in COPIED}
            copied |= {"effect_id": _copy_id(row.effect_id, person), "addressee": person, "turn": row.id, "tries": 0}
            copies.append(copied)
    o = t.outbox.c
    if addressed:
        mine = update(t.outbox).where(o.id == bindparam("own"))
        connection.execute(mine.values(addressee=bindparam("new"), turn=o.id), addressed)
    if copies:
        connection.execute(insert_into(connection, t.outbox).on_conflict_do_nothing(), copies)
    if dead:
        connection.execute(
            update(t.outbox).where(o.id == bindparam("own")).values(status="dead", error=bindparam("why")),
            [{"own": row.id, "why": reason} for row, reason in dead],
        )
    return dead


def _copy_id(effect_id: str, person: str) -> str:
    return hashlib.sha256(f"{effect_id}\x1f{person}".encode()).hexdigest()


def _owners(connection: Connection, rows: Iterable[Any]) -> dict[tuple[int, str], str]:
    """(case, role) → who fills the role for the case's customer."""
    cases = sorted({row.case for row in rows if (row.recipient or "").startswith("role:")})
    if not cases:
        return {}
    a = t.assignment.c
    joined = select(t.case.c.id, a.role, a.person).join(t.assignment, a.customer == t.case.c.customer)
    found = connection.execute(joined.where(among(t.case.c.id, cases)))
    return {(case, role): person for case, role, person in found}


def _addressees(definition: Definition, row: Any, owners: Mapping[tuple[int, str], str]) -> list[str]:
    kind, _, name = (row.recipient or "").partition(":")
    if kind != "role":
        return [row.recipient]
    owner = owners.get((row.case, name))
    if owner is not None:
        return [f"person:{owner}"]
    return [f"person:{person.id}" for person in definition.people.values() if name in person.roles]


def recipients(connection: Connection, definition: Definition, wanted: Iterable[str]) -> dict[str, Recipient]:
    """``person:li`` or ``contact:P-1`` → who that is and how to reach them; addresses as written, ``$NAME`` too."""
    by_kind: dict[str, set[str]] = defaultdict(set)
    for addressee in wanted:
        kind, _, name = addressee.partition(":")
        by_kind[kind].add(name)
    found: dict[str, Recipient] = {}
    language = next(iter(definition.languages), "")
    rows = select(t.person.c.key, t.person.c.name, t.person.c.mail).where(t.person.c.key.in_(sorted(by_kind["person"])))
    known = {row.key: row for row in connection.execute(rows)}
    for key in by_kind["person"]:
        person, row = definition.people.get(key), known.get(key)
        written = dict(person.extra.get("address") or {}) if person is not None else {}
        if row is not None and row.mail and "mail" not in written:
            written["mail"] = row.mail
        name = in_language(person.label, language) if person is not None else ""
        found[f"person:{key}"] = Recipient("person", key, name or (row.name if row is not None else None), written)
    c = t.contact.c
    contacts = select(c.key, c.name, c.mail, c.phone, c.post).where(c.key.in_(sorted(by_kind["contact"])))
    for one in connection.execute(contacts):
        ways = {"mail": one.mail, "phone": one.phone, "post": one.post}
        written = {way: value for way, value in ways.items() if value}
        found[f"contact:{one.key}"] = Recipient("contact", one.key, one.name, written)
    return found
