"""Each function and operator of the language, with values computed by hand."""

from __future__ import annotations

import pytest
from evaluating import TODAY, WORD, ZONE, Row, at, noon, value

from csflow.flow.evaluation import month_of, range_truth, rounded
from csflow.flow.moments import Moment
from csflow.values import day


@pytest.mark.parametrize(
    ("a", "b", "both", "either"),
    [
        (True, True, True, True), (True, False, False, True), (True, None, None, True), (False, True, False, True),
        (False, False, False, False), (False, None, False, None), (None, True, None, True), (None, False, False, None),
        (None, None, None, None),
    ],
)  # fmt: skip
def test_and_and_or_are_kleene(a, b, both, either):
    assert value(f"{WORD[a]} and {WORD[b]}") is both
    assert value(f"{WORD[a]} or {WORD[b]}") is either


def test_not_keeps_unknown():
    assert value("not a.yes") is False
    assert value("not a.no") is True
    assert value("not a.what") is None


@pytest.mark.parametrize("op", ["==", "!=", "<", "<=", ">", ">="])
def test_comparing_with_unknown_is_unknown(op):
    assert value(f"usage.hours {op} 3") is None
    assert value(f"3 {op} usage.hours") is None
    assert value(f"usage.hours {op} usage.hours") is None


@pytest.mark.parametrize(
    ("op", "truths"),
    [("==", (False, True, False)), ("!=", (True, False, True)), ("<", (True, False, False)), ("<=", (True, True, False)),
     (">", (False, False, True)), (">=", (False, True, True))],
)  # fmt: skip
def test_comparisons_of_numbers(op, truths):
    assert tuple(value(f"usage.hours {op} 3", usage__hours=hours) for hours in (2.0, 3.0, 4.0)) == truths


def test_yes_and_no_compare_as_equal_or_not():
    assert value("a.yes == true") is True
    assert value("a.no == a.yes") is False
    assert value("a.what != true") is None


def test_known_is_never_unknown():
    assert value("usage.hours is known") is False
    assert value("usage.hours is unknown") is True
    assert value("usage.hours is known", usage__hours=0.0) is True
    assert value("(usage.hours > 3 or a.yes) is known") is True
    assert value("(usage.hours > 3 and a.yes) is known") is False


def test_membership():
    assert value("customer.grade in ('A', 'B')", customer__grade="B") is True
    assert value("customer.grade not in ('A', 'B')", customer__grade="B") is False
    assert value("customer.grade in ('A', 'B')") is None
    assert value("customer.grade not in ('A', 'B')") is None
    assert value("usage.hours in [1, 2]", usage__hours=2.0) is True


def test_arithmetic():
    assert value("usage.hours * 2 + 1", usage__hours=3.0) == 7
    assert value("(usage.hours - 1) / 4", usage__hours=3.0) == 0.5
    assert value("-2 * usage.hours", usage__hours=3.0) == -6
    assert value("usage.hours + customer.nps", usage__hours=3.0) is None


def test_dividing_by_zero_is_unknown():
    assert value("5 / usage.hours", usage__hours=0.0) is None
    assert value("5 / usage.hours > 1 or a.yes", usage__hours=0.0) is True


def test_shares_are_parts_of_one():
    assert value("usage.depth >= 30%", usage__depth=0.3) is True
    assert value("usage.depth > 0.3", usage__depth=0.3) is False
    assert value("7% * 100") == pytest.approx(7)


def test_money_is_in_minor_units_and_foreign_money_at_the_rate_of_the_moment():
    assert value("contract.amount >= money(500)", contract__amount=50_000) is True
    assert value("contract.amount >= money(500.01)", contract__amount=50_000) is False
    rates = noon("2026-03-31", rates={"USD": 0.9, "JPY": 0.6})
    # 500 USD = 50 000 cents = 45 000 euro cents; 70 000 JPY have no cents: 70 000 × 0.6 = 42 000
    assert value("contract.amount == money(500, 'USD')", moment=rates, contract__amount=45_000) is True
    assert value("contract.amount == money(70000, 'JPY')", moment=rates, contract__amount=42_000) is True
    assert value("contract.amount in (money(1), money(500, 'USD'))", moment=rates, contract__amount=45_000) is True
    assert value("contract.amount not in (money(1), money(500, 'USD'))", moment=rates, contract__amount=45_000) is False


