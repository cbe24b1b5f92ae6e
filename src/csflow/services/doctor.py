"""What is wrong with a project, its database and what happens every night: one line each, and what to do about it.

Nothing is changed, not even in the database's settings.
"""

from __future__ import annotations

import json
import re
import zoneinfo
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, exists, func, or_, select

from csflow.errors import CsflowError, DefinitionError
from csflow.flow.files import GENERATED
from csflow.services.plugin_health import plugin_failures
from csflow.services.waiting import refused_words
from csflow.store import tables as t
from csflow.store.inspecting import Inspected, inspected, looking_store
from csflow.store.locking import Seen, look
from csflow.values import DAY_US, Instant, Zone, counted, day_text, instant_text, latest_start, parse_length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from csflow.flow.definition import Definition
    from csflow.flow.loader import Loaded
    from csflow.hookspecs import Failure
    from csflow.values import Length

FEW = 5  # words that were not heard are named, of very many
PASSES = 10  # how often passes come is told by so many of the last
SKEW_US = 5 * 60 * 1_000_000  # clocks of two machines may differ by so much
NAMED = 5  # names in one line
ADVISED = re.compile(r"(.*): ((?:give|install|look|put|restore|run|try|update|write)\b.*)", re.DOTALL)
RENAME = "rename one, or switch it off with plugins_off:"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong (or only worth knowing: a note), what it is about, and what to do."""

    about: str
    what: str
    advice: str
    wrong: bool = True


@dataclass(frozen=True, slots=True)
class Looking:
    """At what moment, what the machine's clock says, how often a pass should come (None: as it did), and where."""

    now: Instant
    clock: Instant
    every: Length | None
    database: str | None
    project: Path


def examine(looking: Looking, load: Callable[[], Loaded], failures: Callable[[], Iterable[Failure]]) -> dict[str, Any]:
    """Look at everything; ``load`` reads the definitions anew, ``failures`` loads the plugins and says what went wrong.

    A dict of ``as_of``, ``database`` (``place kind tables``, null where there is none), ``wrong`` and ``notes``
    (how many) and ``findings``, the wrong ones first: each ``level`` (wrong or note), ``about``, ``what``, ``do``.
    """
    if not zoneinfo.available_timezones():
        lacking = Finding("clock", "there is no time zone database", "install the package tzdata")
        return _told(instant_text(looking.now), None, [lacking])
    definition, address, found = _definitions(load)
    zone = Zone(definition.zone) if definition is not None else Zone("UTC")
    broken = _failures(failures, found) if definition is not None else []
    database = None
    if definition is not None or looking.database is not None:
        database, more = _database(looking, looking.database or address, definition, broken)
        found += more
    return _told(zone.text(looking.now), database, found)


def _told(as_of: str, seen: Inspected | None, found: list[Finding]) -> dict[str, Any]:
    found.sort(key=lambda one: not one.wrong)
    bad = sum(one.wrong for one in found)
    return {
        "as_of": as_of,
        "database": seen and {"place": seen.place, "kind": seen.kind, "tables": seen.tables},
        "wrong": bad,
        "notes": len(found) - bad,
        "findings": [
            {"level": "wrong" if one.wrong else "note", "about": one.about, "what": one.what, "do": one.advice}
            for one in found
        ],
    }


def _definitions(load: Callable[[], Loaded]) -> tuple[Definition | None, str | None, list[Finding]]:
    """The definition and the address in it, None where it cannot be read."""
    try:
        loaded = load()
    except DefinitionError as error:
        mistakes = [problem for problem in error.problems if not problem.warning]
        more = f", and {len(mistakes) - 1} more" if len(mistakes) > 1 else ""
        advice = "csflow validate lists them all; passes refuse to run until they are mended"
        return None, None, [Finding("definitions", f"{mistakes[0]}{more}", advice)]
    except CsflowError as error:  # two plugins of one name
        return None, None, [Finding("plugins", str(error), RENAME)]
    warnings = [problem for problem in loaded.problems if problem.warning]
    found = []
    if warnings:
        what = f"{counted(len(warnings), 'warning')}, the first: {warnings[0]}"
        found.append(Finding("definitions", what, "csflow validate lists them", wrong=False))
    return loaded.definition, loaded.tree.get("database"), found


def _failures(failures: Callable[[], Iterable[Failure]], found: list[Finding]) -> list[Failure]:
    """What is wrong with plugins now, told among ``found``."""
    try:
        broken = list(failures())
    except CsflowError as error:
        found.append(Finding("plugins", str(error), RENAME))
        return []
    advice = "mend or update it, or switch it off with plugins_off:"
    found += [Finding("plugins", f"{one.plugin} ({one.hook}): {one.reason}", advice) for one in broken]
    return broken


