"""Why a fact is unknown, in words: never measured, its source silent, too old, no contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, or_, select

from csflow.flow import nodes as n
from csflow.flow.expressions import Expression
from csflow.flow.types import TEXT, TIME, Fact
from csflow.services.parties import OF_CUSTOMERS
from csflow.services.views import newest_measured
from csflow.store import tables as t
from csflow.values import Instant, length_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from csflow.flow.evaluation import Facts
    from csflow.services.views import View

HOMES = {kind: Fact(f"{kind}.id", TEXT, kind, "column", "id") for kind in OF_CUSTOMERS}
CONTRACT = HOMES["contract"]


@dataclass(slots=True)
class Doubts:
    """What is known about measuring, for answering why a fact is unknown at a moment."""

    view: View
    measured: dict[int, Any]  # number of a metric → its row of `measured`
    new: frozenset[tuple[str, Any, Any]] = frozenset()  # kind, customer's id and own id of what came since

    def meet(self, connection: Connection, cases: Iterable[int]) -> None:
        """Learn what came since the last measure, before it is asked about these cases."""
        found: set[tuple[str, str, str]] = set()
        last = self.view.zone.day_of(max((row.at for row in self.measured.values()), default=0))
        owners = select(t.case.c.customer).where(t.case.c.id.in_(list(cases)))
        for kind, mark in newest_measured(connection).items():
            table = getattr(t, kind)
            owner = table if kind == "customer" else table.join(t.customer, t.customer.c.id == table.c.customer)
            rows = select(t.customer.c.key, table.c.key).select_from(owner)
            rows = rows.where(t.customer.c.id.in_(owners), or_(table.c.id > mark, table.c.happened > last))
            found.update((kind, *row) for row in connection.execute(rows))
        self.new = frozenset(found)

    def why(self, fact: Fact, facts: Facts, stated: Instant | None) -> str:
        """One line of why this fact, whose value is None, is unknown for this row."""
        if fact.kind == "metric":
            return self._metric(fact, facts, stated)
        if fact.kind == "field":
            return self._field(fact, facts, stated)
        return self._missing(fact, facts) or _LIVE.get(fact.owner, "it is not filled in")

    def _metric(self, fact: Fact, facts: Facts, stated: Instant | None) -> str:
        metric = self.view.definition.metrics.get(fact.key)
        row = self.measured.get(self.view.book.number("metric", fact.key))
        if metric is None or row is None:
            return "never measured"
        if fact.key in self.view.moment.stale:
            return self._stale(fact.key)
        if stated is None and row.error:
            return f"it has no value for this {metric.subject}, and measuring it failed: {row.error}"
        if stated is None and (missing := self._missing(fact, facts)) is not None:
            return missing
        if stated is None and self._is_new(metric.subject, facts):
            return f"not measured yet for this {metric.subject}"
        read = metric.expression.facts if metric.expression is not None else metric.facts
        inputs = ", ".join(dict.fromkeys(one.name for one in read))
        return f"unknown when it was measured{f', from {inputs}' if inputs else ''}"

    def _is_new(self, kind: str, facts: Facts) -> bool:
        """Whether it came after the last measure: a value that was unknown at a measure leaves no row behind."""
        return kind in HOMES and (kind, facts.value(HOMES["customer"]), facts.value(HOMES[kind])) in self.new

    def _stale(self, name: str) -> str:
        """Its source is silent, it is older than its `fresh:`, or that is so of something it is computed from."""
        metric, zone = self.view.definition.metrics[name], self.view.zone
        row = self.measured.get(self.view.book.number("metric", name))
        if row is not None and row.silent:
            return f"its source is silent: no value since {zone.text(row.at)}"
        if row is not None and metric.fresh is not None and row.at <= zone.latest_start(metric.fresh, self.view.now):
            return f"measured {zone.text(row.at)}, which is longer ago than {length_text(metric.fresh)}"
        source = next((read for read in metric.reads if read in self.view.moment.stale), None)
        return f"it is computed from {source}: {self._stale(source)}" if source is not None else "too old"

    def _field(self, fact: Fact, facts: Facts, stated: Instant | None) -> str:
        if stated is None:
            return self._missing(fact, facts) or "never stated"
        at = self.view.zone.text(stated)
        return (
            f"stated {at}, which is longer ago than {fact.fresh}"
            if fact.fresh is not None
            else f"stated {at} as unknown"
        )

    def _missing(self, fact: Fact, facts: Facts) -> str | None:
        """The row that would hold it is not there."""
        if fact.owner == "contract" and facts.value(CONTRACT) is None:
            return "there is no contract"
        flow = fact.owner.removeprefix("flow:")
        if flow != fact.owner and facts.value(_stage_of(flow)) is None:
            return f"there was no case of {flow}"
        return None


_LIVE = {
    "activity": "it never happened",
    "milestones": "it is not reached",
    "case": "the case has none",
    "contract": "the contract does not say",
}


def doubts(connection: Connection, view: View) -> Doubts:
    """What must be read, in one statement, before questions can be answered."""
    return Doubts(view, {row.metric: row for row in connection.execute(select(t.measured))})


def needed(facts: Iterable[Fact]) -> list[Expression]:
    """What must be loaded of a row so that its facts can be shown and doubted: values, when stated, and their homes."""
    found: dict[tuple[str, Fact], n.Node] = {}
    for fact in facts:
        found["value", fact] = n.Read(fact.type, 0, fact)
        if fact.kind in ("metric", "field"):
            found["stated", fact] = n.Recorded(TIME, 0, fact)
        if fact.kind == "metric" and fact.owner in HOMES:
            for own in (HOMES["customer"], HOMES[fact.owner]):
                found["value", own] = n.Read(own.type, 0, own)
        home = CONTRACT if fact.owner == "contract" else None
        if fact.owner.startswith("flow:"):
            home = _stage_of(fact.owner.removeprefix("flow:"))
        if home is not None:
            found["value", home] = n.Read(home.type, 0, home)
    return [Expression(fact.name, node) for (_, fact), node in found.items()]


def _stage_of(flow: str) -> Fact:
    return Fact(f"{flow}.stage", TEXT, f"flow:{flow}", "column", "stage")
