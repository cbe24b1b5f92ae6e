"""A plugin's function that the database cannot compute for one row, in every place that an expression can stand in.

`far` fails for ten beds, which C-2 has, and for nobody else; it is about 9.22 for all others.
"""

from __future__ import annotations

import pytest

PLUGIN = """
from sqlalchemy import BigInteger, Integer, cast, func
from csflow.hookspecs import Function, hookimpl

LEAST = -9223372036854775807 - 1


def far(n):
    return func.abs(cast(n - 10, BigInteger) + LEAST) / 1e18


@hookimpl
def csflow_functions():
    return {
        "far": Function(
            ("number",), "number",
            lambda n: abs(int(n) - 10 + LEAST) / 1e18, far,
        ),
        "day_of": Function(("number",), "date", lambda n: 20000, lambda n: 20000 + cast(far(n), Integer) * 0),
        "near": Function(("number",), "number", lambda n: n, lambda n: n),
    }
"""
FACTS = """
fields: {customer: {beds: number, posts: number}}
roles: {csm: {label: Success, assign: round_robin}}
people: {ann: {roles: [csm]}}
metrics: {shop.size: {choose: {large: customer.beds >= 20, small: otherwise}}}
"""
FLOW = """
flow: lifecycle
opens: customer.contracts >= 1
clock: contract.starts_on
fields:
  posts: number
stages:
  start:
    deadline: 9 days
    milestones:
      seen: customer.beds >= 20
    transitions:
      grown: shop.size == 'large' and milestones.all
  grown:
    milestones:
      full: customer.beds >= 25
  odd: bad
transitions:
  odd: {trigger: odd, when: customer.beds >= 0}
"""
CUSTOMERS = {"C-1": 24, "C-2": 10, "C-3": 30}
REASON = {"sqlite": "OperationalError: integer overflow", "postgresql": "NumericValueOutOfRange: bigint out of range"}
GROWN = {"C-1": "grown", "C-2": "start", "C-3": "grown"}


@pytest.fixture
def shop(csflow_project, database):
    """A shop with three customers, with these changes of its YAML: what it says → what it is to say."""

    def make(changes=None, posts=None):
        facts, flow = FACTS, FLOW
        for old, new in (changes or {}).items():
            assert old in facts + flow
            facts, flow = facts.replace(old, new), flow.replace(old, new)
        files = {"facts.yaml": facts, "lifecycle.yaml": flow, "far.py": PLUGIN}
        made = csflow_project(files, database=database, today="2026-01-05")
        for key, beds in CUSTOMERS.items():
            made.book.customer(key, starts="2026-01-01", beds=beds, **({} if posts is None else {"posts": posts[key]}))
        return made

    return make


def stages(project):
    return {key: project.stage(key) for key in CUSTOMERS}


def failed(project, place):
    """The line of what failed, as `advance` and `run` tell it."""
    return f"plugin failed: {error(project)}; asked in {place}\n"


def error(project):
    return f"far.py: csflow_functions: far: {REASON[project.app.store.dialect]}"


