from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from csflow.values import (
    DAY_US,
    UNITS,
    Length,
    Money,
    add,
    counted,
    day,
    day_text,
    figure_text,
    instant_text,
    latest_end,
    latest_start,
    length_text,
    minor_digits,
    money_text,
    parse_length,
    parse_money,
    parse_share,
    period_of,
    period_span,
    share_text,
    to_minor,
)

HOUR_US = 3_600_000_000

days = st.integers(day("1896-01-01"), day("2204-12-31"))  # 1900 and 2100 are no leap years, 2000 is one
calendar_lengths = st.builds(Length, st.integers(0, 60), st.sampled_from(["days", "weeks", "months", "years"]))


# Days and their text


@pytest.mark.parametrize(
    ("text", "number"),
    [("1970-01-01", 0), ("1970-01-02", 1), ("1969-12-31", -1), ("2000-03-01", 11_017), ("2026-01-05", 20_458)],
)
def test_a_day_counts_from_1970(text: str, number: int) -> None:
    assert day(text) == number
    assert day_text(number) == text


def test_a_date_and_a_datetime_give_the_day_they_show() -> None:
    assert day(date(1970, 1, 11)) == 10
    assert day(datetime(1970, 1, 11, 23, 59)) == 10  # noqa: DTZ001 – what it shows is the point


@pytest.mark.parametrize(
    "text", ["", "2026-1-5", "20260105", "2026-W01-1", "2026-02-30", "05/01/2026", "2026-01-05T00:00", "２０２６-01-05"]
)
def test_anything_but_a_whole_date_is_no_day(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a day: (write it as 2026-01-31|there is no 30 February 2026)"):
        day(text)


def test_an_error_shows_a_long_text_cut_and_on_one_line() -> None:
    with pytest.raises(ValueError, match=r"is not a day") as caught:
        day("x\ny" + "z" * 500)
    assert str(caught.value).startswith("'x yzzz")
    assert len(str(caught.value)) < 120
    assert "\n" not in str(caught.value)


def test_days_beyond_the_years_of_datetime_still_have_a_date() -> None:
    assert day_text(day("9999-12-31") + 1) == "10000-01-01"
    assert day_text(day("0001-01-01") - 1) == "0000-12-31"
    assert add(day("9999-12-31"), Length(2, "months")) == day("9999-12-31") + 31 + 29  # 10000 is a leap year


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (DAY_US + 14 * HOUR_US + 30 * 60_000_000 + 5_250_000, "1970-01-02T14:30:05.250000Z"),
    ],
)
def test_an_instant_is_written_in_utc(instant: int, text: str) -> None:
    assert instant_text(instant) == text


@given(st.datetimes(timezones=st.just(UTC)))
def test_the_text_of_an_instant_reads_back(moment: datetime) -> None:
    instant = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert datetime.fromisoformat(instant_text(instant)) == moment


# Lengths


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("14 days", Length(14, "days")),
        ("1 month", Length(1, "months")),
        ("24 working hours", Length(24, "working_hours")),
        ("30 working minutes", Length(30, "working_minutes")),
        ("1 working day", Length(1, "working_days")),
        ("0 days", Length(0, "days")),
        ("1.5 hours", Length(1.5, "hours")),
        ("2.0 weeks", Length(2, "weeks")),
        ("  3   working   days ", Length(3, "working_days")),
    ],
)
def test_a_length_is_a_number_and_a_unit_in_words(text: str, length: Length) -> None:
    assert parse_length(text) == length


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("1 mounth", "did you mean 'month'?"),
        ("3 werking days", "did you mean 'working days'?"),
        ("14", "write '14 days', '1 month' or '2 working hours'"),
        ("days", "write '14 days', '1 month' or '2 working hours'"),
        ("-1 days", "write '14 days', '1 month' or '2 working hours'"),
        ("1_0 days", "write '14 days', '1 month' or '2 working hours'"),
        ("3 cows", "write one of minutes, hours, days, weeks, months, years, working minutes, working hours"),
        ("1.5 months", "months are counted whole"),
        ("0.5 working days", "working days are counted whole"),
        ("2000 years", "too long: at most 1000 years"),
        ("999999999999 minutes", "too long: at most 100000000 minutes"),
    ],
)
def test_a_wrong_length_says_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=r"is (not a length|too long)") as caught:
        parse_length(text)
    assert hint in str(caught.value)
    assert str(caught.value).startswith(f"'{text}' is ")


@given(st.integers(0, 1000), st.sampled_from(UNITS))
def test_the_text_of_a_length_reads_back(amount: int, unit: str) -> None:
    assert parse_length(length_text(Length(amount, unit))) == Length(amount, unit)


