"""The temporary tables that an import puts its rows in, and the statements about them.

`incoming` holds the converted cells, `ready` what they become: references as ids, one row for each key, in an order in
which pages are written one after the other. The others help on the way.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    MetaData,
    Table,
    and_,
    bindparam,
    insert,
    select,
    text,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from csflow.store.importing_kinds import KINDS
from csflow.store.insertion import empty, has_temporary
from csflow.store.names import name_id
from csflow.store.tables import Big, Id, Real, Word, field_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from csflow.store.importing_kinds import Kind

STORED: dict[str, Any] = {
    "key": Word,
    "text": Word,
    "currency": Word,
    "date": Big,
    "time": Big,
    "amount": Big,
    "boolean": Big,
    "number": Real,
}


@dataclass(frozen=True, slots=True)
class StagedField:
    """A declared field in a file: its full name (customer.segment), whether it is a number, its staged column."""

    name: str
    numeric: bool
    column: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What an import is done under. ``day`` is the as-of day, ``seen_until`` the day of the last finished pass."""

    source: int
    as_of: int
    day: int
    currency: str
    actor: str
    seen_until: int | None = None
    on_duplicate: str | None = None
    has_ids: bool = True
    infer_replaces: bool = True


@dataclass(slots=True)
class Counts:
    """What became of the rows, counted by the database. ``merged`` rows were added up or replaced within the file."""

    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0
    merged: int = 0
    closed: int = 0
    suspicions: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)


def bound(name: str) -> ColumnElement[Any]:
    """What differs from one import of a shape to the next, by name: see `Staging.begin`."""
    return bindparam(f"at_{name}", type_=Word if name == "actor" else BigInteger)


class Staged:
    """The temporary tables of one shape of file, made once: a statement that was compiled for them serves again.

    They stay with the connection, emptied: a database that loses a table must read every statement anew.
    """

    def __init__(self, kind: Kind, columns: dict[str, str], fields: Sequence[StagedField]) -> None:
        self.natural = kind.name == "usage" and "id" not in columns
        self.key = ("customer", "feature", "day", "source") if self.natural else kind.key
        self.metadata = MetaData()
        shape = repr((kind.name, columns, tuple(fields)))
        self.name = hashlib.sha256(shape.encode()).hexdigest()[:10]  # each shape has tables of its own
        self.made: dict[Any, Any] = {}  # statements about them, see `Staging.run`
        staged_fields = [(one.column, Real if one.numeric else Word) for one in fields]
        self.incoming = self._table(
            "incoming", [("line", Big)] + [(name, STORED[kind]) for name, kind in columns.items()] + staged_fields
        )
        self.rejected = self._table("rejected", [("line", Big), ("column", Word), ("reason", Word)])
        self.ready = self._table("ready", [("line", Big), *self._ready_columns(kind), *staged_fields], placed=True)
        self.fresh = self._table("fresh", [("place", Big), ("was", Big)])
        self.group = self._table("group", [("place", Big), ("first", Big)])
        Index(f"ix_staged_{self.name}_group_first", self.group.c.first)
        self.owner = self._table(
            "owner", [("key", Word), ("id", Big), ("customer", Big), ("many", Big), ("starts_on", Big), ("ends", Big)]
        )
        Index(f"ix_staged_{self.name}_owner_key", self.owner.c.key)
        self.called = self._table("called", [("kind", Word), ("key", Word), ("id", Big), ("many", Big)])
        Index(f"ix_staged_{self.name}_called_key", self.called.c.key)

    def create(self, connection: Connection) -> None:
        """Have the tables on a connection."""
        if has_temporary(connection, self.incoming.name):
            return
        tables = self.metadata.sorted_tables
        made: list[Any] = [CreateTable(table) for table in tables]
        made += [CreateIndex(index) for table in tables for index in table.indexes]
        for statement in made:
            connection.execute(statement)

    def clear(self, connection: Connection) -> None:
        """Empty them again."""
        empty(connection, *(table.name for table in self.metadata.sorted_tables))

    def _table(self, name: str, columns: Iterable[tuple[str, Any]], *, placed: bool = False) -> Table:
        place = [Column("place", Id, primary_key=True, autoincrement=True)] if placed else []
        return Table(
            f"staged_{self.name}_{name}",
            self.metadata,
            *place,
            *(Column(*one) for one in columns),
            prefixes=["TEMPORARY"],
        )

    def _ready_columns(self, kind: Kind) -> Iterator[tuple[str, Any]]:
        table = kind.table
        names = dict.fromkeys((*self.key, *kind.content))
        for name in names:
            yield name, table.c[name].type
        if "ref" in table.c and "ref" not in names:
            yield "ref", Word
        if kind.name == "case":
            yield from (("moved_at", Big), ("moved_fields", Word), ("first_stage", Word))
        yield from (("happened", Big), ("problem", Word), ("problem_column", Word), ("odd", Word))


@lru_cache(maxsize=64)
def _staged(kind: str, columns: tuple[tuple[str, str], ...], fields: tuple[StagedField, ...]) -> Staged:
    return Staged(KINDS[kind], dict(columns), fields)


