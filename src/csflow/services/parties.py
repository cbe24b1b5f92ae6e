"""Parties: who is written in one piece – a customer with all that is its own, or a subject that belongs to none.

One number for each, across the kinds of subjects, so that a hop can go through all of them in one order.
"""

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


def party_of(kind: str, subject: Column, customer: Column | None) -> Column:
    """The customer; who belongs to none is a number below zero: even for a person, odd for the organisation."""
    return customer if customer is not None else literal(-1 if kind == "organisation" else 0) - 2 * subject


def number_of(kind: str, subject: int, customer: int | None) -> int:
    """As `party_of`, of numbers."""
    return customer if customer is not None else (-1 if kind == "organisation" else 0) - 2 * subject


def kind_of(party: int) -> tuple[str, int]:
    """The kind and row of a party as `party_of` numbers them."""
    return ("customer", party) if party >= 0 else (("person", "organisation")[-party % 2], -party // 2)


def whose(connection: Connection, definition: Definition, party: int, cases: Iterable[int | None]) -> str:
    """Whom the rules of these cases were about, in people's words: the first case, else the party."""
    for case in cases:
        found = connection.execute(select(t.case).where(t.case.c.id == case)).first() if case is not None else None
        if found is not None:
            key = subject_names(connection, definition.flows[found.flow].subject, [found.subject]).get(found.subject)
            return f"{found.flow}/{key}/{found.number}"
    kind, id_ = kind_of(party)
    return f"{kind} {subject_names(connection, kind, [id_]).get(id_)}"
