"""Definitions that change between passes: cases follow by rename or migration, deadlines by their new due time, or nothing moves."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from csflow.errors import DefinitionError
from csflow.store import tables as t

ROLES = "roles: {csm: Success manager}\n"
FIRST = """
flow: lifecycle
opens: contract.id is known
clock: contract.starts_on
stages:
  trial:
    deadline: 10 days after clock
    transitions: {live: since(contract.starts_on) >= days(30)}
  live: {transitions: {gone: {trigger: leave}}}
  gone: bad
"""
CUSTOMERS = ("C-1", "C-2", "C-3")


@pytest.fixture
def begun(csflow_project, database):
    """Lets three customers, whose contracts begin on 2 March, begin under a flow; the project."""

    def begin(flow=FIRST):
        project = csflow_project({"roles.yaml": ROLES, "life.yaml": flow}, database=database, today="2026-03-02")
        for key in CUSTOMERS:
            project.book.customer(key, starts="2026-03-02")
        project.advance()
        return project

    return begin


def changed(project, flow, on):
    """A pass of that day under another flow."""
    project.change({"life.yaml": flow})
    project.clock.set(on)
    return project.advance()


def stages(project):
    return [project.stage(key) for key in CUSTOMERS]


def deadlines(project, key="C-1"):
    """Of a case: (name, due day, whether it was missed), those of an earlier run of the clock first."""
    return [(one["deadline"], one["due"][:10], one["missed"] is not None) for one in project.case(key)["deadlines"]]


def told(project, key="C-1"):
    """The history of a case: (day, kind, to)."""
    return [(one["at"][:10], one["kind"], one["to"]) for one in project.case(key)["history"]]


def test_a_renamed_stage_takes_its_cases_along(begun):
    project = begun()
    outcome = changed(project, FIRST.replace("  trial:\n", "  start:\n    renamed_from: trial\n"), "2026-03-03")
    assert stages(project) == ["start"] * 3
    assert outcome.failed == []
    (entry,) = [one for one in project.case("C-1")["history"] if one["kind"] == "migrated"]
    assert (entry["from"], entry["to"]) == ("trial", "start")


def test_a_dropped_stage_without_a_way_on_stops_the_pass_and_writes_nothing(begun):
    project = begun()
    first = project.app.definition.hash
    with pytest.raises(DefinitionError, match=r"stage 'trial' of flow 'lifecycle' is gone, but has 3 cases"):
        changed(project, FIRST.replace("  trial:\n", "  start:\n"), "2026-03-03")
    assert stages(project) == ["trial"] * 3
    with project.app.store.reading() as connection:
        assert connection.execute(select(t.case.c.definition).distinct()).scalars().all() == [first]


def test_a_flow_that_is_gone_stops_the_pass_and_writes_nothing(begun):
    project = begun()
    with pytest.raises(DefinitionError, match=r"flow 'lifecycle' is gone, but has 3 cases in 'trial': bring it back"):
        changed(project, FIRST.replace("flow: lifecycle", "flow: other"), "2026-03-03")
    project.change({"life.yaml": FIRST})
    assert stages(project) == ["trial"] * 3


def test_a_definition_that_comes_back_is_kept_once(begun):
    project = begun()
    one = project.app.definition.hash
    changed(project, FIRST.replace("10 days", "20 days"), "2026-03-03")
    two = project.app.definition.hash
    changed(project, FIRST, "2026-03-04")
    with project.app.store.reading() as connection:
        assert sorted(connection.execute(select(t.definition.c.hash)).scalars()) == sorted([one, two])
        assert set(connection.execute(select(t.case.c.definition)).scalars()) == {one}


def test_migrated_cases_go_to_the_named_stage(begun):
    project = begun()
    changed(project, FIRST.replace("  trial:\n", "  start:\n") + "migrate: {trial: {to: live}}\n", "2026-03-03")
    assert stages(project) == ["live"] * 3


MEASURED = FIRST.replace(
    "stages:\n", "deadline: 5 days after clock\nstages:\n"
)  # due on 7 March, its trial on the 12th
MOVED = MEASURED.replace("  trial:\n    deadline: 10", "  start:\n    deadline: 20")  # due on 22 March
GONE_ON = "migrate: {trial: {to: start, clock: restart}}\n"


def test_a_clock_that_goes_on_judges_nothing_twice(begun):
    project = begun(MEASURED)
    project.clock.set("2026-03-09")
    assert project.advance().counts["missed"] == 3
    for clock in (GONE_ON.replace("restart", "keep"), "migrate: {trial: start}\n"):
        outcome = changed(project, MOVED + clock, "2026-03-10")
        assert (outcome.counts.get("missed", 0), stages(project)) == (0, ["start"] * 3)
        assert deadlines(project) == [("flow", "2026-03-07", True), ("stages.start", "2026-03-22", False)]
    assert told(project)[1:] == [("2026-03-07", "missed", "flow"), ("2026-03-10", "migrated", "start")]


def test_a_clock_that_starts_anew_judges_every_deadline_once_more(begun):
    project = begun(MEASURED)
    project.clock.set("2026-03-09")
    assert project.advance().counts["missed"] == 3
    outcome = changed(project, MOVED + GONE_ON, "2026-03-10")
    assert (outcome.counts["migrated"], outcome.counts["missed"], outcome.failed) == (3, 3, [])
    assert deadlines(project) == [
        ("flow", "2026-03-07", True), ("flow", "2026-03-07", True), ("stages.start", "2026-03-22", False),
    ]  # fmt: skip
    assert project.case("C-1")["clock"] == "2026-03-02"
    assert told(project)[1:] == [
        ("2026-03-07", "missed", "flow"), ("2026-03-10", "migrated", "start"), ("2026-03-10", "clock", "2026-03-02"),
        ("2026-03-07", "missed", "flow"),
    ]  # fmt: skip
    before = told(project)
    project.advance(full=True)
    assert told(project) == before
    project.clock.set("2026-03-22")
    assert project.advance().counts.get("missed", 0) == 0
    project.clock.set("2026-03-23")
    assert project.advance().counts["missed"] == 3
    assert told(project)[len(before) :] == [("2026-03-22", "missed", "stages.start")]


ENDED = """
flow: lifecycle
opens: contract.id is known
stages:
  trial:
    deadline: 10 days
    do: [{task: hello, for: csm}]
    transitions: {live: {trigger: go}, gone: since(contract.starts_on) >= days(3)}
  live: {transitions: {gone: {trigger: leave}}}
  gone: bad
