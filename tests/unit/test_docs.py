"""The docs say what the code does: every YAML block loads, the reference lists what is there, links lead somewhere.

``CSFLOW_WRITE_DOCS=1 uv run pytest tests/unit/test_docs.py`` writes docs/reference/cli.md anew from the commands.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from running import until_it_works
from walkthrough import DOCS, Block, blocks, pages

from csflow import errors
from csflow.app import Csflow
from csflow.cli import COMMANDS, main
from csflow.errors import DefinitionError
from csflow.flow.calls import CALLS
from csflow.flow.names import CASE_COLUMNS
from csflow.flow.shape import json_schema
from csflow.store.catalogue import CATALOGUE

REFERENCE = DOCS / "reference"
PROJECT = "csflow: 1\nname: page\nextends: [standard]\ncurrency: CNY\nzone: Asia/Shanghai\n"
FRAGMENTS = [
    (page, block)
    for page in pages()
    for block in blocks(page)
    if block.language == "yaml" and (block.title is None or "wrong" in block.words)
]


def where(value: Any) -> str:
    return f"{value.relative_to(DOCS)}" if isinstance(value, Path) else f"line{value.line}"


# what is written in YAML


def project_of(folder: Path, block: Block) -> Csflow:
    """The block as one file of a project that extends the standard pack, unless it is a project itself."""
    own = block.text.startswith("csflow: 1")
    (folder / "csflow.yaml").write_text(block.text if own else PROJECT, "utf-8")
    if not own:
        (folder / "x.yaml").write_text(block.text, "utf-8")
    return Csflow(folder)


@pytest.mark.parametrize(("page", "block"), [f for f in FRAGMENTS if "wrong" not in f[1].words], ids=where)
def test_every_yaml_block_loads(page: Path, block: Block, tmp_path: Path) -> None:
    try:
        project_of(tmp_path, block).validate()
    except DefinitionError as error:
        told = [str(problem).replace(f"{tmp_path}/", "") for problem in error.problems]
        pytest.fail(f"{page.name}:{block.line}: {'; '.join(told)}")


@pytest.mark.parametrize(("page", "block"), [f for f in FRAGMENTS if "wrong" in f[1].words], ids=where)
def test_every_block_marked_as_wrong_is_refused_in_the_words_below_it(page: Path, block: Block, tmp_path: Path) -> None:
    told = next(other for other in blocks(page) if other.line > block.line and other.language == "text")
    with pytest.raises(DefinitionError) as caught:
        project_of(tmp_path, block).validate()
    shown = [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems if not problem.warning]
    assert shown == told.text.splitlines()


def keys_of_schema(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        for part in schema.values():
            yield from keys_of_schema(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from keys_of_schema(part)


def test_the_yaml_reference_has_every_key_of_the_schema() -> None:
    text = (REFERENCE / "yaml.md").read_text("utf-8")
    missing = [key for key in dict.fromkeys(keys_of_schema(json_schema())) if f"`{key}`" not in text]
    assert missing == []


def test_the_yaml_reference_has_every_key_in_the_table_of_its_form() -> None:
    text = (REFERENCE / "yaml.md").read_text("utf-8")
    lacking = []
    for name, form in json_schema()["$defs"].items():
        shapes = [form, *form.get("anyOf", [])]
        keys = next(shape["properties"] for shape in shapes if "properties" in shape)
        part = re.search(rf"^#+ [^\n]*<!-- {name} -->\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
        lacking += [f"{name}: {key}" for key in keys if part is None or f"`{key}`" not in part[1]]
    assert lacking == []


def test_the_guard_reference_has_every_function() -> None:
    text = (REFERENCE / "guards.md").read_text("utf-8")
    assert [name for name in CALLS if f"`{name}(" not in text] == []
    listed = set(re.findall(r"`([a-z_]+)\(", text.partition("## Functions")[2].partition("###")[0]))
    assert listed == set(CALLS)


def test_the_guard_reference_has_every_core_fact_in_the_row_of_its_subject() -> None:
    text = (REFERENCE / "guards.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", text.partition("### Core facts")[2], re.MULTILINE))
    wanted = {kind.name: list(kind.columns) for kind in CATALOGUE.kinds.values() if kind.columns}
    wanted["case"] = [*CASE_COLUMNS, "stage", "end"]
    assert [f"{k}.{name}" for k, names in wanted.items() for name in names if f"`{name}`" not in rows.get(k, "")] == []


# the command line


def command_line_page() -> str:
    """docs/reference/cli.md, as the commands themselves tell it."""
    lines = [
        "# The command line",
        "",
        "What every command says of itself with `--help`, word for word. Options before the command (`--project`,",
        "`--database`) hold for all of them. What they end with: [exit codes](exit-codes.md). What they print for",
        "scripts: [JSON](json.md).",
        "",
        *helped("csflow", main, None),
    ]
    top = click.Context(main, info_name="csflow", terminal_width=78, **main.context_settings)
    for name in COMMANDS:
        command = main.get_command(top, name)
        assert command is not None
        lines += helped(f"csflow {name}", command, top)
        if isinstance(command, click.Group):
            group = click.Context(command, info_name=name, parent=top, terminal_width=78)
            for word, inner in command.commands.items():
                lines += helped(f"csflow {name} {word}", inner, group)
    return "\n".join(lines)


def helped(title: str, command: click.Command, above: click.Context | None) -> list[str]:
    settings: dict[str, Any] = main.context_settings if above is None else {}
    name = title.rpartition(" ")[2]
    context = click.Context(command, info_name=name, parent=above, terminal_width=78, **settings)
    return [f"## {title}", "", "```text", command.get_help(context), "```", ""]


def test_the_command_line_reference_is_what_help_says() -> None:
    page = REFERENCE / "cli.md"
    if os.environ.get("CSFLOW_WRITE_DOCS"):
        page.write_text(command_line_page(), "utf-8")
    assert page.read_text("utf-8") == command_line_page()


def test_the_help_of_the_reference_is_the_help_that_is_printed() -> None:
    printed = csflow("import", "--help", COLUMNS="80").stdout
    assert printed.strip() in (REFERENCE / "cli.md").read_text("utf-8")


def test_every_command_has_an_example_in_its_help() -> None:
    text = command_line_page()
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[2:]
    assert [part.splitlines()[0] for part in parts if "Example:" not in part] == []


def test_a_whole_number_is_called_n_in_every_help() -> None:
    assert re.findall(r".*(?:INTEGER|FLOAT|RANGE).*", command_line_page()) == []


# exit codes


def csflow(*words: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {key: value for key, value in os.environ.items() if not key.startswith("CSFLOW_")}
    return subprocess.run(
        [str(Path(sys.executable).parent / "csflow"), *words],
        cwd=folder, env={**plain, **environment}, text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one customer that has a contract; nothing has run yet."""
    folder = tmp_path_factory.mktemp("docs") / "shop"
    csflow("init", str(folder))
    (folder / "customers.csv").write_text("id,name\nC-1,One\n", "utf-8")
    (folder / "contracts.csv").write_text("id,customer,starts_on\nK-1,C-1,2026-01-01\n", "utf-8")
    assert csflow("import", ".", folder=folder).returncode == 0
    return folder


