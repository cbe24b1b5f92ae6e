"""Bulk import, second half: staged rows become the project's, a chunk to a transaction.

Only what is new or differs is written; the version it replaces goes to a log and whoever it concerns is touched, all in
the chunk's transaction. So an import that was killed has written whole chunks, and running it again does the rest.
"""

from __future__ import annotations

import json
import secrets
from functools import cache, partial
from itertools import product
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    Table,
    and_,
    case,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    true,
)

from csflow.store import tables
from csflow.store.importing_contracts import infer_replaces, value_contracts
from csflow.store.importing_fields import differing_fields, fill_from_answers, joined_fields, write_fields
from csflow.store.importing_former import keep_rows
from csflow.store.importing_staging import bound
from csflow.store.insertion import insert_for, insert_into
from csflow.store.names import name_id
from csflow.store.touching import BOTH, MEASURE, touch, touching, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from csflow.store.importing_staging import Counts, Staging, Terms

CHUNK = 20_000


def source_number(connection: Connection, called: str) -> int:
    """The number of an import source."""
    return name_id(connection, "source", called)


def apply_chunks(
    staging: Staging, terms: Terms, counts: Counts, questions: dict[str, dict[str, bool]]
) -> Iterator[int]:
    """Write `ready` chunk by chunk; yields the rows written so far, whenever the caller may commit.

    ``questions`` are the fields that answers fill, see `fill_from_answers`.
    """
    places = staging.ready.c.place
    staging.first_time = _speaks_first(staging)
    last = staging.run("last", lambda: select(func.max(places))).scalar() or 0
    for start in range(0, last, CHUNK):
        staging.begin_chunk(start + 1, start + CHUNK)
        if _apply(staging, terms, counts):
            for kind, declared in questions.items():
                fill_from_answers(staging, terms, declared, kind)
        yield min(start + CHUNK, last)


def _speaks_first(staging: Staging) -> bool:
    """Whether this usage source has no row yet: then there is nothing to compare with, which saves a tenth of the time.

    Should another program import the same source for the first time at this very moment, the upsert still compares.
    """
    usage = tables.usage
    if staging.kind.table is not usage:
        return False
    found = staging.run("spoken", lambda: select(usage.c.id).where(usage.c.source == bound("source")).limit(1))
    return found.first() is None


def finish(staging: Staging, terms: Terms, summary: str, *, recorded: int | None) -> None:
    """Note that the source has spoken, how far it reaches, and what the import brought."""
    connection, newest = staging.connection, staging.kind.newest
    ready = staging.ready.c
    day: int | None = terms.day
    if newest is not None:
        day = staging.run("reached", lambda: select(func.max(ready.day if "day" in ready else ready.happened))).scalar()
    spoken = {"source": terms.source, "last_day": day, "imported": terms.as_of, "alarmed": 0}
    connection.execute(_spoken(connection.dialect.name), spoken)
    noted = terms.as_of if recorded is None else recorded
    run = {"verb": "import", "as_of": terms.as_of, "recorded": noted, "finished": 1, "summary": summary}
    connection.execute(insert_for(connection.dialect.name, tables.run), run)


@cache
def _spoken(dialect: str) -> Any:
    statement, known = insert_for(dialect, tables.source), tables.source.c.last_day
    new = statement.excluded
    later = func.coalesce(new.last_day, known)
    last = case((known > later, known), else_=later)
    return statement.on_conflict_do_update(
        index_elements=["source"], set_={"last_day": last, "imported": new.imported, "alarmed": new.alarmed}
    )


def _find(staging: Staging, key: Any, found: Callable[[], Select[Any]]) -> tuple[int, int]:
    """Put the places that are new or differ into `fresh`; returns how many, and how many of them were there before.

    A chunk is small beside the table: PostgreSQL must not read the whole of it to compare them.
    """
    connection, fresh = staging.connection, staging.fresh
    ways = ("hashjoin", "mergejoin", "seqscan") if connection.dialect.name == "postgresql" else ()
    for way in ways:
        connection.execute(text(f"set local enable_{way} = off"))
    staging.run(key, lambda: insert(fresh).from_select(["place", "was"], found()))
    for way in ways:
        connection.execute(text(f"set local enable_{way} = on"))
    row = staging.run("found", lambda: select(func.count(fresh.c.place), func.count(fresh.c.was))).one()
    return row[0], row[1]


