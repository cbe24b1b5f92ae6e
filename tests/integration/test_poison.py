"""Plugins that misbehave in every way we could think of: each costs its own result, and nobody else's."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from csflow.hookspecs import Failure
from csflow.services.plugin_health import plugin_failures, record_failures
from csflow.store import tables as t

FACTS = """
fields: {customer: {beds: number}}
metrics:
  shop.good: {type: number, uses: good/number}
  shop.bad: {type: number, uses: bad/number, with: {list: [1, 2], window: 30 days}}
  shop.size: {choose: {large: customer.beds >= 20, small: otherwise}}
"""
FLOW = """
flow: lifecycle
opens: customer.contracts >= 1
stages:
  start: {transitions: {grown: shop.good >= 1 and shop.size == 'large', odd: shop.bad >= 1}}
  grown: good
  odd: bad
"""
GOOD = """
from csflow.hookspecs import hookimpl

@hookimpl
def csflow_metrics():
    return {"good/number": lambda batch: {id: 1.0 for id in batch.subjects}}
"""
BAD = """
import gc, sys
from csflow.hookspecs import hookimpl, Provider

def wrong(batch):
    {body}

@hookimpl
def csflow_metrics():
    return {{"bad/number": wrong}}
"""
FINE = "return {id: 0.5 for id in batch.subjects}"
# what it does → a piece of the one line that names it
BODIES = {
    "raises": ("1 / 0", "ZeroDivisionError: division by zero"),
    "raises something that is no Exception": ("raise type('Odd', (BaseException,), {})('odd')", "Odd: odd"),
    "raises what cannot be printed": (
        "raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})()", "Mute",
    ),
    "goes round in circles": ("return wrong(batch)", "RecursionError"),
    "calls sys.exit": ("sys.exit(0)", "SystemExit: 0"),
    "returns nothing": ("return None", "TypeError: it returns id → value, not NoneType"),
    "returns a list": ("return [1.0, 2.0]", "TypeError: it returns id → value, not list"),
    "returns words": ("return {id: 'many' for id in batch.subjects}", "'many' is not a number"),
    "returns True": ("return {id: True for id in batch.subjects}", "True is not a number"),
    "returns a day in a list": ("return {id: [1] for id in batch.subjects}", "[1] is not a number"),
    "returns NaN": ("return {id: float('nan') for id in batch.subjects}", "nan is not a number"),
    "returns infinity": ("return {id: float('inf') for id in batch.subjects}", "inf is not a number"),
    "returns what is too large": ("return {id: 10 ** 400 for id in batch.subjects}", "is not a number up to 10^15"),
    "names ids it was not asked for": ("return {'C-9': 1.0}", "it was not asked about 'C-9'"),
    "names ids that are none": ("return {7: 1.0, None: 1.0}", "it was not asked about 7"),
    "gives a dict that breaks": (
        "return type('D', (dict,), {'items': lambda self: 1 / 0})({id: 1.0 for id in batch.subjects})",
        "ZeroDivisionError",
    ),
    "mutates its input": ("batch.subjects.clear()", "AttributeError"),
    "sets a field of its input": ("batch.today = 3", "FrozenInstanceError"),
    "gives one wrong value among many": (
        "return {**{id: 1.0 for id in batch.subjects}, batch.subjects[-1]: 'x'}", "'x' is not a number",
    ),
}  # fmt: skip
CLOSES = """
    from sqlalchemy import Connection
    for found in [o for o in gc.get_objects() if isinstance(o, Connection)]:
        found.close()
    return {id: 1.0 for id in batch.subjects}"""
CLOSES_BELOW = """
    from sqlalchemy import Connection
    for found in [o for o in gc.get_objects() if isinstance(o, Connection) and not o.closed]:
        found.connection.dbapi_connection.close()
    return {id: 1.0 for id in batch.subjects}"""
CLOSES_ALL = CLOSES.replace(
    "    return",
    """
    for found in [o for o in gc.get_objects() if type(o).__module__ in ('sqlite3', 'psycopg')]:
        if type(found).__name__ == 'Connection':
            found.close()
    return""",
)


BAD_METRIC = "  shop.bad: {type: number, uses: bad/number, with: {list: [1, 2], window: 30 days}}\n"
BAD_WAY = ", odd: shop.bad >= 1"


def shop_with(csflow_project, database, bad: str | None, *, way: str = BAD_WAY):
    """A shop with a good plugin and a bad one; ``way``: the transition that rests on the bad one, if it has no metric."""
    facts = FACTS if way == BAD_WAY else FACTS.replace(BAD_METRIC, "")
    files = {"facts.yaml": facts, "lifecycle.yaml": FLOW.replace(BAD_WAY, way), "good.py": GOOD}
    if bad is not None:
        files["bad.py"] = bad
    shop = csflow_project(files, database=database, today="2026-01-05")
    for number, beds in enumerate((24, 10, 30), 1):
        shop.book.customer(f"C-{number}", starts="2026-01-01", beds=beds)
    return shop


def others(shop) -> object:
    """Everybody's results that do not rest on the bad plugin."""
    stages = {c: shop.stage(c) for c in ("C-1", "C-2", "C-3")}
    return stages, shop.values("shop.good"), shop.values("shop.size")


