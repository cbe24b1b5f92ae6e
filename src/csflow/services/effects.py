"""What rules make happen besides moves: tasks, messages, new cases, fields set, words said to other flows."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from typing import Any

from sqlalchemy import Executable, bindparam, func, select, update

from csflow.flow.definition import Effect, Flow
from csflow.flow.expressions import Expression
from csflow.services import deadlines, messages, moving
from csflow.services.parties import number_of
from csflow.services.work import Due, Work, encode, these
from csflow.store import as_of
from csflow.store import tables as t
from csflow.store.guards import Translator
from csflow.store.insertion import among
from csflow.store.questions import values_of
from csflow.store.reading import with_contacts

ROUNDS = 10  # of effects that open cases whose own effects open cases …


def perform(work: Work) -> None:
    """Write what is noted and let every effect noted with it happen, until none is left."""
    for _ in range(ROUNDS):
        work.flush()
        due, work.effects = work.effects, []
        if not due:
            return
        wanted = _wanted(work, due)
        for verb in (_tasks, _fields, _messages, _words, _open):
            verb(work, wanted)
    work.flush()


Wanted = list[tuple[Due, dict[str, Any]]]
HOLE = "{"  # before the text of a message's hole, among an effect's values


def _wanted(work: Work, due: list[Due]) -> Wanted:
    """The effects whose `when:` holds, with their computed values; one question for each effect of the definition."""
    groups: dict[tuple[str, str], list[Due]] = defaultdict(list)
    for one in due:
        groups[(one.row.flow, one.effect.place)].append(one)
    found: Wanted = []
    for (flow_name, _), members in groups.items():
        effect = members[0].effect
        flow = work.view.definition.flows[flow_name]
        asked = {f"v{i}": v for i, v in enumerate(effect.values.values()) if isinstance(v, Expression)}
        to_contacts = messages.subject_of(effect, flow) == "contact" and effect.target == "contact"
        holes = {} if to_contacts else messages.holes(work.view.definition, effect, flow)
        asked |= {f"h{i}": hole for i, hole in enumerate(holes.values())}
        if effect.when is not None and not to_contacts:
            asked["holds"] = effect.when
        answers: dict[int, Any] = {}
        if asked:
            build = partial(_asking, work, flow, asked)
            rows = work.ask(("effect", flow.name, effect.place), build, [one.row.id for one in members])
            answers = {row.key: row._mapping for row in rows}  # noqa: SLF001
        for one in members:
            row = answers.get(one.row.id, {})
            if "holds" in asked and row.get("holds") != 1:
                continue
            values = {
                name: row.get(f"v{i}") if isinstance(value, Expression) else value
                for i, (name, value) in enumerate(effect.values.items())
            }
            found.append((one, values | {f"{HOLE}{text}": row.get(f"h{i}") for i, text in enumerate(holes)}))
    place = {id(one): number for number, one in enumerate(due)}  # those of one history entry go on as they are written
    found.sort(key=lambda pair: (pair[0].row.id, pair[0].seq, place[id(pair[0])]))
    return found


def _asking(work: Work, flow: Flow, asked: dict[str, Expression]) -> Executable:
    reader = work.view.cases(flow)
    return values_of(reader, asked, key=reader.base.c.id, where=[these(reader.base.c.id)])


def _tasks(work: Work, due: Wanted) -> None:
    """Open tasks; one that is open already for the same case and name gets the new due time."""
    wanted = [one for one, _ in due if one.effect.verb == "task"]
    if not wanted:
        return
    ids = sorted({one.row.id for one in wanted})
    numbers: dict[tuple[int, str], int] = {}
    opened: set[tuple[int, str]] = set()
    rows = select(t.task.c.case, t.task.c.name, func.max(t.task.c.number), func.count() - func.count(t.task.c.done_at))
    for case, name, number, waiting in work.connection.execute(
        rows.where(t.task.c.case.in_(ids)).group_by(t.task.c.case, t.task.c.name)
    ):
        numbers[(case, name)] = number
        if waiting:
            opened.add((case, name))
    for one in wanted:
        effect, row = one.effect, one.row
        key = (row.id, effect.target)
        until = deadlines.due_of(work, effect.due, one.at, is_day=False) if effect.due is not None else None
        if key in opened:
            work.pending["task_due"].append({"own_case": row.id, "own_name": effect.target, "due": until})
            continue
        opened.add(key)
        numbers[key] = numbers.get(key, 0) + 1
        open_task(work, row, {"name": effect.target, "number": numbers[key], "role": effect.role, "due": until}, one.at)
    changed = work.pending.pop("task_due", None)
    if changed:
        statement = update(t.task).where(
            t.task.c.case == bindparam("own_case"), t.task.c.name == bindparam("own_name"), t.task.c.done_at.is_(None)
        )
        work.connection.execute(statement.values(due=bindparam("due")), changed)


def open_task(work: Work, row: Any, what: dict[str, Any], at: int) -> None:
    """Note a new task of a case; ``what``: name, number, role, due, and for an approval move and asker."""
    work.pending["task"].append(
        {
            "case": row.id, "label": None, "person": work.owner(row, what["role"]), "opened_at": at, "snoozed": None,
            "done_at": None, "outcome": None, "move": None, "asker": None, "comment": None, **what,
        }
    )  # fmt: skip
    work.tasks += 1
    work.log(row, "task", at, target=what["name"], place="opened")


def _fields(work: Work, due: Wanted) -> None:
    for one, values in due:
        if one.effect.verb != "set":
            continue
        for name, value in values.items():
            head, _, rest = name.partition(".")
            flow = work.flow(one.row)
            if name == "case.waiting":
                one.row.waiting = int(bool(value))
                work.change(one.row)
            elif head == "case":
                work.set_field(f"{flow.name}.{rest}", one.row.id, value, flow.fields[rest].type, one.at)
                work.log(one.row, "field", one.at, target=rest, place=one.effect.place)
            elif one.row.customer is not None:
                subject = one.row.subject if head == flow.subject else one.row.customer
                kind = work.view.definition.fields[head][rest].type
                work.set_field(name, subject, value, kind, one.at)
                work.log(one.row, "field", one.at, target=name, place=one.effect.place)


def effect_id(work: Work, one: Due, recipient: str) -> str:
    """The same for the same effect of the same history entry, however often it is computed."""
    flow = work.flow(one.row)
    subject = work.keys.get((flow.subject, one.row.subject), "?")
    parts = (
        work.view.definition.name, flow.name, subject, one.row.number, one.seq, one.effect.place, recipient,
        one.occurrence,
    )  # fmt: skip
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()


def _messages(work: Work, due: Wanted) -> None:
    """Put messages and plugin effects into the outbox, in this transaction."""
    rows = [pair for pair in due if pair[0].effect.verb in ("notify", "uses")]
    contacts = _contacts(
        work, [one for one, _ in rows if one.effect.verb == "notify" and one.effect.target == "contact"]
    )
    for one, values in rows:
        effect = one.effect
        if effect.verb == "notify" and effect.target == "contact":
            recipients = contacts.get((one.row.flow, effect.place, one.row.id), [])
        else:
            asked = {name.removeprefix(HOLE): v for name, v in values.items() if name.startswith(HOLE)}
            recipients = [(_recipient(work, effect), asked)]
        own = {name: value for name, value in values.items() if not name.startswith(HOLE)}
        for recipient, asked in recipients:
            body = messages.body(work, one, own, asked)
            work.pending["outbox"].append(
                {
                    "effect_id": effect_id(work, one, recipient), "case": one.row.id, "seq": one.seq,
                    "party": number_of(work.flow(one.row).subject, one.row.subject, one.row.customer),
                    "verb": effect.verb, "recipient": recipient,
                    "message": effect.message if effect.verb == "notify" else effect.target,
                    "via": _via(work, effect), "body": json.dumps(body, ensure_ascii=False, sort_keys=True),
                    "at": one.at, "status": "withheld" if work.withheld else "pending", "tries": 0, "next_try": None,
                    "error": None,
                }
            )  # fmt: skip
            work.told.append(("messages", {"case": work.name(one.row), "recipient": recipient, "verb": effect.verb}))


def _via(work: Work, effect: Effect) -> str | None:
    template = work.view.definition.messages.get(effect.message or "")
    return effect.via or (template.via if template is not None else None)


def _recipient(work: Work, effect: Effect) -> str:
    if effect.verb == "uses":
        return f"uses:{effect.target}"
    return f"person:{effect.target}" if effect.target in work.view.definition.people else f"role:{effect.target}"


def _contacts(work: Work, wanted: list[Due]) -> dict[tuple[str, str, int], list[tuple[str, dict[str, Any]]]]:
    """The contacts of each case's customer for whom the effect's `when:` holds, with the values of the holes."""
    found: dict[tuple[str, str, int], list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    by_effect: dict[tuple[str, str], list[Due]] = defaultdict(list)
    for one in wanted:
        by_effect[(one.row.flow, one.effect.place)].append(one)
    for (flow_name, place), members in by_effect.items():
        flow, effect = work.view.definition.flows[flow_name], members[0].effect
        holes = messages.holes(work.view.definition, effect, flow)
        build = partial(_asking_contacts, work, flow, effect, list(holes.values()))
        for row in work.ask(("contacts", flow_name, place), build, [one.row.id for one in members]):
            asked = {text: row._mapping[f"h{i}"] for i, text in enumerate(holes)}  # noqa: SLF001
            found[(flow_name, place, row.own)].append((f"contact:{row.contact}", asked))
    return found


def _asking_contacts(work: Work, flow: Flow, effect: Effect, holes: list[Expression]) -> Executable:
    reader = work.view.cases(flow)
    contact = with_contacts(reader)
    translator = Translator(reader)
    columns = [translator.value(hole.node).label(f"h{i}") for i, hole in enumerate(holes)]
    own: Any = reader.base.c.id
    conditions = [these(own), contact.c.happened <= as_of.today(work.view.moment)]
    if effect.when is not None:
        conditions.append(translator.condition(effect.when.node))
    statement = select(own.label("own"), contact.c.key.label("contact"), *columns).select_from(reader.source())
    return statement.where(*conditions).order_by(contact.c.key)


def _words(work: Work, due: Wanted) -> None:
    """Say words to other flows: into the inbox, where the next hop hears them."""
    for one, values in due:
        if one.effect.verb != "trigger":
            continue
        row, flow = one.row, work.flow(one.row)
        target = work.view.definition.flows.get(one.effect.flow or flow.name, flow)
        fields = {
            name: encode(value, target.fields[name].type) for name, value in values.items() if name in target.fields
        }
        work.pending["inbox"].append(
            {
                "name": one.effect.target, "flow": target.name, "kind": flow.subject, "subject": row.subject,
                "customer": row.customer, "case_key": None, "stage": None, "at": one.at, "actor": "csflow",
                "fields": json.dumps(fields) if fields else None, "source": None, "ref": None, "handled": None,
                "refused": None,
            }
        )  # fmt: skip
        work.change(row)


def _open(work: Work, due: Wanted) -> None:
    """Open cases of other flows for the same subject; where one of the same key is open, it stays as it is."""
    opening = [
        (one, values, work.view.definition.flows[one.effect.flow or one.effect.target])
        for one, values in due
        if one.effect.verb == "open"
    ]
    contracts = contracts_of(work, [one.row.customer for one, _, flow in opening if flow.subject == "contract"])
    wanted = []
    for one, values, flow in opening:
        subject = _subject_for(work, one, flow.subject, contracts)
        if subject is not None:
            wanted.append(
                {
                    "flow": flow, "subject": subject, "customer": one.row.customer, "at": one.at,
                    "place": f"{one.row.flow}.{one.effect.place}", "because": [], "fields": values,
                }
            )  # fmt: skip
    key_all(work, wanted)
    if wanted:
        moving.open_cases(work, wanted)


def _subject_for(work: Work, one: Due, kind: str, contracts: dict[int, int | None]) -> int | None:
    own = work.flow(one.row).subject
    if kind == own:
        return one.row.subject
    if kind == "customer":
        return one.row.customer
    return contracts.get(one.row.customer or 0) if kind == "contract" else None


def contracts_of(work: Work, customers: Iterable[int | None]) -> dict[int, int | None]:
    """Customer → the contract that counts for it now."""
    wanted = {customer for customer in customers if customer is not None}
    if not wanted:
        return {}
    c = t.customer.c
    return dict(work.connection.execute(select(c.id, c.contract).where(among(c.id, sorted(wanted)))).all())


def key_all(work: Work, wanted: list[dict[str, Any]]) -> None:
    """Give each case to open that has none its one_per ``key``: None where every case is its own.

    One question for each flow, whatever the number of cases.
    """
    lacking: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for want in wanted:
        flow: Flow = want["flow"]
        if want.get("key") is not None:
            continue
        want["key"] = None
        if flow.one_per.startswith("case.") and flow.one_per != "case.id":
            want["key"] = str(want["fields"].get(flow.one_per.removeprefix("case."), ""))
        elif flow.one_per != "case.id":
            lacking[flow.name].append(want)
    for members in lacking.values():
        flow = members[0]["flow"]
        rows = work.ask(("key", flow.name), partial(_asking_keys, work, flow), [want["subject"] for want in members])
        keys = {row.key: str(row.value) for row in rows if row.value is not None}
        for want in members:
            want["key"] = keys.get(want["subject"], "")


def _asking_keys(work: Work, flow: Flow) -> Executable:
    reader = work.view.subjects(flow.subject)
    base: Any = reader.base.c
    if flow.one_per_key is not None:
        return values_of(reader, {"value": flow.one_per_key}, key=base.id, where=[these(base.id)])
    return select(base.id.label("key"), base.key.label("value")).where(these(base.id))
