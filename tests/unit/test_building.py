from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from csflow.errors import DefinitionError
from csflow.flow.building import build, content_hash
from csflow.flow.types import BOOLEAN, DATE, MONEY, NUMBER, SHARE, TEXT
from csflow.store.catalogue import CATALOGUE
from csflow.values import Length

if TYPE_CHECKING:
    from csflow.flow.definition import Definition, Flow

Load = Callable[..., Any]
Told = Callable[..., list[str]]

SMALL = """
flow: f
opens: contract.id is known
stages:
  a: {transitions: {b: {trigger: go}}}
  b: good
"""


def flow_of(load_project: Load, text: str, **files: str) -> Flow:
    texts = {"x.yaml": text, **{f"{name}.yaml": content for name, content in files.items()}}
    definition: Definition = load_project(texts).definition
    return definition.flows["f"]


def test_a_small_flow_becomes_stages_and_ways(load_project: Load) -> None:
    flow = flow_of(load_project, SMALL)
    assert (flow.first, list(flow.stages), flow.subject, flow.base) == ("a", ["a", "b"], "customer", "f")
    (way,) = flow.stages["a"].transitions
    assert (way.source, way.target, way.trigger, way.place) == ("a", "b", "go", "stages.a.transitions.b.0")
    assert way.guard is None
    assert flow.stages["b"].end == "good"
    assert flow.opens[0].when is not None


def test_the_same_tree_gives_the_same_definition_from_json(load_project: Load) -> None:
    loaded = load_project(SMALL)
    again, found = build(json.loads(json.dumps(loaded.tree)), CATALOGUE)
    assert asdict(again) == asdict(loaded.definition)
    assert not found


def test_own_ways_come_before_the_flows_as_written(load_project: Load) -> None:
    flow = flow_of(
        load_project,
        "flow: f\n"
        "stages:\n"
        "  a: {transitions: {c: {trigger: one}, b: [{trigger: two}, {trigger: three}]}}\n"
        "  b: {transitions: {back: {trigger: four}}}\n"
        "  c: good\n"
        "transitions:\n"
        "  c: {trigger: five}\n"
        "  b: {from: [a], trigger: six}\n",
    )
    assert [way.trigger for way in flow.stages["a"].transitions] == ["one", "two", "three", "five", "six"]
    assert [way.trigger for way in flow.stages["b"].transitions] == ["four", "five"]
    assert flow.stages["c"].transitions == ()
    assert flow.stages["a"].transitions[3].place == "transitions.c.0"
    assert {way.source for way in flow.stages["b"].transitions} == {"b"}


def test_a_shared_way_does_not_lead_from_its_own_target(load_project: Load) -> None:
    text = "flow: f\nstages: {a: {}, b: {}}\ntransitions: {a: {trigger: one}, b: {trigger: two}}"
    flow = flow_of(load_project, text)
    assert [way.target for way in flow.stages["a"].transitions] == ["b"]
    assert [way.target for way in flow.stages["b"].transitions] == ["a"]


def test_enter_and_asks_are_part_of_the_guard(load_project: Load) -> None:
    flow = flow_of(
        load_project,
        "flow: f\n"
        "fields: {cause: text}\n"
        "stages:\n"
        "  a: {transitions: {b: {when: contract.id is known, asks: [cause]}}}\n"
        "  b: {end: good, enter: customer.contracts > 1}\n",
    )
    (way,) = flow.stages["a"].transitions
    assert way.guard is not None
    assert way.when is not None
    assert [fact.name for fact in way.when.facts] == ["contract.id"]
    assert {fact.name for fact in way.guard.facts} == {"contract.id", "customer.contracts", "case.cause"}


def test_a_trigger_with_asks_has_a_guard_but_no_condition_of_its_own(load_project: Load) -> None:
    text = "flow: f\nfields: {cause: text}\nstages: {a: {transitions: {b: {trigger: go, asks: cause}}}, b: good}"
    (way,) = flow_of(load_project, text).stages["a"].transitions
    assert way.when is None
    assert way.guard is not None
    assert way.asks == ("cause",)


