"""Delivering, and what it tells: for `csflow deliver` and at the end of `csflow run`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from csflow.cli.called import as_called
from csflow.cli.options import for_people, now
from csflow.values import counted

if TYPE_CHECKING:
    from csflow.app import Csflow
    from csflow.services.deliver import Delivered
    from csflow.values import Instant

SHOWN = 12  # failures in the text
SECOND = 1_000_000
DONE, FAILED = 0, 1


def once(app: Csflow, output: str, *, limit: int | None = None, dry_run: bool = False, end: Instant = 0) -> Delivered:
    """Deliver, and until ``end`` again whenever something is due; JSON lines are printed as messages go."""
    from csflow.services.deliver import Handing  # noqa: PLC0415  # SQLAlchemy comes with it

    def tell(entry: dict[str, Any]) -> None:
        click.echo(json.dumps({"kind": "message", **entry}, ensure_ascii=False))

    done = app.deliver(Handing(now, limit, dry_run), tell if output == "jsonl" else None)
    while done.next_due is not None and done.next_due <= end and not dry_run and limit is None:
        time.sleep(max(done.next_due - now(), SECOND // 10) / SECOND)
        more = app.deliver(Handing(now), tell if output == "jsonl" else None)
        more.sent += done.sent
        more.dead += done.dead
        more.surplus += done.surplus
        more.failed = [one for one in done.failed if one["status"] == "dead"] + more.failed
        done = more
    return done


def data_of(app: Csflow, done: Delivered, *, dry_run: bool = False) -> dict[str, Any]:
    """What a deliver did, for scripts."""

    def text(at: Instant | None) -> str | None:
        return None if at is None else app.zone.text(at)

    return {
        "at": app.zone.text(done.at), "dry_run": dry_run, "sent": done.sent, "again": done.again, "dead": done.dead,
        "surplus": done.surplus, "waiting": done.waiting, "quiet_until": text(done.quiet_until),
        "next_due": text(done.next_due), "failed": done.failed, "down": done.down, "held": done.held,
        "plugins": [{"plugin": one.plugin, "hook": one.hook, "error": one.reason} for one in done.plugins],
    }  # fmt: skip


def told(app: Csflow, output: str, done: Delivered, *, dry_run: bool = False) -> int:
    """Print what a deliver did; the exit code."""
    if output != "text":
        kind = {"kind": "deliver"} if output == "jsonl" else {}
        click.echo(json.dumps(kind | data_of(app, done, dry_run=dry_run), ensure_ascii=False))
    else:
        for line in lines_of(app, done, dry_run=dry_run):
            click.echo(for_people(line))
    return FAILED if done.unwell else DONE


def lines_of(app: Csflow, done: Delivered, *, dry_run: bool = False) -> list[str]:
    """What a deliver did, for people."""
    parts = [f"{counted(done.sent, 'message')} {'would be sent' if dry_run else 'sent'}"]
    parts += [f"{done.again} to be tried again"] if done.again else []
    parts += [f"{done.dead} dead"] if done.dead else []
    parts += [f"{done.surplus} over the budget of a day"] if done.surplus else []
    lines = [f"deliver: {', '.join(parts)}{' (dry run: nothing was sent)' if dry_run else ''}"]
    if done.quiet_until is not None and done.waiting:
        lines.append(f"  quiet until {app.zone.text(done.quiet_until)}: {done.waiting} waiting")
    elif done.waiting:
        due = f", the next at {app.zone.text(done.next_due)}" if done.next_due is not None else ""
        lines.append(f"  {done.waiting} waiting{due}")
    for one in done.failed[:SHOWN]:
        when = f", again at {one['next_try']}" if one["next_try"] else ""
        lines.append(f"  {one['status']}: {one['id'][:12]} to {one['recipient']}: {one['error']}{when}")
    if len(done.failed) > SHOWN:
        lines.append(f"  and {len(done.failed) - SHOWN} more that failed: {as_called('csflow outbox list')}")
    lines += [f"  plugin failed: {one.plugin}: {one.hook}: {one.reason}" for one in done.plugins]
    if done.held:
        what = f"{counted(done.held, 'message was', 'messages were')} not tried"
        why = f"{as_called('csflow outbox list')} says why"
        lines.append(f"  by {', '.join(done.down)}: others failed again and again, {what}: {why}")
    return lines
