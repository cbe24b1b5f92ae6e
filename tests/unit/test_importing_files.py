"""Files as people export them: marks, line ends, quotes, encodings, and what cannot be read."""

from __future__ import annotations

import json
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csflow.errors import StoreError, UsageError
from csflow.services import importing_files
from csflow.services.importing_files import Format, Source, read_format


@pytest.fixture
def write(tmp_path):
    def write(content, name="data.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


def rows_of(path, form=None):
    source = Source(path, form or Format())
    try:
        found = [(line, row) for batch in source.batches() for line, row in zip(batch.lines, batch.rows, strict=True)]
    finally:
        source.close()
    return source.columns, found


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_marks_and_line_ends_make_no_difference(write, mark, end):
    path = write(mark + end.join(["id,name", "1,Ann", "2,Bob", ""]))
    assert rows_of(path) == (["id", "name"], [(2, ["1", "Ann"]), (3, ["2", "Bob"])])


def test_a_row_has_the_line_it_begins_on(write):
    path = write('id,note\r\n1,"two\r\nlines"\r\n\r\n2,"three\n\nlines"\n3,x\n')
    assert rows_of(path)[1] == [(2, ["1", "two\r\nlines"]), (5, ["2", "three\n\nlines"]), (8, ["3", "x"])]


def test_line_numbers_go_on_from_batch_to_batch(write, monkeypatch):
    monkeypatch.setattr(importing_files, "BATCH", 3)
    path = write("id\n" + "".join(f'"{number}\n"\n' if number == 4 else f"{number}\n" for number in range(10)))
    lines = [line for line, _ in rows_of(path)[1]]
    assert lines == [2, 3, 4, 5, 6, 8, 9, 10, 11, 12]


def test_another_delimiter_and_encoding_are_said_in_the_mapping(write):
    form = read_format({"delimiter": ";", "encoding": "cp1252"}, "imports.x")
    assert rows_of(write("id;name\n1;Zoë\n", encoding="cp1252"), form)[1] == [(2, ["1", "Zoë"])]
    assert rows_of(write("id\tn\n1\ta,b\n"), read_format({"delimiter": "tab"}, "x"))[1] == [(2, ["1", "a,b"])]


@pytest.mark.parametrize(
    ("options", "says"), [({"delimiter": ";;"}, "one character"), ({"encoding": "utf-9"}, "no encoding 'utf-9'")]
)
def test_a_wrong_option_is_refused(options, says):
    with pytest.raises(UsageError, match=says):
        read_format(options, "imports.x")


def test_a_wrong_encoding_names_line_byte_and_remedy(write):
    path = write("id,name\n1,Ann\n2,Zoë\n", encoding="cp1252")
    with pytest.raises(
        UsageError, match=r"data\.csv:3: byte 0xeb is not utf-8: save the file as UTF-8, or .*encoding: gb18030"
    ):
        rows_of(path)


def test_a_wrong_encoding_late_in_the_file_is_found_too(write):
    path = write(b"id,name\n" + b"1,Ann\n" * 30_000 + b"2,\xff\n")
    with pytest.raises(UsageError, match=r":30002: byte 0xff"):
        rows_of(path)


def test_utf_16_is_refused_until_it_is_said(write):
    path = write("id,name\n1,Ann\n", encoding="utf-16")
    with pytest.raises(UsageError, match="is not utf-8"):
        rows_of(path)
    assert rows_of(path, Format(encoding="utf-16"))[1] == [(2, ["1", "Ann"])]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("id,name,id\n1,2,3\n", "two columns are named 'id'"),
        ("i\0d,name\n1,2\n", "zero bytes"),
        ('id,name\n1,"open\n' + "x\n" * 100_000, "quotation mark left open"),
        ('id,name\n1,"open\nagain\n', r"data\.csv:2: a quotation mark is opened here, or left open in this row$"),
        ('id,name\n1,x\n2,"a\nb"\n3,"open\n4,y\n', r"data\.csv:5: a quotation mark is opened here"),
        ('id,name\n1,"open\n2,"x"\n', r"data\.csv:3: ',' expected after '\"' \(the row begins in line 2\)$"),
        ('"id,name\n1,x\n', r"data\.csv:1: a quotation mark is opened here"),
        ("id,name\n1," + "x" * 200_000 + "\n", r"data\.csv:2: a cell has more than"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_line(write, content, says):
    with pytest.raises(UsageError, match=says) as caught:
        rows_of(write(content))
    assert "\n" not in str(caught.value)


def test_a_file_without_line_ends_is_not_read_into_memory(write, monkeypatch):
    monkeypatch.setattr(importing_files, "BLOCK", 1000)
    with pytest.raises(UsageError, match="a line is longer than 1000 bytes"):
        rows_of(write("x" * 5000))


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(StoreError, match=r"none\.csv: No such file"):
        Source(tmp_path / "none.csv", Format())
    with pytest.raises(StoreError, match="directory"):
        Source(tmp_path, Format())


@pytest.mark.parametrize("name", ["pipe.csv", "pipe.jsonl"])
def test_a_pipe_is_named_and_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(UsageError, match=rf"{name}: not a regular file \(a pipe, a device\): write it to a file"):
        Source(tmp_path / name, Format())


def test_jsonl_has_the_columns_of_all_its_rows(write):
    lines = [{"id": 1, "name": "Ann"}, {"id": 2.50, "left": True, "name": None}, {"id": "3", "tags": ["a", "b"]}]
    path = write("\ufeff" + "\n".join(json.dumps(line) for line in lines) + "\n\n", "data.jsonl")
    assert rows_of(path) == (
        ["id", "name", "left", "tags"],
        [(1, ["1", "Ann", "", ""]), (2, ["2.5", "", "true", ""]), (3, ["3", "", "", '["a", "b"]'])],
    )


def test_a_jsonl_file_whose_rows_all_have_half_a_character_is_not_called_empty(write):
    with pytest.raises(UsageError, match=r"data\.jsonl:2: half of a char"):
        rows_of(write('\n{"id": "\\ud83d"}\n', "data.jsonl"))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv.gz", b"\x1f\x8b\x08\x00", "a gzip file: unpack it first"),
        ("a.jsonl", b"\x1f\x8b\x08\x00", "a gzip file: unpack it first"),
        ("a.xlsx", b"PK\x03\x04\x14", "a zip file, or a workbook"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1", "a workbook"),
        ("a.json", b'[{"id": 1}]', "one piece of JSON: write one object a line into a file called .jsonl"),
        ("a.json", b'\xef\xbb\xbf{"id": 1}', "one piece of JSON"),
    ],
)
def test_a_file_that_people_take_for_a_table_is_called_what_it_is(write, name, content, told):
    with pytest.raises(UsageError, match=rf"{name}: this is {re.escape(told)}"):
        Source(write(content, name), Format())


def test_a_jsonl_file_with_nothing_in_it_is_empty(write):
    with pytest.raises(UsageError, match=r"data\.jsonl: the file is empty"):
        rows_of(write("\n\n", "data.jsonl"))


def test_a_jsonl_file_in_another_encoding_is_named_with_its_line(write):
    with pytest.raises(UsageError, match=r"data\.jsonl:2: byte 0xeb is not utf-8"):
        rows_of(write('{"name": "Ann"}\n{"name": "Zoë"}\n', "data.jsonl", "cp1252"))


def test_a_file_of_many_short_lines_is_read_whatever_its_size(write, monkeypatch):
    monkeypatch.setattr(importing_files, "BLOCK", 1000)
    assert len(rows_of(write("id\n" + "1\n" * 2000))[1]) == 2000


def test_large_numbers_in_jsonl_keep_every_digit(write):
    assert rows_of(write('{"id": 12345678901234567890.10}\n', "d.jsonl"))[1] == [(1, ["12345678901234567890.10"])]


NO_OBJECTS = ["[1]", "{", "1", '{"a": 1', "{'a': 1}", "[" * 5000]


@pytest.mark.parametrize("line", NO_OBJECTS)
def test_a_line_that_is_no_json_object_is_one_unread_row_among_the_others(write, line):
    _, found = rows_of(write('{"a": 1}\n' + line + '\n{"b": 2}\n', "data.jsonl"))
    assert found == [(1, ["1", ""]), (2, ["", "", line]), (3, ["", "2"])]
    assert [getattr(row, "reason", None) for _, row in found] == [None, "this line is not a JSON object", None]


@pytest.mark.parametrize("line", NO_OBJECTS)
def test_a_file_whose_first_line_is_no_json_object_is_no_jsonl(write, line):
    with pytest.raises(UsageError, match=r"data\.jsonl:2: this line is not a JSON object"):
        rows_of(write("\n" + line + '\n{"a": 1}\n', "data.jsonl"))


def test_an_unread_line_of_any_length_fits_a_cell_of_the_rejects(write):
    _, found = rows_of(write('{"a": 1}\n' + "x" * 200_000 + "\n", "data.jsonl"))
    assert len(found[1][1][-1]) == importing_files.LONGEST_CELL


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("form", [Format(), Format("cp1252", ";"), Format(quote="'")])
def test_a_rejects_file_is_read_without_what_csflow_put_in_front(write, form, mark):
    path = write(f'{mark}line,column,reason,id,name\n2,,"why, so",1,Zoë\n\n5,id,no,2\n7\n')
    assert rows_of(path, form) == (["id", "name"], [(2, ["1", "Zoë"]), (4, ["2"]), (5, [])])


def test_a_rejects_file_may_be_saved_again_as_the_source_is_written(write):
    path = write("line;column;reason;id;name\n2;;why;1;Zoë\n", encoding="cp1252")
    assert rows_of(path, Format("cp1252", ";")) == (["id", "name"], [(2, ["1", "Zoë"])])


@given(st.lists(st.tuples(st.text(max_size=8), st.text("a,\"\n\r ;'é汉", max_size=8)), max_size=12))
def test_what_python_writes_comes_back(tmp_path_factory, table):
    import csv

    table = [row for row in table if "\0" not in row[0] + row[1] and row[0].isprintable()]
    path = tmp_path_factory.mktemp("csv") / "data.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "note"), *table])
    assert [tuple(row) for _, row in rows_of(path)[1]] == table
