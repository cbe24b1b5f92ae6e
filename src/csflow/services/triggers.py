"""Words that people and systems say: each must have exactly one hearer – a case whose stage listens, or an opening."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy import Executable, select

from csflow.errors import RefusedError
from csflow.flow.definition import Flow, Milestone, Opening, Transition
from csflow.flow.machine import MIRRORED
from csflow.services import effects, moving
from csflow.services.views import opening_order
from csflow.services.work import CaseRow, Work, these
from csflow.store import tables as t
from csflow.store.insertion import among
from csflow.store.questions import Evidence, holding
from csflow.values import Instant

Stored = tuple[float | None, str | None]


@dataclass(slots=True)
class Said:
    """A word: to a case, or to whatever flow listens for this subject. ``fields`` in stored form."""

    name: str
    kind: str  # customer contract contact person organisation case
    subject: int
    customer: int | None
    at: Instant
    actor: str
    flow: str | None = None
    case_key: str | None = None
    stage: str | None = None  # an imported move into this stage
    fields: dict[str, Stored] = field(default_factory=dict)
    inbox: int | None = None


@dataclass(slots=True)
class Hearing:
    """Who hears a word: a case with the transitions or milestone of its stage, or a flow that opens.

    ``others``: what the flow is a variant of, to open where its own rule does not hold.
    """

    flow: Flow
    row: CaseRow | None = None
    transitions: tuple[Transition, ...] = ()
    milestone: Milestone | None = None
    opening: Opening | None = None
    others: tuple[Hearing, ...] = ()


def hear(work: Work, words: list[Said]) -> list[tuple[Said, str]]:
    """Let each word do what it does; the refused ones come back with the reason.

    At most one word for a case; the rows of the cases are read here, in one statement for all.
    """
    cases = _candidates(work, words)
    refused: list[tuple[Said, str]] = []
    moves: list[tuple[Said, Hearing]] = []
    openings: list[tuple[Said, Hearing]] = []
    for said in words:
        try:
            hearing = _hearer(work, said, cases.get(id(said), []))
            if hearing.opening is not None or (hearing.row is None and said.stage is not None):
                openings.append((said, hearing))  # whether it is allowed is asked of the variant that opens
            else:
                _allowed(work, said, hearing)
                moves.append((said, hearing))
        except RefusedError as error:
            refused.append((said, str(error)))
    wanted = _wanted(work, openings, refused)
    if wanted:
        moving.open_cases(work, [want for _, want in wanted])
    refused += [
        (said, f"{want['flow'].name} has an open case already") for said, want in wanted if not want.get("opened")
    ]
    refused += _move_all(work, moves)
    return refused


def _candidates(work: Work, words: list[Said]) -> dict[int, list[CaseRow]]:
    """The cases each word may be meant for: of the customer (or other subject), open ones and ended ones."""
    searching = [s for s in words if s.kind != "case"]  # who names a case needs no other one of the customer
    customers = sorted({s.customer for s in searching if s.customer is not None})
    others = sorted({s.subject for s in searching if s.customer is None})
    case_ids = sorted({s.subject for s in words if s.kind == "case"})
    found: set[int] = set(case_ids)
    if customers:
        found |= set(work.connection.execute(select(t.case.c.id).where(among(t.case.c.customer, customers))).scalars())
    if others:
        own = select(t.case.c.id).where(among(t.case.c.subject, others), t.case.c.customer.is_(None))
        found |= set(work.connection.execute(own).scalars())
    work.load(found)
    by_owner: dict[tuple[str, int], list[CaseRow]] = defaultdict(list)  # each word looks at its own customer's only
    for row in work.rows.values():
        if row.id in found:
            by_owner["other" if row.customer is None else "customer", row.customer or row.subject].append(row)
    result: dict[int, list[CaseRow]] = {}
    for said in words:
        if said.kind == "case":
            near = [work.rows[said.subject]] if said.subject in work.rows else []
        else:
            near = by_owner["other" if said.customer is None else "customer", said.customer or said.subject]
        result[id(said)] = [row for row in near if _meant(work, said, row)]
    return result


def _meant(work: Work, said: Said, row: CaseRow) -> bool:
    if row.flow not in work.view.definition.flows or row.stage not in work.flow(row).stages:
        return False
    if said.kind == "case":
        return row.id == said.subject
    flow = work.flow(row)
    if said.flow is not None and said.flow not in (flow.name, flow.base):
        return False
    if said.case_key is not None and row.key != said.case_key:
        return False
    if said.kind == flow.subject:
        return row.subject == said.subject
    return said.customer is not None and row.customer == said.customer and said.kind == "customer"


def _hearer(work: Work, said: Said, rows: list[CaseRow]) -> Hearing:
    """The one hearer of a word, or RefusedError naming why there is none, or which there are."""
    hearings = [hearing for row in rows if (hearing := _listens(work, said, row)) is not None]
    open_ones = [h for h in hearings if h.row is not None and h.row.ended is None]
    hearings = open_ones or _latest(hearings)
    openings = [h for h in _openings(work, said) if not _has_open(said, h.flow, rows)]
    found = hearings or openings
    if said.stage is not None and not found:
        found = _mirrored(work, said, rows)
    if len(found) == 1:
        return found[0]
    if not found:
        raise RefusedError(_deaf(work, said, rows))
    if found is openings and len({h.flow.base for h in found}) == 1:
        return replace(found[0], others=tuple(found[1:]))
    names = ", ".join(sorted(work.name(h.row) if h.row is not None else f"--flow {h.flow.name}" for h in found))
    raise RefusedError(f"'{said.name}' has several hearers, say which: {names}")


def _deaf(work: Work, said: Said, rows: list[CaseRow]) -> str:
    """Why nobody hears a word, and which words would be heard."""
    open_ones = [row for row in rows if row.ended is None or said.kind == "case"]
    where = "" if said.kind == "case" else f" for {said.kind} {work.keys.get((said.kind, said.subject), '')}".rstrip()
    told = []
    for row in open_ones[:5]:
        stage = work.flow(row).stages[row.stage]
        words = dict.fromkeys(way.trigger for way in stage.transitions if way.trigger is not None)
        told.append(f"{work.name(row)} in '{row.stage}' hears {', '.join(words) or 'no word'}")
    return f"nobody listens to '{said.name}'{where} now: {'; '.join(told) or 'there is no open case'}"


def _latest(hearings: list[Hearing]) -> list[Hearing]:
    """Of ended cases that could be opened again, the newest of each flow."""
    newest: dict[str, Hearing] = {}
    for hearing in hearings:
        row = hearing.row
        best = newest.get(hearing.flow.name)
        if row is not None and (best is None or best.row is None or row.number > best.row.number):
            newest[hearing.flow.name] = hearing
    return list(newest.values())


def _listens(work: Work, said: Said, row: CaseRow) -> Hearing | None:
    flow = work.flow(row)
    stage = flow.stages[row.stage]
    if said.stage is not None:
        return Hearing(flow, row) if said.stage in flow.stages else None
    ways = tuple(way for way in stage.transitions if way.trigger == said.name)
    if ways:
        return Hearing(flow, row, ways)
    for milestone in (*stage.milestones.values(), *flow.milestones.values()):
        if milestone.trigger == said.name:
            return Hearing(flow, row, milestone=milestone)
    return None


def _openings(work: Work, said: Said) -> list[Hearing]:
    """The flows that the word opens, a variant before what it extends."""
    found = []
    definition = work.view.definition
    for name in opening_order(definition):
        flow = definition.flows[name]
        if said.kind == "case" or (said.flow is not None and said.flow not in (flow.name, flow.base)):
            continue
        fits = flow.subject == said.kind or (flow.subject == "contract" and said.kind == "customer")
        for opening in flow.opens:
            if opening.trigger == said.name and fits:
                found.append(Hearing(flow, opening=opening))
                break
    return found


def _has_open(said: Said, flow: Flow, rows: list[CaseRow]) -> bool:
    """A flow with one open case per key that has it does not open another: the word is refused, not doubled."""
    if flow.one_per == "case.id" and said.case_key is None:
        return False
    key = said.case_key
    if key is None and flow.one_per.startswith("case."):
        number, text = said.fields.get(flow.one_per.removeprefix("case."), (None, None))
        key = text if text is not None else "" if number is None else str(number)
    return any(row.flow == flow.name and row.ended is None and key in (None, row.key) for row in rows)


def _mirrored(work: Work, said: Said, rows: list[CaseRow]) -> list[Hearing]:
    flow = work.view.definition.flows.get(said.flow or "")
    if flow is None or said.stage not in flow.stages or any(row.flow == flow.name for row in rows):
        return []
    return [Hearing(flow)]


def _allowed(work: Work, said: Said, hearing: Hearing) -> None:
    """`only:` – a colleague must fill one of the roles; whoever is not in `people:` is an operator and may."""
    only: set[str] = set()
    if hearing.opening is not None:
        only = set(hearing.opening.only)
    elif hearing.transitions and all(way.only for way in hearing.transitions):
        only = {role for way in hearing.transitions for role in way.only}
    person = work.view.definition.people.get(said.actor)
    if only and person is not None and not only & set(person.roles):
        raise RefusedError(f"{said.actor} may not say '{said.name}': only {' or '.join(sorted(only))}")
    unknown = sorted(set(said.fields) - set(hearing.flow.fields))
    if unknown:
        raise RefusedError(f"{hearing.flow.name} has no field '{unknown[0]}'")


def _wanted(
    work: Work, openings: list[tuple[Said, Hearing]], refused: list[tuple[Said, str]]
) -> list[tuple[Said, dict[str, Any]]]:
    """The cases that words open, as `moving.open_cases` takes them; ``refused`` gets those whose rule does not let it.

    Asked set-wise: a question for each rule that opens, not for each word.
    """
    on_contract = [s.customer for s, h in openings if h.flow.subject == "contract" and s.kind == "customer"]
    contracts = effects.contracts_of(work, on_contract)
    subjects = {
        id(said): contracts.get(said.customer or 0) if hearing.flow.subject == "contract" and said.kind == "customer"
        else said.subject
        for said, hearing in openings
    }  # fmt: skip
    every = [(said, one) for said, hearing in openings for one in (hearing, *hearing.others)]
    holds = _opening_guards(work, every, subjects)
    wanted: list[tuple[Said, dict[str, Any]]] = []
    for said, first in openings:
        subject = subjects[id(said)]
        hearing = _fitting(first, subject, holds)
        flow, opening = hearing.flow, hearing.opening
        try:
            _allowed(work, said, hearing)
        except RefusedError as error:
            refused.append((said, str(error)))
            continue
        if subject is None:
            refused.append((said, f"{flow.name} is about a contract, and there is none"))
        elif opening is not None and opening.when is not None and subject not in holds[flow.name, opening.place]:
            refused.append((said, f"{flow.name} does not open: {opening.when.text} does not hold"))
        else:
            wanted.append((said, _want(said, flow, opening, subject)))
    effects.key_all(work, [want for _, want in wanted])
    return wanted


def _fitting(hearing: Hearing, subject: int | None, holds: dict[tuple[str, str], set[int]]) -> Hearing:
    """Of a flow and what it is a variant of the first whose rule holds for the subject; the last where none does."""
    for one in (hearing, *hearing.others):
        if one.opening is None or one.opening.when is None or subject in holds[one.flow.name, one.opening.place]:
            return one
    return (hearing, *hearing.others)[-1]


def _want(said: Said, flow: Flow, opening: Opening | None, subject: int) -> dict[str, Any]:
    values = {name: value[0] if value[1] is None else value[1] for name, value in said.fields.items()}
    fixed = {n: v for n, v in (opening.values if opening is not None else {}).items() if not hasattr(v, "node")}
    return {
        "flow": flow, "subject": subject, "customer": said.customer, "key": said.case_key, "at": said.at,
        "place": opening.place if opening is not None else "import", "because": [_because(said)],
        "fields": {**fixed, **values}, "stage": said.stage or (opening.to if opening is not None else None),
        "actor": said.actor,
    }  # fmt: skip


def _opening_guards(
    work: Work, openings: list[tuple[Said, Hearing]], subjects: dict[int, int | None]
) -> dict[tuple[str, str], set[int]]:
    """(flow, place of an opening) → the subjects that its guard holds for, of those that words speak of."""
    asked: dict[tuple[str, str], tuple[Flow, Opening, set[int]]] = {}
    for said, hearing in openings:
        opening, subject = hearing.opening, subjects[id(said)]
        if opening is not None and opening.when is not None and subject is not None:
            key = (hearing.flow.name, opening.place)
            asked.setdefault(key, (hearing.flow, opening, set()))[2].add(subject)
    return {
        key: {row.own for row in work.ask(("opens", *key), partial(_guarding_opening, work, flow, opening), ids)}
        for key, (flow, opening, ids) in asked.items()
    }


def _guarding_opening(work: Work, flow: Flow, opening: Opening) -> Executable:
    reader = work.view.subjects(flow.subject)
    own: Any = reader.base.c.id
    return holding(reader, opening.when, [own.label("own")], where=[these(own)])[0]


def _because(said: Said) -> dict[str, Any]:
    return {"fact": f"trigger {said.name}", "value": True, "measured": None}


def _move_all(work: Work, moves: list[tuple[Said, Hearing]]) -> list[tuple[Said, str]]:
    """Write the words' fields, ask once for each transition whether its guard holds, move those for which it does."""
    refused: list[tuple[Said, str]] = []
    savepoint = work.connection.begin_nested()
    _state(work, moves)
    work.flush()
    holds = _guards(work, moves)
    good: list[tuple[Said, Hearing, Transition | None, list[dict[str, Any]]]] = []
    for said, hearing in moves:
        choice = _choice(work, said, hearing, holds)
        if isinstance(choice, str):
            refused.append((said, choice))
        else:
            good.append((said, hearing, *choice))
    if refused and any(said.fields for said, _ in refused):
        savepoint.rollback()
        _reload(work, [h.row for _, h in moves if h.row is not None])
        _state(work, [(said, hearing) for said, hearing, _, _ in good])
    else:
        savepoint.commit()
    for said, hearing, transition, because in good:
        row = work.rows[hearing.row.id] if hearing.row is not None else None
        if row is not None:
            try:
                _act(work, said, hearing, row, transition, because)
            except RefusedError as error:
                refused.append((said, str(error)))
    return refused


