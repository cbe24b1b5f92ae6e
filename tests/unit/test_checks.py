from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Load = Callable[..., Any]
Told = Callable[..., list[str]]

ROLES = "roles: {csm: CSM, lead: Lead}"
FLOW = (
    "flow: f\nfields: {{cause: [price, service], note: text}}\n{}\n"
    "stages:\n  a: {{transitions: {{b: {}}}}}\n  b: good\n"
)


def flow(way: str = "{trigger: go}", more: str = "label: F") -> str:
    return FLOW.format(more, way)


def repeating(every: str) -> str:
    return f"flow: f\nstages:\n  a: {{do: [{{notify: csm, every: {every}}}], transitions: {{b: {{trigger: go}}}}}}\n  b: good\n"


REPEATS = "every: repeats what stands under the do: of a stage, here it would happen once"

# Form --------------------------------------------------------------------------------------------------------


def test_an_unknown_key_is_told_with_the_nearest(told: Told) -> None:
    text = "flow: f\nstages:\n  a: {deadine: 2 days, transitions: {b: {trigger: go}}}\n  b: good\n"
    assert told(text) == ["3:7: unknown key 'deadine': did you mean 'deadline'?"]


def test_an_unknown_section_is_told_at_the_top(told: Told) -> None:
    assert told("metrcs: {a.b: 1}") == ["1:1: unknown key 'metrcs': did you mean 'metrics'?"]
    assert "a file is the project (csflow: 1), one flow (flow: name) or sections" in told("something: 1")[0]


def test_several_mistakes_are_told_at_once_each_at_its_place(told: Told) -> None:
    text = (
        "flow: f\nlabel: [x]\nresponsible: nobody\nstages:\n"
        "  a: {transitions: {b: {trigger: go, asks: [caus]}}}\n  b: fine\n"
    )
    assert told(text) == [
        "2:8: expected a text or one text for each language, found a list",
        "3:14: no role 'nobody'",
        "5:45: no field 'caus'",
        "6:6: 'fine' is none of good, bad, neutral",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metrics: [1]", "1:10: expected a mapping, found a list"),
        ("metrics: {a.b: [1]}", "1:16: expected a mapping, found a list"),
        ("metrics: {a.b: {label: x}}", "this has none"),
        ("metrics: {a.b: {of: customer.contracts}}", "of: says what bands: cut; there are no bands"),
        ("fields: {customer: {a: txt}}", "1:24: 'txt' is none of text, number, share"),
        ("fields: {customer: {a: {type: choice}}}", "1:24: a choice needs choices: [one, another]"),
        ("fields: {customer: {a: {type: number, choices: [x]}}}", "a number has no choices"),
        ("fields: {custmer: {a: text}}", "1:10: 'custmer' is none of customer, contract"),
        ("vars: {a: [1]}", "1:11: expected one value, found a list"),
        ("people: {li: {roles: csm, colour: red}}", "1:27: unknown key 'colour'"),
        ("reports: {r: [{label: x}]}", "a section has one of show, uses; this has none"),
        ("tests: {t: {given: {}}}", "'steps:' is missing"),
    ],
)
def test_a_wrong_form_is_told_in_words_of_the_language(told: Told, text: str, message: str) -> None:
    assert any(message in problem for problem in told(text))


def test_what_follows_from_a_wrong_form_is_not_told_as_well(told: Told) -> None:
    text = "metrics: {m.a: {value: 1, of: 2, bands: {x: 0}}, m.b: m.a + 1}"
    assert len(told(text)) == 1


