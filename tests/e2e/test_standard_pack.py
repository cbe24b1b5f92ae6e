"""The standard pack, lived through for half a year: every rule of it happens, on the days worked out by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packs import Script, World, lived
from sqlalchemy import select

from csflow.flow.loader import load
from csflow.services.book import Asked
from csflow.store import tables as t
from csflow.values import day

COMMAND = [sys.executable, "-c", "from csflow.cli import main; main()"]
CORE = ("invoice", "stock", "schedule", "campaign_launched")
SHEET = dict.fromkeys(
    ("basics", "environment", "sales_process", "surroundings", "present_state", "promises"), "as agreed"
)


def hand_over(key: str, on: str, accepted: str) -> Script:
    case = f"handover/{key}/1"
    return [(on, lambda w: w.say("he", "hand_over", case, **SHEET)), (accepted, lambda w: w.say("li", "accept", case))]


def a_renews() -> Script:
    """A: a chain that uses everything, is visited, asks for 20 % and renews a month and a half before its end."""
    renewal = "renewal/A/K1/1"
    return [
        ("2026-06-01", lambda w: w.customer("A", "chain")),
        ("2026-06-01", lambda w: w.contract("A", "2026-06-01", "2026-11-30", amount=60_000)),
        ("2026-06-01", lambda w: w.contact("A", "ada", level="1", role="decides", attitude="for")),
        ("2026-06-01", lambda w: w.uses("A", "2026-06-01", "2026-12-20", *CORE)),
        ("2026-06-01", lambda w: w.state("li", "A", nps="9", business="normal")),
        *hand_over("A", "2026-06-02", "2026-06-03"),
        ("2026-06-02", lambda w: w.say("li", "training", "A", summary="first day")),
        ("2026-06-03", lambda w: w.say("li", "done", "training/A/1")),
        ("2026-08-27", lambda w: w.say("li", "request", "A", summary="an export")),
        ("2026-09-10", lambda w: w.do("li", renewal, "value_pack")),
        ("2026-09-10", lambda w: w.do("li", renewal, "requests")),
        ("2026-09-10", lambda w: w.say("li", "done", "request/A/1")),
        ("2026-09-10", lambda w: w.fill("li", renewal, goals="a second site", forecast="safe")),
        ("2026-09-14", lambda w: w.fill("li", renewal, amount="70000 CNY", discount="20%", in_return="a case study")),
        ("2026-09-21", lambda w: w.say("zhao", "revise", renewal)),
        ("2026-09-28", lambda w: w.say("li", "go", renewal)),
        ("2026-09-29", lambda w: w.do("zhao", renewal, "approve")),
        (
            "2026-10-15",
            lambda w: w.contract("A", "2026-12-01", "2027-11-30", amount=70_000, number="K2", replaces="K1"),
        ),
        ("2026-06-05", lambda w: w.say("he", "expectation", "A", summary="half the paper")),
        ("2026-06-08", lambda w: w.say("li", "done", "expectation/A/2")),
        # visits: 75 days after the contract's first day nobody had been there
        ("2026-09-08", lambda w: w.say("li", "picked", "visit/A/1", purpose="results so far")),
        ("2026-09-09", lambda w: w.say("li", "agreed", "visit/A/1", agreed_for="2026-09-11T10:00")),
        ("2026-09-11", lambda w: w.meets("li", "A")),
        ("2026-09-21", lambda w: w.say("li", "fed_back", "visit/A/1", report="export is coming")),
        ("2026-07-02", lambda w: w.say("li", "read", "usage_analysis/A/1", comment="good")),
    ]


def b_leaves() -> Script:
    """B: uses nothing; machine and CSM disagree; not renewed, churned a month after its end, let go in the end."""
    renewal = "renewal/B/K1/1"
    return [
        ("2026-06-01", lambda w: w.customer("B", "single", csm="wang")),
        ("2026-06-01", lambda w: w.contract("B", "2025-09-01", "2026-08-31", amount=30_000)),
        ("2026-06-01", lambda w: w.contact("B", "bo", level="1", attitude="against")),
        *hand_over("B", "2026-06-02", "2026-06-03"),
        ("2026-07-06", lambda w: w.do("wang", renewal, "value_pack")),
        ("2026-07-06", lambda w: w.fill("wang", renewal, goals="none yet", forecast="safe")),
        ("2026-08-03", lambda w: w.say("zhao", "settled", renewal, forecast="lost")),
        ("2026-08-05", lambda w: w.fill("wang", renewal, amount="30000 CNY", discount="5%")),
        ("2026-09-05", lambda w: w.say("wang", "lost", renewal, cause="price")),
        ("2026-09-07", lambda w: w.say("he", "let_go", "win_back/B/1", summary="too small")),
    ]


def c_stumbles() -> Script:
    """C: starts late, stops again, is paused with the lead's leave, and goes on."""
    return [
        ("2026-06-01", lambda w: w.customer("C", "single")),
        ("2026-06-01", lambda w: w.contract("C", "2026-06-01", "2027-05-31", amount=25_000)),
        ("2026-06-01", lambda w: w.uses("C", "2026-07-10", "2026-07-20", *CORE[:3])),
        ("2026-06-05", lambda w: w.state("wang", "C", nps="3")),
        ("2026-06-05", lambda w: w.say("he", "hand_over", "handover/C/1", **SHEET)),
        ("2026-06-09", lambda w: w.say("wang", "send_back", "handover/C/1")),
        *hand_over("C", "2026-06-17", "2026-06-18"),
        ("2026-07-09", lambda w: w.say("wu", "support", "C", summary="how to begin")),
        ("2026-10-28", lambda w: w.say("wang", "pause", "lifecycle/C/1", pause_reason="rebuilding")),
        ("2026-10-29", lambda w: w.do("zhao", "lifecycle/C/1", "approve")),
        ("2026-11-18", lambda w: w.say("wang", "resume", "lifecycle/C/1")),
        # stopped using: the warning is looked into and ends when it uses again
        ("2026-09-07", lambda w: w.do("wang", "churn_warning/C/2", "find_out")),
        ("2026-09-07", lambda w: w.fill("wang", "churn_warning/C/2", finding="a new owner")),
        ("2026-10-20", lambda w: w.uses("C", "2026-10-20", "2026-12-20", *CORE[:3])),
    ]


