"""Where all cases stand, who moved, what is overdue and who is stuck: totals by statements, whatever their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Subquery, and_, case, func, literal, or_, select, union

from csflow.errors import UsageError
from csflow.services.meaning import near
from csflow.store import tables as t
from csflow.store.names import subject_name
from csflow.store.touching import last_pass
from csflow.values import DAY_US, Instant, Zone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from csflow.flow.definition import Definition
    from csflow.store.opening import Store

EXAMPLES = 5  # cases named for each way taken in the last pass


def status(
    store: Store, definition: Definition, now: Instant, *, flow: str | None = None, stuck: int = 10
) -> dict[str, Any]:
    """The project at a moment, which may not lie before the last pass (UsageError: stages are known only since then).

    A dict of

    - ``as_of``, ``customers``, ``last_measure`` and ``last_pass`` (``{"as_of"}``, or null before the first);
    - ``flows``: ``name stages cases open overdue``, each of its stages, in their order, ``name end cases overdue
      median_days``: half of its cases have been there for longer;
    - ``moved``: in the last pass, ``flow from to cases examples`` (the ids of the first few subjects);
    - ``tasks``: open ones by role, ``role open overdue``;
    - ``stuck``: open cases, the overdue ones first, then those longest in their stage: ``case flow subject name stage
      days overdue``, at most ``stuck`` of them;
    - ``outbox``: messages by status.

    A case is overdue while a deadline is missed and not met since, or an open task is past due.
    """
    zone = Zone(definition.zone)
    if flow is not None and flow not in definition.flows:
        raise UsageError(f"no flow '{flow}'{near(flow, definition.flows)}")
    names = [name for name, one in definition.flows.items() if flow in (None, name, one.base)]
    with store.reading() as connection:
        last = last_pass(connection)
        if last is not None and now < last:
            raise UsageError(f"the last pass was at {zone.text(last)}: what stood before it is in csflow history")
        asker = _Asker(connection, definition, now, tuple(names) if flow is not None else None)
        return {
            "as_of": zone.text(now),
            "customers": connection.execute(select(func.count()).select_from(t.customer)).scalar_one(),
            "last_measure": asker.last_run("measure"),
            "last_pass": asker.last_run("pass"),
            "flows": asker.flows(names),
            "moved": asker.moved(last),
            "tasks": asker.tasks(),
            "stuck": asker.stuck(stuck),
            "outbox": asker.outbox(),
        }


def overdue_cases(now: Instant) -> Subquery:
    """The cases (column ``case``) with a deadline missed and not met since, or an open task past due.

    Ended ones are among them where somebody left a task open: who counts asks for ``ended`` too.
    """
    line, task = t.deadline.c, t.task.c
    missed = select(line.case).where(line.missed.is_not(None), line.met.is_(None), line.dropped == 0)
    late = select(task.case).where(task.done_at.is_(None), task.due < now)
    return union(missed, late).subquery("overdue")


class _Asker:
    """Asks one thing each; ``names`` are the flows asked about, None for all."""

    def __init__(
        self, connection: Connection, definition: Definition, now: Instant, names: tuple[str, ...] | None
    ) -> None:
        self.connection, self.definition, self.now, self.names = connection, definition, now, names
        self.zone = Zone(definition.zone)

    def _mine(self) -> list[ColumnElement[bool]]:
        return [] if self.names is None else [t.case.c.flow.in_(self.names)]

    def last_run(self, verb: str) -> dict[str, Any] | None:
        """The newest finished run of a verb, None before the first."""
        run = t.run.c
        newest = select(t.run).where(run.verb == verb, run.finished == 1).order_by(run.as_of.desc(), run.id.desc())
        row = self.connection.execute(newest.limit(1)).first()
        return None if row is None else {"as_of": self.zone.text(row.as_of)}

    def flows(self, names: list[str]) -> list[dict[str, Any]]:
        """Each flow with its stages; a stage that the definition no longer has comes last."""
        counted, median = self._counted(), self._medians()
        found = []
        for name in dict.fromkeys([*names, *(flow for flow, _ in counted)]):
            known = self.definition.flows.get(name)
            order = dict.fromkeys([*(known.stages if known else ()), *(s for f, s in counted if f == name)])
            stages = []
            for stage in order:
                many, overdue = counted.get((name, stage), (0, 0))
                declared = known.stages.get(stage) if known else None
                end, days = declared.end if declared else None, median.get((name, stage))
                stages.append({"name": stage, "end": end, "cases": many, "overdue": overdue, "median_days": days})
            open_ones = sum(stage["cases"] for stage in stages if stage["end"] is None)
            found.append(
                {
                    "name": name, "cases": sum(stage["cases"] for stage in stages), "open": open_ones,
                    "overdue": sum(stage["overdue"] for stage in stages), "stages": stages,
                }
            )  # fmt: skip
        return found

    def _counted(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(flow, stage) → (cases, overdue ones among the open)."""
        c, overdue = t.case.c, overdue_cases(self.now)
        late = func.sum(case((and_(overdue.c.case.is_not(None), c.ended.is_(None)), 1), else_=0))
        rows = self.connection.execute(
            select(c.flow, c.stage, func.count(), late)
            .select_from(t.case.outerjoin(overdue, overdue.c.case == c.id))
            .where(c.opened_at <= self.now, *self._mine())
            .group_by(c.flow, c.stage)
            .order_by(c.flow, c.stage)
        )
        return {(flow, stage): (many, int(overdue_ones)) for flow, stage, many, overdue_ones in rows}

    def _medians(self) -> dict[tuple[str, str], float]:
        """(flow, stage) → the median of the days in the stage, to a tenth of a day."""
        c = t.case.c
        same = [c.flow, c.stage]
        place = func.row_number().over(partition_by=same, order_by=c.entered_at).label("place")
        many = func.count().over(partition_by=same).label("many")
        ranked = select(c.flow, c.stage, c.entered_at, place, many).where(c.opened_at <= self.now, *self._mine())
        r = ranked.subquery("ranked").c
        middle = or_(2 * r.place == r.many, 2 * r.place == r.many + 1, 2 * r.place == r.many + 2)
        between = select(r.flow, r.stage, func.min(r.entered_at), func.max(r.entered_at)).where(middle)
        rows = self.connection.execute(between.group_by(r.flow, r.stage))
        return {(flow, stage): self._days((first + last) / 2) for flow, stage, first, last in rows}

    def _days(self, since: float) -> float:
        return max(round((self.now - since) / DAY_US, 1), 0.0)

    def moved(self, last: Instant | None) -> list[dict[str, Any]]:
        """The ways taken in the last pass, the most taken first."""
        if last is None:
            return []
        rows = self.connection.execute(self._moves(last)).all()
        found: dict[tuple[str, str, str], dict[str, Any]] = {}
        for row in rows:
            entry: dict[str, Any] = {"flow": row.flow, "from": row.source, "to": row.target, "cases": row.many}
            entry["examples"] = []
            found.setdefault((row.flow, row.source, row.target), entry)["examples"].append(row.key)
        return sorted(found.values(), key=lambda way: (-way["cases"], way["flow"], way["from"] or "", way["to"]))

    def _moves(self, last: Instant) -> Select[Any]:
        """The first few cases of each way. Only cases that entered their stage then can have moved: few are joined."""
        c, h = t.case.c, t.history.c
        way = [c.flow, h.source, h.target]
        joined, key = self._named(t.case)
        ranked = (
            select(
                c.flow, h.source, h.target, key.label("key"), func.count().over(partition_by=way).label("many"),
                func.row_number().over(partition_by=way, order_by=[key, c.number, h.seq]).label("place"),
            )
            .select_from(joined.join(t.history, h.case == c.id))
            .where(c.entered_at == last, h.at == last, h.kind == "moved", *self._mine())
            .subquery("moves")
        )  # fmt: skip
        m = ranked.c
        statement = select(m.flow, m.source, m.target, m.many, m.key).where(m.place <= EXAMPLES)
        return statement.order_by(m.flow, m.source, m.target, m.place)

    def _named(self, rows: Any) -> tuple[Any, ColumnElement[str]]:
        """Rows of cases (flow, subject) joined with what they are about, and the column of its id."""
        by_kind: dict[str, list[str]] = {"customer": []}
        for name, one in self.definition.flows.items():
            by_kind.setdefault(one.subject, []).append(name)
        joined, arms, plain = rows, [], t.customer.alias("about_customer")
        for kind, names in by_kind.items():
            table = plain if kind == "customer" else getattr(t, kind).alias(f"about_{kind}")
            joined = joined.outerjoin(table, table.c.id == rows.c.subject)
            if kind != "customer":
                arms.append((rows.c.flow.in_(names), subject_name(kind, table)))
        return joined, case(*arms, else_=plain.c.key) if arms else plain.c.key

    def tasks(self) -> list[dict[str, Any]]:
        """Open tasks by role, the roles in the order of the project."""
        task = t.task.c
        late = func.sum(case((task.due < self.now, 1), else_=0))
        statement = select(task.role, func.count(), late).where(task.done_at.is_(None)).group_by(task.role)
        if self.names is not None:
            statement = statement.join(t.case, t.case.c.id == task.case).where(*self._mine())
        order = {role: place for place, role in enumerate(self.definition.roles)}
        rows = list(self.connection.execute(statement))
        rows.sort(key=lambda row: (order.get(row[0] or "", len(order)), row[0] or ""))
        return [{"role": role, "open": many, "overdue": int(overdue)} for role, many, overdue in rows]

    def stuck(self, most: int) -> list[dict[str, Any]]:
        """The open cases that need somebody first: those overdue, then the others, where there is room for them."""
        overdue = overdue_cases(self.now)
        first = self._longest(t.case.join(overdue, overdue.c.case == t.case.c.id), most)
        others = t.case.c.id.not_in(select(overdue.c.case))
        rest = self._longest(t.case, most - len(first), others)
        return [self._stuck(row, overdue=True) for row in first] + [self._stuck(row, overdue=False) for row in rest]

    def _longest(self, cases: Any, most: int, *where: ColumnElement[bool]) -> Sequence[Row[Any]]:
        """Of these, the open cases that are longest in their stage.

        In two steps: where the list ends, then the names of those before it – not of all cases there are.
        """
        if most == 0:
            return []
        c = t.case.c
        waiting = (
            select(c.flow, c.subject, c.customer, c.number, c.stage, c.entered_at)
            .select_from(cases)
            .where(c.ended.is_(None), c.opened_at <= self.now, *self._mine(), *where)
        )
        end = waiting.with_only_columns(c.entered_at).order_by(c.entered_at).limit(1).offset(most - 1)
        last = self.connection.execute(end).scalar()
        chosen = (waiting if last is None else waiting.where(c.entered_at <= last)).subquery("stuck")
        joined, key = self._named(chosen)
        owner, s = t.customer.alias("owner"), chosen.c
        joined = joined.outerjoin(owner, owner.c.id == s.customer)
        statement = select(chosen, key.label("key"), owner.c.key.label("owner"), owner.c.name.label("called"))
        order = [s.entered_at, s.flow, key, s.number]
        return self.connection.execute(statement.select_from(joined).order_by(*order).limit(most)).all()

    def _stuck(self, row: Any, *, overdue: bool) -> dict[str, Any]:
        known = self.definition.flows.get(row.flow)
        kind = known.subject if known is not None else "customer"
        return {
            "case": f"{row.flow}/{row.key}/{row.number}", "flow": row.flow, "subject": {"kind": kind, "id": row.key},
            "customer": row.owner, "name": row.called, "stage": row.stage, "days": self._days(row.entered_at),
            "overdue": overdue,
        }  # fmt: skip

    def outbox(self) -> dict[str, int]:
        """Messages by status."""
        status = t.outbox.c.status
        statement = select(status, func.count(literal(1))).group_by(status).order_by(status)
        if self.names is not None:
            statement = statement.join(t.case, t.case.c.id == t.outbox.c.case).where(*self._mine())
        return {row[0]: row[1] for row in self.connection.execute(statement)}