@pytest.fixture
def mine(shop: Path, tmp_path: Path) -> Path:
    """A copy of the shop for one test alone."""
    return Path(shutil.copytree(shop, tmp_path / "shop"))


def test_the_page_lists_every_exit_code_of_an_error_class_and_no_other_number_twice() -> None:
    text = (REFERENCE / "exit-codes.md").read_text("utf-8")
    listed = [int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    raised = {one.exit_code for one in vars(errors).values() if isinstance(one, type) and hasattr(one, "exit_code")}
    assert listed == [0, 1, 2, 3, 4, 5, 6, 7, 130, 141, 143]
    assert raised <= set(listed)


def test_code_0_a_run_and_again_with_nothing_to_do(mine: Path) -> None:
    assert csflow("run", "--as-of", "2026-02-01", folder=mine).returncode == 0
    assert csflow("run", "--as-of", "2026-02-01", "--detailed-exitcode", folder=mine).returncode == 0


def test_code_1_rows_were_refused(mine: Path) -> None:
    (mine / "more.csv").write_text("id,name,signed_on\nC-2,Two,no day\n", "utf-8")
    assert csflow("import", "customers", "more.csv", folder=mine).returncode == 1


@pytest.mark.parametrize("words", [["go"], ["run", "--no-such"], ["explain", "nobody"], ["trigger", "hush", "C-1"]])
def test_code_2_the_call_is_wrong(shop: Path, words: list[str]) -> None:
    told = csflow(*words, folder=shop)
    assert (told.returncode, len(told.stderr.splitlines())) == (2, 1)


def test_code_3_the_definitions_are_wrong(mine: Path) -> None:
    (mine / "more.yaml").write_text("flow: x\n", "utf-8")
    assert csflow("validate", folder=mine).returncode == 3
    assert csflow("run", folder=mine).returncode == 3


def test_code_4_another_pass_runs(mine: Path) -> None:
    from csflow.store.locking import pass_lock

    app = Csflow(mine)
    with pass_lock(app.store, 0.0):
        assert csflow("run", "--no-wait", folder=mine).returncode == 4
    app.close()


def test_code_5_there_are_changes_when_asked_for(mine: Path) -> None:
    assert csflow("run", "--as-of", "2026-02-01", "--dry-run", "--detailed-exitcode", folder=mine).returncode == 5
    assert csflow("run", "--as-of", "2026-02-01", "--detailed-exitcode", folder=mine).returncode == 5


def test_code_6_the_database_cannot_be_used(mine: Path) -> None:
    (mine / "csflow.db").write_bytes(b"this is no database" * 100)
    told = csflow("status", folder=mine)
    assert (told.returncode, len(told.stderr.splitlines())) == (6, 1)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_codes_130_and_143_somebody_interrupts(mine: Path, number: int, code: int) -> None:
    from csflow.store.locking import pass_lock

    app = Csflow(mine)
    with pass_lock(app.store, 0.0):  # so that the run waits
        command = [str(Path(sys.executable).parent / "csflow"), "run"]
        process = subprocess.Popen(command, cwd=mine, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until_it_works(process, "run", mine / "csflow.db")
        process.send_signal(number)
        process.communicate(timeout=30)
    app.close()
    assert process.returncode == code


# JSON


def fits_schema(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str = "") -> Iterator[str]:
    """What does not fit a JSON Schema: of the words that pass.schema.json uses, all; any other is told."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        yield from fits_schema(value, root["$defs"][name], root, path)
        return
    kinds = {
        "object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool,
        "null": type(None),
    }  # fmt: skip
    types = schema.get("type", [])
    wanted = [types] if isinstance(types, str) else types
    if wanted and not any(isinstance(value, kinds[name]) for name in wanted):
        yield f"{path}: {value!r} is no {types}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        yield f"{path}: {value!r} is not like {schema['pattern']}"
    if isinstance(value, dict):
        known = schema.get("properties", {})
        rest = schema.get("additionalProperties", True)
        yield from (f"{path}: '{key}' is missing" for key in schema.get("required", []) if key not in value)
        for key, inner in value.items():
            if key in known:
                yield from fits_schema(inner, known[key], root, f"{path}/{key}")
            elif isinstance(rest, dict):
                yield from fits_schema(inner, rest, root, f"{path}/{key}")
            elif rest is False:
                yield f"{path}: '{key}' is not in the schema"
    if isinstance(value, list):
        for place, inner in enumerate(value):
            yield from fits_schema(inner, schema.get("items", {}), root, f"{path}/{place}")
    words = {"$schema", "$id", "$defs", "title", "description", "type", "enum", "pattern", "properties", "required"}
    unknown = set(schema) - words - {"additionalProperties", "items"}
    if unknown:
        yield f"{path}: this test does not know {sorted(unknown)}"


PASS = json.loads((REFERENCE / "pass.schema.json").read_text("utf-8"))


def test_the_json_of_a_pass_fits_the_published_schema(mine: Path) -> None:
    """One of each: opened, a milestone, moved, missed, a message."""
    text = (mine / "lifecycle.yaml").read_text("utf-8")
    text = text.replace("visited: activity.last_visit is known", "visited: contract.id is known")
    text = text.replace("    label: Start\n", "    label: Start\n    do: [{notify: csm}]\n")
    text = text.replace("    label: Steady\n", "    label: Steady\n    deadline: 2 days after clock\n")
    (mine / "lifecycle.yaml").write_text(text, "utf-8")
    told = json.loads(csflow("run", "--as-of", "2026-02-01", "--format", "json", folder=mine).stdout)
    assert list(fits_schema(told, PASS, PASS)) == []
    assert [kind for kind in ("opened", "moved", "milestones", "missed", "messages") if not told[kind]] == []
    alone = json.loads(csflow("advance", "--as-of", "2026-02-02", "--format", "json", folder=mine).stdout)
    assert list(fits_schema(alone, PASS, PASS)) == []
    assert "measured" not in alone


def test_a_pass_of_another_shape_does_not_fit_the_schema() -> None:
    assert list(fits_schema({"as_of": 5}, PASS, PASS))


def test_the_json_page_names_every_key_that_the_commands_print(mine: Path) -> None:
    csflow("run", "--as-of", "2026-02-01", folder=mine)
    (mine / "people.yaml").write_text("people: {li: {roles: [csm]}}\n", "utf-8")
    (mine / "contacts.csv").write_text("id,customer,name,post\nP-1,C-1,Ada,Head\n", "utf-8")
    csflow("import", "contacts", "contacts.csv", folder=mine)
    page, missing = json_sections(), {}
    for words in (
        ["status", "--as-of", "2026-02-01"],
        ["explain", "C-1", "--as-of", "2026-02-01"],
        ["history", "C-1"],
        ["history", "C-1", "--verbose"],
        ["validate"],
        ["import", "customers", "customers.csv"],
        ["run", "--as-of", "2026-02-02"],
        ["doctor", "--as-of", "2026-03-02"],
        ["measure", "--as-of", "2026-02-28"],
        ["advance", "--as-of", "2026-03-01"],
        ["customer", "add", "C-9", "--name", "Nine", "--at", "2026-03-02"],
        ["customer", "set", "C-1", "name=Ada & Co", "--at", "2026-03-02"],
        ["activity", "add", "C-1", "call", "--contact", "P-1", "--note", "of Ada", "--at", "2026-03-02"],
        ["customer", "show", "C-1"],
        ["customer", "file", "C-1"],
        ["explain", "C-1", "--as-of", "2026-03-02"],
        ["task", "list"],
        ["task", "snooze", CASE, "call_them", "--until", "2026-03-05", "--at", "2026-03-02"],
        ["task", "assign", CASE, "call_them", "li", "--at", "2026-03-02"],
        ["task", "done", CASE, "call_them", "--comment", "by phone", "--at", "2026-03-03"],
        ["case", "set", CASE, "cause=price", "--at", "2026-03-03"],
        ["case", "show", CASE],
        ["trigger", "cancel", "C-1", "--at", "2026-03-04", "--dry-run"],
        ["case", "open", "lifecycle", "C-9", "--at", "2026-03-04"],
        ["contact", "erase", "P-1"],
        ["plugins"],
        ["outbox", "list"],
        ["deliver"],
    ):
        told = csflow(*words, "--format", "json", folder=mine)
        assert told.returncode in {0, 1, 7}, (words, told.stderr)
        keys = {key for key in keys_in(json.loads(told.stdout)) if f"`{key}`" not in page[words[0]]}
        missing |= {" ".join(words[:2]): keys} if keys else {}
    assert missing == {}


CASE = "lifecycle/C-1/1"
NAMED = {"changed", "milestone", "milestones", "fields", "roles", "provides"}  # by names that are the project's


def json_sections() -> dict[str, str]:
    """What the JSON page says of each command: its own section, the ones that it leads to, and the beginning."""
    first, *rest = (REFERENCE / "json.md").read_text("utf-8").split("\n## ")
    by_link = {re.sub("[^a-z -]", "", part.splitlines()[0].lower()).replace(" ", "-"): part for part in rest}
    found = {}
    for part in rest:
        more = [by_link[link] for link in re.findall(r"\]\(#([a-z-]+)\)", part)]
        for command in re.findall("`([a-z]+)`", part.splitlines()[0]):
            found[command] = "\n".join([first, part, *more])
    return found


def keys_in(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        for key, value in data.items():
            if re.fullmatch(r"[a-z_]+", key):  # names of metrics and sources are the project's
                yield key
            yield from keys_in(value) if key not in NAMED or isinstance(value, list) else ()
    elif isinstance(data, list):
        for value in data:
            yield from keys_in(value)


# the pages themselves


def test_every_page_is_in_the_index() -> None:
    linked = {(DOCS / link).resolve() for link in links(DOCS / "README.md")}
    assert [str(page.relative_to(DOCS)) for page in pages() if page.name != "README.md" and page not in linked] == []


def links(page: Path) -> list[str]:
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [link.partition("#")[0] for link in re.findall(r"\]\(([^)#][^)]*)\)", prose) if "://" not in link]


@pytest.mark.parametrize("page", pages(), ids=where)
def test_every_link_leads_to_a_file(page: Path) -> None:
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", pages(), ids=where)
def test_no_page_names_a_place_of_some_machine(page: Path) -> None:
    assert re.findall(r"/work/\S*|/tmp/\S*|/home/\S*|localhost:\d+", page.read_text("utf-8")) == []
