"""Opening, transactions, names, touched rows and the pass lock, on both databases."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError

from csflow.errors import LockedError, StoreError
from csflow.store import locking
from csflow.store.locking import pass_lock
from csflow.store.names import ids, name_id
from csflow.store.opening import SCHEMA, open_store
from csflow.store.tables import customer, meta, run, touched
from csflow.store.touching import ADVANCE, MEASURE, last_pass, touch, touching, visible


def test_first_use_makes_the_tables_at_the_newest_version(store):
    with store.reading() as connection:
        assert connection.execute(text("select version_num from alembic_version")).scalars().all() == [SCHEMA]
        assert connection.execute(select(func.count()).select_from(customer)).scalar() == 0


def test_the_default_database_is_a_file_in_the_project(tmp_path):
    store = open_store(None, project=tmp_path)
    store.close()
    assert store.dialect == "sqlite"
    assert store.path == tmp_path / "csflow.db"
    assert (tmp_path / "csflow.db").exists()


def test_writing_commits_at_the_end(store):
    with store.writing() as connection:
        connection.execute(insert(meta).values(key="a", value="1"))
    with store.reading() as connection:
        assert connection.execute(select(meta.c.value)).scalars().all() == ["1"]


def test_writing_takes_everything_back_when_something_fails(store):
    with pytest.raises(KeyError), store.writing() as connection:  # noqa: PT012
        connection.execute(insert(meta).values(key="a", value="1"))
        raise KeyError("a")
    with store.reading() as connection:
        assert connection.execute(select(func.count()).select_from(meta)).scalar() == 0


def test_a_trial_sees_its_own_rows_and_leaves_none(store):
    with store.trial() as connection:
        connection.execute(insert(meta).values(key="a", value="1"))
        assert connection.execute(select(func.count()).select_from(meta)).scalar() == 1
    with store.reading() as connection:
        assert connection.execute(select(func.count()).select_from(meta)).scalar() == 0


def test_a_reader_sees_one_moment_throughout(store):
    with store.reading() as reader:
        before = reader.execute(select(func.count()).select_from(meta)).scalar()
        with store.writing() as writer:
            writer.execute(insert(meta).values(key="a", value="1"))
        assert reader.execute(select(func.count()).select_from(meta)).scalar() == before == 0
    with store.reading() as reader:
        assert reader.execute(select(func.count()).select_from(meta)).scalar() == 1


def test_sqlite_works_with_the_settings_that_safety_rests_on(tmp_path):
    store = open_store(None, project=tmp_path)
    with store.reading() as connection:
        asked = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        assert [connection.execute(text(f"pragma {name}")).scalar() for name in asked] == ["wal", 2, 1, 30_000]
    store.close()


def test_a_writer_has_the_lock_from_its_first_moment(tmp_path):
    store = open_store(None, project=tmp_path)
    other = sqlite3.connect(store.path, timeout=0)
    with store.writing(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("begin immediate")
    other.close()
    store.close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "csflow.db"
    path.write_text("dear diary " * 500)
    with pytest.raises(StoreError, match=r"csflow\.db: this is not a database") as caught:
        open_store(None, project=tmp_path)
    assert "\n" not in str(caught.value)
    assert path.read_text() == "dear diary " * 500


def test_a_database_of_another_program_is_refused(database):
    path = database.removeprefix("sqlite:///")
    if path != database:
        with sqlite3.connect(path) as connection:
            connection.execute("create table song (title text)")
        connection.close()
    else:
        import psycopg

        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("create table song (title text)")
    with pytest.raises(StoreError, match="tables of another program"):
        open_store(database, project=None)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"nowhere: no such folder"):
        open_store(f"sqlite:///{tmp_path}/nowhere/csflow.db", project=None)


def test_a_folder_is_no_database(tmp_path):
    with pytest.raises(StoreError, match="is a folder"):
        open_store(f"sqlite:///{tmp_path}", project=None)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://localhost/x", "not with mysql://"),
        ("no address", "cannot be read"),
        (
            "postgresql://me:half@secret@127.0.0.1/x",
            r"^the database.s address cannot be read: an @ in its password is written %40$",
        ),
        ("postgresql://nobody@127.0.0.1:1/none", "the database none on 127.0.0.1"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_line(url, says):
    with pytest.raises(StoreError, match=says) as caught:
        open_store(url, project=None)
    assert "\n" not in str(caught.value)


def _set_version(store, version):
    with store.writing() as connection:
        connection.execute(text("update alembic_version set version_num = :version"), {"version": version})


def test_a_newer_database_is_refused(store, database):
    _set_version(store, "9999")
    with pytest.raises(StoreError, match="newer csflow: update"):
        open_store(database, project=None)


def test_an_older_database_waits_for_db_upgrade(store, database):
    _set_version(store, "0000")
    with pytest.raises(StoreError, match="csflow db upgrade"):
        open_store(database, project=None)


def test_a_table_that_somebody_took_away_is_one_line_and_any_other_is_a_mistake_of_the_code(store):
    with store.writing() as connection:
        connection.execute(text("drop table task"))
    lacks = "the database lacks table task: restore a copy; csflow doctor says what else it lacks"
    with pytest.raises(StoreError, match=lacks), store.reading() as connection:
        connection.execute(text("select * from task"))
    with pytest.raises(StoreError, match=lacks), store.writing() as connection:
        connection.execute(text("delete from task where id = :id"), [{"id": 1}, {"id": 2}])
    with pytest.raises(DBAPIError), store.reading() as connection:
        connection.execute(text("select * from nothing_of_ours"))


def test_a_full_disk_is_one_line_and_writes_nothing(tmp_path):
    store = open_store(None, project=tmp_path)
    with pytest.raises(StoreError, match="disk is full"), store.writing() as connection:  # noqa: PT012
        connection.execute(text("pragma max_page_count = 1"))
        for number in range(2000):
            connection.execute(insert(meta).values(key=f"k{number}", value="x" * 1000))
    with store.reading() as connection:
        assert connection.execute(select(func.count()).select_from(meta)).scalar() == 0
    store.close()


def test_more_brackets_than_sqlite_reads_are_one_line(tmp_path):
    deep = f"select {'(' * 300}1{')' * 300}"
    try:
        sqlite3.connect(":memory:").execute(deep)
    except sqlite3.OperationalError:
        store = open_store(None, project=tmp_path)
        with pytest.raises(StoreError, match="name an inner part under metrics:"), store.reading() as connection:
            connection.execute(text(deep))
        store.close()
    else:
        pytest.skip("this SQLite reads as many as there are")


def test_two_that_open_a_new_database_at_once_make_it_once(database):
    failures = []

    def first_use():
        try:
            open_store(database, project=None).close()
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=first_use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    store = open_store(database, project=None)
    with store.reading() as connection:
        assert connection.execute(text("select count(*) from alembic_version")).scalar() == 1
    store.close()


def test_a_warm_opening_does_not_import_alembic(tmp_path):
    open_store(None, project=tmp_path).close()
    program = (
        "import sys; from pathlib import Path; from csflow.store.opening import open_store; "
        f"open_store(None, project=Path({str(tmp_path)!r})).close(); print('alembic' in sys.modules)"
    )
    seen = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "False"


def test_a_name_keeps_its_number(store):
    with store.writing() as connection:
        first = name_id(connection, "metric", "usage.depth")
        other = name_id(connection, "field", "usage.depth")
        assert name_id(connection, "metric", "usage.depth") == first != other
        assert ids(connection, "metric") == {"usage.depth": first}
        assert ids(connection, "source") == {}


def test_a_name_of_no_kind_is_a_mistake_in_the_code(store):
    with store.writing() as connection, pytest.raises(ValueError, match="colour"):
        name_id(connection, "colour", "red")


def _touched(connection):
    rows = connection.execute(select(touched).order_by(touched.c.queue, touched.c.subject, touched.c.day))
    return [(row.queue, row.kind, row.subject, row.day) for row in rows]


def test_touching_writes_both_queues_and_touching_again_another_mark(store):
    with store.writing() as connection:
        touch(connection, "customer", [2, 1, 2])
        both = [(MEASURE, "customer", 1, 0), (MEASURE, "customer", 2, 0)]
        assert _touched(connection) == both + [(ADVANCE, *row[1:]) for row in both]
        marks = connection.execute(select(touched.c.mark)).scalars().all()
        touch(connection, "customer", [1])
        assert len(_touched(connection)) == 4
        assert connection.execute(select(touched.c.mark)).scalars().all() != marks


def test_subjects_can_be_a_select_and_one_queue_can_be_named(store):
    with store.writing() as connection:
        connection.execute(insert(customer), [{"key": key, "happened": 0} for key in "abc"])
        touch(connection, "customer", select(customer.c.id).where(customer.c.key < "c"), queues=(MEASURE,))
        assert [row[0] for row in _touched(connection)] == [MEASURE, MEASURE]
        touch(connection, "customer", [])
        assert len(_touched(connection)) == 2


@pytest.mark.parametrize(("seen_until", "day"), [(None, 50), (49, 50), (50, 0), (51, 0)])
def test_what_happened_after_the_last_pass_is_asked_from_its_own_day_on(store, seen_until, day):
    with store.writing() as connection:
        connection.execute(insert(customer).values(key="a", happened=50))
        c, dialect = customer.c, connection.dialect.name
        statement = touching(dialect, "customer", c.id, visible(c.happened, seen_until), queue=ADVANCE)
        connection.execute(statement, {"mark": 1})
        assert {row[3] for row in _touched(connection)} == {day}


def test_the_last_pass_is_the_newest_finished_one(store):
    with store.writing() as connection:
        assert last_pass(connection) is None
        rows = [("pass", 10, 1), ("pass", 20, 0), ("import", 30, 1)]
        connection.execute(
            insert(run), [{"verb": verb, "as_of": at, "recorded": 0, "finished": done} for verb, at, done in rows]
        )
        assert last_pass(connection) == 10


@pytest.fixture
def holder(store, database):
    """Another process that holds the lock."""
    program = (
        f"import sys; from csflow.store.opening import open_store; from csflow.store.locking import pass_lock\n"
        f"store = open_store({database!r}, project=None)\n"
        "with pass_lock(store, 0):\n    print('held', flush=True); sys.stdin.readline()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline().strip() == "held"
    yield process
    process.kill()
    process.communicate()


def _let_go(process):
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_second_pass_is_told_who_holds_the_lock(store, holder):
    with pytest.raises(LockedError) as caught, pass_lock(store, 0):
        pass
    assert f"process {holder.pid} on {socket.gethostname()}, since 20" in str(caught.value)


def test_the_lock_vanishes_with_the_process(store, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with pass_lock(store, 10):
        pass


def test_waiting_gets_the_lock_when_the_other_has_done(store, holder):
    threading.Timer(0.3, _let_go, [holder]).start()
    with pass_lock(store, 20):
        pass


def test_a_wait_that_is_not_short_is_told_once_with_who_holds_the_lock(store, holder, monkeypatch):
    monkeypatch.setattr(locking, "SHORT_SECONDS", 0.1)
    threading.Timer(1.0, _let_go, [holder]).start()
    told = []
    with pass_lock(store, 20, waiting=told.append):
        pass
    [sentence] = told
    assert sentence.startswith(f"waiting for another pass (process {holder.pid} on {socket.gethostname()}, since 20")
    assert sentence.endswith(" UTC), up to 20 s")


def test_a_short_wait_is_not_told_and_one_in_vain_ends(store, holder):
    told = []
    with pytest.raises(LockedError), pass_lock(store, 0.3, waiting=told.append):
        pass
    assert told == []


def test_a_lock_given_back_can_be_taken_again(store):
    for _ in range(2):
        with pass_lock(store, 0):
            pass
    if store.path:
        assert not Path(f"{store.path}.lock.json").exists()


def test_a_database_in_memory_needs_no_lock():
    opened = open_store("sqlite://", project=None)
    with pass_lock(opened, 0), pass_lock(opened, 0):
        pass
    opened.close()
