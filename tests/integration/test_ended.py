"""A case that ends leaves nothing to do, and imported cases arrive as what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from csflow.app import Csflow
from csflow.services.advance import Request, advance
from csflow.services.importing import import_file
from csflow.store import tables as t
from csflow.values import Zone, day

ZONE = Zone("Europe/Berlin")
PROJECT = """
csflow: 1
name: shop
currency: EUR
zone: Europe/Berlin
roles: {csm: Success manager}
"""
FLOWS = {
    "life": """
flow: life
opens: contract.id is known
stages:
  start:
    do: [{task: call, for: csm}]
    transitions: {over: since(contract.ends_on) > days(0)}
  over: bad
""",
    "ticket": """
flow: ticket
one_per: case.id
opens: {trigger: ticket}
fields: {satisfaction: number}
stages:
  open: {deadline: 2 days, transitions: {closed: {trigger: close_ticket}}}
  closed: good
""",
}
CUSTOMERS = "id,name\nC-1,Alpha\n"
CONTRACTS = "customer,id,starts_on,ends_on,amount,currency\nC-1,K1,2026-01-01,2026-03-31,100,EUR\n"
CASES = "flow,customer,id,opened_at,stage,at,satisfaction\nticket,C-1,T-1,2026-02-01,open,2026-02-01,\nticket,C-1,T-2,2026-02-02,closed,2026-02-04,4\n"


@pytest.fixture
def app(database: str, tmp_path: Path) -> Any:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "csflow.yaml").write_text(PROJECT)
    for name, text in FLOWS.items():
        (folder / f"{name}.yaml").write_text(text)
    opened = Csflow(folder, database=database)
    for kind, text in (("customer", CUSTOMERS), ("contract", CONTRACTS), ("case", CASES)):
        path = tmp_path / f"{kind}.csv"
        path.write_text(text)
        as_of = ZONE.end_of(day("2026-02-10"))
        import_file(opened.store, opened.definition, kind, path, as_of=as_of, recorded=as_of)
    yield opened
    opened.close()


def run(app: Csflow, on: str) -> Any:
    return advance(app.store, app.definition, Request(now=ZONE.end_of(day(on)), actor="test", recorded=0))


def test_the_open_tasks_of_a_case_that_ends_are_no_longer_to_be_done(app: Csflow) -> None:
    run(app, "2026-02-10")
    with app.store.reading() as connection:
        assert connection.execute(select(t.task.c.done_at)).scalars().all() == [None]
    run(app, "2026-04-01")
    with app.store.reading() as connection:
        assert connection.execute(select(t.task.c.outcome)).scalars().all() == ["not_applicable"]


def test_imported_cases_stand_in_their_stage_with_their_dates(app: Csflow) -> None:
    outcome = run(app, "2026-02-10")
    assert outcome.failed == []
    with app.store.reading() as connection:
        rows = connection.execute(select(t.case).where(t.case.c.flow == "ticket").order_by(t.case.c.key)).all()
        met = connection.execute(select(t.deadline.c.case, t.deadline.c.met, t.deadline.c.missed)).all()
    assert [(r.key, r.stage, r.ended, ZONE.text(r.opened_at)) for r in rows] == [
        ("T-1", "open", None, "2026-02-01 00:00"),
        ("T-2", "closed", "good", "2026-02-02 00:00"),
    ]
    judged = {case: (met is not None, missed is not None) for case, met, missed in met}
    assert judged == {rows[0].id: (False, True), rows[1].id: (True, False)}


def test_importing_the_same_cases_again_changes_nothing(app: Csflow, tmp_path: Path) -> None:
    run(app, "2026-02-10")
    as_of = ZONE.end_of(day("2026-02-11"))
    summary = import_file(app.store, app.definition, "case", tmp_path / "case.csv", as_of=as_of, recorded=as_of)
    assert summary.new == 0
    assert run(app, "2026-02-11").counts.get("opened", 0) == 0
