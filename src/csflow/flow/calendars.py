"""Working time: which hours of which days count, and moments so much working time away."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

from csflow.flow.records import record
from csflow.values import Day, Instant, Length, Zone, length_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# weekday, 0 = Monday → half-open spans in minutes from midnight, rising
Hours = Mapping[int, tuple[tuple[int, int], ...]]
Span = tuple[Instant, Instant]

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_SPAN = r"([0-9]{1,2}):([0-9]{2}) ?[-–] ?([0-9]{1,2}):([0-9]{2})"
# How many days a search looks through. Listed days aside, every calendar is open once a week at least, so that only
# a calendar of a few minutes a week can get here.
_REACH = 80_000


@record
class Calendar:
    """Working hours in a zone. ``open_on`` beats ``closed_on`` beats ``holidays`` beats weekdays.

    A day of ``open_on`` has the hours of the first weekday that has any, whatever weekday it is itself: a Saturday
    worked instead of a holiday is worked like a Monday. ValueError if no weekday has hours.
    """

    name: str
    zone: Zone
    hours: Hours
    closed_on: frozenset[Day] = frozenset()
    open_on: frozenset[Day] = frozenset()
    holidays: frozenset[Day] = frozenset()

    def __post_init__(self) -> None:
        if not any(self.hours.values()):
            raise ValueError(f"calendar '{self.name}' is never open: give at least one weekday hours")

    def is_open(self, day: Day) -> bool:
        """Whether any of the day is working time."""
        return bool(self._hours_of(day))

    def spans(self, day: Day) -> list[Span]:
        """The day's working time as half-open spans of instants, in order.

        Hours are by the clock on the wall, so a span over a clock change is shorter or longer than it looks.
        """
        found: list[Span] = []
        for first, end in self._hours_of(day):
            start, stop = self.zone.at(day, first), self.zone.at(day, end)
            if found:  # a span that a clock change skips is moved on and may reach into the next
                start = max(start, found[-1][1])
            if start < stop:
                found.append((start, stop))
        return found

    def add(self, instant: Instant, length: Length, *, times: int = 1) -> Instant:
        """The moment ``times`` × a working length away; ValueError for other lengths.

        Minutes and hours run only in working time; a start outside it is a start at the next opening. n working days
        end with the last span of the n-th working day after the day of ``instant``, at whatever hour of that day it
        is; 0 working days end with that day itself or, when it is over or not worked, with the next. Backwards, n
        working days lead to the end of the n-th working day before.
        """
        if not length.working:
            raise ValueError(f"{length_text(length)} is not working time")
        if length.unit == "working_days":
            return self._days_away(instant, length, times)
        return self.advance(instant, length.microseconds * times)

    def advance(self, instant: Instant, microseconds: int) -> Instant:
        """The earliest working moment by which so much working time has gone by; 0 gives the next working moment.

        Time that runs out as a span ends is over then, not at the next opening. Negative: the latest moment from
        which so much working time leads to ``instant``.
        """
        if microseconds < 0:
            return self._retreat(instant, -microseconds)
        for spans in self._open_days(self.zone.day_of(instant), 1):
            for opening, stop in spans:
                start = max(opening, instant)
                if start < stop and microseconds <= stop - start:
                    return start + microseconds
                microseconds -= max(0, stop - start)
        raise self._out_of_reach()

    def between(self, start: Instant, stop: Instant) -> int:
        """Microseconds of working time from one moment to another; negative if the other is earlier."""
        if stop < start:
            return -self.between(stop, start)
        days = range(self.zone.day_of(start), self.zone.day_of(stop) + 1)
        spans = (span for day in days for span in self.spans(day))
        return sum(max(0, min(stop, last) - max(start, first)) for first, last in spans)

    def _retreat(self, instant: Instant, microseconds: int) -> Instant:
        for spans in self._open_days(self.zone.day_of(instant), -1):
            for start, closing in reversed(spans):
                stop = min(closing, instant)
                if microseconds <= stop - start:
                    return stop - microseconds
                microseconds -= max(0, stop - start)
        raise self._out_of_reach()

    def _days_away(self, instant: Instant, length: Length, times: int) -> Instant:
        if length.amount != int(length.amount):
            raise ValueError(f"{length_text(length)} cannot be counted in whole days")
        days, today = int(length.amount) * times, self.zone.day_of(instant)
        if days == 0:
            closings = (spans[-1][1] for spans in self._open_days(today, 1) if spans[-1][1] > instant)
        else:
            step = 1 if days > 0 else -1
            closings = (spans[-1][1] for spans in self._open_days(today + step, step))
        for number, closing in enumerate(closings, start=1):
            if number >= abs(days):
                return closing
        raise self._out_of_reach()

    def _open_days(self, first: Day, step: int) -> Iterator[list[Span]]:
        """The spans of each working day from ``first`` on, forwards (1) or backwards (-1), as far as the reach."""
        for day in range(first, first + step * _REACH, step):
            if spans := self.spans(day):
                yield spans

    def _hours_of(self, day: Day) -> tuple[tuple[int, int], ...]:
        if day in self.open_on:
            return self.hours[min(weekday for weekday, hours in self.hours.items() if hours)]
        if day in self.closed_on or day in self.holidays:
            return ()
        return self.hours.get((day + 3) % 7, ())  # 1970-01-01 was a Thursday

    def _out_of_reach(self) -> ValueError:
        return ValueError(f"calendar '{self.name}' has too little working time for so long a length")


def parse_hours(written: Mapping[str, Sequence[str] | str]) -> Hours:
    """``{"mon-fri": ["09:00-12:00", "13:30-18:00"], "sat": []}`` → hours by weekday; days without spans are left out.

    ValueError, in one line, for an unknown weekday, a weekday given twice, a wrong or backward span, an overlap.
    """
    hours: dict[int, tuple[tuple[int, int], ...]] = {}
    given: set[int] = set()
    for days, texts in written.items():
        spans = _rising([_span(text) for text in ([texts] if isinstance(texts, str) else texts)], days)
        for weekday in weekdays(days):
            if weekday in given:
                raise ValueError(f"'{WEEKDAYS[weekday]}' has hours twice: give each weekday once")
            given.add(weekday)
            if spans:
                hours[weekday] = spans
    return dict(sorted(hours.items()))


def weekdays(text: str) -> list[int]:
    """``mon`` or ``mon-fri``; a range may go past Sunday (``sat-mon``)."""
    first, _, last = (part.strip().lower() for part in str(text).partition("-"))
    ends = []
    for word in (first, last or first):
        if word not in WEEKDAYS:
            nearest = get_close_matches(word, WEEKDAYS, n=1, cutoff=0.5)
            hint = f"did you mean '{nearest[0]}'?" if nearest else "write mon, tue … sun or a range such as mon-fri"
            raise ValueError(f"'{word[:20]}' is not a weekday: {hint}")
        ends.append(WEEKDAYS.index(word))
    return [(ends[0] + step) % 7 for step in range((ends[1] - ends[0]) % 7 + 1)]


def _span(text: str) -> tuple[int, int]:
    match = re.fullmatch(_SPAN, str(text).strip())
    if match is not None:
        hour, minute, last_hour, last_minute = map(int, match.groups())
        start, end = hour * 60 + minute, last_hour * 60 + last_minute
        if minute < 60 and last_minute < 60 and start < end <= 1440:
            return start, end
    raise ValueError(
        f"'{' '.join(str(text).split())[:40]}' is not a span of a day: write 09:00-18:00, the end after the beginning, "
        "at most 24:00"
    )


def _rising(spans: list[tuple[int, int]], days: str) -> tuple[tuple[int, int], ...]:
    spans.sort()
    for (_, end), (start, _) in itertools.pairwise(spans):
        if start < end:
            raise ValueError(f"the hours of '{days}' overlap at {start // 60:02d}:{start % 60:02d}")
    return tuple(spans)
