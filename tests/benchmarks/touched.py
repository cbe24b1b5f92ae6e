"""A pass after one customer in a thousand was touched, against the rules that time alone can make true asked in full.

    uv run python tests/benchmarks/touched.py [CUSTOMERS]

The target is: the timed guards asked in full + 5 % of a full pass. All in one process, the file warm.
"""

from __future__ import annotations

import sys
import time

import rules as r
from population import copy, definition
from sqlalchemy import select

from csflow.services.advance import Request, advance
from csflow.services.asking import Asker, Scope
from csflow.services.views import see
from csflow.store import tables as t
from csflow.store.opening import Store, open_store
from csflow.store.touching import ADVANCE, touch
from csflow.values import DAY_US


def spent(work) -> tuple[float, float, object]:
    """Seconds by the clock, seconds of CPU, and what the work returned."""
    start, busy = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - start, time.process_time() - busy, result


def timed_guards(store: Store, found, now: int) -> int:
    """Ask what time alone can make true of everybody, and nothing else."""
    with store.reading() as connection:
        asker = Asker(connection, see(connection, found, now), Scope(everyone=False, timed=True, touched=False))
        return len(asker.ask())


def touch_some(store: Store) -> None:
    """One customer in a thousand."""
    with store.writing() as connection:
        touch(connection, "customer", select(t.customer.c.id).where(t.customer.c.id % 1000 == 7), queues=(ADVANCE,))


def main() -> None:
    """A full pass, so that nothing is left to do; then a touched one, and another a day later, when much is due by itself."""
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    found = definition()
    store = open_store(f"sqlite:///{copy(many, 'touched')}", project=None)
    full = spent(lambda: advance(store, found, Request(r.NOW, "benchmark", r.NOW, full=True)))
    advance(store, found, Request(r.NOW, "benchmark", r.NOW))
    print(f"full pass: {full[0]:.3f} s ({full[1]:.3f} s of CPU)")
    for name, now in (("same day", r.NOW), ("a day later", r.NOW + DAY_US)):
        guards = spent(lambda now=now: timed_guards(store, found, now))
        touch_some(store)
        touched = spent(lambda now=now: advance(store, found, Request(now, "benchmark", now)))
        print(
            f"{name}: timed guards {guards[0]:.3f} s ({guards[1]:.3f} of CPU), asked {touched[2].asked}, {touched[2].counts}"
        )
        for place, what in enumerate(("clock", "CPU")):
            allowed = guards[place] + 0.05 * full[place]
            print(
                f"  {many} customers, by {what}: {touched[place]:.3f} of {allowed:.3f} s allowed, {touched[place] / allowed:.2f}"
            )
    store.close()


if __name__ == "__main__":
    main()
