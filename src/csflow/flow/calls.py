"""The functions of the language: how many arguments each takes, of which types, and the node it becomes."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from csflow.errors import ExpressionError
from csflow.flow import nodes as n
from csflow.flow.checking import ANY, Checker, Handler, as_condition
from csflow.flow.names import nearest
from csflow.flow.types import BOOLEAN, DATE, LENGTH, NUMBER, NUMBERS, TIME, WORDS, Type
from csflow.values import UNITS, Length, length_text, parse_length

if TYPE_CHECKING:
    from collections.abc import Callable

# Python writes a share, read as an imaginary number, with a j.
_SPELLING = re.compile(r"""'[^']*'|"[^"]*"|(?P<share>\b\d+(?:\.\d+)?)j\b|\bvars\.[\w.]+""")


def _arguments(checker: Checker, tree: ast.Call, least: int, most: int | None = None) -> list[ast.expr]:
    most = least if most is None else most
    if not least <= len(tree.args) <= most:
        name = tree.func.id if isinstance(tree.func, ast.Name) else "?"
        many = str(least) if least == most else f"{least} to {most}"
        raise ExpressionError(f"{name}(…) takes {many} argument{'s' if most > 1 else ''}", checker.at(tree))
    return tree.args


def _number(checker: Checker, tree: ast.expr) -> float:
    node = checker.check(tree)
    if isinstance(node, n.Const) and isinstance(node.value, int | float) and node.type.name == "number":
        return float(node.value)
    raise ExpressionError("a number, or a vars.… that is one, stands here", node.at)


def _length_of(unit: str) -> Handler:
    def handle(checker: Checker, tree: ast.Call) -> n.Node:
        amount = _number(checker, _arguments(checker, tree, 1)[0])
        if amount < 0 or (amount != int(amount) and unit not in ("hours", "minutes", "working_hours")):
            raise ExpressionError(f"{unit}(…) takes a whole number from 0", checker.at(tree))
        length = Length(int(amount) if amount == int(amount) else amount, unit)
        try:
            return n.Const(LENGTH, checker.at(tree), parse_length(length_text(length)))
        except ValueError as error:
            raise ExpressionError(str(error), checker.at(tree)) from None

    return handle


def _length(checker: Checker, tree: ast.expr) -> Length:
    node = checker.check(tree)
    if isinstance(node, n.Const) and isinstance(node.value, Length):
        return node.value
    raise ExpressionError("a length stands here: days(14), months(3)", node.at)


def _span(*, until: bool) -> Handler:
    def handle(checker: Checker, tree: ast.Call) -> n.Node:
        item = checker.check(_arguments(checker, tree, 1)[0])
        if item.type.name not in (*n.DAY_TYPES, ANY.name):
            word = "until" if until else "since"
            raise ExpressionError(f"{word}(…) takes a date or a time, not a {item.type}", item.at)
        return n.Span(LENGTH, checker.at(tree), item, until)

    return handle


def _days_between(checker: Checker, tree: ast.Call) -> n.Node:
    start, end = (checker.fit(checker.check(argument), DATE) for argument in _arguments(checker, tree, 2))
    return n.DaysBetween(NUMBER, checker.at(tree), start, end)


def _money(checker: Checker, tree: ast.Call) -> n.Node:
    arguments = _arguments(checker, tree, 1, 2)
    amount = _number(checker, arguments[0])
    currency = None
    if len(arguments) == 2:
        node = checker.check(arguments[1])
        if not isinstance(node, n.Const) or not isinstance(node.value, str) or len(node.value) != 3:
            raise ExpressionError("a currency is three letters in quotes: money(100, 'USD')", node.at)
        currency = node.value
    return checker.money(amount, currency, checker.at(tree))


