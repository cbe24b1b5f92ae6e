"""Facts from files into both databases: what is new, what changed, what is refused, and that twice is once."""

from __future__ import annotations

import csv
import json
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

sys.path.insert(0, str(Path(__file__).parent))
from importing_project import LIFE, ZONE, Desk, counts, definition

from csflow.errors import StoreError, UsageError
from csflow.services.importing import files_of
from csflow.store import importing_apply, tables
from csflow.store.opening import open_store
from csflow.values import day


@pytest.fixture
def two(desk):
    """A desk with two customers and a contract each."""
    desk.bring("customers", "id,name,signed_on\nC1,Ann,2024-01-05\nC2,Bob,")
    desk.bring("contracts", "id,customer,starts_on,ends_on\nK1,C1,2024-01-10,2024-12-31\nK2,C2,2024-02-01,")
    desk.untouch()
    return desk


def test_new_customers_are_written_with_their_fields(desk):
    told = desk.bring("customers", "id,name,signed_on,segment,seats,trial\nC1,Ann,2024-01-05,chain,3,yes\nC2,Bob,,,,")
    assert counts(told) == (2, 2, 0, 0, 0, 0)
    signed = day("2024-01-05")
    assert desk.rows("customer", "key", "name", "signed_on", "happened") == [
        ("C1", "Ann", signed, signed),
        ("C2", "Bob", None, 0),
    ]
    assert desk.fields("customer.segment") == {"C1": "chain"}
    assert desk.fields("customer.seats") == {"C1": 3.0}
    assert desk.fields("customer.trial") == {"C1": 1.0}
    assert {row[0] for row in desk.rows("field_value", "happened")} == {0}


def test_the_same_file_twice_changes_nothing(desk):
    text_ = "id,name,segment\nC1,Ann,chain\nC2,Bob,"
    desk.bring("customers", text_)
    before = desk.dump()
    desk.untouch()
    assert counts(desk.bring("customers", text_)) == (2, 0, 0, 2, 0, 0)
    assert desk.dump() == before
    assert desk.touched() == set()
    assert desk.rows("row_log", "body") == desk.rows("field_log", "text") == []


def test_a_changed_row_keeps_its_former_version(desk):
    desk.bring("customers", "id,name,segment,seats\nC1,Ann,chain,1\nC2,Bob,single,2", on="2024-01-01")
    told = desk.bring("customers", "id,name,segment,seats\nC1,Anna,chain,1\nC2,Bob,chain,2", on="2024-02-01")
    assert counts(told) == (2, 0, 2, 0, 0, 0)
    assert desk.rows("customer", "key", "name") == [("C1", "Anna"), ("C2", "Bob")]
    (until, body) = next(row for row in desk.rows("row_log", "until", "body") if '"Ann"' in row[1])
    assert until == ZONE.end_of(day("2024-02-01"))
    assert json.loads(body)["name"] == "Ann"
    assert desk.rows("field_log", "text", "happened") == [("single", 0)]
    changed = [row for row in desk.rows("field_value", "text", "happened") if row[1]]
    assert changed == [("chain", day("2024-02-01"))]


def test_an_empty_cell_makes_a_field_unknown_and_an_absent_column_leaves_it(desk):
    desk.bring("customers", "id,segment,seats\nC1,chain,1")
    assert counts(desk.bring("customers", "id,seats\nC1,")) == (1, 0, 1, 0, 0, 0)
    assert desk.fields("customer.segment") == {"C1": "chain"}
    assert desk.fields("customer.seats") == {"C1": None}


def test_a_field_stated_again_is_newer_but_not_changed(desk):
    desk.bring("customers", "id,segment\nC1,chain", on="2024-01-01")
    assert counts(desk.bring("customers", "id,segment\nC1,chain", on="2024-03-01")) == (1, 0, 0, 1, 0, 0)
    assert desk.rows("field_value", "happened", "stated") == [(0, ZONE.end_of(day("2024-03-01")))]


def test_what_changed_is_touched_in_both_queues(two):
    two.bring("customers", "id,name\nC1,Anna\nC2,Bob", on="2024-06-01")
    assert {(queue, who) for queue, who, _ in two.touched()} == {(0, "C1"), (1, "C1")}
    assert {on for _, _, on in two.touched()} >= {0, day("2024-06-01")}


def test_a_customer_signed_after_the_last_pass_is_touched_on_that_day(desk):
    with desk.store.writing() as connection:
        connection.execute(
            tables.run.insert().values(verb="pass", as_of=ZONE.end_of(day("2024-03-01")), recorded=0, finished=1)
        )
    desk.bring("customers", "id,signed_on\nC1,2024-02-01\nC2,2024-04-01")
    assert {(who, on) for _, who, on in desk.touched()} == {("C1", 0), ("C2", day("2024-04-01"))}


