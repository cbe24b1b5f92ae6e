"""When it is quiet, and when that ends."""

from __future__ import annotations

import pytest

from csflow.services.deliver_quiet import Quiet
from csflow.services.deliver_tries import BASE, JITTER, MOST, TRIES, wait_after
from csflow.values import Zone, day

BERLIN = Zone("Europe/Berlin")
NIGHT = Quiet(21 * 60, 8 * 60)
WEEKEND = frozenset({5, 6})


def at(text: str) -> int:
    date, _, clock = text.partition(" ")
    hour, _, minute = clock.partition(":")
    return BERLIN.at(day(date), int(hour) * 60 + int(minute))


@pytest.mark.parametrize(
    ("quiet", "now", "until"),
    [
        (Quiet(), "2026-03-02 03:00", None),
        (NIGHT, "2026-03-02 12:00", None),
        (NIGHT, "2026-03-02 20:59", None),
        (NIGHT, "2026-03-02 21:00", "2026-03-03 08:00"),
        (NIGHT, "2026-03-03 00:00", "2026-03-03 08:00"),
        (NIGHT, "2026-03-03 07:59", "2026-03-03 08:00"),
        (NIGHT, "2026-03-03 08:00", None),
        (Quiet(12 * 60, 13 * 60), "2026-03-02 12:30", "2026-03-02 13:00"),
        (Quiet(weekdays=WEEKEND), "2026-03-06 23:59", None),  # a Friday
        (Quiet(weekdays=WEEKEND), "2026-03-07 00:00", "2026-03-09 00:00"),
        (Quiet(21 * 60, 8 * 60, WEEKEND), "2026-03-06 22:00", "2026-03-09 08:00"),
        (NIGHT, "2026-03-28 22:00", "2026-03-29 08:00"),  # the night an hour is skipped
    ],
)  # fmt: skip
def test_quiet_times_end(quiet, now, until):
    assert quiet.until(at(now), BERLIN) == (at(until) if until else None)


def test_who_is_always_quiet_is_told_so_for_a_while():
    always = Quiet(weekdays=frozenset(range(7)))
    assert always.until(at("2026-03-02 12:00"), BERLIN) == at("2026-04-11 00:00")


def test_waits_double_up_to_six_hours_with_a_jitter_that_follows_from_the_id():
    for tries in range(1, TRIES + 1):
        plain = min(BASE * 2 ** (tries - 1), MOST) * 1e6
        found = {wait_after(f"id{n}", tries) for n in range(50)}
        assert all(plain * (1 - JITTER) <= wait <= plain * (1 + JITTER) for wait in found)
        assert len(found) == 50
        assert wait_after("id1", tries) == wait_after("id1", tries)


def test_what_a_server_asks_for_is_kept_within_reason():
    assert wait_after("x", 9, 5) == 5_000_000
    assert wait_after("x", 1, 0) == 1_000_000
    assert wait_after("x", 1, 1e12) == 7 * 86_400_000_000
