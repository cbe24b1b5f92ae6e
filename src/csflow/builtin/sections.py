"""Sections that come with csflow, through the same hook as everybody's."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, case, func, select

from csflow.hookspecs import Section, Sheet, hookimpl
from csflow.store import tables as t

WORDS = {
    "en": ("Deadlines", ("Flow", "Deadline", "In time", "Late", "Missed", "Missed or late"), "none judged yet"),
    "zh": ("节点是否延期", ("流程", "节点", "按时", "延期完成", "延期未完成", "延期率"), "尚无已判定的节点"),
}
NOTE = {
    "en": "A deadline counts once for each time its clock ran; the share is of those judged (in time, late, missed).",
    "zh": "每个案例的每个节点在每次计时中计一次。延期率 = (延期完成 + 延期未完成) ÷ 已判定的节点数。",
}


def missed_deadlines(sheet: Sheet) -> Section:
    """How deadlines were kept, for each flow and deadline: met in time, met late, missed and not met since.

    ``with: {flow: NAME}`` shows one flow only. What is not due yet, or was dropped, is not counted. The share is
    (late + missed) ÷ judged, a text in per cent; None where nothing was judged.
    """
    d, c = t.deadline.c, t.case.c
    judged = {
        "in_time": and_(d.met.is_not(None), d.missed.is_(None)),
        "late": and_(d.met.is_not(None), d.missed.is_not(None)),
        "missed": and_(d.met.is_(None), d.missed.is_not(None)),
    }
    counts: list[Any] = [func.sum(case((holds, 1), else_=0)).label(name) for name, holds in judged.items()]
    statement = select(c.flow, d.name, *counts).join(t.case, c.id == d.case).where(d.dropped == 0)
    if sheet.options.get("flow") is not None:
        statement = statement.where(c.flow == str(sheet.options["flow"]))
    found = sheet.connection.execute(statement.group_by(c.flow, d.name).order_by(c.flow, d.name)).all()
    rows = []
    for flow, name, in_time, late, missed in found:
        total = in_time + late + missed
        if total:
            share = f"{100 * (late + missed) / total:.0f} %"
            rows.append((sheet.called(flow), sheet.called(flow, name), in_time, late, missed, share))
    language = sheet.language if sheet.language in WORDS else "en"
    title, columns, nothing = WORDS[language]
    return Section(title, columns, tuple(rows), NOTE[language] if rows else nothing)


@hookimpl
def csflow_sections() -> dict[str, Any]:
    """``csflow/missed_deadlines``."""
    return {"csflow/missed_deadlines": missed_deadlines}
