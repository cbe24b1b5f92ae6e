"""`csflow plugins`: which plugins there are, what they bring, and what went wrong."""

from __future__ import annotations

import json
import sys
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from csflow.cli.called import as_called
from csflow.cli.options import format_option, print_json
from csflow.errors import UsageError
from csflow.flow.files import is_plugin
from csflow.values import counted

if TYPE_CHECKING:
    from csflow.cli import Here


@click.group(
    invoke_without_command=True, epilog="Example:  csflow plugins --format json   or   csflow plugins new orders"
)
@format_option
@click.pass_context
def plugins(ctx: click.Context, output: str) -> int:
    """List the plugins: csflow's own, files beside the project, installed packages; what each brings, what failed.

    A failure is what is wrong now, or what went wrong the last time a plugin was called, with that moment. Exit code
    1 when one fails now or failed the last time.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    here: Here = ctx.obj
    app = here.open()
    rows = app.list_plugins()
    if output == "json":
        print_json({"plugins": rows})
    elif output == "jsonl":
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
    else:
        _tell(rows)
    return 1 if any(one["current"] for row in rows for one in row["failures"]) else 0


def _tell(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        version = f" {row['version']}" if row["version"] else ""
        off = "  (switched off)" if row["off"] else ""
        click.echo(f"{row['name']}{version}  {row['origin']}: {row['place']}{off}")
        for hook, names in row["provides"].items():
            click.echo(f"  {hook}: {', '.join(names) or 'nothing'}")
        for hook in row["hooks"]:
            if hook not in row["provides"]:
                click.echo(f"  {hook}")
        for failure in row["failures"]:
            since = f" (at {failure['at']})" if failure["at"] else ""
            word = "failed" if failure["current"] else "failed once, not the last time"
            click.echo(f"  {word}: {failure['hook']}: {failure['error']}{since}")
    wrong = sum(any(one["current"] for one in row["failures"]) for row in rows)
    click.echo(f"{counted(len(rows), 'plugin')}, {wrong} failing")


@plugins.command("new", epilog="Example:  csflow plugins new orders")
@click.argument("name", metavar="NAME")
@click.pass_obj
def new(here: Here, name: str) -> None:
    """Write NAME.py beside the project: a plugin with a metric, a milestone and a notifier to change.

    It works as it is; what to write into the YAML stands at its top.
    """
    if not name.isidentifier():
        raise UsageError(f"'{name}' cannot be a plugin's name: use letters, digits and _")
    if iskeyword(name) or name == "csflow" or name in sys.stdlib_module_names:
        raise UsageError(f"'{name}' cannot be a plugin's name: it is a word of Python or csflow already")
    folder = here.folder()
    path = folder / f"{name}.py"
    if not is_plugin(path):
        raise UsageError(f"'{name}' cannot be a plugin's name: files called so are for tests, packaging or a demo")
    if path.exists():
        raise UsageError(f"{path} is there already: choose another name")
    template = (Path(__file__).parent / "plugin_template.txt").read_text("utf-8")
    path.write_text(template.replace("NAME", name), "utf-8")
    click.echo(f"{path} is a plugin now. What to write into the YAML stands at its top. Then:")
    click.echo(f"  {as_called('csflow plugins')}")
