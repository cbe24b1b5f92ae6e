"""Customers by hand: entered, changed, handed over; activities noted; a contact's personal data erased."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, and_, delete, insert, or_, select, update

from csflow.errors import RefusedError, UsageError
from csflow.flow.types import DATE, TEXT, Type
from csflow.services.acting import Act, acting, freshen
from csflow.services.erased import chosen_questions, free_fields, mentions, names_of
from csflow.services.importing_values import fingerprint, key
from csflow.services.meaning import Meant, find_customer, find_subject, near
from csflow.services.stating import field_of, known_person, plain, stored
from csflow.store import tables as t
from csflow.store.erased import ERASE, FREE, PERSONAL
from csflow.store.insertion import insert_into
from csflow.store.names import name_id
from csflow.store.touching import last_pass, touch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from csflow.flow.definition import Definition, Field
    from csflow.services.work import Work
    from csflow.store.opening import Store
    from csflow.values import Day

CORE: dict[str, Type] = {"name": TEXT, "signed_on": DATE}  # what people may say of a customer without declaring it


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody says of a customer: core facts and declared fields, and who fills which role for it."""

    fields: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """An activity that took place with a customer: its kind, the contact it was with, what is to be remembered."""

    customer: str
    kind: str
    contact: str | None = None
    note: str | None = None


def add_customer(store: Store, definition: Definition, act: Act, *, customer: str, said: Said) -> dict[str, Any]:
    """Enter a customer. RefusedError when the id is there already."""
    with acting(store, definition, act) as work:
        try:
            own = key(customer)
        except ValueError as error:
            raise UsageError(f"{error}") from None
        if own is None:
            raise UsageError("a customer needs an id")
        there = select(t.customer.c.id).where(t.customer.c.key == own)
        if work.connection.execute(there).first() is not None:
            raise RefusedError(f"customer '{own}' is there already: csflow customer set {own} changes it")
        row = insert(t.customer).values(key=own, happened=0).returning(t.customer.c.id)
        meant = Meant("customer", number := work.connection.execute(row).scalar_one(), own, number)
        _note(work, "customer.id", number, None)
        _state(work, meant, said, first=True)
        return _result(work, act, meant, said)


def set_customer(store: Store, definition: Definition, act: Act, *, customer: str, said: Said) -> dict[str, Any]:
    """Change what is known of a customer, or who fills a role for it."""
    if not said.fields and not said.roles:
        raise UsageError("nothing to set: write field=value, or --role role=person")
    with acting(store, definition, act) as work:
        meant = find_customer(work.connection, customer)
        _state(work, meant, said, first=False)
        return _result(work, act, meant, said)


def _result(work: Work, act: Act, meant: Meant, said: Said) -> dict[str, Any]:
    work.flush()
    freshen(work, meant.id)
    return {
        "at": work.view.zone.text(work.view.now),
        "dry_run": act.dry_run,
        "customer": meant.key,
        "fields": sorted(said.fields),
        "roles": dict(sorted(said.roles.items())),
    }


def _state(work: Work, meant: Meant, said: Said, *, first: bool) -> None:
    declared = work.view.definition.fields.get("customer", {})
    core = {name: text for name, text in said.fields.items() if name in CORE and name not in declared}
    for name, text in said.fields.items():
        if name in core:
            continue
        if name == "id":
            raise UsageError("a customer's id cannot be changed: everything is known by it")
        wanted = _declared(declared, name)
        value = stored(work.connection, work.view, kind=wanted.type, name=f"customer.{name}", text=text)
        work.set_field(f"customer.{name}", meant.id, plain(value), wanted.type, work.view.now)
        if first:  # as in a first import: it has always been so
            work.fields[-1].happened = 0
    if core:
        _set_core(work, meant, core, keep=not first)
    for role, person in said.roles.items():
        _assign(work, meant, role, person)
    _touch(work, meant.id, work.view.zone.day_of(work.view.now))


