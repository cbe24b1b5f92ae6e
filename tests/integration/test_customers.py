"""Customers entered, changed and shown by hand; activities; personal data erased; on both databases."""

from __future__ import annotations

import json

import pytest
from hand import MONDAY, at
from sqlalchemy import insert, select, update

from csflow.errors import RefusedError, UsageError
from csflow.services.acting import Act
from csflow.services.customers import Done, Said, add_activity, add_customer, erase_contact, set_customer
from csflow.services.showing import customer_file, show_case, show_customer
from csflow.services.tasking import Answer, finish_task
from csflow.store import tables as t
from csflow.store.names import name_id
from csflow.store.touching import ADVANCE, MEASURE
from csflow.values import day


def enter(hand, key="C-1", act=None, roles=None, **fields):
    return add_customer(hand.store, hand.definition, act or hand.act(), customer=key, said=Said(fields, roles or {}))


def change(hand, key="C-1", act=None, roles=None, **fields):
    return set_customer(hand.store, hand.definition, act or hand.act(), customer=key, said=Said(fields, roles or {}))


def show(hand, key="C-1", days=0):
    return show_customer(hand.store, hand.definition, hand.act(days=days), customer=key)


def note(hand, kind="visit", act=None, **more):
    return add_activity(hand.store, hand.definition, act or hand.act(), Done("C-1", kind, **more))


def file_of(hand, days=30, since=None):
    return customer_file(hand.store, hand.definition, "C-1", now=at(days), since=since)


# Entering and changing ----------------------------------------------------------------------------------------


def test_a_customer_entered_by_hand_is_shown_as_it_was_said(hand):
    enter(
        hand,
        name="Ada & Co",
        signed_on="2026-01-31",
        segment="small",
        budget="80000.50",
        tags="c, a",
        roles={"csm": "li"},
    )
    found = show(hand)
    assert (found["customer"], found["name"], found["signed_on"]) == ("C-1", "Ada & Co", "2026-01-31")
    assert found["fields"] == {"segment": "small", "budget": "80000.50 EUR", "tags": ["a", "c"], "secret": None}
    assert found["roles"] == {"csm": "li"}


def test_a_first_statement_has_always_been_so_and_a_later_change_happened_on_its_day(hand):
    enter(hand, segment="small")
    assert [row.happened for row in hand.all(t.field_value)] == [0]
    change(hand, act=hand.act("wang", 5), segment="large")
    [row] = hand.all(t.field_value)
    assert (row.text, row.happened, row.stated) == ("large", MONDAY + 5, at(5))


def test_what_a_field_was_before_is_kept_with_who_changed_it(hand):
    enter(hand, segment="small")
    change(hand, act=hand.act("wang", 5), segment="large")
    logged = hand.rows(
        select(t.field_log)
        .join(t.name, t.name.c.id == t.field_log.c.field)
        .where(t.name.c.name == "customer.segment")
        .order_by(t.field_log.c.id)
    )
    assert [(row.text, row.actor) for row in logged] == [(None, "li"), ("small", "wang")]


def test_a_customer_that_is_there_is_not_entered_again(hand):
    enter(hand)
    with pytest.raises(RefusedError, match="customer 'C-1' is there already"):
        enter(hand)


@pytest.mark.parametrize("key", ["", "   ", "x" * 501])
def test_an_id_must_be_one(hand, key):
    with pytest.raises(UsageError):
        enter(hand, key)


def test_a_customer_is_seen_from_the_day_it_signed(hand):
    enter(hand, signed_on="2026-05-01")
    assert hand.all(t.customer)[0].happened == day("2026-05-01")
    change(hand, signed_on="2026-04-01")
    assert hand.all(t.customer)[0].happened == day("2026-04-01")


def test_the_former_name_is_kept_and_the_change_has_an_author(hand):
    enter(hand, name="Ada")
    change(hand, act=hand.act("wang", 1), name="Ada Ltd")
    [kept] = hand.all(t.row_log)
    assert (kept.kind, json.loads(kept.body)["name"], kept.until) == ("customer", "Ada", at(1))
    changes = [(one["what"], one.get("value"), one["actor"]) for one in file_of(hand) if one["what"] == "customer.name"]
    assert changes == [("customer.name", "Ada", "li"), ("customer.name", "Ada Ltd", "wang")]