def test_rejects_name_line_column_reason_and_the_row(desk):
    told = desk.bring(
        "customers",
        "id,name,signed_on,segment\n,Nobody,2024-01-01,\nC1,Ann,01/02/2024,\nC2,Bob,2024-01-01,chian\nC3,Cy,2024-01-01\n"
        "id,name,signed_on,segment\nC4,Di,2024-01-01,chain",
    )
    assert counts(told) == (6, 1, 0, 0, 5, 0)
    with Path(told.rejects).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["line"], row["column"]) for row in rows] == [
        ("2", "id"), ("3", "signed_on"), ("4", "segment"), ("5", ""), ("6", "")
    ]  # fmt: skip
    assert rows[1]["reason"] == "'01/02/2024' is not YYYY-MM-DD: give its form with `format:`"
    assert "did you mean chain?" in rows[2]["reason"]
    assert rows[3]["reason"] == "3 cells where the header has 4"
    assert rows[4]["reason"] == "the header once more"
    assert (rows[2]["id"], rows[2]["name"]) == ("C2", "Bob")
    assert sum(told.reasons.values()) == 5
    assert desk.rows("customer", "key") == [("C4",)]


def test_a_jsonl_line_that_cannot_be_read_is_one_refused_row(desk):
    text = '{"id": "C1", "name": "Ann"}\n{"id": "C2", \n[1]\n{"id": "C3", "name": "\\ud800"}\n{"id": "C4"}\n'
    told = desk.bring("customers", text, ending="jsonl")
    assert counts(told) == (5, 2, 0, 0, 3, 0)
    with Path(told.rejects).open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["line", "column", "reason", "id", "name"]
    assert rows[1] == ["2", "", "this line is not a JSON object", "", "", '{"id": "C2", ']
    assert rows[2] == ["3", "", "this line is not a JSON object", "", "", "[1]"]
    assert rows[3][2].startswith("half of a character")
    assert desk.rows("customer", "key") == [("C1",), ("C4",)]


def test_lines_that_could_not_be_read_are_refused_again_until_they_are_mended(desk):
    told = desk.bring("customers", '{"id": "C1"}\noops\n', ending="jsonl")
    again = desk.bring_file("customers", Path(told.rejects))
    assert counts(again) == (1, 0, 0, 0, 1, 0)
    assert again.reasons == {"2 cells where the header has 1": 1}
    Path(told.rejects).write_text("line,column,reason,id\n2,,this line is not a JSON object,C2\n")
    assert counts(desk.bring_file("customers", Path(told.rejects))) == (1, 1, 0, 0, 0, 0)


def test_a_rejects_file_is_imported_as_it_is_once_it_is_mended(desk):
    mapping = {
        "into": "customer", "with": {"delimiter": ";", "encoding": "cp1252"},
        "columns": {"id": "number", "name": "firm", "segment": "kind"}, "ignore": ["note"],
    }  # fmt: skip
    desk.definition = definition({"firms": mapping})
    path = desk.folder / "firms.csv"
    path.write_bytes("number;firm;kind;note\n1;Zoë;chian;x\n2;Bob;chain;y\n".encode("cp1252"))
    told = desk.bring_file("firms", path)
    assert counts(told) == (2, 1, 0, 0, 1, 0)
    refused = Path(told.rejects)
    assert counts(desk.bring_file("firms", refused)) == (1, 0, 0, 0, 1, 0)  # not mended yet
    refused.write_text(refused.read_text("utf-8").replace("1,Zoë,chian", "1,Zoë,chain"), "utf-8")
    assert counts(desk.bring_file("firms", refused)) == (1, 1, 0, 0, 0, 0)
    assert desk.rows("customer", "key", "name") == [("1", "Zoë"), ("2", "Bob")]
    path.write_bytes(path.read_bytes().replace(b"chian", b"chain"))
    assert counts(desk.bring_file("firms", path)) == (2, 0, 0, 2, 0, 0)  # the same rows, whichever way they came


def test_a_mended_row_without_an_id_is_the_row_of_the_mended_source(desk):
    desk.bring("customers", "id\nC1")
    rows = "customer,kind,at\nC1,visit,2024-13-01\nC1,visit,2024-02-01\n"
    told = desk.bring("activities", rows)
    refused = Path(told.rejects)
    refused.write_text(refused.read_text().replace("C1,visit,2024-13-01", "C1,visit,2024-03-01"))
    assert counts(desk.bring_file("activities", refused)) == (1, 1, 0, 0, 0, 1)
    assert counts(desk.bring("activities", rows.replace("2024-13-01", "2024-03-01"))) == (2, 0, 0, 2, 0, 2)