def _declared(declared: Mapping[str, Field], name: str) -> Field:
    known = {**declared, **dict.fromkeys(CORE)}
    if name not in declared and (hint := near(name, known)):
        raise UsageError(f"customer has no field '{name}'{hint}")
    return field_of(declared, name, "customer")


def _set_core(work: Work, meant: Meant, said: Mapping[str, str], *, keep: bool) -> None:
    values: dict[str, Any] = {}
    for name, text in said.items():
        value = plain(stored(work.connection, work.view, kind=CORE[name], name=f"customer.{name}", text=text))
        values[name] = value if value is None or name == "name" else int(value)
    if "signed_on" in values:
        values["happened"] = values["signed_on"] or 0
    former = work.connection.execute(select(t.customer).where(t.customer.c.id == meant.id)).mappings().one()
    changed = {name: value for name, value in values.items() if former[name] != value}
    if not changed:
        return
    if keep:
        keep_row(work, "customer", dict(former))
    for name in changed:
        if name in CORE:
            _note(work, f"customer.{name}", meant.id, former[name])
    work.connection.execute(update(t.customer).where(t.customer.c.id == meant.id).values(**changed))


def keep_row(work: Work, kind: str, row: dict[str, Any]) -> None:
    """Keep a row as it was until now, before it changes."""
    body = {name: value for name, value in row.items() if name != "id"}
    kept = {"kind": kind, "row": row["id"], "body": json.dumps(body, ensure_ascii=False), "until": work.view.now}
    work.connection.execute(insert(t.row_log).values(**kept))


def _note(work: Work, name: str, subject: int, former: Any) -> None:
    """Note who changed something of a customer that is no declared field, and what it was before."""
    number = name_id(work.connection, "field", name)
    value = {"number": None, "text": former} if isinstance(former, str) else {"number": former, "text": None}
    row = {"field": number, "subject": subject, "happened": 0, "stated": work.view.now, "actor": work.actor, **value}
    work.connection.execute(insert(t.field_log).values(**row))


def _assign(work: Work, meant: Meant, role: str, person: str) -> None:
    """Let somebody fill a role for a customer; tasks of that role that the former owner has not done go with it."""
    definition = work.view.definition
    if role not in definition.roles:
        raise UsageError(f"no role '{role}'{near(role, definition.roles)}")
    a = t.assignment.c
    mine = (a.customer == meant.id, a.role == role)
    former = work.connection.execute(select(a.person).where(*mine)).scalar()
    new = known_person(work.connection, definition, person) if person else None
    if former == new:
        return
    _note(work, f"role.{role}", meant.id, former)
    if new is None:
        work.connection.execute(delete(t.assignment).where(*mine))
    else:
        statement = insert_into(work.connection, t.assignment).values(customer=meant.id, role=role, person=new)
        changed = {"person": statement.excluded.person, "word": None}  # people decided: csflow leaves it alone
        work.connection.execute(statement.on_conflict_do_update(index_elements=["customer", "role"], set_=changed))
    cases = select(t.case.c.id).where(t.case.c.customer == meant.id)
    k = t.task.c
    held = k.person.is_(None) if former is None else k.person == former
    open_ones = (k.case.in_(cases), k.role == role, k.done_at.is_(None), held)
    work.connection.execute(update(t.task).where(*open_ones).values(person=new))


def _touch(work: Work, customer: int, day: Day) -> None:
    """Ask for the customer again: at once, or, where a pass has not come so far, from the day it happened."""
    seen = last_pass(work.connection)
    later = seen is not None and day > work.view.zone.day_of(seen)
    touch(work.connection, "customer", [customer], day=day if later else 0)


