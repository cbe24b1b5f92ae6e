"""What stands around cases beside their guards: milestones, deadlines, tasks, words waiting – read set-wise."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select, update

from csflow.flow.machine import FlowMachine
from csflow.services import triggers
from csflow.services.asking import Scope
from csflow.services.parties import number_of
from csflow.services.tasking import label_of
from csflow.services.waiting import said_of, words_waiting
from csflow.services.work import Work
from csflow.store import tables as t
from csflow.store.names import subject_names
from csflow.values import Instant, day_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from csflow.flow.definition import Transition
    from csflow.services.views import View


@dataclass(slots=True)
class Heard:
    """What the first hop of a pass does with the words that wait in the inbox.

    It lets the words of a customer be heard, all of them, and asks the rules of its cases in the hop after that.
    """

    waiting: dict[int, list[dict[str, Any]]] = field(default_factory=dict)  # case → the words of its party
    moves: dict[int, tuple[str, str]] = field(default_factory=dict)  # case → the word that moves it first, and where to

    def words(self, row: Any) -> list[dict[str, Any]]:
        """The words that wait for the case's customer (or other subject), in the order they are heard."""
        return self.waiting.get(row.id, [])

    def first(self, row: Any) -> dict[str, Any] | None:
        """What that means for the case in the first hop; None where no word waits."""
        words = self.words(row)
        if not words:
            return None
        word, target = self.moves.get(row.id, (words[0]["word"], None))
        return {"by": "word", "word": word, "to": target}


def _party(view: View, row: Any) -> int:
    """Whose a case is: its customer's, or, where there is none, its subject's."""
    flow = view.definition.flows.get(row.flow)
    return number_of(flow.subject if flow is not None else "customer", row.subject, row.customer)


@dataclass(slots=True)
class Around:
    """The rows of some cases and what belongs to them."""

    view: View
    rows: dict[int, Any] = field(default_factory=dict)
    keys: dict[tuple[str, int], str] = field(default_factory=dict)
    milestones: dict[int, list[Any]] = field(default_factory=lambda: defaultdict(list))
    lines: dict[int, list[Any]] = field(default_factory=lambda: defaultdict(list))
    tasks: dict[int, list[Any]] = field(default_factory=lambda: defaultdict(list))
    entries: dict[tuple[int, str], str] = field(default_factory=dict)
    heard: Heard = field(default_factory=Heard)

    def head(self, case: int) -> dict[str, Any]:
        """The case itself, as JSON."""
        row, zone = self.rows[case], self.view.zone
        kind = self.view.definition.flows[row.flow].subject
        key = self.keys.get((kind, row.subject), "?")
        return {
            "case": f"{row.flow}/{key}/{row.number}", "flow": row.flow, "subject": {"kind": kind, "id": key},
            "customer": self.keys.get(("customer", row.customer)), "stage": row.stage, "ended": row.ended,
            "since": zone.text(row.entered_at), "opened": zone.text(row.opened_at),
            "clock": None if row.clock is None else day_text(row.clock), "came_from": row.came_from,
            "waiting": bool(row.waiting),
        }  # fmt: skip

    def reached(self, case: int, name: str, *, own: bool) -> Instant | None:
        """When the case reached a milestone of its stage in this stay, or (not ``own``) of its flow."""
        stay = self.rows[case].stay if own else 0
        return next((m.at for m in self.milestones[case] if m.name == name and m.stay == stay), None)

    def deadlines(self, case: int) -> list[dict[str, Any]]:
        """The case's deadlines, the latest of each name, as JSON."""
        newest = {line.name: line for line in self.lines[case]}
        text = self._text
        return [
            {
                "name": line.name, "due": text(line.due), "status": self._status(line), "met": text(line.met),
                "missed": text(line.missed), "person": line.person, "stopped": text(line.stopped),
            }
            for line in newest.values()
        ]  # fmt: skip

    def _status(self, line: Any) -> str:
        if line.met is not None:
            return "met" if line.missed is None else "met late"
        if line.missed is not None:
            return "missed"
        if line.stopped is not None:
            return "stopped"
        if line.due is None:
            return "undated"
        return "due" if line.due >= self.view.now else "past due"

    def open_tasks(self, case: int) -> list[dict[str, Any]]:
        """The case's open tasks as JSON, those that are due first in front."""
        waiting = [task for task in self.tasks[case] if task.done_at is None]
        waiting.sort(key=lambda task: (task.due is None, task.due or 0, task.name, task.number))
        text, definition = self._text, self.view.definition
        flow = definition.flows[self.rows[case].flow]
        return [
            {
                "name": task.name, "number": task.number, "label": label_of(definition, flow, task),
                "role": task.role, "person": task.person, "opened": text(task.opened_at), "due": text(task.due),
                "overdue": task.due is not None and task.due < self.view.now,
            }
            for task in waiting
        ]  # fmt: skip

    def approval(self, case: int, way: Transition) -> dict[str, Any] | None:
        """The approval that was asked for in this stay: by whom, of which role, and how it ended (null: it waits)."""
        if way.approve is None:
            return None
        entered = self.rows[case].entered_at
        for task in reversed(self.tasks[case]):
            if task.move == f"{way.source}>{way.place}" and task.opened_at >= entered:
                return {
                    "role": task.role, "asker": task.asker, "asked": self._text(task.opened_at),
                    "decided": None if task.done_at is None else task.outcome,
                }  # fmt: skip
        return None

    def awaits_approval(self, case: int) -> bool:
        """Whether any move of the case is waiting to be approved."""
        return any(task.name == "approve" and task.done_at is None for task in self.tasks[case])

    def obstacle(self, case: int, way: Transition, target: str | None) -> str | None:
        """Why a case whose guard holds is stopped all the same; None when it moves."""
        if target is None:
            return "there is no stage to go back to"
        earlier = self.entries.get((case, target))
        if earlier is None:
            return None
        text = way.guard.text if way.guard is not None else ""
        return f"would enter '{target}' twice at one moment: by {earlier}, then by {way.place} ({text})"

    def _text(self, at: Instant | None) -> str | None:
        return None if at is None else self.view.zone.text(at)


