"""Doctor: each thing that can be wrong is provoked for real, is told in one line, and nothing is changed by looking."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner
from shop import FAILING, FILES, Shop, at
from sqlalchemy import insert, select, text, update

from csflow.app import Csflow
from csflow.cli import COMMANDS, main
from csflow.errors import UsageError
from csflow.services.advance import Request
from csflow.store import tables as t
from csflow.store.locking import pass_lock
from csflow.store.names import name_id
from csflow.values import DAY_US, day, parse_length

SOURCE = Path(__file__).parents[2] / "src/csflow/services/doctor.py"


def looked(shop: Shop, on: str, *, every: str | None = None, clock: int | None = None) -> dict:
    """What the doctor says at the end of a day, plugins and definitions read from the project's folder."""
    app = Csflow(shop.folder, database=shop.database)
    try:
        length = parse_length(every) if every else None
        return app.doctor(at(on), clock=clock or at("2030-01-01"), every=length)
    finally:
        app.close()


def lines(found: dict, about: str) -> list[tuple[str, str]]:
    return [(one["level"], one["what"]) for one in found["findings"] if one["about"] == about]


def wrong(found: dict) -> list[str]:
    return [one["what"] for one in found["findings"] if one["level"] == "wrong"]


@pytest.fixture
def daily(shop: Shop) -> Shop:
    """Two customers and three nightly passes, the last of 7 January 2026."""
    shop.customer("C-1", beds=60.0)
    shop.customer("C-2", beds=5.0)
    for on in ("2026-01-05", "2026-01-06", "2026-01-07"):
        shop.run(on)
    return shop


def test_a_project_that_runs_every_night_is_well(daily: Shop) -> None:
    found = looked(daily, "2026-01-08")
    assert (found["wrong"], found["notes"], found["findings"]) == (0, 0, [])
    assert (found["as_of"], found["database"]["tables"]) == ("2026-01-08 23:59", "0001")
    assert found["database"]["kind"].startswith(daily.store.dialect)


def test_a_pass_is_late_after_the_longest_pause_so_far_and_half_of_it(daily: Shop) -> None:
    """One day between the passes: late after a day and a half."""
    assert lines(looked(daily, "2026-01-09"), "pass") == [
        (
            "wrong",
            "the last pass was as of 2026-01-07 23:59, 2.0 days ago: longer than any pause between the passes before it",
        )
    ]
    daily.run("2026-01-10")
    assert looked(daily, "2026-01-14")["wrong"] == 0
    assert wrong(looked(daily, "2026-01-15")) == [
        "the last pass was as of 2026-01-10 23:59, 5.0 days ago: longer than any pause between the passes before it"
    ]


def test_how_often_a_pass_should_come_can_be_said(daily: Shop) -> None:
    assert looked(daily, "2026-01-14", every="1 week")["wrong"] == 0
    assert wrong(looked(daily, "2026-01-15", every="1 week")) == [
        "the last pass was as of 2026-01-07 23:59, 8.0 days ago: longer than --every says"
    ]


def test_a_measure_that_is_left_out_before_the_pass_is_late(daily: Shop) -> None:
    for on in ("2026-01-08", "2026-01-09"):
        daily.advance(on)
    assert lines(looked(daily, "2026-01-10"), "measure") == [
        (
            "wrong",
            "the last measure was as of 2026-01-07 23:59, 3.0 days ago: longer than any pause between the passes before it",
        )
    ]


def test_before_the_first_pass_and_after_a_single_one_there_are_notes(shop: Shop) -> None:
    assert [one["what"] for one in looked(shop, "2026-01-05")["findings"]] == [
        "no pass has run yet",
        "no measure has run yet",
    ]
    shop.run("2026-01-05")
    found = looked(shop, "2026-02-05")
    assert (found["wrong"], lines(found, "pass")) == (
        0,
        [("note", "the last pass was as of 2026-01-05 23:59, 31.0 days ago")],
    )


def test_a_pass_of_a_day_to_come_is_a_wrong_clock(daily: Shop) -> None:
    assert lines(looked(daily, "2026-01-06"), "clock") == [
        ("wrong", "the newest measure or pass is as of 2026-01-07 23:59, which is still to come")
    ]


