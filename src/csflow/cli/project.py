"""`csflow init`, `validate`, `schema`: a project's folder and its YAML."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from csflow.cli.called import as_called
from csflow.cli.options import format_option, print_json
from csflow.errors import DefinitionError, Problem, UsageError
from csflow.values import counted

if TYPE_CHECKING:
    from csflow.cli import Here
    from csflow.flow.definition import Definition

PLAIN = "minimal"  # the pack that is copied instead of extended


@click.command(epilog="Example:  csflow init my-project --from standard")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--from", "pack", metavar="PACK", default=PLAIN, show_default=True, help="What to begin with.")
def init(folder: Path, pack: str) -> None:
    """Make a folder with a project that works.

    `minimal` is copied: three small files to read and change. Any other pack is extended: what your project does not
    say stays as the pack says it.
    """
    from csflow.app import shipped_packs  # noqa: PLC0415  # SQLAlchemy comes with it

    packs = shipped_packs()
    if pack not in packs:
        raise UsageError(f"no pack '{pack}': csflow ships {', '.join(packs)}")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty: name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "_", folder.resolve().name).strip("_") or "project"
    if pack == PLAIN:
        _copy(packs[pack], folder, name)
    else:
        _extend(packs[pack], folder, pack, name)
    click.echo(f"{folder} holds a project now. Next:\n  {as_called(f'csflow validate {quote(str(folder))}')}")


def _copy(pack: Path, folder: Path, name: str) -> None:
    for path in sorted(pack.glob("*.yaml")):
        shutil.copyfile(path, folder / path.name)
    project = folder / "csflow.yaml"
    text = project.read_text("utf-8").replace(f"name: {PLAIN}\n", f"name: {_quoted(name)}\n", 1)
    project.write_text(text, "utf-8")


def _extend(pack: Path, folder: Path, pack_name: str, name: str) -> None:
    kept = re.findall(r"^(?:languages|currency|zone):.*$", (pack / "csflow.yaml").read_text("utf-8"), re.MULTILINE)
    lines = [
        "csflow: 1                      # version of the language",
        f"name: {_quoted(name)}",
        f"extends: [{pack_name}]",
        *kept,
        "",
        "# Everything the pack says holds. Change it here, or in any .yaml file beside this one: a mapping is merged",
        "# by key, a list is replaced whole, null removes.",
        "",
    ]
    (folder / "csflow.yaml").write_text("\n".join(lines), "utf-8")


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


@click.command(epilog="Example:  csflow validate my-project --format json")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(file_okay=False, path_type=Path))
@format_option
@click.pass_obj
def validate(here: Here, folder: Path | None, output: str) -> int:
    """Check the project's YAML and say all that is wrong, each with its file, line and column.

    Exit code 3 when there are errors; warnings alone end with 0.
    """
    app = here.open(folder)
    try:
        loaded = app.validate()
    except DefinitionError as error:
        _print_problems(error.problems, output, None)
        return error.exit_code
    _print_problems(loaded.problems, output, loaded.definition)
    return 0


def _print_problems(problems: list[Problem], output: str, definition: Definition | None) -> None:
    errors = sum(not problem.warning for problem in problems)
    if output == "text":
        for problem in problems:
            click.echo(str(problem))
        click.echo(_summary(definition, errors, len(problems) - errors))
        return
    rows = [
        {"file": p.file, "line": p.line, "column": p.column, "message": p.message, "warning": p.warning}
        for p in problems
    ]
    if output == "jsonl":
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    print_json(
        {"valid": definition is not None, "counts": _counts(definition), "problems": rows} | _identity(definition)
    )


def _identity(definition: Definition | None) -> dict[str, Any]:
    return {"project": definition.name, "definition": definition.hash} if definition else {}


def _counts(definition: Definition | None) -> dict[str, int]:
    if definition is None:
        return {}
    return {
        "flows": len(definition.flows),
        "stages": sum(len(flow.stages) for flow in definition.flows.values()),
        "metrics": sum("/" not in name for name in definition.metrics),  # a milestone of a plugin is none
        "roles": len(definition.roles),
        "imports": len(definition.imports),
    }


def _summary(definition: Definition | None, errors: int, warnings: int) -> str:
    told = counted(warnings, "warning")
    if definition is None:
        return f"{counted(errors, 'error')}, {told}"
    found = ", ".join(counted(number, word.removesuffix("s")) for word, number in _counts(definition).items())
    return f"{definition.name} is valid: {found}; {told}"


@click.command(epilog="Example:  csflow schema > csflow.schema.json")
def schema() -> None:
    """Print the JSON Schema of the YAML (project, flow or sections), from which editors complete and check."""
    from csflow.flow.shape import json_schema  # noqa: PLC0415  # pydantic comes with it

    click.echo(json.dumps(json_schema(), ensure_ascii=False, indent=2))
