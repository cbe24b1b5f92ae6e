"""Explanations: what they say of each part, and that a pass at the same moment does as they say."""

from __future__ import annotations

import random

import pytest
from shop import at
from sqlalchemy import event, func, select

from csflow.errors import UsageError
from csflow.services.advance import Request, advance
from csflow.services.explain import Asked, explain, explain_cases, foresee
from csflow.store import tables as t


def way(case, target):
    return next(one for one in case["transitions"] if one["to"] == target)


def values(rule):
    return {value["fact"]: value["value"] for value in rule["values"]}


def unknowns(rule):
    return {value["fact"]: value["unknown"] for value in rule["values"] if value["value"] is None}


def started(shop, **more):
    shop.customer("C-1", **more)
    shop.run("2026-01-05")


def test_a_case_says_where_it_is_and_since_when(shop):
    started(shop)
    case = shop.explain("C-1", "2026-01-06")
    head = {
        name: case[name]
        for name in ("case", "flow", "subject", "customer", "stage", "ended", "since", "clock", "waiting")
    }
    assert head == {
        "case": "care/C-1/1", "flow": "care", "subject": {"kind": "customer", "id": "C-1"}, "customer": "C-1",
        "stage": "start", "ended": None, "since": "2026-01-05 23:59", "clock": "2026-01-01", "waiting": False,
    }  # fmt: skip


def test_each_way_out_stands_in_the_order_of_the_flow_with_its_verdict(shop):
    started(shop, beds=12.0)
    verdicts = [(one["to"], one["verdict"]) for one in shop.explain("C-1", "2026-01-06")["transitions"]]
    assert verdicts == [("grown", "false"), ("asleep", "false"), ("lost", "waits for trigger")]


def test_the_guard_comes_apart_with_the_entry_criterion_of_the_stage_it_leads_to(shop):
    started(shop, beds=12.0)
    guard = way(shop.explain("C-1", "2026-01-06"), "grown")["guard"]
    assert (guard["is"], guard["holds"]) == ("and", False)
    parts = [(part["is"], part.get("text"), part["holds"]) for part in guard["parts"]]
    assert parts[0] == ("part", "milestones.all", False)
    assert parts[1][0::2] == ("or", True)
    assert parts[2] == ("part", "customer.vip", None)
    inner = guard["parts"][1]["parts"]
    assert [(part["text"], part["holds"], part["reads"]) for part in inner] == [
        ("customer.beds >= 10", True, ["customer.beds"]),
        ("size.grade == 'big'", False, ["size.grade"]),
    ]


def test_values_come_with_when_they_were_measured_or_stated(shop):
    started(shop, beds=12.0)
    rule = way(shop.explain("C-1", "2026-01-06"), "grown")
    assert values(rule) == {"milestones.all": False, "customer.beds": 12, "size.grade": "small", "customer.vip": None}
    measured = {value["fact"]: value["measured"] for value in rule["values"]}
    assert measured == {
        "milestones.all": None,
        "customer.beds": "2026-01-01 23:59",
        "size.grade": "2026-01-05 23:59",
        "customer.vip": None,
    }


def test_it_says_why_a_field_is_unknown(shop):
    started(shop, mood=1.0)
    assert unknowns(way(shop.explain("C-1", "2026-01-06"), "grown"))["customer.vip"] == "never stated"
    late = way(shop.explain("C-1", "2026-01-20"), "asleep")
    assert unknowns(late)["customer.mood"] == "stated 2026-01-01 23:59, which is longer ago than 10 days"


def test_it_says_why_a_metric_is_unknown(shop):
    shop.customer("C-1")
    shop.advance("2026-01-05")
    assert unknowns(way(shop.explain("C-1", "2026-01-06"), "grown"))["size.grade"] == "never measured"
    shop.measure("2026-01-06")
    told = unknowns(way(shop.explain("C-1", "2026-01-06"), "grown"))["size.grade"]
    assert told == "unknown when it was measured, from customer.beds"


def test_it_says_that_something_never_happened(shop):
    started(shop)
    assert unknowns(way(shop.explain("C-1", "2026-01-06"), "asleep"))["activity.last_visit"] == "it never happened"


