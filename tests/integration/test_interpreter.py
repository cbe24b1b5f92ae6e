"""Set-wise advance ≡ the plain interpreter, touched pass ≡ full pass, on random flows and histories, on both databases."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from interpreter import Moment, run_pass
from sqlalchemy import insert, select, text, update

from csflow.flow.loader import Surroundings, load
from csflow.services.advance import Request, advance
from csflow.services.views import number_names
from csflow.store import tables as t
from csflow.store.catalogue import CATALOGUE
from csflow.store.opening import Store, open_store
from csflow.store.touching import touch
from csflow.values import Zone, day

EXAMPLES = int(os.environ.get("CSFLOW_EXAMPLES", "12"))
BEGIN = day("2026-01-05")
CUSTOMERS = 6
LENGTHS = ["days(3)", "days(10)", "months(1)"]


@st.composite
def guards(draw: Any, *, case: bool, other: str | None, depth: int = 2) -> str:
    """A guard as text, from facts of the customer, its contract, the case and the other flow."""
    atoms = [
        f"customer.a >= {draw(st.integers(0, 4))}",
        f"customer.a < {draw(st.integers(0, 4))}",
        f"customer.b == '{draw(st.sampled_from('pqr'))}'",
        "customer.c",
        "customer.a is unknown",
        f"since(customer.d) >= {draw(st.sampled_from(LENGTHS))}",
        f"until(contract.ends_on) <= {draw(st.sampled_from(LENGTHS))}",
        "default(customer.a, 2) * 2 >= 5",
    ]
    if case:
        atoms += [
            "milestones.all",
            "case.missed >= 1",
            "case.overdue",
            f"since(case.entered_at) >= {draw(st.sampled_from(LENGTHS))}",
        ]
    if other:
        atoms += [f"{other}.stage == 's1'", f"open.{other} >= 1", f"{other}.end is known"]
    atom = st.sampled_from(atoms)
    if depth == 0 or draw(st.booleans()):
        return draw(atom)
    left = draw(guards(case=case, other=other, depth=depth - 1))
    kind = draw(st.sampled_from(["and", "or", "not"]))
    if kind == "not":
        return f"not ({left})"
    return f"({left}) {kind} ({draw(guards(case=case, other=other, depth=depth - 1))})"


@st.composite
def flows(draw: Any, name: str, other: str | None) -> str:
    """A valid flow as YAML: three or four stages in a chain with shortcuts and fall-backs, and an end."""
    many = draw(st.integers(2, 4))
    stages = [f"s{i}" for i in range(many)]
    lines = [f"flow: {name}", f'opens: "{draw(guards(case=False, other=other))}"']
    clock = draw(st.booleans())
    lines += ["clock: contract.starts_on"] if clock else []
    lines.append("stages:")
    for place, stage in enumerate(stages):
        lines.append(f"  {stage}:")
        if draw(st.booleans()):
            due = draw(st.sampled_from(["5 days", "1 month"])) + (
                " after clock" if clock and draw(st.booleans()) else ""
            )
            lines.append(f"    deadline: {due}")
        milestones = draw(st.booleans())
        if milestones:
            lines.append("    milestones:")
            for m in range(draw(st.integers(1, 2))):
                lines.append(f'      {stage}_m{m}: "{draw(guards(case=False, other=other, depth=1))}"')
        onward = stages[place + 1] if place + 1 < many else "done"
        targets = {onward: draw(guards(case=True, other=other))}
        back = draw(st.sampled_from([None, *stages]))
        if back is not None and back != stage and back not in targets:
            targets[back] = draw(guards(case=True, other=other))
        if not milestones:  # all of none is refused
            targets = {target: guard.replace("milestones.all", "case.overdue") for target, guard in targets.items()}
        lines.append("    transitions:")
        lines += [f'      {target}: "{guard}"' for target, guard in targets.items()]
    lines.append(f"  done: {draw(st.sampled_from(['good', 'bad']))}")
    return "\n".join(lines)


PROJECT = """
csflow: 1
name: random
currency: EUR
zone: Europe/Berlin
fields:
  customer: {a: number, b: [p, q, r], c: boolean, d: date}
"""
values = st.one_of(
    st.tuples(st.just("a"), st.one_of(st.none(), st.integers(0, 5))),
    st.tuples(st.just("b"), st.one_of(st.none(), st.sampled_from("pqr"))),
    st.tuples(st.just("c"), st.one_of(st.none(), st.booleans())),
    st.tuples(st.just("d"), st.one_of(st.none(), st.integers(BEGIN - 40, BEGIN + 60))),
)
changes = st.lists(st.tuples(st.integers(0, CUSTOMERS - 1), values), max_size=6)
histories = st.lists(st.tuples(st.integers(1, 12), changes), min_size=2, max_size=7)


@pytest.fixture(scope="module")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "csflow.db"
    open_store(f"sqlite:///{path}", project=None).close()
    return path


def fresh(url: str, empty_file: Path) -> Store:
    """The same database, emptied: migrating anew for every example would take longer than the example."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()
        shutil.copyfile(empty_file, path)
        return open_store(url, project=None)
    store = open_store(url, project=None)
    with store.writing() as connection:
        names = ", ".join(f'"{table.name}"' for table in t.metadata.sorted_tables)
        connection.execute(text(f"truncate {names} restart identity cascade"))
    return store