def _reload(work: Work, rows: Iterable[CaseRow]) -> None:
    """Forget what a rolled-back savepoint had written."""
    ids = [row.id for row in rows]
    for case in ids:
        del work.rows[case]
        work.reached.pop(case, None)
        work.lines.pop(case, None)
    work.load(ids)


def _state(work: Work, moves: Iterable[tuple[Said, Hearing]]) -> None:
    for said, hearing in moves:
        row = work.rows.get(hearing.row.id) if hearing.row is not None else None
        if row is None:
            continue
        for name, value in said.fields.items():
            stored = value[0] if value[1] is None else value[1]
            work.set_field(f"{row.flow}.{name}", row.id, stored, hearing.flow.fields[name].type, said.at)
            work.log(row, "field", _heard_at(said, row), target=name, place=f"trigger {said.name}", actor=said.actor)


def _heard_at(said: Said, row: CaseRow) -> Instant:
    """When the case hears the word: when it was said, but not before the case came where it is."""
    return max(said.at, row.entered_at)


def _guards(work: Work, moves: list[tuple[Said, Hearing]]) -> dict[tuple[str, str], dict[int, list[dict[str, Any]]]]:
    """(flow, source, place of a transition) → the cases for which its guard holds, with the reasons."""
    groups: dict[tuple[str, str, str], tuple[Flow, Transition, set[int]]] = {}
    for _, hearing in moves:
        for way in hearing.transitions:
            if hearing.row is not None and way.guard is not None:
                key = (hearing.flow.name, way.source, way.place)
                groups.setdefault(key, (hearing.flow, way, set()))[2].add(hearing.row.id)
    found: dict[tuple[str, str], dict[int, list[dict[str, Any]]]] = {}
    for (name, source, place), (flow, way, ids) in groups.items():
        rows = work.ask(("guard", name, source, place), partial(_guarding, work, flow, way), ids)
        evidence = Evidence(work.view.moment, way.guard, dated=False)
        found[(name, f"{source}>{place}")] = {row.own: work.because(evidence.reasons(row)) for row in rows}
    return found


