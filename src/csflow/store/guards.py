"""The SQL back end: a checked expression as a SQLAlchemy Core expression over a ``Reader``'s columns.

The same three-valued logic as ``flow.evaluation``: unknown is NULL. Where the databases differ – division, the greatest
of values with NULL, month arithmetic – the form written here means the same on both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Double,
    Integer,
    Select,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    literal_column,
    not_,
    null,
    or_,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from csflow.flow import nodes as n
from csflow.flow.moments import FED
from csflow.flow.types import WORDS
from csflow.store import as_of
from csflow.store.as_of import AsOf
from csflow.store.calling import Called
from csflow.values import DAY_US, Length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from csflow.store.reading import Reader

Column = ColumnElement[Any]
_STORED: dict[str, Any] = {"number": Double, "share": Double, "money": Double, "date": Integer, "time": BigInteger}
MOST_COMPARED = 100  # SQLite's functions take 127 values at most
UNKNOWN: Column = cast(null(), Boolean)  # a bare NULL is text to PostgreSQL
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
            return UNKNOWN if node.value is None else true() if node.value else false()
        if isinstance(node, n.Default):
            return self.number_of(node) == 1
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
        if isinstance(node, n.Default):
            return func.coalesce(*(self.number_of(choice) for choice in _defaults(node)))
        return cast(self.condition(node), Integer)

    def double(self, node: n.Node) -> Column:
        """A number as a double, so that both databases calculate alike."""
        return cast(self.value(node), Double)

    def bounds(self, node: n.Node) -> tuple[Column, Column]:
        """Least and greatest value; equal but for counts and sums with conditions that may be unknown."""
        if isinstance(node, n.Aggregate) and n.ranged(node) and node.cond is not None:
            return self._total(node, least=True), self._total(node, least=False)
        value = self.value(node)
        return value, value

    def total(self, node: n.Aggregate) -> Column:
        """A count or sum, NULL where it is a range."""
        if node.cond is None:
            return self._total(node, least=True)
        low, high = self.bounds(node)
        return case((low == high, low), else_=null())

    def _total(self, node: n.Aggregate, *, least: bool) -> Column:
        # Each aggregate names the row's id: SQL moves one that reads outer columns only to the enclosing query.
        inner, statement, _ = self.reader.things(node.thing)
        translator = Translator(inner)
        holds = translator.number_of(node.cond) if node.cond is not None else literal(1, Integer)
        zero, row = literal(0.0, Double), inner.base.c.id
        if node.value is None:
            counted = holds == 1 if least else func.coalesce(holds, 1) == 1
            many = cast(func.count(case((counted, row))), Double)
            return self.fed(node.thing, _scalar(inner, statement.add_columns(many)))
        scale = n.scale(node.value)
        grains = _rounded(translator.double(node.value), scale)
        doubtful = _Least(grains, zero) if least else _Greatest(grains, zero)
        arms = ((row < 1, null()), (holds == 1, grains), (holds.is_(None), doubtful))
        total = func.sum(case(*arms, else_=zero), type_=Double)
        lacking = func.count(case((and_(grains.is_(None), func.coalesce(holds, 1) == 1), row)))
        result = case((lacking > 0, null()), else_=func.coalesce(total, zero) / literal(scale, Double))
        return self.fed(node.thing, _scalar(inner, statement.add_columns(result)))

    def fed(self, thing: str, value: Column) -> Column:
        """A number of things, NULL as long as an import was to bring them and never ran."""
        if thing not in FED:
            return value
        return case((AsOf(self.moment, ("fed", thing), Integer()) == 1, value))


class _Greatest(FunctionElement[Any]):
    """The greatest of values, none of which is NULL."""

    inherit_cache = True
    name = "greatest"

    def __init__(self, *items: Column) -> None:
        self.type = items[0].type
        super().__init__(*items)


class _Least(_Greatest):
    """The least of values, none of which is NULL."""

    inherit_cache = True
    name = "least"


@compiles(_Greatest)
@compiles(_Least)
def _standard(element: _Greatest, compiler: Any, **options: Any) -> str:
    return f"{element.name}({compiler.process(element.clauses, **options)})"


@compiles(_Greatest, "sqlite")
@compiles(_Least, "sqlite")
def _sqlite(element: _Greatest, compiler: Any, **options: Any) -> str:
    word = "min" if isinstance(element, _Least) else "max"
    return f"{word}({compiler.process(element.clauses, **options)})"


class _Rounded(FunctionElement[Any]):
    """To the nearest whole double, halves away from zero; what is beyond 2^52 is whole already."""

    inherit_cache = True
    name = "rounded"
    type = Double()


@compiles(_Rounded)
def _round_away(element: _Rounded, compiler: Any, **options: Any) -> str:
    value, exact = compiler.process(element.clauses, **options), f"{n.LARGEST_EXACT:.1f}"
    nearest = f"case when abs(v) >= {exact} then v else sign(v) * floor(abs(v) + 0.5) end"
    return f"(select {nearest} from (select {value} as v) r)"  # noqa: S608  # pieces that SQLAlchemy compiled


@compiles(_Rounded, "sqlite")
def _round(element: _Rounded, compiler: Any, **options: Any) -> str:
    return f"round({compiler.process(element.clauses, **options)})"  # SQLite rounds halves away from zero


def _rounded(value: Column, scale: float) -> Column:
    return value if scale == 1.0 else _Rounded(value * literal(scale, Double))


def grains_of(translator: Translator, value: n.Node) -> Column:
    """What is summed, in grains (`nodes.scale`): sums of these are exact in any order."""
    return _rounded(translator.double(value), n.scale(value))


def least_and_greatest(one: Column, other: Column) -> tuple[Column, Column]:
    """The lesser and the greater of two values, neither of which is NULL."""
    return _Least(one, other), _Greatest(one, other)


def newest_of(days: Iterable[Column | None]) -> Column:
    """The newest of days, without those that are unknown; NULL where none is known."""
    never: Column = literal_column("-1000000000")  # before every day there is
    known: list[Column] = [func.coalesce(day, never) for day in days if day is not None]
    while len(known) > MOST_COMPARED:
        known = [_Greatest(*known[at : at + MOST_COMPARED]) for at in range(0, len(known), MOST_COMPARED)]
    return cast(func.nullif(_Greatest(never, *known), never) if known else null(), Integer)


def _scalar(inner: Reader, statement: Select[Any]) -> Column:
    """The statement as a scalar subquery over the inner reader's rows, everything else taken from outside."""
    source = inner.source()
    return statement.select_from(source).correlate_except(source, *inner.tables()).scalar_subquery()


