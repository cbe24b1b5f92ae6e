"""What plugins add to a project, through `csflow.testing`: milestones, functions, importers, packs, observers."""

from __future__ import annotations

import json

import pytest

from csflow.errors import DefinitionError, PluginError

PROJECT = """
csflow: 1
name: shop
currency: EUR
zone: Europe/Berlin
languages: [en]
activities: {visit: Visit}
fields:
  customer: {beds: number}
metrics:
  shop.posts: {type: number, uses: shop/beds_twice, with: {reads: [customer.beds, contract.starts_on]}}
"""
FLOW = """
flow: lifecycle
opens: customer.contracts >= 1
stages:
  start:
    milestones:
      ordered: {uses: shop/first_order, with: {window: 12 months, feature: order}, label: {en: First order}}
    transitions: {steady: milestones.all}
  steady:
    transitions: {big: in_dozens(customer.beds) >= 2 and is_round(customer.beds)}
  big: good
"""
PLUGIN = """
from sqlalchemy import Boolean, Integer, cast, func
from csflow.hookspecs import Function, hookimpl


def first_order(batch):
    rows = {id: [row.day for row in batch.usage.get(id, ()) if row.feature == batch.options["feature"]] for id in batch.subjects}
    return {id: min(days) if days else False for id, days in rows.items()}


def beds_twice(batch):
    return {id: 2 * facts["customer.beds"] for id, facts in batch.facts.items() if facts["customer.beds"] is not None}


@hookimpl
def csflow_metrics():
    return {"shop/beds_twice": beds_twice}


@hookimpl
def csflow_milestones():
    return {"shop/first_order": first_order}


@hookimpl
def csflow_functions():
    return {
        "in_dozens": Function(("number",), "number", lambda n: n // 12, lambda n: func.floor(n / 12.0)),
        "is_round": Function(("number",), "boolean", lambda n: n % 2 == 0, lambda n: cast(n, Integer) % 2 == 0),
    }
"""
FILES = {"csflow.yaml": PROJECT, "lifecycle.yaml": FLOW, "shop.py": PLUGIN}


@pytest.fixture
def shop(csflow_project, database):
    project = csflow_project(FILES, database=database, today="2026-01-05")
    project.book.customer("C-1", starts="2026-01-01", beds=24)
    project.book.customer("C-2", starts="2026-01-01", beds=25)
    project.book.customer("C-3", starts="2026-01-01")
    return project


def test_a_milestone_of_a_plugin_is_reached_on_the_day_that_it_gives(shop):
    shop.run()
    for customer in ("C-1", "C-3"):
        shop.book.usage(customer, "order", on="2026-01-07")
    shop.book.usage("C-2", "look", on="2026-01-07")
    shop.clock.set("2026-01-09")
    shop.run()
    assert [shop.stage(c) for c in ("C-2", "C-3")] == ["start", "steady"]
    assert {name: at[:10] for name, at in shop.milestones("C-3").items()} == {"ordered": "2026-01-07"}


def test_a_milestone_that_only_says_true_is_reached_on_the_day_it_was_measured(csflow_project, database):
    plugin = PLUGIN.replace("min(days) if days else False", "bool(days)")
    shop = csflow_project({**FILES, "shop.py": plugin}, database=database, today="2026-01-05")
    shop.book.customer("C-1", starts="2026-01-01")
    shop.book.usage("C-1", "order", on="2026-01-02")
    shop.measure()
    shop.clock.travel("2 days")
    shop.run()
    (reached,) = shop.milestones("C-1").values()
    assert reached[:10] == "2026-01-07"


def test_a_function_means_the_same_in_sql_and_in_python_and_is_unknown_for_unknown(shop):
    shop.run()
    for customer in ("C-1", "C-2", "C-3"):
        shop.book.usage(customer, "order")
    shop.clock.travel("1 day")
    shop.run()
    assert [shop.stage(c) for c in ("C-1", "C-2", "C-3")] == ["big", "steady", "steady"]
    told = str(shop.app.explain("C-3", shop.clock.now, actor="x", recorded=0))
    assert "in_dozens(customer.beds) >= 2" in told


def test_a_book_of_some_customers_may_call_the_functions_of_plugins(csflow_project, database):
    many = "metrics: {shop.many: {subject: book, value: count(customer)}}\n"
    flow = FLOW.replace("in_dozens(customer.beds) >= 2", "customer.beds >= 24")  # nothing in the project calls it
    assert flow != FLOW
    files = {**FILES, "lifecycle.yaml": flow, "many.yaml": many}
    shop = csflow_project(files, database=database, today="2026-01-05")
    for customer, beds in (("C-1", 24), ("C-2", 25), ("C-3", 12)):
        shop.book.customer(customer, starts="2026-01-01", beds=beds)
    shop.run()
    code, out, _ = shop.csflow("book", "shop.many", "--when", "in_dozens(customer.beds) >= 2", "--format", "json")
    assert (code, json.loads(out)["figures"][0]["value"]) == (0, 2)
    code, _, said = shop.csflow("book", "shop.many", "--when", "in_dozen(customer.beds) >= 2")
    assert (code, said.count("\n")) == (2, 1)
    assert "did you mean 'in_dozens'?" in said


