"""Cells become values, or say why not."""

from __future__ import annotations

import re

import pytest

from csflow.flow.types import BOOLEAN, DATE, MONEY, NUMBER, SHARE, TEXT, TIME, Type
from csflow.services.importing_values import Reading, Remembering, converter, currency_code, fingerprint, key
from csflow.values import Zone

BERLIN = Zone("Europe/Berlin")
GRADE = Type("choice", ("gold", "silver"))
TOOLS = Type("choices", ("plan", "chat", "bill"))


def read(kind, cell, **reading):
    return converter(kind, Reading(**reading), BERLIN, "EUR")(cell)


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        (TEXT, "  Ann ", "Ann"),
        (TEXT, "   ", None),
        (NUMBER, "12", 12.0),
        (NUMBER, "-0.5", -0.5),
        (NUMBER, "1e3", 1000.0),
        (NUMBER, "", None),
        (SHARE, "80%", 0.8),
        (SHARE, "0.25", 0.25),
        (MONEY, "12.340", 1234),
        (BOOLEAN, "True", 1),
        (BOOLEAN, "no", 0),
        (DATE, "1970-01-02", 1),
        (DATE, "2024-02-29", 19782),
        (DATE, "1970-01-01T23:30:00Z", 1),  # half past midnight in Berlin
        (DATE, "1970-01-01 23:30:00", 0),
        (TIME, "1970-01-01T01:00:00", 0),  # Berlin is an hour ahead
        (TIME, "1970-01-01", -3_600_000_000),
        (TIME, "1970-01-01T00:00:00Z", 0),
        (GRADE, "gold", "gold"),
        (TOOLS, "chat, plan", '["plan", "chat"]'),
        (TOOLS, '["bill"]', '["bill"]'),
    ],
)
def test_a_cell_becomes_what_the_store_holds(kind, cell, value):
    assert read(kind, cell) == value


def test_an_amount_that_a_formula_made_is_rounded_half_to_even():
    assert read(MONEY, "12.345", computed=True) == 1234
    assert read(MONEY, "12.355", computed=True) == 1236
    with pytest.raises(ValueError, match="'many' is not an amount in EUR"):
        read(MONEY, "many", computed=True)


@pytest.mark.parametrize(
    ("kind", "cell", "says"),
    [
        (NUMBER, "12,5", "'12,5' is not a number"),
        (NUMBER, "1_000", "not a number"),
        (NUMBER, "nan", "not a number"),
        (NUMBER, "inf", "not a number"),
        (NUMBER, "1e999", "too large: a number is at most 10"),
        (NUMBER, "1000000000000001", "too large: a number is at most 10"),
        (NUMBER, "-1000000000000001", "too large: a number is at most 10"),
        (MONEY, "10000000000000.01", "too large: an amount is at most 10000000000000 EUR"),
        (NUMBER, "٣", "not a number"),
        (SHARE, "80", "write 80% or 0.8"),
        (SHARE, "180%", "not a share"),
        (MONEY, "1.000,00", "not an amount in EUR"),
        (MONEY, "1.234", "'1.234' has more decimals than EUR (2): round it, or write thousands without a sign"),
        (BOOLEAN, "maybe", "neither yes nor no"),
        (DATE, "02/03/2024", "give its form with `format:`"),
        (DATE, "20240203", "not YYYY-MM-DD"),
        (DATE, "2024-02-30", "'2024-02-30' is not a day: there is no 30 February 2024"),
        (DATE, "2024-13-01", "'2024-13-01' is not a day: a year has 12 months"),
        (DATE, "2026-02-29 10:00", "is not a day: there is no 29 February 2026"),
        (TIME, "2026-02-29", "is not a day: there is no 29 February 2026"),
        (TIME, "2026-02-28 25:00", "not YYYY-MM-DD"),
        (DATE, "2024-W05-1", "not YYYY-MM-DD"),
        (TIME, "yesterday", "not YYYY-MM-DD"),
        (GRADE, "glod", "did you mean gold?"),
        (TOOLS, "plan,chta", "did you mean chat?"),
    ],
)
def test_a_cell_that_does_not_fit_says_why(kind, cell, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        read(kind, cell)


def test_a_format_is_the_only_form_then():
    assert read(DATE, "02/03/1970", format="%d/%m/%Y") == 60  # 2 March
    assert read(DATE, "02/03/1970", format="%m/%d/%Y") == 33  # 3 February
    with pytest.raises(ValueError, match="does not fit the format %d/%m/%Y"):
        read(DATE, "1970-03-02", format="%d/%m/%Y")
    with pytest.raises(ValueError, match=r"^'29/02/2026' is not a day: its month has none of that number$"):
        read(DATE, "29/02/2026", format="%d/%m/%Y")


def test_words_replace_cells_before_they_are_checked():
    assert read(GRADE, "G", words={"G": "gold"}) == "gold"
    assert read(GRADE, "silver", words={"G": "gold"}) == "silver"
    assert read(GRADE, "none", words={"none": ""}) is None
    with pytest.raises(ValueError, match="'S' is not one of"):
        read(GRADE, "S", words={"G": "gold"})


def test_a_long_cell_is_quoted_short():
    with pytest.raises(ValueError, match="is not a number") as caught:
        read(NUMBER, "x" * 1000)
    assert len(str(caught.value)) < 80


def test_an_id_is_trimmed_and_bounded():
    assert key(" C1 ") == "C1"
    assert key("  ") is None
    with pytest.raises(ValueError, match="at most 500"):
        key("x" * 501)


@pytest.mark.parametrize("cell", ["0001-05-01T10:00", "9999-01-01T10:00"])
def test_a_year_in_which_no_customer_lived_is_no_moment(cell):
    with pytest.raises(ValueError, match=f"'{cell}' is a year that no customer has"):
        read(TIME, cell)


def test_a_currency_is_three_letters():
    assert currency_code(" usd") == "USD"
    assert currency_code("") is None
    for wrong in ("US", "DOLLAR", "U$D", "ÜSD"):
        with pytest.raises(ValueError, match="three letters"):
            currency_code(wrong)


def test_a_remembered_cell_is_converted_once_and_the_memory_is_bounded():
    seen = []
    remembering = Remembering(lambda cell: seen.append(cell) or len(cell))
    assert [remembering["ab"], remembering["ab"]] == [2, 2]
    assert seen == ["ab"]
    for number in range(120_000):
        remembering[str(number)]
    assert len(remembering) <= 50_000


def test_a_fingerprint_depends_on_every_cell_and_its_place():
    assert fingerprint("a", 1, None) == fingerprint("a", 1, None)
    assert len({fingerprint("a", "b"), fingerprint("b", "a"), fingerprint("ab", ""), fingerprint("a", "b", None)}) == 4