def test_money_without_a_rate_is_unknown():
    assert value("contract.amount >= money(500, 'CHF')", contract__amount=50_000) is None
    assert value("contract.amount in (money(1), money(5, 'CHF'))", contract__amount=100) is True
    assert value("contract.amount in (money(1), money(5, 'CHF'))", contract__amount=101) is None


def test_money_divided_by_money_is_a_number():
    assert value("contract.amount / money(200)", contract__amount=50_000) == 2.5


@pytest.mark.parametrize(
    ("text", "ends", "truth"),
    [
        # today is 31 March; 31 January + 2 months is today, 28 February + 1 month was the 28th
        ("since(contract.ends_on) >= months(2)", "2026-01-31", True),
        ("since(contract.ends_on) > months(2)", "2026-01-31", False),
        ("since(contract.ends_on) == months(2)", "2026-01-31", True),
        ("since(contract.ends_on) != months(2)", "2026-01-31", False),
        ("since(contract.ends_on) == months(2)", "2026-01-30", False),
        ("since(contract.ends_on) >= months(2)", "2026-02-01", False),
        ("since(contract.ends_on) < months(2)", "2026-02-01", True),
        ("since(contract.ends_on) <= months(2)", "2026-01-31", True),
        ("since(contract.ends_on) <= months(2)", "2026-01-30", False),
        ("since(contract.ends_on) >= months(1)", "2026-02-28", True),
        ("since(contract.ends_on) >= days(3)", "2026-03-28", True),
        ("since(contract.ends_on) > days(3)", "2026-03-28", False),
        ("since(contract.ends_on) >= days(0)", "2026-04-01", False),
        ("since(contract.ends_on) < days(1)", "2027-01-01", True),
        ("until(contract.ends_on) <= months(1)", "2026-05-01", False),  # 1 May less a month is 1 April
        ("until(contract.ends_on) <= months(1)", "2026-04-30", True),  # 30 April less a month is 30 March
        ("until(contract.ends_on) < months(1)", "2026-04-30", True),
        ("until(contract.ends_on) < days(30)", "2026-04-30", False),
        ("until(contract.ends_on) <= days(30)", "2026-04-30", True),
        ("until(contract.ends_on) == days(30)", "2026-04-30", True),
        ("until(contract.ends_on) > days(30)", "2026-05-01", True),
        ("until(contract.ends_on) >= days(30)", "2026-04-30", True),
        ("until(contract.ends_on) <= days(30)", "2020-01-01", True),
        ("contract.ends_on + months(2) <= today", "2026-01-31", True),
        ("contract.ends_on - months(1) <= today", "2026-05-01", False),
        ("contract.ends_on - months(1) <= today", "2026-04-30", True),
        ("today >= contract.ends_on - days(30)", "2026-04-30", True),
        ("since(contract.ends_on) >= years(1)", "2025-03-31", True),
        ("since(contract.ends_on) >= hours(36)", "2026-03-30", True),  # 30 March 00:00 + 36 h is noon today
        ("since(contract.ends_on) > hours(36)", "2026-03-30", False),
    ],
)
def test_lengths_since_and_until_a_date(text, ends, truth):
    assert value(text, contract__ends_on=day(ends)) is truth


def test_lengths_of_an_unknown_date_are_unknown():
    assert value("since(contract.ends_on) >= days(3)") is None
    assert value("until(contract.ends_on) != days(3)") is None


def test_the_last_of_january_has_had_its_month_on_the_last_of_february():
    february = noon("2026-02-28")
    for of_january in (28, 29, 30, 31):
        assert (
            value("since(usage.first) >= months(1)", moment=february, usage__first=day(f"2026-01-{of_january}")) is True
        )
    assert value("since(usage.first) >= months(1)", moment=noon("2026-02-27"), usage__first=day("2026-01-28")) is False


