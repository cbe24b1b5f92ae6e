"""Definitions that change between passes: cases follow by rename or migration, deadlines by their new due time, or nothing moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from csflow.errors import DefinitionError
from csflow.flow.loader import Surroundings, load
from csflow.services.advance import Outcome, Request, advance
from csflow.store import tables as t
from csflow.store.catalogue import CATALOGUE
from csflow.store.opening import Store, open_store
from csflow.store.touching import touch
from csflow.values import Zone, day

BEGIN = day("2026-03-02")
ZONE = Zone("Europe/Berlin")
PROJECT = "csflow: 1\nname: changing\ncurrency: EUR\nzone: Europe/Berlin\n"
FIRST = """
flow: life
opens: contract.id is known
clock: contract.starts_on
stages:
  trial:
    deadline: 10 days after clock
    transitions: {live: since(contract.starts_on) >= days(30)}
  live: {transitions: {gone: {trigger: leave}}}
  gone: bad
"""


def definition(folder: Path, flow: str) -> Any:
    folder.mkdir(exist_ok=True)
    (folder / "csflow.yaml").write_text(PROJECT)
    (folder / "life.yaml").write_text(flow)
    return load(folder, Surroundings(CATALOGUE)).definition


def run(store: Store, what: Any, on: int) -> Outcome:
    return advance(store, what, Request(now=ZONE.end_of(BEGIN + on), actor="test", recorded=0))


@pytest.fixture
def store(database: str) -> Any:
    opened = open_store(database, project=None)
    with opened.writing() as connection:
        for i in range(1, 4):
            connection.execute(insert(t.customer).values(id=i, key=f"C-{i}", happened=0))
            connection.execute(
                insert(t.contract).values(customer=i, key="K", starts_on=BEGIN, ends=BEGIN + 365, happened=0)
            )
        touch(connection, "customer", [1, 2, 3])
    yield opened
    opened.close()


def stages(store: Store) -> list[str]:
    with store.reading() as connection:
        return list(connection.execute(select(t.case.c.stage).order_by(t.case.c.id)).scalars())


def test_a_renamed_stage_takes_its_cases_along(store: Store, tmp_path: Path) -> None:
    run(store, definition(tmp_path / "p", FIRST), 0)
    renamed = FIRST.replace("  trial:\n", "  start:\n    renamed_from: trial\n")
    outcome = run(store, definition(tmp_path / "p", renamed), 1)
    assert stages(store) == ["start"] * 3
    assert outcome.failed == []
    with store.reading() as connection:
        entry = connection.execute(select(t.history).where(t.history.c.kind == "migrated")).first()
    assert (entry.source, entry.target) == ("trial", "start")


def test_a_dropped_stage_without_a_way_on_stops_the_pass_and_writes_nothing(store: Store, tmp_path: Path) -> None:
    run(store, definition(tmp_path / "p", FIRST), 0)
    dropped = FIRST.replace("  trial:\n", "  start:\n")
    with pytest.raises(DefinitionError, match=r"stage 'trial' of flow 'life' is gone, but has 3 cases"):
        run(store, definition(tmp_path / "p", dropped), 1)
    assert stages(store) == ["trial"] * 3
    with store.reading() as connection:
        assert connection.execute(select(t.case.c.definition).distinct()).scalars().all() == [
            definition(tmp_path / "q", FIRST).hash
        ]


def test_a_flow_that_is_gone_stops_the_pass_and_writes_nothing(store: Store, tmp_path: Path) -> None:
    run(store, definition(tmp_path / "p", FIRST), 0)
    with pytest.raises(DefinitionError, match=r"flow 'life' is gone, but has 3 cases in 'trial': bring it back"):
        run(store, definition(tmp_path / "p", FIRST.replace("flow: life", "flow: other")), 1)
    assert stages(store) == ["trial"] * 3


def test_a_definition_that_comes_back_is_kept_once(store: Store, tmp_path: Path) -> None:
    one = definition(tmp_path / "p", FIRST)
    two = definition(tmp_path / "p", FIRST.replace("10 days", "20 days"))
    for place, what in enumerate((one, two, one)):
        run(store, what, place)
    with store.reading() as connection:
        assert sorted(connection.execute(select(t.definition.c.hash)).scalars()) == sorted([one.hash, two.hash])
        assert set(connection.execute(select(t.case.c.definition)).scalars()) == {one.hash}


def test_migrated_cases_go_to_the_named_stage(store: Store, tmp_path: Path) -> None:
    run(store, definition(tmp_path / "p", FIRST), 0)
    moved = FIRST.replace("  trial:\n", "  start:\n") + "migrate: {trial: {to: live}}\n"
    run(store, definition(tmp_path / "p", moved), 1)
    assert stages(store) == ["live"] * 3


def test_a_changed_due_time_moves_deadlines_not_yet_judged(store: Store, tmp_path: Path) -> None:
    run(store, definition(tmp_path / "p", FIRST), 0)
    later = definition(tmp_path / "p", FIRST.replace("10 days after clock", "20 days after clock"))
    assert run(store, later, 12).counts.get("missed", 0) == 0
    with store.reading() as connection:
        assert connection.execute(select(t.deadline.c.due).distinct()).scalars().all() == [ZONE.end_of(BEGIN + 20)]
    assert run(store, later, 21).counts["missed"] == 3


def test_a_new_deadline_is_given_to_cases_that_run_already(store: Store, tmp_path: Path) -> None:
    bare = FIRST.replace("    deadline: 10 days after clock\n", "")
    run(store, definition(tmp_path / "p", bare), 0)
    outcome = run(store, definition(tmp_path / "p", FIRST), 11)
    assert outcome.counts["missed"] == 3


def test_a_new_guard_is_asked_of_everybody_once(store: Store, tmp_path: Path) -> None:
    run(store, definition(tmp_path / "p", FIRST), 0)
    sooner = FIRST.replace("since(contract.starts_on) >= days(30)", "contract.id is known")
    assert run(store, definition(tmp_path / "p", sooner), 1).counts["moved"] == 3
