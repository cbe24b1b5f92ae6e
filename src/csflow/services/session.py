"""Where a pass reads and writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from csflow.store.opening import Store


class Session:
    """Where a pass reads and writes: its own transactions, or, for a dry run, one that is rolled back."""

    def __init__(self, store: Store, trial: Connection | None) -> None:
        self._store, self._trial = store, trial
        self.kept = store.kept

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection that sees one moment."""
        if self._trial is not None:
            yield self._trial
        else:
            with self._store.reading() as connection:
                yield connection

    @contextmanager
    def chunk(self) -> Iterator[Connection]:
        """A connection whose writes are kept together or not at all."""
        if self._trial is not None:
            with self._trial.begin_nested():
                yield self._trial
        else:
            with self._store.writing() as connection:
                yield connection
