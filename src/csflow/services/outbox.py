"""The outbox in people's hands: what waits, what failed; let it go, try it again, drop it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, or_, select, update

from csflow.errors import RefusedError, UsageError
from csflow.flow.definition import Definition
from csflow.hookspecs import Recipient
from csflow.services.deliver_addressing import recipients
from csflow.services.deliver_tries import HELD
from csflow.services.meaning import find_case, near
from csflow.services.messages import expressions_of
from csflow.services.messages_filling import Filling
from csflow.services.run import place_of
from csflow.store import tables as t
from csflow.store.opening import Store
from csflow.values import Instant, Zone

STATUSES = ("pending", "withheld", "sent", "dead", "dropped")
CHANGES = {  # what is done → from which statuses, to which
    "release": (("withheld",), "pending"),
    "retry": (("dead", "pending"), "pending"),
    "drop": (("pending", "withheld", "dead"), "dropped"),
}
SHORT = 12  # characters of an id that are shown
o = t.outbox.c


@dataclass(frozen=True, slots=True)
class Filter:
    """Which messages: ``ids`` are beginnings of their ids; ``recipient`` as the rule or delivery names it."""

    ids: tuple[str, ...] = ()
    status: str | None = None
    case: str | None = None
    recipient: str | None = None
    limit: int | None = None

    @property
    def empty(self) -> bool:
        """Whether it names nothing: then only ``--all`` may change everything."""
        return not (self.ids or self.status or self.case or self.recipient)


def list_outbox(store: Store, definition: Definition, wanted: Filter) -> list[dict[str, Any]]:
    """The messages wanted, the oldest first; of a limited number the newest."""
    zone = Zone(definition.zone)
    with store.reading() as connection:
        conditions = _conditions(connection, definition, wanted)
        newest = select(t.outbox).where(*conditions).order_by(o.id.desc())
        rows = connection.execute(newest.limit(wanted.limit) if wanted.limit else newest).all()
        names = _cases(rows)
        return [_entry(row, names, zone) for row in reversed(rows)]


def show_message(store: Store, definition: Definition, id_: str, *, now: Instant) -> dict[str, Any]:
    """One message with its text as it would go out now."""
    zone = Zone(definition.zone)
    with store.reading() as connection:
        row = _one(connection, id_)
        filling = Filling(connection, definition, rows=[row], now=now, known=expressions_of(definition))
        found = _entry(row, _cases([row]), zone)
        found |= {"id": row.effect_id, "rule_recipient": row.recipient, "actor": row.actor, "digest": row.digest}
        at = zone.local(row.at).isoformat(timespec="seconds")
        if row.verb == "uses":
            return found | {"options": dict(filling.call(row, row.message, at).options), "title": None, "text": None}
        who = row.addressee or row.recipient
        known = recipients(connection, definition, [who]).get(who)
        kind, _, name = who.partition(":")
        message = filling.message(row, known or Recipient(kind, name, None, {}), at)
        return found | {"options": None, "title": message.title, "text": message.text}


def change_outbox(
    store: Store, definition: Definition, verb: str, wanted: Filter, *, actor: str, now: Instant, dry_run: bool = False
) -> list[dict[str, Any]]:
    """Release, retry or drop what is wanted: those of them for which that means something. What was changed.

    RefusedError for a single message that is of another status, or that a deliver is just sending.
    """
    source, target = CHANGES[verb]
    zone = Zone(definition.zone)
    with place_of(store, dry_run=dry_run) as place, place.writing() as connection:
        for id_ in wanted.ids:
            _refuse(_one(connection, id_), verb, now)
        conditions = _conditions(connection, definition, wanted)
        free = or_(o.claimed_until.is_(None), o.claimed_until <= now, o.status != "pending")
        mine = select(t.outbox).where(*conditions, o.status.in_(source), free).order_by(o.id).with_for_update()
        rows = connection.execute(mine).all()
        names = _cases(rows)
        ids = [row.id for row in rows]
        values: dict[str, Any] = {"status": target, "actor": actor, "claimed": None, "claimed_until": None}
        if verb != "drop":
            values |= {"next_try": None, "tries": 0, "error": None}
        for start in range(0, len(ids), 500):
            some = o.id.in_(ids[start : start + 500])
            connection.execute(update(t.outbox).where(some).values(**values))
        _break_up(connection, verb, rows)
        return [_entry(row, names, zone) | {"status": target} for row in rows]


def _break_up(connection: Connection, verb: str, rows: Sequence[Any]) -> None:
    """A digest that loses a member is another digest."""
    digests = sorted({row.digest for row in rows if row.digest is not None})
    if verb == "drop" and digests:
        others = (o.digest.in_(digests), o.status == "pending")
        connection.execute(update(t.outbox).where(*others).values(digest=None))


def _refuse(row: Any, verb: str, now: Instant) -> None:
    source, _ = CHANGES[verb]
    if row.status not in source:
        raise RefusedError(f"message {row.effect_id[:SHORT]} is {row.status}: only {' or '.join(source)} ones {verb}")
    if row.status == "pending" and row.claimed_until is not None and row.claimed_until > now:
        raise RefusedError(f"message {row.effect_id[:SHORT]} is being sent right now: try again in a few minutes")


def _one(connection: Connection, id_: str) -> Any:
    rows = connection.execute(select(t.outbox).where(_begins(id_)).order_by(o.id).limit(2)).all()
    if not rows:
        raise UsageError(f"no message '{id_}': csflow outbox list names them")
    if len(rows) > 1:
        raise UsageError(f"several messages begin with '{id_}': give more of the id")
    return rows[0]


def _begins(id_: str) -> ColumnElement[bool]:
    plain = id_.strip().lower()
    if not plain or any(letter not in "0123456789abcdef" for letter in plain):
        raise UsageError(f"'{id_}' is no id of a message: csflow outbox list names them")
    return (o.effect_id >= plain) & (o.effect_id < f"{plain}g")


def _conditions(connection: Connection, definition: Definition, wanted: Filter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.ids:
        found.append(or_(*(_begins(id_) for id_ in wanted.ids)))
    if wanted.status is not None:
        if wanted.status not in STATUSES:
            raise UsageError(f"no status '{wanted.status}'{near(wanted.status, STATUSES)}")
        found.append(o.status == wanted.status)
    if wanted.case is not None:
        found.append(o.case == find_case(connection, definition, wanted.case).id)
    if wanted.recipient is not None:
        who = wanted.recipient
        words = [who] if ":" in who else [f"{kind}:{who}" for kind in ("person", "role", "contact", "uses")]
        found.append(or_(o.recipient.in_(words), o.addressee.in_(words)))
    return found


def _cases(rows: Sequence[Any]) -> dict[int, str]:
    """How each row's case is called: its body knows."""
    return {row.id: json.loads(row.body)["case"] for row in rows}


def _entry(row: Any, names: dict[int, str], zone: Zone) -> dict[str, Any]:
    def text(at: Instant | None) -> str | None:
        return None if at is None else zone.text(at)

    return {
        "id": row.effect_id[:SHORT], "status": row.status, "case": names[row.id], "verb": row.verb,
        "recipient": row.addressee or row.recipient, "message": row.message, "via": row.via, "at": text(row.at),
        "tries": row.tries, "next_try": text(row.next_try) if row.status == "pending" else None,
        "sent_at": text(row.sent_at), "error": row.error, "held": _held(row),
    }  # fmt: skip


def _held(row: Any) -> str | None:
    """Why a message waits that did not itself fail."""
    if row.status != "pending" or row.next_try is None:
        return None
    if (row.error or "").startswith(HELD):
        return str(row.error)
    return "over the budget of a day: it goes into a digest" if row.surplus else None


__all__ = ["CHANGES", "STATUSES", "Filter", "change_outbox", "list_outbox", "show_message"]
