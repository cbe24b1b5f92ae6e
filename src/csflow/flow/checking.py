"""From Python's syntax tree to checked nodes: the whitelist of the language and its rules of types."""

from __future__ import annotations

import ast
from collections.abc import Callable
from decimal import Decimal

from csflow.errors import ExpressionError
from csflow.flow import nodes as n
from csflow.flow.names import Scope, nearest, nearest_fact
from csflow.flow.types import BOOLEAN, DATE, LENGTH, MONEY, NUMBER, NUMBERS, SHARE, TEXT, TIME, WORDS, Outside, Type
from csflow.values import Length, day, to_minor

ANY = Type("?")  # the type of what was wrong already: fits everything, so that one mistake is told once
OPERATORS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
SIGNS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
LARGEST = 1e15
DEEPEST = 60
MOST_PRODUCTS = 8  # of facts up to 10^15: so none can leave the range of a double, where PostgreSQL raises
DEEPEST_EXTREMES = 4  # each level of min() and max() doubles the SQL
SPELLED = {
    "Mod": "%", "Pow": "**", "FloorDiv": "//", "IfExp": "if", "Subscript": "[ ]", "Is": "is", "MatMult": "@",
    "Tuple": "a comma (decimals are written with a point: 1.5)",
}  # fmt: skip

Handler = Callable[["Checker", ast.Call], n.Node]


def as_condition(node: n.Node) -> n.Node:
    """The node, if it is a yes/no; a date (of a milestone, say) is not one."""
    if node.type.name in (BOOLEAN.name, ANY.name):
        return node
    hint = ": write `… is known`" if node.type.name in (DATE.name, TIME.name) else ""
    raise ExpressionError(f"a condition is needed here, this is a {node.type}{hint}", node.at)


