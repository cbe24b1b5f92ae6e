"""The engine knows no name of a pack: with every flow, stage, metric, field, role and data column of the standard pack
renamed by script, the same customers move on the same days."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
import running

from csflow.flow.building import build
from csflow.values import day, day_text

HERE = Path(__file__).parent
PACK = HERE.parents[1] / "configs" / "standard"
KINDS = ("customer", "contract", "contact", "person", "organisation")
NOT_RUN = ("tests", "reports", "goals", "retention", "plan")
FIRST = "2026-01-11"
WEEKS = 16


def new(name: str) -> str:
    return f"x_{name}"


class Renaming:
    """Every name of a checked project's tree, and what it is called from now on."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self.tree = tree
        self.flows = tree["flows"]
        self.roles = tree["roles"]
        self.fields = tree["fields"]
        self.forms = {name: set(flow.get("fields") or ()) for name, flow in self.flows.items()}
        self.anywhere = set().union(*self.forms.values())

    def renamed(self) -> dict[str, Any]:
        tree = {key: value for key, value in self.tree.items() if key not in NOT_RUN}
        tree["fields"] = {kind: {new(name): one for name, one in said.items()} for kind, said in self.fields.items()}
        tree["metrics"] = {self.metric(name): self.expressions(one, "") for name, one in tree["metrics"].items()}
        tree["roles"] = {new(name): self.role(said) for name, said in self.roles.items()}
        tree["messages"] = {
            name: {part: self.texts(text) for part, text in said.items()} for name, said in tree["messages"].items()
        }
        tree["imports"] = {name: self.mapping(said) for name, said in tree["imports"].items()}
        tree["flows"] = {new(name): self.flow(name, said) for name, said in self.flows.items()}
        return tree

    def metric(self, name: str) -> str:
        head, _, rest = name.partition(".")
        return f"{head if head in KINDS else new(head)}.{new(rest)}"

    def role(self, said: dict[str, Any]) -> dict[str, Any]:
        said = dict(said)
        if "by" in said:
            said["by"] = self.expression(said["by"], "")
        if "leads" in said:
            said["leads"] = new(said["leads"])
        return said

    def texts(self, said: Any) -> Any:
        if isinstance(said, dict):
            return {language: self.texts(text) for language, text in said.items()}
        return re.sub(r"\{([^}]*)\}", lambda hole: "{" + self.expression(hole[1], None) + "}", said)

    def mapping(self, said: dict[str, Any]) -> dict[str, Any]:
        declared = self.fields.get(said["into"], {})
        columns = {
            new(name) if name in declared else name: {**one, "column": new(one["column"])}
            for name, one in said["columns"].items()
        }
        return {**said, "columns": columns}

    # expressions

    def expressions(self, said: Any, flow: str) -> Any:
        """Every expression of a metric."""
        if isinstance(said, str):
            return self.expression(said, flow)
        if isinstance(said, list):
            return [self.expressions(one, flow) for one in said]
        if not isinstance(said, dict):
            return said
        keep = ("label", "uses", "with", "type", "fresh", "subject", "bands", "points")
        return {
            self.expression(key, flow) if "." in key else key: one if key in keep else self.expressions(one, flow)
            for key, one in said.items()
        }

    def expression(self, text: str, flow: str | None) -> str:
        """``flow`` says whose fields `case.x` are; None: any flow's."""
        text = re.sub(r"(\.stage [=!]= ')(\w+)'", lambda found: f"{found[1]}{new(found[2])}'", text)
        pieces = re.split(r"('[^']*')", text)
        own = self.anywhere if flow is None else self.forms.get(flow, set())
        for place in range(0, len(pieces), 2):
            piece = re.sub(r"\b[a-z_]\w*(\.\w+)+", lambda found: self.name(found[0], own), pieces[place])
            pieces[place] = re.sub(r"(?<=\()([a-z_]+)(?=[,)])", lambda found: self.bare(found[1]), piece)
        return "".join(pieces)

    def bare(self, name: str) -> str:
        return new(name) if name in self.flows else name

    def name(self, text: str, own: set[str]) -> str:
        head, *rest = text.split(".")
        if text in self.tree["metrics"]:
            return self.metric(text)
        if head in self.fields and rest[0] in self.fields[head]:
            return f"{head}.{new(rest[0])}"
        if head == "case" and rest[0] in own:
            return f"case.{new(rest[0])}"
        if head == "open":
            return f"open.{new(rest[0])}"
        if head == "milestones":
            return text if rest[0] == "all" else f"milestones.{new(rest[0])}"
        if head in self.flows:
            form = self.forms[head]
            tail = [
                new(part) if part in form or (at and rest[0] == "milestones") else part for at, part in enumerate(rest)
            ]
            return ".".join([new(head), *tail])
        return text

    # flows

    def flow(self, name: str, said: dict[str, Any]) -> dict[str, Any]:
        return {**self.walk(said, name), "flow": new(name)}

    def walk(self, said: Any, flow: str) -> Any:
        if isinstance(said, list):
            return [self.walk(one, flow) for one in said]
        if not isinstance(said, dict):
            return said
        return {key: self.part(key, one, flow, said) for key, one in said.items()}

    def part(self, key: str, said: Any, flow: str, whole: dict[str, Any]) -> Any:
        if key in ("when", "due", "clock", "stops_while", "enter", "one_per"):
            return self.expression(said, flow) if isinstance(said, str) else self.walk(said, flow)
        if key == "fields":
            return {new(name): self.valued(one, flow) for name, one in said.items()}
        if key in ("stages", "milestones", "transitions"):
            return {name if name == "back" else new(name): self.walk(one, flow) for name, one in said.items()}
        if key in ("responsible", "for", "approve", "notify"):
            return new(said) if said in self.roles else said
        if key in ("only", "asks", "from", "to"):
            return [new(one) for one in said] if isinstance(said, list) else new(said)
        if key == "open":
            return new(said)
        if key == "set":
            return {self.expression(name, flow): self.given(one, flow) for name, one in said.items()}
        if key == "with" and "uses" not in whole:
            return {new(name): self.given(one, flow) for name, one in said.items()}
        return said if key in ("label", "with") else self.walk(said, flow)

    def valued(self, said: dict[str, Any], flow: str) -> dict[str, Any]:
        return {**said, "value": self.expression(said["value"], flow)} if "value" in said else said

    def given(self, said: Any, flow: str) -> Any:
        return "=" + self.expression(said[1:], flow) if isinstance(said, str) and said.startswith("=") else said