def test_times_are_compared_to_the_microsecond():
    seen = at("2026-03-28", 720)  # the clocks change between: three days by the clock are 71 hours
    assert value("since(customer.seen) >= days(3)", customer__seen=seen) is True
    assert value("since(customer.seen) >= days(3)", customer__seen=seen + 1) is False
    assert value("since(customer.seen) >= hours(72)", customer__seen=seen) is False
    assert value("since(customer.seen) >= hours(71)", customer__seen=seen) is True
    assert value("since(customer.seen) > hours(71)", customer__seen=seen) is False


def test_working_hours_and_days_follow_the_calendar():
    friday = at("2026-03-27", 17 * 60)
    monday = noon("2026-03-30")
    assert value("since(customer.seen) >= working_hours(4)", moment=monday, customer__seen=friday) is True
    assert value("since(customer.seen) > working_hours(4)", moment=monday, customer__seen=friday) is False
    assert value("since(customer.seen) >= working_days(1)", moment=monday, customer__seen=friday) is False


def test_a_fraction_of_a_stored_day_is_cut():
    assert value("contract.ends_on == '2026-03-31'", contract__ends_on=float(day("2026-03-31"))) is True


def test_dates_are_compared_with_dates_in_quotes():
    assert value("contract.ends_on < '2026-04-01'", contract__ends_on=day("2026-03-31")) is True
    assert value("contract.ends_on >= '2026-04-01'", contract__ends_on=day("2026-03-31")) is False
    assert value("contract.ends_on == today", contract__ends_on=day("2026-03-31")) is True


def test_dates_move_by_days_and_weeks_and_times_by_hours():
    facts = {"contract__ends_on": day("2026-03-01"), "contract__starts_on": day("2026-03-15")}
    assert value("contract.ends_on + weeks(2) == contract.starts_on", **facts) is True
    assert value("contract.starts_on - days(13) == contract.ends_on", **facts) is False
    assert value("customer.seen + hours(1.5) > now", customer__seen=at("2026-03-31", 11 * 60)) is True
    assert value("customer.seen + hours(1) > now", customer__seen=at("2026-03-31", 11 * 60)) is False


def test_days_between_may_be_negative():
    facts = {"contract__starts_on": day("2026-03-01"), "contract__ends_on": day("2026-02-27")}
    assert value("days_between(contract.starts_on, contract.ends_on)", **facts) == -2
    assert value("contract.starts_on - contract.ends_on == days(2)", **facts) is True
    assert value("contract.starts_on - contract.ends_on > weeks(1)", **facts) is False
    assert value("days_between(contract.starts_on, usage.first)", **facts) is None


def test_a_span_alone_is_in_days():
    assert value("since(contract.starts_on)", contract__starts_on=day("2026-03-01")) == 30
    assert value("until(contract.starts_on)", contract__starts_on=day("2026-03-01")) == -30
    assert value("since(customer.seen)", customer__seen=at("2026-03-31", 18 * 60)) == -0.25
    assert value("since(contract.starts_on)") is None


NEVER = "since(activity.last_visit) {} days(30)"


@pytest.mark.parametrize(
    ("first", "log", "truths"),
    [
        # (>= 30 days, < 30 days) of a customer never visited, today being 31 March
        ("2025-01-01", "2025-06-01", (True, False)),  # a customer for long, and the log is old enough
        ("2026-03-20", "2025-06-01", (False, True)),  # a customer for eleven days
        ("2026-03-20", None, (False, True)),
        ("2025-01-01", "2026-03-15", (None, None)),  # the log is younger than the length
        ("2025-01-01", None, (None, None)),
        (None, "2025-06-01", (None, None)),  # never a customer
        ("2026-03-01", "2026-01-01", (True, False)),  # thirty days, to the day
        ("2026-03-02", "2026-01-01", (False, True)),
    ],
)
def test_never_is_the_time_without(first, log, truths):
    row = Row({}, first=None if first is None else day(first))
    moment = noon("2026-03-31", log_begin=None if log is None else at(log))
    assert tuple(value(NEVER.format(op), row, moment) for op in (">=", "<")) == truths


