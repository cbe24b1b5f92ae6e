from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csflow.flow.calendars import Calendar, parse_hours
from csflow.values import MINUTE_US, Length, Zone, day

HOUR_US = 60 * MINUTE_US
SHANGHAI, BERLIN, NEW_YORK = Zone("Asia/Shanghai"), Zone("Europe/Berlin"), Zone("America/New_York")
OFFICE_HOURS = dict.fromkeys(range(5), ((540, 720), (810, 1080)))  # 09:00–12:00, 13:30–18:00: 7.5 hours
# The spring holiday of 2026: closed for a week from Monday the 16th, and Saturday the 28th is worked for it.
OFFICE = Calendar(
    "office",
    SHANGHAI,
    OFFICE_HOURS,
    holidays=frozenset(range(day("2026-02-16"), day("2026-02-21"))),
    open_on=frozenset({day("2026-02-28")}),
)
ALWAYS = dict.fromkeys(range(7), ((0, 1440),))


def at(text: str, zone: Zone = SHANGHAI) -> int:
    return zone.instant(datetime.fromisoformat(text))


def hours(amount: float) -> Length:
    return Length(amount, "working_hours")


def working_days(amount: float) -> Length:
    return Length(amount, "working_days")


# Which days


@pytest.mark.parametrize(
    ("on", "is_open"),
    [
        ("2026-01-05", True),  # a Monday
        ("2026-01-09", True),
        ("2026-01-10", False),  # a Saturday
        ("2026-01-11", False),
        ("2026-02-18", False),  # a holiday
        ("2026-02-28", True),  # a Saturday that is worked
    ],
)
def test_weekdays_holidays_and_worked_saturdays(on: str, is_open: bool) -> None:
    assert OFFICE.is_open(day(on)) is is_open
    assert bool(OFFICE.spans(day(on))) is is_open


def test_open_on_beats_closed_on_beats_holidays_beats_weekdays() -> None:
    monday, tuesday, wednesday, thursday = range(day("2026-01-05"), day("2026-01-09"))
    calendar = Calendar(
        "c",
        SHANGHAI,
        OFFICE_HOURS,
        open_on=frozenset({monday}),
        closed_on=frozenset({monday, tuesday}),
        holidays=frozenset({monday, tuesday, wednesday}),
    )
    assert [calendar.is_open(on) for on in (monday, tuesday, wednesday, thursday)] == [True, False, False, True]


def test_a_day_opened_by_name_has_the_hours_of_the_first_weekday_with_any() -> None:
    calendar = Calendar(
        "c", SHANGHAI, {5: ((600, 720),), 1: ((480, 900),), 0: ()}, open_on=frozenset({day("2026-01-10")})
    )
    assert calendar.spans(day("2026-01-10")) == [(at("2026-01-10T08:00"), at("2026-01-10T15:00"))]  # Tuesday's
    assert calendar.spans(day("2026-01-17")) == [(at("2026-01-17T10:00"), at("2026-01-17T12:00"))]  # its own


def test_a_calendar_that_is_never_open_is_refused() -> None:
    for nothing in ({}, {0: (), 3: ()}):
        with pytest.raises(ValueError, match="calendar 'empty' is never open: give at least one weekday hours"):
            Calendar("empty", SHANGHAI, nothing, open_on=frozenset({day("2026-01-05")}))


# Which hours


def test_spans_are_instants_in_the_calendars_zone() -> None:
    assert OFFICE.spans(day("2026-01-05")) == [
        (at("2026-01-05T01:00+00:00"), at("2026-01-05T04:00+00:00")),
        (at("2026-01-05T05:30+00:00"), at("2026-01-05T10:00+00:00")),
    ]


@pytest.mark.parametrize(
    ("zone", "on", "length"),
    [
        (BERLIN, "2026-03-28", 24),
        (BERLIN, "2026-03-29", 23),
        (BERLIN, "2026-10-25", 25),
        (NEW_YORK, "2026-03-08", 23),
        (NEW_YORK, "2026-11-01", 25),
        (SHANGHAI, "2026-03-29", 24),
    ],
)
def test_a_whole_day_is_as_long_as_the_zone_makes_it(zone: Zone, on: str, length: int) -> None:
    [(start, stop)] = Calendar("always", zone, ALWAYS).spans(day(on))
    assert stop - start == length * HOUR_US