def _apply(staging: Staging, terms: Terms, counts: Counts) -> int:
    """Write a chunk; returns how many rows were new or changed."""
    chunk, writer = staging.chunk, _events if staging.kind.name == "case" else _rows
    rows = staging.run("rows", lambda: select(func.count()).select_from(staging.ready).where(chunk)).scalar_one()
    new, changed = writer(staging, terms)
    counts.new += new
    counts.changed += changed
    counts.unchanged += rows - new - changed
    odd = staging.ready.c.odd
    suspected = staging.run("odd", lambda: select(odd, func.count()).where(chunk, odd.is_not(None)).group_by(odd))
    for reason, number in suspected:
        counts.suspicions[reason] = counts.suspicions.get(reason, 0) + number
    return new + changed


def _rows(staging: Staging, terms: Terms) -> tuple[int, int]:
    """Find what is new or differs, keep what it replaces, write it, and touch."""
    number, changed = _find(staging, ("find", staging.first_time), lambda: _new_or_different(staging))
    if changed:
        _keep_former(staging, terms)
    if number:
        staging.run("write", lambda: _upsert(staging))
    if staging.fields:
        table = staging.kind.table
        write_fields(staging, lambda: staging.ready.join(table, _same_row(staging, table)))
    if not number:
        return 0, 0
    if staging.kind.name == "contract":
        value_contracts(staging, terms)
        if terms.infer_replaces:
            infer_replaces(staging)
    if staging.kind.name == "rate":
        value_contracts(staging, terms)
    _touch(staging, terms)
    return number - changed, changed


def _new_or_different(staging: Staging) -> Select[Any]:
    table, ready = staging.kind.table, staging.ready
    if staging.first_time:
        return select(ready.c.place, literal(None, staging.fresh.c.was.type)).where(staging.chunk)
    was = table.c.id if "id" in table.c else case((table.c[staging.key[0]].is_not(None), 1))
    differs = or_(_differs(staging, table), differing_fields(staging))
    return (
        select(ready.c.place, was)
        .select_from(joined_fields(staging, ready.outerjoin(table, _same_row(staging, table))))
        .where(staging.chunk, or_(was.is_(None), differs))
    )


def _same_row(staging: Staging, table: FromClause) -> ColumnElement[bool]:
    same = [table.c[name] == staging.ready.c[name] for name in staging.key]
    if staging.natural:
        same.append(table.c.ref.is_(None))
    return and_(*same)


def _differs(staging: Staging, table: FromClause) -> ColumnElement[bool]:
    return or_(false(), *(table.c[name].is_distinct_from(staging.ready.c[name]) for name in staging.content))


def _upsert(staging: Staging) -> Any:
    """INSERT … ON CONFLICT of the fresh rows: whoever wrote the same row in between is compared once more."""
    table, ready = staging.kind.table, staging.ready
    names = [*staging.key, *staging.content]
    dated = "happened" in table.c
    chosen = select(*(ready.c[name] for name in names), *([ready.c.happened] if dated else []))
    wanted = chosen.where(staging.fresh_rows).order_by(ready.c.place)
    statement: Any = insert_into(staging.connection, table).from_select(
        [*names, *(["happened"] if dated else [])], wanted
    )
    put = {name: statement.excluded[name] for name in staging.content}
    if not put:
        statement = statement.on_conflict_do_nothing()
    else:
        if dated and _dates_itself(staging):
            put["happened"] = statement.excluded.happened
        if "replaces" in put:
            put["inferred"] = literal(0)
        if table is tables.inbox:  # what changed after it was handled is handled again
            put |= {"handled": None, "refused": None}
        unique: dict[str, Any] = {}
        if table is tables.usage:  # its unique indexes are partial
            unique["index_where"] = table.c.ref.is_(None) if staging.natural else table.c.ref.is_not(None)
        statement = statement.on_conflict_do_update(
            index_elements=list(staging.key),
            set_=put,
            where=or_(*(table.c[name].is_distinct_from(statement.excluded[name]) for name in staging.content)),
            **unique,
        )
    return statement


