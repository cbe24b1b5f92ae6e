"""Every statement of a pass finds its rows by an index: no table that grows is read from end to end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event, select, text
from test_statement_counts import BENCHMARK, NOW, populated

from csflow.app import Csflow
from csflow.services.advance import Request, advance
from csflow.services.asking import Asker, Scope
from csflow.services.occupied import HANDLED
from csflow.services.views import see
from csflow.store.insertion import among
from csflow.store.tables import case, customer, deadline
from csflow.store.touching import ADVANCE, touch

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from csflow.store.opening import Store

GROWING = (
    "case",
    "measurement",
    "deadline",
    "milestone",
    "history",
    "timer",
    "task",
    "touched",
    "contract",
    "customer",
)
CUSTOMERS = 1_000


@pytest.fixture(scope="module")
def definition():
    return Csflow(BENCHMARK).validate().definition


def asked(store: Store, work) -> list[tuple[str, object]]:
    """The statements that the work sends, each once, with the parameters of its first time."""
    seen: dict[str, object] = {}

    def note(_connection, _cursor, statement, parameters, _context, many) -> None:
        first = parameters[0] if many else parameters
        if statement.split(None, 1)[0].upper() in ("SELECT", "UPDATE", "DELETE", "INSERT"):
            seen.setdefault(statement, first)

    event.listen(store.engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        event.remove(store.engine, "before_cursor_execute", note)
    return list(seen.items())


def scans(connection: Connection, statement: str, parameters: object) -> list[str]:
    """The tables of GROWING that the plan of a statement reads from end to end."""
    sqlite = connection.dialect.name == "sqlite"
    explain = "EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN "
    lines = [row[-1] for row in connection.exec_driver_sql(explain + statement, parameters)]
    named = {alias: table for table, alias in re.findall(r'"?(\w+)"? AS "?(\w+)"?', statement)}
    pattern = r"^SCAN (\w+)(?! USING (?:COVERING )?INDEX)" if sqlite else r"Seq Scan on \"?(\w+)\"?"
    found = [match[1] for line in lines if (match := re.search(pattern, line.strip()))]
    tables = [named.get(name, name) if sqlite else name for name in found]
    return [table for table in tables if table in GROWING]


def prefer_indexes(connection: Connection) -> None:
    """A table of a thousand rows is read faster whole: PostgreSQL is asked whether an index could serve at all."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("set local enable_seqscan = off"))


def offenders(store: Store, statements: list[tuple[str, object]]) -> list[str]:
    found = []
    with store.writing() as connection:
        prefer_indexes(connection)
        for statement, parameters in statements:
            found += [f"{table}: {statement}" for table in scans(connection, statement, parameters)]
    return found


def test_no_statement_of_a_full_pass_reads_a_table_from_end_to_end(database, definition):
    store = populated(database, definition, CUSTOMERS)
    request = Request(NOW, "test", NOW, full=True)
    statements = asked(store, lambda: advance(store, definition, request, lambda _kind, _entry: None))
    assert len(statements) > 30  # every kind of them was sent
    assert offenders(store, statements) == []
    store.close()


def test_no_statement_of_a_pass_over_the_touched_reads_a_table_from_end_to_end(database, definition):
    store = populated(database, definition, CUSTOMERS)
    with store.writing() as connection:
        touch(connection, "customer", [50], queues=(ADVANCE,))
    request = Request(NOW, "test", NOW)
    statements = asked(store, lambda: advance(store, definition, request, lambda _kind, _entry: None))
    assert offenders(store, statements) == []
    store.close()


def test_no_statement_of_a_pass_for_one_customer_reads_a_table_from_end_to_end(database, definition):
    store = populated(database, definition, CUSTOMERS)
    request = Request(NOW, "test", NOW, subjects=("C50",))
    statements = asked(store, lambda: advance(store, definition, request, lambda _kind, _entry: None))
    assert offenders(store, statements) == []
    store.close()


def plan(connection: Connection, statement: str, parameters: object) -> list[str]:
    """SQLite's plan, a line for each loop."""
    return [row[-1] for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters)]


def questions(store: Store, definition, scope: Scope) -> dict[str, list[str]]:
    """Each question of a hop that begins with ``party``, by the first word that tells it apart, with SQLite's plan."""

    def ask() -> None:
        with store.reading() as connection:
            Asker(connection, see(connection, definition, NOW), scope).ask()

    statements = [(s, p) for s, p in asked(store, ask) if " AS party" in s]
    with store.reading() as connection:
        return {statement: plan(connection, statement, parameters) for statement, parameters in statements}


def test_sqlite_walks_a_stage_once_by_the_covering_index_and_looks_its_metrics_up(tmp_path, definition):
    store = populated(f"sqlite:///{tmp_path / 'csflow.db'}", definition, CUSTOMERS)
    found = questions(store, definition, Scope(everyone=True, timed=True))
    guards = {s: lines for s, lines in found.items() if "measurement AS" in s and "contract" not in s}
    assert guards
    for lines in guards.values():
        assert lines[0] == "SEARCH c USING COVERING INDEX ix_case_stage (flow=? AND stage=?)"
        looked_up = [line for line in lines if "PRIMARY KEY (metric=? AND subject=?)" in line]
        assert len(looked_up) == 2
    store.close()


def test_sqlite_finds_the_touched_of_a_stage_by_subject(tmp_path, definition):
    store = populated(f"sqlite:///{tmp_path / 'csflow.db'}", definition, CUSTOMERS)
    with store.writing() as connection:
        some = select(customer.c.id).where(customer.c.id % 10 == 3)
        touch(connection, "customer", some, queues=(HANDLED,))
    found = questions(store, definition, Scope(everyone=False, timed=False))
    guards = {s: lines for s, lines in found.items() if "measurement AS" in s}
    assert guards
    for lines in guards.values():
        assert any("ix_case_stage (flow=? AND stage=? AND subject=?)" in line for line in lines)
    store.close()


def test_sqlite_finds_what_is_late_by_its_due_time(tmp_path, definition):
    store = populated(f"sqlite:///{tmp_path / 'csflow.db'}", definition, CUSTOMERS)
    found = questions(store, definition, Scope(everyone=True, timed=True))
    late = [lines for s, lines in found.items() if "FROM deadline AS d" in s]
    assert len(late) == 1
    assert late[0][0] == "SEARCH d USING INDEX ix_deadline_due (due<?)"
    assert late[0][1].startswith("SEARCH c USING INTEGER PRIMARY KEY")
    store.close()


def test_a_list_of_ids_is_looked_up_id_by_id(database):
    store = populated(database, Csflow(BENCHMARK).validate().definition, CUSTOMERS)
    wanted = case.select().where(among(case.c.id, [3, 5]))
    lines = deadline.select().where(among(deadline.c.case, [3, 5]))
    with store.writing() as connection:
        assert {row.id for row in connection.execute(wanted)} == {3, 5}
        assert {row.case for row in connection.execute(lines)} == {3, 5}
    sent = asked(store, lambda: _run(store, wanted, lines))
    assert offenders(store, sent) == []
    store.close()


def _run(store: Store, *statements) -> None:
    with store.reading() as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_plan_that_scans_is_seen(database, definition):
    store = populated(database, definition, 10)
    with store.reading() as connection:
        assert scans(connection, 'SELECT count(*) FROM "case" AS c WHERE c.waiting + 0 = 1', ()) == ["case"]
    store.close()