def test_a_rejects_file_is_never_complete(desk):
    told = desk.bring("contracts", "id,customer,starts_on\nK1,C1,2024-01-01")
    with pytest.raises(UsageError, match="lists refused rows, not all there are"):
        desk.bring_file("contracts", Path(told.rejects), complete=True)


def test_a_dry_run_leaves_the_rejects_of_the_last_import_alone(desk):
    told = desk.bring("customers", "id,signed_on\nC1,never\nC2,soon", dry_run=True)
    assert (told.rejected, told.rejects) == (2, None)
    assert sum(told.reasons.values()) == 2
    assert [path.name for path in desk.folder.iterdir() if "rejects" in path.name] == []
    kept = Path(desk.bring("customers", "id,signed_on\nC1,never").rejects)
    desk.bring("customers", "id,signed_on\nC1,2024-01-01", dry_run=True)
    assert "never" in kept.read_text()


def test_a_dry_run_writes_the_rejects_file_that_is_asked_for(desk):
    wanted = desk.folder / "wanted.csv"
    told = desk.bring("customers", "id,signed_on\nC1,never", dry_run=True, rejects=wanted)
    assert told.rejects == str(wanted)
    assert wanted.read_text().startswith("line,column,reason,id,signed_on\n2,signed_on,'never' is not YYYY-MM-DD")


def test_a_clean_import_removes_the_rejects_of_the_last(desk):
    told = desk.bring("customers", "id,signed_on\nC1,never")
    assert Path(told.rejects).exists()
    assert desk.bring("customers", "id,signed_on\nC1,2024-01-01").rejects is None
    assert not (desk.folder / "customers.csv.rejects.csv").exists()


def test_a_zero_byte_is_refused_on_both_databases(desk):
    path = desk.folder / "customers.csv"
    path.write_bytes(b"id,name\nC1,A\0n\nC2,Bob\n")
    assert counts(desk.bring_file("customers", path)) == (2, 1, 0, 0, 1, 0)


def test_a_key_seen_twice_counts_once_when_equal_and_conflicts_when_not(desk):
    told = desk.bring(
        "customers", "id,name,segment\nC1,Ann,chain\nC1,Ann,chain\nC1,Ann,single\nC2,Bob,\nC1,Other,chain"
    )
    assert counts(told) == (5, 2, 0, 1, 2, 0)
    assert desk.rows("customer", "key", "name") == [("C1", "Ann"), ("C2", "Bob")]
    assert desk.fields("customer.segment") == {"C1": "chain"}
    assert list(told.reasons) == ["id: conflict: this key came before with other content, and the first stands"]


def test_dangling_references_are_refused(two):
    told = two.bring(
        "usage",
        "customer,contract,feature,day,count\nC1,,f,2024-03-01,1\nC9,,f,2024-03-01,1\n,K2,f,2024-03-01,1\n"
        ",K9,f,2024-03-01,1\n,,f,2024-03-01,1\nC1,K2,f,2024-03-02,1",
    )
    assert counts(told) == (6, 2, 0, 0, 4, 0)
    assert set(told.reasons) == {
        "customer: there is no customer …",
        "contract: there is no contract …",
        "customer: names no customer",
        "customer: the row names two different customers",
    }
    assert {row[0] for row in two.rows("feature", "key")} == {"f"}


def test_a_contract_that_several_customers_have_does_not_say_whose_usage_it_is(two):
    two.bring("contracts", "id,customer,starts_on\nK1,C2,2024-05-01")
    told = two.bring("usage", "contract,feature,day,count\nK1,f,2024-03-01,1\nK2,f,2024-03-01,1")
    assert counts(told) == (2, 1, 0, 0, 1, 0)
    assert list(told.reasons) == ["contract: several customers have a contract …"]


def test_usage_without_ids_is_known_by_customer_feature_and_day(two):
    assert counts(two.bring("usage", "customer,feature,day,count\nC1,f,2024-03-01,1\nC1,g,2024-03-01,1")) == (
        2,
        2,
        0,
        0,
        0,
        0,
    )
    two.untouch()
    told = two.bring("usage", "customer,feature,day,count\nC1,f,2024-03-01,5\nC1,g,2024-03-01,1\nC2,f,2024-03-01,1")
    assert counts(told) == (3, 1, 1, 1, 0, 0)
    assert two.rows("usage", "count") == [(1.0,), (1.0,), (5.0,)]
    assert two.rows("usage_log", "count", "until") == [(1.0, ZONE.end_of(day("2024-06-01")))]
    assert two.touched() == {(0, "C1", 0), (0, "C2", 0)}


