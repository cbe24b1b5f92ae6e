"""What makes every case be asked: a changed definition, or other unknowns than before; and what it does to cases.

A changed definition meets cases that run under another one: they are re-pinned in a few statements, or it is refused.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    update,
)

from csflow.errors import DefinitionError, Problem
from csflow.flow.definition import Definition, Flow
from csflow.services import deadlines, moving
from csflow.services.deadlines import specs
from csflow.services.views import View
from csflow.services.work import Work
from csflow.store import tables as t
from csflow.store.insertion import insert_into
from csflow.values import Instant, counted

PINNED = "definition"  # key in `meta`: the hash that all cases run under
EVERYONE = "ask_everyone"  # key in `meta`: set until a pass has asked all cases once
NO_UNKNOWNS = "[[], []]"  # what stands for a store that was never asked: nothing was unknown then


def adopt(connection: Connection, view: View, request: Any) -> bool:
    """Let every open and ended case run under this definition; True when all cases must be asked once.

    ``request`` has the ``actor`` and the ``recorded`` instant of the entries in history.

    Raises DefinitionError naming flow, stage and number of cases for each stage that is gone and neither renamed
    (`renamed_from:`) nor migrated (`migrate:`); then nothing is written.
    """
    definition = view.definition
    if _noted(connection, PINNED) == definition.hash:
        return _noted(connection, EVERYONE) is not None
    there = connection.execute(select(t.definition.c.hash).where(t.definition.c.hash == definition.hash)).first()
    if there is None:
        body = {"hash": definition.hash, "body": json.dumps(definition.tree, ensure_ascii=False), "as_of": view.now}
        connection.execute(insert_into(connection, t.definition).values(**body).on_conflict_do_nothing())
    note(connection, PINNED, definition.hash)
    note(connection, EVERYONE, definition.hash)
    occupied = connection.execute(
        select(t.case.c.flow, t.case.c.stage, func.count()).group_by(t.case.c.flow, t.case.c.stage)
    ).all()
    homeless = [
        Problem("", 0, 0, _homeless(definition, flow, stage, number))
        for flow, stage, number in occupied
        if _place_of(definition, flow, stage) is None
    ]
    there_now = [(f, s) for f, s, _ in occupied] if not homeless else []
    homeless += [Problem("", 0, 0, told) for f, s in there_now if (told := _in_the_way(connection, definition, f, s))]
    if homeless:
        raise DefinitionError(homeless)
    for flow, stage, _ in occupied:
        target = _place_of(definition, flow, stage)
        if target is not None:
            _carry(connection, view, request, definition.flows[flow], stage, target)
    connection.execute(update(t.case).where(t.case.c.definition != definition.hash).values(definition=definition.hash))
    return True


def _noted(connection: Connection, key: str) -> str | None:
    return connection.execute(_kept(), {"key": key}).scalar()


@cache
def _kept() -> Select[str]:
    return select(t.meta.c.value).where(t.meta.c.key == bindparam("key"))


def unpin(connection: Connection, definition: Definition) -> None:
    """A change by hand under a definition that no pass has adopted yet: the next pass looks at every case's."""
    if _noted(connection, PINNED) != definition.hash:
        note(connection, PINNED, None)


def note(connection: Connection, key: str, value: str | None) -> None:
    """Remember a word in `meta`, or forget it (None)."""
    if value is None:
        connection.execute(delete(t.meta).where(t.meta.c.key == key))
        return
    statement = insert_into(connection, t.meta).values(key=key, value=value)
    connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"value": value}))


def other_unknowns(connection: Connection, view: View, key: str) -> bool:
    """Whether other metrics or things are unknown as a whole than when this was asked last; ``key``: where in `meta`.

    What became unknown, or known, touches nobody: so whoever asks the touched only asks everybody then.
    """
    now = json.dumps([sorted(view.moment.stale), sorted(view.moment.unfed)])
    if now == (_noted(connection, key) or NO_UNKNOWNS):
        return False
    note(connection, key, now)
    return True


def redated(connection: Connection, view: View) -> list[int]:
    """The open cases whose deadlines are not what the definition says: another due time, or none yet.

    Deadlines that the definition no longer has are dropped here, in one statement for each flow.
    """
    found: set[int] = set()
    c, line = t.case.c, t.deadline.c
    for flow in view.definition.flows.values():
        named = [spec.deadline.name for spec in specs(flow)]
        mine = select(c.id).where(c.flow == flow.name, c.ended.is_(None))
        gone = (
            line.case.in_(mine),
            line.name.not_in(named),
            line.met.is_(None),
            line.missed.is_(None),
            line.dropped == 0,
        )
        connection.execute(update(t.deadline).where(*gone).values(dropped=1))
        for spec in specs(flow):
            entering = spec.deadline.due.hangs_on_entering
            there = exists(
                select(literal(1)).where(
                    line.case == c.id, line.name == spec.deadline.name, line.run == (c.stay if entering else c.run),
                    or_(line.spec == spec.deadline.due.text, line.met.is_not(None), line.missed.is_not(None)),
                )
            )  # fmt: skip
            lacking = mine.where(~there)
            if entering and spec.stage is not None:
                lacking = lacking.where(c.stage == spec.stage)
            found |= set(connection.execute(lacking).scalars())
    return sorted(found)


