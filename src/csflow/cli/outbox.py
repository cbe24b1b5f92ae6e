"""`csflow outbox …`: the messages that wait, went out or failed, in people's hands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from csflow.cli.called import as_called
from csflow.cli.hand import print_result, print_rows, table
from csflow.cli.options import by_option, for_people, format_option, now, print_json
from csflow.errors import UsageError
from csflow.values import counted

if TYPE_CHECKING:
    from csflow.cli import Here

F = TypeVar("F", bound=Callable[..., Any])
STATUSES = ("pending", "withheld", "sent", "dead", "dropped")
SHOWN = (
    "id", "status", "case", "recipient", "via", "at", "tries", "next_try", "sent_at", "error", "held", "actor",
)  # fmt: skip
DONE_WORDS = {"release": "released", "retry": "to be tried again", "drop": "dropped"}


def filters(function: F) -> F:
    """Which messages."""
    for option in (
        click.option("--recipient", metavar="WHO", help="Only for this one: li, person:li, role:csm, contact:P-1."),
        click.option("--case", metavar="CASE", help="Only of this case: flow/SUBJECT/number."),
        click.option("--status", type=click.Choice(STATUSES), help="Only those of this status."),
    ):
        function = option(function)
    return function


@click.group(epilog="Example:  csflow outbox list --status dead")
def outbox() -> None:
    """List messages; release, retry or drop them."""


@outbox.command("list", epilog="Example:  csflow outbox list --status dead")
@filters
@click.option("--limit", type=click.IntRange(1), metavar="N", default=50, show_default=True, help="Only the newest N.")
@click.option("--all", "everything", is_flag=True, help="However many there are.")
@format_option
@click.pass_obj
def list_(
    here: Here, status: str | None, case: str | None, recipient: str | None, limit: int, everything: bool, output: str
) -> None:
    """List messages, the newest last."""
    from csflow.services.outbox import Filter  # noqa: PLC0415  # SQLAlchemy comes with it

    app = here.open()
    rows = app.list_outbox(Filter((), status, case, recipient, None if everything else limit + 1))
    more = not everything and len(rows) > limit
    rows = rows[1:] if more else rows  # the oldest was only to tell whether there are more
    cells = [[row["id"], row["status"], row["at"], row["recipient"], row["case"], _remark(row)] for row in rows]
    lines = [*table(cells), f"only the newest {limit}: --all lists them all"] if more else table(cells)
    print_rows(rows, output, lines or ["no messages"])


@outbox.command(epilog="Example:  csflow outbox show 3f2a")
@click.argument("id_", metavar="ID")
@format_option
@click.pass_obj
def show(here: Here, id_: str, output: str) -> None:
    """Show one message, with its text as it would go out now. The beginning of its id is enough."""
    app = here.open()
    found = app.show_message(id_, now=now())
    if output != "text":
        print_json(found)
        return
    for name in SHOWN:
        if found[name] is not None and (name != "held" or found["held"] != found["error"]):
            click.echo(f"{name + ':':<11}{for_people(str(found[name]))}")
    if found["title"] is not None:
        click.echo(f"\n{for_people(found['title'])}\n\n{for_people(str(found['text']), lines=True)}")
    else:
        click.echo(f"\n{found['message']}: {for_people(str(found['options']))}")


@outbox.command(epilog="Example:  csflow outbox release --case lifecycle/C-0001/1")
@click.pass_obj
def release(here: Here, /, **said: Any) -> None:
    """Let withheld messages go out with the next deliver: those of a first pass, or of one with --catch-up."""
    _change(here, "release", said)


@outbox.command(epilog="Example:  csflow outbox retry --status dead --recipient li")
@click.pass_obj
def retry(here: Here, /, **said: Any) -> None:
    """Try dead messages anew, and those that wait for another try at once."""
    _change(here, "retry", said)


@outbox.command(epilog="Example:  csflow outbox drop 3f2a 77c0")
@click.pass_obj
def drop(here: Here, /, **said: Any) -> None:
    """Let messages never go out. They stay in the list, with who dropped them."""
    _change(here, "drop", said)


for _command in (release, retry, drop):
    for _option in (
        click.argument("ids", metavar="[ID]...", nargs=-1),
        filters,
        click.option("--all", "everything", is_flag=True, help="All for which it means something."),
        by_option,
        click.option("--dry-run", is_flag=True, help="Say which, and change nothing."),
        format_option,
    ):
        _option(_command)


def _change(here: Here, verb: str, said: dict[str, Any]) -> None:
    from csflow.services.acting import Act  # noqa: PLC0415  # SQLAlchemy comes with it
    from csflow.services.outbox import Filter  # noqa: PLC0415

    wanted = Filter(tuple(said["ids"]), said["status"], said["case"], said["recipient"])
    if wanted.empty and not said["everything"]:
        command = as_called(f"csflow outbox {verb}")
        raise UsageError(f"which messages? Name their ids, --status, --case or --recipient, or --all: {command}")
    changed = here.open().change_outbox(Act(said["actor"], now(), None, said["dry_run"]), verb, wanted=wanted)
    result = {"messages": changed, "dry_run": said["dry_run"]}
    print_result(result, said["output"], [f"{counted(len(changed), 'message')} {DONE_WORDS[verb]}"])


def _remark(row: dict[str, Any]) -> str:
    when = ""
    if row["next_try"] and row["tries"]:
        when = f"{counted(row['tries'], 'try', 'tries')}, again at {row['next_try']}: "
    elif row["next_try"]:
        when = f"not before {row['next_try']}: "
    return f"{when}{row['held'] or row['error'] or row['message'] or ''}"
