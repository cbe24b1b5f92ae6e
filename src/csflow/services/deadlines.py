"""Deadlines of a case: made when it opens, enters a stage or its clock starts anew; met, missed, stopped, dropped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from csflow.flow.calendars import Calendar
from csflow.flow.definition import Deadline, Flow, Stage
from csflow.flow.due import Due, due_at
from csflow.services.work import CaseRow, Line, Work
from csflow.services.work import Due as Happening
from csflow.values import Instant


@dataclass(frozen=True, slots=True)
class Spec:
    """A deadline of a flow and what it asks about: a stage, one of its milestones, or the flow itself."""

    deadline: Deadline
    stage: str | None = None
    milestone: str | None = None


def specs(flow: Flow) -> Iterator[Spec]:
    """Every deadline that a flow names."""
    if flow.deadline is not None:
        yield Spec(flow.deadline)
    for milestone in flow.milestones.values():
        if milestone.deadline is not None:
            yield Spec(milestone.deadline, None, milestone.name)
    for stage in flow.stages.values():
        if stage.deadline is not None:
            yield Spec(stage.deadline, stage.name)
        for milestone in stage.milestones.values():
            if milestone.deadline is not None:
                yield Spec(milestone.deadline, stage.name, milestone.name)


def spec_of(flow: Flow, name: str) -> Spec | None:
    """The deadline of that name; None when the definition no longer has it."""
    return next((spec for spec in specs(flow) if spec.deadline.name == name), None)


def _spec(work: Work, flow: Flow, name: str) -> Spec | None:
    """As `spec_of`, for a chunk: a case's every deadline is looked up at its every entry."""
    known = work.specs.get(flow.name)
    if known is None:
        known = work.specs[flow.name] = {spec.deadline.name: spec for spec in specs(flow)}
    return known.get(name)


def due_of(work: Work, due: Due, anchor: int | None, *, is_day: bool) -> Instant | None:
    """When it is due, counted from its anchor."""
    view = work.view
    return due_at(due, anchor=anchor, anchor_is_day=is_day, zone=view.zone, calendars=view.definition.calendars)


def start_all(work: Work, row: CaseRow, at: Instant, anchors: dict[str, int | None]) -> None:
    """Make the deadlines that hang on the clock, the opening or a date; ``anchors``: fact name → its value."""
    for spec in specs(work.flow(row)):
        if not spec.deadline.due.hangs_on_entering:
            _start(work, row, spec, at, anchors)


def start_stage(work: Work, row: CaseRow, at: Instant) -> None:
    """Make the deadlines counted from entering the stage that the case is in."""
    for spec in specs(work.flow(row)):
        entered_here = (spec.stage is None and row.stay == 1) or spec.stage == row.stage
        if spec.deadline.due.hangs_on_entering and entered_here:
            _start(work, row, spec, at, {})


def _start(work: Work, row: CaseRow, spec: Spec, at: Instant, anchors: dict[str, int | None]) -> None:
    due = spec.deadline.due
    anchor, is_day = anchor_of(row, due, anchors)
    run = row.stay if due.hangs_on_entering else row.run
    if any(line.name == spec.deadline.name and line.run == run for line in work.lines[row.id]):
        return
    when = due_of(work, due, anchor, is_day=is_day)
    line = Line(row.id, spec.deadline.name, run, when, anchor, spec.deadline.due.text, new=True)
    work.lines[row.id].append(line)
    work.change(row)
    if spec.milestone is None and spec.stage is not None and _further(work.flow(row), row.stage, spec.stage):
        line.met = at
        return
    if work.flow(row).stages[row.stage].stops:
        _stop(work, line, spec, at)
        return
    remind(work, row, line, spec)


def anchor_of(row: CaseRow, due: Due, anchors: dict[str, int | None]) -> tuple[int | None, bool]:
    """What a due time counts from, and whether that is a day."""
    if due.anchor == "entered":
        return row.entered_at, False
    if due.anchor == "case":
        return row.opened_at, False
    if due.anchor == "clock":
        return row.clock, True
    value = anchors.get(due.anchor)
    return value, value is not None and abs(value) < 10_000_000  # a day number is far smaller than an instant


