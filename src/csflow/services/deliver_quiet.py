"""When no message leaves, and how many one person gets on a day."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, literal, select

from csflow.flow.calendars import weekdays
from csflow.flow.definition import Definition
from csflow.flow.sites import listed
from csflow.values import Instant, Zone

_SPAN = re.compile(r"(\d{1,2}):(\d{2}) ?[-–] ?(\d{1,2}):(\d{2})")
_LOOKS = 40  # days ahead
_CLAIMS = 0x6373  # one half of PostgreSQL's number for the lock of whoever claims; the other half is the project's


@dataclass(frozen=True, slots=True)
class Quiet:
    """Quiet times: minutes of each day from ``begins`` to ``ends`` (over midnight where it ends earlier), weekdays.

    ``budget``: messages that one addressee gets on one day at most; None: any number.
    """

    begins: int = 0
    ends: int = 0
    weekdays: frozenset[int] = frozenset()
    budget: int | None = None

    def until(self, now: Instant, zone: Zone) -> Instant | None:
        """When it is over, if it is quiet now. Always quiet is told as quiet for forty days."""
        at = now
        for _ in range(_LOOKS):
            day = zone.day_of(at)
            if (day + 3) % 7 in self.weekdays:  # 1970-01-01 was a Thursday
                at = zone.start_of(day + 1)
                continue
            minute = _minute(zone, at)
            if self.begins <= minute < self.ends:
                at = zone.at(day, self.ends)
            elif self.ends < self.begins <= minute:
                at = zone.at(day + 1, self.ends)
            elif self.ends < self.begins and minute < self.ends:
                at = zone.at(day, self.ends)
            else:
                break
        return at if at > now else None


def quiet_of(definition: Definition) -> Quiet:
    """What the project says under ``quiet:``."""
    written: Mapping[str, Any] = definition.tree.get("quiet") or {}
    begins = ends = 0
    match = _SPAN.fullmatch(written.get("daily") or "")
    if match is not None:
        begins, ends = (int(match[i]) * 60 + int(match[i + 1]) for i in (1, 3))
    days = (day for text in listed(written.get("weekly")) for day in weekdays(text))
    return Quiet(begins, ends, frozenset(days), written.get("budget"))


def alone(connection: Connection) -> None:
    """From here to its end this transaction is the only one that claims: what it counts, nobody changes meanwhile.

    A writing transaction of SQLite is alone from its beginning.
    """
    if connection.dialect.name == "postgresql":
        project = func.hashtext(func.current_schema())
        connection.execute(select(func.pg_advisory_xact_lock(literal(_CLAIMS), project)))


def _minute(zone: Zone, at: Instant) -> int:
    local = zone.local(at)
    return local.hour * 60 + local.minute
