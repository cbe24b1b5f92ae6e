"""A folder of YAML → a checked Definition, or every problem at once with its place.

Read the files of the project and of what it extends, expand shorthands, lay the layers over each other, check the form,
build. `load_cached` keeps the merged tree as JSON, so that a warm start imports neither YAML nor pydantic.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csflow.errors import DefinitionError, Problem
from csflow.flow.building import build
from csflow.flow.files import CACHE, PROJECT_FILE, project_files, write_whole
from csflow.flow.records import record
from csflow.flow.sites import MAX_PROBLEMS, Checks, Found, Tree
from csflow.flow.types import Functions, Importables, no_functions

if TYPE_CHECKING:
    from csflow.flow.definition import Definition
    from csflow.flow.types import Catalogue

MAX_FILES = 2_000
MAX_TOTAL = 8_000_000  # bytes of a project with all that it extends
CACHE_FORM = 1  # changes when the merged tree's form does

Holidays = Callable[[str], list[str] | None]


def _nowhere(_found: Iterable[Found]) -> list[Problem]:
    return []


@record
class Loaded:
    """A loaded project: its Definition, the merged plain tree, warnings, and the files it was read from.

    ``locate`` gives what is found later in that tree its place in those files.
    """

    definition: Definition
    tree: dict[str, Any]
    problems: list[Problem] = field(default_factory=list)
    files: tuple[Path, ...] = ()
    locate: Callable[[Iterable[Found]], list[Problem]] = _nowhere


@record
class Surroundings:
    """What a project is loaded among: shipped packs by name, the store's facts, what ``uses:`` can call.

    ``holidays`` gives the days (as text) of a country's holidays, or None where they are not known; ``versions`` are
    the versions of csflow and its plugins, part of the cache's key.
    """

    catalogue: Catalogue
    packs: Mapping[str, Path] = field(default_factory=dict)
    provided: frozenset[str] = frozenset()
    holidays: Holidays | None = None
    versions: str = ""
    checks: Checks = field(default_factory=dict)
    importables: Callable[[], Importables] | None = None  # asked when YAML is read, not when the cache is
    functions: Callable[[Tree, tuple[Path, ...]], Functions] | None = None  # plugins' own, of a project of these files


def load(folder: Path, around: Surroundings) -> Loaded:
    """Read and check the project. DefinitionError with all problems where it is wrong."""
    # YAML and pydantic cost a tenth of a second: only what is really read pays it (decisions, 30).
    from csflow.flow.layers import read_project, said_once  # noqa: PLC0415

    project = read_project(folder, around.packs, limits=(MAX_FILES, MAX_TOTAL))
    if around.holidays is not None:
        _fill_holidays(project.tree, around.holidays)
    importables = around.importables() if around.importables is not None else None
    definition, found = _build(project.tree, tuple(project.files), around, importables)
    problems = said_once([*project.problems, *project.located(found)])
    if definition is None:
        message = f"more than {MAX_PROBLEMS} mistakes: mend some, and the others are looked for"
        problems.append(Problem(problems[0].file, 1, 1, message))
    if definition is None or any(not problem.warning for problem in problems):
        raise DefinitionError(list(dict.fromkeys(problems)))
    return Loaded(definition, project.tree, sorted(set(problems)), tuple(project.files), project.located)


def _build(
    tree: Tree, files: tuple[Path, ...], around: Surroundings, importables: Importables | None = None
) -> tuple[Definition | None, list[Found]]:
    given = around.functions
    functions = no_functions if given is None else cache(lambda: given(tree, files))
    return build(
        tree, around.catalogue, provided=around.provided, checks=around.checks, functions=functions,
        importables=importables,
    )  # fmt: skip


def load_cached(folder: Path, around: Surroundings) -> Definition:
    """As `load`, but from ``.csflow/cache`` beside the project file where nothing changed since.

    A cache that cannot be read or written is done without. Warnings are not repeated.
    """
    key = _fingerprint(folder, around)
    cache = folder / CACHE
    tree = _cached_tree(cache / f"{key}.json") if key else None
    if tree is not None:
        definition, found = _build(tree, _known_files(folder) or (), around)
        if definition is not None and all(problem.warning for problem in found):
            return definition
    loaded = load(folder, around)
    key = _fingerprint(folder, around, loaded.files)
    if key:
        _write_cache(cache, key, loaded)
    return loaded.definition


def project_folders(folder: Path, around: Surroundings) -> tuple[Path, ...]:
    """The folders with a ``csflow.yaml`` that a project is made of: its own first, then those that it extends."""
    return folders_of(folder, _known_files(folder) or load(folder, around).files)


def folders_of(folder: Path, files: Iterable[Path]) -> tuple[Path, ...]:
    """The folders with a ``csflow.yaml`` that these files of a project lie in, its own first."""
    return tuple(dict.fromkeys([folder, *(_project_of(path) for path in files)]))


class Packs(Mapping[str, Path]):
    """Packs by name: those that csflow ships, and, once a name is none of these, those that plugins bring."""

    def __init__(self, shipped: Mapping[str, Path], more: Callable[[], Mapping[str, Path]]) -> None:
        self._shipped, self._more = shipped, cache(more)

    def __getitem__(self, name: str) -> Path:
        """The pack's folder; plugins are asked only for what csflow does not ship."""
        return self._shipped[name] if name in self._shipped else self._more()[name]

    def __iter__(self) -> Iterator[str]:
        """Every name, csflow's own first."""
        return iter(dict.fromkeys([*self._shipped, *self._more()]))

    def __len__(self) -> int:
        """How many there are."""
        return len(list(iter(self)))


