"""How long `status` and `explain` take over many customers, and with how many statements.

uv run python tests/benchmarks/status.py [CUSTOMERS]
"""

from __future__ import annotations

import sys
import time

import rules as r
from population import copy, definition
from sqlalchemy import event

from csflow.services.advance import Request, advance
from csflow.services.explain import Asked, explain
from csflow.services.status import status
from csflow.store.opening import open_store


def main() -> None:
    """After a pass, so that something moved lately; each asked three times, the least is told."""
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    found = definition()
    store = open_store(f"sqlite:///{copy(many, 'status')}", project=None)
    advance(store, found, Request(r.NOW, "benchmark", r.NOW))
    heard: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda _c, _u, text, *_: heard.append(text))
    verbs = {
        "status": lambda: status(store, found, r.NOW, flow=None, stuck=10),
        "explain ONE": lambda: explain(store, found, "C0000007", Asked(r.NOW, "benchmark", r.NOW)),
    }
    for name, verb in verbs.items():
        least = None
        for _ in range(3):
            heard.clear()
            start = time.perf_counter()
            verb()
            spent = time.perf_counter() - start
            least = spent if least is None else min(least, spent)
        print(f"{name}, {many} customers: {least:.3f} s, {len(heard)} statements")
    store.close()


if __name__ == "__main__":
    main()
