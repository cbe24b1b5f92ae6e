"""`csflow trigger`, `csflow case …`, `csflow task …`: what people tell the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from csflow.cli.called import as_called
from csflow.cli.hand import by_hand, is_share, print_result, print_rows, read_pairs, set_option, table, text_of
from csflow.cli.options import as_of_option, format_option, instant_of
from csflow.errors import UsageError
from csflow.values import day

if TYPE_CHECKING:
    from collections.abc import Iterator

    from csflow.app import Csflow
    from csflow.cli import Here
    from csflow.cli.hand import Told
    from csflow.flow.definition import Definition
    from csflow.services.acting import Act


@click.command(epilog="Example:  csflow trigger cancel C-0001 --set cause=price --by li")
@click.argument("name", metavar="NAME")
@click.argument("target", metavar="SUBJECT|CASE")
@click.option("--flow", metavar="FLOW", help="The flow that is to hear it, where several would.")
@set_option
@by_hand
def trigger(app: Csflow, act: Act, *, name: str, target: str, flow: str | None, fields: dict[str, str]) -> Told:
    """Say the word NAME, and let happen what the flow that listens to it says.

    SUBJECT is a customer's id, contract:ID, contact:ID, person:ID or organisation; a CASE is written
    flow/SUBJECT/number, e.g. complaint/C-1/3. A word that nobody hears, or that is not allowed now, ends with
    exit code 2 and changes nothing.
    """
    from csflow.services.acting import Word  # noqa: PLC0415  # SQLAlchemy comes with it

    result = app.trigger(act, Word(name, target, flow, fields))
    return result, _happened(result) or [f"{target} heard '{name}'"]


def _happened(result: dict[str, Any]) -> list[str]:
    """What came of a word or an opening, a line each."""
    lines = [f"{one['case']} opened in '{one['stage']}'" for one in result["opened"]]
    lines += [f"{one['case']} moved from '{one['from']}' to '{one['to']}'" for one in result["moved"]]
    lines += [f"{one['case']} reached '{one['milestone']}'" for one in result["milestones"]]
    for one in result["tasks"]:
        who = one["person"] or one["role"] or "anybody"
        due = f", due {one['due']}" if one["due"] else ""
        lines.append(f"{one['case']}: task '{one['task']}' for {who}{due}")
        if one["approves"]:
            command = as_called(f"csflow task done {one['case']} {one['task']}")
            lines.append(f"  the move waits: {command}")
    return lines + [f"{one['case']}: message to {one['recipient']}" for one in result["messages"]]


@click.group(epilog="Example:  csflow case open complaint C-0001 --by li")
def case() -> None:
    """Open, fill and show cases: flow/SUBJECT/number."""


@case.command("open", epilog="Example:  csflow case open complaint C-0001 --set summary='Slow since Monday' --by li")
@click.argument("flow", metavar="FLOW")
@click.argument("subject", metavar="SUBJECT")
@set_option
@by_hand
def case_open(app: Csflow, act: Act, *, flow: str, subject: str, fields: dict[str, str]) -> Told:
    """Open a case of FLOW about SUBJECT, whatever the flow's own rules for opening say.

    For a flow about contracts, a customer's id means the contract in force.
    """
    result = app.open_case(act, flow, subject=subject, fields=fields)
    return result, _happened(result)


@case.command("set", epilog="Example:  csflow case set complaint/C-0001/1 waiting=true --by li")
@click.argument("name", metavar="CASE")
@click.argument("fields", metavar="FIELD=VALUE...", nargs=-1, required=True, callback=read_pairs)
@by_hand
def case_set(app: Csflow, act: Act, *, name: str, fields: dict[str, str]) -> Told:
    """Fill fields of a case. An empty value makes a field unknown again.

    waiting=true says that we wait for the customer: deadlines with `stops_while: case.waiting` stand still at once,
    and go on with waiting=false.
    """
    result = app.set_case(act, name, fields=fields)
    lines = [f"{result['case']}: {', '.join(result['fields'])} set"]
    lines += [f"  deadline {one} stands still" for one in result["stopped"]]
    lines += [f"  deadline {one} goes on" for one in result["resumed"]]
    return result, lines


@case.command("show", epilog="Example:  csflow case show lifecycle/C-0001/1")
@click.argument("name", metavar="CASE")
@as_of_option
@format_option
@click.pass_obj
def case_show(here: Here, name: str, as_of: str | None, output: str) -> None:
    """Show a case: stage, fields, milestones, deadlines, tasks and the last entries of its history."""
    app = here.open()
    result = app.show_case(name, now=instant_of(as_of, app.zone))
    print_result(result, output, _case_lines(result, app.definition))


def _case_lines(found: dict[str, Any], definition: Definition) -> Iterator[str]:
    end = f", ended {found['end']} at {found['ended_at']}" if found["end"] else ""
    yield f"{found['case']}: in '{found['stage']}' since {found['entered_at']}{end}"
    if found["responsible"]:
        yield f"  {found['responsible']}: {found['owner'] or 'nobody'}{', waiting' if found['waiting'] else ''}"
    for title, rows in (
        (
            "fields",
            [
                [name, text_of(value, share=is_share(definition, f"{found['flow']}.{name}"))]
                for name, value in found["fields"].items()
            ],
        ),
        ("milestones", [[name, at or "not reached"] for name, at in found["milestones"].items()]),
        ("deadlines", [[one["deadline"], f"due {one['due'] or 'unknown'}", _fate(one)] for one in found["deadlines"]]),
        ("tasks", [_task_cells(one) for one in found["tasks"]]),
        ("history", [[one["at"], one["kind"], _entry(one), one["actor"]] for one in found["history"]]),
    ):
        if rows:
            yield f"{title}:"
            yield from (f"  {line}" for line in table(rows))


def _fate(deadline: dict[str, Any]) -> str:
    words = [f"{word} {deadline[key]}" for key, word in (("missed", "missed"), ("met", "met"), ("stopped", "stopped"))
             if deadline[key]]  # fmt: skip
    return ", ".join(words)


def _entry(one: dict[str, Any]) -> str:
    moved = f"{one['from']} → " if one["from"] else ""
    place = f" ({one['place']})" if one["place"] else ""
    return f"{moved}{one['to'] or ''}{place}".strip()


@click.group(epilog="Example:  csflow task list --role csm")
def task() -> None:
    """List tasks, do them, put them off, hand them over."""


@task.command("list", epilog="Example:  csflow task list --role csm --overdue")
@click.option("--role", metavar="ROLE", help="Only tasks for this role.")
@click.option("--person", metavar="PERSON", help="Only tasks of this colleague.")
@click.option("--customer", metavar="CUSTOMER", help="Only tasks of this customer.")
@click.option("--case", "case_name", metavar="CASE", help="Only tasks of this case.")
@click.option("--overdue", is_flag=True, help="Only open tasks that are past due.")
@click.option("--all", "everything", is_flag=True, help="Also tasks that are done or snoozed.")
@as_of_option
@format_option
@click.pass_obj
def task_list(here: Here, /, as_of: str | None, output: str, **wanted: Any) -> None:
    """List open tasks, the most urgent first."""
    from csflow.services.tasking import Wanted  # noqa: PLC0415  # SQLAlchemy comes with it

    app = here.open()
    chosen = Wanted(case=wanted.pop("case_name"), **wanted)
    rows = app.list_tasks(chosen, now=instant_of(as_of, app.zone))
    heads = [["case", "task", "for", "due", ""]] if rows else []
    print_rows(rows, output, table([*heads, *([one["case"], *_task_cells(one)] for one in rows)]) or ["no tasks"])


def _task_cells(one: dict[str, Any]) -> list[str]:
    label = f" – {one['label']}" if one["label"] != one["task"] else ""
    fate = "OVERDUE" if one["overdue"] else one["outcome"] or ""
    if one["snoozed_until"] and not one["done_at"]:
        fate = f"{fate} snoozed until {one['snoozed_until'][:10]}".strip()
    return [f"{one['task']}{label}", one["person"] or one["role"] or "", one["due"] or "no due time", fate]


@task.command(
    "done", epilog="Example:  csflow task done renewal/C-1/K-7/1 value_pack --comment 'sent on Monday' --by li"
)
@click.argument("name", metavar="CASE")
@click.argument("task_name", metavar="TASK")
@click.option("--no", "refuse", is_flag=True, help="Refuse an approval: the move that waits for it is dropped.")
@click.option("--not-applicable", is_flag=True, help="The task need not be done.")
@click.option("--comment", metavar="TEXT", help="What is to be remembered.")
@by_hand
def task_done(
    app: Csflow, act: Act, *, name: str, task_name: str, refuse: bool, not_applicable: bool, comment: str | None
) -> Told:
    """Say that a task is done. An approval (task `approve`) lets the move that waits for it happen at once.

    Whoever asked for a move cannot approve it.
    """
    from csflow.services.tasking import Answer  # noqa: PLC0415  # SQLAlchemy comes with it

    if refuse and not_applicable:
        raise UsageError("--no and --not-applicable exclude each other")
    outcome = "no" if refuse else "not_applicable" if not_applicable else "done"
    result = app.finish_task(act, Answer(name, task_name, outcome, comment))
    lines = [f"{result['case']}: task '{task_name}' {outcome.replace('_', ' ')}"]
    lines += [f"{one['case']} moved from '{one['from']}' to '{one['to']}'" for one in result["moved"]]
    return result, lines


@task.command("snooze", epilog="Example:  csflow task snooze lifecycle/C-0001/1 call_them --until 2026-03-01")
@click.argument("name", metavar="CASE")
@click.argument("task_name", metavar="TASK")
@click.option("--until", metavar="DAY", required=True, help="The day it is listed again.")
@by_hand
def task_snooze(app: Csflow, act: Act, *, name: str, task_name: str, until: str) -> Told:
    """Keep a task out of the lists until a day. Its due time stays."""
    try:
        wakes = day(until)
    except ValueError:
        raise UsageError(f"--until '{until}' is not a day: write 2026-01-31") from None
    result = app.snooze_task(act, name, task=task_name, until=wakes)
    return result, [f"{result['case']}: task '{task_name}' snoozed until {until}"]


@task.command("assign", epilog="Example:  csflow task assign lifecycle/C-0001/1 call_them wang --by li")
@click.argument("name", metavar="CASE")
@click.argument("task_name", metavar="TASK")
@click.argument("person", metavar="PERSON")
@by_hand
def task_assign(app: Csflow, act: Act, *, name: str, task_name: str, person: str) -> Told:
    """Hand a task to a colleague."""
    result = app.assign_task(act, name, task=task_name, person=person)
    return result, [f"{result['case']}: task '{task_name}' is {person}'s"]
