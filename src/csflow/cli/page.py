"""`csflow page`: the project on one page, as a file that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from csflow.cli.options import as_of_option, instant_of
from csflow.cli.reading import known_language
from csflow.services.page_words import LANGUAGES

if TYPE_CHECKING:
    from csflow.cli import Here

FILE = "csflow.html"


@click.command(epilog="Example:  csflow page where-we-stand.html --lang zh")
@click.argument("file", metavar="[FILE]", default=FILE, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--lang",
    "language",
    metavar="LANGUAGE",
    help="The page's language: en, zh, or one of the project's, for labels in it between English words.  "
    "[default: the project's first that csflow speaks, else its first]",
)
@as_of_option
@click.pass_obj
def page(here: Here, file: Path, language: str | None, as_of: str | None) -> int:
    """Write one HTML page: stages with counts, what moved, what is overdue and with whom, bands and rates.

    FILE (default: csflow.html) needs nothing beside it: no script, no font, no request. Each number opens to the
    customers behind it. Plugins add sections; one that fails is named on the page, and the exit code is 1.
    """
    app = here.open()
    known_language(language, tuple(dict.fromkeys([*LANGUAGES, *app.definition.languages])))
    failed = app.page(file, instant_of(as_of, app.zone), language=language)
    click.echo(f"{file} written")
    for line in failed:
        click.echo(line, err=True)
    return 1 if failed else 0