def around(connection: Connection, view: View, ids: list[int]) -> Around:
    """Read everything around these cases in a handful of statements; cases that no flow knows are left out."""
    known = Around(view)
    c, flows = t.case.c, view.definition.flows
    for row in connection.execute(select(t.case).where(c.id.in_(ids), c.opened_at <= view.now)):
        if row.flow in flows and row.stage in flows[row.flow].stages:
            known.rows[row.id] = row
    wanted = sorted(known.rows)
    m, line, task, h = t.milestone.c, t.deadline.c, t.task.c, t.history.c
    for row in connection.execute(select(t.milestone).where(m.case.in_(wanted)).order_by(m.case, m.stay, m.name)):
        known.milestones[row.case].append(row)
    waits = select(t.deadline).where(line.case.in_(wanted), line.dropped == 0)
    for row in connection.execute(waits.order_by(line.case, line.name, line.run)):
        known.lines[row.case].append(row)
    asked = select(t.task).where(task.case.in_(wanted), task.done_at.is_(None) | task.move.is_not(None))
    for row in connection.execute(asked.order_by(task.case, task.opened_at, task.name, task.number)):
        known.tasks[row.case].append(row)
    here = select(h.case, h.target, h.place).where(
        h.case.in_(wanted), h.at == view.now, h.kind.in_(("opened", "moved"))
    )
    known.entries = {(row.case, row.target): row.place or "" for row in connection.execute(here)}
    _read_keys(connection, known)
    return known


def _read_keys(connection: Connection, known: Around) -> None:
    by_kind: dict[str, set[int]] = defaultdict(set)
    for row in known.rows.values():
        by_kind[known.view.definition.flows[row.flow].subject].add(row.subject)
        if row.customer is not None:
            by_kind["customer"].add(row.customer)
    for kind, ids in by_kind.items():
        named = subject_names(connection, kind, ids)
        known.keys.update({(kind, id_): key for id_, key in named.items()})


def heard(connection: Connection, view: View, rows: Iterable[Any]) -> Heard:
    """Let the waiting words be heard as the first hop hears them, and take it back: only so is it certain who does."""
    found, by_case = Heard(), {row.id: _party(view, row) for row in rows}
    parties = set(by_case.values())
    words = _waiting(connection, view, parties)
    if not words:
        return found
    machines = {name: FlowMachine(flow) for name, flow in view.definition.flows.items()}
    trial, seen = connection.begin_nested(), set()
    by_party: dict[int, list[dict[str, Any]]] = defaultdict(list)
    while words:
        seen |= {row.id for row in words}
        heard_now = _hear(Work(connection, view, machines, "csflow", 0), words, found)
        for party, entry in heard_now.items():
            by_party[party].append(entry)
        words = [row for row in _waiting(connection, view, parties) if row.id not in seen]
    trial.rollback()
    found.waiting = {case: by_party[party] for case, party in by_case.items() if party in by_party}
    return found


def _hear(work: Work, words: list[Any], found: Heard) -> dict[int, dict[str, Any]]:
    """Let one word of each party be heard: party → what came of it. What it moves is noted in ``found``."""
    said = [said_of(row) for row in words]
    work.know_subjects(said)
    refused = {id(word): reason for word, reason in triggers.hear(work, said)}
    work.flush()
    handled = update(t.inbox).where(t.inbox.c.id.in_([row.id for row in words])).values(handled=work.view.now)
    work.connection.execute(handled)
    told: dict[int, dict[str, Any]] = {}
    for row, word in zip(words, said, strict=True):
        at = work.view.zone.text(word.at)
        entry: dict[str, Any] = {
            "word": word.name,
            "at": at,
            "actor": word.actor,
            "refused": refused.get(id(word)),
            "does": [],
        }
        told[row.party] = entry
    names = {work.name(row): row for row in work.rows.values()}
    for kind, what in work.told:
        row = names.get(what.get("case", ""))
        mine = told.get(_party(work.view, row)) if row is not None else None
        if row is None or mine is None:
            continue
        mine["does"].append({"what": kind, **{name: what[name] for name in _TOLD if name in what}})
        if kind == "moved":
            found.moves.setdefault(row.id, (mine["word"], what["to"]))
    return told


_TOLD = ("case", "to", "milestone")  # of what a word does


def _waiting(connection: Connection, view: View, parties: set[int]) -> list[Any]:
    """The earliest word of each of these parties."""
    rows: list[Any] = []
    customers = tuple(sorted(party for party in parties if party >= 0))
    if customers:
        scope = Scope(everyone=True, timed=True, customers=customers)
        rows += words_waiting(connection, view, scope)
    if len(customers) < len(parties):
        everybody = words_waiting(connection, view, Scope(everyone=True, timed=True))
        rows += [row for row in everybody if row.party < 0 and row.party in parties]
    return rows
