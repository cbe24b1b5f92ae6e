"""Every construct of the expression language in every place where one may stand, of every kind of subject.

What `validate` takes is lived through for three days: nothing fails, a second pass changes nothing, `explain` names a
true way exactly where the pass takes one, and a full pass does what a touched one does.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import state_hash
from sqlalchemy import select

from csflow.app import Csflow
from csflow.errors import DefinitionError
from csflow.services.book import Asked
from csflow.services.explain import Asked as Explained
from csflow.services.explain import explain_cases, foresee
from csflow.services.outbox import Filter
from csflow.store import tables as t

KINDS = ("customer", "contract", "contact", "person", "organisation")
TYPES = {"n": "number", "s": "share", "m": "money", "b": "boolean", "d": "date", "t": "time", "w": ["p", "q"], "x": "text",
         "tree": {"choices": {"small": ["tiny"], "large": ["big", "huge"]}}, "fresh": {"type": "number", "fresh": "3 days"}}  # fmt: skip
PLUGIN = """
from csflow.hookspecs import Function, hookimpl

@hookimpl
def csflow_functions():
    return {"twice": Function(("number",), "number", lambda n: n * 2, lambda n: n * 2)}
"""
PROJECT = {
    "csflow": 1, "name": "every_place", "currency": "EUR", "zone": "Europe/Berlin", "calendar": "office",
    "calendars": {"office": {"hours": {"mon-fri": ["09:00-17:00"]}}}, "vars": {"few": 2},
    "activities": {"visit": "Visit", "call": "Call"}, "people": {"li": {"roles": ["csm"]}},
    "roles": {"csm": {"label": "CSM", "assign": "round_robin"}}, "fields": dict.fromkeys(KINDS, TYPES),
    "metrics": {
        **{f"m.{k}": {"subject": k, "value": f"{k}.n * 2"} for k in KINDS},
        "contact.weighed": {"subject": "contact", "value": "contact.n + 1"},
    },
}  # fmt: skip
WORLD = {
    "2026-01-05": {
        "people": [{"id": "pe1", "name": "Pia", "n": 1, "d": "2026-01-03", "w": "p"}, {"id": "pe2", "name": "Pal", "n": 3}],
        "rates": [{"currency": "USD", "day": "2026-01-01", "rate": 0.9}],
        "customers": [
            {"id": "C1", "name": "One", "n": 1, "s": "50%", "m": "100", "b": "false", "d": "2026-01-03",
             "t": "2026-01-04T10:00", "w": "p", "x": "hi", "tree": "big", "fresh": 1},
            {"id": "C2", "name": "Two", "n": 3, "m": "200", "b": "true", "d": "2026-01-05", "w": "q", "fresh": 2},
            {"id": "C3", "name": "Three"},
        ],
        "contracts": [
            {"id": "K1", "customer": "C1", "product": "core", "starts_on": "2025-06-01", "ends_on": "2026-01-20",
             "amount": "1200", "currency": "EUR", "n": 1, "d": "2026-01-03", "w": "p", "b": "true", "m": "100"},
            {"id": "K2", "customer": "C1", "product": "more", "starts_on": "2026-01-10", "ends_on": "2027-01-09",
             "amount": "900", "currency": "USD", "n": 2},
        ],
        "contacts": [
            {"id": "P1", "customer": "C1", "name": "Ann", "n": 1, "b": "true", "w": "p", "d": "2026-01-03", "m": "100"},
            {"id": "P2", "customer": "C1", "name": "Ben", "n": 2, "b": "false", "fresh": 1},
            {"id": "P3", "customer": "C2", "name": "Cem", "left": "true", "left_on": "2026-01-02"},
        ],
        "activities": [{"id": "a1", "customer": "C1", "contact": "P1", "kind": "visit", "at": "2026-01-03T12:00"}],
    },
    "2026-01-07": {
        "customers": [{"id": "C1", "name": "One", "n": 2, "b": "true", "d": "2026-01-05", "w": "q", "x": "ho"},
                      {"id": "C3", "name": "Three", "n": 2, "w": "p"}],
        "contracts": [{"id": "K3", "customer": "C1", "product": "core", "starts_on": "2026-01-21",
                       "ends_on": "2027-01-20", "amount": "70", "currency": "EUR", "replaces": "K1", "n": 3}],
        "contacts": [{"id": "P1", "customer": "C1", "name": "Ann", "n": 3, "b": "false", "w": "q", "d": "2026-01-05"}],
        "activities": [{"id": "a2", "customer": "C1", "contact": "P2", "kind": "call", "at": "2026-01-06T12:00"}],
    },
    "2026-01-12": {},
}  # fmt: skip
CONSTRUCTS = """
K.n >= 2 and not K.b | K.b or K.n is unknown | 1 <= K.n <= vars.few | K.s >= 50% | K.m in (money(100), money(200, 'USD'))
K.d == '2026-01-05' | since(K.d) >= days(3) | since(K.t) >= working_hours(5) | until(K.d) <= months(1) | K.x != 'hi'
under(K.tree, 'large') | K.fresh >= 1 | default(K.n, 0) + 1 >= min(K.n, 2) | quarter(K.d) == 1 | K.m / money(10) >= 5
K.d + months(1) <= today | days_between(K.d, today) >= 3 | today - K.d >= days(3) | (K.b or K.n >= 2) is known
has_been(K.n >= 2 or K.b, days(3)) | has_been(organisation.n >= 2, days(1)) | since(first_time(K.n >= 2)) >= days(3)
since(recorded(K.n)) >= days(3) | m.K >= 4 | twice(K.n) >= 4 | not twice(default(K.n, 1)) >= 2 or organisation.n >= 2
case.stage == 'a' | since(case.entered_at) >= hours(30) | case.overdue or case.n >= 2 | case.id == base.id | tasks.all
since(milestones.seen) >= days(2) | clock <= today | open.base >= 1 | base.stage == 'a' | base.end is known or base.n >= 2
since(base.milestones.seen) >= days(1) | base.due <= now | since(activity.last_visit) >= days(4) | contract.renewed
since(contact.last_visit) >= days(3) | contract.amount >= money(1000, 'USD') | house.stage == 'b' | today >= '2026-01-07'
count(contact, contact.b or contact.n >= 2) >= 1 | count(contact, not (contact.left or K.b) and contact.weighed >= 2) == 0
count(contact, since(contact.d) >= days(3) or base.stage == 'a') >= 1 | count(contact, contact.m >= money(100, 'USD') or tasks.all) < 2
count(contract, contract.renewed or until(contract.ends_on) <= months(3)) in (1, 2) | sum(contract, contract.amount) >= money(1900)
count(activity, activity.kind == 'visit' or not (activity.at >= case.opened_at)) >= 1 | not last(contact, contact.b, contact.n is known)
count(task, task.done_at is unknown or task.due <= now) / count(task) >= 50% | last(base, base.stage, base.n >= 2 or base.overdue) == 'a'
count(base, (base.n >= 2) is unknown or base.milestones.seen is known) >= 1 | count(me, me.stage == 'a' or me.id == case.id) > 0
count(base, count(base) >= 1) >= 1 | count(contact, has_been(contact.b, days(1))) >= 1 | open.me == 0 | ago(m.K, days(1)) >= 2
"""  # fmt: skip
REASONS = (
    "speaks of this case: there is none yet where an opening rule is asked|speaks of a case: only the rules of a flow|"
    "belongs to a \\w+: (it can|a rule)|is not one fact here|counts are not nested|do not stand inside a count|"
    "stands in metrics only|unknown fact|cannot be counted|'clock' is not a fact|so each that opens would open another|more than 200"
)  # `unknown fact`: of the metric `m.K` none is meant where the flow has no such subject
SOFT = re.compile(
    r"milestones|case\.|tasks?\b|base|open\.|house|organisation|count\(|me\."
)  # what a pass itself changes
DAYS = list(WORLD)


def flow(name: str, kind: str, **more: object) -> dict:
    """A flow that opens for every subject of that kind and goes on after a day, unless ``more`` says otherwise."""
    start = {
        "milestones": {"seen": f"{kind}.n >= 1"}, "do": [{"task": "look", "for": "csm", "due": "1 day"}],
        "deadline": "2 days", "transitions": {"b": "since(case.opened_at) >= days(1)"}, **more.pop("a", {}),
    }  # fmt: skip
    opens = {"person": "person.id", "organisation": "organisation.id"}.get(kind, "customer.id")
    return {
        "flow": name, "subject": kind, "clock": f"{kind}.d", "opens": [{"when": f"{opens} is known", "with": {"n": 2}}],
        "responsible": "csm", "fields": {"n": "number", "yes": "boolean", "no": "boolean"},
        "stages": {"a": start, "b": {"transitions": {"c": "since(case.entered_at) >= days(9)"}, **more.pop("b", {})}, "c": "good"},
        **more,
    }  # fmt: skip


def guards(name: str, kind: str, text: str) -> list[dict]:
    effects = [{"task": "t", "for": "csm", "when": text}, {"notify": "csm", "message": f"told_{name}", "when": text},
               {"set": {"case.no": f"={text}"}}, {"open": "fed", "with": {"yes": f"={text}"}}]  # fmt: skip
    made = flow(name, kind, b={"enter": text}, milestones={"whole": text}, a={
        "milestones": {"seen": {"when": f"{kind}.n >= 1", "do": effects[:3]}, "own": text}, "do": effects,
        "deadline": {"due": "2 days", "stops_while": text}, "overdue": [{"task": "late", "for": "csm", "when": text}],
    })  # fmt: skip
    made["fields"]["yes"] = {"type": "boolean", "value": text}
    return [made, {"messages": {f"told_{name}": {"title": f"{{{text}}}", "text": f"is {{{text}}}"}}}]


def metrics(name: str, kind: str, text: str) -> list[dict]:
    parts = {
        f"z.{name}": text, f"y.{name}": {"choose": {"one": text, "two": f"not ({text})", "three": "otherwise"}},
        f"x.{name}": {"weights": {f"m.{kind}": 1}, "at_most": [{"value": 1, "when": text}]},
        f"v.{name}": {"of": f"{kind}.n", "by": f"y.{name}", "bands": {"one": {"lo": 0}, "two": {"lo": 0, "hi": 2}}},
        f"u.{name}": f"ago(z.{name}, days(2)) or has_been(z.{name}, days(2))",
    }  # fmt: skip
    made = {key: {"value": said} if isinstance(said, str) else said for key, said in parts.items()}
    return [{"metrics": {key: {**said, "subject": kind} for key, said in made.items()}}]


PLACES = {
    "moves": lambda name, kind, text: [flow(name, kind, a={"transitions": {"b": text}})],
    "guards": guards,
    "opens": lambda name, kind, text: [flow(name, kind, opens=[{"when": text, "with": {"yes": f"={text}"}}])],
    "keys": lambda name, kind, text: [flow(name, kind, one_per=text)],
    "fields": lambda name, kind, text: [
        flow(name, kind, one_per="case.yes", opens=[{"when": f"{kind}.n >= 1", "with": {"yes": f"={text}"}}])
    ],
    "metrics": metrics,
}  # fmt: skip


def written(kind: str, place: str) -> dict[str, str]:
    """The project's files; those of each construct are called by its number."""
    fed = flow("fed", kind, opens=[{"trigger": "never"}], one_per="case.id")
    base = flow("base", "customer", opens="customer.n is known")
    house = flow(
        "house", "organisation", a={"do": [{"set": {"organisation.n": 1}}]}, b={"do": [{"set": {"organisation.n": 3}}]}
    )
    files = {"csflow.yaml": PROJECT, "fed.yaml": fed, "base.yaml": base, "house.yaml": house}
    for number, text in enumerate(re.split(r" \| |\n", CONSTRUCTS.strip())):
        if kind != "customer" and (number + KINDS.index(kind)) % 2:
            continue  # who is no customer takes every other one
        said = re.sub(r"\bme\b", f"c{number}", text.replace("m.K", f"m.{kind}").replace("K.", f"{kind}."))
        for part, document in enumerate(PLACES[place](f"c{number}", kind, said)):
            files[f"c{number}.{part}.yaml"] = document
    return {"plugin.py": PLUGIN, **{name: json.dumps(document) for name, document in files.items()}}