class Staging:
    """The temporary tables of one import, on one connection."""

    def __init__(
        self, connection: Connection, kind: Kind, columns: dict[str, str], fields: Sequence[StagedField]
    ) -> None:
        """``columns`` are the staged columns and their types (csflow's names, and what the kind adds)."""
        self.connection = connection
        self.kind = kind
        self.columns = columns
        self.fields = tuple(fields)
        self.held = {one.column: field_value.alias(f"held_{one.column}") for one in fields}
        self.tables = _staged(kind.name, tuple(columns.items()), self.fields)
        self.natural, self.key = self.tables.natural, self.tables.key
        # A customer's usage goes together: then it is touched once, and two of the indexes are filled page by page.
        self.order = ("customer", "day") if kind.name == "usage" else self.key
        self.incoming, self.rejected = self.tables.incoming, self.tables.rejected
        self.ready, self.fresh, self.group = self.tables.ready, self.tables.fresh, self.tables.group
        self.owner, self.called = self.tables.owner, self.tables.called
        self.chunk: ColumnElement[bool] = self.ready.c.place.between(bound("first"), bound("last"))
        self.bound: dict[str, Any] = {}
        self.first_time = False  # the table holds nothing of this source yet
        self.tables.create(connection)

    def hurry(self) -> None:
        """Let PostgreSQL sort in memory and not compile each statement, for the rest of this transaction."""
        if self.connection.dialect.name == "postgresql":
            for setting in ("work_mem = '64MB'", "jit = off"):
                self.connection.execute(text(f"set local {setting}"))

    def begin(self, terms: Terms) -> None:
        """Give what statements call `bound` its values: the terms, and the numbers of the declared fields."""
        self.bound = {"at_source": terms.source, "at_as_of": terms.as_of, "at_day": terms.day, "at_actor": terms.actor}
        self.bound["at_seen"] = terms.seen_until
        for one in self.fields:
            self.bound[f"at_{one.column}"] = name_id(self.connection, "field", one.name)

    def begin_chunk(self, first: int, last: int) -> None:
        """Work on the places ``first`` to ``last`` of `ready` from now on; nothing in them is known to be fresh."""
        self.bound |= {"at_first": first, "at_last": last}
        self.hurry()
        empty(self.connection, self.fresh.name)

    def run(self, key: Any, build: Callable[[], Any], **more: Any) -> Any:
        """Execute a statement that is made once for a shape of file; ``key`` says which, and what else it hangs on.

        Building a statement costs more than running it on the few rows of a daily file.
        """
        name = (self.connection.dialect.name, key)
        made = self.tables.made.get(name)
        if made is None:
            made = self.tables.made[name] = build()
        return self.execute(made, **more)

    def execute(self, statement: Any, **more: Any) -> Any:
        """Execute a statement with the values of what it calls `bound`."""
        return self.connection.execute(statement, self.bound | more)

    @property
    def fresh_rows(self) -> ColumnElement[bool]:
        """Which rows of `ready` are new or differ: within the chunk, or every chunk would read the whole table."""
        return and_(self.chunk, self.ready.c.place.in_(select(self.fresh.c.place)))

    @property
    def content(self) -> tuple[str, ...]:
        """The table's columns that this file fills, apart from the key."""
        renamed = self.kind.renamed
        filled = {renamed.get(name, name) for name in self.columns}
        if {"customer", "contract", "contact", "case"} & filled:
            filled |= {"customer", "kind", "subject"}
        if self.kind.table.name == "inbox":
            filled |= {"fields", "case_key", "actor"}
        return tuple(name for name in self.kind.content if name in filled and name not in self.key)

    @property
    def key_names(self) -> str:
        """The key in csflow's words, as rejects name it."""
        said = {table: name for name, table in self.kind.renamed.items()}
        names = [said.get(name, name) for name in self.key if name != "source"]
        return ", ".join(name for name in names if name in self.columns or name == "id")

    def add(self, columns: Sequence[Iterable[Any]]) -> None:
        """Stage rows, given column by column: the line first, then the staged columns, then the fields."""
        rows = zip(*columns, strict=True)
        raw = self.connection.connection.dbapi_connection
        assert raw is not None  # noqa: S101 - a connection in use has one
        names = ", ".join(f'"{column.name}"' for column in self.incoming.columns)
        if self.connection.dialect.name == "postgresql":
            with raw.cursor().copy(f"copy {self.incoming.name} ({names}) from stdin") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            marks = ", ".join("?" * len(self.incoming.columns))
            raw.executemany(f"insert into {self.incoming.name} ({names}) values ({marks})", rows)  # noqa: S608 - our names

    def reject(self, rows: Sequence[tuple[int, str, str]]) -> None:
        """Put rows among the rejected: line, column, reason."""
        if rows:
            self.connection.execute(
                insert(self.rejected), [{"line": line, "column": column, "reason": why} for line, column, why in rows]
            )

    def rejects(self) -> Iterator[tuple[int, str, str]]:
        """The rejected rows in the order of the file."""
        c = self.rejected.c
        listed = self.run("rejects", lambda: select(c.line, c.column, c.reason).order_by(c.line))
        for row in listed.yield_per(1000):
            yield row.line, row.column, row.reason

    def has_rejects(self) -> bool:
        """Whether any row was refused so far."""
        return self.connection.execute(select(self.rejected.c.line).limit(1)).first() is not None

    def suspicious(self, reason: str, number: int) -> list[int]:
        """The first lines of the file whose rows came in although ``reason`` speaks against them."""
        line = self.ready.c.line
        chosen = select(line).where(self.ready.c.odd == reason).order_by(line).limit(number)
        return list(self.connection.execute(chosen).scalars())

    def clear(self) -> None:
        """Empty the temporary tables."""
        self.tables.clear(self.connection)

    def analyzed(self) -> None:
        """Tell PostgreSQL how large the staged tables are: it knows nothing of temporary ones by itself."""
        if self.connection.dialect.name == "postgresql":
            for table in (self.ready, self.owner, self.called):
                self.connection.execute(text(f"analyze {table.name}"))
