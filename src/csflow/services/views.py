"""A definition seen at a moment on a store: what every verb that asks questions starts from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import field
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, select

from csflow.flow.definition import Definition, Flow, Metric
from csflow.flow.expressions import Expression
from csflow.flow.moments import FED, Moment
from csflow.flow.records import record
from csflow.flow.sites import ancestors
from csflow.flow.types import WORDS, Type
from csflow.services.parties import OF_CUSTOMERS
from csflow.store import tables as t
from csflow.store.insertion import insert_into
from csflow.store.prepared import world_of
from csflow.store.reading import Book, Reader, case_reader, subject_reader
from csflow.store.refreshing import sync_people
from csflow.values import Instant, Zone, day_text, money_text


@record
class View:
    """A definition, the store's numbers for its names, and the moment it is asked at."""

    definition: Definition
    book: Book
    moment: Moment
    _worlds: dict[Any, str] = field(default_factory=dict)  # what `world` said: it is asked for each statement

    @property
    def zone(self) -> Zone:
        """The project's zone."""
        return self.moment.zone

    @property
    def now(self) -> Instant:
        """The moment's instant."""
        return self.moment.now

    def cases(self, flow: Flow, stage: str | None = None) -> Reader:
        """A reader of one flow's cases."""
        return case_reader(flow.name, flow.subject, self.book, self.moment, stage=stage)

    def world(self, *more: str | bool) -> str:
        """The name of all that the statements about this view depend on, but for the moment and ``more``."""
        period = self.moment.period is not None
        found = self._worlds.get((period, *more))
        if found is None:
            # A source that speaks for the first time gets a number as well, and no statement reads that.
            numbers = tuple(sorted((*name, number) for name, number in self.book.ids.items() if name[0] != "source"))
            found = world_of(self.definition.hash, numbers, period, *more)
            self._worlds[(period, *more)] = found
        return found

    def anchors(self, flow: Flow) -> dict[str, Expression]:
        """The flow's clock and the dates its deadlines hang on, by name."""
        found = {"clock": flow.clock} if flow.clock is not None else {}
        return found | flow.dates

    def subjects(self, kind: str) -> Reader:
        """A reader of all subjects of a kind."""
        return subject_reader(kind, self.book, self.moment)


def variants(flows: Iterable[Flow]) -> dict[str, tuple[str, ...]]:
    """Flow → itself and every flow that extends it: rules that speak of the base speak of all of them."""
    listed = list(flows)
    return {flow.name: tuple(f.name for f in listed if flow.name in (f.name, f.base)) for flow in listed}


@lru_cache(maxsize=8)
def opening_order(definition: Definition) -> dict[str, int]:
    """The place of each flow when cases open: a variant before what it extends, or that would always open first."""
    flows = definition.flows.values()
    order = sorted((flow.base, -len(ancestors(definition.tree, flow.name)), flow.name) for flow in flows)
    return {name: place for place, (_, _, name) in enumerate(order)}


def see(connection: Connection, definition: Definition, now: Instant, before: View | None = None) -> View:
    """Read what a view needs: a handful of small statements, whatever the number of customers.

    ``before``: a view of the same definition, given back with all it has worked out where nothing is otherwise.
    """
    zone = Zone(definition.zone)
    numbers = {(row.kind, row.name): row.id for row in connection.execute(_names())}
    book = Book(numbers, *_of_flows(definition))
    calendar = definition.calendars.get(definition.calendar or "")
    moment = Moment(
        now=now,
        zone=zone,
        calendar=calendar,
        log_begin=_log_begin(connection),
        rates=_rates(connection, definition.currency, zone.day_of(now)),
        unfed=_unfed(connection, definition),
        stale=stale(definition, numbers, measures(connection), now),
    )
    if before is not None and before.book.ids == numbers and before.moment.is_as(moment):
        return before
    return View(definition, book, moment)


@lru_cache(maxsize=8)
def _of_flows(definition: Definition) -> tuple[dict[str, tuple[str, ...]], dict[tuple[str, str], tuple[str, ...]]]:
    """The variants of each flow, and the milestones that each stage requires."""
    required = {
        (flow.name, stage.name): tuple(m.name for m in stage.milestones.values() if not m.optional)
        for flow in definition.flows.values()
        for stage in flow.stages.values()
    }
    return variants(definition.flows.values()), required


def introduce(connection: Connection, definition: Definition) -> None:
    """Have what the rows of this definition refer to: numbers for its names, the organisation, the colleagues."""
    number_names(connection, definition)
    people = {person.id: next(iter(person.label.values()), None) for person in definition.people.values()}
    sync_people(connection, people, definition.name)


def number_names(connection: Connection, definition: Definition) -> None:
    """Give every metric, field and watched condition of the definition its number, once."""
    wanted = {("metric", name) for name in definition.metrics}
    wanted |= {("field", f"{kind}.{name}") for kind, fields in definition.fields.items() for name in fields}
    wanted |= {("field", f"{flow.name}.{name}") for flow in definition.flows.values() for name in flow.fields}
    wanted |= {("condition", key) for key in definition.conditions}
    there = {(row.kind, row.name) for row in connection.execute(_names())}
    missing = [{"kind": kind, "name": name} for kind, name in sorted(wanted - there)]
    if missing:
        connection.execute(insert_into(connection, t.name).on_conflict_do_nothing(), missing)


