"""What a person does to a case by hand: says a word, opens one, fills its fields. One transaction each, at once.

The same code does it as in a pass (`triggers.hear`, `moving`, `effects.perform`), so what a word does never depends on
who says it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from csflow.errors import RefusedError, StoreError, UsageError
from csflow.flow.machine import FlowMachine
from csflow.services import deadlines, effects, moving, triggers
from csflow.services.changed import unpin
from csflow.services.meaning import Meant, find_case, find_customer, find_meant, find_subject, is_case, near
from csflow.services.stating import Stored, plain, stored_fields
from csflow.services.views import introduce, see
from csflow.services.work import CaseRow, Work
from csflow.store import tables as t
from csflow.store.collisions import collided, told_in_one_line
from csflow.store.guards import Translator
from csflow.store.insertion import among
from csflow.store.names import subject_names
from csflow.store.refreshing import refresh_contracts
from csflow.store.touching import last_pass
from csflow.values import Instant, Zone

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from csflow.flow.definition import Definition, Flow
    from csflow.store.opening import Store

YES, NO = ("true", "yes", "1"), ("false", "no", "0")


@dataclass(frozen=True, slots=True)
class Act:
    """Who does something, and when it happened: ``at`` None means now, which is ``recorded`` (the wall clock)."""

    actor: str
    recorded: Instant
    at: Instant | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """A word somebody says: to a customer, another subject or a case; ``flow`` where several would hear it."""

    name: str
    target: str
    flow: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def acting(store: Store, definition: Definition, act: Act) -> Iterator[Work]:
    """One transaction in which a person does something; taken back when it is a dry run or something is refused.

    RefusedError where somebody else entered the same customer or case meanwhile; any other row that the database
    refuses is a mistake of ours, and a StoreError that says so.
    """
    try:
        with store.trial() if act.dry_run else store.writing() as connection:
            introduce(connection, definition)
            zone = Zone(definition.zone)
            now = act.recorded if act.at is None else act.at
            last = last_pass(connection)
            if act.at is not None and not act.dry_run and zone.day_of(now) > zone.day_of(max(act.recorded, last or 0)):
                raise UsageError(f"{zone.text(now)} is to come: nothing has happened then yet (look with --dry-run)")
            if act.at is None and last is not None and now < last <= zone.end_of(zone.day_of(now)):
                now = last  # a pass at the end of today has been here already: this comes after it
            view = see(connection, definition, now)
            unpin(connection, definition)
            machines = {name: FlowMachine(flow) for name, flow in definition.flows.items()}
            yield Work(connection, view, machines, act.actor, act.recorded)
    except IntegrityError as error:
        if collided(error):
            raise RefusedError("somebody else did the same at this moment: look, and try again") from None
        said = told_in_one_line(error)
        raise StoreError(f"nothing was written: the database refuses it ({said}). This is a bug of csflow") from error


def trigger(store: Store, definition: Definition, act: Act, word: Word) -> dict[str, Any]:
    """Say a word; what happens comes back. RefusedError or UsageError where it may not, and nothing is written."""
    flows = _listeners(definition, word)
    with acting(store, definition, act) as work:
        meant = find_meant(work.connection, definition, word.target)
        if word.flow is not None and meant.flow not in (None, word.flow):
            raise UsageError(f"{word.target} is not of flow '{word.flow}'")
        freshen(work, meant.customer)
        said = triggers.Said(
            name=word.name, kind=meant.kind, subject=meant.id, customer=meant.customer, at=work.view.now,
            actor=act.actor, flow=word.flow, fields=_fields_said(work, word, meant, flows),
        )  # fmt: skip
        work.know_subjects([said])
        before, later = _newest_task(work), _later(work, meant)
        refused = triggers.hear(work, [said])
        if refused:
            raise RefusedError(refused[0][1])
        effects.perform(work)
        for row in work.rows.values():
            if row.id in later and row.version != later[row.id].version:
                _too_early(work, work.name(row), later[row.id])
        return _outcome(work, act, before)


def open_case(
    store: Store, definition: Definition, act: Act, *, flow: str, subject: str, fields: Mapping[str, str]
) -> dict[str, Any]:
    """Open a case of any flow by hand. RefusedError when the one open case it may have is there already."""
    found = definition.flows.get(flow)
    if found is None:
        raise UsageError(f"no flow '{flow}'{near(flow, definition.flows)}")
    with acting(store, definition, act) as work:
        meant = _subject_of(work, found, subject)
        values = stored_fields(work.connection, work.view, fields=found.fields, said=fields, owner=flow)
        given = {name: plain(value) for name, value in values.items() if value != (None, None)}
        want: dict[str, Any] = {
            "flow": found, "subject": meant.id, "customer": meant.customer, "at": work.view.now, "place": "by hand",
            "because": [], "fields": given, "actor": act.actor,
        }  # fmt: skip
        effects.key_all(work, [want])
        before = _newest_task(work)
        if not moving.open_cases(work, [want]):
            raise RefusedError(f"{_open_one(work, found, meant, want['key'])} is open already")
        effects.perform(work)
        return _outcome(work, act, before)


def set_case(store: Store, definition: Definition, act: Act, *, case: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """Fill fields of a case; ``waiting`` says that we wait for the customer. Deadlines stop or go on at once."""
    with acting(store, definition, act) as work:
        row, stopped, resumed = fill_case(work, case, fields)
        effects.perform(work)
        entry = {"case": work.name(row), "fields": sorted(fields), "stopped": stopped, "resumed": resumed}
        return {"at": work.view.zone.text(work.view.now), "dry_run": act.dry_run, **entry}


def fill_case(
    work: Work, case: str, fields: Mapping[str, str], row: CaseRow | None = None
) -> tuple[CaseRow, list[str], list[str]]:
    """As `set_case`, within a transaction of the caller's: the case, its deadlines that stopped and that went on.

    ``row`` where `load_cases` has read it already.
    """
    row = load_case(work, case) if row is None else row
    flow = work.flow(row)
    said = dict(fields)
    waiting = said.pop("waiting", None) if "waiting" not in flow.fields else None
    values = stored_fields(work.connection, work.view, fields=flow.fields, said=said, owner=flow.name)
    if waiting is not None:
        row.waiting = _truth("waiting", waiting)
        work.log(row, "field", work.view.now, target="waiting", place="by hand")
    for name, value in values.items():
        work.set_field(f"{flow.name}.{name}", row.id, plain(value), flow.fields[name].type, work.view.now)
        work.log(row, "field", work.view.now, target=name, place="by hand")
    stopped, resumed = _stop_or_resume(work, row)
    return row, stopped, resumed


def load_case(work: Work, said: str) -> CaseRow:
    """The case that is written so, with all that is known beside it; UsageError where it cannot be worked on now."""
    meant = find_case(work.connection, work.view.definition, said)
    freshen(work, meant.customer)
    work.load([meant.id])
    row = work.rows[meant.id]
    check_order(work, row)
    if row.stage not in work.flow(row).stages:
        raise UsageError(f"{said} is in '{row.stage}', which its flow no longer has: run csflow advance first")
    return row


def load_cases(work: Work, ids: Iterable[int]) -> dict[int, CaseRow]:
    """As `load_case` for many at once, by id; those that cannot be worked on now are left out."""
    wanted = sorted(set(ids))
    work.load(wanted)
    rows = [work.rows[number] for number in wanted if number in work.rows]
    customers = sorted({row.customer for row in rows if row.customer is not None})
    if customers:
        chosen = select(t.customer.c.id).where(among(t.customer.c.id, customers))
        refresh_contracts(work.connection, work.view.moment.today, chosen)
    known = [row for row in rows if row.stage in work.flow(row).stages and work.view.now >= row.entered_at]
    return {row.id: row for row in known}


def check_order(work: Work, row: CaseRow) -> None:
    """Refuse what would have happened before the case entered the stage it is in."""
    if work.view.now < row.entered_at:
        _too_early(work, work.name(row), row)


def _too_early(work: Work, name: str, entered: Any) -> NoReturn:
    zone = work.view.zone
    raise RefusedError(
        f"{name} entered '{entered.stage}' at {zone.text(entered.entered_at)}, "
        f"after {zone.text(work.view.now)}: say a later time with --at"
    )


def _later(work: Work, meant: Meant) -> dict[int, Any]:
    """The cases that entered their stage after this moment, as they are before the word: it may not move them."""
    c = t.case.c
    whose = c.id == meant.id if meant.kind == "case" else c.subject == meant.id
    if meant.customer is not None:
        whose = c.customer == meant.customer
    rows = work.connection.execute(
        select(c.id, c.version, c.stage, c.entered_at).where(whose, c.entered_at > work.view.now)
    )
    return {row.id: row for row in rows}


def freshen(work: Work, customer: int | None) -> None:
    """Choose the customer's contract anew, as a pass at this moment would before it asks anything."""
    if customer is not None:
        one = select(t.customer.c.id).where(t.customer.c.id == customer)
        refresh_contracts(work.connection, work.view.moment.today, one)


