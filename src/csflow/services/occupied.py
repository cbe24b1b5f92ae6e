"""Where cases stand: which stages have any, so that no other one is asked about."""

from __future__ import annotations

from sqlalchemy import Executable, Text, and_, bindparam, exists, func, literal, literal_column, select, union_all

from csflow.store import tables as t
from csflow.store.insertion import listed

HANDLED = 2  # the queue of `touched` rows that a pass is working on
FEW = 2_000  # touched subjects: up to here it pays to look first where their cases stand


def stages_occupied(stages: list[tuple[str, str]]) -> Executable:
    """Which stages have a case: one look into the index for each."""
    parts = []
    for flow, stage in stages:
        some = exists(select(literal(1)).where(t.case.c.flow == flow, t.case.c.stage == stage))
        parts.append(select(literal(flow).label("flow"), literal(stage).label("stage")).where(some))
    return union_all(*parts)


def stages_of_touched() -> Executable:
    """The stages that the cases of the touched stand in; with more than FEW of them only how many there are."""
    touched = t.touched.c
    some = select(touched.kind, touched.subject).where(touched.queue == HANDLED).limit(literal_column(str(FEW + 1)))
    few = some.cte("few")
    many = select(func.count()).select_from(few).scalar_subquery()
    own = and_(few.c.kind == "customer", t.case.c.customer == few.c.subject)
    theirs = select(t.case.c.flow, t.case.c.stage, many.label("many")).select_from(few.join(t.case, own))
    # Cases of nobody are few, and a flow about them says whose they are: all of them are counted in.
    others = select(t.case.c.flow, t.case.c.stage, many).where(t.case.c.customer.is_(None))
    none = select(literal(""), literal(""), many)
    return union_all(theirs.where(many <= FEW).distinct(), others.where(many <= FEW).distinct(), none)


def occupied_by_few() -> Executable:
    """The stages that the cases of the chosen customers stand in."""
    chosen = listed(t.case.c.customer, bindparam("customers", "[]", Text))
    return select(t.case.c.flow, t.case.c.stage).where(chosen).distinct()