def add_activity(store: Store, definition: Definition, act: Act, done: Done) -> dict[str, Any]:
    """Note a visit, a call … RefusedError when the very same is noted already."""
    if done.kind not in definition.activities:
        known = ", ".join(definition.activities) or "none: declare them under activities:"
        hint = near(done.kind, definition.activities) or f": there are {known}"
        raise UsageError(f"no kind of activity '{done.kind}'{hint}")
    with acting(store, definition, act) as work:
        meant = find_customer(work.connection, done.customer)
        contact = _contact(work, meant, done.contact) if done.contact is not None else None
        at, zone = work.view.now, work.view.zone
        ref = fingerprint(meant.key, done.contact, done.kind, at, act.actor)
        row = {
            "customer": meant.id, "contact": contact, "kind": done.kind, "at": at, "person": act.actor,
            "note": done.note, "source": name_id(work.connection, "source", "by hand"), "ref": ref,
        }  # fmt: skip
        statement = insert_into(work.connection, t.activity).values(**row)
        written = statement.on_conflict_do_nothing().returning(t.activity.c.id)
        if work.connection.execute(written).first() is None:
            raise RefusedError(f"{done.kind} of {meant.key} at {zone.text(at)} by {act.actor} is noted already")
        _touch(work, meant.id, zone.day_of(at))
        found = {"customer": meant.key, "kind": done.kind, "contact": done.contact, "person": act.actor}
        return {"at": zone.text(at), "dry_run": act.dry_run, **found}


def _contact(work: Work, meant: Meant, said: str) -> int:
    found = find_subject(work.connection, said, "contact")
    if found.customer != meant.id:
        raise UsageError(f"contact '{said}' is not one of {meant.key}")
    return found.id


def erase_contact(store: Store, definition: Definition, act: Act, *, contact: str) -> dict[str, Any]:
    """Blank what says who a contact is, former versions included; history, counts and choices stay as they are.

    Imports bring none of it back (`store.erased`). ``mentions`` counts other texts about its customer that still hold
    its name, mail or phone: whether they may stay is for people to say.
    """
    with acting(store, definition, act) as work:
        meant = find_subject(work.connection, contact, "contact")
        connection = work.connection
        names = names_of(connection, meant.id)
        blanked = {
            "contact": _blank_row(connection, meant.id),
            "fields": _blank_fields(work, meant.id),
            "notes": _blank_activities(connection, meant.id),
            "answers": _blank_answers(work, meant.id),
            "reasons": _blank_reasons(work, meant.id),
            "comments": _blank_comments(work, meant.id),
            "words": _blank_words(work, meant.id),
        }
        summary = json.dumps({"contact": meant.key, "actor": act.actor}, ensure_ascii=False)
        row = {"verb": ERASE, "as_of": work.view.now, "recorded": act.recorded, "finished": 1, "summary": summary}
        connection.execute(insert(t.run).values(**row))
        if meant.customer is not None:
            _touch(work, meant.customer, work.view.zone.day_of(work.view.now))
        return {
            "at": work.view.zone.text(work.view.now),
            "dry_run": act.dry_run,
            "erased": meant.key,
            "blanked": blanked,
            "mentions": {} if meant.customer is None else mentions(connection, work.view, meant.customer, names),
        }


def _blank_row(connection: Connection, contact: int) -> int:
    """The contact's own row, and what is kept of its former versions."""
    nothing = dict.fromkeys(PERSONAL)
    connection.execute(update(t.contact).where(t.contact.c.id == contact).values(**nothing))
    return 1 + _blank_bodies(connection, "contact", [contact], nothing)


def _blank_bodies(connection: Connection, kind: str, ids: list[int], nothing: dict[str, None]) -> int:
    log = t.row_log.c
    rows = connection.execute(select(log.id, log.body).where(log.kind == kind, log.row.in_(ids))).all()
    for row in rows:
        body = json.dumps(json.loads(row.body) | nothing, ensure_ascii=False)
        connection.execute(update(t.row_log).where(log.id == row.id).values(body=body))
    return len(rows)


def _blank_fields(work: Work, contact: int) -> int:
    """Free text of the contact's fields, and of the cases that are about it."""
    definition, book, blanked = work.view.definition, work.view.book, 0
    groups = [(definition.fields.get("contact", {}), "contact", [contact])]
    for flow in definition.flows.values():
        if flow.subject == "contact":
            cases = select(t.case.c.id).where(t.case.c.flow == flow.name, t.case.c.subject == contact)
            groups.append((flow.fields, flow.name, list(work.connection.execute(cases).scalars())))
    for fields, owner, ids in groups:
        numbers = [book.number("field", f"{owner}.{one.name}") for one in fields.values() if one.type.name in FREE]
        for table in (t.field_value, t.field_log):
            c = table.c
            mine = (c.field.in_(numbers), c.subject.in_(ids), c.text.is_not(None))
            blanked += work.connection.execute(update(table).where(*mine).values(text=None)).rowcount
    return blanked


