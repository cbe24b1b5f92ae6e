"""Metrics of a book: counted by the database, and once more by a loop over Python objects that must agree."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import pytest
from hand import PROJECT, ZONE, Hand
from sqlalchemy import event, insert, select

from csflow.errors import UsageError
from csflow.flow.evaluation import function
from csflow.flow.moments import Moment
from csflow.services.book import Asked, book
from csflow.store import tables as t
from csflow.store.names import name_id
from csflow.store.touching import touch
from csflow.values import day, money_text

METRICS = """
vars: {many: 3}
fields:
  customer: {beds: number}
  contact: {level: [1, 2]}
  organisation: {seats: number}
metrics:
  customer.size: {choose: {big: customer.beds >= 20, small: otherwise}}
  renewal.rate:
    subject: book
    type: share
    value: >-
      count(contract, contract.ends_on is known and contract.ends_on in period and contract.renewed)
      / count(contract, contract.ends_on is known and contract.ends_on in period)
  renewal.bare:
    subject: book
    value: count(contract, contract.ends_on in period and contract.renewed) / count(contract, contract.ends_on in period)
  renewal.money:
    subject: book
    value: >-
      sum(contract, contract.renewed_amount, contract.ends_on in period)
      / sum(contract, contract.amount, contract.ends_on in period)
  contract.mean:
    subject: book
    value: average(contract, contract.amount, contract.starts_on + months(1) in period)
  people.amount: {subject: book, value: "sum(customer, customer.amount) / count(person)"}
  people.team: {subject: book, value: "count(person, person.team == 'north')"}
  beds.chain: {subject: book, value: "sum(customer, customer.beds, customer.segment == 'large')"}
  visits.each: {subject: book, value: "count(activity, activity.kind == 'visit' and activity.at in period) / count(customer)"}
  work.waiting: {subject: book, value: "count(task, task.done_at is unknown and task.role == 'csm')"}
  care.share: {subject: book, value: "count(care, care.milestones.met is known) / count(care)"}
  care.lost: {subject: book, value: "1 - default(count(care, care.end == 'bad') / count(care), 0)"}
  contacts.warm:
    subject: book
    choose:
      many: count(contact, contact.level == 1) > vars.many
      some: count(contact, contact.level == 1) >= 1 and count(contact) < 2 * count(contact, contact.level == 1)
      none: otherwise
  seats.used: {subject: book, value: "count(contact) / organisation.seats"}
"""
CARE = """
flow: care
responsible: csm
stages:
  start:
    milestones: {met: {trigger: met}}
    transitions: {gone: {trigger: cancel}}
  gone: bad
