from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csflow.flow.reading import MAX_BYTES, MAX_DEPTH, MOST_PROBLEMS, Item, plain, read_bytes, read_file, read_text

if TYPE_CHECKING:
    from pathlib import Path


def told(text: str) -> list[str]:
    return [f"{p.line}:{p.column}: {p.message}" for p in read_text(text, "f.yaml")[1]]


def tree(text: str) -> object:
    root, problems, whole = read_text(text, "f.yaml")
    assert root is not None
    assert not problems
    assert whole
    return plain(root)


def item(text: str, *path: str | int) -> Item:
    here, _, _ = read_text(text, "f.yaml")
    assert here is not None
    for step in path:
        here = here.value[step]
    return here


def test_mappings_lists_and_scalars_become_plain_data() -> None:
    text = "a: 1\nb: [x, 2.5, true, null]\nc:\n  d: 'text'\n  e: {f: -3}\n"
    assert tree(text) == {"a": 1, "b": ["x", 2.5, True, None], "c": {"d": "text", "e": {"f": -3}}}


def test_days_hours_and_shares_stay_text() -> None:
    assert tree("a: 2026-01-05\nb: 09:00-12:00\nc: 80%\nd: =case.x") == {
        "a": "2026-01-05",
        "b": "09:00-12:00",
        "c": "80%",
        "d": "=case.x",
    }


def test_number_keys_are_read_as_text() -> None:
    assert tree("{1: a, 2.5: b}") == {"1": "a", "2.5": "b"}


def test_an_empty_file_has_no_tree_and_no_problem() -> None:
    assert read_text("# nothing\n", "f.yaml") == (None, [], True)


def test_a_byte_order_mark_and_windows_line_ends_are_allowed() -> None:
    root, problems, whole = read_bytes("\ufeffa: 1\r\nb: 2\r\n".encode(), "f.yaml")
    assert root is not None
    assert (plain(root), problems, whole) == ({"a": 1, "b": 2}, [], True)


def test_places_count_lines_and_columns_from_one() -> None:
    text = "a:\n  bb: value\n"
    assert item(text, "a", "bb").place() == ("f.yaml", 2, 7)
    assert item(text, "a", "bb").key_place() == ("f.yaml", 2, 3)
    assert item(text, "a", "bb").place(3) == ("f.yaml", 2, 10)


def test_the_quote_of_a_text_is_not_counted() -> None:
    assert item("a: 'value'", "a").place() == ("f.yaml", 1, 5)
    assert item('a: "value"', "a").place(2) == ("f.yaml", 1, 7)


@pytest.mark.parametrize("indicator", [">-", "|", ">"])
def test_a_place_in_a_block_of_text_is_found_in_its_line(indicator: str) -> None:
    text = f"a: {indicator}\n    one two\n    three\n"
    assert item(text, "a").place(4) == ("f.yaml", 2, 9)
    assert item(text, "a").place(8) == ("f.yaml", 3, 5)


def test_a_place_in_a_plain_text_over_two_lines_is_found_in_its_line() -> None:
    assert item("a: one\n   two", "a").place(4) == ("f.yaml", 2, 4)


def test_a_duplicate_key_tells_both_values() -> None:
    assert told("vars:\n  a: 50%\n  a: 60%\n") == [
        '3:3: found duplicate key "a" with value "60%" (original value: "50%")'
    ]


def test_a_duplicate_key_with_a_mapping_tells_the_first_line() -> None:
    assert told("a: {b: 1}\na: {b: 2}") == ['2:1: found duplicate key "a" (first in line 1)']


def test_anchors_and_aliases_are_refused_where_they_stand() -> None:
    message = "anchors are not used here: share by 'vars:' or 'extends:'"
    assert told("a: &x 5\nb: *x") == [f"1:4: {message}", f"2:4: {message}"]


def test_of_thousands_of_mistakes_the_first_are_told_and_how_many_more_there_are() -> None:
    bomb = "a: &a [1]\n" + "".join(f"b{n}: [{', '.join(['*a'] * 9)}]\n" for n in range(1_000))
    lines = told(bomb)
    assert len(lines) == MOST_PROBLEMS + 1
    assert lines[-1] == f"7:22: and {9_001 - MOST_PROBLEMS:,} more like these"


@pytest.mark.parametrize("word", ["on", "Off", "YES", "no", "true", "False", "y", "N"])
def test_a_key_that_is_a_boolean_for_many_readers_is_refused(word: str) -> None:
    assert told(f"{word}: 1") == [f"1:1: key '{word}' is a boolean for many YAML readers: choose another word"]
    assert tree(f"'{word}': 1") == {word: 1}  # quoted it is text to every reader: cells of a file may say True


@pytest.mark.parametrize(
    "text", ["yes", "No", "on", "off", "y", "012", "0o7", "1:30", "1_000", "1e3", "0x1F", ".inf", "=", "0b1"]
)
def test_a_value_that_two_readers_take_differently_wants_quotes(text: str) -> None:
    assert told(f"a: {text}") == [f"1:4: {text} means different things to different YAML readers: quote it"]
    assert tree(f"a: '{text}'") == {"a": text}


@pytest.mark.parametrize("text", ["1.5", "-2", "0", "0.5", "true", "2 days", "1.2.3", "v1", "a:b"])
def test_a_value_that_all_readers_take_alike_needs_no_quotes(text: str) -> None:
    assert str(tree(f"a: {text}")["a"]).lower() == text


