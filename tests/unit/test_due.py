from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csflow.flow.calendars import Calendar
from csflow.flow.due import Due, due_at, parse_due
from csflow.values import UNITS, Length, Zone, day, length_text

SHANGHAI, BERLIN, NEW_YORK = Zone("Asia/Shanghai"), Zone("Europe/Berlin"), Zone("America/New_York")
WEEK = dict.fromkeys(range(5), ((540, 720), (810, 1080)))  # 09:00–12:00, 13:30–18:00
CALENDARS = {"office": Calendar("office", SHANGHAI, WEEK), "berlin": Calendar("berlin", BERLIN, WEEK)}


def at(text: str, zone: Zone = SHANGHAI) -> int:
    return zone.instant(datetime.fromisoformat(text))


def from_moment(text: str, moment: str, zone: Zone = SHANGHAI, calendar: str | None = "office") -> int | None:
    due = parse_due(text, calendar=calendar)
    return due_at(due, anchor=at(moment, zone), anchor_is_day=False, zone=zone, calendars=CALENDARS)


def from_day(text: str, on: str, zone: Zone = SHANGHAI, calendar: str | None = "office") -> int | None:
    due = parse_due(text, calendar=calendar)
    return due_at(due, anchor=day(on), anchor_is_day=True, zone=zone, calendars=CALENDARS)


# What people write


@pytest.mark.parametrize(
    ("text", "length", "anchor", "before"),
    [
        ("24 hours", Length(24, "hours"), "entered", False),
        ("2 working days", Length(2, "working_days"), "entered", False),
        ("30 working minutes", Length(30, "working_minutes"), "entered", False),
        ("1 month after clock", Length(1, "months"), "clock", False),
        ("14 days after case", Length(14, "days"), "case", False),
        ("3 months before contract.ends_on", Length(3, "months"), "contract.ends_on", True),
        ("2 days after contract.starts_on", Length(2, "days"), "contract.starts_on", False),
        ("5 working days before clock", Length(5, "working_days"), "clock", True),
        ("contract.ends_on", None, "contract.ends_on", False),
        ("renewal.milestones.offer", None, "renewal.milestones.offer", False),
        ("2 days after 合同.结束日", Length(2, "days"), "合同.结束日", False),
    ],
)
def test_a_due_time_is_a_length_and_what_it_hangs_on(
    text: str, length: Length | None, anchor: str, before: bool
) -> None:
    assert parse_due(text) == Due(length, anchor, before=before, calendar=None, text=text)


def test_white_space_does_not_matter_and_the_calendar_is_kept() -> None:
    due = parse_due("  2  working   days ", calendar="office")
    assert due == Due(Length(2, "working_days"), "entered", before=False, calendar="office", text="2 working days")


@pytest.mark.parametrize(
    "text",
    [
        "1 mounth after clock",
        "",
        "clock",
        "soon",
        "24",
        "hours",
        "-1 days",
        "1.5 months",
        "2 days after",
        "after clock",
        "2 days since clock",
        "2 days after contract",
        "2 days after entered",
        "2 days after contract.ends_on.",
        "2 days after contract.class",
        "2 days after contract ends_on",
        "3 days before case",
        "contract.ends_on + 2 days",
        "99999 years after clock",
    ],
)
def test_anything_else_is_refused_in_the_same_words(text: str) -> None:
    with pytest.raises(ValueError, match="is not a due time") as caught:
        parse_due(text)
    assert str(caught.value) == (
        f"'{text}' is not a due time: write '24 hours', '1 month after clock' or '3 months before contract.ends_on'"
    )


def test_the_refusal_of_a_long_text_stays_one_short_line() -> None:
    with pytest.raises(ValueError, match="is not a due time") as caught:
        parse_due("1 day\n" * 1000)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@given(st.integers(0, 1000), st.sampled_from(UNITS), st.sampled_from(["", " after clock", " before contract.ends_on"]))
def test_every_length_can_stand_in_a_due_time(amount: int, unit: str, tail: str) -> None:
    assert parse_due(length_text(Length(amount, unit)) + tail).length == Length(amount, unit)


def test_only_what_counts_from_entering_hangs_on_entering() -> None:
    assert parse_due("24 hours").hangs_on_entering
    for text in ("1 month after clock", "14 days after case", "contract.ends_on", "2 days after contract.starts_on"):
        assert not parse_due(text).hangs_on_entering


# When that is


@pytest.mark.parametrize(
    ("text", "moment", "expected"),
    [
        ("24 hours", "2026-01-05T14:30", "2026-01-06T14:30:00"),
        ("1.5 hours", "2026-01-05T23:00", "2026-01-06T00:30:00"),
        ("7 days", "2026-01-05T14:30", "2026-01-12T23:59:59.999999"),
        ("7 days", "2026-01-05T00:00", "2026-01-12T23:59:59.999999"),
        ("0 days", "2026-01-05T14:30", "2026-01-05T23:59:59.999999"),
        ("1 month after clock", "2026-01-31T08:00", "2026-02-28T23:59:59.999999"),
        ("2 weeks after case", "2026-01-05T14:30", "2026-01-19T23:59:59.999999"),
        ("2 working hours", "2026-01-05T11:00", "2026-01-05T14:30:00"),
        ("2 working days", "2026-01-08T14:30", "2026-01-12T18:00:00"),
        ("2 days before clock", "2026-01-05T14:30", "2026-01-03T23:59:59.999999"),
        ("36 hours before clock", "2026-01-05T14:30", "2026-01-04T02:30:00"),
        ("1 working hour before clock", "2026-01-05T09:30", "2026-01-02T17:30:00"),
        ("activity.last_call", "2026-01-05T14:30", "2026-01-05T14:30:00"),
    ],
)
def test_due_times_counted_from_a_moment(text: str, moment: str, expected: str) -> None:
    assert from_moment(text, moment) == at(expected)


