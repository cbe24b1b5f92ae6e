"""`csflow book`: figures of any set of customers over any period."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from csflow.cli.options import as_of_option, for_people, format_option, instant_of, print_json
from csflow.cli.reading import LANGUAGE, known_language

if TYPE_CHECKING:
    from csflow.cli import Here


@click.command(epilog="Example:  csflow book revenue.renewal_rate --over quarter --by csm --as-of 2026-03-31")
@click.argument("metrics", metavar="[METRIC]...", nargs=-1)
@click.option(
    "--over",
    metavar="month|quarter|year|FROM..TO",
    default="year",
    show_default=True,
    help="The period: the one the day lies in, or two days, both included (2026-01-01..2026-03-31).",
)
@click.option(
    "--by",
    "by",
    metavar="ROLE|FIELD|METRIC",
    multiple=True,
    help="Grouped by who fills a role, or by a word; may repeat.",
)
@click.option("--when", metavar="GUARD", help="Only customers for whom this holds: \"customer.segment == 'chain'\".")
@click.option("--trace", is_flag=True, help="Name the customers behind each figure.")
@as_of_option
@LANGUAGE
@format_option
@click.pass_obj
def book(
    here: Here,
    metrics: tuple[str, ...],
    over: str,
    by: tuple[str, ...],
    when: str | None,
    trace: bool,
    as_of: str | None,
    language: str | None,
    output: str,
) -> None:
    """Show metrics of a book: of all customers or some, for each group of them, over a period.

    Without METRIC, all metrics with subject: book. A ratio is a ratio of sums over the group, never a mean of ratios.
    Where a contract or case could not be judged the figure is unknown, and says how many there are. Nothing is changed.
    """
    from csflow.services.book import Asked  # noqa: PLC0415  # SQLAlchemy comes with it

    app = here.open()
    spoken = known_language(language, app.definition.languages)
    found = app.book(instant_of(as_of, app.zone), Asked(metrics, over, by, when, trace))
    if output == "json":
        print_json(found)
    elif output == "jsonl":
        for figure in found["figures"]:
            click.echo(json.dumps({"over": found["over"], **figure}, ensure_ascii=False))
    else:
        _print(found, app.definition, spoken)


def _print(found: dict[str, Any], definition: Any, language: str | None) -> None:
    from csflow.cli.reading_text import Words  # noqa: PLC0415  # rich comes with it

    words, over = Words(definition, language), found["over"]
    click.echo(f"{over['from']} to {over['to']}, as of {found['as_of']}")
    last = None
    for figure in found["figures"]:
        metric = definition.metrics[figure["metric"]]
        if metric.name != last:
            last = metric.name
            click.echo(f"\n{words.metric(metric.name)}")
        group = ", ".join("(none)" if word is None else str(word) for word in figure["group"].values()) or "all"
        click.echo(f"  {for_people(group):<24} {_value(figure['value'], metric.type.name):>12}  {_parts(figure)}")
        for one in figure.get("of", ()):
            value = f"{_value(one['value'], metric.type.name)}" if "value" in one else ""
            click.echo(f"    {one['customer']:<22} {value:>12}  {_parts(one)}")


def _value(value: object, kind: str) -> str:
    from csflow.values import figure_text, share_text  # noqa: PLC0415  # beside the other late imports

    if value is None:
        return "unknown"
    if kind == "share" and isinstance(value, int | float):
        return share_text(round(float(value), 4))
    return figure_text(value, 4)


def _parts(figure: dict[str, Any]) -> str:
    parts = []
    if figure.get("numerator") is not None or figure.get("denominator") is not None:
        sides = [_value(figure.get(side), "number") for side in ("numerator", "denominator")]
        parts.append(f"{sides[0]} of {sides[1]}")
    if "customers" in figure:
        many = figure["customers"]
        parts.append(f"{many:,} customer{'' if many == 1 else 's'}")
    if figure["unknown"]:
        parts.append(f"{figure['unknown']:,} unknown")
    return " · ".join(parts)