def d_falls_back() -> Script:
    """D: deep use in June, one feature in four afterwards, so back from maturity; no campaign in nine months."""
    return [
        ("2026-06-01", lambda w: w.customer("D", "single")),
        ("2026-06-01", lambda w: w.contract("D", "2026-01-01", "2026-12-31", amount=40_000)),
        ("2026-06-01", lambda w: w.uses("D", "2026-06-03", "2026-07-01", *CORE[:3])),
        ("2026-06-01", lambda w: w.uses("D", "2026-07-02", "2026-09-10", CORE[0], seconds=600)),
        ("2026-09-11", lambda w: w.uses("D", "2026-09-11", "2026-12-20", *CORE[:3])),
        ("2026-06-01", lambda w: w.state("li", "D", nps="7")),
        *hand_over("D", "2026-06-02", "2026-06-03"),
    ]


def e_is_won_back() -> Script:
    """E: cancels on the telephone, is won back; its business changes, a warning is settled by hand."""
    return [
        ("2026-06-01", lambda w: w.customer("E")),
        ("2026-06-01", lambda w: w.contract("E", "2026-06-01", "2027-05-31", amount=5_000)),
        *hand_over("E", "2026-06-02", "2026-06-03"),
        ("2026-06-03", lambda w: w.contact("E", "eve", level="1", attitude="for")),
        ("2026-06-03", lambda w: w.contact("E", "ed", level="1", attitude="neutral")),
        ("2026-06-09", lambda w: w.leaves("E", "eve")),
        ("2026-06-15", lambda w: w.state("li", "E", business="changed")),
        ("2026-06-23", lambda w: w.say("li", "settled", "churn_warning/E/1", finding="moved house")),
        ("2026-06-24", lambda w: w.say("li", "cancel", "lifecycle/E/1", cause="value")),
        ("2026-06-25", lambda w: w.say("he", "win_back", "E", summary="call in July")),
        ("2026-07-07", lambda w: w.say("he", "done", "win_back/E/1")),
        ("2026-07-07", lambda w: w.say("he", "won_back", "lifecycle/E/1")),
    ]


