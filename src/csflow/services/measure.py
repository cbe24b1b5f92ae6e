"""Refresh metrics: those in SQL set-wise, those in Python batch by batch – only for whom something changed.

The only verb that calls plugins for facts. A plugin that fails leaves its last values; it is named, the run goes on.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Double,
    Executable,
    Insert,
    Integer,
    MetaData,
    Row,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from csflow.errors import StoreError
from csflow.flow.definition import Definition, Metric
from csflow.flow.expressions import Expression
from csflow.flow.nodes import Ago, Condition
from csflow.flow.types import WORDS
from csflow.hookspecs import Failure, Provider, Window, attempt, in_one_line
from csflow.services.changed import note, other_unknowns
from csflow.services.computing import MILESTONES, ask_plugin
from csflow.services.parties import OF_CUSTOMERS
from csflow.services.plugin_health import NOTHING, as_dict, of_call
from csflow.services.views import NEWEST, View, introduce, measures, newest, see, stale
from csflow.store import as_of
from csflow.store import tables as t
from csflow.store.calling import CallError
from csflow.store.guards import Translator, newest_of
from csflow.store.insertion import empty, has_temporary, insert_into, upsert
from csflow.store.opening import Store, blaming
from csflow.store.prepared import Kept
from csflow.store.refreshing import refresh
from csflow.store.touching import ADVANCE, MEASURE, claim, touching
from csflow.values import Instant, Length, Zone, latest_start, parse_length

BUILT_IN = "csflow"  # the plugin that comes with csflow: its mistakes are csflow's
METRICS = "csflow_metrics"
UNKNOWNS = "unknown_at_last_measure"  # key in `meta`
CLAIMED = 3  # the queue of `touched` rows that a measure is working on
CHANGED = Table(  # what one metric's new values change, before they are written
    "changed_values",
    MetaData(),
    Column("subject", t.measurement.c.subject.type, primary_key=True),
    Column("number", t.measurement.c.number.type),
    Column("text", t.measurement.c.text.type),
    Column("happened", Integer),
    prefixes=["TEMPORARY"],
)

FOUND = Table(  # what a plugin's SQL says of the customers that it has rows of
    "found_values",
    MetaData(),
    Column("subject", t.measurement.c.subject.type, index=True),  # no key: what a plugin says twice fails later
    Column("number", t.measurement.c.number.type),
    Column("happened", Integer),
    prefixes=["TEMPORARY"],
)
_FIND = insert(FOUND)
_MEASURED = select(t.measured)
_LAST = select(func.max(t.measured.c.at))
_DROPPED = delete(t.touched).where(t.touched.c.queue == CLAIMED)
_FINISHED = update(t.run).where(t.run.c.id == bindparam("own_id")).values(finished=1)
_FIRST_USE = select(func.min(t.usage.c.day))
_FEATURES = select(t.feature.c.id, t.feature.c.core, t.feature.c.product).order_by(t.feature.c.id)


@dataclass(slots=True)
class Measured:
    """What a measure did: values changed by metric, plugins that failed, sources that are silent."""

    as_of: Instant
    changed: dict[str, int] = field(default_factory=dict)
    failed: list[dict[str, Any]] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    unmeasured: set[str] = field(default_factory=set)  # metrics that kept their last values


@dataclass(frozen=True, slots=True)
class _Use:
    """What csflow knows of use as a whole: whether a day of it was reported, and which features there are."""

    reported: bool
    core: bool  # a feature is a core one
    features: str


@dataclass(frozen=True, slots=True)
class _Measuring:
    """What one measure gives to each of its metrics."""

    providers: Mapping[str, Provider]
    outcome: Measured
    kept: Kept
    use: _Use
    former: Mapping[int, Row[Any]]  # what `measured` said of each metric before


def measure(
    store: Store,
    definition: Definition,
    providers: Mapping[str, Provider],
    *,
    now: Instant,
    recorded: Instant,
    full: bool = False,
) -> Measured:
    """Compute every metric of a subject as of ``now`` and write what changed."""
    outcome = Measured(now)
    zone = Zone(definition.zone)
    with store.writing() as connection:
        introduce(connection, definition)
        last = connection.execute(_LAST).scalar()
        backwards = last is not None and now < last
        refresh(connection, zone.day_of(now), MEASURE, zone, everyone=backwards)
        claim(connection, MEASURE, CLAIMED, zone.day_of(now))
        note(connection, NEWEST, newest(connection))
        outcome.silent = _listen(connection, definition, zone.day_of(now))
        row = {"verb": "measure", "as_of": now, "recorded": recorded, "definition": definition.hash}
        run = connection.execute(insert(t.run).values(**row).returning(t.run.c.id)).scalar_one()
    with store.reading() as connection:
        view, last_measures = see(connection, definition, now), measures(connection)
        former = {row.metric: row for row in connection.execute(_MEASURED)}
        measuring = _Measuring(providers, outcome, store.kept, _use(connection, zone.day_of(now)), former)
    for metric in _ordered(definition):
        try:
            with store.writing() as connection:
                _one(connection, view, metric, measuring, full=full or backwards)
        except CallError as error:
            outcome.unmeasured.add(metric.name)
            outcome.failed += of_call(error, metric.name)
            with store.writing() as connection:
                _owe(connection, view.book.number("metric", metric.name), str(error))
        except (SQLAlchemyError, sqlite3.Error, StoreError) as error:  # a lost database is told by the next one
            provider = providers.get(metric.uses or "")
            if provider is None or provider.plugin == BUILT_IN:
                raise
            _fail(outcome, metric, provider, in_one_line(error))  # wrong SQL, or it has closed the connection
            with store.writing() as connection:
                _owe(connection, view.book.number("metric", metric.name), in_one_line(error))
        number = view.book.number("metric", metric.name)
        if metric.name in view.moment.stale and metric.name not in outcome.unmeasured:
            last_measures[number] = (now, False)  # measured by now: those that are computed from it must see its values
            moment = replace(view.moment, stale=stale(definition, view.book.ids, last_measures, now))
            view = replace(view, moment=moment)
    with store.writing() as connection:
        view = see(connection, definition, now)
        everyone = other_unknowns(connection, view, UNKNOWNS) or full or backwards
        _watch_all(connection, view, measuring, everyone=everyone)
        connection.execute(_DROPPED)
        connection.execute(_FINISHED, {"own_id": run})
    store.kept.save()
    return outcome


def _ordered(definition: Definition) -> list[Metric]:
    """Metrics of single subjects, each after those it reads."""
    done: dict[str, Metric] = {}

    def visit(metric: Metric) -> None:
        if metric.name in done or metric.subject == "book":
            return
        for name in metric.reads:
            if name in definition.metrics and name not in done:
                visit(definition.metrics[name])
        done[metric.name] = metric

    for metric in definition.metrics.values():
        visit(metric)
    return list(done.values())


def _listen(connection: Connection, definition: Definition, today: int) -> list[str]:
    """Usage sources that have no row for their newest expected day, or far fewer than usual."""
    silent = []
    for name, mapping in definition.imports.items():
        if mapping.get("into") != "usage" or not mapping.get("every"):
            continue
        number = connection.execute(
            select(t.name.c.id).where(t.name.c.kind == "source", t.name.c.name == name)
        ).scalar()
        if number is None:
            continue
        expected = latest_start(parse_length(mapping["every"]), today)
        days: dict[int, int] = dict(
            connection.execute(
                select(t.usage.c.day, func.count())
                .where(t.usage.c.source == number, t.usage.c.day > expected - 28, t.usage.c.day <= today)
                .group_by(t.usage.c.day)
            ).all()
        )
        newest = max(days, default=None)
        if newest is None or newest < expected or _thin(days, newest, mapping.get("at_least")):
            silent.append(name)
    alarmed = select(t.name.c.id).where(t.name.c.kind == "source", t.name.c.name.in_(silent))
    connection.execute(update(t.source).values(alarmed=case((t.source.c.source.in_(alarmed), 1), else_=0)))
    return silent


def _thin(days: dict[int, int], newest: int, at_least: Any) -> bool:
    """The newest day has fewer rows than this share of the mean of the days before it."""
    before = [number for day, number in days.items() if day < newest]
    if at_least is None or len(before) < 3:
        return False
    share = float(str(at_least).rstrip("%")) / 100 if str(at_least).endswith("%") else float(at_least)
    return days[newest] < share * sum(before) / len(before)


def _one(connection: Connection, view: View, metric: Metric, measuring: _Measuring, *, full: bool) -> None:
    """Measure one metric in its own transaction."""
    number, outcome = view.book.number("metric", metric.name), measuring.outcome
    provider = measuring.providers.get(metric.uses or "")
    if metric.expression is None and provider is None:
        outcome.unmeasured.add(metric.name)
        if metric.uses is not None:
            hook = MILESTONES if "/" in metric.name else METRICS
            outcome.failed.append(as_dict(Failure(metric.uses, hook, NOTHING, metric.name)))
        return
    digest = _digest(metric, provider, _whole(view, metric, provider, measuring.use))
    last = measuring.former.get(number)
    since = None if last is None or last.hash != digest or full else last.at
    silent = bool(outcome.silent) and provider is not None and provider.reads_usage
    error = None if silent else _compute(connection, view, metric, measuring, since)
    at = view.now
    if silent or error is not None:  # owed to everybody the next time: who was touched now is not so then
        outcome.unmeasured.add(metric.name)
        at, digest = last.at if last is not None else view.now, ""
    else:
        many = _write(connection, view, metric, number)
        if many:
            outcome.changed[metric.name] = many
    if error is not None and provider is not None:
        _fail(outcome, metric, provider, error)
        if last is None:  # a row would say that it was measured once
            return
    row = {"metric": number, "at": at, "hash": digest, "silent": int(silent), "error": error}
    connection.execute(upsert(connection.dialect.name, t.measured, ("metric",), ("at", "hash", "silent", "error")), row)


def _compute(
    connection: Connection, view: View, metric: Metric, measuring: _Measuring, since: Instant | None
) -> str | None:
    """Put what a metric's new values change into CHANGED; the reason, where its plugin gave none.

    ``since``: the last measure, if only those can have another value for whom something changed after it.
    """
    _begin(connection, CHANGED)
    if metric.expression is not None:
        narrow = since is not None and _narrow(view, metric)
        build = partial(_differing, view, metric, narrow=narrow)
        world = view.world(connection.dialect.name)
        statement = measuring.kept.prepared(connection, world, ("metric", metric.name, narrow), build)
        with blaming(connection, statement.text):
            statement.run(connection, view.moment)
        return None
    provider = measuring.providers[metric.uses or ""]
    if provider.select is not None:
        return _selected(connection, view, metric, measuring, since)
    return ask_plugin(connection, view, metric, provider, CHANGED)


def _owe(connection: Connection, number: int, error: str) -> None:
    """What was not computed is owed to everybody the next time: who was touched now is not so then."""
    connection.execute(update(t.measured).where(t.measured.c.metric == number).values(hash="", error=error))


def _fail(outcome: Measured, metric: Metric, provider: Provider, error: str) -> None:
    outcome.unmeasured.add(metric.name)
    failure = Failure(provider.plugin, provider.hook, f"{metric.uses}: {error}", metric.name)
    outcome.failed.append(as_dict(failure))


def _use(connection: Connection, today: int) -> _Use:
    first = connection.execute(_FIRST_USE).scalar()
    features = [tuple(row) for row in connection.execute(_FEATURES)]
    core = any(is_core == 1 for _, is_core, _ in features)
    return _Use(first is not None and first <= today, core, repr(features))


def _whole(view: View, metric: Metric, provider: Provider | None, use: _Use) -> str:
    """What a metric rests on that belongs to no customer: when it is another than last time, everybody is asked."""
    if metric.expression is not None:
        return repr((sorted(view.moment.unfed), sorted(view.moment.stale.intersection(metric.reads))))
    if provider is None or provider.select is None:
        return ""
    named, zone, today = metric.options.get("calendar"), view.zone, view.moment.today
    calendar = view.moment.calendar if provider.reads_calendar else None
    if named is not None:
        calendar = view.definition.calendars.get(str(named))
    begin = latest_start(_window_of(metric), today)
    worked = calendar.between(zone.end_of(begin), zone.end_of(today)) if calendar is not None else None
    return repr((use.reported, use.features if provider.reads_usage else use.core, worked))


def _digest(metric: Metric, provider: Provider | None, whole: str) -> str:
    text = repr(
        (
            metric.expression.node if metric.expression else None,
            metric.uses,
            metric.options,
            metric.type,
            metric.subject,
            provider.version if provider is not None else "",
            whole,
        )
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _begin(connection: Connection, table: Table) -> None:
    """Have a temporary table, empty."""
    if has_temporary(connection, table.name):
        empty(connection, table.name)
    else:
        table.create(connection, checkfirst=False)


def _dirty(kind: str, base: Any) -> ColumnElement[Any]:
    """The customers, contracts or contacts that something changed for."""
    owner: ColumnElement[Any] = base.c.id if kind == "customer" else base.c.customer
    return owner.in_(_dirty_customers())


def _dirty_customers() -> Select[int]:
    return select(t.touched.c.subject).where(t.touched.c.queue == CLAIMED, t.touched.c.kind == "customer")


def _narrow(view: View, metric: Metric) -> bool:
    """Whether only those can have another value for whom something changed."""
    expression = metric.expression
    assert expression is not None  # noqa: S101  # chosen by the caller
    timed = expression.timed or any(isinstance(node, Ago) for node in expression.node.walk())
    told = metric.subject in OF_CUSTOMERS  # of others, rows of `touched` do not tell who changed
    return not timed and told and not view.moment.stale.intersection(metric.reads) and not _reads_organisation(metric)


def _differing(view: View, metric: Metric, *, narrow: bool) -> Insert:
    return _staging(view.book.number("metric", metric.name), _computed(view, metric, narrow=narrow))


def _computed(view: View, metric: Metric, *, narrow: bool) -> Select[Any]:
    """Subject, value and newest fact of an expression, for all or for whom something changed."""
    expression = metric.expression
    assert expression is not None  # noqa: S101  # chosen by the caller
    reader = view.subjects(metric.subject)
    base: Any = reader.base
    value = Translator(reader).value(expression.node)
    happened = newest_of([reader.happened(fact) for fact in expression.facts if not _instant(fact)])
    text = metric.type.name in WORDS
    columns = [
        base.c.id.label("subject"),
        (cast(null(), Double) if text else cast(value, Double)).label("number"),
        (cast(value, Text) if text else cast(null(), Text)).label("text"),
        happened.label("happened"),
    ]
    statement = select(*columns).select_from(reader.source()).where(base.c.happened <= as_of.today(view.moment))
    return statement.where(_dirty(metric.subject, base)) if narrow else statement


def _reads_organisation(metric: Metric) -> bool:
    return metric.expression is not None and any(f.owner == "organisation" for f in metric.expression.all_facts)


def _instant(fact: Any) -> bool:
    """Facts whose date is an instant, not a day, do not date a metric."""
    return (
        fact.kind in ("milestone", "activity")
        or fact.owner in ("case", "activity", "milestones", "tasks", "open")
        or fact.owner.startswith("flow:")
    )


def _window_of(metric: Metric) -> Length:
    return parse_length(str(metric.options.get("window", "30 days")))


def _selected(
    connection: Connection, view: View, metric: Metric, measuring: _Measuring, since: Instant | None
) -> str | None:
    """Put what a plugin's SQL finds into CHANGED; or the reason why it has none."""
    provider = measuring.providers[metric.uses or ""]
    begin = latest_start(_window_of(metric), view.moment.today)
    moment, calendars = replace(view.moment), dict(view.definition.calendars)  # copies: what it changes is its own
    window = Window(begin, view.moment.today, deepcopy(metric.options), moment, calendars)
    assert provider.select is not None  # noqa: S101  # chosen by the caller
    found, reason = attempt(provider.select, window)
    if reason is None and not (isinstance(found, Select) and len(found.selected_columns) == 3):
        reason = "TypeError: it returns a select of customer, value, newest day"
    if reason is not None:
        return reason
    _begin(connection, FOUND)
    connection.execute(_FIND.from_select(["subject", "number", "happened"], found))
    nothing = None if _unknown_without(metric, measuring.use) else provider.empty
    days = {"begin": begin}
    if since is not None:
        before = view.zone.day_of(since)
        days |= {"before": before, "was_begin": latest_start(_window_of(metric), before)}
    number = view.book.number("metric", metric.name)
    build = partial(_windowed, view, number, nothing, narrow=since is not None)
    world, key = view.world(connection.dialect.name), ("found", number, repr(nothing), since is not None)
    measuring.kept.prepared(connection, world, key, build).run(connection, view.moment, **days)
    return None