def remind(work: Work, row: CaseRow, line: Line, spec: Spec) -> None:
    """Set the timers of what happens before the due time."""
    for effect in spec.deadline.overdue:
        if effect.offset is not None and effect.before and line.due is not None:
            _timer(work, row, line, effect.place, _moved(work, line.due, spec, effect.offset, -1))


def _moved(work: Work, due: Instant, spec: Spec, offset: object, times: int) -> Instant:
    length = offset
    calendar = calendar_of(work, spec.deadline.due)
    if getattr(length, "working", False) and calendar is not None:
        return calendar.add(due, length, times=times)  # type: ignore[arg-type]
    return work.view.zone.add(due, length, times=times)  # type: ignore[arg-type]


def calendar_of(work: Work, due: Due) -> Calendar | None:
    """The calendar that a due time counts working time in."""
    return work.view.definition.calendars.get(due.calendar or work.view.definition.calendar or "")


def _timer(work: Work, row: CaseRow, line: Line, place: str, at: Instant) -> None:
    work.pending["timer"].append(
        {
            "case": row.id,
            "place": f"{line.name}|{place}",
            "deadline": line.name,
            "run": line.run,
            "occurrence": 0,
            "at": at,
        }
    )


def restart(work: Work, row: CaseRow, clock: int, at: Instant, anchors: dict[str, int | None]) -> None:
    """The clock's fact changed: the old run's open deadlines go, each is judged once more in the new run."""
    for line in work.lines[row.id]:
        spec = _spec(work, work.flow(row), line.name)
        if line.waits and (spec is None or not spec.deadline.due.hangs_on_entering):
            line.dropped, line.changed = 1, True
    row.clock = clock
    row.run += 1
    start_all(work, row, at, anchors)


def follow(work: Work, row: CaseRow, line: Line, anchor: int | None) -> None:
    """The date a deadline hangs on moved: so does the deadline."""
    spec = _spec(work, work.flow(row), line.name)
    if spec is None or not line.waits:
        return
    is_day = anchor is not None and abs(anchor) < 10_000_000
    line.anchor, line.spec, line.changed = anchor, spec.deadline.due.text, True
    due = due_of(work, spec.deadline.due, anchor, is_day=is_day)
    if line.stopped is None:
        line.due = due
    elif due is not None:
        line.rest = due - line.stopped
    work.change(row)
    remind(work, row, line, spec)


def judge(work: Work, row: CaseRow, line: Line, reasons: list[dict[str, object]]) -> None:
    """A deadline has passed unmet: write the miss, once, and let happen what the flow says."""
    spec = _spec(work, work.flow(row), line.name)
    if spec is None or line.due is None or not line.waits or line.stopped is not None:
        return
    line.missed, line.changed = line.due, True
    stage = work.flow(row).stages[spec.stage or row.stage]
    line.person = work.owner(row, stage.responsible)
    seq = work.log(row, "missed", line.due, target=line.name, because=reasons)
    work.tell("missed", row, deadline=line.name, due=work.view.zone.text(line.due), person=line.person)
    for effect in spec.deadline.overdue:
        if effect.offset is None:
            work.effects.append(Happening(row, effect, work.view.now, seq, line=line))
        elif not effect.before:
            _timer(work, row, line, effect.place, _moved(work, line.due, spec, effect.offset, 1))


def judge_before(work: Work, row: CaseRow, at: Instant) -> None:
    """Judge what was due before ``at``: what happens to the case then can no longer drop it or let it stand still."""
    late = [
        (line.due, line.name, line.run, line) for line in work.lines[row.id] if line.due is not None and line.due < at
    ]
    for *_, line in sorted(late, key=lambda entry: entry[:3]):
        judge(work, row, line, [])


def meet(work: Work, row: CaseRow, line: Line, at: Instant) -> None:
    """A deadline is met, in time or late; a miss stays a miss."""
    if line.met is not None or line.dropped:
        return
    if line.due is not None and line.due < at:  # what met it came too late, even if no pass ran in between
        judge(work, row, line, [])
    line.met, line.changed = at, True
    work.change(row)


