"""The hooks: what a plugin may add. A plugin is a module or object with functions marked ``@hookimpl``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, NamedTuple

import pluggy

from csflow.errors import without_secrets
from csflow.values import latest_start, parse_length

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Select

    from csflow.flow.calendars import Calendar
    from csflow.flow.moments import Moment

PROJECT = "csflow"
# The hooks that `measure` calls, and `run` (the last one is the pass's): whoever fails is told when they are called.
RUN_HOOKS = ("import", "csflow_metrics", "csflow_milestones", "csflow_functions", "csflow_packs", "csflow_moved")
# Where the code between a call and the plugin's own lines lies: csflow's, pluggy's and Python's importing.
CALLING = ("<frozen ", *(f"{Path(str(one)).parent}{os.sep}" for one in (__file__, pluggy.__file__, importlib.__file__)))
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, slots=True)
class Failure:
    """What a plugin did wrong: its name, the hook (or ``import``), the reason in one line, and what it cost."""

    plugin: str
    hook: str
    reason: str
    name: str | None = None  # of the metric, milestone … that has no new value


def in_one_line(error: BaseException) -> str:
    """An exception as one line: its kind and what it says, without the secrets of the environment."""
    try:
        said = without_secrets(" ".join(str(error).split()), os.environ)[:300]
    except Exception:  # noqa: BLE001  # even that is a plugin's own code
        said = ""
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def raised_at(error: BaseException) -> str:
    """The line of a plugin where it went wrong, as " (FILE:LINE)": the last one of the first file that is not ours."""
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    theirs = [(file, line) for file, line in frames if not file.startswith(CALLING)]
    lines = [line for file, line in theirs if file == theirs[0][0]]
    return f" ({Path(theirs[0][0]).name}:{lines[-1]})" if theirs else ""


TERMINATED = 143  # 128 + SIGTERM: what the command line ends with when it is told to end: no plugin's doing


def attempt(function: Callable[..., Any], *arguments: Any) -> tuple[Any, str | None]:
    """What a plugin's function gives, and None; or None, and why it gave nothing: it raised, it called exit.

    The one place where whatever a plugin does wrong is caught. What it prints goes to stderr: stdout is csflow's own,
    and scripts read JSON there.
    """
    try:
        with redirect_stdout(sys.stderr):
            return function(*arguments), None
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        if error.code == TERMINATED:
            raise
        return None, in_one_line(error) + raised_at(error)
    except BaseException as error:  # noqa: BLE001  # whatever a plugin raises costs its own result only
        return None, in_one_line(error) + raised_at(error)


class Usage(NamedTuple):
    """One row of product usage of one customer; there are many, so a tuple."""

    feature: str
    day: int  # days since 1970-01-01
    count: float | None  # type: ignore[assignment]  # a tuple has a method of that name, which nobody misses
    seconds: float | None
    users: float | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Some thousand subjects that a metric or a milestone in Python is asked about at once.

    ``subjects`` are ids as people know them; ``options`` the metric's ``with:``; ``today`` a day number. ``usage``
    holds, by customer, the rows of the metric's ``window:`` (by day), empty for a metric without one. ``facts`` holds,
    by id, the values of the facts that ``with: {reads: [contact.post]}`` names, by name and in stored form (a date is
    a day number, a time an instant in UTC microseconds, money minor units; None is unknown).
    """

    subjects: tuple[str, ...]
    options: Mapping[str, Any]
    today: int
    usage: Mapping[str, tuple[Usage, ...]] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def days(self) -> int:
        """How many days the metric's ``window:`` has, today the last, in whatever unit it is written."""
        if "window" not in self.options:
            raise ValueError("there is no window: under `with:`")
        return self.today - latest_start(parse_length(str(self.options["window"])), self.today)


@dataclass(frozen=True, slots=True)
class Window:
    """What a metric in SQL is asked for: usage of the days after ``begin`` up to and with ``end``."""

    begin: int
    end: int
    options: Mapping[str, Any]
    moment: Moment
    calendars: Mapping[str, Calendar]


@dataclass(frozen=True, slots=True)
class Provider:
    """How a ``uses:`` of a metric is computed: set-wise by ``select``, or batch by batch by ``compute``.

    ``select`` gives (customer id, value, newest day) for every customer with usage in the window, and ``empty`` is
    the value of a customer without. ``compute`` returns id → value in the metric's own unit (numbers, shares 0…1,
    words, booleans); an id that is left out is unknown. ``check`` is given the ``with:`` when a project is validated
    and raises ValueError with what is wrong in it. ``reads_calendar``: the value of ``select`` hangs on the project's
    working time where the ``with:`` names no calendar, so all are asked again when a window has more or less of it.
    ``plugin``, ``version`` and ``hook`` are filled in by csflow.
    """

    compute: Callable[[Batch], Mapping[str, Any]] | None = None
    select: Callable[[Window], Select[Any]] | None = None
    empty: float | None = None
    reads_usage: bool = False
    reads_calendar: bool = False
    check: Callable[[Mapping[str, Any]], None] | None = None
    plugin: str = ""
    version: str = ""
    hook: str = "csflow_metrics"


