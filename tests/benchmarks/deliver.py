"""How long 10,000 messages take to the file notifier: `python tests/benchmarks/deliver.py [10000] [DATABASE-URL]`.

The floor, in the same run, on a copy of the same SQLite file: sqlite3 alone reads the rows, writes a line each, and marks
them, a transaction and an fsync for every 500.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from csflow.app import Csflow
from csflow.services.deliver import Handing
from csflow.store import tables as t

PROJECT = """csflow: 1
name: bench
languages: [en]
currency: EUR
zone: Europe/Berlin
roles: {csm: {label: {en: Success manager}}}
people: {li: {label: {en: Li}, roles: [csm], address: {file: here}}}
messages: {hello: {title: {en: "{customer.name}: hello"}, text: {en: "In {case.stage} since {case.entered_at}."}}}
"""
FLOW = "flow: care\nopens: contract.id is known\nstages:\n  a: {do: [{notify: csm, message: hello}], transitions: {b: {trigger: go}}}\n  b: good\n"


def fill(app: Csflow, many: int) -> None:
    """Customers with a case each, moved by a real pass, whose messages then wait."""
    with app.store.writing() as c:
        c.execute(
            t.customer.insert(), [{"key": f"C-{n:06}", "name": f"Company {n}", "happened": 0} for n in range(many)]
        )
        ids = c.execute(t.customer.select().with_only_columns(t.customer.c.id)).scalars().all()
        c.execute(
            t.contract.insert(),
            [{"customer": id_, "key": "K", "starts_on": 20_000, "happened": 0} for id_ in ids],
        )
        from csflow.store.touching import touch

        touch(c, "customer", ids)
    from csflow.services.advance import Request

    now = app.zone.end_of(20_400)
    begun = time.perf_counter()
    app.advance(Request(now, "bench", now))
    print(f"a pass that writes {many:,} cases and messages: {time.perf_counter() - begun:.2f} s")
    with app.store.writing() as c:
        c.execute(t.outbox.update().values(status="pending"))


def floor(path: Path, target: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    begun = time.perf_counter()
    with target.open("a", encoding="utf-8") as file:
        while rows := connection.execute("select id, body from outbox where status = 'pending' limit 500").fetchall():
            connection.execute("begin immediate")
            for _, body in rows:
                file.write(json.dumps(json.loads(body), ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
            connection.executemany("update outbox set status = 'sent' where id = ?", [(row[0],) for row in rows])
            connection.execute("commit")
    return time.perf_counter() - begun


def main(many: int, url: str | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "csflow.yaml").write_text(PROJECT, "utf-8")
        (folder / "care.yaml").write_text(FLOW, "utf-8")
        app = Csflow(folder, database=url)
        fill(app, many)
        copy = folder / "copy.db"
        if url is None:
            with sqlite3.connect(folder / "csflow.db") as source, sqlite3.connect(copy) as target:
                source.backup(target)
        begun, worked = time.perf_counter(), time.process_time()
        done = app.deliver(Handing(lambda: time.time_ns() // 1_000))
        took, worked = time.perf_counter() - begun, time.process_time() - worked
        lines = (folder / "messages.jsonl").read_text("utf-8").splitlines()
        assert len({json.loads(line)["id"] for line in lines}) == len(lines) == done.sent == many
        print(f"deliver: {many:,} messages to a file in {took:.2f} s, {worked:.2f} s of it at work (at most 5 s)")
        if url is None:
            bare = floor(copy, folder / "floor.jsonl")
            print(f"floor, sqlite3 alone: {bare:.2f} s; deliver takes {took / bare:.1f} times as long")
        app.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, sys.argv[2] if len(sys.argv) > 2 else None)
