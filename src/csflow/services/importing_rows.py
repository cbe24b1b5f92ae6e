"""Batches of a file become staged columns: converted column by column, row by row only where something is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from csflow.services.erased import chosen_questions, free_fields
from csflow.services.importing_files import Unread
from csflow.services.importing_mapping import amounts
from csflow.services.importing_values import fingerprint
from csflow.store.erased import FREE, PERSONAL
from csflow.store.importing_staging import StagedField
from csflow.values import counted, day_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from csflow.flow.definition import Definition
    from csflow.flow.types import Type
    from csflow.services.importing_files import Batch
    from csflow.services.importing_mapping import Filling, Plan

Reject = tuple[int, str, str]
TEXTUAL = frozenset({"text", "choice", "choices", "person", "contact", "file"})
DATED_BY = {"activity": "at", "trigger": "at", "case": "opened_at"}
EXTRA = {
    "id": "key",
    "at_day": "date",
    "fields": "text",
    "moved_fields": "text",
    "first_stage": "text",
    "case_flow": "key",
    "case_subject": "key",
    "case_kind": "key",
    "case_number": "date",
}


class Rows:
    """Turns batches into columns for `Staging.add`; remembers nothing of them."""

    def __init__(self, plan: Plan, definition: Definition, header: Sequence[str]) -> None:
        self.plan = plan
        self.header = list(header)
        self.kind = plan.mapping.kind
        self.fillings = [*plan.fillings.values(), *plan.fields.values()]
        self.numbered = self.kind.numbered and "id" not in plan.fillings and self.kind.name != "usage"
        self.first = {name: flow.first for name, flow in definition.flows.items()}
        self.about = {name: flow.subject for name, flow in definition.flows.items()}
        self.asked = _asked(definition) if self.kind.name == "case" else frozenset()
        self.chosen = chosen_questions(definition)
        self.free = free_fields(definition)
        self.erased: frozenset[str] = frozenset()  # contacts of whom nothing comes back
        self.forgotten = 0  # rows that speak of one

    @property
    def columns(self) -> dict[str, str]:
        """The staged columns and their types, declared fields of subjects apart."""
        mapped = {name: self.kind.columns[name] for name in self.plan.fillings}
        added: list[str] = []
        if self.numbered or (self.kind.name == "contract" and "id" not in mapped):
            added.append("id")
        if self.kind.name in DATED_BY:
            added.append("at_day")
        if self.kind.table.name == "inbox":
            added.append("fields")
        if self.kind.name == "case":
            added += ["moved_fields", "first_stage"]
        if "case" in mapped:
            added += ["case_flow", "case_kind", "case_subject", "case_number"]
        return mapped | {name: EXTRA[name] for name in added}

    @property
    def fields(self) -> list[StagedField]:
        """The declared fields of subjects that the file fills; those of flows travel in `fields`."""
        if self.kind.table.name == "inbox":
            return []
        return [
            StagedField(f"{self.kind.fields}.{name}", numeric(filling.field.type), f"f_{number}")
            for number, (name, filling) in enumerate(self.plan.fields.items())
            if filling.field is not None
        ]

    def staged(self, batch: Batch) -> tuple[list[Sequence[Any]], list[Reject]]:
        """The columns to stage (lines first) of the rows that can be read, and the rows that cannot."""
        rows, lines, rejects = self._shaped(batch)
        if not rows:
            return [], rejects
        columns = list(zip(*rows, strict=True))
        try:
            return self._converted(columns, lines), rejects
        except ValueError:
            rows, lines = self._readable(rows, lines, rejects)
        return (self._converted(list(zip(*rows, strict=True)), lines) if rows else []), rejects

    def _shaped(self, batch: Batch) -> tuple[list[list[str]], Sequence[int], list[Reject]]:
        """Rows as wide as the header, without zero bytes, that are not the header again."""
        width, rows = len(self.header), batch.rows
        if set(map(len, rows)) <= {width} and self.header not in rows and "\0" not in "".join(map("".join, rows)):
            return rows, batch.lines, []
        good, lines, rejects = [], [], []
        for row, line in zip(rows, batch.lines, strict=True):
            wrong = self._shape(row, width)
            if wrong:
                rejects.append((line, "", wrong))
            else:
                good.append(row)
                lines.append(line)
        return good, lines, rejects

    def _shape(self, row: list[str], width: int) -> str:
        if isinstance(row, Unread):
            return row.reason
        if len(row) != width:
            return f"{counted(len(row), 'cell')} where the header has {width}"
        if any("\0" in cell for cell in row):
            return "holds a zero byte"
        return "the header once more" if [cell.strip() for cell in row] == self.header else ""

    def _converted(self, columns: Sequence[Sequence[str]], lines: Sequence[int]) -> list[Sequence[Any]]:
        found: dict[str, Sequence[Any]] = {}
        for filling in self.fillings:
            values = list(map(filling.convert, filling.cells(columns, len(lines))))
            if filling.required and None in values:
                raise ValueError(filling.name)
            found[filling.name] = values
        self._derive(found, len(lines))
        if self.erased:
            self._forget(found, len(lines))
        if self.kind.table.name == "inbox":
            self._gather(found, len(lines))
        names = [*self.columns]
        if self.kind.table.name != "inbox":
            names += self.plan.fields
        return [lines, *(found[name] for name in names)]

    def _readable(
        self, rows: list[list[str]], lines: Sequence[int], rejects: list[Reject]
    ) -> tuple[list[list[str]], list[int]]:
        """Row by row: the ones that convert; of the others, the first cell that does not."""
        good, kept = [], []
        for row, line in zip(rows, lines, strict=True):
            wrong = self._wrong(row)
            if wrong:
                rejects.append((line, *wrong))
            else:
                good.append(row)
                kept.append(line)
        return good, kept

    def _wrong(self, row: list[str]) -> tuple[str, str] | None:
        found: dict[str, Sequence[Any]] = {}
        for filling in self.fillings:
            where = self._column(filling)
            try:
                value = filling.convert(filling.cell(row))
            except ValueError as error:
                return where, str(error)
            if value is None and filling.required:
                return where, "is empty"
            found[filling.name] = [value]
        try:
            self._derive(found, 1)
        except ValueError as error:
            return ("case" if "case" in found else "amount"), str(error)
        return None

    def _column(self, filling: Filling) -> str:
        """The file's column that a filling reads; csflow's name where it reads none or several."""
        return self.header[filling.reads[0]] if len(filling.reads) == 1 else filling.name

    def _derive(self, found: dict[str, Sequence[Any]], rows: int) -> None:
        """What is computed from converted columns. ValueError where it cannot be."""
        if "amount" in found:
            currencies = found.get("currency") or [None] * rows
            computed = self.plan.fillings["amount"].compute is not None
            found["amount"] = amounts(found["amount"], currencies, self.plan.currency, computed=computed)
        if self.kind.name == "contract" and "id" not in found:
            product = found.get("product") or [None] * rows
            pairs = zip(found["starts_on"], product, strict=True)
            found["id"] = [f"{day_text(start)} {name or ''}".strip() for start, name in pairs]
        if self.kind.name in DATED_BY:
            found["at_day"] = [self._day(at) for at in found[DATED_BY[self.kind.name]]]
        if self.numbered:
            found["id"] = [fingerprint(*cells) for cells in zip(*found.values(), strict=True)]
        if "case" in found:
            parts = [_case_parts(said) for said in found["case"]]
            for place, name in enumerate(("case_flow", "case_subject", "case_number")):
                found[name] = [part[place] for part in parts]
            found["case_kind"] = [self.about.get(flow or "", "customer") for flow in found["case_flow"]]

    def _forget(self, found: dict[str, Sequence[Any]], rows: int) -> None:
        """Leave out what says who an erased contact was; its rows come in, so figures stay what they are.

        A row without an id has been given one by all of its cells before: so it is still the row it was.
        """
        named = [found["id" if self.kind.name == "contact" else "contact"]] if self._names_contacts(found) else []
        if "case" in found:
            pairs = zip(found["case_kind"], found["case_subject"], strict=True)
            named.append([subject if kind == "contact" else None for kind, subject in pairs])
        hits = [place for place in range(rows) if any(column[place] in self.erased for column in named)]
        for name in self._telling(found) if hits else ():
            values = list(found[name])
            for place in hits:
                if name != "text" or found["question"][place] not in self.chosen:
                    values[place] = None
            found[name] = values
        self.forgotten += len(hits)

    def _names_contacts(self, found: dict[str, Sequence[Any]]) -> bool:
        return self.kind.name == "contact" or "contact" in found

    def _telling(self, found: dict[str, Sequence[Any]]) -> list[str]:
        """The columns that may say who somebody is."""
        if self.kind.table.name == "inbox":
            return [name for name in self.plan.fields if name in self.free]
        kind = self.kind.name
        free = [name for name, one in self.plan.fields.items() if one.field is not None and one.field.type.name in FREE]
        own = {"contact": PERSONAL, "activity": ("note",), "answer": ("text",)}.get(kind, ())
        return [name for name in own if name in found] + (free if kind == "contact" else [])

    def _day(self, at: int | None) -> int | None:
        return None if at is None else self.plan.zone.day_of(at)

    def _gather(self, found: dict[str, Sequence[Any]], rows: int) -> None:
        """Fields of a flow as JSON: what is asked for on the way goes with the move, the rest with the opening."""
        names = list(self.plan.fields)
        moves = [False] * rows
        if self.kind.name == "case" and {"stage", "at"} <= set(found):
            moves = [
                stage is not None and at is not None for stage, at in zip(found["stage"], found["at"], strict=True)
            ]
        late = [name for name in names if name in self.asked]
        early = [name for name in names if name not in self.asked]
        columns = {name: [_stored(self.plan.fields[name], value) for value in found[name]] for name in names}
        found["fields"] = [
            _packed({name: columns[name][row] for name in (early if moves[row] else names)}) for row in range(rows)
        ]
        if self.kind.name == "case":
            found["first_stage"] = [self.first.get(flow) for flow in found["flow"]]
            found["moved_fields"] = [
                _packed({name: columns[name][row] for name in late}) if moves[row] else None for row in range(rows)
            ]


def numeric(kind: Type) -> bool:
    """Whether values of this type are held as numbers."""
    return kind.name not in TEXTUAL


def _stored(filling: Filling, value: Any) -> list[Any] | None:
    """A field's value as the store holds it: [number, text]."""
    if value is None or filling.field is None:
        return None
    return [value, None] if numeric(filling.field.type) else [None, value]


def _asked(definition: Definition) -> frozenset[str]:
    return frozenset(
        name
        for flow in definition.flows.values()
        for stage in flow.stages.values()
        for way in stage.transitions
        for name in way.asks
    )


def _packed(fields: dict[str, Any]) -> str | None:
    known = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(known, ensure_ascii=False, sort_keys=True) if known else None


def _case_parts(said: str | None) -> tuple[str | None, str | None, int | None]:
    if said is None:
        return None, None, None
    flow, _, rest = said.partition("/")
    subject, _, number = rest.rpartition("/")
    if not (flow and subject and number.isdecimal() and len(number) < 10):
        raise ValueError(f"'{said}' is not a case: write FLOW/SUBJECT/NUMBER, e.g. complaint/C-1/3")
    return flow, subject, int(number)