def test_a_night_span_loses_the_hour_that_clocks_skip_and_counts_it_once() -> None:
    nights = Calendar("nights", BERLIN, {6: ((60, 150), (150, 240))})  # Sundays 01:00–02:30 and 02:30–04:00
    start, stop = at("2026-03-29T00:00+00:00"), at("2026-03-29T02:00+00:00")  # 01:00 and 04:00 local, two hours apart
    assert nights.between(start, stop) == 2 * HOUR_US
    ordinary = at("2026-03-22T00:00+00:00")
    assert nights.between(ordinary, ordinary + 3 * HOUR_US) == 3 * HOUR_US


def test_a_span_that_a_skipped_one_was_moved_onto_counts_once() -> None:
    # 02:00–02:30 is skipped on 29 March and becomes 03:00–03:30, which leaves nothing of 03:00–03:15
    nights = Calendar("nights", BERLIN, {6: ((120, 150), (180, 195))})
    assert nights.spans(day("2026-03-29")) == [(at("2026-03-29T01:00+00:00"), at("2026-03-29T01:30+00:00"))]


# Adding working time


@pytest.mark.parametrize(
    ("start", "length", "end"),
    [
        ("2026-01-05T09:00", hours(2), "2026-01-05T11:00"),
        ("2026-01-05T11:00", hours(2), "2026-01-05T14:30"),  # over lunch
        ("2026-01-05T09:00", hours(3), "2026-01-05T12:00"),  # ends as the morning ends
        ("2026-01-05T12:00", hours(1), "2026-01-05T14:30"),  # the end of a span is outside it
        ("2026-01-05T12:30", hours(1), "2026-01-05T14:30"),
        ("2026-01-05T07:00", hours(1), "2026-01-05T10:00"),  # before opening
        ("2026-01-05T17:30", hours(1), "2026-01-06T09:30"),
        ("2026-01-09T17:30", hours(1), "2026-01-12T09:30"),  # over the weekend
        ("2026-01-10T15:00", hours(1), "2026-01-12T10:00"),
        ("2026-01-05T09:00", hours(24), "2026-01-08T10:30"),  # 3 days of 7.5 hours and 1.5 hours: not a day
        ("2026-02-13T17:30", hours(1), "2026-02-23T09:30"),  # over the holiday
        ("2026-02-27T17:30", hours(1), "2026-02-28T09:30"),  # the Saturday is worked
        ("2026-01-05T17:50", Length(30, "working_minutes"), "2026-01-06T09:20"),
        ("2026-01-05T09:00", hours(1.5), "2026-01-05T10:30"),
        ("2026-01-05T03:00", hours(0), "2026-01-05T09:00"),
        ("2026-01-05T10:00", hours(0), "2026-01-05T10:00"),
    ],
)
def test_working_hours_run_only_in_working_time(start: str, length: Length, end: str) -> None:
    assert OFFICE.add(at(start), length) == at(end)


@pytest.mark.parametrize(
    ("start", "amount", "end"),
    [
        ("2026-01-05T10:00", 1, "2026-01-06T18:00"),
        ("2026-01-05T00:00", 1, "2026-01-06T18:00"),  # at whatever hour of its day
        ("2026-01-05T23:00", 1, "2026-01-06T18:00"),
        ("2026-01-08T10:00", 2, "2026-01-12T18:00"),
        ("2026-01-10T10:00", 1, "2026-01-12T18:00"),  # Saturday: Monday is the first working day after
        ("2026-01-05T10:00", 10, "2026-01-19T18:00"),
        ("2026-02-13T10:00", 1, "2026-02-23T18:00"),
        ("2026-02-26T10:00", 3, "2026-03-02T18:00"),  # Friday, the worked Saturday, Monday
        ("2026-01-05T10:00", 0, "2026-01-05T18:00"),
        ("2026-01-05T18:00", 0, "2026-01-06T18:00"),
        ("2026-01-10T10:00", 0, "2026-01-12T18:00"),
    ],
)
def test_working_days_end_with_the_nth_working_day_after(start: str, amount: int, end: str) -> None:
    assert OFFICE.add(at(start), working_days(amount)) == at(end)