def accepted(folder: Path, files: dict[str, str]) -> dict[str, str]:
    """The files that `validate` takes; what it refuses, it refuses in one line that says why."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    while True:
        try:
            Csflow(folder).validate()
        except DefinitionError as error:
            for problem in error.problems:
                assert re.search(REASONS, problem.message), problem
                assert "\n" not in problem.message
            wrong = {Path(problem.file).name.split(".")[0] for problem in error.problems}
            for path in folder.glob("*.yaml"):
                if path.name.split(".")[0] in wrong:
                    path.unlink()
        else:
            return {name: text for name, text in files.items() if (folder / name).exists()}


def explained(project) -> dict[str, dict]:
    """What `explain` says of every case, before the pass."""
    app = project.app
    with app.store.trial() as connection:
        view = foresee(connection, app.definition, Explained(project.clock.now))
        numbers = [row.id for row in connection.execute(select(t.case.c.id))]
        return {one["case"]: one for one in explain_cases(connection, view, numbers)}


def lived(project, *, full: bool) -> list[dict]:
    """Live through the days, hold each against what must hold, and give what the store held at the end of each."""
    app, found = project.app, []
    kinds = {name: one.subject for name, one in app.definition.flows.items()}
    measured = {name: one.subject for name, one in app.definition.metrics.items()}
    for on in DAYS:
        project.clock.set(on)
        for kind, rows in WORLD[on].items():
            for row in rows:
                project.book.row(kind, **row)
        assert not project.measure().failed
        told = {} if full else explained(project)
        outcome = project.advance(full=full)
        assert not outcome.failed, outcome.failed[:3]
        moved = {one["case"]: one["to"] for one in reversed(outcome.entries.get("moved", []))}
        for case, one in told.items():
            true = [way["to"] for way in one["transitions"] if way["verdict"] == "true"]
            read = json.dumps([way["guard"] for way in one["transitions"]])
            assert moved.get(case) == (true or [None])[0] or (not true and SOFT.search(read)), (on, case, true, read)
        assert not any(project.advance(full=full).counts.values())
        for case in list(told)[::25]:
            assert app.history(case, project.clock.now)["entries"]
        with app.store.reading() as connection:
            found.append(state_hash.state_of(connection, kinds, measured))
    for message in app.list_outbox(Filter())[:40]:
        assert app.show_message(message["id"], now=project.clock.now)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_a_construct_does_in_every_place_what_it_says(csflow_project, tmp_path, place: str, kind: str) -> None:
    files = accepted(tmp_path / "tried", written(kind, place))
    assert len(files) >= 10
    touched = lived(csflow_project(files, database=f"sqlite:///{tmp_path / 'one.db'}", today=DAYS[0]), full=False)
    if kind == "customer" and place not in ("guards", "metrics"):
        other = csflow_project(files, database=f"sqlite:///{tmp_path / 'two.db'}", today=DAYS[0])
        for one, two in zip(touched, lived(other, full=True), strict=True):
            assert not state_hash.first_difference(one, two)


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        *zip(PLACES, ("customer", "person", "contact", "contract", "organisation", "customer"), strict=True),
        ("keys", "customer"),
    ],
)
def test_and_on_postgresql(csflow_project, postgresql_schema, tmp_path, place: str, kind: str) -> None:
    files = accepted(tmp_path / "tried", written(kind, place))
    lived(csflow_project(files, database=postgresql_schema(), today=DAYS[0]), full=False)


def test_a_book_metric_may_ask_what_the_organisation_was(csflow_project) -> None:
    texts = ("has_been(organisation.n >= 2, days(1))", "first_time(organisation.n >= 1 or organisation.b) in period")
    book = {"metrics": {f"z.n{place}": {"subject": "book", "value": text} for place, text in enumerate(texts)}}
    files = {name: text for name, text in written("customer", "keys").items() if not re.match(r"c\d", name)}
    project = csflow_project({**files, "book.yaml": json.dumps(book)}, today=DAYS[0])
    lived(project, full=False)
    figures = project.app.book(project.clock.now, Asked(over="2026-01-01..2026-01-31"))["figures"]
    assert [figure["metric"] for figure in figures] == ["z.n0", "z.n1"]
