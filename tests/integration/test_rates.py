"""Rates between two measures: money(…, 'USD') in a rule is worth what the newest rate says, a contract keeps its own day's."""

from __future__ import annotations

import pytest

SUM = "metrics:\n  size.sum: customer.amount\n"
WORTH = "  size.times: customer.amount / money(100, 'USD')\n  size.big: size.times >= 5\n"
STAGES = """
flow: lifecycle
opens: contract.id is known
stages:
  small:
    transitions:
      large: GUARD
  large: good
"""
LARGE = "customer.amount >= money(2000, 'USD')"


@pytest.fixture
def rated(csflow_project, database):
    """A project with that guard: C-1 pays 1000 EUR, C-2 100 CHF, of which no rate is known; a dollar is 2 euros."""

    def make(guard=LARGE, metrics=WORTH):
        files = {"metrics.yaml": SUM + metrics, "lifecycle.yaml": STAGES.replace("GUARD", guard)}
        project = csflow_project(files, database=database, today="2026-03-02")
        project.book.customer("C-1", starts="2026-03-02", amount=1000)
        project.book.customer("C-2")
        in_francs = {"amount": 100, "currency": "CHF"}
        project.book.row(
            "contracts", id="K-2", customer="C-2", starts_on="2026-03-02", ends_on="2027-03-01", **in_francs
        )
        project.book.row("rates", currency="USD", day="2026-03-01", rate=2)
        return project

    return make


def nights(project, first, last, **said):
    for on in range(first, last + 1):
        project.clock.set(f"2026-03-{on:02}")
        project.run(**said)


def test_a_new_rate_is_asked_of_everybody_and_a_full_measure_finds_no_more(rated):
    project = rated()
    nights(project, 2, 4)
    assert project.values("size.sum") == {"C-1": 100_000}
    assert project.values("size.times") == {"C-1": 5}  # 1000 EUR of 200 EUR
    assert project.stage("C-1") == "small"  # 2000 USD are 4000 EUR
    project.book.row("rates", currency="USD", day="2026-03-05", rate=0.5)
    project.book.row("rates", currency="CHF", day="2026-03-02", rate=1.5)
    nights(project, 5, 5)
    assert project.values("size.sum") == {"C-1": 100_000, "C-2": 15_000}
    assert project.values("size.times") == {"C-1": 20, "C-2": 3}  # of 50 EUR
    assert project.values("size.big") == {"C-1": 1, "C-2": 0}
    assert [project.stage(key) for key in ("C-1", "C-2")] == ["large", "small"]  # 2000 USD are 1000 EUR
    assert project.measure(full=True).changed == {}
    assert project.advance(full=True).entries == {}


def test_a_rate_of_a_day_to_come_counts_from_that_day(rated):
    project = rated()
    project.book.row("rates", currency="USD", day="2026-03-05", rate=0.5)
    nights(project, 2, 4)
    assert (project.values("size.times"), project.stage("C-1")) == ({"C-1": 5}, "small")
    nights(project, 5, 5)
    assert (project.values("size.times"), project.stage("C-1")) == ({"C-1": 20}, "large")


def test_a_contract_keeps_its_value_when_another_rate_of_its_day_comes(rated):
    project = rated()
    project.book.row("rates", currency="CHF", day="2026-03-01", rate=1.5)
    nights(project, 2, 2)
    assert project.values("size.sum") == {"C-1": 100_000, "C-2": 15_000}
    project.book.row("rates", currency="CHF", day="2026-03-01", rate=3)
    project.book.row("rates", currency="CHF", day="2026-03-02", rate=4)
    nights(project, 3, 3)
    assert project.values("size.sum") == {"C-1": 100_000, "C-2": 15_000}
    assert project.measure(full=True).changed == {}


@pytest.mark.parametrize("full", [True, False], ids=["full", "touched"])
def test_a_watched_condition_follows_a_new_rate(rated, full):
    project = rated("has_been(size.sum >= money(2000, 'USD'), days(3))", metrics="")
    nights(project, 2, 4, full=full)
    project.book.row("rates", currency="USD", day="2026-03-05", rate=0.5)
    nights(project, 5, 7, full=full)
    assert project.stage("C-1") == "small"
    nights(project, 8, 8, full=full)
    assert project.stage("C-1") == "large"
