"""Words said by hand to customers, and who hears them: cases of another subject, flows that open, one case for each key."""

from __future__ import annotations

import pytest
from hand import Hand

from csflow.errors import RefusedError, UsageError
from csflow.services.acting import Word, trigger
from csflow.services.customers import Said, set_customer
from csflow.store import tables as t

PROJECT = """
csflow: 1
name: p
currency: EUR
zone: Europe/Berlin
fields: {customer: {plan: text}}
"""
OFFER = """
flow: offer
subject: contract
opens: {trigger: offer}
fields: {price: money}
stages: {made: {transitions: {won: {trigger: signed}}}, won: good}
"""
RESCUE = """
flow: rescue
opens: {trigger: rescue, when: customer.plan == 'leave'}
stages: {begun: {transitions: {done: {trigger: saved}}}, done: good}
"""
ALARM = """
flow: alarm
one_per: case.line
opens: {trigger: alarm}
fields: {line: text}
stages: {red: {transitions: {green: {trigger: calm}}}, green: good}
"""
HELP = """
flow: help
opens: {trigger: ask}
fields: {cause: text}
stages: {new: {transitions: {done: {trigger: helped}}}, done: good}
"""
ADVICE = """
flow: advice
opens: {trigger: ask}
fields: {cause: number}
stages: {new: {transitions: {done: {trigger: advised}}}, done: good}
"""
STAGES = "stages: {new: {transitions: {done: {trigger: greeted}}}, done: good}"
GREETED = {
    "csflow": PROJECT,
    "a": f"flow: greeting\nopens: customer.name is known\n{STAGES}",
    "b": "flow: greeting_plus\nextends: greeting\nopens: customer.plan == 'plus' or customer.plan == 'max'",
    "c": "flow: greeting_plus_max\nextends: greeting_plus\nopens: customer.plan == 'max'",
}
ASKED = {
    "csflow": f"{PROJECT}roles: {{host: Host}}\npeople: {{eva: {{name: Eva}}}}\n",
    "a": f"flow: greeting\none_per: case.id\nopens: {{trigger: greet}}\n{STAGES}",
    "b": "flow: greeting_plus\nextends: greeting\nopens: {trigger: greet, when: customer.plan == 'plus', only: host}",
    "c": "flow: greeting_plus_max\nextends: greeting_plus\nopens: {when: customer.plan == 'max', only: null}",
}
FILES = {"csflow": PROJECT, "offer": OFFER, "rescue": RESCUE, "alarm": ALARM, "help": HELP, "advice": ADVICE}


@pytest.fixture
def desk(database, tmp_path):
    opened = Hand(database, tmp_path / "project", FILES)
    opened.customer()
    yield opened
    opened.store.close()


def say(desk, name, target="C-1", flow=None, **fields):
    return trigger(desk.store, desk.definition, desk.act(), Word(name, target, flow, fields))


def refusal(desk, name, target="C-1", flow=None, kind=RefusedError, **fields):
    """What is said against the word; nothing is written."""
    before = desk.snapshot()
    with pytest.raises(kind) as caught:
        say(desk, name, target, flow, **fields)
    assert desk.snapshot() == before
    return str(caught.value)


def test_a_word_said_to_a_customer_opens_a_case_about_its_contract_in_force_and_is_heard_by_it(desk):
    desk.contract("K-1")
    desk.advance(0, hour=1)
    assert [one["case"] for one in say(desk, "offer", price="800")["opened"]] == ["offer/C-1/K-1/1"]
    assert [(one["case"], one["to"]) for one in say(desk, "signed")["moved"]] == [("offer/C-1/K-1/1", "won")]


def test_a_word_that_opens_a_contracts_case_is_refused_where_there_is_none(desk):
    assert refusal(desk, "offer") == "offer is about a contract, and there is none"