def populate(store: Store, definition: Any) -> list[dict[str, Any]]:
    """Customers with a contract each, some with two; the interpreter's picture of them."""
    people = []
    with store.writing() as connection:
        number_names(connection, definition)
        for i in range(CUSTOMERS):
            connection.execute(insert(t.customer).values(id=i + 1, key=f"C-{i}", happened=0))
            starts, ends = BEGIN - 10 * i, BEGIN + 20 + 5 * i
            connection.execute(
                insert(t.contract).values(customer=i + 1, key="K", starts_on=starts, ends=ends + 1, happened=0)
            )
            contract = {"starts_on": starts, "ends_on": ends}
            people.append({"fields": {}, "cases": [], "marks": set(), "contract": contract})
        touch(connection, "customer", range(1, CUSTOMERS + 1))
    return people


def state(store: Store, customer: int) -> list[Any]:
    """The cases of a customer as the interpreter would print them."""
    with store.reading() as connection:
        rows = connection.execute(
            select(t.case).where(t.case.c.customer == customer).order_by(t.case.c.flow, t.case.c.number)
        ).all()
        found = []
        for row in rows:
            lines = connection.execute(select(t.deadline).where(t.deadline.c.case == row.id)).all()
            marks = connection.execute(
                select(t.milestone.c.stay, t.milestone.c.name).where(t.milestone.c.case == row.id)
            ).all()
            found.append(
                (
                    row.flow, row.number, row.stage, row.ended, row.stay, row.entered_at, row.clock, row.run,
                    sorted(tuple(mark) for mark in marks),
                    sorted((x.name, x.run, x.due or 0, x.missed or 0, x.met is not None, bool(x.dropped)) for x in lines),
                )
            )  # fmt: skip
        return found


def picture(customer: dict[str, Any]) -> list[Any]:
    """The interpreter's cases in the same form."""
    return [
        (
            c["flow"], c["number"], c["stage"], c["ended"], c["stay"], c["entered_at"], c["clock"], c["run"],
            sorted(c["milestones"]),
            sorted((x["name"], x["run"], x["due"] or 0, x["missed"] or 0, x["met"] is not None, x["dropped"]) for x in c["lines"]),
        )
        for c in sorted(customer["cases"], key=lambda c: (c["flow"], c["number"]))
    ]  # fmt: skip


def state_field(connection: Any, definition: Any, customer: int, name: str, value: Any) -> None:
    number = connection.execute(select(t.name.c.id).where(t.name.c.name == f"customer.{name}")).scalar_one()
    row = (
        {"number": None, "text": None}
        if value is None
        else {"text": value, "number": None}
        if isinstance(value, str)
        else {"number": float(value), "text": None}
    )
    mine = (t.field_value.c.field == number, t.field_value.c.subject == customer + 1)
    if connection.execute(update(t.field_value).where(*mine).values(**row)).rowcount == 0:
        connection.execute(
            insert(t.field_value).values(field=number, subject=customer + 1, happened=0, stated=1, **row)
        )
    touch(connection, "customer", [customer + 1])


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(one=flows("one", "two"), two=flows("two", "one"), history=histories, full=st.booleans())
def test_a_pass_does_what_the_plain_interpreter_does(
    database: str, empty_file: Path, tmp_path: Path, one: str, two: str, history: Any, full: bool
) -> None:
    project = tmp_path / "project"
    project.mkdir(exist_ok=True)
    (project / "csflow.yaml").write_text(PROJECT)
    (project / "one.yaml").write_text(one)
    (project / "two.yaml").write_text(two)
    definition = load(project, Surroundings(CATALOGUE)).definition
    store = fresh(database, empty_file)
    zone = Zone(definition.zone)
    try:
        customers = populate(store, definition)
        today = BEGIN
        for step, edits in history:
            today += step
            with store.writing() as connection:
                for customer, (name, value) in edits:
                    state_field(connection, definition, customer, name, value)
                    customers[customer]["fields"][name] = value
            moment = Moment(now=zone.end_of(today), zone=zone)
            outcome = advance(store, definition, Request(now=moment.now, actor="test", recorded=0, full=full))
            failed = [
                f"{number}/{case}"
                for number, customer in enumerate(customers)
                for case in run_pass(customer, definition, moment)
            ]
            found = sorted(
                f"{x['case'].split('/')[1].removeprefix('C-')}/{x['case'].split('/')[0]}/{x['case'].split('/')[2]}"
                for x in outcome.failed
            )
            assert found == sorted(failed)
            for number, customer in enumerate(customers):
                assert state(store, number + 1) == picture(customer), f"customer {number} on day {today - BEGIN}"
    finally:
        store.close()
