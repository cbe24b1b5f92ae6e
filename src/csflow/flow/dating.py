"""When a condition that is true became so: the moment of the newest fact that made it true."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from csflow.flow import nodes as n
from csflow.flow.records import record
from csflow.values import Instant, Length, add

if TYPE_CHECKING:
    from csflow.flow.moments import Moment
    from csflow.flow.types import Fact


@record
class _Known:
    """What is known of the facts of one row; see ``dater``."""

    truth: Callable[[n.Node], bool | None]
    value: Callable[[Fact], Any]
    happened: Callable[[Fact], Instant | None]
    held_since: Callable[[n.Condition], Instant | None]
    moment: Moment


_Dater = Callable[[_Known], Instant | None]


def dater(node: n.Node) -> Callable[..., Instant]:
    """What tells of one row after another when a condition, true at ``moment``, became true; never later than that.

    ``truth`` answers for the operands of an `or`; ``happened`` when a fact came to be. A conjunction dates from the
    latest of its parts, a disjunction from the earliest of its true ones, ``since(x) >= L`` from x + L, ``until(x) <=
    L`` from x − L (with > and < from the moment after), a watched condition from the moment it had held long enough,
    anything else from its newest fact.
    What cannot be dated dates from the moment.
    """
    find = _dater(node)

    def date(
        *,
        truth: Callable[[n.Node], bool | None],
        value: Callable[[Fact], Any],
        happened: Callable[[Fact], Instant | None],
        held_since: Callable[[n.Condition], Instant | None],
        moment: Moment,
    ) -> Instant:
        found = find(_Known(truth, value, happened, held_since, moment))
        return moment.now if found is None else min(found, moment.now)

    return date


def _dater(node: n.Node) -> _Dater:
    if isinstance(node, n.And):
        return _latest([_dater(item) for item in node.items])
    if isinstance(node, n.Or):
        return _earliest([(item, _dater(item)) for item in node.items])
    if isinstance(node, n.Elapsed):
        return lambda known: _came(node, known)
    if isinstance(node, n.Held):
        return lambda known: _held(node, known)
    if any(isinstance(part, n.Aggregate | n.Clockface | n.Held | n.Elapsed) for part in node.walk()):
        return lambda _: None
    facts = [part.fact for part in node.walk() if isinstance(part, n.Read)]
    return _latest([partial(_happened, fact) for fact in facts]) if facts else lambda _: None


def _latest(daters: list[_Dater]) -> _Dater:
    def find(known: _Known) -> Instant | None:
        newest: Instant | None = None
        for dated in daters:
            date = dated(known)
            if date is None:
                return None
            newest = date if newest is None or date > newest else newest
        return newest

    return find


def _earliest(daters: list[tuple[n.Node, _Dater]]) -> _Dater:
    def find(known: _Known) -> Instant | None:
        dates = [dated(known) for item, dated in daters if known.truth(item)]
        return min((date for date in dates if date is not None), default=None)

    return find


def _happened(fact: Fact, known: _Known) -> Instant | None:
    return known.happened(fact)


def _held(node: n.Held, known: _Known) -> Instant | None:
    since = known.held_since(node.condition)
    return None if since is None else _passed(since, node.length, known.moment, day=False)


def _came(node: n.Elapsed, known: _Known) -> Instant | None:
    """The first moment at which a length had passed since, or was left until, the item."""
    rising = node.op in ("<=", "<") if node.until else node.op in (">=", ">")
    value = known.value(node.item.fact) if isinstance(node.item, n.Read) else None
    if not rising or value is None:
        return None
    day = node.item.type.name == "date"
    return _passed(int(value), node.length, known.moment, day=day, until=node.until, strict=node.op in ("<", ">"))


def _passed(
    value: int, length: Length, moment: Moment, *, day: bool, until: bool = False, strict: bool = False
) -> Instant | None:
    """The first instant at which value ± length has come (strict: is over); the mirror image of ``Moment.borders``."""
    zone, times = moment.zone, -1 if until else 1
    if length.calendar and (day or length.unit in ("months", "years")):  # compared by days
        start = value if day else zone.day_of(value)
        return zone.start_of(add(start, length, times=times) + strict)
    instant = zone.start_of(value) if day else value
    if not length.working:
        return zone.add(instant, length, times=times) + strict
    if moment.calendar is None:
        return None
    return moment.calendar.add(instant, length, times=times) + strict
