"""Due times: what a deadline or a task hangs on, and the instant that comes of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from keyword import iskeyword
from typing import TYPE_CHECKING

from csflow.values import Day, Instant, Length, Zone, add, parse_length

if TYPE_CHECKING:
    from collections.abc import Mapping

    from csflow.flow.calendars import Calendar

ENTERED, CLOCK, CASE = "entered", "clock", "case"

_FORM = r"(?P<length>[0-9].*?)(?: (?P<side>after|before) (?P<anchor>\S+))?"


@dataclass(frozen=True, slots=True)
class Due:
    """A length after (or before) an anchor, or the anchor itself where ``length`` is None.

    ``anchor`` is ``entered`` (the stage, or the task's opening), ``clock`` (the flow's), ``case`` (its opening) or
    the name of a fact. ``calendar`` names the calendar that working time is counted in; ``text`` is what was written.
    """

    length: Length | None
    anchor: str
    before: bool
    calendar: str | None
    text: str

    @property
    def hangs_on_entering(self) -> bool:
        """Counted from entering, so judged only in the stage; every other anchor is judged wherever the case is."""
        return self.anchor == ENTERED


def parse_due(text: str, *, calendar: str | None = None) -> Due:
    """``24 hours``, ``1 month after clock``, ``14 days after case``, ``3 months before contract.ends_on`` or a fact.

    ValueError, always in the same words, for anything else. Nothing is due before its case was opened.
    """
    written = " ".join(text.split())
    if _is_fact(written):
        return Due(None, written, before=False, calendar=calendar, text=written)
    match = re.fullmatch(_FORM, written)
    length = _length(match["length"]) if match else None
    if match is None or length is None:
        raise _not_due(written)
    anchor, before = match["anchor"] or ENTERED, match["side"] == "before"
    fits = anchor in (ENTERED, CLOCK, CASE) or _is_fact(anchor)
    if not fits or match["anchor"] == ENTERED or (before and anchor == CASE):
        raise _not_due(written)
    return Due(length, anchor, before=before, calendar=calendar, text=written)


def due_at(
    due: Due, *, anchor: Instant | Day | None, anchor_is_day: bool, zone: Zone, calendars: Mapping[str, Calendar]
) -> Instant | None:
    """The instant a due time falls on; None while its anchor is unknown.

    What is counted in dates (days and longer, or a bare date) is due at the end of its day in ``zone``. Hours and
    minutes are exact, working time goes by the calendar named; counted from a date, both run from that day's end, as
    a date alone is due then. ValueError if working time has no calendar.
    """
    if anchor is None:
        return None
    length, times = due.length, -1 if due.before else 1
    if length is None:
        return zone.end_of(anchor) if anchor_is_day else anchor
    if length.calendar:
        return zone.end_of(add(anchor if anchor_is_day else zone.day_of(anchor), length, times=times))
    if length.clock:
        return zone.add(zone.end_of(anchor) if anchor_is_day else anchor, length, times=times)
    if due.calendar is None or due.calendar not in calendars:
        raise ValueError(f"'{due.text}' is working time: name a calendar under 'calendars:' and in 'calendar:'")
    calendar = calendars[due.calendar]
    return calendar.add(calendar.zone.end_of(anchor) if anchor_is_day else anchor, length, times=times)


def _is_fact(text: str) -> bool:
    parts = text.split(".")
    return len(parts) > 1 and all(part.isidentifier() and not iskeyword(part) for part in parts)


def _length(text: str) -> Length | None:
    try:
        return parse_length(text)
    except ValueError:
        return None


def _not_due(written: str) -> ValueError:
    shown = written if len(written) <= 60 else written[:59] + "…"
    return ValueError(
        f"'{shown}' is not a due time: write '24 hours', '1 month after clock' or '3 months before contract.ends_on'"
    )
