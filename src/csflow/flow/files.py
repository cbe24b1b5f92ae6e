"""Which files a project is made of."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT_FILE = "csflow.yaml"
CACHE = Path(".csflow", "cache")  # beside the project file: what can be made anew at any time
POPULATION_FILE = "population.py"  # who lives in a project's demo: read by `demo` alone, no plugin
GENERATED = "GENERATED.txt"  # stands in a demo's folder, and says that all in it is invented

NO_PLUGINS = frozenset({POPULATION_FILE, "conftest.py", "setup.py"})  # nor what tests are called: see `is_plugin`


def is_plugin(path: Path) -> bool:
    """Whether a Python file beside a project is one: not what is there for pytest, for packaging, for a demo."""
    return not (path.name in NO_PLUGINS or path.name.startswith("test_") or path.name.endswith("_test.py"))


def shown(path: Path) -> str:
    """The path as people look for it: from the current folder where it lies below that."""
    try:
        # the file's own name, not what it links to: a link may lead nowhere, or to itself
        return (path.parent.resolve() / path.name).relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError):
        return str(path)


def misnamed(folder: Path) -> str | None:
    """A file that was surely meant to be the project's own, and is called a little otherwise: ``csflow.yml``."""
    with suppress(OSError):
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
        return next((one for one in names if one != PROJECT_FILE and one.lower() in {PROJECT_FILE, "csflow.yml"}), None)
    return None


def project_files(folder: Path) -> Iterator[Path]:
    """Every YAML file of the project, by path; not below a dot name, nor below another project's folder."""
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    found: list[Path] = []
    while waiting:
        here = waiting.pop()
        try:
            status = here.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
            if here != folder and any(entry.name == PROJECT_FILE for entry in entries):
                continue
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if _is_folder(entry):
                    waiting.append(Path(entry.path))
                elif entry.name.lower().endswith((".yaml", ".yml")):
                    found.append(Path(entry.path))
        except OSError:  # left out silently, its flows would be gone: whoever reads what is found says what is wrong
            found.append(here)
    return iter(sorted(found))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def write_whole(path: Path, text: str) -> None:
    """Write the file so that a reader sees the old or the new one, never half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogatepass") as stream:
            stream.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
