"""Everything that matters in a database, by natural keys and in one order: no surrogate ids, no wall clock."""

from __future__ import annotations

import hashlib
import json

from sqlalchemy import Connection, text

KINDS = ("customer", "contract", "contact", "person", "organisation")
OF_CASES = {
    "history": "seq, kind, at, actor, definition, source, target, place, because",
    "milestone": "stay, name, stage, at, current",
    "deadline": "name, run, due, anchor, spec, met, missed, person, stopped, rest, dropped",
    "timer": "place, deadline, run, occurrence, at, case when fired is null then 0 else 1 end",
    "task": "name, number, label, role, person, opened_at, due, snoozed, done_at, outcome, move, asker",
    "outbox": "effect_id, seq, verb, recipient, message, via, body, at, status",
}
OF_CUSTOMERS = {
    "assignment": "customer, role, person, word from assignment",
    "contract": "customer, key, product, starts_on, ends, amount, currency, value, replaces, inferred, happened from contract",
    "usage": "u.customer, f.key, u.day, u.ref, u.count, u.seconds, u.users from usage u join feature f on f.id = u.feature",
}


def state_of(connection: Connection, kinds: dict[str, str], metrics: dict[str, str]) -> dict[str, list[tuple]]:
    """Table → sorted rows. ``kinds``: the subject of each flow, ``metrics``: that of each metric."""
    read = _Reading(connection, {kind: _keys(connection, kind) for kind in KINDS})
    cases, rows = read.cases(kinds)
    found = {"case": rows, **read.of_cases(cases), **read.facts(), **read.measured(cases, metrics)}
    keys = read.keys
    found["opening"] = [
        (flow, place, keys[kinds[flow]][subject], key, period)
        for flow, place, subject, key, period in read.rows("select flow, place, subject, key, period from opening")
    ]
    found["inbox"] = [
        (*row[:2], cases.get(row[3]) if row[2] == "case" else keys[row[2]][row[3]], *row[4:])
        for row in read.rows(
            "select name, flow, kind, subject, case_key, stage, at, actor, fields, ref, refused, handled from inbox"
        )
    ]
    return {table: sorted(lines, key=repr) for table, lines in found.items()}


class _Reading:
    """Rows of one database; ``keys``: kind → number → natural key."""

    def __init__(self, connection: Connection, keys: dict[str, dict[int, str]]) -> None:
        self.connection, self.keys = connection, keys

    def rows(self, statement: str) -> list[tuple]:
        return [tuple(row) for row in self.connection.execute(text(statement))]

    def cases(self, kinds: dict[str, str]) -> tuple[dict[int, str], list[tuple]]:
        """The name of each case, and the cases."""
        names: dict[int, str] = {}
        found = []
        for row in self.rows(
            "select id, flow, subject, customer, number, key, stage, ended, stay, came_from, came_stay, opened_at,"
            ' entered_at, ended_at, clock, run, waiting, seq from "case"'
        ):
            names[row[0]] = name = f"{row[1]}/{self.keys[kinds[row[1]]][row[2]]}/{row[4]}"
            found.append((name, self.keys["customer"].get(row[3]), *row[5:]))
        return names, found

    def of_cases(self, cases: dict[int, str]) -> dict[str, list[tuple]]:
        found = {}
        for table, columns in OF_CASES.items():
            rows = self.rows(f'select "case", {columns} from {table}')
            found[table] = [(cases[row[0]], *row[1:]) for row in rows]
        found["history"] = [(*row[:-1], json.loads(row[-1]) if row[-1] else None) for row in found["history"]]
        return found

    def measured(self, cases: dict[int, str], metrics: dict[str, str]) -> dict[str, list[tuple]]:
        keys, found = self.keys, {}
        names = dict(self.rows("select id, name from name"))
        conditions = dict(self.rows("select id, name from name where kind = 'condition'"))
        found["field"] = []
        for field, subject, *values in self.rows(
            "select field, subject, number, text, happened, stated from field_value"
        ):
            kind = names[field].partition(".")[0]
            found["field"].append((names[field], keys[kind][subject] if kind in keys else cases[subject], *values))
        for table in ("measurement", "measurement_log"):
            rows = self.rows(f"select metric, subject, number, text, happened, known from {table}")
            found[table] = [(names[row[0]], keys[metrics[names[row[0]]]][row[1]], *row[2:]) for row in rows]
        spans = self.rows("select condition, subject, truth, since, false_until, first_true from span")
        found["span"] = [(conditions[row[0]], keys["customer"].get(row[1]), *row[2:]) for row in spans]
        return found

    def facts(self) -> dict[str, list[tuple]]:
        customers, contracts = self.keys["customer"], self.keys["contract"]
        rows = self.rows(
            "select key, name, signed_on, happened, contract, amount, contracts, first_day, next_change from customer"
        )
        found = {"customer": [(*row[:4], contracts.get(row[4]), *row[5:]) for row in rows]}
        for table, statement in OF_CUSTOMERS.items():
            found[table] = [(customers[row[0]], *row[1:]) for row in self.rows(f"select {statement}")]
        return found


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
