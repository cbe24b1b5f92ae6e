"""What stands on the project's page: where cases are, what moved, what is overdue and with whom, bands and rates.

Each figure comes with the customers behind it. `page_html` writes it down.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, and_, func, or_, select

from csflow.errors import UsageError
from csflow.flow import nodes as n
from csflow.hookspecs import Section, Sheet
from csflow.services.book import Asked, book
from csflow.services.deadlines import spec_of
from csflow.services.messages import effects_of, in_language
from csflow.store import tables as t
from csflow.store.names import ids, subject_names
from csflow.store.touching import last_pass
from csflow.values import DAY_US, Instant, Zone, day_text

if TYPE_CHECKING:
    from csflow.flow.definition import Definition, Flow, Label, Metric
    from csflow.store.opening import Store

LATELY = 28  # days that "moved lately" looks back
YEAR = 365  # days that rates of the book look back
MOST = 400  # customers named behind one count; the rest is counted
LINES = 60  # overdue lines listed for one person
UNKNOWN = ""  # the band of customers whose value is unknown

Sections = Mapping[str, Callable[[Sheet], Section]]


@dataclass(frozen=True, slots=True)
class Count:
    """A number and the customers behind it: id → how many of it are theirs; ``more`` customers are not named."""

    number: int
    of: tuple[tuple[str, int], ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True)
class StageLine:
    """A stage: its cases, those overdue, and the moves into it lately."""

    name: str
    label: Label
    end: str | None
    cases: Count
    overdue: Count
    moved: Count


@dataclass(frozen=True, slots=True)
class FlowPart:
    """A flow with its stages."""

    name: str
    label: Label
    stages: tuple[StageLine, ...]
    open: int


@dataclass(frozen=True, slots=True)
class Late:
    """Something overdue: a missed deadline not met since, or a task past due."""

    case: str
    customer: str
    flow: str
    stage: str
    what: str
    label: Label
    due: str
    days: int


@dataclass(frozen=True, slots=True)
class Person:
    """Who has something overdue: a colleague, or a role nobody fills, or nobody; in how many cases, how many things."""

    name: str
    label: Label
    cases: int
    number: int
    lines: tuple[Late, ...]


@dataclass(frozen=True, slots=True)
class Bands:
    """Customers by the word of a metric, in the order of its bands; the last may be the unknown ones."""

    name: str
    label: Label
    score: bool  # the bands of a score, a metric with `weights:`
    bands: tuple[tuple[str, Count], ...]


@dataclass(frozen=True, slots=True)
class Rate:
    """A figure of the book over the last year, with what it was made of."""

    name: str
    label: Label
    value: Any
    numerator: Any
    denominator: Any
    unknown: int
    of: tuple[dict[str, Any], ...] = ()
    share: bool = True


@dataclass(slots=True)
class Page:
    """All that the page shows."""

    project: str
    as_of: str
    note: str | None
    customers: int
    names: dict[str, str]
    since: str
    last_pass: str | None
    flows: list[FlowPart] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    bands: list[Bands] = field(default_factory=list)
    rates: list[Rate] = field(default_factory=list)
    renewals: Rate | None = None
    period: tuple[str, str] = ("", "")
    messages: dict[str, int] = field(default_factory=dict)
    sections: list[tuple[str, Section | str]] = field(default_factory=list)


def page_of(
    store: Store,
    definition: Definition,
    now: Instant,
    *,
    language: str,
    sections: Sections | None = None,
    note: str | None = None,
) -> Page:
    """Everything on the page at a moment, which may not lie before the last pass (UsageError)."""
    zone = Zone(definition.zone)
    with store.reading() as connection:
        last = last_pass(connection)
        if last is not None and now < last:
            raise UsageError(f"the last pass was at {zone.text(last)}: a page shows a moment after it")
        asker = _Asker(connection, definition, now)
        page = Page(
            definition.name,
            zone.text(now),
            note,
            connection.execute(select(func.count()).select_from(t.customer)).scalar_one(),
            asker.names,
            zone.text(now - LATELY * DAY_US)[:10],
            None if last is None else zone.text(last),
        )
        page.flows = asker.flows()
        page.people = asker.people()
        page.bands = asker.bands()
        counted = select(t.outbox.c.status, func.count()).group_by(t.outbox.c.status)
        page.messages = {row[0]: row[1] for row in connection.execute(counted)}
        today = zone.day_of(now)
        sheet = Sheet(connection, today, language, called=partial(_called, definition, language))
        page.period = (day_text(today - YEAR + 1), day_text(today))
        page.sections = [(name, _section(make, sheet)) for name, make in sorted((sections or {}).items())]
        if not any(metric.subject == "book" for metric in definition.metrics.values()):
            page.renewals = asker.renewals()
    page.rates = _rates(store, definition, now, page.period)
    return page


def _section(make: Callable[[Sheet], Section], sheet: Sheet) -> Section | str:
    """What a plugin shows, or why it could not: a plugin costs its own section, never the page."""
    try:
        made = make(sheet)
        if not isinstance(made, Section):
            return f"it returns a Section, not {type(made).__name__}"
        wide = [row for row in made.rows if len(tuple(row)) != len(made.columns)]
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever a plugin raises
        return f"{type(error).__name__}: {error}"
    return f"{len(wide)} of its rows do not fit its columns" if wide else made


def _rates(store: Store, definition: Definition, now: Instant, period: tuple[str, str]) -> list[Rate]:
    """The project's metrics of the book over the last twelve months."""
    wanted = tuple(m.name for m in definition.metrics.values() if m.subject == "book" and m.expression)
    if not wanted:
        return []
    found = book(store, definition, now, Asked(wanted, over="..".join(period), trace=True))
    return [
        Rate(
            one["metric"], definition.metrics[one["metric"]].label, one["value"], one["numerator"],
            one["denominator"], one["unknown"], tuple(one.get("of") or ()),
            _is_share(definition.metrics[one["metric"]]),
        )
        for one in found["figures"]
    ]  # fmt: skip


