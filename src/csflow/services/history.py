"""Everything that happened to a customer's cases, or to one case, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, select

from csflow.services.finding import case_names, find_cases
from csflow.services.showing import history_entry
from csflow.services.views import View, see
from csflow.store import tables as t

if TYPE_CHECKING:
    from csflow.flow.definition import Definition
    from csflow.store.opening import Store
    from csflow.values import Instant


def history(
    store: Store,
    definition: Definition,
    target: str,
    now: Instant,
    *,
    flow: str | None = None,
    limit: int | None = None,
    verbose: bool = False,
) -> dict[str, Any]:
    """The entries of a customer's cases (or of another subject's, or of one case), the oldest first.

    ``{"target", "entries": [{"case", "seq", "at", "kind", "actor", "from", "to", "place", "because"}, …],
    "left_out"}``.
    ``kind`` is opened, moved, milestone, missed, field, task, clock, migrated …; ``to`` is the stage entered, or the
    milestone, deadline, field or task. Entries of one case stand in the order of their ``seq``, even where one tells of
    an earlier moment. Only the newest ``limit`` are kept; ``left_out`` says how many are not. ``verbose`` adds
    ``recorded``, the time by the clock on the wall, and ``definition``. UsageError for an unknown target.
    """
    with store.reading() as connection:
        view = see(connection, definition, now)
        ids = find_cases(connection, definition, target, flow)
        names = case_names(connection, definition, ids)
        total, rows = _entries(connection, ids, limit)
        entries = [
            {"case": names[row.case], "seq": row.seq} | history_entry(view, row) | (_more(view, row) if verbose else {})
            for row in rows
        ]
        return {"target": target, "entries": entries, "left_out": total - len(entries)}


def _more(view: View, row: Any) -> dict[str, Any]:
    return {"recorded": view.zone.text(row.recorded), "definition": row.definition}


def _entries(connection: Connection, ids: list[int], limit: int | None) -> tuple[int, list[Any]]:
    """How many entries there are, and the newest of them, the oldest first.

    An entry stands where its case's history had come to: a deadline's miss is dated at its due time, yet was written
    after what happened meanwhile.
    """
    h, c = t.history.c, t.case.c
    total = connection.execute(select(func.count()).where(h.case.in_(ids))).scalar_one()
    came = func.max(h.at).over(partition_by=h.case, order_by=h.seq).label("came")
    statement = (
        select(t.history, came, c.flow.label("case_flow"), c.number.label("case_number"))
        .join(t.case, c.id == h.case)
        .where(h.case.in_(ids))
        .subquery()
    )
    s = statement.c
    order = [s.came.desc(), s.case_flow.desc(), s.case_number.desc(), s.case.desc(), s.seq.desc()]
    rows = connection.execute(select(statement).order_by(*order).limit(limit)).all()
    return total, list(reversed(rows))
