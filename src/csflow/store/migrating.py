"""Running the migrations. The only module that imports Alembic; nothing imports it before it is needed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from csflow.errors import StoreError
from csflow.store.tables import metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData

SCRIPTS = Path(__file__).parent / "migrations"


def configuration() -> Config:
    """Alembic's settings, without any file of its own."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def whole_metadata() -> MetaData:
    """The tables with the conditions of partial indexes for PostgreSQL too.

    The models name them for SQLite only: naming a second dialect would make every start import it.
    """
    for table in metadata.tables.values():
        for index in table.indexes:
            where = index.dialect_options["sqlite"]["where"]
            if where is not None:
                index.dialect_options["postgresql"]["where"] = where
    return metadata


def head() -> str:
    """The newest revision among the migrations."""
    revision = ScriptDirectory.from_config(configuration()).get_current_head()
    assert revision is not None  # noqa: S101 - the first revision is part of the package
    return revision


def run_migrations(connection: Connection) -> None:
    """Upgrade to the newest revision in the transaction that ``connection`` is in."""
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def copy_file(path: Path, target: Path) -> None:
    """Copy a SQLite database that may be in use, through its backup interface. StoreError when there is no room."""
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise StoreError(f"{target}: the copy before the upgrade failed ({error}); nothing was changed") from error
