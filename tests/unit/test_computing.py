"""What a plugin answers becomes rows only when each value is of the type that was declared."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from csflow.flow.types import Type
from csflow.hookspecs import Batch
from csflow.services.computing import answered, checker, differs

TODAY = 20_484  # 2026-01-31


def rows(kind: Type, *values: Any, dated: bool = False) -> list[Any]:
    return checker(kind, dated=dated, today=TODAY)(values)


@pytest.mark.parametrize(
    ("name", "value", "row"),
    [
        ("number", 3, (3.0, None, None)),
        ("share", 0.5, (0.5, None, None)),
        ("money", 1e15, (1e15, None, None)),
        ("boolean", True, (1.0, None, None)),
        ("boolean", 0, (0.0, None, None)),
        ("text", "院长", (None, "院长", None)),
        ("date", TODAY, (float(TODAY), None, None)),
        ("date", dt.date(2026, 1, 31), (float(TODAY), None, None)),
        ("time", 5, (5.0, None, None)),
    ],
)
def test_a_value_of_its_type_is_a_row(name: str, value: Any, row: Any) -> None:
    assert rows(Type(name), value) == [row]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("number", True), ("number", "3"), ("number", float("nan")), ("number", -float("inf")), ("number", 1.1e15),
        ("number", 10**400), ("number", 1j), ("boolean", 2), ("boolean", "no"), ("boolean", 1.0), ("text", 3),
        ("text", "a\0b"), ("text", "\ud800"), ("text", "x" * 1_001), ("date", 1.5), ("date", True), ("date", 10**9),
        ("date", dt.datetime(2026, 1, 31)), ("time", 1.0), ("time", 10**30),  # noqa: DTZ001
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a|neither True nor False"):
        rows(Type(name), value)


def test_one_wrong_number_among_floats_is_found() -> None:
    for wrong in (float("nan"), float("inf"), -2e15):
        with pytest.raises(ValueError, match="is not a number"):
            rows(Type("number"), 1.0, wrong, 2.0)
    assert rows(Type("number")) == []


def test_a_word_is_one_of_the_choices() -> None:
    kind = Type("choice", ("a", "b"))
    assert rows(kind, "b") == [(None, "b", None)]
    with pytest.raises(ValueError, match="'c' is none of a, b"):
        rows(kind, "c")


def test_a_milestone_is_reached_today_or_on_a_day_that_has_been() -> None:
    found = rows(Type("boolean"), True, False, TODAY, dt.date(2026, 1, 1), dated=True)
    assert found == [(1.0, None, None), (0.0, None, None), (1.0, None, TODAY), (1.0, None, TODAY - 30)]
    with pytest.raises(ValueError, match="a day to come"):
        rows(Type("boolean"), TODAY + 1, dated=True)


@pytest.mark.parametrize(
    ("new", "old", "other"),
    [
        ((1.0, None, None), (None, None, None), True),
        ((1.0, None, None), (1.0, None, 5), False),
        ((1.0, None, 6), (1.0, None, 5), True),
        ((0.0, None, None), (1.0, None, 5), True),
        ((None, "a", None), (None, "b", None), True),
        ((None, None, None), (None, None, None), False),
    ],
)
def test_only_another_value_or_another_day_differs(new: Any, old: Any, other: bool) -> None:
    assert differs(new, old) is other


def test_whom_a_plugin_leaves_out_is_unknown_and_whom_it_was_not_asked_about_a_mistake() -> None:
    check, batch, ids = (
        checker(Type("number"), dated=False, today=TODAY),
        Batch(("a", "b"), {}, TODAY),
        {"a": 1, "b": 2},
    )
    assert answered(lambda _: {"b": 2.0, "a": None}, batch, ids, check) == {1: (None, None, None), 2: (2.0, None, None)}
    with pytest.raises(ValueError, match="it was not asked about 'c'"):
        answered(lambda _: {"c": 2.0}, batch, ids, check)
    with pytest.raises(TypeError, match="it returns id → value, not list"):
        answered(lambda _: [1], batch, ids, check)
