"""Counting distinct cases in little memory: a pass over a million of them keeps no million ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Distinct:
    """How many different ids were added; one bit for each id up to the largest."""

    def __init__(self) -> None:
        self._seen = bytearray()
        self.number = 0

    def add(self, ids: Iterable[int]) -> None:
        """Add ids (from 0); one that was there before counts no more."""
        for one in ids:
            place, bit = one >> 3, 1 << (one & 7)
            if place >= len(self._seen):
                self._seen.extend(bytes(place + 1 - len(self._seen) + len(self._seen) // 8))  # room for the next, too
            if not self._seen[place] & bit:
                self._seen[place] |= bit
                self.number += 1
