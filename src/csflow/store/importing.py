"""Bulk import, first half: rows are staged in temporary tables, resolved, and compared with each other.

Nothing here touches the project's tables, except that features get a row when a file first names them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Insert,
    and_,
    case,
    delete,
    func,
    insert,
    literal,
    null,
    select,
    text,
)

from csflow.store.importing_cases import find_called
from csflow.store.importing_staging import Staging, Terms, bound
from csflow.store.insertion import insert_into
from csflow.store.tables import case as case_table
from csflow.store.tables import contact, contract, customer, feature

if TYPE_CHECKING:
    pass

NO_ID = "no id: recognised by its content"
IN_FUTURE = "lies after the day of the import"
OUTSIDE = "lies outside its contract's dates"
NEGATIVE = "less than nothing"  # of use, or of money


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
