"""A plain one-by-one interpreter of flows: what the set-wise engine must agree with. No SQL, no batches, no cleverness.

It keeps one customer as a dict and runs the hops of a pass on it: every rule is asked of a copy from before the hop.
It covers what the random flows of the property test use: openings, milestones, stage deadlines counted from entering
or from the clock, guarded transitions.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from csflow.flow.dating import dater
from csflow.flow.definition import Definition, Flow
from csflow.flow.evaluation import function
from csflow.flow.moments import Moment
from csflow.values import add


class Eyes:
    """The facts of one customer, seen from one of its cases (or from none)."""

    def __init__(
        self, customer: dict[str, Any], case: dict[str, Any] | None, moment: Moment, definition: Definition
    ) -> None:
        self.customer, self.case, self.moment, self.definition = customer, case, moment, definition

    def value(self, fact: Any) -> Any:
        if fact.kind == "field":
            return self.customer["fields"].get(fact.key.partition(".")[2])
        if fact.owner == "open":
            return sum(c["flow"] == fact.key and c["ended"] is None for c in self.customer["cases"])
        if fact.owner == "contract":
            return self.customer["contract"].get(fact.key)
        if fact.owner == "milestones":
            return self._milestones(fact.key)
        case = self.case
        if fact.owner.startswith("flow:"):
            case = next((c for c in reversed(self.customer["cases"]) if c["flow"] == fact.owner[5:]), None)
        if case is None:
            return None
        if fact.key == "missed":
            return sum(line["missed"] is not None for line in case["lines"])
        if fact.key == "overdue":
            return any(line["missed"] is not None and line["met"] is None for line in case["lines"])
        return case["ended"] if fact.key == "end" else case[fact.key]

    def happened(self, fact: Any) -> int | None:
        """When a fact came to be: stages and ends have a moment, fields of these tests none."""
        if fact.owner.startswith("flow:") or fact.owner == "case":
            case = next((c for c in reversed(self.customer["cases"]) if c["flow"] == fact.owner[5:]), self.case)
            key = {"stage": "entered_at", "end": "ended_at", "entered_at": "entered_at"}.get(fact.key)
            return case[key] if case is not None and key is not None else None
        return None

    def _milestones(self, name: str) -> Any:
        stage = self.definition.flows[self.case["flow"]].stages[self.case["stage"]]
        needed = [m for m in stage.milestones.values() if not m.optional]
        if name == "all":
            return all((self.case["stay"], m.name) in self.case["milestones"] for m in needed)
        return self.case["milestones"].get((self.case["stay"], name))

    def rows(self, thing: str) -> list[Any]:
        raise NotImplementedError(thing)


def run_pass(customer: dict[str, Any], definition: Definition, moment: Moment) -> list[str]:
    """Hop until nothing moves; returns what failed."""
    entered = {(c["number"], c["flow"], s) for c in customer["cases"] for s, at in c["entries"] if at == moment.now}
    stopped: set[tuple[str, int]] = set()
    for _ in range(50):
        if not hop(customer, definition, moment, entered, stopped):
            break
    return sorted(f"{flow}/{number}" for flow, number in stopped)


def hop(customer: dict[str, Any], definition: Definition, moment: Moment, entered: set[Any], stopped: set[Any]) -> bool:
    before, wrote = deepcopy(customer), False
    for seen, case in zip(before["cases"], customer["cases"], strict=True):
        flow = definition.flows[case["flow"]]
        if (case["flow"], case["number"]) in stopped:
            continue
        wrote |= restart_clock(before, seen, case, flow, definition, moment)
        wrote |= reach_milestones(before, seen, case, flow, definition, moment)
        wrote |= miss_deadlines(seen, case, moment)
        wrote |= move(before, seen, case, flow, definition, moment, entered, stopped)
    for flow in definition.flows.values():
        for opening in flow.opens:
            wrote |= open_case(before, customer, flow, opening, definition, moment, entered)
    return wrote


def holds(
    expression: Any, customer: dict[str, Any], case: dict[str, Any] | None, moment: Moment, definition: Definition
) -> bool:
    return function(expression.node)(Eyes(customer, case, moment, definition), moment) is True


def open_case(
    before: Any, customer: Any, flow: Flow, opening: Any, definition: Definition, moment: Moment, entered: Any
) -> bool:
    mark = (flow.name, opening.place)
    true_now = holds(opening.when, before, None, moment, definition)
    if not true_now:
        customer["marks"].discard(mark)
        return False
    if mark in before["marks"]:
        return False
    customer["marks"].add(mark)
    if any(c["flow"] == flow.name and c["ended"] is None for c in customer["cases"]):
        return True
    number = 1 + sum(c["flow"] == flow.name for c in customer["cases"])
    clock = function(flow.clock.node)(Eyes(before, None, moment, definition), moment) if flow.clock else None
    case = {
        "flow": flow.name, "number": number, "stage": flow.first, "ended": flow.stages[flow.first].end, "stay": 1,
        "opened_at": moment.now, "entered_at": moment.now, "ended_at": moment.now if flow.stages[flow.first].end else None, "clock": clock, "run": 0, "milestones": {}, "lines": [],
        "entries": [(flow.first, moment.now)],
    }  # fmt: skip
    entered.add((number, flow.name, flow.first))
    enter(case, flow, moment)
    start_clock(case, flow, moment)
    customer["cases"].append(case)
    return True


def enter(case: Any, flow: Flow, moment: Moment) -> None:
    deadline = flow.stages[case["stage"]].deadline
    if deadline is not None and deadline.due.hangs_on_entering:
        due = moment.zone.end_of(add(moment.zone.day_of(case["entered_at"]), deadline.due.length))
        case["lines"].append(line(deadline.name, case["stay"], due, case["stage"], entering=True))


def line(name: str, run: int, due: int | None, stage: str, *, entering: bool) -> dict[str, Any]:
    return {
        "name": name,
        "run": run,
        "due": due,
        "met": None,
        "missed": None,
        "dropped": False,
        "stage": stage,
        "entering": entering,
    }


def start_clock(case: Any, flow: Flow, moment: Moment) -> None:
    for stage in flow.stages.values():
        if stage.deadline is not None and not stage.deadline.due.hangs_on_entering:
            due = None
            if case["clock"] is not None:
                due = moment.zone.end_of(add(case["clock"], stage.deadline.due.length))
            new = line(stage.deadline.name, case["run"], due, stage.name, entering=False)
            if further(flow, case["stage"], stage.name):
                new["met"] = moment.now
            case["lines"].append(new)


def restart_clock(before: Any, seen: Any, case: Any, flow: Flow, definition: Definition, moment: Moment) -> bool:
    if flow.clock is None or seen["ended"] is not None:
        return False
    clock = function(flow.clock.node)(Eyes(before, None, moment, definition), moment)
    if clock is None or clock == seen["clock"]:
        return False
    for old in case["lines"]:
        if not old["entering"] and waits(old):
            old["dropped"] = True
    case["clock"], case["run"] = clock, case["run"] + 1
    start_clock(case, flow, moment)
    return True


def waits(old: Any) -> bool:
    return old["met"] is None and old["missed"] is None and not old["dropped"]


def reach_milestones(before: Any, seen: Any, case: Any, flow: Flow, definition: Definition, moment: Moment) -> bool:
    stage, wrote = flow.stages[seen["stage"]], False
    for milestone in stage.milestones.values():
        if (seen["stay"], milestone.name) in seen["milestones"] or not holds(
            milestone.when, before, seen, moment, definition
        ):
            continue
        eyes = Eyes(before, seen, moment, definition)
        case["milestones"][(seen["stay"], milestone.name)] = dated(milestone.when, eyes)
        wrote = True
        needed = [m.name for m in stage.milestones.values() if not m.optional]
        if all((seen["stay"], name) in case["milestones"] for name in needed):
            for old in case["lines"]:
                if old["stage"] == stage.name and old["met"] is None and not old["dropped"]:
                    meet(
                        old, max(case["milestones"][(seen["stay"], name)] for name in needed) if needed else moment.now
                    )
    return wrote


def dated(expression: Any, eyes: Eyes) -> int:
    """When a condition that holds became true."""
    return dater(expression.node)(
        truth=lambda node: function(node)(eyes, eyes.moment),
        value=eyes.value,
        happened=eyes.happened,
        held_since=lambda _condition: None,
        moment=eyes.moment,
    )


def meet(old: Any, at: int) -> None:
    """Met; but missed before, when what met it came after the due time."""
    if waits(old) and old["due"] is not None and old["due"] < at:
        old["missed"] = old["due"]
    old["met"] = at


def miss_deadlines(seen: Any, case: Any, moment: Moment) -> bool:
    wrote = False
    for old, now in zip(seen["lines"], case["lines"], strict=False):
        due = old["due"] is not None and old["due"] < moment.now
        if due and waits(old) and seen["ended"] is None:
            wrote = True
            if waits(now):
                now["missed"] = now["due"]
    return wrote


def further(flow: Flow, here: str, than: str) -> bool:
    order, stage = list(flow.stages), flow.stages[here]
    if stage.end in ("bad", "neutral"):
        return False
    return here != than and (stage.end == "good" or order.index(here) > order.index(than))


def move(
    before: Any, seen: Any, case: Any, flow: Flow, definition: Definition, moment: Moment, entered: Any, stopped: Any
) -> bool:
    source = flow.stages[seen["stage"]]
    for way in source.transitions:
        if way.trigger is not None or not holds(way.guard, before, seen, moment, definition):
            continue
        if (case["number"], flow.name, way.target) in entered:
            stopped.add((flow.name, case["number"]))
            return True
        entered.add((case["number"], flow.name, way.target))
        target = flow.stages[way.target]
        case["entries"].append((way.target, moment.now))
        case.update(stage=way.target, ended=target.end, stay=case["stay"] + 1, entered_at=moment.now)
        case["ended_at"] = moment.now if target.end is not None else None
        for old in case["lines"]:
            if old["met"] is not None or old["dropped"]:
                continue
            if waits(old) and old["due"] is not None and old["due"] < moment.now:
                old["missed"] = old["due"]
            left = old["stage"] == source.name and not source.milestones
            if target.end not in ("bad", "neutral") and (left or further(flow, way.target, old["stage"])):
                meet(old, moment.now)
            elif waits(old) and (target.end is not None or (old["entering"] and old["stage"] == source.name)):
                old["dropped"] = True
        if target.end is None:
            enter(case, flow, moment)
        return True
    return False
