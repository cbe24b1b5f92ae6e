"""The place where definitions are built: the names that hold, and the problems found so far, by path."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from csflow.errors import ExpressionError
from csflow.flow.expressions import Expression, compile_expression
from csflow.flow.names import Names, Scope, nearest
from csflow.flow.records import record
from csflow.flow.types import BOOLEAN, Fact, Importables, Type
from csflow.values import Length, day, parse_length, parse_money, parse_share

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from csflow.flow.calendars import Calendar
    from csflow.flow.definition import Label, Metric

Path = tuple[str | int, ...]
Tree = dict[str, Any]
T = TypeVar("T")
Checks = Mapping[str, Callable[[dict[str, Any]], str | None]]  # name of `uses:` → what is wrong with its `with:`
MAX_PROBLEMS = 200
OWN = "csflow/"  # what the names of everything that csflow itself computes begin with


@record
class Found:
    """A problem at a path of the merged tree; ``offset`` counts characters of the scalar that stands there.

    ``follows``: it may only follow from another mistake in the form of its flow, and is then not told. ``lacks``: the
    languages that a label is not there in.
    """

    path: Path
    message: str
    offset: int = 0
    on_key: bool = False
    warning: bool = False
    follows: bool = False
    lacks: tuple[str, ...] = ()


class TooManyError(Exception):
    """So many problems that looking for more is a waste of time."""


@dataclass(slots=True)
class Site:
    """What the builders of all parts share: names to look up, problems to add to."""

    tree: Tree
    names: Names
    provided: frozenset[str]
    checks: Checks = field(default_factory=dict)
    importables: Importables = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)
    errors: int = 0
    conditions: dict[str, Any] = field(default_factory=dict)
    calendars: dict[str, Calendar] = field(default_factory=dict)
    computed: dict[str, Metric] = field(default_factory=dict)  # what plugins decide of milestones, by `flow/milestone`
    message_uses: dict[str, list[tuple[str, str]]] = field(
        default_factory=dict
    )  # message → (subject, flow) that send it

    def wrong(self, path: Path, message: str, *, offset: int = 0, on_key: bool = False, warning: bool = False) -> None:
        """Note a problem and go on."""
        self.found.append(Found(path, message, offset, on_key, warning))
        self.errors += not warning
        if self.errors > MAX_PROBLEMS:
            raise TooManyError

    def expression(
        self, path: Path, text: Any, *, subject: str, flow: str | None = None, use: str = "guard",
        expect: Type | None = None, shift: int = 0,
    ) -> Expression | None:  # fmt: skip
        """The compiled expression; None, and noted problems, where it is wrong."""
        written = expression_text(text)
        if shift:
            written = written[shift:]
            shift += len(written) - len(written.lstrip())
            written = written.lstrip()
        try:
            made = compile_expression(written, self.names, subject=subject, flow=flow, use=use, expect=expect)
        except ExpressionError as error:
            self.wrong(path, str(error), offset=error.offset + shift)
            for message, offset in getattr(error, "also", ()):
                self.wrong(path, message, offset=offset + shift)
            return None
        for condition in made.conditions:
            self.conditions[condition.key] = condition
        return made

    def guard(self, path: Path, text: Any, *, subject: str, flow: str | None, use: str = "guard") -> Expression | None:
        """A condition, or None where none is written."""
        if text is None:
            return None
        return self.expression(path, text, subject=subject, flow=flow, use=use, expect=BOOLEAN)

    def fact(self, path: Path, name: str, *, subject: str = "customer", flow: str | None = None) -> Fact | None:
        """The fact of that name, noted at the key of the path where there is none."""
        try:
            return Scope(self.names, subject=subject, flow=flow, use="guard").resolve(name)
        except ExpressionError as error:
            self.wrong(path, str(error), on_key=True)
            return None

    def uses(self, path: Path, written: Tree, what: str) -> str:
        """What a ``uses:`` calls: a warning where nothing provides it, an error where its ``with:`` is wrong."""
        name = str(written["uses"])
        if name not in self.provided:
            self._unprovided((*path, "uses"), name, what)
        reason = self.checks[name](dict(written.get("with") or {})) if name in self.checks else None
        if reason is not None:
            self.wrong((*path, "with") if written.get("with") else (*path, "uses"), f"{name}: {reason}")
        return name

    def _unprovided(self, path: Path, name: str, what: str) -> None:
        own = sorted(word.removeprefix(OWN) for word in self.provided if word.startswith(OWN))
        if own and name.startswith(OWN):  # nobody else will ever provide it
            near = nearest(name.removeprefix(OWN), own)
            self.wrong(path, f"there is no '{name}'{near or ': after csflow/ stands ' + ', '.join(own)}")
            return
        near = nearest(name, self.provided)
        self.wrong(path, f"nothing provides '{name}', so this {what} stays unknown{near}", warning=True)

    def given(self, path: Path, written: Tree, subject: str) -> tuple[Fact, ...]:
        """The facts that ``with: {reads: [contact.post]}`` of a ``uses:`` names."""
        found = []
        names = (written.get("with") or {}).get("reads")
        for place, name in enumerate(listed(names)):
            try:
                found.append(Scope(self.names, subject=subject, flow=None, use="metric").resolve(name))
            except ExpressionError as error:
                self.wrong((*path, "with", "reads", *([place] if isinstance(names, list) else [])), str(error))
        return tuple(found)

    def via(self, path: Path, name: str | None) -> str | None:
        """The way a message goes out by: a warning where nothing provides it."""
        if name is not None and name not in self.provided:
            near = nearest(name, self.provided)
            self.wrong(path, f"nothing provides '{name}', so this message waits in the outbox{near}", warning=True)
        return name

    def window(self, path: Path, written: Tree, subject: str) -> None:
        """Note a ``with: {window: ...}`` of a ``uses:`` that is no span of whole days."""
        text = (written.get("with") or {}).get("window")
        if text is None or subject != "customer":
            return
        path = (*path, "with", "window")
        length = self.parsed(path, parse_length, text)
        if length is not None and length.amount <= 0:
            self.wrong(path, f"'{text}' is no time at all: nothing would ever be seen in such a window")
        elif length is not None and not length.calendar:
            unit = length.unit.replace("_", " ")
            self.wrong(path, f"a window is counted in days, weeks, months or years, not in {unit}")

    def calendar(self, path: Path, written: Tree) -> None:
        """Note a ``with: {calendar: ...}`` of something of csflow's that names none: it would stay unknown."""
        name = (written.get("with") or {}).get("calendar")
        if name is not None and str(written["uses"]).startswith(OWN):
            self.chosen((*path, "with", "calendar"), name, self.tree.get("calendars") or (), "calendar")

    def length(self, path: Path, text: Any) -> Length | None:
        """A length; None where none is written or it is wrong."""
        return None if text is None else self.parsed(path, parse_length, text)

    def pause(self, path: Path, text: Any, *, dates: bool = False) -> Length | None:
        """The length after which something happens again, noted where nothing could come of it.

        ``dates``: it is counted in days and what is longer only.
        """
        length = self.length(path, text)
        if length is None:
            return None
        if length.amount <= 0:
            self.wrong(path, f"'{text}' is no time at all: something that happens again needs a pause of more than 0")
        elif length.working:
            self.wrong(path, f"'{text}': every: does not count in working time; write '1 day' or '2 weeks'")
        elif dates and not length.calendar:
            self.wrong(path, f"'{text}': every: counts in days, weeks, months or years here")
        else:
            return length
        return None

    def parsed(self, path: Path, parse: Callable[[str], T], text: Any) -> T | None:
        """What a parser of one-line texts makes of it; its ValueError is noted."""
        try:
            return parse(str(text))
        except ValueError as error:
            self.wrong(path, str(error))
            return None

    def chosen(self, path: Path, word: Any, words: Iterable[str], what: str, *, on_key: bool = False) -> bool:
        """Whether the word is one of the words; noted, with the nearest, where it is not."""
        listed = list(words)
        if str(word) in listed:
            return True
        self.wrong(path, f"no {what} '{word}'{nearest(str(word), listed)}", on_key=on_key)
        return False

    def name(self, path: Path, word: str, what: str, *, on_key: bool = True) -> None:
        """A name that expressions can read: every word of it an identifier, none a word of Python."""
        thing = f"{'an' if what[0] in 'aeiou' else 'a'} {what}"
        for part in word.split("."):
            if keyword.iskeyword(part):
                self.wrong(path, f"'{part}' cannot be the name of {thing}: no expression could read it", on_key=on_key)
            elif not part.isidentifier():
                message = f"'{word}' cannot be the name of {thing}: use letters, digits and _"
                self.wrong(path, message, on_key=on_key)
                return

    def value(self, path: Path, value: Any, kind: Type) -> Any:
        """A constant as the store holds it, checked against the type; None, and a noted problem, where it is wrong."""
        try:
            return constant(value, kind, self.names.currency)
        except ValueError as error:
            self.wrong(path, str(error))
            return None

    def setting(self, path: Path, value: Any, kind: Type, *, subject: str, flow: str | None, use: str = "guard") -> Any:
        """A constant, or what ``=`` computes as an Expression."""
        if isinstance(value, str) and value.startswith("="):
            return self.expression(path, value, subject=subject, flow=flow, use=use, expect=kind, shift=1)
        return self.value(path, value, kind)

    def labels(self, path: Path, label: Any) -> Label:
        """A label by language, the project's languages first; with ``languages:`` a missing one is a warning."""
        if label is None:
            return {}
        if not isinstance(label, dict):
            return {"": str(label)}
        missing = tuple(language for language in listed(self.tree.get("languages")) if language not in label)
        if missing:
            self.found.append(Found(path, f"no label in {', '.join(missing)}", warning=True, lacks=missing))
        return {language: str(text) for language, text in self.in_order(label).items()}

    def in_order(self, label: Mapping[str, T]) -> dict[str, T]:
        """A label, the project's languages first: the first that is there is read instead of one that is not."""
        own = [language for language in listed(self.tree.get("languages")) if language in label]
        return {language: label[language] for language in dict.fromkeys([*own, *label])}


