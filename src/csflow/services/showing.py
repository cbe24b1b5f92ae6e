"""What is known of one customer and of one case, and a customer's whole file in the order of time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from csflow.services.acting import Act, acting, freshen
from csflow.services.meaning import Meant, find_case, find_customer
from csflow.services.stating import shown
from csflow.services.tasking import Wanted, list_tasks
from csflow.services.views import View, see
from csflow.store import tables as t
from csflow.store.names import subject_names
from csflow.values import Instant, day_text, money_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from csflow.flow.definition import Definition, Field
    from csflow.flow.types import Type
    from csflow.services.work import Work
    from csflow.store.opening import Store

TAIL = 10  # entries of a case's history that are shown with it


def show_case(store: Store, definition: Definition, case: str, *, now: Instant) -> dict[str, Any]:
    """A case: stage, since when, fields, milestones, deadlines, tasks, the last entries of its history."""
    with store.reading() as connection:
        view = see(connection, definition, now)
        meant = find_case(connection, definition, case)
        row = connection.execute(select(t.case).where(t.case.c.id == meant.id)).one()
        flow, text = definition.flows[row.flow], view.zone.text
        stage = flow.stages.get(row.stage)
        role = (stage.responsible if stage is not None else None) or flow.responsible
        found = {
            "case": meant.key,
            "flow": row.flow,
            "stage": row.stage,
            "end": row.ended,
            "opened_at": text(row.opened_at),
            "entered_at": text(row.entered_at),
            "ended_at": _text(view, row.ended_at),
            "clock": day_text(row.clock) if row.clock is not None else None,
            "waiting": bool(row.waiting),
            "responsible": role,
            "owner": _owner(connection, row.customer, role),
            "fields": _fields(connection, view, fields=flow.fields, owner=row.flow, subject=row.id),
            "milestones": _milestones(connection, view, row),
            "deadlines": _deadlines(connection, view, row.id),
            "history": case_history(connection, view, row.id)[-TAIL:],
        }
    return found | {"tasks": list_tasks(store, definition, Wanted(case=case, everything=True), now=now)}


def _text(view: View, at: Instant | None) -> str | None:
    return None if at is None else view.zone.text(at)


def _owner(connection: Connection, customer: int | None, role: str | None) -> str | None:
    a = t.assignment.c
    return connection.execute(select(a.person).where(a.customer == customer, a.role == role)).scalar()


def _fields(
    connection: Connection, view: View, *, fields: Mapping[str, Field], owner: str, subject: int
) -> dict[str, Any]:
    """Every declared field with its value, None where it is unknown."""
    numbers = {view.book.number("field", f"{owner}.{name}"): name for name in fields}
    v = t.field_value.c
    rows = connection.execute(select(t.field_value).where(v.field.in_(sorted(numbers)), v.subject == subject))
    values = {numbers[row.field]: row.number if row.text is None else row.text for row in rows}
    return {name: shown(values.get(name), one.type, view) for name, one in fields.items()}


def _milestones(connection: Connection, view: View, row: Any) -> dict[str, str | None]:
    """The milestones of the flow and of the present stay, and when they were reached."""
    flow, m = view.definition.flows[row.flow], t.milestone.c
    stage = flow.stages.get(row.stage)
    names = [*flow.milestones, *(stage.milestones if stage is not None else ())]
    found = connection.execute(select(m.name, m.at).where(m.case == row.id, m.stay.in_((0, row.stay))))
    reached = {one.name: view.zone.text(one.at) for one in found}
    return {name: reached.get(name) for name in names}


def _deadlines(connection: Connection, view: View, case: int) -> list[dict[str, Any]]:
    d = t.deadline.c
    rows = connection.execute(select(t.deadline).where(d.case == case, d.dropped == 0).order_by(d.run, d.due, d.name))
    return [
        {
            "deadline": row.name,
            "due": _text(view, row.due),
            "met": _text(view, row.met),
            "missed": _text(view, row.missed),
            "person": row.person,
            "stopped": _text(view, row.stopped),
        }
        for row in rows
    ]


def case_history(connection: Connection, view: View, case: int) -> list[dict[str, Any]]:
    """The entries of a case in their order."""
    rows = connection.execute(select(t.history).where(t.history.c.case == case).order_by(t.history.c.seq))
    return [history_entry(view, row) for row in rows]


def history_entry(view: View, row: Any) -> dict[str, Any]:
    """An entry of history as people and JSON read it; a clock's new day as a date."""
    because = json.loads(row.because) if row.because else []
    is_day = row.kind == "clock" and (row.target or "").lstrip("-").isdigit()
    target = day_text(int(row.target)) if is_day else row.target
    found = {"at": view.zone.text(row.at), "kind": row.kind, "actor": row.actor}
    return found | {"from": row.source, "to": target, "place": row.place, "because": because}


