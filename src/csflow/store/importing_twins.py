"""Rows of one file that share a key: equal ones count once, others are refused or joined as the mapping says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, delete, false, func, insert, literal, or_, select, update

if TYPE_CHECKING:
    from csflow.store.importing_staging import Counts, Staging

CONFLICT = "conflict: this key came before with other content, and the first stands"


def settle_twins(staging: Staging, on_duplicate: str | None, counts: Counts) -> None:
    """Keep one row of each key in `ready`.

    Without ``on_duplicate`` the first stands: later rows that are equal count as unchanged, others go to rejects.
    ``first``, ``last`` and ``sum`` make one row of all; those that went into it count as merged.
    """
    connection, ready, group = staging.connection, staging.ready, staging.group
    if not _find_groups(staging):
        return
    later = group.c.place != group.c.first
    twins = connection.execute(select(func.count()).where(later)).scalar_one()
    if on_duplicate is None:
        refused = _refuse_conflicts(staging)
        counts.unchanged += twins - refused
    else:
        counts.merged += twins
        _join(staging, on_duplicate)
    connection.execute(delete(ready).where(ready.c.place.in_(select(group.c.place).where(later))))


def _find_groups(staging: Staging) -> bool:
    """Fill `group` with the rows that share a key, the first of them too, and which one that is."""
    connection, ready, group = staging.connection, staging.ready, staging.group
    key = [ready.c[name] for name in staging.key if name != "source"]
    repeated = select(*key).group_by(*key).having(func.count() > 1)
    if staging.run("twins", lambda: repeated.limit(1)).first() is None:
        return False
    twin = repeated.subquery("twin")
    same = and_(*(ready.c[column.name] == twin.c[column.name] for column in key))
    first = func.first_value(ready.c.place).over(partition_by=key, order_by=ready.c.line)
    shared = select(ready.c.place, first).select_from(twin.join(ready, same))
    connection.execute(insert(group).from_select(["place", "first"], shared))
    return True


def _refuse_conflicts(staging: Staging) -> int:
    ready, group = staging.ready, staging.group
    first = ready.alias("first")
    names = [*staging.content, *(one.column for one in staging.fields)]
    if staging.kind.name == "case":
        names += ["moved_at", "moved_fields"]
    differs: ColumnElement[bool] = or_(false(), *(ready.c[name].is_distinct_from(first.c[name]) for name in names))
    conflicts = (
        select(ready.c.line, literal(staging.key_names), literal(CONFLICT))
        .select_from(group.join(ready, ready.c.place == group.c.place).join(first, first.c.place == group.c.first))
        .where(group.c.place != group.c.first, differs)
    )
    return staging.connection.execute(
        insert(staging.rejected)
        .from_select(["line", "column", "reason"], conflicts)
        .execution_options(preserve_rowcount=True)
    ).rowcount


def _join(staging: Staging, how: str) -> None:
    if how == "first":
        return
    ready, group = staging.ready, staging.group
    member = ready.alias("member")
    heads = ready.c.place.in_(select(group.c.first))
    members = group.join(member, member.c.place == group.c.place)
    if how == "sum":
        names = [name for name in staging.kind.adds if name in ready.c]
        totals = {
            name: select(func.sum(member.c[name]))
            .select_from(members)
            .where(group.c.first == ready.c.place)
            .scalar_subquery()
            for name in names
        }
    else:
        names = [name for name in staging.ready.c.keys() if name != "place"]  # noqa: SIM118 - columns, not a dict
        totals = {
            name: select(member.c[name])
            .select_from(members)
            .where(group.c.first == ready.c.place)
            .order_by(member.c.line.desc())
            .limit(1)
            .scalar_subquery()
            for name in names
        }
    if totals:
        staging.connection.execute(update(ready).where(heads).values(totals))