@pytest.mark.parametrize(
    ("fields", "roles", "message"),
    [
        ({"segmnt": "small"}, {}, "customer has no field 'segmnt': did you mean 'segment'"),
        ({"nam": "x"}, {}, "customer has no field 'nam': did you mean 'name'"),
        ({"segment": "smal"}, {}, "'smal' is not one of small, large: did you mean small"),
        ({"budget": "5 USD"}, {}, "customer.budget: no rate for USD is known"),
        ({"budget": "lots"}, {}, "customer.budget: 'lots' is not an amount"),
        ({"budget": "1.234"}, {}, "customer.budget: '1.234' has more decimals than EUR"),
        ({"tags": "a, d"}, {}, "'d' is not one of a, b, c"),
        ({"signed_on": "1.2.2026"}, {}, "customer.signed_on: '1.2.2026' is not YYYY-MM-DD"),
        ({"id": "C-2"}, {}, "id cannot be changed"),
        ({}, {"csmm": "li"}, "no role 'csmm': did you mean 'csm'"),
        ({}, {"csm": "lee"}, "no person 'lee'"),
        ({}, {}, "nothing to set"),
    ],
)
def test_what_cannot_be_set_is_refused_and_nothing_is_written(hand, fields, roles, message):
    enter(hand)
    before = hand.snapshot()
    with pytest.raises(UsageError, match=message):
        set_customer(
            hand.store,
            hand.definition,
            hand.act(),
            customer="C-1",
            said=Said({"secret": "x", **fields} if fields else fields, roles),
        )
    assert hand.snapshot() == before


def test_money_in_another_currency_is_taken_at_the_rate_of_the_day(hand):
    enter(hand)
    with hand.store.writing() as connection:
        connection.execute(insert(t.rate).values(currency="USD", day=MONDAY - 1, rate=0.9))
        connection.execute(insert(t.rate).values(currency="USD", day=MONDAY + 1, rate=0.5))
    change(hand, budget="100 USD")
    assert show(hand)["fields"]["budget"] == "90 EUR"


def test_another_owner_takes_the_open_tasks_of_the_role_over(hand):
    enter(hand, roles={"csm": "li"})
    hand.open()
    change(hand, act=hand.act("ann"), roles={"csm": "wang"})
    assert show(hand)["roles"] == {"csm": "wang"}
    assert [row.person for row in hand.all(t.task)] == ["wang"]
    change(hand, roles={"csm": ""})
    assert show(hand)["roles"] == {}


def test_a_done_task_stays_with_whoever_did_it(hand):
    enter(hand, roles={"csm": "li"})
    hand.open()
    finish_task(hand.store, hand.definition, hand.act(), Answer("care/C-1/1", "hello"))
    change(hand, roles={"csm": "wang"})
    assert [row.person for row in hand.all(t.task)] == ["li"]


def test_a_changed_customer_is_asked_about_again(hand):
    enter(hand)
    hand.advance(0)
    with hand.store.writing() as connection:
        connection.execute(t.touched.delete())
    change(hand, segment="large", act=hand.act(hour=9))
    change(hand, segment="small", act=hand.act(days=4))  # after the last pass: from its own day on
    assert {(row.queue, row.day) for row in hand.all(t.touched)} == {
        (MEASURE, 0), (ADVANCE, 0), (MEASURE, MONDAY + 4), (ADVANCE, MONDAY + 4)
    }  # fmt: skip


def test_a_dry_run_of_entering_leaves_nothing(hand):
    before = hand.snapshot()
    assert enter(hand, act=hand.act(dry_run=True), name="Ada")["dry_run"]
    assert hand.snapshot() == before


# Activities ---------------------------------------------------------------------------------------------------


def test_an_activity_is_noted_once_and_moves_what_waits_for_it(hand):
    enter(hand, roles={"csm": "li"})
    hand.open()
    hand.say("met")
    note(hand, act=hand.act("wang", 1))
    hand.advance(1)
    assert hand.stage() == ["steady"]
    with pytest.raises(RefusedError, match="visit of C-1 at 2026-03-03 12:00 by wang is noted already"):
        note(hand, act=hand.act("wang", 1))


def test_an_activity_must_be_of_a_declared_kind_and_with_the_customers_own_contact(hand):
    enter(hand)
    enter(hand, "C-2")
    hand.contact("P-2", 2)
    with pytest.raises(UsageError, match="no kind of activity 'visits': did you mean 'visit'"):
        note(hand, "visits")
    with pytest.raises(UsageError, match="contact 'P-2' is not one of C-1"):
        note(hand, contact="P-2")
    with pytest.raises(UsageError, match="no contact 'P-3': did you mean 'P-2'"):
        note(hand, contact="P-3")