def _unknown_without(metric: Metric, use: _Use) -> bool:
    """Whether a customer without a row in the window is unknown: as long as nobody could have one."""
    return not use.reported or (metric.options.get("features") == "core" and not use.core)


def _windowed(view: View, number: int, nothing: float | None, *, narrow: bool) -> Insert:
    """What changes for every customer, or those whose window lost or gained a row: the found value, or ``nothing``."""
    today, cu, found = as_of.today(view.moment), t.customer, FOUND.c
    value = case((found.subject.is_(None), cast(literal(nothing), Double)), else_=cast(found.number, Double))
    columns = [cu.c.id.label("subject"), value.label("number"), cast(null(), Text).label("text"), found.happened]
    statement = select(*columns).select_from(cu.outerjoin(FOUND, found.subject == cu.c.id))
    statement = statement.where(cu.c.happened <= today)
    if narrow:
        u = t.usage.c
        begin, before, was_begin = (bindparam(name, 0, Integer) for name in ("begin", "before", "was_begin"))
        came = select(u.customer).where(u.day > before, u.day <= today)
        went = select(u.customer).where(u.day > was_begin, u.day <= begin)
        statement = statement.where(cu.c.id.in_(union_all(came, went, _dirty_customers())))
    return _staging(number, statement)


def _staging(number: int, values: Select[Any]) -> Insert:
    """Keeps of the computed values those that differ from the stored ones; unknown and never known is no difference."""
    v, m = values.subquery("computed"), t.measurement
    joined = v.outerjoin(m, and_(m.c.metric == number, m.c.subject == v.c.subject))
    differs = or_(
        and_(m.c.metric.is_(None), or_(v.c.number.is_not(None), v.c.text.is_not(None))),
        and_(
            m.c.metric.is_not(None), or_(v.c.number.is_distinct_from(m.c.number), v.c.text.is_distinct_from(m.c.text))
        ),
    )
    chosen = select(v.c.subject, v.c.number, v.c.text, v.c.happened).select_from(joined).where(differs)
    return insert(CHANGED).from_select(["subject", "number", "text", "happened"], chosen)


