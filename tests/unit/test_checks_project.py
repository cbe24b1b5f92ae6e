"""What is checked of imports, quiet hours, people and the project's own settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Told = Callable[..., list[str]]

LABEL = "a text or one text for each language"
FLOW = (
    "flow: f\nfields: {cause: [price, service], note: text}\n"
    "stages:\n  a: {transitions: {b: {trigger: go}}}\n  b: good\n"
)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("into: customer, columns: {id: num, nmae: title}", "1:52: customer has no 'nmae': did you mean 'name'?"),
        ("into: customer, columns: {id: num, grde: mark}", "1:52: customer has no 'grde': did you mean 'grade'?"),
        ("into: customer, columns: {name: title}", "1:33: 'id' is missing: without, no row can come in"),
        (
            "into: contact, columns: {id: num}",
            "1:32: 'customer' or 'contract' is missing: without, no row can come in",
        ),
        (
            "into: case, columns: {flow: {value: f}, customer: c, id: num, opened_at: day, nott: x}",
            "1:95: case has no 'nott': did you mean 'note'?",
        ),
    ],
)
def test_a_column_that_no_row_of_that_kind_has_is_refused_where_it_is_mapped(
    told: Told, mapping: str, message: str
) -> None:
    files = {
        "x.yaml": f"imports: {{crm: {{{mapping}}}}}",
        "fields.yaml": "fields: {customer: {grade: text}}",
        "f.yaml": FLOW,
        "g.yaml": "flow: g\nfields: {size: text}\nstages: {a: {transitions: {b: {trigger: go}}}, b: good}",
    }
    assert told(files) == [message]


def test_fields_may_be_filled_by_an_import(told: Told) -> None:
    text = "imports: {crm: {into: customer, columns: {id: num, name: title, grade: mark, signed_on: since}}}"
    assert told({"x.yaml": text, "fields.yaml": "fields: {customer: {grade: text}}"}) == []
    about = "imports: {crm: {into: trigger, columns: {customer: c, flow: {value: f}, name: {value: go}, at: d, note: text}}}"
    assert told({"x.yaml": about, "f.yaml": FLOW}) == []


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("with: {delimeter: ';'}", "1:38: unknown key 'delimeter': did you mean 'delimiter'?"),
        ("with: {sheet: 2}", "1:38: unknown key 'sheet': there are path, encoding, delimiter, quote"),
        ("with: {delimiter: ';;'}", "1:50: ';;': a delimiter is one character (or tab)"),
        ("with: {quote: '##'}", "1:46: '##': a quote is one character"),
        ("with: {delimiter: '\"'}", "1:50: delimiter and quote are the same character"),
        ("with: {encoding: utf9}", "1:48: there is no encoding 'utf9': write utf-8, gb18030, cp1252 …"),
        ("uses: csflow/cvs", "1:37: nothing reads 'csflow/cvs': did you mean 'csflow/csv'?"),
        ("columns: {id: =x +}", "1:45: 'x +' cannot be read: write columns, numbers, 'text', + - * / and brackets"),
        ("columns: {id: {column: =f(x)}}", "1:54: no f(…) with 1 value: there are default(x, y), days_between(a, b)"),
        ("columns: {}", "1:31: 'id' is missing: without, no row can come in"),
        ("columns: {id: a, signed_on: {format: dd.mm.yyyy}}", "1:68: 'dd.mm.yyyy' is not a format of dates: write it"),
        ("columns: {id: a, signed_on: {format: '%Q'}}", "1:69: '%Q' is not a format of dates: write it like"),
        ("columns: {id: a, signed_on: {format: '%d.%d.%Y'}}", "1:69: '%d.%d.%Y' is not a format of dates"),
        ("columns: {id: a, signed_on: {format: '%d.%m.'}}", "1:69: '%d.%m.' does not say where the year stands"),
    ],
)
def test_what_no_file_could_be_read_by_is_told_with_the_mapping(told: Told, mapping: str, message: str) -> None:
    assert [line[: len(message)] for line in told(f"imports: {{a: {{into: customer, {mapping}}}}}")] == [message]


def test_settings_formats_and_formulas_that_can_be_used_are_taken(told: Told) -> None:
    told_of = 'with: {path: a/*.csv, encoding: gb18030, delimiter: tab, quote: "\'"}'
    columns = "columns: {id: \"=column('No 1') + '-' + y\", name: a, signed_on: {format: '%m/%y'}}"
    assert told(f"imports: {{a: {{into: customer, uses: csflow/jsonl, {told_of}, {columns}}}}}") == []


def test_a_reader_that_nobody_provides_is_a_warning_and_its_settings_are_its_own(told: Told) -> None:
    text = "imports: {a: {into: customer, uses: foo/bar, with: {shop: 7}}}"
    assert told(text) == []
    assert told(text, warnings=True) == ["1:37: nothing provides 'foo/bar', so nothing is imported by it"]


@pytest.mark.parametrize("span", ["25:00-08:00", "24:00-08:00", "21:00-24:01", "21:00-8:60"])
def test_a_quiet_time_of_no_clock_is_refused_at_its_place(told: Told, span: str) -> None:
    project = f'csflow: 1\nname: p\nzone: UTC\nquiet: {{daily: "{span}"}}\n'
    message = f"4:17: '{span}' is not a time of day from 00:00 to 23:59: write \"21:00-08:00\""
    assert told({"csflow.yaml": project}) == [message]


@pytest.mark.parametrize("span", ["21:00-08:00", "0:00-23:59", "9:30 – 24:00"])
def test_a_quiet_time_may_begin_or_end_at_midnight(told: Told, span: str) -> None:
    assert told({"csflow.yaml": f'csflow: 1\nname: p\nzone: UTC\nquiet: "{span}"\n'}) == []


@pytest.mark.parametrize(
    ("quiet", "message"),
    [
        ('"0:00-24:00"', "4:9: '0:00-24:00' is the whole day, every day: no message would ever leave"),
        ('"08:00-08:00"', "4:9: '08:00-08:00' begins when it ends, so it is never quiet: take it out"),
        ("{weekly: [mon-sun]}", "4:18: this makes every day quiet: no message would ever leave"),
        ("{weekly: [sat-tue, sun-wed, fri, thu]}", "4:41: this makes every day quiet: no message would ever leave"),
    ],
)
def test_a_quiet_that_never_ends_or_never_begins_is_refused(told: Told, quiet: str, message: str) -> None:
    assert told({"csflow.yaml": f"csflow: 1\nname: p\nzone: UTC\nquiet: {quiet}\n"}) == [message]


def test_a_person_called_like_a_role_is_refused_for_messages_to_either(told: Told) -> None:
    people = "people: {li: {roles: [csm]}, csm: {roles: []}}"
    message = "1:30: 'csm' is a role already, and what is meant for it would go to this person: take another id"
    assert told({"x.yaml": people, "roles.yaml": "roles: {csm: M}"}) == [message]


@pytest.mark.parametrize("address", ["postgres//me:secret@x", "mysql://me:secret@x/y", "secret.db", "postgresql:/x"])
def test_a_database_whose_address_is_none_is_refused_and_not_shown(told: Told, address: str) -> None:
    message = "4:11: not the address of a database: write sqlite:///FILE or postgresql://USER@HOST/NAME"
    assert told({"csflow.yaml": f"csflow: 1\nname: p\nzone: UTC\ndatabase: {address}\n"}) == [message]


@pytest.mark.parametrize(
    "address", ["sqlite:///x.db", "postgresql://me@x/y", "postgresql+psycopg://x/y", "postgres://x/y"]
)
def test_the_address_of_a_database_is_taken(told: Told, address: str) -> None:
    assert told({"csflow.yaml": f"csflow: 1\nname: p\nzone: UTC\ndatabase: {address}\n"}) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("quiet: {budget: -2}", "4:17: a whole number, at least 1, is needed here; found -2"),
        ("quiet: {budget: 1.5}", "4:17: expected a whole number, found 1.5"),
        ("year_starts: 13", "4:14: a whole number, at most 12, is needed here; found 13"),
        ("year_starts: May", "4:14: expected a whole number, found text"),
    ],
)
def test_a_number_that_does_not_fit_is_told_in_words_of_the_language(told: Told, line: str, message: str) -> None:
    assert told({"csflow.yaml": f"csflow: 1\nname: p\nzone: UTC\n{line}\n"}) == [message]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("roles: {t: {assign: u}, u: {assign: t}}", "1:21: roles are filled like each other in a circle: t → u → t"),
        ("roles: {t: {assign: t}}", "1:21: roles are filled like each other in a circle: t → t"),
        ("roles: {t: {leads: t}}", "1:20: roles lead each other in a circle: t → t"),
        ("roles: {s: {leads: t}, t: {leads: u}, u: {leads: t}}", "1:35: roles lead each other in a circle: t → u → t"),
        ("roles: {s: {assign: t}, t: {assign: u}, u: {assign: pool}}", None),
        (
            "metrics: {a.b: {uses: x/y, type: number, with: {window: 0 days}}}",
            "1:57: '0 days' is no time at all: nothing would ever be seen in such a window",
        ),
        (
            "fields: {customer: {ok: {choices: []}}}",
            "1:35: no word stands here, so nothing could be chosen: take choices: out, or fill it",
        ),
        (
            "flow: f\nstages: {a: {deadline: 3, transitions: {b: {trigger: go}}}, b: good}",
            "2:24: expected a length or a date to count from, such as '3 days', found a number",
        ),
        (
            "messages: {m: {text: {customer.name}}}",
            f"1:22: expected {LABEL}, found a mapping: a text that begins with a brace is written in quotes",
        ),
        (
            "messages: {m: 'Dear {{customer.name}}'}",
            "1:21: a brace that is not closed, or not opened: a hole has one on each side, {customer.name}",
        ),
        (
            "metrics: {a.b: 'customer.amount * 1,5'}",
            "1:17: a comma (decimals are written with a point: 1.5) is not in the language",
        ),
    ],
)
def test_what_means_nothing_is_refused_with_the_word_that_helps(told: Told, text: str, message: str | None) -> None:
    assert told(text) == ([] if message is None else [message])


def test_a_brace_is_written_by_a_var(load_project: Callable[..., Any]) -> None:
    files = {"x.yaml": "vars: {brace: '{'}\nmessages: {m: 'one {vars.brace} for {customer.name}'}"}
    assert load_project(files).problems == []


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "csflow.yaml",
            "csflow: '1'\nname: p\n",
            "1:10: csflow: is the version of the language, which is 1; found '1': write it without quotes",
        ),
        (
            "x.yaml",
            "label: F\nflow: 🎉\nstages: {a: {transitions: {b: {trigger: t}}}, b: good}\n",
            "2:7: '🎉' cannot be the name of a flow: use letters, digits and _",
        ),
        ("roles.YAML", "rols: {a: A}\n", "1:1: unknown key 'rols': did you mean 'roles'?"),
    ],
)
def test_versions_names_and_endings_written_otherwise_are_told_at_their_place(
    told: Told, name: str, text: str, message: str
) -> None:
    assert told({name: text}) == [message]


@pytest.mark.parametrize("country", ["XX", "DE_BY"])
def test_a_country_that_nobody_knows_is_told_with_what_to_write(told: Told, country: str) -> None:
    way = "write a country (DE) or a part of one (DE-BY), or list the days"
    pytest.importorskip("holidays")
    assert told(f"calendars: {{shop: {{holidays: {country}, hours: {{}}}}}}", warnings=True) == [
        f"1:30: the holidays of '{country}' are not known here: {way}"
    ]