# Flows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (flow("{trigger: go, asks: [caus]}"), "5:45: no field 'caus': did you mean 'cause'?"),
        (flow("{trigger: go, only: [cms]}"), "5:45: no role 'cms': did you mean 'csm'?"),
        (flow("{trigger: go, approve: cms}"), "5:47: no role 'cms': did you mean 'csm'?"),
        (flow("{trigger: go, from: [a]}"), "from: stands in the flow's own transitions only"),
        (flow("{asks: [cause]}"), "a move needs a guard (when:) or a word (trigger:)"),
        (flow(more="do: [{task: x, for: cms}]"), "3:21: no role 'cms': did you mean 'csm'?"),
        (flow(more="do: [{notify: cms}]"), "no role or person 'cms': did you mean 'csm'?"),
        (flow(more="do: [{notify: csm, message: helo}]"), "no message 'helo'"),
        (flow(more="do: [{open: g}]"), "no flow 'g'"),
        (flow(more="do: [{open: f, with: {caus: x}}]"), "no field of f 'caus': did you mean 'cause'?"),
        (
            flow(more="do: [{open: f, with: {cause: prize}}]"),
            "'prize' is none of price, service: did you mean 'price'?",
        ),
        (flow(more="do: [{set: {cause: price}}]"), "no field 'cause': did you mean 'case.cause'?"),
        (flow(more="do: [{set: {case.cause: =customer.nam}}]"), "3:26: unknown fact 'customer.nam'"),
        (flow(more="do: [{trigger: {f: gone}}]"), "flow 'f' does not listen to 'gone'"),
        (flow(more="do: [{trigger: gone}]"), "flow 'f' does not listen to 'gone'"),
        (flow(more="do: [{trigger: {g: go}}]"), "no flow 'g'"),
        (flow(more="do: [{set: {case.waiting: 3}}]"), "expected true or false, found '3'"),
        (flow(more="do: [{uses: x/y, with: {a: =customer.nam}}]"), "3:29: unknown fact 'customer.nam'"),
        (flow(more="milestones: {m: milestones.all}"), "milestones.all speaks of a stage: put this milestone into one"),
        (flow("{trigger: go, when: customer.contracts}"), "a condition is needed here, this is a number"),
        (flow(more="do: [{trigger: {f: go, x: y1}}]"), "a trigger says one word to one flow"),
        (flow(more="do: [{task: x, for: csm, before: 1 day, after: 1 day}]"), "before or after the due time, not both"),
        (flow(more="deadline: 2 working days"), "working time needs a calendar"),
        (flow(more="deadline: 1 month after clock"), "flow 'f' has no clock"),
        (
            flow(more="deadline: 3 days after customer.name"),
            "3:24: 'customer.name' is a text, not a date to count from",
        ),
        (flow(more="deadline: 3 days after contract.end_on"), "3:24: unknown fact 'contract.end_on'"),
        (flow(more="deadline: {due: 3 days, calendar: office}"), "no calendar 'office'"),
        (flow(more="clock: customer.name"), "3:8: a date is needed here, this is a text"),
        (flow(more="opens: {trigger: x, to: c}"), "no stage 'c'"),
        (flow(more="opens: {trigger: x, with: {caus: price}}"), "no field 'caus'"),
        (flow(more="opens: [{only: csm}]"), "an opening rule needs when:, trigger: or every:"),
        (flow(more="opens: {every: 1 mont}"), "3:16: "),
        (flow(more="opens: {every: 0 days}"), "3:16: '0 days' is no time at all"),
        (flow(more="opens: {every: 12 hours}"), "3:16: '12 hours': every: counts in days, weeks, months or years here"),
        (repeating("0 hours"), "3:33: '0 hours' is no time at all"),
        (repeating("2 working days"), "3:33: '2 working days': every: does not count in working time"),
        (flow(more="do: [{notify: csm, every: 1 week}]"), f"3:20: {REPEATS}"),
        (flow(more="deadline: 3 days\noverdue: [{notify: csm, every: 1 week}]"), f"4:25: {REPEATS}"),
        (flow("{trigger: go, do: [{notify: csm, every: 1 week}]}"), REPEATS),
        (flow(more="milestones: {m: {trigger: x, do: [{notify: csm, every: 1 week}]}}"), f"3:49: {REPEATS}"),
        (flow(more="do: [{notify: csm, before: 1 day}]"), "3:20: before: counts from a due time"),
        (flow("{trigger: go, do: [{notify: csm, after: 1 day}]}"), "after: counts from a due time: it stands under"),
        (flow(more="again: soon"), "3:8: "),
        (flow(more="stops_while: contract.renewed"), "a flow stops in stages"),
        (flow(more="migrate: {a: b}"), "stage 'a' is still there"),
        (flow(more="migrate: {old: c}"), "3:16: no stage 'c'"),
        (
            flow(more="milestones: {m: {optional: true}}"),
            "a milestone needs a guard (when:), a plugin's answer (uses:) or a word (trigger:)",
        ),
        (flow(more="milestones: {all: contract.renewed}"), "choose another name"),
        (flow(more="milestones: {m: {when: contract.renewed, overdue: []}}"), "overdue: needs a deadline:"),
    ],
)
def test_a_wrong_flow_is_told_at_its_place(told: Told, text: str, message: str) -> None:
    problems = told({"x.yaml": text, "roles.yaml": ROLES})
    assert any(message in problem for problem in problems), problems
    assert len(problems) == 1, problems


