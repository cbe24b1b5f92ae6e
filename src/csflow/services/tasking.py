"""Tasks, as the people see them who must do them: listed, done, put off, handed over; and approvals answered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Select, Update, bindparam, func, literal, or_, select, update

from csflow.errors import RefusedError, UsageError
from csflow.services import effects, moving
from csflow.services.acting import Act, acting, load_case
from csflow.services.deadlines import specs
from csflow.services.meaning import find_case, find_customer, near
from csflow.services.stating import known_person
from csflow.store import tables as t
from csflow.store.names import subject_name
from csflow.store.questions import holding
from csflow.values import Day, Instant, Zone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from csflow.flow.definition import Definition, Effect, Flow, Label, Transition
    from csflow.services.work import CaseRow, Work
    from csflow.store.opening import Store

OUTCOMES = ("done", "no", "not_applicable")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tasks to list: ``overdue`` only those past due, ``everything`` also the done and the snoozed."""

    role: str | None = None
    person: str | None = None
    customer: str | None = None
    case: str | None = None
    overdue: bool = False
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """How a task ends: ``outcome`` done, no (an approval refused) or not_applicable; a comment is kept with it."""

    case: str
    task: str
    outcome: str = "done"
    comment: str | None = None


def list_tasks(store: Store, definition: Definition, wanted: Wanted, *, now: Instant) -> list[dict[str, Any]]:
    """The tasks wanted, the most urgent first: case, customer, task, label, role, person, due, outcome and so on."""
    zone = Zone(definition.zone)
    if wanted.role is not None and wanted.role not in definition.roles:
        raise UsageError(f"no role '{wanted.role}'{near(wanted.role, definition.roles)}")
    with store.reading() as connection:
        conditions = _conditions(connection, definition, wanted, now)
        subject = func.coalesce(*(_key_of(definition, kind) for kind in _subjects(definition)), literal("?"))
        columns: list[Any] = [t.task, t.case.c.flow, t.case.c.number.label("case_number"), subject.label("subject")]
        statement = (
            select(*columns, t.customer.c.key.label("customer"))
            .join(t.case, t.case.c.id == t.task.c.case)
            .outerjoin(t.customer, t.customer.c.id == t.case.c.customer)
            .where(*conditions)
            .order_by(t.task.c.due.is_(None), t.task.c.due, t.case.c.flow, subject, t.case.c.number, t.task.c.name)
        )
        return [_entry(row, definition, zone, now) for row in connection.execute(statement)]


def _conditions(
    connection: Connection, definition: Definition, wanted: Wanted, now: Instant
) -> list[ColumnElement[bool]]:
    k = t.task.c
    found: list[ColumnElement[bool]] = [k.opened_at <= now]
    if wanted.role is not None:
        found.append(k.role == wanted.role)
    if wanted.person is not None:
        found.append(k.person == known_person(connection, definition, wanted.person))
    if wanted.customer is not None:
        found.append(t.case.c.customer == find_customer(connection, wanted.customer).id)
    if wanted.case is not None:
        found.append(k.case == find_case(connection, definition, wanted.case).id)
    if wanted.overdue:
        found += [k.due < now, k.done_at.is_(None)]
    if not wanted.everything:
        found += [k.done_at.is_(None), or_(k.snoozed.is_(None), k.snoozed <= now)]
    return found


def _subjects(definition: Definition) -> list[str]:
    return sorted({flow.subject for flow in definition.flows.values()})


def _key_of(definition: Definition, kind: str) -> ColumnElement[Any]:
    """The id of a case's subject, where it is of that kind."""
    table: Any = getattr(t, kind).alias(f"of_{kind}")
    flows = [flow.name for flow in definition.flows.values() if flow.subject == kind]
    mine = (table.c.id == t.case.c.subject, t.case.c.flow.in_(flows))
    found: ColumnElement[Any] = select(subject_name(kind, table)).where(*mine).correlate(t.case).scalar_subquery()
    return found


