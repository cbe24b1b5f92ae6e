"""The cases that people mean by a customer's id, another subject's (``contract:K-1``) or a case's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from csflow.errors import UsageError
from csflow.services.meaning import find_meant, near
from csflow.store import tables as t
from csflow.store.names import subject_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from csflow.flow.definition import Definition


def find_cases(connection: Connection, definition: Definition, target: str, flow: str | None = None) -> list[int]:
    """The ids of the cases meant, in the order of flows, opening and number.

    ``target``: a customer's id (all its cases), ``kind:ID`` for another subject, or a case's name ``flow/ID/number``.
    ``flow`` leaves only the cases of that flow and of those that extend it. UsageError, with the nearest id, for what
    is not there.
    """
    if flow is not None and flow not in definition.flows:
        raise UsageError(f"no flow '{flow}'{near(flow, definition.flows)}")
    meant, c = find_meant(connection, definition, target), t.case.c
    if meant.kind == "case":
        return [meant.id]
    kinds = [name for name, one in definition.flows.items() if one.subject == meant.kind]
    mine = c.customer == meant.id if meant.kind == "customer" else c.flow.in_(kinds) & (c.subject == meant.id)
    order = {name: place for place, name in enumerate(definition.flows)}
    rows = connection.execute(select(c.id, c.flow, c.opened_at, c.number).where(mine)).all()
    wanted = [row for row in rows if flow is None or _belongs(definition, row.flow, flow)]
    wanted.sort(key=lambda row: (order.get(row.flow, len(order)), row.flow, row.opened_at, row.number, row.id))
    return [row.id for row in wanted]


def _belongs(definition: Definition, name: str, flow: str) -> bool:
    return name == flow or (name in definition.flows and definition.flows[name].base == flow)


def case_names(connection: Connection, definition: Definition, ids: Iterable[int]) -> dict[int, str]:
    """The cases as people call them; also those of flows that the definition no longer has."""
    rows = connection.execute(select(t.case).where(t.case.c.id.in_(list(ids)))).all()
    found: dict[int, str] = {}
    for kind in sorted({_kind(definition, row.flow) for row in rows}):
        mine = [row for row in rows if _kind(definition, row.flow) == kind]
        keys = subject_names(connection, kind, {row.subject for row in mine})
        found |= {row.id: f"{row.flow}/{keys.get(row.subject, '?')}/{row.number}" for row in mine}
    return found


def _kind(definition: Definition, flow: str) -> str:
    known = definition.flows.get(flow)
    return known.subject if known is not None else "customer"
