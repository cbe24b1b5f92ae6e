"""A file with a population as csflow would have left it after yesterday's pass: about 1 % of it moves today.

    uv run python tests/benchmarks/population.py [CUSTOMERS] [FILE]

One contract, ten measurements, one open case a customer, with milestones and deadlines. The same seed gives the same
file. It is written once and copied by the other benchmarks (into the folder for temporary files, never into the tree).
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import sys
import tempfile
import time
from array import array
from pathlib import Path

import rules as r

from csflow.app import Csflow
from csflow.flow.definition import Definition
from csflow.flow.due import due_at
from csflow.services.views import number_names
from csflow.store.opening import open_store
from csflow.store.refreshing import sync_people
from csflow.store.tables import metadata
from csflow.values import Zone

PROJECT = Path(__file__).parent / "project"
SHARES = (0.15, 0.25, 0.25, 0.25, 0.10)  # of the stages
MOVING = 0.01
YESTERDAY = r.NOW - r.DAY


def folder() -> Path:
    """Where the files are kept between runs."""
    found = Path(tempfile.gettempdir()) / "csflow-benchmarks"
    found.mkdir(exist_ok=True)
    return found


def definition() -> Definition:
    """The benchmark project, loaded past the cache."""
    return Csflow(PROJECT).validate().definition


def population(customers: int) -> Path:
    """The file with that many customers, made if it is not there."""
    found = definition()
    path = folder() / f"population-{customers}-{found.hash[:12]}.db"
    if not path.exists():
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        _make(part, customers, found)
        part.rename(path)
    return path


def copy(customers: int, name: str) -> Path:
    """A fresh copy, read once so that it is warm."""
    path = folder() / f"{name}.db"
    for end in ("", "-wal", "-shm", ".lock"):
        Path(f"{path}{end}").unlink(missing_ok=True)
    shutil.copyfile(population(customers), path)
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass
    return path


def copy_to_postgresql(customers: int, address: str) -> None:
    """The same rows in an empty schema of a PostgreSQL server, by COPY."""
    import psycopg

    open_store(address, project=None).close()
    raw = sqlite3.connect(population(customers))
    with psycopg.connect(address.replace("+psycopg", "")) as connection, connection.cursor() as cursor:
        cursor.execute("truncate name, organisation restart identity")
        for table in metadata.sorted_tables:
            names = ", ".join(f'"{column.name}"' for column in table.columns)
            with cursor.copy(f'copy "{table.name}" ({names}) from stdin') as sink:
                for row in raw.execute(f'select {names} from "{table.name}"'):
                    sink.write_row(row)
        for table in ("run", "name", "case"):
            cursor.execute(f"select setval(pg_get_serial_sequence('\"{table}\"', 'id'), 1000000000)")
        connection.commit()
        connection.autocommit = True
        cursor.execute("vacuum analyze")


def _make(path: Path, customers: int, found: Definition) -> None:
    store = open_store(f"sqlite:///{path}", project=None)
    with store.writing() as connection:
        number_names(connection, found)
        sync_people(connection, {}, found.name)
    store.close()
    raw = sqlite3.connect(path)
    raw.executescript("pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -400000;")
    numbers = dict(raw.execute("select name, id from name where kind = 'metric'"))
    people = _people(customers)
    raw.execute("insert into definition (hash, body, as_of) values (?, '{}', ?)", (found.hash, YESTERDAY))
    raw.execute("insert into meta (key, value) values ('definition', ?)", (found.hash,))
    raw.execute("insert into run (verb, as_of, recorded, finished) values ('pass', ?, ?, 1)", (YESTERDAY, YESTERDAY))
    _write_subjects(raw, people)
    for place, metric in enumerate(r.METRICS):
        values = people["metrics"][place]
        rows = ((numbers[metric], i + 1, values[i], r.TODAY - 1 - i % 20, r.MEASURED) for i in range(customers))
        raw.executemany(
            "insert into measurement (metric, subject, number, happened, known) values (?, ?, ?, ?, ?)", rows
        )
    at = [(number, r.MEASURED, "-") for number in numbers.values()]
    raw.executemany("insert into measured (metric, at, hash) values (?, ?, ?)", at)
    _write_cases(raw, people, found)
    raw.commit()
    raw.execute("pragma journal_mode = wal")
    raw.close()


def _people(customers: int) -> dict[str, list]:
    """Stage, contract and metrics of each; nobody's guard holds but that of those who are to move."""
    chance = random.Random(7)
    stages = array("b", chance.choices(range(5), SHARES, k=customers))
    starts, ends = array("l"), array("l")
    metrics = [array("d") for _ in r.METRICS]
    for i in range(customers):
        begun = r.TODAY - chance.randrange(1, 1095)
        last = begun + 365 * ((r.TODAY - begun) // 365 + 1) - 1
        if last <= r.TODAY + 1 or chance.random() < 0.02:
            last = r.TODAY - 40 if chance.random() < 0.5 else r.TODAY + 200
        facts = {name: round(chance.random() * 100, 1) for name in r.METRICS} | {r.ENDS: last}
        _settle(facts, r.STAGES[stages[i]], chance, moving=chance.random() < MOVING)
        starts.append(begun)
        ends.append(int(facts[r.ENDS]))
        for column, name in zip(metrics, r.METRICS, strict=True):
            column.append(facts[name])
    return {"stages": stages, "starts": starts, "ends": ends, "metrics": metrics}


def holds(facts: dict[str, float], rule: tuple[tuple[str, str, float], ...]) -> bool:
    """Whether all comparisons of a rule hold."""
    return all(
        facts[name] >= value if op == ">=" else facts[name] <= value if op == "<=" else facts[name] < value if op == "<"
        else facts[name] > value
        for name, op, value in rule
    )  # fmt: skip


def _settle(facts: dict[str, float], stage: str, chance: random.Random, *, moving: bool) -> None:
    chosen = None
    if moving:
        chosen = chance.choices(range(2), (3, 1))[0]
        for name, op, value in r.TRANSITIONS[stage][chosen][1]:
            if name == r.ENDS:
                facts[name] = value + 40 if op == ">" else value - 40 if value < r.TODAY else value - 5
            else:
                facts[name] = value / 2 if op == "<" else (value + 100) / 2
    for place, (_, rule, _) in enumerate(r.TRANSITIONS[stage]):
        if place != chosen and holds(facts, rule):
            name, op, value = rule[1]
            facts[name] = round(value * chance.random() * 0.99, 1) if op == ">=" else value + 1
            if chosen is not None and not holds(facts, r.TRANSITIONS[stage][chosen][1]):
                facts[name] = value


def _write_subjects(raw: sqlite3.Connection, people: dict[str, list]) -> None:
    starts, ends = people["starts"], people["ends"]
    many = range(len(starts))
    raw.executemany(
        "insert into customer (id, key, name, happened, contract, amount, contracts, first_day, next_change) "
        "values (?, ?, ?, 0, ?, 1200000, 1, ?, ?)",
        (
            (i + 1, f"C{i + 1:07}", f"Customer {i + 1}", i + 1, starts[i], ends[i] + 1 if ends[i] >= r.TODAY else None)
            for i in many
        ),
    )
    raw.executemany(
        "insert into contract (id, customer, key, starts_on, ends, amount, currency, value, happened) "
        "values (?, ?, ?, ?, ?, 1200000, 'EUR', 1200000, ?)",
        ((i + 1, i + 1, f"K{i + 1}", starts[i], ends[i] + 1, starts[i]) for i in many),
    )
    raw.executemany(
        "insert into assignment (customer, role, person) values (?, 'csm', ?)", ((i + 1, f"p{i % 50}") for i in many)
    )


def _write_cases(raw: sqlite3.Connection, people: dict[str, list], found: Definition) -> None:
    chance = random.Random(8)
    entered = YESTERDAY - 20 * r.DAY
    dues = _dues(found)
    cases, milestones, lines, history = [], [], [], []
    many = len(people["starts"])
    for i in range(many):
        place, start = people["stages"][i], people["starts"][i]
        opened = start * r.DAY
        since = max(opened, entered)
        before = r.STAGES[place - 1] if place else None
        cases.append(
            (i + 1, "lifecycle", i + 1, i + 1, 1, f"C{i + 1:07}", r.STAGES[place], place + 1, before, place or None,
             opened, since, start, 4, 4, found.hash)
        )  # fmt: skip
        reached = _reached(i, people, place, chance)
        milestones += [(i + 1, p + 1, name, r.STAGES[p], since - (place - p) * r.DAY) for p, name in reached]
        lines += _lines(i, place, dues[start], reached, since)
        history.append((i + 1, 1, "opened", opened, opened, "import", found.hash, r.STAGES[0], "opens.0"))
        if len(cases) == 20_000 or i == many - 1:
            _insert(raw, cases, milestones, lines, history)
            cases, milestones, lines, history = [], [], [], []


def _reached(i: int, people: dict[str, list], place: int, chance: random.Random) -> list[tuple[int, str]]:
    """Milestones of the stages behind, and those of this stage that hold, but for the few reached today."""
    facts = {name: column[i] for name, column in zip(r.METRICS, people["metrics"], strict=True)}
    found = [(p, name) for p in range(place) for name in r.MILESTONES[r.STAGES[p]]]
    for name, rule in r.MILESTONES[r.STAGES[place]].items():
        if chance.random() < (0.995 if holds(facts, rule) else 0.2):
            found.append((place, name))
    return found


def _lines(i: int, place: int, due: list[tuple[str, int, int]], reached: list, since: int) -> list[tuple]:
    lines = []
    for p, (spec, anchor, at) in enumerate(due):
        done = p < place or len(r.MILESTONES[r.STAGES[p]]) == sum(1 for q, _ in reached if q == p)
        met = min(since - (place - p) * r.DAY, YESTERDAY) if done else None
        late = at < (met if met is not None else YESTERDAY)
        lines.append(
            (
                i + 1,
                f"stages.{r.STAGES[p]}",
                at,
                anchor,
                spec,
                met,
                at if late else None,
                f"p{i % 50}" if late else None,
            )
        )
    return lines


def _dues(found: Definition) -> dict[int, list[tuple[str, int, int]]]:
    """Start of the contract → the due times of the five stages."""
    flow, zone = found.flows["lifecycle"], Zone("UTC")
    result = {}
    for start in range(r.TODAY - 1100, r.TODAY + 1):
        listed = []
        for stage in r.STAGES:
            due = flow.stages[stage].deadline.due
            listed.append((due.text, start, due_at(due, anchor=start, anchor_is_day=True, zone=zone, calendars={})))
        result[start] = listed
    return result


def _insert(raw: sqlite3.Connection, cases: list, milestones: list, lines: list, history: list) -> None:
    raw.executemany(
        'insert into "case" (id, flow, subject, customer, number, "key", stage, stay, came_from, came_stay, opened_at, '
        "entered_at, clock, seq, version, definition) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        cases,
    )
    raw.executemany('insert into milestone ("case", stay, name, stage, at) values (?, ?, ?, ?, ?)', milestones)
    raw.executemany(
        'insert into deadline ("case", name, run, due, anchor, spec, met, missed, person) values (?, ?, 0, ?, ?, ?, ?, ?, ?)',
        lines,
    )
    raw.executemany(
        'insert into history ("case", seq, kind, at, recorded, actor, definition, target, place) '
        "values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        history,
    )


def main() -> None:
    """Make one."""
    start = time.perf_counter()
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    made = population(many)
    if len(sys.argv) > 2:
        shutil.copyfile(made, sys.argv[2])
    print(f"{made}: {made.stat().st_size // 1_000_000} MB, {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