def test_usage_that_goes_over_to_another_customer_touches_both(two):
    two.bring("usage", "id,customer,feature,day\nU1,C1,f,2024-03-01")
    two.untouch()
    assert counts(two.bring("usage", "id,customer,feature,day\nU1,C2,f,2024-03-01")) == (1, 0, 1, 0, 0, 0)
    assert two.touched() == {(0, "C1", 0), (0, "C2", 0)}


def test_sources_do_not_overwrite_each_other(two):
    two.definition = definition({"web": {"into": "usage"}, "app": {"into": "usage"}})
    for name in ("web", "app"):
        assert counts(two.bring(name, "customer,feature,day,count\nC1,f,2024-03-01,1")) == (1, 1, 0, 0, 0, 0)
    assert len(two.rows("usage", "day")) == 2


def test_usage_outside_its_contract_and_of_days_to_come_is_suspicious_but_kept(two):
    told = two.bring(
        "usage",
        "contract,feature,day\nK1,f,2024-01-09\nK1,f,2024-01-10\nK1,f,2024-12-31\nK1,f,2025-01-01\nK2,f,2024-06-02",
        on="2024-06-01",
    )
    assert counts(told) == (5, 5, 0, 0, 0, 4)
    assert told.suspicions == {
        "lies outside its contract's dates": 1,
        "lies after the day of the import": 3,
    }


@pytest.mark.parametrize(
    ("how", "left", "merged"),
    [("sum", [(6.0, 9.0)], 2), ("first", [(1.0, 9.0)], 2), ("last", [(3.0, None)], 2), (None, [(1.0, 9.0)], 0)],
)
def test_on_duplicate_says_what_becomes_of_rows_with_one_key(two, how, left, merged):
    two.definition = definition({"web": {"into": "usage"} | ({"on_duplicate": how} if how else {})})
    text_ = "customer,feature,day,count,seconds\nC1,f,2024-03-01,1,9\nC2,f,2024-03-01,7,7\nC1,f,2024-03-01,2,\nC1,f,2024-03-01,3,"
    told = two.bring("web", text_)
    assert counts(told)[:2] == (4, 2)
    assert (told.merged, told.rejected) == (merged, 0 if how else 2)
    assert [row for row in two.rows("usage", "count", "seconds") if row[0] != 7.0] == left
    again = two.bring("web", text_)
    assert (again.new, again.changed, again.merged) == (0, 0, merged)


def test_a_contract_has_exclusive_end_minor_units_and_its_day(desk):
    desk.bring("customers", "id\nC1")
    desk.bring(
        "contracts",
        "id,customer,starts_on,ends_on,amount,currency,signed_on\n"
        "K1,C1,2024-01-01,2024-12-31,1200.50,,2023-12-01\nK2,C1,2025-01-01,,99,eur,\nK3,C1,2024-03-01,2024-02-01,1,,",
        on="2024-06-01",
    )
    assert desk.rows("contract", "key", "ends", "amount", "currency", "value", "happened") == [
        ("K1", day("2025-01-01"), 120050, None, 120050, day("2023-12-01")),
        ("K2", None, 9900, "EUR", 9900, day("2024-06-01")),
    ]


def test_a_contract_without_id_is_named_by_start_and_product(desk):
    desk.bring("customers", "id\nC1")
    text_ = "customer,starts_on,product\nC1,2024-01-01,base\nC1,2025-01-01,"
    assert counts(desk.bring("contracts", text_)) == (2, 2, 0, 0, 0, 0)
    assert desk.rows("contract", "key") == [("2024-01-01 base",), ("2025-01-01",)]
    assert counts(desk.bring("contracts", text_)) == (2, 0, 0, 2, 0, 0)


def test_amounts_of_another_currency_wait_for_their_rate(desk):
    desk.bring("customers", "id\nC1")
    desk.bring("rates", "currency,day,rate\nUSD,2024-01-10,0.9")
    desk.bring(
        "contracts",
        "id,customer,starts_on,amount,currency,signed_on\nA,C1,2024-01-09,10,USD,2024-01-09\n"
        "B,C1,2024-01-10,10.05,USD,2024-01-10\nC,C1,2024-01-15,10,USD,2024-01-15\nD,C1,2024-01-15,1000,JPY,2024-01-15",
    )
    assert desk.rows("contract", "key", "value") == [("A", None), ("B", 904), ("C", 900), ("D", None)]  # 904.5 → even
    desk.untouch()
    desk.bring("rates", "currency,day,rate\nUSD,2024-01-01,0.5\nJPY,2024-01-01,0.006\nUSD,2024-01-10,0.8")
    # What was unknown is filled, what was known stays; 1000 yen have no minor unit.
    assert desk.rows("contract", "key", "value") == [("A", 500), ("B", 904), ("C", 900), ("D", 600)]
    assert desk.touched() == {(0, "C1", 0), (1, "C1", 0)}


