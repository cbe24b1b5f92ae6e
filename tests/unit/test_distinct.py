from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from csflow.services.distinct import Distinct


@given(st.lists(st.lists(st.integers(0, 5_000), max_size=20), max_size=20))
def test_each_id_counts_once_however_often_it_comes(chunks):
    seen = Distinct()
    for chunk in chunks:
        seen.add(chunk)
    assert seen.number == len({one for chunk in chunks for one in chunk})


def test_a_million_ids_take_little_memory():
    seen = Distinct()
    seen.add(range(1_000_000))
    seen.add(range(1_000_000))
    assert seen.number == 1_000_000
    assert len(seen._seen) < 200_000
