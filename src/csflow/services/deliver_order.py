"""The order of messages: those about one customer to one addressee are a chain, in the order of writing.

A later message of a chain waits while an earlier one is pending, whichever case, flow or role either comes from. What
is dead, dropped or withheld holds up nobody. The first pending one of a chain waits for none, so no chain stands still.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, literal_column, or_, select

from csflow.hookspecs import Undeliverable
from csflow.services.deliver_items import Chain, Item
from csflow.store import tables as t
from csflow.store.insertion import among

# As the indexes of what waits say it: a bound value would not match.
PENDING: ColumnElement[str] = literal_column("'pending'")

o = t.outbox.c


def of_first(value: Callable[[Any], ColumnElement[Any]]) -> ColumnElement[Any]:
    """What ``value`` makes of the columns of the first pending message of an outbox row's chain."""
    first = t.outbox.alias("earlier").c
    mine = (first.party == o.party, first.addressee == o.addressee, first.status == PENDING)
    return select(value(first)).where(*mine).order_by(first.turn).limit(1).correlate(t.outbox).scalar_subquery()


def is_first() -> ColumnElement[bool]:
    """Whether no message before an outbox row holds it up."""
    earlier = t.outbox.alias("earlier").c
    mine = and_(earlier.addressee == o.addressee, earlier.turn < o.turn)
    unasked = and_(earlier.addressee.is_(None), earlier.id < o.turn)  # it may be for the same person
    held = (
        select(earlier.id).where(earlier.party == o.party, earlier.status == PENDING, kind).correlate(t.outbox)
        for kind in (mine, unasked)
    )
    return ~or_(*(exists(one) for one in held))


def in_turn(connection: Connection, rows: Sequence[Any]) -> list[Any]:
    """Those of the rows that may go together, in this order: nothing before them is pending beside the rows themselves.

    It must be asked in the transaction that locked the rows, after they were.
    """
    ids = [row.id for row in rows]
    if not ids:
        return []
    chain = select(o.party, o.addressee).where(among(o.id, ids)).distinct().subquery("chain").c
    other = t.outbox.alias("other").c
    waits = (other.party == chain.party, other.status == PENDING)
    known = select(other.turn).where(*waits, other.addressee == chain.addressee, ~among(other.id, ids))
    asked = known.order_by(other.turn).limit(1).correlate(chain.party.table).scalar_subquery()
    unknown = select(func.min(other.id)).where(*waits, other.addressee.is_(None))
    unasked = unknown.correlate(chain.party.table).scalar_subquery()
    until: dict[Chain, int] = {}
    for party, addressee, *before in connection.execute(select(chain.party, chain.addressee, asked, unasked)):
        there = [turn for turn in before if turn is not None]
        if there:
            until[(party, addressee)] = min(there)
    return [row for row in rows if row.turn < until.get((row.party, row.addressee), row.turn + 1)]


def rounds(items: Iterable[Item]) -> list[dict[str, list[Item]]]:
    """Items by way, in rounds: where a chain goes on by another way, what goes there is of the next round."""
    last: dict[Chain, tuple[int, str]] = {}
    found: list[dict[str, list[Item]]] = []
    for item in items:
        number, way = last.get(item.chain, (0, item.way))
        number += way != item.way
        last[item.chain] = (number, item.way)
        if number == len(found):
            found.append(defaultdict(list))
        found[number][item.way].append(item)
    return found


class Stopped:
    """The chains of which a message did not go while they were handed out, and what was behind it: not tried."""

    def __init__(self) -> None:
        self._chains: set[Chain] = set()
        self.behind: list[Item] = []

    def __contains__(self, item: Item) -> bool:
        return item.chain in self._chains

    def note(self, item: Item, error: Exception | None) -> None:
        """Note what came of an item: what may still go by a later try holds up the rest of its chain."""
        if error is not None and not isinstance(error, Undeliverable):
            self.stop(item)

    def stop(self, item: Item) -> None:
        """Let nothing go that is behind this item."""
        self._chains.add(item.chain)

    def without(self, items: Iterable[Item]) -> list[Item]:
        """The items that may be tried; the others are kept as ``behind``."""
        going: list[Item] = []
        for item in items:
            (self.behind if item in self else going).append(item)
        return going


def troubled_last(items: list[Item], troubled: Callable[[Item], bool]) -> None:
    """Put what is in trouble behind what is not, without a message overtaking one of its chain."""
    late: set[Chain] = set()
    keys: dict[int, bool] = {}
    for item in items:
        if troubled(item):
            late.add(item.chain)
        keys[id(item)] = item.chain in late
    items.sort(key=lambda item: keys[id(item)])
