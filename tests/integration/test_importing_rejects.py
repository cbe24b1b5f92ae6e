"""Rows that an import refuses: what is told of them, the file they are written to, and how they come back mended."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from importing_project import counts, definition

from csflow.errors import UsageError
from csflow.services.importing import RejectsError


def test_rejects_name_line_column_reason_and_the_row(desk):
    told = desk.bring(
        "customers",
        "id,name,signed_on,segment\n,Nobody,2024-01-01,\nC1,Ann,01/02/2024,\nC2,Bob,2024-01-01,chian\nC3,Cy,2024-01-01\n"
        "id,name,signed_on,segment\nC4,Di,2024-01-01,chain",
    )
    assert counts(told) == (6, 1, 0, 0, 5, 0)
    with Path(told.rejects).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["line"], row["column"]) for row in rows] == [
        ("2", "id"), ("3", "signed_on"), ("4", "segment"), ("5", ""), ("6", "")
    ]  # fmt: skip
    assert rows[1]["reason"] == "'01/02/2024' is not YYYY-MM-DD: give its form with `format:`"
    assert "did you mean chain?" in rows[2]["reason"]
    assert rows[3]["reason"] == "3 cells where the header has 4"
    assert rows[4]["reason"] == "the header once more"
    assert (rows[2]["id"], rows[2]["name"]) == ("C2", "Bob")
    assert sum(told.reasons.values()) == 5
    assert desk.rows("customer", "key") == [("C4",)]


def test_an_id_of_jsonl_is_a_text_or_a_number_and_a_name_is_one_value(desk):
    rows = ['"true"', "true", '["a"]', '{"a": 1}', "7", "false"]
    text = "".join(f'{{"id": {one}, "name": "Ann"}}\n' for one in rows) + '{"id": "C9", "name": ["Ann"]}\n'
    told = desk.bring("customers", text, ending="jsonl")
    assert counts(told) == (7, 2, 0, 0, 5, 0)
    assert told.reasons == {
        "id: … is no text and no number: write the id as one of these": 4,
        "name: … is a list or a mapping: write one value": 1,
    }
    assert desk.rows("customer", "key") == [("7",), ("true",)]


def test_a_key_of_jsonl_that_nothing_reads_is_told_in_its_line(desk):
    with pytest.raises(UsageError, match=r"customers\.jsonl:3: nothing reads column 'NAME' \(did you mean name\?\)"):
        desk.bring("customers", '{"id": "C1"}\n{"id": "C2"}\n{"id": "C3", "NAME": "x"}\n', ending="jsonl")


def test_a_jsonl_line_that_cannot_be_read_is_one_refused_row(desk):
    text = '{"id": "C1", "name": "Ann"}\n{"id": "C2", \n[1]\n{"id": "C3", "name": "\\ud800"}\n{"id": "C4"}\n'
    told = desk.bring("customers", text, ending="jsonl")
    assert counts(told) == (5, 2, 0, 0, 3, 0)
    with Path(told.rejects).open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["line", "column", "reason", "id", "name"]
    assert rows[1] == ["2", "", "this line is not a JSON object", "", "", '{"id": "C2", ']
    assert rows[2] == ["3", "", "this line is not a JSON object", "", "", "[1]"]
    assert rows[3][2].startswith("half of a character")
    assert desk.rows("customer", "key") == [("C1",), ("C4",)]


def test_lines_that_could_not_be_read_are_refused_again_until_they_are_mended(desk):
    told = desk.bring("customers", '{"id": "C1"}\noops\n', ending="jsonl")
    again = desk.bring_file("customers", Path(told.rejects))
    assert counts(again) == (1, 0, 0, 0, 1, 0)
    assert again.reasons == {"2 cells where the header has 1": 1}
    Path(told.rejects).write_text("line,column,reason,id\n2,,this line is not a JSON object,C2\n")
    assert counts(desk.bring_file("customers", Path(told.rejects))) == (1, 1, 0, 0, 0, 0)


def test_a_rejects_file_is_imported_as_it_is_once_it_is_mended(desk):
    mapping = {
        "into": "customer", "with": {"delimiter": ";", "encoding": "cp1252"},
        "columns": {"id": "number", "name": "firm", "segment": "kind"}, "ignore": ["note"],
    }  # fmt: skip
    desk.definition = definition({"firms": mapping})
    path = desk.folder / "firms.csv"
    path.write_bytes("number;firm;kind;note\n1;Zoë;chian;x\n2;Bob;chain;y\n".encode("cp1252"))
    told = desk.bring_file("firms", path)
    assert counts(told) == (2, 1, 0, 0, 1, 0)
    refused = Path(told.rejects)
    assert counts(desk.bring_file("firms", refused)) == (1, 0, 0, 0, 1, 0)  # not mended yet
    refused.write_text(refused.read_text("utf-8").replace("1,Zoë,chian", "1,Zoë,chain"), "utf-8")
    assert counts(desk.bring_file("firms", refused)) == (1, 1, 0, 0, 0, 0)
    assert desk.rows("customer", "key", "name") == [("1", "Zoë"), ("2", "Bob")]
    path.write_bytes(path.read_bytes().replace(b"chian", b"chain"))
    assert counts(desk.bring_file("firms", path)) == (2, 0, 0, 2, 0, 0)  # the same rows, whichever way they came


def test_a_mended_row_without_an_id_is_the_row_of_the_mended_source(desk):
    desk.bring("customers", "id\nC1")
    rows = "customer,kind,at\nC1,visit,2024-13-01\nC1,visit,2024-02-01\n"
    told = desk.bring("activities", rows)
    refused = Path(told.rejects)
    refused.write_text(refused.read_text().replace("C1,visit,2024-13-01", "C1,visit,2024-03-01"))
    assert counts(desk.bring_file("activities", refused)) == (1, 1, 0, 0, 0, 1)
    assert counts(desk.bring("activities", rows.replace("2024-13-01", "2024-03-01"))) == (2, 0, 0, 2, 0, 2)


def test_a_rejects_file_is_never_complete(desk):
    told = desk.bring("contracts", "id,customer,starts_on\nK1,C1,2024-01-01")
    with pytest.raises(UsageError, match="lists refused rows, not all there are"):
        desk.bring_file("contracts", Path(told.rejects), complete=True)


def test_a_dry_run_leaves_the_rejects_of_the_last_import_alone(desk):
    told = desk.bring("customers", "id,signed_on\nC1,never\nC2,soon", dry_run=True)
    assert (told.rejected, told.rejects) == (2, None)
    assert sum(told.reasons.values()) == 2
    assert [path.name for path in desk.folder.iterdir() if "rejects" in path.name] == []
    kept = Path(desk.bring("customers", "id,signed_on\nC1,never").rejects)
    desk.bring("customers", "id,signed_on\nC1,2024-01-01", dry_run=True)
    assert "never" in kept.read_text()


def test_a_dry_run_writes_the_rejects_file_that_is_asked_for(desk):
    wanted = desk.folder / "wanted.csv"
    told = desk.bring("customers", "id,signed_on\nC1,never", dry_run=True, rejects=wanted)
    assert told.rejects == str(wanted)
    assert wanted.read_text().startswith("line,column,reason,id,signed_on\n2,signed_on,'never' is not YYYY-MM-DD")


def test_a_clean_import_removes_the_rejects_of_the_last(desk):
    told = desk.bring("customers", "id,signed_on\nC1,never")
    assert Path(told.rejects).exists()
    assert desk.bring("customers", "id,signed_on\nC1,2024-01-01").rejects is None
    assert not (desk.folder / "customers.csv.rejects.csv").exists()


def test_where_rejects_cannot_be_written_all_else_is_done_and_told(desk):
    nowhere = desk.folder / "no" / "such.csv"
    with pytest.raises(RejectsError, match="the rejected rows cannot be written") as caught:
        desk.bring("customers", "id,name,signed_on\nC1,Ann,\n,Bob,\nC3,Cy,soon\n,Di,", rejects=nowhere)
    told = caught.value.summary
    assert counts(told) == (4, 1, 0, 0, 3, 0)
    assert told.rejects is None
    assert told.reasons == {"id: is empty": 2, "signed_on: … is not YYYY-MM-DD: give its form with `format:`": 1}
    assert desk.rows("customer", "key") == [("C1",)]
    assert desk.rows("run", "verb", "finished") == [("import", 1)]


def test_a_zero_byte_is_refused_on_both_databases(desk):
    path = desk.folder / "customers.csv"
    path.write_bytes(b"id,name\nC1,A\0n\nC2,Bob\n")
    assert counts(desk.bring_file("customers", path)) == (2, 1, 0, 0, 1, 0)


@pytest.mark.parametrize("rows", ["C1,Ann", ",Nobody"], ids=["none refused", "one refused"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_refused_rows_replace_no_file_that_an_import_did_not_write(desk, rows, dry_run):
    notes, former, link = (desk.folder / name for name in ("notes.txt", "former.csv", "link.csv"))
    notes.write_text("remember\n")
    former.write_text("line,column,reason,id,customer\n2,id,no id,,C1\n")
    link.symlink_to(notes)
    before = notes.read_text(), former.read_text()
    source = desk.folder / "some.csv"
    source.write_text(f"id,name\n{rows}\n")
    for target, why in (
        (notes, "is there, and no import wrote it"), (former, "of other columns"), (link, "not a regular file"),
        (Path("/dev/null"), "not a regular file"), (desk.folder, "not a regular file"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=why):
            desk.bring_file("customers", source, rejects=target, dry_run=dry_run)
    assert (notes.read_text(), former.read_text()) == before
    assert desk.rows("customer", "key") == []


def test_a_file_beside_the_source_is_removed_only_where_an_import_wrote_it(desk):
    source = desk.folder / "some.csv"
    beside = desk.folder / "some.csv.rejects.csv"
    source.write_text("id,name\n,Nobody\n")
    desk.bring_file("customers", source)
    assert beside.is_file()
    source.write_text("id,name\nC1,Ann\n")
    desk.bring_file("customers", source)
    assert not beside.exists()
    beside.write_text("my own notes\n")
    with pytest.raises(UsageError, match="no import wrote it"):
        desk.bring_file("customers", source)
    assert beside.read_text() == "my own notes\n"


def test_a_file_of_refused_rows_that_somebody_named_is_replaced_by_others_and_never_removed(desk):
    source, named = desk.folder / "some.csv", desk.folder / "refused.csv"
    source.write_text("id,name\n,Nobody\n")
    desk.bring_file("customers", source, rejects=named)
    source.write_text("id,name\n,Somebody\n")
    desk.bring_file("customers", source, rejects=named)
    assert named.read_text().splitlines()[1].endswith(",,Somebody")
    source.write_text("id,name\nC1,Ann\n")
    desk.bring_file("customers", source, rejects=named)
    assert named.read_text().splitlines()[1].endswith(",,Somebody")
