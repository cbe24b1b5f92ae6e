"""What the hits of a chunk do to its cases: words, dates, fields, milestones, deadlines, timers, moves, openings."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from itertools import groupby
from typing import Any

from sqlalchemy import Executable, Select, Update, bindparam, delete, select, update

from csflow.errors import RefusedError
from csflow.services import deadlines, moving, triggers
from csflow.services.asking import Hit
from csflow.services.parties import OF_CUSTOMERS
from csflow.services.views import opening_order
from csflow.services.waiting import said_of
from csflow.services.work import CaseRow, Due, Work, these
from csflow.store import tables as t
from csflow.store.touching import ADVANCE, touch


class Application:
    """Applies the hits of a chunk to its work, in the order of a hop."""

    def __init__(self, work: Work, stopped: set[int]) -> None:
        self.work, self.stopped = work, stopped
        self.failed: list[dict[str, str]] = []
        self.newly_stopped: set[int] = set()
        self.moved: set[int] = set()
        self.wrote = False

    def all(self, hits: list[Hit]) -> None:
        """Words first, then clocks and dates, fields, milestones, deadlines, timers, moves; openings last."""
        self._words([hit for hit in hits if hit.kind == "word"])
        handlers: dict[str, Callable[[Hit, CaseRow], None]] = {
            "clock": self._clock, "anchor": self._anchor, "stop": self._stop, "field": self._field,
            "milestone": self._milestone, "missed": self._missed, "timer": self._timer, "move": self._move,
            "approval": self._approval,
        }  # fmt: skip
        self.entered = self._entries([hit for hit in hits if hit.kind == "move"])
        self.anchors = self._anchors([hit for hit in hits if hit.kind == "clock"])
        current = {row.id: row.old_version for row in self.work.rows.values()}
        for hit in hits:
            handler = handlers.get(hit.kind)
            if handler is None:
                continue
            row = self.work.rows.get(hit.row.case_id)
            if (
                row is None
                or row.id in self.stopped
                or (row.id not in self.moved and current[row.id] != hit.row.version)
            ):
                continue  # changed since it was asked: it is touched, the next hop asks again
            if row.id not in self.moved:
                self.wrote = True
                handler(hit, row)
        self._openings([hit for hit in hits if hit.kind in ("opening", "rearm")])

    def _words(self, hits: list[Hit]) -> None:
        words = [said_of(hit.row) for hit in hits]
        if not words:
            return
        self.wrote = True
        work = self.work
        work.know_subjects(words)
        refused = {id(said): reason for said, reason in triggers.hear(work, words)}
        now = work.view.now
        work.connection.execute(
            _heard(), [{"own_id": said.inbox, "now": now, "why": refused.get(id(said))} for said in words]
        )
        for said in words:
            reason = refused.get(id(said))
            work.touched["customer" if said.customer is not None else said.kind].add(said.customer or said.subject)
            if reason is not None:
                case = work.rows.get(said.subject) if said.kind == "case" else None
                whose = f"{said.kind} {work.keys.get((said.kind, said.subject), '?')}"
                self.failed.append({"case": work.name(case) if case is not None else whose, "error": reason})
        heard = {
            row.id
            for row in work.rows.values()
            if row.version != row.old_version or (row.seq and row.old_version is None)
        }
        self.moved |= heard

    def _entries(self, hits: list[Hit]) -> dict[tuple[int, str], str]:
        """(case, stage) → the rule by which it has entered it at this very moment."""
        ids = sorted({hit.row.case_id for hit in hits})
        if not ids:
            return {}
        found = self.work.connection.execute(_entered(), {"ids": json.dumps(ids), "now": self.work.view.now})
        return {(case, target): place or "" for case, target, place in found}

    def _anchors(self, hits: list[Hit]) -> dict[int, dict[str, Any]]:
        """The dates that the deadlines of cases hang on whose clock has moved."""
        found: dict[int, dict[str, Any]] = {}
        for flow, members in groupby(sorted(hits, key=lambda hit: hit.rule.name), key=lambda hit: hit.rule):
            found |= moving.anchors_of(self.work, flow, [hit.row.case_id for hit in members])
        return found

    def _clock(self, hit: Hit, row: CaseRow) -> None:
        work, anchors = self.work, self.anchors.get(row.id, {})
        dates = {name: date for name, date in anchors.items() if name != "clock"}
        deadlines.restart(work, row, int(hit.row.value), work.view.now, dates)
        because = _because(work, hit)
        work.log(row, "clock", work.view.now, target=str(row.clock), because=because)

    def _anchor(self, hit: Hit, row: CaseRow) -> None:
        for line in self.work.lines[row.id]:
            if (line.name, line.run) == (hit.row.line, hit.row.run):
                deadlines.follow(self.work, row, line, int(hit.row.value))

    def _stop(self, hit: Hit, row: CaseRow) -> None:
        change = deadlines.stop if hit.row.holds == 1 else deadlines.resume
        change(self.work, row, self.work.view.now, {hit.rule})

    def _field(self, hit: Hit, row: CaseRow) -> None:
        flow, name = hit.rule
        work = self.work
        work.set_field(f"{flow.name}.{name}", row.id, hit.row.computed, flow.fields[name].type, work.view.now)
        because = _because(work, hit)
        work.log(row, "field", work.view.now, target=name, place="value", because=because)

    def _milestone(self, hit: Hit, row: CaseRow) -> None:
        assert hit.evidence is not None  # noqa: S101  # milestones are asked with evidence
        at = min(hit.evidence.since(hit.row), self.work.view.now)
        moving.reach(self.work, row, hit.rule, at, self.work.because(hit.evidence.reasons(hit.row)), "when")

    def _missed(self, hit: Hit, row: CaseRow) -> None:
        for line in self.work.lines[row.id]:
            if (line.name, line.run) == (hit.row.line, hit.row.run):
                deadlines.judge(self.work, row, line, [])

    def _timer(self, hit: Hit, row: CaseRow) -> None:
        effect = hit.rule.get(hit.row.place)
        work = self.work
        work.pending["rung"].append({"own_timer": hit.row.timer, "rung_at": work.view.now})
        if effect is None:
            return
        at, occurrence = hit.row.at, hit.row.occurrence
        if effect.every is not None:  # a pass that comes late does it once, for the newest time that it missed
            zone = work.view.zone
            at, missed = zone.newest(at, effect.every, work.view.now)
            occurrence += missed
            moving.repeat(work, row, hit.row.place, zone.add(at, effect.every), occurrence + 1)
        from_seq = work.log(row, "timer", at, place=hit.row.place)
        of = (hit.row.place.partition("|")[0], hit.row.run)
        line = next((line for line in work.lines[row.id] if (line.name, line.run) == of), None)
        work.effects.append(Due(row, effect, at, from_seq, occurrence, line))

    def _move(self, hit: Hit, row: CaseRow) -> None:
        work, way = self.work, hit.rule
        if row.stage != way.source:
            return
        self.moved.add(row.id)
        try:
            target = moving.destination(row, way)
        except RefusedError as error:
            self._halt(row, str(error))
            return
        earlier = self.entered.get((row.id, target))
        if earlier is not None:
            text = way.guard.text
            self._halt(row, f"would enter '{target}' twice at one moment: by {earlier}, then by {way.place} ({text})")
            return
        because = _because(work, hit)
        moving.move(work, row, way, work.view.now, because, target=target)

    def _halt(self, row: CaseRow, error: str) -> None:
        self.failed.append({"case": self.work.name(row), "error": error})
        self.newly_stopped.add(row.id)
        kind, id_ = self.work.touched_by(row)
        tomorrow = self.work.view.moment.today + 1  # another day may break the circle
        touch(self.work.connection, kind, [id_], day=tomorrow, queues=(ADVANCE,))

    def _approval(self, hit: Hit, row: CaseRow) -> None:
        triggers.ask_approval(self.work, row, hit.rule, self.work.actor, self.work.view.now)
        self.moved.add(row.id)

    def _openings(self, hits: list[Hit]) -> None:
        work = self.work
        wanted: list[dict[str, Any]] = []
        gone = []
        order = opening_order(work.view.definition)
        for hit in sorted(
            hits, key=lambda h: (order[h.rule[0].name], h.row.subject, h.rule[1].place, str(h.row.one_per))
        ):
            flow, opening = hit.rule
            if hit.kind == "rearm":
                mark = {"own_flow": flow.name, "own_place": opening.place}
                gone.append(mark | {"own_subject": hit.row.subject, "own_key": hit.row.one_per})
                continue
            self.wrote = True
            values = dict(opening.values)
            for name in values:
                if hasattr(hit.row, f"w_{name}"):
                    values[name] = getattr(hit.row, f"w_{name}")
            key = None if flow.one_per == "case.id" else str(hit.row.one_per)
            work.pending["opening"].append(
                {
                    "flow": flow.name,
                    "place": opening.place,
                    "subject": hit.row.subject,
                    "key": str(hit.row.one_per),
                    "period": hit.row.period,
                }
            )
            because = _because(work, hit)
            wanted.append(
                {
                    "flow": flow, "subject": hit.row.subject, "key": key, "at": work.view.now, "place": opening.place,
                    "customer": hit.party if flow.subject in OF_CUSTOMERS else None,
                    "because": because, "fields": values, "stage": opening.to,
                }
            )  # fmt: skip
        if gone:
            work.connection.execute(_unmark(), gone)
        if wanted:
            moving.open_cases(work, wanted)


def _because(work: Work, hit: Hit) -> moving.Because:
    """The facts that a hit rests on, as history keeps them; none for a rule that is asked without them."""
    return work.because(hit.evidence.reasons(hit.row)) if hit.evidence is not None else []


@cache
def _unmark() -> Executable:
    o = t.opening.c
    same = (o.flow == bindparam("own_flow"), o.place == bindparam("own_place"), o.key == bindparam("own_key"))
    return delete(t.opening).where(*same, o.subject == bindparam("own_subject"))


@cache
def _heard() -> Update:
    handled = update(t.inbox).where(t.inbox.c.id == bindparam("own_id"))
    return handled.values(handled=bindparam("now"), refused=bindparam("why"))


@cache
def _entered() -> Select[Any]:
    h = t.history.c
    came = (these(h.case), h.at == bindparam("now", type_=h.at.type), h.kind.in_(("opened", "moved")))
    return select(h.case, h.target, h.place).where(*came)
