"""The Python back end: an expression as a three-valued (Kleene) function of one case's facts.

Must agree with the SQL back end on every input; the property tests hold the two against each other.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from csflow.flow import nodes as n
from csflow.flow.moments import Moment
from csflow.values import DAY_US, Day, Instant, Length, add

if TYPE_CHECKING:
    from csflow.flow.types import Fact

Value = Any  # float, int, str, bool, or None for unknown
SpanRow = tuple[bool | None, Instant, Instant | None, Instant | None]  # truth, since, false_until, first_true


class Facts(Protocol):
    """One row's facts, and those of the things around it."""

    def value(self, fact: Fact) -> Value:
        """The stored value, None when unknown."""

    def rows(self, thing: str) -> Sequence[Facts]:
        """Things of the same subject, by start or opening order; each answers its own facts and the outer ones."""

    def span(self, condition: n.Condition) -> SpanRow | None:
        """What measure has recorded of a watched condition."""

    def stated(self, fact: Fact) -> Instant | None:
        """When the fact was last stated."""

    def ago(self, fact: Fact, length: Length) -> Value:
        """A metric as it was known a length before the moment."""

    def first_day(self) -> Day | None:
        """Start of the customer's first contract."""


Function = Callable[[Facts, Moment], Value]
OPS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def function(node: n.Node) -> Function:
    """The node as a function of facts and moment."""
    return _MAKERS[type(node)](node)


def _const(node: n.Const) -> Function:
    value = node.value
    if node.currency is not None and isinstance(value, float):
        amount, currency = value, node.currency

        def convert(_facts: Facts, moment: Moment) -> Value:
            rate = moment.rates.get(currency)
            return None if rate is None else amount * rate

        return convert
    return lambda _facts, _moment: value


def _read(node: n.Read) -> Function:
    fact = node.fact
    if fact.type.name == "boolean":

        def read(facts: Facts, _moment: Moment) -> Value:
            value = facts.value(fact)
            return None if value is None else bool(value)

        return read
    if fact.type.name in n.DAY_TYPES:  # kept as doubles where people or metrics fill them

        def whole(facts: Facts, _moment: Moment) -> Value:
            value = facts.value(fact)
            return None if value is None else int(value)

        return whole
    return lambda facts, _moment: facts.value(fact)


def _clockface(node: n.Clockface) -> Function:
    return (lambda _facts, moment: moment.today) if node.type.name == "date" else (lambda _facts, moment: moment.now)


def _not(node: n.Not) -> Function:
    item = function(node.item)

    def negate(facts: Facts, moment: Moment) -> Value:
        value = item(facts, moment)
        return None if value is None else not value

    return negate


def _and(node: n.And) -> Function:
    items = [function(item) for item in node.items]

    def both(facts: Facts, moment: Moment) -> Value:
        result: Value = True
        for item in items:
            value = item(facts, moment)
            if value is False:
                return False
            if value is None:
                result = None
        return result

    return both


def _or(node: n.Or) -> Function:
    items = [function(item) for item in node.items]

    def either(facts: Facts, moment: Moment) -> Value:
        result: Value = False
        for item in items:
            value = item(facts, moment)
            if value is True:
                return True
            if value is None:
                result = None
        return result

    return either


def _compare(node: n.Compare) -> Function:
    if n.ranged(node.left) or n.ranged(node.right):
        return _compare_ranges(node)
    left, right, op = function(node.left), function(node.right), OPS[node.op]

    def compare(facts: Facts, moment: Moment) -> Value:
        a = left(facts, moment)
        if a is None:
            return None
        b = right(facts, moment)
        return None if b is None else op(a, b)

    return compare


def _compare_ranges(node: n.Compare) -> Function:
    left, right, op = bounds(node.left), bounds(node.right), node.op

    def compare(facts: Facts, moment: Moment) -> Value:
        a, b = left(facts, moment), right(facts, moment)
        return None if a is None or b is None else range_truth(op, a, b)

    return compare


def range_truth(op: str, a: tuple[Any, Any], b: tuple[Any, Any]) -> bool | None:
    """Whether ``op`` holds between two ranges: true or false only if it is so for every pair of values in them."""
    if op in ("==", "!="):
        equal = True if a[0] == a[1] == b[0] == b[1] else False if a[1] < b[0] or b[1] < a[0] else None
        return equal if op == "==" or equal is None else not equal
    if op in ("<", "<="):
        a, b, op = b, a, ">" if op == "<" else ">="
    test = OPS[op]
    return True if test(a[0], b[1]) else False if not test(a[1], b[0]) else None


