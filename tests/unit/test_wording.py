"""Expressions written back: what is read again is the same expression."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from csflow.flow import nodes as n
from csflow.flow.expressions import bands, compile_expression
from csflow.flow.names import FlowNames, Names
from csflow.flow.types import BOOLEAN, DATE, MONEY, NUMBER, SHARE, TEXT, Type
from csflow.flow.wording import length_call, text_of
from csflow.store.catalogue import CATALOGUE
from csflow.values import Length

GRADE = Type("choice", ("A", "B", "C"), (("good", ("A", "B")),))
METRICS = {"usage.depth": SHARE, "usage.days": NUMBER, "customer.grade": GRADE}
NAMES = Names(
    CATALOGUE,
    currency="EUR",
    fields={
        "customer": {"nps": (NUMBER, None), "budget": (MONEY, None), "live_on": (DATE, None), "vip": (BOOLEAN, None)}
    },
    metrics=dict.fromkeys(METRICS, ("customer", None)),
    metric_type=lambda name: METRICS[name],
    flows={
        "lifecycle": FlowNames("customer", "lifecycle", ("start", "end"), {"cause": TEXT}, ("met",), clock=True),
        "complaint": FlowNames("customer", "complaint", ("new", "done"), {"cost": NUMBER}),
    },
    vars={"core": (SHARE, 0.5)},
    activities=("visit",),
)


def read(text):
    return compile_expression(text, NAMES, subject="customer", flow="lifecycle", expect=BOOLEAN).node


def without_places(node):
    """The node with every offset taken away: where a part stands is not what it means."""

    def plain(value):
        if isinstance(value, n.Node):
            return without_places(value)
        return tuple(plain(item) for item in value) if isinstance(value, tuple) else value

    return replace(node, **{spec.name: plain(getattr(node, spec.name)) for spec in fields(node)} | {"at": 0})


@pytest.mark.parametrize(
    "text",
    [
        "usage.depth >= 50%",
        "usage.depth > 12.5%",
        "usage.days == 3 and usage.days < 5",
        "usage.days == 3 and (usage.depth < 5% or not customer.vip)",
        "not (customer.vip or usage.days > 1)",
        "(usage.days + 2) * 3 > 4 - (1 - usage.days)",
        "usage.days / (usage.days / 2) > 1.5",
        "customer.grade in ('A', 'B')",
        "customer.grade not in ('C',)",
        "customer.budget >= money(12.5)",
        "customer.budget >= money(100, 'USD')",
        "customer.live_on > '2026-01-31'",
        "customer.live_on is known and customer.nps is unknown",
        "since(activity.last_visit) <= days(30)",
        "until(contract.ends_on) < months(3)",
        "has_been(usage.depth > 30%, days(28))",
        "first_time(usage.depth > 30%) is known",
        "count(complaint) == 0",
        "count(complaint, complaint.cost > 5 or complaint.waiting) >= 2",
        "sum(contract, contract.amount, contract.renewed) > money(1)",
        "last(complaint, complaint.cost) == 1",
        "default(customer.nps, 0) > 3",
        "max(usage.days, customer.nps, 2) >= 3",
        "days_between(customer.live_on, today) > 10",
        "quarter(today) == 2",
        "since(recorded(customer.nps)) > weeks(2)",
        "customer.name == 'it''s'",
        'customer.name == "it\'s"',
        "milestones.all and tasks.open == 0",
        "true or customer.vip == false",
        "since(contract.ends_on + days(3)) > days(2)",
        "contract.ends_on - contract.starts_on > days(300)",
    ],
)
def test_what_is_written_back_means_the_same(text):
    node = read(text)
    assert without_places(read(text_of(node, "EUR"))) == without_places(node)


@pytest.mark.parametrize(
    "text",
    [
        "count(contract, contract.ends_on in period)",
        "count(contract, contract.ends_on + months(1) not in period)",
    ],
)
def test_a_period_of_a_book_metric_is_written_back(text):
    node = compile_expression(text, NAMES, subject="book", use="metric", expect=NUMBER).node
    assert text_of(node, "EUR") == text


@pytest.mark.parametrize("text", ["since(contract.starts_on)", "until(contract.ends_on)"])
def test_a_metric_that_is_a_span_is_written_back(text):
    assert text_of(compile_expression(text, NAMES, subject="customer", use="metric").node, "EUR") == text


def test_a_number_of_the_project_stands_as_its_value():
    assert text_of(read("usage.depth >= vars.core"), "EUR") == "usage.depth >= 50%"


def test_brackets_stand_only_where_they_are_needed():
    assert text_of(read("((usage.days > 1)) and (customer.vip)"), "EUR") == "usage.days > 1 and customer.vip"


def test_yen_have_no_decimals():
    assert text_of(n.Const(MONEY, 0, 500.0), "JPY") == "money(500)"
    assert text_of(n.Const(MONEY, 0, 500.0), "EUR") == "money(5)"


def test_a_length_is_spelled_as_a_call():
    assert length_call(Length(2, "working_days")) == "working_days(2)"
    assert length_call(Length(1.5, "hours")) == "hours(1.5)"


def test_the_words_of_a_metric_have_no_expression():
    days = compile_expression("usage.days", NAMES, subject="customer", use="metric", expect=NUMBER)
    cut = bands(days, [(None, [("low", 0.0, False), ("high", 3.0, False)])])
    assert text_of(cut.node, "EUR") == "…"
