"""`csflow doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from csflow.cli.called import hints_as_called
from csflow.cli.options import as_of_option, format_option, instant_of, now, print_json
from csflow.errors import CsflowError, UsageError
from csflow.values import Zone, counted, parse_length

if TYPE_CHECKING:
    from csflow.app import Csflow
    from csflow.cli import Here
    from csflow.values import Length

WELL, ILL = 0, 7


@click.command(epilog="Example:  csflow doctor --every '1 day' --format json")
@click.option(
    "--every",
    metavar="LENGTH",
    help="A pass older than this is late: '1 day', '2 weeks'.  [default: half as long again as the longest pause "
    "between the last ten passes]",
)
@as_of_option
@click.option("--strict", is_flag=True, help="Exit code 7 for notes too.")
@format_option
@click.pass_obj
def doctor(here: Here, every: str | None, as_of: str | None, strict: bool, output: str) -> int:
    """Look at the project, its database and what happens every night; say what is wrong and what to do.

    One line for each finding. `wrong` needs somebody: exit code 7. A `note` is worth knowing. Nothing is changed.
    """
    app = here.open()
    length = _length(every)
    moment = now() if as_of is None else instant_of(as_of, _zone(app))
    found = app.doctor(moment, clock=now(), every=length)
    if output == "json":
        print_json(found)
    elif output == "jsonl":
        for finding in found["findings"]:
            click.echo(json.dumps(finding, ensure_ascii=False))
    else:
        _tell(found)
    return ILL if found["wrong"] or (strict and found["notes"]) else WELL


def _tell(found: dict[str, Any]) -> None:
    for one in found["findings"]:
        click.echo(f"{one['level']:<5}  {one['about']}: {one['what']} – {hints_as_called(one['do'])}")
    database = found["database"]
    where = f", {database['kind']}" if database else ""
    if found["findings"]:
        click.echo(f"{found['wrong']} wrong, {counted(found['notes'], 'note')} as of {found['as_of']}{where}")
    else:
        click.echo(f"all is well as of {found['as_of']}{where}")


def _length(text: str | None) -> Length | None:
    try:
        length = parse_length(text) if text is not None else None
    except ValueError:
        raise UsageError(f"--every '{text}' is no length: write '1 day' or '2 weeks'") from None
    if length is not None and (length.amount <= 0 or length.working):
        raise UsageError(f"--every '{text}' is no pause between two passes: write '1 day' or '2 weeks'")
    return length


def _zone(app: Csflow) -> Zone:
    """The project's zone; UTC where the definitions are what is wrong."""
    try:
        return app.zone
    except CsflowError:
        return Zone("UTC")