def test_one_of_a_unit_is_written_in_the_singular() -> None:
    assert length_text(Length(1, "months")) == "1 month"
    assert length_text(Length(-1, "working_days")) == "-1 working day"
    assert length_text(Length(1.5, "hours")) == "1.5 hours"


def test_every_unit_is_of_one_family() -> None:
    for unit in UNITS:
        length = Length(1, unit)
        assert [length.calendar, length.working, length.clock].count(True) == 1
    assert Length(1, "weeks").calendar
    assert Length(1, "hours").clock
    assert Length(1, "working_hours").working


def test_only_hours_and_minutes_have_microseconds() -> None:
    assert Length(1.5, "working_hours").microseconds == 5_400_000_000
    assert Length(2, "minutes").microseconds == 120_000_000
    with pytest.raises(ValueError, match="1 day is not a length in hours or minutes"):
        _ = Length(1, "days").microseconds


# Month arithmetic


@pytest.mark.parametrize(
    ("start", "length", "end"),
    [
        ("2026-01-31", Length(1, "months"), "2026-02-28"),
        ("2024-01-31", Length(1, "months"), "2024-02-29"),
        ("2026-01-31", Length(2, "months"), "2026-03-31"),
        ("2026-03-31", Length(1, "months"), "2026-04-30"),
        ("2025-12-31", Length(1, "months"), "2026-01-31"),
        ("2025-11-30", Length(3, "months"), "2026-02-28"),
        ("2024-02-29", Length(1, "years"), "2025-02-28"),
        ("2024-02-29", Length(4, "years"), "2028-02-29"),
        ("2096-02-29", Length(4, "years"), "2100-02-28"),
        ("2026-02-28", Length(2, "weeks"), "2026-03-14"),
        ("2024-02-28", Length(2, "days"), "2024-03-01"),
        ("2026-05-15", Length(0, "months"), "2026-05-15"),
    ],
)
def test_months_keep_the_day_or_take_the_months_last(start: str, length: Length, end: str) -> None:
    assert day_text(add(day(start), length)) == end


@pytest.mark.parametrize(
    ("start", "length", "times", "end"),
    [
        ("2026-03-31", Length(1, "months"), -1, "2026-02-28"),
        ("2026-01-15", Length(1, "months"), -1, "2025-12-15"),
        ("2026-01-31", Length(1, "months"), 3, "2026-04-30"),  # not by way of 28 February
        ("2026-01-31", Length(1, "weeks"), -2, "2026-01-17"),
        ("2024-02-29", Length(1, "years"), -1, "2023-02-28"),
        ("2026-01-31", Length(-1, "months"), -1, "2026-02-28"),
    ],
)
def test_a_length_is_added_several_times_or_taken_away_in_one_step(
    start: str, length: Length, times: int, end: str
) -> None:
    assert day_text(add(day(start), length, times=times)) == end


@given(days, st.integers(-800, 800))
def test_months_agree_with_counting_them_on_the_calendar(start: int, months: int) -> None:
    first = date(1970, 1, 1) + timedelta(days=start)
    total = first.year * 12 + first.month - 1 + months
    year, month = total // 12, total % 12 + 1
    expected = date(year, month, min(first.day, monthrange(year, month)[1]))
    assert add(start, Length(months, "months")) == (expected - date(1970, 1, 1)).days


@given(days, st.integers(0, 60), calendar_lengths)
def test_adding_a_length_never_reverses_order(start: int, gap: int, length: Length) -> None:
    for times in (1, -1):
        assert add(start, length, times=times) <= add(start + gap, length, times=times)


@pytest.mark.parametrize("unit", ["hours", "minutes", "working_days", "working_hours"])
def test_only_calendar_lengths_are_added_to_days(unit: str) -> None:
    with pytest.raises(ValueError, match="cannot be counted in whole days"):
        add(0, Length(1, unit))


def test_half_a_month_is_not_added_to_a_day() -> None:
    assert add(0, Length(2.0, "days")) == 2
    with pytest.raises(ValueError, match=r"1\.5 months cannot be counted"):
        add(0, Length(1.5, "months"))


@pytest.mark.parametrize(
    ("today", "length", "start"),
    [
        ("2026-02-28", Length(1, "months"), "2026-01-31"),  # all of 28 to 31 January have had their month
        ("2026-02-27", Length(1, "months"), "2026-01-27"),
        ("2024-02-28", Length(1, "months"), "2024-01-28"),
        ("2024-02-29", Length(1, "months"), "2024-01-31"),
        ("2026-03-30", Length(1, "months"), "2026-02-28"),
        ("2026-04-30", Length(1, "months"), "2026-03-31"),
        ("2025-02-28", Length(1, "years"), "2024-02-29"),
        ("2026-01-15", Length(2, "weeks"), "2026-01-01"),
    ],
)
def test_the_latest_start_is_exact_at_month_ends(today: str, length: Length, start: str) -> None:
    assert day_text(latest_start(length, day(today))) == start