def test_a_window_of_a_milestone_that_is_none_is_told(told: Told) -> None:
    flow = "flow: f\nstages: {a: {milestones: {m: {uses: x/y, with: {window: 2 working days}}}, transitions: {b: milestones.m}}, b: good}"
    problems = told(flow)
    assert any("a window is counted in days, weeks, months or years, not in working days" in one for one in problems)


def test_no_stage_is_called_back(told: Told) -> None:
    text = "flow: f\nopens: {trigger: go}\nstages: {a: {transitions: {back: {trigger: b}}}, back: good}\n"
    assert told(text) == ["3:50: `back` leads to the stage a case came from, so no stage can be called that"]


def test_a_book_has_no_first_and_no_last(told: Told) -> None:
    problems = told("metrics: {m.a: {subject: book, value: 'first(contract, contract.amount)'}}")
    assert len(problems) == 1
    assert "the customers of a book have no order" in problems[0]


def test_a_stage_without_a_way_out_is_told(told: Told) -> None:
    text = "flow: f\nstages: {a: {transitions: {b: {trigger: go}}}, b: {label: B}}"
    assert told(text) == ["2:48: no way leads out of stage 'b': give it a transition, or an end: good, bad or neutral"]


def test_a_milestone_twice_in_one_flow_is_told(told: Told) -> None:
    text = (
        "flow: f\nstages:\n  a: {milestones: {m: contract.renewed}, transitions: {b: milestones.all}}\n"
        "  b: {milestones: {m: contract.renewed}, end: good}\n"
    )
    assert told(text) == [
        "3:20: milestone 'm' is in this flow twice: give one another name",
        "4:20: milestone 'm' is in this flow twice: give one another name",
    ]


def test_a_flow_without_stages_is_told(told: Told) -> None:
    assert told("flow: f") == ["1:1: 'stages:' is missing"]
    assert told("flow: f\nstages: {}") == ["1:1: flow 'f' has no stages"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vars: {class: 1}", "1:8: 'class' cannot be the name of a var"),
        ("fields: {customer: {from: text}}", "'from' cannot be the name of a field"),
        ("fields: {customer: {a-b: text}}", "'a-b' cannot be the name of a field: use letters, digits and _"),
        ("fields: {customer: {name: text}}", "'customer.name' is there already"),
        ("fields: {customer: {a.b: text}}", "1:21: a field's name has no dot: 'a.b'"),
        ("fields: {customer: {why: [price, price]}}", "choice 'price' is there twice"),
        ("fields: {customer: {why: {choices: {bad: [price], worse: [price]}}}}", "choice 'price' is there twice"),
        ("fields: {customer: {why: {choices: price}}}", "choices are a list of words or a tree of them"),
        ("flow: import\nstages: {a: {transitions: {b: {trigger: go}}}, b: good}", "cannot be the name of a flow"),
        ("flow: f\nstages: {pass: {transitions: {b: {trigger: go}}}, b: good}", "cannot be the name of a stage"),
        ("metrics: {usage.is: 1}", "'is' cannot be the name of a metric"),
        ("metrics: {score: 1}", "a metric's name has a dot: write 'group.score'"),
        ("metrics: {customer.name: 1}", "'customer.name' is a fact already, not measured"),
        ("metrics: {case.x: 1}", "'case.x' is a fact already, not measured"),
        (
            "flow: f\nfields: {overdue: boolean}\nstages: {a: {transitions: {b: {trigger: g}}}, b: good}",
            "every case has",
        ),
    ],
)
def test_a_name_that_no_expression_could_read_is_refused(told: Told, text: str, message: str) -> None:
    problems = told(text)
    assert len(problems) == 1, problems
    assert message in problems[0]


