"""How ids of subjects and cases are told apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csflow.errors import UsageError
from csflow.services.meaning import is_case, near, parts_of_case


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("complaint/C-1/3", True),
        ("renewal/C-1/K/7/2", True),
        ("C-1", False),
        ("a/b", False),
        ("a/b/c", False),
        ("a//1", False),
        ("contract:C-1/K/2", False),
    ],
)
def test_a_case_is_a_flow_a_subject_and_a_number(said, expected):
    assert is_case(said) is expected


@given(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), st.text(min_size=1), st.integers(0, 10**9))
def test_whatever_the_subject_is_called_the_parts_come_back(flow, subject, number):
    assert parts_of_case(f"{flow}/{subject}/{number}") == (flow, subject, number)


@pytest.mark.parametrize("said", ["C-1", "care/C-1", "care/C-1/x", "/C-1/1", "care//1"])
def test_what_is_no_case_is_told_how_one_is_written(said):
    with pytest.raises(UsageError, match="write flow/SUBJECT/number"):
        parts_of_case(said)


def test_the_nearest_name_does_not_mind_capitals():
    assert near("c-0001", ["C-0001", "D-9"]) == ": did you mean 'C-0001'?"
    assert near("zzz", ["C-0001"]) == ""
