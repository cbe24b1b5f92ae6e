"""What an import may bring of a contact that was erased, and what is told of it elsewhere; on both databases."""

from __future__ import annotations

import json

import pytest
from hand import ZONE, at
from importing_project import counts
from sqlalchemy import insert, select, update

from csflow.errors import StoreError
from csflow.services.customers import Done, add_activity, erase_contact
from csflow.services.importing import import_file
from csflow.services.tasking import Answer, finish_task
from csflow.store import tables as t
from csflow.store.erased import erased_contacts
from csflow.store.names import name_id
from csflow.values import day

CONTACTS = (
    "id,customer,name,mail,phone,post,left,hobby,attitude\n"
    "P-1,C-1,Grace Hopper,g@example.com,555-0101,Head,no,chess,for\nP-2,C-1,Ada Byron,a@example.com,556,Buyer,no,go,against\n"
)
ACTIVITIES = "customer,contact,kind,at,note\nC-1,P-1,visit,2026-02-01,her daughter\nC-1,P-2,visit,2026-02-01,coffee\n"
ANSWERS = (
    "id,customer,contact,question,day,number,text\n1,C-1,P-1,why,2026-02-01,,Grace liked it\n"
    "2,C-1,P-1,attitude,2026-02-01,,for\n3,C-1,P-1,score,2026-02-01,9,\n4,C-1,P-2,why,2026-02-01,,price\n"
)
WORDS = "id,name,contact,at,words\n1,greeted,P-1,2026-02-01,dear Grace\n2,greeted,P-2,2026-02-01,dear Ada\n"
FILES = {"contacts": CONTACTS, "activities": ACTIVITIES, "answers": ANSWERS, "triggers": WORDS}
SECRETS = ("Grace", "Hopper", "g@example.com", "555-0101", "Head", "chess", "daughter", "liked")


@pytest.fixture
def known(hand):
    """A customer with two contacts and what was done with them, all from files; the first is erased."""
    hand.customer()
    for name, text in FILES.items():
        assert counts(bring(hand, name, text))[4] == 0, name
    assert all(secret in repr(hand.snapshot()) for secret in SECRETS)
    erase_contact(hand.store, hand.definition, hand.act(), contact="P-1")
    return hand


def bring(hand, name, text, on="2026-03-03", ending="csv"):
    path = hand.folder / f"{name}.{ending}"
    path.write_text(text, "utf-8")
    return import_file(hand.store, hand.definition, name, path, as_of=ZONE.end_of(day(on)))


def secrets(hand):
    kept = repr(hand.snapshot())
    return [secret for secret in SECRETS if secret in kept]


def test_an_erasure_reaches_what_came_in_by_files(known):
    assert secrets(known) == []
    with known.store.reading() as connection:
        assert erased_contacts(connection) == {"P-1"}


@pytest.mark.parametrize("name", list(FILES))
def test_the_same_file_after_an_erasure_changes_nothing(known, name):
    before = {one: rows for one, rows in known.snapshot().items() if one not in ("run", "source")}
    told = bring(known, name, FILES[name])
    rows = FILES[name].count("\n") - 1
    assert (told.read, told.unchanged) == (rows, rows)
    assert {one: rows for one, rows in known.snapshot().items() if one not in ("run", "source")} == before
    assert (
        told.note
        == f"{'3 rows' if name == 'answers' else '1 row'} of erased contacts: what says who they were was left out"
    )


def test_a_changed_row_of_an_erased_contact_brings_figures_and_no_name(known):
    told = bring(known, "contacts", CONTACTS.replace("no,chess,for", "yes,golf with Grace,against"))
    assert counts(told)[:5] == (2, 0, 1, 1, 0)
    assert secrets(known) == []
    rows = known.rows(select(t.contact.c.key, t.contact.c.name, t.contact.c.left).order_by(t.contact.c.key))
    assert [tuple(row) for row in rows] == [("P-1", None, 1), ("P-2", "Ada Byron", 0)]
    with known.store.reading() as connection:
        attitude = name_id(connection, "field", "contact.attitude")
    values = known.rows(select(t.field_value.c.text).where(t.field_value.c.field == attitude))
    assert sorted(row.text for row in values) == ["against", "against"]


def test_new_rows_about_an_erased_contact_bring_no_free_text(known):
    told = bring(known, "activities", ACTIVITIES + "C-1,P-1,call,2026-02-09,Grace was angry\n")
    assert counts(told)[:3] == (3, 1, 0)
    assert secrets(known) == []
    notes = known.rows(select(t.activity.c.note).order_by(t.activity.c.note.is_(None), t.activity.c.note))
    assert [row.note for row in notes] == ["coffee", None, None]


