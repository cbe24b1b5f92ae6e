"""The migrations make exactly the tables that the code speaks of."""

from __future__ import annotations

import re

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from csflow.store.migrating import copy_file, head, whole_metadata
from csflow.store.opening import SCHEMA, open_store

metadata = whole_metadata()


@pytest.fixture
def migrated(database):
    store = open_store(database, project=None)
    yield store
    store.close()


def test_the_version_in_the_code_is_the_newest_migration():
    assert head() == SCHEMA


def test_models_equal_migrated_tables(migrated):
    with migrated.reading() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": migrated.dialect == "sqlite"}
        )
        assert compare_metadata(context, metadata) == []


def _spelled(connection):
    rows = connection.execute(text("select type, name, sql from sqlite_master where sql is not null"))
    words = {(row.type, row.name): " ".join(re.sub(r'["(),]', " ", row.sql).split()) for row in rows}
    # A table's constraints may come in another order.
    return {key: sorted(value.split()) for key, value in words.items() if key[1] != "alembic_version"}


def test_sqlite_tables_are_written_as_the_models_write_them(tmp_path):
    """Reflection does not see STRICT, WITHOUT ROWID or the condition of an index: the text of the tables does."""
    store = open_store(None, project=tmp_path)
    fresh = create_engine("sqlite://")
    with store.reading() as connection, fresh.begin() as other:
        metadata.create_all(other)
        assert _spelled(connection) == _spelled(other)
        strict = connection.execute(text("select count(*) from pragma_table_list where strict")).scalar()
        clustered = connection.execute(text("select count(*) from pragma_table_list where wr and schema = 'main'"))
        assert strict == len(metadata.tables)
        assert clustered.scalar() >= 10
    fresh.dispose()
    store.close()


def _partial(connection):
    rows = connection.execute(
        text(
            "select indexname, indexdef from pg_indexes where schemaname = current_schema() and indexdef like '%WHERE%'"
        )
    )
    return {row.indexname: row.indexdef.split(" WHERE ")[1] for row in rows}


def test_postgresql_keeps_partial_indexes_and_compares_text_byte_by_byte(postgresql_schema):
    store = open_store(postgresql_schema(), project=None)
    with store.reading() as connection:
        partial = _partial(connection)
        assert partial["uq_usage_ref"] == "(ref IS NOT NULL)"
        assert partial["uq_case_open"] == "(ended IS NULL)"
        expected = {
            index.name
            for table in metadata.tables.values()
            for index in table.indexes
            if index.dialect_options["postgresql"]["where"] is not None
        }
        assert set(partial) == expected
        other = text(
            "select table_name, column_name from information_schema.columns where table_schema = current_schema() "
            "and data_type = 'text' and collation_name is distinct from 'C'"
        )
        assert connection.execute(other).all() == []
    store.close()


def test_a_copy_holds_what_the_database_held(tmp_path):
    store = open_store(None, project=tmp_path)
    with store.writing() as connection:
        connection.execute(text("insert into meta (key, value) values ('a', '1')"))
    copy_file(store.path, tmp_path / "copy.db")
    store.close()
    copied = open_store(f"sqlite:///{tmp_path / 'copy.db'}", project=None)
    with copied.reading() as connection:
        assert connection.execute(text("select value from meta where key = 'a'")).scalar() == "1"
    copied.close()
