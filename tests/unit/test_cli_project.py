from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from csflow import cli
from csflow.app import VERSION, Csflow, country_holidays, find_project, population_in, project_at, shipped_packs
from csflow.cli import COMMANDS, main
from csflow.cli.options import by_option, instant_of
from csflow.errors import CsflowError, LockedError, UsageError
from csflow.flow.reading import plain, read_file
from csflow.flow.shape import json_schema
from csflow.values import Zone, day

ROOT = Path(__file__).parents[2]


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


# The group ---------------------------------------------------------------------------------------------------


def test_help_imports_click_and_nothing_heavy() -> None:
    script = (
        "import sys\nfrom csflow.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    for _ in range(2):  # the first one may have to look for what is installed
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = done.stdout.splitlines()[-1].split()
    assert {name for name in modules if name.startswith("csflow")} == {
        "csflow", "csflow.cli", "csflow.errors", "csflow.installed",
    }  # fmt: skip
    heavy = {"sqlalchemy", "pydantic", "ruamel", "rich", "alembic", "pluggy", "transitions", "importlib.metadata"}
    assert not heavy & {name.split(".")[0] for name in modules} | ({"importlib.metadata"} & set(modules))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_helps_with_an_example(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert "Example:" in result.output
    assert f"csflow {name}" in result.output
    assert COMMANDS[name][1].endswith(".")


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == VERSION
    assert run("--version").output == f"csflow {VERSION}\n"


def test_an_unknown_command_is_one_line_with_the_nearest() -> None:
    result = run("valdate")
    assert result.exit_code == 2
    assert result.stderr.startswith("csflow: no command 'valdate': did you mean 'validate'?")
    assert result.stderr.count("\n") == 1


def test_a_wrong_option_is_one_line_and_exit_code_2() -> None:
    result = run("validate", "--format", "xml")
    assert result.exit_code == 2
    assert result.stderr.startswith("csflow: Invalid value for '--format'")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("no customer 'x'"), 2, "csflow: no customer 'x'\n"),
        (LockedError("pass 5 runs"), 4, "csflow: pass 5 runs\n"),
        (CsflowError("broken"), 6, "csflow: broken\n"),
        (FileNotFoundError(2, "No such file or directory", "x.csv"), 6, "csflow: x.csv: No such file or directory\n"),
        (KeyboardInterrupt(), 130, "\ncsflow: interrupted; whole chunks are written, nothing is half done\n"),
        (
            SystemExit(143),
            143,
            "csflow: ended by the system (SIGTERM); whole chunks are written, nothing is half done\n",
        ),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    line: str | None,
) -> None:
    def failing() -> None:
        raise error

    monkeypatch.setattr(cli, "_leave_quietly", lambda: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert cli._guarded(failing) == code
    shown = capfd.readouterr().err
    assert shown.strip().count("\n") == 0
    assert line is None or shown == line


@pytest.mark.parametrize("words", [["schema"], ["status"], ["--help"], ["init", "--help"]])
def test_a_closed_pipe_ends_with_141_without_a_word(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("init", tmp_path / "p")
    monkeypatch.setenv("CSFLOW_PROJECT", str(tmp_path / "p"))
    runner = f"import time; time.sleep(0.2); from csflow.cli import main; main({words})"
    script = f'{sys.executable} -c "{runner}" | head -c 0; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (141, "")


NOISY = """
import os, subprocess, sys
from csflow.hookspecs import hookimpl
subprocess.run(["echo", "from a program"])
@hookimpl
def csflow_metrics():
    os.write(1, b"past Python\\n")
    print("printed", file=sys.__stdout__, flush=True)
    return {}
"""


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    """The words that call csflow as people do, by a script of its name, for a project with a noisy plugin."""
    run("init", tmp_path / "p")
    (tmp_path / "p" / "noisy.py").write_text(NOISY)
    script = tmp_path / "csflow"
    script.write_text("from csflow.cli import main\nmain()\n")
    return [sys.executable, str(script), "--project", str(tmp_path / "p")]


def test_what_a_plugin_writes_past_python_goes_to_stderr(program: list[str]) -> None:
    done = subprocess.run([*program, "plugins", "--format", "json"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "noisy.py" in [one["name"] for one in json.loads(done.stdout)["plugins"]]
    for said in ("from a program", "past Python", "printed"):
        assert said in done.stderr


def test_a_reader_that_goes_away_from_the_program_ends_it_with_141_without_a_word(program: list[str]) -> None:
    script = f"{shlex.join([*program, 'schema'])} | head -c 0; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (141, "")


ENDED = """
import os, signal, sys, time
from csflow import cli
def work(*_, **__):
    os.kill(os.getpid(), int(sys.argv[1]))
    time.sleep(5)
cli.import_module("csflow.cli.demo").demo.callback = work
cli.import_module("csflow.cli.project").schema.callback = work
cli.main(sys.argv[2:])
"""
WHOLE = "whole chunks are written, nothing is half done"
HALF = "the demo is half made: --force begins it anew"


@pytest.mark.parametrize(
    ("number", "command", "code", "line"),
    [
        (signal.SIGTERM, "schema", 143, f"csflow: ended by the system (SIGTERM); {WHOLE}"),
        (signal.SIGINT, "schema", 130, f"csflow: interrupted; {WHOLE}"),
        (signal.SIGTERM, "demo", 143, f"csflow: ended by the system (SIGTERM); {HALF}"),
        (signal.SIGINT, "demo", 130, f"csflow: interrupted; {HALF}"),
    ],
)
def test_a_command_that_is_stopped_says_in_one_line_what_it_leaves(
    number: int, command: str, code: int, line: str
) -> None:
    words = [sys.executable, "-c", ENDED, str(int(number)), command]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (code, line)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_python_still_imports_is_one_line(tmp_path: Path, number: int, code: int) -> None:
    (tmp_path / "click.py").write_text(f"import os\nos.kill(os.getpid(), {int(number)})\nimport time\ntime.sleep(5)\n")
    script = tmp_path / "csflow"
    script.write_text(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nfrom csflow.cli import main\nmain()\n")
    done = subprocess.run([sys.executable, script, "status"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, "csflow: interrupted before it began\n")


def test_a_program_that_imports_the_command_keeps_its_signals() -> None:
    before = "import signal\nbefore = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)\n"
    after = "import csflow.cli\nassert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))"
    subprocess.run([sys.executable, "-c", before + after], check=True)


def test_a_command_may_return_its_exit_code() -> None:
    assert cli._guarded(lambda: 5) == 5
    assert cli._guarded(lambda: None) == 0
    assert cli._guarded(lambda: True) == 0


def test_the_project_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("init", tmp_path / "p")
    monkeypatch.setenv("CSFLOW_PROJECT", str(tmp_path / "p"))
    assert run("validate").output.startswith("p is valid:")


# Projects ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", ["minimal", "standard", "clinic"])
def test_init_makes_a_project_that_is_valid(tmp_path: Path, pack: str) -> None:
    folder = tmp_path / "my-project"
    result = run("init", folder, "--from", pack)
    assert (result.exit_code, result.stderr) == (0, "")
    checked = run("validate", folder)
    assert checked.exit_code == 0
    assert checked.output.splitlines()[-1].startswith("my_project is valid:")
    assert "error" not in checked.output


def test_init_writes_the_minimal_project_by_default(tmp_path: Path) -> None:
    run("init", tmp_path / "p")
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["csflow.yaml", "lifecycle.yaml", "metrics.yaml"]


def test_init_leaves_a_folder_that_is_not_empty_alone(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("mine")
    result = run("init", tmp_path)
    assert result.exit_code == 2
    assert "is not empty" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["x.txt"]


def test_init_from_an_unknown_pack_names_those_that_are_there(tmp_path: Path) -> None:
    result = run("init", tmp_path / "p", "--from", "none")
    assert result.exit_code == 2
    assert "csflow ships clinic, minimal, standard" in result.stderr
    assert not (tmp_path / "p").exists()


def test_init_into_a_folder_with_an_odd_name_is_still_valid(tmp_path: Path) -> None:
    folder = tmp_path / "on: 'off' é"
    assert run("init", folder).exit_code == 0
    assert run("validate", folder).exit_code == 0


def test_a_project_is_found_from_the_folder_upwards(tmp_path: Path) -> None:
    (tmp_path / "csflow.yaml").write_text("csflow: 1")
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_project(tmp_path / "a" / "b") == tmp_path.resolve()
    assert project_at(tmp_path) == tmp_path.resolve()
    with pytest.raises(UsageError, match="csflow init"):
        project_at(tmp_path / "a")


def test_without_a_project_from_the_folder_upwards_the_way_to_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no csflow\.yaml in .* or above: name a project with --project"):
        find_project(tmp_path)


@pytest.mark.parametrize("name", ["csflow.yml", "csflow.YAML"])
def test_a_project_file_called_a_little_otherwise_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / name).write_text("csflow: 1")
    for look in (lambda: find_project(tmp_path / "a"), lambda: project_at(tmp_path)):
        with pytest.raises(UsageError, match=rf"no csflow\.yaml in .*, but {name} is there: call it csflow\.yaml"):
            look()


def test_a_country_that_nobody_knows_has_no_holidays() -> None:
    assert country_holidays("XX") is None
    assert country_holidays("DE-XX") is None
    assert country_holidays("CATHOLIC") is None  # a name that the library has, but of no country
    assert "2026-12-25" in (country_holidays("DE-BY") or [])


def test_a_pack_without_a_population_generates_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no population to generate"):
        population_in(tmp_path, seed=1, customers=1)
    (tmp_path / "population.py").write_text("WEEKS = 3\n", "utf-8")
    with pytest.raises(UsageError, match=r"population\.py: it needs weeks"):
        population_in(tmp_path, seed=1, customers=1)


def test_the_package_offers_its_names_and_no_others() -> None:
    import csflow

    assert csflow.Csflow is Csflow
    with pytest.raises(AttributeError, match="module 'csflow' has no attribute 'Nothing'"):
        _ = csflow.Nothing


@pytest.mark.parametrize("word", ["-x", "--nothing"])
def test_a_word_that_begins_like_an_option_is_no_command(word: str) -> None:
    done = run("--", word)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1


def test_validate_where_no_project_is_says_so(tmp_path: Path) -> None:
    result = run("validate", tmp_path)
    assert result.exit_code == 2
    assert "no csflow.yaml in" in result.stderr


# validate ----------------------------------------------------------------------------------------------------


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    run("init", tmp_path / "p")
    (tmp_path / "p" / "wrong.yaml").write_text(
        "metrics:\n  m.a: customer.nam == 'x'\n  m.b: {uses: x/y, type: number}\n"
    )
    return tmp_path / "p"


def test_validate_tells_every_problem_and_ends_with_3(wrong: Path) -> None:
    result = run("validate", wrong)
    assert result.exit_code == 3
    lines = result.output.splitlines()
    assert lines[0].endswith("wrong.yaml:2:8: unknown fact 'customer.nam': did you mean 'customer.name'?")
    assert lines[1].endswith("wrong.yaml:3:15: warning: nothing provides 'x/y', so this metric stays unknown")
    assert lines[2] == "1 error, 1 warning"


def test_validate_as_json_has_stable_keys(wrong: Path) -> None:
    result = run("validate", wrong, "--format", "json")
    data: dict[str, Any] = json.loads(result.output)
    assert result.exit_code == 3
    assert data["valid"] is False
    assert [set(problem) for problem in data["problems"]] == [{"file", "line", "column", "message", "warning"}] * 2
    assert [(p["line"], p["column"], p["warning"]) for p in data["problems"]] == [(2, 8, False), (3, 15, True)]


def test_validate_as_jsonl_is_one_problem_a_line(wrong: Path) -> None:
    lines = run("validate", wrong, "--format", "jsonl").output.splitlines()
    assert [json.loads(line)["line"] for line in lines] == [2, 3]


def test_validate_of_a_right_project_counts_what_it_has(tmp_path: Path) -> None:
    run("init", tmp_path / "p")
    data = json.loads(run("validate", tmp_path / "p", "--format", "json").output)
    assert data["valid"] is True
    assert data["counts"] == {"flows": 1, "stages": 4, "metrics": 2, "roles": 2, "imports": 0}
    assert data["problems"] == []
    assert len(data["definition"]) == 64


# schema ------------------------------------------------------------------------------------------------------


def fits(value: Any, schema: Any, root: dict[str, Any]) -> bool:
    """A small validator of what our schema uses, so that it is not checked by the models that made it."""
    if "$ref" in schema:
        return fits(value, root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root)
    if "if" in schema:
        return fits(value, schema["then" if set(schema["if"]["required"]) <= set(value) else "else"], root)
    if "anyOf" in schema and not any(fits(value, part, root) for part in schema["anyOf"]):
        return False
    if value not in schema.get("enum", [value]) or value != schema.get("const", value):
        return False
    kinds = {"object": dict, "array": list, "string": str, "number": (int, float), "integer": int, "boolean": bool}
    wanted = schema.get("type", [])
    names = [wanted] if isinstance(wanted, str) else wanted
    if names and not any(value is None if name == "null" else isinstance(value, kinds[name]) for name in names):
        return False
    if isinstance(value, list):
        return all(fits(item, schema.get("items", {}), root) for item in value)
    if not isinstance(value, dict):
        return True
    known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    if set(schema.get("required", ())) - set(value) or (more is False and set(value) - set(known)):
        return False
    if not all(fits(key, schema.get("propertyNames", {}), root) for key in value):
        return False
    rest = more if isinstance(more, dict) else {}
    return all(fits(item, known.get(key, rest), root) for key, item in value.items())


@pytest.mark.parametrize("path", sorted(path for pack in shipped_packs().values() for path in pack.rglob("*.yaml")))
def test_every_shipped_file_fits_the_schema(path: Path) -> None:
    root, _, _ = read_file(path, path.name)
    assert root is not None
    assert fits(plain(root), json_schema(), json_schema())


@pytest.mark.parametrize(
    "tree",
    [
        {"flow": "f", "stages": {"a": {"deadine": "2 days"}}},
        {"flow": "f", "stages": {"a": "fine"}},
        {"flow": "f", "stages": []},
        {"csflow": 2, "name": "x"},
        {"csflow": 1},
        {"metrcs": {}},
        {"metrics": {"a.b": {"valu": 1}}},
        {"fields": {"custmer": {}}},
    ],
)
def test_what_is_no_csflow_does_not_fit_the_schema(tree: dict[str, Any]) -> None:
    assert not fits(tree, json_schema(), json_schema())


def test_schema_prints_the_schema() -> None:
    printed = json.loads(run("schema").output)
    assert printed == json_schema()
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"


# options -----------------------------------------------------------------------------------------------------


def test_as_of_a_day_is_its_last_microsecond_in_the_zone() -> None:
    shanghai = Zone("Asia/Shanghai")
    assert instant_of("2026-01-05", shanghai) == (day("2026-01-05") * 24 + 16) * 3_600_000_000 - 1


def test_as_of_an_instant_is_local_unless_it_says_its_offset() -> None:
    shanghai = Zone("Asia/Shanghai")
    noon = (day("2026-01-05") * 24 + 4) * 3_600_000_000
    assert instant_of("2026-01-05T12:00", shanghai) == noon
    assert instant_of("2026-01-05T04:00+00:00", shanghai) == noon


@pytest.mark.parametrize("text", ["tomorrow", "2026-02-30", "", "2026-01-05T25:00", "99999-01-01"])
def test_as_of_something_else_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="neither a day nor an instant"):
        instant_of(text, Zone("UTC"))


def test_without_as_of_it_is_now() -> None:
    assert instant_of(None, Zone("UTC")) > day("2026-01-01") * 86_400_000_000


def test_the_actor_is_named_or_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    @by_option
    def who(actor: str) -> None:
        click.echo(actor)

    monkeypatch.setenv("CSFLOW_ACTOR", "li")
    assert CliRunner().invoke(who, ["--by", "ann"]).output == "ann\n"
    assert CliRunner().invoke(who, []).output == "li\n"
    monkeypatch.delenv("CSFLOW_ACTOR")
    monkeypatch.setenv("LOGNAME", "sam")
    assert CliRunner().invoke(who, []).output == "sam\n"