def show_customer(store: Store, definition: Definition, act: Act, *, customer: str) -> dict[str, Any]:
    """Core facts, contracts, contacts, fields, roles, metrics with their age, cases. Nothing is changed by looking."""
    with acting(store, definition, Act(act.actor, act.recorded, act.at, dry_run=True)) as work:
        connection, view = work.connection, work.view
        meant = find_customer(connection, customer)
        freshen(work, meant.id)
        row = connection.execute(select(t.customer).where(t.customer.c.id == meant.id)).one()
        fields = definition.fields.get("customer", {})
        return {
            "customer": row.key,
            "name": row.name,
            "signed_on": _day(row.signed_on),
            "amount": money_text(row.amount, definition.currency) if row.amount is not None else None,
            "contract": _contract_key(connection, row.contract),
            "contracts": _contracts(connection, view, meant.id),
            "contacts": _contacts(connection, view, meant.id),
            "roles": _roles(connection, meant.id),
            "fields": _fields(connection, view, fields=fields, owner="customer", subject=meant.id),
            "metrics": _metrics(work, meant, row.contract),
            "cases": _cases(work, meant),
        }


def _day(day: int | None) -> str | None:
    return None if day is None else day_text(day)


def _contract_key(connection: Connection, contract: int | None) -> str | None:
    return connection.execute(select(t.contract.c.key).where(t.contract.c.id == contract)).scalar()


def _contracts(connection: Connection, view: View, customer: int) -> list[dict[str, Any]]:
    c, own = t.contract.c, view.definition.currency
    rows = connection.execute(select(t.contract).where(c.customer == customer).order_by(c.starts_on, c.key))
    declared = view.definition.fields.get("contract", {})
    return [
        {
            "contract": row.key,
            "product": row.product,
            "starts_on": _day(row.starts_on),
            "ends_on": _day(row.ends - 1) if row.ends is not None else None,
            "amount": money_text(row.amount, row.currency or own) if row.amount is not None else None,
            "replaces": row.replaces,
            "fields": _fields(connection, view, fields=declared, owner="contract", subject=row.id),
        }
        for row in rows.all()
    ]


def _contacts(connection: Connection, view: View, customer: int) -> list[dict[str, Any]]:
    c = t.contact.c
    rows = connection.execute(select(t.contact).where(c.customer == customer).order_by(c.key)).all()
    declared = view.definition.fields.get("contact", {})
    return [
        {
            "contact": row.key,
            "name": row.name,
            "post": row.post,
            "left": bool(row.left),
            "fields": _fields(connection, view, fields=declared, owner="contact", subject=row.id),
        }
        for row in rows
    ]


def _roles(connection: Connection, customer: int) -> dict[str, str]:
    a = t.assignment.c
    rows = connection.execute(select(a.role, a.person).where(a.customer == customer).order_by(a.role))
    return {row.role: row.person for row in rows}


def _metrics(work: Work, meant: Meant, contract: int | None) -> dict[str, Any]:
    """Each metric of the customer and of its contract: value, when it was measured, whether that is too long ago."""
    view, m = work.view, t.measurement.c
    found: dict[str, Any] = {}
    wanted = {"customer": meant.id, "contract": contract}
    for metric in view.definition.metrics.values():
        if wanted.get(metric.subject) is None:
            continue
        number = view.book.number("metric", metric.name)
        mine = (m.metric == number, m.subject == wanted[metric.subject])
        row = work.connection.execute(select(t.measurement).where(*mine)).first()
        value = None if row is None else row.number if row.text is None else row.text
        found[metric.name] = {
            "value": shown(value, metric.type, view),
            "measured": _text(view, row.known) if row is not None else None,
            "stale": metric.name in view.moment.stale,
        }
    return found


