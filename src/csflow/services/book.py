"""Metrics of a book: of any set of customers – all, one manager's, one segment's – over any period, as of any moment.

A ratio here is a ratio of sums, never a mean of ratios. What is unknown stays unknown, and is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, true

from csflow.errors import ExpressionError, UsageError
from csflow.flow import nodes as n
from csflow.flow.building import compile_for
from csflow.flow.evaluation import function, range_truth
from csflow.flow.expressions import Expression
from csflow.flow.types import WORDS, Functions, Type, no_functions
from csflow.services.book_counts import MANY, Counted, Found, Group, Whose, counts
from csflow.services.meaning import near
from csflow.services.views import View, present, see
from csflow.store.catalogue import CATALOGUE
from csflow.store.facts import load_facts
from csflow.store.refreshing import refresh
from csflow.store.touching import ADVANCE, last_pass
from csflow.values import Day, Instant, Zone, day, day_text, period_of, period_span

if TYPE_CHECKING:
    from csflow.flow.definition import Definition, Metric
    from csflow.store.opening import Store

SPANS = ("month", "quarter", "year")
NOW_ONLY = frozenset({"amount", "contracts"})  # of a customer: what the last pass found in force


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of the book: names of metrics (none = all), the period, whose customers, grouped by what.

    ``over``: ``month``, ``quarter`` or ``year`` (the one that the day lies in), or ``2026-01-01..2026-01-31``, both
    days included. ``by``: roles, fields and metrics that are words; several make a cross table. ``trace``: name the
    customers.
    """

    metrics: tuple[str, ...] = ()
    over: str = "year"
    by: tuple[str, ...] = ()
    when: str | None = None
    trace: bool = False


def book(
    store: Store,
    definition: Definition,
    now: Instant,
    asked: Asked,
    *,
    functions: Callable[[], Functions] = no_functions,
) -> dict[str, Any]:
    """The figures of a book as of ``now``. ``functions`` gives those of plugins, when ``when`` or ``by`` calls one.

    A dict of ``as_of``, ``over`` (``from`` and ``to``, both included), ``by``, ``when`` and ``figures``: for each
    metric and group ``metric group customers value numerator denominator unknown``. The two sides are null
    where the metric is no division; ``unknown`` is the number of contracts, cases … that one of its counts could not
    judge. With ``trace`` also ``of``: each customer that counts, ``customer numerator denominator unknown`` (``value``
    where it is no division). UsageError for what cannot be asked.
    """
    metrics = [_metric(definition, name) for name in asked.metrics] or _all(definition)
    period = span_of(asked.over, Zone(definition.zone).day_of(now), definition.year_starts)
    only = _expression(definition, asked.when, functions, guard=True)
    whose = Whose(only, tuple(_word(definition, one, functions) for one in asked.by))
    read = _facts(metrics, whose)
    with _connected(store, definition, now, read) as connection:
        view = see(connection, definition, now)
        view = replace(view, moment=replace(view.moment, period=period))
        figures = [figure for metric in metrics for figure in _figures(connection, view, metric, (asked, whose))]
    return {
        "as_of": view.zone.text(now),
        "over": {"from": day_text(period[0]), "to": day_text(period[1] - 1)},
        "by": list(asked.by),
        "when": asked.when,
        "figures": figures,
    }


# What is asked -------------------------------------------------------------------------------------------------------


def span_of(over: str, today: Day, year_starts: int) -> tuple[Day, Day]:
    """The period as first day and the day after the last. UsageError for what is none."""
    if over in SPANS:
        return period_span(over, period_of(today, over, year_starts), year_starts)
    first, dots, last = over.partition("..")
    try:
        begin, end = day(first), day(last) + 1
    except ValueError:
        dots = ""
    if not dots:
        raise UsageError(f"no period '{over}': write {', '.join(SPANS)} or 2026-01-01..2026-01-31")
    if begin >= end:
        raise UsageError(f"the period {over} ends before it begins")
    return begin, end


def _all(definition: Definition) -> list[Metric]:
    found = [metric for metric in definition.metrics.values() if metric.subject == "book" and metric.expression]
    if not found:
        raise UsageError("the project has no metric with subject: book")
    return found


