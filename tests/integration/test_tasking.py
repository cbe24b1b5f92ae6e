"""Tasks done, refused, put off and handed over; approvals; on both databases."""

from __future__ import annotations

import pytest
from hand import MONDAY, at
from sqlalchemy import select

from csflow.errors import RefusedError, UsageError
from csflow.services.tasking import Answer, Wanted, assign_task, finish_task, list_tasks, snooze_task
from csflow.store import tables as t


@pytest.fixture
def hand(hand):
    hand.customer(csm="li")
    hand.open()
    return hand


def finish(hand, task, act=None, outcome="done", comment=None, case="care/C-1/1"):
    return finish_task(hand.store, hand.definition, act or hand.act(), Answer(case, task, outcome, comment))


def listed(hand, days=0, **wanted):
    return [
        (one["case"], one["task"])
        for one in list_tasks(hand.store, hand.definition, Wanted(**wanted), now=at(days, 13))
    ]


def asked(hand):
    """li asks to leave; ann must approve."""
    hand.say("cancel", act=hand.act("li"), cause="price")


# Tasks --------------------------------------------------------------------------------------------------------


def test_a_done_task_is_no_longer_listed_and_stands_in_history_with_its_author(hand):
    finish(hand, "hello", hand.act("wang", 1), comment="spoke to Ada")
    assert listed(hand, 1) == []
    assert listed(hand, 1, everything=True) == [("care/C-1/1", "hello")]
    assert hand.history()[-1] == ("task", "hello", "wang")
    assert [(row.done_at, row.outcome, row.comment) for row in hand.all(t.task)] == [(at(1), "done", "spoke to Ada")]


def test_a_comment_is_personal_text_and_stays_out_of_history(hand):
    finish(hand, "hello", comment="spoke to Ada Lovelace")
    assert "Lovelace" not in repr(hand.all(t.history))


def test_a_task_that_is_done_cannot_be_done_again(hand):
    finish(hand, "hello")
    with pytest.raises(RefusedError, match=r"'hello' of care/C-1/1 was closed at 2026-03-02 12:00: done"):
        finish(hand, "hello")


def test_a_task_that_need_not_be_done_ends_as_not_applicable(hand):
    assert finish(hand, "hello", outcome="not_applicable")["outcome"] == "not_applicable"


def test_the_nearest_task_is_told(hand):
    with pytest.raises(UsageError, match="has no task 'helo': did you mean 'hello'"):
        finish(hand, "helo")
    with pytest.raises(UsageError, match="has no task 'x': open are hello"):
        finish(hand, "x")


def test_only_an_approval_can_be_answered_with_no(hand):
    with pytest.raises(RefusedError, match="asks for no approval"):
        finish(hand, "hello", outcome="no")


def test_a_snoozed_task_is_listed_again_on_its_day(hand):
    snooze_task(hand.store, hand.definition, hand.act(), case="care/C-1/1", task="hello", until=MONDAY + 3)
    assert listed(hand, 2) == []
    assert listed(hand, 3) == [("care/C-1/1", "hello")]
    assert listed(hand, 2, everything=True) == [("care/C-1/1", "hello")]


def test_snoozing_into_the_past_is_refused(hand):
    with pytest.raises(UsageError, match="--until 2026-03-02 is not in the future"):
        snooze_task(hand.store, hand.definition, hand.act(), case="care/C-1/1", task="hello", until=MONDAY)


def test_a_task_is_handed_to_a_colleague_who_exists(hand):
    assign_task(hand.store, hand.definition, hand.act(), case="care/C-1/1", task="hello", person="wang")
    assert listed(hand, person="wang") == [("care/C-1/1", "hello")]
    assert listed(hand, person="li") == []
    with pytest.raises(UsageError, match="no person 'wong': did you mean 'wang'"):
        assign_task(hand.store, hand.definition, hand.act(), case="care/C-1/1", task="hello", person="wong")


def test_tasks_are_listed_by_due_time_and_chosen_by_role_customer_case_and_delay(hand):
    hand.customer("C-2", csm="wang")
    hand.open(subject="C-2", act=hand.act(days=-1))
    asked(hand)
    both = [("care/C-2/1", "hello"), ("care/C-1/1", "hello")]
    assert listed(hand) == [*both, ("care/C-1/1", "approve")]  # without a due time last
    assert listed(hand, role="csm") == both
    assert listed(hand, role="lead") == [("care/C-1/1", "approve")]
    assert listed(hand, customer="C-2") == both[:1]
    assert listed(hand, case="care/C-1/1", role="csm") == both[1:]
    # due at the end of Tuesday (C-2) and of Wednesday (C-1)
    assert listed(hand, 2, overdue=True) == both[:1]
    assert listed(hand, 3, overdue=True) == both


