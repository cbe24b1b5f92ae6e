"""Rewrite the first migration from the tables: only until the first release, then add revisions instead."""

from __future__ import annotations

import subprocess
from pathlib import Path

from alembic.autogenerate import api, render
from alembic.migration import MigrationContext
from alembic.operations.ops import UpgradeOps
from sqlalchemy import create_engine

from csflow.store.migrating import whole_metadata

TARGET = Path(__file__).parents[1] / "src/csflow/store/migrations/versions/0001_first.py"
HEAD = '''"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql, sqlite

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Real: sa.types.TypeEngine[float] = sa.Double().with_variant(sqlite.REAL(), "sqlite")
Word = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
'''
NAMES = {
    "sa.BigInteger().with_variant(sa.Integer(), 'sqlite')": "Big",
    "sa.Double().with_variant(sqlite.REAL(), 'sqlite')": "Real",
    "sa.Double(precision=53).with_variant(sqlite.REAL(), 'sqlite')": "Real",
    "sa.Text().with_variant(sa.TEXT(collation='C'), 'postgresql')": "Word",
}

metadata = whole_metadata()
engine = create_engine("sqlite://")
with engine.connect() as connection:
    context = MigrationContext.configure(connection, opts={"target_metadata": metadata})
    script = api.produce_migrations(context, metadata)
    assert isinstance(script.upgrade_ops, UpgradeOps)
    auto = api.AutogenContext(
        context,
        metadata,
        opts={
            "sqlalchemy_module_prefix": "sa.",
            "alembic_module_prefix": "op.",
            "user_module_prefix": None,
            "render_item": None,
        },
    )
    body = []
    for operation in script.upgrade_ops.ops:
        body += render.render_op(auto, operation)
source = "\n".join(body)
for long, short in NAMES.items():
    source = source.replace(long, short)
TARGET.write_text(HEAD + "\n".join("    " + line for line in source.splitlines()) + "\n")
subprocess.run(["ruff", "format", "-q", "--line-length", "120", str(TARGET)], check=True)
