"""What waits in the outbox goes out: what it says, to whom, in which order, how often; on both databases."""

from __future__ import annotations

import json
import re

import pytest
from hand import at
from post_office import Office, RetryLater, Undeliverable
from sqlalchemy import select, update
from test_query_plans import asked, prefer_indexes

from csflow.flow.loader import Surroundings, load
from csflow.services import deliver as module
from csflow.services.customers import Said, erase_contact, set_customer
from csflow.services.deliver_tries import BASE, JITTER, TRIES, wait_after
from csflow.store import tables as t
from csflow.store.catalogue import CATALOGUE

MINUTE, HOUR = 60_000_000, 3_600_000_000


def told(office):
    """Who got what, in order."""
    return [(message.recipient.id, message.text) for message in office.box]


# what a message says


def test_a_template_is_filled_with_labels_names_and_values_in_the_projects_language(office):
    office.customers(1)
    office.contract()
    said = Said({"name": "Ada 诊所", "segment": "small", "share": "80%"}, {})
    set_customer(office.store, office.definition, office.act(), customer="C-1", said=said)
    office.say("go")
    office.deliver()
    (message,) = office.box
    assert message.title == "Ada 诊所 (Small)"
    assert message.text == "Li Lei in Talked: secret story of C-1. 80 % of 5000 EUR"
    assert (message.language, message.case, message.flow) == ("en", "desk/C-1/1", "desk")
    assert message.subject == {"kind": "customer", "id": "C-1"}
    assert message.at == "2026-03-02T12:00:00+01:00"


def test_no_name_and_no_free_word_lies_in_the_outbox(office):
    office.customers(1)
    office.contact("P-1")
    with office.store.writing() as connection:
        connection.execute(update(t.contact).values(phone="0123"))
    office.say("go")
    office.say("again")
    office.say("tell")
    office.open("desk")
    office.say("act")
    office.deliver()
    assert len(office.outbox()) == 3
    for word in ("Ada", "Grace", "Hopper", "secret story", "g@example.com", "li@example.com", "Li Lei", "0123"):
        assert word not in office.bodies()
    assert office.calls[0].options == {"number": 7}  # the second case says nothing under `what`


def test_a_message_to_the_contacts_speaks_of_each_and_asks_the_case_too(office):
    office.customers(1)
    for key in ("P-1", "P-2"):
        office.contact(key)
    with office.store.writing() as connection:
        connection.execute(update(t.contact).where(t.contact.c.key == "P-2").values(phone="1", name="Alan", left=1))
    office.say("tell")
    office.deliver()
    assert [(m.recipient.kind, m.recipient.id, m.title, m.text) for m in office.box] == [
        ("contact", "P-2", "Dear Alan", "told yes")
    ]
    assert office.box[0].recipient.address == {"mail": "g@example.com", "phone": "1"}


def test_an_erased_contact_is_called_unknown_in_what_has_not_gone_out(office):
    office.customers(1)
    office.contact("P-1")
    with office.store.writing() as connection:
        connection.execute(update(t.contact).values(phone="1"))
    office.say("tell")
    erase_contact(office.store, office.definition, office.act(), contact="P-1")
    office.deliver()
    assert [m.title for m in office.box] == ["Dear unknown"]


def test_a_message_without_a_template_names_case_stage_due_time_and_why(office):
    office.customers(1)
    office.advance(3)  # the first pass: withheld
    office.put(status="pending")
    office.later(days=4)
    office.deliver()
    (message,) = office.box
    # two days after Monday noon
    assert message.title == "Desk – Ada (C-1) – Talking, overdue since 2026-03-04 23:59"
    assert message.text == "desk/C-1/1, stage Talking, overdue since 2026-03-04 23:59. Why: Nobody called"
    body = json.loads(office.outbox()[0].body)
    assert body["text"]["zh"] == ["desk/C-1/1，阶段：沟通，应于 2026-03-04 23:59 完成，已逾期。原因：无人致电"]