def _label(flow: Flow, name: str) -> Label:
    """What a deadline asks about – a milestone, a stage, the flow –, or the label of a task."""
    spec = spec_of(flow, name)
    if spec is None:
        return next((one.label for one in effects_of(flow) if one.verb == "task" and one.target == name), {})
    stage = flow.stages.get(spec.stage or "")
    if spec.milestone is not None:
        milestones = stage.milestones if stage is not None else flow.milestones
        return milestones[spec.milestone].label or {"": spec.milestone}
    return (stage.label or {"": stage.name}) if stage is not None else flow.label


def _called(definition: Definition, language: str, flow: str, name: str | None = None) -> str:
    """What a flow is called, or its deadline, task or stage; by its name where the project has no label for it."""
    known = definition.flows.get(flow)
    if known is None or name is None:
        return in_language(known.label if known is not None else {}, language) or name or flow
    stage = known.stages.get(name)
    return in_language(_label(known, name) or (stage.label if stage is not None else {}), language) or name


def _is_share(metric: Metric) -> bool:
    """Whether it is read in per cent: a share, or a part of the same things divided by the whole.

    So contracts by contracts or an amount by an amount, but not nodes by customers: that is a number per head.
    """
    node = metric.expression.node if metric.expression is not None else None
    if metric.type.name != "number" or not isinstance(node, n.Arithmetic) or node.op != "/":
        return metric.type.name == "share"
    left, right = node.left, node.right
    if left.type.name == right.type.name == "money":
        return True
    if not isinstance(left, n.Aggregate) or not isinstance(right, n.Aggregate):
        return False
    return left.fn == right.fn == "count" and left.thing == right.thing