def _defaults(node: n.Node) -> Iterator[n.Node]:
    """What is tried one after another, the defaults of defaults in one row: SQLite reads few calls within calls."""
    if isinstance(node, n.Default):
        yield from _defaults(node.item)
        yield from _defaults(node.fallback)
    else:
        yield node


def _const(tr: Translator, node: n.Const) -> Column:
    value = node.value
    if isinstance(value, Length) or value is None:
        return cast(null(), Text if node.type.name in WORDS else Double)
    if node.currency is not None and isinstance(value, float):
        return AsOf(tr.moment, ("rated", value, node.currency), Double())
    if isinstance(value, float):
        return literal(value, Double)
    return literal(value, Text) if isinstance(value, str) else literal(int(value), BigInteger)


def _clockface(tr: Translator, node: n.Clockface) -> Column:
    return as_of.today(tr.moment) if node.type.name == "date" else as_of.now(tr.moment)


def _compare(tr: Translator, node: n.Compare) -> Column:
    if n.truth(node.left):
        return _OPS[node.op](tr.number_of(node.left), tr.number_of(node.right))  # type: ignore[no-any-return]
    if not n.ranged(node.left) and not n.ranged(node.right):
        return _OPS[node.op](tr.value(node.left), tr.value(node.right))  # type: ignore[no-any-return]
    (a_low, a_high), (b_low, b_high) = tr.bounds(node.left), tr.bounds(node.right)
    op = node.op
    if op in ("==", "!="):
        surely = and_(a_low == a_high, b_low == b_high, a_low == b_low)
        never = or_(a_high < b_low, b_high < a_low)
        yes, no = (surely, never) if op == "==" else (never, surely)
        return case((yes, true()), (no, false()), else_=UNKNOWN)
    if op in ("<", "<="):
        (a_low, a_high), (b_low, b_high), op = (b_low, b_high), (a_low, a_high), ">" if op == "<" else ">="
    test = _OPS[op]
    return case((test(a_low, b_high), true()), (not_(test(a_high, b_low)), false()), else_=UNKNOWN)


