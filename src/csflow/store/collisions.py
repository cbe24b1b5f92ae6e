"""Telling two people who did the same thing at once from a mistake of ours, where a database refused a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.exc import IntegrityError

UNIQUE = "23505"  # PostgreSQL's code for a key that is there already
# What two people can enter at once. All else a change by hand writes is kept apart by the version of its case, or is
# an upsert. On SQLite nobody can write beside a transaction that began to write, so there a refusal is always ours.
RACED = frozenset({"customer", "case"})


def collided(error: IntegrityError) -> bool:
    """Whether somebody else wrote the same customer or case since this transaction looked."""
    told: Any = error.orig
    if getattr(told, "sqlstate", None) != UNIQUE:
        return False
    return told.diag.table_name in RACED


def told_in_one_line(error: IntegrityError) -> str:
    """What the database says of the refusal: which key or rule, in one line."""
    return next(iter(str(error.orig).splitlines()), type(error.orig).__name__)
