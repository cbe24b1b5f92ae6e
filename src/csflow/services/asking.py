"""The questions of one hop: every rule of every occupied stage, asked set-wise of one snapshot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    Integer,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
)

from csflow.flow.definition import Flow, Milestone, Opening, Stage, Transition
from csflow.flow.expressions import Expression
from csflow.flow.records import record
from csflow.services.deadlines import specs
from csflow.services.occupied import FEW, HANDLED, occupied_by_few, stages_occupied, stages_of_touched
from csflow.services.parties import OF_CUSTOMERS, party_of
from csflow.services.views import View
from csflow.store import as_of
from csflow.store import tables as t
from csflow.store.as_of import AsOf
from csflow.store.calling import CallError
from csflow.store.guards import Translator
from csflow.store.insertion import listed
from csflow.store.opening import blaming
from csflow.store.prepared import Kept
from csflow.store.questions import Evidence, Unindexed, holding, key_text
from csflow.store.reading import Reader
from csflow.values import Length

PERIODS = {"days": "day", "weeks": "week", "months": "month", "years": "year"}
CAP = 100_000  # hits of one question held in memory at once
STAGED = ("milestone", "move", "approval")  # kinds of questions about the cases in one stage

Column = ColumnElement[Any]
Broken = dict[tuple[str, tuple[Any, ...]], tuple[CallError, str]]  # kind and place of a question → what, asked in what


@record
class Hit:
    """A rule holds for a case (or, for openings, a subject). ``order`` sorts what happens first."""

    party: int  # see `parties.party_of`
    order: int
    kind: str
    rule: Any
    row: Row[Any]
    evidence: Evidence | None = None

    @property
    def case(self) -> int | None:
        """The case it is about; None for an opening and for a word in the inbox."""
        return getattr(self.row, "case_id", None)


@record
class Scope:
    """Whom a hop asks about.

    ``everyone``: all, not only the touched; ``timed``: rules that time alone can make true are asked of all;
    ``touched``: whether anybody is; ``customers``: only these; ``flow``: only this one.
    """

    everyone: bool
    timed: bool
    customers: tuple[int, ...] | None = None
    flow: str | None = None
    touched: bool = True

    def wide(self, *, timed: bool) -> bool:
        """Whether a rule is asked of all, not only of the touched."""
        return self.everyone or (self.timed and timed)

    def limits(self, kind: str, subject: Column, customer: Column | None, *, timed: bool) -> list[Column]:
        """Conditions on a question about cases or subjects of a kind."""
        found: list[Column] = []
        # A flow about customers is asked by subject: that column stands in the index of the stages.
        whom = subject if customer is None or kind == "customer" else customer
        if self.customers is not None:
            chosen = bindparam("customers", "[]", Text)
            found.append(listed(whom, chosen) if customer is not None else literal(1) == 0)
        if self.wide(timed=timed):
            return found
        touched_kind = "customer" if customer is not None else kind
        waiting = select(t.touched.c.subject).where(t.touched.c.queue == HANDLED, t.touched.c.kind == touched_kind)
        return [*found, whom.in_(waiting)]


@dataclass(slots=True)
class Asker:
    """Asks all questions of a hop on one connection, from customer ``after`` on."""

    connection: Connection
    view: View
    scope: Scope
    after: int | None = None
    kept: Kept = field(default_factory=lambda: Kept(None))
    border: int | None = None  # the first customer left for the next window
    hits: list[Hit] = field(default_factory=list)
    asked: int = 0
    world: str = ""
    near: set[tuple[str, str]] | None = None  # the stages that cases of the touched stand in, where that was looked up
    broken: Broken = field(default_factory=dict)  # questions that a plugin's function failed in: not asked again

    def ask(self) -> list[Hit]:
        """Every hit, the openings first."""
        self.world = self.view.world(self.connection.dialect.name, self._back())
        flows = [
            flow for flow in self.view.definition.flows.values() if self.scope.flow in (None, flow.name, flow.base)
        ]
        for flow in flows:
            for opening in flow.opens:
                self._opening(flow, opening)
        occupied = self._occupied(flows)
        self.near = self._near()
        for flow in flows:
            self._flow(flow, occupied)
        if self.border is not None:
            border = self.border
            self.hits = [hit for hit in self.hits if hit.party < border]
        return self.hits

    def _rows(self, key: tuple[Any, ...], build: Callable[[], Executable], **values: Any) -> list[Row[Any]]:
        """The answer to a question, built if it was never asked in this world; ``key`` says all else it depends on."""
        few = self.scope.customers is not None
        prepared = self.kept.prepared(self.connection, self.world, (*key, few), build)
        if few:
            values["customers"] = json.dumps(self.scope.customers)
        with blaming(self.connection, prepared.text):
            return prepared.ask(self.connection, self.view.moment, **values)

    def _occupied(self, flows: list[Flow]) -> set[tuple[str, str]]:
        if self.scope.customers is not None:
            rows = self._rows(("occupied",), occupied_by_few)
            return {(row.flow, row.stage) for row in rows}
        stages = [(flow.name, stage) for flow in flows for stage in flow.stages]
        occupied: set[tuple[str, str]] = set()
        for start in range(0, len(stages), 200):  # SQLite takes no more than 500 SELECTs in one statement
            build = partial(stages_occupied, stages[start : start + 200])
            rows = self._rows(("occupied", self.scope.flow, start), build)
            occupied |= {(row.flow, row.stage) for row in rows}
        return occupied

    def _near(self) -> set[tuple[str, str]] | None:
        """Where the cases of the touched stand, when those are few: no other stage need be asked about them."""
        if self.scope.everyone or self.scope.customers is not None or not self.scope.touched:
            return None
        rows = self._rows(("near",), stages_of_touched)
        return None if not rows or rows[0].many > FEW else {(row.flow, row.stage) for row in rows}

    def _far(self, place: tuple[Any, ...], kind: str) -> bool:
        """Whether no case of the touched can be meant: ``place`` begins with a flow and, for some, a stage."""
        if self.near is None:
            return False
        if kind in STAGED and place[1] is not None:
            return (place[0], place[1]) not in self.near
        return all(flow != place[0] for flow, _ in self.near)

    def _flow(self, flow: Flow, occupied: set[tuple[str, str]]) -> None:
        stages = [stage for stage in flow.stages.values() if (flow.name, stage.name) in occupied]
        if not stages:
            return
        if not flow.mirrors:
            self._dates(flow)
            self._stops(flow)
            self._due(flow)
        for name, filled in flow.fields.items():
            if filled.value is not None:
                self._field(flow, name, filled.value)
        for milestone in flow.milestones.values():
            self._milestone(flow, None, milestone)
        for stage in stages:
            for milestone in stage.milestones.values():
                self._milestone(flow, stage, milestone)
            for place, way in enumerate(stage.transitions):
                if way.trigger is None and way.guard is not None:
                    self._transition(flow, stage, way, place)

    def _collect(
        self,
        place: tuple[Any, ...],
        order: int,
        kind: str,
        rule: Any,
        build: Callable[[], Select[Any]],
        *,
        timed: bool,
        evidence: Evidence | None = None,
    ) -> None:
        """Ask a question; more hits than fit are left for the next window of customers.

        ``build`` makes it when it was not asked before; ``place`` names it; ``evidence`` reads its rows.
        """
        wide = self.scope.wide(timed=timed)
        if (kind, place) in self.broken or (not wide and (not self.scope.touched or self._far(place, kind))):
            return
        self.asked += 1
        windowed = self.after is not None

        def question() -> Select[Any]:
            statement = build()
            party = statement.selected_columns["party"] + 0  # no index is walked just to have the order
            if windowed:
                statement = statement.where(party >= bindparam("after", 0, BigInteger))
            return statement.order_by(party).limit(literal_column(str(CAP + 1)))

        key = (kind, *place, wide, windowed)
        try:
            rows = self._rows(key, question, **({"after": self.after} if windowed else {}))
        except CallError as error:  # the rule is unknown of everybody: whom it would hold for nobody can tell
            self.broken[kind, place] = (error, _told_as(kind, place, rule))
            return
        if len(rows) > CAP:
            last = rows[-1].party
            self.border = last if self.border is None else min(self.border, last)
        self.hits += [Hit(row.party, order, kind, rule, row, evidence) for row in rows]

    def _evidence(self, expression: Expression, *, dated: bool = False) -> Evidence:
        return Evidence(self.view.moment, expression, dated=dated)

    # cases

    def _cases(
        self, flow: Flow, stage: str | None, expression: Expression
    ) -> tuple[Reader, list[Column], list[Column]]:
        reader = self.view.cases(flow, stage)
        c: Any = reader.base.c
        where = [c.flow == flow.name]
        customer = c.customer if flow.subject in OF_CUSTOMERS else None
        timed = expression.timed
        if stage is not None:  # the cases of a few customers are found by customer, not by walking the stage
            few = self.scope.customers is not None or not self.scope.wide(timed=timed)
            by_customer = few and flow.subject in ("contract", "contact")
            where.append((Unindexed(c.stage) if by_customer else c.stage) == stage)
        where += self.scope.limits(flow.subject, c.subject, customer, timed=timed)
        if self._back():
            where.append(c.opened_at <= as_of.now(self.view.moment))
        party = party_of(flow.subject, c.subject, customer)
        return reader, [party.label("party"), c.id.label("case_id"), c.version.label("version")], where

    def _back(self) -> bool:
        """Whether there are cases that were opened after the moment: only for a pass that looks back."""
        newest = self.connection.info.get("newest_case")
        if newest is None:
            newest = self.connection.execute(_newest_case()).scalar_one()
            self.connection.info["newest_case"] = newest
        return self.view.now < int(newest)

    def _milestone(self, flow: Flow, stage: Stage | None, milestone: Milestone) -> None:
        guard = milestone.when
        if guard is None:
            return

        def build() -> Select[Any]:
            reader, columns, where = self._cases(flow, stage.name if stage is not None else None, guard)
            c: Any = reader.base.c
            m = t.milestone.alias("there")
            stay = c.stay if stage is not None else 0
            mine = (m.c.case == c.id, m.c.stay == stay, m.c.name == milestone.name)
            where.append(~exists(select(literal(1)).where(*mine).correlate_except(m)))
            if stage is None:
                where.append(c.ended.is_(None))
            return holding(reader, guard, columns, where=where, dated=True)[0]

        place = (flow.name, stage.name if stage is not None else None, milestone.name)
        evidence = self._evidence(guard, dated=True)
        self._collect(place, 4, "milestone", milestone, build, timed=guard.timed, evidence=evidence)

    def _transition(self, flow: Flow, stage: Stage, way: Transition, number: int) -> None:
        guard = way.guard
        assert guard is not None  # noqa: S101  # asked only where there is one

        def build() -> Select[Any]:
            reader, columns, where = self._cases(flow, stage.name, guard)
            if way.approve is not None:
                c: Any = reader.base.c
                k = t.task.alias("asked")
                asked = and_(k.c.case == c.id, k.c.move == f"{way.source}>{way.place}", k.c.opened_at >= c.entered_at)
                where.append(~exists(select(literal(1)).where(asked).correlate_except(k)))
            return holding(reader, guard, columns, where=where)[0]

        kind = "approval" if way.approve is not None else "move"
        place, evidence = (flow.name, stage.name, number), self._evidence(guard)
        self._collect(place, 10 + number, kind, way, build, timed=guard.timed, evidence=evidence)

    def _field(self, flow: Flow, name: str, value: Expression) -> None:
        """A form's field that csflow fills itself: asked while it is unknown."""

        def build() -> Select[Any]:
            reader, columns, where = self._cases(flow, None, value)
            c: Any = reader.base.c
            number = self.view.book.number("field", f"{flow.name}.{name}")
            v = t.field_value.alias("filled")
            known = and_(v.c.field == number, v.c.subject == c.id, or_(v.c.number.is_not(None), v.c.text.is_not(None)))
            computed = Translator(reader).value(value.node)
            unknown = ~exists(select(literal(1)).where(known).correlate_except(v))
            where += [c.ended.is_(None), unknown, computed.is_not(None)]
            columns += [computed.label("computed"), *evidence.columns(reader)]
            return select(*columns).select_from(reader.source()).where(*where)

        evidence = self._evidence(value)
        self._collect((flow.name, name), 3, "field", (flow, name), build, timed=value.timed, evidence=evidence)

    def _due(self, flow: Flow) -> None:
        """Deadlines that have passed unmet, and timers that have come."""
        if any(True for _ in specs(flow)):
            self._collect((flow.name,), 5, "missed", flow, lambda: self._late(flow), timed=True)
        effects = _timed_effects(flow)
        if effects:
            self._collect((flow.name,), 6, "timer", effects, lambda: self._rung(flow), timed=True)

    def _owned(self, flow: Flow) -> tuple[Any, list[Column], list[Column]]:
        """The case beside a deadline or timer, the columns every hit has, and the conditions on the case."""
        c = t.case.alias("c")
        has_customer = flow.subject in OF_CUSTOMERS
        party = party_of(flow.subject, c.c.subject, c.c.customer if has_customer else None).label("party")
        columns: list[Column] = [party, c.c.id.label("case_id"), c.c.version.label("version")]
        mine = self.scope.limits(flow.subject, c.c.subject, c.c.customer if has_customer else None, timed=True)
        # Few are due: they are found by their time, each with its case, never case by case.
        name = c.c.flow if self.scope.customers is not None else Unindexed(c.c.flow)
        return c, columns, [*mine, name == flow.name, c.c.ended.is_(None)]

    def _late(self, flow: Flow) -> Select[Any]:
        c, columns, mine = self._owned(flow)
        line = t.deadline.alias("d")
        late = [line.c.due < as_of.now(self.view.moment), *_waits(line)]
        statement = select(*columns, line.c.name.label("line"), line.c.run.label("run"), line.c.due.label("due"))
        return statement.select_from(line.join(c, c.c.id == line.c.case)).where(*late, *mine)

    def _rung(self, flow: Flow) -> Select[Any]:
        c, columns, mine = self._owned(flow)
        line, timer = t.deadline.alias("d"), t.timer.alias("w")
        alive = or_(
            and_(timer.c.deadline.is_(None), timer.c.run == c.c.stay),
            exists(
                select(literal(1))
                .where(
                    line.c.case == c.c.id, line.c.name == timer.c.deadline, line.c.run == timer.c.run,
                    line.c.met.is_(None), line.c.dropped == 0, line.c.stopped.is_(None),
                )
                .correlate_except(line)
            ),
        )  # fmt: skip
        rung = [timer.c.at < as_of.now(self.view.moment), timer.c.fired.is_(None), alive]
        statement = select(
            *columns, timer.c.id.label("timer"), timer.c.place, timer.c.occurrence, timer.c.at, timer.c.run
        )
        return statement.select_from(timer.join(c, c.c.id == timer.c.case)).where(*rung, *mine)

    def _dates(self, flow: Flow) -> None:
        """Clocks and dates that deadlines hang on and that are no longer what they were."""
        clock = flow.clock
        if clock is not None:
            evidence = self._evidence(clock)
            build = partial(self._clock, flow, clock, evidence)
            self._collect((flow.name,), 1, "clock", flow, build, timed=clock.timed, evidence=evidence)
        for name, date in flow.dates.items():
            build = partial(self._date, flow, name, date)
            self._collect((flow.name, name), 2, "anchor", flow, build, timed=date.timed)

    def _clock(self, flow: Flow, clock: Expression, evidence: Evidence) -> Select[Any]:
        reader, columns, where = self._cases(flow, None, clock)
        c: Any = reader.base.c
        value = Translator(reader).value(clock.node)
        where += [c.ended.is_(None), value.is_not(None), value.is_distinct_from(c.clock)]
        statement = select(*columns, value.label("value"), *evidence.columns(reader)).select_from(reader.source())
        return statement.where(*where)

    def _date(self, flow: Flow, name: str, date: Expression) -> Select[Any]:
        lines = [spec.deadline.name for spec in specs(flow) if spec.deadline.due.anchor == name]
        reader, columns, where = self._cases(flow, None, date)
        c: Any = reader.base.c
        value = Translator(reader).value(date.node)
        line = t.deadline.alias("d")
        changed = and_(
            line.c.case == c.id, line.c.name.in_(lines), *_waits(line), value.is_not(None),
            line.c.anchor.is_distinct_from(value),
        )  # fmt: skip
        where.append(c.ended.is_(None))
        joined = reader.source().join(line, changed)
        statement = select(*columns, value.label("value"), line.c.name.label("line"), line.c.run.label("run"))
        return statement.select_from(joined).where(*where)

    def _stops(self, flow: Flow) -> None:
        """Deadlines whose own `stops_while:` began to hold, or no longer does."""
        for spec in specs(flow):
            name, guard = spec.deadline.name, spec.deadline.stops_while
            if guard is not None:
                build = partial(self._stop, flow, name, guard)
                self._collect((flow.name, name), 2, "stop", name, build, timed=guard.timed)

    def _stop(self, flow: Flow, name: str, guard: Expression) -> Select[Any]:
        reader, columns, where = self._cases(flow, None, guard)
        c: Any = reader.base.c
        holds = Translator(reader).number_of(guard.node)
        line = t.deadline.alias("d")
        mine = and_(
            line.c.case == c.id, line.c.name == name, *_waits(line),
            or_(
                and_(holds == 1, line.c.stopped.is_(None)),
                and_(func.coalesce(holds, 0) == 0, line.c.stopped.is_not(None)),
            ),
        )  # fmt: skip
        stopping = [stage.name for stage in flow.stages.values() if stage.stops]
        where += [c.ended.is_(None), c.stage.not_in(stopping)]
        statement = select(*columns, holds.label("holds"), line.c.run.label("run"))
        return statement.select_from(reader.source().join(line, mine)).where(*where)

    # openings

    def _opening(self, flow: Flow, opening: Opening) -> None:
        if opening.every is None and (opening.when is None or opening.trigger is not None):
            return  # a word opens it, and only where its guard holds
        timed = opening.every is not None or flow.again is not None or (opening.when is not None and opening.when.timed)
        key = flow.one_per_key or opening.values.get(flow.one_per.removeprefix("case."))
        timed = timed or (isinstance(key, Expression) and key.timed)
        place, rule = (flow.name, opening.place), (flow, opening)
        build = partial(self._opens, flow, opening, timed=timed)
        evidence = Evidence(self.view.moment, opening.when, dated=False)
        self._collect(place, 0, "opening", rule, build, timed=timed, evidence=evidence)
        if opening.every is None:
            self._collect(place, 0, "rearm", rule, lambda: self._rearm(flow, opening, timed=timed), timed=timed)

    def _candidates(self, flow: Flow, *, timed: bool) -> tuple[Reader, Column, list[Column]]:
        """A reader of the flow's subjects, whose each is, and whom the question is about."""
        reader = self.view.subjects(flow.subject)
        base: Any = reader.base.c
        column = {"customer": "id", "contract": "customer", "contact": "customer"}.get(flow.subject)
        customer = base[column] if column is not None else None
        party = party_of(flow.subject, base.id, customer)
        return reader, party, self.scope.limits(flow.subject, base.id, customer, timed=timed)

    def _opens(self, flow: Flow, opening: Opening, *, timed: bool) -> Select[Any]:
        reader, party, limits = self._candidates(flow, timed=timed)
        base: Any = reader.base.c
        key = self._key(reader, flow, opening)
        mark = t.opening.alias("mark")
        same = and_(
            mark.c.flow == flow.name, mark.c.place == opening.place, mark.c.subject == base.id, mark.c.key == key
        )
        period = self._period(opening)
        marked = exists(select(literal(1)).where(same, mark.c.period >= period).correlate_except(mark))
        where = [*limits, base.happened <= as_of.today(self.view.moment), ~marked]
        if flow.again is not None:
            where.append(~self._resting(flow, base, key))
        values = {name: value for name, value in opening.values.items() if isinstance(value, Expression)}
        translator = Translator(reader)
        columns = [party.label("party"), base.id.label("subject"), key.label("one_per")]
        columns += [translator.value(value.node).label(f"w_{name}") for name, value in values.items()]
        columns.append(period.label("period"))
        return holding(reader, opening.when, columns, where=where)[0]

    def _key(self, reader: Reader, flow: Flow, opening: Opening) -> Column:
        if flow.one_per_key is not None:
            return key_text(reader, flow.one_per_key.node)
        if flow.one_per.startswith("case.") and flow.one_per != "case.id":
            value = opening.values.get(flow.one_per.removeprefix("case."), "")
            if isinstance(value, Expression):
                return key_text(reader, value.node)
            return literal(str(value))
        if opening.every is not None:  # each period's case is its own, open or not
            return AsOf(self.view.moment, ("turn_day", *self._every(opening.every)), Text())
        base: Any = reader.base.c
        return base.key  # type: ignore[no-any-return]

    def _period(self, opening: Opening) -> Column:
        """The number of the period that `every:` is in; 0 for a rule without."""
        if opening.every is None:
            return literal(0)
        return AsOf(self.view.moment, ("turn", *self._every(opening.every)), Integer())

    def _every(self, every: Length) -> tuple[str, int, int]:
        """The unit of `every:`, how many of them, and the month in which the project's year starts."""
        return PERIODS.get(every.unit, "day"), max(int(every.amount), 1), self.view.definition.year_starts

    def _resting(self, flow: Flow, base: Any, key: Column) -> Column:
        assert flow.again is not None  # noqa: S101  # asked only where there is one
        _, reached = as_of.borders(self.view.moment, flow.again, until=False, time=True)
        k = t.case.alias("rest")
        rests = and_(
            k.c.flow.in_(self.view.book.variants[flow.name]),
            k.c.subject == base.id,
            k.c.key == key,
            k.c.ended_at > reached,
        )
        return exists(select(literal(1)).where(rests).correlate_except(k))

    def _rearm(self, flow: Flow, opening: Opening, *, timed: bool) -> Select[Any]:
        """Marks whose guard (or key) no longer holds: the rule may open again."""
        reader, party, limits = self._candidates(flow, timed=timed)
        base: Any = reader.base.c
        mark = t.opening.alias("mark")
        assert opening.when is not None  # noqa: S101  # a rule without a guard is never marked
        holds = Translator(reader).number_of(opening.when.node)
        key = self._key(reader, flow, opening)
        same = and_(mark.c.subject == base.id, mark.c.flow == flow.name, mark.c.place == opening.place)
        columns = [party.label("party"), base.id.label("subject"), mark.c.key.label("one_per")]
        statement = select(*columns).select_from(reader.source().join(mark, same))
        return statement.where(or_(func.coalesce(holds, 0) == 0, mark.c.key != key), *limits)


