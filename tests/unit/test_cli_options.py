"""How the words of options that several commands share become values."""

from __future__ import annotations

import pytest

from csflow.cli.options import for_people, instant_of
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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Ada & Co", "Ada & Co"),
        ("北京\u3000诊所 \u2764\ufe0f", "北京\u3000诊所 \u2764\ufe0f"),
        ("\x1b]0;x\x07\r\n\x00\x7f", r"\x1b]0;x\x07\r\n\x00\x7f"),
        ("a\u2028b\u2066c", r"a\u2028b\u2066c"),
    ],
)
def test_what_would_steer_a_terminal_is_written_out(text: str, told: str) -> None:
    assert for_people(text) == told


def test_a_text_of_several_lines_keeps_them() -> None:
    assert for_people("a\n\tb\r", lines=True) == "a\n\tb\\r"
