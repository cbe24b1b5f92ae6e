"""A condition taken apart: truths of its parts, and the days on which time alone changes them."""

from __future__ import annotations

import random

import pytest

from csflow.flow.explaining import Anatomy
from csflow.flow.expressions import compile_expression
from csflow.flow.moments import Moment
from csflow.flow.names import FlowNames, Names
from csflow.flow.types import BOOLEAN, DATE, NUMBER
from csflow.store.catalogue import CATALOGUE
from csflow.values import Zone, day, day_text

ZONE = Zone("Europe/Berlin")
NOW = Moment(ZONE.end_of(day("2026-01-31")), ZONE, log_begin=ZONE.start_of(day("2025-12-01")))
NAMES = Names(
    CATALOGUE,
    currency="EUR",
    fields={
        "customer": {"nps": (NUMBER, None), "beds": (NUMBER, None), "live_on": (DATE, None), "vip": (BOOLEAN, None)}
    },
    metrics={"usage.days": ("customer", None)},
    metric_type=lambda _name: NUMBER,
    flows={"care": FlowNames("customer", "care", ("start",), {}, ("met",), clock=True)},
    activities=("visit",),
)


class Known:
    """The facts of one row, by name."""

    def __init__(self, first_day=None, span=None, things=None, **values):
        self.values = {name.replace("__", "."): value for name, value in values.items()}
        self.first, self.held, self.things = first_day, span, things or []

    def value(self, fact):
        return self.values.get(fact.name)

    def rows(self, _thing):
        return self.things

    def span(self, _condition):
        return self.held

    def stated(self, _fact):
        return None

    def first_day(self):
        return self.first


def anatomy(text):
    node = compile_expression(text, NAMES, subject="customer", flow="care", expect=BOOLEAN).node
    return Anatomy(node, "EUR")


def on(instant):
    return None if instant is None else day_text(ZONE.day_of(instant))


def true_on(text, known):
    return on(anatomy(text).true_from(known, NOW))


def test_every_part_has_its_own_truth():
    found = anatomy("customer.nps > 3 and (customer.beds > 10 or customer.vip)").look(
        Known(customer__nps=5.0, customer__beds=2.0), NOW
    )
    assert (found.word, found.holds) == ("and", None)
    assert [(part.text, part.holds) for part in found.parts[:1]] == [("customer.nps > 3", True)]
    inner = found.parts[1]
    assert (inner.word, inner.holds) == ("or", None)
    assert [(part.text, part.holds) for part in inner.parts] == [("customer.beds > 10", False), ("customer.vip", None)]


def test_an_and_inside_an_and_is_one_list():
    found = anatomy("(customer.nps > 3 and customer.vip) and customer.beds > 1").look(Known(), NOW)
    assert [part.text for part in found.parts] == ["customer.nps > 3", "customer.vip", "customer.beds > 1"]


def test_not_turns_its_part_round():
    found = anatomy("not customer.vip").look(Known(customer__vip=True), NOW)
    assert (found.word, found.holds, found.parts[0].holds) == ("not", False, True)


@pytest.mark.parametrize(
    ("text", "since", "day_of_change"),
    [
        ("since(customer.live_on) >= days(10)", "2026-01-25", "2026-02-04"),
        ("since(customer.live_on) > days(10)", "2026-01-25", "2026-02-05"),
        ("since(customer.live_on) >= months(1)", "2026-01-31", "2026-02-28"),
        ("until(customer.live_on) <= months(3)", "2026-06-30", "2026-03-30"),
        ("until(customer.live_on) < months(3)", "2026-06-30", "2026-03-31"),
        ("since(customer.live_on) >= hours(36)", "2026-01-31", "2026-02-01"),
        ("since(customer.live_on) >= days(10) and customer.vip", "2026-01-25", None),
        ("since(customer.live_on) >= days(10) or customer.vip", "2026-01-25", "2026-02-04"),
        ("since(customer.live_on) >= days(10) and until(customer.live_on) <= days(1)", "2026-01-25", "2026-02-04"),
        ("today >= '2026-03-01'", None, "2026-03-01"),
        ("customer.live_on < today", "2026-02-03", "2026-02-04"),
        ("days_between(customer.live_on, today) >= 10", "2026-01-25", "2026-02-04"),
        ("since(customer.live_on) <= days(10)", "2026-01-01", None),
        ("since(customer.live_on) >= days(10)", None, None),
    ],
)
def test_the_day_on_which_time_makes_it_true(text, since, day_of_change):
    known = Known(customer__live_on=None if since is None else day(since))
    assert true_on(text, known) == day_of_change


