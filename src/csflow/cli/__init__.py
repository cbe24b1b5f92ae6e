"""The command line: commands are listed in a table and imported only when one is called.

`--help` imports click and the standard library, nothing else. What goes wrong in an expected way becomes one line on
stderr and an exit code here, at this one place.
"""
# ruff: noqa: E402  # what a signal does is settled before anything slow is imported

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress


def _too_early(number: int, _frame: object) -> None:
    """Somebody interrupts while Python still imports: nothing was done, so nothing needs to be tidied up."""
    os.write(2, b"csflow: interrupted before it began\n")
    os._exit(128 + number)


# The command itself, not a program that imports it.
IS_PROGRAM = os.path.basename(sys.argv[0]) == "csflow"  # noqa: PTH119
if IS_PROGRAM:
    with suppress(ValueError):  # not in the main thread
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _too_early)
            signal.signal(signal.SIGTERM, _too_early)

import atexit
import gc
import io
import threading
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from click.shell_completion import CompletionItem

    from csflow.app import Csflow
    from csflow.installed import Entry

# name → (module:attribute, one line for --help). A command stands here only when it works.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("csflow.cli.demo:demo", "Make a project with generated customers and let it live two years."),
    "init": ("csflow.cli.project:init", "Make a folder with a project that works."),
    "validate": ("csflow.cli.project:validate", "Check the project's YAML and say all that is wrong."),
    "schema": ("csflow.cli.project:schema", "Print the JSON Schema of the YAML, for editors."),
    "import": ("csflow.cli.facts:import_", "Bring facts in from CSV or JSONL files."),
    "customer": ("csflow.cli.customers:customer", "Enter, change and show customers."),
    "contact": ("csflow.cli.customers:contact", "Erase a contact's personal data."),
    "activity": ("csflow.cli.customers:activity", "Note a visit, a call … with a customer."),
    "trigger": ("csflow.cli.acting:trigger", "Say a word that a flow listens to."),
    "case": ("csflow.cli.acting:case", "Open, fill and show cases."),
    "task": ("csflow.cli.acting:task", "List tasks, do them, put them off, hand them over."),
    "status": ("csflow.cli.reading:status", "Show where all cases stand, and who is stuck."),
    "book": ("csflow.cli.book:book", "Show figures of any set of customers over a period."),
    "page": ("csflow.cli.page:page", "Write one HTML page: where all stands, what is overdue."),
    "explain": ("csflow.cli.reading:explain", "Say why a customer is where it is."),
    "history": ("csflow.cli.reading:history", "Tell what happened to a customer or a case."),
    "doctor": ("csflow.cli.doctor:doctor", "Say what is wrong, and what to do about it."),
    "completion": ("csflow.cli.completion:completion", "Print what makes a shell complete csflow's words."),
    "plugins": ("csflow.cli.plugins:plugins", "List the plugins and what went wrong with them; begin a new one."),
    "db": ("csflow.cli.upkeep:db", "Look after the database."),
    "measure": ("csflow.cli.engine:measure", "Compute the metrics."),
    "advance": ("csflow.cli.engine:advance", "Move every case that is to move."),
    "deliver": ("csflow.cli.deliver:deliver", "Hand out the messages that wait."),
    "outbox": ("csflow.cli.outbox:outbox", "List messages; release, retry or drop them."),
    "run": ("csflow.cli.engine:run", "Measure, advance and deliver: what a night's script calls."),
}

EPILOG = "Begin with:  csflow init my-project  –  then  csflow validate my-project"
# New objects between two looks for garbage: imports make many and leave none; looked for at 700, a fifth of a start.
GARBAGE = 50_000
TERMINATED, CLOSED_PIPE = 128 + signal.SIGTERM, 141  # 141: 128 + SIGPIPE, which not every system has
WHOLE = "whole chunks are written, nothing is half done"
HALF = {"demo": "the demo is half made: --force begins it anew"}  # commands whose work does not go on from there
atexit.register(gc.freeze)  # a process that ends gives all back at once: what could be freed is not looked for


