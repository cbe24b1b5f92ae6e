"""Expressions: read with Python's own parser through a whitelist, checked for names and types, never run as code.

``compile_expression`` gives an ``Expression`` whose ``node`` both back ends read. ``choose``, ``bands`` and ``weights``
make the other three ways to compute a metric from expressions.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import field
from typing import TYPE_CHECKING

from csflow.errors import ExpressionError
from csflow.flow import nodes as n
from csflow.flow.calls import CALLS
from csflow.flow.checking import Checker, as_condition
from csflow.flow.lookalikes import lookalike
from csflow.flow.names import Names, Scope
from csflow.flow.records import record
from csflow.flow.types import BOOLEAN, NUMBER, Fact, Type
from csflow.values import Length

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 2_000
LONGEST_TOLD = 80  # characters of an expression that cannot be read, in its error
_BREAK = re.compile(r"[\n\r\f\v]")
_SHARE_OR_TEXT = re.compile(r"""'[^']*'|"[^"]*"|(?P<share>\b\d+(?:\.\d+)?%)|(?P<imaginary>\b\d+(?:\.\d+)?[jJ]\b)""")


@record
class Expression:
    """A checked expression; ``text`` as it was written."""

    text: str
    node: n.Node
    _timed: list[bool] = field(default_factory=list, init=False)  # `timed`, once it was asked: a pass asks each hop

    @property
    def type(self) -> Type:
        """The type of its value."""
        return self.node.type

    @property
    def facts(self) -> tuple[Fact, ...]:
        """The facts it reads outside of any count, each once, as written; the inner ones stay in their aggregate."""
        return tuple(dict.fromkeys(_facts(self.node, inside=False)))

    @property
    def all_facts(self) -> tuple[Fact, ...]:
        """Every fact it depends on, those inside counts and watched conditions too."""
        return tuple(dict.fromkeys(_facts(self.node, inside=True)))

    @property
    def conditions(self) -> tuple[n.Condition, ...]:
        """The conditions that measure must keep watch on for it."""
        found = (x.condition for x in self.node.walk() if isinstance(x, n.Held | n.FirstTime))
        return tuple({condition.key: condition for condition in found}.values())

    @property
    def aggregates(self) -> tuple[n.Aggregate, ...]:
        """The counts and sums in it, as written."""
        return tuple(x for x in self.node.walk() if isinstance(x, n.Aggregate))

    @property
    def timed(self) -> bool:
        """Whether its value may change while no fact does: because the day, or the hour, did."""
        if not self._timed:
            self._timed.append(any(_timed(x) for x in self.node.walk()))
        return self._timed[0]


def _facts(node: n.Node, *, inside: bool) -> Iterable[Fact]:
    if isinstance(node, n.Read | n.Ago | n.Recorded):
        yield node.fact
    if isinstance(node, n.Held | n.FirstTime) and inside:
        yield from _facts(node.condition.node, inside=True)
    if not isinstance(node, n.Aggregate):
        for part in node.parts():
            yield from _facts(part, inside=inside)
        return
    for part in node.walk():
        if isinstance(part, n.Read | n.Recorded) and (inside or not part.fact.owner.startswith("each:")):
            yield part.fact


def _timed(node: n.Node) -> bool:
    if isinstance(node, n.Read | n.Recorded):
        late = node.fact.kind == "column" and node.fact.key == "overdue"  # a task is from its due time on
        return late or (node.fact.kind == "field" and node.fact.fresh is not None)
    if isinstance(node, n.Const):
        return node.currency is not None  # the rate is the day's
    return isinstance(node, n.Elapsed | n.Clockface | n.Held | n.Ago | n.Within)


def compile_expression(
    text: str, names: Names, *, subject: str, flow: str | None = None, use: str = "guard", expect: Type | None = None
) -> Expression:
    """Read and check an expression.

    ``use`` is ``guard``, ``opening``, ``metric`` or ``message``; ``expect`` the type it must have (a boolean for
    guards). Raises ExpressionError for the first problem, with the further ones in its ``also``.
    """
    tree = _parse(text)
    checker = Checker(text, Scope(names, subject=subject, flow=flow, use=use), CALLS)
    try:
        node = checker.check(tree)
        if expect is not None and expect.name == BOOLEAN.name and not checker.problems:
            node = as_condition(node)
        elif expect is not None and not checker.problems:
            node = checker.fit(node, expect)
        if not checker.problems:
            checker.finish(node)
    except ExpressionError as found:
        checker.problems.append((str(found), found.offset))
    if checker.problems:
        first, *rest = sorted(checker.problems, key=lambda problem: problem[1])
        error = ExpressionError(*first)
        error.also = rest
        raise error
    return Expression(text, node)


def _parse(text: str) -> ast.expr:
    if len(text) > LONGEST:
        raise ExpressionError(f"an expression has at most {LONGEST} characters, this one {len(text)}")
    if imaginary := next((m for m in _SHARE_OR_TEXT.finditer(text) if m["imaginary"]), None):
        raise ExpressionError(f"cannot read '{imaginary[0]}'", imaginary.start())
    if "#" in _SHARE_OR_TEXT.sub("", text):
        raise ExpressionError("# has no meaning in an expression", text.index("#"))
    # A share becomes an imaginary number of the same width: the language has no other use for one, positions stay.
    source = _SHARE_OR_TEXT.sub(lambda m: m[0][:-1] + "j" if m["share"] else m[0], _BREAK.sub(" ", text))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Python only warns of some of what is no number and no text
            return ast.parse(source.strip(), mode="eval").body
    except SyntaxError as error:
        raise ExpressionError(f"cannot read '{_line(text)}'{_hint(text, error)}") from None
    except (RecursionError, MemoryError, ValueError):
        raise ExpressionError(f"cannot read '{text[:40]}…': too deep or not text") from None


