"""`csflow status`, `explain`, `history`: what is, why, and how it came to be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from csflow.cli.options import as_of_option, by_option, format_option, instant_of, now, print_json
from csflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from csflow.cli import Here

FLOW = click.option("--flow", metavar="FLOW", help="Only the cases of this flow, and of those that extend it.")
LANGUAGE = click.option(
    "--language", metavar="LANGUAGE", help="The language of labels in text.  [default: the project's first]"
)


@click.command(epilog="Example:  csflow status --flow lifecycle --stuck 20")
@FLOW
@as_of_option
@click.option(
    "--stuck", type=click.IntRange(0), metavar="N", default=10, show_default=True, help="Name N stuck cases at most."
)
@LANGUAGE
@format_option
@click.pass_obj
def status(here: Here, flow: str | None, as_of: str | None, stuck: int, language: str | None, output: str) -> None:
    """Show where all cases stand, who moved in the last pass, what is overdue and who is stuck."""
    app = here.open()
    found = app.status(instant_of(as_of, app.zone), flow=flow, stuck=stuck)
    if output != "text":
        _print_data(found, output)
        return
    from csflow.cli.reading_text import Words, print_status  # noqa: PLC0415  # rich comes with it

    print_status(found, Words(app.definition, known_language(language, app.definition.languages)))


@click.command(epilog="Example:  csflow explain C-0001 --flow lifecycle --as-of 2026-03-31")
@click.argument("target", metavar="CUSTOMER|CASE")
@FLOW
@as_of_option
@by_option
@LANGUAGE
@format_option
@click.pass_obj
def explain(
    here: Here, target: str, flow: str | None, as_of: str | None, actor: str, language: str | None, output: str
) -> None:
    """Say why a customer is where it is: for every way out of the stage which part is true, false or unknown.

    CUSTOMER is a customer's id, CASE a case's name like lifecycle/C-0001/1; other subjects are written contract:K-1.
    Each value comes with when it was measured or stated, or why it is unknown. What a pass at the same moment would do
    first stands at the end. Nothing is changed.
    """
    app = here.open()
    found = app.explain(target, instant_of(as_of, app.zone), actor=actor, recorded=now(), flow=flow)
    if output == "jsonl":
        _print_lines(found["cases"])
    elif output == "json":
        print_json(found)
    else:
        from csflow.cli.reading_text import Words, print_explained  # noqa: PLC0415  # rich comes with it

        print_explained(found, Words(app.definition, known_language(language, app.definition.languages)))


@click.command(epilog="Example:  csflow history lifecycle/C-0001/1 --limit 20")
@click.argument("target", metavar="CUSTOMER|CASE")
@FLOW
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the newest N entries.")
@click.option("--verbose", is_flag=True, help="With the time of writing and the definition's hash.")
@LANGUAGE
@format_option
@click.pass_obj
def history(
    here: Here,
    target: str,
    flow: str | None,
    limit: int | None,
    verbose: bool,
    language: str | None,
    output: str,
) -> None:
    """Tell everything that happened to a customer's cases, or to one case: when, who, from where to where, why.

    A case's entries stand as they were written: one of an earlier moment, such as a deadline's miss that a later pass
    found, after what a former pass had written.
    """
    app = here.open()
    found = app.history(target, now(), flow=flow, limit=limit, verbose=verbose)
    if output == "jsonl":
        _print_lines(found["entries"])
    elif output == "json":
        print_json(found)
    else:
        from csflow.cli.reading_text import Words, print_history  # noqa: PLC0415  # rich comes with it

        print_history(found, Words(app.definition, known_language(language, app.definition.languages)))


def _print_data(found: dict[str, Any], output: str) -> None:
    printer: Callable[[Any], None] = print_json if output == "json" else lambda data: _print_lines([data])
    printer(found)


def _print_lines(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        click.echo(json.dumps(row, ensure_ascii=False))


def known_language(language: str | None, languages: tuple[str, ...]) -> str | None:
    """The language to write labels in: as asked for, else the project's first. UsageError where it has none such."""
    if language is not None and language not in languages:
        there = f"it has {', '.join(languages)}" if languages else "it declares none"
        raise UsageError(f"the project has no language '{language}': {there}")
    return language or next(iter(languages), None)
