"""One pass: hop after hop, ask every rule of one snapshot, then write what it says in chunks, until nothing moves.

What a customer's cases do in one hop is one transaction, and a hop reads only what stood before it. So a pass that is
killed leaves each customer at the border of a hop, and the next pass goes on from there to the same end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from csflow.errors import CsflowError, UsageError
from csflow.flow.definition import Definition
from csflow.flow.machine import FlowMachine
from csflow.flow.records import record
from csflow.services import assigning, effects
from csflow.services.applying import Application
from csflow.services.asking import Asker, Broken, Hit, Scope, first_of_each
from csflow.services.changed import EVERYONE, adopt, note, other_unknowns, redate, redated
from csflow.services.distinct import Distinct
from csflow.services.occupied import HANDLED
from csflow.services.parties import kind_of, whose
from csflow.services.session import Session
from csflow.services.views import View, introduce, see
from csflow.services.waiting import words_waiting
from csflow.services.work import StaleError, Tell, Work
from csflow.store import tables as t
from csflow.store.calling import CallError, reason_of, told
from csflow.store.locking import pass_lock
from csflow.store.names import customer_ids
from csflow.store.opening import Store, blame, of_statement
from csflow.store.refreshing import refresh
from csflow.store.touching import ADVANCE, claim, last_measure, last_pass, organisation_touched, touch
from csflow.values import Instant, Zone

CHUNK = 500  # hits a transaction
HOPS = 100
UNKNOWNS = "unknown_at_last_pass"  # key in `meta`
_DROPPED = delete(t.touched).where(t.touched.c.queue == HANDLED)


@record
class Request:
    """What a pass is asked to do. ``subjects``: customer ids (keys), none = all that is due."""

    now: Instant
    actor: str
    recorded: Instant
    subjects: tuple[str, ...] = ()
    flow: str | None = None
    dry_run: bool = False
    full: bool = False
    limit: int | None = None
    catch_up: bool = False
    wait: float | None = 600.0
    waiting: Callable[[str], None] | None = None  # hears once that, and for whom, this waits


@dataclass(slots=True)
class Outcome:
    """What a pass did: counts by kind, the entries themselves unless they were streamed, and what failed."""

    as_of: Instant
    definition: str
    cases: int = 0
    asked: int = 0
    hops: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    entries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failed: list[dict[str, str]] = field(default_factory=list)
    plugins: list[dict[str, str]] = field(default_factory=list)  # functions that failed; whoever tells observers adds

    @property
    def changed(self) -> bool:
        """Whether anything was (or would be) written."""
        return any(self.counts.values())


def advance(store: Store, definition: Definition, request: Request, tell: Tell | None = None) -> Outcome:
    """Move every case that its flow says is to move at ``request.now``.

    Raises LockedError when another pass runs, UsageError for an as-of before the last pass's, DefinitionError when
    cases stand in stages that the definition no longer has. ``tell`` hears each entry once its chunk is committed.
    """
    with pass_lock(store, request.wait, waiting=request.waiting):
        if not request.dry_run:
            return advance_alone(Session(store, None), definition, request, tell)
        with store.trial() as connection:
            refuse_unmeasured(connection, request, Zone(definition.zone))
            return advance_alone(Session(store, connection), definition, request, tell)


def advance_alone(session: Session, definition: Definition, request: Request, tell: Tell | None = None) -> Outcome:
    """As `advance`, for whoever holds the lock of the pass already."""
    return _Pass(session, definition, request, tell).run()


def refuse_backwards(connection: Connection, request: Request, zone: Zone) -> int | None:
    """The last pass's moment; UsageError when this one would write what lies before it, or before its own facts."""
    last = last_pass(connection)
    if request.dry_run:
        return last
    if last is not None and request.now < last:
        raise UsageError(f"the last pass was at {zone.text(last)}: look back with csflow run --dry-run")
    refuse_unmeasured(connection, request, zone)
    return last


def refuse_unmeasured(connection: Connection, request: Request, zone: Zone) -> None:
    """UsageError for a day before the newest measure: a pass alone, dry too, would take its values for that day's."""
    measured = last_measure(connection)
    if measured is not None and zone.day_of(request.now) < zone.day_of(measured):
        raise UsageError(
            f"the last measure was at {zone.text(measured)}: its values are of no day before;"
            " name that day or a later one, or look with csflow run --dry-run"
        )


