"""Opening the database: one file or one PostgreSQL schema, its version, its transactions, its failures in one line."""

from __future__ import annotations

import re
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    NotSupportedError,
    ProgrammingError,
)

from csflow.errors import CsflowError, StoreError
from csflow.flow.files import CACHE
from csflow.store.calling import MARK, CallError, call_error, calls_in
from csflow.store.prepared import Kept
from csflow.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import ExceptionContext

SCHEMA = "0001"  # the revision this csflow works with: the head of the migrations (a test keeps them equal)
BUSY_SECONDS = 30
PAGES_KIB = 32_768  # SQLite's page cache: enough for the inner pages of the indexes of a million rows
STATEMENTS = 1_024  # kept by SQLite's driver: a pass of the standard pack asks some four hundred, hop after hop
BEGIN = "csflow_begin"  # execution option: which BEGIN a SQLite transaction starts with
MIGRATION_LOCK = 0x63736601  # PostgreSQL advisory lock of whoever creates or upgrades the tables
NO_TABLE = re.compile(r'no such table: (?:main\.)?(\w+)|relation "(\w+)" does not exist')


class Store:
    """An opened database. ``dialect`` is ``sqlite`` or ``postgresql``; ``url`` shows no password when printed.

    ``kept``: statements prepared before, kept in the folder ``cache`` if there is one.
    """

    def __init__(self, engine: Engine, cache: Path | None = None) -> None:
        self.engine = engine
        self.kept = Kept(cache)
        self.url: URL = engine.url
        self.dialect: str = engine.dialect.name

    @property
    def path(self) -> Path | None:
        """The SQLite file, None for a database in memory or on a server."""
        database = self.url.database
        return Path(database) if self.dialect == "sqlite" and database not in {None, "", ":memory:"} else None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one moment of the database throughout. Writing through it is an error."""
        with translated(self.url), self.engine.connect() as connection:
            if self.dialect == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in one transaction: committed at the end, rolled back when an exception passes through."""
        with self._immediate() as connection, connection.begin():
            yield connection

    @contextmanager
    def trial(self) -> Iterator[Connection]:
        """Like `writing`, but always rolled back: what a dry run is made of."""
        with self._immediate() as connection:
            transaction = connection.begin()
            try:
                yield connection
            finally:
                transaction.rollback()

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection that begins by itself and commits when told: for work in chunks.

        The transactions it begins take SQLite's write lock only at the first write; see `immediate`.
        """
        with translated(self.url), self.engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()

    @contextmanager
    def _immediate(self) -> Iterator[Connection]:
        with translated(self.url), self.engine.connect() as connection:
            yield immediate(connection)


def immediate(connection: Connection, *, wanted: bool = True) -> Connection:
    """Let the next transactions of a connection take SQLite's write lock at their beginning (or not)."""
    return connection.execution_options(**{BEGIN: "BEGIN IMMEDIATE" if wanted else "BEGIN"})


def open_store(url: str | None, *, project: Path | None, migrate: bool = False) -> Store:
    """Open the project's database; create it when there is none, upgrade an older one only when told to.

    Without ``url`` it is ``csflow.db`` in the project's folder. Raises StoreError when it cannot be used as it is.
    """
    engine = engine_of(address_of(url, project))
    store = Store(engine, project / CACHE if project is not None else None)
    try:
        with translated(store.url):
            _check_version(store, migrate=migrate)
    except BaseException:
        engine.dispose()
        raise
    return store


def present_version(url: str | None, *, project: Path | None) -> tuple[str | None, Path | None]:
    """The version of the tables that are there (None: none yet) and the SQLite file they are in, nothing upgraded."""
    store = Store(engine_of(address_of(url, project)))
    try:
        if store.path is not None and not store.path.exists():
            return None, None
        with translated(store.url), store.engine.connect() as connection:
            return database_version(connection), store.path
    finally:
        store.close()