@cache
def _newest_case() -> Select[int]:
    return select(func.coalesce(func.max(t.case.c.opened_at), 0))


def _waits(line: Any) -> list[Column]:
    """Neither met, missed nor dropped: in the words of the partial index, which takes no bind parameter."""
    return [line.c.met.is_(None), line.c.missed.is_(None), line.c.dropped == literal_column("0")]


def _told_as(kind: str, place: tuple[Any, ...], rule: Any) -> str:
    """The address of a rule that a question asks about, as people find it in the flow."""
    flow, *rest = place
    if kind in ("move", "approval"):
        rest = [rule.place]
    elif kind == "milestone":
        rest = ["stages", rest[0], "milestones", rest[1]] if rest[0] is not None else ["milestones", rest[1]]
    elif kind == "clock":
        rest = ["clock"]
    elif kind == "field":
        rest = ["fields", *rest]
    elif kind == "stop":
        rest = [*rest, "stops_while"]
    return ".".join([flow, *rest])


def _timed_effects(flow: Flow) -> dict[str, Any]:
    """Effects that happen before or after a due time, or again and again, by the place their timers name."""
    found = {}
    for spec in specs(flow):
        for effect in spec.deadline.overdue:
            if effect.offset is not None:
                found[f"{spec.deadline.name}|{effect.place}"] = effect
    for stage in flow.stages.values():
        for effect in stage.do:
            if effect.every is not None:
                found[f"|{effect.place}"] = effect
    return found


def first_of_each(hits: Iterable[Hit]) -> Iterator[tuple[int, list[Hit]]]:
    """Hits by party, in the order of parties; those of one party in the order in which they happen."""
    by_party: dict[int, list[Hit]] = {}
    for hit in hits:
        by_party.setdefault(hit.party, []).append(hit)
    for party in sorted(by_party):
        yield party, sorted(by_party[party], key=lambda hit: (hit.order, _came(hit)))


def _came(hit: Hit) -> tuple[Any, ...]:
    """What several hits of one kind are told apart by: no database gives their rows in an order of its own."""
    if hit.kind == "missed":
        return (hit.row.due, hit.row.line, hit.row.run)
    return (hit.row.at, hit.row.place, hit.row.occurrence) if hit.kind == "timer" else ()
