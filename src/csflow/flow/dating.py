"""When a condition that is true became so: the moment of the newest fact that made it true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from csflow.flow import nodes as n
from csflow.flow.moments import Moment
from csflow.flow.types import Fact
from csflow.values import Instant, add


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of the facts of one row; see ``when_true``."""

    truth: Callable[[n.Node], bool | None]
    value: Callable[[Fact], Any]
    happened: Callable[[Fact], Instant | None]
    held_since: Callable[[n.Condition], Instant | None]
    moment: Moment


def when_true(
    node: n.Node,
    *,
    truth: Callable[[n.Node], bool | None],
    value: Callable[[Fact], Any],
    happened: Callable[[Fact], Instant | None],
    held_since: Callable[[n.Condition], Instant | None],
    moment: Moment,
) -> Instant:
    """The instant a condition, true at ``moment``, became true; never later than the moment.

    ``truth`` answers for the operands of an `or`; ``happened`` when a fact came to be. A conjunction dates from the
    latest of its parts, a disjunction from the earliest of its true ones, ``since(x) >= L`` from x + L, ``until(x) <=
    L`` from x − L, a watched condition from the day it had held long enough, anything else from its newest fact.
    What cannot be dated dates from the moment.
    """
    found = _date(node, _Known(truth, value, happened, held_since, moment))
    return moment.now if found is None else min(found, moment.now)


def _date(node: n.Node, known: _Known) -> Instant | None:
    if isinstance(node, n.And):
        dates = [_date(item, known) for item in node.items]
        return None if None in dates else max(date for date in dates if date is not None)
    if isinstance(node, n.Or):
        true_ones = [_date(item, known) for item in node.items if known.truth(item)]
        dated = [date for date in true_ones if date is not None]
        return min(dated) if dated else None
    if isinstance(node, n.Elapsed):
        return _came(node, known)
    if isinstance(node, n.Held):
        since = known.held_since(node.condition)
        return None if since is None else known.moment.zone.add(since, node.length)
    if any(isinstance(part, n.Aggregate | n.Clockface | n.Held | n.Elapsed) for part in node.walk()):
        return None
    dates = [known.happened(part.fact) for part in node.walk() if isinstance(part, n.Read)]
    return None if not dates or None in dates else max(date for date in dates if date is not None)


def _came(node: n.Elapsed, known: _Known) -> Instant | None:
    """The moment a length had passed since, or was left until, the item."""
    rising = node.op in ("<=", "<") if node.until else node.op in (">=", ">")
    value = known.value(node.item.fact) if isinstance(node.item, n.Read) else None
    if not rising or value is None or node.length.working:
        return None
    zone, times = known.moment.zone, -1 if node.until else 1
    if node.item.type.name == "date":
        if not node.length.calendar:
            return zone.add(zone.start_of(int(value)), node.length, times=times)
        return zone.start_of(add(int(value), node.length, times=times))
    return zone.add(int(value), node.length, times=times)
