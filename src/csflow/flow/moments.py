"""The moment an expression is asked at, and where it puts the borders of lengths: the same for both back ends."""

from __future__ import annotations

from dataclasses import dataclass, field

from csflow.flow.calendars import Calendar
from csflow.values import Day, Instant, Length, Zone, latest_end, latest_start


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything outside the facts that an expression may depend on.

    ``log_begin`` is when csflow's own log of activities begins; ``rates`` the units of the project's currency for one
    minor unit of another; ``unfed`` the things whose import never ran; ``period`` a half-open span of days.
    """

    now: Instant
    zone: Zone
    calendar: Calendar | None = None
    log_begin: Instant | None = None
    rates: dict[str, float] = field(default_factory=dict)
    unfed: frozenset[str] = frozenset()
    period: tuple[Day, Day] | None = None
    _borders: dict[tuple[Length, bool, bool], tuple[int, int]] = field(default_factory=dict, compare=False)

    @property
    def today(self) -> Day:
        """The day that now falls on, in the project's zone."""
        return self.zone.day_of(self.now)

    def borders(self, length: Length, *, until: bool, time: bool) -> tuple[int, int]:
        """(before, reached): the latest x for which x ± length had come strictly before now, and has come by now.

        In days for a date, in microseconds for a time. ``since(x) >= L`` is x <= reached, ``since(x) > L`` is
        x <= before; ``until(x) <= L`` is x <= reached, ``until(x) < L`` is x <= before.
        """
        key = (length, until, time)
        if key not in self._borders:
            self._borders[key] = self._time_borders(length, until=until) if time else self._day_borders(length, until=until)
        return self._borders[key]

    def _day_borders(self, length: Length, *, until: bool) -> tuple[int, int]:
        if not length.calendar:  # hours after a date count from its first moment
            before, reached = self._time_borders(length, until=until)
            return self.zone.day_of(before), self.zone.day_of(reached)
        find = latest_end if until else latest_start
        return find(length, self.today - 1), find(length, self.today)

    def _time_borders(self, length: Length, *, until: bool) -> tuple[int, int]:
        if length.unit in ("months", "years"):  # by days: a month has no length in seconds
            before, reached = self._day_borders(length, until=until)
            return self.zone.end_of(before), self.zone.end_of(reached)
        if length.working:
            return self._working(length, self.now - 1, until=until), self._working(length, self.now, until=until)
        if until:
            return self.zone.add(self.now - 1, length), self.zone.add(self.now, length)
        return self.zone.latest_start(length, self.now - 1), self.zone.latest_start(length, self.now)

    def _working(self, length: Length, now: Instant, *, until: bool) -> Instant:
        if self.calendar is None:
            return now
        if until:
            return self.calendar.add(now, length)
        low, high = now - 400 * 86_400_000_000, now
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.calendar.add(middle, length) <= now else (low, middle - 1)
        return low
