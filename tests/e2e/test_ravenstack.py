"""Real data from end to end: five published files through the mappings of `ravenstack/`, then two years of passes."""

from __future__ import annotations

import csv
import os
import random
import shutil
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
import running
import state_hash
from sqlalchemy import text

from csflow.services import advance as advance_module
from csflow.services.explain import Asked, explain_cases, foresee
from csflow.values import day, day_text

HERE = Path(__file__).parent
DATA = HERE.parents[2] / "shared" / "data" / "ravenstack"
LAST = "2024-12-31"
FILES = {
    "accounts": "ravenstack_accounts.csv",
    "subscriptions": "ravenstack_subscriptions.csv",
    "feature_usage": "ravenstack_feature_usage.csv",
    "support_tickets": "ravenstack_support_tickets.csv",
    "churn_events": "ravenstack_churn_events.csv",
    "churn_words": "ravenstack_churn_events.csv",
}
OWNER = {"ravenstack_support_tickets.csv": "account_id", "ravenstack_churn_events.csv": "account_id",
         "ravenstack_subscriptions.csv": "account_id", "ravenstack_accounts.csv": "account_id"}  # fmt: skip
# All customers and both years take minutes on two cores: `.ci/run` asks for them, everybody else gets a part.
FULL = os.environ.get("CSFLOW_THOROUGH") == "1"
CUSTOMERS, WEEKS = (500, 105) if FULL else (60, 26)

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the published data is not here (../shared/data/ravenstack)")


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / FILES[name]).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def project(folder: Path) -> Path:
    shutil.copytree(HERE / "ravenstack", folder)
    return folder


def part_of_the_data(folder: Path, customers: int) -> Path:
    """The files, cut down to every so many-th customer with all that belongs to it."""
    folder.mkdir()
    every = 500 // customers
    keep = {row["account_id"] for row in islice(rows(DATA, "accounts"), 0, None, every)}
    terms = {row["subscription_id"] for row in rows(DATA, "subscriptions") if row["account_id"] in keep}
    for name in dict.fromkeys(FILES.values()):
        with (DATA / name).open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            found = [row for row in reader if row.get("account_id") in keep or row.get("subscription_id") in terms]
            write(folder / name, list(reader.fieldnames or ()), found)
    return folder


def write(path: Path, header: list[str], found: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(found)


def shuffled(source: Path, target: Path, seed: int) -> Path:
    """The same files with their rows in another order; rows that share an id keep their order among themselves."""
    target.mkdir()
    chance = random.Random(seed)
    for name in dict.fromkeys(FILES.values()):
        with (source / name).open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or ())
            groups: dict[str, list[dict[str, str]]] = defaultdict(list)
            for row in reader:
                groups[row[header[0]]].append(row)
        places = [key for key, members in groups.items() for _ in members]
        chance.shuffle(places)
        write(target / name, header, [groups[key].pop(0) for key in places])
    return target


def weeks(number: int) -> list[str]:
    """Sundays. The default part lies where the data is thickest; the full run covers both years."""
    first = day("2023-01-01") if FULL else day("2024-04-07")
    return [day_text(first + 7 * week) for week in range(number)]


def bring_all(at: object, data: Path) -> dict[str, object]:
    return {name: at.bring(name, data / file, LAST) for name, file in FILES.items()}  # type: ignore[attr-defined]


def state(at) -> dict[str, list[tuple]]:
    kinds = {flow.name: flow.subject for flow in at.definition.flows.values()}
    metrics = {metric.name: metric.subject for metric in at.definition.metrics.values()}
    with at.store.reading() as connection:
        return state_hash.state_of(connection, kinds, metrics)


def same(one: dict[str, list[tuple]], other: dict[str, list[tuple]]) -> None:
    difference = state_hash.first_difference(one, other)
    assert not difference, difference
    assert state_hash.hash_of(one) == state_hash.hash_of(other)


# what each file brings


