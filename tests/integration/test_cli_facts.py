"""The commands `import` and `db upgrade`, as people and scripts call them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys

import pytest

PROJECT = """
csflow: 1
name: test
zone: UTC
currency: EUR
languages: [en]
fields:
  customer:
    segment: [single, chain]
imports:
  firms:
    uses: csflow/csv
    with: {path: firms.csv, delimiter: ";"}
    into: customer
    key: [id]
    columns: {id: number, name: firm, segment: {column: kind, values: {S: single}}}
    ignore: [note]
"""


@pytest.fixture
def csflow(tmp_path, database):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "csflow.yaml").write_text(PROJECT)

    def run(*words, code=0):
        program = "import sys; from csflow.cli import main; sys.argv[0] = 'csflow'; main()"
        done = subprocess.run(
            [sys.executable, "-c", program, "--project", "project", "--database", database, *words],
            cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    run.folder = tmp_path
    return run


def test_a_mapping_of_the_project_brings_a_file_in(csflow):
    (csflow.folder / "firms.csv").write_text("number;firm;kind;note\n1;Ann;S;x\n2;Bob;;\n")
    done = csflow("import", "firms", "firms.csv")
    assert done.stdout.splitlines() == [
        "firms.csv → customer: 2 read, 2 new, 0 changed, 0 unchanged, 0 rejected, 0 suspicious"
    ]
    assert done.stderr == ""


def test_rejected_rows_end_with_1_and_say_where_they_are(csflow):
    (csflow.folder / "firms.csv").write_text("number;firm;kind;note\n1;Ann;T;x\n2;Bob;;\n")
    done = csflow("import", "firms", "firms.csv", "--rejects", "bad.csv", code=1)
    assert "  1 rejected: kind: … is not one of single, chain" in done.stdout
    assert (csflow.folder / "bad.csv").read_text().startswith("line,column,reason,number,firm,kind,note\n2,kind,")


@pytest.mark.parametrize("output", ["text", "json", "jsonl"])
def test_what_came_in_is_told_before_that_refused_rows_cannot_be_written(csflow, output):
    (csflow.folder / "firms.csv").write_text("number;firm;kind;note\n1;Ann;T;x\n2;Bob;;\n")
    done = csflow("import", "firms", "firms.csv", "--rejects", "no/bad.csv", "--format", output, code=6)
    why = "the rejected rows cannot be written (No such file or directory): name another file with --rejects"
    assert done.stderr.splitlines() == [f"csflow: no/bad.csv: {why}"]
    assert ("2 read, 1 new" if output == "text" else '"read": 2, "new": 1') in done.stdout
    assert "kind: … is not one of single, chain" in done.stdout


def test_suspicious_rows_are_named_by_their_first_lines(csflow):
    (csflow.folder / "customers.csv").write_text("id\nC1\n")
    days = "".join(f"C1,f,2024-06-0{number}\n" for number in range(1, 9))
    (csflow.folder / "usage.csv").write_text("customer,feature,day\n" + days)
    csflow("import", "customers", "customers.csv")
    words = ("import", "usage", "usage.csv", "--as-of")
    assert csflow(*words, "2024-06-06", "--dry-run").stdout.splitlines()[1:] == [
        "  2 suspicious: lies after the day of the import (lines 8, 9)"
    ]
    assert csflow(*words, "2024-06-01").stdout.splitlines()[1:] == [
        "  7 suspicious: lies after the day of the import (lines 3, 4, 5, 6, 7 …)"
    ]


def test_a_folder_comes_in_in_order_and_as_json(csflow):
    folder = csflow.folder / "data"
    folder.mkdir()
    (folder / "contracts.csv").write_text("id,customer,starts_on\nK1,1,2024-01-01\n")
    (folder / "firms.csv").write_text("number;firm;kind;note\n1;Ann;S;x\n")
    told = json.loads(csflow("import", "data", "--dry-run", "--format", "json", code=1).stdout)
    assert [(one["name"], one["new"], one["rejected"]) for one in told["files"]] == [
        ("firms", 1, 0),
        ("contract", 0, 1),
    ]
    assert told["dry_run"] is True
    told = json.loads(csflow("import", "data", "--format", "json").stdout)
    assert [(one["name"], one["new"]) for one in told["files"]] == [("firms", 1), ("contract", 1)]


def test_each_file_is_one_object_a_line(csflow):
    folder = csflow.folder / "data"
    folder.mkdir()
    (folder / "contracts.csv").write_text("id,customer,starts_on\nK1,1,2024-01-01\n")
    (folder / "firms.csv").write_text("number;firm;kind;note\n1;Ann;S;x\n")
    lines = csflow("import", "data", "--format", "jsonl").stdout.splitlines()
    assert [(json.loads(line)["name"], json.loads(line)["new"]) for line in lines] == [("firms", 1), ("contract", 1)]


def test_a_data_file_of_a_folder_that_nothing_claims_is_named_with_what_could_be_meant(csflow):
    folder = csflow.folder / "data"
    (folder / "more").mkdir(parents=True)
    (folder / "customers.csv").write_text("id,name\n1,Ann\n")
    for name in ("contrats.csv", "Usage.jsonl", "zzzz.csv", "read.me", "customers.csv.rejects.csv", ".hidden.csv"):
        (folder / name).write_text("line,column,reason,id\n" if name.endswith(".rejects.csv") else "x\n")
    assert csflow("import", "data").stdout.splitlines() == [
        "customers.csv → customer: 1 read, 1 new, 0 changed, 0 unchanged, 0 rejected, 0 suspicious",
        "Usage.jsonl: not imported (did you mean usage.jsonl?)",
        "contrats.csv: not imported (did you mean contracts.csv?)",
        "zzzz.csv: not imported (no import or kind is called so)",
    ]
    told = json.loads(csflow("import", "data", "--format", "json").stdout)
    assert told["not_imported"] == ["Usage.jsonl", "contrats.csv", "zzzz.csv"]
    lines = csflow("import", "data", "--format", "jsonl")
    assert (lines.stdout.count("\n"), lines.stderr.count("not imported")) == (1, 3)
    (folder / "customers.csv").unlink()
    assert "contrats.csv: not imported (did you mean contracts.csv?)" in csflow("import", "data", code=2).stderr


def test_what_a_complete_file_lacks_is_counted_as_closed(csflow):
    rows = "".join(f"K{n},1,2024-01-01\n" for n in range(40))
    (csflow.folder / "firms.csv").write_text("number;firm;kind;note\n1;Ann;S;x\n")
    (csflow.folder / "contracts.csv").write_text("id,customer,starts_on\n" + rows)
    csflow("import", "firms", "firms.csv")
    csflow("import", "contracts", "contracts.csv")
    (csflow.folder / "contracts.csv").write_text("id,customer,starts_on\n" + rows.replace("K7,1,2024-01-01\n", ""))
    assert "  1 closed" in csflow("import", "contracts", "contracts.csv", "--complete").stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("import", "firsm", "firms.csv"), 2, "did you mean firms?"),
        (("import", "nowhere"), 2, "'nowhere' is no folder"),
        (("import", "firms", "none.csv"), 6, "none.csv: No such file"),
        (("import", "firms", "latin.csv"), 2, "latin.csv:2: byte 0xeb is not utf-8"),
        (("import", "firms", "empty.csv"), 2, "empty.csv: the file is empty"),
        (("import", "firms", "quote.csv"), 2, "quote.csv:2: a quotation mark is opened here"),
        (("import", "firms", "odd.csv"), 2, "nothing reads column 'colour'"),
        (("import", "firms", "firms.csv", "--complete"), 2, "--complete closes"),
        (("import", "firms", "firms.csv", "--as-of", "soon"), 2, "--as-of 'soon'"),
        (("import", "project"), 2, "project: no file here is called like an import or a kind"),
        (("import", "project", "--complete"), 2, "--complete and --rejects are for one file"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_an_exit_code(csflow, words, code, says):
    (csflow.folder / "firms.csv").write_text("number;firm;kind;note\n")
    (csflow.folder / "latin.csv").write_bytes("number;firm;kind;note\n1;Zoë;S;\n".encode("cp1252"))
    (csflow.folder / "empty.csv").write_text("")
    (csflow.folder / "quote.csv").write_text('number;firm;kind;note\n1;"Zoe;S;\n2;Ann;S;\n')
    (csflow.folder / "odd.csv").write_text("number;firm;kind;note;colour\n")
    done = csflow(*words, code=code)
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_every_line_of_what_is_wrong_with_a_file_begins_alike(csflow):
    (csflow.folder / "firms.csv").write_text("number;firm;kind;colour;note;size\n")
    done = csflow("import", "firms", "firms.csv", code=2)
    assert [line.partition("nothing reads column ")[2].split(":")[0] for line in done.stderr.splitlines()] == [
        "'colour'", "'size'",
    ]  # fmt: skip
    assert all(line.startswith("csflow: firms.csv:1: ") for line in done.stderr.splitlines())


def test_db_upgrade_says_that_there_is_nothing_to_do(csflow):
    assert "Upgraded from tables none to 0001." in csflow("db", "upgrade").stdout
    assert "up to date (tables 0001)" in csflow("db", "upgrade").stdout


@pytest.mark.parametrize("words", [("import", "--help"), ("db", "upgrade", "--help")])
def test_help_has_an_example(csflow, words):
    assert "Example:" in csflow(*words).stdout


def test_a_database_of_a_newer_csflow_is_left_alone(csflow, database):
    csflow("db", "upgrade")
    path = database.removeprefix("sqlite:///")
    if path == database:
        import psycopg

        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("update alembic_version set version_num = '9999'")
    else:
        connection = sqlite3.connect(path)
        connection.execute("update alembic_version set version_num = '9999'")
        connection.commit()
        connection.close()
    assert "newer csflow" in csflow("db", "upgrade", code=6).stderr
