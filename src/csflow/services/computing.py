"""Metrics and milestones in Python: a plugin is asked batch by batch, and what it answers is checked before it counts.

A plugin's answer is taken as a whole or not at all: a value of another type, one that no database holds, or one for an
id that it was not asked about is a mistake of the plugin, and then all its subjects keep their last values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from datetime import date, datetime
from itertools import chain, groupby
from math import isfinite
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from csflow.flow.definition import Metric
from csflow.flow.types import WORDS, Fact, Type
from csflow.hookspecs import Batch, Provider, Usage, attempt
from csflow.services.views import View
from csflow.store import tables as t
from csflow.store.insertion import among
from csflow.store.names import subject_name
from csflow.values import latest_start, parse_length

BATCH = 5_000
FETCHED = 1_000  # rows of usage read at once
LONGEST = 1_000  # characters of a word
LARGEST = 1e15
DAYS = (-719_162, 2_932_896)  # 0001-01-01 to 9999-12-31
INSTANTS = (DAYS[0] * 86_400_000_000, (DAYS[1] + 1) * 86_400_000_000)
MILESTONES = "csflow_milestones"

Row = tuple[float | None, str | None, int | None]  # number, text, happened
UNKNOWN: Row = (None, None, None)
Check = Callable[[Collection[Any]], list[Row]]


def ask_plugin(connection: Connection, view: View, metric: Metric, provider: Provider, staged: Table) -> str | None:
    """Put into ``staged`` what a plugin answers differently from what is stored; or the reason why it failed."""
    table = getattr(t, metric.subject)
    number = view.book.number("metric", metric.name)
    check = checker(metric.type, dated=provider.hook == MILESTONES, today=view.moment.today)
    m = t.measurement.c
    after = 0
    while True:
        found = connection.execute(
            select(table.c.id, subject_name(metric.subject, table).label("key"))
            .where(table.c.id > after, table.c.happened <= view.moment.today)
            .order_by(table.c.id)
            .limit(BATCH)
        ).all()
        if not found:
            return None
        first, after = found[0].id, found[-1].id
        ids = {key: id_ for id_, key in found}
        batch = Batch(
            tuple(ids), deepcopy(metric.options), view.moment.today, _usage(connection, view, metric, ids),
            _facts(connection, view, metric, ids),
        )  # fmt: skip
        rows, reason = attempt(answered, provider.compute, batch, ids, check)
        if reason is not None:
            return reason
        stored = select(m.subject, m.number, m.text, m.happened).where(
            m.metric == number, m.subject >= first, m.subject <= after
        )
        there = {row[0]: tuple(row[1:]) for row in connection.execute(stored)}
        changed = [
            {"subject": id_, "number": row[0], "text": row[1], "happened": row[2]}
            for id_, row in rows.items()
            if differs(row, there.get(id_, UNKNOWN))
        ]
        if changed:
            connection.execute(insert(staged), changed)


def differs(new: Row, old: Any) -> bool:
    """Whether a value is another one; a day that only says when it was measured is none."""
    return bool(new[0] != old[0] or new[1] != old[1] or (new[2] is not None and old[2] != new[2] and new[0] == 1.0))


def answered(compute: Callable[[Batch], Any], batch: Batch, ids: Mapping[str, int], check: Check) -> dict[int, Row]:
    """What a plugin answers, by number; whom it leaves out is unknown. Raises TypeError and ValueError."""
    answer = compute(batch)
    if not isinstance(answer, Mapping):
        raise TypeError(f"it returns id → value, not {type(answer).__name__}")
    unasked = answer.keys() - ids.keys()
    if unasked:
        raise ValueError(f"it was not asked about {min(map(repr, unasked)):.80}")
    known = {ids[key]: value for key, value in answer.items() if value is not None}
    rows = dict.fromkeys(ids.values(), UNKNOWN) if len(known) < len(ids) else {}
    rows.update(zip(known, check(known.values()), strict=True))
    return rows


def checker(kind: Type, *, dated: bool, today: int) -> Check:
    """A function that makes rows of a plugin's values, or raises ValueError when one is not of the type.

    ``dated``: of a milestone, which may also answer with the day it was reached; True means that it is reached today.
    """
    name = kind.name
    if dated:
        return _each(lambda value: _reached(value, today))
    if name in WORDS:
        return _each(lambda value: (None, _word(value, kind), None))
    if name == "boolean":
        return _each(_truth)
    if name in {"date", "time"}:
        low, high = DAYS if name == "date" else INSTANTS
        return _each(lambda value: (float(_whole(value, name, low, high)), None, None))
    return lambda values: _numbers(values, name)


def _each(check: Callable[[Any], Row]) -> Check:
    return lambda values: [check(value) for value in values]


def _numbers(values: Collection[Any], name: str) -> list[Row]:
    """All at once where all are plain floats, as most are; a sum is finite only if each of them is."""
    plain = bool(values) and set(map(type, values)) == {float} and isfinite(sum(values))
    if plain and max(values) <= LARGEST and min(values) >= -LARGEST:
        return [(value, None, None) for value in values]
    return [_number(value, name) for value in values]


def _number(value: Any, name: str) -> Row:
    if isinstance(value, (int, float)) and -LARGEST <= value <= LARGEST and not isinstance(value, bool):
        return (float(value), None, None)
    raise ValueError(f"{value!r:.60} is not a {name} up to 10^15")


def _truth(value: Any) -> Row:
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return (float(value), None, None)
    raise ValueError(f"{value!r:.60} is neither True nor False")


def _reached(value: Any, today: int) -> Row:
    if isinstance(value, bool):
        return (1.0, None, None) if value else (0.0, None, None)
    day = _whole(value, "date", *DAYS)
    if day > today:
        raise ValueError(f"{value!r:.60} is a day to come: a milestone was reached on a day that has been")
    return (1.0, None, day)


def _whole(value: Any, name: str, low: int, high: int) -> int:
    if name == "date" and isinstance(value, date) and not isinstance(value, datetime):
        return value.toordinal() - 719_163
    if isinstance(value, int) and not isinstance(value, bool) and low <= value < high + 1:
        return value
    raise ValueError(f"{value!r:.60} is not a {name}")


def _word(value: Any, kind: Type) -> str:
    if not isinstance(value, str) or len(value) > LONGEST or not value.replace("\n", " ").isprintable():
        raise ValueError(f"{value!r:.60} is not a text of at most {LONGEST:,} characters that can be printed")
    if kind.choices and value not in kind.choices:
        raise ValueError(f"'{value:.60}' is none of {', '.join(kind.choices)}")
    return value


def _facts(connection: Connection, view: View, metric: Metric, ids: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    """The values of the facts that the metric's ``with: {reads: …}`` names, by id."""
    if not metric.facts:
        return {}
    reader = view.subjects(metric.subject)
    base: Any = reader.base
    columns = [reader.column(fact).label(f"fact_{place}") for place, fact in enumerate(metric.facts)]
    numbers = ids.values()
    statement = select(base.c.id, *columns).select_from(reader.source())
    rows = connection.execute(statement.where(base.c.id >= min(numbers), base.c.id <= max(numbers)))
    keys = {number: key for key, number in ids.items()}
    found: dict[str, dict[str, Any]] = {key: {} for key in ids}
    for number, *values in rows:
        if number in keys:
            pairs = zip(metric.facts, values, strict=True)
            found[keys[number]] = {fact.name: _given(value, fact) for fact, value in pairs}
    return found


