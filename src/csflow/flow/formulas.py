"""Computed columns of a mapping: `=price * seats` becomes a function of the cells it names."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from csflow import values

if TYPE_CHECKING:
    from collections.abc import Callable

Cell = str | float | None
LONGEST = 2000  # characters of a formula
DEEPEST = 30
DIGITS = 12  # 0.1 + 0.2 is written 0.3


@dataclass(frozen=True, slots=True)
class Formula:
    """A computed column: the columns it reads, in order, and what it makes of their cells (text in, text out)."""

    columns: tuple[str, ...]
    compute: Callable[..., str]


def compile_formula(text: str, known: tuple[str, ...] | None) -> Formula:
    """Read a formula (without its `=`) over the columns ``known``; None: any column, of a file that is not there yet.

    It may hold names of columns (``column('With Blanks')`` for others), numbers, quoted text, ``+ - * /``, brackets,
    ``default(x, y)`` and ``days_between(a, b)``. ``+`` joins when a side is no number. An empty cell makes
    the result empty. Raises ValueError with one line that says what is wrong.
    """
    if len(text) > LONGEST:
        raise ValueError(f"a formula has at most {LONGEST} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"'{text}' cannot be read: write columns, numbers, 'text', + - * / and brackets") from None
    columns: dict[str, int] = {}
    function = _compile(tree, known, columns, 0)
    return Formula(tuple(columns), lambda *cells: _text(function(cells)))


def _compile(
    tree: ast.AST, known: tuple[str, ...] | None, columns: dict[str, int], depth: int
) -> Callable[[tuple[str, ...]], Cell]:
    if depth > DEEPEST:
        raise ValueError(f"a formula is nested at most {DEEPEST} deep")
    if (
        isinstance(tree, ast.Constant)
        and isinstance(tree.value, (str, int, float))
        and not isinstance(tree.value, bool)
    ):
        constant = tree.value
        return lambda _cells: constant
    if isinstance(tree, ast.Name):
        return _column(tree.id, known, columns)
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        inner = _compile(tree.operand, known, columns, depth + 1)
        return lambda cells: _negative(inner(cells))
    if isinstance(tree, ast.BinOp):
        work = _OPERATORS.get(type(tree.op))
        if work is not None:
            left = _compile(tree.left, known, columns, depth + 1)
            right = _compile(tree.right, known, columns, depth + 1)
            return lambda cells: work(left(cells), right(cells))
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and not tree.keywords:
        return _call(tree.func.id, tree.args, known, columns, depth)
    raise ValueError("a formula has columns, numbers, 'text', + - * /, brackets, default(x, y) and days_between(a, b)")


def _call(
    name: str, arguments: list[ast.expr], known: tuple[str, ...] | None, columns: dict[str, int], depth: int
) -> Callable[[tuple[str, ...]], Cell]:
    if name == "column" and len(arguments) == 1 and isinstance(arguments[0], ast.Constant):
        return _column(str(arguments[0].value), known, columns)
    work = {"default": _default, "days_between": _days_between}.get(name)
    if work is None or len(arguments) != 2:
        given = values.counted(len(arguments), "value")
        raise ValueError(f"no {name}(…) with {given}: there are default(x, y), days_between(a, b), column('x')")
    first, second = (_compile(argument, known, columns, depth + 1) for argument in arguments)
    return lambda cells: work(first(cells), second(cells))


def _column(name: str, known: tuple[str, ...] | None, columns: dict[str, int]) -> Callable[[tuple[str, ...]], Cell]:
    if known is not None and name not in known:
        raise ValueError(f"the file has no column '{name}'")
    place = columns.setdefault(name, len(columns))
    return lambda cells: cells[place].strip() or None


def _number(cell: Cell) -> float | None:
    if cell is None or isinstance(cell, (int, float)):
        return cell
    try:
        found = float(cell)
    except ValueError:
        raise ValueError(f"'{cell}' is not a number") from None
    if not math.isfinite(found) or "_" in cell:
        raise ValueError(f"'{cell}' is not a number")
    return found


def _add(left: Cell, right: Cell) -> Cell:
    if left is None or right is None:
        return None
    try:
        first, second = _number(left), _number(right)
    except ValueError:
        return _text(left) + _text(right)
    return None if first is None or second is None else first + second


def _arithmetic(work: Callable[[float, float], float | None]) -> Callable[[Cell, Cell], Cell]:
    def apply(left: Cell, right: Cell) -> Cell:
        first, second = _number(left), _number(right)
        return None if first is None or second is None else work(first, second)

    return apply


_OPERATORS: dict[type[ast.operator], Callable[[Cell, Cell], Cell]] = {
    ast.Add: _add,
    ast.Sub: _arithmetic(lambda a, b: a - b),
    ast.Mult: _arithmetic(lambda a, b: a * b),
    ast.Div: _arithmetic(lambda a, b: a / b if b else None),
}


def _negative(cell: Cell) -> Cell:
    number = _number(cell)
    return None if number is None else -number


def _default(first: Cell, second: Cell) -> Cell:
    return second if first is None else first


def _days_between(first: Cell, second: Cell) -> Cell:
    if first is None or second is None:
        return None
    return values.day(str(second)[:10]) - values.day(str(first)[:10])


def _text(cell: Cell) -> str:
    """A cell as it would stand in the file."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        rounded = round(cell, DIGITS)
        return str(int(rounded)) if rounded == int(rounded) else repr(rounded)
    return str(cell)
