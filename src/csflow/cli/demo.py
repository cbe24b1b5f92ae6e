"""`csflow demo`: a project that fills itself with generated customers and lives through two years."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from csflow.cli.called import as_called
from csflow.cli.options import progress
from csflow.errors import UsageError
from csflow.values import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from csflow.app import Csflow
    from csflow.services.demo import Lived, Month, Standing

PACK = "clinic"  # configs/ of this name brings a population.py
BAR = 24


@click.command(epilog="Example:  csflow demo   or   csflow demo try-it --customers 50 --seed 7")
@click.argument("folder", metavar="[DIR]", default="csflow-demo", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--customers",
    default=120,
    show_default=True,
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="Generate N customers.",
)
@click.option("--seed", default=1, show_default=True, metavar="N", help="The same seed makes the same world.")
@click.option(
    "--from", "pack", default=PACK, show_default=True, metavar="PACK", help="The pack whose population lives there."
)
@click.option("--weeks", type=click.IntRange(1), metavar="N", help="Stop after N weeks.  [default: all of the pack's]")
@click.option("--force", is_flag=True, help="Remove a former demo in DIR first.")
def demo(folder: Path, customers: int, seed: int, pack: str, weeks: int | None, force: bool) -> int:
    """Make a project with generated customers and let it live through two years.

    Everything in it is generated. The data is written as files under DIR/data, imported through the project's
    mappings, measured and advanced, exactly as your own would be, at the end of each week. The newest messages of each
    month are shown (none is sent), and DIR/page.html shows where all stands.
    """
    from csflow.app import Csflow, population_in, shipped_packs  # noqa: PLC0415  # SQLAlchemy comes with it
    from csflow.services import demo as living  # noqa: PLC0415

    packs = shipped_packs()
    if pack not in packs:
        raise UsageError(f"no pack '{pack}': csflow ships {', '.join(packs)}")
    living.clear(folder, force=force)
    population = population_in(packs[pack], seed=seed, customers=customers, weeks=weeks)
    living.make_project(folder, packs[pack], note=population.note)
    app = Csflow(folder)
    click.get_current_context().call_on_close(app.close)
    click.echo(f"{counted(customers, 'customer')}, seed {seed}, into {folder} – {population.note}")
    with progress("weeks") as show:
        lived = app.live(population, partial(_tell, show, population.number))
    _summary(app, lived)
    app.page(folder / living.PAGE, lived.until)
    click.echo(f"\nThe page: {folder / living.PAGE} – open it in a browser")
    click.echo("\nNext:")
    for command in _next(app, folder, app.zone.text(lived.until)[:10]):
        click.echo(f"  {command}")
    return 1 if lived.failed or lived.rejected else 0


def _summary(app: Csflow, lived: Lived) -> None:
    from csflow.services.demo import standing  # noqa: PLC0415  # SQLAlchemy comes with it

    until = app.zone.text(lived.until)[:10]
    counts, lines = lived.counts, standing(app.store, app.definition, lived.until)
    click.echo(
        f"\n{counted(lived.weeks, 'week')} in {counted(lived.passes, 'pass', 'passes')} until {until}: "
        f"{counted(lived.rows, 'row')} imported, "
        f"{counted(counts['opened'], 'case')} opened, {counted(sum(line.moves for line in lines), 'move')}, "
        f"{counted(counts['missed'], 'deadline')} missed, {counted(counts['messages'], 'message')} written"
    )
    for flow in dict.fromkeys(line.flow for line in lines):
        _flow(app, [line for line in lines if line.flow == flow])
    if lived.rejected or lived.failed:
        refused = counted(lived.rejected, "row was", "rows were")
        click.echo(f"\n{refused} refused, {counted(len(lived.failed), 'word or case', 'words or cases')} failed:")
        for failure in lived.failed[:5]:
            click.echo("  " + ": ".join(failure.values()))


def _tell(show: Callable[[str, int, int], None], weeks: int, done: int, month: Month | None) -> None:
    """The bar, and the messages of a month that is over."""
    show("lived", done, weeks)
    if month is not None and month.number:
        click.echo(f"{month.name}: {counted(month.number, 'message')}, the newest:")
        for at, who, title in month.newest:
            click.echo(f"  {at} to {who}: {title}")


def _flow(app: Csflow, lines: list[Standing]) -> None:
    flow = app.definition.flows[lines[0].flow]
    label = flow.label.get("en") or next(iter(flow.label.values()), flow.name)
    click.echo(f"\n{label} ({flow.name})")
    most = max(line.cases for line in lines)
    for line in lines:
        end = {"good": " ✓", "bad": " ✗"}.get(flow.stages[line.stage].end or "", "")
        overdue = f"  {line.overdue} overdue" if line.overdue else ""
        bar = "█" * round(BAR * line.cases / most) if most else ""
        moves = f"{counted(line.moves, 'move')} here" if line.moves else ""
        click.echo(f"  {line.stage + end:<16} {line.cases:>6,}  {bar:<{BAR}} {moves}{overdue}".rstrip())


def _next(app: Csflow, folder: Path, until: str) -> list[str]:
    """Three commands that work as printed, in the shell that called us."""
    from csflow.services.demo import somebody  # noqa: PLC0415  # SQLAlchemy comes with it

    called = as_called(f"csflow --project {quote(str(folder))}")
    who = somebody(app.store)
    return [
        f"{called} status --as-of {until}",
        f"{called} explain {who} --as-of {until}",
        f"{called} history {who} --limit 20",
    ]