# the same customers, in the files of either


def same(name: str) -> str:
    return name


def files(folder: Path, called: Any) -> dict[str, Path]:
    """Nine customers with contracts, use, visits and words; ``called`` names the columns and flows."""
    start = day("2026-01-05")
    tables: dict[str, list[list[Any]]] = {
        "customers": [[called(c) for c in ("company_id", "company", "sign_date", "type", "seller")]],
        "contracts": [["id", "customer", "starts_on", "ends_on", "amount"]],
        "features": [
            ["id", "name", "core"],
            ["f1", "One", "yes"],
            ["f2", "Two", "yes"],
            ["campaign_launched", "Three", "no"],
        ],
        "usage_events": [[called(c) for c in ("event_id", "account", "ts", "name")]],
        "activities": [["id", "customer", "kind", "at"]],
        "triggers": [["id", "name", "flow", "customer", "at", *(called(field) for field in FORM), called("cause")]],
    }
    for n in range(9):
        who = f"C{n}"
        tables["customers"].append([who, f"Clinic {n}", "05/01/2026", "C" if n % 3 == 0 else "S", ""])
        end = "2026-05-20" if n == 8 else "2027-01-04"
        tables["contracts"].append([f"K{n}", who, "2026-01-05", end, 10_000 * (n + 1)])
        for on in range(140):
            if n and on % n == 0 and not (n == 4 and 40 < on < 100):
                for feature in ("f1", "f2", "campaign_launched")[: 1 + n % 3]:
                    key = f"{who}-{on}-{feature}"
                    tables["usage_events"].append([key, who, day_text(start + on), feature])
        tables["usage_events"] += (
            [[f"pulse-{on}", "C8", day_text(start + on), "f1"] for on in range(140)] if n == 8 else []
        )
        tables["activities"].append([f"V{n}", who, "visit", f"2026-02-{10 + n}T10:00:00"])
        if n != 5:
            tables["triggers"].append([f"H{n}", "hand_over", called("handover"), who, "2026-01-13", *("text",) * 6, ""])
            tables["triggers"].append([f"A{n}", "accept", called("handover"), who, "2026-01-15", *("",) * 6, ""])
    tables["triggers"].append(["X7", "cancel", called("lifecycle"), "C7", "2026-04-01", *("",) * 6, "price"])
    tables["triggers"].append(["W7", "won_back", called("lifecycle"), "C7", "2026-04-20", *("",) * 6, ""])
    folder.mkdir()
    for name, lines in tables.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(lines)
    return {name: folder / f"{name}.csv" for name in tables}


