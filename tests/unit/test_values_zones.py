from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from csflow.values import DAY_US, Length, Zone, day, day_text

BERLIN, NEW_YORK, SHANGHAI = Zone("Europe/Berlin"), Zone("America/New_York"), Zone("Asia/Shanghai")

days = st.integers(day("1896-01-01"), day("2204-12-31"))
zones = st.sampled_from([BERLIN, NEW_YORK, SHANGHAI])


def utc(text: str) -> int:
    """An instant from its UTC text, by another way than the code under test."""
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Europe/Berln", "did you mean 'Europe/Berlin'?"),
        ("", "write an IANA name such as 'Europe/Berlin'"),
        ("../../etc/passwd", "unknown zone"),
        ("Asia", "unknown zone 'Asia'"),
        ("a\0b", "unknown zone"),
    ],
)
def test_an_unknown_zone_is_refused_in_one_line(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match="unknown zone") as caught:
        Zone(name)
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_zones_of_one_name_are_equal() -> None:
    assert Zone("Asia/Shanghai") == SHANGHAI
    assert len({Zone("Asia/Shanghai"), SHANGHAI, BERLIN}) == 2
    assert SHANGHAI != "Asia/Shanghai"
    assert repr(SHANGHAI) == "Zone('Asia/Shanghai')"


@pytest.mark.parametrize(
    ("zone", "instant", "on"),
    [
        (SHANGHAI, "2026-01-04T16:00:00", "2026-01-05"),
        (SHANGHAI, "2026-01-04T15:59:59.999999", "2026-01-04"),
        (BERLIN, "2026-01-04T23:00:00", "2026-01-05"),
        (BERLIN, "2026-07-04T22:00:00", "2026-07-05"),
        (NEW_YORK, "2026-01-05T04:59:59", "2026-01-04"),
        (NEW_YORK, "2026-01-05T05:00:00", "2026-01-05"),
    ],
)
def test_the_zone_decides_which_day_an_instant_is(zone: Zone, instant: str, on: str) -> None:
    assert day_text(zone.day_of(utc(instant))) == on


@pytest.mark.parametrize(
    ("zone", "on", "start", "end"),
    [
        (SHANGHAI, "2026-01-05", "2026-01-04T16:00:00", "2026-01-05T15:59:59.999999"),
        (BERLIN, "2026-03-29", "2026-03-28T23:00:00", "2026-03-29T21:59:59.999999"),  # 23 hours
        (BERLIN, "2026-10-25", "2026-10-24T22:00:00", "2026-10-25T22:59:59.999999"),  # 25 hours
        (NEW_YORK, "2026-03-08", "2026-03-08T05:00:00", "2026-03-09T03:59:59.999999"),
        (NEW_YORK, "2026-11-01", "2026-11-01T04:00:00", "2026-11-02T04:59:59.999999"),
        (Zone("America/Havana"), "2026-03-08", "2026-03-08T05:00:00", "2026-03-09T03:59:59.999999"),  # midnight skipped
    ],
)
def test_a_day_begins_and_ends_by_the_zones_clock(zone: Zone, on: str, start: str, end: str) -> None:
    assert zone.start_of(day(on)) == utc(start)
    assert zone.end_of(day(on)) == utc(end)


@given(zones, days)
def test_days_follow_each_other_without_gap(zone: Zone, on: int) -> None:
    assert zone.end_of(on) + 1 == zone.start_of(on + 1)
    assert zone.day_of(zone.start_of(on)) == zone.day_of(zone.end_of(on)) == on


def test_what_a_zone_remembers_stays_bounded_and_right() -> None:
    zone = Zone("Europe/Berlin")
    midnights = [zone.start_of(on) for on in range(25_000)]
    assert len(zone._known) <= 20_000
    assert [zone.start_of(on) for on in range(25_000)] == midnights
    assert zone.at(day("2026-01-05"), 870) == utc("2026-01-05T13:30:00")


def test_local_time_is_aware_and_reads_back() -> None:
    local = BERLIN.local(utc("2026-07-01T10:30:00"))
    assert (local.hour, local.minute, local.utcoffset()) == (12, 30, timedelta(hours=2))
    assert BERLIN.instant(local) == utc("2026-07-01T10:30:00")


def test_an_aware_datetime_keeps_its_own_zone() -> None:
    moment = datetime(2026, 1, 5, 9, 0, tzinfo=timezone(timedelta(hours=8)))
    assert BERLIN.instant(moment) == utc("2026-01-05T01:00:00")