def test_a_pass_as_of_the_end_of_today_is_none(daily: Shop) -> None:
    app = Csflow(daily.folder, database=daily.database)
    assert lines(app.doctor(at("2026-01-07") - DAY_US // 2, clock=at("2026-01-07")), "clock") == []
    app.close()


def test_an_entry_written_by_a_clock_that_goes_ahead_is_told(daily: Shop) -> None:
    found = looked(daily, "2026-01-08", clock=at("2026-01-07") - DAY_US)
    assert lines(found, "clock") == [
        ("wrong", "the newest entry was written at 2026-01-07 23:59, which is still to come")
    ]


def test_a_pass_that_runs_is_named_with_its_process(daily: Shop) -> None:
    with pass_lock(daily.store, 0.0):
        [(level, what)] = lines(looked(daily, "2026-01-08"), "lock")
    assert level == "note"
    assert re.fullmatch(rf"a pass runs: process {os.getpid()} on \S+, since \S+ \S+ UTC", what)
    assert lines(looked(daily, "2026-01-08"), "lock") == []


def test_a_pass_that_was_killed_left_its_name_and_an_entry_without_an_end(daily: Shop, tmp_path: Path) -> None:
    script = f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from csflow.services import advance
        from shop import Shop, at
        from csflow.store.opening import open_store
        from csflow.store.locking import pass_lock
        from csflow.services.advance import Request, _Pass
        from csflow.services.session import Session
        from csflow.app import Csflow
        from pathlib import Path
        app = Csflow(Path({str(daily.folder)!r}), database={daily.database!r})
        with pass_lock(app.store, 0.0):
            _Pass(Session(app.store, None), app.definition, Request(at("2026-01-08"), "x", at("2026-01-08")), None)._begin()
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    found = looked(daily, "2026-01-08")
    [(level, what)] = lines(found, "lock")
    assert (level, what.startswith("a pass did not come to its end: process ")) == ("note", True)
    assert lines(found, "pass") == [("wrong", "the newest pass was ended before it was done")]
    daily.run("2026-01-08")
    assert looked(daily, "2026-01-08")["findings"] == []


def test_a_pass_for_one_customer_is_no_interrupted_one(daily: Shop) -> None:
    from csflow.services.advance import advance

    advance(daily.store, daily.definition, Request(at("2026-01-08"), "x", at("2026-01-08"), subjects=("C-1",)))
    assert looked(daily, "2026-01-08")["findings"] == []


def test_cases_that_failed_in_the_last_pass_are_counted(daily: Shop) -> None:
    with daily.store.writing() as c:  # a row that no pass can move: its stage is none of its flow's
        c.execute(update(t.run).values(summary=json.dumps({"failed": 2, "moved": 1})))
    assert lines(looked(daily, "2026-01-08"), "cases") == [("wrong", "2 cases failed in the pass of 2026-01-07 23:59")]


SILENT = """
imports:
  clicks: {into: usage, every: 1 day, columns: {customer: who, feature: what, day: date}}
  people: {into: contact, columns: {id: id, customer: who}}
"""


@pytest.fixture
def fed(database: str, tmp_path: Path) -> Shop:
    """As daily, with a source of usage that should speak every day, its newest row of 6 January."""
    shop = Shop(database, tmp_path / "shop", FILES | {"imports.yaml": SILENT})
    shop.customer("C-1", beds=1.0)
    with shop.store.writing() as c:
        number, customer = name_id(c, "source", "clicks"), shop.id("C-1", c)
        c.execute(insert(t.usage).values(customer=customer, feature=1, day=day("2026-01-06"), source=number, count=1.0))
        c.execute(insert(t.source).values(source=number, last_day=day("2026-01-06"), imported=at("2026-01-06")))
    for on in ("2026-01-05", "2026-01-06", "2026-01-07"):
        shop.run(on)
    yield shop
    shop.close()


def test_a_source_that_should_have_spoken_is_silent(fed: Shop) -> None:
    assert lines(looked(fed, "2026-01-07"), "sources") == [("note", "never imported: people")]
    assert lines(looked(fed, "2026-01-08"), "sources") == [
        ("wrong", "clicks is silent: its newest row is of 2026-01-06, one of 2026-01-07 is due"),
        ("note", "never imported: people"),
    ]


def test_a_source_that_measure_found_too_thin_is_told(fed: Shop) -> None:
    with fed.store.writing() as c:
        c.execute(update(t.source).values(alarmed=1))
    assert lines(looked(fed, "2026-01-07"), "sources")[0] == (
        "wrong", "clicks had far fewer rows on its newest day than before"
    )  # fmt: skip


ASKING = """
flow: lifecycle
opens: customer.contracts >= 1
fields: {why: [price, service]}
stages: {one: {transitions: {two: {trigger: go, asks: [why]}}}, two: good}
"""


def test_a_word_that_the_last_pass_did_not_hear_is_named_with_what_to_do(csflow_project, database: str) -> None:
    project = csflow_project({"lifecycle.yaml": ASKING}, database=database, today="2026-01-05")
    project.book.customer("C-1", starts="2026-01-01")
    project.run()
    project.bring("trigger", "case,name,at\nlifecycle/C-1/1,go,2026-01-06\n")
    code, out, _ = project.csflow("run", "--as-of", "2026-01-07")
    assert (code, "  failed: lifecycle/C-1/1: lifecycle asks for why before 'go'\n" in out) == (1, True)
    code, out, _ = project.csflow("doctor", "--as-of", "2026-01-07")
    assert code == 7
    assert (
        "words: 'go' to lifecycle/C-1/1 of 2026-01-06 00:00 was not heard: lifecycle asks for why before 'go' – "
        "once that is mended, say it again: csflow trigger go lifecycle/C-1/1 --at 2026-01-06"
    ) in out
    project.csflow("case", "set", "lifecycle/C-1/1", "why=price", "--at", "2026-01-07")
    assert project.csflow("trigger", "go", "lifecycle/C-1/1", "--at", "2026-01-07")[0] == 0
    assert project.stage("C-1") == "two"


def test_a_plugin_that_failed_when_measured_is_named(database: str, tmp_path: Path) -> None:
    files = FILES | {"orders.yaml": "metrics: {shop.orders: {uses: shop/orders, type: number}}\n", "orders.py": FAILING}
    shop = Shop(database, tmp_path / "shop", files)
    shop.customer("C-1", beds=1.0)
    app = Csflow(shop.folder, database=database)
    app.run(Request(at("2026-01-05"), "x", at("2026-01-05")))
    app.close()
    told = [one for one in looked(shop, "2026-01-05")["findings"] if one["level"] == "wrong"]
    assert [one["about"] for one in told] == ["plugins"]
    assert "the shop's server is away" in told[0]["what"]
    assert "shop.orders" in told[0]["what"]
    assert told[0]["what"].endswith(", as of 2026-01-05 23:59")
    shop.close()


def test_a_plugin_that_cannot_be_imported_is_named(daily: Shop) -> None:
    (daily.folder / "broken.py").write_text("import nowhere_to_be_found\n", "utf-8")
    found = looked(daily, "2026-01-08")
    [(level, what)] = lines(found, "plugins")
    assert (level, "broken" in what, "nowhere_to_be_found" in what) == ("wrong", True, True)


def outbox(shop: Shop, status: str, on: str, *, many: int = 1, error: str | None = None) -> None:
    with shop.store.writing() as c:
        for number in range(many):
            row = {"case": 1, "seq": number, "party": 1, "verb": "notify", "recipient": "role:csm", "body": "{}"}
            c.execute(
                insert(t.outbox).values(**row, effect_id=f"{status}{on}{number}", at=at(on), status=status, error=error)
            )


def test_a_message_that_waits_for_longer_than_a_pass_is_wrong(daily: Shop) -> None:
    outbox(daily, "pending", "2026-01-07", many=3)
    assert lines(looked(daily, "2026-01-08"), "outbox") == [
        ("note", "3 messages not sent yet, the oldest of 2026-01-07 23:59")
    ]
    outbox(daily, "pending", "2026-01-06", error="connection refused")
    assert lines(looked(daily, "2026-01-08"), "outbox") == [
        ("wrong", "4 messages not sent yet, the oldest of 2026-01-06 23:59: connection refused")
    ]


def test_the_reason_told_is_that_of_the_message_told(daily: Shop) -> None:
    outbox(daily, "pending", "2026-01-05")
    outbox(daily, "pending", "2026-01-07", error="the environment has no DI_MAIL")
    outbox(daily, "dead", "2026-01-07", error="a late reason")
    outbox(daily, "dead", "2026-01-06", error="a former reason")
    assert [what for _, what in lines(looked(daily, "2026-01-08"), "outbox")] == [
        "2 messages could not be delivered; one of 2026-01-06 23:59: a former reason",
        "2 messages not sent yet, the oldest of 2026-01-05 23:59; one of 2026-01-07 23:59: the environment has no DI_MAIL",
    ]


def test_a_demo_is_looked_at_as_of_its_end_and_nothing_of_it_is_late(daily: Shop) -> None:
    outbox(daily, "pending", "2026-01-05")
    assert len(wrong(looked(daily, "2026-03-01"))) == 2  # the pass is late, and so is the message
    (daily.folder / "GENERATED.txt").write_text("invented\n", "utf-8")
    found = looked(daily, "2026-03-01")
    assert wrong(found) == []
    assert lines(found, "demo") == [("note", "generated data that ends at 2026-01-07 23:59: looked at as of then")]
    assert lines(found, "outbox") == [("note", "1 message not sent yet, the oldest of 2026-01-05 23:59")]
    assert lines(looked(daily, "2026-01-07"), "demo") == []
    outbox(daily, "dead", "2026-01-05")
    assert wrong(looked(daily, "2026-03-01")) == ["1 message could not be delivered"]


def test_dead_and_withheld_messages_are_told(daily: Shop) -> None:
    outbox(daily, "dead", "2026-01-07", error="no such address")
    outbox(daily, "withheld", "2026-01-05", many=2)
    outbox(daily, "sent", "2026-01-01")
    outbox(daily, "dropped", "2026-01-01")
    assert lines(looked(daily, "2026-01-08"), "outbox") == [
        ("wrong", "1 message could not be delivered: no such address"),
        ("note", "2 messages withheld since a first pass or --catch-up"),
    ]


def test_metrics_that_are_known_of_nobody_are_named(shop: Shop) -> None:
    shop.customer("C-1")
    shop.run("2026-01-05")
    assert lines(looked(shop, "2026-01-05"), "metrics") == [("note", "known of nobody: size.beds, size.grade")]
    shop.state("C-1", "beds", 3.0, on="2026-01-05")
    shop.run("2026-01-05")
    assert lines(looked(shop, "2026-01-05"), "metrics") == []


def test_wrong_definitions_are_told_and_the_database_of_the_call_is_still_looked_at(daily: Shop) -> None:
    (daily.folder / "care.yaml").write_text("flow: care\nstages: {a: {transitions: {b: 1}}}\n", "utf-8")
    found = looked(daily, "2026-01-08")
    [(level, what)] = lines(found, "definitions")
    assert level == "wrong"
    assert re.search(r"care\.yaml:\d+:\d+: ", what)
    assert found["database"]["tables"] == "0001"


def test_tables_of_another_version_are_told(daily: Shop) -> None:
    with daily.store.writing() as c:
        c.execute(text("update alembic_version set version_num = '0000'"))
    found = looked(daily, "2026-01-08")
    assert [(one["what"], one["do"]) for one in found["findings"]] == [
        ("its tables are of version 0000, this csflow knows 0001", "csflow db upgrade")
    ]
    with daily.store.writing() as c:
        c.execute(text("update alembic_version set version_num = '9999'"))
    assert [one["do"] for one in looked(daily, "2026-01-08")["findings"]] == ["update csflow"]


def test_a_table_and_a_column_that_somebody_took_away_are_named(daily: Shop) -> None:
    with daily.store.writing() as c:
        c.execute(text("drop table rate"))
        c.execute(text("alter table outbox drop column via"))
    [what] = wrong(looked(daily, "2026-01-08"))
    assert sorted(what.removeprefix("it lacks ").split(", ")) == ["column outbox.via", "table rate"]


def test_a_database_that_is_not_there_is_a_note_and_is_not_made(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    assert CliRunner().invoke(main, ["init", str(shop)]).exit_code == 0
    done = CliRunner().invoke(main, ["--project", str(shop), "doctor"])
    assert (done.exit_code, done.output.splitlines()[0]) == (
        0, "note   database: there is none yet – csflow import makes it; or name the right one with --database",
    )  # fmt: skip
    assert not (shop / "csflow.db").exists()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("sqlite:////no/such/folder/x.db", "no such folder"),
        ("postgresql://nobody@127.0.0.1:1/none", "the database none on 127.0.0.1"),
        ("postgresql+asyncpg://x/y", "csflow works with postgresql://, not with postgresql+asyncpg://"),
        ("mysql://x", "csflow works with sqlite:/// and postgresql://"),
    ],
)
def test_a_database_that_cannot_be_reached_is_wrong(tmp_path: Path, address: str, told: str) -> None:
    shop = tmp_path / "shop"
    CliRunner().invoke(main, ["init", str(shop)])
    done = CliRunner().invoke(main, ["--project", str(shop), "--database", address, "doctor"])
    assert done.exit_code == 7
    assert done.output.startswith("wrong  database: ")
    assert told in done.output


def test_advice_that_a_reason_gives_is_not_given_twice(file: Shop, tmp_path: Path) -> None:
    path = tmp_path / "csflow.db"
    path.write_bytes(b"this is no database" * 100)
    what, do = "this is not a database", "give another file, or move this one away"
    [found] = looked(file, "2026-01-08")["findings"]
    assert (found["what"], found["do"]) == (f"{path}: {what}", do)
    path.unlink()
    path.mkdir()
    [found] = looked(file, "2026-01-08")["findings"]
    assert found["do"] == "look whether it is there, whether its server runs, and at its address and rights"


@pytest.fixture
def file(tmp_path: Path) -> Shop:
    """A shop on SQLite, whose file can be harmed."""
    shop = Shop(f"sqlite:///{tmp_path / 'csflow.db'}", tmp_path / "shop")
    shop.customer("C-1", beds=60.0)
    shop.run("2026-01-05")
    shop.close()
    return shop


def test_what_is_no_database_and_what_is_a_damaged_one_is_told(file: Shop, tmp_path: Path) -> None:
    path = tmp_path / "csflow.db"
    whole = path.read_bytes()
    path.write_bytes(b"this is no database" * 1000)
    assert "this is not a database" in wrong(looked(file, "2026-01-05"))[0]
    root = sqlite3.connect(":memory:")
    root.close()
    page = int.from_bytes(whole[16:18], "big")
    path.write_bytes(whole[: page * 4] + b"\x00" * page * 6 + whole[page * 10 :])
    assert any("damaged" in one for one in wrong(looked(file, "2026-01-05")))


def test_another_journal_is_told_and_left_as_it_is(file: Shop, tmp_path: Path) -> None:
    path = tmp_path / "csflow.db"
    with sqlite3.connect(path) as connection:
        connection.execute("pragma journal_mode = delete")
    before = path.read_bytes()
    assert wrong(looked(file, "2026-01-05")) == ["journal_mode is delete, not wal"]
    assert path.read_bytes() == before


def test_rows_that_name_others_that_are_not_there_are_told(file: Shop, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "csflow.db")
    connection.execute("delete from customer")
    connection.commit()
    connection.close()
    assert wrong(looked(file, "2026-01-05")) == ["damaged: rows of contract name others that are not there"]


def test_a_server_that_may_lose_what_was_written_is_told(postgresql_schema, tmp_path: Path) -> None:
    address = postgresql_schema()
    shop = Shop(address, tmp_path / "shop")
    with shop.store.writing() as c:
        name = c.execute(text("select current_user")).scalar_one()
        c.execute(text(f'alter role "{name}" set synchronous_commit = off'))
    try:
        assert wrong(looked(shop, "2026-01-05")) == ["synchronous_commit is off"]
    finally:
        with shop.store.writing() as c:
            c.execute(text(f'alter role "{name}" reset synchronous_commit'))
        shop.close()


def test_looking_changes_nothing(daily: Shop) -> None:
    outbox(daily, "pending", "2026-01-06")
    before = _all_rows(daily)
    looked(daily, "2026-01-12")
    assert _all_rows(daily) == before


def _all_rows(shop: Shop) -> dict[str, list]:
    with shop.store.reading() as c:
        return {table.name: sorted(map(repr, c.execute(select(table)).all())) for table in t.metadata.sorted_tables}


def test_without_a_time_zone_database_it_says_so(tmp_path: Path) -> None:
    """A package tzdata without zones, and no zones of the system."""
    (tmp_path / "tzdata").mkdir()
    (tmp_path / "tzdata/__init__.py").write_text("", "utf-8")
    (tmp_path / "p").mkdir()
    (tmp_path / "p/csflow.yaml").write_text("csflow: 1\nname: p\ncurrency: EUR\nzone: Europe/Berlin\n", "utf-8")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "csflow"), "--project", str(tmp_path / "p"), "doctor"],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONTZPATH": ""}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    assert "clock: there is no time zone database – install the package tzdata" in done.stdout


