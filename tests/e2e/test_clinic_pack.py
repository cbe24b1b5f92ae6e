"""The clinic pack: an overlay that changes the standard one in YAML, and what it changes happens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from packs import Script, World, lived
from sqlalchemy import select
from test_standard_pack import SHEET

from csflow.app import Csflow, shipped_packs
from csflow.flow.loader import load
from csflow.store import tables as t
from csflow.values import day, day_text

CORE = ("invoice", "stock")
WIDE = tuple(f"c{number:02}" for number in range(100))  # so that one feature is one percent of depth


def changes(mine: Any, base: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where one merged tree differs from another: (place, added | changed | dropped), an added thing counted once."""
    for key in dict.fromkeys([*mine, *base]):
        here = (*path, key)
        if key not in base:
            yield here, "added"
        elif key not in mine:
            yield here, "dropped"
        elif isinstance(mine[key], dict) and isinstance(base[key], dict):
            yield from changes(mine[key], base[key], here)
        elif mine[key] != base[key]:
            yield here, "changed"


def tree(folder: Path) -> Any:
    app = Csflow(folder)
    return load(folder, app.surroundings).tree


def test_the_overlay_changes_at_least_ten_things_of_the_pack_without_code() -> None:
    packs = shipped_packs()
    found = dict(changes(tree(packs["clinic"]), tree(packs["standard"])))
    rules = {path: what for path, what in found.items() if path[0] in ("flows", "metrics", "vars", "tests", "imports")}
    assert {
        ("vars", "core_share"): "changed",
        ("metrics", "usage.bookings"): "added",
        ("metrics", "usage.booking_state"): "added",
        ("tests", "unknown_is_not_zero"): "dropped",
        ("imports", "contracts"): "added",
        ("flows", "lifecycle", "stages", "first_month"): "added",
        ("flows", "lifecycle", "stages", "growth", "milestones", "no_questions"): "dropped",
        ("flows", "lifecycle", "stages", "growth", "milestones", "books_online"): "added",
        ("flows", "lifecycle", "stages", "activation", "transitions", "growth"): "dropped",
        ("flows", "lifecycle", "stages", "activation", "transitions", "first_month"): "added",
        ("flows", "lifecycle", "migrate"): "added",
    }.items() <= rules.items()
    assert any(path[:5] == ("flows", "lifecycle", "stages", "growth", "deadline") for path in rules)
    assert any(path[:4] == ("flows", "renewal", "fields", "amount") for path in rules)
    assert any(path[:2] == ("metrics", "health.score") for path in rules)
    assert len(rules) >= 14


def ada() -> Script:
    """Books online from the first day; renews by a contract alone."""
    return [
        ("2026-06-01", lambda w: w.customer("A", "chain")),
        ("2026-06-01", lambda w: w.contract("A", "2026-06-01", "2026-09-30", amount=60_000)),
        ("2026-06-01", lambda w: w.uses("A", "2026-06-01", "2026-10-20", *CORE)),
        ("2026-06-08", lambda w: w.uses("A", "2026-06-08", "2026-10-20", "booking")),
        ("2026-06-02", lambda w: w.say("he", "hand_over", "handover/A/1", **SHEET)),
        ("2026-06-03", lambda w: w.say("li", "accept", "handover/A/1")),
        (
            "2026-09-07",
            lambda w: w.contract("A", "2026-10-01", "2027-09-30", amount=80_000, number="K2", replaces="K1"),
        ),
    ]