def _listeners(definition: Definition, word: Word) -> list[Flow]:
    """The flows in which anything listens to the word; UsageError with the nearest word where nothing does."""
    if word.flow is not None and word.flow not in definition.flows:
        raise UsageError(f"no flow '{word.flow}'{near(word.flow, definition.flows)}")
    words = {flow.name: _words(flow) for flow in definition.flows.values()}
    known = set().union(*words.values())
    if word.name not in known:
        raise UsageError(f"no flow listens to '{word.name}'{near(word.name, known)}")
    return [flow for flow in definition.flows.values() if word.name in words[flow.name]]


def _words(flow: Flow) -> set[str]:
    stages = flow.stages.values()
    found = {way.trigger for stage in stages for way in stage.transitions}
    found |= {one.trigger for one in flow.milestones.values()}
    found |= {one.trigger for stage in stages for one in stage.milestones.values()}
    found |= {opening.trigger for opening in flow.opens}
    return {name for name in found if name is not None}


def _fields_said(work: Work, word: Word, meant: Meant, flows: list[Flow]) -> dict[str, Stored]:
    """The fields said with a word, read by the flow that will hear it."""
    if not word.fields:
        return {}
    if meant.flow is not None:
        flows = [work.view.definition.flows[meant.flow]]
    elif word.flow is not None:
        flows = [flow for flow in flows if word.flow in (flow.name, flow.base)] or flows
    able = [flow for flow in flows if set(word.fields) <= set(flow.fields)] or flows[:1]
    readings = [
        stored_fields(work.connection, work.view, fields=flow.fields, said=word.fields, owner=flow.name)
        for flow in able
    ]
    if any(reading != readings[0] for reading in readings):
        raise UsageError(f"several flows hear '{word.name}', say which with --flow: {', '.join(f.name for f in able)}")
    return readings[0]


