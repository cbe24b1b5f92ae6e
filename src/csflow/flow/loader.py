"""A folder of YAML → a checked Definition, or every problem at once with its place.

Read the files of the project and of what it extends, expand shorthands, lay the layers over each other, check the form,
build. `load_cached` keeps the merged tree as JSON, so that a warm start imports neither YAML nor pydantic.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csflow.errors import DefinitionError, Problem
from csflow.flow.building import build
from csflow.flow.files import CACHE, PROJECT_FILE, project_files, write_whole
from csflow.flow.sites import MAX_PROBLEMS

if TYPE_CHECKING:
    from csflow.flow.definition import Definition
    from csflow.flow.types import Catalogue

MAX_FILES = 2_000
MAX_TOTAL = 8_000_000  # bytes of a project with all that it extends
CACHE_FORM = 1  # changes when the merged tree's form does

Holidays = Callable[[str], list[str] | None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded project: its Definition, the merged plain tree, warnings, and the files it was read from."""

    definition: Definition
    tree: dict[str, Any]
    problems: list[Problem] = field(default_factory=list)
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
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


def load(folder: Path, around: Surroundings) -> Loaded:
    """Read and check the project. DefinitionError with all problems where it is wrong."""
    # YAML and pydantic cost a tenth of a second: only what is really read pays it (decisions, 30).
    from csflow.flow.layers import read_project  # noqa: PLC0415

    project = read_project(folder, around.packs, limits=(MAX_FILES, MAX_TOTAL))
    if around.holidays is not None:
        _fill_holidays(project.tree, around.holidays)
    definition, found = build(project.tree, around.catalogue, provided=around.provided)
    problems = [*project.problems, *project.located(found)]
    if definition is None:
        message = f"more than {MAX_PROBLEMS} mistakes: mend some, and the others are looked for"
        problems.append(Problem(problems[0].file, 1, 1, message))
    if definition is None or any(not problem.warning for problem in problems):
        raise DefinitionError(list(dict.fromkeys(problems)))
    return Loaded(definition, project.tree, sorted(set(problems)), tuple(project.files))


def load_cached(folder: Path, around: Surroundings) -> Definition:
    """As `load`, but from ``.csflow/cache`` beside the project file where nothing changed since.

    A cache that cannot be read or written is done without. Warnings are not repeated.
    """
    key = _fingerprint(folder, around)
    cache = folder / CACHE
    tree = _cached_tree(cache / f"{key}.json") if key else None
    if tree is not None:
        definition, found = build(tree, around.catalogue, provided=around.provided)
        if definition is not None and all(problem.warning for problem in found):
            return definition
    loaded = load(folder, around)
    key = _fingerprint(folder, around, loaded.files)
    if key:
        _write_cache(cache, key, loaded)
    return loaded.definition


def project_folders(folder: Path, around: Surroundings) -> tuple[Path, ...]:
    """The folders with a ``csflow.yaml`` that a project is made of: its own first, then those that it extends."""
    files = _known_files(folder) or load(folder, around).files
    return tuple(dict.fromkeys([folder, *(_project_of(path) for path in files)]))


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
        return tuple(Path(name) for name in json.loads(text))
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