def _write(connection: Connection, view: View, metric: Metric, number: int) -> int:
    """Write the staged values into measurement and its log, and touch whom they belong to."""
    many = connection.execute(_count()).scalar_one()
    if not many:
        return 0
    dialect, written = connection.dialect.name, {"metric": number, "known": view.now}
    for statement in _writing(dialect):
        connection.execute(statement, written)
    for statement in _touching(dialect, metric.subject):
        connection.execute(statement, {"mark": secrets.randbits(62)})
    return int(many)


@cache
def _count() -> Select[int]:
    return select(func.count()).select_from(CHANGED)


@cache
def _writing(dialect: str) -> tuple[Executable, ...]:
    """What takes the staged values over into measurement and its log."""
    c, m = CHANGED.c, t.measurement.c
    number, known = bindparam("metric", type_=m.metric.type), bindparam("known", type_=m.known.type)
    rows = select(number, c.subject, c.number, c.text, c.happened, known).where(literal(1) == 1)
    values = ("number", "text", "happened")
    newest = upsert(dialect, t.measurement, ("metric", "subject"), (*values, "known"))
    log = upsert(dialect, t.measurement_log, ("metric", "subject", "known"), values)
    return tuple(into.from_select(["metric", "subject", *values, "known"], rows) for into in (newest, log))


