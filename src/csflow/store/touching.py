"""What changed since it was last asked about: rows of `touched`, written with the change itself."""

from __future__ import annotations

import json
import secrets
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, Select, Text, bindparam, case, delete, func, literal, select

from csflow.store.insertion import insert_for, listed, upsert
from csflow.store.tables import run, touched

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement, Connection, Executable

MEASURE, ADVANCE = 0, 1
BOTH = (MEASURE, ADVANCE)
KEYS = ("queue", "kind", "subject", "day")
_VALUES = [*KEYS, "mark"]


def touch(
    connection: Connection,
    kind: str,
    subjects: Select[tuple[int]] | Iterable[int],
    *,
    day: int = 0,
    queues: tuple[int, ...] = BOTH,
) -> None:
    """Ask for these subjects (ids, or a SELECT of them) again: at once, or from ``day`` on."""
    if isinstance(subjects, Select):
        found = subjects.subquery("subjects")
        for queue in queues:
            statement = touching(connection.dialect.name, kind, found.c[0], literal(day, Integer), queue=queue)
            connection.execute(statement, {"mark": secrets.randbits(62)})
        return
    rows = [
        {"queue": queue, "kind": kind, "subject": subject, "day": day, "mark": secrets.randbits(62)}
        for subject in sorted(set(subjects))
        for queue in queues
    ]
    if rows:
        connection.execute(upsert(connection.dialect.name, touched, KEYS, ("mark",)), rows)


def visible(happened: ColumnElement[int], seen_until: ColumnElement[int] | int | None) -> ColumnElement[int]:
    """The day from which on a change is asked for; 0 is at once.

    ``seen_until`` is the day of the last finished pass, None before the first. What happened by then is asked for at
    once; what happened later, from its own day on, so that a pass at an earlier as-of does not use it up.
    """
    return happened if seen_until is None else case((happened > seen_until, happened), else_=0)


def last_pass(connection: Connection) -> int | None:
    """The as-of instant of the newest finished pass; None when there was none."""
    return connection.execute(_newest_pass()).scalar()


def last_measure(connection: Connection) -> int | None:
    """The as-of instant of the newest measure, finished or not: values of that moment stand in the store."""
    return connection.execute(_newest_measure()).scalar()


@cache
def _newest_measure() -> Select[int]:
    return select(func.max(run.c.as_of)).where(run.c.verb == "measure")


@cache
def _newest_pass() -> Select[int]:
    return select(func.max(run.c.as_of)).where(run.c.verb == "pass", run.c.finished == 1)


def claim(
    connection: Connection, queue: int, handled: int, today: int, customers: tuple[int, ...] | None = None
) -> bool:
    """Take what waits in a queue by ``today`` over into the queue that is worked on; whether there is anything.

    What is touched from here on belongs to the next one. ``customers``: take these only.
    """
    values: dict[str, Any] = {"today": today, "customers": json.dumps(customers)}
    take, drop, look = _claiming(connection.dialect.name, queue, handled, few=customers is not None)
    connection.execute(take, values)
    connection.execute(drop, values)
    return connection.execute(look).first() is not None


@cache
def _claiming(dialect: str, queue: int, handled: int, *, few: bool) -> tuple[Executable, Executable, Executable]:
    c = touched.c
    due = [c.queue == queue, c.day <= bindparam("today", type_=Integer)]
    if few:
        due += [c.kind == "customer", listed(c.subject, bindparam("customers", type_=Text))]
    waiting = select(c.queue + (handled - queue), c.kind, c.subject, c.day * 0, c.mark * 0).where(*due).distinct()
    take = insert_for(dialect, touched).from_select(_VALUES, waiting).on_conflict_do_nothing()
    return take, delete(touched).where(*due), select(c.kind).where(c.queue == handled).limit(1)


def organisation_touched(connection: Connection, queue: int) -> bool:
    """Whether a fact of the organisation waits in a queue: it is a fact of every case, so all are asked."""
    return connection.execute(_organisation(), {"queue": queue}).first() is not None


@cache
def _organisation() -> Select[str]:
    of_it = touched.c.kind == "organisation"
    return select(touched.c.kind).where(touched.c.queue == bindparam("queue"), of_it).limit(1)


def touching(dialect: str, kind: str, subject: ColumnElement[int], day: ColumnElement[int], *, queue: int) -> Any:
    """What puts the subjects of a SELECT into one queue; ``mark`` is a bind parameter, another each time."""
    mark = bindparam("mark", type_=touched.c.mark.type)
    # WHERE true: without it SQLite takes ON CONFLICT for a join condition.
    chosen = select(literal(queue, Integer), literal(kind), subject, day, mark).where(subject.is_not(None)).distinct()
    return upsert(dialect, touched, KEYS, ("mark",)).from_select(_VALUES, chosen)
