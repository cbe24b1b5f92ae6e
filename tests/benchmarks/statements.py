"""How many statements a pass asks at 1,000, 10,000 and 100,000 customers: questions must not grow, writes only with moves.

uv run python tests/benchmarks/statements.py
"""

from __future__ import annotations

from collections import Counter

import rules as r
from population import copy, definition
from sqlalchemy import event

from csflow.services.advance import Request, advance
from csflow.store.opening import open_store

SIZES = (1_000, 10_000, 100_000)


def main() -> None:
    """Count by kind: questions begin with what hits have, chunks with what a transaction reads and writes."""
    found = definition()
    for many in SIZES:
        store = open_store(f"sqlite:///{copy(many, 'statements')}", project=None)
        seen: Counter[str] = Counter()

        def note(_connection, _cursor, statement, *_rest, seen=seen) -> None:
            word = statement.split(None, 1)[0].upper()
            chunk = "json_each" in statement or word in ("INSERT", "UPDATE", "DELETE")
            seen["questions" if " AS party" in statement else "of chunks" if chunk else "other"] += 1

        event.listen(store.engine, "before_cursor_execute", note)
        outcome = advance(store, found, Request(r.NOW, "benchmark", r.NOW, full=True), tell=lambda _kind, _entry: None)
        store.close()
        hops = outcome.hops
        print(
            f"{many} customers: {hops} hops, {seen['questions'] / hops:.0f} questions a hop, {dict(seen)}, {outcome.counts}"
        )


if __name__ == "__main__":
    main()