# Metrics -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("{of: customer.name, bands: {a: 0}}", "bands cut a number, a share or money; this is a text"),
        ("{of: customer.contracts, bands: {a: x}}", "a band begins at a number or a share, not at 'x'"),
        ("{of: customer.contracts, bands: {a: 5, b: 2}}", "bands begin at rising, different values; found 5, 2"),
        (
            "{of: customer.contracts, by: customer.contracts, bands: {a: {x1: 0}}}",
            "a row begins at a number, not at 'a'",
        ),
        ("{of: customer.contracts, by: customer.contracts, bands: {1: 5}}", "with by: a row holds bands"),
        ("{choose: {A: otherwise, B: contract.renewed}}", "'otherwise' stands last, and once"),
        ("{choose: {A: customer.name}}", "a condition is needed here, this is a text"),
        ("{weights: {customer.name: 1}}", "'customer.name' is a text: a part is a number from 0 to 100"),
        ("{weights: {customer.nme: 1}}", "1:27: unknown fact 'customer.nme'"),
        ("{weights: {customer.contracts: -1}}", "needs a weight that is not negative"),
        ("{uses: x/y}", "a plugin computes this metric: say its type:"),
        ("{uses: x/y, type: number, with: {window: 30 dayz}}", "'30 dayz' is not a length: did you mean 'day'?"),
        ("{uses: x/y, type: number, with: {window: 30}}", "'30' is not a length: write '14 days'"),
        (
            "{uses: x/y, type: number, with: {window: 24 hours}}",
            "a window is counted in days, weeks, months or years, not in hours",
        ),
        ("{value: customer.name, type: number}", "a number is needed here, this is a text"),
        ("{value: m.a + 1}", "in a circle: m.a → m.a"),
        ("{bands: {a: 0}}", "bands cut a number: say which with of:"),
        ("{of: customer.contracts, by: customer.nope, bands: {x: {a: 0}}}", "unknown fact 'customer.nope'"),
        ("{weights: {customer.contracts: 1}, at_most: [{value: 40, when: customer.nope > 1}]}", "'customer.nope'"),
        ("{value: customer.contracts, fresh: 7 dais}", "1:51: "),
    ],
)
def test_a_wrong_metric_is_told(told: Told, way: str, message: str) -> None:
    problems = told(f"metrics: {{m.a: {way}}}")
    assert any(message in problem for problem in problems), problems


def test_a_word_without_points_is_told_at_its_part(told: Told) -> None:
    text = (
        "metrics:\n  m.w: {of: customer.contracts, bands: {red: 0, green: 3}}\n"
        "  m.s: {points: {red: 0}, weights: {m.w: 1}}\n"
    )
    assert told(text) == ["3:37: 'm.w' may be 'green', which has no points"]


def test_metrics_in_a_circle_are_told(told: Told) -> None:
    problems = told("metrics:\n  m.a: {type: number, value: m.b}\n  m.b: {type: number, value: m.a}\n")
    assert problems == ["2:3: metrics are computed from each other in a circle: m.a → m.b → m.a"]


def test_a_mistake_in_a_folded_text_is_told_in_its_line(told: Told) -> None:
    text = "metrics:\n  m.a: >-\n    customer.contracts\n    + customer.contract\n"
    assert told(text)[0].startswith("4:7: unknown fact 'customer.contract'")


