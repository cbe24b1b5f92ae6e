"""One pass at a time: a lock that vanishes with the process that holds it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from sqlalchemy import Connection, func, select, text

from csflow.errors import LockedError
from csflow.store.insertion import insert_into
from csflow.store.opening import translated
from csflow.store.tables import meta

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from csflow.store.opening import Store

    Waiting = Callable[[str], None]

POLL_SECONDS = 0.2
SHORT_SECONDS = 1.0  # a wait of which nobody needs to be told
HOLDER = "pass_lock"  # key in `meta`
# The lock's number is made from the schema's name, so that projects in one database do not wait for each other.
LOCK_NUMBER = "hashtextextended('csflow pass ' || current_schema(), 0)"
HELD = text(  # a lock on one number stands there in two halves
    "select pid from pg_locks where locktype = 'advisory' and granted and objsubid = 1"  # noqa: S608
    " and database = (select oid from pg_database where datname = current_database())"
    " and (classid::bigint << 32 | objid::bigint) = " + LOCK_NUMBER
)


@contextmanager
def pass_lock(store: Store, wait: float | None, *, waiting: Waiting | None = None) -> Iterator[None]:
    """Hold the project's lock. Waits at most ``wait`` seconds (None: for ever), then LockedError names who holds it.

    ``waiting`` hears once, after a second of it, that this waits, in a sentence that says for whom.
    """
    told = waiting or _nobody
    if store.dialect == "postgresql":
        with _advisory(store, wait, waiting=told):
            yield
    elif store.path is not None:
        with _beside(store.path, wait, waiting=told):
            yield
    else:  # a database in memory has one process
        yield


@dataclass(frozen=True, slots=True)
class Seen:
    """The lock as somebody who does not want it sees it: whether it is held, and who was said to hold it last."""

    held: bool
    who: str | None  # left there by a process that was killed, where nobody holds the lock


def look(store: Store) -> Seen:
    """Who holds the project's lock. Nothing waits for it; on SQLite it is taken for an instant where it is free."""
    if store.dialect == "postgresql":
        with translated(store.url), store.engine.connect() as connection:
            held = connection.execute(HELD).scalar() is not None
            told = connection.execute(select(meta.c.value).where(meta.c.key == HOLDER)).scalar()
        return Seen(held, _who(told))
    if store.path is None or not Path(f"{store.path}.lock").exists():
        return Seen(held=False, who=None)
    holder = store.path.with_name(f"{store.path.name}.lock.json")
    lock = FileLock(f"{store.path}.lock", timeout=0)
    try:
        with lock:
            return Seen(held=False, who=_who(_with_time(holder)))
    except Timeout:
        return Seen(held=True, who=_who(_with_time(holder)))


@contextmanager
def _beside(path: Path, wait: float | None, *, waiting: Waiting) -> Iterator[None]:
    lock = FileLock(f"{path}.lock")
    holder = path.with_name(f"{path.name}.lock.json")
    short, long = _parts(wait)
    try:
        try:
            lock.acquire(timeout=short)
        except Timeout:
            if not long:
                raise
            waiting(_waits(_with_time(holder), wait))
            lock.acquire(timeout=long)
    except Timeout:
        raise LockedError(_held_by(_with_time(holder))) from None
    try:
        holder.write_text(json.dumps(_myself()), encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _with_time(holder: Path) -> str | None:
    """Who holds the lock and since when: the time is the file's own, so the engine needs no clock for it."""
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(holder.stat().st_mtime))
        return json.dumps(json.loads(holder.read_text(encoding="utf-8")) | {"since": since})
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def _advisory(store: Store, wait: float | None, *, waiting: Waiting) -> Iterator[None]:
    with translated(store.url), store.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        _acquire(connection, wait, waiting=waiting)
        try:
            now = connection.execute(select(func.to_char(func.timezone("UTC", func.now()), "YYYY-MM-DD HH24:MI:SS")))
            _tell(connection, _myself() | {"since": now.scalar_one()})
            yield
        finally:
            with contextlib.suppress(Exception):  # the connection may be what broke: then the lock is gone anyway
                connection.execute(meta.delete().where(meta.c.key == HOLDER))
                connection.execute(text(f"select pg_advisory_unlock({LOCK_NUMBER})"))


def _acquire(connection: Connection, wait: float | None, *, waiting: Waiting) -> None:
    def held() -> str | None:
        return connection.execute(select(meta.c.value).where(meta.c.key == HOLDER)).scalar()

    begun, (short, long), quiet = time.monotonic(), _parts(wait), True
    while not connection.execute(text(f"select pg_try_advisory_lock({LOCK_NUMBER})")).scalar():
        gone = time.monotonic() - begun
        if wait is not None and gone >= wait:
            raise LockedError(_held_by(held()))
        if long and quiet and gone >= short:
            waiting(_waits(held(), wait))
            quiet = False
        time.sleep(POLL_SECONDS)


def _parts(wait: float | None) -> tuple[float, float]:
    """The seconds to wait without a word, and those after it (-1: for ever)."""
    if wait is None:
        return SHORT_SECONDS, -1.0
    return min(max(wait, 0.0), SHORT_SECONDS), max(wait - SHORT_SECONDS, 0.0)


def _waits(told: str | None, wait: float | None) -> str:
    who = _who(told)
    most = f", up to {wait:g} s" if wait is not None else ""
    return f"waiting for another pass{f' ({who})' if who is not None else ''}{most}"


def _nobody(_sentence: str) -> None:
    """Nobody is told."""


def _tell(connection: Connection, holder: dict[str, Any]) -> None:
    statement = insert_into(connection, meta).values(key=HOLDER, value=json.dumps(holder))
    connection.execute(
        statement.on_conflict_do_update(index_elements=["key"], set_={"value": statement.excluded.value})
    )


def _myself() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname()}


def _held_by(told: str | None) -> str:
    who = _who(told)
    holder = f": {who}" if who is not None else ""
    return f"another pass holds the lock{holder}: try again, or wait with --wait 10m"


def _who(told: str | None) -> str | None:
    """A process in words, from what it left of itself; None where that cannot be read."""
    try:
        who = json.loads(told or "")
        return f"process {who['pid']} on {who['host']}, since {who.get('since', 'just now')} UTC"
    except (ValueError, KeyError, TypeError):
        return None