def test_a_comma_that_cuts_an_expression_in_braces_gets_its_own_hint() -> None:
    hint = "inside { } a comma ends the value, so quote the expression or give it its own line"
    assert told("{b: f(x > 1, days(3))}") == [f"1:5: cannot read 'f(x > 1': {hint}"]


def test_tags_merge_keys_directives_and_second_documents_are_refused() -> None:
    assert "tags are not used here" in told("a: !!python/object:os.system x")[0]
    assert "merge keys are not used here" in told("a: {<<: {b: 1}}")[0]
    assert "directives" in told("%YAML 1.1\n---\na: 1")[0]
    assert told("a: 1\n---\nb: 2") == ["2:1: one document to a file: split it, or take the '---' out"]


def test_a_key_that_is_no_word_is_refused() -> None:
    assert "a key is a word" in told("? [a]\n: b")[0]
    assert told("~: a") == ["1:1: a key is a word; this one is empty"]


def test_a_mistake_of_syntax_is_one_line_with_its_place() -> None:
    assert told("a: b: c") == ["1:5: not YAML: mapping values are not allowed here"]
    assert told("a: [1, 2")[0].startswith("1:9: not YAML:")
    assert told("a:\n\tb: 1") == ["2:1: not YAML: a tab stands here: YAML is indented with blanks"]


@pytest.mark.parametrize("text", ['a: "\\U00110000"', 'a: "\\UFFFFFFFF"', "!%ff a", "%"])
def test_what_the_parser_itself_breaks_on_is_one_line(text: str) -> None:
    root, (problem,), whole = read_text(text, "f.yaml")
    assert (root, whole) == (None, False)
    assert problem.message.startswith("not YAML: ")
    assert "\n" not in problem.message


def test_control_characters_are_refused_where_they_stand() -> None:
    assert told("a: 1\nb: x\x00y") == ["2:5: character U+0000 is not allowed in YAML"]


def test_bytes_that_are_not_utf_8_are_refused_where_they_stand() -> None:
    _, problems, whole = read_bytes(b"a: 1\nb: \xff", "f.yaml")
    assert [str(p) for p in problems] == ["f.yaml:2:4: not UTF-8: save the file in UTF-8"]
    assert not whole


def test_a_large_file_is_refused_unread() -> None:
    begun = time.monotonic()
    _, problems, whole = read_bytes(b"a" * (5 * MAX_BYTES), "f.yaml")
    assert "bytes are too many" in problems[0].message
    assert not whole
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "[[{a: "])
def test_ten_thousand_levels_are_refused_quickly(opening: str) -> None:
    begun = time.monotonic()
    _, problems, whole = read_text(opening * 10_000, "f.yaml")
    assert not whole
    assert problems
    assert time.monotonic() - begun < 5


def test_forty_levels_are_read() -> None:
    depth = MAX_DEPTH - 1
    assert read_text("[" * depth + "]" * depth, "f.yaml")[2]
    assert told("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)) == [f"1:{MAX_DEPTH + 1}: more than 40 levels deep"]


def test_an_alias_bomb_costs_nothing() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    begun = time.monotonic()
    root, problems, _ = read_text("\n".join(lines), "f.yaml")
    assert root is not None
    assert problems[-1].message == f"and {30 + 29 * 9 - MOST_PROBLEMS} more like these"
    assert time.monotonic() - begun < 5


def test_a_file_that_cannot_be_opened_is_a_problem(tmp_path: Path) -> None:
    _, problems, whole = read_file(tmp_path / "none.yaml", "none.yaml")
    assert [str(p) for p in problems] == ["none.yaml:1:1: cannot be read: No such file or directory"]
    assert not whole


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_random_bytes_give_a_tree_or_problems_with_places(content: bytes) -> None:
    _, problems, whole = read_bytes(content, "f.yaml")
    assert whole or problems
    assert all(p.line >= 1 and p.column >= 1 and "\n" not in p.message for p in problems)


@given(st.text(alphabet="ab:-[]{},\n \t'\"#&*!|>%@`?~0159.\\", max_size=120))
@settings(max_examples=600, deadline=None)
def test_random_yaml_like_text_gives_a_tree_or_problems_with_places(text: str) -> None:
    _, problems, whole = read_text(text, "f.yaml")
    assert whole or problems
    assert all(p.line >= 1 and p.column >= 1 and "\n" not in p.message for p in problems)


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("flow： lifecycle\nstages: {a: good}\n", "2:7: ", "; in line 1, ： (U+FF1A) is not :"),
        ("flow: f\nstages:\n  a: good\nlabel：生命\nopens: true\n", "5:1: ", "; in line 4, ： (U+FF1A) is not :"),
        ("flow: f\nlabel:\u00a0x\nopens: true\n", "3:1: ", "; in line 2, a no-break space (U+00A0) is not a space"),
        ("a: “b: c”\n", "1:6: ", '; in line 1, “ (U+201C) is not "'),
    ],
)
def test_a_sign_that_only_looks_like_one_of_yaml_is_named_with_its_line(text: str, place: str, hint: str) -> None:
    (line,) = told(text)
    assert (line[: len(place)], line[-len(hint) :]) == (place, hint)


def test_signs_in_texts_quotes_and_comments_are_nobodys_mistake() -> None:
    assert "U+" not in told("a: '：' # ：\nb: 生命：周期\nc\nd: 1")[0]
    assert tree("a: 生命：周期\n") == {"a": "生命：周期"}