EXPECTED = (
    {"C-1": "grown", "C-2": "start", "C-3": "grown"},
    {"C-1": 1.0, "C-2": 1.0, "C-3": 1.0},
    {"C-1": "large", "C-2": "small", "C-3": "large"},
)


@pytest.mark.parametrize("what", BODIES)
def test_a_metric_that_misbehaves_is_named_and_unknown_and_the_pass_goes_on(csflow_project, database, what):
    body, reason = BODIES[what]
    shop = shop_with(csflow_project, database, BAD.format(body=body))
    ran = shop.run()
    (failure,) = ran.measured.failed
    assert (failure["plugin"], failure["hook"], failure["metric"]) == ("bad.py", "csflow_metrics", "shop.bad")
    assert reason in failure["error"]
    assert "\n" not in failure["error"]
    assert others(shop) == EXPECTED
    assert shop.values("shop.bad") == {}


@pytest.mark.parametrize("body", [CLOSES, CLOSES_BELOW, CLOSES_ALL], ids=["connection", "driver", "all"])
def test_a_plugin_that_closes_the_connection_harms_only_itself(csflow_project, database, body):
    shop = shop_with(csflow_project, database, BAD.format(body=body))
    ran = shop.run()
    assert [one["plugin"] for one in ran.measured.failed] == ["bad.py"]
    assert others(shop) == EXPECTED


def test_a_secret_in_what_a_plugin_raises_stands_nowhere(csflow_project, database, monkeypatch):
    monkeypatch.setenv("SHOP_API_TOKEN", "hush-hush-hush")
    body = "import os; raise RuntimeError('401 for ' + os.environ['SHOP_API_TOKEN'])"
    shop = shop_with(csflow_project, database, BAD.format(body=body))
    ran = shop.run()
    assert ran.measured.failed[0]["error"].startswith("bad/number: RuntimeError: 401 for $SHOP_API_TOKEN (bad.py:")
    told = [
        shop.csflow(*verb) for verb in (["run", "--full"], ["plugins"], ["doctor"], ["plugins", "--format", "json"])
    ]
    assert "hush-hush-hush" not in repr(told)
    with shop.app.store.reading() as connection:
        kept = [connection.execute(select(table)).all() for table in (t.plugin_failure, t.measured, t.run)]
    assert "$SHOP_API_TOKEN" in repr(kept)
    assert "hush-hush-hush" not in repr(kept)


def test_what_a_plugin_changes_of_its_settings_is_its_own_copy(csflow_project, database):
    body = "batch.options['list'].append(3); batch.options['x'] = 1; return {id: len(batch.options['list']) for id in batch.subjects}"
    shop = shop_with(csflow_project, database, BAD.format(body=body))
    for _ in range(2):
        assert shop.measure(full=True).failed == []
    assert shop.values("shop.bad") == {"C-1": 3.0, "C-2": 3.0, "C-3": 3.0}


def test_a_plugin_that_fails_later_leaves_its_last_values(csflow_project, database):
    shop = shop_with(csflow_project, database, BAD.format(body=FINE))
    shop.run()
    (shop.folder / "bad.py").write_text(BAD.format(body="sys.exit(1)"), "utf-8")
    code, out, err = shop.csflow("run", "--as-of", "2026-01-06")
    assert code == 1
    assert out.count("plugin failed:") == 1
    assert "plugin failed: bad.py: csflow_metrics: shop.bad: bad/number: SystemExit: 1" in out
    assert err == ""
    assert shop.values("shop.bad") == {"C-1": 0.5, "C-2": 0.5, "C-3": 0.5}
    code, out, _ = shop.csflow("plugins")
    assert "bad/number: SystemExit: 1" in out
    (shop.folder / "bad.py").write_text(BAD.format(body=FINE), "utf-8")
    assert shop.csflow("run", "--as-of", "2026-01-07")[0] == 0


