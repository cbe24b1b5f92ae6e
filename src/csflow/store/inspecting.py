"""Looking at a database without changing it: no table is made, nothing is upgraded, no setting is written."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.pool import NullPool

from csflow.store.opening import (
    BUSY_SECONDS,
    SCHEMA,
    Store,
    address_of,
    database_version,
    engine_of,
    place_of,
    translated,
)
from csflow.store.tables import metadata

if TYPE_CHECKING:
    from sqlalchemy import URL

DAMAGES = 3  # of a damaged SQLite file, so many are told
CRASH_SAFE = {"fsync": "on", "full_page_writes": "on"}  # PostgreSQL: without these a crash may damage the database


@dataclass(frozen=True, slots=True)
class Inspected:
    """What was found of a database: where it is, what it is, the version of its tables (None: none yet)."""

    place: str
    kind: str
    tables: str | None
    known: str
    lacks: tuple[str, ...]  # tables and columns of this csflow that are not there
    damages: tuple[str, ...]
    unsafe: tuple[str, ...]  # settings with which a crash can lose what was written


def looking_store(url: str | None, *, project: Path | None) -> Store | None:
    """A store that only reads; None where the SQLite file is not there yet. StoreError where it cannot be opened."""
    address = address_of(url, project)
    if address.get_backend_name() != "sqlite":
        return Store(engine_of(address))
    if not Path(address.database or "").is_file():
        engine_of(address).dispose()  # a folder that is not there, or a folder in its place, is told
        return None
    return Store(_reading_engine(address))


def inspected(store: Store) -> Inspected:
    """Look at the whole database: its version, its tables, its health. StoreError where it cannot be read."""
    place = place_of(store.url)
    with translated(store.url), store.engine.connect() as connection:
        kind = " ".join([store.dialect, ".".join(map(str, connection.dialect.server_version_info or ()))]).strip()
        version = database_version(connection)
        lacks = _lacking(connection) if version == SCHEMA else ()
        sqlite = store.dialect == "sqlite"
        damages = _damages(connection) if sqlite else ()
        unsafe = _unsafe_file(connection) if sqlite else _unsafe_server(connection)
    return Inspected(place, kind, version, SCHEMA, lacks, damages, unsafe)


def _reading_engine(address: URL) -> Engine:
    path = Path(address.database or "").resolve()

    def connect() -> Any:
        return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=BUSY_SECONDS)

    return create_engine(address, creator=connect, poolclass=NullPool)


def _lacking(connection: Connection) -> tuple[str, ...]:
    there = {
        name: {column["name"] for column in columns}
        for (_, name), columns in inspect(connection).get_multi_columns().items()
    }
    found = []
    for table in metadata.sorted_tables:
        if table.name not in there:
            found.append(f"table {table.name}")
        else:
            found += [f"column {table.name}.{c.name}" for c in table.columns if c.name not in there[table.name]]
    return tuple(found)


def _damages(connection: Connection) -> tuple[str, ...]:
    told = connection.execute(text(f"pragma quick_check({DAMAGES})")).scalars().all()
    found = [" ".join(line.split()) for line in told if line != "ok"]
    if found:
        return tuple(found)
    orphans = connection.execute(text("pragma foreign_key_check")).all()
    tables = sorted({row[0] for row in orphans})
    return tuple(f"rows of {table} name others that are not there" for table in tables)


def _unsafe_file(connection: Connection) -> tuple[str, ...]:
    """What csflow sets for each connection is tried here, on a connection that writes nothing."""
    connection.execute(text("pragma synchronous = full"))
    connection.execute(text("pragma foreign_keys = on"))
    found = {
        "journal_mode": connection.execute(text("pragma journal_mode")).scalar(),
        "synchronous": connection.execute(text("pragma synchronous")).scalar(),
        "foreign_keys": connection.execute(text("pragma foreign_keys")).scalar(),
    }
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    return tuple(f"{name} is {value}, not {wanted[name]}" for name, value in found.items() if value != wanted[name])


def _unsafe_server(connection: Connection) -> tuple[str, ...]:
    found = {name: connection.execute(text(f"show {name}")).scalar() for name in (*CRASH_SAFE, "synchronous_commit")}
    told = [f"{name} is {found[name]}" for name, wanted in CRASH_SAFE.items() if found[name] != wanted]
    if found["synchronous_commit"] == "off":
        told.append("synchronous_commit is off")
    return tuple(told)
