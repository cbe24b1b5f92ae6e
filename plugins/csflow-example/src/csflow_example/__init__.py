"""Every kind of hook that csflow has, in one file, about a shop that wants its customers to order."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from sqlalchemy import ColumnElement, func, select, text

from csflow.hookspecs import (
    Batch,
    Call,
    Function,
    Message,
    Moved,
    Notifier,
    NotReady,
    Provider,
    RetryLater,
    Section,
    Send,
    Sheet,
    Undeliverable,
    hookimpl,
)

JOURNAL = "CSFLOW_EXAMPLE_JOURNAL"  # the file that the notifier, the effect and the observer write to


# A metric: a number for each customer that is asked about. One that is left out is unknown.


def orders_per_week(batch: Batch) -> dict[str, float]:
    """Orders a week in the window (``with: {window: 4 weeks}``)."""
    weeks = batch.days / 7
    return {
        customer: sum(row.count or 1 for row in batch.usage.get(customer, ()) if row.feature == "order") / weeks
        for customer in batch.subjects
    }


def check_window(options: Mapping[str, Any]) -> None:
    """What `csflow validate` says, with its place in the YAML, when ``with:`` is wrong."""
    if not str(options.get("window", "")).endswith(("week", "weeks")):
        raise ValueError("say with: {window: 4 weeks}")


@hookimpl
def csflow_metrics() -> dict[str, Provider]:
    """A metric: ``uses: example/orders_per_week``."""
    return {"example/orders_per_week": Provider(compute=orders_per_week, check=check_window, reads_usage=True)}


# A milestone: True, False, None (unknown), or the day it was reached.


def first_order(batch: Batch) -> dict[str, int | bool]:
    """The day of the first order in the window; False where there was none yet."""
    found: dict[str, int | bool] = {}
    for customer in batch.subjects:
        days = [row.day for row in batch.usage.get(customer, ()) if row.feature == "order"]
        found[customer] = min(days) if days else False
    return found


@hookimpl
def csflow_milestones() -> dict[str, Any]:
    """A milestone: ``first: {uses: example/first_order, with: {window: 24 months}}``."""
    return {"example/first_order": first_order}


# A function in expressions: the same in Python (explain) and in SQL (advance).


def weekday(day: int) -> float:
    """1 for Monday … 7 for Sunday; 1970-01-01, day 0, was a Thursday."""
    return float((day + 3) % 7 + 1)


def weekday_in_sql(day: ColumnElement[Any]) -> ColumnElement[Any]:
    """The same; days before 1970 are negative, so the remainder is taken twice."""
    return ((day + 3) % 7 + 7) % 7 + 1


@hookimpl
def csflow_functions() -> dict[str, Function]:
    """``weekday(contract.starts_on) == 1``."""
    return {"weekday": Function(("date",), "number", weekday, weekday_in_sql)}


# A notifier: opened once for many messages; sending returns when the other side has confirmed.


def journal_is_named() -> None:
    """What every message needs: asked before the way is opened, and by `csflow deliver --dry-run`."""
    if not os.environ.get(JOURNAL):
        raise NotReady(f"{JOURNAL} is not set")


@contextmanager
def journal() -> Iterator[Send]:
    """Write messages to a file, a line each."""
    path = Path(os.environ[JOURNAL])

    def send(message: Message) -> None:
        if message.recipient.address.get("journal") == "nowhere":
            raise Undeliverable("nobody reads there")
        write(path, {"id": message.id, "to": message.recipient.id, "title": message.title, "text": message.text})

    yield send


def write(path: Path, row: Mapping[str, Any]) -> None:
    """Add a line. RetryLater where the file cannot be written."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(row), ensure_ascii=False) + "\n")
    except OSError as error:
        raise RetryLater(f"the journal: {error.strerror}") from error


@hookimpl
def csflow_notifiers() -> dict[str, Notifier]:
    """``via: journal``."""
    return {"journal": Notifier(journal, ready=journal_is_named)}


# An effect: what `do: [{uses: example/greet, with: {…}}]` does, when `csflow deliver` comes to it.


def greet(call: Call) -> None:
    """Write a greeting; ``call.id`` is the same in every repeat."""
    write(Path(os.environ.get(JOURNAL, "journal.jsonl")), {"id": call.id, "greet": call.subject["id"], **call.options})


@hookimpl
def csflow_effects() -> dict[str, Any]:
    """An effect: ``uses: example/greet``."""
    return {"example/greet": greet}


# An importer: reads rows from anywhere; the mapping says which column is what.


def lines(options: Mapping[str, Any]) -> Iterator[dict[str, str | None]]:
    """Customers out of a text: ``with: {customers: "C-1 Ann, C-2 Bob"}``."""
    for entry in str(options["customers"]).split(","):
        number, _, name = entry.strip().partition(" ")
        yield {"number": number, "name": name or None}


@hookimpl
def csflow_importers() -> dict[str, Any]:
    """``imports: {firms: {uses: example/lines, …}}``, then `csflow import firms`."""
    return {"example/lines": lines}


# A section of a page.


def customers_by_stage(sheet: Sheet) -> Section:
    """How many cases stand in each stage. The connection is for reading."""
    rows = sheet.connection.execute(
        select(text('"flow", "stage"'), func.count()).select_from(text('"case"')).group_by(text('"flow", "stage"'))
    )
    title = {"zh": "各阶段客户数"}.get(sheet.language, "Cases by stage")
    return Section(title, ("flow", "stage", "cases"), tuple(sorted(tuple(row) for row in rows)))


@hookimpl
def csflow_sections() -> dict[str, Any]:
    """A section: ``uses: example/by_stage``."""
    return {"example/by_stage": customers_by_stage}


# Flows: a folder with a csflow.yaml, that projects extend by its name.


@hookimpl
def csflow_packs() -> dict[str, Path]:
    """``extends: [example]``."""
    return {"example": Path(__file__).parent / "pack"}


# Hearing of moves, after they were written.


@hookimpl
def csflow_moved(moves: Sequence[Moved]) -> None:
    """Note them. What is raised here is told and changes nothing."""
    if os.environ.get(JOURNAL):
        for move in moves:
            write(Path(os.environ[JOURNAL]), {"moved": move.case, "from": move.source, "to": move.target})


# A command: `csflow example-cheer NAME` (entry point group csflow.commands).


@click.command(epilog="Example:  csflow example-cheer Ann")
@click.argument("name")
def cheer(name: str) -> None:
    """Cheer somebody on."""
    click.echo(f"Well done, {name}!")
