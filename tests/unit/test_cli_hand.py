"""When `--at` says, and how things are printed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from csflow.cli.customers import _traces
from csflow.cli.hand import is_share, moment, read_pairs, table, text_of
from csflow.errors import UsageError
from csflow.flow.definition import Field, Metric
from csflow.flow.types import MONEY, NUMBER, SHARE
from csflow.values import Zone, day

ZONE = Zone("Europe/Berlin")
NOON = ZONE.at(day("2026-03-02"), 12 * 60)


def test_a_day_that_is_over_means_its_end_and_today_means_now():
    assert moment("2026-03-01", ZONE, NOON) == ZONE.end_of(day("2026-03-01"))
    assert moment("2026-03-02", ZONE, NOON) == NOON
    assert moment("2026-03-02T08:30", ZONE, NOON) == ZONE.at(day("2026-03-02"), 8 * 60 + 30)


@pytest.mark.parametrize("text", ["yesterday", "2026-02-30", "02/03/2026"])
def test_what_is_no_moment_is_told_under_its_own_option(text):
    with pytest.raises(UsageError, match=f"--since '{text}' is neither a day nor an instant"):
        moment(text, ZONE, NOON, "--since")


def test_values_are_words_for_people():
    assert [text_of(value) for value in (None, True, False, ["a", "b"], 0.5)] == ["unknown", "yes", "no", "a, b", "0.5"]


def test_a_table_lines_up_and_ends_without_blanks():
    assert table([["a", "bb", ""], ["ccc", "d", "e"]]) == ["a    bb", "ccc  d   e"]
    assert table([]) == []


def test_pairs_may_hold_further_equal_signs():
    assert read_pairs(None, None, ["note=a=b", " cause = price "]) == {"note": "a=b", "cause": "price"}


@pytest.mark.parametrize(
    ("pairs", "message"),
    [(["cause"], "write field=value"), (["=x"], "write field=value"), (["a=1", "a=2"], "said twice")],
)
def test_pairs_that_say_no_value_or_two_are_refused(pairs, message):
    with pytest.raises(UsageError, match=message):
        read_pairs(None, None, pairs)


def test_what_an_erasure_found_is_told_with_its_nouns_and_without_what_it_did_not_find():
    found = {"contact": 2, "fields": 1, "notes": 0, "answers": 3, "reasons": 1, "comments": 1, "words": 0}
    assert _traces(found) == "2 rows, 1 field, 3 answers, 1 reason, 1 comment"
    assert _traces({}) == ""


KNOWN = SimpleNamespace(  # as much of a definition as knows what a share is
    metrics={"usage.depth": Metric("usage.depth", "customer", SHARE), "usage.days": Metric("usage.days", "customer", NUMBER)},
    fields={
        "customer": {"hope": Field("hope", SHARE), "beds": Field("beds", NUMBER)}, "contact": {"hope": Field("hope", SHARE)},
    },
    flows={"renewal": SimpleNamespace(fields={"discount": Field("discount", SHARE), "price": Field("price", MONEY)})},
)  # fmt: skip


@pytest.mark.parametrize(
    ("fact", "share"),
    [
        ("usage.depth", True), ("usage.days", False), ("customer.hope", True), ("customer.beds", False),
        ("customer.name", False), ("contact:P.1.hope", True), ("renewal.discount", True), ("case.discount", True),
        ("case.price", False), ("case.stage", False), ("ago(usage.depth, days(30))", True), ("now", False),
        ("average(renewal, renewal.discount, renewal.end == 'good')", True), ("count(contract)", False),
        ("trigger cancel", False), ("role.csm", False), ("count(renewal, renewal.discount > 5%)", False),
    ],
)  # fmt: skip
def test_which_facts_are_shares(fact, share):
    assert is_share(KNOWN, fact, "renewal") is share


def test_a_case_of_a_flow_that_is_gone_has_no_shares():
    assert is_share(KNOWN, "case.discount", "former") is False
