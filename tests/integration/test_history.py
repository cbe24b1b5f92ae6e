"""History as it is told: in the order in which things were written, with reasons, by case or by customer."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from shop import at

from csflow.cli import main
from csflow.errors import UsageError
from csflow.services.history import history


@pytest.fixture
def shop(shop):
    shop.customer("C-1", beds=12.0, vip=1.0)
    shop.run("2026-01-05")
    shop.visit("C-1", "2026-01-06")
    shop.run("2026-01-07")
    shop.say("C-1", "complain", "2026-01-08")
    shop.say("C-1", "cancel", "2026-01-08", fields='{"cause": [null, "price"]}')
    shop.run("2026-01-09")
    return shop


def told(shop, target="C-1", **more):
    return history(shop.store, shop.definition, target, at("2026-01-10"), **more)


def brief(found):
    return [(entry["case"], entry["kind"], entry["from"], entry["to"]) for entry in found["entries"]]


def test_a_case_tells_every_entry_in_its_order(shop):
    found = told(shop, "care/C-1/1")
    assert [entry["seq"] for entry in found["entries"]] == list(range(1, len(found["entries"]) + 1))
    assert brief(found) == [
        ("care/C-1/1", "opened", None, "start"),
        ("care/C-1/1", "milestone", None, "visited"),
        ("care/C-1/1", "moved", "start", "grown"),
        ("care/C-1/1", "field", None, "cause"),
        ("care/C-1/1", "moved", "grown", "lost"),
    ]


def test_a_customer_tells_all_its_cases_by_time(shop):
    found = told(shop)
    assert ("complaint/C-1/1", "opened", None, "open") in brief(found)
    assert [entry["at"] for entry in found["entries"]] == sorted(entry["at"] for entry in found["entries"])


def test_a_move_says_who_when_and_why(shop):
    move = next(entry for entry in told(shop)["entries"] if entry["kind"] == "moved")
    assert (move["at"], move["actor"], move["place"]) == (
        "2026-01-07 23:59",
        "test",
        "stages.start.transitions.grown.0",
    )
    assert {"fact": "customer.beds", "value": 12, "measured": "2026-01-01 23:59"} in move["because"]


def test_a_limit_keeps_the_newest_and_says_how_many_are_left_out(shop):
    every, some = told(shop), told(shop, limit=2)
    assert some["entries"] == every["entries"][-2:]
    assert some["left_out"] == len(every["entries"]) - 2
    assert every["left_out"] == 0


def test_only_the_verbose_history_names_the_time_of_writing(shop):
    assert "recorded" not in told(shop)["entries"][0]
    assert told(shop, verbose=True)["entries"][0]["recorded"] == "2026-01-05 23:59"


def test_one_flow_can_be_asked_for(shop):
    assert {entry["case"] for entry in told(shop, flow="complaint")["entries"]} == {"complaint/C-1/1"}


def test_an_unknown_customer_is_told_with_the_nearest(shop):
    with pytest.raises(UsageError, match="no customer 'C-11': did you mean 'C-1'"):
        told(shop, "C-11")


def run(shop, *words):
    return CliRunner().invoke(main, ["--project", str(shop.folder), "--database", shop.database, *words])


def test_the_command_prints_a_line_for_each_entry(shop):
    done = run(shop, "history", "care/C-1/1")
    assert done.exit_code == 0, done.output
    lines = [line for line in done.output.splitlines() if not line.startswith(" ")]
    assert lines[0] == "2026-01-05 23:59  opened in Start  test"
    assert lines[2] == "2026-01-07 23:59  moved Start → grown  test"
    assert "                    customer.beds = 12  (2026-01-01 23:59)" in done.output.splitlines()


def test_the_command_speaks_the_language_asked_for(shop):
    assert "moved 开始 → grown" in run(shop, "history", "care/C-1/1", "--language", "zh").output
    wrong = run(shop, "history", "C-1", "--language", "fr")
    assert (wrong.exit_code, wrong.stderr) == (2, "csflow: the project has no language 'fr': it has en, zh\n")


def test_the_command_gives_json_without_ids_of_the_store(shop):
    found = json.loads(run(shop, "history", "C-1", "--format", "json").stdout)
    assert found["entries"][0].keys() == {"case", "seq", "at", "kind", "actor", "from", "to", "place", "because"}
    lines = run(shop, "history", "C-1", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == found["entries"]


def test_the_command_ends_with_2_for_an_unknown_customer(shop):
    done = run(shop, "history", "C-11")
    assert (done.exit_code, done.stderr) == (2, "csflow: no customer 'C-11': did you mean 'C-1'?\n")


def test_explain_prints_what_holds_a_case_and_what_a_pass_would_do(shop):
    done = run(shop, "explain", "C-1", "--as-of", "2026-01-10", "--flow", "care")
    assert done.exit_code == 0, done.output
    assert "care/C-1/1  in lost since" in done.output
    assert "to Start: waits for trigger 'return' by Lead" in done.output
    assert "A pass now moves nothing here first." in done.output


def test_explain_gives_json_and_one_case_a_line(shop):
    words = ("explain", "C-1", "--as-of", "2026-01-10")
    found = json.loads(run(shop, *words, "--format", "json").stdout)
    assert (found["as_of"], found["target"]) == ("2026-01-10 23:59", "C-1")
    lines = run(shop, *words, "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == found["cases"]


def test_explain_refuses_a_moment_before_the_last_pass(shop):
    done = run(shop, "explain", "C-1", "--as-of", "2026-01-01")
    assert (done.exit_code, done.stderr[:26]) == (2, "csflow: the last pass was ")


def test_explain_prints_the_label_of_a_task(shop):
    shop.customer("C-2")
    shop.run("2026-01-09")
    shop.run("2026-02-03")
    done = run(shop, "explain", "C-2", "--as-of", "2026-02-04")
    assert "  task Call them for Success manager, due 2026-02-05" in done.output