def _line(text: str) -> str:
    """What was written, as one line of an error."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_TOLD else line[:LONGEST_TOLD] + "…"


def _hint(text: str, error: SyntaxError) -> str:
    if (other := lookalike(text)) is not None:
        return f": {other[1]}"
    bare = re.sub(r"'[^']*'", "", text)
    turned = re.search(r"(?<![=!<>])=([<>])(?!=)", bare)
    if turned:
        return f" (write {turned[1]}=)"
    if re.search(r"(?<![=!<>])=(?!=)", bare):
        return " (use == to compare)"
    if "&&" in text or "||" in text:
        return " (write and, or, not)"
    if not text.strip():
        return ": an expression is missing"
    return f" at character {error.offset}" if error.offset and error.offset <= len(text) else ""


def conjunction(parts: Iterable[Expression]) -> Expression | None:
    """All of them, or None when there is none."""
    listed = list(parts)
    if len(listed) < 2:
        return listed[0] if listed else None
    text = " and ".join(f"({part.text})" for part in listed)
    return Expression(text, n.And(BOOLEAN, 0, tuple(part.node for part in listed)))


def _words(words: Iterable[str]) -> Type:
    return Type("choice", tuple(dict.fromkeys(words)))


def choose(pairs: list[tuple[str, Expression]], otherwise: str | None) -> Expression:
    """A metric that is the word of the first condition that holds; without ``otherwise`` unknown when none does."""
    kind = _words([word for word, _ in pairs] + ([otherwise] if otherwise is not None else []))
    arms = tuple((part.node, n.Const(kind, 0, word)) for word, part in pairs)
    text = "; ".join(f"{word}: {part.text}" for word, part in pairs)
    return Expression(text, n.Choose(kind, 0, arms, n.Const(kind, 0, otherwise)))


Band = tuple[str, float, bool]  # word, where it begins, whether it begins just above that


def bands(
    of: Expression, rows: list[tuple[float | Length | str | None, list[Band]]], by: Expression | None = None
) -> Expression:
    """A metric that cuts a number: each band begins at its value and ends where the next begins.

    ``rows``: (key, bands) – one row with key None without ``by``; else the key is a number or Length where the row
    begins, or a word that ``by`` equals. Below the first band or row: unknown. ``unknown`` may be a band's name.
    """
    kind = _words(word for _, row in rows for word, _, _ in row if word != "unknown")

    def one(row: list[Band]) -> n.Choose:
        arms: list[tuple[n.Node, n.Const]] = []
        for word, begins, above in reversed(row):
            guard = n.Compare(BOOLEAN, 0, ">" if above else ">=", of.node, n.Const(of.type, 0, float(begins)))
            arms.append((guard, n.Const(kind, 0, None if word == "unknown" else word)))
        return n.Choose(kind, 0, tuple(arms), n.Const(kind, 0, None))

    if by is None:
        return Expression(of.text, one(rows[0][1]))
    ordered = sorted(rows, key=lambda item: _rank(item[0]), reverse=True)
    made = tuple((_reached(by, key), one(row)) for key, row in ordered)
    return Expression(f"{of.text} by {by.text}", n.Rows(kind, 0, made))


def _rank(key: float | Length | str | None) -> float:
    if isinstance(key, Length):
        days = {"minutes": 1 / 1440, "hours": 1 / 24, "days": 1, "weeks": 7, "months": 30.4, "years": 365.2}
        return float(key.amount) * days.get(key.unit, 1)
    return float(key) if isinstance(key, int | float) else 0.0


def _reached(by: Expression, key: float | Length | str | None) -> n.Node:
    if isinstance(by.node, n.Span) and isinstance(key, Length):
        return n.Elapsed(BOOLEAN, 0, by.node.item, ">=", key, by.node.until)
    if isinstance(key, str):
        return n.Compare(BOOLEAN, 0, "==", by.node, n.Const(by.type, 0, key))
    if isinstance(key, int | float):
        return n.Compare(BOOLEAN, 0, ">=", by.node, n.Const(by.type, 0, float(key)))
    if isinstance(key, Length):
        raise ExpressionError(f"rows that begin at lengths need a by: that is since(…) or until(…), not '{by.text}'")
    raise ExpressionError("a row of bands begins at a number, a share or a length, or is a word of `by`")


Part = tuple[float, Expression]


def weights(
    groups: list[tuple[float, list[Part]]],
    points: dict[str, float],
    caps: list[tuple[float, Expression]],
    needs: float = 0.0,
) -> Expression:
    """A weighted mean of parts 0–100 (numbers, or words with ``points``); see ``nodes.Weighted``."""

    def part(expression: Expression) -> n.Node:
        if expression.type.name == "choice":
            missing = [word for word in expression.type.choices if word not in points]
            if missing:
                raise ExpressionError(f"'{expression.text}' may be '{missing[0]}', which has no points")
            return n.Points(NUMBER, 0, expression.node, tuple(points.items()))
        if expression.type.name not in ("number", "share"):
            raise ExpressionError(f"'{expression.text}' is a {expression.type}: a part is a number from 0 to 100")
        return expression.node

    made = tuple(
        (n.Const(NUMBER, 0, float(weight)), tuple((n.Const(NUMBER, 0, float(w)), part(e)) for w, e in parts))
        for weight, parts in groups
    )
    limits = tuple((n.Const(NUMBER, 0, float(value)), cap.node) for value, cap in caps)
    text = " + ".join(e.text for _, parts in groups for _, e in parts)
    return Expression(text, n.Weighted(NUMBER, 0, made, limits, needs))


__all__ = ["Expression", "bands", "choose", "compile_expression", "conjunction", "weights"]
