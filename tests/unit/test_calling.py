"""Functions of plugins in the text of statements, and what is told of those that fail."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import Double, column, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, ProgrammingError

from csflow.flow.types import NUMBER, Outside
from csflow.store.calling import Called, CallError, call_error, calls_in, reason_of, told
from csflow.store.opening import blame, of_statement

DIALECTS = [sqlite.dialect(), postgresql.psycopg.dialect()]
BEDS = column("beds", Double())


def outside(name: str = "far", plugin: str = "far.py") -> Outside:
    return Outside(name, "1", (NUMBER,), NUMBER, abs, lambda n: n + 1, plugin)


def text_of(dialect, *functions: Outside) -> str:
    return str(select(*(Called(one, one.sql(BEDS)) for one in functions)).compile(dialect=dialect))


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_statement_says_which_functions_of_which_plugins_it_calls_each_once(dialect):
    text = text_of(dialect, outside(), outside("near", "诊所 near.py"), outside())
    assert calls_in(text) == (("far.py", "far"), ("诊所 near.py", "near"))


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("plugin", ["*/ drop table x --", "100% new.py", "two\nlines", "/* in"])
def test_no_name_of_a_plugin_ends_the_comment_that_it_stands_in(dialect, plugin):
    text = text_of(dialect, outside(plugin=plugin))
    assert (text.count("/*csflow:"), text.count("*/")) == (1, 1)
    ((_, name),) = calls_in(text)
    assert name == "far"
    assert "%" not in text.partition("*/")[0]


def test_a_marked_form_means_what_it_means_without_the_mark():
    connection = sqlite3.connect(":memory:")
    statement = select(Called(outside(), BEDS + 1) * 2).select_from(select((BEDS * 0 + 3).label("beds")).subquery())
    text = str(statement.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    expression = text.partition("SELECT ")[2].partition(" AS ")[0].partition(" \n")[0]
    assert connection.execute(f"select {expression} from (select 3.0 as beds)").fetchone() == (8.0,)


def test_a_statement_without_any_calls_none():
    assert calls_in("select 1 /* far */") == ()
    assert calls_in(None) == ()


def test_a_reason_is_what_the_database_says_in_one_line_without_the_statement():
    error = DataError("select secret", {"x": 1}, sqlite3.DataError("too\n  big"))
    assert reason_of(error) == "DataError: too big"
    assert reason_of(OverflowError()) == "OverflowError"


def test_functions_of_one_plugin_are_one_line_and_those_of_two_are_two():
    one = CallError((("a.py", "far"), ("a.py", "near")), "X: no")
    assert str(one) == "a.py: csflow_functions: far or near: X: no"
    two = CallError((("a.py", "far"), ("b.py", "near")), "X: no")
    assert [entry["plugin"] for entry in told([(two, "f.clock")])] == ["a.py", "b.py"]
    assert two.exit_code == 1


def test_equal_failures_are_told_once_with_their_places_and_no_place_twice():
    error = call_error((("a.py", "far"),), OverflowError("big"))
    places = ["f.a", "f.a", "f.b", "f.c", "f.d", "f.e"]
    (entry,) = told((error, place) for place in places)
    assert entry == {
        "plugin": "a.py", "hook": "csflow_functions",
        "error": "far: OverflowError: big; asked in f.a, f.b, f.c and 2 more",
    }  # fmt: skip


MARKED = "select /*csflow:far far.py*/ 1"


@pytest.mark.parametrize(
    ("kind", "said", "own"),
    [
        (OperationalError, sqlite3.OperationalError("integer overflow"), True),
        (OperationalError, sqlite3.OperationalError("database is locked"), False),
        (OperationalError, sqlite3.OperationalError("disk I/O error"), False),
        (DataError, sqlite3.DataError("string or blob too big"), True),
        (ProgrammingError, sqlite3.ProgrammingError("no"), True),
        (IntegrityError, sqlite3.IntegrityError("no"), False),
        (OperationalError, Exception("server closed the connection"), False),
    ],
)
def test_only_what_the_statement_did_itself_is_blamed_on_a_function(kind, said, own):
    error = kind(MARKED, {}, said)
    assert of_statement(error) is own
    assert (blame(error) is not None) is own
    assert blame(kind("select 1", {}, said)) is None


def test_a_lost_connection_is_nobodys_mistake():
    error = DataError(MARKED, {}, sqlite3.DataError("x"), connection_invalidated=True)
    assert not of_statement(error)
