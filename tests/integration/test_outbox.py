"""The outbox in people's hands: listed, shown, released, tried again, dropped; on both databases."""

from __future__ import annotations

import pytest
from post_office import Office, RetryLater, Undeliverable

from csflow.errors import RefusedError, UsageError
from csflow.services.outbox import Filter, change_outbox, list_outbox, show_message


@pytest.fixture
def office(office):
    """C-1 has six messages to li, C-2 one, C-3 one to everybody who leads."""
    office.customers(3)
    office.say("six", "C-1")
    office.say("go", "C-2")
    office.say("lead", "C-3")
    return office


def change(office, verb, *, dry_run=False, **wanted):
    found = Filter(**wanted)
    return change_outbox(office.store, office.definition, verb, found, actor="ann", now=office.now, dry_run=dry_run)


def listed(office, **wanted):
    return list_outbox(office.store, office.definition, Filter(**wanted))


def test_a_list_may_be_of_one_case_one_recipient_one_status_or_the_newest(office):
    assert len(listed(office)) == 8
    assert len(listed(office, case="desk/C-1/1")) == 6
    assert len(listed(office, recipient="csm")) == len(listed(office, recipient="role:csm")) == 7
    assert listed(office, recipient="li") == []  # nobody has asked yet who fills the role
    office.deliver(limit=1)
    assert [row["status"] for row in listed(office, recipient="person:li")] == ["sent"] + ["pending"] * 6
    assert [row["case"] for row in listed(office, limit=2)] == ["desk/C-3/1", "desk/C-3/1"]  # ann's and bob's
    assert [row["at"] for row in listed(office, status="sent")] == ["2026-03-02 12:00"]


def test_unknown_words_are_told_with_what_there_is(office):
    with pytest.raises(UsageError, match="no status 'ded': did you mean 'dead'"):
        listed(office, status="ded")
    with pytest.raises(UsageError, match="no case 'desk/C-1/9'"):
        listed(office, case="desk/C-1/9")
    with pytest.raises(UsageError, match="no message 'ffffffffffffffff'"):
        change(office, "drop", ids=("ffffffffffffffff",))
    with pytest.raises(UsageError, match="'%' is no id of a message"):
        change(office, "drop", ids=("%",))


def test_a_message_is_shown_as_it_would_go_out(office):
    row = listed(office, case="desk/C-2/1")[0]
    found = show_message(office.store, office.definition, row["id"][:6], now=office.now)
    assert (found["title"], found["rule_recipient"], found["status"]) == ("Ada (unknown)", "role:csm", "pending")
    assert found["text"].startswith("Li Lei in Talked: secret story of C-2.")
    assert len(found["id"]) == 64


def test_an_effect_is_shown_with_its_values(office):
    office.open("desk", "C-3", what="again")
    office.say("act", "C-3")
    row = listed(office, recipient="uses:shop/act")[0]
    found = show_message(office.store, office.definition, row["id"], now=office.now)
    assert (found["options"], found["title"]) == ({"number": 7, "what": "again"}, None)


def test_withheld_messages_go_out_once_they_are_released(office):
    office.put(status="withheld")
    assert office.deliver().sent == 0
    assert len(change(office, "release", case="desk/C-2/1")) == 1
    assert office.deliver().sent == 1
    assert len(change(office, "release")) == 7
    assert office.deliver().sent == 8  # six to li, one each to ann and bob
    assert {row.actor for row in office.outbox() if row.recipient == "role:csm"} == {"ann"}


def test_dead_messages_are_tried_anew_and_waiting_ones_at_once(office):
    office.trouble["*"] = Undeliverable("no")
    office.deliver()
    assert set(office.statuses()) == {"dead"}
    office.trouble["*"] = RetryLater("later")
    assert len(change(office, "retry", case="desk/C-2/1")) == 1
    assert office.deliver().again == 1
    office.trouble.clear()
    assert office.deliver().sent == 0
    change(office, "retry", status="pending")
    assert office.deliver().sent == 1
    assert listed(office, case="desk/C-2/1")[0]["tries"] == 1


def test_what_is_dropped_never_goes_and_what_was_sent_cannot_be_dropped(office):
    assert len(change(office, "drop", recipient="csm")) == 7
    assert office.deliver().sent == 2
    assert len(change(office, "drop")) == 0
    sent = next(row for row in office.outbox() if row.status == "sent")
    with pytest.raises(RefusedError, match="is sent: only pending or withheld or dead ones drop"):
        change(office, "drop", ids=(sent.effect_id,))


def test_a_message_that_is_being_sent_is_left_alone(office):
    office.put(claimed="somebody", claimed_until=office.now + 1)
    assert change(office, "drop") == []
    with pytest.raises(RefusedError, match="is being sent right now"):
        change(office, "drop", ids=(office.outbox()[0].effect_id,))
    office.now += 1
    assert len(change(office, "drop")) == 8


def test_a_dry_run_changes_nothing(office):
    before = office.outbox()
    assert len(change(office, "drop", dry_run=True)) == 8
    assert office.outbox() == before


def test_a_digest_that_loses_a_part_is_another_digest(database, tmp_path):
    office = Office(database, tmp_path / "quiet", "quiet: {budget: 1}\n")
    office.customers(1)
    office.say("six")
    office.deliver()
    office.later(days=1)
    office.trouble["*"] = RetryLater("busy")
    office.deliver()
    former = {row.digest for row in office.outbox() if row.digest}
    assert len(former) == 1
    change(office, "drop", ids=(office.outbox()[-1].effect_id,))
    office.trouble.clear()
    office.later(minutes=5)
    office.deliver()
    assert len(office.box[-1].about) == 4
    assert office.box[-1].id not in former
    office.store.close()