def test_it_says_that_there_is_no_contract_any_more(shop):
    started(shop)
    with shop.store.writing() as connection:
        connection.execute(t.contract.delete())
        connection.execute(
            t.touched.insert().values(queue=1, kind="customer", subject=shop.id("C-1", connection), day=0, mark=7)
        )
    milestone = next(m for m in shop.explain("C-1", "2026-01-06")["milestones"] if m["name"] == "rich")
    assert milestone["holds"] is None
    assert unknowns(milestone) == {"contract.amount": "there is no contract"}


def test_milestones_say_when_they_were_reached_or_what_is_missing(shop):
    started(shop, amount=200_000)
    found = {m["name"]: m for m in shop.explain("C-1", "2026-01-06")["milestones"]}
    assert (found["rich"]["of"], found["rich"]["reached"] is not None) == ("flow", True)
    # nobody knows of a visit in the days before csflow began, on the 5th
    assert (found["visited"]["reached"], found["visited"]["holds"]) == (None, None)
    assert (found["praised"]["trigger"], found["praised"]["guard"]) == ("praise", None)


def test_a_rule_of_time_names_the_day_it_becomes_true(shop):
    started(shop, mood=1.0, ends="2026-06-30")
    shop.state("C-1", "mood", 1.0, "2026-01-05")
    asleep = way(shop.explain("C-1", "2026-01-06"), "asleep")
    # 90 days after the contract began, and as long after csflow began to look (5 January), is 5 April
    assert asleep["true_on"] == "2026-04-05"
    part = asleep["guard"]["parts"][0]  # between the two it is unknown: csflow did not look at the first days
    assert (part["text"], part["changes_on"]) == ("since(activity.last_visit) >= days(90)", "2026-04-01")


def test_deadlines_are_due_then_missed(shop):
    started(shop)
    line = shop.explain("C-1", "2026-01-06")["deadlines"]
    assert [(d["name"], d["due"], d["status"]) for d in line] == [("stages.start", "2026-02-01 23:59", "due")]
    assert shop.explain("C-1", "2026-02-03")["deadlines"][0]["status"] == "past due"
    shop.run("2026-02-03")
    case = shop.explain("C-1", "2026-02-04")
    assert (case["deadlines"][0]["status"], case["deadlines"][0]["missed"]) == ("missed", "2026-02-01 23:59")
    [task] = case["tasks"]
    assert (task["name"], task["label"], task["role"], task["overdue"]) == ("call", "Call them", "csm", False)


def test_a_word_that_waits_comes_before_the_rules(shop):
    started(shop, beds=12.0, vip=1.0)
    shop.visit("C-1", "2026-01-06")
    shop.run("2026-01-07")
    assert shop.explain("C-1", "2026-01-07")["stage"] == "grown"
    shop.say("C-1", "cancel", "2026-01-08", fields='{"cause": [null, "price"]}')
    case = shop.explain("C-1", "2026-01-08")
    assert [(word["word"], word["actor"], word["refused"]) for word in case["words"]] == [("cancel", "import", None)]
    assert case["next"] == {"by": "word", "word": "cancel", "to": "lost"}


OURS = {
    "people.yaml": "roles: {csm: Success manager}\npeople: {ann: {roles: [csm]}}\n",
    "audit.yaml": """
flow: audit
subject: organisation
opens: organisation.id is known
stages: {begun: {transitions: {done: {trigger: file}}}, done: good}
""",
    "course.yaml": """
flow: course
subject: person
opens: person.id is known
stages: {begun: {transitions: {done: {trigger: pass}}}, done: good}
""",
}


def test_a_word_that_waits_for_a_colleague_does_not_wait_for_the_organisation(csflow_project, database):
    project = csflow_project(OURS, database=database, today="2026-03-02")
    project.run()  # a case of each: both subjects are the first of their kind, and belong to no customer
    project.clock.set("2026-03-03")
    assert project.bring("triggers", "name,case,at\npass,course/ann/1,2026-03-03T12:00\n").rejected == 0

    def words(case):
        (found,) = project.app.explain(case, project.clock.now, actor="test", recorded=project.clock.now)["cases"]
        return [one["word"] for one in found["words"]]

    assert (words("course/ann/1"), words("audit/organisation/1")) == (["pass"], [])