def bo() -> Script:
    """Uses it three days in June and stays in its first month."""
    return [
        ("2026-06-01", lambda w: w.customer("B", "single")),
        ("2026-06-01", lambda w: w.contract("B", "2026-06-01", "2027-05-31", amount=9_000)),
        ("2026-06-08", lambda w: w.uses("B", "2026-06-08", "2026-06-10", *CORE)),
        ("2026-06-09", lambda w: w.uses("B", "2026-06-09", "2026-06-10", "booking")),
        ("2026-06-02", lambda w: w.say("he", "hand_over", "handover/B/1", **SHEET)),
        ("2026-06-03", lambda w: w.say("li", "accept", "handover/B/1")),
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("clinic") / "project"
    with lived(folder, "clinic", [*ada(), *bo()], until="2026-11-30", core=CORE, more="booking") as world:
        yield world


def test_a_clinic_has_a_first_month_between_activation_and_growth(world: World) -> None:
    assert world.stages("A")[:4] == [
        ("2026-06-01", "signing"), ("2026-06-03", "activation"), ("2026-06-03", "first_month"),
        ("2026-06-15", "growth"),  # ten active days on 10 June
    ]  # fmt: skip


def test_growth_asks_for_twenty_bookings_and_no_longer_for_silence(world: World) -> None:
    assert [entry for entry in world.entries("A", "milestone") if entry[1] in ("books_online", "no_questions")] == [
        ("2026-06-29", "books_online"),  # the twentieth booking is of 27 June, a Saturday
        ("2026-10-05", "books_online"),  # and once more in the next term
    ]
    assert ("2026-06-29", "maturity") in world.stages("A")


def test_the_first_month_is_missed_two_months_after_the_clock_and_growth_after_five(world: World) -> None:
    assert world.entries("B", "missed") == [("2026-08-01", "stages.first_month"), ("2026-11-01", "stages.growth")]
    assert world.stages("B")[-1] == ("2026-06-08", "first_month")


def test_a_usage_analysis_of_a_chain_is_filed_each_quarter_not_each_month(world: World) -> None:
    opened = sorted({day for day, what in world.entries("A", "opened", "usage_analysis")})
    assert opened == ["2026-06-01", "2026-07-06", "2026-10-05"]  # the first passes of three quarters of the calendar
    assert not world.entries("B", "opened", "usage_analysis")  # a single site


def test_nobody_types_the_amount_of_a_renewal_that_the_next_contract_says(world: World) -> None:
    assert world.stages("A", "renewal")[-1] == ("2026-09-07", "won")
    amount = select(t.field_value.c.number).join(t.name, t.name.c.id == t.field_value.c.field)
    assert world.rows(amount.where(t.name.c.name == "renewal.amount")) == [(80_000_00.0,)]


def test_bookings_are_counted_and_are_part_of_health(world: World) -> None:
    names = dict(world.rows(select(t.name.c.id, t.name.c.name)))
    m = t.measurement_log.c
    words = {row.text for row in world.rows(select(m.metric, m.text)) if names[row.metric] == "usage.booking_state"}
    assert {"red", "green"} <= words
    parts = {
        part.fact.name
        for part in world.definition.metrics["health.score"].expression.node.walk()
        if hasattr(part, "fact")
    }
    assert "usage.booking_state" in parts


def test_every_rule_that_the_overlay_brings_has_happened(world: World) -> None:
    brought = ("first_month", "books_online", "amount =")
    assert [
        rule
        for rule in world.never()
        if any(word in rule for word in brought) and rule.startswith(("lifecycle", "renewal"))
    ] == []


# At both sides of the overlay's numbers -----------------------------------------------------------------------------

BOOKINGS = {0: "red", 4: "red", 5: "yellow", 19: "yellow", 20: "green"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the overlay made of customers at the edges of its numbers, each at its time."""

    stages: dict[str, str]
    metrics: dict[str, dict[str, Any]]
    reached: list[int]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def edges(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Depth of 59 and 60 %, nine and ten days of use, so many bookings in thirty days; and two nights more."""
    url = request.getfixturevalue("postgresql_schema")() if request.param == "postgresql" else None
    world = World(tmp_path_factory.mktemp("clinic") / "edges", "clinic", database=url)
    world.feature(*WIDE, core=True)
    world.feature("booking", "login", core=False)
    world.today = "2026-06-29"
    used = {"d59": (9, 59), "d60": (9, 60), "d60-10": (10, 60)}
    booked = {f"b{many}": many for many in BOOKINGS}
    for key in (*used, *booked, "window"):
        world.customer(key, "single")
        world.contract(key, "2026-01-01", "2027-12-31", amount=5_000)
    world.night()
    world.today = "2026-06-30"
    for key in used:
        case = f"handover/{key}/1"
        world.say("he", "hand_over", case, **SHEET)
        world.say("li", "accept", case)
    for key, (days, features) in used.items():
        world.uses(key, day_text(day("2026-07-01") - days), "2026-06-30", *WIDE[:features])
    for key, many in booked.items():
        if many:
            world.uses(key, day_text(day("2026-07-01") - many), "2026-06-30", "booking")
    world.uses("window", "2026-06-01", "2026-06-01", "booking")  # the first of thirty days until 30 June
    world.uses("window", "2026-05-31", "2026-05-31", "booking")
    world.night()
    keys = ("d60-10", "window", *booked)
    metrics = {key: {name: told["value"] for name, told in world.shown(key)["metrics"].items()} for key in keys}
    stages = {key: world.stages(key)[-1][1] for key in used}
    seen = Seen(stages, metrics, list(booking(world)))
    world.app.close()
    return seen


def booking(world: World) -> Iterator[int]:
    """In growth with ten days of use: nineteen bookings on 1 July, one more on the 2nd; how often it was enough."""
    world.uses("d60-10", "2026-06-13", "2026-06-30", "booking")
    for on in ("2026-07-01", "2026-07-02"):
        world.today = on
        world.uses("d60-10", on, on, "booking")
        world.night()
        yield [name for _, name in world.entries("d60-10", "milestone")].count("books_online")


def test_sixty_percent_of_the_core_lead_on_and_ten_days_of_use_to_growth(edges: Seen) -> None:
    assert edges.stages == {"d59": "activation", "d60": "first_month", "d60-10": "growth"}


def test_bookings_of_thirty_days_are_red_below_five_and_green_from_twenty_on(edges: Seen) -> None:
    shown = {many: edges.metrics[f"b{many}"] for many in BOOKINGS}
    assert {many: one["usage.bookings"] for many, one in shown.items()} == {many: many for many in BOOKINGS}
    assert {many: one["usage.booking_state"] for many, one in shown.items()} == BOOKINGS
    assert edges.metrics["window"]["usage.bookings"] == 1


def test_booking_is_a_sixth_of_what_a_clinics_product_says_of_health(edges: Seen) -> None:
    """Of product (60 * 50 + 40 * 60 + 20 * 0) / 120 = 45 with a weight of 50, beside 20 for service."""
    assert edges.metrics["d60-10"]["health.score"] == pytest.approx((50 * 45 + 20 * 100) / 70)


def test_the_twentieth_booking_is_the_milestone_of_growth(edges: Seen) -> None:
    assert edges.reached == [0, 1]
