"""An upgrade copies a SQLite file first and says where; Alembic then does the rest."""

from __future__ import annotations

import shutil
import sqlite3

import pytest
from sqlalchemy import text

from csflow.errors import StoreError
from csflow.services import upgrading
from csflow.store import migrating, opening
from csflow.store.opening import open_store

NEXT = """
from alembic import op
revision, down_revision, branch_labels, depends_on = "0002", "0001", None, None
def upgrade():
    op.execute("create table later (a integer)")
    {then}
"""


@pytest.fixture
def newer(tmp_path, monkeypatch):
    """A csflow with one more migration."""

    def make(then="pass"):
        scripts = tmp_path / "migrations"
        shutil.copytree(migrating.SCRIPTS, scripts, dirs_exist_ok=True)
        (scripts / "versions" / "0002_next.py").write_text(NEXT.format(then=then))
        monkeypatch.setattr(migrating, "SCRIPTS", scripts)
        monkeypatch.setattr(opening, "SCHEMA", "0002")
        monkeypatch.setattr(upgrading, "SCHEMA", "0002")

    return make


def _mark(database):
    store = open_store(database, project=None)
    with store.writing() as connection:
        connection.execute(text("insert into meta (key, value) values ('a', '1')"))
    store.close()


def test_an_older_database_is_upgraded_and_a_file_is_copied_first(database, newer):
    _mark(database)
    newer()
    with pytest.raises(StoreError, match="run `csflow db upgrade`"):
        open_store(database, project=None)
    told = upgrading.upgrade_database(database, None)
    assert (told.before, told.after) == ("0001", "0002")
    store = open_store(database, project=None)
    with store.reading() as connection:
        assert connection.execute(text("select count(*) from later")).scalar() == 0
        assert connection.execute(text("select value from meta")).scalar() == "1"
    if store.dialect == "sqlite":
        copy = sqlite3.connect(told.copy)
        assert copy.execute("select version_num, (select value from meta) from alembic_version").fetchall() == [
            ("0001", "1")
        ]
        copy.close()
    else:
        assert told.copy is None
    store.close()


def test_an_upgrade_that_fails_changes_nothing(database, newer):
    _mark(database)
    newer(then="raise RuntimeError('no')")
    with pytest.raises(RuntimeError, match="no"):
        upgrading.upgrade_database(database, None)
    version, _ = opening.present_version(database, project=None)
    assert version == "0001"


def test_a_second_copy_does_not_overwrite_the_first(tmp_path, newer):
    url = f"sqlite:///{tmp_path / 'csflow.db'}"
    _mark(url)
    newer(then="raise RuntimeError('no')")
    for _ in range(2):
        with pytest.raises(RuntimeError):
            upgrading.upgrade_database(url, None)
    assert len(list(tmp_path.glob("csflow.db.before-*"))) == 2