def _metric(definition: Definition, name: str) -> Metric:
    metric = definition.metrics.get(name)
    known = [one.name for one in definition.metrics.values() if one.subject == "book"]
    if metric is None:
        raise UsageError(f"no metric '{name}'{near(name, known)}")
    if metric.subject != "book":
        there = f": of a book are {', '.join(known)}" if known else ""
        raise UsageError(f"'{name}' is a metric of one {metric.subject}, not of a book{there}")
    if metric.expression is None:
        raise UsageError(f"'{name}' is computed by '{metric.uses}': a metric of a book is an expression")
    return metric


def _word(definition: Definition, name: str, functions: Callable[[], Functions]) -> str | Expression:
    """What to group by: a role's name, or a fact that is a word."""
    if name in definition.roles:
        return name
    if "." not in name:
        raise UsageError(f"no role '{name}'{near(name, definition.roles)}")
    made = _expression(definition, name, functions, guard=False)
    if made is None or made.type.name not in WORDS:
        raise UsageError(f"--by takes a role, or a field or metric that is a word; '{name}' is none")
    return made


def _expression(
    definition: Definition, text: str | None, functions: Callable[[], Functions], *, guard: bool
) -> Expression | None:
    if text is None:
        return None
    try:
        made = compile_for(definition.tree, CATALOGUE, text, guard=guard, functions=functions)
    except ExpressionError as error:
        raise UsageError(f"'{text}': {error}") from None
    unwatched = [one.key for one in made.conditions if one.key not in definition.conditions]
    if unwatched:
        raise UsageError(f"'{text}': no rule of the project keeps watch on this, so nobody knows how long it has held")
    return made


def _facts(metrics: Iterable[Metric], whose: Whose) -> list[n.Node]:
    tops = [one.node for one in whose.expressions] + [one.expression.node for one in metrics if one.expression]
    return [node for top in tops for node in top.walk()]


@contextmanager
def _connected(store: Store, definition: Definition, now: Instant, read: list[n.Node]) -> Iterator[Connection]:
    """A connection that sees the customers as of ``now``: which contracts are in force then is found out, not kept."""
    of_today = [node for node in read if isinstance(node, n.Read) and _in_force(node)]
    with store.reading() as connection:
        last, zone = last_pass(connection), Zone(definition.zone)
        if last is not None and now < last:
            _refuse_past(read, zone.text(last))
        if not of_today:
            yield connection
            return
    with store.trial() as connection:
        refresh(connection, zone.day_of(now), ADVANCE, zone, everyone=last is not None and now < last)
        yield connection


def _in_force(node: n.Read) -> bool:
    fact = node.fact
    return fact.owner == "contract" or (fact.owner.removeprefix("each:") == "customer" and fact.key in NOW_ONLY)


def _refuse_past(read: list[n.Node], last: str) -> None:
    """Cases and measurements are known as they stand since the last pass: before it, only dated facts can be asked."""
    for node in read:
        fact = node.fact if isinstance(node, n.Read | n.Recorded) else None
        counted = node.thing if isinstance(node, n.Aggregate) else ""
        dated = counted in ("", "contract", "contact", "activity", "customer", "person")
        live = fact is not None and fact.kind in ("column", "field", "activity") and not fact.owner.startswith("flow:")
        if not dated or isinstance(node, n.Held | n.FirstTime) or (fact is not None and not live and dated):
            what = fact.name if fact is not None else counted or "what is watched"
            raise UsageError(f"the last pass was at {last}: how '{what}' stood before it is not kept in one place")


# Figures -------------------------------------------------------------------------------------------------------------


def _figures(connection: Connection, view: View, metric: Metric, what: tuple[Asked, Whose]) -> Iterator[dict[str, Any]]:
    """One figure for each group of customers, the groups in the order of their words, what is unknown last."""
    asked, whose = what
    assert metric.expression is not None  # noqa: S101  # `_metric` and `_all` saw to it
    sums = Sums(connection, view, metric.expression)
    found = counts(connection, view, sums.totals, whose)
    if not found and not whose.by:
        found = {(): {}}
    behind = _behind(connection, view, sums, whose) if asked.trace else {}
    for group in sorted(found, key=lambda words: tuple((word is None, word or "") for word in words)):
        counted = found[group]
        many = counted.pop(MANY, None)
        figure = {
            "metric": metric.name,
            "group": dict(zip(asked.by, group, strict=True)),
            "customers": many.sure if many is not None else 0,
            **sums.figure(counted, metric.type),
        }
        if asked.trace:
            figure["of"] = behind.get(group, [])
        yield figure


