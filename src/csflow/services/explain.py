"""Why a case is where it is: every way out of its stage, part by part, with the values read and what is missing.

Evaluated in Python, on facts that are loaded row by row – another back end than the SQL that `advance` asks – and
held to agree with it: the pass at the same moment does in its first hop what ``next`` says, for the same values.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, insert

from csflow.errors import UsageError
from csflow.flow import nodes as n
from csflow.flow.evaluation import Facts, function
from csflow.flow.explaining import Anatomy, Part
from csflow.flow.expressions import Expression
from csflow.flow.names import CASE_ID
from csflow.flow.types import BOOLEAN, Type
from csflow.services.changed import adopt
from csflow.services.doubts import Doubts, doubts, needed
from csflow.services.finding import find_cases
from csflow.services.surroundings import Around, around, heard
from csflow.services.views import View, introduce, present, see
from csflow.store import tables as t
from csflow.store.facts import LoadedFacts, load_many
from csflow.store.questions import held_name
from csflow.store.refreshing import refresh
from csflow.store.touching import ADVANCE, last_pass
from csflow.values import Instant, Zone, day_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from csflow.flow.definition import Definition, Flow, Milestone, Stage, Transition
    from csflow.store.opening import Store

AT_ONCE = 300  # cases whose facts are held in memory together


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, and when by the clock on the wall: what a pass would write into history."""

    now: Instant
    actor: str = "csflow"
    recorded: Instant = 0


def explain(
    store: Store, definition: Definition, target: str, asked: Asked, *, flow: str | None = None
) -> dict[str, Any]:
    """Explain the cases of a customer (or other subject), or one case, as of ``asked.now``; nothing is changed.

    ``{"as_of", "target", "cases": [case, …]}`` – each case as `explain_cases` gives it; of the ended ones those with
    ways out. UsageError for an unknown target and for a moment before the last pass.
    """
    with store.trial() as connection:
        view = foresee(connection, definition, asked)
        ids = find_cases(connection, definition, target, flow)
        named = "/" in target
        cases = [
            case
            for case in explain_cases(connection, view, ids)
            if named or case["ended"] is None or case["transitions"]
        ]
        return {"as_of": view.zone.text(view.now), "target": target, "cases": cases}


def foresee(connection: Connection, definition: Definition, asked: Asked) -> View:
    """Make the store ready as a pass at this moment does; in a transaction that is to be rolled back.

    UsageError when the moment lies before the last pass: the store knows only where cases stand since then.
    """
    zone = Zone(definition.zone)
    last = last_pass(connection)
    if last is not None and asked.now < last:
        raise UsageError(f"the last pass was at {zone.text(last)}: what stood before it is in csflow history")
    introduce(connection, definition)
    refresh(connection, zone.day_of(asked.now), ADVANCE, zone)
    adopt(connection, see(connection, definition, asked.now), asked)
    row = {"verb": "pass", "as_of": asked.now, "recorded": asked.recorded, "definition": definition.hash}
    connection.execute(insert(t.run).values(**row))
    return see(connection, definition, asked.now)


def explain_cases(connection: Connection, view: View, cases: Iterable[int]) -> Iterator[dict[str, Any]]:
    """Explain cases by their ids in the store, in that order; those that no flow knows any more are left out.

    Each is a dict with ``case flow subject customer stage ended since opened clock came_from waiting``, then

    - ``milestones``: ``name of (stage|flow) optional trigger reached``, and where not reached ``holds guard true_on``;
    - ``deadlines``: ``name due status (due|past due|met|met late|missed|stopped|undated) met missed person stopped``;
    - ``tasks``: the open ones, ``name number label role person opened due overdue``;
    - ``transitions``, in their order: ``to place verdict (true|false|unknown|waits for trigger|waits for approval)
      holds trigger only approve asks guard values true_on``;
    - ``words``: what is waiting in the inbox for it;
    - ``next``: what the next pass at this moment does first: ``{"by": "guard", "to", "place", "because"}``,
      ``{"by": "word", "word", "to"}`` (rules are asked after the words; ``to`` is null where no word moves this case),
      ``{"by": "approval", "to", "place", "role"}``, ``{"by": "stop", "to", "place",
      "error"}`` – or null.

    ``guard`` is a tree of ``{"is": "and"|"or"|"not"|"part", "text", "holds", "parts" | "reads", "changes_on"}``;
    ``holds`` is null where unknown; ``values`` hold ``fact value measured`` and, where the value is null, ``unknown``:
    why. ``true_on`` and ``changes_on`` are days on which time alone, with no fact changing, makes it true or another.
    """
    wanted = list(cases)
    explainer = _Explainer(connection, view, doubts(connection, view))
    for start in range(0, len(wanted), AT_ONCE):
        yield from explainer.some(wanted[start : start + AT_ONCE])


