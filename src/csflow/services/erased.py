"""What an erasure cannot decide by itself: free text about others that still names the contact is searched and counted.

Such text belongs to a customer, a case, a task or another contact. A name can also be a word or somebody else's name,
so csflow says where people have to look and changes nothing there.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, or_, select

from csflow.store import tables as t
from csflow.store.erased import FREE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from csflow.flow.definition import Definition
    from csflow.services.views import View

NAMING = ("name", "mail", "phone")
LETTERS = "0-9A-Za-zÀ-ɏ"  # a name does not end within a word; scripts without blanks have no such ends


def chosen_questions(definition: Definition) -> set[str]:
    """Questions whose answers are figures or choices: what says nothing of who somebody is."""
    fields = definition.fields
    return {
        name
        for kind in ("contact", "customer")
        for name, one in fields.get(kind, {}).items()
        if one.type.name not in FREE
    }


def free_fields(definition: Definition) -> frozenset[str]:
    """Names of fields of flows that may hold anything."""
    return frozenset(
        name for flow in definition.flows.values() for name, one in flow.fields.items() if one.type.name in FREE
    )


def names_of(connection: Connection, contact: int) -> set[str]:
    """What a contact is called now and was called before: name, mail, phone. Empty once it is erased."""
    row = connection.execute(select(t.contact).where(t.contact.c.id == contact)).mappings().one()
    log = t.row_log.c
    former = connection.execute(select(log.body).where(log.kind == "contact", log.row == contact)).scalars()
    said = [row, *(json.loads(body) for body in former)]
    return {str(one[name]) for one in said for name in NAMING if one.get(name)}


def mentions(connection: Connection, view: View, customer: int, names: Iterable[str]) -> dict[str, int]:
    """How many texts about a customer and its cases hold one of the names, by kind of text."""
    wanted = sorted(names, key=lambda one: (-len(one), one))
    if not wanted:
        return dict.fromkeys(_texts(view, customer), 0)
    pattern = re.compile(f"(?<![{LETTERS}])(?:{'|'.join(map(re.escape, wanted))})(?![{LETTERS}])", re.IGNORECASE)
    return {
        what: sum(1 for one in statements for text in connection.execute(one).scalars() if pattern.search(_plain(text)))
        for what, statements in _texts(view, customer).items()
    }


def _plain(text: str) -> str:
    """JSON with its letters as they are."""
    return json.dumps(json.loads(text), ensure_ascii=False) if text.startswith(("{", "[")) and "\\u" in text else text


def _texts(view: View, customer: int) -> dict[str, list[Select[Any]]]:
    cases = select(t.case.c.id).where(t.case.c.customer == customer)
    a, w, k = t.activity.c, t.answer.c, t.task.c
    return {
        "fields": [_fields(view, table, customer) for table in (t.field_value, t.field_log)],
        "comments": [select(k.comment).where(k.case.in_(cases), k.comment.is_not(None))],
        "notes": [select(a.note).where(a.customer == customer, a.note.is_not(None))],
        "answers": [select(w.text).where(w.customer == customer, w.text.is_not(None))],
        "words": [select(t.inbox.c.fields).where(t.inbox.c.customer == customer, t.inbox.c.fields.is_not(None))],
        "reasons": [select(t.history.c.because).where(t.history.c.case.in_(cases), t.history.c.because.is_not(None))],
    }


def _fields(view: View, table: Any, customer: int) -> Select[Any]:
    """Free text in declared fields of the customer, its contracts, its other contacts and its cases."""
    definition, groups = view.definition, []
    rows = {
        "customer": select(t.customer.c.id).where(t.customer.c.id == customer),
        "contract": select(t.contract.c.id).where(t.contract.c.customer == customer),
        "contact": select(t.contact.c.id).where(t.contact.c.customer == customer),
    }
    for kind, ids in rows.items():
        groups.append((kind, definition.fields.get(kind, {}), ids))
    for flow in definition.flows.values():
        own = select(t.case.c.id).where(t.case.c.customer == customer, t.case.c.flow == flow.name)
        groups.append((flow.name, flow.fields, own))
    held = []
    for owner, fields, ids in groups:
        free = [view.book.number("field", f"{owner}.{name}") for name, one in fields.items() if one.type.name in FREE]
        if free:
            held.append(table.c.field.in_(free) & table.c.subject.in_(ids))
    return select(table.c.text).where(or_(*held) if held else table.c.field == -1, table.c.text.is_not(None))