def _behind(connection: Connection, view: View, sums: Sums, whose: Whose) -> dict[Group, list[dict[str, Any]]]:
    """Group → the customers of whom anything was counted, by id, each with what it brought."""
    found: dict[Group, list[dict[str, Any]]] = {}
    each: Found = counts(connection, view, sums.totals, whose, each=True)
    for words, counted in sorted(each.items(), key=lambda item: item[0][-1] or ""):
        counted.pop(MANY, None)
        if not any(one.sure or one.doubtful for one in counted.values()):
            continue
        figure = sums.figure(counted, sums.expression.type)
        if sums.ratio is not None:
            del figure["value"]
        else:
            figure = {"value": figure["value"], "unknown": figure["unknown"]}
        found.setdefault(words[:-1], []).append({"customer": words[-1], **figure})
    return found


class Sums:
    """A metric's expression over what was counted: the counts put in their places, the rest computed."""

    def __init__(self, connection: Connection, view: View, expression: Expression) -> None:
        self.view, self.expression = view, expression
        self.totals = tuple({id(total): total for total in expression.aggregates}.values())
        self._places = {id(total): place for place, total in enumerate(self.totals)}
        node = expression.node
        self.ratio = node if isinstance(node, n.Arithmetic) and node.op == "/" else None
        self._facts: Any = None
        bare = self._settled(node, {})
        asked = n.Read | n.Recorded | n.Held | n.FirstTime
        if any(isinstance(part, asked) for part in bare.walk()):  # of the organisation
            make, all_of_it = (lambda: view.subjects("organisation")), (lambda _row: true())
            self._facts = load_facts(connection, make, all_of_it, [Expression(expression.text, bare)])

    def figure(self, counted: Mapping[int, Counted], kind: Type) -> dict[str, Any]:
        """Value, both sides of a division, and how many things could not be judged; all as JSON shows them."""
        unfed = self.view.moment.unfed
        here = {
            place: counted.get(place, NOTHING) for place, total in enumerate(self.totals) if total.thing not in unfed
        }
        sides = (None, None) if self.ratio is None else (self.ratio.left, self.ratio.right)
        told = [None if side is None else present(self._value(side, here), side.type, self.view) for side in sides]
        return {
            "value": present(self._value(self.expression.node, here), kind, self.view),
            "numerator": told[0],
            "denominator": told[1],
            "unknown": max((one.doubtful for one in here.values()), default=0),
        }

    def _value(self, node: n.Node, counted: Mapping[int, Counted]) -> Any:
        return function(self._settled(node, counted))(self._facts, self.view.moment)

    def _settled(self, node: n.Node, counted: Mapping[int, Counted]) -> n.Node:
        """The node with every count replaced by what was counted; comparisons of counts are decided as ranges."""
        if isinstance(node, n.Aggregate):
            return n.Const(node.type, node.at, total_of(node, counted.get(self._places[id(node)])))
        if isinstance(node, n.Compare) and counted and (n.ranged(node.left) or n.ranged(node.right)):
            left, right = self._range(node.left, counted), self._range(node.right, counted)
            truth = None if left is None or right is None else range_truth(node.op, left, right)
            return n.Const(node.type, node.at, truth)
        changes = {one.name: self._inside(getattr(node, one.name), counted) for one in fields(node)}
        return replace(node, **changes)

    def _inside(self, value: Any, counted: Mapping[int, Counted]) -> Any:
        if isinstance(value, n.Node):
            return self._settled(value, counted)
        return tuple(self._inside(item, counted) for item in value) if isinstance(value, tuple) else value

    def _range(self, node: n.Node, counted: Mapping[int, Counted]) -> tuple[Any, Any] | None:
        if isinstance(node, n.Aggregate) and n.ranged(node):
            one, scale = counted.get(self._places[id(node)]), _grains(node)
            return None if one is None or one.lacking else (one.low / scale, one.high / scale)
        value = self._value(node, counted)
        return None if value is None else (value, value)


NOTHING = Counted(0, 0.0, 0.0, 0, 0)


def total_of(node: n.Aggregate, one: Counted | None) -> float | None:
    """The count, sum or average; None where it is unknown."""
    if one is None or one.lacking:
        return None
    if node.fn == "average":
        return None if one.doubtful or not one.sure else one.low / _grains(node) / one.sure
    return one.low / _grains(node) if one.low == one.high else None


def _grains(node: n.Aggregate) -> float:
    return 1.0 if node.value is None else n.scale(node.value)
