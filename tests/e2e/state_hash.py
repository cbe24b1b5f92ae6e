"""Everything that matters in a database, by natural keys and in one order: no surrogate ids, no wall clock."""

from __future__ import annotations

import hashlib
import json

from sqlalchemy import Connection, text


def state_of(connection: Connection, kinds: dict[str, str], metrics: dict[str, str]) -> dict[str, list[tuple]]:
    """Table → sorted rows. ``kinds``: the subject of each flow, ``metrics``: that of each metric."""
    keys = {kind: _keys(connection, kind) for kind in ("customer", "contract", "contact", "person", "organisation")}
    names = dict(connection.execute(text("select id, name from name")).all())
    conditions = dict(connection.execute(text("select id, name from name where kind = 'condition'")).all())
    cases: dict[int, str] = {}
    found: dict[str, list[tuple]] = {}

    def rows(statement: str) -> list[tuple]:
        return [tuple(row) for row in connection.execute(text(statement))]

    found["case"] = []
    for row in rows(
        "select id, flow, subject, customer, number, key, stage, ended, stay, came_from, came_stay, opened_at,"
        ' entered_at, ended_at, clock, run, waiting, seq from "case"'
    ):
        name = f"{row[1]}/{keys[kinds[row[1]]][row[2]]}/{row[4]}"
        cases[row[0]] = name
        found["case"].append((name, keys["customer"].get(row[3]), *row[5:]))
    found["history"] = [
        (cases[row[0]], *row[1:-1], json.loads(row[-1]) if row[-1] else None)
        for row in rows('select "case", seq, kind, at, actor, definition, source, target, place, because from history')
    ]
    for table, columns in (
        ("milestone", "stay, name, stage, at, current"),
        ("deadline", "name, run, due, anchor, spec, met, missed, person, stopped, rest, dropped"),
        ("timer", "place, deadline, run, occurrence, at, case when fired is null then 0 else 1 end"),
        ("task", "name, number, label, role, person, opened_at, due, snoozed, done_at, outcome, move, asker"),
        ("outbox", "effect_id, seq, verb, recipient, message, via, body, at, status"),
    ):
        found[table] = [(cases[row[0]], *row[1:]) for row in rows(f'select "case", {columns} from {table}')]
    found["field"] = []
    for field, subject, *values in rows("select field, subject, number, text, happened, stated from field_value"):
        kind = names[field].partition(".")[0]
        found["field"].append((names[field], keys[kind][subject] if kind in keys else cases[subject], *values))
    for table, moment in (("measurement", "happened, known"), ("measurement_log", "happened, known")):
        found[table] = [
            (names[metric], keys[metrics[names[metric]]][subject], *values)
            for metric, subject, *values in rows(f"select metric, subject, number, text, {moment} from {table}")
        ]
    found["span"] = [
        (conditions[condition], keys["customer"].get(subject), *values)
        for condition, subject, *values in rows(
            "select condition, subject, truth, since, false_until, first_true from span"
        )
    ]
    found["opening"] = [
        (flow, place, keys[kinds[flow]][subject], key, period)
        for flow, place, subject, key, period in rows("select flow, place, subject, key, period from opening")
    ]
    found["inbox"] = [
        (*row[:2], cases.get(row[3]) if row[2] == "case" else keys[row[2]][row[3]], *row[4:])
        for row in rows(
            "select name, flow, kind, subject, case_key, stage, at, actor, fields, ref, refused, handled from inbox"
        )
    ]
    found["assignment"] = [
        (keys["customer"][row[0]], *row[1:]) for row in rows("select customer, role, person, word from assignment")
    ]
    found["customer"] = [
        (*row[:4], keys["contract"].get(row[4]), *row[5:])
        for row in rows(
            "select key, name, signed_on, happened, contract, amount, contracts, first_day, next_change from customer"
        )
    ]
    found["contract"] = [
        (keys["customer"][row[0]], *row[1:])
        for row in rows(
            "select customer, key, product, starts_on, ends, amount, currency, value, replaces, inferred, happened"
            " from contract"
        )
    ]
    found["usage"] = [
        (keys["customer"][row[0]], *row[1:])
        for row in rows(
            "select u.customer, f.key, u.day, u.ref, u.count, u.seconds, u.users from usage u"
            " join feature f on f.id = u.feature"
        )
    ]
    return {table: sorted(lines, key=repr) for table, lines in found.items()}


def _keys(connection: Connection, kind: str) -> dict[int, str]:
    if kind == "contract":
        statement = "select k.id, c.key || ' ' || k.key from contract k join customer c on c.id = k.customer"
    else:
        statement = f"select id, key from {kind}"
    return dict(connection.execute(text(statement)).all())


def hash_of(state: dict[str, list[tuple]]) -> str:
    """One number for all of it."""
    return hashlib.sha256(json.dumps(state, sort_keys=True, default=str).encode()).hexdigest()


def first_difference(one: dict[str, list[tuple]], other: dict[str, list[tuple]]) -> str:
    """What differs first, for a person to read; empty when nothing does."""
    for table, lines in one.items():
        left, right = set(map(repr, lines)), set(map(repr, other[table]))
        if left != right:
            return f"{table}: only left {sorted(left - right)[:2]}, only right {sorted(right - left)[:2]}"
    return ""