RENEWALS = [
    ("K1", "base", "2022-01-01", "2022-12-31", None),
    ("K2", "base", "2023-01-01", "2023-12-31", "K1"),
    ("K3", "base", "2024-01-01", "2024-12-31", "K2"),
    ("K4", "extra", "2024-01-01", "2024-12-31", None),
    ("K5", "base", "2024-06-01", "", "K2"),
    ("K6", "extra", "2025-03-01", "", "K4"),
    ("K7", "", "2023-05-01", "2023-06-30", None),
    ("K8", "", "2023-07-01", "", "K7"),
]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("chunk", [20_000, 3])
def test_what_a_contract_renews_is_found_whatever_the_order(desk, seed, chunk, monkeypatch):
    monkeypatch.setattr(importing_apply, "CHUNK", chunk)
    desk.bring("customers", "id\nC1\nC2")
    rows = [f"{key},{who},{product},{start},{end}" for who in ("C1", "C2") for key, product, start, end, _ in RENEWALS]
    random.Random(seed).shuffle(rows)
    head = "id,customer,product,starts_on,ends_on\n"
    desk.bring("contracts", head + "\n".join(rows[:5]))
    desk.bring("contracts", head + "\n".join(rows))
    expected = sorted([(key, renews, int(renews is not None)) for key, *_, renews in RENEWALS * 2], key=repr)
    found = desk.rows("contract", "key", "replaces", "inferred")
    assert [row[:2] for row in found] == [row[:2] for row in expected]


def test_a_source_that_says_what_it_replaces_is_believed(desk):
    desk.bring("customers", "id\nC1")
    desk.bring("contracts", "id,customer,starts_on,ends_on,replaces\nA,C1,2023-01-01,2023-12-31,\nB,C1,2024-01-01,,X")
    assert desk.rows("contract", "key", "replaces") == [("A", None), ("B", "X")]
    desk.definition = definition({"plain": {"into": "contract", "replaces": "none"}})
    desk.bring("plain", "id,customer,starts_on\nC,C1,2025-01-01")
    assert ("C", None) in desk.rows("contract", "key", "replaces")


def test_activities_and_answers_have_days_contacts_and_ids(two):
    two.bring("contacts", "id,customer,name,left\nP1,C1,Pat,no\nP2,C2,Kim,")
    told = two.bring(
        "activities",
        "contact,kind,at,person\nP1,visit,2024-03-01T10:00,li\nP1,visit,2024-03-01T10:00,li\nP9,call,2024-03-01,li",
    )
    assert counts(told) == (3, 1, 0, 1, 1, 1)
    assert told.suspicions == {"no id: recognised by its content": 1}
    assert two.rows("activity", "kind", "at", "person") == [
        ("visit", ZONE.end_of(day("2024-02-29")) + 1 + 36_000_000_000, "li")
    ]
    text_ = "id,customer,question,day,number\nA1,C1,nps,2024-03-01,7\nA2,C1,nps,2024-04-01,9\nA3,C2,nps,2024-02-01,3\nA4,C1,other,2024-05-01,1"
    assert counts(two.bring("answers", text_)) == (4, 4, 0, 0, 0, 0)
    assert two.fields("customer.nps") == {"C1": 9.0, "C2": 3.0}
    assert counts(two.bring("answers", text_)) == (4, 0, 0, 4, 0, 0)
    two.bring("answers", "id,customer,question,day,number\nA5,C1,nps,2024-03-15,1")
    assert two.fields("customer.nps")["C1"] == 9.0


def test_a_contact_must_belong_to_the_customer_the_row_names(two):
    two.bring("contacts", "id,customer\nP1,C1")
    told = two.bring("activities", "id,customer,contact,kind,at\n1,C2,P1,call,2024-01-01\n2,C1,P1,call,2024-01-01")
    assert counts(told) == (2, 1, 0, 0, 1, 0)


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


def test_complete_closes_what_the_file_lacks(two):
    everybody = "id,customer\n" + "\n".join(f"P{number},C1" for number in range(40))
    two.bring("contacts", everybody)
    two.untouch()
    told = two.bring("contacts", everybody.replace("P7,C1\n", ""), complete=True, on="2024-07-01")
    assert (told.closed, told.unchanged) == (1, 39)
    assert [row for row in two.rows("contact", "key", "left", "left_on") if row[1]] == [("P7", 1, day("2024-07-01"))]
    assert {who for _, who, _ in two.touched()} == {"C1"}
    again = two.bring("contacts", everybody.replace("P7,C1\n", ""), complete=True, on="2024-07-01")
    assert again.closed == 0


