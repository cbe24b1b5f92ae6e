"""The dictionary of names: narrow tables hold a number for each metric, field, feature, source and condition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from csflow.store.insertion import insert_into
from csflow.store.tables import name

if TYPE_CHECKING:
    from sqlalchemy import Connection

KINDS = frozenset({"metric", "field", "feature", "source", "condition"})


def name_id(connection: Connection, kind: str, called: str) -> int:
    """The number of a name, given one when it has none; two programs that ask at once get the same."""
    if kind not in KINDS:
        raise ValueError(kind)
    wanted = select(name.c.id).where(name.c.kind == kind, name.c.name == called)
    found = connection.execute(wanted).scalar()
    if found is None:
        connection.execute(insert_into(connection, name).values(kind=kind, name=called).on_conflict_do_nothing())
        found = connection.execute(wanted).scalar_one()
    return int(found)


def ids(connection: Connection, kind: str) -> dict[str, int]:
    """All names of a kind and their numbers."""
    rows = connection.execute(select(name.c.name, name.c.id).where(name.c.kind == kind).order_by(name.c.id))
    return {row.name: row.id for row in rows}