def _aggregate(fn: str) -> Handler:
    valued = fn != "count"

    def handle(checker: Checker, tree: ast.Call) -> n.Node:
        at = checker.at(tree)
        arguments = _arguments(checker, tree, 2 if valued else 1, 3 if valued else 2)
        thing = _thing(checker, arguments[0])
        if checker.scope.subject == "book" and fn in ("first", "last"):
            raise ExpressionError(f"the customers of a book have no order: {fn}(…) speaks of one customer's things", at)
        if checker.each is not None:
            raise ExpressionError("counts are not nested", at)
        checker.each = thing
        try:
            value = checker.check(arguments[1]) if valued else None
            rest = arguments[2:] if valued else arguments[1:]
            cond = as_condition(checker.check(rest[0])) if rest else None
        finally:
            checker.each = None
        if value is None:
            return n.Aggregate(NUMBER, at, fn, thing, None, cond)
        if fn in ("sum", "average") and value.type.name not in (*NUMBERS, ANY.name):
            raise ExpressionError(f"{fn}(…) goes over numbers, not over a {value.type}", value.at)
        return n.Aggregate(value.type, at, fn, thing, value, cond)

    return handle


def _thing(checker: Checker, tree: ast.expr) -> str:
    names = checker.scope.names
    things = [*names.catalogue.things, *names.flows]
    if checker.scope.subject == "book":
        things += names.catalogue.book_things
    if isinstance(tree, ast.Name) and tree.id in things:
        if checker.scope.subject != "book":
            checker.scope.about_customer(tree.id)
        return tree.id
    word = tree.id if isinstance(tree, ast.Name) else ast.unparse(tree)
    raise ExpressionError(f"'{word}' cannot be counted{nearest(word, things)}", checker.at(tree))


def _watched(checker: Checker, tree: ast.expr) -> n.Condition:
    if checker.watching:
        raise ExpressionError("has_been() and first_time() are not nested", checker.at(tree))
    if checker.each is not None:
        raise ExpressionError("has_been() and first_time() do not stand inside a count", checker.at(tree))
    checker.watching = True
    try:
        node = as_condition(checker.check(tree))
    finally:
        checker.watching = False
    for inner in node.walk():
        if isinstance(inner, n.Elapsed | n.Clockface | n.Aggregate | n.Within):
            raise ExpressionError("what is watched over time speaks of stored facts only, not of today", inner.at)
    owners = {x.fact.owner for x in node.walk() if isinstance(x, n.Read)}
    if len(owners) > 1:
        raise ExpressionError(f"one condition watches one subject, not {' and '.join(sorted(owners))}", node.at)
    subject = owners.pop() if owners else checker.scope.subject
    return n.Condition(f"{subject}: {_text(checker, tree)}", subject, node)


def _text(checker: Checker, tree: ast.expr) -> str:
    """A condition in one spelling, with the values of its `vars.`: another value is another condition."""
    values = {f"vars.{name}": str(value) for name, (_, value) in checker.scope.names.vars.items()}
    return _SPELLING.sub(lambda m: f"{m['share']}%" if m["share"] else values.get(m[0], m[0]), ast.unparse(tree))


def _has_been(checker: Checker, tree: ast.Call) -> n.Node:
    condition, length = _arguments(checker, tree, 2)
    return n.Held(BOOLEAN, checker.at(tree), _watched(checker, condition), _length(checker, length))


def _first_time(checker: Checker, tree: ast.Call) -> n.Node:
    return n.FirstTime(TIME, checker.at(tree), _watched(checker, _arguments(checker, tree, 1)[0]))


def _stored(checker: Checker, tree: ast.expr, name: str) -> n.Read:
    node = checker.check(tree)
    if not isinstance(node, n.Read) or node.fact.kind not in ("metric", "field"):
        raise ExpressionError(f"{name}(…) takes a metric or a field", node.at)
    return node


def _ago(checker: Checker, tree: ast.Call) -> n.Node:
    item, length = _arguments(checker, tree, 2)
    if checker.scope.use != "metric":
        raise ExpressionError("ago(…) stands in metrics only: give it a name under `metrics:`", checker.at(tree))
    read = _stored(checker, item, "ago")
    if read.fact.kind != "metric":
        raise ExpressionError("ago(…) takes a metric", read.at)
    return n.Ago(read.type, checker.at(tree), read.fact, _length(checker, length))


