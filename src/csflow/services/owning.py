"""Owners: who is written in one piece. One number for each, across the kinds of subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, literal, select

from csflow.store import tables as t
from csflow.store.names import subject_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from csflow.flow.definition import Definition

Column = ColumnElement[Any]
OF_CUSTOMERS = ("customer", "contract", "contact")  # kinds of subjects that belong to a customer


def owner_of(kind: str, subject: Column, customer: Column | None) -> Column:
    """Who is written in one piece: the customer; who has none is a number below zero, for a row of another table."""
    return customer if customer is not None else literal(-1 if kind == "organisation" else 0) - 2 * subject


def kind_of(owner: int) -> tuple[str, int]:
    """The kind and row of an owner as `owner_of` numbers them."""
    return ("customer", owner) if owner >= 0 else (("person", "organisation")[-owner % 2], -owner // 2)


def whose(connection: Connection, definition: Definition, owner: int, cases: Iterable[int | None]) -> str:
    """Whom the rules of these cases were about, in people's words: the first case, else the owner."""
    for case in cases:
        found = connection.execute(select(t.case).where(t.case.c.id == case)).first() if case is not None else None
        if found is not None:
            key = subject_names(connection, definition.flows[found.flow].subject, [found.subject]).get(found.subject)
            return f"{found.flow}/{key}/{found.number}"
    kind, id_ = kind_of(owner)
    return f"{kind} {subject_names(connection, kind, [id_]).get(id_)}"
