"""An expression taken apart for one row: which part is true, false or unknown, and when time alone will change it."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from csflow.flow import nodes as n
from csflow.flow.evaluation import Facts, function
from csflow.flow.wording import text_of
from csflow.values import Instant, add

if TYPE_CHECKING:
    from collections.abc import Iterator

    from csflow.flow.moments import Moment

FAR = 400  # days that are tried one by one where an expression calculates with today
MOST = 5_000  # moments tried for one expression


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a condition: ``word`` is and, or, not – or empty for a comparison, which has no parts of its own.

    ``holds`` is None for unknown. ``changes`` is the moment at which time alone gives it another truth, where it will.
    """

    word: str
    text: str
    node: n.Node
    holds: bool | None
    changes: Instant | None
    parts: tuple[Part, ...] = ()


class Anatomy:
    """A condition prepared for being taken apart again and again, for one row after another."""

    def __init__(self, node: n.Node, currency: str) -> None:
        self.node, self.text = node, text_of(node, currency)
        self.word = {n.And: "and", n.Or: "or", n.Not: "not"}.get(type(node), "")
        self._function = function(node)
        self._timed = _timed(node)
        self._way = _way(node)
        self.parts = tuple(Anatomy(part, currency) for part in _operands(node))

    def holds(self, facts: Facts, moment: Moment) -> bool | None:
        """Its truth for a row."""
        value: bool | None = self._function(facts, moment)
        return value

    def look(self, facts: Facts, moment: Moment) -> Part:
        """The condition and its parts for a row."""
        parts = tuple(part.look(facts, moment) for part in self.parts)
        changes = None if parts else self.changes(facts, moment)
        return Part(self.word, self.text, self.node, self.holds(facts, moment), changes, parts)

    def changes(self, facts: Facts, moment: Moment) -> Instant | None:
        """The first moment to come at which it has another truth although no fact changed; None when there is none."""
        now = self.holds(facts, moment)
        return self._first(facts, moment, lambda truth: truth is not now)

    def true_from(self, facts: Facts, moment: Moment) -> Instant | None:
        """The first moment to come at which it is true although no fact changed; None when it is now or never is."""
        return None if self.holds(facts, moment) else self._first(facts, moment, lambda truth: truth is True)

    def _first(self, facts: Facts, moment: Moment, wanted: Any) -> Instant | None:
        if not self._timed:
            return None
        times = sorted({at for at in _borders(self.node, facts, moment) if at > moment.now})

        def reached(at: Instant) -> bool:
            found: bool = wanted(self._function(facts, replace(moment, now=at)))
            return found

        if self._way is None:
            return next(filter(reached, times[:MOST]), None)
        place = bisect_left(times, True, key=reached)  # noqa: FBT003  # what is looked for: from there on it is so
        return times[place] if place < len(times) else None


def _way(node: n.Node) -> int | None:
    """How its truth goes while only time does: 1 from false by unknown to true, -1 back, 0 stays; None: who knows."""
    if isinstance(node, n.Not):
        way = _way(node.item)
        return None if way is None else -way
    if isinstance(node, n.And | n.Or):
        ways = {_way(item) for item in node.items} - {0}
        return 0 if not ways else ways.pop() if len(ways) == 1 else None
    if isinstance(node, n.Elapsed) and not n.may_be_never(node.item) and not _timed(node.item):
        return {">=": 1, ">": 1, "<=": -1, "<": -1}.get(node.op, 0) * (-1 if node.until else 1) or None
    if isinstance(node, n.Compare) and isinstance(node.left, n.Aggregate) and not _timed(node.right):
        counted = _way(node.left.cond) if node.left.fn == "count" and node.left.cond is not None else None
        towards = {">=": 1, ">": 1, "<=": -1, "<": -1}.get(node.op)
        return None if counted is None or towards is None else counted * towards
    return None if _timed(node) else 0


def _timed(node: n.Node) -> bool:
    return any(isinstance(part, n.Elapsed | n.Clockface | n.Held | n.Recorded) for part in node.walk())


def _operands(node: n.Node) -> Iterator[n.Node]:
    """What stands between the and's (or's) of a node; an `and` inside an `and` is one with it."""
    if isinstance(node, n.Not):
        yield node.item
    elif isinstance(node, n.And | n.Or):
        for item in node.items:
            if type(item) is type(node):
                yield from _operands(item)
            else:
                yield item


def _borders(node: n.Node, facts: Facts, moment: Moment) -> Iterator[Instant]:
    """The moments at which a part may change: a superset, so that trying each finds the right one."""
    if isinstance(node, n.Elapsed):
        yield from _of_elapsed(node, facts, moment)
    elif isinstance(node, n.Held):
        span = facts.span(node.condition)
        for at in () if span is None else (span[1], span[2]):
            if at is not None:
                yield from (moved := moment.zone.add(at, node.length), moved + 1)
    elif isinstance(node, n.Clockface):
        yield from (moment.zone.start_of(moment.today + ahead) for ahead in range(1, FAR))
    if isinstance(node, n.Aggregate):
        for row in facts.rows(node.thing):
            for part in node.parts():
                yield from _borders(part, row, moment)
        return
    for part in node.parts():
        yield from _borders(part, facts, moment)


def _of_elapsed(node: n.Elapsed, facts: Facts, moment: Moment) -> Iterator[Instant]:
    zone, length, times = moment.zone, node.length, -1 if node.until else 1
    value = function(node.item)(facts, moment)
    is_day = node.item.type.name == "date"
    starts: list[Instant]
    if value is not None:
        starts = [zone.start_of(int(value) + ahead) for ahead in (-1, 0, 1)] if is_day else [int(value)]
    elif n.may_be_never(node.item):
        first = facts.first_day()
        starts = [at for at in (moment.log_begin, None if first is None else zone.start_of(first)) if at is not None]
    else:
        return
    for start in starts:
        if length.working:
            if moment.calendar is not None:
                yield from (moved := moment.calendar.add(start, length, times=times), moved + 1)
        elif length.clock:
            yield from (moved := zone.add(start, length, times=times), moved + 1, _next_day(moved, moment))
        else:
            yield from (moved := zone.add(start, length, times=times), moved + 1)
            on = add(zone.day_of(start), length, times=times)
            yield from (zone.start_of(on + ahead) for ahead in (0, 1))


def _next_day(at: Instant, moment: Moment) -> Instant:
    return moment.zone.start_of(moment.zone.day_of(at) + 1)