@pytest.mark.parametrize(
    ("zone", "local", "fold", "instant"),
    [
        (BERLIN, "2026-01-05T14:30", 0, "2026-01-05T13:30:00"),
        (BERLIN, "2026-01-05T14:30", 1, "2026-01-05T13:30:00"),
        (BERLIN, "2026-03-29T02:30", 0, "2026-03-29T01:30:00"),  # skipped: becomes 03:30
        (BERLIN, "2026-03-29T02:30", 1, "2026-03-29T01:30:00"),
        (BERLIN, "2026-10-25T02:30", 0, "2026-10-25T00:30:00"),  # comes twice
        (BERLIN, "2026-10-25T02:30", 1, "2026-10-25T01:30:00"),
        (NEW_YORK, "2026-03-08T02:30", 0, "2026-03-08T07:30:00"),
        (NEW_YORK, "2026-11-01T01:30", 0, "2026-11-01T05:30:00"),
        (NEW_YORK, "2026-11-01T01:30", 1, "2026-11-01T06:30:00"),
    ],
)
def test_a_naive_datetime_is_local_also_where_clocks_change(zone: Zone, local: str, fold: int, instant: str) -> None:
    assert zone.instant(datetime.fromisoformat(local).replace(fold=fold)) == utc(instant)


@given(zones, st.datetimes(datetime(1990, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_every_instant_survives_its_local_time(zone: Zone, moment: datetime) -> None:
    instant = utc(moment.replace(tzinfo=None).isoformat())
    assert zone.instant(zone.local(instant)) == instant
    assert zone.instant(zone.local(instant).replace(tzinfo=None)) == instant  # the fold is kept


def test_the_text_of_an_instant_is_local() -> None:
    assert SHANGHAI.text(utc("2026-01-05T06:30:59")) == "2026-01-05 14:30"
    assert NEW_YORK.text(utc("2026-01-05T01:05:00")) == "2026-01-04 20:05"


@pytest.mark.parametrize(
    ("zone", "start", "length", "end"),
    [
        (BERLIN, "2026-03-28T11:00:00", Length(24, "hours"), "2026-03-29T11:00:00"),
        (BERLIN, "2026-03-28T11:00:00", Length(1, "days"), "2026-03-29T10:00:00"),  # noon stays noon
        (BERLIN, "2026-10-24T10:00:00", Length(1, "weeks"), "2026-10-31T11:00:00"),
        (NEW_YORK, "2026-03-07T17:00:00", Length(1, "days"), "2026-03-08T16:00:00"),
        (NEW_YORK, "2026-10-31T16:00:00", Length(1, "days"), "2026-11-01T17:00:00"),
        (SHANGHAI, "2026-01-31T02:00:00", Length(1, "months"), "2026-02-28T02:00:00"),
        (SHANGHAI, "2026-01-30T18:00:00", Length(1, "months"), "2026-02-27T18:00:00"),  # locally the 31st
        (BERLIN, "2024-02-29T12:00:00", Length(1, "years"), "2025-02-28T12:00:00"),
        (BERLIN, "2026-03-28T01:30:00", Length(1, "days"), "2026-03-29T01:30:00"),  # 02:30 is skipped: 03:30
        (BERLIN, "2026-01-01T00:00:00", Length(1.5, "minutes"), "2026-01-01T00:01:30"),
    ],
)
def test_hours_are_exact_and_days_keep_the_local_time(zone: Zone, start: str, length: Length, end: str) -> None:
    assert zone.add(utc(start), length) == utc(end)


def test_an_instant_can_be_taken_back() -> None:
    assert BERLIN.add(utc("2026-03-29T10:00:00"), Length(1, "days"), times=-1) == utc("2026-03-28T11:00:00")
    assert BERLIN.add(utc("2026-03-29T10:00:00"), Length(2, "hours"), times=-1) == utc("2026-03-29T08:00:00")


def test_working_time_needs_a_calendar() -> None:
    for unit in ("working_minutes", "working_hours", "working_days"):
        with pytest.raises(ValueError, match=r"1 working .* cannot be counted"):
            BERLIN.add(0, Length(1, unit))
        with pytest.raises(ValueError, match=r"1 working .* cannot be counted"):
            BERLIN.latest_start(Length(1, unit), 0)


@pytest.mark.parametrize(
    ("now", "length", "start"),
    [
        ("2026-03-29T10:00:00", Length(24, "hours"), "2026-03-28T10:00:00"),
        ("2026-03-29T10:00:00", Length(1, "days"), "2026-03-28T11:00:00"),
        # 02:30 of the 29th is skipped, so on the 30th at 02:30 the last to have had a day began before the skip
        ("2026-03-30T00:30:00", Length(1, "days"), "2026-03-29T00:59:59.999999"),
        # 02:30 of 25 October comes twice, and from either one day leads to 02:30 of the 26th
        ("2026-10-26T01:30:00", Length(1, "days"), "2026-10-25T01:30:00"),
        # in the second 02:30 of the 25th all that began before 03:00 of the 24th have had their day
        ("2026-10-25T01:30:00", Length(1, "days"), "2026-10-24T00:59:59.999999"),
        # months count by days: the end of 31 January, local time
        ("2026-02-28T03:00:00", Length(1, "months"), "2026-01-31T22:59:59.999999"),
    ],
)
def test_the_latest_start_of_an_instant_is_exact_where_clocks_change(now: str, length: Length, start: str) -> None:
    assert BERLIN.latest_start(length, utc(now)) == utc(start)


near_changes = st.builds(
    lambda change, minutes: utc(change) + minutes * 60_000_000,
    st.sampled_from(
        ["2026-03-29T01:00", "2026-10-25T01:00", "2026-03-08T07:00", "2026-11-01T06:00", "2025-10-26T01:00"]
    ),
    st.integers(-3000, 3000),
)


@given(st.sampled_from([BERLIN, NEW_YORK, Zone("Australia/Lord_Howe")]), near_changes, st.integers(0, 15))
@example(BERLIN, utc("2026-10-25T00:30:00"), 364)  # clocks go back on both days
@example(BERLIN, utc("2026-10-25T01:30:00"), 364)
def test_nothing_later_than_the_latest_start_has_had_its_days(zone: Zone, now: int, amount: int) -> None:
    length = Length(amount, "days")
    latest = zone.latest_start(length, now)
    assert zone.add(latest, length) <= now
    assert all(zone.add(latest + step * 60_000_000, length) > now for step in range(1, 200))
    assert zone.add(latest + 1, length) > now
    end = zone.latest_end(length, now)
    assert zone.add(end, length, times=-1) <= now < zone.add(end + 1, length, times=-1)


def test_the_latest_end_of_an_instant_looks_ahead() -> None:
    assert SHANGHAI.latest_end(Length(2, "hours"), utc("2026-01-05T00:00:00")) == utc("2026-01-05T02:00:00")
    assert SHANGHAI.latest_end(Length(1, "months"), utc("2026-02-27T16:00:00")) == utc("2026-03-31T15:59:59.999999")


def test_a_zone_agrees_with_the_standard_library_all_through_a_year() -> None:
    info = ZoneInfo("America/New_York")
    for hour in range(0, 365 * 24, 5):
        moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
        assert day_text(NEW_YORK.day_of(utc(moment.replace(tzinfo=None).isoformat()))) == str(
            moment.astimezone(info).date()
        )


def test_bounds_far_away_are_instants_and_no_errors() -> None:
    assert BERLIN.latest_start(Length(9_000, "years"), utc("2026-01-01")) < utc("0001-01-01")
    # 01:00 in Berlin, and so long ago 01:00 of UTC, since zones are not known there
    long_ago = utc("2026-01-01T01:00") - 1_000_000 * DAY_US
    assert BERLIN.latest_start(Length(1_000_000, "days"), utc("2026-01-01")) == long_ago
    assert BERLIN.text(long_ago).endswith(" 01:00")


def one_by_one(zone: Zone, first: int, length: Length, now: int) -> tuple[int, int]:
    passed = 0
    while zone.add(first, length) < now:
        first, passed = zone.add(first, length), passed + 1
    return first, passed


@pytest.mark.parametrize(
    ("length", "now", "newest"),
    [
        (Length(1, "days"), "2026-01-31 11:00:01", ("2026-01-31 11:00:00", 0)),
        (Length(1, "days"), "2026-02-01 11:00:00", ("2026-01-31 11:00:00", 0)),  # not yet: now is not past
        (Length(1, "days"), "2026-02-01 11:00:01", ("2026-02-01 11:00:00", 1)),
        (Length(1, "weeks"), "2026-04-20 00:00:00", ("2026-04-18 10:00:00", 11)),  # by the clock on the wall
        (Length(1, "months"), "2026-04-01 00:00:00", ("2026-03-28 11:00:00", 2)),  # each from the one before
        (Length(12, "hours"), "2026-04-20 10:00:00", ("2026-04-19 23:00:00", 157)),
        (Length(1.5, "hours"), "2026-01-31 00:00:00", ("2026-01-31 11:00:00", 0)),  # the first is still to come
    ],
)
def test_the_newest_of_a_series_and_how_many_came_before_it(length: Length, now: str, newest: tuple[str, int]) -> None:
    first = utc("2026-01-31 11:00:00")
    assert BERLIN.newest(first, length, utc(now)) == (utc(newest[0]), newest[1])


@given(
    zones,
    st.integers(utc("2025-01-01"), utc("2027-01-01")),
    st.integers(0, 400 * DAY_US),
    st.integers(1, 90),
    st.sampled_from(["hours", "days", "weeks", "months"]),
)
def test_the_newest_of_a_series_is_found_as_one_by_one(
    zone: Zone, first: int, later: int, every: int, unit: str
) -> None:
    length = Length(every, unit)
    assert zone.newest(first, length, first + later) == one_by_one(zone, first, length, first + later)
