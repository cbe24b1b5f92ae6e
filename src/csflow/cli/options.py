"""Options that several commands share, and how their words become values."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

import click

from csflow.errors import UsageError
from csflow.values import Instant, Zone, day

INSTANT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")  # controls, and what turns text
F = TypeVar("F", bound=Callable[..., Any])


def format_option(function: F) -> F:
    """``--format text|json|jsonl``: text for people, JSON for scripts; the parameter is ``output``."""
    return click.option(
        "--format",
        "output",
        type=click.Choice(["text", "json", "jsonl"]),
        default="text",
        show_default=True,
        help="text for people, json or jsonl (one object a line) for scripts.",
    )(function)


def as_of_option(function: F) -> F:
    """``--as-of``: a day (its end, in the project's zone) or an instant; read it with `instant_of`."""
    return click.option(
        "--as-of",
        metavar="DAY|INSTANT",
        help="The day (2026-01-31, to its end) or instant (2026-01-31T14:30) to look at.  [default: now]",
    )(function)


def by_option(function: F) -> F:
    """``--by``: who does it; else CSFLOW_ACTOR, else the user of the operating system."""
    return click.option(
        "--by",
        "actor",
        metavar="PERSON",
        envvar="CSFLOW_ACTOR",
        default=_system_user,
        help="Who does this.  [env: CSFLOW_ACTOR; default: the user of the operating system]",
    )(function)


def _system_user() -> str:
    import getpass  # noqa: PLC0415  # few commands need it

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def now() -> Instant:
    """The clock: microseconds since 1970-01-01 UTC. Only the faces read it."""
    return time.time_ns() // 1_000


def instant_of(text: str | None, zone: Zone) -> Instant:
    """The instant that ``--as-of`` means; now without one. A day means its last microsecond in the zone.

    A time without an offset is one of the zone. UsageError for anything else.
    """
    if text is None:
        return now()
    try:
        if len(text) == len("2026-01-31"):
            return zone.end_of(day(text))
        if re.fullmatch(INSTANT, text):  # fromisoformat would also take 20260131 and 2026-W05, as the day's beginning
            return zone.instant(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        pass
    raise UsageError(f"--as-of '{text}' is neither a day nor an instant: write 2026-01-31 or 2026-01-31T14:30")


@contextmanager
def progress(name: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal, on stderr: the output stays what it is. It hears what is done, how much of how much."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _total: None
        return
    from rich.console import Console  # noqa: PLC0415  # a slow import that only a terminal needs
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=f"{what} {name}", completed=done, total=max(total, 1))

        yield show


def for_people(text: str, *, lines: bool = False) -> str:
    """Text as it may stand in a terminal: what would steer it is written out. ``lines``: it has several."""
    kept = "\n\t" if lines else ""
    return STEERING.sub(lambda found: found[0] if found[0] in kept else ascii(found[0])[1:-1], text)


def print_json(data: Any) -> None:
    """Data as JSON, for scripts: indented on a terminal, one line in a pipe."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))
