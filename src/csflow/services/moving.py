"""What can happen to a case: it opens, reaches a milestone, moves. Each is noted in a `Work` and written with it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Executable, Text, bindparam, func, select

from csflow.errors import RefusedError
from csflow.flow.definition import Effect, Flow, Milestone, Transition
from csflow.services import deadlines
from csflow.services.assigning import automatic, fill_for_cases
from csflow.services.work import CaseRow, Due, Work, these
from csflow.store import tables as t
from csflow.store.insertion import insert_for, listed
from csflow.store.questions import values_of
from csflow.values import Instant

Because = list[dict[str, Any]]
CASE_VALUES = tuple(column.name for column in t.case.columns if column.name != "id")


def reach(work: Work, row: CaseRow, milestone: Milestone, at: Instant, because: Because, place: str) -> None:
    """The case reaches a milestone of its stage (or, with no stage of that milestone, of its flow)."""
    stage = work.flow(row).stages[row.stage]
    own = milestone.name in stage.milestones
    stay = row.stay if own else 0
    if (stay, milestone.name) in work.reached[row.id]:
        return
    work.reached[row.id][(stay, milestone.name)] = at
    work.pending["milestone"].append(
        {
            "case": row.id,
            "stay": stay,
            "name": milestone.name,
            "stage": row.stage if own else None,
            "at": at,
            "current": 1,
        }
    )
    seq = work.log(row, "milestone", at, target=milestone.name, place=place, because=because)
    work.tell("milestones", row, milestone=milestone.name, at=work.text(at), because=because)
    deadlines.met_by_milestone(work, row, stage if own else None, milestone.name, at)
    happen(work, row, milestone.do, work.view.now, seq)


def happen(work: Work, row: CaseRow, effects: Iterable[Effect], at: Instant, seq: int) -> None:
    """Note effects that are to happen once the chunk's rows are written."""
    work.effects += [Due(row, effect, at, seq) for effect in effects]


def move(
    work: Work,
    row: CaseRow,
    transition: Transition,
    at: Instant,
    because: Because,
    *,
    actor: str | None = None,
    target: str | None = None,
) -> None:
    """Perform a transition through the flow's machine, and everything that follows for the case's row and deadlines."""
    flow = work.flow(row)
    source = flow.stages[row.stage]
    to = target or destination(row, transition)
    if to == row.stage:
        raise RefusedError(f"{work.name(row)} is in '{to}' already")
    deadlines.judge_before(work, row, at)
    work.machines[flow.name].move(row, transition, to)
    stage = flow.stages[to]
    _stays(work, row, source.name, to)
    row.entered_at = at
    row.ended, row.ended_at = (stage.end, at) if stage.end is not None else (None, None)
    seq = work.log(
        row, "moved", at, actor=actor, source=source.name, target=to, place=transition.place, because=because
    )
    work.tell(
        "moved", row, **{"from": source.name}, to=to, at=work.text(at), because=because, actor=actor or work.actor
    )
    if stage.stops and not source.stops:
        deadlines.stop(work, row, at)
    elif source.stops and not stage.stops:
        deadlines.resume(work, row, at)
    deadlines.met_by_move(work, row, source, at)
    work.pending["passed"].append({"own_case": row.id, "at": at})
    if stage.end is not None:
        work.pending["over"].append({"own_case": row.id, "at": at})
    if row.stay != 0 and not stage.stops:
        deadlines.start_stage(work, row, at)
    happen(work, row, (*transition.do, *stage.do), at, seq)
    _repeats(work, row, stage.do, at)


def destination(row: CaseRow, transition: Transition) -> str:
    """The stage a transition leads to; `back` is where the case came from."""
    if transition.target != "back":
        return transition.target
    if row.came_from is None:
        raise RefusedError("there is no stage to go back to")
    return row.came_from


