"""When a message is tried again, and when it is given up: the numbers stand here and nowhere else.

After a failed try the next one waits BASE seconds, FACTOR times as long after each further one, MOST at most; each
wait is longer or shorter by up to JITTER, so that a thousand messages do not come back at the same second. After TRIES
tries, about two days, a message is dead: `csflow outbox retry` begins anew.

What goes to a receiver where GIVE_UP others failed in a row is held back for another deliver, and no try is counted.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict

BASE = 60.0  # seconds after the first failed try
FACTOR = 2.0
MOST = 6 * 3600.0
JITTER = 0.2  # of the wait
TRIES = 15
GIVE_UP = 5  # failures in a row
HELD = "not tried, as messages that go the same way failed again and again: "
LONGEST_ASKED = 7 * 86_400.0  # what a server may ask for with Retry-After, at most


def wait_after(effect_id: str, tries: int, asked: float | None = None) -> int:
    """Microseconds until the next try after ``tries`` failed ones; ``asked``: the seconds that the other side wants.

    The jitter follows from the message's id and the number of tries, so the same failure waits the same.
    """
    wait = min(BASE * FACTOR ** min(max(tries - 1, 0), 60), MOST)
    lot = int.from_bytes(hashlib.sha256(f"{effect_id} {tries}".encode()).digest()[:8], "big") / 2**64  # 0…1
    seconds = wait * (1 - JITTER + 2 * JITTER * lot)
    if asked is not None:
        seconds = max(1.0, min(asked, LONGEST_ASKED))  # they know better than our guess, longer or shorter
    return int(seconds * 1_000_000)


class Streaks:
    """Who failed how often in a row: receivers (a way, or a host behind it), and single addressees.

    A receiver is down when messages to GIVE_UP different addressees failed, an addressee alone when GIVE_UP of its own
    did: one full mailbox does not stop a mail server.
    """

    def __init__(self) -> None:
        self._failed: dict[str, set[str]] = defaultdict(set)  # receiver → for whom it failed since it last worked
        self._alone: dict[str, int] = defaultdict(int)  # addressee → failures
        self._why: dict[str, str] = {}  # receiver or addressee → the last reason

    def failed(self, receiver: str, addressee: str, reason: str) -> None:
        """A message was not taken."""
        self._failed[receiver].add(addressee)
        self._alone[addressee] += 1
        self._why[receiver] = self._why[addressee] = reason

    def worked(self, receiver: str, addressee: str) -> None:
        """A message was taken."""
        self._failed[receiver].clear()
        self._alone[addressee] = 0

    def troubled(self, receiver: str) -> bool:
        """Whether the last message to it was not taken: what goes elsewhere is better tried first."""
        return bool(self._failed[receiver])

    def held(self, receiver: str, addressee: str) -> str | None:
        """Why nothing more goes there now; None where it may."""
        if len(self._failed[receiver]) >= GIVE_UP:
            return HELD + self._why[receiver]
        return HELD + self._why[addressee] if self._alone[addressee] >= GIVE_UP else None