def test_a_missed_node_has_its_own_effects_or_those_of_the_flow(load_project: Load) -> None:
    flow = flow_of(
        load_project,
        "flow: f\n"
        "overdue: [{task: shared, for: csm}]\n"
        "stages:\n"
        "  a: {deadline: 2 days, overdue: [{task: own, for: csm, after: 1 day}], transitions: {b: {trigger: go}}}\n"
        "  b: {deadline: 3 days, end: good}\n",
        roles="roles: {csm: CSM}",
    )
    first, second = flow.stages["a"].deadline, flow.stages["b"].deadline
    assert first is not None
    assert second is not None
    assert [(e.target, e.place, e.offset, e.before) for e in first.overdue] == [
        ("own", "stages.a.overdue.0", Length(1, "days"), False)
    ]
    assert [(e.target, e.place) for e in second.overdue] == [("shared", "overdue.0")]
    assert (first.name, second.due.text) == ("stages.a", "3 days")


def test_milestones_of_stages_and_of_the_flow_have_their_addresses(load_project: Load) -> None:
    flow = flow_of(
        load_project,
        "flow: f\n"
        "milestones: {big: {when: customer.contracts >= 2, deadline: 14 days after case}}\n"
        "stages:\n"
        "  a:\n"
        "    milestones: {first: contract.id is known, told: {trigger: told, optional: true, deadline: 3 days}}\n"
        "    transitions: {b: milestones.all}\n"
        "  b: good\n",
    )
    told = flow.stages["a"].milestones["told"]
    assert (told.trigger, told.optional) == ("told", True)
    assert told.deadline is not None
    assert told.deadline.name == "stages.a.milestones.told"
    assert flow.milestones["big"].deadline is not None
    assert flow.milestones["big"].deadline.name == "milestones.big"


def test_effects_know_their_verb_target_and_values(load_project: Load) -> None:
    flow = flow_of(
        load_project,
        "flow: f\n"
        "fields: {cause: [price, service], note: text}\n"
        "do:\n"
        "  - {open: g, with: {why: =case.note}}\n"
        "  - {trigger: {g: stop}}\n"
        "  - {set: {case.cause: price}}\n"
        "  - {task: call, for: csm, due: 2 days, when: contract.id is known}\n"
        "stages: {a: {do: [{notify: csm, every: 1 week}], transitions: {b: {trigger: go}}}, b: good}\n",
        g="flow: g\nfields: {why: text}\nstages: {a: {transitions: {b: {trigger: stop}}}, b: good}",
        roles="roles: {csm: CSM}",
    )
    opening, trigger, setting, task = flow.do
    assert (opening.verb, opening.target, opening.flow) == ("open", "g", "g")
    assert opening.values["why"].facts[0].name == "case.note"
    assert (trigger.verb, trigger.target, trigger.flow) == ("trigger", "stop", "g")
    assert (setting.verb, setting.target, setting.values) == ("set", "", {"case.cause": "price"})
    assert (task.role, task.place) == ("csm", "do.3")
    (again,) = flow.stages["a"].do
    assert (again.every, again.place) == (Length(1, "weeks"), "stages.a.do.0")
    assert task.due is not None
    assert task.when is not None


def test_the_flow_stands_still_in_the_stages_that_stops_while_names(load_project: Load) -> None:
    text = (
        "flow: f\nstops_while: case.stage in ('b', 'c')\n"
        "stages: {a: {}, b: {}, c: {}}\n"
        "transitions: {a: {trigger: one}, b: {trigger: two}, c: {trigger: three}}\n"
    )
    stages = flow_of(load_project, text).stages
    assert [stage.stops for stage in stages.values()] == [False, True, True]


def test_opening_rules_keep_their_kinds(load_project: Load) -> None:
    flow = flow_of(
        load_project,
        "flow: f\n"
        "one_per: case.line\n"
        "again: 30 days\n"
        "fields: {line: [one, two]}\n"
        "opens:\n"
        "  - {when: customer.contracts > 3, with: {line: one}}\n"
        "  - {trigger: call, only: csm, to: b}\n"
        "  - {every: 1 month}\n"
        "stages: {a: {transitions: {b: {trigger: go}}}, b: {transitions: {c: {trigger: on_}}}, c: good}\n",
        roles="roles: {csm: CSM}",
    )
    rule, call, month = flow.opens
    assert (rule.place, rule.values) == ("opens.0", {"line": "one"})
    assert (call.trigger, call.only, call.to) == ("call", ("csm",), "b")
    assert month.every == Length(1, "months")
    assert (flow.one_per, flow.one_per_key, flow.again) == ("case.line", None, Length(30, "days"))


def test_one_per_another_fact_is_compiled(load_project: Load) -> None:
    flow = flow_of(load_project, SMALL + "one_per: contract.id\n")
    assert flow.one_per_key is not None
    assert flow.one_per_key.facts[0].name == "contract.id"


