"""The moment an expression is asked at, and where it puts the borders of lengths: the same for both back ends."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from csflow.errors import ExpressionError
from csflow.flow.records import record
from csflow.values import DAY_US, Day, Instant, Length, Zone, day_text, latest_end, latest_start, period_of, period_span

if TYPE_CHECKING:
    from collections.abc import Callable

    from csflow.flow.calendars import Calendar


Recipe = tuple[str | int | float | bool | None, ...]  # how a constant follows from a moment: its kind, what it needs
FED = ("contact", "contract", "activity")  # things that imports feed: before the first, nobody knows how many there are


@record
class Moment:
    """Everything outside the facts that an expression may depend on.

    ``log_begin`` is when csflow's own log of activities begins; ``rates`` the units of the project's currency for one
    minor unit of another; ``unfed`` the things whose import never ran; ``period`` a half-open span of days; ``stale``
    the metrics that are unknown now, because their source is silent or they are older than their `fresh:`.
    """

    now: Instant
    zone: Zone
    calendar: Calendar | None = None
    log_begin: Instant | None = None
    rates: dict[str, float] = field(default_factory=dict)
    unfed: frozenset[str] = frozenset()
    period: tuple[Day, Day] | None = None
    stale: frozenset[str] = frozenset()
    _borders: dict[tuple[Length, bool, bool], tuple[int, int]] = field(default_factory=dict, init=False)
    _constants: dict[Recipe, int | float | str | None] = field(default_factory=dict, init=False)

    def is_as(self, other: Moment) -> bool:
        """Whether whatever is asked at this moment has the same answer at the other."""
        names = ("now", "log_begin", "rates", "unfed", "period", "stale")
        same = self.zone == other.zone and self.calendar is other.calendar
        return same and all(getattr(self, name) == getattr(other, name) for name in names)

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
            self._borders[key] = (
                self._time_borders(length, until=until) if time else self._day_borders(length, until=until)
            )
        return self._borders[key]

    def constant(self, recipe: Recipe) -> int | float | str | None:
        """The constant of that recipe at this moment.

        ``now``, ``today``; ``border`` (amount, unit, until, time, place in `borders`) and, of the same, ``border_day``
        and ``logged`` (whether the log of activities reaches back to it); ``rated`` (amount, currency), None without a
        rate; ``begin`` and ``end`` (shift's amount and unit or None, time) of the period; ``turn`` and ``turn_day``
        (unit, many, first month of the year): the number of the current stretch of periods, and its first day's text;
        ``fresh`` (metric, its number): the number, or -1 (of nothing) while it is stale; ``fed`` (thing): 0 while its
        import never ran.
        """
        if recipe not in self._constants:
            self._constants[recipe] = _CONSTANTS[str(recipe[0])](self, *recipe[1:])
        return self._constants[recipe]

    def _border(self, amount: float, unit: str, until: bool, time: bool, place: int) -> int:  # noqa: FBT001
        return self.borders(Length(amount, unit), until=until, time=time)[place]

    def _border_day(self, *what: Any) -> Day:
        return self.zone.day_of(self._border(*what))

    def _logged(self, *what: Any) -> int:
        return int(self.log_begin is not None and self.log_begin <= self._border(*what))

    def _rated(self, amount: float, currency: str) -> float | None:
        rate = self.rates.get(currency)
        return None if rate is None else amount * rate

    def _of_period(self, place: int, amount: float | None, unit: str | None, time: bool) -> int:  # noqa: FBT001
        if self.period is None:
            raise ExpressionError("a period is asked for, and there is none")
        found = self.period[place]
        if amount is not None and unit is not None:  # x + L >= begin is x > the latest d with d + L <= begin - 1
            found = latest_start(Length(amount, unit), found - 1) + 1
        return self.zone.start_of(found) if time else found

    def _turn(self, unit: str, many: int, starts: int) -> int:
        return period_of(self.today, unit, starts) // many

    def _turn_day(self, unit: str, many: int, starts: int) -> str:
        return day_text(period_span(unit, self._turn(unit, many, starts) * many, starts)[0])

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
            return self.zone.latest_end(length, self.now - 1), self.zone.latest_end(length, self.now)
        return self.zone.latest_start(length, self.now - 1), self.zone.latest_start(length, self.now)

    def _working(self, length: Length, now: Instant, *, until: bool) -> Instant:
        """The latest instant whose sum with (or, until, difference from) a working length is at most ``now``."""
        if self.calendar is None:
            raise ExpressionError("working time needs a calendar: name one with `calendar:` in the project's file")
        calendar, times = self.calendar, -1 if until else 1
        if not until and length.unit != "working_days" and length.amount:
            return calendar.add(now, length, times=-1)
        step = DAY_US  # sums rise with what is added to, so halving finds the last
        low = high = now
        if until:
            while calendar.add(high, length, times=times) <= now:
                low, high, step = high, high + step, step * 2
        else:
            while calendar.add(low, length) > now:
                low, high, step = low - step, low, step * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if calendar.add(middle, length, times=times) <= now else (low, middle)
        return low


_CONSTANTS: dict[str, Callable[..., int | float | str | None]] = {
    "now": lambda moment: moment.now,
    "today": lambda moment: moment.today,
    "border": Moment._border,  # noqa: SLF001  # the table of this very class
    "border_day": Moment._border_day,  # noqa: SLF001
    "logged": Moment._logged,  # noqa: SLF001
    "rated": Moment._rated,  # noqa: SLF001
    "begin": lambda moment, *what: moment._of_period(0, *what),  # noqa: SLF001
    "end": lambda moment, *what: moment._of_period(1, *what),  # noqa: SLF001
    "fresh": lambda moment, metric, number: -1 if metric in moment.stale else number,
    "fed": lambda moment, thing: int(thing not in moment.unfed),
    "turn": Moment._turn,  # noqa: SLF001
    "turn_day": Moment._turn_day,  # noqa: SLF001
}