def test_a_metric_is_given_the_facts_that_it_reads(shop):
    shop.run()
    assert shop.values("shop.posts") == {"C-1": 48, "C-2": 50}


def test_another_version_of_a_function_is_another_definition(shop):
    shop.run()
    before = shop.app.definition.hash
    path = shop.folder / "shop.py"
    path.write_text(path.read_text("utf-8").replace("n // 12", "n // 6").replace("n / 12.0", "n / 6.0"), "utf-8")
    from csflow.app import Csflow

    again = Csflow(shop.folder, database=shop.database)
    assert again.definition.hash != before
    assert Csflow(shop.folder, database=shop.database).definition.hash == again.definition.hash


FAR = """

BIG = 9223372036854775807


@hookimpl
def csflow_functions():
    return {"far": Function(("number",), "number", lambda n: n + BIG, lambda n: func.abs(cast(n, BigInteger) - BIG - 1))}
"""
FAILING = PLUGIN[: PLUGIN.index("@hookimpl\ndef csflow_functions")].replace("Boolean,", "BigInteger,") + FAR
WAY = "stages.steady.transitions.big.0"
FAR_FLOW = FLOW.replace("in_dozens(customer.beds) >= 2 and is_round(customer.beds)", "far(customer.beds) >= 2")


@pytest.fixture
def failing(csflow_project, database):
    """Three customers without a bed, with one and with two; far() fails for the first as soon as it is in `steady`."""
    files = {**FILES, "lifecycle.yaml": FAR_FLOW, "shop.py": FAILING}
    shop = csflow_project(files, database=database, today="2026-01-05")
    for number in range(3):
        shop.book.customer(f"C-{number}", starts="2026-01-01", beds=number)
        shop.book.usage(f"C-{number}", "order")
    return shop


OVERFLOW = {"sqlite": "OperationalError: integer overflow", "postgresql": "NumericValueOutOfRange: bigint out of range"}
MENDED = FAILING.replace("- BIG - 1", "+ 2")


def overflow(project) -> str:
    return f"far: {OVERFLOW[project.app.store.dialect]}"


def stages(project) -> list[str]:
    return [project.stage(f"C-{number}") for number in range(3)]


def test_a_function_whose_sql_fails_for_one_row_makes_its_rule_unknown_and_is_named(failing):
    for verb in ("run", "advance"):  # the second asks everybody again, and fails again
        code, out, err = failing.csflow(verb, "--as-of", "2026-01-05")
        told = f"plugin failed: shop.py: csflow_functions: {overflow(failing)}; asked in lifecycle.{WAY}"
        assert (code, err, out.count("plugin failed")) == (1, "", 1)
        assert f"  {told}\n" in out
        assert stages(failing) == ["steady"] * 3
    assert failing.values("shop.posts") == {"C-0": 0, "C-1": 2, "C-2": 4}
    assert overflow(failing) in failing.csflow("plugins")[1]
    code, out, _ = failing.csflow("doctor", "--as-of", "2026-01-05")
    assert (code, out.count(overflow(failing))) == (7, 1)


def test_once_the_function_is_mended_the_next_pass_asks_everybody(failing):
    failing.csflow("run", "--as-of", "2026-01-05")
    failing.book.customer("C-0", starts="2026-01-01", beds=5)  # the row that it failed for is another now
    assert failing.csflow("run", "--as-of", "2026-01-06")[0] == 0
    assert stages(failing) == ["big"] * 3
    (mine,) = [one for one in failing.app.list_plugins() if one["name"] == "shop.py"]
    assert [one["current"] for one in mine["failures"]] == [False]


def test_another_text_of_the_function_is_asked_of_everybody_too(failing):
    failing.csflow("run", "--as-of", "2026-01-05")
    failing.change({"shop.py": MENDED})
    assert failing.csflow("advance", "--as-of", "2026-01-05")[0] == 0
    assert stages(failing) == ["big"] * 3


def test_a_pass_over_one_customer_is_not_harmed_by_another_ones_row(failing):
    failing.csflow("run", "--as-of", "2026-01-05")
    assert failing.csflow("advance", "C-2", "--as-of", "2026-01-05")[0] == 0
    assert stages(failing) == ["steady", "steady", "big"]
    assert failing.csflow("advance", "C-0", "--as-of", "2026-01-05")[0] == 1
    code, out, _ = failing.csflow("advance", "--dry-run", "--as-of", "2026-01-05", "--format", "json")
    (told,) = json.loads(out)["plugins"]
    assert (code, told["plugin"], told["hook"]) == (1, "shop.py", "csflow_functions")
    assert told["error"] == f"{overflow(failing)}; asked in lifecycle.{WAY}"


