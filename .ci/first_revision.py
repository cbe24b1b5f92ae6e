"""Rewrite the first migration from the tables: only until the first release, then add revisions instead."""

from __future__ import annotations

import re
from pathlib import Path

from alembic.autogenerate import api, render
from alembic.migration import MigrationContext
from alembic.operations.ops import UpgradeOps
from sqlalchemy import create_engine

from csflow.store.migrating import whole_metadata

WIDTH = 105
TARGET = Path(__file__).parents[1] / "src/csflow/store/migrations/versions/0001_first.py"
HEAD = '''"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# fmt: off
Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Real: sa.types.TypeEngine[float] = sa.Double().with_variant(sa.REAL(), "sqlite")
Word = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

'''
NAMES = {
    "sa.BigInteger().with_variant(sa.Integer(), 'sqlite')": "Big",
    "sa.Double().with_variant(sa.REAL(), 'sqlite')": "Real",
    "sa.Double(precision=53).with_variant(sa.REAL(), 'sqlite')": "Real",
    "sa.Text().with_variant(sa.Text(collation='C'), 'postgresql')": "Word",
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
    bodies: dict[str, list[str]] = {}  # table → what makes it and its indexes, in the order of dependence
    for operation in script.upgrade_ops.ops:
        for one in getattr(operation, "ops", [operation]):
            bodies.setdefault(one.table_name, []).extend(render.render_op(auto, one))


def packed(text: str) -> list[str]:
    """A rendered call in as few lines as fit, two levels deep."""
    for long, short in NAMES.items():
        text = text.replace(long, short)
    text = re.sub(r"""("[^"]*")|'""", lambda quoted: quoted[1] or '"', text)  # those within a text of SQL stay
    pieces = re.sub(r", (?=sqlite_where|postgresql_where)", ",\n", text).splitlines()
    lines = [pieces[0].strip()]
    for piece in pieces[1:]:
        if len(lines[-1]) + len(piece) > WIDTH:
            lines.append(piece.strip())
        else:
            lines[-1] += ("" if lines[-1].endswith("(") or piece.strip() == ")" else " ") + piece.strip()
    return [f"    {lines[0]}", *(f"        {line}" for line in lines[1:])]


source = "\n\n\n".join(
    f"def _{table}() -> None:\n" + "\n".join(line for text in body for line in packed(text))
    for table, body in bodies.items()
)
calls = "\n".join(f"    _{table}()" for table in bodies)
TARGET.write_text(f'{HEAD}\ndef upgrade() -> None:\n    """Make every table."""\n{calls}\n\n\n{source}\n')