def test_what_holds_already_has_no_day_to_come():
    assert true_on("since(customer.live_on) >= days(10)", Known(customer__live_on=day("2026-01-01"))) is None


def test_a_part_that_holds_says_until_when():
    found = anatomy("since(customer.live_on) <= days(10)").look(Known(customer__live_on=day("2026-01-25")), NOW)
    assert (found.holds, on(found.changes)) == (True, "2026-02-05")


def test_a_visit_that_never_was_counts_from_the_first_contract():
    text = "since(activity.last_visit) >= days(30)"
    assert true_on(text, Known(first_day=day("2026-01-10"))) == "2026-02-09"


def test_a_visit_that_never_was_is_known_once_the_log_is_old_enough():
    text = "since(activity.last_visit) >= days(90)"  # the log begins on 1 December
    assert true_on(text, Known(first_day=day("2025-06-01"))) == "2026-03-01"


def test_a_time_of_day_counts():
    text = "since(activity.last_visit) >= days(10)"
    visit = ZONE.at(day("2026-01-25"), 14 * 60)
    assert anatomy(text).true_from(Known(activity__last_visit=visit), NOW) == ZONE.at(day("2026-02-04"), 14 * 60)


def test_a_watched_condition_becomes_true_when_it_has_held_long_enough():
    since = ZONE.end_of(day("2026-01-11"))
    text = "has_been(usage.days >= 1, days(28))"
    assert true_on(text, Known(span=(True, since, since, since))) == "2026-02-08"


def test_a_count_changes_with_what_it_counts():
    known = Known(things=[Known(contract__starts_on=day("2026-01-20")), Known(contract__starts_on=day("2026-01-25"))])
    assert true_on("count(contract, since(contract.starts_on) >= days(14)) >= 2", known) == "2026-02-08"


def test_a_condition_without_time_never_changes_by_itself():
    assert true_on("customer.nps > 3", Known(customer__nps=1.0)) is None


@pytest.mark.parametrize("op", [">=", ">", "<=", "<"])
@pytest.mark.parametrize(
    "text",
    [
        "count(contract, since(contract.starts_on) {op} months(2)) >= 3",
        "count(contract, until(contract.starts_on) {op} days(20) and contract.amount > money(2)) < 4",
        "not (count(contract, not since(contract.starts_on) {op} weeks(5) or contract.amount > money(5)) <= 2)",
        "count(activity, since(activity.at) {op} months(1)) > 2",
        "count(activity, until(activity.at) {op} hours(30)) >= 2 and since(customer.live_on) >= days(40)",
        "since(customer.live_on) {op} days(70) or until(customer.live_on) {op} days(3)",
        "count(activity, since(activity.at) {op} days(30) and until(activity.at) {op} days(30)) == 1",
    ],
)
def test_the_first_change_is_the_one_that_trying_every_moment_finds(text, op):
    chance = random.Random(text + op)
    taken = anatomy(text.format(op=op))
    plain = anatomy(text.format(op=op))
    plain._way = None
    for _ in range(15):
        days = [NOW.today + chance.randint(-90, 90) for _ in range(8)]
        amounts = [chance.choice((None, 100.0, 400.0, 900.0)) for _ in days]
        things = [
            Known(
                contract__starts_on=chance.choice((on, on, on, None)),
                contract__amount=amount,
                activity__at=ZONE.at(on, chance.randint(0, 1439)),
            )
            for on, amount in zip(days, amounts, strict=True)
        ]
        known = Known(customer__live_on=chance.choice(days), things=things)
        for ask in ("changes", "true_from"):
            assert getattr(taken, ask)(known, NOW) == getattr(plain, ask)(known, NOW)


def test_a_count_of_many_is_not_asked_at_each_of_their_days():
    taken, asked = anatomy("count(activity, since(activity.at) <= years(1)) < 1"), []
    ask = taken._function
    taken._function = lambda facts, moment: asked.append(moment.now) or ask(facts, moment)
    things = [Known(activity__at=ZONE.at(NOW.today - place // 10, place % 10)) for place in range(2_000)]
    assert on(taken.true_from(Known(things=things), NOW)) == "2027-02-01"
    assert len(asked) < 20
