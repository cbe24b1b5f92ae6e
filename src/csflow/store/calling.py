"""Functions of plugins in statements: each is marked in the SQL, so that a statement that fails says what it called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, literal_column
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from csflow.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from csflow.flow.types import Outside

MARK = "/*csflow:"  # begins a comment that no other part of a statement has: values and names are never in its text
FUNCTIONS = "csflow_functions"  # the hook that brings them
PLACES = 3  # that are told of one failure
LONGEST = 300  # characters of what a database says
_CALLS = re.compile(r"/\*csflow:(\w+) (.*?)\*/")
_UNSAFE = re.compile(r"[*%\x00-\x1f\x7f]")  # what would end a comment, be a parameter, or break the line

Calls = tuple[tuple[str, str], ...]  # (plugin, function), each once


class CallError(PluginError):
    """A statement that calls functions of plugins (``calls``) failed by itself; ``reason`` in one line."""

    def __init__(self, calls: Calls, reason: str) -> None:
        self.calls, self.reason = calls, reason
        named = " or ".join(f"{plugin}: {FUNCTIONS}: {names}" for plugin, names in self._named())
        super().__init__(f"{named}: {reason}")

    def _named(self) -> Iterable[tuple[str, str]]:
        for plugin in dict.fromkeys(plugin for plugin, _ in self.calls):
            yield plugin, " or ".join(name for one, name in self.calls if one == plugin)

    def lines(self) -> Iterable[tuple[str, str]]:
        """What is told of each plugin that may have done it: its name, and the functions with the reason."""
        return [(plugin, f"{names}: {self.reason}") for plugin, names in self._named()]


def told(found: Iterable[tuple[CallError, str]]) -> list[dict[str, str]]:
    """Failures with where each was asked, as a pass tells those of plugins: one entry for each plugin and reason."""
    places: dict[tuple[str, str], dict[str, None]] = {}
    for error, place in found:
        for line in error.lines():
            places.setdefault(line, {})[place] = None
    return [
        {"plugin": plugin, "hook": FUNCTIONS, "error": f"{line}; asked in {_listed(list(there))}"}
        for (plugin, line), there in places.items()
    ]


def _listed(places: Sequence[str]) -> str:
    more = f" and {len(places) - PLACES} more" if len(places) > PLACES else ""
    return ", ".join(places[:PLACES]) + more


def calls_in(text: str | None) -> Calls:
    """The functions of plugins that a statement's text calls."""
    if not text or MARK not in text:
        return ()
    return tuple(dict.fromkeys((plugin, name) for name, plugin in _CALLS.findall(text)))


def call_error(calls: Calls, error: BaseException) -> CallError:
    """What to tell of a statement with these calls that failed."""
    return CallError(calls, reason_of(error))


def reason_of(error: BaseException) -> str:
    """Its kind and what it says in one line; of a database's error what that says, without the statement."""
    told_by = getattr(error, "orig", None) or error
    said = " ".join(str(told_by).split())[:LONGEST]
    return f"{type(told_by).__name__}: {said}" if said else type(told_by).__name__


class Called(FunctionElement[Any]):
    """What a plugin's function makes of its columns, with a comment that says which function of which plugin."""

    inherit_cache = True
    name = "called"

    def __init__(self, outside: Outside, made: ColumnElement[Any]) -> None:
        self.type = made.type
        mark = f"{MARK}{outside.name} {_UNSAFE.sub('_', outside.plugin)}*/"
        super().__init__(literal_column(mark), made)


@compiles(Called)
def _marked(element: Called, compiler: Any, **options: Any) -> str:
    mark, made = element.clauses
    text = compiler.process(mark, **options)
    try:
        return f"({text} {compiler.process(made, **options)})"
    except CompileError as error:  # SQL of another database, say
        raise call_error(calls_in(text), error) from error
