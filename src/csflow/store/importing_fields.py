"""Declared fields in an imported file: written when they differ, stated again when they do not."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Insert,
    and_,
    case,
    false,
    func,
    insert,
    literal,
    null,
    or_,
    select,
)

from csflow.store.importing_staging import bound
from csflow.store.insertion import insert_into
from csflow.store.names import name_id
from csflow.store.tables import field_log, field_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from csflow.store.importing_staging import StagedField, Staging, Terms


def joined_fields(staging: Staging, source: FromClause) -> FromClause:
    """``source`` with the present value of each of the file's fields beside it."""
    for one in staging.fields:
        source = source.outerjoin(staging.held[one.column], _is_held(staging, one))
    return source


def differing_fields(staging: Staging) -> ColumnElement[bool]:
    """Whether any of the file's fields differs from what is held; use with `joined_fields`."""
    return or_(false(), *(_differs(staging, one) for one in staging.fields))


def _differs(staging: Staging, one: StagedField) -> ColumnElement[bool]:
    column = "number" if one.numeric else "text"
    differs: ColumnElement[bool] = staging.held[one.column].c[column].is_distinct_from(staging.ready.c[one.column])
    return differs


def write_fields(staging: Staging, source: Callable[[], FromClause]) -> None:
    """Write the fields of a chunk; ``source`` gives `ready` joined to the subjects' table.

    A first value has always been so (happened 0); a change happened on the day of the import. An empty cell makes a
    known field unknown and is nothing where none was known.
    """
    for one in staging.fields:
        staging.run(("former", one.column), partial(_former, staging, one, source))
        staging.run(("field", one.column), partial(_written, staging, one, source))


def _is_held(staging: Staging, one: StagedField) -> ColumnElement[bool]:
    held = staging.held[one.column].c
    return and_(held.field == bound(one.column), held.subject == staging.kind.table.c.id)


def _former(staging: Staging, one: StagedField, source: Callable[[], FromClause]) -> Insert:
    """What the chunk replaces, into the log: only where there was something."""
    held = staging.held[one.column]
    names = ["field", "subject", "number", "text", "happened", "stated"]
    kept = (
        select(*(held.c[name] for name in names), bound("actor"))
        .select_from(source().join(held, _is_held(staging, one)))
        .where(staging.chunk, _differs(staging, one))
    )
    return insert(field_log).from_select([*names, "actor"], kept)


def _written(staging: Staging, one: StagedField, source: Callable[[], FromClause]) -> Any:
    held, table, given = staging.held[one.column], staging.kind.table, staging.ready.c[one.column]
    rows = (
        select(
            bound(one.column),
            table.c.id,
            given if one.numeric else null(),
            null() if one.numeric else given,
            literal(0),
            bound("as_of"),
        )
        .select_from(source().outerjoin(held, _is_held(staging, one)))
        .where(staging.chunk, or_(given.is_not(None), held.c.subject.is_not(None)))
    )
    names = ["field", "subject", "number", "text", "happened", "stated"]
    statement: Any = insert_into(staging.connection, field_value).from_select(names, rows)
    excluded, column = statement.excluded, "number" if one.numeric else "text"
    changed = field_value.c[column].is_distinct_from(excluded[column])
    later = field_value.c.stated > excluded.stated
    return statement.on_conflict_do_update(
        index_elements=["field", "subject"],
        set_={
            "number": excluded.number,
            "text": excluded.text,
            "happened": case((changed, bound("day")), else_=field_value.c.happened),
            "stated": case((later, field_value.c.stated), else_=excluded.stated),
        },
    )


def fill_from_answers(staging: Staging, terms: Terms, questions: dict[str, bool], kind: str) -> None:
    """Let the newest answer to a question fill the customer's (or contact's) field of that name.

    ``questions`` are the declared fields and whether they are numbers.
    """
    from_table, ready = staging.kind.table, staging.ready.c
    told = staging.run("questions", lambda: select(ready.question).where(staging.fresh_rows).distinct())
    asked = set(told.scalars())
    for question, numeric in ((one, numeric) for one, numeric in questions.items() if one in asked):
        subject = from_table.c[kind]
        ranked = (
            select(
                subject.label("subject"),
                from_table.c.number,
                from_table.c.text,
                from_table.c.day,
                func.row_number()
                .over(partition_by=subject, order_by=(from_table.c.day.desc(), from_table.c.ref.desc()))
                .label("place"),
            )
            .where(
                from_table.c.question == question,
                subject.in_(
                    select(staging.ready.c[kind]).where(staging.fresh_rows, staging.ready.c[kind].is_not(None))
                ),
            )
            .subquery("ranked")
        )
        number = name_id(staging.connection, "field", f"{kind}.{question}")
        _fill(staging, terms, ranked, number, numeric=numeric)


def _fill(staging: Staging, terms: Terms, ranked: Any, number: int, *, numeric: bool) -> None:
    column = "number" if numeric else "text"
    held = field_value.alias("held")
    names = ["field", "subject", "number", "text", "happened", "stated"]
    newest = ranked.c.place == 1
    newer = ranked.outerjoin(held, and_(held.c.field == number, held.c.subject == ranked.c.subject))
    replaced = and_(newest, held.c.subject.is_not(None), held.c[column].is_distinct_from(ranked.c[column]))
    kept = select(*(held.c[name] for name in names), literal(terms.actor)).select_from(newer).where(replaced)
    staging.execute(insert(field_log).from_select([*names, "actor"], kept))
    rows = select(
        literal(number, BigInteger),
        ranked.c.subject,
        ranked.c.number if numeric else null(),
        null() if numeric else ranked.c.text,
        ranked.c.day,
        literal(terms.as_of, BigInteger),
    ).where(newest)
    statement: Any = insert_into(staging.connection, field_value).from_select(names, rows)
    put = {name: statement.excluded[name] for name in ("number", "text", "happened", "stated")}
    staging.execute(
        statement.on_conflict_do_update(
            index_elements=["field", "subject"],
            set_=put,
            where=field_value.c.happened <= statement.excluded.happened,
        )
    )
