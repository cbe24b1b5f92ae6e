"""A project that fills itself: a made-up population lives through virtual weeks, each imported, measured, advanced.

Who lives there is the project's own business: `population.py` beside a `csflow.yaml` has a generator
``weeks(seed, customers, until)``. It yields (last day of a week, {file: rows}, acts) and is sent the cases as they
stand after the pass at that day's end, so that its people can answer them. An act is what a colleague does at the
keyboard: a task done (``case``, ``task``, ``by``) or fields filled (``case``, ``fields``, ``by``). ``BEGIN`` is the
first day, ``WEEKS`` how many weeks there are, ``NOTE`` that all of it is invented.
"""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import and_, case, event, func, select, tuple_

from csflow.errors import RefusedError, UsageError
from csflow.flow.definition import Definition
from csflow.flow.files import GENERATED, POPULATION_FILE, PROJECT_FILE
from csflow.hookspecs import Provider, Recipient
from csflow.services.acting import Act, acting, fill_case, load_cases
from csflow.services.advance import Request
from csflow.services.effects import perform
from csflow.services.importing import files_of, import_file
from csflow.services.messages import expressions_of
from csflow.services.messages_filling import Filling
from csflow.services.run import run
from csflow.services.status import overdue_cases
from csflow.services.tasking import Answer, end_task
from csflow.store import tables as t
from csflow.store.opening import Store
from csflow.values import Instant, Zone, day

MARK = GENERATED
DATA = "data"
PAGE = "page.html"
NEWEST = 3  # messages shown for a month
DATABASE = "csflow.db"
_LEFT_BY_SQLITE = ("", "-wal", "-shm", ".lock", ".lock.json")
OWN = (DATA, ".csflow", PROJECT_FILE, POPULATION_FILE, PAGE, *(f"{DATABASE}{end}" for end in _LEFT_BY_SQLITE), MARK)
WEEK_US = 7 * 86_400_000_000

Rows = list[dict[str, Any]]
Weeks = Generator[tuple[date, dict[str, Rows], Rows], Rows | None, None]


@dataclass(frozen=True, slots=True)
class Population:
    """Who lives in the demo: ``weeks`` gives (day, {file: rows}, acts) and hears of the cases; ``number`` of weeks."""

    weeks: Weeks
    number: int
    note: str
    begin: date


@dataclass(frozen=True, slots=True)
class Month:
    """The messages of a month: how many were written, and the newest, the last one last, as (day, to whom, title)."""

    name: str
    number: int
    newest: tuple[tuple[str, str, str], ...]


Heard = Callable[[int, Month | None], None]  # the weeks that have passed, and the messages of a month that is over


@dataclass(slots=True)
class Lived:
    """What the weeks were: rows imported and refused, entries of all passes by kind, words and cases that failed."""

    weeks: int = 0
    passes: int = 0
    rows: int = 0
    rejected: int = 0
    until: Instant = 0
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[dict[str, str]] = field(default_factory=list)


def make_project(folder: Path, pack: Path, *, note: str) -> None:
    """A project in ``folder`` that extends the shipped pack, marked as generated."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text(f"{note}\n", "utf-8")
    kept = [
        line
        for line in (pack / "csflow.yaml").read_text("utf-8").splitlines()
        if line.startswith(("languages:", "currency:", "zone:", "calendar:"))
    ]
    lines = ["csflow: 1", "name: demo", f"extends: [{pack.name}]", *kept, ""]
    (folder / "csflow.yaml").write_text("\n".join(lines), "utf-8")
    shutil.copyfile(pack / POPULATION_FILE, folder / POPULATION_FILE)


def clear(folder: Path, *, force: bool) -> None:
    """Remove a former demo when told to, and nothing else. UsageError when the folder holds what is to stay."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / MARK).is_file():
        raise UsageError(f"{folder} is not empty and no former demo: name a new folder")
    if not force:
        raise UsageError(f"{folder} holds a former demo: csflow demo {folder} --force makes it anew")
    for name in OWN:  # what somebody put beside it stays
        shutil.rmtree(folder / name, ignore_errors=True) if (folder / name).is_dir() else (folder / name).unlink(
            missing_ok=True
        )


