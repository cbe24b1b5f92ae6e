"""Every hook of the example, by the fixtures that csflow brings."""

import json

import csflow_example as example
import pytest
from click.testing import CliRunner

from csflow.cli import main
from csflow.hookspecs import NotReady, RetryLater, Undeliverable
from csflow.testing import Asked, check_metric, check_milestone, check_notifier, usage
from csflow.values import day

YEAR = {"C-1": [usage("order", "2026-01-05", 6), usage("order", "2026-01-20", 2)], "C-2": [usage("look", "2026-01-02")]}


@pytest.fixture
def journal(tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    monkeypatch.setenv(example.JOURNAL, str(path))
    return path


def rows(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def test_orders_a_week_are_those_of_the_window():
    asked = Asked(usage=YEAR, subjects=["C-3"], options={"window": "4 weeks"})
    check_metric(example.orders_per_week, asked, {"C-1": 2.0, "C-2": 0.0, "C-3": 0.0})


def test_the_first_order_is_a_day():
    check_milestone(example.first_order, Asked(usage=YEAR), {"C-1": "2026-01-05", "C-2": False})


@pytest.mark.parametrize(
    ("date", "number"), [("2026-01-05", 1), ("2026-01-11", 7), ("1970-01-01", 4), ("1969-12-31", 3)]
)
def test_a_weekday_counts_from_monday(date, number):
    assert example.weekday(day(date)) == number


def test_the_journal_gets_every_message_once(journal, monkeypatch):
    def broken():
        monkeypatch.setenv(example.JOURNAL, str(journal / "no-folder"))

    notifier = example.csflow_notifiers()["journal"]
    check_notifier(notifier, lambda: rows(journal), failing=[(broken, RetryLater)])


def test_a_journal_that_nobody_named_is_told_before_it_is_opened(monkeypatch):
    monkeypatch.delenv(example.JOURNAL, raising=False)
    with pytest.raises(NotReady, match=example.JOURNAL):
        example.csflow_notifiers()["journal"].ready()


def test_an_address_that_nobody_reads_is_never_tried_again(journal):
    from csflow.testing import message

    with example.csflow_notifiers()["journal"].open() as send, pytest.raises(Undeliverable):
        send(message(address={"journal": "nowhere"}))


def test_the_pack_lives(csflow_project, journal):
    project = csflow_project(pack="example", today="2026-01-12")
    project.book.customer("C-1", starts="2026-01-05")  # a Monday
    project.book.customer("C-2", starts="2026-01-06")
    project.book.usage("C-1", "order", on="2026-01-07")
    project.book.usage("C-2", "order", on="2026-01-08")
    project.book.customer("C-3", starts="2026-01-05")
    ran = project.run()
    assert ran.measured.failed == []
    assert [project.stage(c) for c in ("C-1", "C-2", "C-3")] == ["monday", "steady", "start"]
    assert project.values("orders.per_week") == {"C-1": 0.25, "C-2": 0.25, "C-3": 0.0}
    assert project.milestones("C-2")["ordered"].startswith("2026-01-08")
    moved = [row for row in rows(journal) if "moved" in row]
    assert {row["moved"] for row in moved} == {"lifecycle/C-1/1", "lifecycle/C-2/1"}


def test_the_pack_imports_without_a_file(csflow_project):
    project = csflow_project(pack="example")
    assert project.bring("firms").new == 2
    assert project.bring("firms").unchanged == 2


def test_wrong_settings_are_told_with_their_place(csflow_project):
    project = csflow_project("metrics: {orders.per_week: {with: {window: 30 days}}}\n", pack="example")
    code, out, _ = project.csflow("validate")
    assert code == 3
    assert "example/orders_per_week: say with: {window: 4 weeks}" in out


def test_a_section_counts_cases_by_stage(csflow_project, journal):
    project = csflow_project(pack="example", today="2026-01-12")
    project.book.customer("C-1", starts="2026-01-05")
    project.run()
    from csflow.hookspecs import Sheet

    with project.app.store.reading() as connection:
        section = example.customers_by_stage(Sheet(connection, project.clock.today, "zh"))
    assert (section.title, section.rows) == ("各阶段客户数", (("lifecycle", "start", 1),))


def test_the_command_is_listed_and_called(csflow_project):
    assert "example-cheer" in CliRunner().invoke(main, ["--help"]).stdout
    assert CliRunner().invoke(main, ["example-cheer", "Ann"]).stdout == "Well done, Ann!\n"


def test_csflow_lists_the_plugin_with_its_version(csflow_project):
    code, out, _ = csflow_project(pack="example").csflow("plugins", "--format", "json")
    (mine,) = [row for row in json.loads(out)["plugins"] if row["name"] == "example"]
    assert code == 0
    assert (mine["version"], mine["origin"], mine["failures"]) == ("0.1.0", "package", [])
    assert len(mine["hooks"]) == 9
