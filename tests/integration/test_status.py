"""Status: totals by stage, moves of the last pass, tasks by role, who is stuck – on both databases."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from shop import at
from sqlalchemy import event

from csflow.cli import main
from csflow.errors import UsageError
from csflow.services.status import status


@pytest.fixture
def busy(three):
    """C-1 and C-3 overdue since 1 February; C-4 came on 15 January."""
    three.customer("C-4", starts="2026-01-14")
    three.say("C-2", "complain", "2026-01-15")
    three.run("2026-01-15")
    three.run("2026-02-03")
    return three


def told(shop, on="2026-02-05", **more):
    return status(shop.store, shop.definition, at(on), **more)


def test_stages_stand_in_their_order_with_cases_overdue_ones_and_median_days(busy):
    care = told(busy)["flows"][0]
    assert (care["name"], care["cases"], care["open"], care["overdue"]) == ("care", 4, 4, 2)
    stages = {stage["name"]: (stage["cases"], stage["overdue"], stage["median_days"]) for stage in care["stages"]}
    # start: entered on the 5th, 5th and 15th – the middle one 31 days before 5 February; grown: the 7th
    assert stages == {
        "start": (3, 2, 31.0),
        "grown": (1, 0, 29.0),
        "asleep": (0, 0, None),
        "ending": (0, 0, None),
        "lost": (0, 0, None),
    }
    assert list(stages) == ["start", "grown", "asleep", "ending", "lost"]


def test_the_median_of_two_lies_between_them(shop):
    shop.customer("C-1")
    shop.run("2026-01-05")
    shop.customer("C-2", starts="2026-01-08")
    shop.run("2026-01-15")
    assert told(shop, "2026-01-15")["flows"][0]["stages"][0]["median_days"] == 5.0


def test_the_moves_of_the_last_pass_are_counted_by_way(busy):
    assert told(busy)["moved"] == []
    busy.visit("C-1", "2026-02-04")
    busy.visit("C-3", "2026-02-04")
    for key in ("C-1", "C-3"):
        busy.state(key, "beds", 60.0, "2026-02-04")
        busy.state(key, "vip", 1.0, "2026-02-04")
    busy.run("2026-02-05")
    assert told(busy)["moved"] == [
        {"flow": "care", "from": "start", "to": "grown", "cases": 2, "examples": ["C-1", "C-3"]}
    ]


def test_open_tasks_are_counted_by_role(busy):
    assert told(busy)["tasks"] == [{"role": "csm", "open": 2, "overdue": 0}]
    assert told(busy, "2026-02-06")["tasks"] == [{"role": "csm", "open": 2, "overdue": 2}]


def test_the_stuck_are_the_overdue_first_then_the_longest(busy):
    found = told(busy, stuck=4)["stuck"]
    assert [(one["case"], one["overdue"], one["days"]) for one in found] == [
        ("care/C-1/1", True, 31.0),
        ("care/C-3/1", True, 31.0),
        ("care/C-2/1", False, 29.0),
        ("care/C-4/1", False, 21.0),
    ]
    assert (found[0]["customer"], found[0]["name"], found[0]["stage"]) == ("C-1", "C-1 & Co", "start")


def test_ties_at_the_end_of_the_list_are_cut_by_id(busy):
    assert [one["case"] for one in told(busy, stuck=1)["stuck"]] == ["care/C-1/1"]
    assert told(busy, stuck=0)["stuck"] == []


def test_one_flow_can_be_asked_for(busy):
    found = told(busy, flow="complaint")
    assert [flow["name"] for flow in found["flows"]] == ["complaint"]
    assert ([one["case"] for one in found["stuck"]], found["tasks"]) == (["complaint/C-2/1"], [])


def test_the_last_measure_and_the_last_pass_are_named(busy):
    found = told(busy)
    assert (found["last_measure"], found["last_pass"]) == ({"as_of": "2026-02-03 23:59"}, {"as_of": "2026-02-03 23:59"})
    assert (found["customers"], found["outbox"]) == (4, {})


def test_a_moment_before_the_last_pass_is_refused(busy):
    with pytest.raises(UsageError, match="the last pass was at 2026-02-03 23:59"):
        told(busy, "2026-02-01")


def test_an_unknown_flow_is_told_with_the_nearest(shop):
    with pytest.raises(UsageError, match="no flow 'complain': did you mean 'complaint'"):
        told(shop, flow="complain")


def test_the_number_of_statements_does_not_grow_with_customers(shop):
    statements = []
    event.listen(shop.store.engine, "before_cursor_execute", lambda *what: statements.append(what[2]))

    def asked(many, on):
        for number in range(many):
            shop.customer(f"D-{many}-{number}")
        shop.run(on)
        statements.clear()
        told(shop, on)
        return len(statements)

    assert asked(2, "2026-01-05") == asked(20, "2026-01-06")


def run(shop, *words):
    return CliRunner().invoke(main, ["--project", str(shop.folder), "--database", shop.database, *words])


def test_an_empty_project_is_told_what_to_do_next(shop):
    assert "No cases yet. Next:  csflow import DIR" in run(shop, "status").output
    shop.customer("C-1")
    assert "No cases yet. Next:  csflow run" in run(shop, "status").output


def test_the_page_shows_labels_and_numbers(busy):
    done = run(busy, "status", "--as-of", "2026-02-05")
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.output.splitlines()]
    assert ["Start", "[start]", "3", "2", "31.0"] in lines
    assert ["Success", "manager", "2"] in lines
    assert ["care/C-1/1", "C-1", "&", "Co", "Start", "31.0", "overdue"] in lines
    assert "开始 [start]" in run(busy, "status", "--as-of", "2026-02-05", "--language", "zh").output


def test_json_has_the_same_figures(busy):
    words = ("status", "--as-of", "2026-02-05", "--format")
    assert json.loads(run(busy, *words, "json").stdout) == told(busy)
    assert json.loads(run(busy, *words, "jsonl").stdout) == told(busy)
