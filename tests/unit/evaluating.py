"""A catalogue, a row of facts written by hand, and the value of an expression over it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from csflow.flow.calendars import Calendar, parse_hours
from csflow.flow.evaluation import function
from csflow.flow.expressions import compile_expression
from csflow.flow.moments import Moment
from csflow.flow.names import FlowNames, Names
from csflow.flow.types import BOOLEAN, DATE, MONEY, NUMBER, SHARE, TEXT, TIME, Catalogue, SubjectKind, Type
from csflow.values import Zone, day

ZONE = Zone("Europe/Berlin")
OFFICE = Calendar("office", ZONE, parse_hours({"mon-fri": "09:00-18:00"}))
CAUSE = Type("choice", ("dear", "late", "rude"), (("money", ("dear",)), ("people", ("late", "rude"))))
METRICS = {"a.yes": BOOLEAN, "a.no": BOOLEAN, "a.what": BOOLEAN, "usage.depth": SHARE, "usage.hours": NUMBER,
           "usage.first": DATE, "customer.grade": Type("choice", ("A", "B", "C"))}  # fmt: skip
NAMES = Names(
    Catalogue({
        "customer": SubjectKind("customer", {"name": TEXT, "amount": MONEY}),
        "contract": SubjectKind("contract", {"starts_on": DATE, "ends_on": DATE, "amount": MONEY, "renewed": BOOLEAN}),
        "contact": SubjectKind("contact", {"left": BOOLEAN}),
        "activity": SubjectKind("activity", {"kind": TEXT, "at": TIME}),
        "task": SubjectKind("task", {"name": TEXT}),
    }),
    currency="EUR",
    year_starts=4,
    fields={"customer": {"nps": (NUMBER, None), "seen": (TIME, None)}, "contact": {"level": (NUMBER, None)}},
    metrics=dict.fromkeys(METRICS, ("customer", None)),
    metric_type=METRICS.__getitem__,
    flows={"complaint": FlowNames("customer", "complaint", ("new", "done"), {"cause": CAUSE, "cost": NUMBER})},
    activities=("visit",),
)  # fmt: skip


@dataclass
class Row:
    """Facts by name."""

    values: dict[str, Any] = field(default_factory=dict)
    things: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    spans: dict[str, tuple] = field(default_factory=dict)
    first: int | None = None
    outer: Row | None = None

    def value(self, fact):
        if self.outer is not None and not fact.owner.startswith("each:"):
            return self.outer.value(fact)
        return self.values.get(fact.name)

    def rows(self, thing):
        return [Row(values, outer=self) for values in self.things.get(thing, [])]

    def span(self, condition):
        return self.spans.get(condition.key)

    def stated(self, fact):
        return self.values.get(f"stated {fact.name}")

    def ago(self, fact, length):
        return self.values.get(f"{fact.name} {length.amount} {length.unit} ago")

    def first_day(self):
        return self.outer.first_day() if self.outer is not None else self.first


def at(text, minute=0):
    return ZONE.at(day(text), minute)


def noon(text, **more):
    return Moment(at(text, 720), ZONE, OFFICE, **more)


TODAY = noon("2026-03-31")
TRUTHS = {"a.yes": 1, "a.no": 0}


def value(text, row=None, moment=TODAY, *, use="metric", subject="customer", **facts):
    """The value of an expression: facts by keyword with `__` for a dot, or a Row."""
    expression = compile_expression(text, NAMES, subject=subject, use=use)
    if row is None:
        row = Row(TRUTHS | {name.replace("__", "."): found for name, found in facts.items()})
    return function(expression.node)(row, moment)


WORD = {True: "a.yes", False: "a.no", None: "a.what"}