@pytest.mark.parametrize(
    ("bad", "hook", "reason"),
    [
        (None, "csflow_metrics", "nothing provides it"),
        ("import nothing_of_that_name\n", "import", "No module named 'nothing_of_that_name'"),
        ("raise SystemExit\n", "import", "SystemExit"),
        (BAD.format(body=FINE).replace('{"bad/number": wrong}', "sys.exit(2)"), "csflow_metrics", "SystemExit: 2"),
        (BAD.format(body=FINE).replace('{"bad/number": wrong}', "[wrong]"), "csflow_metrics", "not list"),
        (BAD.format(body=FINE).replace('": wrong', '": 7'), "csflow_metrics", "not 7"),
        (
            BAD.format(body=FINE).replace("def csflow_metrics()", "def csflow_metrics(a)"),
            "import",
            "a hook cannot be used",
        ),
    ],
    ids=["missing", "dependency", "exit", "hook exits", "list", "no function", "arguments"],
)
def test_a_plugin_that_is_not_there_is_named_with_its_reason(csflow_project, database, bad, hook, reason):
    shop = shop_with(csflow_project, database, bad)
    ran = shop.run()
    named = [one for one in ran.measured.failed if one["hook"] == hook and reason in one["error"]]
    assert named
    assert others(shop) == EXPECTED
    assert shop.csflow("measure", "--as-of", "2026-01-06")[0] == 1


def test_a_plugin_that_cannot_be_loaded_is_told_once_however_much_it_should_have_provided(csflow_project, database):
    shop = shop_with(csflow_project, database, "import nothing_of_that_name\n")
    failed = shop.run().measured.failed
    assert [(one["plugin"], one["hook"]) for one in failed] == [("bad.py", "import")]
    assert shop.csflow("run", "--as-of", "2026-01-06")[1].count("plugin failed:") == 1
    assert shop.csflow("doctor", "--as-of", "2026-01-06")[1].count("wrong  plugins:") == 1


def test_what_nothing_provides_names_the_plugin_of_another_name_that_could_not_be_loaded(csflow_project, database):
    shop = shop_with(csflow_project, database, None)
    (shop.folder / "other.py").write_text("import nothing_of_that_name\n", "utf-8")
    first, second = shop.run().measured.failed
    assert (first["plugin"], first["hook"]) == ("other.py", "import")
    assert (second["plugin"], second["metric"]) == ("bad/number", "shop.bad")
    assert second["error"] == "nothing provides it; could not be loaded, see above: other.py"


SQL = """
from sqlalchemy import Double, cast, func, literal, select, text
from csflow.hookspecs import Provider, hookimpl
from csflow.store import tables as t

def wrong(window):
    u = t.usage.c
    {body}

@hookimpl
def csflow_metrics():
    return {{"bad/number": Provider(select=wrong, empty=0.0)}}
"""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("return select(u.customer)", "a select of customer, value, newest day"),
        ("return 'select 1'", "a select of customer, value, newest day"),
        ("return select(u.customer, text('no_such_column') * 1.0, u.day)", ""),
        ("return select(u.customer, func.no_such_function(u.day).label('x'), u.day)", "no_such_function"),
    ],
)
def test_sql_that_does_not_run_costs_its_own_metric(csflow_project, database, body, reason):
    shop = shop_with(csflow_project, database, SQL.format(body=body))
    ran = shop.run()
    (failure,) = ran.measured.failed
    assert failure["plugin"] == "bad.py"
    assert reason in failure["error"]
    assert others(shop) == EXPECTED


OBSERVER = """
import sys
from csflow.hookspecs import hookimpl

@hookimpl
def csflow_moved(moves):
    {body}
"""


@pytest.mark.parametrize("body", ["1 / 0", "sys.exit(3)", "moves[0].subject.clear(); moves[0].case = 1"])
def test_an_observer_that_fails_is_named_and_the_pass_stands(csflow_project, database, body):
    shop = shop_with(csflow_project, database, OBSERVER.format(body=body), way=", odd: {trigger: odd}")
    shop.measure()
    code, out, _ = shop.csflow("advance", "--as-of", "2026-01-05")
    assert code == 1
    assert "plugin failed: bad.py: csflow_moved: " in out
    assert others(shop) == EXPECTED