def population_of(module: ModuleType, *, seed: int, customers: int, weeks: int | None = None) -> Population:
    """The population that a module of a project describes, for all its weeks or the first few.

    UsageError when something is missing in it.
    """
    for name in ("weeks", "BEGIN", "WEEKS", "NOTE"):
        if not hasattr(module, name):
            raise UsageError(f"{module.__file__}: it needs {name}")
    number = min(weeks or module.WEEKS, int(module.WEEKS))
    return Population(module.weeks(seed, customers, number), number, str(module.NOTE), module.BEGIN)


def live(
    store: Store,
    definition: Definition,
    providers: Mapping[str, Provider],
    population: Population,
    *,
    data: Path,
    tell: Heard,
) -> Lived:
    """Let every week happen: its files are written and imported, then measure and advance at its end."""
    _hurry(store)
    seen, before = 0, population.begin
    zone, lived = Zone(definition.zone), Lived()
    cases: Rows | None = None
    numbers: dict[str, int] = {}
    while True:
        try:
            last, files, acts = population.weeks.send(cases)
        except StopIteration:
            break
        now = zone.end_of(day(last))
        if last.month != before.month:
            month, seen = _month(store, definition, f"{before:%Y-%m}", seen)
            tell(lived.weeks, month)
        before = last
        _import(store, definition, _write(data / last.isoformat(), files), now, lived)
        _act(store, definition, [(numbers[one["case"]], one) for one in acts], now, lived)
        request = Request(now, "demo", now)
        ran = run(store, definition, providers, request=request, tell=_counting(lived))
        lived.failed += [*ran.measured.failed, *(ran.outcome.failed if ran.outcome else [])]
        cases, numbers = _cases(store, definition, now)
        lived.weeks, lived.passes = (last - population.begin).days // 7 + 1, lived.passes + 1
        lived.until = now
        tell(lived.weeks, None)
    tell(lived.weeks, _month(store, definition, f"{before:%Y-%m}", seen)[0])
    return lived


def _month(store: Store, definition: Definition, name: str, seen: int) -> tuple[Month, int]:
    """The messages written since row ``seen`` of the outbox, and the last row now. Nothing is sent."""
    o, zone = t.outbox.c, Zone(definition.zone)
    fresh = (o.id > seen, o.verb == "notify")
    with store.reading() as connection:
        number, last = connection.execute(select(func.count(), func.max(o.id)).where(*fresh)).one()
        chosen = select(t.outbox).where(*fresh).order_by(o.at.desc(), o.id.desc()).limit(NEWEST)
        rows = list(reversed(connection.execute(chosen).all()))
        if not rows:
            return Month(name, 0, ()), seen
        newest = rows[-1].at
        filling = Filling(connection, definition, rows=rows, now=newest, known=expressions_of(definition))
        told = []
        for row in rows:
            kind, _, who = row.recipient.partition(":")
            title = filling.message(row, Recipient(kind, who, None, {}), "").title
            told.append((zone.text(row.at)[:10], who, title))
    return Month(name, number, tuple(told)), last


def _hurry(store: Store) -> None:
    """A demo that is cut off is made anew, so no disk is waited for. Other commands open the file safely again."""

    def hurry(connection: Any, _record: object) -> None:
        connection.execute("pragma synchronous = off")

    if store.dialect == "sqlite":
        store.engine.dispose()
        event.listen(store.engine, "connect", hurry)