def database_version(connection: Connection) -> str | None:
    """The revision of the tables that are there; None when the database is empty. StoreError when it is another's."""
    try:
        with connection.begin_nested():
            found = connection.execute(text("select version_num from alembic_version")).scalars().all()
    except DBAPIError as error:
        if not _says_no_such_table(error):
            raise
        if inspect(connection).get_table_names():
            place = place_of(connection.engine.url)
            raise StoreError(f"{place} holds the tables of another program: give csflow one of its own") from None
        return None
    return found[0] if found else None


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Turn what a database cannot do (not what the code got wrong) into a StoreError of one line.

    A statement that calls functions of plugins and fails by itself is a CallError that names them.
    """
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        blamed = blame(error)
        if blamed is not None:
            raise blamed from error
        reason = _lacking(error.orig) or (None if _is_mistake(error) else _reason(error))
        if reason is None:
            raise
        raise StoreError(f"{place_of(url)}: {reason}") from error
    except sqlite3.OperationalError as error:  # from the driver itself, in bulk statements
        reason = _lacking(error) or _plain(str(error))
        if reason is None:
            raise
        raise StoreError(f"{place_of(url)}: {reason}") from error


def of_statement(error: BaseException) -> bool:
    """Whether a statement failed by what it says or by a value that it met; False for a trouble of the database."""
    if isinstance(error, DBAPIError):
        own = _is_mistake(error) or isinstance(error, DataError | NotSupportedError)
        return own and not error.connection_invalidated
    return isinstance(error, OverflowError)  # a number that the driver cannot hand over


def blame(error: DBAPIError) -> CallError | None:
    """The functions of plugins that failed in a statement; None where it calls none, or the database is to blame."""
    calls = calls_in(error.statement)
    return call_error(calls, error) if calls and of_statement(error) else None


@contextmanager
def blaming(connection: Connection, text: str) -> Iterator[None]:
    """Run a statement of that text inside: CallError when functions of plugins fail in it; the transaction lives on."""
    if MARK not in text:
        yield
        return
    try:
        with connection.begin_nested():
            yield
    except (DBAPIError, OverflowError) as error:
        if not of_statement(error):
            raise
        raise call_error(calls_in(text), error) from error


def _is_mistake(error: DBAPIError) -> bool:
    """Whether the statement is wrong, not the database: SQLite calls both operational errors."""
    if isinstance(error.orig, sqlite3.OperationalError):
        return _plain(str(error.orig)) is None
    return isinstance(error, ProgrammingError) and getattr(error.orig, "sqlstate", None) != "42501"


def address_of(url: str | None, project: Path | None) -> URL:
    """The database's address; without ``url`` the file in the project's folder. StoreError where it is no address."""
    if not url:
        return URL.create("sqlite", database=str((project or Path()) / "csflow.db"))
    try:
        address = make_url(url)
    except ArgumentError:
        raise StoreError(
            "the database's address cannot be read: write sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from None
    if "@" in (address.host or ""):  # half of a password: nothing of it is told
        raise StoreError("the database's address cannot be read: an @ in its password is written %40")
    if address.drivername in {"postgresql", "postgres"}:
        return address.set(drivername="postgresql+psycopg")
    return address


def engine_of(address: URL) -> Engine:
    """An engine whose connections are prepared as csflow needs them; StoreError for what csflow does not work with."""
    if address.get_backend_name() not in {"sqlite", "postgresql"}:
        raise StoreError(f"csflow works with sqlite:/// and postgresql://, not with {address.get_backend_name()}://")
    if address.get_backend_name() == "postgresql":
        try:
            engine = create_engine(address, pool_pre_ping=True)
        except (ModuleNotFoundError, NoSuchModuleError):
            if address.drivername != "postgresql+psycopg":
                raise StoreError(f"csflow works with postgresql://, not with {address.drivername}://") from None
            raise StoreError("PostgreSQL needs another package: install csflow[postgres]") from None
        event.listen(engine, "handle_error", _keep_statement)
        return engine
    _check_file(address)
    # A ping costs microseconds; a plugin that closes every connection it finds costs nobody else's result.
    options = {"timeout": BUSY_SECONDS, "cached_statements": STATEMENTS}
    engine = create_engine(address, connect_args=options, pool_pre_ping=True)
    event.listen(engine, "handle_error", _keep_statement)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _check_file(address: URL) -> None:
    path = Path(address.database or ":memory:")
    if str(path) != ":memory:" and not path.parent.is_dir():
        raise StoreError(f"{path.parent}: no such folder, so no database can be made in it")
    if path.is_dir():
        raise StoreError(f"{path} is a folder, not a database")


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Set what csflow relies on, and look whether it took: a file system without shared memory refuses WAL."""
    connection.isolation_level = None  # the driver begins nothing by itself: `_begin_sqlite` does
    cursor = connection.cursor()
    cursor.execute(f"pragma busy_timeout = {BUSY_SECONDS * 1000}")
    mode = cursor.execute("pragma journal_mode = wal").fetchone()[0]
    cursor.execute("pragma synchronous = full")
    cursor.execute("pragma foreign_keys = on")
    cursor.execute(f"pragma cache_size = -{PAGES_KIB}")
    full = cursor.execute("pragma synchronous").fetchone()[0]
    keys = cursor.execute("pragma foreign_keys").fetchone()[0]
    cursor.close()
    if mode not in {"wal", "memory"} or (full, keys) != (2, 1):
        raise StoreError(
            f"SQLite cannot work safely in this place (journal {mode}, synchronous {full}, foreign keys {keys}): "
            "put the database on a local disk"
        )