class _Pass:
    """One run of `advance`."""

    def __init__(self, session: Session, definition: Definition, request: Request, tell: Tell | None) -> None:
        self.session, self.definition, self.request = session, definition, request
        self.machines = {name: FlowMachine(flow) for name, flow in definition.flows.items()}
        self.outcome = Outcome(request.now, definition.hash)
        self.tell = tell or self._keep
        self.stopped: set[int] = set()
        self.changed = Distinct()
        self.withheld = request.catch_up
        self.broken: Broken = {}  # questions that functions of plugins have failed in
        self.calls: list[tuple[CallError, str]] = []  # other failures of such, and in what
        self.customers: tuple[int, ...] | None = None
        self.view: View | None = None  # of the last hop

    def _keep(self, kind: str, entry: dict[str, Any]) -> None:
        self.outcome.entries.setdefault(kind, []).append(entry)

    def run(self) -> Outcome:
        full = self._begin()
        for hop in range(HOPS):
            everyone = (full or bool(self.request.subjects)) and hop == 0
            touched = self._claim()
            if not touched and hop > 0:
                break
            wide = everyone or (touched and self._organisation_touched())
            wrote = self._hop(Scope(wide, hop == 0, self.customers, self.request.flow, touched))
            self.outcome.hops = hop + 1
            if self.request.limit is not None:
                self._unclaim()
                break
            self._done(everyone=everyone and not self._partial)
            if not wrote and hop > 0:
                break
        self._end()
        self.session.kept.save()
        return self.outcome

    # beginning and end

    def _begin(self) -> bool:
        """Make the store ready for this moment; True when all cases are to be asked, touched or not."""
        request, zone = self.request, Zone(self.definition.zone)
        with self.session.chunk() as connection:
            last = refuse_backwards(connection, request, zone)
            introduce(connection, self.definition)
            today = zone.day_of(request.now)
            refresh(connection, today, ADVANCE, zone, everyone=last is not None and request.now < last)
            view = see(connection, self.definition, request.now)
            changed = other_unknowns(connection, view, UNKNOWNS)
            if changed:
                note(connection, EVERYONE, "unknowns")  # stays set where this pass does not come to ask everybody
            changed = adopt(connection, view, request) or changed
            self.withheld = self.withheld or last is None
            if request.subjects:
                self.customers = customer_ids(connection, request.subjects)
            everyone = request.full or last is None or changed or request.now < last
            assigning.fill_at_start(
                connection, view, self.session.kept,
                actor=request.actor, customers=self.customers, everyone=everyone,
            )  # fmt: skip
            row = {
                "verb": "pass",
                "as_of": request.now,
                "recorded": request.recorded,
                "definition": self.definition.hash,
            }
            self.run_id = connection.execute(insert(t.run).values(**row).returning(t.run.c.id)).scalar_one()
            late = redated(connection, view) if changed else []
            if changed:
                mine = (t.history.c.kind == "migrated", t.history.c.at == request.now)
                migrated = select(func.count()).select_from(t.history).where(*mine)
                self.outcome.counts["migrated"] = connection.execute(migrated).scalar_one()
        for start in range(0, len(late), CHUNK):
            self._redate(view, late[start : start + CHUNK])
        return everyone

    def _end(self) -> None:
        self.outcome.plugins += told([*self.broken.values(), *self.calls])
        with self.session.chunk() as connection:
            self.outcome.counts["failed"] = len(self.outcome.failed)
            summary = json.dumps(self.outcome.counts, sort_keys=True)
            finished = 0 if self._partial else 1
            connection.execute(
                update(t.run).where(t.run.c.id == self.run_id).values(finished=finished, summary=summary)
            )

    @property
    def _partial(self) -> bool:
        return bool(self.request.subjects) or self.request.flow is not None or self.request.limit is not None

    def _claim(self) -> bool:
        """Take what is touched by now; what is touched from here on belongs to the next hop."""
        today = Zone(self.definition.zone).day_of(self.request.now)
        with self.session.chunk() as connection:
            return claim(connection, ADVANCE, HANDLED, today, self.customers)

    def _organisation_touched(self) -> bool:
        with self.session.snapshot() as connection:
            return organisation_touched(connection, HANDLED)

    def _done(self, *, everyone: bool) -> None:
        with self.session.chunk() as connection:
            if self.broken:  # a rule that failed was asked of nobody: the next pass asks it of everybody
                note(connection, EVERYONE, "functions")
            elif everyone:
                note(connection, EVERYONE, None)
            connection.execute(_DROPPED)

    def _unclaim(self) -> None:
        with self.session.chunk() as connection:
            for row in connection.execute(select(t.touched).where(t.touched.c.queue == HANDLED)).all():
                touch(connection, row.kind, [row.subject], queues=(ADVANCE,))
            connection.execute(_DROPPED)

    def _redate(self, view: View, late: list[int]) -> None:
        """Give cases the due times that a changed definition says, but for those whose dates a function fails in."""
        try:
            with self.session.chunk() as connection:
                redate(self._work(connection, view), late)
        except (CallError, DBAPIError) as error:
            found = _blamed(error)
            if found is None:
                raise
            if len(late) == 1:
                self.broken["deadlines", ()] = (found, "deadlines")
                return
            for case in late:
                self._redate(view, [case])

    # a hop

    def _hop(self, scope: Scope) -> bool:
        """Ask everything once, window by window of customers; True when something was written."""
        after: int | None = None
        wrote = False
        while True:
            with self.session.snapshot() as connection:
                connection.info.pop("newest_case", None)  # `Asker` noted it when the connection was last used
                view = self.view = see(connection, self.definition, self.request.now, self.view)
                asker = Asker(connection, view, scope, after, self.session.kept, broken=self.broken)
                hits = asker.ask()
                words = words_waiting(connection, view, scope, after, self.session.kept)
            self.outcome.asked += asker.asked
            words = [word for word in words if asker.border is None or word.party < asker.border]
            talking = {word.party for word in words}
            # whoever has a word waiting is asked all but openings in the next hop, when it was heard
            rules = [hit for hit in hits if hit.party not in talking or hit.kind in ("opening", "rearm")]
            if self.request.limit is None:  # with one, not all of these open: each is given owners when it does
                known = (self.session.chunk, view, self.session.kept)
                assigning.fill_for_openings(*known, actor=self.request.actor, hits=rules)
            wrote = self._write(view, rules) or wrote
            wrote = self._hear(view, words, scope) or wrote
            if asker.border is None:
                return wrote
            after = asker.border

    def _hear(self, view: View, words: Sequence[Row[Any]], scope: Scope) -> bool:
        """Let every word that waits for these customers be heard, earliest first.

        What was said by now happened before now: so it comes before milestones, deadlines and guards, which the next
        hop asks of them; but after openings, or nobody would listen yet.
        """
        wrote, seen = False, set()
        while words:
            parties = {word.party for word in words}
            seen |= {word.id for word in words}
            wrote = self._write(view, [Hit(word.party, -1, "word", None, word) for word in words]) or wrote
            if self.request.limit is not None:
                break
            with self.session.snapshot() as connection:
                waiting = words_waiting(connection, view, scope, min(parties), self.session.kept)
            words = [word for word in waiting if word.party in parties and word.id not in seen]
        return wrote

    def _write(self, view: View, hits: list[Hit]) -> bool:
        wrote, chunk, size, left = False, [], 0, self.request.limit
        for party, asked in first_of_each(hits):
            mine = [hit for hit in asked if hit.case not in self.stopped]
            if not mine:
                continue
            if left is not None:
                left -= 1
                if left < 0:
                    break
            chunk.append((party, mine))
            size += len(mine)
            if size >= CHUNK:
                wrote = self._chunk(view, chunk) or wrote
                chunk, size = [], 0
        if chunk:
            wrote = self._chunk(view, chunk) or wrote
        return wrote

    def _chunk(self, view: View, parties: list[tuple[int, list[Hit]]]) -> bool:
        """Write a chunk; if that fails, its customers one by one, so that a poisoned one harms nobody else."""
        try:
            return self._transaction(view, parties)
        except StaleError:
            if len(parties) == 1:
                return True  # whoever changed it has touched it: the next hop asks again
        except (CsflowError, DBAPIError, ArithmeticError, LookupError, ValueError) as error:
            if isinstance(error, DBAPIError) and not of_statement(error):
                raise
            if len(parties) == 1:
                self._fail(*parties[0], error)
                return False
        wrote = False
        for party in parties:
            wrote = self._chunk(view, [party]) or wrote
        return wrote

    def _fail(self, party: int, hits: list[Hit], error: Exception) -> None:
        cases = [hit.case for hit in hits]
        self.stopped.update(case for case in cases if case is not None)
        kind, id_ = kind_of(party)
        tomorrow = Zone(self.definition.zone).day_of(self.request.now) + 1  # mended, it is asked again
        with self.session.chunk() as connection:
            touch(connection, kind, [id_], day=tomorrow, queues=(ADVANCE,))
            case = whose(connection, self.definition, party, cases)
        blamed = _blamed(error)
        if blamed is not None:
            self.calls.append((blamed, case))
            error = blamed
        failure = {"case": case, "error": str(error) if isinstance(error, CsflowError) else reason_of(error)}
        if failure not in self.outcome.failed:  # a word is tried again in each hop
            self.outcome.failed.append(failure)

    def _work(self, connection: Connection, view: View) -> Work:
        request = self.request
        known = (connection, view, self.machines, request.actor, request.recorded)
        return Work(*known, withheld=self.withheld, kept=self.session.kept)

    def _transaction(self, view: View, parties: list[tuple[int, list[Hit]]]) -> bool:
        failed: list[dict[str, str]] = []
        stopped: set[int] = set()
        with self.session.chunk() as connection:
            work = self._work(connection, view)
            hits = [hit for _, mine in parties for hit in mine]
            work.load(hit.case for hit in hits if hit.case is not None)
            apply = Application(work, self.stopped)
            apply.all(hits)
            effects.perform(work)
            failed, stopped = apply.failed, apply.newly_stopped
        self.outcome.failed += failed
        self.stopped |= stopped
        self.changed.add(work.changed)
        self.outcome.cases = self.changed.number
        for kind, entry in work.told:
            self.outcome.counts[kind] = self.outcome.counts.get(kind, 0) + 1
            self.tell(kind, entry)
        if work.tasks:
            self.outcome.counts["tasks"] = self.outcome.counts.get("tasks", 0) + work.tasks
        return bool(work.told) or apply.wrote


def _blamed(error: Exception) -> CallError | None:
    """The functions of plugins that an error comes from; None where none failed."""
    if isinstance(error, CallError):
        return error
    return blame(error) if isinstance(error, DBAPIError) else None
