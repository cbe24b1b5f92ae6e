"""A checked expression back in words: what people wrote, or would have to write, for any part of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from csflow.flow import nodes as n
from csflow.values import Length, day_text, minor_digits

if TYPE_CHECKING:
    from collections.abc import Callable

# How tightly a part holds together: a looser one inside a tighter one stands in brackets.
_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _ATOM = range(7)


def text_of(node: n.Node, currency: str) -> str:
    """The expression that means this node; reading it again gives the same node.

    ``currency`` is the project's, whose minor units amounts are kept in. The words of a metric (`choose`, `bands`,
    `weights`) have no expression and become ``…``.
    """
    return _write(node, currency)[0]


def length_call(length: Length) -> str:
    """A length as expressions spell it: ``months(3)``."""
    return f"{length.unit}({length.amount:.12g})"


def _write(node: n.Node, currency: str) -> tuple[str, int]:
    maker = _MAKERS.get(type(node))
    return maker(node, currency) if maker is not None else ("…", _ATOM)


def _inside(node: n.Node, currency: str, least: int) -> str:
    text, tightness = _write(node, currency)
    return text if tightness >= least else f"({text})"


def _const(node: n.Const, currency: str) -> tuple[str, int]:
    value = node.value
    if isinstance(value, Length):
        return length_call(value), _ATOM
    if isinstance(value, bool) or node.type.name == "boolean":
        return str(bool(value)).lower(), _ATOM
    if isinstance(value, str):
        mark = '"' if "'" in value else "'"
        return f"{mark}{value}{mark}", _ATOM
    if node.type.name == "date" and value is not None:
        return f"'{day_text(int(value))}'", _ATOM
    if node.type.name == "money" and value is not None:
        amount = float(value) / 10 ** minor_digits(node.currency or currency)
        return f"money({_number(amount)}, '{node.currency}')" if node.currency else f"money({_number(amount)})", _ATOM
    if node.type.name == "share" and value is not None:
        return f"{_number(float(value) * 100)}%", _ATOM
    return "unknown" if value is None else _number(float(value)), _ATOM


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else f"{value:.12g}"


def _joined(word: str, own: int) -> Callable[[Any, str], tuple[str, int]]:
    def write(node: n.And | n.Or, currency: str) -> tuple[str, int]:
        return f" {word} ".join(_inside(item, currency, own + 1) for item in node.items), own

    return write


def _not(node: n.Not, currency: str) -> tuple[str, int]:
    return f"not {_inside(node.item, currency, _NOT)}", _NOT


def _compare(node: n.Compare, currency: str) -> tuple[str, int]:
    left, right = (_inside(side, currency, _SUM) for side in (node.left, node.right))
    return f"{left} {node.op} {right}", _COMPARE


def _elapsed(node: n.Elapsed, currency: str) -> tuple[str, int]:
    word = "until" if node.until else "since"
    return f"{word}({_inside(node.item, currency, 0)}) {node.op} {length_call(node.length)}", _COMPARE


def _one_of(node: n.OneOf, currency: str) -> tuple[str, int]:
    words = ", ".join(_inside(value, currency, 0) for value in node.values)
    comma = "," if len(node.values) == 1 else ""
    return f"{_inside(node.item, currency, _SUM)} {'not in' if node.negated else 'in'} ({words}{comma})", _COMPARE


def _within(node: n.Within, currency: str) -> tuple[str, int]:
    item = _inside(node.item, currency, _SUM)
    shifted = f"{item} + {length_call(node.shift)}" if node.shift is not None else item
    return f"{shifted} {'not in' if node.negated else 'in'} period", _COMPARE


def _is_known(node: n.IsKnown, currency: str) -> tuple[str, int]:
    return f"{_inside(node.item, currency, _SUM)} is {'known' if node.known else 'unknown'}", _COMPARE


def _arithmetic(node: n.Arithmetic, currency: str) -> tuple[str, int]:
    own = _SUM if node.op in "+-" else _PRODUCT
    return f"{_inside(node.left, currency, own)} {node.op} {_inside(node.right, currency, own + 1)}", own


def _shift(node: n.Shift, currency: str) -> tuple[str, int]:
    return f"{_inside(node.item, currency, _SUM)} {'-' if node.minus else '+'} {length_call(node.length)}", _SUM


def _call(name: str, *parts: str) -> Callable[[Any, str], tuple[str, int]]:
    def write(node: n.Node, currency: str) -> tuple[str, int]:
        return f"{name}({', '.join(_inside(getattr(node, part), currency, 0) for part in parts)})", _ATOM

    return write


def _aggregate(node: n.Aggregate, currency: str) -> tuple[str, int]:
    rest = [_inside(part, currency, 0) for part in (node.value, node.cond) if part is not None]
    return f"{node.fn}({', '.join([node.thing, *rest])})", _ATOM


def _extreme(node: n.Extreme, currency: str) -> tuple[str, int]:
    items = ", ".join(_inside(item, currency, 0) for item in node.items)
    return f"{'max' if node.largest else 'min'}({items})", _ATOM


def _outside(node: n.Call, currency: str) -> tuple[str, int]:
    return f"{node.outside.name}({', '.join(_inside(item, currency, 0) for item in node.items)})", _ATOM


def _span(node: n.Span, currency: str) -> tuple[str, int]:
    return f"{'until' if node.until else 'since'}({_inside(node.item, currency, 0)})", _ATOM


def _watched(condition: n.Condition) -> str:
    return condition.key.partition(": ")[2]


_MAKERS: dict[type[n.Node], Callable[[Any, str], tuple[str, int]]] = {
    n.Const: _const,
    n.Read: lambda node, _currency: (node.fact.name, _ATOM),
    n.Clockface: lambda node, _currency: ("today" if node.type.name == "date" else "now", _ATOM),
    n.Not: _not,
    n.And: _joined("and", _AND),
    n.Or: _joined("or", _OR),
    n.Compare: _compare,
    n.Elapsed: _elapsed,
    n.OneOf: _one_of,
    n.Within: _within,
    n.IsKnown: _is_known,
    n.Arithmetic: _arithmetic,
    n.Shift: _shift,
    n.Span: _span,
    n.DaysBetween: _call("days_between", "start", "end"),
    n.Default: _call("default", "item", "fallback"),
    n.Quarter: _call("quarter", "item"),
    n.Call: _outside,
    n.Extreme: _extreme,
    n.Aggregate: _aggregate,
    n.Held: lambda node, _currency: (f"has_been({_watched(node.condition)}, {length_call(node.length)})", _ATOM),
    n.FirstTime: lambda node, _currency: (f"first_time({_watched(node.condition)})", _ATOM),
    n.Ago: lambda node, _currency: (f"ago({node.fact.name}, {length_call(node.length)})", _ATOM),
    n.Recorded: lambda node, _currency: (f"recorded({node.fact.name})", _ATOM),
}

__all__ = ["length_call", "text_of"]
