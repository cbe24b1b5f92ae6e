"""What a move makes happen besides it: fields set, words said, cases opened, messages again and again; on both databases."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hand import Hand
from sqlalchemy import select

from csflow.services import moving
from csflow.services.customers import Said, set_customer
from csflow.store import tables as t
from csflow.values import DAY_US

SECOND = 1_000_000
PROJECT = """
csflow: 1
name: p
currency: EUR
zone: Europe/Berlin
roles: {csm: Success manager}
people: {li: {roles: [csm]}}
fields:
  customer: {mood: [fine, bad], plan: text}
messages: {ping: {title: "{customer.name}: still there?", text: "Since {case.entered_at}."}}
"""
DESK = """
flow: desk
responsible: csm
fields: {why: text, what: text}
stages:
  talk:
    do: [{notify: csm, message: ping, every: 1 week}]
    transitions:
      hold: {trigger: wait, do: [{set: {case.waiting: true}}]}
      noted: {trigger: note, do: [{set: {customer.mood: bad, customer.plan: =case.why, case.what: noted}}]}
      asked: {trigger: ask, do: [{trigger: {review: look}, with: {topic: =case.why}}]}
      sold: {trigger: sell, do: [{open: offer}]}
      split: {trigger: split, do: [{open: topic, with: {line: hardware}}, {open: tone}]}
      told: {trigger: tell, do: [{notify: contact, message: ping}]}
  hold: {transitions: {back: {trigger: go_on}}}
  noted: good
  asked: good
  sold: good
  split: good
  told: good