@given(calendar_lengths, days)
@example(Length(1, "months"), day("2023-02-28"))
@example(Length(12, "months"), day("2025-02-28"))
def test_the_latest_start_is_the_last_that_has_had_the_length(length: Length, today: int) -> None:
    start = latest_start(length, today)
    assert add(start, length) <= today < add(start + 1, length)


@given(calendar_lengths, days)
@example(Length(1, "months"), day("2023-02-28"))
def test_the_latest_end_is_the_last_that_is_within_the_length(length: Length, today: int) -> None:
    end = latest_end(length, today)
    assert add(end, length, times=-1) <= today < add(end + 1, length, times=-1)


def test_bounds_far_away_are_numbers_and_no_errors() -> None:
    assert latest_start(Length(9_000, "years"), day("2026-01-01")) < day("0001-01-01")
    assert latest_end(Length(9_000, "years"), day("2026-01-01")) > day("9999-12-31")


# Money


@pytest.mark.parametrize(
    ("currency", "digits"), [("CNY", 2), ("EUR", 2), ("JPY", 0), ("KRW", 0), ("CLP", 0), ("KWD", 3)]
)
def test_a_currency_has_its_own_decimals(currency: str, digits: int) -> None:
    assert minor_digits(currency) == digits


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("80000", "CNY", 8_000_000),
        (80000, "CNY", 8_000_000),
        ("0.1", "CNY", 10),
        (0.1, "CNY", 10),
        (1.1, "KWD", 1_100),
        ("1234", "JPY", 1_234),
        ("-5.50", "EUR", -550),
        (Decimal("0.125"), "EUR", 12),  # half to even
        (0.135, "EUR", 14),
        (Decimal("2.675"), "EUR", 268),
        (" 7 ", "EUR", 700),
        ("1E+3", "EUR", 100_000),
        (92_233_720_368_547_758, "JPY", 92_233_720_368_547_758),
    ],
)
def test_an_amount_becomes_minor_units_half_even(amount: str | float | Decimal, currency: str, minor: int) -> None:
    assert to_minor(amount, currency) == minor


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("1.2300", "EUR", 123),
        ("33.330000000", "EUR", 3_333),
        ("1.2e-1", "EUR", 12),
        ("1.234", "KWD", 1_234),
        ("100.0", "JPY", 100),
        ("59.970000000000006", "EUR", 5_997),  # 3 * 19.99, as a float has it
        ("1234567.8899999999", "EUR", 123_456_789),
    ],
)
def test_decimals_that_say_nothing_are_passed_over(amount: str, currency: str, minor: int) -> None:
    assert to_minor(amount, currency) == minor


@pytest.mark.parametrize(
    ("amount", "says"),
    [
        ("1.234", "'1.234' has more decimals than EUR (2): round it, or write thousands without a sign"),
        ("-0.005", "'-0.005' has more decimals than EUR (2)"),
        ("19.9901", "'19.9901' has more"),
        ("5.1 JPY", "'5.1' has more decimals than JPY (0)"),
        ("0.1234 KWD", "'0.1234' has more decimals than KWD (3)"),
    ],
)
def test_an_amount_that_its_currency_cannot_pay_is_refused_not_rounded(amount: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_money(amount, "EUR")


@pytest.mark.parametrize(
    "amount",
    [
        "",
        "x",
        "80,000",
        "1_000",
        "nan",
        "inf",
        "1 2",
        "--1",
        "１２",
        "9" * 40,
        "1e99",
        float("nan"),
        float("inf"),
        True,
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("1e999999"),
    ],
)
def test_what_is_no_amount_is_refused(amount: str | float | Decimal) -> None:
    with pytest.raises(ValueError, match=r"is (not an amount: write it as 80000 or 80000\.50|too large an amount)"):
        to_minor(amount, "EUR")


def test_money_is_an_amount_with_or_without_its_currency() -> None:
    assert parse_money("80000 CNY", "EUR") == Money(8_000_000, "CNY")
    assert parse_money("80000", "EUR") == Money(8_000_000, "EUR")
    assert parse_money(" 12.5  USD ", "EUR") == Money(1_250, "USD")


@pytest.mark.parametrize("text", ["", "CNY", "CNY 80000", "80000 cny", "80000 CNYX", "80000 CNY EUR", "many CNY"])
def test_what_is_no_money_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        parse_money(text, "EUR")


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (8_000_000, "CNY", "80000 CNY"),
        (8_000_050, "CNY", "80000.50 CNY"),
        (-5, "EUR", "-0.05 EUR"),
        (0, "EUR", "0 EUR"),
        (1_234, "JPY", "1234 JPY"),
        (1_001, "KWD", "1.001 KWD"),
    ],
)
def test_money_shows_decimals_only_where_they_count(minor: int, currency: str, text: str) -> None:
    assert money_text(minor, currency) == text