def test_rows_beside_one_that_cannot_be_read_bring_no_name_back_either(known):
    told = bring(known, "contacts", CONTACTS + "P-3,C-1,Eve,e@example.com,557,Boss,perhaps,go,for\n")
    assert (told.rejected, told.note) == (1, "1 row of erased contacts: what says who they were was left out")
    assert secrets(known) == []


def test_an_erased_contact_from_a_file_of_objects_stays_nameless(known):
    text = json.dumps({"id": "P-1", "customer": "C-1", "name": "Grace Hopper"}) + "\n"
    bring(known, "contacts", text, ending="jsonl")
    assert secrets(known) == []


def test_words_to_an_erased_contacts_case_lose_their_free_text_too(known):
    known.open("greeting", "P-1")
    case = known.rows(select(t.case.c.number).where(t.case.c.flow == "greeting"))
    text = f"id,name,case,at,words\n7,greeted,greeting/P-1/{case[0].number},2026-03-03,dear Grace\n"
    assert bring(known, "triggers", text).new == 1
    assert secrets(known) == []


def test_an_erasure_while_a_file_comes_in_stops_the_import_before_it_writes_the_name(hand):
    hand.customer()
    hand.contact()
    path = hand.folder / "contacts.csv"
    path.write_text(CONTACTS, "utf-8")
    erased = []

    def meanwhile(what, _done, _total):
        if what == "read" and not erased:
            erased.append(erase_contact(hand.store, hand.definition, hand.act(), contact="P-1"))

    with pytest.raises(StoreError, match="a contact was erased while this came in: import it once more"):
        import_file(hand.store, hand.definition, "contacts", path, as_of=at(1), progress=meanwhile)
    assert secrets(hand) == []
    assert bring(hand, "contacts", CONTACTS).new == 1
    assert secrets(hand) == []


# What is told ----------------------------------------------------------------------------------------------------


def erase(hand, **how):
    return erase_contact(hand.store, hand.definition, hand.act(days=1, **how), contact="P-1")


@pytest.fixture
def talked_about(hand):
    """A contact that free text of others names: a task's comment, a note, a field of a case, an answer."""
    hand.customer(csm="li")
    hand.contact("P-1")
    hand.contact("P-2")
    with hand.store.writing() as connection:
        connection.execute(update(t.contact).where(t.contact.c.key == "P-2").values(name="Ada", mail=None))
    hand.open("care")
    hand.open("complaint", what="GRACE HOPPER shouted, says Graceful Hopper")
    done = Answer("care/C-1/1", "hello", comment="wrote to g@example.com, not to gg@example.com")
    finish_task(hand.store, hand.definition, hand.act(), done)
    add_activity(hand.store, hand.definition, hand.act(), Done("C-1", "visit", "P-2", "met Grace Hopper"))
    add_activity(hand.store, hand.definition, hand.act(hour=13), Done("C-1", "visit", "P-2", "met Grace Hoppers"))
    answer = {"customer": 1, "day": 1, "source": 1, "question": "why", "ref": "1", "text": "Ask Grace Hopper!"}
    with hand.store.writing() as connection:
        connection.execute(insert(t.answer).values(**answer))
    return hand


def test_texts_about_others_that_name_the_contact_are_counted_and_kept(talked_about):
    before = repr(talked_about.snapshot())
    found = erase(talked_about)["mentions"]
    assert found == {"fields": 1, "comments": 1, "notes": 1, "answers": 1, "words": 0, "reasons": 0}
    assert "GRACE HOPPER shouted" in before
    assert "GRACE HOPPER shouted" in repr(talked_about.snapshot())


def test_a_former_name_is_looked_for_as_well(talked_about):
    contact = talked_about.rows(select(t.contact.c.id).where(t.contact.c.key == "P-1"))[0].id
    talked_about.add(t.row_log, kind="contact", row=contact, body=json.dumps({"name": "Grace Hoppers"}), until=at(0))
    assert erase(talked_about)["mentions"]["notes"] == 2


def test_texts_of_other_customers_are_not_looked_through(talked_about):
    talked_about.customer("C-2")
    add_activity(
        talked_about.store, talked_about.definition, talked_about.act(), Done("C-2", "visit", None, "Grace Hopper")
    )
    assert erase(talked_about)["mentions"]["notes"] == 1


def test_a_name_in_a_script_without_blanks_is_found(talked_about):
    with talked_about.store.writing() as connection:
        connection.execute(update(t.contact).where(t.contact.c.key == "P-1").values(name="李雷", mail=None))
        connection.execute(update(t.answer).values(text="今天李雷说很好"))
    assert erase(talked_about)["mentions"]["answers"] == 1


def test_the_second_erasure_knows_no_name_to_look_for(talked_about):
    erase(talked_about)
    assert set(erase(talked_about)["mentions"].values()) == {0}
