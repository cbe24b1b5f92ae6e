"""Metrics: five ways to compute a fact, each compiled to one expression – or left to a plugin."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

from csflow.errors import ExpressionError
from csflow.flow.checking import ANY
from csflow.flow.definition import Metric
from csflow.flow.expressions import Expression, bands, choose, weights
from csflow.flow.sites import Found, Path, Site, Tree, own_amount, section
from csflow.flow.types import NUMBER, NUMBERS, Type
from csflow.values import Length, parse_length, parse_share

Band = tuple[str, float, bool]
MAX_TRAIL = 30


class MetricBuilder:
    """Builds each metric once, when its type is first asked for; what it reads is built before it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.done: dict[str, Metric] = {}
        self.trail: list[str] = []

    def collect(self) -> None:
        """Make the names of all metrics known, with subject and freshness; types follow when asked."""
        for name, content in section(self.site.tree, "metrics"):
            fresh = (content.get("fresh") or {}).get("unknown_after")
            self.site.names.metrics[name] = (content.get("subject") or "customer", fresh)
        self.site.names.metric_type = self.type_of

    def type_of(self, name: str) -> Type:
        """The metric's type: declared, given by its words, or inferred; a circle raises ExpressionError."""
        content = self.site.tree["metrics"][name]
        quick = declared_type(content)
        if quick is not None:
            return quick
        if name in self.trail:
            circle = " → ".join([*self.trail[self.trail.index(name) :], name])
            raise ExpressionError(f"metrics are computed from each other in a circle: {circle}")
        if len(self.trail) > MAX_TRAIL:
            raise ExpressionError(f"metrics read each other more than {MAX_TRAIL} deep: say the type: of some")
        return self.build(name).type

    def build(self, name: str) -> Metric:
        """The metric, compiled; problems are noted at its path."""
        if name in self.done:
            return self.done[name]
        site, path = self.site, ("metrics", name)
        content = site.tree["metrics"][name]
        self.trail.append(name)
        try:
            expression = self._expression(path, content, content.get("subject") or "customer")
        except ExpressionError as error:
            site.wrong(path, str(error))
            expression = None
        except RecursionError:  # long expressions of a long trail
            site.wrong(path, "metrics read each other too deep: say the type: of some")
            expression = None
        finally:
            self.trail.pop()
        metric = self._metric(name, path, content, expression)
        self.done[name] = metric
        return metric

    def _metric(self, name: str, path: Path, content: Tree, expression: Expression | None) -> Metric:
        kind = declared_type(content) or (expression.type if expression else ANY)
        if content.get("uses") is not None and kind == ANY:
            self.site.found.append(Found(path, "a plugin computes this metric: say its type:", follows=True))
        subject = content.get("subject") or "customer"
        given = self.site.given(path, content, subject) if content.get("uses") is not None else ()
        if content.get("uses") is not None:
            self.site.window(path, content, subject)
            self.site.calendar(path, content)
        facts = expression.all_facts if expression else given
        return Metric(
            name=name,
            subject=subject,
            type=kind,
            expression=expression,
            uses=self.site.uses(path, content, "metric") if content.get("uses") is not None else None,
            options=dict(content.get("with") or {}),
            label=self.site.labels((*path, "label"), content.get("label")),
            fresh=self.site.length(
                (*path, "fresh", "unknown_after"), (content.get("fresh") or {}).get("unknown_after")
            ),
            better=content.get("better") or "higher",
            reads=tuple(dict.fromkeys(fact.name for fact in facts if fact.kind == "metric")),
            facts=given,
        )

    def _expression(self, path: Path, content: Tree, subject: str) -> Expression | None:
        if content.get("value") is not None:
            kind = declared_type(content)
            return self._part((*path, "value"), content["value"], subject, kind)
        if content.get("bands") is not None:
            return self._bands(path, content, subject)
        if content.get("choose") is not None:
            return self._choose(path, content["choose"], subject)
        if content.get("weights") is not None:
            return self._weights(path, content, subject)
        return None

    def _part(self, path: Path, text: Any, subject: str, expect: Type | None = None) -> Expression | None:
        return self.site.expression(path, text, subject=subject, use="metric", expect=expect)

    def _guard(self, path: Path, text: Any, subject: str) -> Expression | None:
        return self.site.guard(path, text, subject=subject, flow=None, use="metric")

    # bands

    def _bands(self, path: Path, content: Tree, subject: str) -> Expression | None:
        of = self._part((*path, "of"), content["of"], subject)
        if of is not None and of.type.name not in NUMBERS and of.type != ANY:
            self.site.wrong((*path, "of"), f"bands cut a number, a share or money; this is a {of.type}")
            of = None
        kind = of.type if of is not None else ANY
        written, by = content["bands"], content.get("by")
        if by is None:
            row = self._row(path, (*path, "bands"), written, kind)
            return bands(of, [(None, row)]) if of is not None and row else None
        over = self._part((*path, "by"), by, subject)
        rows: list[tuple[float | Length | str | None, list[Band]]] = []
        for key, inner in written.items():
            at = (*path, "bands", key)
            if not isinstance(inner, dict):
                self.site.wrong(at, "with by: a row holds bands: {low: 0%, high: 60%}")
                continue
            begins = self._row_key(at, key, over)
            row = self._row(at, at, inner, kind)
            if row and begins is not None:
                rows.append((begins, row))
        if of is None or over is None or len(rows) != len(written):
            return None
        return bands(of, rows, over)

    def _row_key(self, path: Path, key: str, by: Expression | None) -> float | Length | str | None:
        if by is None or by.type == ANY:
            return None
        if by.type.name == "choice":
            known = not by.type.choices or self.site.chosen(path, key, by.type.choices, "word", on_key=True)
            return key if known else None
        try:
            if by.type.name == "length":
                return parse_length(key)
            return parse_share(key) if by.type.name == "share" else float(key)
        except ValueError:
            wanted = {"length": "a length such as '2 months'", "share": "a share such as 30%"}
            message = f"a row begins at {wanted.get(by.type.name, 'a number')}, not at '{key}'"
            self.site.wrong(path, message, on_key=True)
            return None

    def _row(self, path: Path, at: Path, written: dict[str, Any], of: Type) -> list[Band]:
        """The bands of one row; ``path`` is where a wrong order is shown."""
        row: list[Band] = []
        for word, begin in written.items():
            above = isinstance(begin, str) and begin.startswith("above ")
            try:
                number = self._begin(str(begin).removeprefix("above ").strip() if above else begin, of)
            except ValueError as error:
                self.site.wrong((*at, word), str(error))
                return []
            row.append((word, number, above))
        places = [(number, above) for _, number, above in row]
        if any(one >= other for one, other in pairwise(places)):
            shown = ", ".join(str(begin) for begin in written.values())
            self.site.wrong(path, f"bands begin at rising, different values; found {shown}")
            return []
        return row

    def _begin(self, begin: Any, of: Type) -> float:
        if of.name == "money":
            return float(own_amount(str(begin), self.site.names.currency))
        if of.name == "share":
            return parse_share(str(begin))
        text = str(begin)
        if text.endswith("%"):
            return parse_share(text)
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"a band begins at a number or a share, not at '{begin}'") from None

    # choose

    def _choose(self, path: Path, written: dict[str, Any], subject: str) -> Expression | None:
        pairs: list[tuple[str, Expression]] = []
        otherwise: str | None = None
        whole = True
        for place, (word, condition) in enumerate(written.items()):
            at = (*path, "choose", word)
            if condition == "otherwise":
                if place != len(written) - 1:
                    self.site.wrong(at, "'otherwise' stands last, and once")
                    whole = False
                otherwise = word
                continue
            made = self._guard(at, condition, subject)
            whole = whole and made is not None
            if made is not None:
                pairs.append((word, made))
        return choose(pairs, otherwise) if whole and pairs else None

    # weights

    def _weights(self, path: Path, content: Tree, subject: str) -> Expression | None:
        groups: list[tuple[float, list[tuple[float, Expression]]]] = []
        points = {word: float(value) for word, value in (content.get("points") or {}).items()}
        whole = True
        for name, group in content["weights"].items():
            at = (*path, "weights", name)
            if group.get("parts") is None:
                members = {name: 1.0} if group.get("weight") is not None else {}
                inside: Path = (*path, "weights")
            else:
                members, inside = group["parts"], (*at, "parts")
            parts = [(float(w), self._weighted((*inside, part), part, points, subject)) for part, w in members.items()]
            if not parts or group.get("weight") is None or group["weight"] < 0 or any(w < 0 for w, _ in parts):
                self.site.wrong(at, f"'{name}' needs a weight that is not negative, and a group its parts")
                whole = False
            good = [(w, made) for w, made in parts if made is not None]
            whole = whole and len(good) == len(parts)
            groups.append((float(group.get("weight") or 0), good))
        caps = self._caps(path, content, subject)
        needs = self.site.parsed((*path, "needs"), parse_share, content.get("needs") or "0%")
        return weights(groups, points, caps, needs or 0.0) if whole and groups else None

    def _weighted(self, path: Path, part: str, points: dict[str, float], subject: str) -> Expression | None:
        before = len(self.site.found)
        made = self._part(path, part, subject)
        # The expression is the key here, so that is where a mistake is shown.
        moved = [replace(f, on_key=f.path == path) for f in self.site.found[before:]]
        self.site.found[before:] = moved
        if made is None or made.type == ANY:
            return made
        if made.type.name == "choice":
            missing = [word for word in made.type.choices if word not in points]
            if missing:
                self.site.wrong(path, f"'{part}' may be '{missing[0]}', which has no points", on_key=True)
                return None
        elif made.type.name not in ("number", "share"):
            self.site.wrong(path, f"'{part}' is a {made.type}: a part is a number from 0 to 100", on_key=True)
            return None
        return made

    def _caps(self, path: Path, content: Tree, subject: str) -> list[tuple[float, Expression]]:
        caps = []
        for place, cap in enumerate(content.get("at_most") or ()):
            guard = self._guard((*path, "at_most", place, "when"), cap["when"], subject)
            if guard is not None:
                caps.append((float(cap["value"]), guard))
        return caps


def declared_type(content: Tree) -> Type | None:
    """The type that can be told without compiling: declared, or the words of bands and choose; None = infer it."""
    if content.get("bands") is not None:
        rows = content["bands"].values() if content.get("by") is not None else [content["bands"]]
        words = [word for row in rows if isinstance(row, dict) for word in row if word != "unknown"]
        return Type("choice", tuple(dict.fromkeys(words)))
    if content.get("choose") is not None:
        return Type("choice", tuple(content["choose"]))
    if content.get("weights") is not None:
        return NUMBER
    name = content.get("type")
    if name is None:
        return None
    return Type(name, tuple(str(word) for word in content.get("choices") or ()))
