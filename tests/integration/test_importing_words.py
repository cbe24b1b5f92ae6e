"""Words and cases from files: whom they are about, and what waits for the next pass."""

from __future__ import annotations

from dataclasses import replace

import pytest
from importing_project import LIFE, counts, definition
from sqlalchemy import select

from csflow.store import tables


def test_triggers_wait_in_the_inbox_with_their_fields(two):
    two.definition = definition({"ends": {"into": "trigger", "columns": {
        "id": "no", "name": {"column": "back", "values": {True: "complain", False: "cancel"}}, "customer": "who",
        "at": "when", "cause": "why"}}})  # fmt: skip
    text_ = "no,who,when,back,why\nE1,C1,2024-03-01,False,price\nE2,C2,2024-03-02,True,\nE3,C2,2024-03-02,maybe,"
    told = two.bring("ends", text_)
    assert counts(told) == (3, 2, 0, 0, 1, 0)
    assert "did you mean" in "".join(told.reasons) or "is not one of" in "".join(told.reasons)
    assert two.rows("inbox", "name", "kind", "ref", "fields") == [
        ("cancel", "customer", "E1", '{"cause": [null, "price"]}'),
        ("complain", "customer", "E2", None),
    ]
    assert counts(two.bring("ends", text_)) == (3, 0, 0, 2, 1, 0)


def test_a_trigger_for_a_case_finds_it_by_its_key(two):
    with two.store.writing() as connection:
        who = connection.execute(select(tables.customer.c.id).where(tables.customer.c.key == "C1")).scalar()
        connection.execute(
            tables.case.insert().values(
                flow="life", subject=who, customer=who, number=2, key="", stage="on", stay=1, opened_at=0, entered_at=0,
                seq=1, version=1, definition="h",
            )
        )  # fmt: skip
    told = two.bring(
        "triggers", "name,case,at\ncancel,life/C1/2,2024-03-01\ncancel,life/C1/3,2024-03-01\ncancel,life,2024-03-01"
    )
    assert counts(told)[:5] == (3, 1, 0, 0, 2)
    assert two.rows("inbox", "name", "kind") == [("cancel", "case")]


def a_case(connection, flow, subject, customer, number=1):
    connection.execute(
        tables.case.insert().values(
            flow=flow, subject=subject, customer=customer, number=number, key=f"{number}", stage="on", stay=1, seq=1,
            opened_at=0, entered_at=0, version=1, definition="h",
        )
    )  # fmt: skip


def about(kind, name):
    return replace(LIFE, name=name, subject=kind, base=name)


@pytest.fixture
def many_kinds(desk):
    """C1 and C2 each have a contract K1, C1 has K2 too; each has a renewal numbered 1; and one flow about each kind."""
    flows = {"life": LIFE, "renewal": about("contract", "renewal"), "greeting": about("contact", "greeting")}
    flows |= {"coaching": about("person", "coaching"), "program": about("organisation", "program")}
    desk.definition = definition(flows=flows)
    desk.bring("customers", "id\nC1\nC2")
    desk.bring("contracts", "id,customer,starts_on\nK1,C1,2024-01-01\nK2,C1,2024-01-01\nK1,C2,2024-01-01")
    desk.bring("contacts", "id,customer\nP1,C2")
    desk.bring("people", "id\nli")
    with desk.store.writing() as connection:
        connection.execute(tables.organisation.insert().values(key="vendor"))
        for row in connection.execute(select(tables.contract)).all():
            a_case(connection, "renewal", row.id, row.customer)
        for row in connection.execute(select(tables.customer)).all():
            a_case(connection, "life", row.id, row.id)
        contact = connection.execute(select(tables.contact)).one()
        a_case(connection, "greeting", contact.id, contact.customer)
        a_case(connection, "coaching", connection.execute(select(tables.person.c.id)).scalar(), None)
        a_case(connection, "program", connection.execute(select(tables.organisation.c.id)).scalar(), None)
    return desk


