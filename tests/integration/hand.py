"""A small project and its people, for the tests of what is done by hand."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select

from csflow.flow.loader import Surroundings, load
from csflow.services.acting import Act, Word, open_case, set_case, trigger
from csflow.services.advance import Request, advance
from csflow.services.customers import Said, add_customer
from csflow.store import tables as t
from csflow.store.catalogue import CATALOGUE
from csflow.store.opening import open_store
from csflow.values import Zone, day

PROJECT = """
csflow: 1
name: p
languages: [en]
currency: EUR
zone: Europe/Berlin
roles:
  csm: Success manager
  lead: {label: Lead, leads: csm}
people:
  li: {roles: [csm]}
  wang: {roles: [csm]}
  ann: {roles: [lead]}
activities: {visit: Visit, call: Call}
fields:
  customer:
    segment: [small, large]
    budget: money
    tags: {type: choices, choices: [a, b, c]}
    secret: text
  contact: {hobby: text, attitude: [for, against]}
  contract: {seats: number}
"""
CARE = """
flow: care
responsible: csm
fields: {cause: [price, service], score: number}
stages:
  start:
    milestones: {met: {trigger: met}, visited: since(activity.last_visit) <= days(7)}
    do: [{task: hello, label: Say hello, for: csm, due: 2 days}]
    transitions: {steady: milestones.all}
  steady:
    transitions: {start: {trigger: again, when: case.score >= 5}}
  gone: {end: bad, transitions: {start: {trigger: back, only: lead}}}
transitions:
  gone: {trigger: cancel, asks: [cause], approve: lead}
"""
COMPLAINT = """
flow: complaint
one_per: case.id
opens: {trigger: complain, only: [csm]}
do: [{open: care}]
responsible: csm
fields: {what: text, cost: money}
stages:
  solve:
    deadline: {due: 24 hours, stops_while: case.waiting}
    transitions: {closed: {trigger: solved, asks: [what]}}
  closed: good
"""
RENEWAL = """
flow: renewal
subject: contract
fields: {price: money}
stages: {offer: {transitions: {won: {trigger: signed}}}, won: good}
"""
GREETING = """
flow: greeting
subject: contact
fields: {words: text}
stages: {new: {transitions: {done: {trigger: greeted, when: contact.name is known}}}, done: good}
"""
PROGRAM = """
flow: program
subject: organisation
stages: {prepare: {transitions: {mature: {trigger: grown}}}, mature: good}
"""
FILES = {"csflow": PROJECT, "care": CARE, "complaint": COMPLAINT, "renewal": RENEWAL, "greeting": GREETING,
         "program": PROGRAM}  # fmt: skip
ZONE = Zone("Europe/Berlin")
MONDAY = day("2026-03-02")


def at(days: int, hour: int = 12) -> int:
    """An instant some days after Monday, 2 March 2026."""
    return ZONE.at(MONDAY + days, hour * 60)


class Hand:
    """The project (or another one of `files`), opened on a database, with short words for what the tests do again and again."""

    def __init__(self, database: str, folder: Any, files: dict[str, str] = FILES) -> None:
        folder.mkdir()
        for name, text in files.items():
            (folder / f"{name}.yaml").write_text(text, "utf-8")
        self.folder = folder
        self.definition = load(folder, Surroundings(CATALOGUE)).definition
        self.store = open_store(database, project=None)

    def act(self, by: str = "li", days: int = 0, hour: int = 12, *, dry_run: bool = False) -> Act:
        return Act(by, at(days, hour), at(days, hour), dry_run)

    def customer(self, key: str = "C-1", **roles: str) -> None:
        add_customer(self.store, self.definition, self.act(), customer=key, said=Said({"name": "Ada"}, roles))

    def open(self, flow: str = "care", subject: str = "C-1", act: Act | None = None, **fields: str) -> dict[str, Any]:
        return open_case(self.store, self.definition, act or self.act(), flow=flow, subject=subject, fields=fields)

    def say(self, name: str, target: str = "C-1", act: Act | None = None, **fields: str) -> dict[str, Any]:
        return trigger(self.store, self.definition, act or self.act(), Word(name, target, fields=fields))

    def set(self, case: str, act: Act | None = None, **fields: str) -> dict[str, Any]:
        return set_case(self.store, self.definition, act or self.act(), case=case, fields=fields)

    def advance(self, days: int, hour: int = 23) -> Any:
        return advance(self.store, self.definition, Request(at(days, hour), "pass", at(days, hour)))

    def rows(self, statement: Any) -> list[Any]:
        with self.store.reading() as connection:
            return list(connection.execute(statement).all())

    def all(self, table: Any) -> list[Any]:
        return self.rows(select(table))

    def add(self, table: Any, **values: Any) -> int:
        with self.store.writing() as connection:
            return int(connection.execute(insert(table).values(**values).returning(table.c.id)).scalar_one())

    def contract(self, key: str = "K-1", customer: int = 1, **values: Any) -> int:
        given = {"starts_on": MONDAY - 30, "ends": MONDAY + 300, "happened": 0, "amount": 500_000, "value": 500_000}
        return self.add(t.contract, customer=customer, key=key, currency="EUR", **{**given, **values})

    def contact(self, key: str = "P-1", customer: int = 1) -> int:
        return self.add(t.contact, customer=customer, key=key, name="Grace Hopper", mail="g@example.com", happened=0)

    def stage(self, flow: str = "care") -> list[str]:
        return [
            row.stage for row in self.rows(select(t.case.c.stage).where(t.case.c.flow == flow).order_by(t.case.c.id))
        ]

    def history(self, flow: str = "care") -> list[tuple[str, str | None, str]]:
        joined = select(t.history).join(t.case, t.case.c.id == t.history.c.case).where(t.case.c.flow == flow)
        return [
            (row.kind, row.target, row.actor) for row in self.rows(joined.order_by(t.history.c.case, t.history.c.seq))
        ]

    def snapshot(self) -> dict[str, list[Any]]:
        """Everything that is stored: what a refused act must leave as it is."""
        return {table.name: sorted(map(repr, self.all(table))) for table in t.metadata.tables.values()}