# The rest ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("goals: {g: {serves: h}}", "1:21: no goal 'h'"),
        ("goals: {g: {serves: h}, h: {serves: g}}", "goals serve each other in a circle"),
        ("goals: {g: {metric: m.x}}", "no metric 'm.x'"),
        ("goals: {g: {target: 5}}", "a target needs a metric:"),
        ("retention: {r: {window: 1 mnth}}", "1:25: "),
        ("reports: {r: [{show: [m.x]}]}", "1:23: no metric 'm.x'"),
        ("reports: {r: [{show: [], by: [nobody]}]}", "no role 'nobody'"),
        ("reports: {r: [{show: [], by: [customer.contracts]}]}", "by: takes words; 'customer.contracts' is a number"),
        ("reports: {r: [{show: [], when: customer.nam == 'x'}]}", "unknown fact 'customer.nam'"),
        ("imports: {i: {into: custmer}}", "1:21: no kind of fact 'custmer': did you mean 'customer'?"),
        ("imports: {i: {into: customer, key: [id], columns: {name: n1}}}", "no column 'id'"),
        ("imports: {i: {into: customer, at_least: 70}}", "70"),
        ("imports: {i: {into: customer, every: 0 days}}", "1:38: '0 days' is no time at all"),
        ("imports: {i: {into: customer, every: 2 hours}}", "every: counts in days, weeks, months or years here"),
        ("roles: {csm: {assign: poll}}", "no way to assign, or role, 'poll': did you mean 'pool'?"),
        ("roles: {csm: {leads: nobody}}", "no role 'nobody'"),
        ("roles: {csm: {assign: {a: pool}}}", "assign: is one way"),
        ("people: {li: {roles: [nobody]}}", "1:23: no role 'nobody'"),
        ("calendars: {c: {hours: {mon: 25:00-26:00}}}", "1:24: "),
        ("calendars: {c: {hours: {mon: 09:00-17:00}, closed_on: [2026-02-30]}}", "1:56: '2026-02-30' is not a day"),
        ("calendars: {c: {zone: Mars/Olympus, hours: {mon: 09:00-17:00}}}", "1:23: "),
        ("messages: {m: 'Dear {customer.nam}'}", "1:22: unknown fact 'customer.nam'"),
        ("messages: {m: 'Dear {customer.name'}", "a brace that is not closed, or not opened"),
        ("activities: {class: C}", "'class' cannot be the name of an activity"),
        ("tests: {t: {steps: [{at: soon}]}}", "1:26: 'soon' is not a day"),
        ("tests: {t: {steps: [{travel: far}]}}", "1:30: "),
        ("tests: {t: {steps: [{trigger: {f: go}}]}}", "no flow 'f'"),
        ("tests: {t: {steps: [{activity: dance}]}}", "no activity 'dance'"),
        ("tests: {t: {given: {customer: 5}, steps: []}}", "customer: holds its facts"),
        ("tests: {t: {given: {customer: {nam: x1}}, steps: []}}", "unknown fact 'customer.nam'"),
        ("tests: {t: {given: {contract: {ends_on: soon}}, steps: []}}", "'soon' is not a day"),
    ],
)
def test_a_mistake_in_the_other_sections_is_told(told: Told, text: str, message: str) -> None:
    problems = told(text)
    assert any(message in problem for problem in problems), problems


def test_a_fallback_of_another_type_is_told_at_its_place(told: Told) -> None:
    text = "fields: {customer: {segment: [single, chain]}}\nmetrics:\n  a.b: \"default(customer.segment, 5) == 'single'\"\n"
    assert told(text) == ["3:35: a choice is needed here, this is a number"]


def test_every_flow_that_sends_a_message_must_know_its_holes(told: Told) -> None:
    files = {
        "f.yaml": flow(more="do: [{notify: csm, message: m}]"),
        "x.yaml": "messages: {m: 'Why: {case.note}'}\n" + ROLES,
        "g.yaml": "flow: g\ndo: [{notify: csm, message: m}]\nstages: {a: {transitions: {b: {trigger: go}}}, b: good}",
    }
    assert told(files) == ["1:22: unknown fact 'case.note'"]


def test_a_setting_of_the_project_that_cannot_be_is_told(told: Told) -> None:
    project = (
        "csflow: 1\nname: p\ncurrency: euro\nzone: Mars/Olympus\ncalendar: none\nyear_starts: 13\n"
        "quiet: at night\nplan: {fail_if: [much]}\n"
    )
    lines = told({"csflow.yaml": project})
    assert [line.split(":")[0] for line in lines] == ["3", "4", "5", "6", "7", "8"]


