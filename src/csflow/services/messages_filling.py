"""A message as it goes out: what its body left open – names and free words – is read now, by id."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from csflow.flow.building import build
from csflow.flow.definition import Definition
from csflow.flow.expressions import Expression
from csflow.hookspecs import Call, Message, Recipient
from csflow.services.messages import expressions_of, in_language, said, text_of, unknown
from csflow.services.views import View, see
from csflow.store import tables as t
from csflow.store.catalogue import CATALOGUE
from csflow.store.guards import Translator
from csflow.store.reading import case_reader, with_contacts
from csflow.values import Instant

Open = tuple[int, str, str]  # row, kind of subject, text of a hole
Known = Mapping[tuple[str, str | None, str], Expression]  # what `expressions_of` gives


class Filling:
    """Fills the bodies of some rows of the outbox: one question for each flow and each kind of hole in it."""

    def __init__(
        self, connection: Connection, definition: Definition, *, rows: Sequence[Any], now: Instant, known: Known
    ) -> None:
        self._connection, self._definition, self._now, self._known = connection, definition, now, known
        self._language = next(iter(definition.languages), "en")
        self._rows = {row.id: row for row in rows}
        self._bodies: dict[int, dict[str, Any]] = {row.id: json.loads(row.body) for row in rows}
        self._view: View | None = None
        self._values: dict[Open, tuple[Any, Expression | None]] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._customers: dict[int, str] = {}  # case → its customer's name
        self._read()

    @property
    def view(self) -> View:
        """The definition seen now; read when the first hole needs it."""
        if self._view is None:
            self._view = see(self._connection, self._definition, self._now)
        return self._view

    def message(self, row: Any, recipient: Recipient, at: str) -> Message:
        """The row as a message to that recipient."""
        body = self._bodies[row.id]
        title, text = (
            " ".join(self._text(row, body.get("title") or {}).split()),
            self._text(row, body.get("text") or {}),
        )
        return Message(
            row.effect_id, recipient, title, text, self._language, at, body["case"], body["flow"], body["subject"]
        )

    def call(self, row: Any, name: str, at: str) -> Call:
        """The row as a call of a plugin's effect."""
        body = self._bodies[row.id]
        options = dict(body.get("values") or {})
        for option, text in (body.get("later") or {}).items():
            value = self._values.get((row.id, body["subject"]["kind"], text), (None, None))[0]
            if value is not None:
                options[option] = value
        return Call(row.effect_id, name, options, at, body["case"], body["flow"], body["subject"])

    def digest(self, digest_id: str, recipient: Recipient, messages: Sequence[Message], at: str) -> Message:
        """Several messages to one recipient as one."""
        many = len(messages)
        title = f"{many} 条消息" if self._language == "zh" else f"{many} messages"
        parts = [f"{message.title}\n{message.text}".strip() for message in messages]
        about = tuple(message.id for message in messages)
        return Message(digest_id, recipient, title, "\n\n".join(parts), self._language, at, "", "", {}, about)

    def _text(self, row: Any, pieces: dict[str, list[Any]]) -> str:
        return text_of(pieces, self._language, lambda hole: self._filled(row, hole))

    def _filled(self, row: Any, hole: dict[str, str]) -> str:
        if "hole" not in hole:
            ((kind, key),) = hole.items()
            if kind == "subject":  # with the name of the customer whose it is
                name = self._customers.get(row.case)
                return f"{name} ({key})" if name else key
            return self._names.get((kind, key)) or key
        subject = self._bodies[row.id].get("about") or self._bodies[row.id]["subject"]["kind"]
        value, expression = self._values.get((row.id, subject, hole["hole"]), (None, None))
        if value is None or expression is None:
            return unknown(self._language)
        return said(value, expression.type, self.view, self._language)

    def _read(self) -> None:
        """Ask for everything that is left open."""
        wanted: dict[tuple[str, str, bool], dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        named: dict[str, set[str]] = {"person": set(), "contact": set()}
        cases: set[int] = set()  # whose customers are named
        for id_, body in self._bodies.items():
            about, to_contact = body.get("about") or body["subject"]["kind"], body.get("about") == "contact"
            for piece in _open_pieces(body):
                if "hole" in piece:
                    wanted[(body["flow"], about, to_contact)][piece["hole"]].add(id_)
                elif "subject" in piece:
                    cases.add(self._rows[id_].case)
                else:
                    ((kind, name),) = piece.items()
                    named[kind].add(name)
            for text in (body.get("later") or {}).values():
                wanted[(body["flow"], body["subject"]["kind"], False)][text].add(id_)
        for (flow, about, to_contact), texts in wanted.items():
            self._ask(flow, about, texts, to_contact=to_contact)
        self._name(named)
        self._name_customers(cases)

    def _ask(self, flow: str, about: str, texts: dict[str, set[int]], *, to_contact: bool) -> None:
        there = {text: self._expression(about, flow, text, ids) for text, ids in texts.items()}
        holes = {text: expression for text, expression in there.items() if expression is not None}
        ids = sorted(set().union(*texts.values()))
        if not holes:
            return
        kind = self._bodies[ids[0]]["subject"]["kind"]
        reader = case_reader(flow, kind, self.view.book, self.view.moment)
        own: Any = reader.base.c.id
        cases = sorted({self._rows[id_].case for id_ in ids})
        columns, conditions = [own.label("own")], [own.in_(cases)]
        if to_contact:
            contact = with_contacts(reader)
            columns.append(contact.c.key.label("contact"))
            keys = {self._rows[id_].recipient.removeprefix("contact:") for id_ in ids}
            conditions.append(contact.c.key.in_(sorted(keys)))
        translator = Translator(reader)
        columns += [translator.value(hole.node).label(f"h{i}") for i, hole in enumerate(holes.values())]
        statement = select(*columns).select_from(reader.source()).where(*conditions)
        answers: dict[tuple[int, str | None], Any] = {
            (row.own, getattr(row, "contact", None)): row._mapping  # noqa: SLF001  # SQLAlchemy's public name for it
            for row in self._connection.execute(statement)
        }
        for id_ in ids:
            row = self._rows[id_]
            key = row.recipient.removeprefix("contact:") if to_contact else None
            answer = answers.get((row.case, key), {})
            for i, (text, expression) in enumerate(holes.items()):
                self._values[(id_, about, text)] = (answer.get(f"h{i}"), expression)

    def _expression(self, about: str, flow: str, text: str, ids: Iterable[int]) -> Expression | None:
        """The hole as the definition has it now, else as that had it under which the message was written."""
        found = self._known.get((about, flow, text))
        if found is not None:
            return found
        row = self._rows[min(ids)]
        h = t.history.c
        written = select(t.definition.c.body).join(t.history, h.definition == t.definition.c.hash)
        body = self._connection.execute(written.where(h.case == row.case, h.seq == row.seq)).scalar()
        former = build(json.loads(body), CATALOGUE)[0] if body is not None else None
        return expressions_of(former).get((about, flow, text)) if former is not None else None

    def _name_customers(self, cases: set[int]) -> None:
        named = select(t.case.c.id, t.customer.c.name).join(t.customer, t.customer.c.id == t.case.c.customer)
        named = named.where(t.case.c.id.in_(sorted(cases)), t.customer.c.name.is_not(None))
        self._customers = dict(self._connection.execute(named).all()) if cases else {}

    def _name(self, named: dict[str, set[str]]) -> None:
        """How people and contacts are called; an erased one goes by its id."""
        for kind, keys in named.items():
            table: Any = t.person if kind == "person" else t.contact
            if not keys:
                continue
            for key, name in self._connection.execute(
                select(table.c.key, table.c.name).where(table.c.key.in_(sorted(keys)))
            ):
                if name:
                    self._names[(kind, key)] = name
        for key in named["person"]:
            person = self._definition.people.get(key)
            label = in_language(person.label, self._language) if person is not None else ""
            if label:
                self._names[("person", key)] = label


def _open_pieces(body: dict[str, Any]) -> Iterable[dict[str, str]]:
    for part in ("title", "text"):
        for pieces in (body.get(part) or {}).values():
            yield from (piece for piece in pieces if isinstance(piece, dict))
