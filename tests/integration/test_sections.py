"""The sections that come with csflow, over deadlines written by hand, on both databases."""

from __future__ import annotations

import pytest

from csflow.builtin.sections import missed_deadlines
from csflow.hookspecs import Sheet
from csflow.store import tables as t
from csflow.store.opening import open_store

CASE = {
    "subject": 1,
    "customer": 1,
    "stage": "start",
    "stay": 1,
    "opened_at": 0,
    "entered_at": 0,
    "seq": 0,
    "version": 0,
    "definition": "x",
}


@pytest.fixture
def store(database):
    """Onboarding: two in time, one late, one missed, one waiting, one dropped; renewal: one missed, one waiting."""
    store = open_store(database, project=None)
    with store.writing() as connection:
        for id_, flow in ((1, "onboarding"), (2, "renewal")):
            connection.execute(t.case.insert(), [{"id": id_, "flow": flow, "number": id_, "key": str(id_), **CASE}])
        lines = [
            (1, "month_1", 1, 5, None, 0),
            (1, "month_1", 2, 6, None, 0),
            (1, "month_1", 3, 20, 10, 0),
            (1, "month_1", 4, None, 10, 0),
            (1, "month_1", 5, None, None, 0),
            (1, "month_1", 6, None, 10, 1),
            (2, "offer", 1, None, 10, 0),
            (2, "silent", 1, None, None, 0),
        ]
        spec = {"due": 10, "anchor": None, "spec": "10 days"}
        rows = [
            {"case": c, "name": n, "run": r, "met": met, "missed": missed, "dropped": d, **spec}
            for c, n, r, met, missed, d in lines
        ]
        connection.execute(t.deadline.insert(), rows)
    yield store
    store.close()


def section(store, language="en", **options):
    with store.reading() as connection:
        return missed_deadlines(Sheet(connection, 20_000, language, options))


def test_deadlines_are_counted_by_how_they_were_kept(store):
    # Of onboarding's four judged, one late and one missed: 2 of 4. The dropped and the waiting count nowhere.
    assert section(store).rows == (("onboarding", "month_1", 2, 1, 1, "50 %"), ("renewal", "offer", 0, 0, 1, "100 %"))


def test_one_flow_may_be_asked_for_and_a_flow_without_deadlines_shows_none(store):
    assert [row[0] for row in section(store, flow="renewal").rows] == ["renewal"]
    nothing = section(store, flow="visit")
    assert (nothing.rows, nothing.note) == ((), "none judged yet")


def test_the_words_come_in_both_languages_and_an_unknown_one_reads_english(store):
    assert section(store, "zh").columns[-1] == "延期率"
    assert section(store, "fr").title == "Deadlines"