def test_never_is_neither_equal_nor_over_before_its_time():
    log = at("2026-01-01")
    on_the_day = Row({}, first=day("2026-03-01"))
    moment = Moment(at("2026-03-31"), ZONE, log_begin=log)  # midnight: exactly thirty days
    assert value(NEVER.format("=="), on_the_day, moment) is True
    assert value(NEVER.format("!="), on_the_day, moment) is False
    assert value(NEVER.format(">"), on_the_day, moment) is False
    assert value(NEVER.format("<="), on_the_day, moment) is True
    assert value(NEVER.format("=="), Row({}, first=day("2026-02-01")), moment) is False
    assert value(NEVER.format("=="), Row({}, first=day("2026-03-20")), moment) is False


def test_never_is_unknown_for_what_is_to_come_and_for_other_facts():
    row = Row({}, first=day("2025-01-01"))
    moment = noon("2026-03-31", log_begin=at("2025-01-01"))
    assert value("until(activity.last_visit) > days(3)", row, moment) is None
    assert value("activity.last_visit is known", row, moment) is False
    assert value("since(customer.seen) > days(3)", row, moment) is None


def test_a_visit_that_was_is_counted_from_itself():
    row = Row({"activity.last_visit": at("2026-03-20")}, first=day("2020-01-01"))
    assert value(NEVER.format(">="), row) is False


def test_contacts_that_were_never_visited_are_counted():
    row = Row({}, {"contact": [{"contact.last_visit": at("2026-03-20")}, {}]}, first=day("2025-01-01"))
    moment = noon("2026-03-31", log_begin=at("2025-01-01"))
    assert value("count(contact, since(contact.last_visit) > days(30)) == 1", row, moment) is True


def complaints(*causes):
    return Row({"customer.nps": 1.0}, {"complaint": [{"complaint.cause": cause} for cause in causes]})


@pytest.mark.parametrize(
    ("causes", "op", "many", "truth"),
    [
        (("dear", "late"), ">=", 1, True),
        (("late", None), ">=", 1, None),  # none or one
        (("dear", None), ">=", 1, True),  # one or two
        (("dear", None), ">=", 3, False),
        (("dear", None), "<=", 2, True),
        (("dear", None), "<", 2, None),
        (("dear", None), "==", 1, None),
        (("dear", None), "==", 3, False),
        (("dear", None), "!=", 3, True),
        (("dear", None), "!=", 1, None),
        (("dear", "dear"), "==", 2, True),
        ((), "==", 0, True),
    ],
)
def test_a_count_with_unknown_conditions_is_a_range(causes, op, many, truth):
    assert value(f"count(complaint, complaint.cause == 'dear') {op} {many}", complaints(*causes)) is truth


def test_a_range_as_a_value_is_unknown():
    text = "count(complaint, complaint.cause == 'dear')"
    assert value(text, complaints("dear", "late")) == 1
    assert value(text, complaints("dear", None)) is None
    assert value("count(complaint)", complaints("dear", None)) == 2
    assert value(f"default({text}, 7)", complaints(None)) == 7


def test_two_ranges_compare_as_ranges():
    two = "count(complaint, complaint.cause == 'dear') {} count(complaint, complaint.cause == 'late')"
    assert value(two.format(">"), complaints("dear", "dear", None)) is True  # 2..3 against 0..1
    assert value(two.format("<="), complaints("dear", "dear", None)) is False
    assert value(two.format("=="), complaints("dear", "late", None)) is None


def test_conditions_in_brackets_speak_of_each_and_of_the_outer_facts():
    row = Row({"customer.nps": 2.0}, {"contact": [{"contact.level": 1.0}, {"contact.level": 2.0}]})
    assert value("count(contact, contact.level == customer.nps) == 1", row) is True


def cost(*amounts):
    return Row({}, {"complaint": [{"complaint.cost": amount, "complaint.cause": cause} for amount, cause in amounts]})


