"""Rows of the outbox as what is handed out: messages and calls of effects, ready to go, each with the way it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from csflow.flow.definition import Definition
from csflow.hookspecs import Call, Message, Notifier, NotReady, Recipient, Undeliverable, attempt
from csflow.services.deliver_addressing import recipients
from csflow.services.messages import expressions_of
from csflow.services.messages_filling import Filling
from csflow.values import Instant, Zone

Ways = Mapping[str, tuple[str, Any]]  # name → (plugin, what it provides)
Chain = tuple[int, str]  # party and addressee: whose messages go in their order


@dataclass(frozen=True, slots=True)
class Means:
    """How messages can go out: what plugins provide, and the environment that addresses like ``$NAME`` stand in."""

    notifiers: Ways
    effects: Ways
    environment: Mapping[str, str]


@dataclass(slots=True)
class Item:
    """One thing to hand out: the rows it stands for, the way it goes, what is handed over – or why it cannot be."""

    rows: list[Any]
    way: str
    effect_id: str
    load: Message | Call | None = None
    error: Exception | None = None
    recipient: Recipient | None = None
    behind: str = ""  # what the way leads to, where it leads to many

    @property
    def chain(self) -> Chain:
        """Whom it is about and whom it goes to; of a digest, which goes alone, those of its first part."""
        return self.rows[0].party, self.rows[0].addressee

    @property
    def receiver(self) -> str:
        """Way and what is behind it in one."""
        return f"{self.way} {self.behind}"

    @property
    def address(self) -> str:
        """Way and addressee in one."""
        return f"{self.way} {self.rows[0].addressee}"


class Items:
    """Makes items of rows, as of ``now``: the way of each follows from its row, its recipient and what there is."""

    def __init__(self, definition: Definition, means: Means, now: Instant) -> None:
        self._definition, self._means, self._now = definition, means, now
        self._zone = Zone(definition.zone)
        self._known = expressions_of(definition)

    def of(self, connection: Connection, rows: Sequence[Any]) -> list[Item]:
        """An item for each row, with all that they need read at one moment."""
        filling, people = self._read(connection, rows)
        return [self._item(filling, row, people.get(row.addressee)) for row in rows]

    def digest(self, connection: Connection, rows: Sequence[Any]) -> Item:
        """One item for all the rows, which have the same addressee and way."""
        filling, people = self._read(connection, rows)
        item = self._item(filling, rows[0], people.get(rows[0].addressee))
        item.rows, item.effect_id = list(rows), rows[0].digest
        if item.recipient is not None:
            messages = [filling.message(row, item.recipient, self._text(row.at)) for row in rows]
            item.load = filling.digest(item.effect_id, item.recipient, messages, self._text(rows[-1].at))
        return item

    def _read(self, connection: Connection, rows: Sequence[Any]) -> tuple[Filling, dict[str, Recipient]]:
        filling = Filling(connection, self._definition, rows=rows, now=self._now, known=self._known)
        return filling, recipients(connection, self._definition, {row.addressee for row in rows})

    def _text(self, at: Instant) -> str:
        return self._zone.local(at).isoformat(timespec="seconds")

    def _item(self, filling: Filling, row: Any, recipient: Recipient | None) -> Item:
        if row.verb == "uses":
            name = row.recipient.removeprefix("uses:")
            item = Item([row], row.recipient, row.effect_id, filling.call(row, name, self._text(row.at)))
            if name not in self._means.effects:
                item.error = NotReady(f"no plugin provides the effect '{name}'")
            return item
        if recipient is None:
            return Item([row], row.via or "?", row.effect_id, error=Undeliverable(f"there is no {row.addressee}"))
        way = row.via or next((name for name in recipient.address if name in self._means.notifiers), "console")
        item = Item([row], way, row.effect_id)
        if way not in self._means.notifiers:
            item.error = NotReady(f"there is no notifier '{way}': {', '.join(self._means.notifiers)}")
            return item
        try:
            item.recipient = replace(recipient, address=self._addresses(recipient), role=_role_of(row))
        except NotReady as error:
            item.error = error
            return item
        item.load = filling.message(row, item.recipient, self._text(row.at))
        item.behind = _behind(self._means.notifiers[way][1], item.load)
        return item

    def _addresses(self, recipient: Recipient) -> dict[str, str]:
        """The addresses, those written as ``$NAME`` from the environment."""
        found = {}
        for way, written in recipient.address.items():
            value: str | None = str(written)
            if str(written).startswith("$"):
                value = self._means.environment.get(str(written)[1:])
                if not value:
                    raise NotReady(f"the environment has no {str(written)[1:]}, the address for {way}")
            found[way] = str(value)
        return found


def _role_of(row: Any) -> str | None:
    kind, _, name = (row.recipient or "").partition(":")
    return name if kind == "role" else None


def _behind(notifier: Any, message: Message) -> str:
    """What the message goes to behind its way: as the notifier says, if it can."""
    if not isinstance(notifier, Notifier) or notifier.receiver is None:
        return ""
    found, _ = attempt(notifier.receiver, message)
    return found if isinstance(found, str) else ""
