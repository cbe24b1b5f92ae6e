"""Former versions of imported rows: what was known before, and until when."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Connection, insert, select

from csflow.store.tables import row_log

if TYPE_CHECKING:
    from csflow.store.importing_kinds import Kind


def keep_rows(connection: Connection, kind: Kind, chosen: ColumnElement[bool], until: int) -> None:
    """Copy rows into `row_log` before they change. In Python, because the databases space their JSON differently."""
    former = select(kind.table).where(chosen).order_by(kind.table.c.id)
    rows = [
        {
            "kind": kind.name,
            "row": row["id"],
            "body": json.dumps({name: value for name, value in row.items() if name != "id"}, ensure_ascii=False),
            "until": until,
        }
        for row in connection.execute(former).mappings()
    ]
    if rows:
        connection.execute(insert(row_log), rows)