def _recorded(checker: Checker, tree: ast.Call) -> n.Node:
    return n.Recorded(TIME, checker.at(tree), _stored(checker, _arguments(checker, tree, 1)[0], "recorded").fact)


def _default(checker: Checker, tree: ast.Call) -> n.Node:
    item, fallback = (checker.check(argument) for argument in _arguments(checker, tree, 2))
    if ANY in (item.type, fallback.type):
        return n.Const(ANY, checker.at(tree), None)
    kind = item.type
    if kind.name == "choice" and isinstance(fallback, n.Const):
        word = _fallback_word(kind, fallback)
        kind = Type("choice", tuple(dict.fromkeys((*kind.choices, word))), kind.branches)
        fallback = n.Const(kind, fallback.at, word)
    else:
        fallback = checker.fit(fallback, kind)
    return n.Default(kind, checker.at(tree), item, fallback)


def _fallback_word(kind: Type, fallback: n.Const) -> str:
    """What stands for an unknown choice: any word, also one that is no choice; a number only where it is a choice."""
    if fallback.type.name in WORDS:
        return str(fallback.value)
    word = f"{fallback.value:g}" if isinstance(fallback.value, float) else str(fallback.value)
    if fallback.type.name == NUMBER.name and word in kind.choices:
        return word
    raise ExpressionError(f"a {kind} is needed here, this is a {fallback.type}", fallback.at)


def _extreme(*, largest: bool) -> Handler:
    def handle(checker: Checker, tree: ast.Call) -> n.Node:
        items = [checker.check(argument) for argument in _arguments(checker, tree, 2, 9)]
        first = next((item for item in items if item.type.name != "text"), items[0])
        items = [checker.fit(item, DATE) if first.type.name == DATE.name else item for item in items]
        for item in items:
            if ANY in (first.type, item.type):
                return n.Const(ANY, checker.at(tree), None)
            if item.type.name != first.type.name or item.type.name not in (*NUMBERS, *n.DAY_TYPES):
                raise ExpressionError("min(…) and max(…) take numbers or dates of one type", item.at)
        return n.Extreme(first.type, checker.at(tree), largest, tuple(items))

    return handle


def _under(checker: Checker, tree: ast.Call) -> n.Node:
    item, branch = (checker.check(argument) for argument in _arguments(checker, tree, 2))
    branches = dict(item.type.branches)
    if not isinstance(branch, n.Const) or branch.value not in branches:
        word = str(branch.value) if isinstance(branch, n.Const) else "…"
        return checker.wrong(f"no branch '{word}'{nearest(word, branches)}", branch.at)
    values = tuple(n.Const(item.type, branch.at, leaf) for leaf in branches[str(branch.value)])
    return n.OneOf(BOOLEAN, checker.at(tree), item, values, negated=False)


def _quarter(checker: Checker, tree: ast.Call) -> n.Node:
    item = checker.check(_arguments(checker, tree, 1)[0])
    if item.type.name not in (DATE.name, ANY.name):
        raise ExpressionError(f"quarter(…) takes a date, not a {item.type}", item.at)
    return n.Quarter(NUMBER, checker.at(tree), item, checker.scope.names.year_starts)


CALLS: dict[str, Callable[[Checker, ast.Call], n.Node]] = {
    **{unit: _length_of(unit) for unit in UNITS if unit != "working_minutes"},
    "since": _span(until=False),
    "until": _span(until=True),
    "days_between": _days_between,
    "money": _money,
    **{fn: _aggregate(fn) for fn in ("count", "sum", "average", "first", "last")},
    "has_been": _has_been,
    "first_time": _first_time,
    "ago": _ago,
    "recorded": _recorded,
    "default": _default,
    "min": _extreme(largest=False),
    "max": _extreme(largest=True),
    "under": _under,
    "quarter": _quarter,
}
