"""Words, openings and fields by hand, on both databases."""

from __future__ import annotations

import json
import threading

import pytest
from hand import at
from sqlalchemy import insert, select

from csflow.errors import RefusedError, UsageError
from csflow.services.acting import Act, Word, trigger
from csflow.store import tables as t
from csflow.store.touching import ADVANCE, MEASURE


@pytest.fixture
def hand(hand):
    hand.customer(csm="li")
    return hand


# Opening ------------------------------------------------------------------------------------------------------


def test_a_case_opened_by_hand_begins_in_the_first_stage_and_does_what_the_stage_says(hand):
    result = hand.open()
    assert [(one["case"], one["stage"]) for one in result["opened"]] == [("care/C-1/1", "start")]
    # two days after Monday noon: the end of Wednesday
    assert result["tasks"] == [
        {
            "case": "care/C-1/1",
            "task": "hello",
            "role": "csm",
            "person": "li",
            "due": "2026-03-04 23:59",
            "approves": False,
        }
    ]
    assert hand.history() == [("opened", "start", "li"), ("task", "hello", "li")]


def test_a_second_case_for_the_same_subject_is_refused_by_name(hand):
    hand.open()
    before = hand.snapshot()
    with pytest.raises(RefusedError, match="care/C-1/1 is open already"):
        hand.open()
    assert hand.snapshot() == before


def test_a_flow_without_limit_opens_as_many_as_are_asked_for_and_numbers_them(hand):
    hand.open("complaint", what="slow")
    result = hand.open("complaint", what="slower")
    assert result["opened"][0]["case"] == "complaint/C-1/2"


def test_fields_said_at_opening_are_typed_and_stored(hand):
    hand.open("complaint", what="slow", cost="12.50")
    rows = hand.rows(
        select(t.name.c.name, t.field_value.c.number, t.field_value.c.text)
        .join(t.name, t.name.c.id == t.field_value.c.field)
        .where(t.name.c.name.like("complaint.%"))
        .order_by(t.name.c.name)
    )
    assert [tuple(row) for row in rows] == [("complaint.cost", 1250.0, None), ("complaint.what", None, "slow")]


