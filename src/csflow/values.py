"""Days, instants, lengths, zones, money, shares and periods: the plain values that every floor speaks of.

A day is an integer, days since 1970-01-01; an instant an integer, UTC microseconds. Both reach beyond the years 1 to
9999 that `datetime` knows: a bound such as "today minus 9000 years" is a number like any other and never an error.
Out there the calendar goes on by its 400-year cycle and every zone is UTC.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from difflib import get_close_matches
from zoneinfo import ZoneInfo, available_timezones

Day = int
Instant = int

DAY_US = 86_400_000_000
MINUTE_US = 60_000_000
UNITS = (
    "minutes",
    "hours",
    "days",
    "weeks",
    "months",
    "years",
    "working_minutes",
    "working_hours",
    "working_days",
)
PERIODS = ("day", "week", "month", "quarter", "year")

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097  # after 400 years the calendar repeats itself, weekdays included
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_CLOCK_UNITS = frozenset({"minutes", "hours"})
_CALENDAR_UNITS = frozenset({"days", "weeks", "months", "years"})
_FRACTION_UNITS = frozenset({"minutes", "hours", "working_minutes", "working_hours"})
# Beyond these a length is a slip of the keyboard; working time is walked span by span, so it is bounded sooner.
_LARGEST = {
    "minutes": 100_000_000,
    "hours": 10_000_000,
    "days": 1_000_000,
    "weeks": 100_000,
    "months": 10_000,
    "years": 1_000,
    "working_minutes": 600_000,
    "working_hours": 10_000,
    "working_days": 3_650,
}
_WORDS = {unit.replace("_", " "): unit for unit in UNITS} | {unit.replace("_", " ")[:-1]: unit for unit in UNITS}
# Patterns are text, compiled when first used: this module is imported at every start.
_LENGTH = r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ([a-z ]+)"
_SHARE = r"([+-]?[0-9]{1,12}(?:\.[0-9]{1,12})?)\s?(%?)"
_NUMBER = r"[+-]?(?:[0-9]{1,24}(?:\.[0-9]{0,24})?|\.[0-9]{1,24})(?:[eE][+-]?[0-9]{1,2})?"
_CURRENCY = r"[A-Z]{3}"
_NO_MINOR = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV"}
    | {"XAF", "XOF", "XPF"}
)
_THREE_MINOR = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
_LARGEST_MINOR = 2**63 - 1
_MOST_KNOWN = 20_000
_TOO_LARGE = Decimal(10) ** 27
_EXACTLY = Context(prec=60)
_NOISE = Decimal("0.0001")  # of a minor unit: 59.970000000000006 is 59.97 that a program multiplied


# Days ----------------------------------------------------------------------------------------------------------------


def day(value: str | date) -> Day:
    """The day of a date or of ``YYYY-MM-DD``; a datetime gives the date it shows. ValueError for anything else."""
    if isinstance(value, date):
        return value.toordinal() - _EPOCH_ORDINAL
    # fromisoformat would also take 20260105 and 2026-W01-1
    if len(value) == 10 and value[4] == "-" == value[7]:
        try:
            return date.fromisoformat(value).toordinal() - _EPOCH_ORDINAL
        except ValueError:
            pass
    raise ValueError(f"{_quoted(value)} is not a day: {no_such_day(value) or 'write it as 2026-01-31'}")


def no_such_day(text: str) -> str | None:
    """What is wrong with a day that is written as it should be, YYYY-MM-DD, and is in no calendar; None otherwise."""
    if not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    year, month, of_month = map(int, text.split("-"))
    if not 1 <= month <= len(_MONTHS):
        return f"a year has {len(_MONTHS)} months"
    if year and 1 <= of_month <= _days_in(year, month):
        return None
    return f"there is no {of_month} {_MONTHS[month - 1]} {year}"


def day_text(value: Day) -> str:
    """A day as ``YYYY-MM-DD``."""
    year, month, of_month = _civil(value)
    return f"{year:04d}-{month:02d}-{of_month:02d}"


def instant_text(value: Instant) -> str:
    """An instant in UTC by ISO 8601, ``YYYY-MM-DDTHH:MM:SS[.ffffff]Z``."""
    on, rest = divmod(value, DAY_US)
    seconds, fraction = divmod(rest, 1_000_000)
    tail = f".{fraction:06d}" if fraction else ""
    return f"{day_text(on)}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{tail}Z"


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: ``1 row``, ``2,000 rows``; ``many`` where the plural is not the word with an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def _civil(value: Day) -> tuple[int, int, int]:
    cycles, rest = divmod(value, _CYCLE_DAYS)
    near = date.fromordinal(_EPOCH_ORDINAL + rest)
    return near.year + _CYCLE_YEARS * cycles, near.month, near.day


def _day_of_civil(year: int, month: int, of_month: int) -> Day:
    cycles, rest = divmod(year - 1970, _CYCLE_YEARS)
    return date(1970 + rest, month, of_month).toordinal() - _EPOCH_ORDINAL + cycles * _CYCLE_DAYS


def _days_in(year: int, month: int) -> int:
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return _MONTH_DAYS[month - 1] + leap


def _quoted(text: object) -> str:
    """What somebody wrote, for an error of one line: white space folded, cut where it grows long."""
    line = " ".join(str(text).split())
    return f"'{line if len(line) <= 60 else line[:59] + '…'}'"


# Lengths -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Length:
    """So many of one unit of ``UNITS``. The amount is negative only while calculating, never as people write it."""

    amount: int | float
    unit: str

    @property
    def calendar(self) -> bool:
        """Days, weeks, months or years: counted in dates."""
        return self.unit in _CALENDAR_UNITS

    @property
    def working(self) -> bool:
        """Counted in the working time of a calendar."""
        return self.unit.startswith("working_")

    @property
    def clock(self) -> bool:
        """Minutes or hours of wall time."""
        return self.unit in _CLOCK_UNITS

    @property
    def microseconds(self) -> int:
        """Of minutes and hours, working or not, to the nearest microsecond; ValueError for other units."""
        if self.unit.endswith("minutes"):
            return round(self.amount * MINUTE_US)
        if self.unit.endswith("hours"):
            return round(self.amount * 60 * MINUTE_US)
        raise ValueError(f"{length_text(self)} is not a length in hours or minutes")


def parse_length(text: str) -> Length:
    """``14 days``, ``1 month``, ``1.5 hours``, ``24 working hours``; ValueError says what to write instead.

    Only minutes and hours may have a fraction: half a month is no date.
    """
    match = re.fullmatch(_LENGTH, " ".join(text.split()))
    if match is None:
        raise ValueError(f"{_quoted(text)} is not a length: write '14 days', '1 month' or '2 working hours'")
    written, word = match.groups()
    unit = _WORDS.get(word)
    if unit is None:
        nearest = get_close_matches(word, _WORDS, n=1)
        hint = f"did you mean '{nearest[0]}'?" if nearest else f"write one of {', '.join(list(_WORDS)[: len(UNITS)])}"
        raise ValueError(f"{_quoted(text)} is not a length: {hint}")
    amount = float(written)
    if not amount.is_integer() and unit not in _FRACTION_UNITS:
        raise ValueError(f"{_quoted(text)} is not a length: {unit.replace('_', ' ')} are counted whole")
    if amount > _LARGEST[unit]:
        raise ValueError(f"{_quoted(text)} is too long: at most {_LARGEST[unit]} {unit.replace('_', ' ')}")
    return Length(int(amount) if amount.is_integer() else amount, unit)


def length_text(length: Length) -> str:
    """A length as people write it; ``parse_length`` reads it back."""
    words = length.unit.replace("_", " ")
    return f"{length.amount:.12g} {words[:-1] if abs(length.amount) == 1 else words}"


def add(day: Day, length: Length, *, times: int = 1) -> Day:
    """The day that is ``times`` × ``length`` later; only for days, weeks, months and years (else ValueError).

    Months keep the day of the month where the other month has it and else take its last: 31 January + 1 month is the
    last of February. They are counted from ``day`` in one step, so 31 January + 2 months is 31 March.
    """
    days, months = _dates(length)
    return day + days * times if not months else _shifted(day, months * times)


def latest_start(length: Length, today: Day) -> Day:
    """The latest day d with ``add(d, length) <= today``: whoever began on d or before has had that length.

    Not the same as ``today`` minus the length: on 28 February (31 January, with its month clamped, just gets there)
    one month has passed for 31 January too.
    """
    days, months = _dates(length)
    return today - days if not months else _latest(today, months)


def latest_end(length: Length, today: Day) -> Day:
    """The latest day d with ``add(d, length, times=-1) <= today``: what ends on d or before is within that length."""
    days, months = _dates(length)
    return today + days if not months else _latest(today, -months)


def _dates(length: Length) -> tuple[int, int]:
    """A calendar length as days and months; one of them is 0."""
    if not length.calendar or length.amount != int(length.amount):
        raise ValueError(f"{length_text(length)} cannot be counted in whole days")
    amount = int(length.amount)
    if length.unit in ("days", "weeks"):
        return amount * (7 if length.unit == "weeks" else 1), 0
    return 0, amount * (12 if length.unit == "years" else 1)


def _shifted(value: Day, months: int) -> Day:
    year, month, of_month = _civil(value)
    year, month = _month_later(year, month, months)
    return _day_of_civil(year, month, min(of_month, _days_in(year, month)))


def _latest(today: Day, months: int) -> Day:
    year, month, of_month = _civil(today)
    last = of_month == _days_in(year, month)
    year, month = _month_later(year, month, -months)
    length = _days_in(year, month)
    # On the last day of a month all days of the other month have arrived, the ones that had to be clamped included.
    return _day_of_civil(year, month, length if last else min(of_month, length))


def _month_later(year: int, month: int, months: int) -> tuple[int, int]:
    index = year * 12 + month - 1 + months
    return index // 12, index % 12 + 1


# Zones ---------------------------------------------------------------------------------------------------------------


class Zone:
    """An IANA time zone: which day an instant falls on, and when a day begins. ValueError for an unknown name.

    A local time that a clock change skips means the instant as long after the change as it is after the gap's
    beginning; one that comes twice means its first coming, unless a datetime's ``fold`` says the second.
    """

    __slots__ = ("_info", "_known", "name")

    def __init__(self, name: str) -> None:
        try:
            self._info = ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:  # OSError: the name of a folder, such as Asia
            nearest = get_close_matches(name, sorted(available_timezones()), n=1)
            hint = f"did you mean '{nearest[0]}'?" if nearest else "write an IANA name such as 'Europe/Berlin'"
            raise ValueError(f"unknown zone {_quoted(name)}: {hint}") from error
        self.name = name
        self._known: dict[tuple[Day, int], Instant] = {}  # a pass asks for the same few days again and again

    def __repr__(self) -> str:
        return f"Zone({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Zone) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def local(self, instant: Instant) -> datetime:
        """The aware local time; OverflowError outside the years 1 to 9999."""
        return (_EPOCH + timedelta(microseconds=instant)).astimezone(self._info)

    def instant(self, moment: datetime) -> Instant:
        """The instant of an aware datetime, or of a naive one taken as local time."""
        aware = moment if moment.tzinfo is not None else self._resolved(moment)
        return (aware.astimezone(UTC) - _EPOCH) // _MICROSECOND

    def day_of(self, instant: Instant) -> Day:
        """The day that the instant falls on here."""
        return self._wall(instant)[0]

    def start_of(self, day: Day) -> Instant:
        """The first instant of the day, midnight or what follows where midnight is skipped."""
        return self.at(day, 0)

    def end_of(self, day: Day) -> Instant:
        """The last microsecond of the day."""
        return self.at(day + 1, 0) - 1

    def at(self, day: Day, minute: int) -> Instant:
        """The instant of a local time, in minutes from midnight; 1440 is the next midnight."""
        found = self._known.get((day, minute))
        if found is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = self._unwall(day + minute // 1440, minute % 1440 * MINUTE_US, 0)
            self._known[day, minute] = found
        return found

    def text(self, instant: Instant) -> str:
        """The local time for people, ``2026-01-05 14:30``."""
        on, rest, _ = self._wall(instant)
        minutes = rest // MINUTE_US
        return f"{day_text(on)} {minutes // 60:02d}:{minutes % 60:02d}"

    def add(self, instant: Instant, length: Length, *, times: int = 1) -> Instant:
        """The instant ``times`` × ``length`` later. Hours and minutes are exact; days and what is longer keep the
        local time of day. Working time needs a calendar (ValueError).
        """
        if length.clock:
            return instant + length.microseconds * times
        on, rest, fold = self._wall(instant)
        return self._unwall(add(on, length, times=times), rest, fold)

    def newest(self, first: Instant, length: Length, now: Instant) -> tuple[Instant, int]:
        """Of ``first`` and what comes every ``length`` after it, each counted from the one before: the newest that
        lies before ``now``, and how many came before that one. ``first`` itself where nothing else does.
        """
        if length.clock:
            passed = max((now - 1 - first) // length.microseconds, 0)
            return first + passed * length.microseconds, passed
        found, passed = first, 0
        while (then := self.add(found, length)) < now:
            found, passed = then, passed + 1
        return found, passed

    def latest_start(self, length: Length, now: Instant) -> Instant:
        """The latest instant i with ``add(i, length) <= now``; months and years count by days, to the day's end."""
        return self._latest(length, now, times=1)

    def latest_end(self, length: Length, now: Instant) -> Instant:
        """The latest instant i with ``add(i, length, times=-1) <= now``; months and years count by days."""
        return self._latest(length, now, times=-1)

    def _latest(self, length: Length, now: Instant, *, times: int) -> Instant:
        if length.clock:
            return now - length.microseconds * times
        days, months = _dates(length)
        if months:
            return self.end_of(_latest(self.day_of(now), months * times))
        shift = days * times * DAY_US
        return max(i for i in self._candidates(now, shift) if self.add(i, length, times=times) <= now)

    def _candidates(self, now: Instant, shift: int) -> list[Instant]:
        """Where the latest instant can lie whose local time, ``shift`` later, is at or before ``now``.

        Adding days is "plus a constant" but for jumps where a clock change is skipped or repeated, here or there. So
        the latest instant solves the equation for one pair of offsets, or is the last one before a jump.
        """
        here, there = self._change(now - shift), self._change(now)
        found = [now + to - shift - of for of in here.offsets for to in there.offsets]
        if here.at is not None:
            found.append(here.at - 1)
        if there.at is not None:
            found += [there.at + to - shift - of - 1 for of in here.offsets for to in there.offsets]
        return found

    def _change(self, about: Instant) -> _Change:
        """The offsets in force within two days of an instant, and when the one gives way to the other."""
        low, high = about - 2 * DAY_US, about + 2 * DAY_US
        before, after = self._offset(low), self._offset(high)
        if before == after:
            return _Change((before,), None)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._offset(middle) == before else (low, middle)
        return _Change((before, after), high)

    def _offset(self, instant: Instant) -> int:
        on, rest, _ = self._wall(instant)
        return on * DAY_US + rest - instant

    def _wall(self, instant: Instant) -> tuple[Day, int, int]:
        """Day, microseconds since its midnight by the clock on the wall, and fold."""
        try:
            moment = self.local(instant)
        except OverflowError:
            return *divmod(instant, DAY_US), 0
        seconds = (moment.hour * 60 + moment.minute) * 60 + moment.second
        return moment.toordinal() - _EPOCH_ORDINAL, seconds * 1_000_000 + moment.microsecond, moment.fold

    def _unwall(self, on: Day, rest: int, fold: int) -> Instant:
        try:
            naive = datetime.combine(date.fromordinal(on + _EPOCH_ORDINAL), time()) + timedelta(microseconds=rest)
            return self.instant(naive.replace(fold=fold))
        except (OverflowError, ValueError):
            return on * DAY_US + rest

    def _resolved(self, naive: datetime) -> datetime:
        moment = naive.replace(tzinfo=self._info)
        # In a gap the second reading would go back in time; it is meant only where the time comes twice.
        if naive.fold and moment.astimezone(UTC).astimezone(self._info).replace(tzinfo=None) != naive:
            return moment.replace(fold=0)
        return moment


