"""Projects written and loaded in one line, for the tests of the language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from csflow.app import importables
from csflow.errors import DefinitionError, Problem
from csflow.flow.loader import Loaded, Surroundings, load
from csflow.store.catalogue import CATALOGUE

PROJECT = "csflow: 1\nname: p\ncurrency: EUR\nzone: UTC\n"

Load = Callable[..., Loaded]
Told = Callable[..., list[str]]


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write a project; without a file csflow.yaml it gets a plain one."""
    for name, text in {"csflow.yaml": PROJECT, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


@pytest.fixture
def load_project(tmp_path: Path) -> Load:
    """Load a project from the texts of its files (or of one file); it must be right."""

    def loading(files: Mapping[str, str] | str, **around: object) -> Loaded:
        texts = {"x.yaml": files} if isinstance(files, str) else files
        return load(write(tmp_path, texts), Surroundings(CATALOGUE, **around))  # type: ignore[arg-type]

    return loading


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """What is said of a wrong project, by default of its one file x.yaml: `line:column: message`."""

    def telling(files: Mapping[str, str] | str, *, named: bool = False, warnings: bool = False) -> list[str]:
        texts = {"x.yaml": files} if isinstance(files, str) else files
        folder = write(tmp_path, texts)
        try:
            problems = load(folder, Surroundings(CATALOGUE, importables=importables)).problems
        except DefinitionError as error:
            problems = error.problems
        shown = [problem for problem in problems if problem.warning == warnings]
        return [_line(problem, folder, named=named) for problem in shown]

    return telling


def _line(problem: Problem, folder: Path, *, named: bool) -> str:
    file = Path(problem.file)
    name = f"{file.relative_to(folder) if file.is_relative_to(folder) else file}:" if named else ""
    return f"{name}{problem.line}:{problem.column}: {problem.message}"