@pytest.mark.parametrize(
    ("text", "on", "expected"),
    [
        ("contract.ends_on", "2026-04-30", "2026-04-30T23:59:59.999999"),
        ("3 months before contract.ends_on", "2026-05-31", "2026-02-28T23:59:59.999999"),
        ("60 days before contract.ends_on", "2026-04-30", "2026-03-01T23:59:59.999999"),
        ("2 days after contract.starts_on", "2026-02-27", "2026-03-01T23:59:59.999999"),
        ("1 year after contract.starts_on", "2024-02-29", "2025-02-28T23:59:59.999999"),
        ("1 month after clock", "2024-01-31", "2024-02-29T23:59:59.999999"),
        ("24 hours after contract.starts_on", "2026-01-05", "2026-01-06T23:59:59.999999"),
        ("2 working days after contract.starts_on", "2026-01-09", "2026-01-13T18:00:00"),
        ("2 working days after contract.starts_on", "2026-01-10", "2026-01-13T18:00:00"),
        ("5 working days before contract.ends_on", "2026-01-31", "2026-01-26T18:00:00"),
        ("1 working hour after contract.starts_on", "2026-01-09", "2026-01-12T10:00:00"),
    ],
)
def test_due_times_counted_from_a_day(text: str, on: str, expected: str) -> None:
    assert from_day(text, on) == at(expected)


def test_an_unknown_anchor_gives_no_due_time() -> None:
    for text in ("24 hours", "1 month after clock", "contract.ends_on", "2 working days after contract.starts_on"):
        for anchor_is_day in (True, False):
            assert (
                due_at(parse_due(text), anchor=None, anchor_is_day=anchor_is_day, zone=SHANGHAI, calendars={}) is None
            )


@pytest.mark.parametrize(
    ("zone", "text", "moment", "expected"),
    [
        (BERLIN, "24 hours", "2026-03-28T12:00", "2026-03-29T13:00:00"),  # by the clock an hour later
        (BERLIN, "24 hours", "2026-10-24T12:00", "2026-10-25T11:00:00"),
        (BERLIN, "1 day", "2026-03-28T12:00", "2026-03-29T23:59:59.999999"),
        (NEW_YORK, "24 hours", "2026-03-07T12:00", "2026-03-08T13:00:00"),
        (NEW_YORK, "24 hours", "2026-10-31T12:00", "2026-11-01T11:00:00"),
        (NEW_YORK, "1 week", "2026-10-31T12:00", "2026-11-07T23:59:59.999999"),
    ],
)
def test_hours_are_exact_and_days_are_whole_where_clocks_change(
    zone: Zone, text: str, moment: str, expected: str
) -> None:
    assert from_moment(text, moment, zone) == at(expected, zone)


def test_the_project_zone_decides_the_day_and_the_calendars_zone_its_working_time() -> None:
    late = "2026-01-05T20:00"  # Monday in New York, Tuesday 02:00 in Berlin
    assert from_moment("1 day", late, NEW_YORK) == at("2026-01-06T23:59:59.999999", NEW_YORK)
    assert from_moment("1 working day", late, NEW_YORK, "berlin") == at("2026-01-07T18:00", BERLIN)
    assert from_day("1 working day after contract.starts_on", "2026-01-05", NEW_YORK, "berlin") == at(
        "2026-01-06T18:00", BERLIN
    )


@pytest.mark.parametrize("calendar", [None, "gone"])
def test_working_time_without_its_calendar_says_what_is_missing(calendar: str | None) -> None:
    with pytest.raises(ValueError, match="'2 working days' is working time: name a calendar under 'calendars:'"):
        from_moment("2 working days", "2026-01-05T10:00", calendar=calendar)


moments = st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1))  # noqa: DTZ001


@given(
    st.sampled_from([SHANGHAI, BERLIN, NEW_YORK]),
    moments,
    st.integers(0, 30),
    st.sampled_from(["days", "months", "weeks"]),
)
def test_a_moment_is_due_as_its_day_is(zone: Zone, moment: datetime, amount: int, unit: str) -> None:
    due = parse_due(f"{length_text(Length(amount, unit))} after clock")
    by_moment = due_at(due, anchor=zone.instant(moment), anchor_is_day=False, zone=zone, calendars={})
    # a skipped hour never changes the day, so the day written is the day it is
    by_day = due_at(due, anchor=day(moment), anchor_is_day=True, zone=zone, calendars={})
    assert by_moment == by_day
    assert by_moment is not None
    assert by_moment >= zone.instant(moment)