FORM = ("basics", "environment", "sales_process", "surroundings", "present_state", "promises")


def moves(at, paths: dict[str, Path]) -> list[tuple[str, ...]]:
    """Everything that happened, as (day, kind, customer, flow, from, to or name)."""
    for name, path in paths.items():
        summary = at.bring(name, path, "2026-06-01")
        assert summary.rejected == 0, (name, summary.reasons)
    found = []
    for week in range(WEEKS):
        on = day_text(day(FIRST) + 7 * week)
        assert not at.measure(on).failed
        outcome = at.advance(on)
        assert not outcome.failed, outcome.failed
        for kind in ("opened", "moved", "milestones", "missed"):
            for entry in outcome.entries.get(kind, []):
                what = [entry.get(key, "") for key in ("stage", "from", "to", "milestone", "deadline")]
                found.append((on, kind, entry["case"].split("/")[1], entry["flow"], *what))
    return sorted(found)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[tuple[str, ...]], dict[str, Any]]:
    """What the pack does under its own names, and its tree."""
    folder = tmp_path_factory.mktemp("plain")
    plain = running.Running(_copy(folder), f"sqlite:///{folder / 'csflow.db'}")
    found = moves(plain, files(folder / "files", same))
    tree = plain.app.validate().tree
    plain.close()
    return found, tree


def test_with_every_name_of_the_pack_changed_the_same_customers_move_on_the_same_days(
    expected: tuple[list[tuple[str, ...]], dict[str, Any]], database: str, tmp_path: Path
) -> None:
    done, tree = expected
    renamed = running.Running(_copy(tmp_path), database)
    definition, found = build(
        Renaming(tree).renamed(), renamed.app.surroundings.catalogue, provided=frozenset(renamed.providers)
    )
    assert not [problem for problem in found if not problem.warning], found
    renamed.definition = definition
    happened = moves(renamed, files(tmp_path / "renamed", new))
    assert {row[1] for row in done} == {"opened", "moved", "milestones", "missed"}
    assert len([row for row in done if row[1] == "moved" and row[3] == "lifecycle"]) >= 20
    assert happened == sorted(tuple(_renamed(row)) for row in done)
    renamed.close()


def _renamed(row: tuple[str, ...]) -> list[str]:
    *start, deadline = row[3:]
    parts = deadline.split(".")
    parts = [new(part) if place % 2 else part for place, part in enumerate(parts)] if deadline != "flow" else parts
    return [*row[:3], *(new(word) if word else "" for word in start), ".".join(parts)]


def _copy(folder: Path) -> Path:
    target = folder / "project"
    target.mkdir()
    (target / "csflow.yaml").write_text(f"csflow: 1\nname: standard\nextends: [{PACK}]\n", encoding="utf-8")
    return target