@dataclass(frozen=True, slots=True)
class _Rule:
    """A guard prepared for many cases; ``guard`` is None where there is none."""

    guard: Expression | None
    anatomy: Anatomy | None

    @classmethod
    def of(cls, guard: Expression | None, currency: str) -> _Rule:
        return cls(guard, Anatomy(guard.node, currency) if guard is not None else None)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be evaluated for the cases of one stage."""

    flow: Flow
    stage: Stage
    ways: tuple[tuple[Transition, _Rule], ...]
    milestones: tuple[tuple[Milestone, bool, _Rule], ...]  # True: the stage's own

    def expressions(self, *, own: bool) -> list[Expression]:
        """The guards that are read from the stage (``own``), or those of the flow's milestones."""
        rules = [rule for _, mine, rule in self.milestones if mine == own]
        rules += [rule for _, rule in self.ways] if own else []
        return [rule.guard for rule in rules if rule.guard is not None]


@dataclass(slots=True)
class _Explainer:
    connection: Connection
    view: View
    doubts: Doubts
    plans: dict[tuple[str, str], _Plan] = field(default_factory=dict)

    def some(self, ids: list[int]) -> Iterator[dict[str, Any]]:
        known = around(self.connection, self.view, ids)
        self.doubts.meet(self.connection, ids)
        known.heard = heard(self.connection, self.view, known.rows.values())
        groups: dict[tuple[str, str], list[int]] = defaultdict(list)
        for row in known.rows.values():
            groups[row.flow, row.stage].append(row.id)
        facts: dict[int, tuple[LoadedFacts, LoadedFacts]] = {}
        for place, members in groups.items():
            plan = self._plan(*place)
            stage, flow = self._load(plan, members, own=True), self._load(plan, members, own=False)
            facts.update({case: (stage[case], flow.get(case, stage[case])) for case in members})
        for case in ids:
            if case in known.rows:
                row = known.rows[case]
                yield self._one(known, self.plans[row.flow, row.stage], case, facts[case])

    def _plan(self, flow_name: str, stage_name: str) -> _Plan:
        key = (flow_name, stage_name)
        if key not in self.plans:
            flow, currency = self.view.definition.flows[flow_name], self.view.definition.currency
            stage = flow.stages[stage_name]
            listed = [(m, True) for m in stage.milestones.values()] + [(m, False) for m in flow.milestones.values()]
            self.plans[key] = _Plan(
                flow,
                stage,
                tuple((way, _Rule.of(way.guard, currency)) for way in stage.transitions),
                tuple((m, own, _Rule.of(m.when, currency)) for m, own in listed),
            )
        return self.plans[key]

    def _load(self, plan: _Plan, ids: list[int], *, own: bool) -> dict[int, LoadedFacts]:
        expressions = plan.expressions(own=own)
        if not own and not expressions:
            return {}
        wanted = [*expressions, *needed(fact for guard in expressions for fact in guard.facts)]
        stage = plan.stage.name if own else None
        return load_many(
            self.connection, lambda: self.view.cases(plan.flow, stage), lambda case: case.c.id.in_(ids), wanted
        )

    def _one(self, known: Around, plan: _Plan, case: int, facts: tuple[LoadedFacts, LoadedFacts]) -> dict[str, Any]:
        transitions = [self._transition(known, case, way, rule, facts[0]) for way, rule in plan.ways]
        return {
            **known.head(case),
            "milestones": [
                self._milestone(known, case, planned, facts[0 if planned[1] else 1]) for planned in plan.milestones
            ],
            "deadlines": known.deadlines(case),
            "tasks": known.open_tasks(case),
            "transitions": transitions,
            "words": known.heard.words(known.rows[case]),
            "next": self._next(known, case, plan, transitions),
        }

    def _milestone(
        self, known: Around, case: int, planned: tuple[Milestone, bool, _Rule], facts: Facts
    ) -> dict[str, Any]:
        milestone, own, rule = planned
        at = known.reached(case, milestone.name, own=own)
        found = {
            "name": milestone.name, "of": "stage" if own else "flow", "optional": milestone.optional,
            "trigger": milestone.trigger, "reached": None if at is None else self.view.zone.text(at),
        }  # fmt: skip
        return found if at is not None else {**found, **self._judged(rule, facts)}

    def _judged(self, rule: _Rule, facts: Facts) -> dict[str, Any]:
        """``holds guard values true_on`` of a guard; all empty where there is none."""
        if rule.guard is None or rule.anatomy is None:
            return {"holds": None, "guard": None, "values": [], "true_on": None}
        part = rule.anatomy.look(facts, self.view.moment)
        return {
            "holds": part.holds,
            "guard": self._tree(part),
            "values": self._values(rule.guard, facts),
            "true_on": self._day(rule.anatomy.true_from(facts, self.view.moment)),
        }

    def _transition(self, known: Around, case: int, way: Transition, rule: _Rule, facts: Facts) -> dict[str, Any]:
        judged = self._judged(rule, facts)
        asked = known.approval(case, way)
        verdict = {True: "true", False: "false", None: "unknown"}[judged["holds"]]
        if way.trigger is not None:
            verdict = "waits for trigger"
        if asked is not None and asked["decided"] is None:
            verdict = "waits for approval"
        return {
            "to": way.target, "place": way.place, "verdict": verdict, "trigger": way.trigger, "only": list(way.only),
            "approve": way.approve, "approval": asked, "asks": list(way.asks), **judged,
        }  # fmt: skip

    def _tree(self, part: Part) -> dict[str, Any]:
        tree: dict[str, Any] = {"is": part.word or "part", "text": part.text, "holds": part.holds}
        if part.parts:
            return tree | {"parts": [self._tree(inner) for inner in part.parts]}
        tree["reads"] = [name for name, *_ in _reads(part.node)]
        return tree | {"changes_on": self._day(part.changes)}

    def _values(self, guard: Expression, facts: Facts) -> list[dict[str, Any]]:
        """The values read, under the names and in the order of a move's ``because``."""
        found: list[dict[str, Any]] = []
        for fact in (one for one in guard.facts if one.type != CASE_ID):
            stated = facts.stated(fact) if fact.kind in ("metric", "field") else None
            entry = self._entry(fact.name, facts.value(fact), fact.type, stated)
            if entry["value"] is None:
                entry["unknown"] = self.doubts.why(fact, facts, stated)
            found.append(entry)
        for name, node, held in _computed(guard.node):
            span = facts.span(held.condition) if held is not None else None
            value = function(node)(facts, self.view.moment)
            entry = self._entry(name, value, BOOLEAN if held is not None else node.type, span[1] if span else None)
            if entry["value"] is None:
                entry["unknown"] = _why_computed(node, self.view.moment.unfed, watched=span is not None)
            found.append(entry)
        return found

    def _entry(self, name: str, value: object, kind: Type, measured: Instant | None) -> dict[str, Any]:
        at = None if measured is None else self.view.zone.text(measured)
        return {"fact": name, "value": present(value, kind, self.view), "measured": at}

    def _day(self, at: Instant | None) -> str | None:
        return None if at is None else day_text(self.view.zone.day_of(at))

    def _next(self, known: Around, case: int, plan: _Plan, transitions: list[dict[str, Any]]) -> dict[str, Any] | None:
        """What the first hop of a pass at this moment does with the case."""
        heard_first = known.heard.first(known.rows[case])
        if heard_first is not None:
            return heard_first
        for (way, rule), told in zip(plan.ways, transitions, strict=True):
            if way.trigger is not None or rule.guard is None or told["holds"] is not True:
                continue
            if way.approve is not None:
                if told["approval"] is not None:
                    continue
                if known.awaits_approval(case):
                    return None  # of another move: it is answered before a second is asked for
                return {"by": "approval", "to": way.target, "place": way.place, "role": way.approve}
            target = known.rows[case].came_from if way.target == "back" else way.target
            move = {"to": target or way.target, "place": way.place}
            error = known.obstacle(case, way, target)
            if error is not None:
                return {"by": "stop", **move, "error": error}
            because = [{name: entry[name] for name in ("fact", "value", "measured")} for entry in told["values"]]
            return {"by": "guard", **move, "because": because}
        return None


def _reads(node: n.Node) -> list[tuple[str, n.Node | None]]:
    """The names of what a part reads, as they stand among the values."""
    named: list[tuple[str, n.Node | None]] = [(fact.name, None) for fact in Expression("", node).facts]
    return [*named, *((name, part) for name, part, _ in _computed(node))]


def _computed(node: n.Node) -> list[tuple[str, n.Node, n.Held | None]]:
    """Watched conditions, then counts: what a guard reads beside facts, named as in a move's ``because``."""
    held = [(held_name(x), x, x) for x in node.walk() if isinstance(x, n.Held)]
    totals = [(f"{x.fn}({x.thing})", x, None) for x in node.walk() if isinstance(x, n.Aggregate)]
    return [*held, *totals]


def _why_computed(node: n.Node, unfed: frozenset[str], *, watched: bool) -> str:
    if isinstance(node, n.Aggregate):
        if node.thing in unfed:
            return f"no import of {node.thing} has ever run"
        return f"a condition or value is unknown for some {node.thing}, so that the {node.fn} is not certain"
    return "the record is shorter than that, or has a gap" if watched else "not watched yet: the next measure begins"
