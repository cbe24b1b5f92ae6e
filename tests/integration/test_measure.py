"""A measure of whom something changed for finds what a measure of everybody finds; on both databases."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import event, select, update

from csflow.store import tables as t
from csflow.values import day

FILES = {
    "office.yaml": """
calendars: {office: {zone: Europe/Berlin, hours: {mon-fri: 09:00-17:00}}}
imports:
  log: {into: usage, every: 1 day, columns: {customer: customer, feature: feature, day: day, seconds: seconds}}
  people: {into: contact, columns: {id: id, customer: customer}}
""",
    "metrics.yaml": """
metrics:
  usage.days: {uses: csflow/active_days, type: number, with: {window: 30 days}}
  usage.core: {uses: csflow/feature_share, type: share, with: {window: 30 days, features: core}}
  usage.open: {uses: csflow/feature_share, type: share, with: {window: 30 days, features: available}}
  usage.time: {uses: csflow/session_share, type: share, with: {window: 30 days, calendar: office}}
  usage.twice: usage.days * 2
  size.people: count(contact)
""",
    "care.yaml": """
flow: care
opens: contract.id is known
stages:
  start:
    transitions:
      idle: has_been(usage.days < 1, days(3))
  idle: good
""",
}
HEAD = "customer,feature,day,seconds\n"


class Measurer:
    """The project of this file with three customers; what is imported comes in on the day it is measured."""

    def __init__(self, project):
        self.project, self.values = project, project.values
        for key in ("C-1", "C-2", "C-3"):
            project.book.customer(key, starts="2026-01-01")

    def bring(self, kind, text, on):
        self.project.clock.set(on)
        self.project.book.write()
        told = self.project.bring(kind, text)
        assert told.rejected == 0, told.reasons

    def measure(self, on, *, full=False):
        self.project.clock.set(on)
        return self.project.measure(full=full)

    def spans(self):
        columns = (t.span.c.condition, t.span.c.subject, t.span.c.truth)
        with self.project.app.store.reading() as connection:
            return sorted(tuple(row) for row in connection.execute(select(*columns)))

    def full_finds_no_more(self, on):
        spans = self.spans()
        assert self.measure(on, full=True).changed == {}
        assert self.spans() == spans


@pytest.fixture
def project(csflow_project, database):
    return Measurer(csflow_project(FILES, database=database))


def test_the_first_day_of_use_makes_everybody_elses_use_0(project):
    project.measure("2026-03-30")
    assert project.values("usage.days") == {}
    project.bring("log", HEAD + "C-1,plan,2026-03-31,60\n", "2026-03-31")
    project.measure("2026-03-31")
    assert project.values("usage.days") == {"C-1": 1, "C-2": 0, "C-3": 0}
    assert project.values("usage.twice") == {"C-1": 2, "C-2": 0, "C-3": 0}
    project.full_finds_no_more("2026-03-31")


def test_a_first_day_that_is_still_to_come_makes_nobodys_use_known_before(project):
    project.bring("log", HEAD + "C-1,plan,2026-04-02,60\n", "2026-03-31")
    project.measure("2026-03-31")
    assert project.values("usage.days") == {}
    project.measure("2026-04-02")
    assert project.values("usage.days") == {"C-1": 1, "C-2": 0, "C-3": 0}
    project.full_finds_no_more("2026-04-02")


def test_the_first_core_feature_makes_depth_known_and_the_next_one_halves_it_of_whoever_did_not_use_it(project):
    project.bring("log", HEAD + "C-1,plan,2026-03-31,60\nC-2,mail,2026-03-31,60\n", "2026-03-31")
    project.measure("2026-03-31")
    assert project.values("usage.core") == {}
    assert project.values("usage.open") == {"C-1": 1 / 2, "C-2": 1 / 2, "C-3": 0}
    project.bring("features", "id,core\nplan,yes\n", "2026-03-31")
    project.measure("2026-03-31")
    assert project.values("usage.core") == {"C-1": 1, "C-2": 0, "C-3": 0}
    project.full_finds_no_more("2026-03-31")
    project.bring("features", "id,core\nsell,yes\nprint,no\n", "2026-03-31")  # nobody used them
    project.measure("2026-03-31")
    assert project.values("usage.core") == {"C-1": 1 / 2, "C-2": 0, "C-3": 0}
    assert project.values("usage.open") == {"C-1": 1 / 4, "C-2": 1 / 4, "C-3": 0}
    project.full_finds_no_more("2026-03-31")


def test_later_days_ask_only_those_whose_use_they_are(project):
    project.bring("features", "id,core\nplan,yes\n", "2026-03-31")
    project.bring("log", HEAD + "C-1,plan,2026-03-31,60\n", "2026-03-31")
    project.measure("2026-03-31")
    with project.project.app.store.writing() as connection:
        whose = select(t.customer.c.id).where(t.customer.c.key == "C-2").scalar_subquery()
        wrong = update(t.measurement).where(t.measurement.c.subject == whose)
        connection.execute(wrong.values(number=99))  # nobody asks about it, so it stays
    project.bring("log", HEAD + "C-1,plan,2026-04-01,60\n", "2026-04-01")
    project.measure("2026-04-01")
    assert project.values("usage.days") == {"C-1": 2, "C-2": 99, "C-3": 0}
    assert project.values("usage.core") == {"C-1": 1, "C-2": 99, "C-3": 0}
    assert project.values("usage.twice") == {"C-1": 4, "C-2": 99, "C-3": 0}


@pytest.mark.parametrize("named", [True, False])
def test_working_time_that_a_window_lost_changes_the_share_of_whoever_did_nothing_new(csflow_project, database, named):
    files = dict(FILES)
    if not named:
        files["metrics.yaml"] = FILES["metrics.yaml"].replace(", calendar: office", "")
        files["csflow.yaml"] = "csflow: 1\nname: test\ncurrency: EUR\nzone: UTC\ncalendar: office\n"
    project = Measurer(csflow_project(files, database=database))
    project.bring("log", HEAD + "C-1,plan,2026-04-03,3600\nC-2,plan,2026-04-03,7200\n", "2026-04-03")
    project.measure("2026-04-03")  # a Friday; 5 March to 3 April are 22 days of eight hours
    assert project.values("usage.time") == {"C-1": 1 / 176, "C-2": 2 / 176, "C-3": 0}
    project.bring("log", HEAD + "C-3,plan,2026-04-04,3600\n", "2026-04-04")
    project.measure("2026-04-04")  # Thursday 5 March has left, Saturday has come
    assert project.values("usage.time") == {"C-1": 1 / 168, "C-2": 2 / 168, "C-3": 1 / 168}
    project.full_finds_no_more("2026-04-04")


def test_whatever_is_computed_from_a_source_is_known_again_for_all_when_it_speaks_again(project):
    project.bring("log", HEAD + "C-1,plan,2026-03-30,60\nC-2,plan,2026-03-30,60\n", "2026-03-30")
    project.measure("2026-03-30")
    known = project.spans()
    assert project.measure("2026-04-01").silent == ["log"]
    project.measure("2026-04-02")  # the night after, what the silent source gave is known to be old
    assert project.values("usage.twice") == {"C-1": None, "C-2": None, "C-3": None}
    assert project.spans() != known
    project.bring("log", HEAD + "C-1,plan,2026-04-03,60\n", "2026-04-03")
    project.measure("2026-04-03")
    assert project.values("usage.twice") == {"C-1": 4, "C-2": 2, "C-3": 0}
    assert project.spans() == known
    project.full_finds_no_more("2026-04-03")


def test_what_came_late_while_a_source_was_silent_counts_when_it_speaks_again(project):
    project.bring("log", HEAD + "C-1,plan,2026-03-30,60\nC-2,plan,2026-03-30,60\n", "2026-03-30")
    project.measure("2026-03-30")
    project.bring("log", HEAD + "C-1,plan,2026-03-20,60\n", "2026-04-01")  # a day that the last measure had looked at
    assert project.measure("2026-04-01").silent == ["log"]
    project.bring("log", HEAD + "C-2,plan,2026-04-02,60\n", "2026-04-02")
    project.measure("2026-04-02")
    assert project.values("usage.days") == {"C-1": 2, "C-2": 2, "C-3": 0}
    project.full_finds_no_more("2026-04-02")


def test_a_source_that_was_silent_at_the_first_measure_makes_everybody_known_when_it_speaks(project):
    project.bring("log", HEAD + "C-1,plan,2026-03-20,60\n", "2026-03-20")
    assert project.measure("2026-03-31").silent == ["log"]
    assert project.values("usage.days") == {}
    project.bring("log", HEAD + "C-2,plan,2026-04-01,60\n", "2026-04-01")
    project.measure("2026-04-01")
    assert project.values("usage.days") == {"C-1": 1, "C-2": 1, "C-3": 0}
    project.full_finds_no_more("2026-04-01")


def test_the_first_contact_of_all_makes_everybody_elses_count_0(project):
    project.measure("2026-03-30")
    assert project.values("size.people") == {}
    project.bring("people", "id,customer\nP-1,C-1\n", "2026-03-31")
    project.measure("2026-03-31")
    assert project.values("size.people") == {"C-1": 1, "C-2": 0, "C-3": 0}
    project.full_finds_no_more("2026-03-31")


def test_what_a_window_holds_of_customers_is_looked_up_by_customer(project):
    if project.project.app.store.dialect != "sqlite":
        pytest.skip("the plan of SQLite")
    store, sent = project.project.app.store, {}

    def note(_connection, _cursor, statement, parameters, _context, _many) -> None:
        if "LEFT OUTER JOIN found_values" in statement:
            sent[statement] = parameters

    event.listen(store.engine, "before_cursor_execute", note)
    project.bring("usage", HEAD + "C-1,plan,2026-03-30,60\n", "2026-03-30")
    project.measure("2026-03-30")
    project.measure("2026-04-06")
    event.remove(store.engine, "before_cursor_execute", note)
    with store.writing() as connection:
        plans = [
            [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            for statement, parameters in sent.items()
        ]
    assert len(plans) >= 2  # of everybody, and of whose window changed
    for plan in plans:
        assert any(line.startswith("SEARCH found_values USING INDEX") for line in plan), plan


def test_a_value_of_many_facts_is_of_the_newest_day_among_theirs(csflow_project, database):
    kinds = [f"k{number}" for number in range(20)]
    single = [f"  {kind}.uses: {{uses: csflow/event_count, with: {{feature: {kind}}}, type: number}}" for kind in kinds]
    together = "  all.uses: " + " + ".join(f"{kind}.uses" for kind in kinds)
    project = csflow_project({"metrics.yaml": "\n".join(["metrics:", *single, together, ""])}, database=database)
    project.clock.set("2026-03-09")
    project.book.customer("C-1")
    for kind, on in {"k3": "2026-03-02", "k11": "2026-03-08", "k19": "2026-03-05"}.items():
        project.book.usage("C-1", kind, on=on)
    project.book.write()
    project.measure()
    assert project.values("all.uses") == {"C-1": 3.0}
    m, name = t.measurement.c, t.name.c
    with project.app.store.reading() as connection:
        of = select(m.happened).join(t.name, name.id == m.metric).where(name.name == "all.uses")
        assert connection.execute(of).scalars().all() == [day(date(2026, 3, 8))]