def spoken_to(desk):
    """Of each word in the inbox the flow of its case, its customer and the id of the case's subject."""
    inbox, c = tables.inbox.c, tables.case.c
    with desk.store.reading() as connection:
        keys = dict(connection.execute(select(tables.customer.c.id, tables.customer.c.key)).all())
        contracts = dict(connection.execute(select(tables.contract.c.id, tables.contract.c.key)).all())
        rows = connection.execute(select(inbox.kind, inbox.customer, c.flow, c.subject).where(c.id == inbox.subject))
        return sorted(
            (row.kind, row.flow, keys.get(row.customer), contracts[row.subject] if row.flow == "renewal" else "")
            for row in rows
        )


def test_a_trigger_names_the_case_of_a_contract_as_people_write_it(many_kinds):
    told = many_kinds.bring(
        "triggers",
        "name,case,at\ncancel,renewal/C1/K1/1,2024-03-01\ncancel,renewal/C2/K1/1,2024-03-01\n"
        "cancel,renewal/C1/K2/1,2024-03-02\ncancel,life/C1/1,2024-03-01",
    )
    assert counts(told)[:5] == (4, 4, 0, 0, 0), told.reasons
    assert spoken_to(many_kinds) == [
        ("case", "life", "C1", ""), ("case", "renewal", "C1", "K1"), ("case", "renewal", "C1", "K2"),
        ("case", "renewal", "C2", "K1"),
    ]  # fmt: skip


def test_the_id_of_a_contract_alone_names_its_case_where_one_customer_has_it(many_kinds):
    told = many_kinds.bring(
        "triggers", "name,case,at\ncancel,renewal/K2/1,2024-03-01\ncancel,renewal/K1/1,2024-03-01\n"
        "cancel,renewal/C1/1,2024-03-01\ncancel,renewal/C1/K1/2,2024-03-01",
    )  # fmt: skip
    assert counts(told)[:5] == (4, 1, 0, 0, 3)
    assert spoken_to(many_kinds) == [("case", "renewal", "C1", "K2")]
    assert "case: say whose contract it is, as FLOW/CUSTOMER/CONTRACT/NUMBER: several customers have …" in told.reasons
    assert told.reasons["case: there is no case …"] == 2


def test_a_trigger_names_the_case_of_a_contact_a_colleague_and_the_vendor(many_kinds):
    told = many_kinds.bring(
        "triggers", "name,case,at\ncancel,greeting/P1/1,2024-03-01\ncancel,coaching/li/1,2024-03-01\n"
        "cancel,program/vendor/1,2024-03-01",
    )  # fmt: skip
    assert counts(told)[:5] == (3, 3, 0, 0, 0), told.reasons
    assert spoken_to(many_kinds) == [
        ("case", "coaching", None, ""), ("case", "greeting", "C2", ""), ("case", "program", None, ""),
    ]  # fmt: skip


def test_a_trigger_that_names_a_customer_beside_anothers_case_is_refused(many_kinds):
    told = many_kinds.bring("triggers", "name,customer,case,at\ncancel,C2,renewal/C1/K1/1,2024-03-01")
    assert told.reasons == {"customer: the row names two different customers": 1}


def test_an_imported_case_opens_and_moves(two):
    two.definition = definition({"tickets": {"into": "case", "columns": {
        "id": "id", "flow": "='support'", "customer": "who", "opened_at": "opened", "at": "closed", "stage": "='done'",
        "priority": "priority", "score": "score"}}})  # fmt: skip
    text_ = "id,who,opened,closed,priority,score\nT1,C1,2024-03-01,2024-03-05,high,4\nT2,C2,2024-03-02,,low,\nT3,C1,2024-03-09,2024-03-01,low,"
    told = two.bring("tickets", text_)
    assert counts(told) == (3, 2, 0, 0, 1, 0)
    assert list(told.reasons) == ["at: moved before it was opened"]
    assert two.rows("inbox", "ref", "name", "stage", "fields", "case_key") == [
        ("T1", "move", "done", '{"score": [4.0, null]}', "T1"),
        ("T1", "open", "open", '{"priority": [null, "high"]}', "T1"),
        ("T2", "open", "open", '{"priority": [null, "low"]}', "T2"),
    ]
    assert counts(two.bring("tickets", text_)) == (3, 0, 0, 2, 1, 0)
    later = two.bring("tickets", text_.replace("T2,C2,2024-03-02,,low,", "T2,C2,2024-03-02,2024-03-04,low,2"))
    assert counts(later) == (3, 0, 1, 1, 1, 0)
    assert len(two.rows("inbox", "ref")) == 4
