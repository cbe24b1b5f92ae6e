"""What a message says, fixed in the transaction that writes it; names and free words are filled in when it goes out.

A body holds, for each language, title and text as pieces: a text, or a mapping that says what is left open –
``{"hole": "customer.name"}``, ``{"person": "li"}``, ``{"contact": "P-1"}``, ``{"subject": "C-1"}``. So every repeat
says the same, and the outbox holds ids, never names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from csflow.flow import nodes as n
from csflow.flow.definition import Definition, Effect, Flow, Label, Template
from csflow.flow.expressions import Expression
from csflow.flow.types import Fact, Type
from csflow.services.deadlines import specs
from csflow.services.views import View, present
from csflow.services.work import Due, Line, Work
from csflow.store.catalogue import SUBJECTS
from csflow.values import share_text

Piece = str | dict[str, str]
Pieces = dict[str, list[Piece]]  # by language

UNKNOWN = {"zh": "未知"}  # what stands where nothing is known; "unknown" in every other language
YES_NO = {"zh": ("是", "否")}
_NAMES = frozenset({"name", "mail", "phone", "post"})
_FREE = frozenset({"text", "file"})


def subject_of(effect: Effect, flow: Flow) -> str:
    """The kind of subject that the effect's expressions are about."""
    return "contact" if effect.verb == "notify" and effect.target == "contact" else flow.subject


def templates(definition: Definition, effect: Effect, flow: Flow) -> tuple[Template, Template]:
    """Title and text of the message that an effect names, as this flow reads them; empty where it names none."""
    message = definition.messages.get(effect.message or "")
    return message.by_use.get((subject_of(effect, flow), flow.name), ({}, {})) if message is not None else ({}, {})


def holes(definition: Definition, effect: Effect, flow: Flow) -> dict[str, Expression]:
    """The holes of the effect's message that are asked now, by their text."""
    found: dict[str, Expression] = {}
    for template in templates(definition, effect, flow):
        for pieces in template.values():
            found |= {piece.text: piece for piece in pieces if isinstance(piece, Expression) and not personal(piece)}
    return found


def personal(expression: Expression) -> bool:
    """Whether it reads who somebody is, or free words: what stands in rows that can be blanked, and nowhere else."""
    return any(_is_personal(fact) for fact in expression.all_facts)


def _is_personal(fact: Fact) -> bool:
    if fact.kind in ("field", "metric"):
        return fact.type.name in _FREE
    return fact.kind == "column" and fact.owner.removeprefix("each:") in SUBJECTS and fact.key in _NAMES


