"""`csflow demo` as a person calls it, in a process of its own."""

from __future__ import annotations

import csv
import json
import re
import shlex
import sqlite3
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

SMALL = ("--customers", "14", "--weeks", "9")
SUNDAYS = [str(date(2024, 1, 7) + timedelta(weeks=week)) for week in range(9)]
COMMAND = [sys.executable, "-c", "from csflow.cli import main; main()"]


def csflow(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A small demo of nine weeks: its folder and what it printed."""
    place = tmp_path_factory.mktemp("demo")
    done = csflow(place, "demo", "world", *SMALL)
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "world", done.stdout


def rows(folder: Path, question: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(folder / "csflow.db") as connection:
        return connection.execute(question).fetchall()


def test_everything_says_that_it_is_generated(lived: tuple[Path, str]) -> None:
    folder, printed = lived
    assert "generated data" in printed
    assert "generated data" in (folder / "GENERATED.txt").read_text("utf-8")
    with (folder / "data/2024-01-07/customers.csv").open(encoding="utf-8") as file:
        assert all("(generated)" in row["company"] for row in csv.DictReader(file))


def test_each_row_of_each_week_came_in_through_the_projects_mappings(lived: tuple[Path, str]) -> None:
    folder, printed = lived
    written = 0
    for path in (folder / "data").rglob("*.csv"):
        with path.open(encoding="utf-8") as file:
            written += sum(1 for _ in csv.DictReader(file))
    assert sorted(path.name for path in (folder / "data").iterdir()) == SUNDAYS
    assert f"9 weeks in 9 passes until 2024-03-03: {written:,} rows imported" in printed
    assert not list((folder / "data").rglob("*.rejects.csv"))
    [(customers,)] = rows(folder, "select count(*) from customer")
    assert customers <= 14


def test_the_summary_shows_where_the_cases_stand(lived: tuple[Path, str]) -> None:
    folder, printed = lived
    assert "Customer lifecycle (lifecycle)" in printed
    counted = dict(rows(folder, "select stage, count(*) from 'case' where flow = 'lifecycle' group by stage"))
    for stage, number in counted.items():
        assert re.search(rf"^  {stage}( [✓✗])? +{number} ", printed, re.MULTILINE), (stage, number)


def test_the_three_next_commands_work_as_printed(lived: tuple[Path, str]) -> None:
    folder, printed = lived
    commands = printed[printed.index("Next:") :].splitlines()[1:]
    assert len(commands) == 3
    for command in commands:
        words = shlex.split(command)
        done = csflow(folder.parent, *words[words.index("csflow") + 1 :])
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
    assert commands[2].endswith(" --limit 20")


def test_the_newest_messages_of_each_month_are_shown_and_none_is_sent(lived: tuple[Path, str]) -> None:
    folder, printed = lived
    count = {"2024-01": 0, "2024-02": 0, "2024-03": 0}
    newest: dict[str, list[str]] = {month: [] for month in count}
    for (at,) in rows(folder, "select at from outbox where verb = 'notify' order by at"):
        written = next(day for day in SUNDAYS if ms(day) >= int(str(at)))
        count[written[:7]] += 1
        newest[written[:7]].append(day_in_shanghai(int(str(at))))
    for month, number in count.items():
        shown = re.search(rf"^{month}: (\d+) messages?, the newest:\n((?:  .+\n)+)", printed, re.MULTILINE)
        assert number == (int(shown[1]) if shown else 0)
        days = [line.split()[0] for line in shown[2].splitlines()] if shown else []
        assert days == newest[month][-3:]
    assert rows(folder, "select count(*) from outbox where status = 'sent'") == [(0,)]


def day_in_shanghai(at: int) -> str:
    return f"{datetime(1970, 1, 1, 8, tzinfo=UTC) + timedelta(microseconds=at):%Y-%m-%d}"


def ms(day: str) -> int:
    """The end of a day in Shanghai as the store has it."""
    end = datetime.fromisoformat(f"{day}T23:59:59.999999+08:00")
    return (end - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def test_the_demo_ends_with_a_page_that_shows_the_same_counts(lived: tuple[Path, str]) -> None:
    folder, printed = lived
    assert "The page: world/page.html" in printed
    page = (folder / "page.html").read_text("utf-8")
    assert "generated data" in page
    [(customers,)] = rows(folder, "select count(*) from customer")
    assert f"<dt>Customers</dt><dd>{customers}</dd>" in page
    for key, name in rows(folder, "select key, name from customer"):
        assert f'title="{name}">{key}</span>' in page


def test_the_demos_table_the_status_and_the_page_count_the_same_overdue_cases(lived: tuple[Path, str]) -> None:
    folder, printed = lived
    done = csflow(folder.parent, "--project", "world", "status", "--as-of", "2024-03-03", "--format", "json")
    status = sum(flow["overdue"] for flow in json.loads(done.stdout)["flows"])
    assert status > 0
    assert sum(map(int, re.findall(r"  (\d+) overdue$", printed, re.MULTILINE))) == status
    assert f"<dt>Overdue cases</dt><dd>{status}</dd>" in (folder / "page.html").read_text("utf-8")


def test_the_same_seed_makes_the_same_world_and_another_seed_another(lived: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = lived
    told = (
        "select c.flow, u.key, c.number, h.seq, h.kind, h.at, h.source, h.target, h.because "
        "from history h join 'case' c on c.id = h.'case' join customer u on u.id = c.customer order by 1, 2, 3, 4, 5"
    )
    assert csflow(tmp_path, "demo", "again", *SMALL).returncode == 0
    assert csflow(tmp_path, "demo", "other", *SMALL, "--seed", "2").returncode == 0
    assert rows(tmp_path / "again", told) == rows(folder, told)
    assert rows(tmp_path / "other", told) != rows(folder, told)


def test_a_folder_is_overwritten_only_if_it_was_a_demo_and_only_when_told_to(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep me", "utf-8")
    refused = csflow(tmp_path, "demo", "mine", "--force", "--weeks", "1", "--customers", "1")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert (tmp_path / "mine/notes.txt").read_text("utf-8") == "keep me"

    words = ("demo", "world", "--weeks", "1", "--customers", "1")
    assert csflow(tmp_path, *words).returncode == 0
    again = csflow(tmp_path, *words)
    assert again.returncode == 2
    assert "--force" in again.stderr
    (tmp_path / "world/notes.txt").write_text("keep me", "utf-8")
    assert csflow(tmp_path, *words, "--force").returncode == 0
    assert (tmp_path / "world/notes.txt").read_text("utf-8") == "keep me"
