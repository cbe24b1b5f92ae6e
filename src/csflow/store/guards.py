"""The SQL back end: a checked expression as a SQLAlchemy Core expression over a ``Reader``'s columns.

The same three-valued logic as ``flow.evaluation``: unknown is NULL. Where the databases differ – division, the greatest
of values with NULL, month arithmetic – the form written here means the same on both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Integer,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    true,
)

from csflow.flow import nodes as n
from csflow.flow.types import WORDS
from csflow.store.reading import Reader
from csflow.values import Length, latest_start

Column = ColumnElement[Any]
_OPS: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip


class Translator:
    """Translates the nodes of one expression, asking the reader for columns as it goes."""

    def __init__(self, reader: Reader) -> None:
        self.reader, self.moment = reader, reader.moment

    def condition(self, node: n.Node) -> Column:
        """A yes/no node as a SQL condition."""
        if isinstance(node, n.Read):
            return self.reader.column(node.fact) == 1
        if isinstance(node, n.Const):
            return null() if node.value is None else true() if node.value else false()  # type: ignore[return-value]
        if isinstance(node, n.Default):
            return func.coalesce(self.number_of(node.item), self.number_of(node.fallback)) == 1
        return _CONDITIONS[type(node)](self, node)

    def value(self, node: n.Node) -> Column:
        """Any node as a SQL value in stored form."""
        if n.truth(node) and not isinstance(node, n.Read):
            return self.number_of(node)
        return _VALUES[type(node)](self, node)

    def number_of(self, node: n.Node) -> Column:
        """A condition as 1, 0 or NULL."""
        if isinstance(node, n.Read):
            return self.reader.column(node.fact)
        holds = self.condition(node)
        return case((holds, 1), (not_(holds), 0), else_=null())

    def double(self, node: n.Node) -> Column:
        """A number as a double, so that both databases calculate alike."""
        return cast(self.value(node), Double)

    def bounds(self, node: n.Node) -> tuple[Column, Column]:
        """Least and greatest value; equal but for counts and sums with unknown conditions."""
        if isinstance(node, n.Aggregate) and node.fn in ("count", "sum"):
            return self._total(node, least=True), self._total(node, least=False)
        value = self.value(node)
        return value, value

    def _total(self, node: n.Aggregate, *, least: bool) -> Column:
        if node.thing in self.moment.unfed:
            return cast(null(), Double)
        inner, statement, _ = self.reader.things(node.thing)
        translator = Translator(inner)
        cond = translator.condition(node.cond) if node.cond is not None else true()
        if node.value is None:
            counted = cond if least else func.coalesce(translator.number_of(node.cond), 1) == 1 if node.cond else true()
            total: Column = func.sum(case((counted, 1), else_=0))
            result = func.coalesce(total, 0)
        else:
            value = translator.double(node.value)
            holds = translator.number_of(node.cond) if node.cond is not None else literal(1)
            doubtful = case((value < 0, value), else_=0.0) if least else case((value > 0, value), else_=0.0)
            total = func.sum(case((holds == 1, value), (holds.is_(None), doubtful), else_=0.0))
            lacking = func.sum(case((and_(value.is_(None), or_(holds == 1, holds.is_(None))), 1), else_=0))
            result = case((lacking > 0, null()), else_=func.coalesce(total, 0.0))
        return _scalar(inner, statement.add_columns(result))


def _scalar(inner: Reader, statement: Any) -> Column:
    """The statement as a scalar subquery over the inner reader's rows, everything else taken from outside."""
    source = inner.source()
    own = [table for table, _, _ in inner._joins.values()]  # noqa: SLF001  # the room's own rows
    return statement.select_from(source).correlate_except(source, inner.base, *own).scalar_subquery()  # type: ignore[no-any-return]


def _const(tr: Translator, node: n.Const) -> Column:
    value = node.value
    if isinstance(value, Length):
        raise TypeError(value)
    if value is None:
        return cast(null(), Text if node.type.name in WORDS else Double)
    if node.currency is not None and isinstance(value, float):
        rate = tr.moment.rates.get(node.currency)
        return cast(null(), Double) if rate is None else literal(value * rate, Double)
    if isinstance(value, float):
        return literal(value, Double)
    return literal(value, Text) if isinstance(value, str) else literal(int(value), BigInteger)