def _dates_itself(staging: Staging) -> bool:
    """Whether the file says when its rows happened: else the first import's word stands."""
    return bool({"signed_on", "left_on"} & set(staging.columns))


def _keep_former(staging: Staging, terms: Terms) -> None:
    if staging.kind.table is tables.usage:
        _keep_usage(staging, terms)
    elif staging.kind.logged:
        was = staging.fresh.c.was
        chosen = staging.kind.table.c.id.in_(select(was).where(was.is_not(None)))
        keep_rows(staging.connection, staging.kind, chosen, terms.as_of)


def _keep_usage(staging: Staging, terms: Terms) -> None:
    usage, log, was = tables.usage, tables.usage_log, staging.fresh.c.was
    names = ["customer", "feature", "day", "count", "seconds", "users"]
    former = select(usage.c.id, *(usage.c[name] for name in names), literal(terms.as_of, log.c.until.type)).where(
        usage.c.id.in_(select(was).where(was.is_not(None)))
    )
    staging.connection.execute(insert(log).from_select(["usage", *names, "until"], former.order_by(usage.c.id)))
    # A row that goes over to another customer concerns the one it leaves, too.
    owners = select(usage.c.customer).where(usage.c.id.in_(select(was).where(was.is_not(None))))
    touch(staging.connection, "customer", owners, queues=(MEASURE,))


def _touch(staging: Staging, terms: Terms) -> None:
    """Ask again for whoever the fresh rows concern: from the day it happened, and a changed row at once as well."""
    table, kind = staging.kind.table, staging.kind.name
    if table is tables.inbox or kind == "rate":
        return
    if kind == "feature":
        _touch_users(staging)
        return
    concerned = "person" if kind == "person" else "customer"
    # The day of a row of usage itself tells `measure` when it counts.
    ways, queues = (("used",), (MEASURE,)) if table is tables.usage else (("known", "happened", "changed"), BOTH)
    dialect, seen = staging.connection.dialect.name, terms.seen_until is not None
    for way, queue in product(ways, queues):
        build = partial(_touching, staging, dialect, concerned, way=way, queue=queue, seen=seen)
        staging.run(("touch", way, queue, seen), build, mark=secrets.randbits(62))
    if kind in {"contact", "activity", "answer"}:
        _touch_former_owner(staging, terms)


def _touching(staging: Staging, dialect: str, concerned: str, *, way: str, queue: int, seen: bool) -> Any:
    """Whom the fresh rows concern, and from which day on: at once, the day it happened, the day it became known."""
    table, ready, fresh = staging.kind.table, staging.ready, staging.fresh
    subject = table.c.id if staging.kind.name in ("customer", "person") else ready.c.customer
    placed = ready.join(fresh, and_(fresh.c.place == ready.c.place, staging.chunk))
    placed = placed.join(table, _same_row(staging, table))
    happened = table.c.happened if "happened" in table.c else ready.c.happened
    if way == "used":
        found = select(ready.c.customer, literal(0, Integer)).where(staging.fresh_rows).subquery()
    elif way == "changed":
        found = select(subject, literal(0, Integer)).select_from(placed).where(fresh.c.was.is_not(None)).subquery()
    else:
        day = case((fresh.c.was.is_(None), happened), else_=bound("day")) if way == "known" else happened
        found = select(subject, visible(day, bound("seen") if seen else None)).select_from(placed).subquery()
    return touching(dialect, concerned, found.c[0], found.c[1], queue=queue)


