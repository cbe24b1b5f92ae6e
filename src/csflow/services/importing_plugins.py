"""Imports whose rows a plugin reads: from a shop's interface, another database, a spreadsheet somewhere.

What it reads is first written to a file of one JSON object a line, and only a file that is whole is imported: so an
import by a plugin is an import like any other, and a plugin that fails half-way has changed nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from csflow.errors import PluginError, UsageError
from csflow.flow.checks_reading import FILES
from csflow.flow.definition import Definition
from csflow.hookspecs import attempt
from csflow.services.importing import Summary, import_file
from csflow.store.opening import Store
from csflow.values import Instant

HOOK = "csflow_importers"

Progress = Callable[[str, int, int], None]  # what is done, how much, of how much
Reader = Callable[[Mapping[str, Any]], Iterable[Mapping[str, Any]]]


def by_plugin(definition: Definition, name: str) -> str | None:
    """What a mapping of the project ``uses:`` when that is a plugin; None for one that needs a file."""
    uses = (definition.imports.get(name) or {}).get("uses")
    return None if uses is None or uses in FILES else str(uses)


def import_rows(
    store: Store,
    definition: Definition,
    name: str,
    readers: Mapping[str, tuple[str, Any]],
    *,
    as_of: Instant,
    rejects: Path,
    dry_run: bool = False,
    complete: bool = False,
    progress: Progress | None = None,
    recorded: Instant | None = None,
) -> Summary:
    """Import what the plugin of the mapping ``name`` reads; refused rows go to ``rejects``.

    ``readers``: name of ``uses:`` → (plugin, function). UsageError where none provides it, PluginError where it fails:
    then nothing is imported. The rest is as `import_file`.
    """
    uses = by_plugin(definition, name)
    if uses is None or uses not in readers:
        raise UsageError(f"imports.{name}: nothing provides '{uses}': is its plugin installed, or switched off?")
    plugin, reader = readers[uses]
    mapping = definition.imports[name]
    plain = replace(definition, imports={**definition.imports, name: {**mapping, "with": {}}})
    with TemporaryDirectory(prefix="csflow-import-") as folder:
        path = Path(folder) / f"{name}.jsonl"
        _, reason = attempt(_write, path, reader, deepcopy(mapping.get("with") or {}))
        if reason is not None:
            raise PluginError(f"{plugin}: {HOOK}: {uses}: {reason}; nothing of '{name}' was imported")
        return import_file(
            store, plain, name, path, as_of=as_of, dry_run=dry_run, complete=complete,
            rejects=None if dry_run else rejects, progress=progress, recorded=recorded,
        )  # fmt: skip


def _write(path: Path, reader: Reader, options: dict[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(reader(options), 1):
            if not isinstance(row, Mapping):
                raise TypeError(f"row {number} is a dict of column → text, not {type(row).__name__}")
            file.write(json.dumps({str(key): _cell(value, number) for key, value in row.items()}))
            file.write("\n")


def _cell(value: Any, number: int) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise TypeError(f"row {number} holds {value!r:.60}: a cell is a text, a number, true or false, or None")