def g_complains() -> Script:
    """G: four complaints – solved at once, solved in a day and late, coming back for the same cause, withdrawn."""
    one, two = "complaint/G/1", "complaint/G/2"
    closing = {"cause": "defect", "measure": "a test more"}
    return [
        ("2026-06-01", lambda w: w.customer("G", "single")),
        ("2026-06-01", lambda w: w.contract("G", "2026-06-01", "2027-05-31", amount=5_000)),
        ("2026-06-03", lambda w: w.say("wu", "complaint", "G")),
        ("2026-06-04", lambda w: w.say("wu", "soothed", one, summary="invoices vanish", hinders="true")),
        ("2026-06-05", lambda w: w.fill("wu", one, needs_resources="false", area="product")),
        ("2026-06-09", lambda w: w.say("wu", "solved", one)),
        ("2026-06-22", lambda w: w.say("wu", "reopened", one)),
        ("2026-06-23", lambda w: w.say("wu", "soothed", one)),
        ("2026-06-24", lambda w: w.say("wu", "solved", one)),
        ("2026-06-25", lambda w: w.say("wu", "reviewed", one, **closing)),
        ("2026-06-26", lambda w: w.say("wu", "reopened", one)),
        ("2026-07-01", lambda w: w.say("wu", "complaint", "G")),
        ("2026-07-02", lambda w: w.say("wu", "soothed", two, summary="again", hinders="true")),
        ("2026-07-02", lambda w: w.fill("wu", two, needs_resources="true", area="product", cause="defect")),
        ("2026-07-13", lambda w: w.say("wu", "solved", two)),
        ("2026-07-14", lambda w: w.say("wu", "reviewed", two, **closing)),
        ("2026-07-15", lambda w: w.say("wu", "complaint", "G")),
        ("2026-07-16", lambda w: w.say("wu", "withdrawn", "complaint/G/3")),
        ("2026-07-15", lambda w: w.say("wu", "support", "G", summary="how do I print?")),
        ("2026-07-15", lambda w: w.say("wu", "support", "G", summary="and where?")),
        *[("2026-07-16", lambda w: w.say("wu", "support", "G", summary="and when?"))] * 3,
        ("2026-07-17", lambda w: w.say("wu", "done", "support/G/1")),
        ("2026-06-01", lambda w: w.uses("G", "2026-06-03", "2026-06-10", *CORE[:2])),
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    script = [*a_renews(), *b_leaves(), *c_stumbles(), *d_falls_back(), *e_is_won_back(), *g_complains()]
    folder = tmp_path_factory.mktemp("standard") / "project"
    with lived(folder, "standard", script, until="2026-12-21", core=CORE, more="report") as world:
        yield world


def test_every_rule_of_every_flow_has_happened(world: World) -> None:
    assert world.never() == []


# The days, worked out by hand. Passes are every Monday from 8 June and on every day that something is said.


def test_a_good_year_of_a_chain(world: World) -> None:
    assert world.stages("A") == [
        ("2026-06-01", "signing"), ("2026-06-03", "activation"), ("2026-06-03", "growth"),
        ("2026-06-17", "maturity"),  # its training ended on 3 June: no open question for 14 days
        ("2026-08-31", "renewal"),  # three months before 30 November is 30 August, a Sunday; Monday's pass sees it
        ("2026-12-07", "growth"), ("2026-12-07", "maturity"),  # the next term is in force since 1 December
    ]  # fmt: skip
    assert world.entries("A", "missed") == []


def test_a_discount_needs_the_leads_yes_and_the_next_contract_closes_the_renewal(world: World) -> None:
    assert world.stages("A", "renewal") == [
        ("2026-08-31", "prepare"), ("2026-09-10", "offer"), ("2026-09-14", "approval"), ("2026-09-21", "offer"),
        ("2026-09-21", "approval"), ("2026-09-29", "negotiation"), ("2026-10-15", "won"),
    ]  # fmt: skip
    # two working days from Monday noon are over on Wednesday, both times
    assert world.entries("A", "missed", "renewal") == [
        ("2026-09-16", "stages.approval"),
        ("2026-09-23", "stages.approval"),
    ]


def test_a_dedicated_customer_is_visited_once_a_quarter(world: World) -> None:
    assert world.stages("A", "visit") == [
        ("2026-08-17", "pick"),  # 75 days after 1 June is 15 August, a Saturday
        ("2026-09-08", "propose"), ("2026-09-09", "agreed"), ("2026-09-11", "feedback"), ("2026-09-21", "done"),
        ("2026-11-30", "pick"),  # 75 days after 11 September is 25 November, a Wednesday
    ]  # fmt: skip
    # 15 days after the case; two working days after Friday, 11 September, are over on Tuesday
    assert world.entries("A", "missed", "visit")[:2] == [("2026-09-01", "flow"), ("2026-09-15", "stages.feedback")]


def test_who_does_not_renew_has_churned_a_month_after_the_end(world: World) -> None:
    assert world.stages("B")[2:] == [("2026-06-03", "renewal"), ("2026-10-05", "churned")]  # since(31 August) > 30 days
    assert world.entries("B", "missed") == [  # 1, 4 and 9 months after 1 September 2025, and the last paid day
        ("2025-10-01", "stages.activation"), ("2026-01-01", "stages.growth"), ("2026-06-01", "stages.maturity"),
        ("2026-08-31", "stages.renewal"),
    ]  # fmt: skip
    assert world.stages("B", "renewal") == [
        ("2026-06-01", "prepare"), ("2026-07-06", "offer"), ("2026-07-06", "escalated"), ("2026-08-03", "offer"),
        ("2026-08-05", "negotiation"), ("2026-09-05", "lost"),
    ]  # fmt: skip
    assert world.entries("B", "missed", "renewal") == [
        ("2026-07-02", "stages.prepare"), ("2026-07-09", "stages.escalated"), ("2026-08-31", "stages.negotiation"),
    ]  # fmt: skip
    assert world.stages("B", "win_back") == [("2026-09-05", "open"), ("2026-09-07", "let_go")]
    cause = select(t.field_value.c.text).join(t.name, t.name.c.id == t.field_value.c.field)
    assert world.rows(cause.where(t.name.c.name == "lifecycle.cause", t.field_value.c.text == "price")) == [("price",)]


def test_who_starts_late_is_missed_and_who_stops_falls_back(world: World) -> None:
    assert world.entries("C", "missed") == [
        ("2026-06-08", "stages.signing"), ("2026-07-01", "stages.activation"), ("2026-10-01", "stages.growth"),
    ]  # fmt: skip
    assert world.stages("C") == [
        ("2026-06-01", "signing"), ("2026-06-18", "activation"), ("2026-07-13", "growth"),
        ("2026-09-28", "activation"),  # nobody worked in it for the 30 days before 24 August, and for 30 days since
        ("2026-10-20", "growth"), ("2026-10-29", "paused"), ("2026-11-18", "growth"),
    ]  # fmt: skip
    # Monday night, Friday noon and Tuesday noon, with 3, 1 and 3 working days
    assert world.entries("C", "missed", "handover") == [
        ("2026-06-04", "stages.writing"), ("2026-06-08", "stages.offered"), ("2026-06-12", "stages.writing"),
    ]  # fmt: skip


def test_shallow_use_leads_back_from_maturity_and_nine_months_without_a_campaign_are_missed(world: World) -> None:
    assert world.stages("D")[3:] == [
        ("2026-06-15", "maturity"), ("2026-09-05", "growth"), ("2026-09-11", "maturity"), ("2026-10-05", "renewal"),
    ]  # fmt: skip
    assert world.entries("D", "missed") == [
        ("2026-02-01", "stages.activation"), ("2026-05-01", "stages.growth"), ("2026-10-01", "stages.maturity"),
    ]  # fmt: skip
    assert world.entries("D", "missed", "renewal") == [("2026-11-01", "stages.prepare"), ("2026-12-01", "stages.offer")]


def test_who_cancels_can_be_won_back(world: World) -> None:
    assert world.stages("E")[1:] == [
        ("2026-06-03", "activation"),
        ("2026-06-24", "churned"),
        ("2026-07-07", "activation"),
    ]
    assert world.stages("E", "win_back") == [("2026-06-25", "open"), ("2026-07-07", "won")]


def test_complaints_have_minutes_hours_and_a_day(world: World) -> None:
    missed = world.entries("G", "missed", "complaint")
    assert missed[:4] == [  # soothed after a day; half a day of work, then a weekend; five working days from Tuesday
        ("2026-06-03", "stages.soothe"), ("2026-06-04", "stages.investigate"), ("2026-06-08", "stages.solve_now"),
        ("2026-06-16", "stages.review"),
    ]  # fmt: skip
    assert ("2026-07-03", "stages.solve") in missed
    returned = select(t.field_value.c.number).join(t.name, t.name.c.id == t.field_value.c.field)
    assert {1.0} <= {row[0] for row in world.rows(returned.where(t.name.c.name == "complaint.returns"))}


def test_success_managers_are_given_by_coverage_and_never_taken_from_whom_people_chose(world: World) -> None:
    a, c = t.assignment.c, t.customer.c
    rows = world.rows(select(c.key, a.person, a.word).join(t.assignment, a.customer == c.id).order_by(c.key))
    assert rows == [("A", "li", "dedicated"), ("B", "wang", None)]  # the others are pooled or digital


# Everything else that the pack says --------------------------------------------------------------------------------


def test_every_metric_had_a_value_and_every_word_was_said(world: World) -> None:
    names = dict(world.rows(select(t.name.c.id, t.name.c.name)))
    m = t.measurement_log.c
    rows = world.rows(select(m.metric, m.text).where(m.number.is_not(None) | m.text.is_not(None)).distinct())
    words = {(names[metric], word) for metric, word in rows}
    of_customers = [one for one in world.definition.metrics.values() if one.subject != "book"]
    assert {one.name for one in of_customers} == {name for name, _ in words}
    assert [
        (one.name, word) for one in of_customers for word in one.type.choices if (one.name, word) not in words
    ] == []


def test_the_metrics_of_the_book_are_what_the_six_customers_say(world: World) -> None:
    asked = Asked(over="2026-01-01..2026-12-31", trace=True)
    figures = {one["metric"]: one for one in world.app.book(world.zone.end_of(day("2026-12-14")), asked)["figures"]}
    told = {name: (one["numerator"], one["denominator"]) for name, one in figures.items()}
    assert told == {
        "revenue.renewal_rate": (1, 3),  # due: A (renewed), B, D
        "revenue.revenue_renewal_rate": ("70000 CNY", "130000 CNY"),
        "activation.rate": (2, 4),  # C, D, E, G had a first month in 2026, A's second term has its in 2027; C and D did
        "service.missed_nodes": (13, 6),  # B 4, C 3, D 3, G 3
        "service.overdue_share": (3, 5),  # C and G missed nodes, D's rescue was never ticked off; B has gone
        "service.amount_served": ("145000 CNY", 2),  # A 70000, C 25000, D 40000, E and G 5000 each, by li and wang
    }
    assert [one["customer"] for one in figures["activation.rate"]["of"]] == ["C", "D", "E", "G"]


def test_the_activation_rate_of_july_is_of_those_whose_first_month_ends_in_july(world: World) -> None:
    asked = Asked(over="2026-07-01..2026-07-31", trace=True)
    figures = {one["metric"]: one for one in world.app.book(world.zone.end_of(day("2026-12-14")), asked)["figures"]}
    rate = figures["activation.rate"]
    assert [one["customer"] for one in rate["of"]] == ["C", "E", "G"]  # since 1 June; A's clock has started anew
    assert (rate["numerator"], rate["denominator"]) == (1, 3)  # C


def test_every_role_had_something_to_do(world: World) -> None:
    doing = {row[0] for row in world.rows(select(t.assignment.c.role))} | {
        row[0] for row in world.rows(select(t.task.c.role))
    }
    doing |= {row[0].removeprefix("role:") for row in world.rows(select(t.outbox.c.recipient))}
    doing |= {stage.responsible for flow in world.definition.flows.values() for stage in flow.stages.values()}
    assert set(world.definition.roles) <= doing


def test_every_message_was_written_in_both_languages(world: World) -> None:
    bodies = world.rows(select(t.outbox.c.message, t.outbox.c.body).where(t.outbox.c.message.is_not(None)))
    assert {message for message, _ in bodies} == set(world.definition.messages)
    for message in world.definition.messages.values():
        for template in (message.title, message.text):
            assert set(template) == {"en", "zh"}


def test_the_office_is_closed_on_holidays_and_open_on_the_days_worked_for_them(world: World) -> None:
    office = world.definition.calendars["office"]
    noon = world.zone.at(day("2026-02-13"), 720)  # a Friday; the 14th is closed, the 15th, a Sunday, is worked
    assert office.between(noon, world.zone.end_of(day("2026-02-14"))) == 4.5 * 3_600_000_000
    assert office.between(noon, world.zone.end_of(day("2026-02-15"))) == 12 * 3_600_000_000


PACKS = ("standard", "clinic")


def unlabelled(written: Any, path: str = "") -> Iterator[str]:
    """Everything in a merged tree that people read and that lacks a label in English or Chinese."""
    labelled = (
        "flows",
        "metrics",
        "roles",
        "activities",
        "calendars",
        "goals",
        "reports",
        "fields",
        "stages",
        "milestones",
    )
    for key, content in (written or {}).items():
        here = f"{path}.{key}"
        if key in ("imports", "tests", "vars", "people", "retention", "migrate", "plan", "quiet", "transitions"):
            continue
        if key in labelled and isinstance(content, dict):
            for name, one in content.items():
                kinds = [one] if key != "fields" or path else list(one.values())
                for thing in kinds:
                    label = (thing.get("label") or thing) if isinstance(thing, dict) else {}
                    if not {"en", "zh"} <= set(label) and not (key == "fields" and not path):
                        yield f"{here}.{name}"
                yield from unlabelled(one, f"{here}.{name}") if isinstance(one, dict) else ()
        elif key == "choices":
            yield from (f"{here}.{word}" for word in words_without(content))
        elif isinstance(content, dict):
            yield from unlabelled(content, here)
        elif isinstance(content, list):
            for place, one in enumerate(content):
                if isinstance(one, dict) and "task" in one and not {"en", "zh"} <= set(one.get("label") or {}):
                    yield f"{here}.{place}"


def words_without(choices: Any) -> Iterator[str]:
    if not isinstance(choices, dict):
        yield from map(str, choices)
        return
    for word, label in choices.items():
        if isinstance(label, dict) and not {"en", "zh"} <= set(label):
            yield from words_without(label)  # a branch
        elif not isinstance(label, dict):
            yield str(word)


@pytest.mark.parametrize("pack", PACKS)
def test_everything_that_people_read_has_a_label_in_english_and_chinese(pack: str, tmp_path: Path) -> None:
    app = World(tmp_path / "project", pack).app
    tree = load(app.project, app.surroundings).tree
    assert list(unlabelled(tree)) == []


@pytest.mark.parametrize("pack", PACKS)
def test_a_project_from_the_pack_is_valid_without_a_warning_and_takes_its_files(pack: str, tmp_path: Path) -> None:
    def csflow(*words: str) -> str:
        done = subprocess.run([*COMMAND, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    csflow("init", "mine", "--from", pack)
    assert "0 warnings" in csflow("--project", "mine", "validate")
    (tmp_path / "mine/people.yaml").write_text("people: {he: {name: He, roles: [sales]}}\n", "utf-8")
    head = "company_id,company,sign_date,type,seller\n"
    (tmp_path / "mine/customers.csv").write_text(f"{head}C1,Clinic One,05/01/2026,C,he\n", "utf-8")
    (tmp_path / "mine/events").mkdir()
    extra = ("times,seconds", "1,60") if pack == "clinic" else ("", "")
    rows = f"event_id,account,ts,name,{extra[0]}\n1,C1,2026-01-06,invoice,{extra[1]}\n".replace(",\n", "\n")
    (tmp_path / "mine/events/a.csv").write_text(rows, "utf-8")
    csflow("--project", "mine", "import", "customers", "mine/customers.csv")
    csflow("--project", "mine", "import", "usage_events", "mine/events/a.csv")
    shown = json.loads(csflow("--project", "mine", "customer", "show", "C1", "--format", "json"))
    assert (shown["name"], shown["signed_on"]) == ("Clinic One", "2026-01-05")
    assert (shown["fields"]["segment"], shown["fields"]["sold_by"]) == ("chain", "he")
    csflow("--project", "mine", "run", "--as-of", "2026-01-06")
    shown = json.loads(
        csflow("--project", "mine", "customer", "show", "C1", "--format", "json", "--as-of", "2026-01-06")
    )
    assert shown["metrics"]["usage.active_days"]["value"] == 1