@dataclass(frozen=True, slots=True)
class _Change:
    offsets: tuple[int, ...]
    at: Instant | None


# Money and shares ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units (cents, fen) of a currency, an ISO 4217 code."""

    minor: int
    currency: str


def minor_digits(currency: str) -> int:
    """How many decimals the currency has, by ISO 4217: 2, but 0 for JPY and its like, 3 for KWD and its like."""
    if currency in _NO_MINOR:
        return 0
    return 3 if currency in _THREE_MINOR else 2


class TooFineError(ValueError):
    """A written amount that its currency has no coins for."""


def to_minor(amount: str | float | Decimal, currency: str) -> int:
    """An amount as minor units. ValueError if it is no number or too large for the store.

    A number was computed and is rounded half-even. A text was written: TooFineError if the currency has fewer decimals,
    for `1.234` can be a thousand and 1.23 would be another amount; what a float adds to an amount is passed over.
    """
    if isinstance(amount, str) and not re.fullmatch(_NUMBER, amount.strip()):
        raise ValueError(f"{_quoted(amount)} is not an amount: write it as 80000 or 80000.50")
    try:
        # by its text, so that 0.1 is a tenth and not the binary number beside it
        exact = amount if isinstance(amount, Decimal) else Decimal(str(amount).strip())
        shifted = exact.scaleb(minor_digits(currency), _EXACTLY) if exact.adjusted() < 30 else _TOO_LARGE
        minor = int(shifted.to_integral_value(ROUND_HALF_EVEN, _EXACTLY))
    except (ArithmeticError, ValueError) as error:  # NaN, infinity, True
        raise ValueError(f"{_quoted(amount)} is not an amount: write it as 80000 or 80000.50") from error
    if abs(minor) > _LARGEST_MINOR:
        raise ValueError(f"{_quoted(amount)} is too large an amount")
    if isinstance(amount, str) and abs(_EXACTLY.subtract(shifted, minor)) > _NOISE:
        finest = f"more decimals than {currency} ({minor_digits(currency)})"
        raise TooFineError(f"{_quoted(amount)} has {finest}: round it, or write thousands without a sign")
    return minor


