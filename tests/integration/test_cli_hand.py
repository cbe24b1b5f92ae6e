"""The commands of what people do by hand, as a person or a script calls them; on both databases."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from csflow.cli import main
from csflow.store import tables as t


@pytest.fixture
def run(hand, database):
    def running(*words: str, code: int = 0) -> str:
        call = ["--project", str(hand.folder), "--database", database, *words]
        result = CliRunner().invoke(main, call, env={"CSFLOW_ACTOR": "li"})
        assert result.exit_code == code, result.output
        return result.output

    return running


def test_a_customers_first_week_by_hand(run):
    assert (
        run("customer", "add", "C-1", "--name", "Ada", "--role", "csm=li", "--set", "segment=small")
        == "C-1 is entered\n"
    )
    told = run("case", "open", "care", "C-1", "--at", "2026-03-02T09:00")
    assert told == (
        "care/C-1/1 opened in 'start'\n"
        "care/C-1/1: task 'hello' for li, due 2026-03-04 23:59\n"
    )  # fmt: skip
    assert "visit with C-1 at 2026-03-03 10:00 is noted" in run(
        "activity", "add", "C-1", "visit", "--at", "2026-03-03T10:00"
    )
    assert run("trigger", "met", "C-1", "--at", "2026-03-03") == "care/C-1/1 reached 'met'\n"
    done = run("task", "done", "care/C-1/1", "hello", "--comment", "fine", "--at", "2026-03-04")
    assert done == "care/C-1/1: task 'hello' done\n"
    assert run("task", "list") == "no tasks\n"
    rows = json.loads(run("customer", "file", "C-1", "--since", "2026-03-02", "--format", "json"))
    in_march = [(row["kind"], row["what"], row["actor"]) for row in rows if row["at"] < "2026-03-05"]
    assert in_march == [
        ("opened", "start", "li"), ("task", "hello", "li"), ("activity", "visit", "li"), ("milestone", "met", "li"),
        ("task", "hello", "li"),
    ]  # fmt: skip


def test_an_approval_from_the_command_line(run):
    run("customer", "add", "C-1")
    run("case", "open", "care", "C-1", "--at", "2026-03-02")
    told = run("trigger", "cancel", "C-1", "--set", "cause=price", "--at", "2026-03-03")
    assert "the move waits: csflow task done care/C-1/1 approve" in told
    assert "li asked for this move" in run("task", "done", "care/C-1/1", "approve", "--at", "2026-03-04", code=2)
    told = run("task", "done", "care/C-1/1", "approve", "--by", "ann", "--at", "2026-03-04")
    assert told.endswith("care/C-1/1 moved from 'start' to 'gone'\n")


@pytest.mark.parametrize(
    "words",
    [
        ["trigger", "met", "C-9"],
        ["trigger", "meet", "C-1"],
        ["trigger", "solved", "C-1"],
        ["case", "open", "cares", "C-1"],
        ["case", "set", "care/C-1/1", "score=x"],
        ["case", "show", "care/C-1/9"],
        ["task", "done", "care/C-1/1", "bye"],
        ["task", "done", "care/C-1/1", "hello", "--no", "--not-applicable"],
        ["task", "snooze", "care/C-1/1", "hello", "--until", "soon"],
        ["task", "assign", "care/C-1/1", "hello", "nobody"],
        ["activity", "add", "C-1", "dinner"],
        ["customer", "add", "C-1"],
        ["customer", "set", "C-1", "segment"],
        ["customer", "set", "C-1"],
        ["customer", "show", "C-9"],
        ["customer", "file", "C-9"],
        ["contact", "erase", "P-9"],
        ["trigger", "met", "C-1", "--at", "now-ish"],
        ["trigger", "met", "C-1", "--at", "2199-01-01"],
        ["activity", "add", "C-1", "visit", "--at", "2199-01-01"],
    ],
)
def test_what_cannot_be_done_is_one_line_exit_code_2_and_nothing_written(run, hand, words):
    run("customer", "add", "C-1")
    run("case", "open", "care", "C-1")
    before = hand.snapshot()
    told = run(*words, code=2)
    assert told.startswith("csflow: ")
    assert told.count("\n") == 1
    assert hand.snapshot() == before


def test_json_is_for_scripts_and_holds_no_ids_of_the_database(run, hand):
    run("customer", "add", "C-1", "--role", "csm=li")
    told = json.loads(run("case", "open", "care", "C-1", "--at", "2026-03-02T09:00", "--format", "json"))
    assert told["opened"] == [
        {"subject": {"kind": "customer", "id": "C-1"}, "case": "care/C-1/1", "flow": "care", "stage": "start",
         "at": "2026-03-02 09:00", "because": []}
    ]  # fmt: skip
    assert sorted(told) == ["at", "dry_run", "messages", "milestones", "moved", "opened", "tasks"]
    [task] = [json.loads(line) for line in run("task", "list", "--format", "jsonl").splitlines()]
    assert (task["case"], task["task"], task["customer"]) == ("care/C-1/1", "hello", "C-1")
    shown = json.loads(run("case", "show", "care/C-1/1", "--format", "json"))
    assert (shown["case"], shown["stage"], shown["responsible"]) == ("care/C-1/1", "start", "csm")
    assert json.loads(run("customer", "show", "C-1", "--format", "json"))["cases"] == [
        {"case": "care/C-1/1", "stage": "start", "since": "2026-03-02 09:00", "end": None}
    ]


def test_every_dry_run_says_so_and_writes_nothing(run, hand):
    run("customer", "add", "C-1")
    hand.contact()
    run("case", "open", "care", "C-1", "--at", "2026-03-02")
    before = hand.snapshot()
    for words in (
        ("customer", "add", "C-2"), ("customer", "set", "C-1", "segment=large"), ("activity", "add", "C-1", "call"),
        ("case", "open", "complaint", "C-1"), ("case", "set", "care/C-1/1", "score=3"), ("trigger", "met", "C-1"),
        ("task", "done", "care/C-1/1", "hello"), ("task", "assign", "care/C-1/1", "hello", "wang"),
        ("task", "snooze", "care/C-1/1", "hello", "--until", "2099-01-01"), ("contact", "erase", "P-1"),
    ):  # fmt: skip
        assert run(*words, "--dry-run").endswith("dry run: nothing was written\n")
        assert hand.snapshot() == before


def test_waiting_and_fields_are_shown_to_people(run):
    run("customer", "add", "C-1")
    run("case", "open", "complaint", "C-1", "--set", "cost=12.5", "--at", "2026-03-02T09:00")
    told = run("case", "set", "complaint/C-1/1", "waiting=true", "what=slow", "--at", "2026-03-02T10:00")
    assert told == "complaint/C-1/1: waiting, what set\n  deadline stages.solve stands still\n"
    shown = run("case", "show", "complaint/C-1/1", "--as-of", "2026-03-02")
    assert "waiting" in shown
    assert "12.50 EUR" in shown
    assert "stopped 2026-03-02 10:00" in shown


def test_the_actor_is_the_option_then_the_environment(run, hand):
    run("customer", "add", "C-1")
    run("case", "open", "care", "C-1", "--at", "2026-03-02", "--by", "wang")
    run("case", "set", "care/C-1/1", "score=3", "--at", "2026-03-03")
    assert [row.actor for row in hand.rows(select(t.history.c.actor).order_by(t.history.c.seq))] == [
        "wang",
        "wang",
        "li",
    ]


def test_every_command_of_a_group_helps_with_an_example(run):
    for group in ("case", "task", "customer", "contact", "activity"):
        listed = main.get_command(None, group).commands
        for name in listed:
            told = run(group, name, "--help")
            assert "Example:" in told
            assert f"csflow {group} {name}" in told
