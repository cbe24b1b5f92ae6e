"""What plugins did wrong last: kept by `measure` and `run`, told by `plugins` and `doctor`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from csflow.hookspecs import Failure
from csflow.store import tables as t
from csflow.store.calling import FUNCTIONS, CallError
from csflow.values import Instant

FEW = 5  # failures of one plugin and hook that are told
LONGEST = 2_000  # characters of a reason that are kept
NOTHING = "nothing provides it"  # of a ``uses:``


def told_once(broken: Sequence[Failure], failed: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What went wrong with plugins (``broken``), then with metrics, without telling the same twice.

    What nothing provides because the plugin of that name could not be loaded is left out; where only the names differ,
    those that could not be loaded are named.
    """
    unloaded = [failure.plugin for failure in broken if failure.hook == "import"]
    own = {word for plugin in unloaded for word in (plugin, plugin.removesuffix(".py"))}
    found = [as_dict(failure) for failure in broken]
    for one in failed:
        if one["error"] != NOTHING or not unloaded:
            found.append(one)
        elif one["plugin"].partition("/")[0] not in own:
            found.append(one | {"error": f"{NOTHING}; could not be loaded, see above: {', '.join(unloaded)}"})
    return found


def record_failures(
    connection: Connection, failures: Iterable[Failure], *, at: Instant, recorded: Instant, hooks: Iterable[str]
) -> None:
    """Keep these failures of a run as the newest of their plugin and hook; older ones of ``hooks`` are over.

    Several of one plugin and hook – two metrics, two functions – are one row that tells the first few.
    """
    f = t.plugin_failure
    connection.execute(update(f).where(f.c.hook.in_(list(hooks))).values(current=0))
    newest: dict[tuple[str, str], dict[tuple[str | None, str], None]] = {}
    for one in failures:
        newest.setdefault((one.plugin, one.hook), {})[one.name, one.reason] = None
    for (plugin, hook), found in sorted(newest.items()):
        connection.execute(delete(f).where(f.c.plugin == plugin, f.c.hook == hook))
        name, reason = _together(list(found))
        row = {"plugin": plugin, "hook": hook, "name": name, "reason": reason[:LONGEST]}
        connection.execute(insert(f).values(**row, at=at, recorded=recorded, current=1))


def _together(found: Sequence[tuple[str | None, str]]) -> tuple[str | None, str]:
    """The name and the reason of one failure; of several no name, and the first few in one line."""
    if len(found) == 1:
        return found[0]
    lines = [f"{name}: {reason}" if name else reason for name, reason in found[:FEW]]
    more = [f"and {len(found) - FEW:,} more"] if len(found) > FEW else []
    return None, "; ".join([*lines, *more])


def plugin_failures(connection: Connection) -> list[dict[str, Any]]:
    """The last failure of each plugin and hook: plugin, hook, name, reason, at, recorded (instants), current.

    ``current`` is True while it failed the last time it was called.
    """
    f = t.plugin_failure.c
    found = connection.execute(select(t.plugin_failure).order_by(f.plugin, f.hook)).mappings()
    return [{**row, "current": bool(row["current"])} for row in found]


def from_dict(told: dict[str, Any]) -> Failure:
    """The failure of an entry that `as_dict` made."""
    return Failure(told["plugin"] or "", told["hook"] or "", told["error"] or "", told["metric"])


def as_dict(failure: Failure) -> dict[str, Any]:
    """A failure as the JSON of a measure or pass tells it."""
    return {"plugin": failure.plugin, "hook": failure.hook, "metric": failure.name, "error": failure.reason}


def of_pass(plugins: Iterable[dict[str, str]]) -> list[Failure]:
    """The failures that a pass tells under ``plugins``."""
    return [Failure(one["plugin"], one["hook"], one["error"]) for one in plugins]


def of_call(error: CallError, metric: str | None, place: str | None = None) -> list[dict[str, Any]]:
    """What a measure tells of functions that failed in SQL: in a metric, or asked in ``place``."""
    asked = "" if place is None else f"; asked in {place}"
    return [as_dict(Failure(plugin, FUNCTIONS, line + asked, metric)) for plugin, line in error.lines()]