def test_a_repeat_says_what_the_first_try_said_whatever_was_changed_in_between(office, tmp_path):
    office.customers(1)
    office.say("go")
    office.trouble["*"] = RetryLater("no")
    office.deliver()
    first = office.outbox()[0].body
    set_customer(office.store, office.definition, office.act(), customer="C-1", said=Said({"share": "10%"}, {}))
    text = (
        (office.folder / "csflow.yaml").read_text("utf-8").replace("in {case.stage}: {case.what}", "now says {case.id}")
    )
    (office.folder / "csflow.yaml").write_text(text, "utf-8")
    before = office.definition
    office.definition = load(office.folder, Surroundings(CATALOGUE)).definition
    assert before.hash != office.definition.hash
    with office.store.writing() as connection:  # as a pass does that ran under the former definition
        body = {"hash": before.hash, "body": json.dumps(before.tree, ensure_ascii=False), "as_of": 0}
        connection.execute(t.definition.insert().values(**body))
    office.trouble.clear()
    office.later(days=1)
    office.deliver()
    assert office.outbox()[0].body == first
    assert [m.text for m in office.box] == ["Li Lei in Talked: secret story of C-1. unknown of 0 EUR"]


# to whom


def test_a_role_is_the_owner_for_the_customer_else_everybody_in_it_and_each_gets_it_once(office):
    office.customers(1)
    office.say("lead")
    assert office.deliver().sent == 2
    assert sorted(m.recipient.id for m in office.box) == ["ann", "bob"]
    assert len({m.id for m in office.box}) == 2
    office.customer("C-2", lead="ann")
    office.open("desk", "C-2")
    office.say("lead", "C-2")
    office.box.clear()
    office.deliver()
    assert [m.recipient.id for m in office.box] == ["ann"]


def test_of_two_who_fill_a_role_only_the_one_who_got_nothing_gets_the_repeat(office):
    office.customers(1)
    office.say("lead")
    office.trouble["bob-box"] = RetryLater("busy")
    assert (office.deliver().sent, office.statuses()) == (1, ["sent", "pending"])
    office.trouble.clear()
    office.later(minutes=5)
    office.deliver()
    assert [m.recipient.id for m in office.box] == ["ann", "bob"]


def test_a_role_that_nobody_fills_is_dead_with_the_reason(office):
    office.customers(1)
    office.say("lose")
    done = office.deliver()
    assert (done.dead, office.statuses()) == (1, ["dead"])
    assert done.failed[0]["error"] == "nobody fills the role 'nobody' for this case"
    assert office.outbox()[0].error == done.failed[0]["error"]


def test_via_names_the_notifier_and_without_one_the_first_address_that_has_a_notifier_does(office):
    office.customers(1)
    mails = []
    office.say("mail")
    assert office.deliver(mail=mails.append).sent == 1
    assert (len(mails), len(office.box)) == (1, 0)
    assert mails[0].recipient.address == {"post": "li-box", "mail": "li@example.com"}


def test_a_notifier_that_is_not_there_is_told_and_the_message_waits_for_it(office):
    office.customers(1)
    office.say("mail")
    done = office.deliver()
    assert (done.again, done.failed[0]["error"]) == (1, "there is no notifier 'mail': post, console")
    office.later(minutes=5)
    mails = []
    office.deliver(mail=mails.append)
    assert len(mails) == 1


# how often, and in which order


def test_what_was_sent_is_not_sent_again(office):
    office.customers(3)
    for key in ("C-1", "C-2", "C-3"):
        office.say("go", key)
    assert office.deliver().sent == 3
    assert office.deliver().sent == 0
    assert len({m.id for m in office.box}) == len(office.box) == 3


def test_a_failure_is_tried_again_after_longer_and_longer_waits_until_it_is_dead(office):
    office.customers(1)
    office.say("go")
    office.trouble["*"] = ValueError("it is\nbroken")
    waits = []
    for tries in range(1, TRIES + 1):
        done = office.deliver()
        row = office.outbox()[0]
        assert (row.tries, row.error.partition(" (")[0]) == (tries, "ValueError: it is broken")
        if tries < TRIES:
            assert (row.status, done.again) == ("pending", 1)
            waits.append(row.next_try - office.now)
            assert waits[-1] == wait_after(row.effect_id, tries)
            office.now = row.next_try - 1
            assert office.deliver().again == 0  # not yet
            office.now += 1
    assert (row.status, done.dead, office.box) == ("dead", 1, [])
    assert BASE * (1 - JITTER) <= waits[0] / 1e6 <= BASE * (1 + JITTER)
    assert waits[5] > 10 * waits[0]


def test_a_server_that_says_when_to_come_back_is_asked_then(office):
    office.customers(1)
    office.say("go")
    office.trouble["*"] = RetryLater("busy", after=3600)
    office.deliver()
    assert office.outbox()[0].next_try == office.now + HOUR


