"""What the standard pack measures, at both sides of every number it says: windows, bands, grades, weights, ages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from packs import World

from csflow.services.deliver_quiet import quiet_of
from csflow.values import day, day_text

CORE = tuple(f"c{number:02}" for number in range(100))  # so that one feature is one percent of depth
FIRST, TODAY = "2026-05-20", "2026-06-30"
OF_USE = ("usage.active_days", "usage.depth", "usage.breadth", "usage.hours", "usage.time_depth")


def back(days: int) -> str:
    return day_text(day(TODAY) - days)


def deep(world: World, key: str, days: int, features: int) -> None:
    """So many days of use until today, all of these core features on each; with none, of one that is not core."""
    if days:
        world.uses(key, back(days - 1), TODAY, *(CORE[:features] or ("extra",)))


def warm(world: World, key: str, said: tuple[int, int]) -> None:
    """Level-1 contacts of the customer, the first ones for us."""
    good, many = said
    for number in range(many):
        world.contact(key, f"{key}-{number}", level="1", attitude="for" if number < good else "neutral")
    world.contact(key, f"{key}-two", level="2", attitude="for")  # a contact of level 2 counts for nothing


def asked(world: World, key: str, many: int) -> None:
    for number in range(many):
        world.say("wu", "support", key, summary=f"question {number}")


# One customer for each line: days of use, core features in %, warm contacts, NPS, open questions; what health makes of it.
HEALTH = {
    # product 0.6 * 50 + 0.4 * 30 = 42, people 0.7 * 100 + 0.3 * 50 = 85, service 100; 0.5 * 42 + 0.3 * 85 + 0.2 * 100
    "H66": (5, 30, (1, 1), "7", 0, 66.5, "yellow"),
    # product 0.6 * 50 + 0.4 * depth; half of it, and 30 of people, and nothing of service
    "H50": (5, 25, (1, 1), "9", 5, 50.0, "yellow"),
    "H49": (5, 24, (1, 1), "9", 5, 49.8, "red"),
    # product 0.6 * 100 + 0.4 * depth; half of it, and 30 of people, and 10 of service
    "H75": (12, 25, (1, 1), "9", 2, 75.0, "green"),
    "H74": (12, 24, (1, 1), "9", 2, 74.8, "yellow"),
    # product 0.4 * 10, people 0.7 * 50: half of the one, 0.3 of the other, and 20 of service
    "H32": (4, 10, (1, 2), "6", 0, 32.5, "red"),
    "H00": (0, 0, (0, 1), "0", 5, 0.0, "red"),
    "H40": (5, 30, (1, 1), "7", 0, 40.0, "red"),  # as H66, with a complaint
    "H20": (5, 30, (1, 1), "7", 0, 20.0, "red"),  # as H66, closed down
}

BANDS = {
    "usage.state": {0: "red", 4: "red", 5: "yellow", 11: "yellow", 12: "green"},  # days of use
    "usage.band": {0: "low", 29: "low", 30: "middle", 59: "middle", 60: "high"},  # % of the core features
    "support.state": {0: "green", 1: "green", 2: "yellow", 4: "yellow", 5: "red"},  # open questions
    "customer.nps_state": {0: "red", 6: "red", 7: "yellow", 8: "yellow", 9: "green"},
    "contacts.reach": {  # 0, 33.3, 34, 66.7 and 67 %
        (0, 1): "red", (1, 3): "red", (17, 50): "yellow", (2, 3): "yellow", (67, 100): "green",
    },
    "customer.grade": {19_999.99: "C", 20_000: "B", 49_999.99: "B", 50_000: "A"},  # the amount of the contract
}  # fmt: skip
EDGES = [(metric, place) for metric, edges in BANDS.items() for place in edges]


def named(metric: str, place: Any) -> str:
    return f"{metric}-{place}"


def state(world: World, metric: str, place: Any) -> None:
    """A customer whose only number is the one on the band's edge."""
    key = named(metric, place)
    world.customer(key, "single")
    world.contract(key, "2026-01-01", "2027-12-31", amount=place if metric == "customer.grade" else 5_000)
    match metric:
        case "usage.state":
            deep(world, key, place, 0)
        case "usage.band":
            deep(world, key, 1, place)
        case "support.state":
            asked(world, key, place)
        case "customer.nps_state":
            world.state("li", key, nps=str(place))
        case "contacts.reach":
            warm(world, key, place)


