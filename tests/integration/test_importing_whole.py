"""An import as a whole: folders, chunks of any size, killed at any commit, and what it costs; on both databases."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from importing_project import Desk, counts, definition
from sqlalchemy import text

from csflow.errors import UsageError
from csflow.services.importing import files_of
from csflow.store import importing_apply, tables
from csflow.store.opening import open_store


def test_files_of_a_folder_come_in_the_order_of_dependence(tmp_path):
    for name in (
        "usage.csv",
        "contracts.csv",
        "customers.csv",
        "people.jsonl",
        "notes.csv",
        "customers.csv.rejects.csv",
        "crm.csv",
    ):
        (tmp_path / name).write_text("x")
    (tmp_path / "events").mkdir()
    for name in ("b.csv", "a.csv", "a.csv.rejects.csv"):
        (tmp_path / "events" / name).write_text("x")
    project = definition({
        "web": {"into": "usage", "with": {"path": "events/*.csv"}}, "crm": {"into": "customer", "with": {"path": "crm.csv"}},
        "evil": {"into": "usage", "with": {"path": "../*.csv"}},
    })  # fmt: skip
    assert [(name, path.name) for name, path in files_of(project, tmp_path)] == [
        ("person", "people.jsonl"), ("crm", "crm.csv"), ("customer", "customers.csv"), ("contract", "contracts.csv"),
        ("web", "a.csv"), ("web", "b.csv"), ("usage", "usage.csv"),
    ]  # fmt: skip


def test_rows_in_chunks_of_any_size_come_to_the_same(database, tmp_path, monkeypatch):
    monkeypatch.setattr(importing_apply, "CHUNK", 2)
    store = open_store(database, project=None)
    desk = Desk(store, tmp_path)
    head = "id,name,segment\n"
    rows = [f"C{number % 7},Name{number % 14 // 7},chain" for number in range(20)]
    told = desk.bring("customers", head + "\n".join(rows))
    # 7 keys; the first of each stands; of 13 others those with its own content are equal.
    equal = sum(1 for number in range(7, 20) if number % 14 // 7 == (number % 7) % 14 // 7)
    assert counts(told) == (20, 7, 0, equal, 13 - equal, 0)
    store.close()


cells = st.tuples(st.sampled_from("AB"), st.sampled_from("fg"), st.integers(1, 3), st.sampled_from(["", "1", "2", "x"]))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(files=st.lists(st.lists(cells, max_size=8), min_size=1, max_size=3))
def test_usage_files_come_to_what_one_row_after_the_other_would(tmp_path_factory, files):
    """The oracle: a dictionary; the first row of a key in a file stands, a later file replaces."""
    folder = tmp_path_factory.mktemp("import")
    store = open_store(None, project=folder)
    desk = Desk(store, folder)
    desk.bring("customers", "id\nA\nB")
    held: dict[tuple[str, str, int], str] = {}
    for rows in files:
        seen: dict[tuple[str, str, int], str] = {}
        want = [len(rows), 0, 0, 0, 0, 0]
        for who, feature, on, number in rows:
            key = (who, feature, on)
            if number == "x" or seen.get(key, number) != number:
                want[4] += 1
                continue
            want[3 if held.get(key) == number else 2 if key in held and key not in seen else 1] += 1
            seen[key] = held[key] = number
        lines = [f"{who},{feature},2024-01-0{on},{number}" for who, feature, on, number in rows]
        told = desk.bring("usage", "customer,feature,day,count\n" + "\n".join(lines))
        assert counts(told) == tuple(want)
    expected = sorted((float(number) if number else None for number in held.values()), key=repr)
    assert [row[0] for row in desk.rows("usage", "count")] == expected
    store.close()


PROGRAM = """
import os, signal, sys
sys.path[:0] = {path!r}
from pathlib import Path
from sqlalchemy import event
from importing_project import Desk
from csflow.store import importing_apply
from csflow.store.opening import open_store
importing_apply.CHUNK = 3
store = open_store({url!r}, project=None)
left = [{commits}]
@event.listens_for(store.engine, "commit")
def die(connection):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
Desk(store, None).bring_file("contracts", Path({file!r}))
"""


def test_an_import_killed_at_any_commit_and_run_again_is_whole(database, tmp_path):
    store = open_store(database, project=None)
    desk = Desk(store, tmp_path)
    desk.bring("customers", "id\nC1\nC2")
    rows = [
        f"K{number},C{number % 2 + 1},2024-0{number % 9 + 1}-01,2024-0{number % 9 + 1}-20,{number}"
        for number in range(10)
    ]
    file = tmp_path / "contracts.csv"
    file.write_text("id,customer,starts_on,ends_on,amount\n" + "\n".join(rows) + "\n")
    desk.bring_file("contracts", file)
    whole = desk.dump()
    seen = set()
    for commits in range(12):
        with store.writing() as connection:
            connection.execute(tables.contract.delete())
        program = PROGRAM.format(path=[str(Path(__file__).parent)], url=database, file=str(file), commits=commits)
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert ended.returncode in {0, -signal.SIGKILL}, ended.stderr
        seen.add(len(desk.rows("contract", "key")))
        desk.bring_file("contracts", file)
        assert desk.dump() == whole
        if ended.returncode == 0:
            break
    assert ended.returncode == 0
    assert seen == {0, 3, 6, 9, 10}
    store.close()


def test_nothing_is_left_in_temporary_tables(two):
    with pytest.raises(UsageError):
        two.bring("usage", "customer,feature,day,colour\nC1,f,2024-03-01,red")
    two.bring("usage", "customer,feature,day\nC1,f,2024-03-01\nnobody,f,2024-03-01")
    sqlite = "select name from sqlite_temp_master where type = 'table'"
    listed = sqlite if two.store.dialect == "sqlite" else "select tablename from pg_tables where tablename ~ '^staged'"
    with two.store.reading() as connection:
        names = connection.execute(text(listed)).scalars().all()
        assert names
        assert [connection.execute(text(f"select count(*) from {name}")).scalar() for name in names] == [0] * len(names)


def test_an_import_is_cut_into_chunks_as_if_none_had_been_before_it(two, monkeypatch):
    from csflow.store.importing_staging import Staging

    monkeypatch.setattr("csflow.store.importing_apply.CHUNK", 20)
    begun = []
    begin = Staging.begin_chunk
    monkeypatch.setattr(Staging, "begin_chunk", lambda self, *ends: (begun.append(ends), begin(self, *ends))[1])
    for month in ("01", "02"):
        lines = [f"C1,f,2024-{month}-{day:02}" for day in range(1, 26)]
        two.bring("usage", "customer,feature,day\n" + "\n".join(lines))
    assert begun == [(1, 20), (21, 40)] * 2


def test_what_an_interrupt_left_in_the_temporary_tables_is_of_no_later_import(two, monkeypatch):
    from csflow.store.importing_staging import Staging

    def interrupted(_staging: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Staging, "clear", interrupted)
    with pytest.raises(KeyboardInterrupt):
        two.bring("usage", "customer,feature,day\nC1,f,2024-03-01\nC1,f,2024-03-02")
    monkeypatch.undo()
    after = two.bring("usage", "customer,feature,day\nC1,f,2024-03-03")
    assert (after.read, after.new, after.unchanged) == (1, 1, 0)


def test_the_number_of_statements_does_not_grow_with_the_rows(two):
    from sqlalchemy import event

    two.bring("usage", "customer,feature,day,count\nC1,f,2000-01-01,1")  # the first one makes the temporary tables
    numbers = []
    said = []
    event.listen(two.store.engine, "before_cursor_execute", lambda *told: said.append(told[2]))
    for rows in (10, 2000):
        said.clear()
        lines = [f"C1,f{number % 5},{2000 + number // 300}-01-{number % 28 + 1:02},1" for number in range(rows)]
        two.bring("usage", "customer,feature,day,count\n" + "\n".join(dict.fromkeys(lines)))
        numbers.append(len(said))
    assert abs(numbers[1] - numbers[0]) <= 3, numbers


def test_memory_does_not_grow_with_the_file(database, tmp_path):
    """Four times the rows, at most a few megabytes more."""
    path = [str(Path(__file__).parent)]
    program = (
        f"import sys, resource; sys.path[:0] = {path!r}\n"
        "from pathlib import Path; from importing_project import Desk; from csflow.store.opening import open_store\n"
        f"store = open_store({database!r}, project=None); desk = Desk(store, Path({str(tmp_path)!r}))\n"
        "desk.bring('customers', 'id\\n' + '\\n'.join(f'C{n}' for n in range(50)))\n"
        "name = Path(sys.argv[1]); desk.bring_file('usage', name)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)\n"
    )
    used = []
    for number, rows in enumerate((20_000, 80_000)):
        file = tmp_path / f"usage{number}.csv"
        with file.open("w") as out:
            out.write("id,customer,feature,day,count\n")
            out.writelines(f"U{n},C{n % 50},f{n % 9},2024-01-{n % 28 + 1:02},{n % 7}\n" for n in range(rows))
        ended = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True)
        used.append(int(ended.stdout))
    assert used[1] - used[0] < 40, used
    assert file.stat().st_size > 1_000_000