def _guarding(work: Work, flow: Flow, way: Transition) -> Executable:
    reader = work.view.cases(flow, way.source)
    own: Any = reader.base.c.id
    return holding(reader, way.guard, [own.label("own")], where=[these(own)])[0]


def _choice(
    work: Work, said: Said, hearing: Hearing, holds: dict[tuple[str, str], dict[int, list[dict[str, Any]]]]
) -> str | tuple[Transition | None, list[dict[str, Any]]]:
    """The first transition that may be taken, with its reasons; or why none may."""
    assert hearing.row is not None  # noqa: S101  # openings went another way
    if not hearing.transitions:
        return None, [_because(said)]
    for way in hearing.transitions:
        if way.guard is None:
            return way, [_because(said)]
        reasons = holds.get((hearing.flow.name, f"{way.source}>{way.place}"), {}).get(hearing.row.id)
        if reasons is not None:
            return way, [_because(said), *reasons]
    return _why_not(work, said, hearing)


def _why_not(work: Work, said: Said, hearing: Hearing) -> str:
    row, way = hearing.row, hearing.transitions[0]
    assert row is not None  # noqa: S101
    missing = missing_fields(work, row, way)
    if missing:
        return f"{hearing.flow.name} asks for {', '.join(missing)} before '{said.name}'"
    text = way.when.text if way.when is not None else "its entry criterion"
    return f"{work.name(row)}: '{said.name}' is not possible now, {text} does not hold"


