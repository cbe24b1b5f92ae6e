"""What went wrong with a message, in one line that says nothing of secrets, addresses or names."""

from __future__ import annotations

from collections.abc import Mapping

from csflow.errors import without_secrets
from csflow.hookspecs import Recipient, RetryLater, Undeliverable, raised_at

LONGEST = 300


def told_safely(error: Exception, environment: Mapping[str, str], recipient: Recipient | None) -> str:
    """The reason without a secret of the environment, and without an address or name of the recipient in it."""
    said = " ".join(_words_of(error).split())
    if not isinstance(error, RetryLater | Undeliverable):
        kind = "SystemExit" if isinstance(error, _Exited) else type(error).__name__
        said = (f"{kind}: {said}" if said else kind) + raised_at(error)
    said = without_secrets(said, environment)
    who = [*recipient.address.values(), recipient.name or ""] if recipient is not None else []
    for word in sorted(filter(None, who), key=len, reverse=True):
        if len(word) > 1:
            said = said.replace(word, "…")
    return said[:LONGEST] or type(error).__name__  # cut last, or half a secret could be left


class _Exited(Exception):  # noqa: N818  # what it says, not what went wrong
    """A plugin called sys.exit."""


def as_failure(error: BaseException) -> Exception:
    """What a plugin raised, as an exception that can be kept."""
    return error if isinstance(error, Exception) else _Exited(f"it called sys.exit({error})")


def _words_of(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # even that is a plugin's own code
        return ""
