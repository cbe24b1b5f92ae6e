"""Which contacts were erased: imports bring nothing back that says who they were."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import select

from csflow.store import tables as t

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

ERASE = "erase"  # the verb in `run` that each erasure leaves, with the contact's id and nothing else of it
PERSONAL = ("name", "mail", "phone", "post")  # columns of a contact that say who it is
FREE = ("text", "file")  # types of fields that may hold anything, so also names


def erased_contacts(connection: Connection) -> frozenset[str]:
    """The ids of all contacts that were ever erased; an id that was erased stays so."""
    return frozenset(json.loads(summary)["contact"] for summary in connection.execute(_erasures()).scalars())


@cache
def _erasures() -> Select[str]:
    return select(t.run.c.summary).where(t.run.c.verb == ERASE)
