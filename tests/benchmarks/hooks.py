"""What calling a plugin costs beyond the plugin itself, and whether a metric in Python streams.

    uv run python tests/benchmarks/hooks.py [CUSTOMERS]

1. The hook alone: batches made, answers checked – as a difference to the bare function, per customer (≤ 1 µs).
2. A metric in Python over a million customers on SQLite: seconds, and resident memory above the same process before it
   (≤ 100 MB).
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from sqlalchemy import insert

from csflow.flow.loader import Surroundings, load
from csflow.flow.types import NUMBER
from csflow.hookspecs import Batch, hookimpl
from csflow.plugins import make_manager, providers
from csflow.services.computing import BATCH, answered, checker
from csflow.services.measure import measure
from csflow.store import tables as t
from csflow.store.catalogue import CATALOGUE
from csflow.store.opening import open_store

PROJECT = "csflow: 1\nname: bench\nmetrics: {x.luck: {type: number, uses: x/luck}}\n"
NOW = 1_767_225_600_000_000  # 2026-01-01


def luck(batch: Batch) -> dict[str, float]:
    return dict.fromkeys(batch.subjects, float(batch.today))


def overhead(customers: int) -> float:
    """Microseconds per customer that batches and checks take beyond the function; the best of five."""
    keys = [f"C-{number}" for number in range(customers)]
    check = checker(NUMBER, dated=False, today=20_454)
    best = [float("inf"), float("inf")]
    for _ in range(5):
        begin = time.perf_counter()
        for first in range(0, customers, BATCH):
            luck(Batch(tuple(keys[first : first + BATCH]), {}, 20_454))
        bare = time.perf_counter() - begin
        begin = time.perf_counter()
        for first in range(0, customers, BATCH):
            ids = {key: place for place, key in enumerate(keys[first : first + BATCH])}
            answered(luck, Batch(tuple(ids), {}, 20_454), ids, check)
        best = [min(best[0], bare), min(best[1], time.perf_counter() - begin)]
    return (best[1] - best[0]) / customers * 1e6


def resident() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def streamed(customers: int) -> tuple[float, float, float]:
    """Seconds of the first and of the second measure, and MB above the base."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "csflow.yaml").write_text(PROJECT, "utf-8")
        definition = load(folder, Surroundings(CATALOGUE)).definition
        store = open_store(None, project=folder)
        found = providers(make_manager([("x", SimpleNamespace(csflow_metrics=hookimpl(lambda: {"x/luck": luck})))]))
        measure(store, definition, found, now=NOW, recorded=NOW)
        with store.writing() as connection:
            for first in range(0, customers, 10_000):
                rows = [{"key": f"C-{number}", "happened": 0} for number in range(first, first + 10_000)]
                connection.execute(insert(t.customer), rows)
        before = resident()
        begin = time.perf_counter()
        measure(store, definition, found, now=NOW + 1, recorded=NOW)
        middle = time.perf_counter()
        measure(store, definition, found, now=NOW + 2, recorded=NOW)
        end = time.perf_counter()
        store.close()
    return middle - begin, end - middle, resident() - before


if __name__ == "__main__":
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    print(f"hook beyond the function: {overhead(100_000):.2f} µs per customer")
    first, again, memory = streamed(many)
    print(
        f"{many:,} customers: {first:.1f} s for the first measure, {again:.1f} s again, {memory:.0f} MB above the base"
    )