def _cases(work: Work, meant: Meant) -> list[dict[str, Any]]:
    c = t.case.c
    rows = work.connection.execute(select(c.id, c.flow).where(c.customer == meant.id)).all()
    work.load(row.id for row in rows if row.flow in work.view.definition.flows)
    cases = sorted(work.rows.values(), key=lambda row: (row.ended is not None, row.opened_at, row.flow, row.number))
    return [
        {
            "case": work.name(row),
            "stage": row.stage,
            "since": work.view.zone.text(row.entered_at),
            "end": row.ended,
        }
        for row in cases
    ]


def customer_file(
    store: Store, definition: Definition, customer: str, *, now: Instant, since: Instant | None = None
) -> list[dict[str, Any]]:
    """All that happened with a customer up to a moment, oldest first: {"at", "kind", "what", "actor", …}.

    Activities, entries of its cases, changes of its fields and owners, contracts begun and ended, survey answers.
    """
    with store.reading() as connection:
        view = see(connection, definition, now)
        meant = find_customer(connection, customer)
        entries = [
            *_activities(connection, meant.id),
            *_case_entries(connection, view, meant.id),
            *_changes(connection, view, meant),
            *_terms(connection, view, meant.id),
            *_answers(connection, view, meant.id),
        ]
        kept = [entry for entry in entries if (since is None or entry[0] >= since) and entry[0] <= now]
        kept.sort(key=lambda entry: entry[0])  # stable: entries of one moment keep the order of their own list
        return [{"at": view.zone.text(at), **entry} for at, entry in kept]


Entry = tuple[Instant, dict[str, Any]]


def _activities(connection: Connection, customer: int) -> list[Entry]:
    a = t.activity.c
    joined = select(t.activity, t.contact.c.key.label("met_with")).outerjoin(t.contact, t.contact.c.id == a.contact)
    rows = connection.execute(joined.where(a.customer == customer).order_by(a.at, a.ref))
    return [
        (
            row.at,
            {
                "kind": "activity",
                "what": row.kind,
                "actor": row.person,
                "contact": row.met_with,
                "note": row.note,
            },
        )
        for row in rows
    ]


def _case_entries(connection: Connection, view: View, customer: int) -> list[Entry]:
    """The histories of the customer's cases, with what was said when a task was done."""
    flows, found = view.definition.flows, []
    for row in connection.execute(select(t.case).where(t.case.c.customer == customer).order_by(t.case.c.id)).all():
        kind = flows[row.flow].subject if row.flow in flows else "customer"
        key = subject_names(connection, kind, [row.subject]).get(row.subject)
        case = f"{row.flow}/{key}/{row.number}"
        k = t.task.c
        said = connection.execute(select(k.name, k.done_at, k.comment).where(k.case == row.id, k.comment.is_not(None)))
        comments = {(one.name, one.done_at): one.comment for one in said}
        for entry in connection.execute(select(t.history).where(t.history.c.case == row.id).order_by(t.history.c.seq)):
            what = {"kind": entry.kind, "what": entry.target, "actor": entry.actor, "case": case, "place": entry.place}
            if entry.kind == "moved":
                what["from"] = entry.source
            if entry.kind == "task" and (entry.target, entry.at) in comments:
                what["note"] = comments[(entry.target, entry.at)]
            found.append((entry.at, what))
    return found


def _changes(connection: Connection, view: View, meant: Meant) -> list[Entry]:
    """Each time a field of the customer, of its contracts or contacts, or an owner became another."""
    found: list[Entry] = []
    for kind, subjects in _subjects(connection, meant).items():
        for name, one in view.definition.fields.get(kind, {}).items():
            number = view.book.number("field", f"{kind}.{name}")
            for subject, key in subjects.items():
                now = _current(connection, number, subject)
                label = f"{kind}.{name}" if kind == "customer" else f"{kind}:{key}.{name}"
                found += _versions(connection, view, (number, subject, label), one.type, now)
    found += _core_changes(connection, meant)
    return found


def _subjects(connection: Connection, meant: Meant) -> dict[str, dict[int, str]]:
    found = {"customer": {meant.id: meant.key}}
    for table in (t.contract, t.contact):
        rows = connection.execute(
            select(table.c.id, table.c.key).where(table.c.customer == meant.id).order_by(table.c.key)
        )
        found[table.name] = {row.id: row.key for row in rows}
    return found