def bounds(node: n.Node) -> Callable[[Facts, Moment], tuple[Value, Value] | None]:
    """The least and the greatest value it may have, or None when that is unknown."""
    if isinstance(node, n.Aggregate) and n.ranged(node):
        return _total(node)
    plain = function(node)

    def single(facts: Facts, moment: Moment) -> tuple[Value, Value] | None:
        value = plain(facts, moment)
        return None if value is None else (value, value)

    return single


def _total(node: n.Aggregate) -> Callable[[Facts, Moment], tuple[Value, Value] | None]:
    cond = function(node.cond) if node.cond is not None else _always
    value, scale = (function(node.value), n.scale(node.value)) if node.value is not None else (_one, 1.0)

    def total(facts: Facts, moment: Moment) -> tuple[Value, Value] | None:
        if node.thing in moment.unfed:
            return None
        low = high = 0.0
        for row in facts.rows(node.thing):
            holds = cond(row, moment)
            if holds is False:
                continue
            amount = value(row, moment)
            if amount is None:
                return None
            grains = rounded(amount * scale)
            low += grains if holds else min(grains, 0.0)
            high += grains if holds else max(grains, 0.0)
        return low / scale, high / scale

    return total


def rounded(value: float) -> float:
    """To the nearest whole number, halves away from zero: sums of these are exact in any order, on every database."""
    if abs(value) >= n.LARGEST_EXACT:
        return float(value)
    return math.copysign(math.floor(abs(value) + 0.5), value)


def _always(_facts: Facts, _moment: Moment) -> Value:
    return True


def _one(_facts: Facts, _moment: Moment) -> Value:
    return 1.0


def _aggregate(node: n.Aggregate) -> Function:
    if n.ranged(node):
        total = _total(node)

        def exact(facts: Facts, moment: Moment) -> Value:
            found = total(facts, moment)
            return found[0] if found is not None and found[0] == found[1] else None

        return exact
    cond = function(node.cond) if node.cond is not None else _always
    value = function(node.value) if node.value is not None else _one
    if node.fn == "average":
        return _average(node.thing, value, cond, n.scale(node.value))
    return _first(node, value, cond)


def _average(thing: str, value: Function, cond: Function, scale: float) -> Function:
    def average(facts: Facts, moment: Moment) -> Value:
        if thing in moment.unfed:
            return None
        total, many = 0.0, 0
        for row in facts.rows(thing):
            holds = cond(row, moment)
            if holds is False:
                continue
            amount = value(row, moment)
            if holds is None or amount is None:
                return None
            total, many = total + rounded(amount * scale), many + 1
        return total / scale / many if many else None

    return average


def _first(node: n.Aggregate, value: Function, cond: Function) -> Function:
    def first(facts: Facts, moment: Moment) -> Value:
        if node.thing in moment.unfed:
            return None
        rows = facts.rows(node.thing)
        for row in rows if node.fn == "first" else reversed(rows):
            holds = cond(row, moment)
            if holds is None:
                return None
            if holds:
                return value(row, moment)
        return None

    return first


def border_truth(op: str, value: int, before: int, reached: int, *, until: bool) -> bool:
    """``since(value) op L`` (or until) by the borders of ``Moment.borders``."""
    if op in ("==", "!="):
        return (before < value <= reached) == (op == "==")
    if until:
        op = {"<=": ">=", "<": ">", ">=": "<=", ">": "<"}[op]
    return {">=": value <= reached, ">": value <= before, "<": value > reached, "<=": value > before}[op]


def _elapsed(node: n.Elapsed) -> Function:
    item = function(node.item)
    time = node.item.type.name == "time"
    never = n.may_be_never(node.item)

    def elapsed(facts: Facts, moment: Moment) -> Value:
        value = item(facts, moment)
        before, reached = moment.borders(node.length, until=node.until, time=time)
        if value is not None:
            return border_truth(node.op, value, before, reached, until=node.until)
        if not never or node.until:
            return None
        return _never(node.op, facts.first_day(), moment, before, reached)

    return elapsed