def test_a_listed_task_says_what_people_must_know(hand):
    [task] = list_tasks(hand.store, hand.definition, Wanted(), now=at(3))
    assert task == {
        "case": "care/C-1/1", "customer": "C-1", "task": "hello", "label": "Say hello", "role": "csm", "person": "li",
        "opened_at": "2026-03-02 12:00", "due": "2026-03-04 23:59", "overdue": True, "snoozed_until": None,
        "done_at": None, "outcome": None, "asked_by": None, "comment": None,
    }  # fmt: skip


def test_unknown_roles_and_customers_of_a_list_are_told(hand):
    with pytest.raises(UsageError, match="no role 'leads': did you mean 'lead'"):
        listed(hand, role="leads")
    with pytest.raises(UsageError, match="no customer 'C-9': did you mean 'C-1'"):
        listed(hand, customer="C-9")


def test_a_task_for_a_case_about_a_contact_names_that_contact(hand):
    hand.contact()
    hand.contract()
    hand.open("renewal", "contract:K-1")
    assert listed(hand, customer="C-1") == [("care/C-1/1", "hello")]


# Approvals ----------------------------------------------------------------------------------------------------


def test_a_move_that_needs_approval_waits_and_happens_when_another_person_agrees(hand):
    asked(hand)
    assert hand.stage() == ["start"]
    result = finish(hand, "approve", hand.act("ann", 1))
    assert hand.stage() == ["gone"]
    [moved] = result["moved"]
    assert (moved["from"], moved["to"], moved["actor"], moved["at"]) == ("start", "gone", "ann", "2026-03-03 12:00")
    assert moved["because"][0]["fact"] == "approved by ann"


def test_whoever_asked_cannot_approve(hand):
    asked(hand)
    before = hand.snapshot()
    with pytest.raises(RefusedError, match="li asked for this move"):
        finish(hand, "approve", hand.act("li"))
    assert hand.snapshot() == before


def test_a_colleague_without_the_role_cannot_approve(hand):
    asked(hand)
    with pytest.raises(RefusedError, match="wang may not approve this: only lead"):
        finish(hand, "approve", hand.act("wang"))


def test_a_refused_approval_drops_the_move_and_it_may_be_asked_for_again(hand):
    asked(hand)
    finish(hand, "approve", hand.act("ann"), outcome="no", comment="not yet")
    assert hand.stage() == ["start"]
    asked(hand)
    finish(hand, "approve", hand.act("ann", 1))
    assert hand.stage() == ["gone"]
    numbers = select(t.task.c.number, t.task.c.outcome).where(t.task.c.name == "approve").order_by(t.task.c.number)
    assert [tuple(row) for row in hand.rows(numbers)] == [(1, "no"), (2, "done")]


def test_a_second_request_is_refused_while_the_first_waits(hand):
    asked(hand)
    before = hand.snapshot()
    with pytest.raises(RefusedError, match="care/C-1/1 waits for an approval already"):
        hand.say("cancel", act=hand.act("wang"), cause="service")
    assert hand.snapshot() == before


def test_an_approval_is_refused_when_the_guard_no_longer_holds(hand):
    asked(hand)
    hand.set("care/C-1/1", cause="")  # the move asks for it
    before = hand.snapshot()
    with pytest.raises(RefusedError, match="the move to 'gone' is not possible any more"):
        finish(hand, "approve", hand.act("ann"))
    assert hand.snapshot() == before


def test_an_approval_is_no_longer_to_be_given_when_the_case_has_gone_on(hand):
    asked(hand)
    hand.say("met")
    hand.add(t.activity, customer=1, kind="visit", at=at(0), source=1, ref="r1")
    hand.advance(0)
    assert hand.stage() == ["steady"]
    assert listed(hand, 1, role="lead") == []
    with pytest.raises((RefusedError, UsageError), match="approve"):
        finish(hand, "approve", hand.act("ann", 1))


def test_an_approval_does_not_keep_the_cases_own_tasks_open(hand):
    asked(hand)
    with pytest.raises(RefusedError, match="answer it with or without --no"):
        finish(hand, "approve", hand.act("ann"), outcome="not_applicable")


def test_a_dry_run_of_an_approval_moves_nothing(hand):
    asked(hand)
    before = hand.snapshot()
    assert finish(hand, "approve", hand.act("ann", dry_run=True))["moved"][0]["to"] == "gone"
    assert hand.snapshot() == before
