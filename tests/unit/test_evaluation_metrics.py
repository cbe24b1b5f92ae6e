"""Choices, bands and weighted scores, with values computed by hand."""

from __future__ import annotations

import pytest
from evaluating import NAMES, TODAY, TRUTHS, WORD, Row

from csflow.flow.evaluation import function
from csflow.flow.expressions import bands, choose, compile_expression, weights
from csflow.flow.types import BOOLEAN
from csflow.values import Length, day


def metric(expression, **facts):
    row = Row(TRUTHS | {name.replace("__", "."): found for name, found in facts.items()})
    return function(expression.node)(row, TODAY)


def guard(text, expect=BOOLEAN):
    return compile_expression(text, NAMES, subject="customer", use="metric", expect=expect)


def test_choose_takes_the_first_that_holds():
    grade = choose([("A", guard("usage.hours >= 10")), ("B", guard("usage.hours >= 5"))], "C")
    assert [metric(grade, usage__hours=hours) for hours in (12.0, 10.0, 7.0, 1.0)] == ["A", "A", "B", "C"]
    assert metric(grade) is None


def test_choose_with_an_unknown_before_the_answer_is_unknown_unless_all_agree():
    def grade(*pairs, otherwise):
        return choose([(word, guard(WORD[truth])) for word, truth in pairs], otherwise)

    assert metric(grade(("A", None), ("B", True), otherwise="C")) is None
    assert metric(grade(("A", None), ("A", True), otherwise="C")) == "A"
    assert metric(grade(("A", None), ("B", False), otherwise="A")) == "A"
    assert metric(grade(("A", True), ("B", None), otherwise="C")) == "A"
    assert metric(grade(("A", None), ("B", None), otherwise="C")) is None
    assert metric(grade(("A", False), ("B", False), otherwise=None)) is None


def test_bands_begin_at_their_value_and_end_where_the_next_begins():
    row = [("low", 0.0, False), ("middle", 0.3, False), ("high", 0.6, True)]
    band = bands(guard("usage.depth", None), [(None, row)])
    values = (-0.1, 0.0, 0.29, 0.3, 0.6, 0.61)
    assert [metric(band, usage__depth=depth) for depth in values] == [None, "low", "low", "middle", "middle", "high"]
    assert metric(band) is None


def test_a_band_named_unknown_is_unknown():
    band = bands(
        guard("usage.depth", None), [(None, [("low", 0.0, False), ("unknown", 0.3, False), ("high", 0.6, False)])]
    )
    assert [metric(band, usage__depth=depth) for depth in (0.1, 0.4, 0.7)] == ["low", None, "high"]


def test_bands_of_money_begin_at_minor_units():
    band = bands(guard("contract.amount", None), [(None, [("small", 0, False), ("large", 50_000, False)])])
    assert [metric(band, contract__amount=amount) for amount in (0, 49_999, 50_000)] == ["small", "small", "large"]


def test_bands_by_a_length_take_the_row_that_has_come():
    rows = [
        (Length(2, "months"), [("red", 0.0, False), ("green", 0.5, False)]),
        (Length(6, "months"), [("red", 0.0, False), ("green", 0.75, False)]),
    ]
    band = bands(guard("usage.depth", None), rows, guard("since(contract.starts_on)", None))

    def at_start(text, depth):
        return metric(band, usage__depth=depth, contract__starts_on=day(text))

    assert at_start("2026-03-01", 0.6) is None  # one month old: younger than the first row
    assert at_start("2026-01-31", 0.6) == "green"
    assert at_start("2025-09-30", 0.6) == "red"
    assert metric(band, usage__depth=0.6) is None
    assert metric(band, usage__depth=0.9, contract__starts_on=day("2025-09-30")) == "green"


def test_bands_by_a_word_take_the_row_of_that_word():
    rows = [("A", [("low", 0.0, False), ("high", 10.0, False)]), ("B", [("low", 0.0, False), ("high", 5.0, False)])]
    band = bands(guard("usage.hours", None), rows, guard("customer.grade", None))
    assert metric(band, usage__hours=7.0, customer__grade="A") == "low"
    assert metric(band, usage__hours=7.0, customer__grade="B") == "high"
    assert metric(band, usage__hours=7.0, customer__grade="C") is None
    assert metric(band, usage__hours=7.0) is None


def score(*, caps=(), needs=0.0):
    groups = [
        (50.0, [(60.0, guard("usage.hours", None)), (40.0, guard("customer.grade", None))]),
        (50.0, [(1.0, guard("customer.nps", None))]),
    ]
    points = {"A": 100.0, "B": 50.0, "C": 0.0}
    return weights(groups, points, [(limit, guard(text)) for limit, text in caps], needs)


def test_weights_are_a_mean_of_groups_of_means():
    # product: 0.6 × 80 + 0.4 × 50 = 68; with 40: (50 × 68 + 50 × 40) / 100 = 54
    assert metric(score(), usage__hours=80.0, customer__grade="B", customer__nps=40.0) == pytest.approx(54)


def test_an_unknown_part_gives_its_weight_to_the_others_of_its_group():
    assert metric(score(), usage__hours=80.0, customer__nps=40.0) == pytest.approx(60)
    assert metric(score(), customer__grade="B", customer__nps=40.0) == pytest.approx(45)


def test_a_group_that_knows_nothing_gives_its_weight_to_the_others():
    assert metric(score(), customer__nps=40.0) == pytest.approx(40)
    assert metric(score(), usage__hours=80.0, customer__grade="B") == pytest.approx(68)
    assert metric(score()) is None


def test_parts_of_weight_zero_make_no_group():
    expression = weights(
        [(50.0, [(0.0, guard("usage.hours", None))]), (50.0, [(1.0, guard("customer.nps", None))])], {}, []
    )
    assert metric(expression, usage__hours=90.0, customer__nps=10.0) == pytest.approx(10)
    assert metric(expression, usage__hours=90.0) is None


def test_a_cap_lowers_and_never_raises_and_is_nothing_while_unknown():
    facts = {"usage__hours": 80.0, "customer__grade": "B", "customer__nps": 40.0}  # 54
    assert metric(score(caps=[(40.0, "a.yes")]), **facts) == 40
    assert metric(score(caps=[(90.0, "a.yes")]), **facts) == pytest.approx(54)
    assert metric(score(caps=[(40.0, "a.no"), (20.0, "a.what")]), **facts) == pytest.approx(54)
    assert metric(score(caps=[(40.0, "a.yes"), (20.0, "a.yes")]), **facts) == 20
    assert metric(score(caps=[(40.0, "a.yes")])) is None


def test_a_score_needs_its_share_of_known_weight():
    # hours alone are 60 % of one half: 30 % of all weight
    assert metric(score(needs=0.3), usage__hours=80.0) == pytest.approx(80)
    assert metric(score(needs=0.31), usage__hours=80.0) is None