def _keep_statement(context: ExceptionContext) -> None:
    """An error that comes with the rows, not with the first one, does not say of which statement: `blame` must know."""
    error, execution = context.sqlalchemy_exception, context.execution_context
    if error is not None and error.statement is None and execution is not None:
        error.statement = getattr(execution, "statement", None)


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, "BEGIN"))


def _check_version(store: Store, *, migrate: bool) -> None:
    with store.engine.connect() as connection:
        version = database_version(connection)
    if version == SCHEMA:
        return
    if version is not None and not (version.isdigit() and version < SCHEMA):
        raise StoreError(
            f"{place_of(store.url)} is of a newer csflow: update csflow (tables {version}, this one knows {SCHEMA})"
        )
    if version is not None and not migrate:
        raise StoreError(f"{place_of(store.url)} was written by an older csflow: run `csflow db upgrade`")
    with store.writing() as connection:
        upgrade_tables(connection)


def upgrade_tables(connection: Connection) -> None:
    """Bring the tables to this csflow's version in the transaction of ``connection``; whoever comes second waits."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
    if database_version(connection) == SCHEMA:
        return
    # Alembic is slow to import and needed once in a database's life: a warm start must not pay for it.
    from csflow.store.migrating import run_migrations  # noqa: PLC0415

    run_migrations(connection)


def place_of(url: URL) -> str:
    """The database in people's words, without user and password."""
    if url.get_backend_name() == "sqlite":
        return url.database or "the database in memory"
    return f"the database {url.database or ''} on {url.host or url.query.get('host') or 'this machine'}"


def _says_no_such_table(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlstate", None) == "42P01" or "no such table" in str(error.orig)


def _lacking(error: BaseException | None) -> str | None:
    """What a statement says of a table of csflow's that somebody took away; None where it is not that."""
    found = NO_TABLE.search(str(error))
    name = found[1] or found[2] if found else None
    if name not in metadata.tables:
        return None
    return f"the database lacks table {name}: restore a copy; csflow doctor says what else it lacks"


def _reason(error: DBAPIError) -> str:
    if isinstance(error.orig, CsflowError):
        return str(error.orig)
    said = str(error.orig).strip()
    return _plain(said) or (said.splitlines()[0] if said else type(error.orig).__name__)


def _plain(reason: str) -> str | None:
    """SQLite's reasons with what to do; None for what it does not say of a database that cannot be used."""
    for mark, meaning in (
        ("not a database", "this is not a database: give another file, or move this one away"),
        ("malformed", "the database is damaged: restore the last copy"),
        ("locked", f"another program has been writing to it for more than {BUSY_SECONDS} seconds: try again"),
        ("readonly", "the database is read-only: give csflow the right to write it"),
        ("unable to open", "the database cannot be opened: look at the rights of the file and its folder"),
        ("disk I/O", "the disk failed: look at it before you go on"),
        (
            "stack overflow",
            "a rule or metric has more brackets within brackets than SQLite reads: name an inner part under metrics:",
        ),
        ("full", "the disk is full: nothing of this transaction was written; make room and run again"),
    ):
        if mark in reason:
            return meaning
    return None
