"""What changed since it was last asked about: rows of `touched`, written with the change itself."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, Select, Subquery, bindparam, case, func, literal, select

from csflow.store.insertion import upsert
from csflow.store.tables import run, touched

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement, Connection

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
        _write(connection, kind, found.c[0], literal(day, Integer), queues)
        return
    rows = [
        {"queue": queue, "kind": kind, "subject": subject, "day": day, "mark": secrets.randbits(62)}
        for subject in sorted(set(subjects))
        for queue in queues
    ]
    if rows:
        connection.execute(upsert(connection, touched, KEYS, ("mark",)), rows)


def touch_when_visible(
    connection: Connection, kind: str, rows: Select[tuple[int, int]], *, seen_until: int | None
) -> None:
    """Touch by a SELECT of (subject, day the change happened).

    ``seen_until`` is the day of the last finished pass, None before the first. What happened by then is asked for at
    once; what happened later, from its own day on, so that a pass at an earlier as-of does not use it up.
    """
    found: Subquery = rows.subquery("rows")
    subject, happened = found.c[0], found.c[1]
    day: ColumnElement[int] = happened if seen_until is None else case((happened > seen_until, happened), else_=0)
    _write(connection, kind, subject, day, BOTH)


def last_pass(connection: Connection) -> int | None:
    """The as-of instant of the newest finished pass; None when there was none."""
    newest = select(func.max(run.c.as_of)).where(run.c.verb == "pass", run.c.finished == 1)
    return connection.execute(newest).scalar()


def _write(
    connection: Connection, kind: str, subject: ColumnElement[int], day: ColumnElement[int], queues: tuple[int, ...]
) -> None:
    for queue in queues:
        connection.execute(touching(connection, kind, subject, day, queue=queue), {"mark": secrets.randbits(62)})


def touching(
    connection: Connection, kind: str, subject: ColumnElement[int], day: ColumnElement[int], *, queue: int
) -> Any:
    """What puts the subjects of a SELECT into one queue; ``mark`` is a bind parameter, another each time."""
    mark = bindparam("mark", type_=touched.c.mark.type)
    # WHERE true: without it SQLite takes ON CONFLICT for a join condition.
    chosen = select(literal(queue, Integer), literal(kind), subject, day, mark).where(subject.is_not(None)).distinct()
    return upsert(connection, touched, KEYS, ("mark",)).from_select(_VALUES, chosen)