def test_what_can_never_work_is_dead_at_once_and_holds_up_nobody(office):
    office.customers(2)
    office.say("go", "C-1")
    office.say("go", "C-2")
    office.trouble[office.outbox()[0].effect_id] = Undeliverable("no such box")
    done = office.deliver()
    assert (done.sent, done.dead, office.statuses()) == (1, 1, ["dead", "sent"])


def test_a_later_message_of_the_same_case_and_recipient_waits_for_the_earlier_one(office):
    office.customers(2)
    office.say("six", "C-1")
    office.say("go", "C-2")
    rows = office.outbox()
    office.trouble[rows[1].effect_id] = RetryLater("busy")
    done = office.deliver()
    assert [m.id for m in office.box] == [rows[0].effect_id, rows[6].effect_id]
    assert done.waiting == 5
    office.trouble.clear()
    office.later(minutes=5)
    office.deliver()
    assert [m.id for m in office.box[2:]] == [row.effect_id for row in rows[1:6]]


def test_two_messages_of_a_case_to_one_person_keep_their_order_though_one_is_to_a_role(office):
    office.customers(1)
    office.say("both")
    rows = office.outbox()
    office.trouble[rows[0].effect_id] = RetryLater("busy")
    assert (office.deliver().sent, office.box) == (0, [])
    office.trouble.clear()
    office.later(minutes=5)
    assert office.deliver().sent == 2
    assert [(m.id, m.recipient.id) for m in office.box] == [(row.effect_id, "li") for row in rows]


def test_a_dead_or_dropped_or_withheld_message_holds_up_none_after_it(office):
    for status in ("dead", "dropped", "withheld"):
        key = f"C-{status}"
        office.customer(key, csm="li")
        office.open("desk", key)
        office.say("six", key)
        first = office.outbox()[-6]
        with office.store.writing() as connection:
            connection.execute(update(t.outbox).where(t.outbox.c.id == first.id).values(status=status))
        office.box.clear()
        assert office.deliver().sent == 5


def test_a_limit_is_kept(office):
    office.customers(1)
    office.say("six")
    assert office.deliver(limit=4).sent == 4
    assert office.statuses() == ["sent"] * 4 + ["pending"] * 2


def test_a_dry_run_says_what_would_go_and_nothing_goes(office):
    office.customers(2)
    office.say("go")
    office.say("lead", "C-2")
    before = office.outbox()
    done = office.deliver(dry_run=True)
    assert (done.sent, office.box) == (3, [])
    assert office.outbox() == before


def test_a_claim_of_a_deliver_that_died_runs_out(office):
    office.customers(1)
    office.say("go")
    until = office.now + module.LEASE
    office.put(addressee="person:li", turn=1, claimed="another", claimed_until=until)
    told = office.deliver()
    assert (told.sent, told.waiting, told.next_due) == (0, 1, until)
    office.now += module.LEASE
    assert office.deliver().sent == 1


def test_a_deliver_that_is_interrupted_marks_what_it_sent_and_gives_back_the_rest(office):
    office.customers(3)
    for key in ("C-1", "C-2", "C-3"):
        office.say("go", key)
    office.trouble[office.outbox()[1].effect_id] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        office.deliver()
    assert office.statuses() == ["sent", "pending", "pending"]
    assert [row.claimed for row in office.outbox()] == [None] * 3
    office.trouble.clear()
    office.deliver()
    assert len({m.id for m in office.box}) == len(office.box) == 3


# quiet hours, budgets


def quiet(database, tmp_path, text):
    return Office(database, tmp_path / "quiet", f"quiet: {text}\n")


def test_in_quiet_hours_messages_wait_but_effects_do_not(database, tmp_path):
    office = quiet(database, tmp_path, '{daily: "21:00-08:00"}')
    office.customers(2)
    office.say("go", "C-1")
    office.say("act", "C-2")
    office.now = at(0, 22)
    done = office.deliver()
    assert (done.sent, done.waiting, done.quiet_until) == (1, 1, at(1, 8))
    assert (len(office.calls), office.box) == (1, [])
    office.now = at(1, 8)
    assert office.deliver().sent == 1
    office.store.close()