def test_a_word_opens_only_where_the_rule_holds(desk):
    assert refusal(desk, "rescue") == "rescue does not open: customer.plan == 'leave' does not hold"
    set_customer(desk.store, desk.definition, desk.act(), customer="C-1", said=Said({"plan": "leave"}, {}))
    assert [one["case"] for one in say(desk, "rescue")["opened"]] == ["rescue/C-1/1"]


def test_a_word_does_not_open_a_second_case_of_the_same_key(desk):
    say(desk, "alarm", line="print")
    assert "nobody listens to 'alarm'" in refusal(desk, "alarm", line="print")
    say(desk, "alarm", line="mail")
    assert [row.key for row in desk.all(t.case)] == ["print", "mail"]


def test_a_word_of_two_flows_is_refused_and_heard_by_the_one_that_is_named(desk):
    assert refusal(desk, "ask") == "'ask' has several hearers, say which: --flow advice, --flow help"
    assert [one["case"] for one in say(desk, "ask", flow="help", cause="slow")["opened"]] == ["help/C-1/1"]


def test_a_field_that_two_flows_read_in_two_ways_is_refused(desk):
    told = refusal(desk, "ask", kind=UsageError, cause="5")
    assert told == "several flows hear 'ask', say which with --flow: advice, help"


def test_an_unknown_flow_is_told_with_the_nearest(desk):
    assert refusal(desk, "ask", flow="advise", kind=UsageError) == "no flow 'advise': did you mean 'advice'?"


def test_a_word_for_a_case_of_another_flow_than_the_one_named_is_refused(desk):
    say(desk, "alarm", line="print")
    assert refusal(desk, "calm", "alarm/C-1/1", "help", UsageError) == "alarm/C-1/1 is not of flow 'help'"


# Variants ----------------------------------------------------------------------------------------------------

PLANS = pytest.mark.parametrize(
    ("plan", "flow"), [("none", "greeting"), ("plus", "greeting_plus"), ("max", "greeting_plus_max")]
)


@pytest.fixture
def salon(database, tmp_path):
    opened = []

    def make(files, plan):
        opened.append(Hand(database, tmp_path / "salon", files))
        opened[0].customer()
        set_customer(
            opened[0].store, opened[0].definition, opened[0].act(), customer="C-1", said=Said({"plan": plan}, {})
        )
        return opened[0]

    yield make
    opened[0].store.close()


@PLANS
def test_a_variant_opens_before_the_flow_that_it_extends(salon, plan, flow):
    desk = salon(GREETED, plan)
    desk.advance(0)
    desk.advance(1)
    assert [row.flow for row in desk.all(t.case)] == [flow]


@PLANS
def test_a_word_opens_the_variant_whose_rule_holds_else_what_it_extends(salon, plan, flow):
    desk = salon(ASKED, plan)
    for number, named in enumerate((None, "greeting"), start=1):
        assert [one["case"] for one in say(desk, "greet", flow=named)["opened"]] == [f"{flow}/C-1/{number}"]


def test_who_may_say_a_word_is_asked_of_the_variant_that_it_opens(salon):
    desk = salon(ASKED, "plus")
    with pytest.raises(RefusedError, match="eva may not say 'greet': only host"):
        trigger(desk.store, desk.definition, desk.act("eva"), Word("greet", "C-1"))
    set_customer(desk.store, desk.definition, desk.act(), customer="C-1", said=Said({"plan": "max"}, {}))
    trigger(desk.store, desk.definition, desk.act("eva"), Word("greet", "C-1"))
    assert [row.flow for row in desk.all(t.case)] == ["greeting_plus_max"]


def test_a_word_with_a_guard_opens_nothing_that_nobody_asked_for(desk):
    set_customer(desk.store, desk.definition, desk.act(), customer="C-1", said=Said({"plan": "leave"}, {}))
    desk.advance(0)
    assert desk.all(t.case) == []
    assert [one["case"] for one in desk.say("rescue", act=desk.act(days=1))["opened"]] == ["rescue/C-1/1"]