def test_sums_and_averages():
    row = cost((10.0, "dear"), (2.5, "late"), (-1.0, "dear"))
    assert value("sum(complaint, complaint.cost)", row) == 11.5
    assert value("average(complaint, complaint.cost, complaint.cause == 'dear')", row) == 4.5
    assert value("sum(complaint, complaint.cost)", cost()) == 0
    assert value("average(complaint, complaint.cost)", cost()) is None


def test_a_sum_is_a_range_where_conditions_are_unknown_and_unknown_where_values_are():
    row = cost((10.0, "dear"), (5.0, None), (-2.0, None))
    text = "sum(complaint, complaint.cost, complaint.cause == 'dear')"
    assert value(f"{text} <= 15", row) is True  # 8 … 15
    assert value(f"{text} >= 8", row) is True
    assert value(f"{text} > 10", row) is None
    assert value(text, row) is None
    assert value(text, cost((10.0, "dear"), (None, "dear"))) is None
    assert value(text, cost((10.0, "dear"), (None, "late"))) == 10
    assert value("average(complaint, complaint.cost, complaint.cause == 'dear')", row) is None


def test_sums_do_not_depend_on_the_order_of_rows():
    amounts = [(0.1, "dear"), (0.2, "dear"), (0.3, "dear"), (1e9, "dear"), (-1e9, "dear")]
    found = {
        value("sum(complaint, complaint.cost)", cost(*order)) for order in (amounts, amounts[::-1], sorted(amounts))
    }
    assert found == {0.6}


def test_first_and_last_go_by_order_and_stop_at_the_first_unknown():
    row = cost((1.0, "dear"), (2.0, "late"), (3.0, "late"))
    assert value("first(complaint, complaint.cost)", row) == 1
    assert value("last(complaint, complaint.cost)", row) == 3
    assert value("first(complaint, complaint.cost, complaint.cause == 'late')", row) == 2
    assert value("last(complaint, complaint.cost, complaint.cause == 'rude')", row) is None
    assert value("last(complaint, complaint.cost)", cost()) is None
    unsure = cost((1.0, None), (2.0, "late"))
    assert value("first(complaint, complaint.cost, complaint.cause == 'late')", unsure) is None
    assert value("last(complaint, complaint.cost, complaint.cause == 'late')", unsure) == 2


def test_things_that_no_import_ever_brought_are_unknown_and_an_empty_table_is_none():
    unfed = noon("2026-03-31", unfed=frozenset({"complaint"}))
    assert value("count(complaint) == 0", Row(), unfed) is None
    for fn in ("sum", "average", "first", "last"):
        assert value(f"{fn}(complaint, complaint.cost)", cost((1.0, "dear")), unfed) is None
    assert value("count(complaint) == 0", Row()) is True


def test_defaults():
    assert value("default(usage.hours, 0)") == 0
    assert value("default(usage.hours, 0)", usage__hours=4.0) == 4
    assert value("default(a.what, false)") is False
    assert value("default(a.what, usage.hours > 1)") is None
    assert value("default(customer.grade, 'none') == 'none'") is True
    assert value("default(contract.ends_on, '2026-01-31') < today") is True


def test_min_and_max_of_unknown_are_unknown():
    assert value("min(usage.hours, 3, 5)", usage__hours=4.0) == 3
    assert value("max(usage.hours, 3, 5)", usage__hours=9.0) == 9
    assert value("max(usage.hours, 3)") is None
    assert value("min(contract.ends_on, today) == today", contract__ends_on=day("2027-01-01")) is True


def test_under_asks_for_a_branch():
    row = Row({"complaint.cause": "rude"})
    assert value("under(complaint.cause, 'people')", row) is True
    assert value("under(complaint.cause, 'money')", row) is False
    assert value("under(complaint.cause, 'money')", Row()) is None


@pytest.mark.parametrize(
    ("date", "quarter"),
    [("2026-01-01", 4), ("2026-03-31", 4), ("2026-04-01", 1), ("2026-07-31", 2), ("2026-12-31", 3), ("1969-12-31", 3)],
)
def test_quarters_count_from_the_month_the_year_starts_with(date, quarter):
    assert value("quarter(usage.first)", usage__first=day(date)) == quarter