def _entry(row: Any, definition: Definition, zone: Zone, now: Instant) -> dict[str, Any]:
    flow = definition.flows.get(row.flow)
    return {
        "case": f"{row.flow}/{row.subject}/{row.case_number}",
        "customer": row.customer,
        "task": row.name,
        "label": label_of(definition, flow, row) if flow is not None else row.label,
        "role": row.role,
        "person": row.person,
        "opened_at": zone.text(row.opened_at),
        "due": _text(zone, row.due),
        "overdue": row.done_at is None and row.due is not None and row.due < now,
        "snoozed_until": _text(zone, row.snoozed),
        "done_at": _text(zone, row.done_at),
        "outcome": row.outcome,
        "asked_by": row.asker,
        "comment": row.comment,
    }


def _text(zone: Zone, at: Instant | None) -> str | None:
    return None if at is None else zone.text(at)


def label_of(definition: Definition, flow: Flow, row: Any) -> str:
    """A task's label in the project's first language; for an approval what would happen; else its name."""
    if row.move is not None:
        way = _way(flow, row.move)
        return f"{row.name}: {row.move.partition('>')[0]} → {way.target if way is not None else '?'}"
    for effect in task_effects(flow):
        if effect.target == row.name and effect.label:
            return in_language(effect.label, definition)
    return str(row.label or row.name)


def in_language(label: Label, definition: Definition) -> str:
    """The text of a label in the project's first language."""
    languages = (*definition.languages, "")
    return next((label[language] for language in languages if language in label), next(iter(label.values())))


def task_effects(flow: Flow) -> Iterator[Effect]:
    """Every effect of a flow that opens a task."""
    milestones = [*flow.milestones.values(), *(m for s in flow.stages.values() for m in s.milestones.values())]
    groups = [flow.do, flow.overdue, *(m.do for m in milestones), *(spec.deadline.overdue for spec in specs(flow))]
    for stage in flow.stages.values():
        groups += [stage.do, *(way.do for way in stage.transitions)]
    for group in groups:
        yield from (effect for effect in group if effect.verb == "task")


def finish_task(store: Store, definition: Definition, act: Act, answer: Answer) -> dict[str, Any]:
    """End a task. An approval lets the waiting move happen at once, if its guard still holds; `no` drops it.

    RefusedError where the task is not open, the asker would approve, or the move is no longer possible.
    """
    with acting(store, definition, act) as work:
        row, task = end_task(work, answer)
        effects.perform(work)
        moved = [entry for kind, entry in work.told if kind == "moved"]
        return _done(work, act, row, task) | {"outcome": answer.outcome, "moved": moved}


def end_task(work: Work, answer: Answer, row: CaseRow | None = None) -> tuple[CaseRow, str]:
    """As `finish_task`, within a transaction of the caller's, who lets the effects happen. The case and the task.

    ``row`` where `load_cases` has read the case already.
    """
    row, task = _open_task(work, answer.case, answer.task, row)
    if task.move is None and answer.outcome == "no":
        raise RefusedError(f"'{task.name}' asks for no approval: --no answers nothing (--not-applicable drops a task)")
    if task.move is not None and answer.outcome == "not_applicable":
        raise RefusedError(f"'{task.name}' asks for an approval: answer it with or without --no")
    way = _approved(work, row, task, answer.outcome) if task.move is not None else None
    values = {"done_at": work.view.now, "outcome": answer.outcome, "comment": answer.comment}
    work.connection.execute(_closing(), {"own_id": task.id, **values})
    work.log(row, "task", work.view.now, target=task.name, place=answer.outcome)
    if way is not None:
        because = [{"fact": f"approved by {work.actor}", "value": True, "measured": None}]
        moving.move(work, row, way, work.view.now, because + _reasons(work, row, way), actor=work.actor)
    return row, str(task.name)


def snooze_task(store: Store, definition: Definition, act: Act, *, case: str, task: str, until: Day) -> dict[str, Any]:
    """Keep a task out of the lists until a day begins; its due time stays."""
    with acting(store, definition, act) as work:
        row, found = _open_task(work, case, task)
        wakes = work.view.zone.start_of(until)
        if wakes <= work.view.now:
            raise UsageError(f"--until {work.view.zone.text(wakes)[:10]} is not in the future: name a later day")
        work.connection.execute(update(t.task).where(t.task.c.id == found.id).values(snoozed=wakes))
        work.log(row, "task", work.view.now, target=found.name, place="snoozed")
        effects.perform(work)
        return _done(work, act, row, found.name) | {"snoozed_until": work.view.zone.text(wakes)}


