"""What SQLAlchemy writes differently for each database, or not at all: INSERT … ON CONFLICT, long lists of ids."""

from __future__ import annotations

import json
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, ColumnElement, Text, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection, Table
    from sqlalchemy.dialects import postgresql, sqlite


def insert_into(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that offers ``on_conflict_do_nothing`` and ``on_conflict_do_update`` on this connection's database."""
    return insert_for(connection.dialect.name, table)  # type: ignore[no-any-return]


@cache
def insert_for(dialect: str, table: Table) -> Any:
    """As `insert_into`, for a database by name."""
    # Only the one in use is imported: the drivers that come with each cost a start-up.
    return import_module(f"sqlalchemy.dialects.{dialect}").insert(table)


@cache
def upsert(dialect: str, table: Table, keys: tuple[str, ...], changes: tuple[str, ...]) -> Any:
    """An INSERT that gives a row with the same ``keys`` these new values; made once for each database."""
    statement = insert_for(dialect, table)
    new = {name: statement.excluded[name] for name in changes}
    return statement.on_conflict_do_update(index_elements=list(keys), set_=new)


@cache
def missing_only(dialect: str, table: Table) -> Any:
    """An INSERT that leaves rows alone that are there already; made once for each database."""
    return insert_for(dialect, table).on_conflict_do_nothing()


def has_temporary(connection: Connection, table: str) -> bool:
    """Whether this connection has a temporary table of that name."""
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql("select 1 from sqlite_temp_master where name = ?", (table,))
    else:
        found = connection.exec_driver_sql(
            "select 1 from pg_class where relname = %s and relpersistence = 't' and pg_table_is_visible(oid)", (table,)
        )
    return found.first() is not None


def empty(connection: Connection, *names: str) -> None:
    """Empty temporary tables. PostgreSQL cuts them off: nobody ever cleans them of rows that were deleted."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"truncate {', '.join(names)} restart identity")
        return
    for name in names:
        connection.exec_driver_sql(f"delete from {name}")  # noqa: S608  # our names


def among(column: ColumnElement[Any], ids: Iterable[int]) -> ColumnElement[bool]:
    """``column IN ids`` with the list as one bind parameter: the same statement for any number of ids."""
    return listed(column, literal(json.dumps(list(ids)), Text))


def listed(column: ColumnElement[Any], text: ColumnElement[str]) -> ColumnElement[bool]:
    """``column IN`` the numbers of a JSON list."""
    return column.bool_op("IN")(_Listed(text))


class _Listed(FunctionElement[Any]):
    """The numbers of a JSON list as a subquery."""

    inherit_cache = True
    name = "listed"
    type = BigInteger()


@compiles(_Listed)
def _json_list(element: _Listed, compiler: Any, **options: Any) -> str:
    listed = compiler.process(element.clauses, **options)
    return f"(SELECT value::bigint FROM json_array_elements_text(({listed})::json))"  # noqa: S608  # a bind parameter


@compiles(_Listed, "sqlite")
def _json_each(element: _Listed, compiler: Any, **options: Any) -> str:
    return f"(SELECT value FROM json_each({compiler.process(element.clauses, **options)}))"  # noqa: S608  # the same