def test_months_are_found_without_a_calendar_library():
    texts = ("2026-01-31", "2026-02-01", "2024-02-29", "2000-12-31", "1900-03-01", "1969-06-15")
    assert [month_of(day(text)) for text in texts] == [1, 2, 2, 12, 3, 6]


KEY = "customer: usage.depth > 30%"


@pytest.mark.parametrize(
    ("span", "truth"),
    [
        ((True, at("2026-03-01"), None, at("2026-03-01")), True),
        ((True, at("2026-03-25"), None, at("2026-03-25")), None),  # the record is younger than ten days
        ((True, at("2026-03-25"), at("2026-03-25"), at("2026-03-25")), False),  # it was false six days ago
        ((True, at("2026-03-01"), at("2026-03-01"), at("2026-03-01")), True),
        ((False, at("2026-03-01"), at("2026-03-31"), None), False),
        ((None, at("2026-03-30"), None, at("2026-03-01")), None),
        ((None, at("2026-03-30"), at("2026-03-29"), at("2026-03-01")), False),
        (None, None),
    ],
)
def test_has_been_reads_what_measure_recorded(span, truth):
    row = Row({}, spans={} if span is None else {KEY: span})
    assert value("has_been(usage.depth > 30%, days(10))", row) is truth


def test_first_time_is_the_earliest_recorded_moment():
    row = Row({}, spans={KEY: (True, at("2026-03-20"), None, at("2026-02-01"))})
    assert value("first_time(usage.depth > 30%)", row) == at("2026-02-01")
    assert value("since(first_time(usage.depth > 30%)) >= months(1)", row) is True
    assert value("first_time(usage.depth > 30%)", Row()) is None


def test_ago_and_recorded_come_from_the_record():
    row = Row({"usage.hours": 6.0, "usage.hours 30 days ago": 4.0, "stated customer.nps": at("2026-03-01")})
    assert value("usage.hours / ago(usage.hours, days(30))", row) == 1.5
    assert value("since(recorded(customer.nps)) > weeks(4)", row) is True
    assert value("usage.hours / ago(usage.hours, days(60))", row) is None


def test_a_period_is_half_open_and_known_in_book_metrics_only():
    march = noon("2026-03-31", period=(day("2026-03-01"), day("2026-04-01")))
    text = "count(contract, contract.ends_on in period) == 1"

    def ends(on):
        return Row({}, {"contract": [{"contract.ends_on": day(on)}]})

    for on, truth in (("2026-02-28", False), ("2026-03-01", True), ("2026-03-31", True), ("2026-04-01", False)):
        assert value(text, ends(on), march, subject="book") is truth
    shifted = "count(contract, contract.ends_on + months(1) in period) == 1"
    assert value(shifted, ends("2026-01-31"), march, subject="book") is False  # 28 February
    assert value(shifted, ends("2026-02-01"), march, subject="book") is True
    assert (
        value("count(contract, contract.ends_on not in period) == 1", ends("2026-04-01"), march, subject="book") is True
    )
    assert value(text, ends("2026-03-01"), TODAY, subject="book") is None


@pytest.mark.parametrize(
    ("op", "a", "b", "truth"),
    [
        ("<", (1, 2), (3, 4), True), ("<", (1, 3), (3, 4), None), ("<", (3, 4), (1, 3), False), ("<=", (1, 3), (3, 4), True),
        (">=", (3, 4), (1, 3), True), (">", (3, 4), (1, 3), None), ("==", (1, 2), (3, 4), False), ("==", (2, 2), (2, 2), True),
        ("!=", (2, 2), (2, 2), False), ("!=", (1, 2), (2, 3), None),
    ],
)  # fmt: skip
def test_ranges_compare_only_when_all_their_values_agree(op, a, b, truth):
    assert range_truth(op, a, b) is truth


def test_rounding_is_to_the_nearest_and_halves_go_away_from_zero():
    assert [rounded(x) for x in (0.4, 0.5, 1.5, 2.5, -0.5, -1.4, 1e17)] == [0, 1, 2, 3, -1, -1, 1e17]