def _never(op: str, first: Day | None, moment: Moment, before: int, reached: int) -> bool | None:
    """Of something that never happened: the time since the first contract – as far back as the log knows."""
    if first is None:
        return None
    start, log = moment.zone.start_of(first), moment.log_begin

    def passed(border: int) -> bool | None:
        return False if start > border else True if log is not None and log <= border else None

    at_least, more = passed(reached), passed(before)
    if op in (">=", "<"):
        return at_least if op == ">=" or at_least is None else not at_least
    if op in (">", "<="):
        return more if op == ">" or more is None else not more
    equal = False if at_least is False or more is True else None if at_least is None or more is None else True
    return equal if op == "==" or equal is None else not equal


def _oneof(node: n.OneOf) -> Function:
    item, values = function(node.item), {value.value for value in node.values}

    def member(facts: Facts, moment: Moment) -> Value:
        value = item(facts, moment)
        return None if value is None else (value in values) != node.negated

    return member


def _within(node: n.Within) -> Function:
    item = function(node.item)

    def within(facts: Facts, moment: Moment) -> Value:
        value = item(facts, moment)
        if value is None or moment.period is None:
            return None
        begin, end = moment.period
        day = moment.zone.day_of(value) if node.item.type.name == "time" else value
        if node.shift is not None:
            day = add(day, node.shift)
        return (begin <= day < end) != node.negated

    return within


def _isknown(node: n.IsKnown) -> Function:
    item = function(node.item)
    return lambda facts, moment: (item(facts, moment) is not None) == node.known


def _arithmetic(node: n.Arithmetic) -> Function:
    left, right, sign = function(node.left), function(node.right), node.op
    apply = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}[sign]

    def calculate(facts: Facts, moment: Moment) -> Value:
        a, b = left(facts, moment), right(facts, moment)
        if a is None or b is None or (sign == "/" and b == 0):
            return None
        return apply(float(a), float(b))

    return calculate


def _shift(node: n.Shift) -> Function:
    item, way = function(node.item), -1 if node.minus else 1
    amount = (
        node.length.amount * {"days": 1, "weeks": 7, "hours": 3_600_000_000, "minutes": 60_000_000}[node.length.unit]
    )
    if node.item.type.name == "time" and node.length.unit in ("days", "weeks"):
        amount *= 86_400_000_000

    def shift(facts: Facts, moment: Moment) -> Value:
        value = item(facts, moment)
        return None if value is None else value + way * int(amount)

    return shift


def _span(node: n.Span) -> Function:
    item, time = function(node.item), node.item.type.name == "time"

    def span(facts: Facts, moment: Moment) -> Value:
        value = item(facts, moment)
        if value is None:
            return None
        days = (moment.now - value) / DAY_US if time else float(moment.today - value)
        return -days if node.until else days

    return span


def _days_between(node: n.DaysBetween) -> Function:
    start, end = function(node.start), function(node.end)

    def between(facts: Facts, moment: Moment) -> Value:
        a, b = start(facts, moment), end(facts, moment)
        return None if a is None or b is None else b - a

    return between


def _default(node: n.Default) -> Function:
    item, fallback = function(node.item), function(node.fallback)

    def default(facts: Facts, moment: Moment) -> Value:
        value = item(facts, moment)
        return fallback(facts, moment) if value is None else value

    return default


def _extreme(node: n.Extreme) -> Function:
    items, pick = [function(item) for item in node.items], max if node.largest else min

    def extreme(facts: Facts, moment: Moment) -> Value:
        values = [item(facts, moment) for item in items]
        return None if None in values else pick(values)

    return extreme


def _quarter(node: n.Quarter) -> Function:
    item = function(node.item)

    def quarter(facts: Facts, moment: Moment) -> Value:
        value = item(facts, moment)
        return None if value is None else (month_of(value) - node.year_starts) % 12 // 3 + 1

    return quarter


def _call(node: n.Call) -> Function:
    items, python = [function(item) for item in node.items], node.outside.python
    numbers = [item.type.name in n.NUMBER_TYPES for item in node.items]

    def call(facts: Facts, moment: Moment) -> Value:
        values = [item(facts, moment) for item in items]
        if None in values:
            return None
        return python(*(float(value) if number else value for value, number in zip(values, numbers, strict=True)))

    return call


