"""What one would write without csflow: a loop over customers with `transitions` models and an ORM session.

    uv run python tests/benchmarks/by_hand.py [CUSTOMERS]

Collections are loaded 500 cases at a time (not one by one), guards are plain Python, a commit every 500 cases. Prints
microseconds a customer beside csflow's on a copy of the same file, each in a process of its own.
"""

from __future__ import annotations

import json
import sys
import time

import rules as r
from sqlalchemy import create_engine, event, select
from sqlalchemy.orm import Session, foreign, registry, relationship, selectinload

from csflow.store import tables as t

CHUNK = 500


class Case:
    """A lifecycle case; also the model of its machine, whose word for stage is state."""


class Measurement:
    """A metric's value."""


class Milestone:
    """A reached milestone."""


class Deadline:
    """A due time."""


class Customer:
    """A customer."""


class Contract:
    """The customer's contract."""


class History:
    """An entry."""


class Message:
    """A row of the outbox."""


def map_classes() -> None:
    """The ORM's view of the tables."""
    mapper = registry()
    c = t.case.c

    def many(kind: type, column) -> object:
        return relationship(kind, primaryjoin=foreign(column) == c.id, viewonly=True)

    for kind, table in ((Measurement, t.measurement), (Milestone, t.milestone), (Deadline, t.deadline),
                        (Customer, t.customer), (Contract, t.contract), (History, t.history), (Message, t.outbox)):  # fmt: skip
        mapper.map_imperatively(kind, table)
    properties = {
        "milestones": many(Milestone, t.milestone.c.case),
        "deadlines": many(Deadline, t.deadline.c.case),
        "measurements": relationship(
            Measurement, primaryjoin=foreign(t.measurement.c.subject) == c.subject, viewonly=True
        ),
        "owner": relationship(Customer, primaryjoin=foreign(c.customer) == t.customer.c.id, viewonly=True),
        "contract": relationship(
            Contract, primaryjoin=foreign(c.customer) == t.contract.c.customer, viewonly=True, uselist=False
        ),
    }
    mapper.map_imperatively(Case, t.case, properties=properties)


def advance_by_hand(path: str) -> dict:
    """The pass; returns seconds and counts."""
    from transitions import Machine

    map_classes()
    engine = create_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")
    def _prepare(connection, _record) -> None:
        connection.execute("pragma synchronous = full")

    machine = Machine(
        model=None, states=[*r.STAGES, "churned"], initial=r.STAGES[0], auto_transitions=False, model_attribute="stage"
    )
    for source, ways in r.TRANSITIONS.items():
        for target, _, _ in ways:
            machine.add_transition(f"{source}_{target}", source, target)
    counts = {"moved": 0, "milestones": 0, "missed": 0, "messages": 0}
    start, busy = time.perf_counter(), time.process_time()
    with Session(engine) as session:
        names = {number: name for name, number in session.execute(select(t.name.c.name, t.name.c.id))}
        last = 0
        loads = [
            selectinload(getattr(Case, name))
            for name in ("milestones", "deadlines", "measurements", "owner", "contract")
        ]
        while True:
            wanted = select(Case).where(t.case.c.id > last, t.case.c.ended.is_(None)).order_by(t.case.c.id).limit(CHUNK)
            cases = session.scalars(wanted.options(*loads)).all()
            if not cases:
                break
            last = cases[-1].id
            for case in cases:
                _one(session, machine, case, names, counts)
            session.commit()
            session.expunge_all()
    return {"seconds": time.perf_counter() - start, "cpu": time.process_time() - busy, "counts": counts}


def _one(session: Session, machine, case, names: dict[int, str], counts: dict[str, int]) -> None:
    from population import holds

    facts = {names[m.metric]: m.number for m in case.measurements} | {r.ENDS: case.contract.ends - 1}
    reached = {(m.stay, m.name) for m in case.milestones if m.current}

    def log(kind: str, target: str, because: str | None) -> None:
        case.seq += 1
        session.add(
            _new(History, case=case.id, seq=case.seq, kind=kind, at=r.NOW, recorded=r.NOW, actor="by hand",
                 definition=case.definition, target=target, because=because)
        )  # fmt: skip

    while True:
        for name, rule in r.MILESTONES.get(case.stage, {}).items():
            if (case.stay, name) not in reached and holds(facts, rule):
                reached.add((case.stay, name))
                session.add(
                    _new(Milestone, case=case.id, stay=case.stay, name=name, stage=case.stage, at=r.NOW, current=1)
                )
                log("milestone", name, json.dumps([[fact, facts[fact]] for fact, _, _ in rule]))
                counts["milestones"] += 1
        for line in case.deadlines:
            if line.due < r.NOW and line.met is None and line.missed is None and not line.dropped:
                line.missed = line.due
                log("missed", line.name, None)
                counts["missed"] += 1
        for target, rule, role in r.TRANSITIONS.get(case.stage, ()):
            if not holds(facts, rule):
                continue
            source = case.stage
            machine.events[f"{source}_{target}"].trigger(case)
            case.came_from, case.came_stay, case.stay = source, case.stay, case.stay + 1
            case.entered_at = r.NOW
            case.ended = "bad" if target == "churned" else None
            log("moved", target, json.dumps([[fact, facts[fact]] for fact, _, _ in rule]))
            counts["moved"] += 1
            if role is not None:
                counts["messages"] += 1
                session.add(
                    _new(Message, effect_id=f"{case.id}-{case.seq}", case=case.id, seq=case.seq, verb="notify", body="{}",
                         recipient=role, at=r.NOW, status="pending", tries=0)
                )  # fmt: skip
            break
        else:
            return


def _new(made_of: type, /, **values: object) -> object:
    made = made_of()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def main() -> None:
    """Both, on copies of the same file."""
    from importlib import import_module

    from population import copy

    many = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    ours = import_module("pass").apart("csflow", str(copy(many, "csflow")))
    theirs = advance_by_hand(str(copy(many, "by_hand")))
    for name, result in {"by hand": theirs, "csflow": ours}.items():
        each = 1_000_000 / many
        print(
            f"{name}: {result['seconds'] * each:.0f} µs a customer ({result['cpu'] * each:.0f} of CPU), {result['counts']}"
        )
    for what in ("seconds", "cpu"):
        print(f"{many} customers, {what}: by hand {theirs[what] / ours[what]:.1f} times as long")


if __name__ == "__main__":
    main()