def _database(
    looking: Looking, address: str | None, definition: Definition | None, broken: list[Failure]
) -> tuple[Inspected | None, list[Finding]]:
    """The database itself, and where it can be read, all that is in it."""
    try:
        store = looking_store(address, project=looking.project)
        if store is None:
            advice = "csflow import makes it; or name the right one with --database"
            return None, [Finding("database", "there is none yet", advice, wrong=False)]
        try:
            seen = inspected(store)
            found = _health(seen)
            if definition is not None and seen.tables == seen.known and not seen.lacks and not seen.damages:
                lock = look(store)
                with store.reading() as connection:
                    found += _Doctor(connection, definition, looking, lock, broken).findings()
            return seen, found
        finally:
            store.close()
    except CsflowError as error:
        return None, [Finding("database", *_and_advice(str(error)))]


def _and_advice(reason: str) -> tuple[str, str]:
    """What is wrong with a database, and what to do: what the reason itself says to do, or where to look."""
    advised = ADVISED.fullmatch(reason)
    if advised is not None:
        return advised[1], advised[2]
    return reason, "look whether it is there, whether its server runs, and at its address and rights"


def _health(seen: Inspected) -> list[Finding]:
    found = []
    if seen.tables is None:
        found.append(Finding("database", f"{seen.place} has no tables yet", "csflow import makes them", wrong=False))
    elif seen.tables != seen.known:
        older = seen.tables.isdigit() and seen.tables < seen.known
        what = f"its tables are of version {seen.tables}, this csflow knows {seen.known}"
        found.append(Finding("database", what, "csflow db upgrade" if older else "update csflow"))
    if seen.lacks:
        what = f"it lacks {_some(seen.lacks)}"
        found.append(Finding("database", what, "somebody changed the tables: restore a copy, or import anew"))
    found += [Finding("database", f"damaged: {one}", "restore the last copy of it") for one in seen.damages]
    advice = (
        "another program changed it: csflow sets it back when it next writes; if it stays, use a local disk"
        if seen.kind.startswith("sqlite")
        else "a crash of the server may lose what was written: set it as PostgreSQL comes"
    )
    found += [Finding("database", one, advice) for one in seen.unsafe]
    return found