def parse_money(text: str, default_currency: str) -> Money:
    """``80000 CNY``, or ``80000`` in the default currency; ValueError for anything else."""
    number, _, currency = text.strip().partition(" ")
    currency = currency.strip() or default_currency
    if not re.fullmatch(_CURRENCY, currency):
        raise ValueError(f"{_quoted(text)} is not an amount: write it as '80000' or '80000 CNY'")
    return Money(to_minor(number, currency), currency)


def money_text(minor: int, currency: str) -> str:
    """An amount for people: ``80000 CNY``, and with all its decimals if any of them counts, ``80000.50 CNY``."""
    digits = minor_digits(currency)
    whole, part = divmod(abs(minor), 10**digits)
    decimals = f".{part:0{digits}d}" if part else ""
    return f"{'-' if minor < 0 else ''}{whole}{decimals} {currency}"


def parse_share(text: str) -> float:
    """``80%`` or ``0.5%`` as a fraction of 1; a plain number only between 0 and 1, or ``60`` would be 6000 %."""
    match = re.fullmatch(_SHARE, text.strip())
    if match is None:
        raise ValueError(f"{_quoted(text)} is not a share: write it as 80%")
    number, percent = match.groups()
    if percent:
        return float(Decimal(number) / 100)
    share = float(number)
    if not 0 <= share <= 1:
        raise ValueError(f"{_quoted(text)} is a share between 0 and 1: did you mean {number}%?")
    return share


