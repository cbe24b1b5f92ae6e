"""A flow that mirrors another system: its cases and their moves are imported, and csflow follows; on both databases."""

from __future__ import annotations

import pytest
from shop import ZONE, Shop, at
from sqlalchemy import select

from csflow.services.importing import import_file
from csflow.store import tables as t
from csflow.values import day

FILES = {
    "csflow.yaml": "csflow: 1\nname: p\ncurrency: EUR\nzone: Europe/Berlin\n",
    "deal.yaml": """
flow: deal
mirrors: crm
stages: {lead: {}, offer: {}, won: good, lost: bad}
""",
    "ours.yaml": """
flow: ours
stages: {new: {transitions: {half: {trigger: on_we_go}}}, half: {transitions: {done: {trigger: finish}}}, done: good}
""",
}


@pytest.fixture
def shop(database, tmp_path):
    opened = Shop(database, tmp_path / "shop", FILES)
    opened.customer("C-1")
    yield opened
    opened.close()


def bring(shop, text, on):
    path = shop.folder / "cases.csv"
    path.write_text(text, "utf-8")
    return import_file(shop.store, shop.definition, "cases", path, as_of=at(on), recorded=at(on))


def stages(shop):
    with shop.store.reading() as c:
        return list(c.execute(select(t.case.c.stage).order_by(t.case.c.id)).scalars())


def moves(shop):
    h = t.history.c
    with shop.store.reading() as c:
        entries = c.execute(select(h.source, h.target, h.at, h.actor).where(h.kind == "moved").order_by(h.seq)).all()
    return [tuple(entry) for entry in entries]


def noon(text):
    return ZONE.at(day(text), 720)


HEAD = "id,flow,customer,opened_at,stage,at\n"


def test_the_moves_of_a_mirrored_flow_come_as_they_were_made_with_no_way_of_its_own(shop):
    bring(shop, HEAD + "D1,deal,C-1,2026-01-10T12:00,offer,2026-02-01T12:00\n", "2026-02-02")
    assert shop.advance("2026-02-02").failed == []
    assert stages(shop) == ["offer"]
    bring(shop, HEAD + "D1,deal,C-1,2026-01-10T12:00,won,2026-02-10T12:00\n", "2026-02-11")
    assert shop.advance("2026-02-11").failed == []
    assert stages(shop) == ["won"]
    assert moves(shop) == [
        ("lead", "offer", noon("2026-02-01"), "import:case"),
        ("offer", "won", noon("2026-02-10"), "import:case"),
    ]


def test_a_mirrored_deal_may_go_back_and_be_opened_again(shop):
    for stage, on in (("lost", "2026-02-01"), ("lead", "2026-02-03"), ("offer", "2026-02-05")):
        bring(shop, HEAD + f"D1,deal,C-1,2026-01-10T12:00,{stage},{on}T12:00\n", on)
        assert shop.advance(on).failed == [], stage
        assert stages(shop) == [stage]


def test_the_same_file_again_moves_nothing(shop):
    for on in ("2026-02-02", "2026-02-03"):
        bring(shop, HEAD + "D1,deal,C-1,2026-01-10T12:00,offer,2026-02-01T12:00\n", on)
        assert shop.advance(on).failed == []
    assert len(moves(shop)) == 1


def test_a_move_that_a_flow_of_our_own_has_no_way_for_is_refused_with_a_reason(shop):
    bring(shop, HEAD + "R1,ours,C-1,2026-01-10T12:00,done,2026-02-01T12:00\n", "2026-02-02")
    assert [one["error"] for one in shop.advance("2026-02-02").failed] == [
        "ours/C-1/1: no way leads from 'new' to 'done'"
    ]
    assert stages(shop) == ["new"]