"""
REVIEW = """
flow: review
fields: {topic: text}
stages: {waits: {transitions: {seen: {trigger: look}}}, seen: {transitions: {waits: {trigger: again}}}}
"""
OFFER = """
flow: offer
subject: contract
do: [{open: thanks}]
stages: {made: {transitions: {won: {trigger: signed}}}, won: good}
"""
THANKS = "flow: thanks\nstages: {new: {transitions: {done: {trigger: thanked}}}, done: good}"
TOPIC = """
flow: topic
one_per: case.line
fields: {line: text}
stages: {new: {transitions: {done: {trigger: closed}}}, done: good}
"""
TONE = """
flow: tone
one_per: customer.mood
stages: {new: {transitions: {done: {trigger: calmed}}}, done: good}
"""
RISE = "flow: rise\nstages: {low: {transitions: {high: customer.plan == 'up'}}, high: good}"
FILES = {
    "csflow": PROJECT,
    "rise": RISE,
    "desk": DESK,
    "review": REVIEW,
    "offer": OFFER,
    "thanks": THANKS,
    "topic": TOPIC,
    "tone": TONE,
}


@pytest.fixture
def desk(database, tmp_path):
    """A customer C-1 of li whose case of desk is in `talk`."""
    opened = Hand(database, tmp_path / "project", FILES)
    opened.customer(csm="li")
    opened.open("desk", why="slow")
    yield opened
    opened.store.close()


def fields_of(desk):
    """Every stated field: of whom, which, what."""
    f, name = t.field_value, t.name
    rows = desk.rows(select(name.c.name, f.c.text, f.c.number).join(name, name.c.id == f.c.field))
    return {row.name: row.text if row.text is not None else row.number for row in rows}


def cases(desk):
    rows = desk.rows(select(t.case.c.flow, t.case.c.subject, t.case.c.key).order_by(t.case.c.id))
    return [tuple(row) for row in rows if row.flow != "desk"]


def messages(desk):
    return [
        (row.recipient, row.at) for row in desk.rows(select(t.outbox).order_by(t.outbox.c.at, t.outbox.c.recipient))
    ]


def test_set_fills_fields_of_the_case_and_of_its_customer_and_history_says_so(desk):
    desk.say("note")
    found = fields_of(desk)
    assert {name.split(".", 1)[1]: found[name] for name in found} == {
        "why": "slow", "what": "noted", "mood": "bad", "plan": "slow",
    }  # fmt: skip
    entries = [(kind, target) for kind, target, _ in desk.history("desk")]
    assert entries[-3:] == [("field", "customer.mood"), ("field", "customer.plan"), ("field", "what")]


def test_set_of_waiting_says_that_we_wait_for_the_customer(desk):
    desk.say("wait")
    assert [row.waiting for row in desk.all(t.case)] == [1]


def test_back_leads_to_the_stage_it_came_from(desk):
    desk.say("wait")
    desk.say("go_on")
    assert desk.stage("desk") == ["talk"]


def test_a_word_to_another_flow_is_heard_by_its_case_with_the_fields_it_brings(desk):
    desk.open("review")
    desk.say("ask")
    desk.advance(0)
    assert desk.stage("review") == ["seen"]
    assert fields_of(desk)["review.topic"] == "slow"


def test_a_word_to_another_flow_that_nobody_hears_is_refused_with_a_reason_and_harms_nothing(desk):
    desk.say("ask")
    outcome = desk.advance(0)
    assert desk.stage("desk") == ["asked"]
    assert [failure["error"] for failure in outcome.failed] == [
        "nobody listens to 'look' for customer C-1 now: there is no open case"
    ]


def test_a_customers_flow_opens_a_contracts_flow_for_the_contract_in_force_and_that_one_a_customers(desk):
    contract = desk.contract("K-1")
    desk.advance(0)
    desk.say("sell", act=desk.act(days=1))
    assert cases(desk) == [("offer", contract, "K-1"), ("thanks", 1, "C-1")]


def test_without_a_contract_no_case_about_one_is_opened(desk):
    desk.say("sell")
    assert cases(desk) == []


def test_a_case_opened_by_another_is_known_by_what_its_flow_is_one_per(desk):
    desk.say("note")  # the customer is in a bad mood
    desk.open("desk")
    desk.say("split")
    assert cases(desk) == [("topic", 1, "hardware"), ("tone", 1, "bad")]
    desk.open("desk")
    desk.say("split", act=desk.act(hour=13))
    assert len(cases(desk)) == 2  # both are open already


def test_a_message_to_the_contacts_goes_to_each_of_the_customer(desk):
    desk.contact("P-1")
    desk.contact("P-2")
    desk.say("tell")
    assert [to for to, _ in messages(desk) if to.startswith("contact:")] == ["contact:P-1", "contact:P-2"]


def test_what_happens_every_week_happens_at_once_and_each_week_until_the_case_leaves(desk):
    assert len(messages(desk)) == 1
    for day, number in ((6, 1), (7, 2), (13, 2), (14, 3)):
        desk.advance(day)
        assert len(messages(desk)) == number, day
    desk.say("note", act=desk.act(days=15))
    desk.advance(30)
    assert len(messages(desk)) == 3


def test_of_the_weeks_that_no_pass_saw_only_the_newest_is_told(desk):
    first = messages(desk)[0][1]
    desk.advance(24)
    assert [round((at - first) / DAY_US) for _, at in messages(desk)] == [0, 21]  # none for days 7 and 14
    for day, number in ((24, 2), (27, 2), (28, 3), (28, 3)):  # then it goes on as if nothing had been missed
        desk.advance(day)
        assert len(messages(desk)) == number, day
    assert round((messages(desk)[-1][1] - first) / DAY_US) == 28


def plain(first, passes):
    """When a weekly effect that began at `first` happens, one pass after the other, without any cleverness."""
    zone = ZoneInfo("Europe/Berlin")
    coming, number = datetime.fromtimestamp(first // SECOND, zone) + timedelta(weeks=1), 1  # by the clock on the wall
    told = [first]
    for now in passes:
        newest = None
        while coming.timestamp() * SECOND < now:
            newest = round(coming.timestamp() * SECOND)
            coming, number = coming + timedelta(weeks=1), number + 1
        told += [newest] if newest is not None else []
    return told, (round(coming.timestamp() * SECOND), number)


@pytest.mark.parametrize("nights", [(6, 8, 30), (7, 7, 14), (21, 22, 27, 28), (1, 2, 50, 50, 51), (400,)])
def test_whatever_nights_are_missed_the_effect_happens_as_one_by_one(desk, nights):
    first = messages(desk)[0][1]
    told, coming = plain(first, [desk.advance(day).as_of for day in nights])
    assert [at for _, at in messages(desk)] == told
    timers = [(row.at, row.occurrence) for row in desk.rows(select(t.timer).where(t.timer.c.fired.is_(None)))]
    assert timers == [coming]


def test_a_customer_whose_case_cannot_be_written_holds_up_nobody_else_and_is_named(desk, monkeypatch):
    for key in ("C-1", "C-2", "C-3"):
        if key != "C-1":
            desk.customer(key, csm="li")
        desk.open("rise", key)
        set_customer(desk.store, desk.definition, desk.act(), customer=key, said=Said({"plan": "up"}, {}))
    real = moving.move

    def move(work, row, *rest, **more):
        if work.name(row) == "rise/C-2/1":
            raise ArithmeticError("a poisoned case")
        return real(work, row, *rest, **more)

    monkeypatch.setattr(moving, "move", move)
    outcome = desk.advance(0)
    assert desk.stage("rise") == ["high", "low", "high"]
    assert outcome.failed == [{"case": "rise/C-2/1", "error": "ArithmeticError: a poisoned case"}]
    monkeypatch.setattr(moving, "move", real)
    desk.advance(1)  # nobody touched it since
    assert desk.stage("rise") == ["high", "high", "high"]


def test_each_of_two_deadlines_missed_at_once_tells_its_own_due_time(csflow_project, database):
    flow = """
flow: care
opens: contract.id is known
overdue: [{notify: csm, message: late}, {notify: csm, message: later, after: 1 day}]
stages:
  first: {deadline: {due: 3 days after contract.starts_on}, transitions: {second: {trigger: go}}}
  second: {deadline: {due: 8 days after contract.starts_on}, transitions: {third: {trigger: go}}}
  third: good
"""
    late = '{late: {title: "late since {case.due}", text: ""}, later: {title: "a day late since {case.due}", text: ""}}'
    head = "csflow: 1\nname: p\ncurrency: EUR\nzone: UTC\nroles: {csm: Success manager}\npeople: {li: {roles: [csm]}}\n"
    files = {"csflow.yaml": f"{head}messages: {late}\n", "care.yaml": flow}
    project = csflow_project(files, database=database, today="2026-03-01")
    project.book.customer("C-1", starts="2026-03-01")
    project.book.write()
    project.run()
    assert project.csflow("customer", "set", "C-1", "--role", "csm=li", "--by", "li")[0] == 0
    project.clock.set("2026-03-20")
    project.run()
    assert sorted(message.title for message in project.messages()) == [
        "a day late since 2026-03-04 23:59",
        "a day late since 2026-03-09 23:59",
        "late since 2026-03-04 23:59",
        "late since 2026-03-09 23:59",
    ]
