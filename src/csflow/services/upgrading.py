"""Upgrading a database that an older csflow made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from csflow.store.migrating import copy_file
from csflow.store.opening import SCHEMA, open_store, present_version

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What an upgrade did: the tables' version before (None: there were none) and after, the copy it made first."""

    before: str | None
    after: str
    copy: Path | None


def upgrade_database(url: str | None, project: Path | None) -> Upgraded:
    """Bring the database to this csflow's tables; a SQLite file is copied first. StoreError when it cannot be done."""
    before, path = present_version(url, project=project)
    copy = None
    if path is not None and before is not None and before < SCHEMA:
        copy = _free(path, before)
        copy_file(path, copy)
    open_store(url, project=project, migrate=True).close()
    return Upgraded(before, SCHEMA, copy)


def _free(path: Path, version: str) -> Path:
    """A name beside the database that no file has."""
    number = 0
    while True:
        copy = path.with_name(f"{path.name}.before-{SCHEMA}-from-{version}{f'-{number}' if number else ''}")
        if not copy.exists():
            return copy
        number += 1
