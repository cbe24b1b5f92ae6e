"""Roles that say how they are filled: who gets which customer, when, and what is never taken from anybody."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hand import MONDAY, Hand
from sqlalchemy import event, insert, select, update

from csflow.services.customers import Said, set_customer
from csflow.store import tables as t
from csflow.store.names import name_id
from csflow.store.touching import touch

PROJECT = """
csflow: 1
name: p
currency: EUR
zone: Europe/Berlin
roles:
  csm: {label: Success manager, by: customer.size, assign: {large: least_amount, small: least_customers, tiny: pool, own: by_hand}, capacity: 1000}
  helper: {label: Helper, assign: round_robin}
  renewals: {label: Renewals, assign: csm}
  sales: Sales
people:
  li: {roles: [csm]}
  wang: {roles: [csm, helper]}
  ann: {roles: [helper]}
  bob: {roles: [helper]}
fields:
  customer: {size: [large, small, tiny, own]}
"""
CARE = """
flow: care
opens: contract.id is known
responsible: csm
stages:
  start:
    deadline: 2 days
    do: [{task: hello, for: csm}, {task: renew, for: renewals}]
    transitions: {done: {trigger: done}}
  done: good
"""
TALK = """
flow: talk
opens: {trigger: talk}
responsible: csm
one_per: case.id
stages: {open: {transitions: {done: {trigger: talked}}}, done: good}
"""


@pytest.fixture
def hand(database: str, tmp_path):
    opened = Hand(database, tmp_path / "project", {"csflow": PROJECT, "care": CARE, "talk": TALK})
    yield opened
    opened.store.close()


def sign(hand: Hand, key: str, size: str | None = "large", euros: int = 100, *, contract: bool = True) -> None:
    """A customer with a contract that costs so much."""
    with hand.store.writing() as c:
        id_ = c.execute(insert(t.customer).values(key=key, happened=0).returning(t.customer.c.id)).scalar_one()
        if contract:
            row = {"customer": id_, "key": "K", "starts_on": MONDAY - 9, "ends": MONDAY + 300, "happened": 0}
            c.execute(insert(t.contract).values(**row, amount=euros * 100, currency="EUR", value=euros * 100))
        touch(c, "customer", [id_])
    if size is not None:
        grow(hand, key, size)


def grow(hand: Hand, key: str, size: str) -> None:
    with hand.store.writing() as c:
        field = name_id(c, "field", "customer.size")
        id_ = c.execute(select(t.customer.c.id).where(t.customer.c.key == key)).scalar_one()
        mine = (t.field_value.c.field == field, t.field_value.c.subject == id_)
        if c.execute(update(t.field_value).where(*mine).values(text=size)).rowcount == 0:
            c.execute(insert(t.field_value).values(field=field, subject=id_, text=size, happened=0, stated=0))
        touch(c, "customer", [id_])


def owners(hand: Hand, role: str = "csm") -> dict[str, str]:
    a, c = t.assignment.c, t.customer.c
    rows = hand.rows(select(c.key, a.person).join(t.assignment, a.customer == c.id).where(a.role == role))
    return dict(sorted((row.key, row.person) for row in rows))


def give(hand: Hand, key: str, *, days: int = 0, **roles: str) -> None:
    set_customer(hand.store, hand.definition, hand.act(days=days), customer=key, said=Said({}, roles))


def test_the_least_amount_decides_customer_by_customer_in_the_order_of_their_ids(hand: Hand) -> None:
    for key, euros in (("C-1", 300), ("C-2", 200), ("C-3", 200), ("C-4", 250)):
        sign(hand, key, euros=euros)
    hand.advance(0)
    # 300 to li (first of two with nothing), 200 to wang, 200 to wang (200 < 300), 250 to li (300 < 400)
    assert owners(hand) == {"C-1": "li", "C-2": "wang", "C-3": "wang", "C-4": "li"}


def test_the_least_customers_decides_where_the_word_says_so(hand: Hand) -> None:
    for key, euros in (("C-1", 900), ("C-2", 1), ("C-3", 1)):
        sign(hand, key, "small", euros)
    hand.advance(0)
    assert owners(hand) == {"C-1": "li", "C-2": "wang", "C-3": "wang"}  # both have one, but li's pays more


def test_who_is_full_is_passed_over_while_somebody_has_room(hand: Hand) -> None:
    for key, euros in (("C-1", 600), ("C-2", 700), ("C-3", 350), ("C-4", 900)):
        sign(hand, key, euros=euros)
    hand.advance(0)
    # C-3: li has 600 and 350 more are 950 of 1000; C-4 fits nobody: the one with less (wang, 700) takes it
    assert owners(hand) == {"C-1": "li", "C-2": "wang", "C-3": "li", "C-4": "wang"}


def test_turns_go_round_in_the_order_of_names_and_on_in_the_next_pass(hand: Hand) -> None:
    for key in ("C-1", "C-2"):
        sign(hand, key)
    hand.advance(0)
    for key in ("C-3", "C-4"):
        sign(hand, key)
    hand.advance(1)
    assert owners(hand, "helper") == {"C-1": "ann", "C-2": "bob", "C-3": "wang", "C-4": "ann"}


def test_a_role_that_follows_another_has_its_person_also_when_that_one_changes(hand: Hand) -> None:
    sign(hand, "C-1")
    hand.advance(0)
    assert owners(hand, "renewals") == owners(hand) == {"C-1": "li"}
    give(hand, "C-1", days=1, csm="wang")
    hand.advance(2)
    assert owners(hand, "renewals") == owners(hand) == {"C-1": "wang"}


@pytest.mark.parametrize("size", ["tiny", "own", None])
def test_a_pool_people_and_an_unknown_word_leave_the_customer_to_nobody(hand: Hand, size: str | None) -> None:
    sign(hand, "C-1", size)
    hand.advance(0)
    assert owners(hand) == {}
    assert {task.person for task in hand.all(t.task)} == {None}


def test_a_role_without_a_way_and_a_customer_without_a_case_get_nobody(hand: Hand) -> None:
    sign(hand, "C-1", contract=False)
    hand.advance(0)
    assert hand.all(t.assignment) == []
    sign(hand, "C-2")
    hand.advance(1)
    assert {row.role for row in hand.all(t.assignment)} == {"csm", "helper", "renewals"}


def test_tasks_of_the_opening_and_misses_name_the_person(hand: Hand) -> None:
    sign(hand, "C-1")
    hand.advance(0)
    assert {(task.name, task.person) for task in hand.all(t.task)} == {("hello", "li"), ("renew", "li")}
    hand.advance(5)
    assert [line.person for line in hand.all(t.deadline)] == ["li"]


def test_who_was_chosen_by_hand_stays_whatever_the_word_becomes(hand: Hand) -> None:
    sign(hand, "C-1")
    give(hand, "C-1", csm="wang")
    for days, size in enumerate(("large", "small", "tiny", "large")):
        grow(hand, "C-1", size)
        hand.advance(days)
        assert owners(hand) == {"C-1": "wang"}


def test_a_customer_that_becomes_another_word_is_given_anew_only_if_the_way_is_another(hand: Hand) -> None:
    sign(hand, "C-1", "large", 500)
    sign(hand, "C-2", "large", 100)
    hand.advance(0)
    assert owners(hand) == {"C-1": "li", "C-2": "wang"}
    grow(hand, "C-1", "tiny")  # into the pool: nobody's by name, and so is its open task
    hand.advance(1)
    assert owners(hand) == {"C-2": "wang"}
    assert [task.person for task in hand.all(t.task) if task.name == "hello"].count(None) == 1
    grow(hand, "C-1", "own")
    hand.advance(2)
    assert owners(hand) == {"C-2": "wang"}
    grow(hand, "C-1", "small")  # li has no customer now
    hand.advance(3)
    assert owners(hand) == {"C-1": "li", "C-2": "wang"}
    grow(hand, "C-1", "own")  # people decide from here on: she stays until they do
    hand.advance(4)
    assert owners(hand) == {"C-1": "li", "C-2": "wang"}


def test_each_change_leaves_a_trail_of_who_filled_the_role_before(hand: Hand) -> None:
    sign(hand, "C-1")
    hand.advance(0)
    grow(hand, "C-1", "tiny")
    hand.advance(1)
    number = next(row.id for row in hand.all(t.name) if row.name == "role.csm")
    trail = [(row.text, row.actor) for row in hand.all(t.field_log) if row.field == number]
    assert trail == [(None, "pass"), ("li", "pass")]


def test_a_second_pass_changes_nothing(hand: Hand) -> None:
    for key in ("C-1", "C-2", "C-3"):
        sign(hand, key)
    hand.advance(0)
    before = (hand.all(t.assignment), len(hand.all(t.field_log)))
    hand.advance(0)
    hand.advance(1)
    assert (hand.all(t.assignment), len(hand.all(t.field_log))) == before


def test_a_case_opened_by_hand_or_by_a_word_has_its_people_at_once(hand: Hand) -> None:
    sign(hand, "C-1", contract=False)
    sign(hand, "C-2", contract=False)
    hand.open("talk", "C-1")
    hand.say("talk", "C-2")
    assert owners(hand) == {"C-1": "li", "C-2": "wang"}


def test_the_order_in_which_customers_were_entered_does_not_count(hand: Hand, tmp_path: Any) -> None:
    found = set()
    for place, order in enumerate(list(permutations(("C-1", "C-2", "C-3", "C-4")))[::7]):
        other = Hand(f"sqlite:///{tmp_path}/{place}.db", tmp_path / f"p{place}", {"csflow": PROJECT, "care": CARE})
        for key in order:
            sign(other, key, euros=int(key[-1]) * 100)
        other.advance(0)
        found.add((*owners(other).items(), *owners(other, "helper").items()))
        other.store.close()
    assert len(found) == 1


def test_a_dry_run_assigns_nobody(hand: Hand) -> None:
    from csflow.services.advance import Request, advance

    sign(hand, "C-1")
    now = hand.act(hour=23).recorded
    advance(hand.store, hand.definition, Request(now, "pass", now, dry_run=True))
    assert owners(hand) == {}


def test_a_pass_in_which_nobody_lacks_an_owner_asks_one_question_for_each_role(hand: Hand) -> None:
    sign(hand, "C-1")
    hand.advance(0)
    hand.advance(0)
    seen: list[str] = []
    event.listen(hand.store.engine, "before_cursor_execute", lambda *what: seen.append(what[2]))
    hand.advance(0)
    about = [one for one in seen if "assignment" in one]
    assert len(about) == 3
    assert all(one.lstrip().startswith("SELECT") for one in about)