# Showing ------------------------------------------------------------------------------------------------------


def test_a_customer_is_shown_with_the_contract_of_that_day_and_nothing_is_changed_by_looking(hand):
    enter(hand)
    hand.contract("K-1", starts_on=MONDAY - 100, ends=MONDAY + 10, amount=100_00, value=100_00)
    hand.contract("K-2", starts_on=MONDAY + 10, ends=MONDAY + 300, amount=200_00, value=200_00, replaces="K-1")
    before = hand.snapshot()
    assert (show(hand)["contract"], show(hand)["amount"]) == ("K-1", "100 EUR")
    assert (show(hand, days=10)["contract"], show(hand, days=10)["amount"]) == ("K-2", "200 EUR")
    assert show(hand)["contracts"][0]["ends_on"] == "2026-03-11"  # the last paid day
    assert hand.snapshot() == before


def test_a_case_is_shown_with_its_fields_milestones_deadlines_tasks_and_history(hand):
    enter(hand, roles={"csm": "li"})
    hand.open("complaint", what="slow")
    hand.say("met")
    found = show_case(hand.store, hand.definition, "complaint/C-1/1", now=at(0, 13))
    assert (found["stage"], found["entered_at"], found["owner"]) == ("solve", "2026-03-02 12:00", "li")
    assert found["fields"] == {"what": "slow", "cost": None}
    assert [(one["deadline"], one["due"]) for one in found["deadlines"]] == [("stages.solve", "2026-03-03 12:00")]
    assert [one["kind"] for one in found["history"]] == ["opened"]
    care = show_case(hand.store, hand.definition, "care/C-1/1", now=at(0, 13))
    assert care["milestones"] == {"met": "2026-03-02 12:00", "visited": None}
    assert [one["label"] for one in care["tasks"]] == ["Say hello"]


def test_moves_and_answers_stand_in_the_customers_file_and_a_contract_without_end_only_begins(hand):
    enter(hand)
    hand.contract("K-1", ends=None)
    hand.open("complaint", what="slow")
    hand.say("solved", "complaint/C-1/1", hand.act(hour=15))
    contact = hand.contact()
    said = {"customer": 1, "contact": contact, "question": "customer.nps", "day": MONDAY + 1, "source": 1, "ref": "1"}
    hand.add(t.answer, **said, number=7.0)
    rows = [(one["at"][:10], one["kind"], one.get("from"), one["what"], one.get("value")) for one in file_of(hand)]
    assert [row for row in rows if row[1] not in ("entered", "field", "opened", "task")] == [
        ("2026-01-31", "contract begins", None, "K-1", None),
        ("2026-03-02", "moved", "solve", "closed", None),
        ("2026-03-03", "answer", None, "customer.nps", 7.0),
    ]


def test_a_customers_file_is_one_list_in_the_order_of_time(hand):
    enter(hand, signed_on="2026-01-31", roles={"csm": "li"})
    hand.contract("K-1")
    hand.open(act=hand.act(days=1))
    note(hand, act=hand.act("wang", 2), note="coffee")
    finish_task(hand.store, hand.definition, hand.act(days=3), Answer("care/C-1/1", "hello", comment="spoke to Ada"))
    change(hand, act=hand.act("wang", 4), segment="large")
    kinds = [(one["at"][:10], one["kind"], one["what"]) for one in file_of(hand)]
    assert kinds == [
        ("2026-01-31", "signed", "customer"),
        ("2026-01-31", "contract begins", "K-1"),
        ("2026-03-02", "entered", "C-1"),
        ("2026-03-02", "field", "customer.signed_on"),
        ("2026-03-02", "field", "role.csm"),
        ("2026-03-03", "opened", "start"),
        ("2026-03-03", "task", "hello"),
        ("2026-03-04", "activity", "visit"),
        ("2026-03-05", "task", "hello"),
        ("2026-03-06", "field", "customer.segment"),
    ]
    assert [one["note"] for one in file_of(hand) if one.get("note")] == ["coffee", "spoke to Ada"]
    assert [one["kind"] for one in file_of(hand, since=at(4, 0))] == ["field"]
    assert [one["kind"] for one in file_of(hand, days=2)][-1] == "activity"