def missing_fields(work: Work, row: CaseRow, way: Transition) -> list[str]:
    """Fields that the transition asks for and nobody has filled."""
    numbers = {name: work.view.book.number("field", f"{row.flow}.{name}") for name in way.asks}
    filled = set(
        work.connection.execute(
            select(t.field_value.c.field).where(
                t.field_value.c.subject == row.id,
                t.field_value.c.field.in_(sorted(numbers.values())),
                t.field_value.c.number.is_not(None) | t.field_value.c.text.is_not(None),
            )
        ).scalars()
    )
    return [name for name in way.asks if numbers[name] not in filled]


def _act(
    work: Work, said: Said, hearing: Hearing, row: CaseRow, way: Transition | None, because: list[dict[str, Any]]
) -> None:
    at = _heard_at(said, row)
    if hearing.milestone is not None:
        moving.reach(work, row, hearing.milestone, at, because, f"trigger {said.name}")
    elif said.stage is not None:
        if row.stage != said.stage:
            _follow(work, said, hearing, row, because)
    elif way is not None and way.approve is not None:
        if not ask_approval(work, row, way, said.actor, at):
            raise RefusedError(f"{work.name(row)} waits for an approval already: answer it before you ask for another")
    elif way is not None:
        moving.move(work, row, way, at, because, actor=said.actor)