def test_every_row_of_every_file_is_accounted_for(database: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(DATA, data, copy_function=shutil.copyfile)
    data.chmod(0o755)
    at = running.Running(project(tmp_path / "project"), database)
    usage = rows(DATA, "feature_usage")
    twice = [key for key, number in Counter(row["usage_id"] for row in usage).items() if number > 1]
    terms = {row["subscription_id"]: row for row in rows(DATA, "subscriptions")}
    firsts = {row["usage_id"]: row for row in reversed(usage)}
    outside = sum(not _within(row["usage_date"], terms[row["subscription_id"]]) for row in firsts.values())
    expected = {
        "accounts": (500, 500, 0), "subscriptions": (5000, 5000, 0), "feature_usage": (25_000, 25_000 - 21, 21),
        "support_tickets": (2000, 2000, 0), "churn_events": (600, 600, 0), "churn_words": (600, 600, 0),
    }  # fmt: skip
    assert len(twice) == 21
    for name, summary in bring_all(at, data).items():
        assert (summary.read, summary.new, summary.rejected) == expected[name], name
        assert len(rows(data, name)) == summary.read
        assert summary.changed == summary.unchanged == 0
        if name == "feature_usage":
            assert list(summary.reasons.values()) == [21]
            assert "conflict" in next(iter(summary.reasons))
            assert summary.suspicious == outside
            with Path(summary.rejects).open(encoding="utf-8", newline="") as file:
                refused = list(csv.DictReader(file))
            assert sorted(row["usage_id"] for row in refused) == sorted(twice)
            _later_of_each_pair(usage, refused)
    for name, summary in bring_all(at, data).items():  # once more: nothing is new, what conflicted conflicts again
        assert (summary.new, summary.changed, summary.rejected) == (0, 0, expected[name][2]), name
        assert summary.unchanged == expected[name][1], name
    with at.store.reading() as connection:
        amounts = dict(connection.execute(text("select key, amount from contract")).all())
        satisfied = connection.execute(
            text("select count(*) from inbox where name = 'open' and fields like '%satisfaction%'")
        ).scalar_one()
    at.close()
    assert {key for key, amount in amounts.items() if amount is None} == {
        key for key, row in terms.items() if not row["end_date"]
    }
    assert amounts["S-8cec59"] == round(2786 * 111 / 30 * 100)  # 23 December to 12 April are 111 days
    assert satisfied == 2000 - 825


def _within(on: str, term: dict[str, str]) -> bool:
    return term["start_date"] <= on and (not term["end_date"] or on <= term["end_date"])


def _later_of_each_pair(usage: list[dict[str, str]], refused: list[dict[str, str]]) -> None:
    lines = {row["usage_id"]: number for number, row in enumerate(usage, start=2)}  # the last of each id
    assert all(int(row["line"]) == lines[row["usage_id"]] for row in refused)


# two years of passes


def passes(at, on: list[str], monkeypatch: pytest.MonkeyPatch | None, *, twice: bool = False) -> int:
    """Measure and advance week by week; returns how many words and cases failed. Every tenth pass is foreseen."""
    failed = 0
    for number, week in enumerate(on):
        for _ in range(2 if twice else 1):
            at.measure(week)
        if monkeypatch is not None and number % 10 == 9:
            foreseen_moves_happen(at, week, monkeypatch)
        failed += len(at.advance(week).failed)
        if twice:
            again = at.advance(week)
            assert not {kind: many for kind, many in again.counts.items() if many and kind != "failed"}, again.counts
    return failed


def foreseen_moves_happen(at, week: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`explain` names a true transition if and only if the first hop makes that move, for the same values."""
    with at.store.trial() as connection:
        view = foresee(connection, at.definition, Asked(at.at(week)))
        ids = connection.execute(text('select id from "case" order by id')).scalars().all()
        told = {case["case"]: case for case in explain_cases(connection, view, ids)}
    with monkeypatch.context() as patch:
        patch.setattr(advance_module, "HOPS", 1)
        entries = at.advance(week, dry_run=True).entries.get("moved", [])
    spoken = [entry for entry in entries if entry["because"][0]["fact"].startswith("trigger ")]
    moved = {entry["case"]: entry for entry in entries if entry not in spoken}
    expected = {name: case for name, case in told.items() if (case["next"] or {}).get("by") == "guard"}
    assert {name for name in moved if name in told} == set(expected), week
    for name, case in expected.items():
        assert (moved[name]["from"], moved[name]["to"]) == (case["stage"], case["next"]["to"]), (week, name)
        assert moved[name]["because"] == case["next"]["because"], (week, name)
        verdicts = [way["verdict"] for way in case["transitions"] if way["place"] == case["next"]["place"]]
        assert "true" in verdicts, (week, name)
    said = {entry["case"]: entry["to"] for entry in reversed(spoken)}  # the first move of each
    for name, case in told.items():
        if (case["next"] or {}).get("by") == "word" and case["next"]["to"] is not None:
            assert said[name] == case["next"]["to"], (week, name)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return part_of_the_data(tmp_path_factory.mktemp("ravenstack") / "data", CUSTOMERS)


@pytest.fixture(scope="module")
def reference(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[tuple]], int]:
    """What SQLite says after each file was imported once and each pass run once; and how much failed."""
    folder = tmp_path_factory.mktemp("reference")
    at = running.Running(project(folder / "project"), f"sqlite:///{folder / 'csflow.db'}")
    bring_all(at, data)
    failed = passes(at, weeks(WEEKS), None)
    found = state(at)
    at.close()
    return found, failed


def test_words_that_nobody_hears_are_counted_and_the_others_are_heard(
    reference: tuple[dict[str, list[tuple]], int], data: Path
) -> None:
    found, failed = reference
    on = weeks(WEEKS)
    heard, refused = _lifecycle_words(data, on)
    assert failed == refused
    refusals = [row for row in found["inbox"] if row[-2] is not None]
    assert len(refusals) == refused
    assert {row[0] for row in refusals} <= {"cancel", "won_back"}
    entries = [row for row in found["history"] if row[0].startswith("lifecycle/")]
    spoken = [
        row for row in entries if row[2] == "moved" and row[9][0]["fact"] in ("trigger cancel", "trigger won_back")
    ]
    assert len(spoken) == heard
    events = [row for row in rows(data, "churn_events") if row["churn_date"] <= on[-1]]
    cases = [row for row in found["case"] if row[0].startswith("churn/")]
    ends = Counter(row[4] for row in cases)
    assert ends == {"good": sum(row["is_reactivation"] == "True" for row in events),
                    "bad": sum(row["is_reactivation"] == "False" for row in events)}  # fmt: skip


def _lifecycle_words(data: Path, on: list[str]) -> tuple[int, int]:
    """How many words the lifecycle hears and refuses, by the rules of the project told once more in plain Python."""
    begins: dict[str, str] = {}
    for row in rows(data, "subscriptions"):
        begins[row["account_id"]] = min(begins.get(row["account_id"], "9"), row["start_date"])
    heard = refused = 0
    churned: dict[str, bool] = {}
    for event in sorted(rows(data, "churn_events"), key=lambda row: (row["churn_date"], row["churn_event_id"])):
        customer, back = event["account_id"], event["is_reactivation"] == "True"
        week = next((sunday for sunday in on if sunday >= event["churn_date"]), None)
        if week is None:
            continue
        if begins[customer] <= week and churned.get(customer, False) == back:
            heard += 1
            churned[customer] = not back
        else:
            refused += 1
    return heard, refused


def test_tickets_open_close_and_are_late_on_their_own_days(
    reference: tuple[dict[str, list[tuple]], int], data: Path
) -> None:
    found, _ = reference
    end = datetime.fromisoformat(f"{weeks(WEEKS)[-1]} 23:59:59.999999")
    tickets = [row for row in rows(data, "support_tickets") if row["submitted_at"] <= f"{end}"]
    cases = {row[2]: row for row in found["case"] if row[0].startswith("ticket/")}
    late = set()
    for row in tickets:
        opened, closed = (datetime.fromisoformat(row[name]) for name in ("submitted_at", "closed_at"))
        case = cases.pop(row["ticket_id"])
        assert case[3] == ("closed" if closed <= end else "open"), row
        assert case[8] == _microseconds(opened), row
        if min(closed, end) > opened + timedelta(hours=24):
            late.add(case[0])
    assert not cases
    missed = {row[0] for row in found["deadline"] if row[0].startswith("ticket/") and row[7] is not None}
    assert missed == late


def _microseconds(at: datetime) -> int:
    return int((at - datetime(1970, 1, 1)) / timedelta(microseconds=1))  # noqa: DTZ001 - the project's zone is UTC


VARIANTS = ["postgresql plain", "sqlite twice", "postgresql shuffled"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_state_on_both_databases_done_twice_and_in_any_order_of_rows(
    variant: str, reference: tuple, data: Path, tmp_path: Path, request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    kind, how = variant.split()
    url = f"sqlite:///{tmp_path / 'csflow.db'}"
    if kind == "postgresql":
        url = request.getfixturevalue("postgresql_schema")()
    at = running.Running(project(tmp_path / "project"), url)
    source = shuffled(data, tmp_path / "data", 7) if how == "shuffled" else data
    for _ in range(2 if how == "twice" else 1):
        bring_all(at, source)
    foreseen = None if how == "shuffled" else monkeypatch
    failed = passes(at, weeks(WEEKS), foreseen, twice=how == "twice")
    same(reference[0], state(at))
    assert failed == reference[1]
    at.close()


def test_killed_at_every_commit_of_every_file_and_pass_the_state_is_the_same(
    database: str, data: Path, tmp_path: Path
) -> None:
    folder, on = project(tmp_path / "project"), weeks(WEEKS)[WEEKS // 2 :: WEEKS // 4]
    calm = running.Running(folder, f"sqlite:///{tmp_path / 'calm.db'}")
    bring_all(calm, data)
    passes(calm, on, None)
    verbs = [["import", name, str(data / file), LAST] for name, file in FILES.items()]
    verbs += [[verb, week] for week in on for verb in ("measure", "advance")]
    at = running.Running(folder, database)
    at.store.close()
    kills = [running.kill_through(folder, database, verb) for verb in verbs]
    same(state(calm), state(at))
    assert min(kills) >= 1
    assert sum(kills) >= 100
    at.close()
    calm.close()
