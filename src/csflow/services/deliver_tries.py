"""When a message is tried again, and when it is given up: the numbers stand here and nowhere else.

After a failed try the next one waits BASE seconds, FACTOR times as long after each further one, MOST at most; each
wait is longer or shorter by up to JITTER, so that a thousand messages do not come back at the same second. After TRIES
tries, about two days, a message is dead: `csflow outbox retry` begins anew.
"""

from __future__ import annotations

import hashlib

BASE = 60.0  # seconds after the first failed try
FACTOR = 2.0
MOST = 6 * 3600.0
JITTER = 0.2  # of the wait
TRIES = 15
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
