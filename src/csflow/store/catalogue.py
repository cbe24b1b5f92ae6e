"""The facts that every project has before it declares any: what `flow` is told about customers and the rest."""

from __future__ import annotations

from csflow.flow.types import BOOLEAN, DATE, MONEY, NUMBER, TEXT, TIME, Catalogue, SubjectKind, Type

PERSON = Type("person")

CATALOGUE = Catalogue(
    kinds={
        "customer": SubjectKind(
            "customer", {"id": TEXT, "name": TEXT, "signed_on": DATE, "amount": MONEY, "contracts": NUMBER}
        ),
        "contract": SubjectKind(
            "contract",
            {
                "id": TEXT, "product": TEXT, "starts_on": DATE, "ends_on": DATE, "amount": MONEY, "currency": TEXT,
                "signed_on": DATE, "replaces": TEXT, "renewed": BOOLEAN, "renewed_amount": MONEY,
            },
        ),
        "contact": SubjectKind(
            "contact",
            {"id": TEXT, "name": TEXT, "mail": TEXT, "phone": TEXT, "post": TEXT, "left": BOOLEAN, "left_on": DATE},
        ),
        "person": SubjectKind("person", {"id": TEXT, "name": TEXT, "mail": TEXT, "team": TEXT}),
        "organisation": SubjectKind("organisation", {"id": TEXT, "name": TEXT}),
        "activity": SubjectKind("activity", {"kind": TEXT, "at": TIME, "person": PERSON}),
        "task": SubjectKind(
            "task",
            {"name": TEXT, "role": TEXT, "person": PERSON, "opened_at": TIME, "due": TIME, "done_at": TIME},
        ),
    }
)  # fmt: skip

# The column of each core fact; what is not here is computed in `reading`.
COLUMNS: dict[str, dict[str, str]] = {
    "customer": {"id": "key", "name": "name", "signed_on": "signed_on", "amount": "amount", "contracts": "contracts"},
    "contract": {
        "id": "key", "product": "product", "starts_on": "starts_on", "amount": "value", "currency": "currency",
        "signed_on": "signed_on", "replaces": "replaces",
    },
    "contact": {
        "id": "key", "name": "name", "mail": "mail", "phone": "phone", "post": "post", "left": "left",
        "left_on": "left_on",
    },
    "person": {"id": "key", "name": "name", "mail": "mail", "team": "team"},
    "organisation": {"id": "key", "name": "name"},
    "activity": {"kind": "kind", "at": "at", "person": "person"},
    "task": {
        "name": "name", "role": "role", "person": "person", "opened_at": "opened_at", "due": "due",
        "done_at": "done_at",
    },
}  # fmt: skip
SUBJECTS = ("customer", "contract", "contact", "person", "organisation")
