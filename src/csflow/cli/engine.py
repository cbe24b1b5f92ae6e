"""`csflow measure`, `advance`, `run`: what is done to every customer, night after night."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from contextlib import ExitStack
from difflib import get_close_matches
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any, Self, TypeVar

import click

from csflow.cli.delivering import data_of, once, told
from csflow.cli.options import as_of_option, by_option, for_people, format_option, instant_of, now
from csflow.errors import UsageError
from csflow.values import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from csflow.app import Csflow
    from csflow.cli import Here
    from csflow.services.advance import Outcome, Request
    from csflow.services.measure import Measured

F = TypeVar("F", bound="Callable[..., Any]")

LISTS = ("opened", "moved", "milestones", "missed", "failed", "messages")  # of a pass in JSON, in this order
IN_MEMORY = 1_000_000  # bytes of a list that wait in memory for their turn in the JSON; more wait in a file
NOUNS = {"milestones": ("milestone",), "messages": ("message",), "tasks": ("task opened", "tasks opened")}
SHOWN = 12  # ways and failures in the text
UNITS = {"s": 1, "m": 60, "h": 3600}
WAIT = re.compile(r"(\d+(?:\.\d+)?)([smh])")
FURTHEST = 3653  # days that --ahead may write ahead
DONE, FAILED, CHANGED = 0, 1, 5


def pass_options(function: F) -> F:
    """The options of every verb that may write for all customers: moment, dry run, lock, exit code, format."""
    for option in (
        click.option("--full", is_flag=True, help="Ask everything of everybody, not only where something changed."),
        click.option("--dry-run", is_flag=True, help="Do everything, say what came of it, and take it back."),
        click.option(
            "--ahead", is_flag=True, help="Write although --as-of is to come: what lies before it is over then."
        ),
        click.option(
            "--wait",
            metavar="10m",
            default="10m",
            show_default=True,
            help="How long to wait for another pass: 30s, 10m, 1h.",
        ),
        click.option("--no-wait", is_flag=True, help="Do not wait for another pass: exit code 4 at once."),
        click.option("--detailed-exitcode", is_flag=True, help="Exit code 5 when something was (or would be) changed."),
        as_of_option,
        by_option,
        format_option,
    ):
        function = option(function)
    return function


def subject_options(function: F) -> F:
    """Which cases a pass is about."""
    for option in (
        click.option("--catch-up", is_flag=True, help="Write moves and misses, but withhold the messages."),
        click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N customers, one step each."),
        click.option("--flow", metavar="FLOW", help="Only this flow."),
        click.argument("subjects", metavar="[CUSTOMER]...", nargs=-1),
    ):
        function = option(function)
    return function


@click.command(epilog="Example:  csflow measure --as-of 2026-01-31")
@pass_options
@click.pass_obj
def measure(here: Here, /, **said: Any) -> int:
    """Compute the metrics, and write those that changed.

    Exit code 1 when a plugin failed: its metrics keep their last values, the others are computed.
    """
    app = here.open()
    request = _request(app, said)
    ran = app.measure(request)
    data = _measured(app, ran.measured) | {"dry_run": request.dry_run}
    if said["output"] == "text":
        _tell_measured(ran.measured, data)
    else:
        click.echo(json.dumps(data, ensure_ascii=False))
    return _code(bool(ran.measured.failed), bool(ran.measured.changed), said)


@click.command(epilog="Example:  csflow advance --as-of 2026-01-31 --dry-run --format json")
@subject_options
@pass_options
@click.pass_obj
def advance(here: Here, /, **said: Any) -> int:
    """Move every case that its flow says is to move: all that is due, or only the named customers'.

    What was done once is not done again: the same pass twice changes nothing. Exit code 1 when a case failed (the
    others went on), 4 when another pass runs.
    """
    app = here.open()
    request = _request(app, said)
    with Report(app, said["output"], dry_run=request.dry_run) as report:
        outcome = app.advance(request, report.tell)
        report.end(outcome)
    return _code(bool(outcome.failed or outcome.plugins), outcome.changed, said)


@click.command(epilog="Example:  csflow run          every night:  15 2 * * *  csflow --project /srv/success run")
@click.option("--no-deliver", is_flag=True, help="Leave the messages in the outbox, for csflow deliver.")
@subject_options
@pass_options
@click.pass_obj
def run(here: Here, /, **said: Any) -> int:
    """Measure and advance, both at one moment, then deliver: what a night's script calls.

    Messages go out once the pass is written; a notifier that fails changes nothing of it and ends with exit code 1.
    """
    app = here.open()
    request = _request(app, said)
    with Report(app, said["output"], dry_run=request.dry_run) as report:
        ran = app.run(request, report.tell)
        assert ran.outcome is not None  # noqa: S101  # a run has a pass
        if said["output"] == "text":  # before messages go: what was written is told even if somebody interrupts
            report.end(ran.outcome, ran.measured)
        done = None if said["no_deliver"] or request.dry_run else once(app, said["output"])
        if said["output"] != "text":
            report.end(ran.outcome, ran.measured, data_of(app, done) if done is not None else None)
        elif done is not None:
            done.plugins = [one for one in done.plugins if one.hook != "import"]  # told with what was measured
            if done.sent or done.unwell or done.waiting or done.surplus:
                told(app, "text", done)
    changed = ran.outcome.changed or bool(ran.measured.changed)
    failed = bool(ran.outcome.failed or ran.outcome.plugins or ran.measured.failed)
    return _code(failed or (done is not None and done.unwell), changed, said)


def _request(app: Csflow, said: dict[str, Any]) -> Request:
    from csflow.services.advance import Request  # noqa: PLC0415  # SQLAlchemy comes with it

    flow = said.get("flow")
    flows = app.definition.flows
    if flow is not None and flow not in flows:
        near = get_close_matches(flow, flows, n=1)
        raise UsageError(f"no flow '{flow}'{f': did you mean {near[0]}?' if near else ''}")
    at = instant_of(said["as_of"], app.zone)
    days = app.zone.day_of(at) - app.zone.day_of(now())
    if days > (FURTHEST if said["ahead"] else 0) and not said["dry_run"]:
        meant = "--ahead writes ten years ahead at most" if said["ahead"] else "or say --ahead if you mean it"
        raise UsageError(
            f"--as-of {said['as_of']} is to come, and after a pass there none can be written before it:"
            f" look with --dry-run, {meant}"
        )
    return Request(
        at,
        said["actor"],
        recorded=now(),
        subjects=tuple(said.get("subjects") or ()),
        flow=flow,
        dry_run=said["dry_run"],
        full=said["full"],
        limit=said.get("limit"),
        catch_up=bool(said.get("catch_up")),
        wait=wait_of(said),
        waiting=lambda sentence: click.echo(f"csflow: {sentence}", err=True),
    )


def wait_of(said: dict[str, Any]) -> float:
    """The seconds to wait for another pass. UsageError when ``--wait`` is no length of time."""
    if said["no_wait"]:
        return 0.0
    match = WAIT.fullmatch(said["wait"].strip())
    if match is None:
        raise UsageError(f"--wait '{said['wait']}' is no length of time: write 30s, 10m or 1h")
    return float(match[1]) * UNITS[match[2]]


def _code(failed: bool, changed: bool, said: dict[str, Any]) -> int:
    if failed:
        return FAILED
    return CHANGED if changed and said["detailed_exitcode"] else DONE


class Report:
    """What a pass tells while it runs, as text, JSON or JSON lines; it keeps counts, never the entries.

    JSON groups entries by kind, a pass tells them as they come: each list waits in a file of its own until the end.
    """

    def __init__(self, app: Csflow, output: str, *, dry_run: bool) -> None:
        self._app, self._output, self._dry_run = app, output, dry_run
        self._files: dict[str, IO[str]] = {}
        self._stack = ExitStack()
        self._ways: Counter[tuple[str, str]] = Counter()
        self._told = 0
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._clear()
        self._stack.close()

    def tell(self, kind: str, entry: dict[str, Any]) -> None:
        """Hear of one entry."""
        self._told += 1
        if self._terminal and self._told % 100 == 0:
            click.echo(f"\r{self._told:,} changes …", nl=False, err=True)
        if self._output == "jsonl":
            click.echo(json.dumps({"kind": kind, **entry}, ensure_ascii=False))
        elif self._output == "json":
            file = self._list(kind)
            file.write(",\n" if file.tell() else "")
            file.write(json.dumps(entry, ensure_ascii=False))
        elif kind in {"opened", "moved"}:
            way = f"{entry['from']} → {entry['to']}" if kind == "moved" else f"opened in {entry['stage']}"
            self._ways[(entry["flow"], way)] += 1

    def end(self, outcome: Outcome, measured: Measured | None = None, delivered: dict[str, Any] | None = None) -> None:
        """Print what the pass did, and what was delivered after it."""
        self._clear()
        head = {"as_of": self._app.zone.text(outcome.as_of), "definition": outcome.definition, "dry_run": self._dry_run}
        head |= {"cases": outcome.cases, "asked": outcome.asked}
        extra = {"measured": _measured(self._app, measured)} if measured is not None else {}
        extra |= {"delivered": delivered} if delivered is not None else {}
        if self._output == "text":
            self._tell_text(outcome, measured)
            return
        for failure in outcome.failed:
            self.tell("failed", failure)
        if self._output == "jsonl":
            click.echo(json.dumps({"kind": "pass", **head, **extra, "plugins": outcome.plugins}, ensure_ascii=False))
            return
        click.echo(json.dumps(head | extra, ensure_ascii=False)[:-1], nl=False)
        for kind in dict.fromkeys((*LISTS, *self._files)):
            click.echo(f', "{kind}": [', nl=False)
            self._copy(kind)
            click.echo("]", nl=False)
        click.echo(f', "plugins": {json.dumps(outcome.plugins, ensure_ascii=False)}}}')

    def _list(self, kind: str) -> IO[str]:
        if kind not in self._files:
            file = SpooledTemporaryFile(IN_MEMORY, mode="w+", encoding="utf-8")  # noqa: SIM115  # closed by the stack
            self._files[kind] = self._stack.enter_context(file)
        return self._files[kind]

    def _copy(self, kind: str) -> None:
        if kind not in self._files:
            return
        self._files[kind].seek(0)
        for line in self._files[kind]:
            click.echo(line, nl=False)

    def _tell_text(self, outcome: Outcome, measured: Measured | None) -> None:
        if measured is not None:
            _tell_measured(measured, _measured(self._app, measured))
        dry = " (dry run: nothing was written)" if self._dry_run else ""
        counts = {kind: number for kind, number in outcome.counts.items() if number and kind != "failed"}
        in_order = sorted(counts.items(), key=lambda one: one[0] == "tasks")  # they come of what stands before them
        told = ", ".join(counted(number, *NOUNS.get(kind, (kind, kind))) for kind, number in in_order)
        told = told or "nothing to do"
        click.echo(f"pass as of {self._app.zone.text(outcome.as_of)}: {told}{dry}")
        for (flow, way), number in self._ways.most_common(SHOWN):
            click.echo(f"  {number:>7,}  {flow}: {way}")
        if len(self._ways) > SHOWN:
            more = counted(len(self._ways) - SHOWN, "more way")
            click.echo(f"  and {more}: --format json lists every case")
        for failure in outcome.failed[:SHOWN]:
            click.echo(for_people(f"  failed: {failure['case']}: {failure['error']}"))
        if len(outcome.failed) > SHOWN:
            click.echo(f"  and {len(outcome.failed) - SHOWN} more that failed")
        for failure in outcome.plugins:
            click.echo(f"  plugin failed: {failure['plugin']}: {failure['hook']}: {failure['error']}")

    def _clear(self) -> None:
        if self._terminal and self._told >= 100:  # as often as `tell` writes
            click.echo("\r\033[K", nl=False, err=True)
            self._told = 0


def _measured(app: Csflow, measured: Measured) -> dict[str, Any]:
    return {
        "as_of": app.zone.text(measured.as_of),
        "changed": dict(sorted(measured.changed.items())),
        "failed": measured.failed,
        "silent": sorted(measured.silent),
    }


def _tell_measured(measured: Measured, data: dict[str, Any]) -> None:
    dry = " (dry run: nothing was written)" if data.get("dry_run") else ""
    total = sum(measured.changed.values())
    values, metrics = counted(total, "value"), counted(len(measured.changed), "metric")
    click.echo(f"measured as of {data['as_of']}: {values} of {metrics} changed{dry}")
    for failure in measured.failed:
        where = f"{failure['hook']}: {failure['metric']}" if failure["metric"] else failure["hook"]
        click.echo(f"  plugin failed: {failure['plugin']}: {where}: {failure['error']}")
    if measured.silent:
        click.echo(f"  silent, so unknown: {', '.join(data['silent'])}")
