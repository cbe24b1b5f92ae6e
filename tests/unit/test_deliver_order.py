"""How what was claimed is handed out: way by way, tried in which order, and what is left when something fails."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from csflow.hookspecs import RetryLater, Undeliverable
from csflow.services.deliver_items import Item
from csflow.services.deliver_order import Stopped, rounds, troubled_last


def item(number: int, chain: int, way: str = "post") -> Item:
    return Item([SimpleNamespace(party=chain, addressee="person:li")], way, str(number))


def items(written: str) -> list[Item]:
    """``1p 2m``: of chain 1 by post, of chain 2 by mail."""
    return [item(number, int(word[0]), word[1:]) for number, word in enumerate(written.split())]


def told(found: list[dict[str, list[Item]]]) -> list[dict[str, str]]:
    return [{way: " ".join(one.effect_id for one in members) for way, members in by_way.items()} for by_way in found]


def test_ways_are_handed_out_one_after_the_other_and_a_chain_that_goes_on_by_another_waits_for_the_next_round():
    assert told(rounds(items("1p 2m 1p 2p 1m 3m"))) == [{"p": "0 2", "m": "1 5"}, {"p": "3", "m": "4"}]
    assert told(rounds(items("1p 1m 1p"))) == [{"p": "0"}, {"m": "1"}, {"p": "2"}]
    assert rounds([]) == []


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from("pmx"))))
def test_in_rounds_every_item_comes_once_and_those_of_a_chain_in_their_order(written):
    given_ = [item(number, chain, way) for number, (chain, way) in enumerate(written)]
    out = [one for by_way in rounds(given_) for members in by_way.values() for one in members]
    assert sorted(int(one.effect_id) for one in out) == list(range(len(given_)))
    assert all(one.way == way for by_way in rounds(given_) for way, members in by_way.items() for one in members)
    for chain in range(1, 5):
        numbers = [int(one.effect_id) for one in out if one.chain[0] == chain]
        assert numbers == sorted(numbers)


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans())))
def test_what_is_in_trouble_comes_last_and_takes_what_is_behind_it_along(written):
    given_ = [item(number, chain) for number, (chain, _) in enumerate(written)]
    bad = {str(number) for number, (_, trouble) in enumerate(written) if trouble}
    out = list(given_)
    troubled_last(out, lambda one: one.effect_id in bad)
    late = {
        one.effect_id
        for n, one in enumerate(given_)
        if any(o.effect_id in bad and o.chain == one.chain for o in given_[: n + 1])
    }
    assert out == [one for one in given_ if one.effect_id not in late] + [
        one for one in given_ if one.effect_id in late
    ]


def test_a_failure_that_may_pass_stops_its_chain_and_one_that_never_will_does_not():
    stopped = Stopped()
    one, two, three, four = items("1p 2p 1p 2p")
    stopped.note(one, RetryLater("busy"))
    stopped.note(two, Undeliverable("no such box"))
    stopped.note(two, None)
    assert (three in stopped, four in stopped) == (True, False)
    assert stopped.without([three, four]) == [four]
    assert stopped.behind == [three]