def expression_text(value: Any) -> str:
    """A scalar of YAML as expression text: ``true`` and numbers, too."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else f"{value!r}"


def section(tree: Tree, *keys: str) -> Iterator[tuple[str, Any]]:
    """Name and content of what a mapping of the tree holds; nothing where it is not there."""
    for key in keys:
        tree = tree.get(key) or {}
    return iter(tree.items())


def ancestors(tree: Tree, name: str) -> list[str]:
    """The flows that this one is a variant of, the nearest first; none for a flow that stands for itself."""
    flows, above = tree.get("flows") or {}, []
    while (name := flows.get(name, {}).get("extends")) in flows and name not in above:
        above.append(name)
    return above


def listed(value: Any) -> tuple[str, ...]:
    """One word or a list of words, as words."""
    if value is None:
        return ()
    return tuple(str(word) for word in value) if isinstance(value, list) else (str(value),)


def constant(value: Any, kind: Type, currency: str) -> Any:
    """A value of YAML as the store holds it (days and minor units as int, shares as float, yes/no as bool).

    ValueError, in one line, where it does not fit the type.
    """
    name, text = kind.name, str(value)
    if name == "boolean":
        if not isinstance(value, bool):
            raise ValueError(f"expected true or false, found '{text}'")
        return value
    if isinstance(value, (bool, dict, list)) and name != "choices":
        raise ValueError(f"expected a {name}, found {'true/false' if isinstance(value, bool) else 'several values'}")
    return _readers(currency, kind)[name](text, value) if name in _KNOWN else text


_KNOWN = ("number", "share", "money", "date", "time", "length", "choice", "choices")


def _readers(currency: str, kind: Type) -> dict[str, Callable[[str, Any], Any]]:
    return {
        "number": lambda _text, value: _number(value),
        "share": lambda text, _value: parse_share(text),
        "money": lambda text, _value: own_amount(text, currency),
        "date": lambda text, _value: day(text),
        "time": lambda text, _value: text,
        "length": lambda text, _value: parse_length(text),
        "choice": lambda text, _value: _choice(text, kind),
        "choices": lambda _text, value: [_choice(word, kind) for word in listed(value)],
    }


def _number(value: Any) -> float:
    if isinstance(value, str):
        raise ValueError(f"expected a number, found '{value}'")  # noqa: TRY004  # every wrong value is a ValueError here
    return float(value)


def own_amount(text: str, currency: str) -> int:
    """Minor units of an amount in the project's currency; ValueError where it is in another one."""
    money = parse_money(text, currency)
    if money.currency != currency:
        raise ValueError(f"'{text}' is not in the project's currency {currency}")
    return money.minor


def _choice(word: str, kind: Type) -> str:
    if kind.choices and word not in kind.choices:
        raise ValueError(f"'{word}' is none of {', '.join(kind.choices[:12])}{nearest(word, kind.choices)}")
    return word


__all__ = [
    "Found",
    "Path",
    "Site",
    "Tree",
    "ancestors",
    "constant",
    "expression_text",
    "listed",
    "own_amount",
    "section",
]
