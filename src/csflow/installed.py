"""Which installed packages bring plugins and commands: read from a cache, so that a start looks at six files' dates.

Looking through all installed packages costs as much as starting the command line. What is installed changes only when a
folder that Python imports from changes, so the list is kept under the dates of these folders.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PLUGINS = "csflow.plugins"
COMMANDS = "csflow.commands"
_FORM = 1
_OBSERVED = "observed.json"  # beside the cache of definitions
_NEEDS = re.compile(r"csflow\s*(?:\[[^\]]*\])?\s*\(?\s*((?:[<>=!~][^;)]*)?)(?:[;)]|$)", re.IGNORECASE)
_PART = re.compile(r"\s*(>=|<=|==|!=|~=|>|<)\s*([0-9]+(?:\.[0-9]+)*)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry point: ``value`` is ``module:attribute``; ``needs`` what its package asks of csflow (``>=0.2``)."""

    group: str
    name: str
    value: str
    package: str
    version: str
    needs: str


def installed(group: str, *, cache: Path | None = None) -> list[Entry]:
    """The entry points of that group, by name. ``cache``: the folder to keep the list in (default: the user's)."""
    folder = cache or _folder()
    key = places()
    path = folder / f"installed-{key}.json" if folder is not None else None
    found = _read(path) if path is not None else None
    if found is None:
        found = _look()
        if path is not None:
            _keep(path, found)
    return [entry for entry in found if entry.group == group]


def places(more: Iterable[str] = (), files: Iterable[Path] = ()) -> str:
    """A name for what can be imported now: other folders, packages put in or out, other files, give another."""
    seen = [str(_FORM), sys.prefix, *more]
    for place in (*filter(None, sys.path), *map(str, files)):  # "" is where one stands: its date changes with any file
        with suppress(OSError):
            status = Path(place).stat()
            seen.append(f"{place} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(seen).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def recall(folder: Path, key: str) -> bool | None:
    """Whether a plugin hears of moves, as remembered under that key; None where it is not."""
    try:
        kept = json.loads((folder / _OBSERVED).read_text("utf-8"))
        return bool(kept["observed"]) if kept["key"] == key else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def remember(folder: Path, key: str, *, observed: bool) -> None:
    """Keep that for the next time; a cache that cannot be written is done without."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / _OBSERVED, json.dumps({"key": key, "observed": observed}))


def fits(needs: str, version: str) -> bool:
    """Whether a version is what a package asks for: every part of ``>=0.1, <1`` must hold."""
    return all(_holds(sign, _numbers(wanted), _numbers(version)) for sign, wanted in _PART.findall(needs))


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else (0,)


def _holds(sign: str, wanted: tuple[int, ...], there: tuple[int, ...]) -> bool:
    if sign == "~=":
        return _holds(">=", wanted, there) and there[: len(wanted) - 1] == wanted[:-1]
    size = max(len(wanted), len(there))
    a = there + (0,) * (size - len(there))
    b = wanted + (0,) * (size - len(wanted))
    return {">=": a >= b, "<=": a <= b, "==": a == b, "!=": a != b, ">": a > b, "<": a < b}[sign]


def _folder() -> Path | None:
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(home) if home else Path.home() / ".cache") / "csflow"
    except RuntimeError:  # a user without a home
        return None


def _look() -> list[Entry]:
    from importlib.metadata import distributions  # noqa: PLC0415  # half of a start: only where nothing is kept

    found: dict[tuple[str, str, str], Entry] = {}
    for package in distributions():
        for point in package.entry_points:
            if point.group not in {PLUGINS, COMMANDS}:
                continue
            name = str(package.metadata["Name"])
            needs = next((asked[1] for line in package.requires or () if (asked := _NEEDS.match(line))), "")
            entry = Entry(point.group, point.name, point.value, name, package.version, needs.strip())
            found.setdefault((point.group, point.name, name), entry)
    return sorted(found.values(), key=lambda entry: (entry.group, entry.name, entry.package))


def _read(path: Path) -> list[Entry] | None:
    try:
        return [Entry(**row) for row in json.loads(path.read_text("utf-8"))]
    except (OSError, ValueError, TypeError):
        return None


def _keep(path: Path, found: list[Entry]) -> None:
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.glob("installed-*.json"):
            if old.stat().st_mtime < path.parent.stat().st_mtime - 90 * 86_400:
                old.unlink(missing_ok=True)
        _write(path, json.dumps([asdict(entry) for entry in found]))


def _write(path: Path, text: str) -> None:
    """All or nothing: two that write at once leave one whole file."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(text, "utf-8")
    part.replace(path)
