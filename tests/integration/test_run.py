"""A measure and a pass under one lock, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from csflow.app import Csflow
from csflow.errors import LockedError
from csflow.services.advance import Request
from csflow.services.importing import import_file
from csflow.store import tables as t
from csflow.store.locking import pass_lock
from csflow.values import day

PROJECT = "csflow: 1\nname: run\ncurrency: EUR\nzone: UTC\n"
FLOW = """
flow: care
opens: customer.grade == 'A'
stages:
  watch: {transitions: {calm: until(contract.ends_on) <= days(30)}}
  calm: good
"""
METRICS = "metrics: {customer.grade: {choose: {A: contract.amount >= money(500), B: otherwise}}}\n"
CONTRACTS = (
    "id,customer,starts_on,ends_on,amount\nK-1,C-1,2026-01-01,2026-06-30,900\nK-2,C-2,2026-01-01,2026-06-30,100\n"
)


@pytest.fixture
def app(tmp_path: Path, database: str) -> Iterator[Csflow]:
    for name, text in (("csflow.yaml", PROJECT), ("care.yaml", FLOW), ("metrics.yaml", METRICS)):
        (tmp_path / name).write_text(text, "utf-8")
    for name, text in (("customers.csv", "id\nC-1\nC-2\n"), ("contracts.csv", CONTRACTS)):
        (tmp_path / name).write_text(text, "utf-8")
    opened = Csflow(tmp_path, database=database)
    for name in ("customers", "contracts"):
        import_file(
            opened.store, opened.definition, name, tmp_path / f"{name}.csv", as_of=opened.zone.end_of(day("2026-01-02"))
        )
    yield opened
    opened.close()


def request(app: Csflow, on: str, **more: object) -> Request:
    now = app.zone.end_of(day(on))
    return Request(now, "test", now, **more)  # type: ignore[arg-type]


def count(app: Csflow, table: str) -> int:
    with app.store.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(getattr(t, table))).scalar_one())


def test_a_pass_sees_what_was_measured_just_before_it(app: Csflow) -> None:
    ran = app.run(request(app, "2026-01-03"))
    assert ran.measured.changed == {"customer.grade": 2}
    assert ran.outcome is not None
    assert [entry["case"] for entry in ran.outcome.entries["opened"]] == ["care/C-1/1"]


def test_a_dry_run_tells_what_a_run_does_and_leaves_no_row(app: Csflow) -> None:
    before = {name: count(app, name) for name in ("case", "history", "measurement", "run", "touched")}
    tried = app.run(request(app, "2026-01-03", dry_run=True))
    assert {name: count(app, name) for name in before} == before
    done = app.run(request(app, "2026-01-03"))
    assert tried.measured == done.measured
    assert tried.outcome == done.outcome
    assert count(app, "case") == 1


def test_a_measure_alone_moves_nobody(app: Csflow) -> None:
    assert app.measure(request(app, "2026-01-03")).measured.changed == {"customer.grade": 2}
    assert (count(app, "case"), count(app, "measurement")) == (0, 2)


def test_a_dry_measure_leaves_no_row(app: Csflow) -> None:
    app.measure(request(app, "2026-01-03", dry_run=True))
    assert count(app, "measurement") == 0


def test_a_run_twice_at_its_own_moment_changes_nothing(app: Csflow) -> None:
    app.run(request(app, "2026-01-03"))
    again = app.run(request(app, "2026-01-03"))
    assert again.measured.changed == {}
    assert again.outcome is not None
    assert not again.outcome.changed


def test_neither_measures_nor_moves_while_another_pass_runs(app: Csflow) -> None:
    with pass_lock(app.store, 0):
        for verb in (app.run, app.measure):
            with pytest.raises(LockedError):
                verb(request(app, "2026-01-03", wait=0))
    assert (count(app, "case"), count(app, "measurement")) == (0, 0)