# Periods -------------------------------------------------------------------------------------------------------------


def share_text(share: float) -> str:
    """A share as people read it: 0.8 is ``80 %``; six digits at most."""
    return f"{share * 100:.6g} %"


def figure_text(value: object, places: int = 2) -> str:
    """A number or an amount with commas between its thousands; what is no whole number to so many places."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{round(value, places):,.15g}"
    amount = re.fullmatch(r"(-?)(\d+)((?:\.\d+)? [A-Z]{3})", str(value))  # as `money_text` writes it
    return f"{amount[1]}{int(amount[2]):,}{amount[3]}" if amount is not None else str(value)


def period_of(day: Day, unit: str, year_starts: int = 1) -> int:
    """Which period the day lies in, as a number that grows by 1 from each period to the next.

    ``unit`` is one of ``PERIODS`` (else ValueError). Weeks begin on Monday; quarters and years with the month
    ``year_starts`` (1–12), and such a year has the number of the calendar year it begins in.
    """
    if unit == "day":
        return day
    if unit == "week":
        return (day + 3) // 7  # 1970-01-01 was a Thursday
    year, month, _ = _civil(day)
    index = year * 12 + month - 1
    return index if unit == "month" else (index - (year_starts - 1)) // _months_of(unit)


def period_span(unit: str, index: int, year_starts: int = 1) -> tuple[Day, Day]:
    """The first day of a period and the day after its last, by the number that ``period_of`` gives."""
    if unit == "day":
        return index, index + 1
    if unit == "week":
        return index * 7 - 3, index * 7 + 4
    months = _months_of(unit)
    first = index * months + (0 if unit == "month" else year_starts - 1)
    year, month = divmod(first, 12)
    following_year, following_month = divmod(first + months, 12)
    return _day_of_civil(year, month + 1, 1), _day_of_civil(following_year, following_month + 1, 1)


def _months_of(unit: str) -> int:
    try:
        return {"month": 1, "quarter": 3, "year": 12}[unit]
    except KeyError:
        raise ValueError(f"{_quoted(unit)} is not a period: write one of {', '.join(PERIODS)}") from None
