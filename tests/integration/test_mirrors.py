"""A flow that mirrors another system: its cases and their moves are imported, and csflow follows; on both databases."""

from __future__ import annotations

import pytest

FILES = {
    "deal.yaml": """
flow: deal
mirrors: crm
stages: {lead: {}, offer: {}, won: good, lost: bad}
""",
    "ours.yaml": """
flow: ours
stages: {new: {transitions: {half: {trigger: on_we_go}}}, half: {transitions: {done: {trigger: finish}}}, done: good}
""",
}


@pytest.fixture
def project(csflow_project, database):
    made = csflow_project(FILES, database=database, today="2026-01-01")
    made.book.customer("C-1", starts="2026-01-01")
    made.book.write()
    return made


def follow(project, rows, on):
    """Import the one case there is, and a pass of the same day."""
    project.clock.set(on)
    assert project.bring("cases", HEAD + rows).rejected == 0
    outcome = project.advance()
    assert len({one["case"] for one in project.app.history("C-1", project.clock.now)["entries"]}) == 1
    return outcome


def moves(project):
    entries = project.case("C-1", "deal")["history"]
    return [(one["from"], one["to"], one["at"], one["actor"]) for one in entries if one["kind"] == "moved"]


HEAD = "id,flow,customer,opened_at,stage,at\n"


def test_the_moves_of_a_mirrored_flow_come_as_they_were_made_with_no_way_of_its_own(project):
    assert follow(project, "D1,deal,C-1,2026-01-10T12:00,offer,2026-02-01T12:00\n", "2026-02-02").failed == []
    assert project.stage("C-1", "deal") == "offer"
    assert follow(project, "D1,deal,C-1,2026-01-10T12:00,won,2026-02-10T12:00\n", "2026-02-11").failed == []
    assert project.stage("C-1", "deal") == "won"
    assert moves(project) == [
        ("lead", "offer", "2026-02-01 12:00", "import:case"),
        ("offer", "won", "2026-02-10 12:00", "import:case"),
    ]


def test_a_mirrored_deal_may_go_back_and_be_opened_again(project):
    for stage, on in (("lost", "2026-02-01"), ("lead", "2026-02-03"), ("offer", "2026-02-05")):
        assert follow(project, f"D1,deal,C-1,2026-01-10T12:00,{stage},{on}T12:00\n", on).failed == [], stage
        assert project.stage("C-1", "deal") == stage


def test_the_same_file_again_moves_nothing(project):
    for on in ("2026-02-02", "2026-02-03"):
        assert follow(project, "D1,deal,C-1,2026-01-10T12:00,offer,2026-02-01T12:00\n", on).failed == []
    assert len(moves(project)) == 1


def test_a_move_that_a_flow_of_our_own_has_no_way_for_is_refused_with_a_reason(project):
    outcome = follow(project, "R1,ours,C-1,2026-01-10T12:00,done,2026-02-01T12:00\n", "2026-02-02")
    assert [one["error"] for one in outcome.failed] == ["ours/C-1/1: no way leads from 'new' to 'done'"]
    assert project.stage("C-1", "ours") == "new"
