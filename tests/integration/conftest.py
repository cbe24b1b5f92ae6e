"""Opened projects and stores that several tests begin with; a file that needs more in it overrides the fixture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hand import Hand
from importing_project import Desk
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
def hand(database: str, tmp_path: Path) -> Iterator[Hand]:
    opened = Hand(database, tmp_path / "project")
    yield opened
    opened.store.close()


@pytest.fixture
def shop(database: str, tmp_path: Path) -> Iterator[Shop]:
    opened = Shop(database, tmp_path / "shop")
    yield opened
    opened.close()