def _current(connection: Connection, number: int, subject: int) -> tuple[Any, Instant] | None:
    v = t.field_value.c
    row = connection.execute(select(t.field_value).where(v.field == number, v.subject == subject)).first()
    return None if row is None else (row.number if row.text is None else row.text, row.stated)


def _versions(
    connection: Connection, view: View, place: tuple[int, int, str], kind: Type, now: tuple[Any, Instant] | None
) -> list[Entry]:
    """The changes of one value: the log holds what it was before each, and who changed it."""
    number, subject, label = place
    log = t.field_log.c
    rows = connection.execute(
        select(t.field_log).where(log.field == number, log.subject == subject).order_by(log.id)
    ).all()
    if now is None:
        return []
    values = [(row.number if row.text is None else row.text, row.stated) for row in rows] + [now]
    actors = [None, *(row.actor for row in rows)]
    found: list[Entry] = []
    for place_in_row, ((value, stated), actor) in enumerate(zip(values, actors, strict=True)):
        if value is None and place_in_row == 0:
            continue  # nothing was known before the first word
        what = {"kind": "field", "what": label, "actor": actor, "value": shown(value, kind, view)}
        found.append((stated, what))
    return found


def _core_changes(connection: Connection, meant: Meant) -> list[Entry]:
    """Who entered the customer by hand, renamed it or became its owner."""
    log, names = t.field_log.c, t.name.c
    mine = (names.kind == "field", log.subject == meant.id)
    own = names.name.in_(("customer.id", "customer.name", "customer.signed_on")) | names.name.like("role.%")
    rows = connection.execute(
        select(t.field_log, names.name).join(t.name, names.id == log.field).where(*mine, own).order_by(log.id)
    ).all()
    found: list[Entry] = []
    for row in rows:
        if row.name == "customer.id":
            found.append((row.stated, {"kind": "entered", "what": meant.key, "actor": row.actor}))
            continue
        later = [one for one in rows if one.name == row.name and one.id > row.id]
        value = _plain(later[0]) if later else _now_of(connection, meant, row.name)
        if isinstance(value, float | int):
            value = day_text(int(value))
        found.append((row.stated, {"kind": "field", "what": row.name, "actor": row.actor, "value": value}))
    return found


def _plain(row: Any) -> Any:
    return row.number if row.text is None else row.text


def _now_of(connection: Connection, meant: Meant, name: str) -> Any:
    head, _, rest = name.partition(".")
    if head == "role":
        return _owner(connection, meant.id, rest)
    return connection.execute(select(t.customer.c[rest]).where(t.customer.c.id == meant.id)).scalar()


def _terms(connection: Connection, view: View, customer: int) -> list[Entry]:
    """Contracts that began and ended, and the day the customer signed."""
    found: list[Entry] = []
    signed = connection.execute(select(t.customer.c.signed_on).where(t.customer.c.id == customer)).scalar()
    if signed is not None:
        found.append((view.zone.start_of(signed), {"kind": "signed", "what": "customer", "actor": None}))
    for one in _contracts(connection, view, customer):
        c = t.contract.c
        row = connection.execute(
            select(c.starts_on, c.ends).where(c.customer == customer, c.key == one["contract"])
        ).one()
        about = {"what": one["contract"], "actor": None, "product": one["product"], "amount": one["amount"]}
        found.append((view.zone.start_of(row.starts_on), {"kind": "contract begins", **about}))
        if row.ends is not None:
            found.append((view.zone.end_of(row.ends - 1), {"kind": "contract ends", **about}))
    return found


def _answers(connection: Connection, view: View, customer: int) -> list[Entry]:
    a = t.answer.c
    joined = select(t.answer, t.contact.c.key.label("met_with")).outerjoin(t.contact, t.contact.c.id == a.contact)
    rows = connection.execute(joined.where(a.customer == customer).order_by(a.day, a.question, a.ref))
    found: list[Entry] = []
    for row in rows:
        what = {
            "kind": "answer",
            "what": row.question,
            "actor": None,
            "contact": row.met_with,
            "value": _plain(row),
        }
        found.append((view.zone.start_of(row.day), what))
    return found


__all__ = ["case_history", "customer_file", "show_case", "show_customer"]