"""


def test_cases_that_are_migrated_into_an_end_leave_nothing_to_do(begun):
    project = begun(ENDED)
    without = ENDED.replace("gone: since(contract.starts_on) >= days(3)", "gone: {trigger: leave}")
    changed(project, without.replace("  trial:\n", "  start:\n") + "migrate: {trial: gone}\n", "2026-03-04")
    case = project.case("C-1")
    assert (case["stage"], case["end"], case["ended_at"]) == ("gone", "bad", "2026-03-04 23:59")
    assert [one["outcome"] for one in case["tasks"]] == ["not_applicable"]
    assert case["deadlines"] == []
    project.clock.set("2026-04-30")
    assert project.advance().counts.get("missed", 0) == 0


def test_cases_that_are_migrated_out_of_an_end_are_open_again(begun):
    project = begun(ENDED)
    project.clock.set("2026-03-05")
    project.advance()
    assert {project.case(key)["end"] for key in CUSTOMERS} == {"bad"}
    changed(project, ENDED.replace("gone:", "lost:") + "migrate: {gone: live}\n", "2026-03-06")
    case = project.case("C-1")
    assert (case["stage"], case["end"], case["ended_at"]) == ("live", None, None)


def test_an_end_that_is_renamed_ended_when_it_did(begun):
    project = begun(ENDED)
    project.clock.set("2026-03-05")
    project.advance()
    changed(project, ENDED.replace("gone:", "lost:").replace("lost: bad", "lost: {end: neutral, renamed_from: gone}"), "2026-03-06")  # fmt: skip
    case = project.case("C-1")
    assert (case["stage"], case["end"], case["ended_at"]) == ("lost", "neutral", "2026-03-05 23:59")


AGAIN = ENDED.replace("opens: contract.id is known", "opens: {trigger: again}").replace(
    "gone: since(contract.starts_on) >= days(3)", "gone: {trigger: leave}"
)


def came_back(begun):
    """C-1 left on 4 March and opened its second case on the 6th: one of its cases has ended, the other is open."""
    project = begun(AGAIN)
    for on, word in (("2026-03-02", "again"), ("2026-03-04", "leave"), ("2026-03-06", "again")):
        project.clock.set(on)
        project.book.trigger("C-1", word)
        project.advance()
    return project


def test_ended_cases_cannot_go_on_beside_another_of_the_same_subject(begun):
    project = came_back(begun)
    assert [project.case("C-1", number=number)["end"] for number in (1, 2)] == ["bad", None]
    said = r"'gone' of flow 'lifecycle' is gone, and 1 case that ended in it cannot go on in 'live' beside another"
    with pytest.raises(DefinitionError, match=said):
        changed(project, AGAIN.replace("gone:", "lost:") + "migrate: {gone: live}\n", "2026-03-07")
    changed(project, AGAIN.replace("gone:", "lost:") + "migrate: {gone: lost}\n", "2026-03-07")
    assert [project.stage("C-1", number=number) for number in (1, 2)] == ["lost", "trial"]


ENDS = """
flow: lifecycle
opens: contract.id is known
stages:
  begun: {transitions: {live: {trigger: go}, trial: {trigger: leave}}}
  trial: neutral
  live: {transitions: {gone: {trigger: leave}}}
  gone: bad