@dataclass(frozen=True, slots=True)
class Function:
    """A function that guards and metrics may call by name: the same in Python and in SQL.

    ``takes`` and ``gives`` are names of types: number share money date time boolean text. ``python`` gets the values in
    stored form (a date is a day number, a time an instant in UTC microseconds, money minor units), none of them
    unknown: an unknown argument makes the result unknown. ``sql`` gets SQLAlchemy columns and must mean the same.
    """

    takes: tuple[str, ...]
    gives: str
    python: Callable[..., Any]
    sql: Callable[..., ColumnElement[Any]]


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who a message goes to: ``kind`` is person or contact; ``address`` says how to reach them, by notifier.

    ``role`` is the role that the rule names and this person fills, if it names one.
    """

    kind: str
    id: str
    name: str | None
    address: Mapping[str, str]
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message, ready to go. ``id`` is the same in every repeat, so that a receiver can drop those.

    ``at`` is the moment it is about, as ISO text; ``about`` the ids of the messages that a digest puts together.
    """

    id: str
    recipient: Recipient
    title: str
    text: str
    language: str
    at: str
    case: str
    flow: str
    subject: Mapping[str, str]
    about: tuple[str, ...] = ()


class RetryLater(Exception):  # noqa: N818  # what it says, not what went wrong
    """A notifier or effect could not do it now. ``after``: seconds that the other side asks to wait, if it does."""

    def __init__(self, reason: str, *, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class NotReady(RetryLater):
    """What it takes is missing here – a secret, a setting, a plugin: no try is counted, so nothing dies of it."""


class Undeliverable(Exception):  # noqa: N818
    """It will never work, however often it is tried: a wrong address, a refused message."""


Send = Callable[[Message], None]


@dataclass(frozen=True, slots=True)
class Notifier:
    """A way to hand out messages: ``open`` makes ready (a connection, say) and gives the function that sends one.

    Sending returns when the receiver has confirmed. It raises RetryLater, NotReady or Undeliverable; whatever
    else it raises counts as RetryLater. Secrets come from the environment only.

    ``receiver`` says what a message goes to (a host, say) where one way leads to many: when messages to one of them
    fail again and again, only what goes there too is held back. It is kept nowhere and told nobody.

    ``check`` raises ValueError, which says why, for an address that no message could go to: `validate` warns of it.

    ``ready`` raises NotReady where a secret or setting is missing that every message needs. It is asked before
    ``open``, and by a dry run, which opens nothing: so it connects to nobody.
    """

    open: Callable[[], AbstractContextManager[Send]]
    receiver: Callable[[Message], str] | None = None
    check: Callable[[str], None] | None = None
    ready: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """An effect ``uses:`` that is due: ``id`` is the same in every repeat, ``options`` are its ``with:``."""

    id: str
    name: str
    options: Mapping[str, Any]
    at: str
    case: str
    flow: str
    subject: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Moved:
    """A move that a pass has written, told to observers after the commit. ``at`` is ISO text."""

    case: str
    flow: str
    subject: Mapping[str, str]
    source: str
    target: str
    at: str


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page or report: a title, then a table. ``rows`` hold numbers, texts or None (unknown)."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str | None = None


def _by_its_name(flow: str, name: str | None = None) -> str:
    return flow if name is None else name


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a section is asked for: a read-only connection, the day, the language, and the section's ``with:``.

    ``called(flow)`` is what the project calls a flow in this language; ``called(flow, name)`` a deadline, a task or a
    stage of it, as the store names them. What has no label is called by its name.
    """

    connection: Connection
    today: int
    language: str
    options: Mapping[str, Any] = field(default_factory=dict)
    called: Callable[..., str] = _by_its_name


@hookspec
def csflow_metrics() -> Mapping[str, Provider | Callable[[Batch], Mapping[str, Any]]]:  # type: ignore[empty-body]
    """Name the metrics this plugin computes: ``{"shop/orders": function}``; a function is called in batches."""


@hookspec
def csflow_milestones() -> Mapping[str, Callable[[Batch], Mapping[str, bool | int | None]]]:  # type: ignore[empty-body]
    """Name the milestones this plugin decides: True, False or None (unknown) for each id, or the day it was reached."""


@hookspec
def csflow_functions() -> Mapping[str, Function]:  # type: ignore[empty-body]
    """Name the functions this plugin adds to the expressions of guards and metrics."""


@hookspec
def csflow_notifiers() -> Mapping[str, Notifier | Send]:  # type: ignore[empty-body]
    """Name the ways of handing out messages that ``via:`` and ``address:`` may name; a function sends one message."""


@hookspec
def csflow_effects() -> Mapping[str, Callable[[Call], None]]:  # type: ignore[empty-body]
    """Name what an effect ``uses:`` may do. It is done by `deliver`, at least once, and raises as a notifier does."""


@hookspec
def csflow_importers() -> Mapping[str, Callable[[Mapping[str, Any]], Iterable[Mapping[str, str | None]]]]:  # type: ignore[empty-body]
    """Name the readers that an import ``uses:``: given its ``with:``, each gives rows (column → text)."""


@hookspec
def csflow_sections() -> Mapping[str, Callable[[Sheet], Section]]:  # type: ignore[empty-body]
    """Name the sections that pages and reports may show."""


@hookspec
def csflow_packs() -> Mapping[str, Path]:  # type: ignore[empty-body]
    """Name the folders with flows that a project may extend: ``{"shop": folder with a csflow.yaml}``."""


@hookspec
def csflow_moved(moves: Sequence[Moved]) -> None:
    """Hear of moves after they were written, in batches. What it raises is told and changes nothing."""
