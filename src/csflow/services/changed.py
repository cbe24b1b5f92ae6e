"""A changed definition meets cases that run under another one: re-pinned in a few statements, or refused whole."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, func, insert, literal, null, select, update

from csflow.errors import DefinitionError, Problem
from csflow.flow.definition import Definition, Flow
from csflow.services.views import View
from csflow.store import tables as t
from csflow.store.insertion import insert_into


def adopt(connection: Connection, view: View, request: Any) -> bool:
    """Let every open and ended case run under this definition; True when one did not yet.

    Raises DefinitionError naming flow, stage and number of cases for each stage that is gone and neither renamed
    (`renamed_from:`) nor migrated (`migrate:`); then nothing is written.
    """
    definition = view.definition
    there = connection.execute(select(t.definition.c.hash).where(t.definition.c.hash == definition.hash)).first()
    if there is None:
        body = {"hash": definition.hash, "body": json.dumps(definition.tree, ensure_ascii=False), "as_of": view.now}
        connection.execute(insert_into(connection, t.definition).values(**body).on_conflict_do_nothing())
    old = connection.execute(select(t.case.c.id).where(t.case.c.definition != definition.hash).limit(1)).first()
    if old is None:
        return there is None
    occupied = connection.execute(
        select(t.case.c.flow, t.case.c.stage, func.count()).group_by(t.case.c.flow, t.case.c.stage)
    ).all()
    homeless = [
        Problem(f"{flow}", 1, 1, _homeless(definition, flow, stage, number))
        for flow, stage, number in occupied
        if _place_of(definition, flow, stage) is None
    ]
    if homeless:
        raise DefinitionError(homeless)
    for flow, stage, _ in occupied:
        target = _place_of(definition, flow, stage)
        if target is not None and target != stage:
            _rename(connection, view, request, definition.flows[flow], stage, target)
    connection.execute(update(t.case).where(t.case.c.definition != definition.hash).values(definition=definition.hash))
    return True


def _place_of(definition: Definition, flow: str, stage: str) -> str | None:
    found = definition.flows.get(flow)
    if found is None:
        return None
    if stage in found.stages:
        return stage
    return found.renamed.get(stage) or found.migrate.get(stage, {}).get("to")


def _homeless(definition: Definition, flow: str, stage: str, number: int) -> str:
    cases = f"{number} case{'s' if number != 1 else ''}"
    if flow not in definition.flows:
        return f"flow '{flow}' is gone, but has {cases} in '{stage}': bring it back"
    return f"stage '{stage}' of flow '{flow}' is gone, but has {cases}: write renamed_from: or migrate:"


def _rename(connection: Connection, view: View, request: Any, flow: Flow, old: str, new: str) -> None:
    """Put the cases into the stage's new name, with an entry in each history."""
    c = t.case.c
    mine = (c.flow == flow.name, c.stage == old)
    entry = select(
        c.id, c.seq + 1, literal("migrated"), literal(view.now, t.history.c.at.type),
        literal(request.recorded, t.history.c.recorded.type), literal(request.actor),
        literal(view.definition.hash), literal(old), literal(new), literal("definition"), null(),
    ).where(*mine)  # fmt: skip
    names = ["case", "seq", "kind", "at", "recorded", "actor", "definition", "source", "target", "place", "because"]
    connection.execute(insert(t.history).from_select(names, entry))
    values: dict[str, Any] = {"stage": new, "seq": c.seq + 1, "version": c.version + 1, "ended": flow.stages[new].end}
    if flow.migrate.get(old, {}).get("clock") == "restart":
        values["clock"] = None
    connection.execute(update(t.case).where(*mine).values(**values))
    for table in (t.milestone,):
        connection.execute(
            update(table).where(table.c.stage == old, table.c.case.in_(select(c.id).where(c.flow == flow.name, c.stage == new))).values(stage=new)
        )