def health(world: World) -> None:
    for key, (days, features, contacts, nps, questions, *_) in HEALTH.items():
        world.customer(key, "single")
        world.contract(key, "2026-01-01", "2027-12-31", amount=5_000)
        deep(world, key, days, features)
        warm(world, key, contacts)
        world.state("li", key, nps=nps)
        asked(world, key, questions)
    world.say("wu", "complaint", "H40")
    world.state("li", "H20", business="closed")


def windows(world: World) -> None:
    """Each metric's first day, and the day before it, which is none of its window."""
    world.customer("W", "single")
    world.contract("W", "2026-01-01", "2027-12-31", amount=5_000)
    world.uses("W", back(29), back(29), "c00", seconds=3600)
    world.uses("W", back(30), back(30), "c01", seconds=7200)
    world.uses("W", back(89), back(89), "c02", "campaign_launched")
    world.uses("W", back(90), back(90), "c03", "campaign_launched")


def knowing(world: World) -> None:
    """Before any use is reported: people and service known (30 and 20 of 100), and service alone."""
    for key in ("half", "fifth"):
        world.customer(key, "single")
        world.contract(key, "2026-01-01", "2027-12-31", amount=5_000)
    world.contact("half", "hal", level="1", attitude="for")
    world.state("li", "half", nps="9")


@dataclass(frozen=True, slots=True)
class Seen:
    """What the pack said of the customers, each at its time."""

    early: dict[str, Any]  # health before any use is reported
    metrics: dict[str, dict[str, Any]]  # by customer
    stale: dict[str, set[str]]  # metrics of use, by day
    aged: dict[str, tuple[Any, Any]]  # reach and NPS, by day
    silent: dict[Any, list[str]]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    url = request.getfixturevalue("postgresql_schema")() if request.param == "postgresql" else None
    world = World(tmp_path_factory.mktemp("measures") / "project", "standard", database=url)
    world.feature(*CORE, core=True)
    world.feature("extra", "campaign_launched", core=False)
    world.today = FIRST
    knowing(world)
    world.night()
    early = {key: world.shown(key)["metrics"]["health.score"]["value"] for key in ("half", "fifth")}
    world.today = TODAY
    for edge in EDGES:
        state(world, *edge)
    health(world)
    windows(world)
    world.night()
    keys = ("W", *HEALTH, *(named(*edge) for edge in EDGES))
    metrics = {key: {name: told["value"] for name, told in world.shown(key)["metrics"].items()} for key in keys}
    seen = Seen(early, metrics, dict(staleness(world)), dict(aging(world)), dict(silence(world)))
    world.app.close()
    return seen


def staleness(world: World) -> Iterator[tuple[str, set[str]]]:
    for on in ("2026-07-07", "2026-07-08"):
        world.today = on
        shown = world.shown("W")["metrics"]
        yield on, {name for name in OF_USE if shown[name]["stale"]}


def aging(world: World) -> Iterator[tuple[str, Any]]:
    for on in ("2026-12-29", "2026-12-31", "2027-06-29", "2027-07-01"):
        world.today = on
        world.measure()
        reach = world.shown(named("contacts.reach", (67, 100)))["metrics"]["contacts.reach"]["value"]
        yield on, (reach, world.shown(named("customer.nps_state", 9))["metrics"]["customer.nps_state"]["value"])


def silence(world: World) -> Iterator[tuple[Any, list[str]]]:
    """Four days with a hundred rows, then with 70 and with 69; a day, and two, after the last row."""
    for first, rows in (("2027-07-05", 70), ("2027-08-05", 69)):
        for key in ("day", "last"):
            world.today = first if key == "day" else day_text(day(first) + 4)
            many = 100 if key == "day" else rows
            last = day_text(day(first) + 3) if key == "day" else world.today
            world.uses("W", world.today, last, *CORE[:many], source="usage_events")
        yield rows, world.measure()
        if rows == 70:
            for later, said in ((1, "a day later"), (2, "two days later")):
                world.today = day_text(day(first) + 4 + later)
                yield said, world.measure()


