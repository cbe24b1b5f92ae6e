"""A random population in the real tables, and the same facts read back by plain Python: what guards are judged by.

Nothing here uses the room that turns facts into SQL: the loader reads whole tables and looks facts up in dictionaries.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace

from sqlalchemy import insert, select

from csflow.flow.calendars import Calendar, parse_hours
from csflow.flow.moments import Moment
from csflow.flow.names import FlowNames, Names
from csflow.flow.types import BOOLEAN, DATE, MONEY, NUMBER, SHARE, TIME, Type
from csflow.store import tables as t
from csflow.store.catalogue import CATALOGUE
from csflow.store.names import name_id
from csflow.store.reading import Book
from csflow.values import Length, Zone, day

ZONE = Zone("Europe/Berlin")
GRADE = Type("choice", ("A", "B", "C"))
SEGMENT = Type("choice", ("shop", "kiosk", "chain"), (("small", ("shop", "kiosk")), ("large", ("chain",))))
CAUSE = Type("choice", ("price", "quality", "other"))
ATTITUDE = Type("choice", ("for", "neutral", "against"))
METRICS = {
    "usage.depth": ("customer", SHARE),
    "usage.hours": ("customer", NUMBER),
    "usage.worth": ("customer", MONEY),
    "usage.first": ("customer", DATE),
    "flag.vip": ("customer", BOOLEAN),
    "customer.grade": ("customer", GRADE),
    "contract.health": ("contract", NUMBER),
    "contact.reach": ("contact", SHARE),
}
FIELDS = {
    "customer": {
        "nps": (NUMBER, "60 days"), "beds": (NUMBER, None), "budget": (MONEY, None), "live_on": (DATE, None),
        "checked_at": (TIME, None), "agreed": (BOOLEAN, None), "segment": (SEGMENT, "6 months"),
    },
    "contract": {"seats": (NUMBER, None)},
    "contact": {"level": (NUMBER, None), "attitude": (ATTITUDE, None)},
}  # fmt: skip
FLOWS = {
    "lifecycle": FlowNames(
        "customer", "lifecycle", ("start", "grow", "gone"), {"score": NUMBER, "cause": CAUSE}, ("m1", "m2"), clock=True
    ),
    "renewal": FlowNames("customer", "renewal", ("open", "won", "lost"), {"amount": MONEY}, ("r1",), clock=True),
    "small_renewal": FlowNames("customer", "renewal", ("open", "won", "lost"), {"amount": MONEY}, ("r1",), clock=True),
    "complaint": FlowNames("customer", "complaint", ("new", "done"), {"cause": CAUSE, "cost": NUMBER}, (), clock=False),
}
VARIANTS = {
    "lifecycle": ("lifecycle",),
    "renewal": ("renewal", "small_renewal"),
    "small_renewal": ("small_renewal",),
    "complaint": ("complaint",),
}
REQUIRED = {("lifecycle", "start"): ("m1", "m2")}
NAMES = Names(
    CATALOGUE,
    currency="EUR",
    year_starts=4,
    fields=FIELDS,
    metrics={name: (subject, None) for name, (subject, _) in METRICS.items()},
    metric_type=lambda name: METRICS[name][1],
    flows=FLOWS,
    vars={"few": (NUMBER, 2.0), "part": (SHARE, 0.5)},
    activities=("visit", "call"),
)
OFFICE = Calendar("office", ZONE, parse_hours({"mon-fri": ["09:00-12:00", "13:00-18:00"]}))
EARLY = Moment(
    ZONE.end_of(day("2026-03-31")),
    ZONE,
    OFFICE,
    log_begin=ZONE.start_of(day("2025-06-01")),
    rates={"USD": 0.9, "JPY": 0.6},
)
LATE = Moment(
    ZONE.start_of(day("2026-02-28")) + 45_296_789_012,
    ZONE,
    OFFICE,
    log_begin=ZONE.start_of(day("2026-01-15")),
    unfed=frozenset({"activity"}),
)
WATCHED = ("usage.depth > 30%", "customer.grade == 'A'", "customer.segment == 'shop'")
WORDY = {"choice", "text", "person"}


class World:
    """The tables of a random population, written once; everything random comes from one seed."""

    def __init__(self, connection, seed: int, customers: int) -> None:
        self.chance = random.Random(seed)
        self.connection = connection
        self.today = EARLY.today
        self.ids = {("metric", name): name_id(connection, "metric", name) for name in METRICS}
        for kind, fields in FIELDS.items():
            self.ids |= {("field", f"{kind}.{f}"): name_id(connection, "field", f"{kind}.{f}") for f in fields}
        for flow, names in FLOWS.items():
            self.ids |= {("field", f"{flow}.{f}"): name_id(connection, "field", f"{flow}.{f}") for f in names.fields}
        for text in WATCHED:
            key = f"customer: {text}"
            self.ids["condition", key] = name_id(connection, "condition", key)
        self.book = Book(self.ids, VARIANTS, REQUIRED)
        self.rows: dict[str, list[dict]] = defaultdict(list)
        for number in range(1, customers + 1):
            self._customer(number)
        for table, rows in self.rows.items():
            connection.execute(insert(getattr(t, table)), rows)

    def maybe(self, value, unknown: float = 0.25):
        return None if self.chance.random() < unknown else value

    def day(self) -> int:
        near = self.chance.choice((0, 0, 0, 28, 31, 59, 90, 180, 365))
        ends = [day(f"2026-{month}") for month in ("01-31", "02-28", "03-30", "03-01", "04-30", "05-31")]
        return self.chance.choice(
            [*ends, self.today + self.chance.choice((-1, 1)) * (near + self.chance.randint(-3, 9))]
        )

    def instant(self) -> int:
        on = self.day()
        return self.chance.choice((ZONE.start_of(on), ZONE.end_of(on), ZONE.start_of(on) + 45_296_789_012))

    def past(self) -> int:
        return min(self.instant(), LATE.now - self.chance.randint(0, 2) * 86_400_000_000)

    def number(self) -> float:
        return self.chance.choice((0.0, 1.0, 2.0, 3.0, 0.1, 0.2, 1 / 3, 2.5, -1.5, 10.0, 100.0, 40.0, 60.0))

    def add(self, table: str, **values) -> int:
        if "id" in getattr(t, table).c:
            values["id"] = len(self.rows[table]) + 1
        for column in getattr(t, table).c:  # what no guard reads
            if not column.nullable and column.server_default is None and column.name not in values:
                values[column.name] = "" if column.type.python_type is str else 0
        self.rows[table].append(values)
        return values.get("id", 0)

    def stored(self, kind: Type):
        number = {
            "number": self.number, "share": lambda: self.chance.choice((0.0, 0.1, 0.3, 0.5, 0.75, 1.0)),
            "money": lambda: float(self.chance.choice((0, 100, 5_000, 250_000, 10_000_000))),
            "date": lambda: float(self.day()), "time": lambda: float(self.instant()),
            "boolean": lambda: float(self.chance.randint(0, 1)),
        }.get(kind.name)  # fmt: skip
        if number is None:
            return {"number": None, "text": self.maybe(self.chance.choice(kind.choices), 0.05)}
        return {"number": self.maybe(number(), 0.05), "text": None}

    def facts(self, kind: str, subject: int) -> None:
        for name, (of, type_) in METRICS.items():
            if of == kind and self.maybe(True):
                row = {"metric": self.ids["metric", name], "subject": subject, **self.stored(type_)}
                self.add("measurement", **row, happened=self.maybe(self.day()), known=self.past())
                for known in {self.past() for _ in range(2)}:
                    row |= self.stored(type_)
                    self.add("measurement_log", **row, happened=None, known=known)
        self.fields(kind, subject, {name: type_ for name, (type_, _) in FIELDS.get(kind, {}).items()})

    def fields(self, kind: str, subject: int, types: dict[str, Type]) -> None:
        for name, type_ in types.items():
            if self.maybe(True):
                row = {"field": self.ids["field", f"{kind}.{name}"], "subject": subject, **self.stored(type_)}
                self.add("field_value", **row, happened=self.chance.choice((0, self.day())), stated=self.past())

    def _customer(self, number: int) -> None:
        chance = self.chance
        customer = self.add(
            "customer", key=f"C{number}", name=self.maybe("Ada"), signed_on=self.maybe(self.day()), happened=0,
            contract=None, amount=self.maybe(chance.choice((0, 5_000, 250_000))), contracts=chance.randint(0, 3),
            first_day=self.maybe(min(self.day(), self.today)), next_change=None,
        )  # fmt: skip
        contracts = [self._contract(customer, n) for n in range(chance.randint(0, 3))]
        self.rows["customer"][-1]["contract"] = chance.choice([*contracts, None]) if contracts else None
        contacts = [self._contact(customer, n) for n in range(chance.randint(0, 3))]
        for _ in range(chance.choice((0, 0, 1, 2, 4))):
            self.add(
                "activity", customer=customer, contact=chance.choice([*contacts, None]), kind=chance.choice(("visit", "call")),
                at=self.past() + chance.choice((0, 0, 3_000_000_000_000)), person=self.maybe("li"), note=None, source=1,
                ref=f"r{len(self.rows['activity'])}",
            )  # fmt: skip
        self.facts("customer", customer)
        for text in WATCHED:
            self._span(customer, text)
        self._case("lifecycle", customer, 1)
        for flow in ("renewal", "small_renewal", "complaint"):
            for n in range(chance.choice((0, 1, 1, 2))):
                self._case(flow, customer, n + 1)

    def _span(self, customer: int, text: str) -> None:
        if self.maybe(True):
            truth = self.chance.choice((0, 1, 1, None))
            number = self.ids["condition", f"customer: {text}"]
            times = {
                "since": self.past(),
                "false_until": self.maybe(self.past()),
                "first_true": self.maybe(self.past()),
            }
            self.add("span", condition=number, subject=customer, truth=truth, **times)

    def _contract(self, customer: int, number: int) -> int:
        starts = self.day()
        contract = self.add(
            "contract", customer=customer, key=f"K{number}", product=self.maybe(self.chance.choice(("pro", "lite"))),
            starts_on=starts, ends=self.maybe(self.day() + 1), amount=1, currency="EUR",
            value=self.maybe(self.chance.choice((0, 100, 5_000, 250_000, 10_000_000))), signed_on=self.maybe(self.day()),
            replaces=self.maybe(f"K{self.chance.randint(0, 2)}", 0.6), inferred=0,
            happened=self.chance.choice((0, 0, starts, self.today, self.today + 1)),
        )  # fmt: skip
        self.facts("contract", contract)
        return contract

    def _contact(self, customer: int, number: int) -> int:
        contact = self.add(
            "contact", key=f"C{customer}-P{number}", customer=customer, name=None, mail=None, phone=None, post=None,
            left=self.maybe(self.chance.randint(0, 1)), left_on=self.maybe(self.day()),
            happened=self.chance.choice((0, 0, self.today, self.today + 1)),
        )  # fmt: skip
        self.facts("contact", contact)
        return contact

    def _case(self, flow: str, customer: int, number: int) -> None:
        chance, stages = self.chance, FLOWS[flow].stages
        stage, opened = chance.choice(stages), self.past()
        ended = chance.choice(("good", "bad")) if stage in ("gone", "won", "lost", "done") else None
        case = self.add(
            "case", flow=flow, subject=customer, customer=customer, number=number, key=f"k{number}", stage=stage,
            ended=ended, stay=2, came_from=None, came_stay=None, opened_at=opened, entered_at=max(opened, self.past()),
            ended_at=self.past() if ended else None, clock=self.maybe(self.day()), run=0, waiting=chance.randint(0, 1),
            seq=1, version=1, definition="x",
        )  # fmt: skip
        self.rows["case"][-1]["definition"] = "x"
        self.fields(flow, case, FLOWS[flow].fields)
        for name in FLOWS[flow].milestones:
            for stay in (1, 2):
                if self.maybe(True, 0.4):
                    at = self.past()
                    self.add("milestone", case=case, stay=stay, name=name, stage="start", at=at, current=int(stay == 2))
        for name in ("stages.start", "flow"):
            met, missed = self.maybe(self.past(), 0.6), self.maybe(self.past(), 0.6)
            if self.maybe(True):
                self.add(
                    "deadline", case=case, name=name, run=0, due=self.maybe(self.instant()), met=met, missed=missed,
                    person=None, stopped=None, rest=None, dropped=chance.choice((0, 0, 0, 1)),
                )  # fmt: skip
        for name in ("call", "write"):
            if self.maybe(True, 0.5):
                self.add(
                    "task", case=case, name=name, number=1, label=None, role="csm", person=self.maybe("li"),
                    opened_at=self.past(), due=self.maybe(self.instant()), snoozed=None, done_at=self.maybe(self.past(), 0.5),
                    outcome=None, move=None, asker=None,
                )  # fmt: skip


class Tables:
    """All rows of the database, found by plain dictionaries."""

    def __init__(self, connection, book: Book) -> None:
        self.all = {}
        for name in ("customer", "contract", "contact", "activity", "case", "milestone", "deadline", "task", "span"):
            self.all[name] = [dict(row._mapping) for row in connection.execute(select(getattr(t, name)))]
        self.by_id = {name: {row["id"]: row for row in rows if "id" in row} for name, rows in self.all.items()}
        values = connection.execute(select(t.measurement)).mappings()
        self.metric = {(row["metric"], row["subject"]): row for row in values}
        values = connection.execute(select(t.field_value)).mappings()
        self.field = {(row["field"], row["subject"]): row for row in values}
        self.ids = book.ids
        self.log = defaultdict(list)
        for row in connection.execute(select(t.measurement_log)).mappings():
            self.log[row["metric"], row["subject"]].append(row)
        self.of: dict[str, dict[int, list[dict]]] = {}
        for name in ("contract", "contact", "activity", "case"):
            self.of[name] = defaultdict(list)
            for row in self.all[name]:
                self.of[name][row["customer"]].append(row)
        for name in ("milestone", "deadline", "task"):
            self.of[name] = defaultdict(list)
            for row in self.all[name]:
                self.of[name][row["case"]].append(row)
        self.spans = {(row["condition"], row["subject"]): row for row in self.all["span"]}


class Plain:
    """The facts of one row by the meaning of their names; implements ``Facts`` without any SQL but whole tables."""

    def __init__(self, tables: Tables, moment: Moment, kind: str, row: dict, outer: Plain | None = None) -> None:
        self.tables, self.moment, self.kind, self.row, self.outer = tables, moment, kind, row, outer
        self.customer = (
            tables.by_id["customer"][row["id"] if kind == "customer" else row["customer"]] if outer is None else None
        )

    # What it is asked for

    def value(self, fact):
        if self.outer is not None and not fact.owner.startswith("each:"):
            return self.outer.value(fact)
        if fact.kind in ("metric", "field"):
            row = self._stored(fact)
            if row is None or (fact.fresh is not None and not self._is_fresh(row["stated"], fact.fresh)):
                return None
            return row["text"] if fact.type.name in WORDY else row["number"]
        return self._live(fact)

    def stated(self, fact):
        if self.outer is not None and not fact.owner.startswith("each:"):
            return self.outer.stated(fact)
        row = self._stored(fact)
        return None if row is None else row["known"] if fact.kind == "metric" else row["stated"]

    def span(self, condition):
        if self.outer is not None:
            return self.outer.span(condition)
        row = self.tables.spans.get((self.tables.ids["condition", condition.key], self.customer["id"]))
        if row is None:
            return None
        truth = None if row["truth"] is None else bool(row["truth"])
        return truth, row["since"], row["false_until"], row["first_true"]

    def ago(self, fact, length):
        if self.outer is not None:
            return self.outer.ago(fact, length)
        subject = self._subject(fact.owner)
        if subject is None:
            return None
        _, reached = self.moment.borders(length, until=False, time=True)
        rows = self.tables.log[self.tables.ids["metric", fact.key], subject["id"]]
        rows = [row for row in rows if row["known"] <= reached]
        row = max(rows, key=lambda row: row["known"], default=None)
        return None if row is None else row["text"] if fact.type.name in WORDY else row["number"]

    def first_day(self):
        return self.outer.first_day() if self.outer is not None else self.customer["first_day"]

    def rows(self, thing):
        customer, now, today = self.customer["id"], self.moment.now, self.moment.today
        if thing in VARIANTS:
            rows = [
                r for r in self.tables.of["case"][customer] if r["flow"] in VARIANTS[thing] and r["opened_at"] <= now
            ]
            rows.sort(key=lambda r: (r["opened_at"], r["number"], r["key"], r["id"]))
        elif thing == "task":
            rows = [task for case in self.tables.of["case"][customer] for task in self.tables.of["task"][case["id"]]]
            rows.sort(key=lambda r: (r["opened_at"], r["name"], r["number"], r["id"]))
        elif thing == "activity":
            rows = [r for r in self.tables.of["activity"][customer] if r["at"] <= now]
            if self.kind == "contact":
                rows = [r for r in rows if r["contact"] == self.row["id"]]
            rows.sort(key=lambda r: (r["at"], r["ref"]))
        else:
            rows = [r for r in self.tables.of[thing][customer] if r["happened"] <= today]
            if self.kind == "contact" and thing == "contact":
                pass  # the scope is the customer
            rows.sort(key=lambda r: (r["starts_on"] if thing == "contract" else r["happened"], r["key"]))
        return [Plain(self.tables, self.moment, thing, row, self) for row in rows]

    # How it is found

    def _is_fresh(self, stated, fresh: str) -> bool:
        amount, unit = fresh.split()
        _, reached = self.moment.borders(Length(int(amount), unit), until=False, time=True)
        return stated > reached

    def _subject(self, kind: str) -> dict | None:
        if self.outer is not None or self.kind == kind:
            return self.row
        if kind == "customer":
            return self.customer
        return self.tables.by_id["contract"].get(self.customer["contract"])

    def _stored(self, fact):
        owner = fact.owner.removeprefix("each:")
        if fact.kind == "metric":
            row = self._subject(owner)
            return None if row is None else self.tables.metric.get((self.tables.ids["metric", fact.key], row["id"]))
        row = self._case(fact.owner) if self._is_case(fact.owner) else self._subject(owner)
        if row is None:
            return None
        name, flow = fact.key, row.get("flow")
        if flow is not None:
            name = f"{flow}.{fact.key.partition('.')[2]}"
        return self.tables.field.get((self.tables.ids["field", name], row["id"]))

    def _is_case(self, owner: str) -> bool:
        return owner == "case" or owner.startswith("flow:") or owner.removeprefix("each:") in VARIANTS

    def _case(self, owner: str):
        if not owner.startswith("flow:"):
            return self.row
        found = Plain.rows(self, owner.removeprefix("flow:"))
        return found[-1].row if found else None

    def _live(self, fact):
        owner, key = fact.owner, fact.key
        if fact.kind == "activity" or owner == "activity":
            return self._last(owner, key)
        if owner == "milestones":
            return self._milestones(key)
        if owner == "tasks":
            waiting = sum(1 for task in self.tables.of["task"][self.row["id"]] if task["done_at"] is None)
            return waiting if key == "open" else waiting == 0
        if owner == "open":
            return sum(1 for row in self.rows(key) if row.row["ended"] is None)
        if self._is_case(owner):
            row = self._case(owner)
            return None if row is None else self._of_case(row, fact)
        kind = owner.removeprefix("each:")
        row = self._subject(kind) if kind not in ("activity", "task") else self.row
        return None if row is None else self._column(kind, row, key)

    def _column(self, kind: str, row: dict, key: str):
        if kind == "contract":
            if key in ("renewed", "renewed_amount"):
                return self._renewal(row, key)
            if key == "ends_on":
                return None if row["ends"] is None else row["ends"] - 1
            key = {"amount": "value"}.get(key, key)
        return row[{"id": "key"}.get(key, key)]

    def _renewal(self, row: dict, key: str):
        others = self.tables.of["contract"][row["customer"]]
        found = [r for r in others if r["replaces"] == row["key"] and r["happened"] <= self.moment.today]
        if key == "renewed":
            return bool(found)
        return None if any(r["value"] is None for r in found) else sum(r["value"] for r in found)

    def _of_case(self, row: dict, fact):
        key = fact.key
        if fact.kind == "milestone":
            found = [m["at"] for m in self.tables.of["milestone"][row["id"]] if m["name"] == key and m["current"]]
            return found[0] if found else None
        if key == "responsible":
            return None
        lines = [line for line in self.tables.of["deadline"][row["id"]] if not line["dropped"]]
        if key == "missed":
            return sum(1 for line in lines if line["missed"] is not None)
        if key == "due":
            waits = [x["due"] for x in lines if x["met"] is None and x["missed"] is None and x["due"] is not None]
            return min(waits, default=None)
        if key == "overdue":
            late = [
                task for task in self.tables.of["task"][row["id"]]
                if task["done_at"] is None and task["due"] is not None and task["due"] < self.moment.now
            ]  # fmt: skip
            return bool(late) or any(x["missed"] is not None and x["met"] is None for x in lines)
        return row[{"end": "ended"}.get(key, key)]

    def _milestones(self, key: str):
        mine = self.tables.of["milestone"][self.row["id"]]
        if key != "all":
            found = [m["at"] for m in mine if m["name"] == key and m["current"]]
            return found[0] if found else None
        return {"m1", "m2"} <= {m["name"] for m in mine if m["stay"] == self.row["stay"]}

    def _last(self, owner: str, key: str):
        at = (self.customer or self.outer.customer)["id"]
        rows = [r for r in self.tables.of["activity"][at] if r["at"] <= self.moment.now]
        if owner != "activity":
            rows = [r for r in rows if r["contact"] == self.row["id"]]
        kind = key.removeprefix("last_")
        if kind not in ("last", "touch"):
            rows = [r for r in rows if r["kind"] == kind]
        return max((r["at"] for r in rows), default=None)


def at(moment: Moment) -> Moment:
    """A moment with nothing remembered."""
    return replace(moment)