def _subject_of(work: Work, flow: Flow, said: str) -> Meant:
    """Whom a case of the flow is to be about; for a flow about contracts a customer means its contract."""
    if is_case(said):
        raise UsageError(f"'{said}' is a case: a case of '{flow.name}' is about a {flow.subject}")
    prefixed = said.partition(":")[0] if ":" in said else ""
    if flow.subject == "contract" and prefixed in ("", "customer"):
        meant = find_customer(work.connection, said.removeprefix("customer:"))
        freshen(work, meant.id)
        chosen = select(t.customer.c.contract).where(t.customer.c.id == meant.id)
        contract = work.connection.execute(chosen).scalar()
        if contract is None:
            raise RefusedError(f"{flow.name} is about a contract, and {meant.key} has none")
        key = subject_names(work.connection, "contract", [contract])[contract]
        return Meant("contract", contract, key, meant.id)
    meant = find_subject(work.connection, said, flow.subject)
    if meant.kind != flow.subject:
        raise UsageError(f"a case of '{flow.name}' is about a {flow.subject}, not a {meant.kind}: {said}")
    freshen(work, meant.customer)
    return meant


def _open_one(work: Work, flow: Flow, meant: Meant, key: str | None) -> str:
    flows = [name for name, one in work.view.definition.flows.items() if one.base == flow.base]
    mine = (t.case.c.flow.in_(flows), t.case.c.subject == meant.id, t.case.c.ended.is_(None), t.case.c.key == key)
    row = work.connection.execute(select(t.case.c.flow, t.case.c.number).where(*mine)).first()
    return f"{row.flow}/{meant.key}/{row.number}" if row is not None else f"a case of {flow.name}"


def _truth(name: str, text: str) -> int:
    if text.lower() not in YES + NO:
        raise UsageError(f"{name}: '{text}' is neither true nor false")
    return int(text.lower() in YES)


def _stop_or_resume(work: Work, row: CaseRow) -> tuple[list[str], list[str]]:
    """Ask each `stops_while:` of the case anew, and let its deadline stand still or go on; returns their names."""
    flow = work.flow(row)
    if row.ended is not None or flow.stages[row.stage].stops:
        return [], []
    stopped, resumed = [], []
    guards = {
        s.deadline.name: s.deadline.stops_while for s in deadlines.specs(flow) if s.deadline.stops_while is not None
    }
    if guards:
        work.flush()  # they read what was just filled in
    for name, guard in guards.items():
        reader = work.view.cases(flow, row.stage)
        own: Any = reader.base.c.id
        holds = Translator(reader).number_of(guard.node)
        answer = work.connection.execute(select(holds).select_from(reader.source()).where(own == row.id)).scalar()
        still = {line.stopped is not None for line in work.lines[row.id] if line.name == name and line.waits}
        if answer == 1 and False in still:
            deadlines.stop(work, row, work.view.now, {name})
            stopped.append(name)
        elif answer != 1 and True in still:
            deadlines.resume(work, row, work.view.now, {name})
            resumed.append(name)
    return stopped, resumed


def _newest_task(work: Work) -> int:
    return int(work.connection.execute(select(func.coalesce(func.max(t.task.c.id), 0))).scalar_one())


def _outcome(work: Work, act: Act, before: int) -> dict[str, Any]:
    """What happened: opened, moved, milestones, messages as in a pass, and the tasks that were opened."""
    found: dict[str, Any] = {"at": work.view.zone.text(work.view.now), "dry_run": act.dry_run}
    found |= {kind: [] for kind in ("opened", "moved", "milestones", "tasks", "messages")}
    for kind, entry in work.told:
        found.setdefault(kind, []).append(entry)
    k = t.task.c
    opened = select(k.case, k.name, k.role, k.person, k.due, k.move).where(k.id > before, k.case.in_(sorted(work.rows)))
    for row in work.connection.execute(opened.order_by(k.case, k.name)):
        due = work.view.zone.text(row.due) if row.due is not None else None
        entry = {"case": work.name(work.rows[row.case]), "task": row.name, "role": row.role, "person": row.person}
        found["tasks"].append(entry | {"due": due, "approves": row.move is not None})
    return found


__all__ = ["Act", "Word", "acting", "load_case", "open_case", "set_case", "trigger"]