"""
TODAY = day("2026-06-30")
NOW = ZONE.end_of(TODAY)


@pytest.fixture
def hand(database: str, tmp_path):
    opened = Hand(database, tmp_path / "project", {"csflow": PROJECT, "metrics": METRICS, "care": CARE})
    yield opened
    opened.store.close()


def asked(hand: Hand, *metrics: str, **what: Any) -> dict[str, Any]:
    return book(hand.store, hand.definition, NOW, Asked(metrics, **{"over": "2026-01-01..2026-12-31", **what}))


# A population, as Python objects and in the database ------------------------------------------------------------------


class Row:
    """A thing of a customer: its facts by name, as the store would hold them."""

    def __init__(self, **facts: Any) -> None:
        self.facts = facts

    def value(self, fact: Any) -> Any:
        return self.facts.get(fact.name)


class Things:
    """Everything of some customers, for `flow.evaluation`."""

    def __init__(self, customers: list[dict[str, Any]], roles: list[str], seats: float | None) -> None:
        people = {person for c in customers for role, person in c["roles"].items() if role in roles or not roles}
        self.kinds = {thing: [row for c in customers for row in c[thing]] for thing in THINGS}
        self.kinds["customer"] = [c["self"] for c in customers]
        self.kinds["person"] = [Row(**{"person.id": p, "person.team": TEAMS[p]}) for p in sorted(people)]
        self.seats = seats

    def rows(self, thing: str) -> list[Row]:
        return self.kinds.get(thing, [])

    def value(self, fact: Any) -> Any:
        assert fact.name == "organisation.seats"
        return self.seats


THINGS = ("contract", "contact", "activity", "task", "care")
TEAMS = {"li": "north", "wang": "south", "ann": None}


def populate(hand: Hand, seed: int, many: int) -> tuple[list[dict[str, Any]], float | None]:
    rng = random.Random(seed)
    hand.customer("C-0")  # names get their numbers
    hand.advance(0)
    with hand.store.writing() as c:
        for key, team in TEAMS.items():
            c.execute(t.person.update().where(t.person.c.key == key).values(team=team))
        seats = rng.choice([None, 40.0])
        vendor = c.execute(select(t.organisation.c.id)).scalar_one()
        if seats is not None:
            state(c, "organisation.seats", vendor, seats)
        return [customer(c, rng, f"K-{place:03}") for place in range(many)] + [empty("C-0")], seats


def state(c: Any, name: str, subject: int, value: Any) -> None:
    number, words = (None, value) if isinstance(value, str) else (value, None)
    c.execute(
        insert(t.field_value).values(
            field=name_id(c, "field", name), subject=subject, number=number, text=words, happened=0, stated=0
        )
    )


def empty(key: str) -> dict[str, Any]:
    return {
        "key": key, "self": Row(**{"customer.id": key, "customer.amount": 0.0}), "segment": None, "size": None, "roles": {},
        **{thing: [] for thing in THINGS},
    }  # fmt: skip


def customer(c: Any, rng: random.Random, key: str) -> dict[str, Any]:
    made = empty(key)
    id_ = c.execute(insert(t.customer).values(key=key, happened=0).returning(t.customer.c.id)).scalar_one()
    made["segment"], beds = rng.choice(["small", "large", None]), rng.choice([None, 5.0, 20.0, 33.5])
    for name, value in (("segment", made["segment"]), ("beds", beds)):
        if value is not None:
            state(c, f"customer.{name}", id_, value)
    made["roles"] = {role: person for role in ("csm", "lead") if (person := rng.choice(["li", "wang", "ann", None]))}
    for role, person in made["roles"].items():
        c.execute(insert(t.assignment).values(customer=id_, role=role, person=person))
    contracts(c, rng, id_, made)
    touch(c, "customer", [id_])
    in_force = [row.facts for row in made["contract"] if row.facts["contract.starts_on"] <= TODAY]
    in_force = [f for f in in_force if f["contract.ends_on"] is None or f["contract.ends_on"] >= TODAY]
    amounts = [f["contract.amount"] for f in in_force]
    made["self"] = Row(
        **{
            "customer.id": key, "customer.segment": made["segment"], "customer.beds": beds,
            "customer.amount": None if None in amounts else float(sum(amounts)),
        }
    )  # fmt: skip
    for place in range(rng.randrange(4)):
        contact = c.execute(
            insert(t.contact).values(key=f"{key}-P{place}", customer=id_, happened=0).returning(t.contact.c.id)
        ).scalar_one()
        level = rng.choice(["1", "2", None])
        if level:
            state(c, "contact.level", contact, level)
        made["contact"].append(Row(**{"contact.level": level}))
    for place in range(rng.randrange(4)):
        kind, at = rng.choice(["visit", "call"]), ZONE.at(TODAY - rng.randrange(400), 600)
        c.execute(insert(t.activity).values(customer=id_, kind=kind, at=at, source=1, ref=f"{key}{place}"))
        made["activity"].append(Row(**{"activity.kind": kind, "activity.at": at}))
    for place in range(rng.randrange(3)):
        case(c, rng, id_, made, place + 1)
    return made


def contracts(c: Any, rng: random.Random, id_: int, made: dict[str, Any]) -> None:
    start, last = TODAY - rng.randrange(700), None
    for place in range(rng.randrange(4)):
        ends = None if rng.random() < 0.15 else start + rng.choice([90, 180, 365])
        amount = None if rng.random() < 0.1 else rng.randrange(1, 90) * 1_000
        replaces = f"T{place - 1}" if last is not None and rng.random() < 0.6 else None
        row = {"customer": id_, "key": f"T{place}", "starts_on": start, "ends": ends, "replaces": replaces}
        c.execute(insert(t.contract).values(**row, amount=amount, currency="USD", value=amount, happened=0))
        facts = {
            "contract.starts_on": start, "contract.ends_on": ends - 1 if ends else None, "contract.amount": amount,
            "contract.renewed": False, "contract.renewed_amount": 0.0,
        }  # fmt: skip
        if replaces:
            last["contract.renewed"], last["contract.renewed_amount"] = True, amount
        made["contract"].append(Row(**facts))
        last, start = made["contract"][-1].facts, (ends or start + 365) + rng.choice([0, 0, 40])


def case(c: Any, rng: random.Random, id_: int, made: dict[str, Any], number: int) -> None:
    at, lost, met = ZONE.at(TODAY - rng.randrange(300), 600), rng.random() < 0.3, rng.random() < 0.5
    row = {
        "flow": "care", "subject": id_, "customer": id_, "number": number, "key": str(number), "opened_at": at,
        "stage": "gone" if lost else "start", "ended": "bad" if lost else None, "entered_at": at, "stay": 1, "seq": 1,
        "version": 1, "definition": "-",
    }  # fmt: skip
    one = c.execute(insert(t.case).values(**row).returning(t.case.c.id)).scalar_one()
    if met:
        c.execute(insert(t.milestone).values(case=one, stay=1, name="met", stage="start", at=at))
    facts = {"care.end": "bad" if lost else None, "care.milestones.met": at if met else None}
    made["care"].append(Row(**facts))
    if rng.random() < 0.6:
        done, role = rng.choice([None, at]), rng.choice(["csm", "lead"])
        c.execute(insert(t.task).values(case=one, name="hello", number=1, role=role, opened_at=at, done_at=done))
        made["task"].append(Row(**{"task.done_at": done, "task.role": role}))


# The second implementation --------------------------------------------------------------------------------------------


def by_hand(
    hand: Hand, metric: str, customers: list[dict[str, Any]], roles: list[str], seats: float | None, span: str
) -> Any:
    first, _, last = span.partition("..")
    moment = Moment(NOW, ZONE, period=(day(first), day(last) + 1))
    return function(hand.definition.metrics[metric].expression.node)(Things(customers, roles, seats), moment)


SPANS = ("2026-01-01..2026-12-31", "2026-06-01..2026-06-30", "2025-04-01..2026-03-31")


@pytest.mark.parametrize("seed", range(2))
def test_the_database_counts_what_a_loop_over_the_customers_counts(hand: Hand, seed: int) -> None:
    customers, seats = populate(hand, seed, 12 + 30 * seed)
    metrics = [name for name, metric in hand.definition.metrics.items() if metric.subject == "book"]
    whens = {None: lambda c: True, "customer.segment == 'large'": lambda c: c["segment"] == "large",
             "customer.beds >= 20": lambda c: (c["self"].facts.get("customer.beds") or 0) >= 20}  # fmt: skip
    keys = {"csm": lambda c: c["roles"].get("csm"), "lead": lambda c: c["roles"].get("lead"),
            "customer.segment": lambda c: c["segment"]}  # fmt: skip
    known = 0
    ways = [*product(SPANS, whens, ((), ("csm",), ("customer.segment",), ("lead", "customer.segment")))]
    for span, when, by in random.Random(seed).sample(ways, 8):
        told = asked(hand, *metrics, over=span, when=when, by=by)
        mine = [c for c in customers if whens[when](c)]
        groups = {tuple(keys[word](c) for word in by) for c in mine} or ({()} if not by else set())
        assert len(told["figures"]) == len(metrics) * len(groups)
        for figure in told["figures"]:
            words = tuple(figure["group"].values())
            group = [c for c in mine if tuple(keys[word](c) for word in by) == words]
            roles = [word for word in by if word in ("csm", "lead")]
            wanted = by_hand(hand, figure["metric"], group, roles, seats, span)
            kind = hand.definition.metrics[figure["metric"]].type.name
            if kind == "money" and wanted is not None:
                wanted = money_text(round(wanted), "EUR")
            assert figure["value"] == wanted, (figure, span, when)
            assert figure["customers"] == len(group)
            known += figure["value"] is not None
    assert known > 60  # it is no agreement about nothing


# Worked out by hand ---------------------------------------------------------------------------------------------------


def sign(hand: Hand, key: str, csm: str | None, *terms: tuple[str, str, int | None, str | None]) -> None:
    """A customer of a manager with contracts: (first day, last day, amount in euros, id of the one it replaces)."""
    with hand.store.writing() as c:
        id_ = c.execute(insert(t.customer).values(key=key, happened=0).returning(t.customer.c.id)).scalar_one()
        if csm is not None:
            c.execute(insert(t.assignment).values(customer=id_, role="csm", person=csm))
        for place, (starts, ends, euros, replaces) in enumerate(terms):
            row = {"customer": id_, "key": f"T{place}", "starts_on": day(starts), "ends": day(ends) + 1}
            cents = None if euros is None else euros * 100
            c.execute(insert(t.contract).values(**row, replaces=replaces, amount=cents, value=cents, happened=0))


@pytest.fixture
def book_of_four(hand: Hand) -> Hand:
    """Due in 2026: Ada (renewed, 1000 → 1200), Bo (left, 500), Cy (renewed, 300 → 300); Di is due in 2027 only."""
    sign(hand, "Ada", "li", ("2025-04-01", "2026-03-31", 1000, None), ("2026-04-01", "2027-03-31", 1200, "T0"))
    sign(hand, "Bo", "li", ("2025-05-01", "2026-04-30", 500, None))
    sign(hand, "Cy", "wang", ("2025-06-01", "2026-05-31", 300, None), ("2026-06-01", "2027-05-31", 300, "T0"))
    sign(hand, "Di", None, ("2025-07-01", "2027-06-30", 9000, None))
    return hand


def told(figures: dict[str, Any], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(figure[name] for name in names) for figure in figures["figures"]]


def test_a_rate_is_the_renewed_of_those_due_by_whoever_looks_after_them(book_of_four: Hand) -> None:
    found = asked(book_of_four, "renewal.rate", by=("csm",))
    assert told(found, "group", "customers", "numerator", "denominator", "value", "unknown") == [
        ({"csm": "li"}, 2, 1, 2, 0.5, 0),
        ({"csm": "wang"}, 1, 1, 1, 1, 0),
        ({"csm": None}, 1, 0, 0, None, 0),  # nothing was due: that is no rate of zero
    ]
    assert found["over"] == {"from": "2026-01-01", "to": "2026-12-31"}


def test_a_ratio_is_of_sums_and_not_a_mean_of_ratios(book_of_four: Hand) -> None:
    found = asked(book_of_four, "renewal.money")
    assert told(found, "numerator", "denominator") == [("1500 EUR", "1800 EUR")]
    assert told(found, "value") == [(1500 / 1800,)]  # the mean of 1200/1500 and 300/300 would be 0.9


def test_a_contract_of_several_years_is_due_in_its_last_year_only(book_of_four: Hand) -> None:
    found = asked(book_of_four, "renewal.rate", over="2027-06-01..2027-06-30")
    assert told(found, "numerator", "denominator", "value") == [(0, 1, 0)]


def test_the_customers_behind_a_figure_are_named(book_of_four: Hand) -> None:
    found = asked(book_of_four, "renewal.rate", "people.team", by=("csm",), trace=True)
    assert found["figures"][0]["of"] == [
        {"customer": "Ada", "numerator": 1, "denominator": 1, "unknown": 0},
        {"customer": "Bo", "numerator": 0, "denominator": 1, "unknown": 0},
    ]
    assert found["figures"][2]["of"] == []  # Di was not due


def test_an_amount_that_nobody_knows_makes_the_figure_unknown_and_is_counted(book_of_four: Hand) -> None:
    sign(book_of_four, "Ed", "wang", ("2025-06-01", "2026-05-31", None, None))
    found = asked(book_of_four, "renewal.money", "renewal.rate", by=("csm",), trace=True)
    assert told(found, "value", "denominator", "unknown") == [
        (0.8, "1500 EUR", 0), (None, None, 1), (None, "0 EUR", 0), (0.5, 2, 0), (0.5, 2, 0), (None, 0, 0),
    ]  # fmt: skip
    assert [one["customer"] for one in found["figures"][1]["of"] if one["unknown"]] == ["Ed"]


def test_as_of_an_earlier_day_what_came_later_is_not_seen(book_of_four: Hand) -> None:
    hand = book_of_four
    with hand.store.writing() as c:
        c.execute(t.contract.update().where(t.contract.c.replaces == "T0").values(happened=day("2026-05-15")))
    early = book(hand.store, hand.definition, ZONE.end_of(day("2026-05-14")), Asked(("renewal.rate",)))
    late = book(hand.store, hand.definition, ZONE.end_of(day("2026-05-15")), Asked(("renewal.rate",)))
    assert (told(early, "numerator"), told(late, "numerator")) == ([(0,)], [(2,)])


def test_each_metric_is_one_statement_however_many_customers_and_groups(book_of_four: Hand) -> None:
    hand, seen = book_of_four, []
    event.listen(hand.store.engine, "before_cursor_execute", lambda *what: seen.append(what[2]))
    asked(hand, "renewal.rate", by=("csm", "customer.segment"))
    alone = len(seen)
    asked(hand, "renewal.rate", "renewal.money", "contract.mean", by=("csm", "customer.segment"))
    assert len(seen) == alone * 2 + 2


def test_nobody_at_all_is_a_figure_of_nobody(hand: Hand) -> None:
    assert told(asked(hand, "renewal.rate", "care.lost"), "customers", "value") == [(0, None), (0, 1)]
    assert asked(hand, "renewal.rate", by=("csm",))["figures"] == []


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({"metrics": ["renewal.rat"]}, "no metric 'renewal.rat': did you mean 'renewal.rate'?"),
        ({"metrics": ["customer.size"]}, "'customer.size' is a metric of one customer, not of a book"),
        ({"over": "fortnight"}, "no period 'fortnight'"),
        ({"over": "2026-02-01..2026-01-31"}, "ends before it begins"),
        ({"by": ("boss",)}, "no role 'boss'"),
        ({"by": ("customer.beds",)}, "'customer.beds' is none"),
        ({"by": ("customer.segmant",)}, "did you mean 'customer.segment'?"),
        ({"when": "customer.segment = 'large'"}, "use == to compare"),
        ({"when": "has_been(customer.beds > 5, days(3))"}, "nobody knows how long"),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_line(hand: Hand, what: dict[str, Any], says: str) -> None:
    names = what.get("metrics", ["renewal.rate"])
    with pytest.raises(UsageError) as refused:
        asked(hand, *names, **{name: value for name, value in what.items() if name != "metrics"})
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_before_the_last_pass_contracts_can_be_asked_for_and_cases_not(book_of_four: Hand) -> None:
    hand, before = book_of_four, ZONE.end_of(day("2026-02-28"))
    hand.advance(0)  # on 2 March
    assert told(book(hand.store, hand.definition, before, Asked(("renewal.rate",))), "denominator") == [(3,)]
    for name in ("care.share", "care.lost", "work.waiting"):
        with pytest.raises(UsageError, match="the last pass was at 2026-03-02"):
            book(hand.store, hand.definition, before, Asked((name,)))
    with pytest.raises(UsageError, match=r"customer\.size"):
        book(hand.store, hand.definition, before, Asked(("renewal.rate",), by=("customer.size",)))