def test_a_variant_says_whose_it_is_and_its_base_knows_its_stages(load_project: Load) -> None:
    definition = load_project(
        {
            "f.yaml": SMALL,
            "v.yaml": "flow: v\nextends: f\nstages: {a: {transitions: {extra: {trigger: more}}},"
            " extra: {transitions: {b: {trigger: go}}}}",
            "vv.yaml": "flow: vv\nextends: v\nlabel: Variant of a variant",
            "w.yaml": "flow: w\nopens: f.stage == 'extra'\nstages: {a: {transitions: {b: {trigger: go}}}, b: good}",
        }
    ).definition
    assert [definition.flows[name].base for name in ("f", "v", "vv", "w")] == ["f", "f", "f", "w"]
    assert list(definition.flows["v"].stages) == ["a", "b", "extra"]
    assert list(definition.flows["f"].stages) == ["a", "b"]


def test_renamed_and_dropped_stages_are_kept_for_their_cases(load_project: Load) -> None:
    text = (
        "flow: f\nmigrate: {trial: {to: a, clock: restart}, gone: b}\n"
        "stages: {a: {renamed_from: start, transitions: {b: {trigger: go}}}, b: good}"
    )
    flow = flow_of(load_project, text)
    assert flow.renamed == {"start": "a"}
    assert flow.migrate == {"trial": {"to": "a", "clock": "restart"}, "gone": {"to": "b"}}


# Vars, fields, metrics ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("50%", 0.5),
        ("3", 3.0),
        ("2.5", 2.5),
        ("true", True),
        ("14 days", Length(14, "days")),
        ("2026-01-05", 20458),
        ("500.50 EUR", 50050.0),
        ("some words", "some words"),
    ],
)
def test_a_var_has_the_type_that_it_is_written_in(load_project: Load, written: str, value: object) -> None:
    assert load_project(f"vars: {{a: {written}}}").definition.vars == {"a": value}


def test_fields_have_types_choices_labels_and_freshness(load_project: Load) -> None:
    text = """
fields:
  customer:
    beds: number
    segment: [single, chain]
    nps: {type: number, fresh: {warn_after: 6 months, unknown_after: 12 months}}
    rating: {label: Rating, choices: {good: Good, bad: {price: Price, other: {en: Other}}}, fresh: 60 days}
"""
    fields = load_project(text).definition.fields["customer"]
    assert fields["beds"].type == NUMBER
    assert fields["segment"].type.choices == ("single", "chain")
    assert (fields["nps"].fresh, fields["nps"].warn) == (Length(12, "months"), Length(6, "months"))
    rating = fields["rating"]
    assert rating.type.choices == ("good", "price", "other")
    assert rating.type.branches == (("bad", ("price", "other")),)
    assert rating.choice_labels == {"good": {"": "Good"}, "price": {"": "Price"}, "other": {"en": "Other"}}
    assert rating.fresh == Length(60, "days")


def test_number_choices_are_words(load_project: Load) -> None:
    definition = load_project("fields: {contact: {level: [1, 2]}}").definition
    assert definition.fields["contact"]["level"].type.choices == ("1", "2")


@pytest.mark.parametrize(
    ("way", "kind"),
    [
        ("customer.contracts + 1", NUMBER),
        ("contract.amount", MONEY),
        ("contract.amount / contract.amount", NUMBER),
        ("contract.renewed", BOOLEAN),
        ("contract.ends_on", DATE),
        ("customer.name", TEXT),
        ("{value: customer.contracts / 7, type: share}", SHARE),
        ("days_between(contract.starts_on, contract.ends_on)", NUMBER),
    ],
)
def test_a_metric_has_the_type_of_its_value(load_project: Load, way: str, kind: object) -> None:
    assert load_project(f"metrics:\n  m.a: {way}").definition.metrics["m.a"].type == kind


def test_the_words_of_bands_and_choose_are_the_choices(load_project: Load) -> None:
    metrics = load_project(
        "metrics:\n"
        "  m.band: {of: customer.contracts, bands: {unknown: 0, few: 1, many: above 5}}\n"
        "  m.grade:\n    choose: {A: m.band == 'many', B: otherwise}\n"
    ).definition.metrics
    assert metrics["m.band"].type.choices == ("few", "many")
    assert metrics["m.grade"].type.choices == ("A", "B")
    assert metrics["m.grade"].reads == ("m.band",)


