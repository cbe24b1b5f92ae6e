"""What a dotted name means: the project's facts, flows and numbers, looked up in one order everywhere."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any

from csflow.errors import ExpressionError
from csflow.flow.records import record
from csflow.flow.types import (
    BOOLEAN,
    DATE,
    END,
    NUMBER,
    TEXT,
    TIME,
    Catalogue,
    Fact,
    Functions,
    Outside,
    Type,
    no_functions,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,4})?\Z")  # a key of a label
CASE_ID = Type("case")  # opaque: one case is or is not another
RETENTION = (
    "grr", "nrr", "logo_retention", "logo_churn", "new", "expansion", "contraction", "churn", "reactivation", "opening",
    "closing", "quick_ratio",
)  # fmt: skip


@record
class FlowNames:
    """What other rules may say of a flow."""

    subject: str
    base: str
    stages: tuple[str, ...]
    fields: dict[str, Type] = field(default_factory=dict)
    milestones: tuple[str, ...] = ()
    clock: bool = False


@dataclass(slots=True)
class Names:
    """Everything that expressions of a project may speak of.

    ``fields``: subject kind → name → (type, fresh as text or None). ``metrics``: name → (subject, fresh);
    ``metric_type`` gives a metric's type when asked (it may have to be inferred). ``vars``: name → (type, value).
    """

    catalogue: Catalogue
    currency: str = "USD"
    year_starts: int = 1
    fields: dict[str, dict[str, tuple[Type, str | None]]] = field(default_factory=dict)
    metrics: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    metric_type: Callable[[str], Type] = lambda _name: NUMBER  # replaced by whoever knows the metrics
    flows: dict[str, FlowNames] = field(default_factory=dict)
    vars: dict[str, tuple[Type, Any]] = field(default_factory=dict)
    activities: tuple[str, ...] = ()
    retentions: tuple[str, ...] = ()
    functions: Callable[[], Functions] = no_functions  # what plugins bring: asked only when a name is none of ours
    called: dict[str, Outside] = field(default_factory=dict)  # those of them that an expression calls


def nearest(word: str, words: Iterable[str]) -> str:
    """`: did you mean 'x'?` for the closest of the words, or nothing."""
    close = get_close_matches(word[:100], list(islice(words, 2_000)), n=1, cutoff=0.6)
    return f": did you mean '{close[0]}'?" if close else ""


def nearest_fact(name: str, known: Iterable[str]) -> str:
    """As `nearest`, but only among facts of the same thing: no number of `vars.` is a slip for one of `tasks.`.

    What stands behind the dot is compared alone, or the common prefix would make any two alike. Where nothing is called
    like the part before the dot, that part is taken for a slip too.
    """
    names = list(known)
    head, dot, rest = name.partition(".")
    heads = {one.partition(".")[0] for one in names} | {"vars"}
    if head not in heads:
        head = next(iter(get_close_matches(head[:100], sorted(heads), n=1, cutoff=0.6)), head)
    words = [one.removeprefix(head + dot) for one in names if one.startswith(head + dot)]
    close = get_close_matches(rest[:100], words[:2_000], n=1, cutoff=0.6)
    return f": did you mean '{head}.{close[0]}'?" if close else ""


class Scope:
    """Names as seen from one place: a guard of a flow, an opening rule, a metric of a subject, a message."""

    def __init__(self, names: Names, *, subject: str, flow: str | None, use: str) -> None:
        self.names, self.subject, self.flow, self.use = names, subject, flow, use

    def resolve(self, name: str, each: str | None = None) -> Fact:
        """The fact of a dotted name (``each``: the thing an enclosing count goes over); ExpressionError if none."""
        head, _, rest = name.partition(".")
        if each is not None and head == each:
            fact = self._of_thing(each, rest, name)
        else:
            fact = self._own(head, rest, name) or self._metric(name) or self._subject(head, rest, name)
            fact = fact or self._other_flow(head, rest, name)
        if fact is None and self.flow is None and head in OF_THE_CASE:
            raise ExpressionError(f"'{name}' speaks of a case: only the rules of a flow are about one")
        if fact is None:
            raise ExpressionError(f"unknown fact '{name}'{nearest_fact(name, self.known(each))}")
        return fact

    def _own(self, head: str, rest: str, name: str) -> Fact | None:
        flow = self.names.flows.get(self.flow or "")
        if self.use == "opening" and flow is not None and head in OF_THE_CASE:
            raise ExpressionError(f"'{name}' speaks of this case: there is none yet where an opening rule is asked")
        if head == "case" and flow is not None:
            return self._of_case(flow, rest, name, "case")
        if head == "milestones" and flow is not None:
            if rest == "all":
                return Fact(name, BOOLEAN, "milestones", "column", "all")
            return Fact(name, TIME, "milestones", "column", rest) if rest in flow.milestones else None
        if head == "tasks" and rest in ("all", "open") and flow is not None:
            return Fact(name, BOOLEAN if rest == "all" else NUMBER, "tasks", "column", rest)
        if head == "open" and rest in self.names.flows:
            if self.names.flows[rest].subject != self.subject:
                self.about_customer(name)
            return Fact(name, NUMBER, "open", "column", rest)
        if head == "activity" and self._last(rest):
            self.about_customer(name)
            return Fact(name, TIME, "activity", "column", rest)
        return None

    def _last(self, word: str) -> bool:
        return word in ("last", "last_touch") or (word.removeprefix("last_") in self.names.activities and word != "")

    def _metric(self, name: str) -> Fact | None:
        found = self.names.metrics.get(name)
        if found is None:
            return None
        subject, fresh = found
        if subject == "book" or not self._reaches(subject):
            place = "a report or goal" if subject == "book" else f"a rule about {_a(subject)}"
            raise ExpressionError(f"'{name}' belongs to {_a(subject)}: it can only be read in {place}")
        return Fact(name, self.names.metric_type(name), subject, "metric", name, fresh)

    def _reaches(self, kind: str) -> bool:
        """Whether a rule about this subject has exactly one row of that kind."""
        if kind in ("organisation", self.subject):
            return True
        return kind in ("customer", "contract") and self.subject in ("customer", "contract", "contact")

    def about_customer(self, name: str) -> None:
        """Refuse what hangs on one customer in a rule that has none; ExpressionError."""
        if not self._reaches("customer"):
            place = (
                "a book metric, but inside a count," if self.subject == "book" else f"a rule about {_a(self.subject)}"
            )
            raise ExpressionError(f"'{name}' belongs to a customer: {place} has none")

    def _subject(self, head: str, rest: str, name: str) -> Fact | None:
        kind = self.names.catalogue.kinds.get(head)
        if kind is None or head in ("case", "activity", "task"):
            return None
        fact = self._of_kind(head, rest, name, head)
        if fact is not None and not self._reaches(head):
            message = f"'{name}' is not one fact here: count over {head}, or read it in a rule about {_a(head)}"
            raise ExpressionError(message)
        return fact

    def _of_kind(self, kind: str, rest: str, name: str, owner: str) -> Fact | None:
        declared = self.names.fields.get(kind, {}).get(rest)
        if declared is not None:
            return Fact(name, declared[0], owner, "field", f"{kind}.{rest}", declared[1])
        column = self.names.catalogue.kinds[kind].columns.get(rest)
        if column is not None:
            return Fact(name, column, owner, "column", rest)
        if kind == "contact" and self._last(rest):
            return Fact(name, TIME, owner, "activity", rest)
        return None

    def _of_thing(self, thing: str, rest: str, name: str) -> Fact | None:
        owner = f"each:{thing}"
        if thing in self.names.flows:
            return self._of_case(self.names.flows[thing], rest, name, owner, thing)
        found = self.names.metrics.get(name)
        if found is not None and found[0] == thing:
            return Fact(name, self.names.metric_type(name), owner, "metric", name, found[1])
        return self._of_kind(thing, rest, name, owner)

    def _other_flow(self, head: str, rest: str, name: str) -> Fact | None:
        flow = self.names.flows.get(head)
        if flow is None:
            return None
        self.about_customer(name)
        return self._of_case(flow, rest, name, f"flow:{head}", head)

    def _of_case(self, flow: FlowNames, rest: str, name: str, owner: str, own: str | None = None) -> Fact | None:
        if rest in flow.fields:
            return Fact(name, flow.fields[rest], owner, "field", f"{own or self.flow}.{rest}")
        if rest == "stage":
            return Fact(name, Type("choice", flow.stages), owner, "column", "stage")
        if rest == "end":
            return Fact(name, END, owner, "column", "end")
        if rest.startswith("milestones."):
            milestone = rest.removeprefix("milestones.")
            return Fact(name, TIME, owner, "milestone", milestone) if milestone in flow.milestones else None
        column = CASE_COLUMNS.get(rest)
        return Fact(name, column, owner, "column", rest) if column is not None else None

    def known(self, each: str | None = None) -> list[str]:
        """Every name that could be written here, for the nearest one in an error message."""
        names = self.names
        found = [*names.metrics, *(f"vars.{v}" for v in names.vars), *(f"open.{f}" for f in names.flows)]
        for kind, info in names.catalogue.kinds.items():
            found += [f"{kind}.{word}" for word in (*info.columns, *names.fields.get(kind, ()))]
        for key, flow in names.flows.items():
            own = [key, "case"] if key == self.flow else [key]
            words = (*flow.fields, *CASE_COLUMNS, *(f"milestones.{m}" for m in flow.milestones), "stage", "end")
            found += [f"{prefix}.{word}" for prefix in own for word in words]
            found += [f"milestones.{m}" for m in (*flow.milestones, "all") if key == self.flow]
        found += [f"activity.last_{kind}" for kind in names.activities] + ["tasks.all", "tasks.open", "today", "now"]
        return found + [f"{each}.last_{kind}" for kind in names.activities if each == "contact"]


def _a(kind: str) -> str:
    return f"an {kind}" if kind == "organisation" else f"a {kind}"


OF_THE_CASE = ("case", "milestones", "tasks")
CASE_COLUMNS = {
    "id": CASE_ID,
    "number": NUMBER,
    "opened_at": TIME,
    "entered_at": TIME,
    "ended_at": TIME,
    "clock": DATE,
    "due": TIME,
    "overdue": BOOLEAN,
    "missed": NUMBER,
    "waiting": BOOLEAN,
    "responsible": TEXT,
}