def test_a_missing_language_is_a_warning(told: Told) -> None:
    files = {
        "csflow.yaml": "csflow: 1\nname: p\nlanguages: [en, zh]\n",
        "x.yaml": "metrics: {m.a: {label: {en: A}, value: 1}}",
    }
    assert told(files) == []
    assert told(files, warnings=True) == ["1:24: no label in zh"]


@pytest.mark.parametrize(
    "guard",
    [
        "().__class__.__bases__[0].__subclasses__()",
        "__import__('os').system('true')",
        "9**9**9",
        "customer.__class__",
        "open('/etc/passwd').read()",
        "(lambda: 1)()",
        "[x for x in (1, 2)]",
        "'a' * 1000000000 == 'b'",
        "(" * 500 + "1" + ")" * 500,
        "not " * 5000 + "true",
        "1 +" * 3000 + "1 > 0",
        "customer.name\x7f",
        "f'{customer.name}'",
        "eval('1')",
        "x := 1",
        "await x",
        "1e400 > 1",
    ],
)
def test_a_guard_that_tries_to_escape_is_refused_with_its_place(told: Told, guard: str) -> None:
    quoted = guard.replace("'", "''")
    problems = told(f"flow: f\nopens: '{quoted}'\nstages: {{a: {{transitions: {{b: {{trigger: go}}}}}}, b: good}}")
    assert len(problems) >= 1
    assert all(problem.startswith("2:") for problem in problems)


# Values ------------------------------------------------------------------------------------------------------


FACTS = "fields: {customer: {vip: boolean, beds: number, depth: share, worth: money, mood: [fine, bad]}}\n"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{customer.vip: 5}", "expected true or false, found '5'"),
        ("{customer.beds: many}", "expected a number, found 'many'"),
        ("{customer.beds: [1, 2]}", "expected a number, found several values"),
        ("{customer.beds: true}", "expected a number, found true/false"),
        ("{customer.worth: 5 USD}", "'5 USD' is not in the project's currency EUR"),
        ("{customer.mood: fin}", "'fin' is none of fine, bad: did you mean 'fine'?"),
    ],
)
def test_a_constant_that_does_not_fit_its_field_is_told(told: Told, value: str, message: str) -> None:
    problems = told({"x.yaml": FACTS, "f.yaml": flow(more=f"do: [{{set: {value}}}]")})
    assert len(problems) == 1, problems
    assert problems[0].endswith(message)


def test_a_constant_of_money_is_in_minor_units(load_project: Load) -> None:
    files = {"x.yaml": FACTS, "f.yaml": flow(more="do: [{set: {customer.worth: 12.50 EUR, customer.vip: true}}]")}
    (effect,) = load_project(files).definition.flows["f"].do
    assert dict(effect.values) == {"customer.worth": 1250, "customer.vip": True}


def test_a_word_for_another_flow_may_bring_fields_and_a_plugin_computed_options(load_project: Load) -> None:
    more = "do: [{trigger: {f: go}, with: {note: =case.note}}, {uses: x/y, with: {a: =customer.contracts, b: plain}}]"
    say, plugin = load_project(flow(more=more)).definition.flows["f"].do
    assert (say.flow, say.target, say.values["note"].text) == ("f", "go", "case.note")
    assert (plugin.values["a"].text, plugin.values["b"]) == ("customer.contracts", "plain")


def test_a_flow_that_mirrors_another_system_needs_no_ways(told: Told) -> None:
    assert told("flow: f\nmirrors: deals\nstages: {a: {}, b: {}, won: good}") == []


def test_a_role_by_a_fact_that_is_no_word_is_told(told: Told) -> None:
    told_ = told("roles: {csm: {by: customer.contracts, assign: {big: by_hand}}}")
    assert told_ == ["1:19: by: takes a fact that is a word; this is a number"]


def test_a_message_that_nobody_sends_may_speak_of_any_case(told: Told) -> None:
    assert told("messages: {m: 'Why: {case.anything}'}") == []


def test_a_section_that_two_files_write_as_something_else_is_told(told: Told) -> None:
    problems = told({"a.yaml": "metrics: {m.a: 1}", "b.yaml": "metrics: [1]"}, named=True)
    (problem,) = problems
    assert problem.startswith("b.yaml:1:1: 'metrics' (section) is defined twice: first in ")
    assert problem.endswith("a.yaml:1")


