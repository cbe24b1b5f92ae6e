"""When a true condition became true: by hand."""

from __future__ import annotations

import pytest

from csflow.flow import nodes as n
from csflow.flow.calendars import Calendar, parse_hours
from csflow.flow.dating import dater
from csflow.flow.moments import Moment
from csflow.flow.types import BOOLEAN, DATE, NUMBER, TIME, Fact
from csflow.values import Length, Zone, day

ZONE = Zone("Asia/Shanghai")
OFFICE = Calendar("office", ZONE, parse_hours({"mon-fri": "09:00-18:00"}))
NOW = ZONE.end_of(day("2026-03-31"))
MOMENT = Moment(NOW, ZONE, OFFICE)
CONDITION = n.Condition("customer: usage.depth > 30%", "customer", n.Const(BOOLEAN, 0, True))


def noon(text):
    return ZONE.at(day(text), 720)


def midnight(text):
    return ZONE.start_of(day(text))


def fact(name, kind=NUMBER):
    return n.Read(kind, 0, Fact(name, kind, "customer", "metric", name))


def above(name):
    return n.Compare(BOOLEAN, 0, ">", fact(name), n.Const(NUMBER, 0, 1.0))


def elapsed(item, op, length, *, until=False):
    return n.Elapsed(BOOLEAN, 0, item, op, length, until)


def dated(node, *, happened=None, values=None, false=(), since=None):
    happened, values = happened or {}, values or {}
    return dater(node)(
        truth=lambda part: part not in false,
        value=lambda fact: values.get(fact.name),
        happened=lambda fact: happened.get(fact.name),
        held_since=lambda _condition: since,
        moment=MOMENT,
    )


def test_a_comparison_dates_from_the_newest_fact_it_reads():
    node = n.Compare(BOOLEAN, 0, ">", fact("a"), fact("b"))
    times = {"a": noon("2026-01-05"), "b": noon("2026-02-01")}
    assert dated(node, happened=times) == noon("2026-02-01")


def test_a_fact_without_a_date_makes_the_whole_date_from_now():
    node = n.Compare(BOOLEAN, 0, ">", fact("a"), fact("b"))
    assert dated(node, happened={"a": noon("2026-01-05")}) == NOW
    assert dated(n.Const(BOOLEAN, 0, True)) == NOW


def test_a_conjunction_dates_from_the_latest_of_its_parts():
    node = n.And(BOOLEAN, 0, (above("a"), above("b")))
    assert dated(node, happened={"a": noon("2026-03-03"), "b": noon("2026-02-01")}) == noon("2026-03-03")
    assert dated(node, happened={"a": noon("2026-03-03")}) == NOW


def test_a_disjunction_dates_from_the_earliest_of_its_true_parts():
    node = n.Or(BOOLEAN, 0, (above("a"), above("b"), above("c")))
    times = {"a": noon("2026-01-01"), "b": noon("2026-03-03"), "c": noon("2026-02-02")}
    assert dated(node, happened=times, false=(above("a"),)) == noon("2026-02-02")
    assert dated(node, happened={"b": times["b"]}) == times["b"]


@pytest.mark.parametrize(
    ("op", "until", "length", "expected"),
    [
        (">=", False, Length(14, "days"), "2026-02-14"),
        (">", False, Length(14, "days"), "2026-02-15"),  # on the 14th exactly 14 days have gone
        (">=", False, Length(1, "months"), "2026-02-28"),  # 31 January and a month
        ("<=", True, Length(3, "days"), "2026-01-28"),
        ("<", True, Length(3, "days"), "2026-01-29"),
    ],
)
def test_a_date_reaches_its_length_at_the_beginning_of_a_day(op, until, length, expected):
    node = elapsed(fact("x", DATE), op, length, until=until)
    assert dated(node, values={"x": day("2026-01-31")}) == midnight(expected)


def test_hours_after_a_date_count_from_its_first_moment():
    node = elapsed(fact("x", DATE), ">=", Length(36, "hours"))
    assert dated(node, values={"x": day("2026-01-31")}) == noon("2026-02-01")


def test_a_time_reaches_days_at_the_same_time_of_day_and_months_by_the_day():
    item, values = fact("x", TIME), {"x": noon("2026-01-31")}
    assert dated(elapsed(item, ">=", Length(3, "days")), values=values) == noon("2026-02-03")
    assert dated(elapsed(item, ">", Length(2, "hours")), values=values) == noon("2026-01-31") + 7_200_000_001
    assert dated(elapsed(item, ">=", Length(1, "months")), values=values) == midnight("2026-02-28")
    assert dated(elapsed(item, "<=", Length(1, "days"), until=True), values=values) == noon("2026-01-30")


def test_working_time_is_counted_by_the_calendar():
    friday = ZONE.at(day("2026-03-06"), 17 * 60)
    node = elapsed(fact("x", TIME), ">=", Length(2, "working_hours"))
    assert dated(node, values={"x": friday}) == ZONE.at(day("2026-03-09"), 10 * 60)


@pytest.mark.parametrize(("op", "until"), [("<", False), ("<=", False), ("==", False), (">", True), ("!=", True)])
def test_what_stops_with_time_has_no_beginning_in_it(op, until):
    node = elapsed(fact("x", DATE), op, Length(90, "days"), until=until)
    assert dated(node, values={"x": day("2026-03-01")}) == NOW


def test_something_that_never_happened_dates_from_now():
    assert dated(elapsed(fact("x", TIME), ">", Length(3, "days"))) == NOW


def test_a_watched_condition_dates_from_the_moment_it_had_held_long_enough():
    node = n.Held(BOOLEAN, 0, CONDITION, Length(10, "days"))
    assert dated(node, since=noon("2026-03-01")) == noon("2026-03-11")
    assert dated(node) == NOW
    months = n.Held(BOOLEAN, 0, CONDITION, Length(1, "months"))
    assert dated(months, since=noon("2026-01-31")) == midnight("2026-02-28")


def test_counts_and_today_date_from_now():
    counted = n.Compare(
        BOOLEAN, 0, ">", n.Aggregate(NUMBER, 0, "count", "contact", None, above("a")), n.Const(NUMBER, 0, 1.0)
    )
    assert dated(counted, happened={"a": noon("2026-01-01")}) == NOW
    assert dated(n.Compare(BOOLEAN, 0, ">", n.Clockface(DATE, 0), fact("a", DATE)), happened={"a": 5}) == NOW


def test_nothing_dates_from_the_future():
    assert dated(above("a"), happened={"a": NOW + 1}) == NOW
    assert dated(elapsed(fact("x", DATE), ">=", Length(1, "years")), values={"x": day("2026-01-31")}) == NOW