def test_a_complete_file_that_lacks_too_much_closes_nothing(two):
    everybody = "id,customer\n" + "\n".join(f"P{number},C1" for number in range(40))
    two.bring("contacts", everybody)
    with pytest.raises(StoreError, match=r"lacks 37 of 40 contacts that are open, more than max_missing \(5%\)"):
        two.bring("contacts", "id,customer\nP1,C1\nP2,C1\nP3,C1\nP99,C1", complete=True)
    assert len(two.rows("contact", "key")) == 40
    assert {row[0] for row in two.rows("contact", "left")} == {None}


def test_complete_contracts_end_on_the_day_before(two):
    two.definition = definition({"all": {"into": "contract", "max_missing": "50%"}})
    told = two.bring("all", "id,customer,starts_on\nK1,C1,2024-01-10", complete=True, on="2024-06-01")
    assert told.closed == 1
    assert ("K2", day("2024-06-01")) in two.rows("contract", "key", "ends")
    assert json.loads(two.rows("row_log", "kind", "body")[-1][1])["ends"] is None


def test_rejected_rows_mean_that_what_is_absent_is_not_known(two):
    two.bring("contacts", "id,customer\nP1,C1\nP2,C1")
    told = two.bring("contacts", "id,customer\nP1,C1\nP2,C9", complete=True)
    assert (told.closed, told.rejected) == (0, 1)
    assert "nothing was closed" in told.note


def test_complete_is_refused_where_nothing_can_be_closed(desk):
    with pytest.raises(UsageError, match="closes contracts and contacts"):
        desk.bring("customers", "id\nC1", complete=True)


def test_a_dry_run_tells_the_truth_and_leaves_nothing(two):
    before = two.dump()
    told = two.bring("usage", "customer,feature,day\nC1,f,2024-03-01\nC9,f,2024-03-01", dry_run=True)
    assert counts(told) == (2, 1, 0, 0, 1, 0)
    assert told.dry_run
    assert two.dump() == before
    assert two.touched() == set()
    assert two.rows("run", "verb") == [("import",)] * 2
    assert counts(two.bring("usage", "customer,feature,day\nC1,f,2024-03-01\nC9,f,2024-03-01")) == counts(told)


def test_the_source_notes_how_far_it_reaches(two):
    two.bring("usage", "customer,feature,day\nC1,f,2024-03-01\nC1,f,2024-02-01", on="2024-06-01")
    assert (day("2024-03-01"), ZONE.end_of(day("2024-06-01"))) in two.rows("source", "last_day", "imported")
    two.bring("usage", "customer,feature,day\nC1,f,2024-01-01", on="2024-06-02")
    assert (day("2024-03-01"), ZONE.end_of(day("2024-06-02"))) in two.rows("source", "last_day", "imported")


def test_columns_that_fit_nowhere_are_all_told_at_once(desk):
    with pytest.raises(UsageError) as caught:
        desk.bring("customers", "id,nam,sectior\nC1,Ann,x")
    assert str(caught.value).count("\n") == 1
    assert "customers.csv:1: nothing reads column 'nam' (did you mean name?)" in str(caught.value)


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ({"into": "custommer"}, "did you mean customer?"),
        ({"into": "customer", "colums": {}}, "did you mean columns?"),
        ({"into": "customer", "columns": {"id": "key"}}, "no column 'key'"),
        ({"into": "customer", "columns": {"id": "id", "sgment": "a"}}, "customer has no 'sgment' (did you mean segment?)"),
        ({"into": "customer", "columns": {"name": "id"}, "ignore": ["*"]}, "'id' is missing"),
        ({"into": "customer", "columns": {"id": {"colunm": "id"}}}, "did you mean column?"),
        ({"into": "customer", "columns": {"id": "=id **"}}, "cannot be read"),
        ({"into": "usage", "columns": {"customer": "id"}, "ignore": ["*"]}, "'feature' is missing"),
        ({"into": "customer", "on_duplicate": "both"}, "sum, last, first"),
        ({"into": "customer", "columns": ["id"]}, "columns are `name: column`, ignore a list of columns"),
        ({"into": "customer", "ignore": "a"}, "columns are `name: column`, ignore a list of columns"),
        ({"into": "contract", "max_missing": "some"}, "max_missing is a share such as 5%, not 'some'"),
        ({"into": "customer", "columns": {"id": {"column": "id", "values": "a"}}}, "values are `{cell: word}`"),
        ({"into": "customer", "columns": {"id": "id", "name": {"column": "a", "type": "word"}}}, "not 'word'"),
    ],
)  # fmt: skip
def test_a_mapping_that_cannot_work_is_refused(desk, mapping, says):
    desk.definition = definition({"x": mapping})
    with pytest.raises(UsageError) as caught:
        desk.bring("x", "id,a\nC1,1")
    assert says in str(caught.value)


