"""Bulk import, first half: rows are staged in temporary tables, resolved, and compared with each other.

`incoming` holds the converted cells, `ready` what they become: references as ids, one row for each key, in an order in
which the second half writes pages one after the other. Nothing here touches the project's tables, except that features
get a row when a file first names them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Index,
    Insert,
    MetaData,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    null,
    select,
    text,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from csflow.store.importing_cases import find_called
from csflow.store.importing_kinds import KINDS
from csflow.store.insertion import has_temporary, insert_into
from csflow.store.names import name_id
from csflow.store.tables import Big, Id, Real, Word, contact, contract, customer, feature, field_value
from csflow.store.tables import case as case_table

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
NUMBERS = count()
NO_ID = "no id: recognised by its content"
IN_FUTURE = "lies after the day of the import"
OUTSIDE = "lies outside its contract's dates"
NEGATIVE = "less than nothing"  # of use, or of money


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
        self.number = next(NUMBERS)  # each shape has tables of its own
        self.made: dict[Any, Any] = {}  # statements about them, see `Staging.run`
        staged_fields = [(one.column, Real if one.numeric else Word) for one in fields]
        self.incoming = self._table(
            "incoming", [("line", Big)] + [(name, STORED[kind]) for name, kind in columns.items()] + staged_fields
        )
        self.rejected = self._table("rejected", [("line", Big), ("column", Word), ("reason", Word)])
        self.ready = self._table("ready", [("line", Big), *self._ready_columns(kind), *staged_fields], placed=True)
        self.fresh = self._table("fresh", [("place", Big), ("was", Big)])
        self.group = self._table("group", [("place", Big), ("first", Big)])
        Index(f"ix_staged_{self.number}_group_first", self.group.c.first)
        self.owner = self._table(
            "owner", [("key", Word), ("id", Big), ("customer", Big), ("many", Big), ("starts_on", Big), ("ends", Big)]
        )
        Index(f"ix_staged_{self.number}_owner_key", self.owner.c.key)
        self.called = self._table("called", [("kind", Word), ("key", Word), ("id", Big), ("many", Big)])
        Index(f"ix_staged_{self.number}_called_key", self.called.c.key)

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
        names = [table.name for table in self.metadata.sorted_tables]
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"truncate {', '.join(names)}")
            return
        for name in names:
            connection.exec_driver_sql(f"delete from {name}")  # noqa: S608 - our names

    def _table(self, name: str, columns: Iterable[tuple[str, Any]], *, placed: bool = False) -> Table:
        place = [Column("place", Id, primary_key=True, autoincrement=True)] if placed else []
        return Table(
            f"staged_{self.number}_{name}",
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
        clear = "truncate" if self.connection.dialect.name == "postgresql" else "delete from"
        self.connection.exec_driver_sql(f"{clear} {self.fresh.name}")

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


def make_features(staging: Staging) -> None:
    """Give a row to every feature that a usage file names for the first time."""
    incoming = staging.incoming.c
    known = select(feature.c.key).where(feature.c.key == incoming.feature).exists()
    wanted = select(incoming.feature).where(incoming.feature.is_not(None), ~known).distinct()
    statement = insert_into(staging.connection, feature).from_select(["key"], wanted.order_by(incoming.feature))
    staging.connection.execute(statement.on_conflict_do_nothing())


def resolve(staging: Staging, terms: Terms) -> None:
    """Fill `ready` with the rows that can be used, in order; the others go to `rejected`."""
    connection, ready = staging.connection, staging.ready
    staging.begin(terms)
    staging.hurry()
    if staging.connection.dialect.name == "postgresql":
        connection.execute(text(f"analyze {staging.incoming.name}"))
    if "contract" in staging.columns:
        _find_owners(staging)
    if "case" in staging.columns:
        find_called(staging)
    staging.run(("resolve", terms.has_ids), lambda: _resolution(staging, terms))
    wrong = ready.c.problem.is_not(None)
    moved = select(ready.c.line, ready.c.problem_column, ready.c.problem).where(wrong)
    staging.run("wrong", lambda: insert(staging.rejected).from_select(["line", "column", "reason"], moved))
    staging.run("right", lambda: delete(ready).where(wrong))
    staging.analyzed()


def _resolution(staging: Staging, terms: Terms) -> Insert:
    chosen = _Resolution(staging, terms)
    values = chosen.values()
    values |= {one.column: staging.incoming.c[one.column] for one in staging.fields}
    order = [values[name] for name in staging.order]
    ordered = (
        select(*(value.label(name) for name, value in values.items()))
        .select_from(chosen.source)
        .order_by(*order, values["line"])
    )
    return insert(staging.ready).from_select(list(values), ordered)


def _find_owners(staging: Staging) -> None:
    columns = contract.c
    whose = select(
        columns.key,
        func.min(columns.id),
        func.min(columns.customer),
        func.count(),
        func.min(columns.starts_on),
        case((func.count(columns.ends) == func.count(), func.max(columns.ends))),
    ).group_by(columns.key)
    names = ["key", "id", "customer", "many", "starts_on", "ends"]
    staging.connection.execute(insert(staging.owner).from_select(names, whose))


class _Resolution:
    """The SELECT that turns staged cells into rows: its joins, its values, and what is wrong with a row."""

    def __init__(self, staging: Staging, terms: Terms) -> None:
        self.staging = staging
        self.terms = terms
        self.cells = staging.incoming.c
        self.source: FromClause = staging.incoming
        self.problems: list[tuple[str, ColumnElement[bool], ColumnElement[str]]] = []
        self.owners: list[ColumnElement[int]] = []
        self.references: list[tuple[str, ColumnElement[int]]] = []
        self._join_references()

    def _join_references(self) -> None:
        columns = self.staging.columns
        if self.staging.kind.name in {"customer", "person", "feature", "rate"}:
            return
        if "customer" in columns:
            self._join(customer, "customer", customer.c.key == self.cells.customer)
            self.owners.append(customer.c.id)
        if "contract" in columns:
            owner = self.staging.owner
            self._join(owner, "contract", owner.c.key == self.cells.contract)
            many = and_(owner.c.many > 1, literal("customer" not in columns))
            self.problems.append(("contract", many, self._says("several customers have a contract", "contract")))
            self.owners.append(owner.c.customer)
        if "contact" in columns:
            self._join(contact, "contact", contact.c.key == self.cells.contact)
            self.owners.append(contact.c.customer)
        if "case" in columns:
            self._join_case()
        if self.owners:
            self._check_owner()

    def _join(self, table: FromClause, name: str, on: ColumnElement[bool]) -> None:
        self.source = self.source.outerjoin(table, on)
        missing = and_(self.cells[name].is_not(None), table.c.id.is_(None))
        self.problems.append((name, missing, self._says(f"there is no {name}", name)))
        self.references.append((name, table.c.id))

    def _join_case(self) -> None:
        """`complaint/C-1/3`: its parts were staged beside it; who `C-1` is hangs on what the flow is about."""
        called, cells = self.staging.called, self.cells
        self.source = self.source.outerjoin(
            called, and_(called.c.kind == cells.case_kind, called.c.key == cells.case_subject)
        ).outerjoin(
            case_table,
            and_(
                case_table.c.flow == cells.case_flow,
                case_table.c.subject == called.c.id,
                case_table.c.number == cells.case_number,
            ),
        )
        several = self._says(
            "say whose contract it is, as FLOW/CUSTOMER/CONTRACT/NUMBER: several customers have", "case"
        )
        self.problems.append(("case", called.c.many > 1, several))
        missing = and_(cells.case.is_not(None), case_table.c.id.is_(None))
        self.problems.append(("case", missing, self._says("there is no case", "case")))
        self.references.append(("case", case_table.c.id))
        self.owners.append(case_table.c.customer)

    def _check_owner(self) -> None:
        named = next(name for name in ("customer", "contract", "contact", "case") if name in self.staging.columns)
        nobody: ColumnElement[bool] = self._owner().is_(None)
        if "case" in self.staging.columns:
            nobody = and_(nobody, case_table.c.id.is_(None))  # a case may be a colleague's or the vendor's
        self.problems.append((named, nobody, literal("names no customer")))
        for first, second in zip(self.owners, self.owners[1:], strict=False):
            self.problems.append((named, first != second, literal("the row names two different customers")))

    def _owner(self) -> ColumnElement[int]:
        return func.coalesce(*self.owners) if len(self.owners) > 1 else self.owners[0]

    def _says(self, reason: str, name: str) -> ColumnElement[str]:
        return literal(f"{reason} '") + self.cells[name] + literal("'")

    def values(self) -> dict[str, ColumnElement[Any]]:
        """Every column of `ready` but its place, as an expression."""
        staging, cells = self.staging, self.cells
        renamed = {table: name for name, table in staging.kind.renamed.items()}
        found: dict[str, ColumnElement[Any]] = {"line": cells.line}
        for name in dict.fromkeys((*staging.key, *staging.kind.content)):
            mapped = renamed.get(name, name)
            found[name] = cells[mapped] if mapped in cells else null()
        if self.owners:
            found["customer"] = self._owner()
        if "source" in found or staging.kind.numbered:
            found["source"] = bound("source")
        if staging.kind.numbered and not staging.natural:
            found["ref"] = cells.id
        self._specials(found)
        found["happened"] = self._happened()
        found["odd"] = self._odd()
        found["problem"], found["problem_column"] = self._first_problem()
        if "source" not in staging.ready.c:
            found.pop("source", None)
        return found

    def _specials(self, found: dict[str, ColumnElement[Any]]) -> None:
        """What some kinds compute from their cells."""
        kind, cells = self.staging.kind.name, self.cells
        if kind == "contract":
            found["ends"] = cells.ends_on + 1 if "ends_on" in cells else null()
            found["key"] = cells.id
            if "ends_on" in cells:
                self.problems.append(("ends_on", cells.ends_on < cells.starts_on, literal("ends before it begins")))
        if kind == "usage":
            self.source = self.source.outerjoin(feature, feature.c.key == cells.feature)
            found["feature"] = feature.c.id
        if kind in {"activity", "answer"} and "contact" in cells:
            found["contact"] = contact.c.id
        if kind in {"trigger", "case"}:
            self._subject(found)

    def _subject(self, found: dict[str, ColumnElement[Any]]) -> None:
        """Which subject a trigger or a case speaks about: the narrowest that the row names."""
        order = {"case": 0, "contact": 1, "contract": 2, "customer": 3}
        known = sorted(self.references, key=lambda one: order[one[0]])
        found["kind"] = case(*((identifier.is_not(None), name) for name, identifier in known))
        found["subject"] = func.coalesce(*(identifier for _, identifier in known), null())
        found["actor"] = func.coalesce(self.cells.actor if "actor" in self.cells else null(), bound("actor"))
        found["fields"] = self.cells.fields
        found["case_key"] = null()
        if self.staging.kind.name == "case":
            found |= {
                "name": literal("open"),
                "at": self.cells.opened_at,
                "case_key": self.cells.id,
                "moved_at": self.cells.at if {"at", "stage"} <= set(self.cells.keys()) else null(),
                "moved_fields": self.cells.moved_fields,
                "first_stage": self.cells.first_stage,
            }
            if "at" in self.cells:
                early = self.cells.at < self.cells.opened_at
                self.problems.append(("at", early, literal("moved before it was opened")))

    def _happened(self) -> ColumnElement[Any]:
        """The first day a row is to be seen from."""
        kind, cells = self.staging.kind.name, self.cells
        signed = cells.signed_on if "signed_on" in cells else null()
        if kind == "customer":
            return func.coalesce(signed, 0)
        if kind == "contract":
            early = case((cells.starts_on < bound("day"), cells.starts_on), else_=bound("day"))
            return func.coalesce(signed, early)
        if kind == "contact":
            return func.coalesce(cells.left_on, 0) if "left_on" in cells else literal(0)
        for name in ("day", "at_day"):
            if name in cells:
                return cells[name]
        return literal(0)

    def _odd(self) -> ColumnElement[Any]:
        """The first thing that a row is suspected of; it is imported all the same."""
        kind, cells, owner = self.staging.kind.name, self.cells, self.staging.owner.c
        amounts = [name for name in ("count", "seconds", "users", "amount") if name in cells]
        doubts: list[tuple[ColumnElement[bool], str]] = [(cells[name] < 0, NEGATIVE) for name in amounts]
        dates = [name for name in ("day", "at_day") if name in cells and kind != "rate"]
        doubts += [(cells[name] > bound("day"), IN_FUTURE) for name in dates]
        if kind == "usage" and "contract" in cells:
            doubts.append(((cells.day < owner.starts_on) | (cells.day >= owner.ends), OUTSIDE))
        if self.staging.kind.numbered and not self.terms.has_ids and not self.staging.natural:
            doubts.append((literal(1) == 1, NO_ID))
        return case(*doubts) if doubts else null()

    def _first_problem(self) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        if not self.problems:
            return null(), null()
        return (
            case(*((condition, reason) for _, condition, reason in self.problems)),
            case(*((condition, literal(name)) for name, condition, _ in self.problems)),
        )