class Here:
    """What the options before the command say: which project, which database. Opens the project when asked."""

    def __init__(self, project: Path | None, database: str | None, *, trace_hooks: bool = False) -> None:
        self.project, self.database = project, database
        self._trace = partial(click.echo, err=True) if trace_hooks else None

    def folder(self, named: Path | None = None) -> Path:
        """The project's folder: named, from --project, or found from the current folder upwards."""
        from csflow.app import find_project, project_at  # noqa: PLC0415  # SQLAlchemy comes with it

        chosen = named or self.project
        return find_project(Path()) if chosen is None else project_at(chosen)

    def open(self, named: Path | None = None) -> Csflow:
        """The project, opened; it is closed when the command ends."""
        from csflow.app import Csflow  # noqa: PLC0415  # SQLAlchemy comes with it

        app = Csflow(self.folder(named), database=self.database, trace=self._trace)
        click.get_current_context().call_on_close(app.close)
        return app


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and one place for errors and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names of the table, in its order, then those that installed packages bring."""
        return [*COMMANDS, *_brought()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return the command; None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return _load(cmd_name)
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The called command; for an unknown one the nearest name is told."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-") and args[0] not in _brought():
            from difflib import get_close_matches  # noqa: PLC0415  # only a mistake needs it

            near = get_close_matches(args[0], [*COMMANDS, *_brought()], n=1)
            hint = f": did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"no command '{args[0]}'{hint}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands of the table that begin so, without importing them; and the options before a command."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415  # only a shell that completes needs it

        lines = {name: line for name, (_, line) in COMMANDS.items()}
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=lines.get(name)) for name in names]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])
        brought = _brought()
        if brought:
            with formatter.section("Commands of installed packages"):
                formatter.write_dl([(name, ", ".join(e.package for e in found)) for name, found in brought.items()])

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the words before a command. A reader that went away is told from other failures."""
        with _stopping():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command; what stops it from outside is told as what that leaves behind."""
        with _stopping(ctx):
            return super().invoke(ctx)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> NoReturn:
        """Run, and end the process with the exit code; a command may return its own (decisions, 27)."""
        extra["standalone_mode"] = False
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:  # closed before we came (>&-): what is said goes nowhere
                setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        gc.set_threshold(GARBAGE)
        before, sys.unraisablehook = sys.unraisablehook, _swallowed
        try:
            code = _guarded(lambda: super(LazyGroup, self).main(args, *rest, **extra))
        finally:
            sys.unraisablehook = before
        sys.exit(code)


def _brought() -> dict[str, list[Entry]]:
    """Commands of installed packages, from the cache: name → who brings one of that name."""
    from csflow.installed import COMMANDS as GROUP  # noqa: PLC0415
    from csflow.installed import installed  # noqa: PLC0415

    found: dict[str, list[Entry]] = {}
    for entry in installed(GROUP):
        if entry.name not in COMMANDS:  # csflow's own stay what they are
            found.setdefault(entry.name, []).append(entry)
    return found


def _load(name: str) -> click.Command | None:
    """Import the command that a package brings; a ClickException of one line where it cannot be used."""
    found = _brought().get(name)
    if found is None:
        return None
    if len(found) > 1:
        both = " and by ".join(entry.package for entry in found)
        raise click.UsageError(f"command '{name}' is brought by {both}: uninstall one of them")
    from csflow.hookspecs import attempt  # noqa: PLC0415  # pluggy comes with it
    from csflow.plugins import load_entry  # noqa: PLC0415

    command, reason = attempt(load_entry, found[0])
    if reason is None and not isinstance(command, click.Command):
        reason = f"{found[0].value} is no click command"
    if reason is not None:
        raise PluginFailedError(f"command '{name}' of {found[0].package} cannot be used: {reason}")
    return command  # type: ignore[no-any-return]  # it was looked at above


class _StoppedError(Exception):
    """A command was stopped from outside: the exit code, and the line that is told (none where nobody reads)."""

    def __init__(self, code: int, line: str = "") -> None:
        super().__init__(line)
        self.code = code


@contextmanager
def _stopping(ctx: click.Context | None = None) -> Iterator[None]:
    """Turn a closed pipe (click makes exit code 1 of it), Ctrl-C and SIGTERM into `_StoppedError`."""
    try:
        yield
    except BrokenPipeError:
        raise _StoppedError(CLOSED_PIPE) from None
    except KeyboardInterrupt:
        click.echo(err=True)  # closes the line in which a terminal shows ^C
        raise _StoppedError(130, f"interrupted; {_left(ctx)}") from None
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # rich makes exit code 1 of it, too
            raise _StoppedError(CLOSED_PIPE) from None
        if error.code != TERMINATED:
            raise
        raise _StoppedError(TERMINATED, f"ended by the system (SIGTERM); {_left(ctx)}") from None


def _left(ctx: click.Context | None) -> str:
    return HALF.get((ctx and ctx.invoked_subcommand) or "", WHOLE)


class PluginFailedError(click.ClickException):
    """A package's command cannot be imported."""

    exit_code = 6


