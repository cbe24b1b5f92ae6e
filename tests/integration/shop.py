"""A project about a shop's customers, with something of everything that an explanation tells; and its passes."""

from __future__ import annotations

from sqlalchemy import insert, select, update

from csflow.builtin import usage
from csflow.flow.loader import Surroundings, load
from csflow.plugins import make_manager, providers
from csflow.services.advance import Request, advance
from csflow.services.explain import Asked, explain, explain_cases, foresee
from csflow.services.measure import measure
from csflow.store import tables as t
from csflow.store.catalogue import CATALOGUE
from csflow.store.names import name_id
from csflow.store.opening import open_store
from csflow.store.touching import touch
from csflow.values import Zone, day

FILES = {
    "csflow.yaml": """
csflow: 1
name: shop
languages: [en, zh]
currency: EUR
zone: Europe/Berlin
roles: {csm: {label: {en: Success manager, zh: 客户成功}}, lead: {label: {en: Lead, zh: 主管}}}
activities: {visit: {en: Visit, zh: 拜访}}
vars: {few: 3}
fields:
  customer:
    beds: number
    mood: {type: number, fresh: 10 days}
    vip: boolean
metrics:
  size.grade: {choose: {big: customer.beds >= 50, small: otherwise}}
  size.beds: {value: customer.beds, fresh: 20 days}
  contract.worth: {subject: contract, value: contract.amount}
""",
    "care.yaml": """
flow: care
label: {en: Care, zh: 关怀}
clock: contract.starts_on
opens: contract.id is known
responsible: csm
fields: {cause: {choices: [price, other], label: {en: Cause, zh: 原因}}}
milestones: {rich: contract.amount >= money(1000)}
stages:
  start:
    label: {en: Start, zh: 开始}
    deadline: 1 month after clock
    milestones:
      visited: {when: since(activity.last_visit) <= days(3), label: {en: Visited, zh: 已拜访}}
      praised: {trigger: praise, optional: true}
    transitions:
      grown: milestones.all and (customer.beds >= 10 or size.grade == 'big')
      asleep: since(activity.last_visit) >= days(90) and customer.mood < vars.few
    overdue: [{task: call, label: Call them, for: csm, due: 2 days}]
  grown:
    enter: customer.vip
    transitions:
      asleep: has_been(size.grade == 'small', days(14))
      ending: {when: until(contract.ends_on) <= months(1), approve: lead}
      start: count(complaint, complaint.end is unknown) >= 2
  asleep: {transitions: {back: since(activity.last_visit) <= days(7)}}
  ending: {}
  lost: {end: bad, transitions: {start: {trigger: return, only: lead}}}
transitions:
  lost: {trigger: cancel, asks: [cause]}
""",
    "complaint.yaml": """
flow: complaint
one_per: case.id
opens: {trigger: complain}
fields: {what: text}
stages: {open: {transitions: {closed: {trigger: solve}}}, closed: good}
""",
}
FAILING = """
from csflow.hookspecs import hookimpl

def orders(batch):
    raise ValueError("the shop's server is away")

@hookimpl
def csflow_metrics():
    return {"shop/orders": orders}
"""  # a plugin whose metric cannot be computed
ZONE = Zone("Europe/Berlin")


def at(text: str) -> int:
    return ZONE.end_of(day(text))


class Shop:
    """The project (or another one of ``files``) on a database. A day is written as text; a verb takes place at its end."""

    def __init__(self, database: str, folder, files: dict[str, str] = FILES) -> None:
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
        self.folder, self.database = folder, database
        self.definition = load(folder, Surroundings(CATALOGUE)).definition
        self.store = open_store(database, project=None)
        self.providers = providers(make_manager([("csflow", usage)]))

    def customer(
        self, key: str, *, starts="2026-01-01", ends="2026-12-31", amount: int | None = 50_000, **fields
    ) -> None:
        """A customer with one contract (none where ``starts`` is None); fields as they are stored."""
        with self.store.writing() as c:
            id_ = c.execute(
                insert(t.customer).values(key=key, name=f"{key} & Co", happened=0).returning(t.customer.c.id)
            ).scalar_one()
            if starts is not None:
                row = {"customer": id_, "key": "K", "starts_on": day(starts), "ends": day(ends) + 1 if ends else None}
                c.execute(insert(t.contract).values(**row, amount=amount, currency="EUR", value=amount, happened=0))
            touch(c, "customer", [id_])
        for name, value in fields.items():
            self.state(key, name, value)

    def id(self, key: str, connection) -> int:
        return connection.execute(select(t.customer.c.id).where(t.customer.c.key == key)).scalar_one()

    def state(self, key: str, name: str, value, on: str = "2026-01-01") -> None:
        with self.store.writing() as c:
            number, subject = name_id(c, "field", f"customer.{name}"), self.id(key, c)
            c.execute(t.field_value.delete().where(t.field_value.c.field == number, t.field_value.c.subject == subject))
            row = {"field": number, "subject": subject, "number": value, "happened": day(on), "stated": at(on)}
            c.execute(insert(t.field_value).values(**row))
            touch(c, "customer", [subject])

    def visit(self, key: str, on: str) -> None:
        with self.store.writing() as c:
            row = {
                "customer": self.id(key, c),
                "kind": "visit",
                "at": ZONE.at(day(on), 720),
                "source": 1,
                "ref": f"{key}{on}",
            }
            c.execute(insert(t.activity).values(**row))
            touch(c, "customer", [row["customer"]])

    def say(self, key: str, word: str, on: str, flow: str | None = None, fields: str | None = None) -> None:
        """A word that came by import: it waits for the next pass."""
        with self.store.writing() as c:
            id_ = self.id(key, c)
            row = {"name": word, "flow": flow, "kind": "customer", "subject": id_, "customer": id_, "at": at(on)}
            c.execute(insert(t.inbox).values(**row, actor="import", fields=fields))
            touch(c, "customer", [id_])

    def ends(self, key: str, on: str) -> None:
        with self.store.writing() as c:
            id_ = self.id(key, c)
            c.execute(update(t.contract).where(t.contract.c.customer == id_).values(ends=day(on) + 1))
            touch(c, "customer", [id_])

    def measure(self, on: str) -> None:
        measure(self.store, self.definition, self.providers, now=at(on), recorded=at(on))

    def advance(self, on: str):
        return advance(self.store, self.definition, Request(at(on), "test", at(on)))

    def run(self, on: str):
        self.measure(on)
        return self.advance(on)

    def explain(self, key: str, on: str, flow: str | None = "care") -> dict:
        """The first case of the explanation."""
        return explain(self.store, self.definition, key, Asked(at(on)), flow=flow)["cases"][0]

    def explain_all(self, on: str) -> dict[str, dict]:
        with self.store.trial() as c:
            view = foresee(c, self.definition, Asked(at(on)))
            ids = c.execute(select(t.case.c.id).order_by(t.case.c.id)).scalars().all()
            return {case["case"]: case for case in explain_cases(c, view, ids)}

    def close(self) -> None:
        self.store.close()