def test_the_changes_of_a_field_are_told_with_each_value_and_author(hand):
    enter(hand, segment="small")
    change(hand, act=hand.act("wang", 1), segment="large")
    change(hand, act=hand.act("ann", 2), segment="")
    told = [(one["at"], one["value"], one["actor"]) for one in file_of(hand) if one["what"] == "customer.segment"]
    assert told == [
        ("2026-03-02 12:00", "small", "li"),
        ("2026-03-03 12:00", "large", "wang"),
        ("2026-03-04 12:00", None, "ann"),
    ]


# Erasing ------------------------------------------------------------------------------------------------------

SECRETS = ("Grace", "Hopper", "g@example.com", "chess", "her daughter", "liked it", "dear Grace")


def personal(hand):
    """A contact whose person is named everywhere a name may stand."""
    enter(hand, roles={"csm": "li"})
    contact = hand.contact()
    note(hand, contact="P-1", note="her daughter was there")
    with hand.store.writing() as connection:
        hobby, attitude = (name_id(connection, "field", f"contact.{name}") for name in ("hobby", "attitude"))
        for number, text in ((hobby, "chess with Grace"), (attitude, "for")):
            value = {"field": number, "subject": contact, "text": text, "happened": 0, "stated": at(0)}
            connection.execute(insert(t.field_value).values(**value))
            connection.execute(insert(t.field_log).values(**value, actor="li"))
        connection.execute(
            insert(t.row_log).values(
                kind="contact", row=contact, body=json.dumps({"name": "Grace Murray", "left": 0}), until=at(0)
            )
        )
        answer = {"customer": 1, "contact": contact, "day": MONDAY, "source": 1}
        connection.execute(insert(t.answer).values(**answer, question="why", text="Grace liked it", ref="1"))
        connection.execute(insert(t.answer).values(**answer, question="attitude", text="for", ref="2"))
        connection.execute(insert(t.answer).values(**answer, question="nps", number=9, ref="3"))
    hand.open("greeting", "P-1", words="dear Grace")
    hand.say("greeted", "contact:P-1")
    return contact


def test_an_erased_contact_is_named_nowhere_any_more(hand):
    personal(hand)
    assert all(secret in repr(hand.snapshot()) for secret in SECRETS)
    erase_contact(hand.store, hand.definition, hand.act(days=1), contact="P-1")
    left = repr(hand.snapshot())
    assert [secret for secret in SECRETS if secret in left] == []


def test_figures_history_and_choices_outlive_an_erasure(hand):
    contact = personal(hand)
    history = hand.history("greeting")
    erase_contact(hand.store, hand.definition, hand.act(days=1), contact="P-1")
    assert hand.history("greeting") == history
    assert len(hand.all(t.activity)) == 1
    assert [(row.text, row.number) for row in hand.rows(select(t.answer).order_by(t.answer.c.ref))] == [
        (None, None),
        ("for", None),
        (None, 9.0),
    ]
    assert [row.text for row in hand.all(t.field_value) if row.subject == contact and row.text] == ["for"]
    run = [row for row in hand.all(t.run) if row.verb == "erase"]
    assert [json.loads(row.summary) for row in run] == [{"contact": "P-1", "actor": "li"}]


def test_an_erasure_leaves_others_alone_and_can_be_repeated(hand):
    personal(hand)
    hand.contact("P-2")
    erase_contact(hand.store, hand.definition, hand.act(days=1), contact="P-1")
    erase_contact(hand.store, hand.definition, hand.act(days=2), contact="P-1")
    names = hand.rows(select(t.contact.c.key, t.contact.c.name).order_by(t.contact.c.key))
    assert [tuple(row) for row in names] == [("P-1", None), ("P-2", "Grace Hopper")]


def test_a_dry_run_of_an_erasure_erases_nothing(hand):
    personal(hand)
    before = hand.snapshot()
    result = erase_contact(hand.store, hand.definition, hand.act(days=1, dry_run=True), contact="P-1")
    assert result["blanked"] == {
        "contact": 2, "fields": 3, "notes": 1, "answers": 1, "reasons": 1, "comments": 0, "words": 0,
    }  # fmt: skip
    assert hand.snapshot() == before


def test_an_unknown_contact_is_told_with_the_nearest(hand):
    personal(hand)
    with pytest.raises(UsageError, match="no contact 'p-1': did you mean 'P-1'"):
        erase_contact(hand.store, hand.definition, hand.act(), contact="p-1")


def test_without_a_last_pass_now_is_what_the_clock_says(hand):
    enter(hand, act=Act("li", at(0, 9)))
    with hand.store.writing() as connection:
        connection.execute(update(t.customer).values(name="x"))
    assert show(hand)["name"] == "x"
