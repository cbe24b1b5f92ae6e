"""`csflow customer …`, `csflow contact erase`, `csflow activity add`: facts that people enter one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from csflow.cli.hand import by_hand, is_share, moment, print_result, print_rows, read_pairs, set_option, table, text_of
from csflow.cli.options import as_of_option, by_option, format_option, instant_of, now
from csflow.errors import UsageError
from csflow.values import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from csflow.app import Csflow
    from csflow.cli import Here
    from csflow.cli.hand import Told
    from csflow.flow.definition import Definition
    from csflow.services.acting import Act

TRACES = {  # where a contact can be named, each as one
    "contact": "row", "fields": "field", "notes": "note", "answers": "answer", "reasons": "reason",
    "comments": "comment", "words": "word",
}  # fmt: skip
ROLE = click.option(
    "--role",
    "roles",
    metavar="ROLE=PERSON",
    multiple=True,
    callback=read_pairs,
    help="Who fills a role for it; without PERSON nobody.",
)


@click.group(epilog="Example:  csflow customer show C-0001")
def customer() -> None:
    """Enter, change and show customers."""


@customer.command(
    "add", epilog="Example:  csflow customer add C-0001 --name 'Ada & Co' --role csm=li --set segment=small"
)
@click.argument("key", metavar="ID")
@click.option("--name", metavar="TEXT", help="Its name.")
@click.option("--signed-on", metavar="DAY", help="The day it signed; before that day csflow does not see it.")
@set_option
@ROLE
@by_hand
def customer_add(
    app: Csflow,
    act: Act,
    *,
    key: str,
    name: str | None,
    signed_on: str | None,
    fields: dict[str, str],
    roles: dict[str, str],
) -> Told:
    """Enter a customer. Contracts and the rest come by csflow import."""
    from csflow.services.customers import Said  # noqa: PLC0415  # SQLAlchemy comes with it

    own = {field: text for field, text in (("name", name), ("signed_on", signed_on)) if text is not None}
    for twice in own.keys() & fields.keys():
        raise UsageError(f"'{twice}' is said twice")
    result = app.add_customer(act, key, said=Said(own | fields, roles))
    return result, [f"{key} is entered"]


@customer.command("set", epilog="Example:  csflow customer set C-0001 segment=large --role csm=wang --by li")
@click.argument("key", metavar="ID")
@click.argument("fields", metavar="[FIELD=VALUE]...", nargs=-1, callback=read_pairs)
@ROLE
@by_hand
def customer_set(app: Csflow, act: Act, *, key: str, fields: dict[str, str], roles: dict[str, str]) -> Told:
    """Change what is known of a customer; an empty value makes it unknown.

    With --role another colleague fills a role for it; open tasks of that role go over with it.
    """
    from csflow.services.customers import Said  # noqa: PLC0415  # SQLAlchemy comes with it

    result = app.set_customer(act, key, said=Said(fields, roles))
    done = [*result["fields"], *(f"{role} = {person or 'nobody'}" for role, person in result["roles"].items())]
    return result, [f"{key}: {', '.join(done)} set"]


@customer.command("show", epilog="Example:  csflow customer show C-0001")
@click.argument("key", metavar="ID")
@as_of_option
@by_option
@format_option
@click.pass_obj
def customer_show(here: Here, key: str, as_of: str | None, actor: str, output: str) -> None:
    """Show a customer: core facts, contracts, contacts, fields, metrics and when they were measured, cases."""
    from csflow.services.acting import Act  # noqa: PLC0415  # SQLAlchemy comes with it

    app = here.open()
    act = Act(actor, now(), None if as_of is None else instant_of(as_of, app.zone), dry_run=True)
    result = app.show_customer(act, key)
    print_result(result, output, _customer_lines(result, app.definition))


def _customer_lines(found: dict[str, Any], definition: Definition) -> Iterator[str]:
    yield f"{found['customer']}  {found['name'] or ''}".rstrip()
    signed = f", signed on {found['signed_on']}" if found["signed_on"] else ""
    yield f"  pays {found['amount'] or 'an unknown amount'}{signed}"
    for title, rows in (
        ("contracts", [_contract_cells(one, found["contract"]) for one in found["contracts"]]),
        ("contacts", [[one["contact"], one["name"] or "", one["post"] or "", "left" if one["left"] else ""]
                      for one in found["contacts"]]),
        ("roles", [[role, person] for role, person in found["roles"].items()]),
        ("fields", [[name, text_of(value, share=is_share(definition, f"customer.{name}"))]
                    for name, value in found["fields"].items()]),
        ("metrics", [_metric_cells(name, one, is_share(definition, name)) for name, one in found["metrics"].items()]),
        ("cases", [[one["case"], one["stage"], f"since {one['since']}", one["end"] or ""] for one in found["cases"]]),
    ):  # fmt: skip
        if rows:
            yield f"{title}:"
            yield from (f"  {line}" for line in table(rows))


def _contract_cells(one: dict[str, Any], current: str | None) -> list[str]:
    span = f"{one['starts_on']} to {one['ends_on'] or 'open end'}"
    return [
        one["contract"],
        one["product"] or "",
        span,
        one["amount"] or "",
        "current" if one["contract"] == current else "",
    ]


def _metric_cells(name: str, one: dict[str, Any], share: bool) -> list[str]:
    measured = f"measured {one['measured']}" if one["measured"] else "never measured"
    return [name, text_of(one["value"], share=share), f"{measured}{', too old' if one['stale'] else ''}"]


@customer.command("file", epilog="Example:  csflow customer file C-0001 --since 2026-01-01")
@click.argument("key", metavar="ID")
@click.option("--since", metavar="DAY|INSTANT", help="Only what happened from then on.")
@as_of_option
@format_option
@click.pass_obj
def customer_file(here: Here, key: str, since: str | None, as_of: str | None, output: str) -> None:
    """Show a customer's file: activities, moves, tasks, changed fields, contracts and answers in the order of time."""
    app = here.open()
    begin = None
    if since is not None:
        begin = moment(since, app.zone, now(), "--since")
        begin = app.zone.start_of(app.zone.day_of(begin)) if len(since) == len("2026-01-31") else begin
    rows = app.customer_file(key, now=instant_of(as_of, app.zone), since=begin)
    lines = table([[one["at"], one["kind"], _what(one, app.definition), one.get("actor") or ""] for one in rows])
    print_rows(rows, output, lines or ["nothing is known to have happened"])