def month_of(day: Day) -> int:
    """The month (1–12) of a day, by the civil-from-days arithmetic that the SQL back end writes out too."""
    of_era = (day + 719_468) % 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    shifted = (5 * (of_era - (365 * year + year // 4 - year // 100)) + 2) // 153
    return shifted + 3 if shifted < 10 else shifted - 9


def _held(node: n.Held) -> Function:
    def held(facts: Facts, moment: Moment) -> Value:
        row = facts.span(node.condition)
        if row is None:
            return None
        truth, since, false_until, _ = row
        _, reached = moment.borders(node.length, until=False, time=True)
        if (truth is not None and not truth) or (false_until is not None and false_until > reached):
            return False
        return True if truth and since <= reached else None

    return held


def _first_time(node: n.FirstTime) -> Function:
    def first_time(facts: Facts, _moment: Moment) -> Value:
        row = facts.span(node.condition)
        return None if row is None else row[3]

    return first_time


def _choose(node: n.Choose) -> Function:
    arms = [(function(guard), word.value) for guard, word in node.pairs]
    otherwise = node.otherwise.value

    def choose(facts: Facts, moment: Moment) -> Value:
        possible: set[Value] = set()
        for guard, word in arms:
            holds = guard(facts, moment)
            if holds is not False:
                possible.add(word)
            if holds:
                break
        else:
            possible.add(otherwise)
        return possible.pop() if len(possible) == 1 else None

    return choose


def _rows(node: n.Rows) -> Function:
    rows = [(function(reached), function(row)) for reached, row in node.rows]

    def look_up(facts: Facts, moment: Moment) -> Value:
        for reached, row in rows:
            holds = reached(facts, moment)
            if holds is not False:
                return row(facts, moment) if holds else None
        return None

    return look_up


def _points(node: n.Points) -> Function:
    item, points = function(node.item), dict(node.points)

    def look_up(facts: Facts, moment: Moment) -> Value:
        value = item(facts, moment)
        return None if value is None else points.get(value)

    return look_up


def _weighted(node: n.Weighted) -> Function:
    groups = [(g.number, [(w.number, function(part)) for w, part in parts]) for g, parts in node.groups]
    caps = [(value.number, function(guard)) for value, guard in node.caps]

    def score(facts: Facts, moment: Moment) -> Value:
        total = weight = known = every = 0.0
        for group_weight, parts in groups:
            values = [(w, part(facts, moment)) for w, part in parts]
            full = _sum(w for w, _ in values)
            own = _sum(w for w, value in values if value is not None)
            every += group_weight
            if own > 0:
                mean = _sum(w * value for w, value in values if value is not None) / own
                total, weight = total + group_weight * mean, weight + group_weight
                known += group_weight * (own / full)
        if weight == 0 or known / every < node.needs:
            return None
        result = total / weight
        for value, guard in caps:
            if guard(facts, moment) and value < result:
                result = value
        return result

    return score


def _sum(values: Any) -> float:
    """Left to right in doubles, as SQL adds (Python's own sum is more exact, and so would differ)."""
    total = 0.0
    for value in values:
        total += value
    return total


_MAKERS: dict[type[n.Node], Callable[[Any], Function]] = {
    n.Const: _const,
    n.Read: _read,
    n.Clockface: _clockface,
    n.Not: _not,
    n.And: _and,
    n.Or: _or,
    n.Compare: _compare,
    n.Elapsed: _elapsed,
    n.OneOf: _oneof,
    n.Within: _within,
    n.IsKnown: _isknown,
    n.Arithmetic: _arithmetic,
    n.Shift: _shift,
    n.Span: _span,
    n.DaysBetween: _days_between,
    n.Default: _default,
    n.Extreme: _extreme,
    n.Quarter: _quarter,
    n.Call: _call,
    n.Aggregate: _aggregate,
    n.Held: _held,
    n.FirstTime: _first_time,
    n.Ago: lambda node: lambda facts, _moment: facts.ago(node.fact, node.length),
    n.Recorded: lambda node: lambda facts, _moment: facts.stated(node.fact),
    n.Choose: _choose,
    n.Rows: _rows,
    n.Points: _points,
    n.Weighted: _weighted,
}