def _stays(work: Work, row: CaseRow, source: str, target: str) -> None:
    """Count stays: a stop and the way back from it belong to the stay that was interrupted."""
    flow = work.flow(row)
    was_stop, is_stop = flow.stages[source].stops, flow.stages[target].stops
    if is_stop and not was_stop:
        row.came_from, row.came_stay = source, row.stay
        return
    back = was_stop and target == row.came_from
    if not back:
        newest = max([row.stay, row.came_stay or 0])
        row.came_from, row.came_stay = source, row.stay
        row.stay = newest + 1
        stale = [key for key in work.reached[row.id] if key[1] in flow.stages[target].milestones and key[0] != row.stay]
        if stale:
            work.pending["stale"].append({"own_case": row.id, "own_stage": target, "own_stay": row.stay})
            for key in stale:
                del work.reached[row.id][key]


def _repeats(work: Work, row: CaseRow, effects: Iterable[Effect], at: Instant) -> None:
    for effect in effects:
        if effect.every is not None:
            repeat(work, row, f"|{effect.place}", work.view.zone.add(at, effect.every), 1)


def repeat(work: Work, row: CaseRow, place: str, at: Instant, occurrence: int) -> None:
    """Let the effect of that place happen again at ``at``, if the case is in its stage still."""
    timer = {"case": row.id, "place": place, "deadline": None, "run": row.stay, "occurrence": occurrence, "at": at}
    work.pending["timer"].append(timer)


def open_cases(work: Work, wanted: list[dict[str, Any]]) -> list[CaseRow]:
    """Open cases: each dict has flow, subject, customer, key (None = its number), at, place, because, stage, fields.

    A key that has an open case already is left out; the others are marked ``opened``. Numbers follow the order given,
    which must be the same however the cases came to be wanted: by subject, opening time, key.
    """
    numbers = _numbers(work, wanted)
    taken = _open_keys(work, wanted)
    rows: list[CaseRow] = []
    kept: list[dict[str, Any]] = []
    for want in wanted:
        flow: Flow = want["flow"]
        place = (flow.name, want["subject"])
        key = want["key"] if want["key"] is not None else str(numbers.get(place, 0) + 1)
        if (flow.base, want["subject"], key) in taken:
            continue
        taken.add((flow.base, want["subject"], key))
        numbers[place] = numbers.get(place, 0) + 1
        rows.append(_new_row(work, flow, want, numbers[place], key))
        want["opened"] = True
        kept.append(want)
    if rows:
        _insert(work, rows, kept)
    return rows


def _numbers(work: Work, wanted: list[dict[str, Any]]) -> dict[tuple[str, int], int]:
    """The highest number of each flow and subject."""
    these = _listed({want["flow"].name for want in wanted}, {want["subject"] for want in wanted})
    found = work.connection.execute(_highest(), these)
    return {(flow, subject): number for flow, subject, number in found}


def _open_keys(work: Work, wanted: list[dict[str, Any]]) -> set[tuple[str, int, str]]:
    """(base flow, subject, key) of the open cases: variants of one flow exclude each other."""
    flows, variants = work.view.definition.flows, work.view.book.variants
    bases = {want["flow"].base for want in wanted}
    names = {name for base in bases for name in variants.get(base, (base,))} | {want["flow"].name for want in wanted}
    found = work.connection.execute(_open_ones(), _listed(names, {want["subject"] for want in wanted}))
    return {(flows[f].base if f in flows else f, s, k) for f, s, k in found}


def _listed(flows: Iterable[str], subjects: Iterable[int]) -> dict[str, Any]:
    return {"flows": sorted(flows), "subjects": json.dumps(sorted(subjects))}


@cache
def _of_these() -> tuple[ColumnElement[bool], ...]:
    """The cases of the flows and subjects that `_listed` gives."""
    c = t.case.c
    return c.flow.in_(bindparam("flows", expanding=True)), listed(c.subject, bindparam("subjects", type_=Text))


@cache
def _highest() -> Executable:
    c = t.case.c
    return select(c.flow, c.subject, func.max(c.number)).where(*_of_these()).group_by(c.flow, c.subject)


@cache
def _open_ones() -> Executable:
    return select(t.case.c.flow, t.case.c.subject, t.case.c.key).where(*_of_these(), t.case.c.ended.is_(None))


@cache
def _numbered() -> Executable:
    return select(t.case.c.flow, t.case.c.subject, t.case.c.number, t.case.c.id).where(*_of_these())