def _touch_users(staging: Staging) -> None:
    """A feature that became core changes the depth of everybody who uses it."""
    fresh, usage = staging.fresh, tables.usage
    changed = select(fresh.c.was).where(fresh.c.was.is_not(None))
    touch(staging.connection, "customer", select(usage.c.customer).where(usage.c.feature.in_(changed)).distinct())


def _touch_former_owner(staging: Staging, terms: Terms) -> None:
    """A row that went over to another customer concerns the one it left, too: the log has just been told."""
    log = tables.row_log
    rows = staging.connection.execute(
        select(log.c.body).where(
            log.c.kind == staging.kind.name,
            log.c.row.in_(select(staging.fresh.c.was)),
            log.c.until == terms.as_of,
        )
    )
    touch(staging.connection, "customer", {json.loads(body)["customer"] for body in rows.scalars()})


def _events(staging: Staging, _terms: Terms) -> tuple[int, int]:
    """A case's row is one or two events in the inbox: it was opened, and it moved into the stage it is in."""
    inbox, ready = tables.inbox, staging.ready
    opened, moved = inbox.alias("opened"), inbox.alias("moved")
    moves = and_(ready.c.stage.is_not(None), ready.c.moved_at.is_not(None))
    on_opened = _event_is(opened, ready, "open", ready.c.at)
    on_moved = and_(_event_is(moved, ready, "move", ready.c.moved_at), moves)
    differs = or_(
        opened.c.id.is_(None),
        _event_differs(opened, ready, ready.c.fields),
        and_(moves, or_(moved.c.id.is_(None), _event_differs(moved, ready, ready.c.moved_fields))),
        and_(moves, moved.c.stage.is_distinct_from(ready.c.stage)),
    )
    known = select(inbox.c.ref).where(inbox.c.source == ready.c.source, inbox.c.ref == ready.c.ref).exists()
    found = (
        select(ready.c.place, case((known, 1)))
        .select_from(ready.outerjoin(opened, on_opened).outerjoin(moved, on_moved))
        .where(staging.chunk, differs)
    )
    number, changed = _find(staging, "events", lambda: found)
    if number:
        _write_event(staging, "open", true(), (ready.c.at, ready.c.fields))
        _write_event(staging, "move", moves, (ready.c.moved_at, ready.c.moved_fields))
    return number - changed, changed


def _event_is(event: FromClause, ready: Table, name: str, at: ColumnElement[int]) -> ColumnElement[bool]:
    return and_(event.c.source == ready.c.source, event.c.ref == ready.c.ref, event.c.name == name, event.c.at == at)


EVENT = ("flow", "kind", "subject", "customer", "case_key", "actor")


def _event_differs(event: FromClause, ready: Table, fields: ColumnElement[str]) -> ColumnElement[bool]:
    return or_(
        event.c.fields.is_distinct_from(fields), *(event.c[name].is_distinct_from(ready.c[name]) for name in EVENT)
    )


def _write_event(
    staging: Staging, name: str, wanted: ColumnElement[bool], values: tuple[ColumnElement[Any], ColumnElement[Any]]
) -> None:
    inbox, ready = tables.inbox, staging.ready
    at, fields = values
    stage = ready.c.stage if name == "move" else ready.c.first_stage
    chosen: Select[Any] = (
        select(literal(name), at, fields, stage, ready.c.source, ready.c.ref, *(ready.c[column] for column in EVENT))
        .where(staging.fresh_rows, wanted)
        .order_by(ready.c.place)
    )
    columns = ["name", "at", "fields", "stage", "source", "ref", *EVENT]
    statement: Any = insert_into(staging.connection, inbox).from_select(columns, chosen)
    compared = ("fields", "stage", *EVENT)
    put = {column: statement.excluded[column] for column in compared} | {"handled": None, "refused": None}
    staging.execute(
        statement.on_conflict_do_update(
            index_elements=["source", "ref", "name", "at"],
            set_=put,
            where=or_(*(inbox.c[column].is_distinct_from(statement.excluded[column]) for column in compared)),
        )
    )
