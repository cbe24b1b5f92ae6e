"""Options of the commands that do something by hand, and how what came of it is printed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from csflow.cli.options import by_option, for_people, format_option, instant_of, now, print_json
from csflow.errors import UsageError
from csflow.values import Instant, Zone, day, share_text

if TYPE_CHECKING:
    from csflow.flow.definition import Definition

Told = tuple[dict[str, Any], Iterable[str]]  # what came of it: as data, and as lines for people


def by_hand(function: Callable[..., Told]) -> Callable[..., None]:
    """A command that writes something by hand: given the project, who does it and when, it returns what came of it.

    ``--at``, ``--by``, ``--dry-run`` and ``--format`` come with it.
    """

    @click.option(
        "--at",
        metavar="DAY|INSTANT",
        help="When it happened: 2026-01-31T14:30, or a day, which means its end.  [default: now]",
    )
    @by_option
    @click.option("--dry-run", is_flag=True, help="Do it, say what came of it, and take it back.")
    @format_option
    @wraps(function)
    def called(*, at: str | None, actor: str, dry_run: bool, output: str, **said: Any) -> None:
        from csflow.services.acting import Act  # noqa: PLC0415  # SQLAlchemy comes with it

        app = click.get_current_context().obj.open()
        recorded = now()
        act = Act(actor, recorded, None if at is None else moment(at, app.zone, recorded), dry_run)
        result, lines = function(app, act, **said)
        print_result(result, output, lines)

    return called


def read_pairs(_context: click.Context, _parameter: click.Parameter, pairs: Iterable[str]) -> dict[str, str]:
    """``field=value``, any number of times, as a mapping; UsageError for anything else, and for a field said twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        name = name.strip()
        if not sign or not name:
            raise UsageError(f"'{pair}' says no value: write field=value")
        if name in found:
            raise UsageError(f"'{name}' is said twice")
        found[name] = value.strip()
    return found


set_option = click.option(
    "--set",
    "fields",
    metavar="FIELD=VALUE",
    multiple=True,
    callback=read_pairs,
    help="Fill a field: 80000, '80000 CNY', 80%, yes, 2026-01-31, a choice, choices as a,b.",
)


def moment(text: str, zone: Zone, clock: Instant, option: str = "--at") -> Instant:
    """The instant that ``--at`` means: of a day its end, but of today now, because nothing has happened later."""
    try:
        found = instant_of(text, zone)
    except UsageError:
        raise UsageError(
            f"{option} '{text}' is neither a day nor an instant: write 2026-01-31 or 2026-01-31T14:30"
        ) from None
    if len(text) == len("2026-01-31") and day(text) == zone.day_of(clock):
        return clock
    return found


def print_result(result: dict[str, Any], output: str, lines: Iterable[str]) -> None:
    """What came of it: JSON for scripts, else the lines, with a word where it was taken back."""
    if output != "text":
        print_json(result)
        return
    for line in lines:
        click.echo(for_people(line))
    if result.get("dry_run"):
        click.echo("dry run: nothing was written")


def print_rows(rows: list[dict[str, Any]], output: str, lines: Iterable[str]) -> None:
    """A list: one JSON object, one object a line, or lines for people."""
    if output == "json":
        print_json(rows)
    elif output == "jsonl":
        for row in rows:
            print_json(row)
    else:
        for line in lines:
            click.echo(for_people(line))


_WITHIN = re.compile(r"(?:ago|first|last|average|sum)\((?:\w+, )?(?P<fact>[\w.]+)")  # of the type of what they read


def is_share(definition: Definition, fact: str, flow: str = "") -> bool:
    """Whether a fact, as explanations and histories call it, is a share; ``flow`` is the one whose `case.` it may be.

    ``contact:P-1.hope`` is the field of one contact, as a customer's file calls it.
    """
    within = _WITHIN.match(fact)
    name = within["fact"] if within else fact
    if name in definition.metrics:
        return definition.metrics[name].type.name == "share"
    kind, colon, _ = name.partition(":")
    head, _, rest = (kind, "", name.rpartition(".")[2]) if colon else name.partition(".")
    fields = definition.fields.get(head, {})
    if head in definition.flows or head == "case":
        known = definition.flows.get(flow if head == "case" else head)
        fields = known.fields if known is not None else {}
    return rest in fields and fields[rest].type.name == "share"


def text_of(value: Any, *, share: bool = False) -> str:
    """A value for people."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if share and isinstance(value, int | float):
        return share_text(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def table(rows: list[list[str]]) -> list[str]:
    """Rows as lines, their columns one below the other."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))] if rows else []
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