@pytest.mark.parametrize(
    ("guard", "reason"),
    [
        ("in_dozens(customer.name) >= 2", "a number is needed here, this is a text"),
        ("in_dozens(customer.beds, 2) >= 2", "in_dozens(…) takes 1 argument: number"),
        ("in_dozen(customer.beds) >= 2", "no function 'in_dozen': did you mean 'in_dozens'?"),
        ("in_dozens(customer.beds)", "a condition is needed here, this is a number"),
    ],
)
def test_a_wrong_call_of_a_function_is_told_with_its_place(csflow_project, guard, reason):
    files = {
        **FILES,
        "lifecycle.yaml": FLOW.replace("in_dozens(customer.beds) >= 2 and is_round(customer.beds)", guard),
    }
    with pytest.raises(DefinitionError) as told:
        csflow_project(files)
    assert reason in str(told.value)
    assert "lifecycle.yaml:" in str(told.value)


def test_settings_that_a_plugin_refuses_are_told_by_validate_with_their_place(csflow_project):
    plugin = PLUGIN.replace('{"shop/beds_twice": beds_twice}', '{"shop/beds_twice": Provider(beds_twice, check=check)}')
    plugin += (
        "\n\ndef check(options):\n    if 'often' not in options:\n        raise ValueError('say with: {often: …}')\n"
    )
    plugin = plugin.replace("import Function,", "import Function, Provider,")
    shop = csflow_project({**FILES, "shop.py": plugin})
    code, out, _ = shop.csflow("validate")
    assert code == 3
    assert "csflow.yaml:11:" in out
    assert "shop/beds_twice: say with: {often: …}" in out


IMPORT = """
imports:
  firms: {uses: shop/api, with: {many: 3}, into: customer, key: [id], columns: {id: number, name: firm}}
"""
READER = """

@hookimpl
def csflow_importers():
    return {"shop/api": lambda options: ({"number": f"F-{n}", "firm": f"诊所 {n}"} for n in range(options["many"]))}
"""


def test_an_import_by_a_plugin_needs_no_file_and_changes_nothing_twice(csflow_project, database):
    files = {**FILES, "imports.yaml": IMPORT, "shop.py": PLUGIN + READER}
    shop = csflow_project(files, database=database)
    code, out, _ = shop.csflow("import", "firms")
    assert (code, out.splitlines()[0]) == (
        0, "firms.jsonl → customer: 3 read, 3 new, 0 changed, 0 unchanged, 0 rejected, 0 suspicious",
    )  # fmt: skip
    assert "0 changed, 3 unchanged" in shop.csflow("import", "firms")[1]
    assert "诊所 2" in shop.csflow("customer", "show", "F-2")[1]


def test_a_reader_that_fails_half_way_imports_nothing_and_is_named(csflow_project):
    reader = READER.replace('for n in range(options["many"]))', "for n in (1, 2, 1 / 0))")
    shop = csflow_project({**FILES, "imports.yaml": IMPORT, "shop.py": PLUGIN + reader})
    with pytest.raises(PluginError, match=r"shop\.py: csflow_importers: shop/api: ZeroDivisionError"):
        shop.bring("firms")
    assert shop.csflow("import", "firms")[0] == 1
    assert shop.csflow("customer", "show", "F-1")[0] == 2


def test_a_pack_of_a_plugin_is_extended_by_its_name(csflow_project, tmp_path):
    pack = tmp_path / "a-pack"
    pack.mkdir()
    (pack / "csflow.yaml").write_text(PROJECT, "utf-8")
    (pack / "lifecycle.yaml").write_text(FLOW, "utf-8")
    (pack / "shop.py").write_text(PLUGIN, "utf-8")
    bring = (
        "from pathlib import Path\nfrom csflow.hookspecs import hookimpl\n\n@hookimpl\ndef csflow_packs():\n"
        f"    return {{'shop': Path({str(pack)!r})}}\n"
    )
    shop = csflow_project({"csflow.yaml": "csflow: 1\nname: mine\nextends: [shop]\n", "packs.py": bring})
    shop.book.customer("C-1", starts="2026-01-01", beds=7)
    shop.run()
    assert shop.values("shop.posts") == {"C-1": 14}
    with pytest.raises(DefinitionError, match="no pack 'shopp': did you mean 'shop'"):
        csflow_project({"csflow.yaml": "csflow: 1\nname: mine\nextends: [shopp]\n", "packs.py": bring})


OBSERVER = """

heard = []


@hookimpl
def csflow_moved(moves):
    for move in moves:
        with open(__file__ + ".heard", "a") as file:
            print(move.case, move.source, move.target, move.subject["id"], file=file)
"""


def test_observers_hear_of_moves_of_a_pass_and_of_none_that_was_only_tried(csflow_project, database):
    shop = csflow_project({**FILES, "shop.py": PLUGIN + OBSERVER}, database=database, today="2026-01-05")
    shop.book.customer("C-1", starts="2026-01-01")
    shop.book.usage("C-1", "order")
    shop.run()
    heard = shop.folder / "shop.py.heard"
    assert heard.read_text("utf-8") == "lifecycle/C-1/1 start steady C-1\n"
    shop.book.customer("C-2", starts="2026-01-01")
    shop.book.usage("C-2", "order")
    shop.measure()
    shop.advance(dry_run=True)
    assert heard.read_text("utf-8").count("\n") == 1
    shop.advance()
    assert heard.read_text("utf-8").count("\n") == 2