def _elapsed(tr: Translator, node: n.Elapsed) -> Column:
    item = tr.value(node.item)
    time = node.item.type.name == "time"
    before, reached = as_of.borders(tr.moment, node.length, until=node.until, time=time)
    told = _border(node.op, item, before, reached, until=node.until)
    if not n.may_be_never(node.item) or node.until:
        return told
    return case((item.is_not(None), told), else_=_never(tr, node, time=time))


def _border(op: str, item: Column, before: Column, reached: Column, *, until: bool) -> Column:
    if op == "==":
        return and_(item > before, item <= reached)
    if op == "!=":
        return or_(item <= before, item > reached)
    if until:
        op = {"<=": ">=", "<": ">", ">=": "<=", ">": "<"}[op]
    return {">=": item <= reached, ">": item <= before, "<": item > reached, "<=": item > before}[op]


def _never(tr: Translator, node: n.Elapsed, *, time: bool) -> Column:
    first, op = tr.reader.first_day(), node.op

    def passed(place: int) -> tuple[Column, Column]:
        """(the time without it has come, TRUE if the log reaches back that far, else unknown)."""

        def border(kind: str) -> AsOf:
            return as_of.border(tr.moment, kind, node.length, until=False, time=time, place=place)

        return first <= border("border_day"), case((border("logged") == 1, true()), else_=UNKNOWN)

    (more, known_more), (at_least, known_least) = passed(0), passed(1)
    unknown_first = (first.is_(None), UNKNOWN)
    if op in ("==", "!="):
        equal = case(unknown_first, (not_(at_least), false()), (more, not_(known_more)), else_=known_least)
        return equal if op == "==" else not_(equal)
    came, known = (at_least, known_least) if op in (">=", "<") else (more, known_more)
    yes = case(unknown_first, (not_(came), false()), else_=known)
    return yes if op in (">=", ">") else not_(yes)


def _within(tr: Translator, node: n.Within) -> Column:
    if tr.moment.period is None:
        return UNKNOWN
    item, time = tr.value(node.item), node.item.type.name == "time"
    shift = (node.shift.amount, node.shift.unit) if node.shift is not None else (None, None)
    size = BigInteger() if time else Integer()
    begin, end = (AsOf(tr.moment, (place, *shift, time), size) for place in ("begin", "end"))
    inside = and_(item >= begin, item < end)
    return not_(inside) if node.negated else inside


def _oneof(tr: Translator, node: n.OneOf) -> Column:
    item = tr.value(node.item)
    values = [int(v.value) if isinstance(v.value, bool) else v.value for v in node.values]
    return item.not_in(values) if node.negated else item.in_(values)


def _isknown(tr: Translator, node: n.IsKnown) -> Column:
    value = tr.value(node.item)
    return value.is_not(None) if node.known else value.is_(None)


def _held(tr: Translator, node: n.Held) -> Column:
    row = tr.reader.span(node.condition)
    _, reached = as_of.borders(tr.moment, node.length, until=False, time=True)
    return case(
        (row.c.truth == 0, false()),
        (row.c.false_until > reached, false()),
        (and_(row.c.truth == 1, row.c.since <= reached), true()),
        else_=UNKNOWN,
    )


def _aggregate_condition(tr: Translator, node: n.Aggregate) -> Column:
    return _aggregate(tr, node) == 1


def _nonzero(value: Column) -> Column:
    """NULL for zero. Of a divisor without a type SQLAlchemy makes a NUMERIC, and PostgreSQL keeps 15 digits of that."""
    return func.nullif(value, literal(0.0, Double), type_=Double)


def _arithmetic(tr: Translator, node: n.Arithmetic) -> Column:
    # What was calculated is a double already: a long sum need not be casts within casts, of which SQLite reads some
    # forty. On the right the cast stays: without it, SQLAlchemy takes the brackets of `a + (b + c)` away.
    left = tr.value(node.left) if isinstance(node.left, n.Arithmetic) else tr.double(node.left)
    right = tr.double(node.right)
    if node.op == "/":
        return left / _nonzero(right)
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
    unsure = [value.is_(None) for item, value in zip(node.items, items, strict=True) if not isinstance(item, n.Const)]
    best: Column = _Greatest(*items) if node.largest else _Least(*items)
    return case((or_(*unsure), null()), else_=best) if unsure else best


