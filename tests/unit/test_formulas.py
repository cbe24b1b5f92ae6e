"""Computed columns: small arithmetic over cells, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csflow.flow.formulas import compile_formula

KNOWN = ("price", "seats", "first", "last", "With Blanks", "from", "begin", "end")


def value(text, **cells):
    formula = compile_formula(text, KNOWN)
    return formula.compute(*(cells[name.replace(" ", "_")] for name in formula.columns))


@pytest.mark.parametrize(
    ("text", "cells", "result"),
    [
        ("price * seats", {"price": "12.5", "seats": "4"}, "50"),
        ("price * 12 + 1", {"price": "10"}, "121"),
        ("(price + 2) * -1", {"price": "1"}, "-3"),
        ("price / seats", {"price": "1", "seats": "4"}, "0.25"),
        ("price / seats", {"price": "1", "seats": "0"}, ""),
        ("0.1 + 0.2", {}, "0.3"),
        ("first + ' ' + last", {"first": "Ann", "last": "Lee"}, "Ann Lee"),
        ("first + last", {"first": "1", "last": "2"}, "3"),
        ("'K-' + first", {"first": "7"}, "K-7"),
        ("'constant'", {}, "constant"),
        ("price * seats", {"price": "", "seats": "4"}, ""),
        ("first + last", {"first": " ", "last": "x"}, ""),
        ("default(price, 0) + 1", {"price": ""}, "1"),
        ("default(price, seats)", {"price": "3", "seats": "4"}, "3"),
        ("days_between(begin, end)", {"begin": "2024-02-28", "end": "2024-03-01"}, "2"),
        ("days_between(begin, end) * price", {"begin": "2024-01-01", "end": "", "price": "2"}, ""),
        ("column('With Blanks') * 2", {"With_Blanks": "4"}, "8"),
        ("column('from') * 2", {"from": "4"}, "8"),
    ],
)
def test_a_formula_computes(text, cells, result):
    assert value(text, **cells) == result


def test_the_columns_it_reads_are_named_once_in_order():
    assert compile_formula("seats * price + seats", KNOWN).columns == ("seats", "price")


@pytest.mark.parametrize(
    "text",
    [
        "", "price *", "price ** 2", "price.real", "price[0]", "__import__('os')", "eval('1')", "lambda: 1", "price if seats else 1",
        "[price]", "price < 2", "default(price)", "default(price, 1, 2)", "default(x=1)", "True", "f'{price}'", "price // 2",
        "(" * 5000, "-" * 5000 + "1", "1+" * 3000 + "1", "column(price)",
    ],
)  # fmt: skip
def test_nothing_else_can_be_written(text):
    with pytest.raises(ValueError, match=r".") as caught:
        compile_formula(text, KNOWN)
    assert "\n" not in str(caught.value)


def test_an_unknown_column_is_named():
    with pytest.raises(ValueError, match="no column 'prize'"):
        compile_formula("prize * 2", KNOWN)


@pytest.mark.parametrize("cell", ["many", "1e999", "nan", "1_000"])
def test_a_cell_that_is_no_number_cannot_be_multiplied(cell):
    with pytest.raises(ValueError, match=f"'{cell}' is not a number"):
        value("price * 2", price=cell)


def test_a_formula_is_nested_thirty_deep_at_most():
    assert value("1" + " + 1" * 30) == "31"
    with pytest.raises(ValueError, match="nested at most 30 deep"):
        compile_formula("1" + " + 1" * 31, KNOWN)


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.integers(1, 1000))
def test_arithmetic_is_arithmetic(first, second, third):
    assert value("price * seats + first", price=str(first), seats=str(second), first=str(third)) == str(
        first * second + third
    )
