"""Whom a case's name speaks of: `renewal/C-1/K-1/2` is about a contract, `complaint/C-1/3` about a customer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, insert, literal, select

from csflow.store import tables as t
from csflow.store.catalogue import SUBJECTS
from csflow.store.names import subject_name

if TYPE_CHECKING:
    from sqlalchemy import Insert

    from csflow.store.importing_staging import Staging


def find_called(staging: Staging) -> None:
    """Fill `called` (kind, key, id, many) with the subjects that staged names of cases mean, as people write them.

    A contract is `CUSTOMER/CONTRACT`; its own id alone stands for it too, and several customers may have that id
    (``many``).
    """
    kinds = staging.incoming.c.case_kind
    told = staging.run("told", lambda: select(kinds).distinct().where(kinds.is_not(None))).scalars()
    for kind in sorted(told, key=SUBJECTS.index):
        for place in range(2 if kind == "contract" else 1):  # the first that is found stands, as by hand
            staging.run(("called", kind, place), partial(_finding, staging, kind, place))


def _finding(staging: Staging, kind: str, place: int) -> Insert:
    staged, called = staging.incoming.c, staging.called
    table: Any = getattr(t, kind)
    key = subject_name(kind, table) if place else table.c.key
    flows = select(staged.case_flow).where(staged.case_kind == kind)
    # Those of the words are few, those with a case are many: each is looked up.
    whose = exists(select(literal(1)).where(t.case.c.flow.in_(flows), t.case.c.subject == table.c.id))
    words = select(staged.case_subject).where(staged.case_kind == kind)
    known = select(called.c.key).where(called.c.kind == kind)
    rows = select(key.label("key"), table.c.id).where(whose, key.in_(words), key.not_in(known)).subquery()
    found = select(literal(kind), rows.c.key, func.min(rows.c.id), func.count()).group_by(rows.c.key)
    return insert(called).from_select(["kind", "key", "id", "many"], found)
