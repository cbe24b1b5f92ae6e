"""The number of statements a verb asks is a function of the definitions, not of the customers."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event, select, text

from csflow.app import Csflow
from csflow.services.advance import Request, advance
from csflow.services.asking import Asker, Scope
from csflow.services.measure import measure
from csflow.services.views import number_names, see
from csflow.store import tables as t
from csflow.store.opening import Store, open_store
from csflow.store.refreshing import sync_people
from csflow.store.touching import ADVANCE, touch
from csflow.values import DAY_US, Zone, day

if TYPE_CHECKING:
    from collections.abc import Iterator

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "project"
NOW = Zone("UTC").end_of(day("2026-06-10"))
FEW, MANY = 100, 1_000


@pytest.fixture(scope="module")
def definition():
    return Csflow(BENCHMARK).validate().definition


@contextmanager
def counted(store: Store) -> Iterator[Counter[str]]:
    """Statements by their first word, while the block runs."""
    seen: Counter[str] = Counter()

    def note(_connection, _cursor, statement, *_rest) -> None:
        seen[statement.lstrip("( ").split(None, 1)[0].upper()] += 1

    event.listen(store.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(store.engine, "before_cursor_execute", note)


def populated(url: str, definition, customers: int) -> Store:
    """Customers with a contract, two measurements and a case; one in fifty is about to move, one in a hundred late."""
    store = open_store(url, project=None)
    many = range(1, customers + 1)
    today = day("2026-06-10")
    with store.writing() as connection:
        number_names(connection, definition)
        sync_people(connection, {}, definition.name)
        numbers = dict(connection.execute(select(t.name.c.name, t.name.c.id).where(t.name.c.kind == "metric")).all())
        insert = connection.execute
        insert(
            t.customer.insert(), [{"id": i, "key": f"C{i}", "happened": 0, "contract": i, "contracts": 1} for i in many]
        )
        insert(
            t.contract.insert(),
            [
                {"id": i, "customer": i, "key": "K", "starts_on": today - 20, "ends": today + 345, "happened": 0}
                for i in many
            ],
        )
        for metric, value in (("usage.days", 80.0), ("usage.depth", 90.0)):
            rows = [
                {
                    "metric": numbers[metric],
                    "subject": i,
                    "number": value if i % 50 == 0 else 1.0,
                    "known": NOW,
                    "happened": today,
                }
                for i in many
            ]
            insert(t.measurement.insert(), rows)
        case = {
            "flow": "lifecycle", "number": 1, "stage": "activation", "stay": 1, "opened_at": NOW - DAY_US, "run": 0,
            "entered_at": NOW - DAY_US, "clock": today - 20, "seq": 1, "version": 1, "definition": definition.hash,
        }  # fmt: skip
        insert(t.case.insert(), [case | {"id": i, "subject": i, "customer": i, "key": f"C{i}"} for i in many])
        line = {"name": "stages.activation", "run": 0, "anchor": today - 20, "spec": "1 month after clock"}
        insert(
            t.deadline.insert(), [line | {"case": i, "due": NOW + (-DAY_US if i % 100 == 1 else DAY_US)} for i in many]
        )
        insert(t.definition.insert(), [{"hash": definition.hash, "body": "{}", "as_of": NOW - DAY_US}])
        insert(t.meta.insert(), [{"key": "definition", "value": definition.hash}])
        insert(t.run.insert(), [{"verb": "pass", "as_of": NOW - DAY_US, "recorded": NOW, "finished": 1}])
    return store


def urls(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[str, str]:
    """Two empty databases of the same kind."""
    if database.startswith("sqlite"):
        return database, f"sqlite:///{tmp_path / 'more.db'}"
    return database, request.getfixturevalue("postgresql_schema")()


def test_a_full_pass_asks_as_many_statements_of_few_customers_as_of_many(database, tmp_path, request, definition):
    found = []
    for url, customers in zip(urls(database, tmp_path, request), (FEW, MANY), strict=True):
        store = populated(url, definition, customers)
        with counted(store) as seen:
            outcome = advance(store, definition, Request(NOW, "test", NOW, full=True), lambda _kind, _entry: None)
        store.close()
        assert outcome.failed == []
        assert outcome.counts["moved"] == customers // 50
        assert outcome.counts["missed"] == customers // 100
        found.append((seen, outcome.asked))
    assert found[0] == found[1]


def test_a_pass_over_the_touched_asks_as_many_statements_whoever_is_there(database, tmp_path, request, definition):
    found = []
    for url, customers in zip(urls(database, tmp_path, request), (FEW, MANY), strict=True):
        store = populated(url, definition, customers)
        with store.writing() as connection:
            touch(connection, "customer", [50, 51], queues=(ADVANCE,))
        with counted(store) as seen:
            outcome = advance(store, definition, Request(NOW, "test", NOW), lambda _kind, _entry: None)
        store.close()
        assert outcome.counts["moved"] == 1
        found.append((seen, outcome.asked))
    assert found[0] == found[1]


def test_a_pass_with_nobody_touched_asks_only_what_time_alone_can_make_true(database, definition):
    store = populated(database, definition, FEW)
    with store.reading() as connection:
        asker = Asker(connection, see(connection, definition, NOW), Scope(everyone=False, timed=True, touched=False))
        hits = asker.ask()
    store.close()
    # late deadlines, and the one rule of the occupied stage that speaks of the contract's last day
    assert asker.asked == 2
    assert {hit.kind for hit in hits} == {"missed"}


def test_measure_asks_as_many_statements_of_few_customers_as_of_many(database, tmp_path, request, definition):
    found = []
    for url, customers in zip(urls(database, tmp_path, request), (FEW, MANY), strict=True):
        store = populated(url, definition, customers)
        with counted(store) as seen:
            measure(store, definition, {}, now=NOW, recorded=NOW)
        store.close()
        found.append(seen)
    assert found[0] == found[1]


def test_the_counter_counts(database):
    store = open_store(database, project=None)
    with counted(store) as seen, store.reading() as connection:
        connection.execute(text("select 1"))
        connection.execute(text("select 2"))
    store.close()
    assert seen["SELECT"] == 2