"""


def test_cases_in_a_stage_that_becomes_an_end_are_ended_as_of_then_and_leave_nothing_to_do(begun):
    project = begun(ENDED)
    outcome = changed(project, ENDS, "2026-03-04")
    case = project.case("C-1")
    assert (case["stage"], case["end"], case["ended_at"]) == ("trial", "neutral", "2026-03-04 23:59")
    assert [one["outcome"] for one in case["tasks"]] == ["not_applicable"]
    assert case["deadlines"] == []
    assert outcome.counts["migrated"] == 3
    assert told(project)[-1] == ("2026-03-04", "migrated", "trial")
    project.clock.set("2026-04-30")
    assert project.advance().counts.get("missed", 0) == 0


def test_cases_in_an_end_that_is_none_any_more_are_open_again_and_go_on(begun):
    project = begun(ENDED)
    project.clock.set("2026-03-05")
    project.advance()
    goes_on = ENDED.replace(
        "  gone: bad\n", "  gone: {transitions: {over: since(contract.starts_on) >= days(5)}}\n  over: bad\n"
    )
    changed(project, goes_on, "2026-03-06")
    case = project.case("C-1")
    assert (case["stage"], case["end"], case["ended_at"]) == ("gone", None, None)
    project.clock.set("2026-03-07")
    project.advance()
    case = project.case("C-1")
    assert (case["stage"], case["end"], case["ended_at"]) == ("over", "bad", "2026-03-07 23:59")


def test_an_end_of_another_kind_ended_when_it_did(begun):
    project = begun(ENDED)
    project.clock.set("2026-03-05")
    project.advance()
    changed(project, ENDED.replace("gone: bad", "gone: neutral"), "2026-03-06")
    case = project.case("C-1")
    assert (case["stage"], case["end"], case["ended_at"]) == ("gone", "neutral", "2026-03-05 23:59")


def test_an_end_that_is_none_any_more_is_refused_where_another_case_of_the_subject_is_open(begun):
    project = came_back(begun)
    said = r"'gone' of flow 'lifecycle' is an end no longer, and 1 case that ended in it cannot go on beside another"
    with pytest.raises(DefinitionError, match=said):
        changed(project, AGAIN.replace("gone: bad", "gone: {transitions: {trial: {trigger: again}}}"), "2026-03-07")
    assert [project.case("C-1", number=number)["end"] for number in (1, 2)] == ["bad", None]


def test_a_changed_due_time_moves_deadlines_not_yet_judged(begun):
    project = begun()
    later = FIRST.replace("10 days after clock", "20 days after clock")
    assert changed(project, later, "2026-03-14").counts.get("missed", 0) == 0
    assert [deadlines(project, key) for key in CUSTOMERS] == [[("stages.trial", "2026-03-22", False)]] * 3
    project.clock.set("2026-03-23")
    assert project.advance().counts["missed"] == 3


def test_a_new_deadline_is_given_to_cases_that_run_already(begun):
    project = begun(FIRST.replace("    deadline: 10 days after clock\n", ""))
    assert changed(project, FIRST, "2026-03-13").counts["missed"] == 3


def test_a_new_guard_is_asked_of_everybody_once(begun):
    sooner = FIRST.replace("since(contract.starts_on) >= days(30)", "contract.id is known")
    assert changed(begun(), sooner, "2026-03-03").counts["moved"] == 3
