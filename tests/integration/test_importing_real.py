"""Data that nobody here wrote, through mappings: its traps are reported, not hidden."""

from __future__ import annotations

import csv
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from importing_project import Desk, counts, definition

from csflow.store.opening import open_store

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="others' data, no part of the project: ../shared/data")
RAVEN = {
    "accounts": {
        "into": "customer",
        "columns": {"id": "account_id", "name": "account_name", "signed_on": "signup_date", "seats": "seats", "trial": "is_trial"},
        "ignore": ["industry", "country", "referral_source", "plan_tier", "churn_flag"],
    },
    "subscriptions": {
        "into": "contract",
        "columns": {"id": "subscription_id", "customer": "account_id", "starts_on": "start_date", "ends_on": "end_date",
                    "product": "plan_tier", "amount": "=mrr_amount * 12", "currency": {"value": "USD"}},
        "ignore": ["*"],
    },
    "feature_usage": {
        "into": "usage",
        "columns": {"id": "usage_id", "contract": "subscription_id", "day": "usage_date", "feature": "feature_name",
                    "count": "usage_count", "seconds": "usage_duration_secs"},
        "ignore": ["error_count", "is_beta_feature"],
    },
    "support_tickets": {
        "into": "case",
        "columns": {"id": "ticket_id", "flow": "='support'", "customer": "account_id", "opened_at": "submitted_at",
                    "at": "closed_at", "stage": "='done'", "priority": "priority", "score": "satisfaction_score"},
        "ignore": ["*"],
    },
    "churn_events": {
        "into": "trigger",
        "columns": {"id": "churn_event_id", "customer": "account_id", "at": "churn_date", "cause": "reason_code",
                    "name": {"column": "is_reactivation", "values": {True: "complain", False: "cancel"}}},
        "ignore": ["*"],
    },
}  # fmt: skip
COMPLAINTS = {
    "complaints": {
        "into": "case",
        "columns": {
            "id": "Complaint ID", "flow": "='support'", "customer": "Customer ID", "stage": "='done'",
            "opened_at": {"column": "Date Received", "format": "%d/%m/%Y"},
            "at": {"column": "Date Resolved", "format": "%d/%m/%Y"}, "priority": "Issue Type",
        },
        "ignore": ["*"],
    }
}  # fmt: skip


def raven(name):
    return DATA / "ravenstack" / f"ravenstack_{name}.csv"


def table(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def outside():
    """How many kept usage rows lie outside their subscription, counted from the files alone."""
    terms = {
        row["subscription_id"]: (row["start_date"], row["end_date"] or "9999") for row in table(raven("subscriptions"))
    }
    kept = {}
    for row in table(raven("feature_usage")):
        kept.setdefault(row["usage_id"], row)
    found = 0
    for row in kept.values():
        start, end = terms[row["subscription_id"]]
        found += not start <= row["usage_date"] <= end
    return found


def test_ravenstack_comes_in_with_its_traps_reported_and_twice_is_once(desk, tmp_path):
    desk.definition = definition(RAVEN)
    expected = {
        "accounts": (500, 500, 0, 0, 0, 0),
        "subscriptions": (5000, 5000, 0, 0, 0, 0),
        "feature_usage": (25000, 24979, 0, 0, 21, outside()),
        "support_tickets": (2000, 2000, 0, 0, 0, 0),
        "churn_events": (600, 600, 0, 0, 0, 0),
    }
    ids = Counter(row["usage_id"] for row in table(raven("feature_usage")))
    assert sum(ids.values()) - len(ids) == 21
    for name, told in expected.items():
        brought = desk.bring_file(name, raven(name), on="2025-01-01", rejects=tmp_path / f"{name}.rejects.csv")
        assert counts(brought) == told
    with (tmp_path / "feature_usage.rejects.csv").open(newline="") as file:
        rejects = list(csv.DictReader(file))
    assert {row["usage_id"] for row in rejects} == {name for name, number in ids.items() if number > 1}
    assert all("conflict" in row["reason"] for row in rejects)
    scores = [row for row in desk.rows("inbox", "name", "fields") if row[0] == "move" and row[1] and "score" in row[1]]
    closed = [row for row in table(raven("support_tickets")) if row["closed_at"]]
    assert len(scores) == sum(1 for row in closed if row["satisfaction_score"])
    assert sum(1 for row in table(raven("support_tickets")) if not row["satisfaction_score"]) == 825
    before = desk.dump()
    for name, (read, new, *_, rejected, odd) in expected.items():
        brought = desk.bring_file(name, raven(name), on="2025-01-01", rejects=tmp_path / f"{name}.rejects.csv")
        assert counts(brought) == (read, 0, 0, new, rejected, odd)
    assert desk.dump() == before


def _shuffled(path, target, key):
    """Rows in another order; those that share an id keep theirs among themselves."""
    with path.open(newline="") as file:
        head, *rows = list(csv.reader(file))
    place = head.index(key)
    groups = {}
    for row in rows:
        groups.setdefault(row[place], []).append(row)
    order = [row[place] for row in rows]
    random.Random(7).shuffle(order)
    with target.open("w", newline="") as file:
        csv.writer(file).writerows([head, *(groups[name].pop(0) for name in order)])


def test_shuffled_rows_and_the_other_database_come_to_the_same(tmp_path, postgresql_schema):
    keys = {"accounts": "account_id", "subscriptions": "subscription_id", "feature_usage": "usage_id",
            "support_tickets": "ticket_id", "churn_events": "churn_event_id"}  # fmt: skip
    dumps = []
    for url, shuffle in ((f"sqlite:///{tmp_path / 'a.db'}", False), (postgresql_schema(), True)):
        store = open_store(url, project=None)
        desk = Desk(store, tmp_path)
        desk.definition = definition(RAVEN)
        for name, key in keys.items():
            path = raven(name)
            if shuffle:
                path = tmp_path / f"{name}.csv"
                _shuffled(raven(name), path, key)
            desk.bring_file(name, path, on="2025-01-01", rejects=tmp_path / f"{name}.rejects.csv")
        dumps.append(desk.dump())
        store.close()
    assert dumps[0] == dumps[1]


def test_complaints_with_a_byte_order_mark_and_days_before_months(desk, tmp_path):
    path = DATA / "complaints" / "complaints.csv"
    rows = table(path)
    desk.definition = definition(COMPLAINTS)
    desk.bring("customers", "id\n" + "\n".join(sorted({row["Customer ID"] for row in rows})))
    assert counts(desk.bring_file("complaints", path, on="2026-01-01")) == (53, 53, 0, 0, 0, 0)
    assert len(desk.rows("inbox", "ref")) == 2 * len(rows)


def test_complaints_read_months_first_refuse_what_is_no_month(desk, tmp_path):
    path = DATA / "complaints" / "complaints.csv"
    rows = table(path)
    american = {**COMPLAINTS["complaints"], "columns": dict(COMPLAINTS["complaints"]["columns"])}
    for column in ("opened_at", "at"):
        american["columns"][column] = {**american["columns"][column], "format": "%m/%d/%Y"}
    desk.definition = definition({"complaints": american})
    desk.bring("customers", "id\n" + "\n".join(sorted({row["Customer ID"] for row in rows})))
    told = desk.bring_file("complaints", path, on="2026-01-01", rejects=tmp_path / "rejects.csv")
    impossible = [row for row in rows if int(row["Date Received"][:2]) > 12 or int(row["Date Resolved"][:2]) > 12]
    reasons = {reason: number for reason, number in told.reasons.items() if "does not fit the format" in reason}
    assert sum(reasons.values()) == len(impossible) > 20
