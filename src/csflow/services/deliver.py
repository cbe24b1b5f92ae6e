"""Hand out what waits in the outbox: at least once, in order for each customer and addressee, nobody held up by others.

A chunk of rows is claimed in one transaction – a token and a time until which the claim holds –, handed out, and marked
in another; what follows on a message that failed is not tried, and given back. A deliver that dies in between leaves
its claim, which runs out; then the same messages go out again under the same ids. What was marked as sent is never
touched again.
"""

from __future__ import annotations

import hashlib
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, func, or_, select, tuple_, update

from csflow.flow.definition import Definition
from csflow.hookspecs import (
    TERMINATED,
    Call,
    Failure,
    Notifier,
    NotReady,
    RetryLater,
    Undeliverable,
)
from csflow.services.deliver_addressing import address
from csflow.services.deliver_failures import as_failure, told_safely
from csflow.services.deliver_items import Item, Items, Means
from csflow.services.deliver_order import PENDING, Stopped, in_turn, is_first, of_first, rounds, troubled_last
from csflow.services.deliver_quiet import alone, quiet_of
from csflow.services.deliver_tries import TRIES, Streaks, wait_after
from csflow.services.run import place_of
from csflow.store import tables as t
from csflow.store.opening import Store
from csflow.values import Instant, Zone

CHUNK = 500  # rows claimed at once
LEASE = 5 * 60 * 1_000_000  # how long a claim holds, unless it is renewed
MARK_AFTER = 2_000_000  # what was sent is marked at least so often
HOOKS = ("csflow_notifiers", "csflow_effects")
NEVER = 2**62

o = t.outbox.c


@dataclass(frozen=True, slots=True)
class Handing:
    """What a deliver is asked to do; ``clock`` gives the instant now. ``limit``: messages at most."""

    clock: Callable[[], Instant]
    limit: int | None = None
    dry_run: bool = False


@dataclass(slots=True)
class Delivered:
    """What a deliver did. ``again``: failed, to be tried again; ``surplus``: over somebody's budget of the day.

    ``waiting``: pending messages that are not due yet, are claimed by another deliver, or come after one that is.
    ``next_due``: when the first of them is due; ``quiet_until``: when the quiet hours end.
    """

    at: Instant
    sent: int = 0
    again: int = 0
    dead: int = 0
    surplus: int = 0
    waiting: int = 0
    quiet_until: Instant | None = None
    next_due: Instant | None = None
    failed: list[dict[str, Any]] = field(default_factory=list)
    down: list[str] = field(default_factory=list)  # ways by which some receiver was given up for now
    held: int = 0  # messages to those, not tried
    plugins: list[Failure] = field(default_factory=list)  # that did what no notifier or effect may do

    @property
    def unwell(self) -> bool:
        """Whether anything failed."""
        return bool(self.again or self.dead or self.plugins)


Done = tuple[Item, Exception | None]
Tell = Callable[[dict[str, Any]], None]


def deliver(
    store: Store, definition: Definition, means: Means, request: Handing, *, tell: Tell | None = None
) -> Delivered:
    """Hand out all that is due; ``tell`` hears of each message once that it went out is written.

    Nothing that a notifier or plugin raises passes through: it is in ``failed``.
    """
    with place_of(store, dry_run=request.dry_run) as place:
        return _Delivery(place, definition, means, request, tell or (lambda _entry: None)).run()