Measures = dict[int, tuple[Instant, bool]]  # metric's number → when it was measured last, whether its source is silent


def measures(connection: Connection) -> Measures:
    """When each metric was measured last."""
    found = connection.execute(_last_measures())
    return {metric: (at, bool(silent)) for metric, at, silent in found}


@cache
def _last_measures() -> Select[Any]:
    return select(t.measured.c.metric, t.measured.c.at, t.measured.c.silent)


NEWEST = "newest_measured"  # key in `meta`: kind → the highest number there was at the last measure


def newest(connection: Connection) -> str:
    """The highest numbers that there are now, as they are kept under ``NEWEST``."""
    return json.dumps(dict(zip(OF_CUSTOMERS, connection.execute(_highest()).one(), strict=True)))


@cache
def _highest() -> Select[Any]:
    found = [select(func.coalesce(func.max(getattr(t, kind).c.id), 0)).scalar_subquery() for kind in OF_CUSTOMERS]
    return select(*found)


def newest_measured(connection: Connection) -> dict[str, int]:
    """Kind → the number above which everything came after the last measure; empty where that is not known."""
    kept = connection.execute(select(t.meta.c.value).where(t.meta.c.key == NEWEST)).scalar()
    return {} if kept is None else json.loads(kept)


def stale(definition: Definition, numbers: dict[tuple[str, str], int], last: Measures, now: Instant) -> frozenset[str]:
    """Metrics that are unknown now: their source is silent, or they were measured longer ago than their `fresh:`."""
    zone = Zone(definition.zone)
    old: set[str] = set()
    for metric in definition.metrics.values():
        at, silent = last.get(numbers.get(("metric", metric.name), -1), (now, False))
        if silent or (metric.fresh is not None and at <= zone.latest_start(metric.fresh, now)):
            old.add(metric.name)
    return frozenset(_with_dependents(definition.metrics, old))


def _with_dependents(metrics: dict[str, Metric], names: set[str]) -> set[str]:
    found = set(names)
    while True:
        more = {m.name for m in metrics.values() if m.name not in found and found.intersection(m.reads)}
        if not more:
            return found
        found |= more


@cache
def _names() -> Select[Any]:
    return select(t.name)


@cache
def _begins() -> Select[Any]:
    return select(
        select(func.min(t.activity.c.at)).scalar_subquery(), select(func.min(t.run.c.as_of)).scalar_subquery()
    )


def _log_begin(connection: Connection) -> Instant | None:
    """When csflow's log of activities begins: the first activity it knows, or the first time it ran, if earlier."""
    known = [at for at in connection.execute(_begins()).one() if at is not None]
    return min(known) if known else None


def _rates(connection: Connection, currency: str, today: int) -> dict[str, float]:
    """The newest rate of each currency on or before today."""
    rows = connection.execute(_newest_rates(), {"today": today})
    return {row.currency: row.rate for row in rows if row.currency != currency}


@cache
def _newest_rates() -> Select[Any]:
    r = t.rate.c
    newest = select(r.currency, func.max(r.day).label("day")).where(r.day <= bindparam("today", type_=r.day.type))
    found = newest.group_by(r.currency).subquery()
    return select(r.currency, r.rate).join(found, (r.currency == found.c.currency) & (r.day == found.c.day))


def _unfed(connection: Connection, definition: Definition) -> frozenset[str]:
    """Things for which the project declares imports and none has ever run."""
    declared: dict[str, set[str]] = {}
    for name, mapping in definition.imports.items():
        if mapping.get("into") in FED:
            declared.setdefault(mapping["into"], set()).add(name)
    if not declared:
        return frozenset()
    heard = set(connection.execute(_heard()).scalars())
    return frozenset(
        kind
        for kind, names in declared.items()
        if not names & heard and connection.execute(_any_of(kind)).first() is None
    )


@cache
def _any_of(kind: str) -> Select[int]:
    return select(getattr(t, kind).c.id).limit(1)


@cache
def _heard() -> Select[Any]:
    imported = select(t.name.c.name).join(t.source, t.source.c.source == t.name.c.id)
    return imported.where(t.source.c.imported.is_not(None))


def present(value: object, kind: Type, view: View) -> object:
    """A stored value as people and JSON read it: a date as ISO, money as text, a share as a number."""
    if value is None:
        return None
    name = kind.name
    if name == "date":
        return day_text(int(value))  # type: ignore[call-overload]
    if name == "time":
        return view.zone.text(int(value))  # type: ignore[call-overload]
    if name == "money":
        return money_text(round(float(value)), view.definition.currency)  # type: ignore[arg-type]
    if name == "boolean":
        return bool(value)
    if name in WORDS or isinstance(value, str):
        return str(value)
    number = float(value)  # type: ignore[arg-type]
    return int(number) if number.is_integer() else number