@given(st.integers(-(10**18), 10**18), st.sampled_from(["CNY", "JPY", "KWD"]))
def test_the_text_of_money_reads_back(minor: int, currency: str) -> None:
    assert parse_money(money_text(minor, currency), "EUR") == Money(minor, currency)


# Shares


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("80%", 0.8),
        ("0.5%", 0.005),
        ("100%", 1.0),
        ("120%", 1.2),
        ("-20%", -0.2),
        ("7 %", 0.07),
        ("0.35", 0.35),
        ("1", 1.0),
    ],
)
def test_a_share_is_exactly_its_hundredths(text: str, share: float) -> None:
    assert parse_share(text) == share


@given(st.integers(0, 10_000))
def test_a_whole_percentage_is_the_nearest_double(percent: int) -> None:
    assert parse_share(f"{percent}%") == percent / 100


def test_a_bare_number_above_one_asks_for_its_percent_sign() -> None:
    with pytest.raises(ValueError, match=r"'60' is a share between 0 and 1: did you mean 60%\?"):
        parse_share("60")


@pytest.mark.parametrize("text", ["", "%", "x%", "8O%", "80%%", "1e3%", "nan", "80% of it"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a share: write it as 80%"):
        parse_share(text)


# Periods


@pytest.mark.parametrize(
    ("unit", "year_starts", "on", "first", "following"),
    [
        ("day", 1, "2026-01-05", "2026-01-05", "2026-01-06"),
        ("week", 1, "2026-01-05", "2026-01-05", "2026-01-12"),  # a Monday
        ("week", 1, "2026-01-04", "2025-12-29", "2026-01-05"),
        ("month", 1, "2024-02-29", "2024-02-01", "2024-03-01"),
        ("month", 4, "2026-12-31", "2026-12-01", "2027-01-01"),
        ("quarter", 1, "2026-02-10", "2026-01-01", "2026-04-01"),
        ("quarter", 2, "2026-01-31", "2025-11-01", "2026-02-01"),
        ("quarter", 2, "2026-02-01", "2026-02-01", "2026-05-01"),
        ("year", 1, "2026-12-31", "2026-01-01", "2027-01-01"),
        ("year", 4, "2026-03-31", "2025-04-01", "2026-04-01"),
        ("year", 4, "2026-04-01", "2026-04-01", "2027-04-01"),
    ],
)
def test_a_day_lies_in_its_period(unit: str, year_starts: int, on: str, first: str, following: str) -> None:
    span = period_span(unit, period_of(day(on), unit, year_starts), year_starts)
    assert [day_text(bound) for bound in span] == [first, following]


def test_a_year_has_the_number_it_begins_in() -> None:
    assert period_of(day("2026-03-31"), "year") == 2026
    assert period_of(day("2026-03-31"), "year", 4) == 2025


@given(days, st.sampled_from(["day", "week", "month", "quarter", "year"]), st.integers(1, 12))
def test_periods_follow_each_other_by_one(on: int, unit: str, year_starts: int) -> None:
    index = period_of(on, unit, year_starts)
    first, following = period_span(unit, index, year_starts)
    assert first <= on < following
    assert period_of(following, unit, year_starts) == index + 1
    assert period_of(first - 1, unit, year_starts) == index - 1


def test_an_unknown_period_is_refused() -> None:
    for call in (lambda: period_of(0, "decade"), lambda: period_span("decade", 0)):
        with pytest.raises(ValueError, match="'decade' is not a period: write one of day, week, month, quarter, year"):
            call()


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (0, ("case",), "0 cases"), (1, ("case",), "1 case"), (2, ("case",), "2 cases"), (-1, ("case",), "-1 cases"),
        (1, ("activity", "activities"), "1 activity"), (12345, ("activity", "activities"), "12,345 activities"),
    ],
)  # fmt: skip
def test_a_number_has_its_noun(number, words, text):
    assert counted(number, *words) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.8, "80 %"),
        (0.07, "7 %"),
        (0.125, "12.5 %"),
        (1 / 3, "33.3333 %"),
        (0.0, "0 %"),
        (1.5, "150 %"),
        (-0.1, "-10 %"),
    ],
)
def test_a_share_is_told_in_per_cent(share, text):
    assert share_text(share) == text


# Figures for people


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7066, "7,066"), (12345678, "12,345,678"), (1590.0, "1,590"), (3.975, "3.98"), (-1234.5, "-1,234.5"),
        ("10558100 CNY", "10,558,100 CNY"), ("-1200.05 EUR", "-1,200.05 EUR"), ("C-1200", "C-1200"), (True, "True"),
    ],
)  # fmt: skip
def test_a_figure_has_commas_between_its_thousands(value: object, text: str) -> None:
    assert figure_text(value) == text
