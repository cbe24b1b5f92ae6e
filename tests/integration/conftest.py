"""Opened projects and stores that several tests begin with; a file that needs more in it overrides the fixture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hand import Hand
from importing_project import Desk
from post_office import Office
from shop import Shop

from csflow.store.opening import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    opened = open_store(database, project=None)
    yield opened
    opened.close()


@pytest.fixture
def desk(store: Store, tmp_path: Path) -> Desk:
    return Desk(store, tmp_path)


@pytest.fixture
def two(desk: Desk) -> Desk:
    """A desk with two customers and a contract each."""
    desk.bring("customers", "id,name,signed_on\nC1,Ann,2024-01-05\nC2,Bob,")
    desk.bring("contracts", "id,customer,starts_on,ends_on\nK1,C1,2024-01-10,2024-12-31\nK2,C2,2024-02-01,")
    desk.untouch()
    return desk


@pytest.fixture
def hand(database: str, tmp_path: Path) -> Iterator[Hand]:
    opened = Hand(database, tmp_path / "project")
    yield opened
    opened.store.close()


@pytest.fixture
def office(database: str, tmp_path: Path) -> Iterator[Office]:
    opened = Office(database, tmp_path / "project")
    yield opened
    opened.store.close()


@pytest.fixture
def shop(database: str, tmp_path: Path) -> Iterator[Shop]:
    opened = Shop(database, tmp_path / "shop")
    yield opened
    opened.close()


@pytest.fixture
def three(shop: Shop) -> Shop:
    """Customers of the shop after 7 January: C-1 and C-3 in start since the 5th, C-2 grown on the 7th."""
    shop.customer("C-1")
    shop.customer("C-2", beds=60.0, vip=1.0)
    shop.customer("C-3")
    shop.run("2026-01-05")
    shop.visit("C-2", "2026-01-06")
    shop.run("2026-01-07")
    return shop