def assign_task(store: Store, definition: Definition, act: Act, *, case: str, task: str, person: str) -> dict[str, Any]:
    """Hand a task to a colleague."""
    with acting(store, definition, act) as work:
        row, found = _open_task(work, case, task)
        known_person(work.connection, definition, person)
        work.connection.execute(update(t.task).where(t.task.c.id == found.id).values(person=person))
        because = [{"fact": "person", "value": person, "measured": None}]
        work.log(row, "task", work.view.now, target=found.name, place="assigned", because=because)
        effects.perform(work)
        return _done(work, act, row, found.name) | {"person": person}


def _done(work: Work, act: Act, row: CaseRow, task: str) -> dict[str, Any]:
    return {"at": work.view.zone.text(work.view.now), "dry_run": act.dry_run, "case": work.name(row), "task": task}


@cache
def _tasks_of_case() -> Select[Any]:
    return select(t.task).where(t.task.c.case == bindparam("case")).order_by(t.task.c.number.desc())


@cache
def _closing() -> Update:
    return update(t.task).where(t.task.c.id == bindparam("own_id"))


def _open_task(work: Work, case: str, name: str, row: CaseRow | None = None) -> tuple[CaseRow, Any]:
    """The open task of that name; RefusedError when it is done already, UsageError with the nearest name otherwise."""
    row = load_case(work, case) if row is None else row
    rows = work.connection.execute(_tasks_of_case(), {"case": row.id}).all()
    mine = [task for task in rows if task.name == name]
    for task in mine:
        if task.done_at is None:
            return row, task
    if mine:
        raise RefusedError(
            f"'{name}' of {case} was closed at {_text(work.view.zone, mine[0].done_at)}: {mine[0].outcome}"
        )
    names = sorted({task.name for task in rows if task.done_at is None})
    hint = near(name, names) or f": open are {', '.join(names)}" if names else ": it has no open task"
    raise UsageError(f"{case} has no task '{name}'{hint}")


def _way(flow: Flow, move: str) -> Transition | None:
    source, _, place = move.partition(">")
    stage = flow.stages.get(source)
    ways = stage.transitions if stage is not None else ()
    return next((way for way in ways if way.place == place), None)


def _approved(work: Work, row: CaseRow, task: Any, outcome: str) -> Transition | None:
    """The move that an approval lets happen; None when it is dropped. RefusedError where this person may not say."""
    actor = work.actor
    if actor == task.asker:
        raise RefusedError(f"{actor} asked for this move, so somebody else must approve it")
    person = work.view.definition.people.get(actor)
    if person is not None and task.role is not None and task.role not in person.roles:
        raise RefusedError(f"{actor} may not approve this: only {task.role}")
    if outcome == "no":
        return None
    way, source = _way(work.flow(row), task.move), task.move.partition(">")[0]
    if way is None or row.stage != source:
        raise RefusedError(
            f"{work.name(row)} is in '{row.stage}', no longer in '{source}': drop the approval with --no"
        )
    return way


def _reasons(work: Work, row: CaseRow, way: Transition) -> list[dict[str, Any]]:
    """What the move's guard read, if it holds now; RefusedError when it does not."""
    if way.guard is None:
        return []
    work.flush()
    reader = work.view.cases(work.flow(row), way.source)
    own: Any = reader.base.c.id
    statement, evidence = holding(reader, way.guard, [own.label("own")], where=[own == row.id])
    found = work.connection.execute(statement).first()
    if found is None:
        text = way.when.text if way.when is not None else "its entry criterion or a field it asks for"
        raise RefusedError(
            f"{work.name(row)}: the move to '{way.target}' is not possible any more, {text} does not hold"
        )
    return work.because(evidence.reasons(found))


__all__ = ["OUTCOMES", "Answer", "Wanted", "assign_task", "finish_task", "list_tasks", "snooze_task"]
