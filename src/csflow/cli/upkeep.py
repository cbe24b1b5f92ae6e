"""`csflow db`: looking after the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from csflow.cli import Here


@click.group(epilog="Example:  csflow db upgrade")
def db() -> None:
    """Look after the database."""


@db.command(epilog="Example:  csflow db upgrade")
@click.pass_obj
def upgrade(here: Here) -> None:
    """Bring an older database to this csflow's tables.

    A SQLite file is copied first, beside itself; the upgrade is one transaction.
    """
    from csflow.services.upgrading import upgrade_database  # noqa: PLC0415  # SQLAlchemy comes with it

    app = here.open()
    told = upgrade_database(app.database, app.project)
    if told.before == told.after:
        click.echo(f"The database is up to date (tables {told.after}).")
        return
    if told.copy is not None:
        click.echo(f"A copy of the database as it was: {told.copy}")
    click.echo(f"Upgraded from tables {told.before or 'none'} to {told.after}.")