def _clockface(tr: Translator, node: n.Clockface) -> Column:
    return literal(tr.moment.today, Integer) if node.type.name == "date" else literal(tr.moment.now, BigInteger)


def _compare(tr: Translator, node: n.Compare) -> Column:
    if n.truth(node.left):
        return _OPS[node.op](tr.number_of(node.left), tr.number_of(node.right))  # type: ignore[no-any-return]
    if not isinstance(node.left, n.Aggregate) and not isinstance(node.right, n.Aggregate):
        return _OPS[node.op](tr.value(node.left), tr.value(node.right))  # type: ignore[no-any-return]
    (a_low, a_high), (b_low, b_high) = tr.bounds(node.left), tr.bounds(node.right)
    op = node.op
    if op in ("==", "!="):
        surely = and_(a_low == a_high, b_low == b_high, a_low == b_low)
        never = or_(a_high < b_low, b_high < a_low)
        yes, no = (surely, never) if op == "==" else (never, surely)
        return case((yes, true()), (no, false()), else_=null())
    if op in ("<", "<="):
        (a_low, a_high), (b_low, b_high), op = (b_low, b_high), (a_low, a_high), ">" if op == "<" else ">="
    test = _OPS[op]
    return case((test(a_low, b_high), true()), (not_(test(a_high, b_low)), false()), else_=null())


def _elapsed(tr: Translator, node: n.Elapsed) -> Column:
    item = tr.value(node.item)
    before, reached = tr.moment.borders(node.length, until=node.until, time=node.item.type.name == "time")
    told = _border(node.op, item, before, reached, until=node.until)
    never = isinstance(node.item, n.Read) and (node.item.fact.kind == "activity" or node.item.fact.owner == "activity")
    if not never or node.until:
        return told
    return case((item.is_not(None), told), else_=_never(tr, node.op, before, reached))


def _border(op: str, item: Column, before: int, reached: int, *, until: bool) -> Column:
    if op == "==":
        return and_(item > before, item <= reached)
    if op == "!=":
        return or_(item <= before, item > reached)
    if until:
        op = {"<=": ">=", "<": ">", ">=": "<=", ">": "<"}[op]
    return {">=": item <= reached, ">": item <= before, "<": item > reached, "<=": item > before}[op]


def _never(tr: Translator, op: str, before: int, reached: int) -> Column:
    first, zone, log = tr.reader.first_day(), tr.moment.zone, tr.moment.log_begin

    def passed(border: int) -> tuple[Column, bool]:
        """(the time without it has come, whether the log reaches back that far)."""
        return first <= zone.day_of(border + 1) - 1, log is not None and log <= border

    (at_least, known_least), (more, known_more) = passed(reached), passed(before)
    unknown_first = (first.is_(None), null())
    if op in ("==", "!="):
        inside = true() if known_least else null()
        arms = [unknown_first, (not_(at_least), false())]
        arms.append((more, false() if known_more else null()))
        equal = case(*arms, else_=inside)
        return equal if op == "==" else not_(equal)
    came, known = (at_least, known_least) if op in (">=", "<") else (more, known_more)
    yes = case(unknown_first, (not_(came), false()), else_=true() if known else null())
    return yes if op in (">=", ">") else not_(yes)


def _within(tr: Translator, node: n.Within) -> Column:
    if tr.moment.period is None:
        return null()  # type: ignore[return-value]
    begin, end = tr.moment.period
    item = tr.value(node.item)
    if node.shift is not None:  # x + L >= begin is x > the latest d with d + L <= begin - 1
        begin, end = latest_start(node.shift, begin - 1) + 1, latest_start(node.shift, end - 1) + 1
    if node.item.type.name == "time":
        begin, end = tr.moment.zone.start_of(begin), tr.moment.zone.start_of(end)
    inside = and_(item >= begin, item < end)
    return not_(inside) if node.negated else inside


