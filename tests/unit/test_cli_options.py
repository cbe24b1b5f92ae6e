"""How the words of options that several commands share become values."""

from __future__ import annotations

import pytest

from csflow.cli.options import instant_of
from csflow.errors import UsageError
from csflow.values import Zone, day

SHANGHAI = Zone("Asia/Shanghai")
NOON = (day("2026-01-05") * 24 + 4) * 3_600_000_000


@pytest.mark.parametrize(
    "text",
    ["T12:00", " 12:00", "T12:00:00", "T12:00:00.000000", "T04:00Z", "T04:00+00:00", "T06:00+0200", "T12:00+08:00"],
)
def test_an_instant_is_a_day_a_time_and_perhaps_an_offset(text: str) -> None:
    assert instant_of(f"2026-01-05{text}", SHANGHAI) == NOON


@pytest.mark.parametrize(
    "text",
    ["20260105", "2026-W02", "2026-W02-1", "2026W021", "20260105T1200", "2026-01-05T12", "2026-01-05T", "2026-1-5"],
)
def test_a_day_in_another_form_is_refused_and_not_taken_as_its_beginning(text: str) -> None:
    with pytest.raises(UsageError, match="neither a day nor an instant: write 2026-01-31 or 2026-01-31T14:30"):
        instant_of(text, SHANGHAI)
