"""Borders of lengths: by hand at month ends and clock changes, and against the sums they stand for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csflow.errors import ExpressionError
from csflow.flow.calendars import Calendar, parse_hours
from csflow.flow.moments import Moment
from csflow.values import DAY_US, Length, Zone, add, day

BERLIN = Zone("Europe/Berlin")
OFFICE = Calendar("office", BERLIN, parse_hours({"mon-fri": ["09:00-12:00", "13:00-18:00"]}))
HOUR = 3_600_000_000


def at(text):
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin"))
    return int(moment.timestamp()) * 1_000_000


def moment(text, calendar=OFFICE):
    return Moment(at(text), BERLIN, calendar)


def test_today_is_the_day_in_the_zone_of_the_project():
    assert moment("2026-03-01 00:30").today == day("2026-03-01")  # still February in UTC


def test_a_copy_of_another_time_has_borders_and_constants_of_its_own():
    first = moment("2026-03-31 12:00")
    assert first.constant(("today",)) == day("2026-03-31")
    assert first.borders(Length(3, "days"), until=False, time=False)[1] == day("2026-03-28")
    other = replace(first, now=at("2026-04-10 12:00"))
    assert other.constant(("today",)) == day("2026-04-10")
    assert other.borders(Length(3, "days"), until=False, time=False)[1] == day("2026-04-07")


@pytest.mark.parametrize(
    ("today", "length", "before", "reached"),
    [
        ("2026-03-31", Length(3, "days"), "2026-03-27", "2026-03-28"),
        ("2026-03-31", Length(2, "weeks"), "2026-03-16", "2026-03-17"),
        ("2026-02-27", Length(1, "months"), "2026-01-26", "2026-01-27"),
        ("2026-02-28", Length(1, "months"), "2026-01-27", "2026-01-31"),  # 28 to 31 January all end there
        ("2026-03-01", Length(1, "months"), "2026-01-31", "2026-02-01"),
        ("2028-02-29", Length(1, "years"), "2027-02-28", "2027-02-28"),  # 2027-02-28 came a day earlier, on the 28th
        ("2027-02-28", Length(3, "years"), "2024-02-27", "2024-02-29"),
    ],
)
def test_a_date_has_had_its_length_when_the_sum_has_come(today, length, before, reached):
    found = moment(f"{today} 12:00").borders(length, until=False, time=False)
    assert found == (day(before), day(reached))


@pytest.mark.parametrize(
    ("today", "length", "before", "reached"),
    [
        ("2026-03-31", Length(3, "days"), "2026-04-02", "2026-04-03"),
        ("2026-01-28", Length(1, "months"), "2026-02-27", "2026-02-28"),
        ("2026-02-28", Length(1, "months"), "2026-03-27", "2026-03-31"),  # 31 March less a month is 28 February
        ("2026-01-31", Length(1, "months"), "2026-02-28", "2026-02-28"),
    ],
)
def test_a_date_is_within_its_length_when_the_difference_has_come(today, length, before, reached):
    found = moment(f"{today} 12:00").borders(length, until=True, time=False)
    assert found == (day(before), day(reached))


def test_hours_of_a_date_count_from_its_midnight():
    early = moment("2026-03-10 11:00").borders(Length(12, "hours"), until=False, time=False)
    assert early == (day("2026-03-09"), day("2026-03-09"))
    noon = moment("2026-03-10 12:00").borders(Length(12, "hours"), until=False, time=False)
    assert noon == (day("2026-03-09"), day("2026-03-10"))


def test_hours_of_a_time_are_exact_over_a_clock_change():
    now = moment("2026-03-29 12:00")  # the clocks went from 2 to 3 this night
    assert now.borders(Length(24, "hours"), until=False, time=True)[1] == at("2026-03-28 11:00")


def test_days_of_a_time_keep_the_time_of_day_over_a_clock_change():
    now = moment("2026-03-29 12:00")
    assert now.borders(Length(1, "days"), until=False, time=True)[1] == at("2026-03-28 12:00")
    assert now.borders(Length(1, "days"), until=True, time=True)[1] == at("2026-03-30 12:00")
    before, reached = now.borders(Length(1, "days"), until=False, time=True)
    assert reached - before == 1


def test_months_of_a_time_count_by_days():
    now = moment("2026-02-28 00:00")
    before, reached = now.borders(Length(1, "months"), until=False, time=True)
    assert reached == BERLIN.end_of(day("2026-01-31"))
    assert before == BERLIN.end_of(day("2026-01-27"))


def test_working_hours_run_in_working_time_only():
    now = moment("2026-03-09 10:00")  # a Monday
    assert now.borders(Length(2, "working_hours"), until=False, time=True)[1] == at("2026-03-06 17:00")
    noon = moment("2026-03-09 12:30")
    assert noon.borders(Length(1, "working_hours"), until=False, time=True)[1] == at("2026-03-09 11:00")


def test_working_days_end_with_the_last_hour_of_a_day():
    evening = moment("2026-03-10 18:00")  # a Tuesday: one working day is over for whatever came until Monday's end
    assert evening.borders(Length(1, "working_days"), until=False, time=True)[1] == BERLIN.end_of(day("2026-03-09"))
    earlier = moment("2026-03-10 17:59")  # … and a minute before only for what came until Sunday's end
    assert earlier.borders(Length(1, "working_days"), until=False, time=True)[1] == BERLIN.end_of(day("2026-03-08"))


def test_long_working_lengths_find_their_border():
    now = moment("2026-03-10 18:00")
    _, reached = now.borders(Length(600, "working_days"), until=False, time=True)
    assert OFFICE.add(reached, Length(600, "working_days")) <= now.now
    assert OFFICE.add(reached + 1, Length(600, "working_days")) > now.now


def test_working_time_without_a_calendar_is_an_error_in_one_line():
    with pytest.raises(ExpressionError, match="working time needs a calendar"):
        moment("2026-03-10 18:00", None).borders(Length(1, "working_hours"), until=False, time=True)


LENGTHS = st.builds(Length, st.integers(0, 40), st.sampled_from(["days", "weeks", "months", "years"]))


@settings(derandomize=True, database=None, max_examples=400)
@given(LENGTHS, st.integers(19_000, 22_000), st.integers(-800, 800), st.booleans())
def test_a_day_is_within_the_border_exactly_when_its_sum_has_come(length, today, apart, until):
    now = Moment(BERLIN.end_of(today), BERLIN)
    before, reached = now.borders(length, until=until, time=False)
    some = today + apart
    come = add(some, length, times=-1 if until else 1)
    assert (some <= reached) == (come <= today)
    assert (some <= before) == (come < today)


@settings(derandomize=True, database=None, max_examples=300)
@given(
    st.sampled_from([Length(1, "working_hours"), Length(20, "working_hours"), Length(2, "working_days")]),
    st.integers(0, 60 * 24 * 20),
    st.integers(-60 * 24 * 9, 60 * 24 * 9),
    st.booleans(),
)
def test_working_borders_are_the_latest_moments_whose_sum_has_come(length, minutes, apart, until):
    start = at("2026-03-20 00:00")  # the clocks change nine days later
    now = Moment(start + minutes * 60_000_000, BERLIN, OFFICE)
    some = now.now + apart * 60_000_000
    before, reached = now.borders(length, until=until, time=True)
    come = OFFICE.add(some, length, times=-1 if until else 1)
    assert (some <= reached) == (come <= now.now)
    assert (some <= before) == (come < now.now)


@settings(derandomize=True, database=None, max_examples=300)
@given(st.integers(0, 9), st.integers(0, 24 * 6), st.integers(-24 * 60 * 12, 24 * 60 * 12), st.booleans())
def test_borders_of_days_of_a_time_are_exact_around_clock_changes(days, tens, apart, until):
    now = Moment(at("2026-10-24 12:00") + tens * 600_000_000, BERLIN)
    some = now.now + apart * 60_000_000
    length = Length(days, "days")
    before, reached = now.borders(length, until=until, time=True)
    come = BERLIN.add(some, length, times=-1 if until else 1)
    assert (some <= reached) == (come <= now.now)
    assert (some <= before) == (come < now.now)


def test_borders_are_remembered():
    now = moment("2026-03-10 18:00")
    assert now.borders(Length(3, "days"), until=False, time=True) == (now.now - 3 * DAY_US - 1, now.now - 3 * DAY_US)
    assert len(now._borders) == 1
    assert now.borders(Length(3, "days"), until=False, time=True)[1] == now.now - 72 * HOUR
    assert len(now._borders) == 1


BERLIN = Zone("Europe/Berlin")
NOON = BERLIN.start_of(day("2026-11-21")) + 12 * 3_600_000_000


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (("now",), NOON),
        (("today",), day("2026-11-21")),
        (("border", 3, "days", False, False, 1), day("2026-11-18")),
        (("border", 3, "days", False, False, 0), day("2026-11-17")),
        (("border", 2, "hours", False, True, 1), NOON - 2 * 3_600_000_000),
        (("border_day", 13, "hours", False, True, 1), day("2026-11-20")),
        (("logged", 11, "hours", False, True, 1), 1),
        (("logged", 13, "hours", False, True, 1), 0),
        (("rated", 200.0, "USD"), 180.0),
        (("rated", 200.0, "CNY"), None),
        (("fresh", "quiet", 7), -1),
        (("fresh", "loud", 8), 8),
        (("turn_day", "month", 1, 1), "2026-11-01"),
        (("turn_day", "month", 3, 1), "2026-10-01"),
        (("begin", None, None, False), day("2026-10-01")),
        (("end", None, None, True), BERLIN.start_of(day("2026-11-01"))),
        (("begin", 1, "months", False), day("2026-09-01")),
    ],
)
def test_a_constant_follows_from_the_moment_by_its_recipe(recipe, expected):
    moment = Moment(
        now=NOON,
        zone=BERLIN,
        log_begin=BERLIN.start_of(day("2026-11-21")),
        rates={"USD": 0.9},
        period=(day("2026-10-01"), day("2026-11-01")),
        stale=frozenset({"quiet"}),
    )
    assert moment.constant(recipe) == expected


def test_periods_are_numbered_one_after_the_other():
    numbers = [
        Moment(now=BERLIN.start_of(day(text)), zone=BERLIN).constant(("turn", "month", 1, 1))
        for text in ("2025-12-31", "2026-01-01", "2026-01-31", "2026-02-01")
    ]
    assert [number - numbers[0] for number in numbers] == [0, 1, 1, 2]
