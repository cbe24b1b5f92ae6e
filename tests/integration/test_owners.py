"""Subjects of different kinds share the numbers of their rows: what one is told must not silence another."""

from __future__ import annotations

import pytest
from hand import at
from sqlalchemy import insert, select

from csflow.flow.loader import Surroundings, load
from csflow.store import tables as t
from csflow.store.catalogue import CATALOGUE

PATIENCE = """
flow: patience
opens: customer.id is known
stages: {fresh: {transitions: {settled: since(case.opened_at) >= days(3)}}, settled: good}
"""
COACHING = """
flow: coaching
subject: person
stages: {new: {transitions: {done: {trigger: coached}}}, done: good}
"""


@pytest.fixture
def both(hand):
    """A customer and a colleague whose rows have the same number, each with a case."""
    (hand.folder / "patience.yaml").write_text(PATIENCE, "utf-8")
    (hand.folder / "coaching.yaml").write_text(COACHING, "utf-8")
    hand.definition = load(hand.folder, Surroundings(CATALOGUE)).definition
    hand.customer()
    hand.advance(0)
    customer = hand.rows(select(t.customer.c.id))[0].id
    colleague = hand.rows(select(t.person.c.id, t.person.c.key).where(t.person.c.id == customer))[0]
    hand.open("coaching", colleague.key)
    hand.advance(1)
    assert (hand.stage("patience"), hand.stage("coaching")) == (["fresh"], ["new"])
    return hand


def say(hand, kind, subject, days=4):
    word = {"name": "coached", "kind": kind, "subject": subject, "at": at(days), "actor": "li"}
    with hand.store.writing() as connection:
        connection.execute(insert(t.inbox).values(**word))


def test_without_a_word_the_customer_moves_on_its_day(both):
    both.advance(4)
    assert both.stage("patience") == ["settled"]


def test_a_word_to_a_colleague_does_not_keep_a_customer_from_moving(both):
    say(both, "person", both.rows(select(t.customer.c.id))[0].id)
    both.advance(4)
    assert (both.stage("patience"), both.stage("coaching")) == (["settled"], ["done"])


def test_a_word_to_a_colleagues_case_does_not_keep_a_customer_from_moving(both):
    case = both.rows(select(t.case.c.id).where(t.case.c.flow == "coaching"))[0].id
    with both.store.writing() as connection:  # the case's number is now that of a customer's row
        customer = connection.execute(insert(t.customer).values(key="C-9", id=case, happened=0)).inserted_primary_key
    assert customer[0] == case
    both.open("patience", "C-9")
    say(both, "case", case)
    both.advance(4)
    assert (both.stage("patience"), both.stage("coaching")) == (["settled", "settled"], ["done"])