def test_for_a_flow_about_contracts_a_customer_means_the_contract_in_force(hand):
    hand.contract("old", starts_on=at(0) // 86_400_000_000 - 400, ends=at(0) // 86_400_000_000 - 35)
    hand.contract("new")
    result = hand.open("renewal", "C-1", price="100")
    assert result["opened"][0]["subject"] == {"kind": "contract", "id": "C-1/new"}


def test_a_customer_without_contract_has_nothing_to_renew(hand):
    with pytest.raises(RefusedError, match="about a contract, and C-1 has none"):
        hand.open("renewal", "C-1")


def test_a_contract_of_the_same_id_at_two_customers_must_be_named_with_its_customer(hand):
    hand.customer("C-2")
    hand.contract("K-1", 1)
    hand.contract("K-1", 2)
    with pytest.raises(UsageError, match="say whose: C-1/K-1, C-2/K-1"):
        hand.open("renewal", "contract:K-1")
    hand.open("renewal", "contract:C-2/K-1")
    assert [row.customer for row in hand.all(t.case)] == [2]


@pytest.mark.parametrize(
    ("flow", "subject", "message"),
    [
        ("cares", "C-1", "no flow 'cares': did you mean 'care'"),
        ("care", "c-1", "no customer 'c-1': did you mean 'C-1'"),
        ("care", "contact:P-1", "no contact 'P-1'"),
        ("care", "person:li", "is about a customer, not a person"),
        ("care", "care/C-1/1", "is a case"),
    ],
)
def test_what_is_not_there_is_told_with_the_nearest(hand, flow, subject, message):
    with pytest.raises(UsageError, match=message):
        hand.open(flow, subject)


def test_a_dry_run_says_the_same_and_leaves_nothing(hand):
    before = hand.snapshot()
    dry = hand.open(act=hand.act(dry_run=True))
    assert hand.snapshot() == before
    assert dry["dry_run"]
    assert {**dry, "dry_run": False} == hand.open()


def test_an_opening_by_hand_lets_its_effects_open_other_flows(hand):
    hand.open("complaint", what="slow")
    assert hand.stage("care") == ["start"]


# Words --------------------------------------------------------------------------------------------------------


def test_a_word_ticks_the_milestone_that_listens_and_the_next_pass_goes_on_from_it(hand):
    hand.open()
    hand.add(t.activity, customer=1, kind="visit", at=at(0), source=1, ref="r1")
    result = hand.say("met", act=hand.act("wang", 1))
    assert [(one["milestone"], one["at"]) for one in result["milestones"]] == [("met", "2026-03-03 12:00")]
    hand.advance(1)
    assert hand.stage() == ["steady"]


def test_a_word_that_opens_a_flow_opens_it(hand):
    result = hand.say("complain", what="slow")
    assert result["opened"][0]["case"] == "complaint/C-1/1"
    because = hand.rows(select(t.history.c.because).where(t.history.c.kind == "opened").order_by(t.history.c.case))[0]
    assert json.loads(because.because) == [{"fact": "trigger complain", "value": True, "measured": None}]


def test_a_word_to_a_case_is_heard_by_that_case(hand):
    hand.open("complaint")
    hand.open("complaint")
    result = hand.say("solved", "complaint/C-1/2", what="done")
    assert [(one["case"], one["to"]) for one in result["moved"]] == [("complaint/C-1/2", "closed")]


def test_a_word_with_several_hearers_is_refused_with_their_names(hand):
    hand.open("complaint")
    hand.open("complaint")
    before = hand.snapshot()
    with pytest.raises(RefusedError, match=r"several hearers.*complaint/C-1/1, complaint/C-1/2"):
        hand.say("solved", what="done")
    assert hand.snapshot() == before


def test_a_refused_word_leaves_nothing_not_even_the_fields_said_with_it(hand):
    hand.open()
    hand.add(t.activity, customer=1, kind="visit", at=at(0), source=1, ref="r1")
    hand.say("met")
    hand.advance(0)
    before = hand.snapshot()
    with pytest.raises(RefusedError, match=r"'again' is not possible now, case\.score >= 5 does not hold"):
        hand.say("again", act=hand.act(days=1), score="4")
    assert hand.snapshot() == before
    result = hand.say("again", act=hand.act(days=1), score="5")
    assert [fact["fact"] for fact in result["moved"][0]["because"]] == ["trigger again", "case.score"]


def test_a_word_that_no_stage_hears_now_is_refused_with_the_words_it_hears(hand):
    hand.open()
    with pytest.raises(
        RefusedError, match=r"nobody listens to 'again' for customer C-1 now.*care/C-1/1 in 'start' hears"
    ):
        hand.say("again", score="9")


def test_a_field_that_a_move_asks_for_must_be_said(hand):
    hand.open("complaint")
    with pytest.raises(RefusedError, match="complaint asks for what before 'solved'"):
        hand.say("solved", "complaint/C-1/1")


@pytest.mark.parametrize(
    ("word", "target", "fields", "message"),
    [
        ("mett", "C-1", {}, "no flow listens to 'mett': did you mean 'met'"),
        ("met", "C-2", {}, "no customer 'C-2': did you mean 'C-1'"),
        ("met", "care/C-1/7", {}, "no case 'care/C-1/7': there are care/C-1/1"),
        ("cancel", "C-1", {"cause": "prize"}, "'prize' is not one of price, service: did you mean price"),
        ("cancel", "C-1", {"causes": "price"}, "care has no field 'causes': did you mean 'cause'"),
    ],
)
def test_wrong_words_ids_and_fields_are_told_with_the_nearest(hand, word, target, fields, message):
    hand.open()
    with pytest.raises(UsageError, match=message):
        hand.say(word, target, **fields)


def test_only_the_roles_named_may_say_a_word_and_an_operator_may_always(hand):
    with pytest.raises(RefusedError, match="ann may not say 'complain': only csm"):
        hand.say("complain", act=hand.act("ann"))
    hand.say("complain", act=hand.act("nightly-script"))
    assert hand.stage("complaint") == ["solve"]


def test_a_word_about_a_contact_reaches_the_case_about_that_contact(hand):
    hand.contact()
    hand.open("greeting", "P-1", words="hi")
    result = hand.say("greeted", "contact:P-1")
    assert result["moved"][0]["subject"] == {"kind": "contact", "id": "P-1"}


def test_the_organisation_itself_has_cases_and_hears_words(hand):
    hand.open("program", "organisation")
    assert hand.say("grown", "organisation")["moved"][0]["case"] == "program/organisation/1"
    with pytest.raises(UsageError, match="'C-1' is not the organisation"):
        hand.open("program", "C-1")


def test_a_word_said_earlier_than_the_case_entered_its_stage_is_refused(hand):
    hand.open(act=hand.act(days=3))
    before = hand.snapshot()
    with pytest.raises(RefusedError, match=r"care/C-1/1 entered 'start' at 2026-03-05 12:00, after 2026-03-04 12:00"):
        hand.say("met", act=hand.act(days=2))
    assert hand.snapshot() == before


def test_without_a_time_a_word_comes_after_a_pass_that_was_at_the_end_of_the_same_day(hand):
    hand.advance(0, 23)
    hand.open(act=Act("li", at(0, 15)))
    assert hand.all(t.case)[0].opened_at == at(0, 23)


def test_what_was_done_by_hand_is_asked_about_again_by_measure_and_by_the_pass(hand):
    hand.advance(0)
    with hand.store.writing() as connection:
        connection.execute(t.touched.delete())
    hand.open(act=hand.act(days=1))
    rows = {(row.queue, row.kind, row.subject, row.day) for row in hand.all(t.touched)}
    assert rows == {(MEASURE, "customer", 1, 0), (ADVANCE, "customer", 1, 0)}


def test_a_word_by_hand_does_what_the_same_imported_word_does_in_a_pass(hand):
    hand.customer("C-2", csm="li")
    hand.open(subject="C-1")
    hand.open(subject="C-2")
    hand.say("met", "C-1", act=hand.act("li", 1))
    word = {
        "name": "met",
        "kind": "customer",
        "subject": 2,
        "customer": 2,
        "at": at(1),
        "actor": "li",
        "ref": "x",
        "source": 1,
    }
    with hand.store.writing() as connection:
        connection.execute(insert(t.inbox).values(**word))
    hand.advance(1, 12)
    entries = [
        [(row.kind, row.at, row.target, row.place, row.because) for row in hand.rows(
            select(t.history).where(t.history.c.case == case, t.history.c.kind == "milestone"))]
        for case in (1, 2)
    ]  # fmt: skip
    assert entries[0] == entries[1]
    assert len(entries[0]) == 1


# Fields of a case ---------------------------------------------------------------------------------------------


def test_waiting_stops_the_deadlines_that_wait_at_once_and_the_rest_is_kept(hand):
    hand.open("complaint")
    result = hand.set("complaint/C-1/1", act=hand.act(hour=18), waiting="true")
    assert result["stopped"] == ["stages.solve"]
    line = hand.all(t.deadline)[0]
    assert (line.due, line.stopped, line.rest) == (None, at(0, 18), 18 * 3_600_000_000)  # 24 hours less 6


def test_when_the_waiting_ends_the_deadline_goes_on_with_what_was_left(hand):
    hand.open("complaint")
    hand.set("complaint/C-1/1", act=hand.act(hour=18), waiting="yes")
    result = hand.set("complaint/C-1/1", act=hand.act(days=5, hour=10), waiting="no")
    assert result["resumed"] == ["stages.solve"]
    assert hand.all(t.deadline)[0].due == at(6, 4)  # 18 hours after Saturday 10:00


def test_a_field_set_by_hand_is_in_history_with_its_author(hand):
    hand.open()
    hand.set("care/C-1/1", act=hand.act("wang"), score="7")
    assert hand.history()[-1] == ("field", "score", "wang")


def test_an_empty_value_makes_a_field_unknown_and_the_former_is_kept(hand):
    hand.open(score="7")
    hand.set("care/C-1/1", act=hand.act("wang", 1), score="")
    assert [row.number for row in hand.all(t.field_value) if row.subject == 1 and row.text is None] == [None]
    log = [row for row in hand.all(t.field_log) if row.actor == "wang"]
    assert [(row.number, row.stated) for row in log] == [(7.0, at(0))]


def test_the_same_value_again_is_stated_anew_but_did_not_happen_anew(hand):
    hand.open(score="7")
    happened = hand.all(t.field_value)[0].happened
    many = len(hand.all(t.field_log))
    hand.set("care/C-1/1", act=hand.act(days=3), score="7")
    row = hand.all(t.field_value)[0]
    assert (row.happened, row.stated) == (happened, at(3))
    assert len(hand.all(t.field_log)) == many


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scor": "1"}, "care has no field 'scor': did you mean 'score'"),
        ({"score": "many"}, "care.score: 'many' is not a number"),
        ({"waiting": "perhaps"}, "waiting: 'perhaps' is neither true nor false"),
    ],
)
def test_a_wrong_field_or_value_of_a_case_is_refused(hand, fields, message):
    hand.open()
    before = hand.snapshot()
    with pytest.raises(UsageError, match=message):
        hand.set("care/C-1/1", **fields)
    assert hand.snapshot() == before