def _fill_holidays(tree: dict[str, Any], holidays: Holidays) -> None:
    for calendar in (tree.get("calendars") or {}).values():
        country = calendar.get("holidays") if isinstance(calendar, dict) else None
        days = holidays(country) if isinstance(country, str) else None
        if days is not None:
            calendar["holidays"] = days


# The cache -----------------------------------------------------------------------------------------------------------


def _fingerprint(folder: Path, around: Surroundings, files: tuple[Path, ...] | None = None) -> str | None:
    """The hash of everything that a load depends on; None where it cannot be told.

    The files of what is extended are known only after a load: their list is kept in the cache beside the trees.
    """
    listed = files if files is not None else _known_files(folder)
    if listed is None:
        return None
    digest = hashlib.sha256(f"{CACHE_FORM}\n{around.versions}\n{sorted(around.provided)}\n".encode())
    try:
        for path in sorted({*listed, *project_files(folder)}):
            status = path.stat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_TOTAL:
                return None  # no file to be read whole: the load says what is wrong with it
            digest.update(f"{path}\0{status.st_mtime_ns}\0{status.st_size}\n".encode(errors="surrogateescape"))
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        for extended in sorted({_project_of(path) for path in listed} - {folder}):
            digest.update("\n".join(map(str, project_files(extended))).encode(errors="surrogateescape"))
    except OSError:
        return None
    return digest.hexdigest()


def _project_of(path: Path) -> Path:
    """The folder of the project that the file belongs to."""
    return next((above for above in path.parents if (above / PROJECT_FILE).exists()), path.parent)


def _known_files(folder: Path) -> tuple[Path, ...] | None:
    try:
        text = (folder / CACHE / "files.json").read_text("utf-8")
        names = [os.fsdecode(os.fsencode(name)) for name in json.loads(text)]  # a name that no file has here is none
        return tuple(map(Path, names))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _cached_tree(path: Path) -> dict[str, Any] | None:
    try:
        kept = json.loads(path.read_text("utf-8"))
        text = json.dumps(kept["tree"], ensure_ascii=False)
        whole = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() == kept["sum"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return kept["tree"] if whole and isinstance(kept["tree"], dict) else None


def _write_cache(cache: Path, key: str, loaded: Loaded) -> None:
    text = json.dumps(loaded.tree, ensure_ascii=False)
    total = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    with suppress(OSError, ValueError):
        cache.mkdir(parents=True, exist_ok=True)
        for old in cache.glob("*.json"):
            if old.name != "files.json":
                old.unlink(missing_ok=True)
        write_whole(cache / f"{key}.json", f'{{"sum": "{total}", "tree": {text}}}')
        write_whole(cache / "files.json", json.dumps([str(path) for path in loaded.files]))