@pytest.mark.parametrize("length", ["0 days", "2 working days", "soon"])
def test_a_pause_between_passes_that_is_none_is_refused(file: Shop, length: str) -> None:
    words = ["--project", str(file.folder), "--database", file.database, "doctor", "--every", length]
    done = CliRunner().invoke(main, words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"--every '{length}' is no " in done.stderr


def test_the_command_prints_one_line_for_each_finding_and_ends_with_7(file: Shop, tmp_path: Path) -> None:
    words = ["--project", str(file.folder), "--database", file.database, "doctor", "--as-of", "2026-01-08"]
    done = CliRunner().invoke(main, [*words, "--every", "1 day"])
    assert done.exit_code == 7
    first, last = done.output.splitlines()
    assert first == (
        "wrong  pass: the last pass was as of 2026-01-05 23:59, 3.0 days ago: longer than --every says – "
        "csflow run; then look why nobody called it"
    )
    assert re.fullmatch(r"1 wrong, 0 notes as of 2026-01-08 23:59, sqlite [\d.]+", last)
    [line] = CliRunner().invoke(main, [*words, "--every", "1 day", "--format", "jsonl"]).output.splitlines()
    assert json.loads(line)["level"] == "wrong"
    note = CliRunner().invoke(main, words)
    assert (note.exit_code, note.output.splitlines()[-1][:15]) == (0, "0 wrong, 1 note")
    assert CliRunner().invoke(main, [*words, "--strict"]).exit_code == 7
    well = CliRunner().invoke(main, [*words[:-1], "2026-01-06", "--format", "json"])
    assert (well.exit_code, json.loads(well.output)["findings"]) == (0, [])
    text_of = CliRunner().invoke(main, [*words[:-1], "2026-01-06"]).output
    assert re.fullmatch(r"all is well as of 2026-01-06 23:59, sqlite [\d.]+\n", text_of)


def test_a_length_that_is_none_is_a_wrong_call(file: Shop) -> None:
    done = CliRunner().invoke(main, ["--project", str(file.folder), "doctor", "--every", "often"])
    assert (done.exit_code, isinstance(done.exception, SystemExit)) == (UsageError.exit_code, True)


def test_every_command_it_advises_is_there() -> None:
    advised = re.findall(r"(?:advice = |, )f?(\"csflow [^\n]*)", SOURCE.read_text("utf-8"))
    named = {command for line in advised for command in re.findall(r"csflow ([a-z]+)", line)}
    assert {"run", "validate"} <= named
    assert named <= set(COMMANDS)


def test_currencies_that_contracts_have_no_rate_for_are_named(shop: Shop) -> None:
    for key in ("C-1", "C-2", "C-3"):
        shop.customer(key)
    shop.run("2026-01-05")
    assert lines(looked(shop, "2026-01-05"), "rates") == []
    for key, currency in (("C-1", "GBP"), ("C-2", "XXQ")):
        with shop.store.writing() as c:
            mine = t.contract.c.customer == shop.id(key, c)
            c.execute(update(t.contract).where(mine).values(currency=currency, value=None))
    assert lines(looked(shop, "2026-01-05"), "rates") == [("note", "no rate of GBP, XXQ for the day of 2 contracts")]