def _guarded(run: Any) -> int:
    from csflow.errors import CsflowError  # noqa: PLC0415  # beside click, so that a bare --help stays bare

    try:
        _hear_signals()
        with _stopping():
            result = run()
            sys.stdout.flush()
    except _StoppedError as stopped:
        if stopped.code == CLOSED_PIPE:
            _leave_quietly()
        else:
            click.echo(f"csflow: {stopped}", err=True)
        return stopped.code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" ({context.command_path} --help)" if context else ""
        click.echo(f"csflow: {' '.join(error.format_message().split())}{hint}", err=True)
        return 2 if error.exit_code in {1, 2} else error.exit_code
    except CsflowError as error:
        _say(error)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):  # at a question of click's
        click.echo(f"csflow: interrupted; {WHOLE}", err=True)
        return 130
    except UnicodeEncodeError as error:  # of a file's name, or of what is printed
        word = ascii(error.object[error.start : error.end][:20])
        what = f"{word} cannot be written in {error.encoding}"
        click.echo(f"csflow: {what}: set LC_ALL=C.UTF-8, or PYTHONUTF8=1", err=True)
        return 6
    except OSError as error:
        click.echo(f"csflow: {error.filename or 'file or network'}: {error.strerror or error}", err=True)
        return 6
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _hear_signals() -> None:
    """From now on signals pass through the command like errors, so that it can tidy up."""
    if threading.current_thread() is threading.main_thread():
        if signal.getsignal(signal.SIGINT) is _too_early:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, _terminated)


def _say(error: Exception) -> None:
    problems = getattr(error, "problems", None)
    if problems is None:
        for line in str(error).splitlines() or [type(error).__name__]:
            click.echo(f"csflow: {line}", err=True)
        return
    for problem in problems:
        if not problem.warning:  # warnings are for `validate`, which knows what plugins provide
            click.echo(str(problem), err=True)


def _leave_quietly() -> None:
    """The reader of our output went away: nothing more is written, not even by Python when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _keep_stdout() -> None:
    """From now on only `sys.stdout` writes to stdout; file descriptor 1 is stderr.

    What a plugin's programs print, or it writes past Python, is no part of what scripts read there.
    """
    old = sys.stdout
    if not IS_PROGRAM or old is not sys.__stdout__ or old is None or old.fileno() != 1:
        return
    with suppress(OSError):  # no stderr
        old.flush()
        kept = os.dup(1)
        try:
            os.dup2(2, 1)
        except OSError:
            os.close(kept)
            raise
        plain = open(kept, "wb", -1 if isinstance(old.buffer, io.BufferedIOBase) else 0, closefd=False)  # noqa: SIM115
        sys.stdout = io.TextIOWrapper(
            plain, old.encoding, old.errors, "\n" if os.linesep == "\n" else None, old.line_buffering, old.write_through
        )


def _swallowed(lost: sys.UnraisableHookArgs) -> None:
    """A signal that came while Python was tidying up is ignored there: it is sent again a moment later."""
    number = {KeyboardInterrupt: signal.SIGINT, SystemExit: signal.SIGTERM}.get(lost.exc_type)
    if number is None:
        sys.__unraisablehook__(lost)
        return
    again = threading.Timer(0.05, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(TERMINATED)


def _version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import version  # noqa: PLC0415  # costs as much as click itself

    click.echo(f"csflow {version('csflow')}")
    ctx.exit()


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--project",
    metavar="DIR",
    envvar="CSFLOW_PROJECT",
    type=click.Path(file_okay=False, path_type=Path),
    help="The project's folder; else the one with a csflow.yaml here or above.  [env: CSFLOW_PROJECT]",
)
@click.option(
    "--database",
    metavar="URL",
    envvar="CSFLOW_DATABASE",
    help="The database; else what the project says, else csflow.db in its folder.  [env: CSFLOW_DATABASE]",
)
@click.option("--trace-hooks", is_flag=True, help="Tell every call of a plugin, and what came of it, on stderr.")
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version and exit."
)
@click.pass_context
def main(ctx: click.Context, project: Path | None, database: str | None, trace_hooks: bool) -> None:
    """Customer success as code: lifecycles in YAML drive every customer from signing to renewal."""
    ctx.obj = Here(project, database, trace_hooks=trace_hooks)
    if ctx.invoked_subcommand in COMMANDS:  # a package's own command may print with whatever it calls
        _keep_stdout()