@cache
def _touching(dialect: str, kind: str) -> tuple[Executable, ...]:
    """Whoever's value changed is asked again by the next pass, and by the metrics that read this one."""
    owner: Select[Any] = select(CHANGED.c.subject)
    if kind in ("contract", "contact"):
        table = getattr(t, kind)
        owner = select(table.c.customer).join(CHANGED, CHANGED.c.subject == table.c.id)
        kind = "customer"
    found = owner.distinct().subquery()
    today = literal(0, Integer)
    return tuple(touching(dialect, kind, found.c[0], today, queue=queue) for queue in (ADVANCE, CLAIMED))


# conditions that rules watch over time


def _watch_all(connection: Connection, view: View, measuring: _Measuring, *, everyone: bool) -> None:
    for condition in view.definition.conditions.values():
        try:
            _watch(connection, view, condition, measuring.kept, everyone=everyone)
        except CallError as error:
            measuring.outcome.failed += of_call(error, None, place=condition.key)
            note(connection, UNKNOWNS, "functions")  # the next measure asks everybody


def _watch(connection: Connection, view: View, condition: Condition, kept: Kept, *, everyone: bool) -> None:
    """Keep the interval of a watched condition: written only when its truth changed."""
    kind = condition.subject
    number = view.book.number("condition", condition.key)
    known = select(literal(1)).where(t.span.c.condition == number).limit(1)
    told = kind in OF_CUSTOMERS and not view.moment.stale
    told = told and not Expression("", condition.node).timed  # by what gets old, or by a new rate
    narrow = told and not everyone and connection.execute(known).first() is not None
    build = partial(_watching, view, condition, connection, narrow=narrow)
    world = view.world(connection.dialect.name)
    statement = kept.prepared(connection, world, ("condition", condition.key, narrow), build)
    with blaming(connection, statement.text):
        statement.run(connection, view.moment)