@pytest.mark.parametrize(
    ("start", "length", "end"),
    [
        ("2026-01-05T11:00", hours(2), "2026-01-05T09:00"),
        ("2026-01-05T14:30", hours(2), "2026-01-05T11:00"),
        ("2026-01-05T13:00", hours(1), "2026-01-05T11:00"),
        ("2026-01-12T09:30", hours(1), "2026-01-09T17:30"),
        ("2026-01-12T10:00", working_days(1), "2026-01-09T18:00"),
        ("2026-01-11T10:00", working_days(2), "2026-01-08T18:00"),
        ("2026-01-31T23:59", working_days(5), "2026-01-26T18:00"),
    ],
)
def test_working_time_can_be_taken_back(start: str, length: Length, end: str) -> None:
    assert OFFICE.add(at(start), length, times=-1) == at(end)


def test_the_zone_of_the_calendar_decides_which_day_it_is() -> None:
    late_in_new_york = at("2026-01-05T22:00", NEW_YORK)  # Tuesday 11:00 in Shanghai
    assert OFFICE.add(late_in_new_york, working_days(1)) == at("2026-01-07T18:00")


def test_other_lengths_are_no_working_time() -> None:
    for unit in ("days", "hours", "months"):
        with pytest.raises(ValueError, match="is not working time"):
            OFFICE.add(0, Length(2, unit))
    with pytest.raises(ValueError, match=r"1\.5 working days cannot be counted in whole days"):
        OFFICE.add(0, working_days(1.5))


def test_a_length_that_no_calendar_fills_ends_in_an_error_and_not_in_an_endless_search() -> None:
    minute_a_week = Calendar("tiny", SHANGHAI, {0: ((540, 541),)})
    for length, times in ((hours(10_000), 1), (hours(10_000), -1), (working_days(100_000), 1)):
        with pytest.raises(ValueError, match="calendar 'tiny' has too little working time"):
            minute_a_week.add(0, length, times=times)


# Time between, and deadlines that stood still


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        ("2026-01-05T09:00", "2026-01-05T18:00", 7.5),
        ("2026-01-05T10:00", "2026-01-05T10:00", 0),
        ("2026-01-05T12:10", "2026-01-05T13:20", 0),
        ("2026-01-09T17:00", "2026-01-12T10:00", 2),
        ("2026-01-10T00:00", "2026-01-12T00:00", 0),
        ("2026-01-01T00:00", "2026-02-01T00:00", 22 * 7.5),  # Thursday to Saturday: 22 weekdays
        ("2026-01-12T10:00", "2026-01-09T17:00", -2),
    ],
)
def test_time_between_two_moments_counts_working_time_only(start: str, stop: str, expected: float) -> None:
    assert OFFICE.between(at(start), at(stop)) == expected * HOUR_US


def test_a_deadline_that_stood_still_goes_on_with_what_was_left() -> None:
    due = OFFICE.add(at("2026-01-05T09:00"), hours(6))
    left = OFFICE.between(at("2026-01-05T11:00"), due)
    assert left == 4 * HOUR_US
    assert OFFICE.advance(at("2026-01-09T16:00"), left) == at("2026-01-12T11:00")


# Any calendar, any moment


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    week: dict[int, tuple[tuple[int, int], ...]] = {}
    for weekday in draw(st.sets(st.integers(0, 6), min_size=1)):
        bounds = sorted(draw(st.sets(st.integers(0, 1440), min_size=2, max_size=4)))
        week[weekday] = tuple(zip(bounds[::2], bounds[1::2], strict=False))
    some_days = st.frozensets(st.integers(day("2026-03-01"), day("2026-04-10")), max_size=6)
    zone = draw(st.sampled_from([SHANGHAI, BERLIN, NEW_YORK]))
    return Calendar("any", zone, week, closed_on=draw(some_days), open_on=draw(some_days), holidays=draw(some_days))


moments = st.datetimes(datetime(2026, 2, 20), datetime(2026, 4, 20), timezones=st.just(UTC)).map(BERLIN.instant)  # noqa: DTZ001
amounts = st.integers(1, 40 * HOUR_US)


@given(calendars(), moments, amounts)
def test_between_a_moment_and_n_hours_later_lie_n_hours(calendar: Calendar, start: int, amount: int) -> None:
    end = calendar.advance(start, amount)
    assert calendar.between(start, end) == amount
    assert calendar.between(start, end - 1) == amount - 1  # the earliest such moment