def _blank_activities(connection: Connection, contact: int) -> int:
    a = t.activity.c
    ids = list(connection.execute(select(a.id).where(a.contact == contact)).scalars())
    _blank_bodies(connection, "activity", ids, {"note": None})
    written = update(t.activity).where(a.contact == contact, a.note.is_not(None)).values(note=None)
    return connection.execute(written).rowcount


def _blank_answers(work: Work, contact: int) -> int:
    """Answers in free words; a choice is a figure and stays."""
    chosen = chosen_questions(work.view.definition)
    a = t.answer.c
    free = (a.contact == contact, a.text.is_not(None), a.question.not_in(sorted(chosen)))
    ids = list(work.connection.execute(select(a.id).where(*free)).scalars())
    _blank_bodies(work.connection, "answer", ids, {"text": None})
    return work.connection.execute(update(t.answer).where(a.id.in_(ids)).values(text=None)).rowcount


def _own_cases(work: Work, contact: int) -> Select[tuple[int]]:
    flows = [flow.name for flow in work.view.definition.flows.values() if flow.subject == "contact"]
    return select(t.case.c.id).where(t.case.c.flow.in_(flows), t.case.c.subject == contact)


def _blank_comments(work: Work, contact: int) -> int:
    """What was said when tasks of the contact's own cases were done."""
    k = t.task.c
    mine = (k.case.in_(_own_cases(work, contact)), k.comment.is_not(None))
    return work.connection.execute(update(t.task).where(*mine).values(comment=None)).rowcount


def _blank_words(work: Work, contact: int) -> int:
    """Free text that came with words said to the contact or to one of its cases, as an import would leave it out."""
    i, free, blanked = t.inbox.c, free_fields(work.view.definition), 0
    spoken = or_(
        and_(i.kind == "contact", i.subject == contact),
        and_(i.kind == "case", i.subject.in_(_own_cases(work, contact))),
    )
    for row in work.connection.execute(select(i.id, i.fields).where(spoken, i.fields.is_not(None))).all():
        said = json.loads(row.fields)
        kept = {name: value for name, value in said.items() if name not in free}
        if kept != said:
            body = json.dumps(kept, ensure_ascii=False, sort_keys=True) if kept else None
            work.connection.execute(update(t.inbox).where(i.id == row.id).values(fields=body))
            blanked += 1
    return blanked


def _blank_reasons(work: Work, contact: int) -> int:
    """What the history of the contact's own cases quotes of it as a reason."""
    definition, connection = work.view.definition, work.connection
    flows = [flow for flow in definition.flows.values() if flow.subject == "contact"]
    secret = {f"contact.{name}" for name in PERSONAL}
    secret |= {f"contact.{n}" for n, one in definition.fields.get("contact", {}).items() if one.type.name in FREE}
    secret |= {f"case.{n}" for flow in flows for n, one in flow.fields.items() if one.type.name in FREE}
    h = t.history.c
    mine = _own_cases(work, contact)
    blanked = 0
    for row in connection.execute(
        select(h.case, h.seq, h.because).where(h.case.in_(mine), h.because.is_not(None))
    ).all():
        reasons = json.loads(row.because)
        hits = [reason for reason in reasons if reason["fact"] in secret and reason["value"] is not None]
        if hits:
            for reason in hits:
                reason["value"] = "(erased)"
            changed = update(t.history).where(h.case == row.case, h.seq == row.seq)
            connection.execute(changed.values(because=json.dumps(reasons, ensure_ascii=False)))
            blanked += 1
    return blanked


__all__ = ["Done", "Said", "add_activity", "add_customer", "erase_contact", "set_customer"]
