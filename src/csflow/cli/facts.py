"""`csflow import`: facts from files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from csflow.cli.options import as_of_option, format_option, instant_of, now, print_json, progress
from csflow.errors import StoreError, UsageError

if TYPE_CHECKING:
    from csflow.app import Csflow
    from csflow.cli import Here
    from csflow.services.importing import Summary

COUNTS = ("read", "new", "changed", "unchanged", "rejected", "suspicious")


@click.command(
    "import",
    epilog="Example:  csflow import customers customers.csv --dry-run   or   csflow import data/",
)
@click.argument("what", metavar="NAME|DIR")
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(dir_okay=False, path_type=Path))
@as_of_option
@click.option("--dry-run", is_flag=True, help="Do everything, say what came of it, and take it back.")
@click.option("--complete", is_flag=True, help="The file lists all there are: close contacts or contracts it lacks.")
@click.option(
    "--rejects",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to put refused rows.  [default: FILE.rejects.csv; none with --dry-run]",
)
@format_option
@click.pass_obj
def import_(
    here: Here,
    what: str,
    file: Path | None,
    as_of: str | None,
    dry_run: bool,
    complete: bool,
    rejects: Path | None,
    output: str,
) -> int:
    """Bring customers, contracts, contacts, usage … in from a CSV or JSONL file.

    NAME is a mapping of the project's `imports:`, or a kind (customers, contracts, contacts, people, features, rates,
    usage, activities, answers, triggers, cases) whose columns have csflow's names. With a folder, every file in it that
    a mapping names or that is called like an import or a kind comes in, in the order of dependence. A mapping whose
    `uses:` names a plugin's reader needs no file.

    The same file twice changes nothing. Rows that cannot be used are written beside the file with line, column and
    reason; the exit code is then 1. Mend that file and import it under the same NAME, or mend the source.
    """
    from csflow.services.importing import RejectsError, import_file  # noqa: PLC0415  # SQLAlchemy comes with it
    from csflow.services.importing_plugins import by_plugin  # noqa: PLC0415

    app = here.open()
    definition, recorded = app.definition, now()
    moment = instant_of(as_of, app.zone)
    read = file is None and by_plugin(definition, what) is not None
    folder = None if file is not None or read else Path(what)
    if folder is not None and (complete or rejects):
        raise UsageError("--complete and --rejects are for one file: csflow import NAME FILE")
    files, over = _of_folder(app, folder) if folder is not None else ([(what, file or Path(what))], {})
    summaries: list[Summary] = []
    unwritten = ""
    for name, path in files:
        with progress(path.name) as show:
            said: dict[str, Any] = {
                "as_of": moment, "dry_run": dry_run, "complete": complete, "progress": show, "recorded": recorded,
            }  # fmt: skip
            try:
                if read:
                    summary = app.import_from(name, **said, **({"rejects": rejects} if rejects else {}))
                else:
                    summary = import_file(app.store, definition, name, path, rejects=rejects, **said)
            except RejectsError as error:  # the others are in: what came in is told first
                summary, unwritten = error.summary, unwritten + f"csflow: {error}\n"
        summaries.append(summary)
        _tell(summary, output)
    if output == "json":
        files_told = [summary.as_dict() for summary in summaries]
        print_json({"dry_run": dry_run, "files": files_told, "not_imported": list(over)})
    for line in _passed_over(over) if output != "json" else ():
        click.echo(line, err=output == "jsonl")  # JSON lines are one object for each file that came in
    click.echo(unwritten, nl=False, err=True)
    return StoreError.exit_code if unwritten else int(any(summary.rejected for summary in summaries))


def _of_folder(app: Csflow, folder: Path) -> tuple[list[tuple[str, Path]], dict[str, str | None]]:
    """The files of a folder by import or kind, and those that nothing claims. UsageError where it holds none."""
    from csflow.services.importing import files_of, passed_over  # noqa: PLC0415  # SQLAlchemy comes with it

    files = files_of(app.definition, folder)
    over = passed_over(app.definition, folder, files)
    if not files:
        named = "".join(f"; {line}" for line in _passed_over(over))
        raise UsageError(
            f"{folder}: no file here is called like an import or a kind (customers.csv, usage.jsonl …){named}"
        )
    return files, over


def _passed_over(over: dict[str, str | None]) -> list[str]:
    """A line for each data file of a folder that nothing claims."""
    return [
        f"{name}: not imported ({f'did you mean {near}?' if near else 'no import or kind is called so'})"
        for name, near in over.items()
    ]


def _tell(summary: Summary, output: str) -> None:
    """What a file brought, as soon as it is in; JSON is one object at the end."""
    if output == "jsonl":
        print_json(summary.as_dict())
    elif output == "text":
        _tell_text(summary)


def _tell_text(summary: Summary) -> None:
    counts = ", ".join(f"{getattr(summary, name):,} {name}" for name in COUNTS)
    dry = " (dry run: nothing was written)" if summary.dry_run else ""
    click.echo(f"{summary.file} → {summary.kind}: {counts}{dry}")
    extra: dict[str, Any] = {"merged into another row of the same key": summary.merged, "closed": summary.closed}
    for what, number in extra.items():
        if number:
            click.echo(f"  {number:,} {what}")
    for reason, number in summary.reasons.items():
        click.echo(f"  {number:,} rejected: {reason}")
    for reason, number in summary.suspicions.items():
        lines = summary.suspicious_lines[reason]
        where = ("line " if number == 1 else "lines ") + ", ".join(map(str, lines))
        click.echo(f"  {number:,} suspicious: {reason} ({where}{' …' if number > len(lines) else ''})")
    if summary.rejects:
        click.echo(f"  refused rows: {summary.rejects}")
    if summary.note:
        click.echo(f"  {summary.note}")