def _called(tr: Translator, node: n.Call) -> tuple[list[Column], Any]:
    """The arguments of a plugin's function, and its form over them; None where it has failed."""
    items = []
    for item in node.items:
        name = item.type.name
        if name in n.NUMBER_TYPES:
            items.append(tr.double(item))
        else:
            value = tr.value(item)
            items.append(
                cast(value, Integer) if name == "date" else cast(value, BigInteger) if name == "time" else value
            )
    made = node.outside.sql(*items)
    return [item.is_(None) for item in items], None if made is None else Called(node.outside, made)


def _call(tr: Translator, node: n.Call) -> Column:
    kind = _STORED[node.type.name]() if node.type.name in _STORED else Text()
    unknown, made = _called(tr, node)
    if made is None:
        return cast(null(), kind)
    return cast(case((or_(*unknown), null()), else_=made), kind) if unknown else cast(made, kind)


def _call_condition(tr: Translator, node: n.Call) -> Column:
    unknown, made = _called(tr, node)
    if made is None:
        return UNKNOWN
    told = made if isinstance(made.type, Boolean) else made == 1
    return case((or_(*unknown), UNKNOWN), else_=told) if unknown else told


def _quarter(tr: Translator, node: n.Quarter) -> Column:
    day = cast(tr.value(node.item), Integer)
    of_era = (day + 719_468) % 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    shifted = (5 * (of_era - (365 * year + year // 4 - year // 100)) + 2) // 153
    month = case((shifted < 10, shifted + 3), else_=shifted - 9)
    return (month - node.year_starts + 12) % 12 // 3 + 1


def _aggregate(tr: Translator, node: n.Aggregate) -> Column:
    if n.ranged(node):
        return tr.total(node)
    if node.value is None:
        return cast(null(), Text if node.type.name in WORDS else Double)
    inner, statement, order = tr.reader.things(node.thing)
    translator = Translator(inner)
    holds = translator.number_of(node.cond) if node.cond is not None else literal(1, Integer)
    if node.fn == "average":
        mean = _mean(inner, holds, translator.double(node.value), n.scale(node.value))
        return tr.fed(node.thing, _scalar(inner, statement.add_columns(mean)))
    value = translator.value(node.value)
    if node.fn == "last":
        order = [column.desc() for column in order]
    picked = statement.add_columns(case((holds == 1, value))).where(func.coalesce(holds, 1) == 1)
    return tr.fed(node.thing, _scalar(inner, picked.order_by(*order).limit(1)))


def _mean(inner: Reader, holds: Column, value: Column, scale: float) -> Column:
    row = inner.base.c.id
    doubtful = func.count(case((or_(holds.is_(None), and_(holds == 1, value.is_(None))), row)))
    total = func.sum(case((row < 1, null()), (holds == 1, _rounded(value, scale))), type_=Double)
    many = cast(func.count(case((holds == 1, row))), Double)
    return case((doubtful > 0, null()), else_=total / literal(scale, Double) / _nonzero(many))


def _choose(tr: Translator, node: n.Choose) -> Column:
    """The first arm that holds; NULL as soon as an arm before it is unknown and gives another word."""
    words = [word.value for _, word in node.pairs] + [node.otherwise.value]
    holds = [tr.condition(guard) for guard, _ in node.pairs]
    arms: list[Any] = []
    for place, (guard, word) in enumerate(zip(holds, words, strict=False)):
        arms += [(guard, tr_word(word)), (_unsure(guard), _same(holds, words, place))]
    return case(*arms, else_=tr_word(words[-1])) if arms else tr_word(words[-1])


def _unsure(guard: Column) -> Column:
    return cast(guard, Integer).is_(None)  # of the number: `NOT x IS NULL` is NOT (x IS NULL)


def _same(holds: list[Column], words: list[Any], place: int) -> Column:
    """The word of an arm that is unknown while all before it are false: NULL, if no later arm gives it too."""
    word = words[place]
    if word is None or word not in words[place + 1 :]:
        return tr_word(None)
    arms: list[Any] = []
    for guard, other in zip(holds[place + 1 :], words[place + 1 :], strict=False):
        arms += [(guard, tr_word(word))] if other == word else [(or_(guard, _unsure(guard)), tr_word(None))]
    return case(*arms, else_=tr_word(word if words[-1] == word else None)) if arms else tr_word(word)


def _rows(tr: Translator, node: n.Rows) -> Column:
    arms: list[Any] = []
    for reached, row in node.rows:
        guard = tr.condition(reached)
        arms += [(guard, _choose(tr, row)), (_unsure(guard), tr_word(None))]
    return case(*arms, else_=tr_word(None))


def tr_word(word: Any) -> Column:
    """A word, or NULL, as text."""
    return cast(null(), Text) if word is None else literal(word, Text)


def _points(tr: Translator, node: n.Points) -> Column:
    item = tr.value(node.item)
    found = {word: literal(float(points), Double) for word, points in node.points}
    return case(found, value=item, else_=null()) if found else cast(null(), Double)


def _weighted(tr: Translator, node: n.Weighted) -> Column:
    zero = literal(0.0, Double)
    total: Column = zero
    weight: Column = zero
    known: Column = zero
    every = 0.0
    for group, parts in node.groups:
        own, mean, full = _group(tr, parts)
        size = literal(group.number, Double)
        every += group.number
        total = total + case((own > 0, size * (mean / _nonzero(own))), else_=zero)
        weight = weight + case((own > 0, size), else_=zero)
        known = known + case((own > 0, size * (own / literal(full or 1.0, Double))), else_=zero)
    enough = and_(weight > 0, known / literal(every or 1.0, Double) >= literal(node.needs, Double))
    result: Column = total / _nonzero(weight)
    if node.caps:
        never = literal(1e300, Double)
        limits = [case((tr.condition(guard), literal(cap.number, Double)), else_=never) for cap, guard in node.caps]
        result = _Least(result, *limits)
    return case((enough, result), else_=null())


def _group(tr: Translator, parts: tuple[tuple[n.Const, n.Node], ...]) -> tuple[Column, Column, float]:
    """The weight of a group's known parts, the sum of their weighted values, the weight of all its parts."""
    own: Column = literal(0.0, Double)
    mean: Column = literal(0.0, Double)
    full = 0.0
    for w, part in parts:
        value, share = tr.double(part), literal(w.number, Double)
        full += w.number
        own = own + case((value.is_not(None), share), else_=literal(0.0, Double))
        mean = mean + func.coalesce(share * value, literal(0.0, Double))
    return own, mean, full


def _span(tr: Translator, node: n.Span) -> Column:
    item = tr.double(node.item)
    if node.item.type.name == "time":
        days: Column = (cast(as_of.now(tr.moment), Double) - item) / literal(float(DAY_US), Double)
    else:
        days = cast(as_of.today(tr.moment), Double) - item
    return -days if node.until else days


def _ago(tr: Translator, node: n.Ago) -> Column:
    return tr.reader.ago(node.fact, node.length)


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
    n.Call: _call_condition,
}
_VALUES: dict[type[n.Node], Callable[[Translator, Any], Column]] = {
    n.Const: _const,
    n.Read: lambda tr, node: tr.reader.column(node.fact),
    n.Clockface: _clockface,
    n.Arithmetic: _arithmetic,
    n.Shift: _shift,
    n.Span: _span,
    n.DaysBetween: lambda tr, node: tr.value(node.end) - tr.value(node.start),
    n.Default: lambda tr, node: func.coalesce(*(tr.value(choice) for choice in _defaults(node))),
    n.Extreme: _extreme,
    n.Quarter: _quarter,
    n.Call: _call,
    n.Aggregate: _aggregate,
    n.FirstTime: lambda tr, node: tr.reader.span(node.condition).c.first_true,
    n.Ago: _ago,
    n.Recorded: lambda tr, node: tr.reader.stated(node.fact),
    n.Choose: _choose,
    n.Rows: _rows,
    n.Points: _points,
    n.Weighted: _weighted,
}