def ask_approval(work: Work, row: CaseRow, way: Transition, asker: str, at: Instant) -> bool:
    """Open the task of whoever must approve the move; False when the case waits for an approval already."""
    k = t.task.c
    asked = select(k.number, k.done_at).where(k.case == row.id, k.name == "approve").order_by(k.number.desc())
    last = work.connection.execute(asked).first()
    if last is not None and last.done_at is None:
        return False
    number = 0 if last is None else last.number
    what = {"name": "approve", "number": number + 1, "role": way.approve, "due": None}
    effects.open_task(work, row, what | {"move": f"{way.source}>{way.place}", "asker": asker}, at)
    return True


def _follow(work: Work, said: Said, hearing: Hearing, row: CaseRow, because: list[dict[str, Any]]) -> None:
    """A move that another system made: the way of the flow if it has one, else as it came."""
    ways = [way for way in hearing.flow.stages[row.stage].transitions if way.target == said.stage]
    if hearing.flow.mirrors and said.stage is not None and said.stage != row.stage:
        ways.append(Transition(row.stage, said.stage, MIRRORED))
    if not ways:
        raise RefusedError(f"{work.name(row)}: no way leads from '{row.stage}' to '{said.stage}'")
    moving.move(work, row, ways[0], _heard_at(said, row), because, actor=said.actor)