def test_a_milestone_that_misbehaves_is_not_reached(csflow_project, database):
    bad = BAD.format(body="return {id: 10 ** 9 for id in batch.subjects}").replace(
        "csflow_metrics", "csflow_milestones"
    )
    way = ", odd: milestones.all}, milestones: {m: {uses: bad/m}"
    shop = shop_with(csflow_project, database, bad.replace("bad/number", "bad/m"), way=way)
    (failure,) = shop.run().measured.failed
    assert (failure["plugin"], failure["hook"], failure["metric"]) == ("bad.py", "csflow_milestones", "lifecycle/m")
    assert others(shop) == EXPECTED


@pytest.mark.parametrize(
    ("python", "sql"), [("1 / 0", "1 / 0"), ("sys.exit(1)", "sys.exit(1)"), ("'x'", "'x'"), ("float('nan')", "None")]
)
def test_a_function_that_misbehaves_is_unknown_on_both_back_ends(csflow_project, database, python, sql):
    bad = (
        "import sys\nfrom csflow.hookspecs import Function, hookimpl\n\n@hookimpl\ndef csflow_functions():\n"
        f"    return {{'odd': Function(('number',), 'number', lambda n: {python}, lambda n: {sql})}}\n"
    )
    way = ", odd: odd(customer.beds) >= 0 or odd(customer.beds) < 0"
    shop = shop_with(csflow_project, database, bad, way=way)
    code, out, _ = shop.csflow("run", "--as-of", "2026-01-05")
    assert code == 1
    assert "plugin failed: bad.py: csflow_functions" in out
    assert others(shop) == EXPECTED
    assert shop.csflow("explain", "C-2", "--as-of", "2026-01-05")[0] == 0


@pytest.mark.parametrize(
    ("sql", "reasons"),
    [
        (  # for ten beds, which C-2 has
            "func.abs(cast(n - 10, BigInteger) - BIG - 1)",
            ("OperationalError: integer overflow", "NumericValueOutOfRange: bigint out of range"),
        ),
        (
            "func.no_such_function(n)",
            ("no such function: no_such_function", "UndefinedFunction: function no_such_function("),
        ),
        ("cast(n, BigInteger) * literal(2 ** 70, BigInteger)", ("OverflowError: ", "NumericValueOutOfRange: ")),
        ("func.max(n)", ("misuse of aggregate", "GroupingError: ")),
    ],
    ids=["fails for one row", "calls what is not there", "a number too large", "an aggregate"],
)
def test_a_function_that_the_database_cannot_compute_is_unknown_and_named(csflow_project, database, sql, reasons):
    bad = (
        "from sqlalchemy import BigInteger, cast, func, literal\nfrom csflow.hookspecs import Function, hookimpl\n\n"
        "BIG = 9223372036854775807\n\n@hookimpl\ndef csflow_functions():\n"
        f"    return {{'odd': Function(('number',), 'number', lambda n: n, lambda n: {sql})}}\n"
    )
    shop = shop_with(csflow_project, database, bad, way=", odd: odd(customer.beds) < 0")
    for verb in ("run", "advance"):
        code, out, err = shop.csflow(verb, "--as-of", "2026-01-05")
        assert (code, err, out.count("plugin failed")) == (1, "", 1)
        (line,) = [line for line in out.splitlines() if "plugin failed" in line]
        assert line.startswith("  plugin failed: bad.py: csflow_functions: odd: ")
        assert reasons[not database.startswith("sqlite")] in line
        assert line.endswith("; asked in lifecycle.stages.start.transitions.odd.0")
    assert others(shop) == EXPECTED
    assert shop.csflow("doctor", "--as-of", "2026-01-05")[1].count("bad.py (csflow_functions): odd: ") == 1


def test_what_one_plugin_did_wrong_twice_in_a_run_is_kept_and_told_together(csflow_project, database):
    shop = shop_with(csflow_project, database, None)
    mine = [Failure("bad.py", "csflow_metrics", f"ValueError: {number}", f"shop.m{number}") for number in range(7)]

    def kept(*failures):
        with shop.app.store.writing() as connection:
            record_failures(connection, failures, at=1, recorded=1, hooks=["csflow_metrics"])
            return [(one["name"], one["reason"], one["current"]) for one in plugin_failures(connection)]

    assert kept(mine[0], mine[0]) == [("shop.m0", "ValueError: 0", True)]
    assert kept(mine[0], mine[1]) == [(None, "shop.m0: ValueError: 0; shop.m1: ValueError: 1", True)]
    (several,) = kept(*mine)
    assert several[1].endswith("; shop.m4: ValueError: 4; and 2 more")
    assert kept(mine[1]) == [("shop.m1", "ValueError: 1", True)]  # the other is mended
    assert kept() == [("shop.m1", "ValueError: 1", False)]
