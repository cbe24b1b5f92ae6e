"""A process that is killed, interrupted, kept waiting or refused by the database leaves nothing half done."""

from __future__ import annotations

import csv
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import running
import state_hash
from sqlalchemy import event

from csflow.errors import LockedError, StoreError, UsageError
from csflow.services.advance import Request
from csflow.services.run import run
from csflow.store.locking import pass_lock

HERE = Path(__file__).parent
FULL = os.environ.get("CSFLOW_THOROUGH") == "1"


FIRST, SECOND = "2024-03-31", "2024-04-30"
FILES = ("accounts", "subscriptions", "feature_usage", "support_tickets", "churn_events", "churn_words")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve customers in the form of the published data, made up here: contracts, usage, tickets, churn."""
    folder = tmp_path / "data"
    folder.mkdir()
    accounts, terms, usage, tickets, churn = [], [], [], [], []
    for n in range(12):
        who, term = f"A-{n:02}", f"S-{n:02}"
        accounts.append(
            [who, f"Company {n}", "EdTech", "US", "2024-01-02", "partner", "Basic", 5 + n, "False", "False"]
        )
        end = "2024-05-10" if n % 3 == 0 else ""
        terms.append(
            [term, who, "2024-02-01", end, "Basic", 5, 100, 1200, "False", "False", "False", "False", "monthly", "True"]
        )
        usage += [
            [f"U-{n}-{k}", term, f"2024-0{3 + k % 2}-{10 + k:02}", f"feature_{k}", 3, 600, 0, "False"] for k in range(n)
        ]
        tickets.append(
            [
                f"T-{n:02}",
                who,
                "2024-03-05",
                "2024-03-05 09:00:00" if n % 2 else "2024-04-09 09:00:00",
                9,
                "low",
                5,
                "4.0",
                "False",
            ]
        )
        if n % 4 == 1:
            churn.append([f"C-{n}", who, "2024-04-20", "pricing", 1.5, "False", "False", "False", ""])
            churn.append([f"D-{n}", who, "2024-04-25", "budget", 0, "False", "False", "True", ""])
    heads = {
        "accounts": "account_id,account_name,industry,country,signup_date,referral_source,plan_tier,"
        "seats,is_trial,churn_flag",
        "subscriptions": "subscription_id,account_id,start_date,end_date,plan_tier,seats,mrr_amount,arr_amount,"
        "is_trial,"
        "upgrade_flag,downgrade_flag,churn_flag,billing_frequency,auto_renew_flag",
        "feature_usage": "usage_id,subscription_id,usage_date,feature_name,usage_count,"
        "usage_duration_secs,error_count,is_beta_feature",
        "support_tickets": "ticket_id,account_id,submitted_at,closed_at,resolution_time_hours,priority,"
        "first_response_time_minutes,satisfaction_score,escalation_flag",
        "churn_events": "churn_event_id,account_id,churn_date,reason_code,refund_amount_usd,preceding_upgrade_flag,"
        "preceding_downgrade_flag,is_reactivation,feedback_text",
    }
    found = {
        "accounts": accounts,
        "subscriptions": terms,
        "feature_usage": usage,
        "support_tickets": tickets,
        "churn_events": churn,
    }
    for name, lines in (*found.items(), ("churn_words", churn)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(heads.get(name, heads["churn_events"]).split(","))
            writer.writerows(lines)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(HERE / "ravenstack", folder)
    running.Running(folder, "sqlite://").close()  # so that the definitions are in the cache
    return folder


def verbs(data: Path) -> list[list[str]]:
    """The whole story: every file, then two passes with new facts between them."""
    imports = [["import", name, str(data / f"{name}.csv"), SECOND] for name in FILES]
    return [*imports, ["measure", FIRST], ["advance", FIRST], ["measure", SECOND], ["advance", SECOND]]


def do(at, verb: list[str]) -> None:
    if verb[0] == "import":
        at.bring(verb[1], Path(verb[2]), verb[3])
    else:
        getattr(at, verb[0])(verb[1])


def state(at) -> dict[str, list[tuple]]:
    kinds = {flow.name: flow.subject for flow in at.definition.flows.values()}
    metrics = {metric.name: metric.subject for metric in at.definition.metrics.values()}
    with at.store.reading() as connection:
        return state_hash.state_of(connection, kinds, metrics)


def test_a_verb_killed_at_any_commit_and_started_again_ends_as_if_nothing_had_happened(
    database: str, project: Path, data: Path, tmp_path: Path
) -> None:
    calm = running.Running(project, f"sqlite:///{tmp_path / 'calm.db'}")
    kills = 0
    at = running.Running(project, database)
    at.store.close()
    for verb in verbs(data):
        do(calm, verb)
        kills += running.kill_through(project, database, verb)
        difference = state_hash.first_difference(state(calm), state(at))
        assert not difference, (verb, difference)
        at.store.close()
    assert kills >= 60
    assert state_hash.hash_of(state(calm)) == state_hash.hash_of(state(at))
    at.close()
    calm.close()


def test_a_pass_killed_at_one_commit_and_run_again_is_the_same_for_each_commit(
    project: Path, data: Path, tmp_path: Path
) -> None:
    before = tmp_path / "before.db"
    at = running.Running(project, f"sqlite:///{before}")
    story = verbs(data)
    for verb in story[:-1]:
        do(at, verb)
    at.close()
    calm = running.Running(project, f"sqlite:///{shutil.copy(before, tmp_path / 'calm.db')}")
    do(calm, story[-1])
    number, again = 1, True
    while again:
        copy = shutil.copy(before, tmp_path / f"killed{number}.db")
        again = running.killed_at(project, f"sqlite:///{copy}", number, story[-1])
        resumed = running.Running(project, f"sqlite:///{copy}")
        do(resumed, story[-1])
        difference = state_hash.first_difference(state(calm), state(resumed))
        assert not difference, (number, difference)
        resumed.close()
        number += 1 if FULL else 3
    assert number > 12
    calm.close()


def test_a_second_pass_waits_for_the_first_or_is_told_who_holds_the_lock(
    database: str, project: Path, data: Path
) -> None:
    at = running.Running(project, database)
    at.bring("accounts", data / "accounts.csv", FIRST)
    with pass_lock(at.store, 0):
        other = running.Running(project, database)
        with pytest.raises(LockedError, match=f"process {os.getpid()} on"):
            other.advance(FIRST, wait=0)
        begun = time.monotonic()
        with pytest.raises(LockedError):
            other.advance(FIRST, wait=0.5)
        assert time.monotonic() - begun >= 0.5
    assert other.advance(FIRST, wait=0).counts["failed"] == 0
    other.close()
    at.close()


def test_two_passes_at_once_do_what_one_would(database: str, project: Path, data: Path, tmp_path: Path) -> None:
    calm = running.Running(project, f"sqlite:///{tmp_path / 'calm.db'}")
    at = running.Running(project, database)
    for verb in verbs(data)[:-1]:
        do(calm, verb)
        do(at, verb)
    do(calm, verbs(data)[-1])
    at.store.close()
    context = multiprocessing.get_context("fork")
    both = [
        context.Process(target=running.main, args=(str(project), database, "0", "advance", SECOND)) for _ in range(2)
    ]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    difference = state_hash.first_difference(state(calm), state(at))
    assert not difference, difference
    at.close()
    calm.close()


def test_a_clock_that_runs_backwards_is_refused_but_for_a_trial_that_measures(
    database: str, project: Path, data: Path
) -> None:
    at = running.Running(project, database)
    at.bring("accounts", data / "accounts.csv", SECOND)
    at.run(SECOND)
    before = state(at)
    with pytest.raises(UsageError, match="the last pass was at 2024-04-30"):
        at.advance(FIRST)
    with pytest.raises(UsageError, match="the last measure was at 2024-04-30"):
        at.advance(FIRST, dry_run=True)  # it would read values of a later day
    then = at.at(FIRST)
    run(at.store, at.definition, at.providers, request=Request(then, "test", then, dry_run=True))
    assert state(at) == before
    at.close()


# what SQLite alone can be


def test_another_program_that_keeps_writing_is_waited_for_and_then_named(
    project: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csflow.store.opening.BUSY_SECONDS", 1)
    path = tmp_path / "csflow.db"
    at = running.Running(project, f"sqlite:///{path}")
    at.bring("accounts", data / "accounts.csv", FIRST)
    foreign = sqlite3.connect(path, isolation_level=None)
    foreign.execute("begin immediate")
    with pytest.raises(StoreError, match="another program has been writing"):
        at.advance(FIRST)
    foreign.execute("rollback")
    foreign.close()
    assert at.advance(FIRST).counts["failed"] == 0
    at.close()


def test_a_full_disk_ends_the_import_and_leaves_whole_chunks(project: Path, data: Path, tmp_path: Path) -> None:
    path = tmp_path / "csflow.db"
    at = running.Running(project, f"sqlite:///{path}")
    for name in ("accounts", "subscriptions"):
        at.bring(name, data / f"{name}.csv", FIRST)
    usage = data / "feature_usage.csv"
    with usage.open("a", encoding="utf-8") as file:
        file.writelines(f"U-{n},S-01,2024-03-{1 + n % 28:02},feature_{n},1,60,0,False\n" for n in range(30_000))
    pages = _pragma(path, "page_count")
    _on_every_connection(at, f"pragma max_page_count = {pages + 600}")
    with pytest.raises(StoreError, match="full"):
        at.bring("feature_usage", usage, FIRST)
    written = _pragma(path, "count")
    assert written in (0, 20_000)
    at.close()
    again = running.Running(project, f"sqlite:///{path}")
    summary = again.bring("feature_usage", usage, FIRST)
    assert (summary.new + summary.unchanged, summary.unchanged) == (30_066, written)
    again.close()


def _pragma(path: Path, what: str) -> int:
    connection = sqlite3.connect(path)
    statement = "select count(*) from usage" if what == "count" else f"pragma {what}"
    found = connection.execute(statement).fetchone()[0]
    connection.close()
    return int(found)


def _on_every_connection(at, statement: str) -> None:
    at.store.close()
    event.listen(at.store.engine, "connect", lambda connection, _record: connection.execute(statement))


def test_a_read_only_database_is_said_in_one_line(project: Path, data: Path, tmp_path: Path) -> None:
    at = running.Running(project, f"sqlite:///{tmp_path / 'csflow.db'}")
    at.bring("accounts", data / "accounts.csv", FIRST)
    _on_every_connection(at, "pragma query_only = on")  # rights of files would not stop root
    for verb in (lambda: at.bring("accounts", data / "accounts.csv", FIRST), lambda: at.run(FIRST)):
        with pytest.raises(StoreError, match="the database is read-only") as told:
            verb()
        assert "\n" not in str(told.value)
    at.close()


def test_control_c_ends_a_pass_with_130_and_the_next_one_goes_on(project: Path, data: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'csflow.db'}"
    at = running.Running(project, url)
    for verb in verbs(data)[:-2]:
        do(at, verb)
    with pass_lock(at.store, 0):  # so the pass is certainly under way, waiting, when it is interrupted
        command = [sys.executable, "-c", "from csflow.cli import main; main()"]
        words = ["--project", str(project), "--database", url, "advance", "--as-of", SECOND]
        process = subprocess.Popen([*command, *words], stderr=subprocess.PIPE, text=True)
        running.until_it_works(process, "advance", tmp_path / "csflow.db")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert at.advance(SECOND).counts["failed"] == 0
    at.close()