def test_bands_by_length_and_by_word_compile(load_project: Load) -> None:
    metrics = load_project(
        "fields: {customer: {segment: [single, chain]}}\n"
        "metrics:\n"
        "  m.a:\n    of: customer.contracts\n    by: since(contract.starts_on)\n"
        "    bands: {2 months: {red: 0, green: 3}, 6 months: {red: 0, green: 5}}\n"
        "  m.b:\n    of: customer.contracts\n    by: customer.segment\n"
        "    bands: {single: {red: 0, green: 3}, chain: {red: 0, green: 5}}\n"
    ).definition.metrics
    assert metrics["m.a"].expression is not None
    assert metrics["m.a"].expression.timed
    assert metrics["m.b"].expression is not None
    assert metrics["m.b"].type.choices == ("red", "green")


def test_bands_of_money_begin_at_amounts(load_project: Load) -> None:
    bands = "metrics: {m.a: {of: contract.amount, bands: {small: 0, large: 50000 EUR}}}"
    assert load_project(bands).definition.metrics["m.a"].type.choices == ("small", "large")


@pytest.mark.parametrize(
    "written",
    ["vars: {big: 50000 CHF}", "metrics: {m.a: {of: contract.amount, bands: {small: 0, large: 50000 CHF}}}"],
)
def test_an_amount_in_another_currency_than_the_projects_is_not_taken_for_one_in_it(told: Told, written: str) -> None:
    assert [line.partition(": ")[2] for line in told(written)] == ["'50000 CHF' is not in the project's currency EUR"]


def test_a_calendar_that_nothing_defines_is_told_where_a_metric_of_csflow_names_it(load_project: Load) -> None:
    metric = "metrics: {m.a: {uses: csflow/session_share, type: share, with: {window: 3 days, calendar: ofice}}}"
    office = "calendars: {office: {hours: {mon: ['09:00-17:00']}}}"
    around = {"provided": frozenset({"csflow/session_share"})}
    with pytest.raises(DefinitionError, match="no calendar 'ofice': did you mean 'office'"):
        load_project({"m.yaml": metric, "c.yaml": office}, **around)
    load_project({"m.yaml": metric.replace("ofice", "office"), "c.yaml": office}, **around)


def test_a_group_of_weights_that_lost_its_parts_is_told_as_one(told: Told) -> None:
    score = "metrics: {m.a: {weights: {use: {weight: 1, parts: {}}}}}"
    assert told(score)[0].endswith("'use' needs a weight that is not negative, and a group its parts")


def test_weights_take_numbers_and_words_with_points(load_project: Load) -> None:
    metric = load_project(
        "metrics:\n"
        "  m.word: {of: customer.contracts, bands: {red: 0, green: 3}}\n"
        "  m.score:\n"
        "    points: {red: 0, green: 100}\n"
        "    weights: {both: {weight: 60, parts: {m.word: 1, customer.contracts: 2}}, m.word: 40}\n"
        "    at_most: [{value: 40, when: customer.contracts == 0}]\n"
        "    needs: 50%\n"
    ).definition.metrics["m.score"]
    assert metric.type == NUMBER
    assert metric.expression is not None
    assert metric.reads == ("m.word",)


def test_a_metric_without_a_provider_is_a_warning_and_stays_unknown(load_project: Load) -> None:
    text = "metrics: {m.a: {uses: my/plugin, type: number, with: {window: 30 days}, fresh: 7 days}}"
    loaded = load_project(text)
    metric = loaded.definition.metrics["m.a"]
    assert (metric.uses, metric.options, metric.fresh) == ("my/plugin", {"window": "30 days"}, Length(7, "days"))
    assert metric.expression is None
    assert [p.message for p in loaded.problems] == ["nothing provides 'my/plugin', so this metric stays unknown"]
    assert not load_project(text, provided=frozenset({"my/plugin"})).problems


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("csflow/activ_days", "there is no 'csflow/activ_days': did you mean 'active_days'?"),
        ("csflow/zzz", "there is no 'csflow/zzz': after csflow/ stands active_days, hours"),
    ],
)
def test_what_csflow_itself_does_not_have_is_an_error(load_project: Load, name: str, message: str) -> None:
    text = f"metrics: {{m.a: {{uses: {name}, type: number}}}}"
    with pytest.raises(DefinitionError) as caught:
        load_project(text, provided=frozenset({"csflow/active_days", "csflow/hours", "my/plugin"}))
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.message, problem.warning) == (1, 23, message, False)
    (unsure,) = load_project(text, provided=frozenset({"my/plugin"})).problems  # csflow's own are switched off
    assert unsure.warning


