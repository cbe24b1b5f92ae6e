"""Reminders before a due time that moves: by a pause that ends, or by a date that changes."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, text

from csflow.cli import main

FLOW = """
flow: support
opens: {trigger: ask}
one_per: case.id
responsible: csm
stages:
  solve:
    deadline: {due: 24 hours, stops_while: case.waiting}
    overdue: [{task: hurry, for: csm, before: 4 hours}]
    transitions: {done: {trigger: solved}}
  done: good
"""
ENDING = "    overdue: [{task: last_days, for: csm, before: 10 days}]\n"


@pytest.fixture
def csflow(tmp_path, database):
    folder = tmp_path / "shop"
    assert CliRunner().invoke(main, ["init", str(folder)]).exit_code == 0
    (folder / "support.yaml").write_text(FLOW, encoding="utf-8")
    lifecycle = folder / "lifecycle.yaml"
    whole = lifecycle.read_text(encoding="utf-8")
    place = "    deadline: contract.ends_on\n"
    assert place in whole
    lifecycle.write_text(whole.replace(place, place + ENDING), encoding="utf-8")

    def call(*words):
        found = CliRunner().invoke(main, ["--project", str(folder), "--database", database, *words])
        assert found.exit_code == 0, found.output
        return found.stdout

    call("customer", "add", "C1", "--at", "2026-03-01")
    return call


def contract(tmp_path, csflow, ends_on, known):
    file = tmp_path / "contracts.csv"
    file.write_text(f"id,customer,starts_on,ends_on\nK1,C1,2026-01-01,{ends_on}\n", encoding="utf-8")
    csflow("import", "contracts", str(file), "--as-of", known)


def timers(database):
    engine = create_engine(database)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT at, fired FROM timer ORDER BY at")).all()
    engine.dispose()
    return [(at // 3_600_000_000, fired is not None) for at, fired in found]


def test_when_waiting_ends_the_reminder_moves_with_the_due_time(csflow, database):
    csflow("trigger", "ask", "C1", "--at", "2026-03-02T10:00")  # due 3 March 10:00, reminder at 06:00
    csflow("case", "set", "support/C1/1", "waiting=true", "--at", "2026-03-02T12:00")  # 22 hours are left
    told = csflow("case", "set", "support/C1/1", "waiting=false", "--at", "2026-03-05T12:00")
    assert "stages.solve" in told
    assert "hurry" not in csflow("task", "list", "--as-of", "2026-03-05T12:00")
    csflow("run", "--as-of", "2026-03-06T05:00")  # due 6 March 10:00: not yet
    assert "hurry" not in csflow("task", "list", "--case", "support/C1/1", "--as-of", "2026-03-06T05:00")
    csflow("run", "--as-of", "2026-03-06T06:30")
    assert "hurry" in csflow("task", "list", "--case", "support/C1/1", "--as-of", "2026-03-06T06:30")


def test_a_reminder_that_rang_does_not_ring_again_for_a_time_that_is_past(csflow, database):
    csflow("trigger", "ask", "C1", "--at", "2026-03-02T10:00")
    csflow("run", "--as-of", "2026-03-03T07:00")  # one hour after the reminder
    csflow("case", "set", "support/C1/1", "waiting=true", "--at", "2026-03-03T08:00")  # 2 hours are left
    csflow("case", "set", "support/C1/1", "waiting=false", "--at", "2026-03-04T08:00")  # its reminder would be 06:00
    assert [rung for _, rung in timers(database)] == [True]


def test_a_date_that_moves_takes_its_reminder_along_and_it_rings_again(csflow, database, tmp_path):
    contract(tmp_path, csflow, "2026-03-31", "2026-03-01")
    csflow("run", "--as-of", "2026-03-02T10:00")
    before = timers(database)
    csflow("run", "--as-of", "2026-03-25T10:00")  # 10 days before the end have come
    assert [rung for _, rung in timers(database)] == [True]
    contract(tmp_path, csflow, "2026-05-31", "2026-03-26")
    csflow("run", "--as-of", "2026-03-27T10:00")
    after = timers(database)
    assert [rung for _, rung in after] == [False]
    assert after[0][0] - before[0][0] == 61 * 24 - 1  # 31 March to 31 May, summer time in between