def body(work: Work, one: Due, values: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the outbox keeps of a message or call: ``values`` of its ``with:``, ``asked`` of its holes, by text."""
    flow, effect = work.flow(one.row), one.effect
    found: dict[str, Any] = {"case": work.name(one.row), "flow": flow.name, "subject": work.subject(one.row)}
    later = {name: v.text for name, v in effect.values.items() if isinstance(v, Expression) and personal(v)}
    found["values"] = {name: v for name, v in values.items() if v is not None and name not in later}
    if later:
        found["later"] = later
    if effect.verb != "notify":
        return found
    writer = _Writer(work, one, asked)
    title, text = templates(work.view.definition, effect, flow)
    found["title"] = writer.pieces(title) if title else writer.own_title()
    found["text"] = writer.pieces(text) if text else writer.own_text()
    if subject_of(effect, flow) == "contact":
        found["about"] = "contact"
    return found


class _Writer:
    """Writes the pieces of one message."""

    def __init__(self, work: Work, one: Due, asked: Mapping[str, Any]) -> None:
        self._work, self._one, self._asked = work, one, asked
        self._definition, self._flow = work.view.definition, work.flow(one.row)
        self._line = one.line

    def pieces(self, template: Template) -> Pieces:
        """The template with the values of its holes."""
        return {
            language: [piece if isinstance(piece, str) else self._hole(piece, language) for piece in pieces]
            for language, pieces in template.items()
        }

    def _hole(self, hole: Expression, language: str) -> Piece:
        if personal(hole):
            return {"hole": hole.text}
        fact = hole.node.fact if isinstance(hole.node, n.Read) else None
        if fact is not None and fact.owner == "case":
            if fact.key == "responsible":
                return self._responsible(language)
            if fact.key == "id":
                return self._work.name(self._one.row)
            if fact.key == "due" and self._line is not None:
                return said(_due(self._line), fact.type, self._work.view, language)
        value = self._asked.get(hole.text)
        if fact is not None and value is not None:
            label = label_of(self._definition, self._flow, fact, str(value))
            if label:
                return in_language(label, language)
        if hole.type.name in ("person", "contact") and value is not None:
            return {hole.type.name: str(value)}
        return said(value, hole.type, self._work.view, language)

    def _responsible(self, language: str) -> Piece:
        role = self._flow.stages[self._one.row.stage].responsible or self._flow.responsible
        owner = self._work.owner(self._one.row, role)
        if owner is not None:
            return {"person": owner}
        known = self._definition.roles.get(role or "")
        return in_language(known.label, language) or known.name if known is not None else unknown(language)

    def own_title(self) -> Pieces:
        """For a message without a title: flow, subject and stage, and when it is or was due."""
        row = self._one.row
        subject = self._work.subject(row)
        who: Piece = {"contact" if subject["kind"] == "contact" else "subject": subject["id"]}
        found: Pieces = {}
        for language in ("en", "zh"):
            flow = in_language(self._flow.label, language) or self._flow.name
            stage = in_language(self._flow.stages[row.stage].label, language) or row.stage
            found[language] = [f"{flow} – ", who, f" – {stage}{self._due(language)}"]
        return found

    def own_text(self) -> Pieces:
        """For a message without a template: which case, and why: the effect's label, else its rule."""
        row, effect = self._one.row, self._one.effect
        name = self._work.name(row)
        found: Pieces = {}
        for language in ("en", "zh"):
            why = in_language(effect.label, language) or f"{self._flow.name}: {effect.place}"
            stage = in_language(self._flow.stages[row.stage].label, language) or row.stage
            found[language] = [
                f"{name}，阶段：{stage}{self._due(language)}。原因：{why}" if language == "zh"
                else f"{name}, stage {stage}{self._due(language)}. Why: {why}"
            ]  # fmt: skip
        return found

    def _due(self, language: str) -> str:
        due = _due(self._line) if self._line is not None else None
        if due is None:
            return ""
        text, over = self._work.text(due), due <= self._work.view.now
        if language == "zh":
            return f"，应于 {text} 完成，已逾期" if over else f"，应于 {text} 完成"
        return f", overdue since {text}" if over else f", due {text}"


def _due(line: Line) -> int | None:
    return line.missed if line.missed is not None else line.due


def said(value: Any, kind: Type, view: View, language: str) -> str:
    """A stored value as a message says it."""
    if value is None:
        return unknown(language)
    if kind.name == "boolean":
        return YES_NO.get(language, ("yes", "no"))[0 if value else 1]
    if kind.name == "share":
        return share_text(round(float(value), 4))
    found = present(value, kind, view)
    return f"{found:.10g}" if isinstance(found, float) else str(found)


def unknown(language: str) -> str:
    """What stands where nothing is known."""
    return UNKNOWN.get(language, "unknown")


def in_language(label: Label, language: str) -> str:
    """The label in that language, else in none, else in any; empty where there is no label."""
    return next((label[name] for name in (language, "", *label) if name in label), "")


def label_of(definition: Definition, flow: Flow, fact: Fact, word: str) -> Label:
    """How people call a word that a fact may have: a stage's label, a choice's; empty where it has none."""
    owner = fact.owner.removeprefix("each:")
    if fact.kind == "column" and fact.key == "stage":
        home = flow if owner == "case" else definition.flows.get(owner.removeprefix("flow:"))
        stage = home.stages.get(word) if home is not None else None
        return stage.label if stage is not None else {}
    if fact.kind != "field":
        return {}
    head, _, name = fact.key.rpartition(".")
    if owner in SUBJECTS:
        fields = definition.fields.get(owner, {})
    else:
        fields = definition.flows[head].fields if head in definition.flows else flow.fields
    return fields[name].choice_labels.get(word, {}) if name in fields else {}


def expressions_of(definition: Definition) -> dict[tuple[str, str | None, str], Expression]:
    """Every hole and value that may be left open, by kind of subject, flow and text."""
    found: dict[tuple[str, str | None, str], Expression] = {}
    for message in definition.messages.values():
        for (subject, flow), parts in message.by_use.items():
            for pieces in (pieces for template in parts for pieces in template.values()):
                found |= {(subject, flow, piece.text): piece for piece in pieces if isinstance(piece, Expression)}
    for one in definition.flows.values():
        for effect in effects_of(one):
            for value in effect.values.values():
                if isinstance(value, Expression):
                    found[(one.subject, one.name, value.text)] = value
    return found


def effects_of(flow: Flow) -> Iterator[Effect]:
    """Every effect of a flow."""
    milestones = [*flow.milestones.values(), *(m for s in flow.stages.values() for m in s.milestones.values())]
    groups = [flow.do, flow.overdue, *(m.do for m in milestones), *(spec.deadline.overdue for spec in specs(flow))]
    for stage in flow.stages.values():
        groups += [stage.do, *(way.do for way in stage.transitions)]
    for group in groups:
        yield from group


def text_of(pieces: Mapping[str, list[Piece]], language: str, fill: Callable[[dict[str, str]], str]) -> str:
    """The pieces as one text in that language, else in none, else in the first there is."""
    chosen = next((pieces[name] for name in (language, "", *pieces) if name in pieces), [])
    return "".join(piece if isinstance(piece, str) else fill(piece) for piece in chosen)


__all__ = ["Piece", "body", "effects_of", "expressions_of", "holes", "in_language", "personal", "said", "text_of"]