def test_all_milestones_of_a_stage_without_any_are_refused_for_they_would_all_be_reached(told: Told) -> None:
    end = "has no milestone that milestones.all could wait for, so it would hold at once"
    text = "flow: f\nstages:\n  a: {{{}transitions: {{b: milestones.all and true}}}}\n  b: good\n"
    assert told(text.format("")) == [f"3:24: stage 'a' {end}"]
    assert told(text.format("milestones: {m: {trigger: t, optional: true}}, ")) == [f"3:71: stage 'a' {end}"]
    assert told(text.format("milestones: {m: {trigger: t}}, ")) == []
    shared = "flow: f\nstages:\n  a: {milestones: {m: {trigger: t}}, transitions: {b: {trigger: u}}}\n  b: {transitions: {a: {trigger: v}}}\n  c: good\n"
    assert told(shared + "transitions: {c: milestones.all}\n") == [f"6:18: stage 'b' {end}"]
    assert told(shared + "transitions: {c: {when: milestones.all, from: a}}\n") == []


def test_milestones_that_were_forgotten_are_told_and_the_way_that_waits_for_them(told: Told) -> None:
    text = "flow: f\nstages:\n  a: {milestones: {m: , k: }, transitions: {b: milestones.all}}\n  b: good\n"
    gone = ["3:20: nothing stands behind 'm': nu", "3:25: nothing stands behind 'k': nu"]
    assert [line[:34] for line in told(text, warnings=True)] == [line[:34] for line in gone]
    assert [line[:24] for line in told(text)] == ["3:48: stage 'a' has no m"]


@pytest.mark.parametrize(
    ("milestone", "message"),
    [
        ("optional: yes", "3:46: expected true or false, found text 'yes': write true without quotes"),
        ("optional: 'No'", "3:47: expected true or false, found text 'No': write false without quotes"),
        ("optional: maybe", "3:46: expected true or false, found text"),
        ("label: off", "3:43: off means different things to different YAML readers: quote it"),
    ],
)
def test_a_word_for_true_or_false_is_told_in_one_line_with_the_word_to_write(
    told: Told, milestone: str, message: str
) -> None:
    text = f"flow: f\nstages:\n  a: {{milestones: {{m: {{when: true, {milestone}}}}}, transitions: {{b: {{trigger: t}}}}}}\n  b: good\n"
    assert told(text) == [message]
    assert told("flow: f\nstages:\n  a: {transitions: {b: {trigger: t}}}\n  b: yes\n") == [
        "4:6: 'yes' is none of good, bad, neutral"
    ]


def test_a_key_that_readers_take_for_true_or_false_is_told_once_without_what_follows_from_it(told: Told) -> None:
    text = "flow: f\nstages:\n  a: {transitions: {on: {trigger: go}}}\n  on: {transitions: {b: {trigger: go}}}\n  b: good\n"
    assert told(text) == ["3:21: key 'on' is a boolean for many YAML readers: choose another word"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {
                "csflow.yaml": "csflow: 1\nname: p\nzone: UTC\ncurrency: EURO\n",
                "x.yaml": "metrics: {m.a: {of: contract.amount, bands: {small: 0, large: 500}}}",
            },
            "4:11: 'EURO' is not a currency",
        ),
        ({"x.yaml": "metrics: {m.a: {uses: x/y, type: nubmer}}"}, "1:34: 'nubmer' is none of"),
        (
            {
                "x.yaml": "flow: f\nstages:\n  a:\n    dedline: 2 days\n    overdue: [{notify: csm}]\n"
                "    transitions: {b: {trigger: go}}\n  b: good\n",
                "roles.yaml": ROLES,
            },
            "4:5: unknown key 'dedline': did you mean 'deadline'?",
        ),
    ],
)
def test_what_only_follows_from_a_mistake_is_not_told_beside_it(
    told: Told, files: dict[str, str], message: str
) -> None:
    problems = told(files)
    assert len(problems) == 1, problems
    assert problems[0].startswith(message)
