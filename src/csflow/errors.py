"""What csflow raises when something expected goes wrong: one line for people, data for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# What stands in the names of variables whose values are nobody's business.
SECRET_WORDS = ("SECRET", "TOK", "PASS", "KEY", "URL", "HOOK", "CRED", "AUTH", "PRIVATE", "SIGN")


class CsflowError(Exception):
    """Base of every expected failure; ``exit_code`` is what a command ends with (decisions: 1–7)."""

    exit_code = 6


class UsageError(CsflowError):
    """The call itself is wrong: an unknown name, a contradiction, a moment before the last pass."""

    exit_code = 2


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a definition: where it stands (line and column count from 1) and what to do."""

    file: str
    line: int
    column: int
    message: str
    warning: bool = False

    def __str__(self) -> str:
        """``file:line:column: message``, the form editors jump to; the message alone where no line is at fault."""
        if not self.line:
            return self.message
        return f"{self.file}:{self.line}:{self.column}: {'warning: ' if self.warning else ''}{self.message}"


class DefinitionError(CsflowError):
    """The YAML is wrong; carries every problem found, in file order."""

    exit_code = 3

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ExpressionError(CsflowError):
    """An expression cannot be read or does not fit; ``offset`` counts characters from its beginning."""

    exit_code = 3

    def __init__(self, message: str, offset: int = 0) -> None:
        self.offset = offset
        self.also: list[tuple[str, int]] = []  # further problems of the same expression: message, offset
        super().__init__(message)


class LockedError(CsflowError):
    """Another pass holds the project's lock."""

    exit_code = 4


class StoreError(CsflowError):
    """The database or a file cannot be used; nothing, or only whole chunks, were written."""

    exit_code = 6


class PluginError(CsflowError):
    """A plugin failed, and with it the whole of what was asked; names plugin and hook."""

    exit_code = 1


class RefusedError(CsflowError):
    """A trigger, move or task that the flow does not allow now; ``reason`` says which rule said no."""

    exit_code = 2


def without_secrets(text: str, environment: Mapping[str, str]) -> str:
    """The text without a value of the environment that is nobody's business: ``$NAME`` stands in its place.

    Which those are follows from their names; a value of fewer than five characters is taken for none.
    """
    hidden: dict[str, str] = {}
    for name, value in environment.items():
        if len(value) < 5 or not any(word in name.upper() for word in SECRET_WORDS):
            continue
        hidden[value] = f"${name}"
        login, at, _ = value.partition("://")[2].rpartition("@")
        if at:
            hidden |= {part: f"${name}" for part in (login, login.partition(":")[2]) if len(part) > 2}
    for value in sorted(hidden, key=len, reverse=True):  # the longest first: one may be part of another
        text = text.replace(value, hidden[value])
    return text
