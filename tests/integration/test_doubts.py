"""Why a value is unknown, and why a case whose guard holds does not move all the same; on both databases."""

from __future__ import annotations

import pytest
from shop import Shop
from sqlalchemy import insert

from csflow.hookspecs import Provider
from csflow.store import tables as t
from csflow.values import day

FILES = {
    "csflow.yaml": """
csflow: 1
name: p
currency: EUR
zone: Europe/Berlin
roles: {lead: Lead}
fields: {customer: {beds: number}}
""",
    "metrics.yaml": """
metrics:
  usage.beds: {value: customer.beds, fresh: 20 days}
  usage.twice: usage.beds * 2
  usage.luck: {uses: shop/luck, type: number}
  contract.line: {subject: contract, value: contract.product}
""",
    "care.yaml": """
flow: care
opens: contract.id is known
stages:
  start:
    transitions:
      full: usage.beds >= 10
      double: usage.twice >= 10
      lucky: usage.luck > 1
      worthy: contract.line == 'pro'
      angry: complaint.stage == 'done'
      dear: count(complaint, complaint.cost > 5) >= 1
  full: good
  double: good
  lucky: good
  worthy: good
  angry: good
  dear: good
""",
    "complaint.yaml": """
flow: complaint
opens: {trigger: complain}
fields: {cost: number}
stages: {new: {transitions: {done: {trigger: solved}}}, done: good}
""",
    "restless.yaml": """
flow: restless
opens: contract.id is known
stages:
  here: {transitions: {there: customer.name is known}}
  there: {transitions: {here: customer.name is known}}
""",
    "asking.yaml": """
flow: asking
opens: contract.id is known
stages:
  start:
    transitions:
      one: {when: customer.name is known, approve: lead}
      two: {when: customer.name is known, approve: lead}
  one: good
  two: good
""",
}


@pytest.fixture
def shop(database, tmp_path):
    opened = Shop(database, tmp_path / "shop", FILES)
    opened.providers["shop/luck"] = Provider(compute=lambda _batch: {})
    opened.customer("C-1")
    yield opened
    opened.close()


def why(shop, target, on, customer="C-1"):
    """What is said of the one unknown value that the way to that stage reads."""
    way = next(one for one in shop.explain(customer, on)["transitions"] if one["to"] == target)
    (value,) = [value for value in way["values"] if value["value"] is None]
    return value["unknown"]


def test_a_value_that_is_too_old_says_since_when_and_so_does_what_is_computed_from_it(shop):
    shop.state("C-1", "beds", 4.0)
    shop.run("2026-01-05")
    old = "measured 2026-01-05 23:59, which is longer ago than 20 days"
    assert why(shop, "full", "2026-01-30") == old
    assert why(shop, "double", "2026-01-30") == f"it is computed from usage.beds: {old}"


def test_a_value_that_was_known_and_whose_input_no_longer_is_names_it(shop):
    shop.state("C-1", "beds", 4.0)
    shop.run("2026-01-05")
    shop.state("C-1", "beds", None)
    shop.run("2026-01-06")
    assert why(shop, "full", "2026-01-07") == "unknown when it was measured, from customer.beds"
    assert why(shop, "double", "2026-01-07") == "unknown when it was measured, from usage.beds"


def test_a_value_that_was_never_known_says_that_it_was_measured_and_from_what(shop):
    shop.run("2026-01-05")
    assert why(shop, "full", "2026-01-06") == "unknown when it was measured, from customer.beds"
    assert why(shop, "double", "2026-01-06") == "unknown when it was measured, from usage.beds"


def test_a_customer_that_came_after_the_last_measure_was_not_measured_yet(shop):
    shop.run("2026-01-05")
    shop.customer("C-2")
    shop.advance("2026-01-06")
    assert why(shop, "full", "2026-01-06", "C-2") == "not measured yet for this customer"
    assert why(shop, "full", "2026-01-06", "C-1") == "unknown when it was measured, from customer.beds"
    shop.measure("2026-01-06")
    assert why(shop, "full", "2026-01-06", "C-2") == "unknown when it was measured, from customer.beds"


def test_the_same_is_said_of_a_contract_that_is_new(shop):
    shop.run("2026-01-05")
    assert why(shop, "worthy", "2026-01-05") == "unknown when it was measured, from contract.product"
    shop.ends("C-1", "2026-01-05")
    with shop.store.writing() as c:
        row = {"customer": shop.id("C-1", c), "key": "K-2", "starts_on": day("2026-01-06"), "happened": 0}
        c.execute(insert(t.contract).values(**row, ends=None, currency="EUR"))
    assert why(shop, "worthy", "2026-01-06") == "not measured yet for this contract"
    assert why(shop, "full", "2026-01-06") == "unknown when it was measured, from customer.beds"


def test_a_metric_that_its_plugin_does_not_know_says_so_and_how_the_plugin_failed_since(shop):
    shop.run("2026-01-05")  # the plugin knows nothing of C-1
    assert why(shop, "lucky", "2026-01-05") == "unknown when it was measured"
    shop.providers["shop/luck"] = Provider(compute=lambda _batch: 1 / 0)
    shop.state("C-1", "beds", 4.0)
    shop.run("2026-01-06")
    said = why(shop, "lucky", "2026-01-06")
    assert said.startswith("it has no value for this customer, and measuring it failed: ")
    assert "ZeroDivisionError: division by zero (test_doubts.py:" in said


def test_a_fact_of_a_flow_that_never_ran_for_it_says_so(shop):
    shop.run("2026-01-05")
    assert why(shop, "angry", "2026-01-06") == "there was no case of complaint"


def test_a_count_that_depends_on_something_unknown_says_so(shop):
    shop.run("2026-01-05")
    shop.say("C-1", "complain", "2026-01-06")
    shop.run("2026-01-06")
    assert why(shop, "dear", "2026-01-07") == (
        "a condition or value is unknown for some complaint, so that the count is not certain"
    )


def test_a_case_that_would_go_in_a_circle_is_foretold_to_stop(shop):
    shop.run("2026-01-05")
    found = shop.explain("C-1", "2026-01-05", "restless")
    assert (found["stage"], found["next"]["by"], found["next"]["to"]) == ("there", "stop", "here")
    assert found["next"]["error"].startswith("would enter 'here' twice at one moment: by ")
    assert found["next"]["error"].endswith(", then by stages.there.transitions.here.0 (customer.name is known)")


def test_a_second_approval_is_not_asked_for_while_one_waits(shop):
    shop.run("2026-01-05")
    found = shop.explain("C-1", "2026-01-06", "asking")
    assert found["next"] is None
    assert [way["approval"] is not None for way in found["transitions"]] == [True, False]
    assert [one for one in shop.advance("2026-01-06").entries.get("moved", []) if one["flow"] == "asking"] == []
