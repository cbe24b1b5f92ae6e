"""INSERT … ON CONFLICT, which SQLAlchemy knows only for each database apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table


def insert_into(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that offers ``on_conflict_do_nothing`` and ``on_conflict_do_update`` on this connection's database."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