def _watching(view: View, condition: Condition, connection: Connection, *, narrow: bool) -> Executable:
    reader = view.subjects(condition.subject)
    base: Any = reader.base
    number = view.book.number("condition", condition.key)
    truth = Translator(reader).number_of(condition.node)
    there, now = t.span, as_of.now(view.moment)
    computed = select(base.c.id.label("subject"), truth.label("truth")).select_from(reader.source())
    computed = computed.where(base.c.happened <= as_of.today(view.moment))
    if narrow:
        computed = computed.where(_dirty(condition.subject, base))
    v = computed.subquery("computed")
    joined = v.outerjoin(there, and_(there.c.condition == number, there.c.subject == v.c.subject))
    differs = or_(there.c.condition.is_(None), v.c.truth.is_distinct_from(there.c.truth))
    rows = (
        select(
            literal(number), v.c.subject, cast(v.c.truth, Integer), now,
            case((there.c.truth == 0, now), else_=there.c.false_until),
            case((there.c.first_true.is_not(None), there.c.first_true), (v.c.truth == 1, now), else_=null()),
        )
        .select_from(joined)
        .where(differs)
    )  # fmt: skip
    names = ["condition", "subject", "truth", "since", "false_until", "first_true"]
    statement = insert_into(connection, there).from_select(names, rows)
    excluded = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["condition", "subject"],
        set_={name: excluded[name] for name in ("truth", "since", "false_until", "first_true")},
    )
