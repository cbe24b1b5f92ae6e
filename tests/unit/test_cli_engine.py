"""`csflow measure`, `advance`, `run`: their options, what they print, their exit codes."""

from __future__ import annotations

import io
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from filelock import FileLock

from csflow.app import Csflow
from csflow.cli import main
from csflow.cli.engine import Report, wait_of
from csflow.cli.options import now, progress
from csflow.errors import UsageError
from csflow.store import locking
from csflow.values import Zone, day_text

PROJECT = """
csflow: 1
name: shop
currency: EUR
zone: Europe/Berlin
activities: {visit: Visit}
"""
FLOW = """
flow: lifecycle
opens: contract.id is known
stages:
  start: {transitions: {steady: activity.last_visit >= case.opened_at}}
  steady: {transitions: {gone: {trigger: cancel}}}
  gone: bad
"""
METRICS = """
metrics:
  contract.size: {of: contract.amount, bands: {small: 0, large: 50000}}
  customer.grade: {choose: {A: contract.size == 'large', B: otherwise}}
"""
CUSTOMERS = "id,name\nC-1,First\nC-2,Second\n"
CONTRACTS = (
    "id,customer,starts_on,ends_on,amount\nK-1,C-1,2026-01-05,2026-12-31,60000\nK-2,C-2,2026-01-05,2026-12-31,5000\n"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two customers, each with a contract of 2026; whoever is visited becomes steady."""
    folder = tmp_path / "shop"
    folder.mkdir()
    for name, text in (("csflow", PROJECT), ("lifecycle", FLOW), ("metrics", METRICS)):
        (folder / f"{name}.yaml").write_text(text, "utf-8")
    for name, text in (("customers", CUSTOMERS), ("contracts", CONTRACTS)):
        (tmp_path / f"{name}.csv").write_text(text, "utf-8")
        path = tmp_path / f"{name}.csv"
        brought = csflow("--project", folder, "import", name, path, "--as-of", "2026-01-05")
        assert brought.exit_code == 0, brought.output
    return folder


def csflow(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def told(project: Path, *words: object, code: int = 0) -> Any:
    done = csflow("--project", project, *words, "--format", "json")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize(("text", "seconds"), [("10m", 600), ("30s", 30), ("1h", 3600), ("1.5m", 90)])
def test_a_wait_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert wait_of({"wait": text, "no_wait": False}) == seconds


@pytest.mark.parametrize("text", ["10", "m", "", "ten minutes", "-1s", "1d"])
def test_what_is_no_wait_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write 30s, 10m or 1h"):
        wait_of({"wait": text, "no_wait": False})


def test_no_wait_beats_wait() -> None:
    assert wait_of({"wait": "10m", "no_wait": True}) == 0


def test_the_json_of_a_pass_has_its_keys_in_order_and_every_entry(project: Path) -> None:
    data = told(project, "advance", "--as-of", "2026-01-10")
    assert list(data) == [
        "as_of", "definition", "dry_run", "cases", "asked", "opened", "moved", "milestones", "missed", "failed",
        "messages", "plugins",
    ]  # fmt: skip
    assert data["as_of"].startswith("2026-01-10 23:59")
    assert [entry["case"] for entry in data["opened"]] == ["lifecycle/C-1/1", "lifecycle/C-2/1"]
    assert data["opened"][0]["subject"] == {"kind": "customer", "id": "C-1"}
    assert data["moved"] == data["failed"] == []


def test_a_move_says_whence_whither_when_and_why(project: Path) -> None:
    assert csflow("--project", project, "advance", "--as-of", "2026-01-06").exit_code == 0
    added = csflow("--project", project, "activity", "add", "C-2", "visit", "--at", "2026-01-07")
    assert added.exit_code == 0, added.output
    moved = told(project, "advance", "--as-of", "2026-01-10")["moved"]
    assert [(entry["case"], entry["from"], entry["to"]) for entry in moved] == [("lifecycle/C-2/1", "start", "steady")]
    assert moved[0]["at"].startswith("2026-01-10")
    facts = {reason["fact"]: reason["value"][:10] for reason in moved[0]["because"]}
    assert facts == {"activity.last_visit": "2026-01-07", "case.opened_at": "2026-01-06"}


def test_json_lines_are_one_object_each_and_end_with_the_pass(project: Path) -> None:
    done = csflow("--project", project, "advance", "--as-of", "2026-01-10", "--format", "jsonl")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["kind"] for line in lines] == ["opened", "opened", "pass"]
    assert lines[-1]["cases"] == 2


def test_the_text_counts_ways_and_says_when_nothing_is_to_do(project: Path) -> None:
    first = csflow("--project", project, "advance", "--as-of", "2026-01-10").stdout
    assert "2 opened" in first
    assert "2  lifecycle: opened in start" in first
    assert "nothing to do" in csflow("--project", project, "advance", "--as-of", "2026-01-10").stdout


def test_a_dry_run_tells_the_same_and_writes_nothing(project: Path) -> None:
    tried = told(project, "run", "--as-of", "2026-01-10", "--dry-run")
    assert told(project, "run", "--as-of", "2026-01-10", "--dry-run") == tried
    done = told(project, "run", "--as-of", "2026-01-10")
    assert done.pop("delivered")["sent"] == 0  # the first pass withholds
    assert {**done, "dry_run": True} == tried
    assert len(done["opened"]) == 2


def test_a_run_measures_before_it_advances(project: Path) -> None:
    measured = told(project, "run", "--as-of", "2026-01-10")["measured"]
    assert measured["changed"] == {"contract.size": 2, "customer.grade": 2}
    assert told(project, "measure", "--as-of", "2026-01-10")["changed"] == {}


def test_named_customers_and_a_limit_bound_a_pass(project: Path) -> None:
    one = told(project, "advance", "C-2", "--as-of", "2026-01-10", "--dry-run")["opened"]
    assert [entry["case"] for entry in one] == ["lifecycle/C-2/1"]
    assert len(told(project, "advance", "--limit", "1", "--as-of", "2026-01-10", "--dry-run")["opened"]) == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--flow", "lifecycel"), "did you mean lifecycle"),
        (("--as-of", "tomorrow"), "neither a day nor an instant"),
        (("--wait", "soon"), "no length of time"),
        (("C-9",), "C-9"),
    ],
)
def test_a_wrong_call_ends_with_two_and_one_line(project: Path, words: tuple[str, ...], reason: str) -> None:
    done = csflow("--project", project, "advance", *words)
    assert done.exit_code == 2
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_pass_before_the_last_one_is_refused_but_as_a_dry_run(project: Path) -> None:
    assert csflow("--project", project, "advance", "--as-of", "2026-02-10").exit_code == 0
    assert csflow("--project", project, "advance", "--as-of", "2026-02-09").exit_code == 2
    assert csflow("--project", project, "advance", "--as-of", "2026-02-09", "--dry-run").exit_code == 0


def test_a_pass_of_a_moment_to_come_is_refused_unless_it_is_meant(project: Path) -> None:
    for verb in ("measure", "advance", "run"):
        refused = csflow("--project", project, verb, "--as-of", "2999-12-31")
        assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
        assert "--as-of 2999-12-31 is to come" in refused.stderr
    assert csflow("--project", project, "run", "--as-of", "2999-12-31", "--dry-run").exit_code == 0
    assert csflow("--project", project, "run", "--as-of", "2026-01-06").exit_code == 0  # nothing was written in 2999
    nine_years = day_text(Zone("UTC").day_of(now()) + 9 * 365)
    assert csflow("--project", project, "run", "--as-of", nine_years, "--ahead").exit_code == 0
    refused = csflow("--project", project, "run", "--as-of", "2999-12-31", "--ahead")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "--ahead writes ten years ahead at most" in refused.stderr


def test_the_detailed_exit_code_tells_change_from_none(project: Path) -> None:
    words = ("--project", project, "run", "--as-of", "2026-01-10", "--detailed-exitcode")
    assert [csflow(*words).exit_code, csflow(*words).exit_code] == [5, 0]


def test_a_failed_plugin_ends_with_one_and_is_named(project: Path) -> None:
    (project / "luck.py").write_text(
        "from csflow.hookspecs import hookimpl\n\n\n@hookimpl\ndef csflow_metrics():\n"
        "    return {'shop/luck': lambda batch: 1 / 0}\n",
        "utf-8",
    )
    (project / "luck.yaml").write_text("metrics:\n  customer.luck: {type: number, uses: shop/luck}\n", "utf-8")
    data = told(project, "measure", "--as-of", "2026-01-10", code=1)
    reason = "shop/luck: ZeroDivisionError: division by zero (luck.py:6)"
    assert data["failed"] == [
        {"plugin": "luck.py", "hook": "csflow_metrics", "metric": "customer.luck", "error": reason}
    ]
    assert data["changed"]["customer.grade"] == 2


def test_a_plugin_that_cannot_be_imported_is_one_line(project: Path) -> None:
    (project / "broken.py").write_text("import nothing_of_that_name\n", "utf-8")
    done = csflow("--project", project, "measure")
    assert done.exit_code == 1
    reason = "cannot be imported: line 1: ModuleNotFoundError: No module named 'nothing_of_that_name'"
    assert f"  plugin failed: broken.py: import: {reason}" in done.stdout.splitlines()


def test_a_population_beside_a_project_is_no_plugin(project: Path) -> None:
    (project / "population.py").write_text("raise RuntimeError('read by the demo alone')\n", "utf-8")
    assert csflow("--project", project, "measure").exit_code == 0


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("task", ("status",)), ("history", ("status",)), ("outbox", ("run",)), ("usage", ("run",)),
        ("meta", ("run",)), ("history", ("history", "C-1")), ("milestone", ("explain", "C-1")),
    ],
)  # fmt: skip
def test_a_table_that_is_gone_is_one_line(project: Path, table: str, words: tuple[str, ...]) -> None:
    assert csflow("--project", project, "run").exit_code == 0
    with closing(sqlite3.connect(project / "csflow.db")) as database:
        database.execute(f"drop table {table}")
    done = csflow("--project", project, *words)
    assert (done.exit_code, done.stderr.count("\n")) == (6, 1), done.output
    assert f"csflow.db: the database lacks table {table}: restore a copy" in done.stderr


def test_another_pass_is_not_waited_for_when_told_so(project: Path) -> None:
    with FileLock(project / "csflow.db.lock"):
        done = csflow("--project", project, "advance", "--no-wait")
    assert done.exit_code == 4
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("verb", ["measure", "advance", "run"])
def test_whoever_waits_for_another_pass_says_so_once(project: Path, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "SHORT_SECONDS", 0.05)
    with FileLock(f"{project / 'csflow.db'}.lock"):
        done = csflow("--project", project, verb, "--wait", "0.3s")
    assert (done.exit_code, done.stdout) == (4, "")
    waits, gives_up = done.stderr.splitlines()
    assert waits == "csflow: waiting for another pass, up to 0.3 s"
    assert gives_up.startswith("csflow: another pass holds the lock")


def test_a_warm_pass_over_one_customer_imports_nothing_that_reads_yaml_or_paints(project: Path) -> None:
    csflow("--project", project, "advance", "--as-of", "2026-01-10")
    script = (
        "import sys\nfrom csflow.cli import main\n"
        f"try: main(['--project', {str(project)!r}, 'advance', 'C-1', '--as-of', '2026-01-11'])\n"
        "except SystemExit as end: assert not end.code, end.code\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not found & {"ruamel", "pydantic", "pydantic_core", "alembic", "rich"}


class Terminal(io.StringIO):
    """A stderr that somebody looks at."""

    def isatty(self) -> bool:
        return True


RESTLESS = """
flow: restless
opens: contract.id is known
stages:
  here: {transitions: {there: customer.name is known}}
  there: {transitions: {here: customer.name is known}}
"""


def test_a_case_that_goes_in_circles_is_told_as_failed_in_every_format(project: Path) -> None:
    (project / "restless.yaml").write_text(RESTLESS, "utf-8")
    words = ("advance", "--flow", "restless", "--as-of", "2026-01-10", "--dry-run")
    failed = told(project, *words, code=1)["failed"]
    assert [one["case"] for one in failed] == ["restless/C-1/1", "restless/C-2/1"]
    lines = csflow("--project", project, *words, "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["case"] for line in lines if '"failed"' in line[:20]] == [
        "restless/C-1/1",
        "restless/C-2/1",
    ]
    text = csflow("--project", project, *words).stdout.splitlines()
    assert [line.split(":")[1].strip() for line in text if line.startswith("  failed: ")] == [
        "restless/C-1/1", "restless/C-2/1",
    ]  # fmt: skip


def test_the_text_names_a_dozen_ways_and_failures_and_counts_the_rest(project: Path, tmp_path: Path) -> None:
    many = [f"D-{n:02}" for n in range(20)]
    (tmp_path / "customers.csv").write_text("id,name\n" + "".join(f"{key},x\n" for key in many))
    (tmp_path / "contracts.csv").write_text(
        "id,customer,starts_on,ends_on,amount\n" + "".join(f"K-{key},{key},2026-01-05,2026-12-31,100\n" for key in many)
    )
    for name in ("customers", "contracts"):
        csflow("--project", project, "import", name, tmp_path / f"{name}.csv", "--as-of", "2026-01-05")
    (project / "restless.yaml").write_text(RESTLESS, "utf-8")
    for number in range(12):
        text = RESTLESS.replace("restless", f"calm_{number}").replace("customer.name is known", "customer.name == 'y'")
        (project / f"calm_{number}.yaml").write_text(text, "utf-8")
    text = csflow("--project", project, "advance", "--as-of", "2026-01-10").stdout.splitlines()
    # opened in lifecycle, in restless and in 12 calm ones, and restless from here to there: 15 ways, 12 shown
    assert "  and 3 more ways: --format json lists every case" in text
    assert len([line for line in text if line.startswith("  failed: ")]) == 12
    assert "  and 10 more that failed" in text  # of 22 customers


def test_on_a_terminal_the_changes_are_counted_on_stderr(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Report(Csflow(project), "text", dry_run=False) as report:
        for _ in range(100):
            report.tell("opened", {"flow": "lifecycle", "case": "x", "stage": "start"})
        assert terminal.getvalue() == "\r100 changes …"
    assert terminal.getvalue() == "\r100 changes …\r\033[K"


def test_on_a_terminal_a_bar_is_shown_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with progress("x.csv") as show:
        show("read", 0, 0)
        show("read", 5, 10)
    assert "x.csv" in terminal.getvalue()


def test_a_measure_tells_failed_plugins_and_silent_sources(project: Path) -> None:
    (project / "luck.py").write_text(
        "from csflow.hookspecs import hookimpl\n\n\n@hookimpl\ndef csflow_metrics():\n"
        "    return {'shop/luck': lambda batch: 1 / 0}\n",
        "utf-8",
    )
    (project / "luck.yaml").write_text("metrics:\n  customer.luck: {type: number, uses: shop/luck}\n", "utf-8")
    text = csflow("--project", project, "measure", "--as-of", "2026-01-10").stdout.splitlines()
    assert (
        "  plugin failed: luck.py: csflow_metrics: customer.luck: shop/luck: ZeroDivisionError: division by zero (luck.py:6)"
        in text
    )
