"""Reading expressions: what is refused, with which words and where, and what an expression says of itself."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest

from csflow.errors import ExpressionError
from csflow.flow import nodes as n
from csflow.flow.expressions import bands, choose, compile_expression, conjunction, weights
from csflow.flow.names import FlowNames, Names
from csflow.flow.types import BOOLEAN, DATE, MONEY, NUMBER, SHARE, TEXT, TIME, Catalogue, SubjectKind, Type
from csflow.values import Length

GRADE = Type("choice", ("A", "B", "C"))
METRICS = {"usage.depth": SHARE, "usage.active_days": NUMBER, "customer.grade": GRADE, "health.score": NUMBER}
CATALOGUE = Catalogue({
    "customer": SubjectKind("customer", {"name": TEXT, "signed_on": DATE, "amount": MONEY}),
    "contract": SubjectKind("contract", {"starts_on": DATE, "ends_on": DATE, "amount": MONEY, "renewed": BOOLEAN}),
    "contact": SubjectKind("contact", {"left": BOOLEAN}),
    "person": SubjectKind("person", {"name": TEXT}),
    "activity": SubjectKind("activity", {"kind": TEXT, "at": TIME}),
    "task": SubjectKind("task", {"name": TEXT}),
})  # fmt: skip
NAMES = Names(
    CATALOGUE,
    currency="CNY",
    fields={"customer": {"nps": (NUMBER, "60 days")}, "contact": {"level": (NUMBER, None)}},
    metrics=dict.fromkeys(METRICS, ("customer", None)) | {"revenue.rate": ("book", None)},
    metric_type=lambda name: METRICS.get(name, SHARE),
    flows={
        "lifecycle": FlowNames("customer", "lifecycle", ("start", "growth", "maturity"), {}, ("m1",), clock=True),
        "complaint": FlowNames("customer", "complaint", ("new", "done"), {"cause": GRADE}),
    },
    vars={"core": (SHARE, 0.5), "few": (NUMBER, 3.0), "wait": (Type("length"), Length(14, "days"))},
    activities=("visit",),
)


def read(text, *, subject="customer", flow="lifecycle", use="guard", expect=BOOLEAN):
    return compile_expression(text, NAMES, subject=subject, flow=flow, use=use, expect=expect)


def refusal(text, **where):
    with pytest.raises(ExpressionError) as caught:
        read(text, **where)
    return str(caught.value), caught.value.offset


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        (
            "usage.dept >= 50% and usage.active_days > 3",
            0,
            "unknown fact 'usage.dept': did you mean 'usage.depth'?",
        ),
        ("open.complaint = 1", 0, "cannot read 'open.complaint = 1' (use == to compare)"),
        ("usage.depth >= 60", 15, "usage.depth is a share between 0 and 1: did you mean 60%?"),
        ("contract.amount >= 50000", 0, "cannot compare a money with a number: write money(50000)"),
        ("[c for c in contract]", 0, "ListComp is not in the language"),
        ("until(contract.ends_on) <= 90", 0, "cannot compare a length with a number: write days(…)"),
    ],
)
def test_the_wrong_projects_are_refused_in_the_expected_words(text, offset, message):
    assert refusal(text) == (message, offset)


def test_all_impossible_choices_of_one_expression_are_told_at_once():
    with pytest.raises(ExpressionError) as caught:
        read("customer.grade == 'D' and lifecycle.stage in ('grwoth', 'maturity')")
    assert (str(caught.value), caught.value.offset) == ("'customer.grade' is never 'D'", 18)
    assert caught.value.also == [("'lifecycle.stage' is never 'grwoth': did you mean 'growth'?", 46)]


@pytest.mark.parametrize(
    "text",
    [
        "customer.__class__", "customer.name.__class__.__bases__", "().__class__", "__import__('os').system('ls')",
        "9**9**9 > 1", "lambda: true", "[1 for x in 'a']", "{x for x in 'a'}", "f'{customer.name}' == 'a'",
        "(x := 1) > 0", "print('a')", "open('/etc/passwd')", "usage.depth[0] > 1", "usage.depth if true else 1",
        "usage.depth % 2 > 1", "usage.depth // 2 > 1", "usage.depth @ 2 > 1", "1 < 2 is not known", "...", "b'a' == 'a'",
        "1j > 0", "max(*customer.name) > 1", "max(a=1, b=2) > 1", "yield", "await customer.name", "True", "None",
        "{'a': 1}", "~1 > 0", "+1 > 0", "'a' 'b'.join('c') == 'x'", "eval('1')", "since.__call__(today) > days(1)",
        "days(1)(2) > 1", "customer", "period", "''", "", "  ", "\x00", "true\x00", "true; true", "import os", "true # no",
        "customer.name == 'a\\x00'", "customer.name == '\\ud800'", "usage.depth > 10%%", "10%20% > 1%", "1 << 9 > 2", "0 in []", "1_0e400 > 1", "1e16 > 1", "\ud800 == 'a'",
        "'\\d' == customer.name", "80and true", "true and", "((true)", "customer..name == 'a'", 'customer.name == "a',
    ],
)  # fmt: skip
def test_what_is_not_the_language_is_an_expression_error(text):
    refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "not " * 490 + "true", "(" * 300 + "true" + ")" * 300, "-" * 1900 + "1 > 0", "x" * 1_000_000,
        "(" * 900 + ")" * 900, "default(" * 200 + "true" + ", true)" * 200, "a." * 900 + "b", "1+" * 900 + "1 > 0",
        "max(1, " * 200 + "1" + ")" * 200 + " > 1", "true and (" * 150 + "true" + ")" * 150, "[" * 1000, "'" * 1999,
    ],
)  # fmt: skip
def test_huge_and_deep_texts_are_refused_at_once(text):
    began = time.perf_counter()
    refusal(text)
    assert time.perf_counter() - began < 1


def test_what_is_just_not_too_deep_is_read():
    assert read("not " * 40 + "true").type == BOOLEAN


def test_min_and_max_are_nested_four_deep_at_most():
    read("max(1, min(2, max(3, min(4, 5)))) > 1")
    assert "nested at most 4 deep" in refusal("max(1, min(2, max(3, min(4, max(5, 6))))) > 1")[0]


def test_products_are_bounded_so_that_no_double_overflows():
    read("1" + " * health.score" * 8 + " > 1")
    assert "at most 8 multiplications" in refusal("1" + " * health.score" * 9 + " > 1")[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("contract.ends_on", "a condition is needed here, this is a date: write `… is known`"),
        ("milestones.m1", "a condition is needed here, this is a time: write `… is known`"),
        ("usage.active_days", "a condition is needed here, this is a number"),
        ("customer.name > 'a'", "text, choices and yes/no have no order: only == and !="),
        ("contract.renewed > false", "text, choices and yes/no have no order: only == and !="),
        ("true > 1.5", "cannot compare a boolean with a number"),
        ("'10' < 5", "cannot compare a text with a number"),
        ("usage.active_days >= 'ten'", "cannot compare a number with a text"),
        ("'5%' < usage.depth", "cannot compare a share with a text"),
        ("customer.grade > 'A'", "text, choices and yes/no have no order: only == and !="),
        ("contract.amount + 5 > money(1)", "cannot add a money and a number: write money(…)"),
        ("contract.amount * contract.amount > money(1)", "cannot multiply money by money"),
        ("5 / contract.amount > 1", "cannot divide a number by money"),
        ("customer.name + 'a' == 'b'", "cannot calculate with a text"),
        ("contract.ends_on == '2026-02-30'", "'2026-02-30' is not a date: write '2026-01-31'"),
        ("contract.ends_on == 5", "cannot compare a date with a number"),
        ("today == now", "cannot compare a date with a time"),
        ("activity.last_visit > '2026-01-01'", "a time is compared with since(…), until(…), now or another time"),
        ("since(contract.ends_on)", "a condition is needed here, this is a length"),
        ("since(contract.ends_on) > since(contract.starts_on)",
         "since() and until() are compared with a length: days(14), months(3)"),
        ("contract.ends_on - contract.starts_on > months(3)",
         "months never compare with days except through since() and until()"),
        ("since(usage.depth) > days(1)", "since(…) takes a date or a time, not a share"),
        ("count(contract, contract.ends_on + months(1) > contract.starts_on) > 0",
         "months are added to a date only where it is compared with today, now or a period"),
        ("months(1.5) > days(1)", "months(…) takes a whole number from 0"),
        ("since(today) > months(99999999)", "'99999999 months' is too long: at most 10000 months"),
        ("count(contract, count(contact) > 0) > 0", "counts are not nested"),
        ("count(contracts) > 0", "'contracts' cannot be counted: did you mean 'contract'?"),
        ("count(customer) > 0", "'customer' cannot be counted"),
        ("sum(contract, contract.renewed) > 1", "sum(…) goes over numbers, not over a boolean"),
        ("count(contact, has_been(contact.level > 1, days(3))) > 0", "has_been() and first_time() do not stand inside a count"),
        ("has_been(today > '2026-01-01', days(3))", "what is watched over time speaks of stored facts only, not of today"),
        ("days(customer.nps) > days(1)", "a number, or a vars.… that is one, stands here"),
        ("-vars.wait > days(1)", "a sign stands before a number"),
        ("-true", "a sign stands before a number"),
        ("contract.ends_on + 5 > today", "cannot calculate with a date"),
        ("contract.ends_on * days(5) > today", "cannot calculate with a date"),
        ("usage.depth in (5%, usage.depth)", "a list holds constants"),
        ("customer.grade == true", "cannot compare a choice with a boolean"),
        ("ago(usage.depth, days(3)) > 5%", "ago(…) stands in metrics only: give it a name under `metrics:`"),
        ("has_been(has_been(usage.depth > 1%, days(1)), days(2))", "has_been() and first_time() are not nested"),
        ("has_been(since(customer.signed_on) > days(1), days(2))",
         "'customer.signed_on' is not stored: only metrics and fields can be watched over time"),
        ("has_been(usage.depth > 1%, 3)", "a length stands here: days(14), months(3)"),
        ("recorded(today) < now", "recorded(…) takes a metric or a field"),
        ("under(complaint.cause, 'X')", "no branch 'X'"),
        ("quarter(usage.depth) == 1", "quarter(…) takes a date, not a share"),
        ("days_between(today, usage.depth) > 1", "a date is needed here, this is a share"),
        ("max(usage.active_days, usage.depth) > 1", "min(…) and max(…) take numbers or dates of one type"),
        ("contract.amount > money(19.999)", "'19.999' has more decimals than CNY (2): round it, or write thousands without a sign"),
        ("contract.amount > money(0.5, 'JPY')", "'0.5' has more decimals than JPY (0): round it, or write thousands without a sign"),
        ("contract.amount > money(5, 'dollar')", "a currency is three letters in quotes: money(100, 'USD')"),
        ("contract.ends_on in period", "`period` is known in book metrics only"),
        ("contract.ends_on in today", "after `in` stands a list: ('a', 'b')"),
        ("usage.depth is true", "after `is` stands `known` or `unknown`"),
        ("revenue.rate > 5%", "'revenue.rate' belongs to a book: it can only be read in a report or goal"),
        ("contact.level == 1", "'contact.level' is not one fact here: count over contact, or read it in a rule about a contact"),
        ("customer.nmae == 'x'", "unknown fact 'customer.nmae': did you mean 'customer.name'?"),
        ("lifecycle.stage == start", "'start' is not a fact: a name has a dot, a text stands in quotes"),
        ("usage.depth => 5%", "cannot read 'usage.depth => 5%' (write >=)"),
        ("usage.depth =< 5%", "cannot read 'usage.depth =< 5%' (write <=)"),
        ("customer.name = '=>'", "cannot read 'customer.name = '=>'' (use == to compare)"),
        ("true && true", "cannot read 'true && true' (write and, or, not)"),
        ("customer.name == “x”", "cannot read 'customer.name == “x”': “ (U+201C) is not \""),
        ("since（x） > 1", "cannot read 'since（x） > 1': （ (U+FF08) is not ("),
        ("sinse(today) > days(1)", "no function 'sinse': did you mean 'since'?"),
        ("since(today, now) > days(1)", "since(…) takes 1 argument"),
        ("not_there.at_all", "unknown fact 'not_there.at_all'"),
        ("default(customer.grade, 5) == 'A'", "a choice is needed here, this is a number"),
        ("default(customer.grade, true) == 'A'", "a choice is needed here, this is a boolean"),
        ("default(customer.grade, 5%) == 'A'", "a choice is needed here, this is a share"),
        ("default(customer.name, 5) == 'A'", "a text is needed here, this is a number"),
        ("default(usage.depth, 'low') > 5%", "a share is needed here, this is a text"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_in_one_line(text, message):
    assert refusal(text)[0] == message


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("vars.nope > 1", ""),  # not tasks.open
        ("vars.cor > 1%", ": did you mean 'vars.core'?"),
        ("tasks.opened > 1", ": did you mean 'tasks.open'?"),
        ("complaint.number_ > 1", ": did you mean 'complaint.number'?"),  # not case.number
        ("usage.amount > 1", ""),  # not customer.amount
        ("customr.name == 'a'", ": did you mean 'customer.name'?"),  # the prefix is the slip
        ("vars.nmae == 'a'", ""),
    ],
)
def test_a_slip_is_looked_for_among_the_names_of_the_same_prefix(text, hint):
    message = refusal(text)[0]
    assert message == f"unknown fact '{text.split()[0]}'{hint}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ago(customer.nps, days(3)) > 5", "ago(…) takes a metric"),
        ("usage.depth in period", "only a date or a time lies in a period, not a share"),
    ],
)
def test_what_does_not_fit_in_a_metric_is_told_in_one_line(text, message):
    assert refusal(text, use="metric")[0] == message


@pytest.mark.parametrize(
    "text",
    [
        "default(customer.nope, 5) > 3", "max(customer.nope, 5) > 3", "-customer.nope > 3", "customer.nope in (1, 2)",
        "usage.depth in (customer.nope, 5%)", "-vars.nope > 3",
    ],
)  # fmt: skip
def test_what_follows_from_an_unknown_fact_is_not_told_as_well(text):
    with pytest.raises(ExpressionError) as caught:
        read(text)
    assert re.fullmatch(r"unknown fact '(customer|vars)\.nope'.*", str(caught.value))
    assert caught.value.also == []


def test_a_length_in_weeks_is_a_number_of_days_beside_one():
    assert read("contract.ends_on - contract.starts_on > weeks(2)").node.right.value == 14.0


def test_a_metric_that_is_a_length_is_kept_in_days():
    names = replace(NAMES, metric_type=lambda _name: Type("length"))
    node = compile_expression("usage.depth > days(3)", names, subject="customer", use="guard").node
    assert (node.left.fact.name, node.left.type, node.right.value) == ("usage.depth", NUMBER, 3.0)


def test_a_fallback_of_another_type_is_refused_where_it_stands():
    assert refusal("default(customer.grade, 5) == 'A'")[1] == 24


def test_a_fallback_may_be_a_number_where_that_number_is_a_choice():
    names = replace(NAMES, fields={"customer": {"level": (Type("choice", ("1", "2")), None)}})
    text = "default(customer.level, 2) == '1'"
    found = compile_expression(text, names, subject="customer", flow="lifecycle", use="guard")
    assert [fact.name for fact in found.facts] == ["customer.level"]


def test_offsets_count_characters_also_behind_other_alphabets():
    assert refusal("customer.name == '启用期' and usage.depth > 60")[1] == 41  # of 47 bytes


def test_offsets_count_from_the_beginning_in_texts_of_several_lines():
    assert refusal("  true\n  and usage.depth > 60")[1] == 27


def test_an_expression_may_be_broken_into_lines():
    assert read("usage.depth > 5%\n  and true").type == BOOLEAN


def test_every_problem_of_a_conjunction_is_told():
    with pytest.raises(ExpressionError) as caught:
        read("usage.dept > 5% and usage.depht > 3%")
    assert caught.value.offset == 0
    assert [offset for _, offset in caught.value.also] == [20]


def test_a_share_is_the_double_nearest_to_its_hundredth():
    for text, value in (("7%", 0.07), ("29%", 0.29), ("0.5%", 0.005), ("100%", 1.0)):
        node = read(f"usage.depth >= {text}").node
        assert node.right.value == value


def test_a_percent_sign_in_quotes_stays_text():
    assert read("customer.name == '5%'").node.right.value == "5%"


def test_money_is_in_whole_minor_units():
    assert read("contract.amount > money(19.99)").node.right.value == 1999.0
    node = read("contract.amount > money(100, 'JPY')").node.right
    assert (node.value, node.currency) == (100.0, "JPY")
    assert read("contract.amount > money(1, 'CNY')").node.right.currency is None


def test_foreign_money_in_a_list_is_compared_at_its_rate():
    node = read("contract.amount in (money(1), money(2, 'USD'))").node
    assert isinstance(node, n.Or)
    assert node.items[1].right.currency == "USD"


def test_adding_a_length_to_compare_with_today_becomes_since_or_until():
    def shape(text):
        node = read(text).node
        return node.until, node.op, node.length

    three = Length(3, "months")
    assert shape("contract.ends_on + months(3) <= today") == (False, ">=", three)
    assert shape("contract.ends_on + months(3) > today") == (False, "<", three)
    assert shape("today >= contract.ends_on + months(3)") == (False, ">=", three)
    assert shape("contract.ends_on - months(3) <= today") == (True, "<=", three)
    assert shape("contract.ends_on - months(3) > today") == (True, ">", three)
    assert shape("today > contract.ends_on - months(3)") == (True, "<", three)


def test_a_mirrored_comparison_of_a_length_is_turned_round():
    node = read("days(3) <= since(contract.ends_on)").node
    assert (node.op, node.until, node.length) == (">=", False, Length(3, "days"))


def test_chains_compare_each_neighbour():
    node = read("5% < usage.depth <= vars.core").node
    assert [item.op for item in node.items] == ["<", "<="]
    assert node.items[1].right.value == 0.5


def test_a_length_may_be_a_variable():
    assert read("since(contract.ends_on) > vars.wait").node.length == Length(14, "days")


def test_a_metric_may_be_a_span_and_nothing_else_may():
    assert isinstance(read("since(contract.starts_on)", use="metric", expect=None).node, n.Span)
    assert "with a length" in refusal("since(contract.starts_on) is known")[0]
    assert "a length alone" in refusal("days(3)", use="metric", expect=None)[0]


def test_facts_are_listed_once_and_those_of_a_count_apart():
    expression = read("usage.depth > 5% and usage.depth < 50% and count(contact, contact.level == health.score) > 1")
    assert [fact.name for fact in expression.facts] == ["usage.depth", "health.score"]
    assert [fact.name for fact in expression.all_facts] == ["usage.depth", "contact.level", "health.score"]
    assert [aggregate.thing for aggregate in expression.aggregates] == ["contact"]


def test_watched_conditions_have_one_key_for_one_meaning():
    one = read("has_been(usage.depth>30%, days(3))").conditions[0]
    two = read("has_been(usage.depth > 30%, days(9)) or first_time(usage.depth  >  30%) < now").conditions
    assert [condition.key for condition in two] == [one.key] == ["customer: usage.depth > 30%"]
    assert read("has_been(usage.depth > vars.core, days(3))").conditions[0].key == "customer: usage.depth > 0.5"


@pytest.mark.parametrize(
    ("text", "timed"),
    [
        ("usage.depth > 5%", False), ("since(contract.ends_on) > days(3)", True), ("contract.ends_on > today", True),
        ("has_been(usage.depth > 5%, days(3))", True), ("customer.nps > 5", True),
        ("count(contract, until(contract.ends_on) < days(3)) > 1", True), ("customer.grade == 'A'", False),
    ],
)  # fmt: skip
def test_an_expression_knows_whether_the_day_can_change_it(text, timed):
    assert read(text).timed is timed


def test_a_conjunction_joins_its_parts():
    one, two = read("usage.depth > 5%"), read("contract.renewed")
    assert conjunction([]) is None
    assert conjunction([one]) is one
    both = conjunction([one, two])
    assert both.text == "(usage.depth > 5%) and (contract.renewed)"
    assert both.node.items == (one.node, two.node)


def test_choose_has_its_words_as_choices():
    expression = choose([("A", read("usage.depth > 50%")), ("B", read("usage.depth > 5%"))], "C")
    assert expression.type.choices == ("A", "B", "C")


def test_bands_may_name_unknown_without_it_being_a_word():
    expression = bands(read("usage.depth", expect=None), [(None, [("low", 0, False), ("unknown", 0.5, False)])])
    assert expression.type.choices == ("low",)


def test_weights_refuse_parts_without_points_and_parts_that_are_no_number():
    grade = read("customer.grade", expect=None)
    with pytest.raises(ExpressionError, match="may be 'B', which has no points"):
        weights([(1.0, [(1.0, grade)])], {"A": 1.0}, [])
    with pytest.raises(ExpressionError, match="is a money: a part is a number from 0 to 100"):
        weights([(1.0, [(1.0, read("contract.amount", expect=None))])], {}, [])


@pytest.mark.parametrize(
    ("text", "expect", "result"),
    [
        ("usage.active_days", SHARE, "number"),
        ("5%", NUMBER, "share"),
        ("customer.grade", TEXT, "choice"),
        ("'2026-01-31'", DATE, "date"),
        ("today", TIME, "date"),
    ],
)
def test_a_value_may_stand_where_its_kin_is_expected(text, expect, result):
    assert read(text, expect=expect).type.name == result


def test_a_value_of_another_type_than_expected_is_refused():
    assert refusal("customer.name", expect=MONEY)[0] == "a money is needed here, this is a text"


def test_rules_about_a_person_read_no_case_of_a_customer():
    assert "customer" in refusal("complaint.stage == 'new'", subject="person", flow=None)[0]
    assert "customer" in refusal("count(complaint) > 0", subject="person", flow=None)[0]
    assert "customer" in refusal("since(activity.last_visit) > days(3)", subject="person", flow=None)[0]
