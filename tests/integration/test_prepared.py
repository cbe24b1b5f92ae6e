"""Statements kept for the next time say the same as statements built anew, at any moment."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Text, bindparam, select

from csflow.flow.moments import Moment
from csflow.store import as_of
from csflow.store import tables as t
from csflow.store.insertion import listed
from csflow.store.opening import open_store
from csflow.store.prepared import SUFFIX, WORLDS, Kept, Prepared, world_of
from csflow.values import Length, Zone, day

ZONE = Zone("Europe/Berlin")


def at(text, **more):
    return Moment(now=ZONE.end_of(day(text)), zone=ZONE, **more)


@pytest.fixture
def store(database):
    store = open_store(database, project=None)
    with store.writing() as connection:
        rows = [{"key": f"C-{i}", "happened": day("2026-03-01") + i, "signed_on": None} for i in range(10)]
        connection.execute(t.customer.insert(), rows)
    yield store
    store.close()


def old(moment):
    """Customers known for five days or more."""
    _, reached = as_of.borders(moment, Length(5, "days"), until=False, time=False)
    return select(t.customer.c.key).where(t.customer.c.happened <= reached).order_by(t.customer.c.id)


def keys(rows):
    return [row.key for row in rows]


def test_a_statement_built_at_one_moment_is_true_at_another(store):
    with store.reading() as connection:
        prepared = Prepared.of(connection, old(at("2026-03-01")))
        assert keys(prepared.ask(connection, at("2026-03-05"))) == []
        assert keys(prepared.ask(connection, at("2026-03-08"))) == ["C-0", "C-1", "C-2"]
        assert keys(prepared.ask(connection, at("2026-03-06"))) == ["C-0"]


def test_what_changes_otherwise_is_given_by_name(store):
    with store.reading() as connection:
        chosen = listed(t.customer.c.id, bindparam("chosen", "[]", Text))
        prepared = Prepared.of(connection, select(t.customer.c.key).where(chosen).order_by(t.customer.c.id))
        ids = dict(connection.execute(select(t.customer.c.key, t.customer.c.id)).all())
        for wanted in ([], ["C-3"], ["C-1", "C-8"]):
            text = json.dumps([ids[key] for key in wanted])
            assert keys(prepared.ask(connection, at("2026-03-01"), chosen=text)) == wanted


def refuse():
    raise AssertionError("built anew")


def test_the_next_process_does_not_build_what_this_one_has(store, tmp_path):
    moment = at("2026-03-08")
    with store.reading() as connection:
        first = Kept(tmp_path)
        first.prepared(connection, "w", ("old", 1), lambda: old(moment))
        first.save()
        found = Kept(tmp_path).prepared(connection, "w", ("old", 1), refuse)
        assert keys(found.ask(connection, at("2026-03-07"))) == ["C-0", "C-1"]


def test_another_world_or_key_is_built_anew(store, tmp_path):
    moment = at("2026-03-08")
    with store.reading() as connection:
        kept = Kept(tmp_path)
        kept.prepared(connection, "w", ("old", 1), lambda: old(moment))
        kept.save()
        for world, key in (("v", ("old", 1)), ("w", ("old", 2))):
            with pytest.raises(AssertionError, match="built anew"):
                Kept(tmp_path).prepared(connection, world, key, refuse)


@pytest.mark.parametrize(
    "spoil",
    [lambda text: text[:-9], lambda text: "", lambda text: text.replace("customer", "usage"), lambda text: "\0\ud800"],
)
def test_a_spoilt_cache_is_done_without(store, tmp_path, spoil):
    moment = at("2026-03-08")
    with store.reading() as connection:
        kept = Kept(tmp_path)
        kept.prepared(connection, "w", ("old",), lambda: old(moment))
        kept.save()
        path = tmp_path / f"w{SUFFIX}"
        path.write_text(spoil(path.read_text()), "utf-8", "surrogatepass")
        found = Kept(tmp_path).prepared(connection, "w", ("old",), lambda: old(moment))
        assert keys(found.ask(connection, moment)) == ["C-0", "C-1", "C-2"]


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(store, tmp_path):
    (tmp_path / "file").write_text("no folder")
    moment = at("2026-03-08")
    with store.reading() as connection:
        kept = Kept(tmp_path / "file")
        found = kept.prepared(connection, "w", ("old",), lambda: old(moment))
        kept.save()
        assert keys(found.ask(connection, moment)) == ["C-0", "C-1", "C-2"]
    assert (tmp_path / "file").read_text() == "no folder"


def test_only_the_newest_worlds_stay_on_disk(store, tmp_path):
    moment = at("2026-03-08")
    with store.reading() as connection:
        for number in range(WORLDS + 3):
            kept = Kept(tmp_path)
            kept.prepared(connection, f"w{number}", ("old",), lambda: old(moment))
            kept.save()
    assert len(list(tmp_path.glob(f"*{SUFFIX}"))) == WORLDS


def test_a_world_is_named_by_all_it_depends_on():
    assert world_of("a", (("metric", "x", 1),)) == world_of("a", (("metric", "x", 1),))
    assert len({world_of("a", True), world_of("a", False), world_of("b", True), world_of("a")}) == 4