def test_a_word_that_will_be_refused_says_why(shop):
    started(shop)
    shop.say("C-1", "cancel", "2026-01-06")
    case = shop.explain("C-1", "2026-01-06")
    assert "asks for cause" in case["words"][0]["refused"]
    assert case["next"] == {"by": "word", "word": "cancel", "to": None}


def grown(shop):
    started(shop, beds=12.0, vip=1.0)
    shop.visit("C-1", "2026-01-06")
    shop.run("2026-01-07")


def test_a_move_that_somebody_must_approve_waits_for_it(shop):
    grown(shop)
    shop.ends("C-1", "2026-02-05")
    first = shop.explain("C-1", "2026-01-08")
    assert first["next"] == {
        "by": "approval",
        "to": "ending",
        "place": "stages.grown.transitions.ending.0",
        "role": "lead",
    }
    shop.run("2026-01-08")
    then = shop.explain("C-1", "2026-01-09")
    assert way(then, "ending")["verdict"] == "waits for approval"
    assert way(then, "ending")["approval"]["decided"] is None
    assert then["next"] is None


def test_a_watched_condition_says_since_when_it_holds_and_when_it_will_have_long_enough(shop):
    grown(shop)
    asleep = way(shop.explain("C-1", "2026-01-08"), "asleep")
    (value,) = asleep["values"]
    assert value["fact"] == "has_been(size.grade == 'small', days(14))"
    assert (value["value"], value["measured"]) == (None, "2026-01-05 23:59")
    assert value["unknown"] == "the record is shorter than that, or has a gap"
    assert asleep["true_on"] == "2026-01-19"


def test_explaining_changes_nothing(shop):
    started(shop)
    shop.say("C-1", "cancel", "2026-01-06", fields='{"cause": [null, "price"]}')

    def everything():
        with shop.store.reading() as connection:
            return {
                table.name: sorted(map(repr, connection.execute(select(table)))) for table in t.metadata.sorted_tables
            }

    before = everything()
    shop.explain("C-1", "2026-01-08")
    assert everything() == before


def test_a_moment_before_the_last_pass_is_refused(shop):
    started(shop)
    with pytest.raises(
        UsageError, match=r"^the last pass was at 2026-01-05 23:59: what stood before it is in csflow history$"
    ):
        shop.explain("C-1", "2026-01-04")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("c-1", "no customer 'c-1': did you mean 'C-1'?"),
        ("care/C-1/2", "no case 'care/C-1/2': there are care/C-1/1"),
        ("care/C-1", "no case 'care/C-1': there are care/C-1/1"),
        ("care/C-9", "no customer 'C-9': did you mean 'C-1'?"),
        ("cure/C-1", "no customer 'cure/C-1'"),
        ("cares/C-1/1", "no flow 'cares': did you mean 'care'?"),
    ],
)
def test_an_unknown_target_is_told_with_the_nearest(shop, target, message):
    started(shop)
    with pytest.raises(UsageError) as caught:
        explain(shop.store, shop.definition, target, Asked(at("2026-01-06")))
    assert str(caught.value) == message


def test_an_unknown_flow_is_told_with_the_nearest(shop):
    started(shop)
    with pytest.raises(UsageError, match="no flow 'car': did you mean 'care'"):
        explain(shop.store, shop.definition, "C-1", Asked(at("2026-01-06")), flow="car")


def test_a_customer_without_a_case_has_nothing_to_explain(shop):
    shop.customer("C-2", starts=None)
    found = explain(shop.store, shop.definition, "C-2", Asked(at("2026-01-06")))
    assert (found["target"], found["cases"]) == ("C-2", [])