def _write(folder: Path, files: dict[str, Rows]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return folder


def _import(store: Store, definition: Definition, folder: Path, now: Instant, lived: Lived) -> None:
    for name, path in files_of(definition, folder):
        summary = import_file(store, definition, name, path, as_of=now, recorded=now)
        lived.rows += summary.read
        lived.rejected += summary.rejected


def _act(
    store: Store, definition: Definition, acts: list[tuple[int, dict[str, Any]]], now: Instant, lived: Lived
) -> None:
    """What colleagues did this week, one transaction for each of them: acts, each with the number of its case."""
    for actor in sorted({one["by"] for _, one in acts}):
        mine = [(number, one) for number, one in acts if one["by"] == actor]
        with acting(store, definition, Act(actor, now, now)) as work:
            rows = load_cases(work, [number for number, _ in mine])
            for number, one in mine:
                try:
                    if "task" in one:
                        end_task(work, Answer(one["case"], one["task"]), rows.get(number))
                    else:
                        fill_case(work, one["case"], one["fields"], rows.get(number))
                except RefusedError as error:  # before it wrote anything
                    lived.failed.append({"case": one["case"], "error": str(error)})
            perform(work)


def _counting(lived: Lived) -> Callable[[str, dict[str, Any]], None]:
    def tell(kind: str, _entry: dict[str, Any]) -> None:
        lived.counts[kind] += 1

    return tell


def _cases(store: Store, definition: Definition, now: Instant) -> tuple[Rows, dict[str, int]]:
    """The cases that somebody can still do something about, as `population.py` gets them, and their numbers."""
    over = [
        (flow.name, stage.name)
        for flow in definition.flows.values()
        for stage in flow.stages.values()
        if not stage.transitions
    ]
    c, owner, k = t.case.c, t.customer, t.task.c
    with store.reading() as connection:
        waiting: dict[int, list[str]] = {}
        for number, name in connection.execute(
            select(k.case, k.name).where(k.done_at.is_(None)).order_by(k.case, k.name)
        ):
            waiting.setdefault(number, []).append(name)
        rows = connection.execute(
            select(
                c.id,
                c.flow,
                c.subject,
                c.number,
                c.stage,
                c.entered_at,
                owner.c.key,
                t.contract.c.key.label("contract"),
            )
            .select_from(
                t.case.join(owner, owner.c.id == c.customer).outerjoin(t.contract, t.contract.c.id == c.subject)
            )
            .where(tuple_(c.flow, c.stage).not_in(over))
            .order_by(c.flow, owner.c.key, c.subject, c.number)
        ).all()
    told = [
        {
            "case": _name(definition, row), "flow": row.flow, "customer": row.key, "stage": row.stage,
            "weeks": (now - row.entered_at) // WEEK_US, "tasks": waiting.get(row.id, []),
        }
        for row in rows
    ]  # fmt: skip
    return told, {one["case"]: row.id for one, row in zip(told, rows, strict=True)}


@dataclass(frozen=True, slots=True)
class Standing:
    """How many cases stand in a stage, how many are open and overdue (as in `status`), how many moves led there."""

    flow: str
    stage: str
    cases: int
    overdue: int
    moves: int


def standing(store: Store, definition: Definition, now: Instant) -> list[Standing]:
    """Every stage of every flow that has a case, in the order of the definition."""
    c, late = t.case.c, overdue_cases(now)
    overdue = func.sum(case((and_(late.c.case.is_not(None), c.ended.is_(None)), 1), else_=0))
    counted = (
        select(c.flow, c.stage, func.count(), overdue)
        .select_from(t.case.outerjoin(late, late.c.case == c.id))
        .group_by(c.flow, c.stage)
    )
    h = t.history.c
    moves = (
        select(c.flow, h.target, func.count())
        .select_from(t.history.join(t.case, c.id == h.case))
        .where(h.kind == "moved")
        .group_by(c.flow, h.target)
    )
    with store.reading() as connection:
        found = {(row[0], row[1]): (row[2], row[3]) for row in connection.execute(counted)}
        moved = {(row[0], row[1]): row[2] for row in connection.execute(moves)}
    used = {flow for flow, _ in found}
    return [
        Standing(flow.name, stage, *found.get((flow.name, stage), (0, 0)), moved.get((flow.name, stage), 0))
        for flow in definition.flows.values()
        for stage in flow.stages
        if flow.name in used
    ]


def somebody(store: Store) -> str:
    """The customer with the longest history: worth a look."""
    h, c = t.history.c, t.case.c
    with store.reading() as connection:
        found = connection.execute(
            select(t.customer.c.key)
            .select_from(t.history.join(t.case, c.id == h.case).join(t.customer, t.customer.c.id == c.customer))
            .group_by(t.customer.c.key)
            .order_by(func.count().desc(), t.customer.c.key)
            .limit(1)
        ).scalar()
    return str(found)


def _name(definition: Definition, row: Any) -> str:
    subject = f"{row.key}/{row.contract}" if definition.flows[row.flow].subject == "contract" else row.key
    return f"{row.flow}/{subject}/{row.number}"
