"""A small definition and short ways to import text, for the tests of import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from csflow.flow.definition import Definition, Field, Flow, Opening, Stage, Transition
from csflow.flow.types import BOOLEAN, MONEY, NUMBER, TEXT, Type
from csflow.services.importing import Summary, import_file
from csflow.store import tables
from csflow.values import Zone, day

ZONE = Zone("UTC")
FIELDS = {
    "customer": {
        "segment": Field("segment", Type("choice", ("single", "chain"))),
        "seats": Field("seats", NUMBER),
        "trial": Field("trial", BOOLEAN),
        "nps": Field("nps", NUMBER),
    },
    "contract": {"seller": Field("seller", TEXT)},
}
SUPPORT = Flow(
    "support",
    "customer",
    {},
    {"priority": Field("priority", TEXT), "score": Field("score", NUMBER), "cost": Field("cost", MONEY)},
    {
        "open": Stage(
            "open", transitions=(Transition("open", "done", "stages.open.transitions.done", asks=("score",)),)
        ),
        "done": Stage("done", end="good"),
    },
    "open",
    (Opening("opens.0", trigger="complain"),),
    "case.id",
    base="support",
)
LIFE = Flow(
    "life",
    "customer",
    {},
    {"cause": Field("cause", TEXT)},
    {"on": Stage("on", transitions=(Transition("on", "off", "transitions.off.0", trigger="cancel"),)), "off": Stage("off", end="bad")},
    "on",
    base="life",
)  # fmt: skip


def definition(imports: dict[str, Any] | None = None, **changed: Any) -> Definition:
    """A project in euros with a few fields and two flows."""
    said: dict[str, Any] = {
        "name": "test", "hash": "h", "zone": "UTC", "currency": "EUR", "languages": (), "year_starts": 1,
        "calendar": None, "calendars": {}, "vars": {}, "fields": FIELDS, "metrics": {},
        "flows": {"support": SUPPORT, "life": LIFE}, "roles": {}, "people": {}, "activities": {}, "messages": {},
        "imports": imports or {}, "tree": {},
    }  # fmt: skip
    return Definition(**(said | changed))


class Desk:
    """A store, a folder for files, and the verb."""

    def __init__(self, store: Any, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.definition = definition()

    def bring(self, name: str, text: str, *, on: str = "2024-06-01", ending: str = "csv", **how: Any) -> Summary:
        """Import text as the file NAME.csv; indentation and blanks after commas do not count."""
        path = self.folder / f"{name}.{ending}"
        lines = [",".join(cell.strip() for cell in line.split(",")) for line in text.strip().splitlines()]
        path.write_text("\n".join(lines) + "\n" if ending == "csv" else text, encoding="utf-8")
        return self.bring_file(name, path, on=on, **how)

    def bring_file(self, name: str, path: Path, *, on: str = "2024-06-01", **how: Any) -> Summary:
        """Import a file as of the end of a day."""
        return import_file(self.store, self.definition, name, path, as_of=ZONE.end_of(day(on)), **how)

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        """The table's rows, sorted by what is asked for."""
        chosen = tables.metadata.tables[table]
        with self.store.reading() as connection:
            found = connection.execute(select(*(chosen.c[column] for column in columns)))
            return sorted((tuple(row) for row in found), key=repr)

    def fields(self, name: str) -> dict[str, Any]:
        """The values of a customer's field by customer."""
        value, called, who = tables.field_value.c, tables.name.c, tables.customer.c
        with self.store.reading() as connection:
            found = connection.execute(
                select(who.key, value.number, value.text).where(
                    called.name == name, called.kind == "field", value.field == called.id, value.subject == who.id
                )
            )
            return {key: text if number is None else number for key, number, text in found}

    def touched(self) -> set[tuple[int, str, int]]:
        """(queue, customer, day) of everything that waits."""
        waits, who = tables.touched.c, tables.customer.c
        with self.store.reading() as connection:
            found = connection.execute(
                select(waits.queue, who.key, waits.day).where(waits.kind == "customer", waits.subject == who.id)
            )
            return {tuple(row) for row in found}

    def untouch(self) -> None:
        """Everything was handled."""
        with self.store.writing() as connection:
            connection.execute(tables.touched.delete())

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of all tables that an import writes, by natural keys."""
        with self.store.reading() as connection:
            keys = dict(tuple(row) for row in connection.execute(select(tables.customer.c.id, tables.customer.c.key)))
            names = dict(tuple(row) for row in connection.execute(select(tables.name.c.id, tables.name.c.name)))
            features = dict(tuple(row) for row in connection.execute(select(tables.feature.c.id, tables.feature.c.key)))
            found: dict[str, list[tuple[Any, ...]]] = {}
            for table in (
                tables.customer,
                tables.contract,
                tables.usage,
                tables.field_value,
                tables.inbox,
                tables.feature,
            ):
                rows = []
                for row in connection.execute(select(table)).mappings():
                    said = {name: value for name, value in row.items() if name not in {"id", "subject"}}
                    for name, meaning in (
                        ("customer", keys),
                        ("source", names),
                        ("field", names),
                        ("feature", features),
                    ):
                        if name in said:
                            said[name] = meaning.get(said[name])
                    if table is tables.field_value:
                        said["subject"] = keys.get(row["subject"])
                    rows.append(tuple(said.values()))
                found[table.name] = sorted(rows, key=repr)
            return found


def counts(summary: Summary) -> tuple[int, int, int, int, int, int]:
    """read, new, changed, unchanged, rejected, suspicious; they always add up."""
    told = (summary.read, summary.new, summary.changed, summary.unchanged, summary.rejected, summary.suspicious)
    assert summary.read == summary.new + summary.changed + summary.unchanged + summary.rejected + summary.merged
    return told
