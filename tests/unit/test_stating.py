"""What people write for a field, as the store holds it."""

from __future__ import annotations

import pytest

from csflow.errors import UsageError
from csflow.flow.definition import Field
from csflow.flow.moments import Moment
from csflow.flow.types import Type
from csflow.services.stating import field_of, plain, shown, stored
from csflow.services.views import View
from csflow.store.reading import Book
from csflow.values import Zone, day

ZONE = Zone("Asia/Shanghai")


class Words:
    """Stands for a definition: only what reading a value needs of it."""

    currency = "CNY"
    people: dict[str, object] = {"li": None}  # noqa: RUF012


VIEW = View(Words(), Book({}, {}), Moment(ZONE.end_of(day("2026-03-02")), ZONE, rates={"USD": 7.2, "JPY": 0.05}))


def state(kind: str, text: str, choices: tuple[str, ...] = ()):
    return stored(None, VIEW, kind=Type(kind, choices), name="customer.x", text=text)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("money", "80000", (8_000_000.0, None)),
        ("money", "80000 CNY", (8_000_000.0, None)),
        ("money", "0.01", (1.0, None)),
        ("money", "-5", (-500.0, None)),
        ("money", "100 USD", (72_000.0, None)),  # 100 × 7.20 yuan, in fen
        ("money", "1000 JPY", (5_000.0, None)),  # yen have no minor unit: 1000 × 0.05 yuan
        ("share", "80%", (0.8, None)),
        ("share", "0.8", (0.8, None)),
        ("number", "12.5", (12.5, None)),
        ("boolean", "true", (1.0, None)),
        ("boolean", "yes", (1.0, None)),
        ("boolean", "No", (0.0, None)),
        ("date", "1970-01-02", (1.0, None)),
        ("time", "1970-01-01 08:00", (0.0, None)),  # Shanghai is eight hours ahead
        ("text", "a = b, c", (None, "a = b, c")),
        ("choice", "b", (None, "b")),
        ("choices", "b, a", (None, '["a", "b"]')),
        ("person", "li", (None, "li")),
        ("number", "", (None, None)),
    ],
)
def test_a_value_is_read_by_the_type_of_its_field(kind, text, expected):
    assert state(kind, text, ("a", "b") if kind.startswith("choice") else ()) == expected


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("money", "80k", "customer.x: '80k' is not an amount"),
        ("money", "80 EUR", "no rate for EUR is known: import rates, or write it in CNY"),
        ("share", "80", "customer.x: '80' is not a share"),
        ("share", "120%", "is not a share"),
        ("number", "1,5", "customer.x: '1,5' is not a number"),
        ("boolean", "maybe", "neither yes nor no"),
        ("date", "31.1.2026", "is not YYYY-MM-DD"),
        ("date", "2026-02-30", "there is no 30 February 2026"),
        ("date", "30 February", "is not YYYY-MM-DD"),
        ("choice", "aa", "is not one of a, b: did you mean a"),
        ("choices", "a, c", "'c' is not one of a, b"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_the_field_and_the_form(kind, text, message):
    with pytest.raises(UsageError, match=message):
        state(kind, text, ("a", "b") if kind.startswith("choice") else ())


def test_an_unknown_field_is_told_with_the_nearest_or_with_all():
    fields = {"cause": Field("cause", Type("text")), "cost": Field("cost", Type("money"))}
    assert field_of(fields, "cost", "complaint") is fields["cost"]
    with pytest.raises(UsageError, match="complaint has no field 'cuase': did you mean 'cause'"):
        field_of(fields, "cuase", "complaint")
    with pytest.raises(UsageError, match="complaint has no field 'xyz': it has cause, cost"):
        field_of(fields, "xyz", "complaint")
    with pytest.raises(UsageError, match="it has none"):
        field_of({}, "xyz", "complaint")


def test_a_stored_value_is_one_thing_again():
    assert [plain((3.0, None)), plain((None, "x")), plain((None, None))] == [3.0, "x", None]


def test_several_choices_are_shown_as_a_list_and_dates_as_dates():
    assert shown('["a", "b"]', Type("choices"), VIEW) == ["a", "b"]
    assert shown(None, Type("choices"), VIEW) is None
    assert shown("old text", Type("choices"), VIEW) == "old text"
    assert shown(1.0, Type("date"), VIEW) == "1970-01-02"
    assert shown(8_000_050.0, Type("money"), VIEW) == "80000.50 CNY"
