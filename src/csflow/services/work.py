"""What one transaction does to a chunk of cases: their rows, what is known beside them, and the changes to write.

Everything a chunk needs is read in a handful of statements and written in a handful, however many cases it has.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Executable,
    Row,
    Text,
    Update,
    bindparam,
    null,
    select,
    update,
)
from sqlalchemy import case as when

from csflow.errors import CsflowError
from csflow.flow.definition import Effect, Flow
from csflow.flow.machine import FlowMachine
from csflow.flow.records import record
from csflow.flow.types import WORDS, Type
from csflow.services.views import View, present
from csflow.store import tables as t
from csflow.store.insertion import insert_for, listed, missing_only, upsert
from csflow.store.names import subject_names
from csflow.store.prepared import Kept
from csflow.store.questions import Reason
from csflow.store.touching import touch
from csflow.values import Instant

Tell = Callable[[str, dict[str, Any]], None]
CASE_COLUMNS = tuple(column.name for column in t.case.columns)
FIXED = ("id", "flow", "subject", "customer", "number", "key", "opened_at")  # of a case, for its life
CASE_CHANGES = tuple(name for name in CASE_COLUMNS if name not in FIXED)
LINE_CHANGES = ("due", "anchor", "spec", "met", "missed", "person", "stopped", "rest", "dropped")


class StaleError(CsflowError):
    """A case changed between question and write; the chunk is rolled back and asked again."""


class CaseRow:
    """One case as this transaction sees it; attributes are the columns of the table."""

    __slots__ = (*CASE_COLUMNS, "old_version")

    def __init__(self, values: Iterable[Any]) -> None:
        for name, value in zip(CASE_COLUMNS, values, strict=True):
            setattr(self, name, value)
        self.old_version: int | None = self.version

    id: int
    flow: str
    subject: int
    customer: int | None
    number: int
    key: str
    stage: str
    ended: str | None
    stay: int
    came_from: str | None
    came_stay: int | None
    opened_at: Instant
    entered_at: Instant
    ended_at: Instant | None
    clock: int | None
    run: int
    waiting: int
    seq: int
    version: int
    definition: str


@dataclass(slots=True)
class Line:
    """A deadline of a case: the columns of the table."""

    case: int
    name: str
    run: int
    due: Instant | None
    anchor: int | None
    spec: str
    met: Instant | None = None
    missed: Instant | None = None
    person: str | None = None
    stopped: Instant | None = None
    rest: int | None = None
    dropped: int = 0
    new: bool = False
    changed: bool = False

    @property
    def waits(self) -> bool:
        """Neither met nor missed nor dropped."""
        return self.met is None and self.missed is None and not self.dropped

    def values(self) -> dict[str, Any]:
        """The row as the table wants it."""
        return {name: getattr(self, name) for name in LINE_COLUMNS}


LINE_COLUMNS = tuple(column.name for column in t.deadline.columns)


@record
class Due:
    """An effect that is to happen to a case now; ``seq`` is the history entry it belongs to, ``line`` its deadline."""

    row: CaseRow
    effect: Effect
    at: Instant
    seq: int
    occurrence: int = 0
    line: Line | None = None


@dataclass(slots=True)
class FieldWrite:
    """A field of a case or subject that gets a value: ``name`` as ``flow.field`` or ``customer.field``."""

    name: str
    subject: int
    number: float | None
    text: str | None
    at: Instant
    happened: int


@dataclass(slots=True)
class Work:
    """The chunk. ``tell`` hears of everything that happened, once it is certain (after the commit)."""

    connection: Connection
    view: View
    machines: dict[str, FlowMachine]
    actor: str
    recorded: Instant
    withheld: bool = False
    kept: Kept = field(default_factory=lambda: Kept(None))
    rows: dict[int, CaseRow] = field(default_factory=dict)
    reached: dict[int, dict[tuple[int, str], Instant]] = field(default_factory=lambda: defaultdict(dict))
    lines: dict[int, list[Line]] = field(default_factory=lambda: defaultdict(list))
    owners: dict[tuple[int, str], str] = field(default_factory=dict)
    keys: dict[tuple[str, int], str] = field(default_factory=dict)
    effects: list[Due] = field(default_factory=list)
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    changed: set[int] = field(default_factory=set)  # cases that something is written for
    tasks: int = 0  # how many were opened
    pending: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    fields: list[FieldWrite] = field(default_factory=list)
    touched: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    texts: dict[Instant, str] = field(default_factory=dict)  # of instants, as people read them
    specs: dict[str, dict[str, Any]] = field(default_factory=dict)  # flow → deadline → its spec, for `deadlines`

    def flow(self, row: CaseRow) -> Flow:
        """The flow of a case."""
        return self.view.definition.flows[row.flow]

    def ask(self, key: tuple[Any, ...], build: Callable[[], Executable], ids: Iterable[int]) -> list[Row[Any]]:
        """The rows that a question about these cases finds; ``build`` makes it, with `these`, where it is not kept."""
        world = self.view.world(self.connection.dialect.name)
        prepared = self.kept.prepared(self.connection, world, key, build)
        return prepared.ask(self.connection, self.view.moment, ids=json.dumps(sorted(set(ids))))

    def load(self, ids: Iterable[int]) -> None:
        """Read cases with their milestones, deadlines and owners; those that are there already stay as they are."""
        wanted = sorted(set(ids) - set(self.rows))
        if not wanted:
            return
        cases, current, lines = _loading()
        mine = {"ids": json.dumps(wanted)}
        loaded = [CaseRow(values) for values in self.connection.execute(cases, mine).all()]
        self.rows.update({row.id: row for row in loaded})
        for case, stay, name, at in self.connection.execute(current, mine).all():
            self.reached[case][(stay, name)] = at
        for values in self.connection.execute(lines, mine).all():
            self.lines[values[0]].append(Line(*values))
        self.know(loaded)

    def know(self, rows: Iterable[CaseRow]) -> None:
        """Read the ids of the subjects and the owners of these cases, one statement for each kind."""
        by_kind: dict[str, set[int]] = defaultdict(set)
        for row in rows:
            by_kind[self.flow(row).subject].add(row.subject)
            if row.customer is not None:
                by_kind["customer"].add(row.customer)
        for kind, ids in by_kind.items():
            missing = sorted(x for x in ids if (kind, x) not in self.keys)
            if missing:
                named = subject_names(self.connection, kind, missing)
                self.keys.update({(kind, id_): key for id_, key in named.items()})
        customers = sorted(by_kind["customer"])
        if customers:
            found = self.connection.execute(_owners(), {"ids": json.dumps(customers)})
            self.owners.update({(customer, role): person for customer, role, person in found})

    def know_subjects(self, words: Iterable[Any]) -> None:
        """Read the ids of the subjects that words in the inbox speak of."""
        by_kind: dict[str, set[int]] = defaultdict(set)
        for said in words:
            if said.kind != "case":
                by_kind[said.kind].add(said.subject)
        for kind, ids in by_kind.items():
            named = subject_names(self.connection, kind, ids)
            self.keys.update({(kind, id_): key for id_, key in named.items()})

    def owner(self, row: CaseRow, role: str | None) -> str | None:
        """The person who fills a role for this case; None when nobody does."""
        return self.owners.get((row.customer, role)) if role is not None and row.customer is not None else None

    def name(self, row: CaseRow) -> str:
        """The case as people call it: ``lifecycle/C-0001/1``."""
        return f"{row.flow}/{self.keys.get((self.flow(row).subject, row.subject), '?')}/{row.number}"

    def subject(self, row: CaseRow) -> dict[str, str]:
        """The case's subject for JSON."""
        kind = self.flow(row).subject
        return {"kind": kind, "id": self.keys.get((kind, row.subject), "?")}

    def touched_by(self, row: CaseRow) -> tuple[str, int]:
        """Kind and id of who is marked as touched when the case changes: its customer, else its subject."""
        return ("customer", row.customer) if row.customer is not None else (self.flow(row).subject, row.subject)

    def change(self, row: CaseRow) -> None:
        """Note that a case is written, and that whoever reads it must be asked again."""
        self.changed.add(row.id)
        if row.old_version is not None and row.version == row.old_version:
            row.version += 1
        kind, id_ = self.touched_by(row)
        self.touched[kind].add(id_)

    def log(self, row: CaseRow, kind: str, at: Instant, **what: Any) -> int:
        """Write the case's next history entry; ``what``: source, target, place, because. Returns its number."""
        row.seq += 1
        self.change(row)
        because = what.pop("because", None)
        self.pending["history"].append(
            {
                "case": row.id, "seq": row.seq, "kind": kind, "at": at, "recorded": self.recorded,
                "actor": what.pop("actor", None) or self.actor, "definition": self.view.definition.hash,
                "source": what.get("source"), "target": what.get("target"), "place": what.get("place"),
                "because": json.dumps(because, ensure_ascii=False) if because else None,
            }
        )  # fmt: skip
        return row.seq

    def because(self, reasons: Iterable[Reason]) -> list[dict[str, Any]]:
        """Reasons as they are kept and shown."""
        return [
            {
                "fact": reason.fact,
                "value": present(reason.value, reason.type, self.view),
                "measured": self.text(reason.measured) if reason.measured is not None else None,
            }
            for reason in reasons
        ]

    def text(self, at: Instant) -> str:
        """An instant as people read it; a measure's is the same for all it measured, so each is written once."""
        found = self.texts.get(at)
        if found is None:
            found = self.texts[at] = self.view.zone.text(at)
        return found

    def tell(self, kind: str, row: CaseRow, **what: Any) -> None:
        """Report something that happened to a case."""
        entry = {"subject": self.subject(row), "case": self.name(row), "flow": row.flow, **what}
        self.told.append((kind, entry))

    def set_field(self, name: str, subject: int, value: Any, kind: Type, at: Instant) -> None:
        """State a field's value, in stored form."""
        number, text = encode(value, kind)
        self.fields.append(FieldWrite(name, subject, number, text, at, self.view.zone.day_of(at)))

    def flush(self) -> None:
        """Write everything noted so far; StaleError when a case is no longer what was read."""
        self._write_cases()
        self._write_lines()
        # A stage entered again begins without its milestones; a move that waited for somebody's yes has no case left
        # to move; nobody has anything left to do in a case that ended; a timer that rang has rung.
        for name in ("stale", "passed", "over", "rung"):
            rows = self.pending.pop(name, None)
            if rows:
                self.connection.execute(_leftovers(name), rows)
        for name in ("milestone", "history", "task", "outbox", "inbox"):
            rows = self.pending.pop(name, None)
            if rows:
                new = missing_only if name == "outbox" else insert_for
                self.connection.execute(new(self.connection.dialect.name, getattr(t, name)), rows)
        self._write_timers()
        marks = self.pending.pop("opening", None)
        if marks:
            place = ("flow", "place", "subject", "key")
            self.connection.execute(upsert(self.connection.dialect.name, t.opening, place, ("period",)), marks)
        self._write_fields()
        for kind, ids in self.touched.items():
            touch(self.connection, kind, ids)
        self.touched.clear()

    def _write_timers(self) -> None:
        """A deadline that moved takes its reminders along; one that rang already rings again only if it is to come."""
        rows = self.pending.pop("timer", None)
        if not rows:
            return
        self.connection.execute(_timers(self.connection.dialect.name), [row | {"now": self.view.now} for row in rows])

    def _write_cases(self) -> None:
        changed = [row for row in self.rows.values() if row.old_version is not None and row.version != row.old_version]
        if not changed:
            return
        values = [
            {"own_id": row.id, "own_version": row.old_version} | {f"new_{x}": getattr(row, x) for x in CASE_CHANGES}
            for row in changed
        ]
        written = self.connection.execute(_case_update(), values).rowcount
        if written not in (-1, len(changed)):  # -1: the driver does not count what it did for many rows at once
            raise StaleError("a case was changed by someone else meanwhile")
        for row in changed:
            row.old_version = row.version

    def _write_lines(self) -> None:
        new = [line for lines in self.lines.values() for line in lines if line.new]
        changed = [line for lines in self.lines.values() for line in lines if line.changed and not line.new]
        if new:
            self.connection.execute(
                missing_only(self.connection.dialect.name, t.deadline), [line.values() for line in new]
            )
        if changed:
            self.connection.execute(
                _line_update(),
                [
                    {"own_case": line.case, "own_name": line.name, "own_run": line.run}
                    | {f"new_{name}": getattr(line, name) for name in LINE_CHANGES}
                    for line in changed
                ],
            )
        for line in (*new, *changed):
            line.new = line.changed = False

    def _write_fields(self) -> None:
        """The fields' values: logged where they changed, stated in any case."""
        if not self.fields:
            return
        book, last = self.view.book, {}
        for write in self.fields:
            last[(book.number("field", write.name), write.subject)] = write
        self.fields = []
        names, subjects = (json.dumps(sorted({key[place] for key in last})) for place in (0, 1))
        stored = self.connection.execute(_stored_fields(), {"names": names, "subjects": subjects})
        there = {(row.field, row.subject): row for row in stored}
        rows, former = [], []
        for (name, subject), w in last.items():
            old = there.get((name, subject))
            same = old is not None and (old.number, old.text) == (w.number, w.text)
            stated = {"field": name, "subject": subject, "number": w.number, "text": w.text, "stated": w.at}
            rows.append(stated | {"happened": old.happened if old is not None and same else w.happened})
            if not same:  # what it was before, and who changed it
                nothing = {
                    "field": name,
                    "subject": subject,
                    "number": None,
                    "text": None,
                    "happened": 0,
                    "stated": w.at,
                }
                former.append((dict(old._mapping) if old is not None else nothing) | {"actor": self.actor})  # noqa: SLF001
        changes = ("number", "text", "happened", "stated")
        self.connection.execute(
            upsert(self.connection.dialect.name, t.field_value, ("field", "subject"), changes), rows
        )
        if former:
            self.connection.execute(insert_for(self.connection.dialect.name, t.field_log), former)


