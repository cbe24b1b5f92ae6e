"""A measure and the pass after it at one moment, under one lock; a dry run is one transaction that is rolled back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from csflow.flow.definition import Definition
from csflow.hookspecs import Provider
from csflow.services.advance import Outcome, Request, advance_alone, refuse_backwards
from csflow.services.measure import Measured, measure
from csflow.services.session import Session
from csflow.services.work import Tell
from csflow.store.locking import pass_lock
from csflow.store.opening import Store
from csflow.values import Zone

Providers = Mapping[str, Provider]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run did: its measure, and its pass (None where only the measure was asked for)."""

    measured: Measured
    outcome: Outcome | None = None


def run(
    store: Store, definition: Definition, providers: Providers, *, request: Request, tell: Tell | None = None
) -> Ran:
    """Measure, then advance, both as of ``request.now``. Raises what `measure` and `advance` raise."""
    with pass_lock(store, request.wait, waiting=request.waiting), place_of(store, dry_run=request.dry_run) as place:
        measured = _measure(place, definition, providers, request)
        return Ran(measured, advance_alone(Session(place, None), definition, request, tell))


def measure_alone(store: Store, definition: Definition, providers: Providers, *, request: Request) -> Ran:
    """Measure without a pass. LockedError when a pass runs."""
    with pass_lock(store, request.wait, waiting=request.waiting), place_of(store, dry_run=request.dry_run) as place:
        return Ran(_measure(place, definition, providers, request))


def _measure(store: Store, definition: Definition, providers: Providers, request: Request) -> Measured:
    with store.reading() as connection:  # before anything is written: values of a former day would stand as today's
        refuse_backwards(connection, request, Zone(definition.zone))
    return measure(store, definition, providers, now=request.now, recorded=request.recorded, full=request.full)


@contextmanager
def place_of(store: Store, *, dry_run: bool) -> Iterator[Store]:
    """Where it is written: the store itself, or for a dry run one transaction of it."""
    if not dry_run:
        yield store
        return
    with store.trial() as connection:
        yield _Trial(store, connection)


class _Trial(Store):
    """A store whose transactions are parts of one that will be rolled back."""

    def __init__(self, store: Store, connection: Connection) -> None:
        super().__init__(store.engine)
        self._connection = connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The one connection: it sees what the trial has written so far."""
        yield self._connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A part of the trial: taken back alone when an exception passes through."""
        with self._connection.begin_nested():
            yield self._connection