def test_a_mapping_renames_computes_translates_and_ignores(desk):
    desk.definition = definition({"firms": {
        "into": "customer",
        "with": {"delimiter": ";"},
        "columns": {
            "id": "='F-' + number", "name": {"value": "Firm"}, "signed_on": {"column": "since", "format": "%d.%m.%Y"},
            "segment": {"column": "kind", "values": {"S": "single", "C": "chain"}}, "seats": "=rooms * 2",
        },
        "ignore": ["note"],
    }})  # fmt: skip
    told = desk.bring("firms", "number;since;kind;rooms;note\n7;31.01.2024;C;4;x\n8;01.02.2024;X;1;y")
    assert counts(told) == (2, 1, 0, 0, 1, 0)
    assert desk.rows("customer", "key", "name", "signed_on") == [("F-7", "Firm", day("2024-01-31"))]
    assert desk.fields("customer.segment") == {"F-7": "chain"}
    assert desk.fields("customer.seats") == {"F-7": 8.0}


def test_an_unknown_import_is_told_the_nearest(desk):
    with pytest.raises(UsageError, match="no import 'custmers' \\(did you mean customers\\?\\)"):
        desk.bring("custmers", "id\nC1")


def test_an_unknown_import_is_told_the_mappings_and_the_kinds_apart(desk):
    desk.definition = definition({"customers": {"into": "customer"}, "crm": {"into": "contact"}})
    with pytest.raises(UsageError) as caught:
        desk.bring("custmer", "id\nC1")
    assert str(caught.value) == (
        "there is no import 'custmer' (did you mean customer?); mappings of the project: customers, crm; "
        "kinds, for files with csflow's own columns: customer, contracts, contacts, people, features, rates, usage, "
        "activities, answers, triggers, cases"
    )
    desk.definition = definition()
    with pytest.raises(UsageError, match=r"mappings of the project: none; kinds, .*: customers, contracts, "):
        desk.bring("custmer", "id\nC1")


def test_files_of_a_folder_come_in_the_order_of_dependence(tmp_path):
    for name in (
        "usage.csv",
        "contracts.csv",
        "customers.csv",
        "people.jsonl",
        "notes.csv",
        "customers.csv.rejects.csv",
        "crm.csv",
    ):
        (tmp_path / name).write_text("x")
    (tmp_path / "events").mkdir()
    for name in ("b.csv", "a.csv", "a.csv.rejects.csv"):
        (tmp_path / "events" / name).write_text("x")
    project = definition({
        "web": {"into": "usage", "with": {"path": "events/*.csv"}}, "crm": {"into": "customer", "with": {"path": "crm.csv"}},
        "evil": {"into": "usage", "with": {"path": "../*.csv"}},
    })  # fmt: skip
    assert [(name, path.name) for name, path in files_of(project, tmp_path)] == [
        ("person", "people.jsonl"), ("crm", "crm.csv"), ("customer", "customers.csv"), ("contract", "contracts.csv"),
        ("web", "a.csv"), ("web", "b.csv"), ("usage", "usage.csv"),
    ]  # fmt: skip