def these(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """The condition that a row is one of those that a question kept for all is asked about."""
    return listed(column, bindparam("ids", "[]", Text))


@cache
def _loading() -> tuple[Executable, Executable, Executable]:
    """Cases, the milestones they have now, and their deadlines."""
    m, d = t.milestone.c, t.deadline.c
    return (
        select(t.case).where(these(t.case.c.id)).with_for_update(),
        select(m.case, m.stay, m.name, m.at).where(these(m.case), m.current == 1),
        select(t.deadline).where(these(d.case)).order_by(d.case, d.name, d.run),
    )


@cache
def _owners() -> Executable:
    a = t.assignment.c
    return select(a.customer, a.role, a.person).where(these(a.customer))


@cache
def _stored_fields() -> Executable:
    f = t.field_value.c
    named, mine = bindparam("names", type_=Text), bindparam("subjects", type_=Text)
    return select(t.field_value).where(listed(f.field, named), listed(f.subject, mine))


@cache
def _leftovers(kind: str) -> Update:
    m, k = t.milestone.c, t.task.c
    mine = bindparam("own_case", type_=BigInteger)
    if kind == "stale":
        older = (m.case == mine, m.stage == bindparam("own_stage"), m.stay != bindparam("own_stay"))
        return update(t.milestone).where(*older).values(current=0)
    if kind == "rung":
        return update(t.timer).where(t.timer.c.id == bindparam("own_timer")).values(fired=bindparam("rung_at"))
    left = update(t.task).where(k.case == mine, k.done_at.is_(None))
    left = left.values(done_at=bindparam("at"), outcome="not_applicable")
    return left.where(k.move.is_not(None)) if kind == "passed" else left


@cache
def _timers(dialect: str) -> Executable:
    statement = insert_for(dialect, t.timer)
    new = statement.excluded.at
    rung = when((new > bindparam("now", type_=t.timer.c.at.type), null()), else_=t.timer.c.fired)
    return statement.on_conflict_do_update(  # type: ignore[no-any-return]
        index_elements=["case", "place", "run", "occurrence"],
        set_={"at": new, "fired": rung},
        where=t.timer.c.at != new,
    )


@cache
def _case_update() -> Update:
    mine = (t.case.c.id == bindparam("own_id"), t.case.c.version == bindparam("own_version"))
    return update(t.case).where(*mine).values({name: bindparam(f"new_{name}") for name in CASE_CHANGES})


@cache
def _line_update() -> Update:
    d = t.deadline.c
    mine = (d.case == bindparam("own_case"), d.name == bindparam("own_name"), d.run == bindparam("own_run"))
    return update(t.deadline).where(*mine).values({name: bindparam(f"new_{name}") for name in LINE_CHANGES})


def encode(value: Any, kind: Type) -> tuple[float | None, str | None]:
    """A value as (number, text), the two columns every value fits in."""
    if value is None:
        return None, None
    if kind.name in WORDS:
        return None, str(value)
    return float(value), None