@given(calendars(), moments, amounts)
def test_going_back_n_hours_is_the_latest_moment_that_leads_here(calendar: Calendar, end: int, amount: int) -> None:
    start = calendar.advance(end, -amount)
    assert calendar.between(start, end) == amount
    assert calendar.between(start + 1, end) == amount - 1


@given(calendars(), moments, st.integers(0, 10 * 86_400_000_000), st.integers(0, 5), st.sampled_from(["hours", "days"]))
def test_adding_working_time_never_reverses_order(
    calendar: Calendar, start: int, gap: int, amount: int, unit: str
) -> None:
    length = Length(amount, f"working_{unit}")
    assert calendar.add(start, length) <= calendar.add(start + gap, length)
    assert calendar.add(start, length) >= start


@given(calendars(), moments)
def test_working_minutes_counted_one_by_one_agree(calendar: Calendar, start: int) -> None:
    # another way: ask the wall clock of every minute of two days whether it stands within the hours
    start -= start % MINUTE_US
    expected = 0
    for moment in range(start, start + 2 * 86_400_000_000, MINUTE_US):
        local = calendar.zone.local(moment)
        on = day(local.date())
        week = calendar.hours.get(local.weekday(), ())
        if on in calendar.open_on:
            week = calendar.hours[min(calendar.hours)]
        elif on in calendar.closed_on or on in calendar.holidays:
            week = ()
        minute = local.hour * 60 + local.minute
        expected += any(first <= minute < end for first, end in week)
    changes = {day("2026-03-29"), day("2026-03-08")}  # where spans are moved on, the walls differ
    touched = {calendar.zone.day_of(start) + step for step in range(3)}
    if not changes & touched:
        assert calendar.between(start, start + 2 * 86_400_000_000) == expected * MINUTE_US


# Hours as people write them


def test_hours_are_read_by_weekday_and_put_in_order() -> None:
    written = {"sat": ["10:00-12:00"], "mon-wed": ["13:30-18:00", "09:00-12:00"], "sun": []}
    assert parse_hours(written) == {
        0: ((540, 720), (810, 1080)),
        1: ((540, 720), (810, 1080)),
        2: ((540, 720), (810, 1080)),
        5: ((600, 720),),
    }


def test_one_span_needs_no_list_and_a_day_may_end_at_midnight() -> None:
    assert parse_hours({"fri": "00:00-24:00"}) == {4: ((0, 1440),)}
    assert parse_hours({"Fri": "9:00 – 18:00"}) == {4: ((540, 1080),)}
    assert parse_hours({"fri": ["09:00-12:00", "12:00-13:00"]}) == {4: ((540, 720), (720, 780))}


def test_a_range_of_weekdays_may_pass_sunday() -> None:
    assert sorted(parse_hours({"sat-mon": "09:00-10:00"})) == [0, 5, 6]
    assert sorted(parse_hours({"mon-sun": "09:00-10:00"})) == list(range(7))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"frid": "09:00-10:00"}, "'frid' is not a weekday: did you mean 'fri'?"),
        ({"mon-fry": "09:00-10:00"}, "'fry' is not a weekday: did you mean 'fri'?"),
        ({"": "09:00-10:00"}, "'' is not a weekday: write mon, tue … sun or a range such as mon-fri"),
        ({"workdays": "09:00-10:00"}, "'workdays' is not a weekday: write mon, tue … sun or a range such as mon-fri"),
        ({"mon-fri": "09:00-10:00", "wed": []}, "'wed' has hours twice: give each weekday once"),
        ({"mon": ["09:00-12:00", "11:00-13:00"]}, "the hours of 'mon' overlap at 11:00"),
    ],
)
def test_wrong_weekdays_and_overlaps_are_refused(written: dict[str, list[str] | str], message: str) -> None:
    with pytest.raises(ValueError, match=r"weekday|overlap") as caught:
        parse_hours(written)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "span", ["", "9-18", "18:00-09:00", "09:00-09:00", "09:00-24:01", "09:60-10:00", "09:00-10:00x"]
)
def test_a_wrong_span_is_refused(span: str) -> None:
    with pytest.raises(ValueError, match="is not a span of a day: write 09:00-18:00") as caught:
        parse_hours({"mon": [span]})
    assert str(caught.value).startswith(f"'{span}' ")