def test_rows_in_chunks_of_any_size_come_to_the_same(database, tmp_path, monkeypatch):
    monkeypatch.setattr(importing_apply, "CHUNK", 2)
    store = open_store(database, project=None)
    desk = Desk(store, tmp_path)
    head = "id,name,segment\n"
    rows = [f"C{number % 7},Name{number % 14 // 7},chain" for number in range(20)]
    told = desk.bring("customers", head + "\n".join(rows))
    # 7 keys; the first of each stands; of 13 others those with its own content are equal.
    equal = sum(1 for number in range(7, 20) if number % 14 // 7 == (number % 7) % 14 // 7)
    assert counts(told) == (20, 7, 0, equal, 13 - equal, 0)
    store.close()


cells = st.tuples(st.sampled_from("AB"), st.sampled_from("fg"), st.integers(1, 3), st.sampled_from(["", "1", "2", "x"]))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(files=st.lists(st.lists(cells, max_size=8), min_size=1, max_size=3))
def test_usage_files_come_to_what_one_row_after_the_other_would(tmp_path_factory, files):
    """The oracle: a dictionary; the first row of a key in a file stands, a later file replaces."""
    folder = tmp_path_factory.mktemp("import")
    store = open_store(None, project=folder)
    desk = Desk(store, folder)
    desk.bring("customers", "id\nA\nB")
    held: dict[tuple[str, str, int], str] = {}
    for rows in files:
        seen: dict[tuple[str, str, int], str] = {}
        want = [len(rows), 0, 0, 0, 0, 0]
        for who, feature, on, number in rows:
            key = (who, feature, on)
            if number == "x" or seen.get(key, number) != number:
                want[4] += 1
                continue
            want[3 if held.get(key) == number else 2 if key in held and key not in seen else 1] += 1
            seen[key] = held[key] = number
        lines = [f"{who},{feature},2024-01-0{on},{number}" for who, feature, on, number in rows]
        told = desk.bring("usage", "customer,feature,day,count\n" + "\n".join(lines))
        assert counts(told) == tuple(want)
    expected = sorted((float(number) if number else None for number in held.values()), key=repr)
    assert [row[0] for row in desk.rows("usage", "count")] == expected
    store.close()


PROGRAM = """
import os, signal, sys
sys.path[:0] = {path!r}
from pathlib import Path
from sqlalchemy import event
from importing_project import Desk
from csflow.store import importing_apply
from csflow.store.opening import open_store
importing_apply.CHUNK = 3
store = open_store({url!r}, project=None)
left = [{commits}]
@event.listens_for(store.engine, "commit")
def die(connection):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
Desk(store, None).bring_file("contracts", Path({file!r}))
"""


def test_an_import_killed_at_any_commit_and_run_again_is_whole(database, tmp_path):
    store = open_store(database, project=None)
    desk = Desk(store, tmp_path)
    desk.bring("customers", "id\nC1\nC2")
    rows = [
        f"K{number},C{number % 2 + 1},2024-0{number % 9 + 1}-01,2024-0{number % 9 + 1}-20,{number}"
        for number in range(10)
    ]
    file = tmp_path / "contracts.csv"
    file.write_text("id,customer,starts_on,ends_on,amount\n" + "\n".join(rows) + "\n")
    desk.bring_file("contracts", file)
    whole = desk.dump()
    seen = set()
    for commits in range(12):
        with store.writing() as connection:
            connection.execute(tables.contract.delete())
        program = PROGRAM.format(path=[str(Path(__file__).parent)], url=database, file=str(file), commits=commits)
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert ended.returncode in {0, -signal.SIGKILL}, ended.stderr
        seen.add(len(desk.rows("contract", "key")))
        desk.bring_file("contracts", file)
        assert desk.dump() == whole
        if ended.returncode == 0:
            break
    assert ended.returncode == 0
    assert seen == {0, 3, 6, 9, 10}
    store.close()


def test_no_temporary_table_is_left_behind(two):
    with pytest.raises(UsageError):
        two.bring("usage", "customer,feature,day,colour\nC1,f,2024-03-01,red")
    two.bring("usage", "customer,feature,day\nC1,f,2024-03-01")
    listed = "sqlite_temp_master" if two.store.dialect == "sqlite" else "pg_tables where tablename like 'staged%'"
    with two.store.reading() as connection:
        assert connection.execute(text(f"select count(*) from {listed}")).scalar() == 0


def test_the_number_of_statements_does_not_grow_with_the_rows(two):
    from sqlalchemy import event

    numbers = []
    said = []
    event.listen(two.store.engine, "before_cursor_execute", lambda *told: said.append(told[2]))
    for rows in (10, 2000):
        said.clear()
        lines = [f"C1,f{number % 5},{2000 + number // 300}-01-{number % 28 + 1:02},1" for number in range(rows)]
        two.bring("usage", "customer,feature,day,count\n" + "\n".join(dict.fromkeys(lines)))
        numbers.append(len(said))
    assert abs(numbers[1] - numbers[0]) <= 3, numbers


def test_memory_does_not_grow_with_the_file(database, tmp_path):
    """Four times the rows, at most a few megabytes more."""
    path = [str(Path(__file__).parent)]
    program = (
        f"import sys, resource; sys.path[:0] = {path!r}\n"
        "from pathlib import Path; from importing_project import Desk; from csflow.store.opening import open_store\n"
        f"store = open_store({database!r}, project=None); desk = Desk(store, Path({str(tmp_path)!r}))\n"
        "desk.bring('customers', 'id\\n' + '\\n'.join(f'C{n}' for n in range(50)))\n"
        "name = Path(sys.argv[1]); desk.bring_file('usage', name)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)\n"
    )
    used = []
    for number, rows in enumerate((20_000, 80_000)):
        file = tmp_path / f"usage{number}.csv"
        with file.open("w") as out:
            out.write("id,customer,feature,day,count\n")
            out.writelines(f"U{n},C{n % 50},f{n % 9},2024-01-{n % 28 + 1:02},{n % 7}\n" for n in range(rows))
        ended = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True)
        used.append(int(ended.stdout))
    assert used[1] - used[0] < 40, used
    assert file.stat().st_size > 1_000_000