@pytest.mark.parametrize("metric", BANDS)
def test_a_band_begins_at_its_number_and_ends_before_the_next(seen: Seen, metric: str) -> None:
    assert {place: seen.metrics[named(metric, place)][metric] for place in BANDS[metric]} == BANDS[metric]


def test_what_a_window_counts_begins_on_its_first_day(seen: Seen) -> None:
    found = seen.metrics["W"]
    assert (found["usage.active_days"], found["usage.depth"], found["usage.own_campaigns"]) == (1, 0.01, 1)
    assert found["usage.breadth"] == pytest.approx(4 / 102)  # c00, c01, c02 and the campaign, of 102
    assert found["usage.hours"] == 1
    # June 2026 has 22 weekdays, one of them the Dragon Boat Festival; 7.5 hours each
    assert found["usage.time_depth"] == pytest.approx(1 / (21 * 7.5))


@pytest.mark.parametrize("key", HEALTH)
def test_health_is_the_weighted_mean_worked_out_by_hand(seen: Seen, key: str) -> None:
    *_, score, colour = HEALTH[key]
    found = seen.metrics[key]
    assert found["health.score"] == pytest.approx(score)
    assert found["health.colour"] == colour


def test_health_is_unknown_where_less_than_half_of_it_is_known(seen: Seen) -> None:
    assert seen.early == {"half": 100.0, "fifth": None}


def test_what_is_measured_of_use_is_stale_after_seven_days(seen: Seen) -> None:
    assert seen.stale == {"2026-07-07": set(), "2026-07-08": set(OF_USE)}  # from the end of 30 June


def test_an_attitude_is_unknown_after_six_months_and_an_nps_after_a_year(seen: Seen) -> None:
    assert seen.aged == {
        "2026-12-29": ("green", "green"),
        "2026-12-31": (None, "green"),
        "2027-06-29": (None, "green"),
        "2027-07-01": (None, None),
    }


def test_a_source_is_silent_after_a_day_and_with_less_than_seventy_percent_of_the_usual(seen: Seen) -> None:
    """A hundred rows a day are usual. The day of the night is not over for the source: yesterday's rows are enough."""
    assert seen.silent == {70: [], 69: ["usage_events"], "a day later": [], "two days later": ["usage_events"]}


# What no database is asked for -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("said") / "project", "standard")
    yield world
    world.app.close()


@pytest.mark.parametrize(
    ("since", "until", "minutes"),
    [
        ("08:59", "09:01", 1), ("11:59", "12:01", 1), ("13:29", "13:31", 1), ("17:59", "18:01", 1),
        ("08:00", "12:30", 180), ("12:30", "19:00", 270),
    ],
)  # fmt: skip
def test_the_office_opens_and_closes_to_the_minute(pack: World, since: str, until: str, minutes: int) -> None:
    office = pack.definition.calendars["office"]
    assert office.between(clock(pack, "2026-06-01", since), clock(pack, "2026-06-01", until)) == minutes * 60_000_000


@pytest.mark.parametrize(
    ("at", "ends"),
    [("20:59", None), ("21:00", "08:00"), ("23:59", "08:00")],
)
def test_messages_rest_from_nine_in_the_evening_until_eight(pack: World, at: str, ends: str | None) -> None:
    quiet = quiet_of(pack.definition)
    assert quiet.until(clock(pack, "2026-06-01", at), pack.zone) == (ends and clock(pack, "2026-06-02", ends))
    assert quiet.until(clock(pack, "2026-06-02", "07:59"), pack.zone) == clock(pack, "2026-06-02", "08:00")
    assert quiet.until(clock(pack, "2026-06-02", "08:00"), pack.zone) is None


def clock(world: World, on: str, at: str) -> int:
    hour, minute = at.split(":")
    return world.zone.at(day(on), int(hour) * 60 + int(minute))
