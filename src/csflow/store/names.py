"""The dictionary of names: narrow tables hold a number for each metric, field, feature, source and condition."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, bindparam, select

from csflow.errors import UsageError
from csflow.store import tables as t
from csflow.store.insertion import listed, missing_only
from csflow.store.tables import name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement, Connection, Select

KINDS = frozenset({"metric", "field", "feature", "source", "condition"})


def name_id(connection: Connection, kind: str, called: str) -> int:
    """The number of a name, given one when it has none; two programs that ask at once get the same."""
    if kind not in KINDS:
        raise ValueError(kind)
    wanted = {"kind": kind, "name": called}
    found = connection.execute(_numbered(), wanted).scalar()
    if found is None:
        connection.execute(missing_only(connection.dialect.name, name), wanted)
        found = connection.execute(_numbered(), wanted).scalar_one()
    return int(found)


@cache
def _numbered() -> Select[int]:
    return select(name.c.id).where(name.c.kind == bindparam("kind"), name.c.name == bindparam("name"))


def ids(connection: Connection, kind: str) -> dict[str, int]:
    """All names of a kind and their numbers."""
    rows = connection.execute(select(name.c.name, name.c.id).where(name.c.kind == kind).order_by(name.c.id))
    return {row.name: row.id for row in rows}


def subject_name(kind: str, row: Any) -> ColumnElement[Any]:
    """A subject's id as people write it. A contract's id is unique for its customer only: ``CUSTOMER/ID``."""
    key: ColumnElement[Any] = row.c.key
    if kind != "contract":
        return key
    owner = t.customer.alias("owner_of_contract")
    return select(owner.c.key).where(owner.c.id == row.c.customer).scalar_subquery() + "/" + key


def subject_names(connection: Connection, kind: str, ids: Iterable[int]) -> dict[int, str]:
    """The ids of subjects as people write them, in one statement."""
    return dict(connection.execute(_named(kind), {"ids": json.dumps(sorted(set(ids)))}).all())


@cache
def _named(kind: str) -> Select[int, str]:
    table: Any = getattr(t, kind)
    mine = listed(table.c.id, bindparam("ids", type_=Text))
    return select(table.c.id, subject_name(kind, table)).where(mine)


def customer_ids(connection: Connection, keys: Iterable[str]) -> tuple[int, ...]:
    """The numbers of these customers, in order. UsageError for an id that there is not."""
    c, wanted = t.customer.c, sorted(set(keys))
    found = dict(connection.execute(select(c.key, c.id).where(c.key.in_(wanted))).all())
    missing = [key for key in wanted if key not in found]
    if missing:
        raise UsageError(f"no customer '{missing[0]}'")
    return tuple(sorted(found.values()))