def _new_row(work: Work, flow: Flow, want: dict[str, Any], number: int, key: str) -> CaseRow:
    stage = flow.stages[want.get("stage") or flow.first]
    values = {
        "id": None, "flow": flow.name, "subject": want["subject"], "customer": want["customer"], "number": number,
        "key": key, "stage": stage.name, "ended": stage.end, "stay": 1, "came_from": None, "came_stay": None,
        "opened_at": want["at"], "entered_at": want["at"], "ended_at": want["at"] if stage.end else None, "clock": None,
        "run": 0, "waiting": 0, "seq": 0, "version": 1, "definition": work.view.definition.hash,
    }  # fmt: skip
    row = CaseRow(values[column.name] for column in t.case.columns)
    row.old_version = None
    return row


def _insert(work: Work, rows: list[CaseRow], wanted: list[dict[str, Any]]) -> None:
    values = [{name: getattr(row, name) for name in CASE_VALUES} for row in rows]
    work.connection.execute(insert_for(work.connection.dialect.name, t.case), values)
    # A case is found by its subject and number again: RETURNING would insert them one by one.
    found = work.connection.execute(_numbered(), _listed({row.flow for row in rows}, {row.subject for row in rows}))
    ids = {(flow, subject, number): id_ for flow, subject, number, id_ in found}
    for row in rows:
        row.id = ids[(row.flow, row.subject, row.number)]
        row.old_version = row.version
        work.rows[row.id] = row
    work.know(rows)
    _give_owners(work, rows)
    for row, want in zip(rows, wanted, strict=True):
        at, flow = want["at"], want["flow"]
        seq = work.log(
            row,
            "opened",
            at,
            actor=want.get("actor"),
            target=row.stage,
            place=want.get("place"),
            because=want["because"],
        )
        work.tell("opened", row, stage=row.stage, at=work.text(at), because=want["because"])
        for name, value in want.get("fields", {}).items():
            work.set_field(f"{flow.name}.{name}", row.id, value, flow.fields[name].type, at)
        deadlines.start_stage(work, row, at)
        stage = flow.stages[row.stage]
        happen(work, row, (*flow.do, *stage.do), at, seq)
        _repeats(work, row, stage.do, at)
    settle(work, rows)


def _give_owners(work: Work, rows: list[CaseRow]) -> None:
    """Roles that say how they are filled are filled before anything happens to the cases."""
    roles = automatic(work.view.definition)
    lacking = {row.customer for row in rows if any((row.customer, role.name) not in work.owners for role in roles)}
    customers = sorted(customer for customer in lacking if customer is not None)
    if roles and customers:
        found = fill_for_cases(work.connection, work.view, work.kept, actor=work.actor, customers=customers)
        work.owners.update({key: person for key, person in found.items() if person is not None})


def settle(work: Work, rows: list[CaseRow]) -> None:
    """Read clocks and dates of newly opened cases, and make the deadlines that hang on them."""
    by_flow: dict[str, list[CaseRow]] = {}
    for row in rows:
        by_flow.setdefault(row.flow, []).append(row)
    for name, members in by_flow.items():
        flow = work.view.definition.flows[name]
        found = anchors_of(work, flow, [row.id for row in members])
        for row in members:
            values = found.get(row.id, {})
            row.clock = values.pop("clock", None)
            deadlines.start_all(work, row, row.opened_at, values)


def anchors_of(work: Work, flow: Flow, ids: list[int]) -> dict[int, dict[str, Any]]:
    """The clock and the dates that the deadlines of these cases hang on."""
    expressions = work.view.anchors(flow)
    if not expressions:
        return {}
    labels = {f"x{i}": name for i, name in enumerate(expressions)}

    def build() -> Executable:
        reader = work.view.cases(flow)
        asked = {label: expressions[name] for label, name in labels.items()}
        return values_of(reader, asked, key=reader.base.c.id, where=[these(reader.base.c.id)])

    return {
        row.key: {name: _whole(row._mapping[label]) for label, name in labels.items()}  # noqa: SLF001
        for row in work.ask(("anchors", flow.name), build, ids)
    }


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