def test_watched_conditions_are_collected_once(load_project: Load) -> None:
    definition = load_project(
        {
            "m.yaml": "metrics: {m.a: customer.contracts + 1}",
            "f.yaml": "flow: f\nstages:\n  a:\n    transitions:\n      b: has_been(m.a > 1, days(3))\n"
            "      c: has_been(m.a > 1, days(9))\n  b: good\n  c: bad\n",
        }
    ).definition
    assert len(definition.conditions) == 1


# Messages, roles, people -------------------------------------------------------------------------------------


def test_a_message_is_cut_into_texts_and_holes(load_project: Load) -> None:
    message = load_project("messages: {hello: 'Dear {customer.name}, hello.'}").definition.messages["hello"]
    before, hole, after = message.text[""]
    assert (before, hole.text, after) == ("Dear ", "customer.name", ", hello.")


def test_roles_and_people_are_kept(load_project: Load) -> None:
    definition = load_project(
        "fields: {customer: {segment: [single, chain]}}\n"
        "roles:\n  csm: {by: customer.segment, assign: {single: pool, chain: least_amount}, capacity: 5000}\n"
        "  lead: {label: Lead, leads: csm}\n"
        "people:\n  li: {roles: [csm, lead], team: north}\n"
    ).definition
    assert definition.roles["csm"].assign == {"single": "pool", "chain": "least_amount"}
    assert definition.roles["csm"].by is not None
    assert (definition.roles["lead"].leads, definition.roles["lead"].label) == ("csm", {"": "Lead"})
    assert (definition.people["li"].roles, definition.people["li"].extra) == (("csm", "lead"), {"team": "north"})


def test_a_calendar_has_its_hours_and_days(load_project: Load) -> None:
    definition = load_project(
        {
            "csflow.yaml": "csflow: 1\nname: p\nzone: Asia/Shanghai\ncalendar: office\n",
            "c.yaml": "calendars: {office: {hours: {mon-fri: 09:00-17:00}, closed_on: [2026-01-05]}}",
        }
    ).definition
    assert definition.calendar == "office"
    office = definition.calendars["office"]
    assert not office.is_open(20458)  # Monday 5 January 2026, closed
    assert office.is_open(20459)
    assert not office.is_open(20463)  # Saturday 10 January 2026
    assert repr(office.zone) == "Zone('Asia/Shanghai')"


# The hash ----------------------------------------------------------------------------------------------------


def test_the_hash_is_of_the_meaning_not_of_the_files(load_project: Load) -> None:
    one = load_project({"a.yaml": "vars: {a: 1}", "b.yaml": SMALL})
    two = load_project({"a.yaml": SMALL + "# a remark\n", "b.yaml": "vars:\n    a: 1"})
    assert one.definition.hash == two.definition.hash


def test_the_hash_changes_with_labels_and_order_of_stages(load_project: Load) -> None:
    tree = load_project(SMALL).tree
    labelled = json.loads(json.dumps(tree))
    labelled["flows"]["f"]["label"] = "F"
    turned = json.loads(json.dumps(tree))
    turned["flows"]["f"]["stages"] = dict(reversed(turned["flows"]["f"]["stages"].items()))
    assert len({content_hash(tree), content_hash(labelled), content_hash(turned)}) == 3


def test_the_hash_does_not_change_with_tests_and_database(load_project: Load) -> None:
    tree = load_project(SMALL).tree
    assert content_hash({**tree, "database": "x", "tests": {"t": {"steps": []}}}) == content_hash(tree)


def test_a_way_out_that_nothing_provides_is_a_warning(load_project: Load) -> None:
    text = "flow: f\nstages:\n  a: {transitions: {b: {trigger: go}}, do: [{notify: csm, via: pigon}]}\n  b: good\n"
    files = {"x.yaml": text, "roles.yaml": "roles: {csm: {}}\n"}
    (found,) = load_project(files, provided=frozenset({"pigeon"})).problems
    assert found.message == "nothing provides 'pigon', so this message waits in the outbox: did you mean 'pigeon'?"
    assert not load_project(files, provided=frozenset({"pigon"})).problems


def test_a_misspelt_way_in_an_address_is_a_warning_and_one_that_resembles_none_is_not(load_project: Load) -> None:
    text = "roles: {csm: {}}\npeople:\n  li: {roles: [csm], address: {webhok: 'https://x.example', extension: '12'}}\n"
    provided = frozenset({"webhook", "mail"})
    (found,) = load_project({"people.yaml": text}, provided=provided).problems
    assert found.message == "nothing provides 'webhok', so no message goes to this address: did you mean 'webhook'?"
    assert (found.line, found.column) == (3, 32)
