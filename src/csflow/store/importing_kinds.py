"""What can be imported: for each kind its columns, the table behind it, and what makes two rows the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from csflow.store import tables

if TYPE_CHECKING:
    from sqlalchemy import Table

# Types of columns: key (an id), text, currency, date, time, number, boolean, amount (of the row's currency).


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fact a file can hold.

    ``columns`` are csflow's names and their types; ``needs`` groups of columns of which one must be there; ``table``,
    ``key`` and ``content`` what a row becomes; ``renamed`` where the table's column has another name; ``fields`` the
    kind of subject whose declared fields may stand in further columns.
    """

    name: str
    columns: dict[str, str]
    needs: tuple[tuple[str, ...], ...]
    table: Table
    key: tuple[str, ...]
    content: tuple[str, ...]
    renamed: dict[str, str] = field(default_factory=dict)
    fields: str | None = None
    numbered: bool = False  # rows carry `source` and `ref`
    adds: tuple[str, ...] = ()  # columns that `on_duplicate: sum` adds up
    newest: str | None = None  # the column that tells how far the source has spoken
    logged: bool = True  # former versions go to row_log
    closes: bool = False  # `--complete` may close what is absent


def _kinds(*kinds: Kind) -> dict[str, Kind]:
    return {kind.name: kind for kind in kinds}


KINDS = _kinds(
    Kind(
        "customer",
        {"id": "key", "name": "text", "signed_on": "date"},
        (("id",),),
        tables.customer,
        ("key",),
        ("name", "signed_on"),
        renamed={"id": "key"},
        fields="customer",
    ),
    Kind(
        "contract",
        {
            "id": "key",
            "customer": "key",
            "product": "text",
            "starts_on": "date",
            "ends_on": "date",
            "amount": "amount",
            "currency": "currency",
            "signed_on": "date",
            "replaces": "key",
        },
        (("customer",), ("starts_on",)),
        tables.contract,
        ("customer", "key"),
        ("product", "starts_on", "ends", "amount", "currency", "signed_on", "replaces"),
        renamed={"id": "key", "ends_on": "ends"},
        fields="contract",
        closes=True,
    ),
    Kind(
        "contact",
        {
            "id": "key",
            "customer": "key",
            "contract": "key",
            "name": "text",
            "mail": "text",
            "phone": "text",
            "post": "text",
            "left": "boolean",
            "left_on": "date",
        },
        (("id",), ("customer", "contract")),
        tables.contact,
        ("key",),
        ("customer", "name", "mail", "phone", "post", "left", "left_on"),
        renamed={"id": "key"},
        fields="contact",
        closes=True,
    ),
    Kind(
        "person",
        {"id": "key", "name": "text", "mail": "text", "team": "text"},
        (("id",),),
        tables.person,
        ("key",),
        ("name", "mail", "team"),
        renamed={"id": "key"},
        fields="person",
        logged=False,
    ),
    Kind(
        "feature",
        {"id": "key", "name": "text", "core": "boolean", "product": "text"},
        (("id",),),
        tables.feature,
        ("key",),
        ("name", "core", "product"),
        renamed={"id": "key"},
        logged=False,
    ),
    Kind(
        "rate",
        {"currency": "currency", "day": "date", "rate": "number"},
        (("currency",), ("day",), ("rate",)),
        tables.rate,
        ("currency", "day"),
        ("rate",),
        newest="day",
        logged=False,
    ),
    Kind(
        "usage",
        {
            "id": "key",
            "customer": "key",
            "contract": "key",
            "feature": "key",
            "day": "date",
            "count": "number",
            "seconds": "number",
            "users": "number",
        },
        (("customer", "contract"), ("feature",), ("day",)),
        tables.usage,
        ("source", "ref"),
        ("customer", "feature", "day", "count", "seconds", "users"),
        renamed={"id": "ref"},
        numbered=True,
        adds=("count", "seconds", "users"),
        newest="day",
        logged=False,
    ),
    Kind(
        "activity",
        {
            "id": "key",
            "customer": "key",
            "contract": "key",
            "contact": "key",
            "kind": "text",
            "at": "time",
            "person": "text",
            "note": "text",
        },
        (("customer", "contract", "contact"), ("kind",), ("at",)),
        tables.activity,
        ("source", "ref"),
        ("customer", "contact", "kind", "at", "person", "note"),
        renamed={"id": "ref"},
        numbered=True,
        newest="at",
    ),
    Kind(
        "answer",
        {
            "id": "key",
            "customer": "key",
            "contract": "key",
            "contact": "key",
            "question": "text",
            "day": "date",
            "number": "number",
            "text": "text",
        },
        (("customer", "contract", "contact"), ("question",), ("day",), ("number", "text")),
        tables.answer,
        ("source", "ref"),
        ("customer", "contact", "question", "day", "number", "text"),
        renamed={"id": "ref"},
        numbered=True,
        newest="day",
    ),
    Kind(
        "trigger",
        {
            "id": "key",
            "name": "text",
            "flow": "text",
            "customer": "key",
            "contract": "key",
            "contact": "key",
            "case": "key",
            "at": "time",
            "actor": "text",
        },
        (("name",), ("at",), ("customer", "contract", "contact", "case")),
        tables.inbox,
        ("source", "ref", "name", "at"),
        ("flow", "kind", "subject", "customer", "case_key", "actor", "fields"),
        renamed={"id": "ref"},
        numbered=True,
        newest="at",
        logged=False,
    ),
    Kind(
        "case",
        {
            "id": "key",
            "flow": "text",
            "customer": "key",
            "contract": "key",
            "contact": "key",
            "opened_at": "time",
            "stage": "text",
            "at": "time",
            "actor": "text",
        },
        (("id",), ("flow",), ("opened_at",), ("customer", "contract", "contact")),
        tables.inbox,
        ("source", "ref", "name", "at"),
        ("flow", "kind", "subject", "customer", "case_key", "stage", "actor", "fields"),
        renamed={"id": "ref"},
        numbered=True,
        newest="opened_at",
        logged=False,
    ),
)

# Kinds in the order of dependence: what a later one names, an earlier one brings.
ORDER = (
    "person",
    "feature",
    "rate",
    "customer",
    "contract",
    "contact",
    "usage",
    "activity",
    "answer",
    "case",
    "trigger",
)