def _what(one: dict[str, Any], definition: Definition) -> str:
    words = [str(one["what"] or "")]
    if one.get("from"):
        words = [f"{one['from']} → {one['what']}"]
    if "value" in one:
        asked = ("customer.", "contact.") if one["kind"] == "answer" else ("",)  # an answer fills a field of either
        share = any(is_share(definition, f"{prefix}{one['what']}") for prefix in asked)
        words.append(f"= {text_of(one['value'], share=share)}")
    if one.get("contact"):
        words.append(f"with {one['contact']}")
    if one.get("case"):
        words.insert(0, one["case"])
    if one["kind"] == "task" and one.get("place"):
        words.append(one["place"].replace("_", " "))
    if one.get("note"):
        words.append(f"– {one['note']}")
    return " ".join(word for word in words if word)


@click.group(epilog="Example:  csflow contact erase P-17")
def contact() -> None:
    """Erase a contact's personal data."""


@contact.command("erase", epilog="Example:  csflow contact erase P-17 --by li")
@click.argument("key", metavar="ID")
@by_hand
def contact_erase(app: Csflow, act: Act, *, key: str) -> Told:
    """Blank a contact's name, mail, phone, post and free text, former versions included.

    Activities, answers and history stay, so counts and figures do not change. An import leaves out what would bring the
    name back: the ID stays erased. Free text about others that still names the contact is not changed but counted.
    """
    result = app.erase_contact(act, key)
    lines = [f"{key} is erased: {_traces(result['blanked'])}"]
    if found := _traces(result["mentions"]):
        lines.append(f"its name, mail or phone still stands in free text about its customer, look there: {found}")
    return result, lines


def _traces(numbers: dict[str, int]) -> str:
    return ", ".join(counted(number, TRACES[what]) for what, number in numbers.items() if number)


@click.group(epilog="Example:  csflow activity add C-0001 visit")
def activity() -> None:
    """Note a visit, a call … with a customer."""


@activity.command("add", epilog="Example:  csflow activity add C-0001 visit --contact P-17 --note 'New head of sales'")
@click.argument("key", metavar="CUSTOMER")
@click.argument("kind", metavar="KIND")
@click.option("--contact", "contact_key", metavar="ID", help="The contact it was with.")
@click.option("--note", metavar="TEXT", help="What is to be remembered.")
@by_hand
def activity_add(app: Csflow, act: Act, *, key: str, kind: str, contact_key: str | None, note: str | None) -> Told:
    """Note an activity of a KIND that the project declares under `activities:`."""
    from csflow.services.customers import Done  # noqa: PLC0415  # SQLAlchemy comes with it

    result = app.add_activity(act, Done(key, kind, contact_key, note))
    return result, [f"{kind} with {key} at {result['at']} is noted"]
