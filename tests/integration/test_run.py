"""A measure and a pass under one lock, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from csflow.errors import LockedError
from csflow.store import tables as t
from csflow.store.locking import pass_lock

FLOW = """
flow: care
opens: customer.grade == 'A'
stages:
  watch: {transitions: {calm: until(contract.ends_on) <= days(30)}}
  calm: good
"""
METRICS = "metrics: {customer.grade: {choose: {A: contract.amount >= money(500), B: otherwise}}}\n"


@pytest.fixture
def project(csflow_project, database):
    files = {"care.yaml": FLOW, "metrics.yaml": METRICS}
    made = csflow_project(files, database=database, today="2026-01-02")
    for key, amount in (("C-1", 900), ("C-2", 100)):
        made.book.customer(key, starts="2026-01-01", ends="2026-06-30", amount=amount)
    made.book.write()
    made.clock.set("2026-01-03")
    return made


def count(project, table):
    with project.app.store.reading() as connection:
        return connection.execute(select(func.count()).select_from(getattr(t, table))).scalar_one()


def test_a_pass_sees_what_was_measured_just_before_it(project):
    ran = project.run()
    assert ran.measured.changed == {"customer.grade": 2}
    assert ran.outcome is not None
    assert [entry["case"] for entry in ran.outcome.entries["opened"]] == ["care/C-1/1"]


def test_a_dry_run_tells_what_a_run_does_and_leaves_no_row(project):
    before = {name: count(project, name) for name in ("case", "history", "measurement", "run", "touched")}
    tried = project.run(dry_run=True)
    assert {name: count(project, name) for name in before} == before
    done = project.run()
    assert tried.measured == done.measured
    assert tried.outcome == done.outcome
    assert count(project, "case") == 1


def test_a_measure_alone_moves_nobody(project):
    assert project.measure().changed == {"customer.grade": 2}
    assert (count(project, "case"), count(project, "measurement")) == (0, 2)


def test_a_dry_measure_leaves_no_row(project):
    project.measure(dry_run=True)
    assert count(project, "measurement") == 0


def test_a_run_twice_at_its_own_moment_changes_nothing(project):
    project.run()
    again = project.run()
    assert again.measured.changed == {}
    assert again.outcome is not None
    assert not again.outcome.changed


def test_neither_measures_nor_moves_while_another_pass_runs(project):
    with pass_lock(project.app.store, 0):
        for verb in (project.run, project.measure):
            with pytest.raises(LockedError):
                verb(wait=0)
    assert (count(project, "case"), count(project, "measurement")) == (0, 0)