def _oneof(tr: Translator, node: n.OneOf) -> Column:
    item = tr.value(node.item)
    values = [value.value for value in node.values]
    return item.not_in(values) if node.negated else item.in_(values)


def _isknown(tr: Translator, node: n.IsKnown) -> Column:
    value = tr.value(node.item)
    return value.is_not(None) if node.known else value.is_(None)


def _held(tr: Translator, node: n.Held) -> Column:
    row = tr.reader.span(node.condition)
    _, reached = tr.moment.borders(node.length, until=False, time=True)
    return case(
        (row.c.truth == 0, false()),
        (row.c.false_until > reached, false()),
        (and_(row.c.truth == 1, row.c.since <= reached), true()),
        else_=null(),
    )


def _aggregate_condition(tr: Translator, node: n.Aggregate) -> Column:
    return _aggregate(tr, node) == 1


def _arithmetic(tr: Translator, node: n.Arithmetic) -> Column:
    left, right = tr.double(node.left), tr.double(node.right)
    if node.op == "/":
        return left / func.nullif(right, literal(0.0, Double))
    return {"+": left + right, "-": left - right, "*": left * right}[node.op]


def _shift(tr: Translator, node: n.Shift) -> Column:
    amounts = {"days": 1, "weeks": 7, "hours": 3_600_000_000, "minutes": 60_000_000}
    amount = node.length.amount * amounts[node.length.unit]
    if node.item.type.name == "time" and node.length.unit in ("days", "weeks"):
        amount *= 86_400_000_000
    step = literal(int(-amount if node.minus else amount), BigInteger)
    return tr.value(node.item) + step


def _extreme(tr: Translator, node: n.Extreme) -> Column:
    items = [tr.value(item) for item in node.items]
    result = items[0]
    for item in items[1:]:
        keep = result >= item if node.largest else result <= item
        result = case((or_(result.is_(None), item.is_(None)), null()), (keep, result), else_=item)
    return result