def test_a_word_for_one_flow_is_not_heard_by_a_case_of_another(hand):
    hand.open()
    with pytest.raises(UsageError, match="is not of flow 'complaint'"):
        trigger(hand.store, hand.definition, hand.act(), Word("met", "care/C-1/1", "complaint"))


# Several at once ----------------------------------------------------------------------------------------------


def at_once(*deeds):
    """Do all at the same time; what each came to: its result or the error it was refused with."""
    start, found = threading.Barrier(len(deeds)), []

    def run(deed):
        start.wait()
        try:
            found.append(deed())
        except RefusedError as error:
            found.append(str(error))

    threads = [threading.Thread(target=run, args=(deed,)) for deed in deeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_of_people_who_open_the_same_case_at_once_one_opens_it(hand):
    results = at_once(*[hand.open] * 4)
    assert len([one for one in results if isinstance(one, dict)]) == 1
    assert all("open already" in one or "at this moment" in one for one in results if isinstance(one, str))
    assert hand.stage() == ["start"]


def test_of_people_who_say_the_same_word_at_once_one_is_heard(hand):
    hand.open("complaint")
    results = at_once(*[lambda: hand.say("solved", "complaint/C-1/1", what="done")] * 4)
    assert len([one for one in results if isinstance(one, dict)]) == 1
    assert [kind for kind, _, _ in hand.history("complaint")].count("moved") == 1


def test_a_case_in_a_stage_that_is_gone_is_left_to_the_pass(hand):
    hand.open()
    with hand.store.writing() as connection:
        connection.execute(t.case.update().values(stage="before"))
    with pytest.raises(UsageError, match="'before', which its flow no longer has: run csflow advance first"):
        hand.set("care/C-1/1", score="1")
    with pytest.raises(RefusedError, match="nobody listens"):
        hand.say("met")


def test_a_field_that_no_deadline_waits_for_leaves_deadlines_alone(hand):
    hand.open("complaint")
    assert hand.set("complaint/C-1/1", cost="5") == {
        "at": "2026-03-02 12:00", "dry_run": False, "case": "complaint/C-1/1", "fields": ["cost"], "stopped": [],
        "resumed": [],
    }  # fmt: skip
    assert hand.all(t.deadline)[0].due == at(1)