GROW, SEEN = "      grown: shop", "      seen: customer.beds >= 20\n"
RULES = {  # where the function is called: what is said there instead, and how the place is told
    "a transition": (GROW, f"      odd: far(customer.beds) < 0\n{GROW}", "stages.start.transitions.odd.0"),
    "a count": (
        GROW, f"      odd: count(contract, far(customer.beds) < 0) >= 1\n{GROW}", "stages.start.transitions.odd.0",
    ),
    "an approval": (
        GROW, f"      odd: {{when: far(customer.beds) < 0, approve: csm}}\n{GROW}", "stages.start.transitions.odd.0",
    ),
    "a milestone": (
        SEEN, f"{SEEN}      far: {{when: far(customer.beds) < 0, optional: true}}\n", "stages.start.milestones.far",
    ),
    "a milestone of the flow": ("stages:\n", "milestones: {far: far(customer.beds) < 0}\nstages:\n", "milestones.far"),
    "a field": ("posts: number\n", "posts: {type: number, value: far(customer.beds)}\n", "fields.posts"),
    "a pause": (
        "deadline: 9 days", "deadline: {due: 9 days, stops_while: far(customer.beds) < 0}", "stages.start.stops_while",
    ),
    "an opening": (
        "opens: customer.contracts >= 1", "opens: [far(customer.beds) < 0, customer.contracts >= 1]", "opens.0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("where", RULES)
def test_a_rule_that_fails_is_unknown_and_told_once_with_its_place_and_all_others_go_on(shop, where):
    old, new, place = RULES[where]
    project = shop({old: new})
    for day in (5, 6):
        code, out, err = project.csflow("run", "--as-of", f"2026-01-0{day}")
        assert (code, err, out.count("plugin failed")) == (1, "", 1)
        assert failed(project, f"lifecycle.{place}") in out
        assert stages(project) == GROWN
        assert project.values("shop.size") == {"C-1": "large", "C-2": "small", "C-3": "large"}
    code, out, _ = project.csflow("doctor", "--as-of", "2026-01-06")
    assert (code, out.count("far.py (csflow_functions)")) == (7, 1)


def test_rules_that_fail_alike_are_one_line_that_names_their_places(shop):
    ways = "".join(f"      way{number}: far(customer.beds) < 0\n" for number in range(5))
    ends = "".join(f"  way{number}: bad\n" for number in range(5))
    project = shop({GROW: ways + GROW, "  odd: bad\n": f"  odd: bad\n{ends}"})
    (told,) = project.run().outcome.plugins
    places = ", ".join(f"lifecycle.stages.start.transitions.way{number}.0" for number in range(3))
    assert told["error"].endswith(f"; asked in {places} and 2 more")


def test_of_a_rule_with_two_functions_both_are_named(shop):
    project = shop({GROW: f"      odd: near(customer.beds) + far(customer.beds) < 0\n{GROW}"})
    (told,) = project.run().outcome.plugins
    assert told["error"].startswith("near or far: ")


def test_an_effect_that_fails_costs_its_customer_alone(shop):
    project = shop({"    deadline: 9 days\n": "    do: [{task: look, for: csm, when: far(customer.beds) > 9}]\n"})
    for day in (5, 6):
        code, out, err = project.csflow("run", "--as-of", f"2026-01-0{day}")
        assert (code, err) == (1, "")
        assert f"  failed: customer C-2: {error(project)}\n" in out
        assert failed(project, "customer C-2") in out
    assert {key: project.stage(key) for key in ("C-1", "C-3")} == {"C-1": "grown", "C-3": "grown"}
    project.book.customer("C-2", starts="2026-01-01", beds=24)
    assert project.csflow("run", "--as-of", "2026-01-07")[0] == 0
    assert project.stage("C-2") == "grown"


def test_a_date_that_fails_costs_the_deadline_of_its_own_case_alone(shop):
    project = shop()
    project.run()
    flow = FLOW.replace("clock: contract.starts_on", "clock: day_of(customer.beds)")
    project.change({"lifecycle.yaml": flow.replace("deadline: 9 days", "deadline: 9 days after clock")})
    code, out, err = project.csflow("run", "--as-of", "2026-01-06")
    assert (code, err) == (1, "")
    reason = REASON[project.app.store.dialect]
    assert f"csflow_functions: day_of: {reason}; asked in deadlines, lifecycle.clock\n" in out
    assert stages(project) == GROWN


def test_a_case_whose_clock_fails_is_not_opened_and_all_others_are(shop):
    project = shop({"clock: contract.starts_on": "clock: day_of(customer.beds)"})
    code, out, err = project.csflow("run", "--as-of", "2026-01-05")
    assert (code, err) == (1, "")
    assert f"  failed: customer C-2: {error(project)}\n".replace(": far:", ": day_of:") in out
    assert {key: project.stage(key) for key in ("C-1", "C-3")} == {"C-1": "grown", "C-3": "grown"}
    assert project.csflow("explain", "C-2")[0] == 0


def test_a_metric_that_fails_keeps_its_last_values_and_is_asked_of_everybody_once_it_can_be(shop):
    project = shop({"metrics: {": "metrics: {shop.far: far(customer.posts), "}, dict.fromkeys(CUSTOMERS, 20))
    assert project.measure().failed == []
    before = project.values("shop.far")
    assert {round(value, 2) for value in before.values()} == {9.22}
    for key, posts in {"C-1": 10, "C-2": 900_000_000_000_010}.items():
        project.book.customer(key, starts="2026-01-01", beds=CUSTOMERS[key], posts=posts)
    code, out, err = project.csflow("run", "--as-of", "2026-01-06")
    assert (code, err, out.count("plugin failed")) == (1, "", 1)
    assert f"csflow_functions: shop.far: far: {REASON[project.app.store.dialect]}" in out
    assert (project.values("shop.far"), stages(project)) == (before, GROWN)
    project.book.customer("C-1", starts="2026-01-01", beds=24, posts=20)
    assert project.csflow("run", "--as-of", "2026-01-07")[0] == 0
    after = project.values("shop.far")  # C-2's is new, though nothing was said of it since
    assert after == {**before, "C-2": pytest.approx((2**63 - 9 * 10**14) / 1e18, rel=1e-12)}


def test_a_watched_condition_that_fails_is_told_and_watched_of_everybody_once_it_can_be(shop):
    held = "has_been(far(customer.posts) < 9.2229, days(2))"
    posts = {"C-1": 900_000_000_000_010, "C-2": 20, "C-3": 10}
    project = shop(
        {f"{GROW}.size == 'large' and milestones.all": f"      odd: {held}\n      grown: customer.beds >= 99"}, posts
    )
    for day in (5, 6):
        code, out, err = project.csflow("run", "--as-of", f"2026-01-0{day}")
        assert (code, err, out.count("plugin failed")) == (1, "", 1)
        assert failed(project, "customer: far(customer.posts) < 9.2229") in out
    project.book.customer("C-3", starts="2026-01-01", posts=20)
    for day, stage in ((7, "start"), (8, "start"), (9, "odd")):  # nothing was said of C-1 since it could not be watched
        assert project.csflow("run", "--as-of", f"2026-01-0{day}")[0] == 0
        assert stages(project) == {"C-1": stage, "C-2": "start", "C-3": "start"}


SECOND = """
flow: second
opens: {trigger: second}
stages:
  one: {do: [{task: look, for: csm, when: far(customer.beds) > 9}], transitions: {two: {trigger: done}}}
  two: good
"""
BOOK = "metrics: {shop.many: {subject: book, value: count(customer)}, "


@pytest.mark.parametrize(
    "words",
    [
        ("book", "shop.many", "--when", "far(customer.beds) > 9"),
        ("trigger", "odd", "C-2"),
        ("case", "open", "second", "C-2"),
        ("case", "set", "lifecycle/C-2/1", "posts=3"),
        ("explain", "C-2"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_what_is_done_by_hand_ends_in_one_line_that_names_the_function(shop, words):
    paused = "deadline: {due: 9 days, stops_while: case.posts == 3 and far(customer.beds) > 9}"
    changes = {
        "metrics: {": BOOK,
        "when: customer.beds >= 0": "when: far(customer.beds) > 9",
        "deadline: 9 days": paused,
    }
    project = shop(changes)
    project.change({"second.yaml": SECOND})
    project.run()
    code, out, err = project.csflow(*words, *(("--as-of", "2026-01-06") if words[0] in ("book", "explain") else ()))
    if words[0] == "explain":  # it asks Python, which can
        assert (code, err) == (0, "")
        return
    assert (code, out) == (1, "")
    assert err == f"csflow: {error(project)}\n"


def test_sql_that_only_another_database_has_is_told_with_its_function(shop):
    project = shop({GROW: f"      odd: far(customer.beds) < 0\n{GROW}"})
    alien = PLUGIN.replace("func.abs(cast(n - 10, BigInteger) + LEAST) / 1e18", "Alien(n)")
    alien += (
        "\n\nfrom sqlalchemy import Double\nfrom sqlalchemy.sql.functions import FunctionElement\n"
        "from sqlalchemy.ext.compiler import compiles\n\n\nclass Alien(FunctionElement):\n    inherit_cache = True\n"
        "    type = Double()\n\n\n@compiles(Alien, 'oracle')\ndef alien(element, compiler, **said):\n    return '1'\n"
    )
    project.change({"far.py": alien})
    code, out, err = project.csflow("run", "--as-of", "2026-01-05")
    assert (code, err, out.count("plugin failed")) == (1, "", 1)
    assert "plugin failed: far.py: csflow_functions: far: UnsupportedCompilationError: " in out
    assert stages(project) == GROWN