class _Asker:
    """Asks one thing each, of one snapshot."""

    def __init__(self, connection: Connection, definition: Definition, now: Instant) -> None:
        self.connection, self.definition, self.now = connection, definition, now
        self.zone = Zone(definition.zone)
        c = t.customer.c
        rows = connection.execute(select(c.id, c.key, c.name).order_by(c.key)).all()
        self.keys = {row.id: row.key for row in rows}
        self.names = {row.key: row.name or "" for row in rows}

    def _count(self, owners: Mapping[int | None, int]) -> Count:
        """A count by customer id; what belongs to no customer is counted and not named."""
        named = sorted((self.keys[owner], many) for owner, many in owners.items() if owner in self.keys)
        rest = sum(1 for owner in owners if owner not in self.keys)
        return Count(sum(owners.values()), tuple(named[:MOST]), max(0, len(named) - MOST) + rest)

    def flows(self) -> list[FlowPart]:
        """Every flow that has a case."""
        c, h = t.case.c, t.history.c
        cases: dict[tuple[str, str], Counter[int | None]] = defaultdict(Counter)
        for flow, stage, owner, many in self.connection.execute(
            select(c.flow, c.stage, c.customer, func.count())
            .where(c.opened_at <= self.now)
            .group_by(c.flow, c.stage, c.customer)
        ):
            cases[(flow, stage)][owner] += many
        moved: dict[tuple[str, str], Counter[int | None]] = defaultdict(Counter)
        for flow, stage, owner, many in self.connection.execute(
            select(c.flow, h.target, c.customer, func.count())
            .select_from(t.history.join(t.case, c.id == h.case))
            .where(h.kind == "moved", h.at > self.now - LATELY * DAY_US, h.at <= self.now)
            .group_by(c.flow, h.target, c.customer)
        ):
            moved[(flow, stage)][owner] += many
        late: dict[tuple[str, str], Counter[int | None]] = defaultdict(Counter)
        for row in {row.id: row for row in self._late()}.values():
            late[(row.flow, row.stage)][row.customer] += 1
        used = {flow for flow, _ in cases}
        found = []
        for flow in self.definition.flows.values():
            if flow.name not in used:
                continue
            lines = tuple(
                StageLine(
                    stage.name, stage.label, stage.end,
                    *(self._count(kept.get((flow.name, stage.name), {})) for kept in (cases, late, moved)),
                )
                for stage in flow.stages.values()
            )  # fmt: skip
            still = sum(line.cases.number for line in lines if line.end is None)
            found.append(FlowPart(flow.name, flow.label, lines, still))
        return found

    def _late(self) -> list[Any]:
        """Missed deadlines not met since and tasks past due, of open cases, the oldest first."""
        c, d, k, person = t.case.c, t.deadline.c, t.task.c, t.assignment.c
        columns = [c.id, c.flow, c.stage, c.customer, c.subject, c.number]
        missed = (
            select(*columns, d.name.label("what"), d.due.label("due"), d.person.label("person"), d.name.label("role"))
            .select_from(t.deadline.join(t.case, c.id == d.case))
            .where(d.missed.is_not(None), d.met.is_(None), d.dropped == 0, c.ended.is_(None))
        )
        mine = and_(person.customer == c.customer, person.role == k.role)
        past = (
            select(
                *columns, k.name.label("what"), k.due.label("due"),
                func.coalesce(k.person, person.person).label("person"), k.role.label("role"),
            )
            .select_from(t.task.join(t.case, c.id == k.case).outerjoin(t.assignment, mine))
            .where(k.done_at.is_(None), k.due < self.now, c.ended.is_(None))
        )  # fmt: skip
        rows = [*self.connection.execute(missed), *self.connection.execute(past)]
        return sorted(rows, key=lambda row: (row.due or 0, row.flow, row.id, row.what))

    def people(self) -> list[Person]:
        """Who has something overdue, and what; the busiest first."""
        by_person: dict[str, list[Late]] = defaultdict(list)
        rows = self._late()
        subjects = self._subjects(rows)
        for row in rows:
            flow = self.definition.flows.get(row.flow)
            role = row.role
            if row.person is None and flow is not None and row.stage in flow.stages and role == row.what:
                role = flow.stages[row.stage].responsible or flow.responsible  # a deadline names no role of its own
            customer = self.keys.get(row.customer, "")
            case = f"{row.flow}/{subjects[row.flow, row.subject]}/{row.number}"
            by_person[row.person or role or ""].append(
                Late(
                    case, customer, row.flow, row.stage, row.what,
                    _label(flow, row.what) if flow is not None else {},
                    self.zone.text(row.due)[:10] if row.due is not None else "",
                    max(0, (self.now - row.due) // DAY_US) if row.due is not None else 0,
                )
            )  # fmt: skip
        people, roles = self.definition.people, self.definition.roles

        def label(name: str) -> Label:
            return people[name].label if name in people else roles[name].label if name in roles else {}

        found = [
            Person(name, label(name), len({one.case for one in late}), len(late), tuple(late[:LINES]))
            for name, late in by_person.items()
        ]
        return sorted(found, key=lambda person: (-person.number, person.name))

    def _subjects(self, rows: Iterable[Any]) -> dict[tuple[str, int], str]:
        """(flow, subject) of cases → the subject's id as it stands in the case's name."""
        wanted: dict[str, dict[tuple[str, int], None]] = defaultdict(dict)
        for row in rows:
            flow = self.definition.flows.get(row.flow)
            wanted[flow.subject if flow is not None else "customer"][row.flow, row.subject] = None
        found: dict[tuple[str, int], str] = {}
        for kind, pairs in wanted.items():
            named = subject_names(self.connection, kind, (subject for _, subject in pairs))
            found |= {pair: named.get(pair[1], "") for pair in pairs}
        return found

    def bands(self) -> list[Bands]:
        """Customers by each of their metrics that sorts them into bands: those of scores first."""
        tree: Mapping[str, Any] = self.definition.tree.get("metrics") or {}
        scores = {name for name, one in tree.items() if isinstance(one, Mapping) and one.get("weights")}
        found = []
        for metric in self.definition.metrics.values():
            written = tree.get(metric.name)
            if metric.subject != "customer" or not isinstance(written, Mapping) or not written.get("bands"):
                continue
            words = [str(word) for word in written["bands"]]
            found.append(
                Bands(metric.name, metric.label, written.get("of") in scores, tuple(self._band(metric, words)))
            )
        return sorted(found, key=lambda one: not one.score)

    def _band(self, metric: Metric, words: Iterable[str]) -> list[tuple[str, Count]]:
        m = t.measurement.c
        number = ids(self.connection, "metric").get(metric.name, -1)
        rows = self.connection.execute(select(m.subject, m.text).where(m.metric == number, m.text.is_not(None)))
        by_word: dict[str, dict[int | None, int]] = defaultdict(dict)
        for subject, word in rows:
            if subject in self.keys:
                by_word[word][subject] = 1
        known = {subject for one in by_word.values() for subject in one}
        order = [*words, *sorted(set(by_word) - set(words))]
        found = [(word, self._count(by_word.get(word, {}))) for word in order]
        rest: dict[int | None, int] = {owner: 1 for owner in self.keys if owner not in known}
        return [*found, (UNKNOWN, self._count(rest))] if rest else found

    def renewals(self) -> Rate | None:
        """Of the contracts that ended in the last twelve months, how many another one replaces; None without any."""
        k, today = t.contract.alias("k"), self.zone.day_of(self.now)
        nxt = t.contract.alias("nxt")
        renewed = (
            select(nxt.c.id).where(nxt.c.customer == k.c.customer, nxt.c.replaces == k.c.key).correlate(k).exists()
        )
        ended = select(k.c.customer, renewed.label("renewed")).where(
            k.c.ends > today - YEAR + 1, k.c.ends <= today + 1, or_(k.c.happened.is_(None), k.c.happened <= today)
        )
        due: Counter[str] = Counter()
        kept: Counter[str] = Counter()
        for row in self.connection.execute(ended):
            due[self.keys[row.customer]] += 1
            kept[self.keys[row.customer]] += bool(row.renewed)
        if not due:
            return None
        of = tuple({"customer": one, "numerator": kept[one], "denominator": due[one]} for one in sorted(due))
        total = sum(due.values())
        return Rate("", {}, sum(kept.values()) / total, sum(kept.values()), total, 0, of)
