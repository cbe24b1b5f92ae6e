"""Words that wait in the inbox until a pass hears them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, Select, Text, bindparam, case, func, or_, select

from csflow.flow.definition import Definition
from csflow.services import triggers
from csflow.services.asking import Scope
from csflow.services.finding import case_names
from csflow.services.parties import party_of
from csflow.services.views import View
from csflow.store import as_of
from csflow.store import tables as t
from csflow.store.insertion import listed
from csflow.store.names import subject_names
from csflow.store.prepared import Kept


def words_waiting(
    connection: Connection, view: View, scope: Scope, after: int | None = None, kept: Kept | None = None
) -> Sequence[Row[Any]]:
    """The earliest word in the inbox of each party, from ``after`` on, that has come by now."""
    kept = kept or Kept(None)
    few, windowed = scope.customers is not None, after is not None
    values: dict[str, Any] = {"after": after} if windowed else {}
    if few:
        values["customers"] = json.dumps(scope.customers)
    build = partial(_waiting, view, scope, windowed=windowed)
    key = ("words", scope.flow, few, windowed)
    return kept.prepared(connection, view.world(connection.dialect.name), key, build).ask(
        connection, view.moment, **values
    )


def _waiting(view: View, scope: Scope, *, windowed: bool) -> Select[Any]:
    i, k = t.inbox.c, t.case.alias("said_to")
    about_us = [flow.name for flow in view.definition.flows.values() if flow.subject == "organisation"]
    own = case((k.c.flow.in_(about_us), party_of("organisation", k.c.subject, None)), else_=-2 * k.c.subject)
    of_case = select(func.coalesce(k.c.customer, own)).where(k.c.id == i.subject).correlate_except(k).scalar_subquery()
    party = case(
        (i.customer.is_not(None), i.customer),
        (i.kind == "case", of_case),
        (i.kind == "organisation", party_of("organisation", i.subject, None)),
        else_=party_of("person", i.subject, None),
    )
    place = func.row_number().over(
        partition_by=party,
        order_by=(i.at, func.coalesce(i.ref, ""), i.name, i.id),
    )
    conditions = [i.handled.is_(None), i.at <= as_of.now(view.moment)]
    if windowed:
        conditions.append(party >= bindparam("after", 0, BigInteger))
    if scope.customers is not None:
        conditions.append(listed(i.customer, bindparam("customers", "[]", Text)))
    if scope.flow is not None:
        conditions.append(or_(i.flow == scope.flow, i.flow.is_(None)))
    ranked = select(t.inbox, party.label("party"), place.label("place")).where(*conditions).subquery()
    return select(ranked).where(ranked.c.place == 1).order_by(ranked.c.party)


def refused_words(connection: Connection, definition: Definition, since: int) -> list[tuple[str, str, int, str]]:
    """The words that a pass at or after a moment did not hear: the word, to whom, when it was said, and why not."""
    i = t.inbox.c
    rows = connection.execute(select(t.inbox).where(i.refused.is_not(None), i.handled >= since).order_by(i.id)).all()
    whom: dict[tuple[str, int], str] = {}
    for kind in sorted({row.kind for row in rows}):
        ids = {row.subject for row in rows if row.kind == kind}
        named = case_names(connection, definition, ids) if kind == "case" else subject_names(connection, kind, ids)
        whom |= {(kind, id_): name if kind in ("case", "customer") else f"{kind}:{name}" for id_, name in named.items()}
    return [(row.name, whom.get((row.kind, row.subject), "?"), row.at, row.refused) for row in rows]


def said_of(row: Any) -> triggers.Said:
    """The word that a row of the inbox holds."""
    fields = {name: tuple(value) for name, value in json.loads(row.fields or "{}").items()}
    return triggers.Said(
        name=row.name, kind=row.kind, subject=row.subject, customer=row.customer, at=row.at, actor=row.actor,
        flow=row.flow, case_key=row.case_key, stage=row.stage, fields=fields, inbox=row.id,
    )  # fmt: skip
