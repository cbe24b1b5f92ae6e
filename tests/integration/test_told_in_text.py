"""What people read, to the word: shares in per cent, tasks with what became of them, numbers with their nouns."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from csflow.cli import main

PROJECT = """
csflow: 1
name: p
languages: [en]
currency: EUR
zone: UTC
roles: {csm: Success manager, lead: {label: Lead, leads: csm}}
people: {li: {roles: [csm]}, ann: {roles: [lead]}}
fields:
  customer: {hope: share, beds: number}
metrics:
  customer.risk: 100% - customer.hope
"""
CARE = """
flow: care
opens: customer.hope >= 50%
responsible: csm
fields: {discount: share}
stages:
  start:
    do: [{task: hello, for: csm}, {task: greet, for: csm}]
    transitions: {steady: {when: customer.risk <= 25% and case.discount >= 10%}}
  steady: {transitions: {start: {trigger: again}}}
  gone: bad
transitions:
  gone: {trigger: cancel, approve: lead}
"""


@pytest.fixture
def run(database, tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "csflow.yaml").write_text(PROJECT, "utf-8")
    (folder / "care.yaml").write_text(CARE, "utf-8")

    def running(*words: str, code: int = 0) -> str:
        call = ["--project", str(folder), "--database", database, *words]
        result = CliRunner().invoke(main, call, env={"CSFLOW_ACTOR": "li"})
        assert result.exit_code == code, result.output
        return result.output

    running.folder = folder
    return running


@pytest.fixture
def hopeful(run):
    """A customer with a hope of 80 %, in care."""
    run("customer", "add", "C-1", "--set", "hope=80%", "--set", "beds=0.5")
    run("run", "--as-of", "2026-03-02")
    return run


# Shares --------------------------------------------------------------------------------------------------------


def test_a_share_is_told_in_per_cent_wherever_it_stands(hopeful):
    hopeful("case", "set", "care/C-1/1", "discount=12.5%", "--at", "2026-03-03")
    cells = [line.split(None, 1) for line in hopeful("customer", "show", "C-1").splitlines() if line.startswith("  ")]
    told = {name: value.strip() for name, value in cells}
    assert told["hope"] == "80 %"
    assert told["customer.risk"].startswith("20 %  measured ")
    assert "discount  12.5 %" in hopeful("case", "show", "care/C-1/1")
    explained = hopeful("explain", "C-1", "--as-of", "2026-03-03")
    assert "customer.risk = 20 %" in explained
    assert "case.discount = 12.5 %" in explained
    assert "customer.hope = 80 %" in hopeful("history", "C-1")
    assert "= 80 %" in hopeful("customer", "file", "C-1")


def test_a_number_is_no_share(hopeful):
    assert "0.5" in next(line for line in hopeful("customer", "show", "C-1").splitlines() if "beds" in line)


def test_data_for_scripts_keeps_shares_as_numbers(hopeful):
    shown = json.loads(hopeful("customer", "show", "C-1", "--format", "json"))
    assert shown["fields"]["hope"] == 0.8
    entries = json.loads(hopeful("history", "C-1", "--format", "json"))["entries"]
    assert entries[0]["because"][0]["value"] == 0.8


# Tasks in history ----------------------------------------------------------------------------------------------


def test_history_tells_what_became_of_a_task(hopeful):
    hopeful("task", "done", "care/C-1/1", "hello", "--at", "2026-03-03")
    hopeful("task", "done", "care/C-1/1", "greet", "--not-applicable", "--at", "2026-03-03")
    hopeful("trigger", "cancel", "C-1", "--at", "2026-03-04")
    hopeful("task", "done", "care/C-1/1", "approve", "--no", "--by", "ann", "--at", "2026-03-05")
    told = [line.split("  ")[1] for line in hopeful("history", "care/C-1/1").splitlines() if "  task " in line]
    assert told == [
        "task hello opened", "task greet opened", "task hello done", "task greet not applicable",
        "task approve opened", "task approve refused",
    ]  # fmt: skip


# Numbers with their nouns --------------------------------------------------------------------------------------


def test_one_of_a_thing_is_told_in_the_singular(run):
    run("customer", "add", "C-1", "--set", "hope=80%")
    assert "  1 customer\n" in run("status", "--as-of", "2026-03-01")
    measured, passed = run("run", "--as-of", "2026-03-02").splitlines()[:2]
    assert measured == "measured as of 2026-03-02 23:59: 1 value of 1 metric changed"
    assert passed.startswith("pass as of 2026-03-02 23:59: 1 opened")
    assert run("history", "C-1", "--limit", "2").startswith("(1 earlier entry is left out)\n")
    run("customer", "add", "C-2", "--set", "hope=80%", "--at", "2026-03-03T09:00")
    run("customer", "add", "C-3", "--set", "hope=90%", "--at", "2026-03-03T09:00")
    assert run("measure", "--as-of", "2026-03-03").endswith(": 2 values of 1 metric changed\n")
    assert "  3 customers\n" in run("status", "--as-of", "2026-03-03")
    assert run("history", "C-1", "--limit", "1").startswith("(2 earlier entries are left out)\n")


def test_a_row_of_one_cell_is_told_in_the_singular(run):
    (run.folder / "customers.csv").write_text("id,name\nC-9\n", "utf-8")
    told = run("import", "customers", str(run.folder / "customers.csv"), code=1)
    assert "  1 rejected: 1 cell where the header has 2\n" in told


# What a pass did -----------------------------------------------------------------------------------------------


def test_a_pass_counts_the_tasks_it_opened(run):
    run("customer", "add", "C-1", "--set", "hope=80%")
    assert run("advance", "--as-of", "2026-03-02").splitlines()[0].endswith(": 1 opened, 2 tasks opened")
    run("case", "set", "care/C-1/1", "discount=20%", "--at", "2026-03-03")
    assert run("run", "--as-of", "2026-03-03").splitlines()[1].endswith(": 1 moved")
    run("task", "done", "care/C-1/1", "hello", "--at", "2026-03-04")
    run("trigger", "again", "C-1", "--at", "2026-03-04")  # opens one task anew; the other one is open still
    run("customer", "add", "C-2", "--set", "hope=80%", "--at", "2026-03-05T09:00")
    assert "2 tasks opened" in run("advance", "--as-of", "2026-03-05")


def test_one_task_is_one_task(run):
    text = (run.folder / "care.yaml").read_text("utf-8").replace(", {task: greet, for: csm}", "")
    (run.folder / "care.yaml").write_text(text, "utf-8")
    run("customer", "add", "C-1", "--set", "hope=80%")
    assert run("advance", "--as-of", "2026-03-02").splitlines()[0].endswith(": 1 opened, 1 task opened")
    assert "nothing to do" in run("advance", "--as-of", "2026-03-02")


def test_a_case_that_opens_and_moves_in_one_pass_is_one_case(run):
    text = (run.folder / "care.yaml").read_text("utf-8").replace(" and case.discount >= 10%", "")
    (run.folder / "care.yaml").write_text(text, "utf-8")
    for key in ("C-1", "C-2"):
        run("customer", "add", key, "--set", "hope=80%")
    told = json.loads(run("run", "--as-of", "2026-03-02", "--format", "json"))
    assert [len(told[kind]) for kind in ("opened", "moved")] == [2, 2]
    assert told["cases"] == 2
    assert json.loads(run("run", "--as-of", "2026-03-02", "--format", "json"))["cases"] == 0
    run("trigger", "again", "C-1", "--at", "2026-03-03")
    told = json.loads(run("run", "--as-of", "2026-03-03", "--format", "json"))
    assert (len(told["moved"]), told["cases"]) == (1, 1)


def test_what_would_steer_a_terminal_is_written_out_wherever_people_read_a_name(run):
    name = "Ada\x1b[31m &\nCo\u202e\x9b5"
    run("customer", "add", "C-1", "--name", name, "--set", "hope=80%", "--at", "2026-01-05")
    run("run", "--as-of", "2026-01-05")
    for words in (
        ("customer", "show", "C-1"),
        ("status", "--stuck", "1", "--as-of", "2026-02-05"),
        ("explain", "C-1", "--as-of", "2026-02-05"),
    ):
        told = run(*words)
        assert not set(told) & {"\x1b", "\x9b", "\u202e"}, words
        if words[0] != "explain":
            assert r"Ada\x1b[31m &\nCo\u202e\x9b5" in told, words
    assert json.loads(run("customer", "show", "C-1", "--format", "json"))["name"] == name  # a script gets what is there
