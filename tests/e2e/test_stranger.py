"""What somebody who does not know csflow tries: each answer is one line that says where and what to do."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from csflow.cli import main

CUSTOMERS = "id,name,signed_on,segment\nC1,Ada,2025-01-01,small\n"
CONTRACTS = "id,customer,starts_on,ends_on,amount\nK1,C1,2025-01-01,2025-12-31,20000\n"


def csflow(folder, *words):
    """One command in its own words: exit code, what it prints, what it complains about."""
    found = CliRunner().invoke(main, ["--project", str(folder), *words])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.stdout, found.stderr


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "shop"
    assert CliRunner().invoke(main, ["init", str(folder)]).exit_code == 0
    return folder


def imported(project, kind, content, name="rows.csv"):
    file = project / name
    file.write_text(content, encoding="utf-8")
    return csflow(project, "import", kind, str(file))


def rejects(project, name="rows.csv"):
    return (project / f"{name}.rejects.csv").read_text(encoding="utf-8").splitlines()[1:]


def test_a_run_before_the_last_pass_writes_no_measurement(project):
    imported(project, "customers", CUSTOMERS)
    imported(project, "contracts", CONTRACTS)
    assert csflow(project, "run", "--as-of", "2025-06-01")[0] == 0
    for words in (["run"], ["measure"], ["advance"]):
        code, out, said = csflow(project, *words, "--as-of", "2025-02-01")
        assert (code, out) == (2, "")
        assert said == "csflow: the last pass was at 2025-06-01 23:59: look back with csflow run --dry-run\n"
    assert csflow(project, "run", "--as-of", "2025-02-01", "--dry-run")[0] == 0
    connection = sqlite3.connect(project / "csflow.db")
    days = {at // 86_400_000_000 for (at,) in connection.execute("select known from measurement")}
    connection.close()
    assert days == {20_240}  # 2025-06-01


def test_a_pass_before_the_newest_measure_would_use_later_values_and_is_refused(project):
    imported(project, "customers", CUSTOMERS)
    imported(project, "contracts", CONTRACTS)
    assert csflow(project, "measure", "--as-of", "2025-06-01")[0] == 0
    for words in (["advance"], ["run"], ["measure"], ["advance", "--dry-run"]):
        code, out, said = csflow(project, *words, "--as-of", "2025-05-31")
        assert (code, out) == (2, "")
        assert said == (
            "csflow: the last measure was at 2025-06-01 23:59: its values are of no day before; "
            "name that day or a later one, or look with csflow run --dry-run\n"
        )
    for words in (["run", "--dry-run"], ["measure", "--dry-run"]):  # these compute the values of that day
        assert csflow(project, *words, "--as-of", "2025-05-31")[0] == 0
    assert csflow(project, "advance", "--dry-run", "--as-of", "2025-06-01T08:00")[0] == 0
    assert csflow(project, "advance", "--as-of", "2025-06-01T08:00")[0] == 0  # the same day
    assert csflow(project, "run", "--as-of", "2025-06-01")[0] == 0


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("C2,1000000000000001", "a number is at most 10^15"),
        ("C2,-1e300", "a number is at most 10^15"),
        ("C\x1b[31m,1", "an id has no invisible characters"),
        ("C\u202e2,1", "an id has no invisible characters"),
    ],
)
def test_rows_that_could_harm_a_guard_or_a_terminal_are_refused(project, row, reason):
    text = (project / "csflow.yaml").read_text(encoding="utf-8")
    (project / "csflow.yaml").write_text(
        text.replace("    segment:", "    beds: number\n    segment:"), encoding="utf-8"
    )
    code, out, _ = imported(project, "customers", f"id,beds\n{row}\n")
    assert code == 1
    assert "1 read, 0 new, 0 changed, 0 unchanged, 1 rejected" in out
    assert reason in rejects(project)[0]


def test_a_number_too_large_is_refused_by_hand_as_in_a_file(project):
    text = (project / "csflow.yaml").read_text(encoding="utf-8")
    more = "    beds: number\n    fee: money\n    segment:"
    (project / "csflow.yaml").write_text(text.replace("    segment:", more), encoding="utf-8")
    assert csflow(project, "customer", "add", "C1", "--set", "beds=1e15")[0] == 0
    code, _, said = csflow(project, "customer", "set", "C1", "beds=1000000000000001")
    assert code == 2
    assert said == "csflow: customer.beds: '1000000000000001' is too large: a number is at most 10^15\n"
    code, _, said = csflow(project, "customer", "set", "C1", "fee=10000000000001")
    assert code == 2
    assert "10000000000001 EUR is too large: an amount is at most 10000000000000 EUR" in said


def test_an_amount_too_large_for_sums_is_refused(project):
    imported(project, "customers", CUSTOMERS)
    code, out, _ = imported(project, "contracts", CONTRACTS.replace("20000", "10000000000000.01"))
    assert code == 1
    assert "1 rejected: amount" in out


def test_half_a_character_in_a_json_file_is_refused_with_its_line(project):
    code, out, said = imported(project, "customers", '{"id": "C1"}\n{"id": "C2", "name": "\\ud800"}\n', "rows.jsonl")
    assert (code, said) == (1, "")
    assert "2 read, 1 new, 0 changed, 0 unchanged, 1 rejected" in out
    assert rejects(project, "rows.jsonl")[0].startswith("2,,half of a character")
    assert imported(project, "customers", '{"id": "C1", "name": "\\ud83d\\ude00"}\n', "rows.jsonl")[0] == 0


def test_an_activity_of_a_kind_that_is_not_declared_is_refused(project):
    imported(project, "customers", CUSTOMERS)
    code, _, _ = imported(project, "activities", "customer,kind,at\nC1,visit,2025-05-01\nC1,vist,2025-05-01\n")
    assert code == 1
    assert "'vist' is not one of visit, call: did you mean visit?" in rejects(project)[0]


def test_refused_rows_never_overwrite_the_file_they_come_from(project):
    file = project / "rows.csv"
    file.write_text("id,name\n,x\n", encoding="utf-8")
    code, _, said = csflow(project, "import", "customers", str(file), "--rejects", str(file))
    assert code == 2
    assert "this is the file that is read: name another" in said
    assert file.read_text(encoding="utf-8") == "id,name\n,x\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            "id;name\nC1;x\n",
            'one column only, \'id;name\': if its cells are parted by ";", say `with: {delimiter: ";"}`',
        ),
        ("id,nam\nC1,x\n", "a file of customers has segment, id, name, signed_on"),
    ],
)
def test_a_column_that_nothing_reads_comes_with_the_way_out(project, content, says):
    code, out, said = imported(project, "customers", content)
    assert (code, out) == (2, "")
    assert says in said


@pytest.mark.parametrize("words", [[], ["task"], ["db"]])
def test_a_command_without_its_words_shows_its_help(words):
    found = CliRunner().invoke(main, words)
    assert found.exit_code == 2
    assert found.stderr.startswith("Usage: ")
    assert len(found.stderr.splitlines()) > 5


def test_a_pipe_among_the_yaml_is_named_and_not_waited_for(project):
    os.mkfifo(project / "pipe.yaml")
    for words in (["validate", str(project)], ["status"]):
        code, out, said = csflow(project, *words)
        assert code == 3
        assert "pipe.yaml:1:1: cannot be read: not a file" in out + said


def test_a_link_to_itself_hides_no_other_file(project):
    (project / "a.yaml").symlink_to(project / "a.yaml")
    code, said, _ = csflow(project, "validate", str(project))
    assert code == 3
    assert said.splitlines()[0].endswith(":1:1: cannot be read: Too many levels of symbolic links")


def test_an_expression_that_cannot_be_read_is_told_in_one_short_line(project):
    flow = project / "lifecycle.yaml"
    text = flow.read_text(encoding="utf-8")
    guard = '"(\\n' + "(" * 900 + '"'
    flow.write_text(text.replace("activity.last_visit is known", guard), encoding="utf-8")
    code, said, _ = csflow(project, "validate", str(project))
    assert code == 3
    assert len(said.splitlines()) == 2  # the error, and how many there are
    assert len(said.splitlines()[0]) < 250


INTERRUPTED = """
import os, signal, sys, time, weakref
import csflow.cli as cli