def _given(value: Any, fact: Fact) -> Any:
    name = fact.type.name
    if value is None or name in WORDS:
        return value
    if name == "boolean":
        return bool(value)
    return int(value) if name in {"date", "time"} else float(value)


def _usage(connection: Connection, view: View, metric: Metric, ids: Mapping[str, int]) -> dict[str, tuple[Usage, ...]]:
    """The usage rows of the metric's window, by customer; none for a metric without `window:` or of other subjects."""
    if "window" not in metric.options or metric.subject != "customer":
        return {}
    today = view.moment.today
    begin = latest_start(parse_length(str(metric.options["window"])), today)
    u, f = t.usage.c, t.feature.c
    keys = {id_: key for key, id_ in ids.items()}
    statement = (
        select(u.customer, f.key, u.day, u.count, u.seconds, u.users)
        .select_from(t.usage.join(t.feature, f.id == u.feature))
        .where(among(u.customer, keys), u.day > begin, u.day <= today)
        .order_by(u.customer, u.day, f.key, u.ref)
    )
    rows = chain.from_iterable(connection.execute(statement).partitions(FETCHED))
    by_customer = groupby(rows, key=itemgetter(0))
    return {keys[id_]: tuple(Usage._make(row[1:]) for row in found) for id_, found in by_customer if id_ in keys}
