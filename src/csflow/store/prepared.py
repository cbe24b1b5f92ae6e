"""Statements as the database hears them, kept for the next time: building one costs more than asking about a few rows.

What a statement depends on besides its key is its *world*: the definition, the numbers of its names, what is stale. The
statements of a world are kept in the process and, beside the cache of definitions, for the next one.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csflow.flow.files import write_whole
from csflow.flow.records import record
from csflow.store.as_of import AsOf

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, CursorResult, Executable, Row

    from csflow.flow.moments import Moment, Recipe

WORLDS = 8  # how many are kept: those of a pass and a measure, with and without what is stale
SUFFIX = ".statements"


@record
class Prepared:
    """A statement's text. ``order``: the names of its parameters where they go by position; ``fixed``: those with one
    value for ever; ``moving``: the recipes of those that follow from the moment. All of it can be kept as JSON.
    """

    text: str
    order: list[str] | None
    fixed: dict[str, Any]
    moving: dict[str, Recipe]

    @property
    def parts(self) -> tuple[Any, ...]:
        """All of it, as `Prepared` takes it."""
        return self.text, self.order, self.fixed, self.moving

    @classmethod
    def of(cls, connection: Connection, statement: Executable) -> Prepared:
        """The statement, compiled for the connection's database."""
        compiled: Any = statement.compile(connection.engine, compile_kwargs={"render_postcompile": True})  # type: ignore[attr-defined]
        moving = {name: bind.recipe for bind, name in compiled.bind_names.items() if isinstance(bind, AsOf)}
        fixed = {name: value for name, value in compiled.params.items() if name not in moving}
        return cls(str(compiled), list(compiled.positiontup) if compiled.positional else None, fixed, moving)

    def run(self, connection: Connection, moment: Moment, **values: Any) -> CursorResult[Any]:
        """Execute it at a moment; ``values`` for the other bind parameters that change from one time to the next."""
        bound = self.fixed | values
        for name, recipe in self.moving.items():
            bound[name] = moment.constant(recipe)
        parameters: Any = bound if self.order is None else tuple(bound[name] for name in self.order)
        return connection.exec_driver_sql(self.text, parameters)

    def ask(self, connection: Connection, moment: Moment, **values: Any) -> list[Row[Any]]:
        """The rows it finds at a moment."""
        return list(self.run(connection, moment, **values).all())


class Kept:
    """The prepared statements of one database, by world and key. ``folder`` None: of this process only.

    What cannot be read or written is done without: it is only a cache.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._worlds: dict[str, dict[str, Prepared]] = {}
        self._new: set[str] = set()

    def prepared(
        self, connection: Connection, world: str, key: tuple[Any, ...], build: Callable[[], Executable]
    ) -> Prepared:
        """The statement of that key in that world, built the first time."""
        if world not in self._worlds:
            self._worlds[world] = self._read(world)
            while len(self._worlds) > WORLDS:
                del self._worlds[next(iter(self._worlds))]
        there, name = self._worlds[world], _name_of(key)
        found = there.get(name)
        if found is None:
            found = there[name] = Prepared.of(connection, build())
            self._new.add(world)
        return found

    def save(self) -> None:
        """Keep for the next process what this one has built."""
        if self._folder is None or not self._new:
            return
        with suppress(OSError, ValueError, TypeError):
            self._folder.mkdir(parents=True, exist_ok=True)
            for world in self._new & set(self._worlds):
                text = json.dumps({key: found.parts for key, found in self._worlds[world].items()})
                total = hashlib.sha256(text.encode()).hexdigest()
                write_whole(self._folder / (world + SUFFIX), f"{total}\n{text}")
            files = sorted(self._folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime, reverse=True)
            for old in files[WORLDS:]:
                old.unlink(missing_ok=True)
        self._new.clear()

    def _read(self, world: str) -> dict[str, Prepared]:
        if self._folder is None:
            return {}
        try:
            total, _, text = (self._folder / (world + SUFFIX)).read_text("utf-8").partition("\n")
            if hashlib.sha256(text.encode()).hexdigest() != total:
                return {}
            return {
                key: Prepared(statement, order, fixed, {name: tuple(recipe) for name, recipe in moving.items()})
                for key, (statement, order, fixed, moving) in json.loads(text).items()
            }
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return {}


@lru_cache(maxsize=4_096)
def _name_of(key: tuple[Any, ...]) -> str:
    return json.dumps(key)


@lru_cache(maxsize=4 * WORLDS, typed=True)
def world_of(*parts: Any) -> str:
    """The name of a world: the hash of all it depends on, csflow's own code included. ``parts`` can be hashed."""
    return hashlib.sha256(json.dumps([_code(), *parts]).encode("utf-8", "surrogatepass")).hexdigest()[:40]


@cache
def _code() -> list[tuple[str, int, int]]:
    """When csflow's own files were written: other code makes other statements."""
    found = []
    for folder, _, files in os.walk(Path(__file__).parents[1]):
        for name in files:
            if name.endswith(".py"):
                status = (Path(folder) / name).stat()
                found.append((name, status.st_mtime_ns, status.st_size))
    return sorted(found)
