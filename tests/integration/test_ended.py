"""A case that ends leaves nothing to do, and imported cases arrive as what they were."""

from __future__ import annotations

import pytest

FILES = {
    "roles.yaml": "roles: {csm: Success manager}\n",
    "life.yaml": """
flow: lifecycle
opens: contract.id is known
stages:
  start:
    do: [{task: call, for: csm}]
    transitions: {over: since(contract.ends_on) > days(0)}
  over: bad
""",
    "ticket.yaml": """
flow: ticket
one_per: case.id
opens: {trigger: ticket}
fields: {satisfaction: number}
stages:
  open: {deadline: 2 days, transitions: {closed: {trigger: close_ticket}}}
  closed: good
""",
}
CASES = "flow,customer,id,opened_at,stage,at,satisfaction\nticket,C-1,T-1,2026-02-01,open,2026-02-01,\nticket,C-1,T-2,2026-02-02,closed,2026-02-04,4\n"


@pytest.fixture
def project(csflow_project, database):
    made = csflow_project(FILES, database=database, today="2026-02-10")
    made.book.customer("C-1", starts="2026-01-01", ends="2026-03-31", amount=100)
    made.book.write()
    assert made.bring("cases", CASES).rejected == 0
    return made


def test_the_open_tasks_of_a_case_that_ends_are_no_longer_to_be_done(project):
    project.advance()
    (task,) = project.case("C-1")["tasks"]
    assert task["done_at"] is None
    project.clock.set("2026-04-01")
    project.advance()
    (task,) = project.case("C-1")["tasks"]
    assert task["outcome"] == "not_applicable"


def test_imported_cases_stand_in_their_stage_with_their_dates(project):
    assert project.advance().failed == []
    cases = [project.case("C-1", "ticket", number) for number in (1, 2)]
    assert [(one["fields"]["satisfaction"], one["stage"], one["end"], one["opened_at"]) for one in cases] == [
        (None, "open", None, "2026-02-01 00:00"),
        (4, "closed", "good", "2026-02-02 00:00"),
    ]
    entries = project.app.history("C-1", project.clock.now)["entries"]
    assert {one["case"] for one in entries} == {"lifecycle/C-1/1", "ticket/C-1/1", "ticket/C-1/2"}
    judged = [(line["met"] is not None, line["missed"] is not None) for one in cases for line in one["deadlines"]]
    assert judged == [(False, True), (True, False)]


def test_importing_the_same_cases_again_changes_nothing(project):
    project.advance()
    project.clock.set("2026-02-11")
    assert project.bring("cases", CASES).new == 0
    assert project.advance().counts.get("opened", 0) == 0
