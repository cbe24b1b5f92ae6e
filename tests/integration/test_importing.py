"""Facts from files into both databases: what is new, what changed, what belongs to what, and that twice is once."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from importing_project import ZONE, counts, definition

from csflow.errors import StoreError, UsageError
from csflow.store import importing_apply, tables
from csflow.values import day


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
    assert told.suspicious_lines == {
        "lies outside its contract's dates": [2],
        "lies after the day of the import": [4, 5, 6],
    }


def test_less_than_nothing_is_suspicious_but_kept(two):
    told = two.bring(
        "usage", "customer,feature,day,count,seconds\nC1,f,2024-03-01,-5,2\nC1,f,2024-03-02,0,-1\nC1,f,2024-03-03,1,"
    )
    assert (counts(told), told.suspicious_lines) == ((3, 3, 0, 0, 0, 2), {"less than nothing": [2, 3]})
    told = two.bring("contract", "id,customer,starts_on,amount\nK8,C1,2025-01-01,-10\nK9,C1,2026-01-01,0")
    assert told.suspicious_lines == {"less than nothing": [2]}


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


def test_an_amount_with_decimals_that_its_currency_has_not_is_refused_and_never_another_amount(two):
    two.definition = definition({"monthly": {"into": "contract", "columns": {
        "id": "id", "customer": "customer", "starts_on": "from", "amount": "=price * 12"}}})  # fmt: skip
    told = two.bring(
        "contract",
        "id,customer,starts_on,amount,currency\nA,C1,2024-01-01,1.234,EUR\nB,C1,2025-01-01,1.2300,EUR\n"
        "C,C1,2026-01-01,99.5,JPY\nD,C1,2027-01-01,1.234,KWD",
    )
    assert counts(told) == (4, 2, 0, 0, 2, 0)
    refused = Path(told.rejects).read_text("utf-8").splitlines()[1:]
    assert [line.split(",")[:2] for line in refused] == [["2", "amount"], ["4", "amount"]]
    assert "'1.234' has more decimals than EUR (2): round it, or write thousands without a sign" in refused[0]
    assert [row for row in two.rows("contract", "key", "amount") if row[0] in "ABCD"] == [("B", 123), ("D", 1234)]
    computed = two.bring("monthly", "id,customer,from,price\nE,C1,2028-01-01,8.3333")
    assert (computed.new, computed.rejected) == (1, 0)
    assert [row for row in two.rows("contract", "key", "amount") if row[0] == "E"] == [("E", 10000)]  # 99.9996


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