class _Doctor:
    """Asks the database one thing each."""

    def __init__(
        self, connection: Connection, definition: Definition, looking: Looking, lock: Seen, broken: list[Failure]
    ) -> None:
        self.known = {(one.plugin, one.hook) for one in broken}
        self.connection, self.definition, self.looking, self.lock = connection, definition, looking, lock
        self.zone = Zone(definition.zone)
        self.generated = (looking.project / GENERATED).is_file()
        # a demo's world ends with its last pass: that nobody called it since is no trouble of anybody's
        self.now = min(looking.now, self._last("pass") or looking.now) if self.generated else looking.now
        self.today = self.zone.day_of(self.now)
        self.patience = self._patience()

    def findings(self) -> list[Finding]:
        """All that this database tells."""
        return [
            *self._demo(), *self._clock(), *self._locked(), *self._passes(), *self._failed(), *self._sources(),
            *self._plugins(), *self._outbox(), *self._unknown(), *self._unpriced(),
        ]  # fmt: skip

    def _demo(self) -> list[Finding]:
        if self.now >= self.looking.now:
            return []
        what = f"generated data that ends at {self.zone.text(self.now)}: looked at as of then"
        return [Finding("demo", what, "nothing; csflow run would go on as of today", wrong=False)]

    def _patience(self) -> int | None:
        """Microseconds after which a pass is late: the longest pause between the last ones, and half of it."""
        if self.looking.every is not None:
            return self.zone.add(self.now, self.looking.every) - self.now
        run = t.run.c
        newest = select(run.as_of).where(run.verb == "pass", run.finished == 1).distinct()
        moments = self.connection.execute(newest.order_by(run.as_of.desc()).limit(PASSES)).scalars().all()
        days = sorted({self.zone.day_of(moment) for moment in moments})
        longest = max((later - former for former, later in pairwise(days)), default=None)
        return None if longest is None else longest * DAY_US * 3 // 2

    def _clock(self) -> list[Finding]:
        run = t.run.c
        ahead = max((self._last(verb) or 0 for verb in ("measure", "pass")), default=0)
        written = self.connection.execute(select(func.max(run.recorded))).scalar()
        found = []
        if self.zone.day_of(ahead) > self.today:
            what = f"the newest measure or pass is as of {self.zone.text(ahead)}, which is still to come"
            advice = (
                "a pass before it is refused: mend the machine's clock and wait,"
                " or go back to the last copy of the database"
            )
            found.append(Finding("clock", what, advice))
        if written is not None and written > self.looking.clock + SKEW_US:
            what = f"the newest entry was written at {self.zone.text(written)}, which is still to come"
            found.append(Finding("clock", what, "mend the clock of this machine, or of the one that wrote it"))
        return found

    def _locked(self) -> list[Finding]:
        who = self.lock.who or "a process that left no name"
        if self.lock.held:
            advice = "wait for it, or end that process: it goes on from there the next time"
            return [Finding("lock", f"a pass runs: {who}", advice, wrong=False)]
        if self.lock.who is not None:
            advice = "nothing holds the lock: the next csflow run goes on from there"
            return [Finding("lock", f"a pass did not come to its end: {who}", advice, wrong=False)]
        return []

    def _passes(self) -> list[Finding]:
        found = []
        for verb in ("pass", "measure"):
            last = self._last(verb)
            if last is None:
                found.append(Finding(verb, f"no {verb} has run yet", "csflow run, every night", wrong=False))
            elif verb == "pass" or last < (self._last("pass") or last):
                found += self._late(verb, last)
            if not self._ended(verb) and not self.lock.held:
                what = f"the newest {verb} was ended before it was done"
                found.append(Finding(verb, what, "csflow run: it goes on from there"))
        return found

    def _late(self, verb: str, last: Instant) -> list[Finding]:
        age = self.now - last
        if age <= (DAY_US if self.patience is None else self.patience):
            return []
        what = f"the last {verb} was as of {self.zone.text(last)}, {age / DAY_US:.1f} days ago"
        if self.patience is None:  # there was only one
            return [Finding(verb, what, "csflow run, every night; or say with --every how often", wrong=False)]
        return [Finding(verb, f"{what}: {self._usual()}", "csflow run; then look why nobody called it")]

    def _usual(self) -> str:
        if self.looking.every is not None:
            return "longer than --every says"
        return "longer than any pause between the passes before it"

    def _last(self, verb: str) -> Instant | None:
        """The newest finished one of all customers."""
        run = t.run.c
        return self.connection.execute(select(func.max(run.as_of)).where(run.verb == verb, run.finished == 1)).scalar()

    def _ended(self, verb: str) -> bool:
        """Whether the newest run of a verb came to its end; one for some customers only is never called finished."""
        run = t.run.c
        newest = select(run.finished, run.summary).where(run.verb == verb).order_by(run.id.desc()).limit(1)
        row = self.connection.execute(newest).first()
        return row is None or bool(row.finished) or row.summary is not None

    def _failed(self) -> list[Finding]:
        run = t.run.c
        newest = select(run.as_of, run.summary).where(run.verb == "pass", run.summary.is_not(None))
        row = self.connection.execute(newest.order_by(run.id.desc()).limit(1)).first()
        many = json.loads(row.summary).get("failed", 0) if row is not None else 0
        if row is None or not many:
            return []
        words = refused_words(self.connection, self.definition, row.as_of)
        found = [
            Finding(
                "words",
                f"'{word}' to {whom} of {self.zone.text(at)} was not heard: {why}",
                f"once that is mended, say it again: csflow trigger {word} {whom} --at {self.zone.text(at)[:10]}",
            )
            for word, whom, at, why in words[:FEW]
        ]
        if len(words) > FEW:
            found.append(Finding("words", f"{len(words) - FEW:,} more were not heard", "mend those above first"))
        if many > len(words):
            what = f"{counted(many - len(words), 'case')} failed in the pass of {self.zone.text(row.as_of)}"
            found.append(Finding("cases", what, "csflow advance --full --dry-run names them and says why"))
        return found

    def _plugins(self) -> list[Finding]:
        """What plugins did wrong in the last run, and were not found to do wrong just now."""
        advice = "mend it, and run again; its last values stand until then"
        found = []
        for one in plugin_failures(self.connection):
            if one["current"] and (one["plugin"], one["hook"]) not in self.known:
                name = f"{one['name']}: " if one["name"] else ""
                what = f"{one['plugin']} ({one['hook']}): {name}{one['reason']}, as of {self.zone.text(one['at'])}"
                found.append(Finding("plugins", what, advice))
        return found

    def _sources(self) -> list[Finding]:
        s = t.source.c
        known = {
            name: (last_day, imported, alarmed)
            for name, last_day, imported, alarmed in self.connection.execute(
                select(t.name.c.name, s.last_day, s.imported, s.alarmed)
                .join(t.source, s.source == t.name.c.id)
                .where(t.name.c.kind == "source")
            )
        }
        found, never = [], []
        for name, mapping in self.definition.imports.items():
            last_day, imported, alarmed = known.get(name, (None, None, 0))
            if imported is None:
                never.append(name)
            elif mapping.get("every") and last_day is not None:
                expected = latest_start(parse_length(mapping["every"]), self.today)
                if last_day < expected:
                    newest, due = day_text(last_day), day_text(expected)
                    what = f"{name} is silent: its newest row is of {newest}, one of {due} is due"
                    found.append(Finding("sources", what, f"bring the file: csflow import {name} FILE"))
                elif alarmed:
                    what = f"{name} had far fewer rows on its newest day than before"
                    found.append(
                        Finding("sources", what, f"look at the file, and import it anew: csflow import {name} FILE")
                    )
        if never:
            what = f"never imported: {_some(never)}"
            found.append(Finding("sources", what, "csflow import NAME FILE; or take it out of imports:", wrong=False))
        return found

    def _outbox(self) -> list[Finding]:
        o = t.outbox.c
        rows = self.connection.execute(select(o.status, func.count(), func.min(o.at)).group_by(o.status))
        by_status = {status: (many, at) for status, many, at in rows}
        found = []
        if "dead" in by_status:
            many, _ = by_status["dead"]
            what = f"{counted(many, 'message')} could not be delivered{self._reason_of_oldest('dead', many)}"
            found.append(Finding("outbox", what, "csflow outbox list --status dead; then outbox retry or drop"))
        if "pending" in by_status:
            many, at = by_status["pending"]
            late = self.now - at > (self.patience or DAY_US) and not self.generated
            what = f"{counted(many, 'message')} not sent yet, the oldest of {self.zone.text(at)}"
            what += self._reason_of_oldest("pending", many, at)
            advice = "a demo sends none by itself: csflow deliver does" if self.generated else "csflow deliver"
            found.append(Finding("outbox", what, advice, wrong=late))
        if "withheld" in by_status:
            what = f"{counted(by_status['withheld'][0], 'message')} withheld since a first pass or --catch-up"
            found.append(
                Finding("outbox", what, "csflow outbox release --all sends them, outbox drop does not", wrong=False)
            )
        return found

    def _reason_of_oldest(self, status: str, many: int, named: Instant | None = None) -> str:
        """Why the oldest of so many messages that failed did; when it is of, where that is not ``named`` yet."""
        o = t.outbox.c
        failed = select(o.at, o.error).where(o.status == status, o.error.is_not(None))
        oldest = self.connection.execute(failed.order_by(o.at, o.id).limit(1)).first()
        if oldest is None:
            return ""
        if many == 1 or oldest.at == named:
            return f": {oldest.error}"
        return f"; one of {self.zone.text(oldest.at)}: {oldest.error}"

    def _unknown(self) -> list[Finding]:
        """Metrics that were measured and are known of nobody: no rule that reads them can ever be decided."""
        if self.connection.execute(select(t.customer.c.id).limit(1)).first() is None:
            return []
        m = t.measurement.c
        known = exists().where(m.metric == t.measured.c.metric, or_(m.number.is_not(None), m.text.is_not(None)))
        statement = select(t.name.c.name).join(t.measured, t.measured.c.metric == t.name.c.id).where(~known)
        there = self.connection.execute(statement.order_by(t.name.c.name)).scalars()
        names = [name for name in there if name in self.definition.metrics]
        if not names:
            return []
        what = f"known of nobody: {_some(names)}"
        advice = "csflow explain CUSTOMER says why; import what they are computed from"
        return [Finding("metrics", what, advice, wrong=False)]

    def _unpriced(self) -> list[Finding]:
        """Contracts in a currency without a rate of their day: what their customers pay is unknown."""
        k = t.contract.c
        lacking = select(k.currency, func.count()).where(k.amount.is_not(None), k.value.is_(None))
        found = self.connection.execute(lacking.group_by(k.currency).order_by(k.currency)).all()
        if not found:
            return []
        many = counted(sum(number for _, number in found), "contract")
        what = f"no rate of {_some([str(currency) for currency, _ in found])} for the day of {many}"
        return [Finding("rates", what, "csflow import rates FILE; until then their amounts are unknown", wrong=False)]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