class Checker:
    """Checks one expression; ``problems`` collects what can be told beside the first error."""

    def __init__(self, text: str, scope: Scope, calls: dict[str, Handler]) -> None:
        self.text, self.scope, self.calls = text, scope, calls
        self.each: str | None = None
        self.watching = False
        self.products = 0
        self.depth = 0
        self.problems: list[tuple[str, int]] = []
        self._indent = len(text) - len(text.lstrip())
        self._bytes = None if text.isascii() else text.lstrip().encode()

    def at(self, tree: ast.expr) -> int:
        """Offset in characters (Python counts bytes)."""
        offset = tree.col_offset
        return self._indent + (offset if self._bytes is None else len(self._bytes[:offset].decode(errors="ignore")))

    def check(self, tree: ast.expr) -> n.Node:
        """The checked node of a syntax tree."""
        method = getattr(self, f"_{type(tree).__name__.lower()}", None)
        if method is None:
            word = type(tree).__name__
            raise ExpressionError(f"{SPELLED.get(word, word)} is not in the language", self.at(tree))
        if self.depth >= DEEPEST:
            raise ExpressionError(f"nested deeper than {DEEPEST} levels", self.at(tree))
        self.depth += 1
        try:
            node: n.Node = method(tree)
        finally:
            self.depth -= 1
        return node

    def condition(self, tree: ast.expr) -> n.Node:
        """The checked node, which must be a condition."""
        return as_condition(self.check(tree))

    def wrong(self, message: str, at: int) -> n.Node:
        """Remember a problem and go on with a node that fits everywhere."""
        self.problems.append((message, at))
        return n.Const(ANY, at, None)

    def _constant(self, tree: ast.Constant) -> n.Node:
        at, value = self.at(tree), tree.value
        if isinstance(value, complex):
            return n.Const(SHARE, at, float(Decimal(repr(value.imag)) / 100))
        if isinstance(value, str):
            if not value.isprintable():  # no database takes NUL or half a surrogate pair
                raise ExpressionError("a text holds characters that can be printed", at)
            return n.Const(TEXT, at, value)
        if isinstance(value, bool) or value is None:
            raise ExpressionError(f"write {str(value).lower() if value is not None else 'is unknown'}", at)
        if isinstance(value, int | float):
            if abs(value) > LARGEST:
                raise ExpressionError("a number is at most 10^15", at)
            return n.Const(NUMBER, at, float(value))
        raise ExpressionError(f"{type(value).__name__} is not in the language", at)

    def _name(self, tree: ast.Name) -> n.Node:
        at = self.at(tree)
        if tree.id in ("true", "false"):
            return n.Const(BOOLEAN, at, tree.id == "true")
        if tree.id in ("today", "now"):
            return n.Clockface(DATE if tree.id == "today" else TIME, at)
        if tree.id == "clock" and self.scope.flow is not None:
            return n.Read(DATE, at, self.scope.resolve("case.clock"))
        if tree.id == "period":
            raise ExpressionError("`period` stands after `in`: write `contract.ends_on in period`", at)
        words = ("today", "now", "true", "false", *(("clock",) if self.scope.flow is not None else ()))
        known = nearest(tree.id, words)
        return self.wrong(f"'{tree.id}' is not a fact: a name has a dot, a text stands in quotes{known}", at)

    def _attribute(self, tree: ast.Attribute) -> n.Node:
        words: list[str] = []
        inner: ast.expr = tree
        while isinstance(inner, ast.Attribute):
            words.append(inner.attr)
            inner = inner.value
        at = self.at(tree)
        if not isinstance(inner, ast.Name):
            raise ExpressionError(f"{type(inner).__name__} before a dot is not in the language", at)
        name = ".".join([inner.id, *reversed(words)])
        if inner.id == "vars":
            return self._variable(name.removeprefix("vars."), at)
        try:
            fact = self.scope.resolve(name, self.each)
        except ExpressionError as error:
            return self.wrong(str(error), at)
        if self.watching and (fact.kind not in ("metric", "field") or fact.owner == "case" or ":" in fact.owner):
            raise ExpressionError(f"'{name}' is not stored: only metrics and fields can be watched over time", at)
        return n.Read(fact.type, at, fact)

    def _variable(self, name: str, at: int) -> n.Node:
        found = self.scope.names.vars.get(name)
        if found is None:
            return self.wrong(f"unknown fact 'vars.{name}'{nearest_fact(f'vars.{name}', self.scope.known())}", at)
        return n.Const(found[0], at, found[1])

    def _boolop(self, tree: ast.BoolOp) -> n.Node:
        parts: list[n.Node] = []
        for item in tree.values:
            try:
                parts.append(self.condition(item))
            except ExpressionError as error:
                parts.append(self.wrong(str(error), error.offset))
        kind = n.And if isinstance(tree.op, ast.And) else n.Or
        return kind(BOOLEAN, self.at(tree), tuple(parts))

    def _unaryop(self, tree: ast.UnaryOp) -> n.Node:
        at = self.at(tree)
        if isinstance(tree.op, ast.Not):
            return n.Not(BOOLEAN, at, self.condition(tree.operand))
        inner = self.check(tree.operand)
        if not isinstance(tree.op, ast.USub) or not isinstance(inner, n.Const) or isinstance(inner.value, str):
            raise ExpressionError("a sign stands before a number", at)
        if inner.type == ANY:
            return inner
        if isinstance(inner.value, Length | bool | None):
            raise ExpressionError("a sign stands before a number", at)
        return n.Const(inner.type, at, -inner.value, inner.currency)

    def _binop(self, tree: ast.BinOp) -> n.Node:
        at, sign = self.at(tree), SIGNS.get(type(tree.op))
        if sign is None:
            word = type(tree.op).__name__
            raise ExpressionError(f"{SPELLED.get(word, word)} is not in the language", at)
        left, right = self.check(tree.left), self.check(tree.right)
        if ANY in (left.type, right.type):
            return n.Const(ANY, at, None)
        if sign in "*/":
            self.products += 1
            if self.products > MOST_PRODUCTS:
                raise ExpressionError(f"at most {MOST_PRODUCTS} multiplications and divisions in one expression", at)
        shifts = sign in "+-" and left.type.name in n.DAY_TYPES
        if shifts and isinstance(right, n.Const) and isinstance(right.value, Length):
            return n.Shift(left.type, at, left, right.value, sign == "-")
        if sign == "-" and left.type.name == right.type.name == DATE.name:
            return n.DaysBetween(LENGTH, at, right, left)
        return n.Arithmetic(self._result(sign, left, right), at, sign, left, right)

    def _result(self, sign: str, left: n.Node, right: n.Node) -> Type:
        a, b = left.type.name, right.type.name
        if a not in NUMBERS or b not in NUMBERS:
            bad = left if a not in NUMBERS else right
            raise ExpressionError(f"cannot calculate with a {bad.type}", bad.at)
        if sign in "+-":
            if "money" in (a, b) and a != b:
                raise ExpressionError(f"cannot add a {left.type} and a {right.type}: write money(…)", left.at)
            return left.type if a == b else NUMBER
        if a == b == "money":
            if sign == "*":
                raise ExpressionError("cannot multiply money by money", left.at)
            return NUMBER
        if b == "money" and sign == "/":
            raise ExpressionError("cannot divide a number by money", left.at)
        if "money" in (a, b):
            return MONEY
        return SHARE if a == b == "share" and sign == "*" else NUMBER

    def _compare(self, tree: ast.Compare) -> n.Node:
        parts: list[n.Node] = []
        left = tree.left
        for op, right in zip(tree.ops, tree.comparators, strict=True):
            parts.append(self._comparison(op, left, right, self.at(tree)))
            left = right
        return parts[0] if len(parts) == 1 else n.And(BOOLEAN, self.at(tree), tuple(parts))

    def _comparison(self, op: ast.cmpop, left: ast.expr, right: ast.expr, at: int) -> n.Node:
        if isinstance(op, ast.Is | ast.IsNot):
            return self._known(op, left, right, at)
        item = self.check(left)
        if isinstance(op, ast.In | ast.NotIn):
            return self._member(item, right, negated=isinstance(op, ast.NotIn), at=at)
        other = self.check(right)
        if ANY in (item.type, other.type):
            return n.Const(ANY, at, None)
        return self.compare(OPERATORS[type(op)], item, other, at)

    def _known(self, op: ast.cmpop, left: ast.expr, right: ast.expr, at: int) -> n.Node:
        word = right.id if isinstance(right, ast.Name) else ""
        if isinstance(op, ast.IsNot) or word not in ("known", "unknown"):
            raise ExpressionError("after `is` stands `known` or `unknown`", self.at(right))
        item = self.check(left)
        return n.IsKnown(BOOLEAN, at, item, word == "known")

    def _member(self, item: n.Node, right: ast.expr, *, negated: bool, at: int) -> n.Node:
        if isinstance(right, ast.Name) and right.id == "period":
            shift, inner = None, item
            if isinstance(item, n.Shift) and not item.minus and item.length.calendar:
                shift, inner = item.length, item.item
            if inner.type.name not in (*n.DAY_TYPES, ANY.name):
                raise ExpressionError(f"only a date or a time lies in a period, not a {inner.type}", item.at)
            if self.scope.subject != "book":
                raise ExpressionError("`period` is known in book metrics only", self.at(right))
            return n.Within(BOOLEAN, at, inner, shift, negated)
        if not isinstance(right, ast.Tuple | ast.List) or not right.elts:
            raise ExpressionError("after `in` stands a list: ('a', 'b')", self.at(right))
        values = [self.check(element) for element in right.elts]
        if item.type == ANY or any(value.type == ANY for value in values):
            return n.Const(ANY, at, None)
        fitted: list[n.Const] = []
        for value in values:
            if not isinstance(value, n.Const):
                raise ExpressionError("a list holds constants", value.at)
            one = self._align(item, value, "==", at)[1]
            if isinstance(one, n.Const):
                fitted.append(one)
        if any(one.currency for one in fitted):  # its rate is known only at the moment of asking
            some = n.Or(BOOLEAN, at, tuple(n.Compare(BOOLEAN, at, "==", item, one) for one in fitted))
            return n.Not(BOOLEAN, at, some) if negated else some
        return n.OneOf(BOOLEAN, at, item, tuple(fitted), negated)

    def compare(self, op: str, left: n.Node, right: n.Node, at: int) -> n.Node:
        """A comparison of two checked values, lengths and all."""
        if isinstance(right, n.Span) or (left.type.name != LENGTH.name and right.type.name == LENGTH.name):
            left, right, op = right, left, MIRRORED[op]
        if left.type.name == LENGTH.name:
            return self._lengths(op, left, right, at)
        if isinstance(left, n.Shift) or isinstance(right, n.Shift):
            moved = self._shifted(op, left, right, at)
            if moved is not None:
                return moved
        left, right = self._align(left, right, op, at)
        if ANY in (left.type, right.type):
            return n.Const(ANY, at, None)
        return n.Compare(BOOLEAN, at, op, left, right)

    def _lengths(self, op: str, left: n.Node, right: n.Node, at: int) -> n.Node:
        if right.type.name != LENGTH.name:
            kind = "number" if right.type.name in ("number", "share") else right.type.name
            raise ExpressionError(f"cannot compare a length with a {kind}: write days(…)", at)
        if isinstance(left, n.Span):
            if not isinstance(right, n.Const) or not isinstance(right.value, Length):
                raise ExpressionError("since() and until() are compared with a length: days(14), months(3)", right.at)
            return n.Elapsed(BOOLEAN, at, left.item, op, right.value, left.until)
        return n.Compare(BOOLEAN, at, op, self._in_days(left), self._in_days(right))

    def _in_days(self, node: n.Node) -> n.Node:
        if isinstance(node, n.DaysBetween):
            return n.DaysBetween(NUMBER, node.at, node.start, node.end)
        if isinstance(node, n.Const) and isinstance(node.value, Length) and node.value.unit in ("days", "weeks"):
            return n.Const(NUMBER, node.at, float(node.value.amount) * (7 if node.value.unit == "weeks" else 1))
        if isinstance(node, n.Read):  # a length that csflow computed is kept in days
            return n.Read(NUMBER, node.at, node.fact)
        raise ExpressionError("months never compare with days except through since() and until()", node.at)

    def _shifted(self, op: str, left: n.Node, right: n.Node, at: int) -> n.Node | None:
        """`x + months(3) <= today` is `since(x) >= months(3)`: the shape that SQL can ask exactly."""
        if isinstance(right, n.Shift) and isinstance(left, n.Clockface):
            left, right, op = right, left, MIRRORED[op]
        if isinstance(left, n.Shift) and isinstance(right, n.Clockface) and left.type == right.type:
            flipped = op if left.minus else {"<=": ">=", "<": ">", ">=": "<=", ">": "<"}.get(op, op)
            return n.Elapsed(BOOLEAN, at, left.item, flipped, left.length, until=left.minus)
        for side in (left, right):
            if isinstance(side, n.Shift):
                _whole(side)
        return None

    def _align(self, left: n.Node, right: n.Node, op: str, at: int) -> tuple[n.Node, n.Node]:
        """Both sides in one type, or ExpressionError."""
        if isinstance(left, n.Const) and not isinstance(right, n.Const):
            right, left = self._align(right, left, op, at)
            return left, right
        a, b = left.type.name, right.type.name
        if isinstance(right, n.Const) and a in n.DAY_TYPES and b == "text":
            return left, self._day(left, right)
        if {a, b} & NUMBERS and {a, b} & {TEXT.name, BOOLEAN.name}:
            raise ExpressionError(f"cannot compare a {a} with a {b}", at)
        if op not in ("==", "!=") and (a in WORDS | {BOOLEAN.name} or b in WORDS | {BOOLEAN.name}):
            raise ExpressionError("text, choices and yes/no have no order: only == and !=", at)
        if a == "choice":
            return left, self._choice(left, right)
        if {a, b} == {"share", "number"}:
            return left, self._share(left, right)
        if (a in WORDS and b in WORDS) or a == b:
            return left, right
        if "money" in (a, b) and {a, b} & {"number", "share"}:
            amount = next((f"{x.value:g}" for x in (left, right) if isinstance(x, n.Const) and x.type != MONEY), "…")
            raise ExpressionError(f"cannot compare a money with a number: write money({amount})", at)
        raise ExpressionError(f"cannot compare a {left.type} with a {right.type}", at)

    def _choice(self, left: n.Node, right: n.Node) -> n.Node:
        if right.type.name in WORDS and not isinstance(right, n.Const):
            return right
        if not isinstance(right, n.Const) or right.type.name not in ("text", "number", "choice"):
            raise ExpressionError(f"cannot compare a choice with a {right.type}", left.at)
        word = f"{right.value:g}" if isinstance(right.value, float) else str(right.value)
        if left.type.choices and word not in left.type.choices:
            name = left.fact.name if isinstance(left, n.Read) else self.text[left.at :][:40]
            return self.wrong(f"'{name}' is never '{word}'{nearest(word, left.type.choices)}", right.at)
        return n.Const(left.type, right.at, word)

    def _day(self, left: n.Node, right: n.Const) -> n.Node:
        if left.type.name == TIME.name:
            raise ExpressionError("a time is compared with since(…), until(…), now or another time", right.at)
        try:
            return n.Const(DATE, right.at, day(str(right.value)))
        except ValueError:
            raise ExpressionError(f"'{right.value}' is not a date: write '2026-01-31'", right.at) from None

    def _share(self, left: n.Node, right: n.Node) -> n.Node:
        if left.type.name == "share" and isinstance(right, n.Const) and isinstance(right.value, float):
            if not 0 <= right.value <= 1:
                name = left.fact.name if isinstance(left, n.Read) else "this"
                hint = f"{name} is a share between 0 and 1: did you mean {right.value:g}%?"
                return self.wrong(hint, right.at)
            return n.Const(SHARE, right.at, right.value)
        return right

    def fit(self, node: n.Node, kind: Type) -> n.Node:
        """The node where a value of that type is expected."""
        if (node.type.name == kind.name and kind.name != "choice") or ANY in (node.type, kind):
            return node
        if kind.name == DATE.name and isinstance(node, n.Const) and node.type.name == "text":
            return self._day(n.Const(DATE, node.at, None), node)
        if (kind.name == "time" and node.type.name == "date") or (kind.name == "text" and node.type.name in WORDS):
            return node
        if kind.name in ("number", "share") and node.type.name in ("number", "share"):
            return self._share(n.Const(kind, node.at, None), node) if isinstance(node, n.Const) else node
        if kind.name == "choice" and isinstance(node, n.Const):
            return self._choice(n.Const(kind, node.at, None), node)
        if kind.name == "choice" and node.type.name in WORDS:
            return node
        raise ExpressionError(f"a {kind} is needed here, this is a {node.type}", node.at)

    def _call(self, tree: ast.Call) -> n.Node:
        at = self.at(tree)
        if not isinstance(tree.func, ast.Name):
            raise ExpressionError("a call of something that is not a function of the language", at)
        name = tree.func.id
        handler = self.calls.get(name)
        outside = self.scope.names.functions() if handler is None else {}
        if handler is None and name not in outside:
            raise ExpressionError(f"no function '{name}'{nearest(name, [*self.calls, *outside])}", at)
        if tree.keywords or any(isinstance(argument, ast.Starred) for argument in tree.args):
            raise ExpressionError(f"{name}(…) takes plain arguments", at)
        return handler(self, tree) if handler is not None else self._outside(tree, outside[name])

    def _outside(self, tree: ast.Call, function: Outside) -> n.Node:
        """A call of a plugin's function, its arguments checked against what it says it takes."""
        at, takes = self.at(tree), function.takes
        if len(tree.args) != len(takes):
            many = f"{len(takes)} argument{'' if len(takes) == 1 else 's'}"
            raise ExpressionError(f"{function.name}(…) takes {many}: {', '.join(map(str, takes)) or 'none'}", at)
        items = tuple(self.fit(self.check(item), kind) for item, kind in zip(tree.args, takes, strict=True))
        self.scope.names.called[function.name] = function
        if any(item.type == ANY for item in items):
            return n.Const(ANY, at, None)
        for item, kind in zip(items, takes, strict=True):
            if item.type.name != kind.name and {item.type.name, kind.name} & set(n.DAY_TYPES):
                raise ExpressionError(f"a {kind} is needed here, this is a {item.type}", item.at)
        return n.Call(function.gives, at, function, items)

    def money(self, amount: float, currency: str | None, at: int) -> n.Const:
        """A constant amount in minor units of its currency; ExpressionError for one that the currency cannot pay."""
        own = self.scope.names.currency
        try:
            minor = float(to_minor(str(amount), currency or own))
        except ValueError as error:
            raise ExpressionError(str(error), at) from None
        return n.Const(MONEY, at, minor, None if currency in (None, own) else currency)

    def finish(self, node: n.Node) -> None:
        """What can only be judged when the whole expression is known; ExpressionError for the first wrong part."""
        for part in node.walk():
            if isinstance(part, n.Shift):
                _whole(part)
            elif isinstance(part, n.Const) and isinstance(part.value, Length):
                raise ExpressionError("a length alone says nothing: compare it with since(…) or until(…)", part.at)
            elif isinstance(part, n.Span) and (part is not node or self.scope.use != "metric"):
                raise ExpressionError("compare since() or until() with a length", part.at)
        if _extremes(node) > DEEPEST_EXTREMES:
            raise ExpressionError(f"min() and max() are nested at most {DEEPEST_EXTREMES} deep", node.at)


def _extremes(node: n.Node) -> int:
    return max((_extremes(part) for part in node.parts()), default=0) + isinstance(node, n.Extreme)


def _whole(shift: n.Shift) -> None:
    if shift.length.unit in ("days", "weeks") or (shift.length.clock and shift.type.name == TIME.name):
        return
    unit, where = shift.length.unit.replace("_", " "), "only where it is compared with today, now or a period"
    raise ExpressionError(f"{unit} are added to a {shift.type} {where}", shift.at)