def redate(work: Work, ids: list[int]) -> None:
    """Give these cases the deadlines that the definition says, counted from the same anchors."""
    work.load(ids)
    for row in (work.rows[id_] for id_ in ids if id_ in work.rows):
        flow = work.flow(row)
        anchors = moving.anchors_of(work, flow, [row.id]).get(row.id, {})
        anchors.pop("clock", None)
        for line in work.lines[row.id]:
            spec = deadlines.spec_of(flow, line.name)
            if spec is not None and line.waits and line.spec != spec.deadline.due.text:
                deadlines.follow(work, row, line, deadlines.anchor_of(row, spec.deadline.due, anchors)[0])
        deadlines.start_all(work, row, work.view.now, anchors)
        deadlines.start_stage(work, row, work.view.now)
    work.flush()


def _place_of(definition: Definition, flow: str, stage: str) -> str | None:
    found = definition.flows.get(flow)
    if found is None:
        return None
    if stage in found.stages:
        return stage
    return found.renamed.get(stage) or found.migrate.get(stage, {}).get("to")


def _homeless(definition: Definition, flow: str, stage: str, number: int) -> str:
    cases = counted(number, "case")
    if flow not in definition.flows:
        return f"flow '{flow}' is gone, but has {cases} in '{stage}': bring it back"
    return f"stage '{stage}' of flow '{flow}' is gone, but has {cases}: write renamed_from: or migrate:"


def _carry(connection: Connection, view: View, request: Any, flow: Flow, old: str, new: str) -> None:
    """Put the cases into the stage's new name, with an entry in each history.

    In a stage that keeps its name, only those are meant that it now ends otherwise, or no longer.
    """
    c, end = t.case.c, flow.stages[new].end
    mine = [c.flow == flow.name, c.stage == old]
    if old == new:
        mine.append(c.ended.is_distinct_from(end))
        if connection.execute(select(c.id).where(*mine).limit(1)).first() is None:
            return
    entry = select(
        c.id, c.seq + 1, literal("migrated"), literal(view.now, t.history.c.at.type),
        literal(request.recorded, t.history.c.recorded.type), literal(request.actor),
        literal(view.definition.hash), literal(old), literal(new), literal("definition"), null(),
    ).where(*mine)  # fmt: skip
    names = ["case", "seq", "kind", "at", "recorded", "actor", "definition", "source", "target", "place", "because"]
    connection.execute(insert(t.history).from_select(names, entry))
    if end is not None:
        _leave_nothing_open(connection, select(c.id).where(*mine, c.ended.is_(None)), view.now)
    ended_at = null() if end is None else case((c.ended.is_(None), view.now), else_=c.ended_at)
    values: dict[str, Any] = {"stage": new, "seq": c.seq + 1, "version": c.version + 1, "ended": end}
    values["ended_at"] = ended_at
    if flow.migrate.get(old, {}).get("clock") == "restart":
        values["clock"] = None
    connection.execute(update(t.case).where(*mine).values(**values))
    m, taken = t.milestone.c, select(c.id).where(c.flow == flow.name, c.stage == new)
    connection.execute(update(t.milestone).where(m.stage == old, m.case.in_(taken)).values(stage=new))


def _leave_nothing_open(connection: Connection, cases: Select[Any], now: Instant) -> None:
    """What still waits in cases that end here: neither met nor missed, neither done nor left undone."""
    d, k = t.deadline.c, t.task.c
    waits = (d.case.in_(cases), d.met.is_(None), d.missed.is_(None), d.dropped == 0)
    connection.execute(update(t.deadline).where(*waits).values(dropped=1))
    undone = update(t.task).where(k.case.in_(cases), k.done_at.is_(None))
    connection.execute(undone.values(done_at=now, outcome="not_applicable"))


def _in_the_way(connection: Connection, definition: Definition, flow: str, stage: str) -> str | None:
    """Why ended cases of a stage that is gone, or no end now, cannot go on where it leads to; None where they can."""
    target = _place_of(definition, flow, stage)
    if target is None or definition.flows[flow].stages[target].end is not None:
        return None
    c, other = t.case.c, t.case.alias("other").c
    same = (other.flow == c.flow, other.subject == c.subject, other.key == c.key, other.id != c.id)
    rival = exists(select(literal(1)).where(*same, or_(other.ended.is_(None), other.stage == stage)))
    mine = (c.flow == flow, c.stage == stage, c.ended.is_not(None))
    number = connection.execute(select(func.count()).select_from(t.case).where(*mine, rival)).scalar_one()
    if not number:
        return None
    many = counted(number, "case")
    if target == stage:
        return (
            f"stage '{stage}' of flow '{flow}' is an end no longer, and {many} that ended in it cannot go on beside "
            "another of the same subject: let it end, or give it another name and write migrate: to a stage that ends"
        )
    return (
        f"stage '{stage}' of flow '{flow}' is gone, and {many} that ended in it cannot go on in "
        f"'{target}' beside another of the same subject: write migrate: to a stage that ends"
    )