def test_the_surplus_of_a_day_goes_out_as_one_digest_on_the_next(database, tmp_path):
    office = quiet(database, tmp_path, "{budget: 2}")
    office.customers(2)
    office.say("six", "C-1")
    office.say("go", "C-2")
    rows = office.outbox()
    done = office.deliver()
    assert (done.sent, done.surplus) == (2, 5)
    assert office.deliver().sent == 0
    office.later(days=1)
    office.trouble["*"] = RetryLater("busy")
    assert office.deliver().again == 1
    office.trouble.clear()
    office.later(minutes=5)
    assert office.deliver().sent == 1
    first, second, digest = office.box
    members = [row.effect_id for row in rows if row.effect_id not in (first.id, second.id)]
    assert sorted(digest.about) == sorted(members)
    assert digest.title == "5 messages"
    assert digest.text.count("tick secret story of C-1") == 4  # the two that were written first went
    assert set(office.statuses()) == {"sent"}
    assert len({row.digest for row in office.outbox() if row.digest}) == 1
    office.store.close()


def test_two_addressees_have_a_budget_each_and_a_single_surplus_goes_as_it_is(database, tmp_path):
    office = quiet(database, tmp_path, "{budget: 1}")
    office.customers(2)
    for key in ("C-1", "C-2"):
        office.say("lead", key)
    done = office.deliver()
    assert (done.sent, done.surplus) == (2, 2)
    office.later(days=1)
    assert office.deliver().sent == 2
    assert [m.about for m in office.box] == [()] * 4
    assert sorted(m.recipient.id for m in office.box) == ["ann", "ann", "bob", "bob"]
    office.store.close()


def test_two_delivers_in_turns_send_each_message_once(office):
    for key in office.customers(6):
        office.say("go", key)
    other: list[int] = []

    def send(message):
        if not other:  # a second deliver while the first one sends
            other.append(1)
            other.append(office.deliver().sent)
        office.send(message)

    done = office.deliver(post=send)
    assert done.sent + other[1] == 6
    assert len({m.id for m in office.box}) == len(office.box) == 6


def test_what_another_deliver_is_just_sending_counts_for_the_budget(database, tmp_path):
    office = quiet(database, tmp_path, "{budget: 2}")
    for key in office.customers(6):
        office.say("go", key)
    others = []

    def send(message):
        if not others:
            others.append(office.deliver())
        office.send(message)

    done = office.deliver(post=send, limit=1)
    assert (done.sent, others[0].sent, len(office.box)) == (1, 1, 2)
    assert (done.surplus, others[0].surplus) == (0, 4)
    office.store.close()


def test_a_message_that_nobody_took_counts_for_the_budget_of_this_deliver_alone(database, tmp_path):
    office = quiet(database, tmp_path, "{budget: 2}")
    for key in office.customers(2):
        office.say("go", key)
    office.trouble["*"] = RetryLater("busy")
    assert office.deliver().again == 2
    office.trouble.clear()
    office.later(minutes=5)
    assert office.deliver().sent == 2
    office.store.close()


def test_no_statement_of_a_deliver_reads_the_outbox_from_end_to_end(office):
    for key in office.customers(8):
        office.say("go", key)
    statements = asked(office.store, office.deliver)
    assert len(office.box) == 8
    with office.store.writing() as connection:
        prefer_indexes(connection)
        for statement, parameters in statements:
            sqlite = connection.dialect.name == "sqlite"
            lines = connection.exec_driver_sql(
                ("EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN ") + statement, parameters
            )
            for line in [row[-1] for row in lines]:
                assert not re.search(r"SCAN (outbox|earlier)\b|Seq Scan on outbox", line), statement


def test_the_number_of_statements_of_a_deliver_follows_from_chunks_not_messages(office):
    def statements(many: int) -> int:
        from sqlalchemy import event

        seen: list[str] = []

        def hear(*said):
            seen.append(said[2])

        event.listen(office.store.engine, "before_cursor_execute", hear)
        assert office.deliver().sent == many
        event.remove(office.store.engine, "before_cursor_execute", hear)
        return len(seen)

    for key in office.customers(30):
        office.say("go", key)
    few = statements(30)
    for key in [f"C-{n}" for n in range(1, 31)]:
        office.say("again", key)
        office.say("go", key)
    office.customer("C-99", csm="li")
    office.open("desk", "C-99")
    office.say("go", "C-99")
    assert abs(statements(31) - few) <= 1
    assert office.rows(select(t.outbox.c.id).where(t.outbox.c.status != "sent")) == []