class _Delivery:
    """One deliver, from the first claim to the last mark."""

    def __init__(self, store: Store, definition: Definition, means: Means, request: Handing, tell: Tell) -> None:
        self._store, self._definition, self._means, self._request = store, definition, means, request
        self._tell = tell
        self._zone = Zone(definition.zone)
        self._quiet = quiet_of(definition)
        self._started = request.clock()
        self._items = Items(definition, means, self._started)
        self._told = Delivered(self._started)
        self._token = uuid.uuid4().hex
        self._until = 0  # the instant until which the claims of this deliver hold
        self._left = request.limit if request.limit is not None else NEVER
        self._used: Counter[str] = Counter()  # messages of today, by addressee, as of the last claim
        self._tried: Counter[str] = Counter()  # those that this deliver could not get through
        self._streaks = Streaks()
        self._stopped = Stopped()
        self._doubtful = False  # whether something was left for the messages before it, and what those use of a budget

    def run(self) -> Delivered:
        """All of it."""
        for row, reason in address(self._store, self._definition):
            self._note([row], None, "dead", reason, None)
        self._told.quiet_until = self._quiet.until(self._started, self._zone)
        try:
            went = True
            while went and self._left > 0:
                went = self._told.quiet_until is None and self._digests()
                went |= self._sweep()
        finally:
            self._let_go()
        self._look_ahead()
        return self._told

    def _sweep(self) -> bool:
        """Hand out once around all that is due now; whether anything came of it, so that what comes after it may go."""
        went, tried, after, self._doubtful = False, False, (0, 0), False
        while self._left > 0:
            rows, last = self._claim(after)
            if last is None:
                break
            after = last
            if rows:
                with self._store.reading() as connection:
                    items = self._items.of(connection, rows)
                went |= self._hand_out(items)
                tried = True
        return went or (tried and self._doubtful)

    # claims

    def _unclaimed(self, row: Any = o) -> list[ColumnElement[bool]]:
        free = or_(row.claimed_until.is_(None), row.claimed_until <= self._request.clock())
        return [row.status == PENDING, row.addressee.is_not(None), free]

    def _due(self, row: Any = o) -> list[ColumnElement[bool]]:
        return [*self._unclaimed(row), or_(row.next_try.is_(None), row.next_try <= self._started)]

    def _claim(self, after: tuple[int, int]) -> tuple[list[Any], tuple[int, int] | None]:
        """Take the next rows that may go; and the last one looked at (None: there are no more)."""
        begins = of_first(lambda first: case((and_(*self._due(first), first.surplus == 0), 1), else_=0))
        conditions = [*self._due(), o.surplus == 0, tuple_(o.turn, o.id) > tuple_(*after), begins == 1]
        if self._told.quiet_until is not None:
            conditions.append(o.verb == "uses")
        statement = select(t.outbox).where(*conditions).order_by(o.turn, o.id).limit(min(CHUNK, self._left))
        with self._claiming() as connection:
            rows = connection.execute(statement.with_for_update(skip_locked=True, of=t.outbox)).all()
            if not rows:
                return [], None
            kept = self._within_budget(connection, in_turn(connection, rows))
            self._hold(connection, [row.id for row in kept])
        return kept, (rows[-1].turn, rows[-1].id)

    @contextmanager
    def _claiming(self) -> Iterator[Connection]:
        """A transaction to claim in. Where there is a budget, no other deliver claims before this one is committed."""
        with self._store.writing() as connection:
            if self._quiet.budget is not None:
                alone(connection)
            yield connection

    def _hold(self, connection: Connection, ids: list[int], **more: Any) -> None:
        self._until = self._request.clock() + LEASE
        claim = {"claimed": self._token, "claimed_until": self._until, **more}
        if ids:
            connection.execute(update(t.outbox).where(o.id.in_(ids)).values(**claim))

    def _renew(self) -> None:
        """Hold on to what is claimed for another while."""
        if self._request.clock() < self._until - LEASE // 2:
            return
        self._until = self._request.clock() + LEASE
        mine = and_(o.claimed == self._token, o.status == "pending")
        with self._store.writing() as connection:
            connection.execute(update(t.outbox).where(mine).values(claimed_until=self._until))

    def _let_go(self) -> None:
        """Give back what was claimed and not tried, so that the next deliver need not wait."""
        mine = and_(o.claimed == self._token, o.status == "pending")
        with self._store.writing() as connection:
            connection.execute(update(t.outbox).where(mine).values(claimed=None, claimed_until=None))

    # budgets and digests

    def _within_budget(self, connection: Connection, rows: Sequence[Any]) -> list[Any]:
        """The rows that their addressees may still get today; all else that is due for them is marked as surplus."""
        budget = self._quiet.budget
        if budget is None:
            return list(rows)
        self._count_today(connection, {row.addressee for row in rows if row.verb == "notify"})
        spent = {addressee for addressee, number in self._used.items() if number >= budget}
        kept, over = [], set()
        for row in rows:
            if row.verb == "notify" and self._used[row.addressee] >= budget:
                # What is taken before it may not go: only then is it known whether this may, and it is asked again.
                self._doubtful |= row.addressee not in spent
                over |= {row.addressee} & spent
                continue
            self._used[row.addressee] += row.verb == "notify"
            kept.append(row)
        # What stands behind one that failed, or that another deliver has, is not its turn.
        for addressee in sorted(over):
            begins = of_first(lambda first: case((or_(*self._busy(first)), 0), else_=1))
            mine = [*self._due(), o.addressee == addressee, o.verb == "notify", o.surplus == 0, begins == 1]
            marked = update(t.outbox).where(*mine).values(surplus=1, next_try=self._tomorrow())
            self._told.surplus += connection.execute(marked).rowcount
        return kept

    def _busy(self, row: Any) -> list[ColumnElement[bool]]:
        return [and_(row.surplus == 0, row.next_try > self._started), row.claimed_until > self._started]

    def _count_today(self, connection: Connection, addressees: Iterable[str]) -> None:
        """What they got today, and what any deliver is just sending them."""
        asked = sorted(set(addressees))
        begin = self._zone.start_of(self._zone.day_of(self._started))
        self._used = Counter({addressee: self._tried[addressee] for addressee in asked})
        many = func.count(func.distinct(func.coalesce(o.digest, o.effect_id)))
        sent = and_(o.sent_at >= begin, o.status == "sent")
        claimed = and_(o.status == "pending", o.claimed_until > self._request.clock())
        # In one statement: what another deliver marks as sent between two would be in neither.
        counted = select(o.addressee, many).where(or_(sent, claimed), o.addressee.in_(asked)).group_by(o.addressee)
        for addressee, number in connection.execute(counted) if asked else ():
            self._used[addressee] += number

    def _tomorrow(self) -> Instant:
        return self._zone.start_of(self._zone.day_of(self._started) + 1)

    def _digests(self) -> bool:
        """The surplus of a former day: one message for each addressee and way, its members fixed before the first.

        Whether any went or was given up.
        """
        went = False
        waits = select(o.addressee, o.via, o.digest).where(*self._due(), o.surplus == 1)
        with self._store.reading() as connection:
            first = func.min(o.id)
            groups = connection.execute(waits.group_by(o.addressee, o.via, o.digest).order_by(first)).all()
        for group in groups:
            rows = self._claim_digest(*group) if self._left > 0 else []
            if rows:
                with self._store.reading() as connection:
                    item = self._items.digest(connection, rows)
                went |= self._hand_out([item])
        return went

    def _claim_digest(self, addressee: str, via: str | None, digest: str | None) -> list[Any]:
        mine = [o.addressee == addressee, o.via.is_(None) if via is None else o.via == via]
        if digest is None:
            mine += [*self._due(), o.surplus == 1, o.digest.is_(None)]
        else:  # the receiver may have it already: it is not taken apart, and waits for nothing
            mine += [*self._unclaimed(), o.digest == digest]
        with self._claiming() as connection:
            chosen = select(t.outbox).where(*mine).order_by(o.turn, o.id).with_for_update(skip_locked=True)
            rows: Sequence[Any] = connection.execute(chosen).all()
            if digest is None:
                rows = in_turn(connection, rows)
            elif len(rows) < self._members(connection, digest):
                return []
            ids = [row.id for row in rows]
            self._count_today(connection, [addressee])
            if not rows:
                return []
            if self._quiet.budget is not None and self._used[addressee] >= self._quiet.budget:
                connection.execute(update(t.outbox).where(o.id.in_(ids)).values(next_try=self._tomorrow()))
                return []
            if len(rows) == 1 and digest is None:  # one alone goes as it is
                connection.execute(update(t.outbox).where(o.id.in_(ids)).values(surplus=0))
                return []
            self._used[addressee] += 1
            made = digest or hashlib.sha256("\x1f".join(sorted(row.effect_id for row in rows)).encode()).hexdigest()
            self._hold(connection, ids, digest=made)
            return list(connection.execute(select(t.outbox).where(o.id.in_(ids)).order_by(o.turn, o.id)).all())

    def _members(self, connection: Connection, digest: str) -> int:
        many = select(func.count()).where(o.digest == digest, o.status == PENDING)
        return int(connection.execute(many).scalar_one())

    def _hand_out(self, items: list[Item]) -> bool:
        """Send these, way by way; whether anything went or was given up, so that what waits behind it may go."""
        went = False
        self._stopped = Stopped()
        for by_way in rounds(items):
            for way, members in by_way.items():
                for done in self._through(way, members):
                    went |= self._mark(done)
                    self._renew()
        if self._stopped.behind:
            self._free([{"own": row.id} for item in self._stopped.behind for row in item.rows])
        return went

    def _through(self, way: str, items: list[Item]) -> Iterator[list[Done]]:
        """Send through one way, some at a time: each with None or what went wrong. What is down is spared."""
        hopeless: list[Done] = []
        for item in items:
            if item.error is not None and item not in self._stopped:
                hopeless.append((item, item.error))
                self._stopped.note(item, item.error)
        if hopeless:
            self._left -= len(hopeless)
            yield hopeless
        told = {id(item) for item, _ in hopeless}
        waiting = [item for item in items if id(item) not in told]
        while waiting := self._spare(way, self._stopped.without(waiting)):
            done: list[Done] = []
            try:
                self._send_some(way, waiting, done)
            except (KeyboardInterrupt, SystemExit) as error:
                if isinstance(error, SystemExit) and error.code != TERMINATED:  # a plugin's own
                    done = self._unsure(done, waiting, error)
                else:
                    self._mark(done)
                    raise
            except Exception as error:  # noqa: BLE001  # whatever a plugin raises costs its messages only
                done = self._unsure(done, waiting, error)
            self._left -= len(done)
            yield done

    def _send_some(self, way: str, waiting: list[Item], done: list[Done]) -> None:
        """Open the way and send, for a while: what was sent is moved from ``waiting`` to ``done``."""
        began = self._request.clock()
        with ExitStack() as way_open:
            with redirect_stdout(sys.stderr):
                send = way_open.enter_context(self._opened(way, waiting[0]))
            while waiting and self._held(waiting[0]) is None:
                item = waiting[0]
                error = self._try(send, item)
                done.append((item, error))
                waiting.pop(0)
                if error is not None:  # what goes elsewhere need not wait for time-outs
                    self._stopped.note(item, error)
                    waiting[:] = self._stopped.without(waiting)
                    troubled_last(waiting, lambda one: self._streaks.troubled(one.receiver))
                if self._request.clock() - began >= MARK_AFTER:
                    return

    def _unsure(self, done: list[Done], waiting: list[Item], error: BaseException) -> list[Done]:
        """A notifier that could not be opened or closed: whatever it said of these messages, they go again."""
        failure = as_failure(error)
        unsure: list[Done] = [(item, failure if why is None else why) for item, why in done] or [
            (waiting.pop(0), failure)
        ]
        for item, why in unsure:
            self._failed(item, why or failure)
            self._stopped.note(item, why or failure)
        return unsure

    def _opened(self, way: str, first: Item) -> AbstractContextManager[Callable[[Any], None]]:
        notifier: Any = None if isinstance(first.load, Call) else self._means.notifiers[way][1]
        if isinstance(notifier, Notifier) and notifier.ready is not None:
            try:
                with redirect_stdout(sys.stderr):  # as in `_try`
                    notifier.ready()
            except NotReady as error:  # it holds for each message
                return nullcontext(_refusing(error))
        if self._request.dry_run:
            return nullcontext(lambda _load: None)
        if isinstance(first.load, Call):
            return nullcontext(self._means.effects[first.load.name][1])
        return notifier.open() if isinstance(notifier, Notifier) else nullcontext(notifier)

    def _try(self, send: Callable[[Any], None], item: Item) -> Exception | None:
        try:
            with redirect_stdout(sys.stderr):  # what a plugin prints is not csflow's answer
                send(item.load)
        except SystemExit as error:
            if error.code == TERMINATED:
                raise
            failure = as_failure(error)
            self._failed(item, failure)
            return failure
        except Exception as error:  # noqa: BLE001  # as above
            if not isinstance(error, Undeliverable):
                self._failed(item, error)
            return error
        self._streaks.worked(item.receiver, item.address)
        return None

    def _failed(self, item: Item, error: Exception) -> None:
        self._streaks.failed(item.receiver, item.address, self._reason(error, item))

    def _held(self, item: Item) -> str | None:
        return self._streaks.held(item.receiver, item.address)

    def _spare(self, way: str, items: list[Item]) -> list[Item]:
        """What may go of these. What would go to whom it failed again and again waits, and no try is counted."""
        held: list[dict[str, Any]] = []
        spared: set[int] = set()
        later = self._request.clock() + wait_after(way, 1)
        for item in items:
            reason = self._held(item)
            if reason is not None and item not in self._stopped:
                held += [{"own": row.id, "later": later, "why": reason} for row in item.rows]
                spared.add(id(item))
                self._stopped.stop(item)
        if not held:
            return items
        if way not in self._told.down:
            self._told.down.append(way)
        self._told.held += len(held)
        self._free(held, next_try=bindparam("later"), error=bindparam("why"))
        return self._stopped.without(item for item in items if id(item) not in spared)

    def _free(self, values: list[dict[str, Any]], **more: Any) -> None:
        """Give these rows back before the claim of the others ends."""
        mine = update(t.outbox).where(o.id == bindparam("own"), o.claimed == self._token, o.status == "pending")
        with self._store.writing() as connection:
            connection.execute(mine.values(claimed=None, claimed_until=None, **more), values)

    # what came of it

    def _mark(self, done: list[Done]) -> bool:
        """Write what was sent and what was not; whether any of it is out of the way now."""
        now = self._request.clock()
        values, told = [], []
        for item, error in done:
            after, reason = self._became(item, error, now)
            values += [{"own": row.id, **after} for row in item.rows]
            told.append((item, after, reason))
        statement = (
            update(t.outbox)
            .where(o.id == bindparam("own"), o.claimed == self._token, o.status == "pending")
            .values(
                status=bindparam("new_status"), tries=bindparam("new_tries"), next_try=bindparam("new_next"),
                error=bindparam("new_error"), sent_at=bindparam("new_sent"), claimed=None, claimed_until=None,
            )
        )  # fmt: skip
        with self._store.writing() as connection:
            connection.execute(statement, values)
        for item, after, reason in told:
            status = after["new_status"]
            if reason is None:
                self._told.sent += 1
                self._tell(self._entry(item.rows, item.way, "sent"))
            else:
                self._note(item.rows, item.way, status, reason, after["new_next"])
        return any(after["new_status"] != "pending" for _, after, _ in told)

    def _became(self, item: Item, error: Exception | None, now: Instant) -> tuple[dict[str, Any], str | None]:
        tries = max(row.tries for row in item.rows)  # the same for all parts of a digest: they stay together
        tries += not isinstance(error, NotReady)
        found = {"new_status": "sent", "new_tries": tries, "new_next": None, "new_error": None, "new_sent": now}
        if error is None:
            return found, None
        reason = self._reason(error, item)
        self._blame(error, item, reason)
        found |= {"new_error": reason, "new_sent": None, "new_status": "dead"}
        if not isinstance(error, Undeliverable) and tries < TRIES:
            asked = error.after if isinstance(error, RetryLater) else None
            found |= {"new_status": "pending", "new_next": now + wait_after(item.effect_id, max(tries, 1), asked)}
        return found, reason

    def _reason(self, error: Exception, item: Item) -> str:
        return told_safely(error, self._means.environment, item.recipient)

    def _blame(self, error: Exception, item: Item, reason: str) -> None:
        """A plugin that raised what it may not is named, once."""
        if isinstance(error, RetryLater | Undeliverable):
            return
        effect = isinstance(item.load, Call)
        ways, hook = (self._means.effects, HOOKS[1]) if effect else (self._means.notifiers, HOOKS[0])
        name = item.way.removeprefix("uses:")
        plugin = ways[name][0] if name in ways else name
        if not any((one.plugin, one.name) == (plugin, name) for one in self._told.plugins):
            self._told.plugins.append(Failure(plugin, hook, reason, name))

    def _note(self, rows: Sequence[Any], way: str | None, status: str, reason: str, again: Instant | None) -> None:
        if status == "dead":
            self._told.dead += 1
        else:
            self._told.again += 1
        entry = self._entry(rows, way, status) | {"error": reason}
        entry["next_try"] = self._zone.text(again) if again is not None else None
        self._told.failed.append(entry)
        self._tried[entry["recipient"]] += rows[0].verb == "notify"
        self._tell(entry)

    def _entry(self, rows: Sequence[Any], way: str | None, status: str) -> dict[str, Any]:
        row = rows[0]
        several = len(rows) > 1
        return {
            "id": row.digest if several else row.effect_id, "recipient": row.addressee or row.recipient, "via": way,
            "status": status, "about": [one.effect_id for one in rows] if several else [],
        }  # fmt: skip

    def _look_ahead(self) -> None:
        """What is left, and when the first of it is due."""
        with self._store.reading() as connection:
            again = func.coalesce(o.next_try, 0)
            soonest = case((o.claimed_until > again, o.claimed_until), else_=again)  # another deliver has it until then
            # What stands behind another is due when that went.
            due = select(func.count(), func.min(case((is_first(), soonest)))).where(o.status == PENDING)
            waiting, first = connection.execute(due).one()
        self._told.waiting = waiting
        if waiting:
            self._told.next_due = max(first or 0, self._told.quiet_until or 0, self._started)


def _refusing(error: Exception) -> Callable[[Any], None]:
    """What sends nothing, as a way is not ready."""

    def refuse(_load: Any) -> None:
        raise error

    return refuse


__all__ = ["Delivered", "Handing", "Means", "deliver"]