def _quarter(tr: Translator, node: n.Quarter) -> Column:
    day = cast(tr.value(node.item), Integer)
    of_era = (day + 719_468) % 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    shifted = (5 * (of_era - (365 * year + year // 4 - year // 100)) + 2) // 153
    month = case((shifted < 10, shifted + 3), else_=shifted - 9)
    return (month - node.year_starts + 12) % 12 // 3 + 1


def _aggregate(tr: Translator, node: n.Aggregate) -> Column:
    if node.fn in ("count", "sum"):
        low, high = tr.bounds(node)
        return low if node.cond is None else case((low == high, low), else_=null())
    if node.thing in tr.moment.unfed:
        return cast(null(), Text if node.type.name in WORDS else Double)
    inner, statement, order = tr.reader.things(node.thing)
    translator = Translator(inner)
    holds = translator.number_of(node.cond) if node.cond is not None else literal(1)
    assert node.value is not None  # noqa: S101  # only count has none
    if node.fn == "average":
        value = translator.double(node.value)
        doubtful = func.sum(case((or_(holds.is_(None), and_(holds == 1, value.is_(None))), 1), else_=0))
        total, many = func.sum(case((holds == 1, value))), func.sum(case((holds == 1, 1), else_=0))
        mean = case((doubtful > 0, null()), else_=total / func.nullif(cast(many, Double), 0.0))
        return _scalar(inner, statement.add_columns(mean))
    value = translator.value(node.value)
    if node.fn == "last":
        order = [column.desc() for column in order]
    picked = statement.add_columns(case((holds == 1, value))).where(func.coalesce(holds, 1) == 1)
    return _scalar(inner, picked.order_by(*order).limit(1))


def _choose(tr: Translator, node: n.Choose) -> Column:
    """The first arm that holds; NULL as soon as an arm before it is unknown and gives another word."""
    words = [word.value for _, word in node.pairs] + [node.otherwise.value]
    holds = [tr.condition(guard) for guard, _ in node.pairs]
    arms: list[Any] = []
    for place, guard in enumerate(holds):
        doubtful = [h.is_(None) for h, word in zip(holds[:place], words, strict=False) if word != words[place]]
        clear = and_(guard, *(not_(d) for d in doubtful)) if doubtful else guard
        arms.append((clear, tr_word(words[place])))
        if doubtful:
            arms.append((guard, tr_word(None)))
    doubtful = [h.is_(None) for h, word in zip(holds, words, strict=False) if word != words[-1]]
    if doubtful:
        arms.append((or_(*doubtful), tr_word(None)))
    return case(*arms, else_=tr_word(words[-1])) if arms else tr_word(words[-1])


def tr_word(word: Any) -> Column:
    """A word, or NULL, as text."""
    return cast(null(), Text) if word is None else literal(word, Text)


def _points(tr: Translator, node: n.Points) -> Column:
    item = tr.value(node.item)
    return case(*((item == word, literal(float(points), Double)) for word, points in node.points), else_=null())


def _weighted(tr: Translator, node: n.Weighted) -> Column:
    zero = literal(0.0, Double)
    total = weight = known = zero
    every = sum(float(g.value or 0) for g, _ in node.groups)  # type: ignore[arg-type]
    for group, parts in node.groups:
        own = mean = zero
        full = 0.0
        for w, part in parts:
            value, share = tr.double(part), literal(float(w.value or 0), Double)  # type: ignore[arg-type]
            full += float(w.value or 0)  # type: ignore[arg-type]
            own = own + case((value.is_not(None), share), else_=zero)
            mean = mean + case((value.is_not(None), share * value), else_=zero)
        mean = mean / func.nullif(own, zero)
        size = literal(float(group.value or 0), Double)  # type: ignore[arg-type]
        total = total + case((own > 0, size * mean), else_=zero)
        weight = weight + case((own > 0, size), else_=zero)
        known = known + case((own > 0, size * (own / literal(full or 1.0, Double))), else_=zero)
    enough = and_(weight > 0, known / literal(every or 1.0, Double) >= literal(float(node.needs), Double))
    result: Column = total / func.nullif(weight, zero)
    for cap, guard in node.caps:
        limit = literal(float(cap.value or 0), Double)  # type: ignore[arg-type]
        result = case((and_(tr.condition(guard), limit < result), limit), else_=result)
    return case((enough, result), else_=null())


def _ago(tr: Translator, node: n.Ago) -> Column:
    _, reached = tr.moment.borders(node.length, until=False, time=True)
    return tr.reader.ago(node.fact, reached)


_CONDITIONS: dict[type[n.Node], Callable[[Translator, Any], Column]] = {
    n.Not: lambda tr, node: not_(tr.condition(node.item)),
    n.And: lambda tr, node: and_(*(tr.condition(item) for item in node.items)),
    n.Or: lambda tr, node: or_(*(tr.condition(item) for item in node.items)),
    n.Compare: _compare,
    n.Elapsed: _elapsed,
    n.OneOf: _oneof,
    n.Within: _within,
    n.IsKnown: _isknown,
    n.Held: _held,
    n.Aggregate: _aggregate_condition,
    n.Ago: lambda tr, node: _ago(tr, node) == 1,
}
_VALUES: dict[type[n.Node], Callable[[Translator, Any], Column]] = {
    n.Const: _const,
    n.Read: lambda tr, node: tr.reader.column(node.fact),
    n.Clockface: _clockface,
    n.Arithmetic: _arithmetic,
    n.Shift: _shift,
    n.DaysBetween: lambda tr, node: tr.value(node.end) - tr.value(node.start),
    n.Default: lambda tr, node: func.coalesce(tr.value(node.item), tr.value(node.fallback)),
    n.Extreme: _extreme,
    n.Quarter: _quarter,
    n.Aggregate: _aggregate,
    n.FirstTime: lambda tr, node: tr.reader.span(node.condition).c.first_true,
    n.Ago: _ago,
    n.Recorded: lambda tr, node: tr.reader.stated(node.fact),
    n.Choose: _choose,
    n.Points: _points,
    n.Weighted: _weighted,
}
