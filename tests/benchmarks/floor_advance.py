"""The floor of a pass: sqlite3 and nothing else, every question and write formed by hand for this one project.

The same rules, hops, milestones, deadlines, history and outbox rows as csflow writes, a commit every 500 cases with
synchronous=FULL. It knows beforehand what csflow has to find out: which tables matter, and in which order to join them.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
import time
from datetime import UTC, datetime

import rules as r

CHUNK = 500
PROJECT, FLOW, ACTOR = "benchmark", "lifecycle", "benchmark"
CASE = "c.id, c.customer, c.stage, c.stay, c.came_from, c.came_stay, c.seq"


def advance(path: str) -> dict:
    """The whole pass; returns seconds and counts."""
    raw = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = wal", "synchronous = full", "foreign_keys = on", "cache_size = -32768"):
        raw.execute(f"pragma {pragma}").fetchall()
    start, busy = time.perf_counter(), time.process_time()
    numbers = dict(raw.execute("select name, id from name where kind = 'metric'"))
    definition = raw.execute("select hash from definition").fetchone()[0]
    raw.execute("create temp table dirty (customer integer primary key)")
    counts = {"moved": 0, "milestones": 0, "missed": 0, "messages": 0}
    hop = 0
    while True:
        cases = _ask(raw, numbers, everyone=hop == 0)
        if not cases:
            break
        listed = sorted(cases)
        raw.execute("delete from dirty")
        for begin in range(0, len(listed), CHUNK):
            _write(raw, {case: cases[case] for case in listed[begin : begin + CHUNK]}, definition, counts)
        hop += 1
    return {"seconds": time.perf_counter() - start, "cpu": time.process_time() - busy, "counts": counts}


# questions


def _ask(raw: sqlite3.Connection, numbers: dict[str, int], *, everyone: bool) -> dict[int, dict]:
    """Case → what holds for it: milestones, misses, the first transition."""
    dirty = "" if everyone else " and c.subject in (select customer from dirty)"
    cases: dict[int, dict] = {}
    for stage in r.STAGES:
        for name, rule in r.MILESTONES[stage].items():
            fresh = 'not exists (select 1 from milestone m where m."case" = c.id and m.stay = c.stay and m.name = ?)'
            for row in _holding(raw, numbers, stage, rule, f" and {fresh}{dirty}", (name,)):
                cases.setdefault(row[0], {"milestones": []})["milestones"].append((name, rule, row[1:]))
    late = (
        'select d."case", d.name, d.due from deadline d cross join "case" c on c.id = d."case" where d.due < ? and d.met is null '
        "and d.missed is null and d.dropped = 0 and c.ended is null"
    )
    for case, name, due in raw.execute(late + dirty, (r.NOW,)):
        cases.setdefault(case, {"milestones": []}).setdefault("missed", []).append((name, due))
    for stage in r.STAGES:
        taken: set[int] = set()
        for target, rule, role in r.TRANSITIONS[stage]:
            for row in _holding(raw, numbers, stage, rule, dirty, ()):
                if row[0] not in taken:
                    taken.add(row[0])
                    cases.setdefault(row[0], {"milestones": []})["move"] = (target, rule, role, row[1:])
    return cases


def _holding(
    raw: sqlite3.Connection, numbers: dict[str, int], stage: str, rule: tuple, more: str, bound: tuple
) -> list[tuple]:
    """One question, metric-first: case, and (value, known, happened) of both facts."""
    joins, where, columns, values = [], [], [], []
    for place, (name, op, value) in enumerate(rule):
        if name == r.ENDS:
            joins.append("cross join customer u on u.id = c.customer cross join contract k on k.id = u.contract")
            where.append(f"k.ends - 1 {op} {int(value)}")
            columns.append("k.ends - 1, null, null")
        else:
            joins.append(
                f"cross join measurement m{place} on m{place}.metric = {numbers[name]} and m{place}.subject = c.customer"
            )
            where.append(f"m{place}.number {op} {float(value)}")
            columns.append(f"m{place}.number, m{place}.known, m{place}.happened")
    statement = (
        f"select c.id, {', '.join(columns)} from \"case\" c {' '.join(joins)} where c.flow = '{FLOW}' and c.stage = ? "
        f"and {' and '.join(where)}{more}"
    )
    values = [stage, *bound]
    return raw.execute(statement, values).fetchall()


# writing


def _text(at: int) -> str:
    return datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M")


def _because(rule: tuple, row: tuple) -> str:
    found = []
    for place, (name, _, _) in enumerate(rule):
        value, known = row[place * 3], row[place * 3 + 1]
        if name == r.ENDS:
            value = datetime.fromtimestamp(value * 86_400, UTC).date().isoformat()
        elif value == int(value):
            value = int(value)
        found.append({"fact": name, "value": value, "measured": _text(known) if known is not None else None})
    return json.dumps(found, ensure_ascii=False)


def _write(raw: sqlite3.Connection, cases: dict[int, dict], definition: str, counts: dict[str, int]) -> None:
    raw.execute("begin immediate")
    marks = ",".join("?" * len(cases))
    ids = list(cases)
    rows = {
        row[0]: list(row)
        for row in raw.execute(
            f'select {CASE}, u.key, a.person from "case" c join customer u on u.id = c.customer '
            f"left join assignment a on a.customer = c.customer and a.role = 'csm' where c.id in ({marks})",
            ids,
        )
    }
    reached: dict[int, dict] = {case: {} for case in cases}
    for case, stay, name, at in raw.execute(
        f'select "case", stay, name, at from milestone where current = 1 and "case" in ({marks})', ids
    ):
        reached[case][(stay, name)] = at
    lines: dict[int, list] = {case: [] for case in cases}
    for line in raw.execute(
        f'select "case", name, due, met, missed, dropped from deadline where "case" in ({marks})', ids
    ):
        lines[line[0]].append(list(line))
    out: dict[str, list] = {"milestone": [], "history": [], "line": [], "case": [], "outbox": [], "stale": []}
    for case, what in cases.items():
        _one(rows[case], what, reached[case], lines[case], definition, out, counts)
    raw.executemany(
        'update "case" set stage = ?, ended = ?, stay = ?, came_from = ?, came_stay = ?, seq = ?, entered_at = coalesce(?, '
        "entered_at), ended_at = ?, version = version + 1 where id = ?",
        out["case"],
    )
    raw.executemany(
        'update deadline set met = ?, missed = ?, dropped = ?, person = coalesce(?, person) where "case" = ? and name = ?',
        out["line"],
    )
    raw.executemany('update milestone set current = 0 where "case" = ? and stage = ? and stay <> ?', out["stale"])
    raw.executemany('insert into milestone ("case", stay, name, stage, at) values (?, ?, ?, ?, ?)', out["milestone"])
    raw.executemany(
        'insert into history ("case", seq, kind, at, recorded, actor, definition, source, target, place, because) '
        "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        out["history"],
    )
    raw.executemany(
        'insert into outbox (effect_id, "case", seq, party, verb, recipient, body, at, status) values (?, ?, ?, ?, ?, ?, ?, ?, ?)',
        out["outbox"],
    )
    raw.executemany("insert or ignore into dirty values (?)", [(row[1],) for row in rows.values()])
    raw.execute("commit")


def _one(row: list, what: dict, reached: dict, lines: list, definition: str, out: dict, counts: dict[str, int]) -> None:
    case, customer, stage, stay, came_from, came_stay, seq, key, person = row
    changed: dict[str, list] = {}
    missed_by: dict[str, str] = {}

    def log(kind: str, at: int, source: str | None, target: str, place: str | None, because: str | None) -> None:
        nonlocal seq
        seq += 1
        out["history"].append((case, seq, kind, at, r.NOW, ACTOR, definition, source, target, place, because))

    for name, rule, values in what["milestones"]:
        at = min(max(values[2], values[5]) * r.DAY, r.NOW)
        reached[(stay, name)] = at
        out["milestone"].append((case, stay, name, stage, at))
        log("milestone", at, None, name, "when", _because(rule, values))
        counts["milestones"] += 1
        dates = [reached.get((stay, other)) for other in r.MILESTONES[stage]]
        if None not in dates:
            for line in lines:
                if line[1] == f"stages.{stage}" and line[3] is None and not line[5]:
                    line[3] = max(dates)
                    changed[line[1]] = line
    for name, due in what.get("missed", ()):
        for line in lines:
            if line[1] == name and line[3] is None:
                line[4] = due
                changed[name], missed_by[name] = line, person
                log("missed", due, None, name, None, None)
                counts["missed"] += 1
    entered, ended, ended_at = None, None, None
    if "move" in what:
        target, rule, role, values = what["move"]
        came_from, came_stay, stay = stage, stay, max(stay, came_stay or 0) + 1
        source, stage, entered = stage, target, r.NOW
        place = r.place(source, target)
        ended, ended_at = ("bad", r.NOW) if target == "churned" else (None, None)
        if any(name in r.MILESTONES.get(target, ()) for _, name in reached):
            out["stale"].append((case, target, stay))
        log("moved", r.NOW, source, target, place, _because(rule, values))
        counts["moved"] += 1
        for line in lines:
            if line[3] is not None or line[5]:
                continue
            behind = r.STAGES.index(line[1].removeprefix("stages."))
            if target != "churned" and behind < r.STAGES.index(target):
                line[3] = r.NOW
                changed[line[1]] = line
            elif target == "churned" and line[4] is None:
                line[5] = 1
                changed[line[1]] = line
        if role is not None:
            _message((case, customer, key, seq, target), f"{place}.do.0", role, out)
            counts["messages"] += 1
    out["case"].append((stage, ended, stay, came_from, came_stay, seq, entered, ended_at, case))
    out["line"] += [(x[3], x[4], x[5], missed_by.get(x[1]), case, x[1]) for x in changed.values()]


def _message(entry: tuple[int, int, str, int, str], place: str, role: str, out: dict) -> None:
    case, customer, key, seq, stage = entry
    parts = (PROJECT, FLOW, key, 1, seq, place, f"role:{role}", 0)
    effect = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()
    why = f"{FLOW}: {place}"
    title = [f"{FLOW.capitalize()} – ", {"subject": key}, f" – {stage}"]
    body = {
        "case": f"{FLOW}/{key}/1", "flow": FLOW, "subject": {"id": key, "kind": "customer"}, "values": {},
        "title": {"en": title, "zh": title},
        "text": {
            "en": [f"{FLOW}/{key}/1, stage {stage}. Why: {why}"],
            "zh": [f"{FLOW}/{key}/1，阶段：{stage}。原因：{why}"],
        },
    }  # fmt: skip
    told = json.dumps(body, ensure_ascii=False, sort_keys=True)
    out["outbox"].append((effect, case, seq, customer, "notify", f"role:{role}", told, r.NOW, "pending"))


if __name__ == "__main__":
    print(advance(sys.argv[1]))