class Thing: pass

def tidied(_):  # as SQLAlchemy's own: whatever is raised here, Python only prints
    os.kill(os.getpid(), int(sys.argv[1]))
    for _ in range(1000): pass

def work(*_args, **_more):
    thing = Thing(); watch = weakref.ref(thing, tidied); del thing
    time.sleep(20)

cli.click.Group.main = work
cli.main([])
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_comes_while_python_tidies_up_is_not_lost(number, code):
    found = subprocess.run([sys.executable, "-c", INTERRUPTED, str(int(number))], capture_output=True, timeout=15)
    assert found.returncode == code
    assert b"Traceback" not in found.stderr


def test_a_wrong_address_and_wrong_columns_are_told_at_their_places(project):
    (project / "more.yaml").write_text(
        "people:\n  li:\n    address: {webhook: 'htp:/foo', mail: not-an-address}\n", encoding="utf-8"
    )
    code, out, _ = csflow(project, "validate", str(project))
    assert code == 0
    place = f"{project / 'more.yaml'}:3:"
    told = out.splitlines()
    assert told[0].startswith(f"{place}25: warning: the webhook's address is not one")
    assert told[1] == f"{place}42: warning: the mail address is not one: no message by mail can go there"
    (project / "maps.yaml").write_text(
        "imports:\n  crm: {into: customer, columns: {id: num, nmae: title}}\n", encoding="utf-8"
    )
    code, out, _ = csflow(project, "validate", str(project))
    assert code == 3
    assert f"{project / 'maps.yaml'}:2:44: customer has no 'nmae': did you mean 'name'?" in out.splitlines()


def test_names_that_the_systems_encoding_has_not_cost_a_line_and_no_traceback(project):
    flow = "flow: 生命\nopens: {trigger: go}\nstages: {a: {transitions: {b: {trigger: x}}}, b: good}\n"
    (project / "生命周期.yaml").write_text(flow, "utf-8")
    assert csflow(project, "customer", "add", "C1")[0] == 0
    assert csflow(project, "trigger", "go", "C1")[0] == 0
    plain = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}

    def running(*words):
        program = str(Path(sys.executable).parent / "csflow")
        call = [program, "--project", str(project), *words]
        done = subprocess.run(call, env=plain, capture_output=True, timeout=60)
        return done.returncode, done.stderr.decode("ascii")

    assert running("history", "C1") == (0, "")  # the list of files that the cache keeps is done without
    code, said = running("status")
    assert code == 6
    assert said == "csflow: '\\u751f\\u547d' cannot be written in ascii: set LC_ALL=C.UTF-8, or PYTHONUTF8=1\n"