def met_by_milestone(work: Work, row: CaseRow, stage: Stage | None, milestone: str, at: Instant) -> None:
    """A milestone was reached: its own deadline is met, and the stage's when it was the last one needed."""
    flow = work.flow(row)
    done = False
    if stage is not None:
        needed = [m.name for m in stage.milestones.values() if not m.optional]
        reached = work.reached[row.id]
        dates = [reached.get((row.stay, name)) for name in needed]
        done = None not in dates
        at_last = max((date for date in dates if date is not None), default=at)
    for line in work.lines[row.id]:
        spec = _spec(work, flow, line.name)
        if spec is None:
            continue
        if spec.milestone == milestone:
            meet(work, row, line, at)
        elif done and stage is not None and spec.milestone is None and spec.stage == stage.name:
            meet(work, row, line, at_last)


def met_by_move(work: Work, row: CaseRow, source: Stage, at: Instant) -> None:
    """A case went on: deadlines of what lies behind are met, those counted from entering what it left are dropped."""
    flow, target = work.flow(row), work.flow(row).stages[row.stage]
    aside = target.stops or target.end in ("bad", "neutral")
    for line in work.lines[row.id]:
        spec = _spec(work, flow, line.name)
        if spec is None or line.met is not None or line.dropped:
            continue
        if spec.stage is None:
            if target.end == "good" and spec.milestone is None:
                meet(work, row, line, at)
        elif spec.milestone is None and not aside:
            left = spec.stage == source.name and not source.milestones and row.stage != source.name
            if left or _further(flow, row.stage, spec.stage):
                meet(work, row, line, at)
        entered = spec.deadline.due.hangs_on_entering and spec.stage == source.name
        if line.waits and entered and not target.stops:
            line.dropped, line.changed = 1, True
    if target.end is not None:
        drop_all(work, row)


def _further(flow: Flow, here: str, than: str) -> bool:
    order, stage = list(flow.stages), flow.stages[here]
    if stage.stops or stage.end in ("bad", "neutral"):
        return False
    return here != than and (stage.end == "good" or order.index(here) > order.index(than))


def drop_all(work: Work, row: CaseRow) -> None:
    """The case ended: what is not yet due is neither met nor missed."""
    for line in work.lines[row.id]:
        if line.waits:
            line.dropped, line.changed = 1, True


def stop(work: Work, row: CaseRow, at: Instant, names: set[str] | None = None) -> None:
    """Let the deadlines (all, or those named) stand still."""
    for line in work.lines[row.id]:
        spec = _spec(work, work.flow(row), line.name)
        if spec is not None and line.waits and line.stopped is None and (names is None or line.name in names):
            _stop(work, line, spec, at)
            work.change(row)


def _stop(work: Work, line: Line, spec: Spec, at: Instant) -> None:
    line.stopped, line.changed = at, True
    if line.due is not None:
        calendar = _working_calendar(work, spec)
        line.rest = calendar.between(at, line.due) if calendar is not None else line.due - at
    line.due = None


def resume(work: Work, row: CaseRow, at: Instant, names: set[str] | None = None) -> None:
    """Let them go on with the time that was left."""
    for line in work.lines[row.id]:
        spec = _spec(work, work.flow(row), line.name)
        if spec is None or line.stopped is None or (names is not None and line.name not in names):
            continue
        if line.rest is not None:
            calendar = _working_calendar(work, spec)
            line.due = calendar.advance(at, line.rest) if calendar is not None else at + line.rest
            if calendar is None and not (spec.deadline.due.length is not None and spec.deadline.due.length.clock):
                line.due = work.view.zone.end_of(work.view.zone.day_of(line.due))
        line.stopped, line.rest, line.changed = None, None, True
        work.change(row)
        remind(work, row, line, spec)


def _working_calendar(work: Work, spec: Spec) -> Calendar | None:
    length = spec.deadline.due.length
    return calendar_of(work, spec.deadline.due) if length is not None and length.working else None
