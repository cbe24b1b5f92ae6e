"""`csflow deliver`: what waits in the outbox goes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from csflow.cli.delivering import SECOND, once, told
from csflow.cli.engine import wait_of
from csflow.cli.options import format_option, now

if TYPE_CHECKING:
    from csflow.cli import Here


@click.command(
    epilog="Example:  csflow deliver --wait 10m          every quarter of an hour:  */15 * * * *  csflow deliver"
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N messages.")
@click.option("--dry-run", is_flag=True, help="Say what would go out, and send nothing.")
@click.option(
    "--wait",
    metavar="10m",
    default="0s",
    show_default=True,
    help="Go on so long with what is to be tried again: 30s, 10m, 1h.",
)
@format_option
@click.pass_obj
def deliver(here: Here, limit: int | None, dry_run: bool, wait: str, output: str) -> int:
    """Hand out the messages that wait, to each recipient in the way that suits it.

    A message that fails is tried again by later delivers, at longer and longer distances, and is dead after two days
    of that, or at once where it can never work; while a secret or a plugin is missing, no try is counted. Nothing goes
    out in the quiet hours. Two delivers at once share the work. Exit code 1 when something failed.
    """
    app = here.open()
    end = now() + int(wait_of({"no_wait": False, "wait": wait}) * SECOND)
    return told(app, output, once(app, output, limit=limit, dry_run=dry_run, end=end), dry_run=dry_run)