def test_ended_cases_are_told_only_while_there_is_a_way_out(shop):
    started(shop)
    shop.say("C-1", "complain", "2026-01-06")
    shop.say("C-1", "cancel", "2026-01-06", fields='{"cause": [null, "price"]}')
    shop.run("2026-01-06")
    shop.say("C-1", "solve", "2026-01-07", flow="complaint")
    shop.run("2026-01-07")
    found = explain(shop.store, shop.definition, "C-1", Asked(at("2026-01-08")))
    assert [(case["case"], case["stage"]) for case in found["cases"]] == [("care/C-1/1", "lost")]
    named = explain(shop.store, shop.definition, "complaint/C-1/1", Asked(at("2026-01-08")))
    assert [(case["stage"], case["transitions"]) for case in named["cases"]] == [("closed", [])]


def test_a_case_that_is_not_there_has_no_explanation(shop):
    started(shop)
    with shop.store.trial() as connection:
        view = foresee(connection, shop.definition, Asked(at("2026-01-06")))
        assert list(explain_cases(connection, view, [99])) == []


def first_hop(shop, on):
    """What a pass really does in its first hop: moves by case, cases that an approval was asked for."""
    moved, hops = {}, []
    from csflow.services import advance as module

    hop = module._Pass._hop

    def counted(self, scope):
        hops.append(scope)
        return hop(self, scope)

    def tell(kind, entry):
        if kind == "moved" and len(hops) == 1:
            moved.setdefault(entry["case"], entry)

    module._Pass._hop = counted
    try:
        advance(shop.store, shop.definition, Request(at(on), "test", at(on)), tell)
    finally:
        module._Pass._hop = hop
    return moved


@pytest.mark.parametrize("seed", [1, 2])
def test_a_pass_moves_a_case_if_and_only_if_its_explanation_says_so(shop, seed):
    chance = random.Random(seed)  # seeded on purpose
    keys = [f"C-{number:02}" for number in range(12)]
    for key in keys:
        starts, ends = (
            chance.choice(("2025-12-15", "2026-01-01", "2026-01-10")),
            chance.choice(("2026-02-20", "2026-12-31")),
        )
        shop.customer(key, starts=starts, ends=ends, amount=chance.choice((None, 50_000, 200_000)))
    compared = 0
    for number in range(10):
        on = f"2026-{1 + number // 5:02}-{3 + 5 * (number % 5):02}"
        for key in chance.sample(keys, 8):
            name = chance.choice(("beds", "mood", "vip"))
            shop.state(key, name, float(chance.choice((0, 1, 12, 60)) if name != "vip" else chance.choice((0, 1))), on)
        for key in chance.sample(keys, 6):
            if chance.randrange(4):
                shop.visit(key, on)
            else:
                fields = '{"cause": [null, "price"]}'
                word = chance.choice(("complain", "cancel", "return", "praise"))
                shop.say(key, word, on, fields=fields if word == "cancel" and chance.randrange(3) else None)
        shop.measure(on)
        told = shop.explain_all(on)
        moved = first_hop(shop, on)
        for name, case in told.items():
            first, real = case["next"], moved.get(name)
            if first is None or first["by"] in ("approval", "stop") or first["to"] is None:
                assert real is None, (on, name, first, real)
                continue
            assert real is not None, (on, name, first)
            assert real["to"] == first["to"]
            if first["by"] == "guard":
                assert real["because"] == first["because"]
            compared += 1
    assert compared >= 5


def test_many_cases_are_explained_with_as_many_statements_as_one(shop):
    statements = []
    event.listen(shop.store.engine, "before_cursor_execute", lambda *what: statements.append(what[2]))

    def asked(many):
        for number in range(many):
            shop.customer(f"D-{many}-{number}", beds=12.0)
        shop.run(f"2026-01-{many + 5:02}")
        statements.clear()
        assert len(shop.explain_all("2026-01-20")) >= many
        return len(statements)

    assert asked(1) == asked(8)


def test_the_number_of_cases_in_the_store_is_the_number_explained(shop):
    for number in range(3):
        shop.customer(f"C-{number}")
    shop.run("2026-01-05")
    with shop.store.reading() as connection:
        assert connection.execute(select(func.count()).select_from(t.case)).scalar_one() == len(
            shop.explain_all("2026-01-05")
        )
