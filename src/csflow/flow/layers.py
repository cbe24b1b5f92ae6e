"""The YAML side of loading: the files of a project and of what it extends → one merged tree with places."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from csflow.errors import DefinitionError, Problem
from csflow.flow.files import PROJECT_FILE, project_files, shown
from csflow.flow.forms import FlowForm, MergedForm, ProjectForm, Sections
from csflow.flow.names import nearest
from csflow.flow.overlay import merge, merge_flows, removals, replaced, resolve_variants, settle, without_nulls
from csflow.flow.reading import BOOLEAN_KEY, READERS, Item, plain, read_file
from csflow.flow.shape import expand, keys_of
from csflow.flow.shape import problems as shape_problems
from csflow.flow.sites import Found, listed
from csflow.values import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from csflow.flow.form_kinds import Form

_NOT_INHERITED = frozenset({"database", "extends", "plugins_off"})
_ROUNDS = 5
MAX_TRAIL = 30
MAX_ENTRIES = 500_000  # of the merged tree: variants multiply what they extend


@dataclass(slots=True)
class Layer:
    """One project folder, its files put together: project keys and sections in ``top``, flows by name."""

    folder: Path
    top: Item
    flows: dict[str, Item] = field(default_factory=dict)


@dataclass(slots=True)
class Project:
    """All layers merged. ``broken`` are the names taken out because their form was wrong.

    ``own``: the files of the project itself; ``removed``: where ``null`` took a name away from what it extends;
    ``bare``: a whole section had the wrong form, so that what is extended misses everything in it.
    """

    root: Item
    problems: list[Problem]
    files: list[Path]
    tree: dict[str, Any] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    misshapen: set[tuple[str | int, ...]] = field(default_factory=set)  # ("flows", name) with a mistake of form
    own: frozenset[str] = frozenset()
    removed: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    bare: bool = False

    def located(self, found: Iterable[Found]) -> list[Problem]:
        """The problems of building with their places; those that only follow from a broken form are left out.

        Labels of what is extended that are in none of the project's languages are one warning: nobody can write into
        those files.
        """
        made: list[Problem] = []
        lacking: list[Problem] = []
        languages = listed(self.tree.get("languages"))
        for one in found:
            words = {word for quoted in re.findall(r"'([^']*)'", one.message) for word in (quoted, *quoted.split("."))}
            if one.follows and one.path[:2] in self.misshapen:
                continue
            if not one.warning and words & self.broken:
                continue
            problem = located(self.root, one)
            if self.bare and problem.file not in self.own:
                continue
            if one.lacks and problem.file not in self.own:
                lacking += [problem] if set(languages) <= set(one.lacks) else []
            else:
                made.append(self._blaming(problem))
        return [*made, *self._unlabelled(lacking, languages)]

    def _blaming(self, problem: Problem) -> Problem:
        """The problem, and which line of an overlay removed the name that it misses."""
        missed = re.findall(r"'([^']*)'", problem.message.partition(": did you mean")[0])
        lasts = [(name, name.rpartition(".")[2]) for name in missed]
        for word in [part for name, last in lasts for part in (name, last, last.removeprefix("last_"))]:
            if word in self.removed:
                file, line, _ = self.removed[word]
                return replace(problem, message=f"{problem.message} ({file}:{line} removes it)")
        return problem

    def _unlabelled(self, lacking: list[Problem], languages: Iterable[str]) -> list[Problem]:
        if not lacking:
            return []
        first = min(lacking)
        found = f"what this extends has {counted(len(lacking), 'label')} without {', '.join(languages)}"
        where = f"the first: {first.file}:{first.line}:{first.column}"
        message = f"{found}: write them over, or name a language that it has here as well; {where}"
        file, line, column = self.root.value["languages"].place()
        return [Problem(file, line, column, message, warning=True)]


def read_project(folder: Path, packs: Mapping[str, Path], *, limits: tuple[int, int]) -> Project:
    """The merged tree of a project. DefinitionError where files cannot be read as YAML or no project is there."""
    reader = _Reader(packs, limits)
    reader.read(folder, ())
    if reader.fatal or not reader.layers:
        raise DefinitionError(reader.problems)
    own = frozenset(map(shown, project_files(folder)))
    root, removed = _merged(reader, own)
    project = Project(root, reader.problems, reader.files, own=own, removed=removed)
    _forget_keys(project)
    _check_form(project)
    return project


def said_once(problems: Iterable[Problem]) -> list[Problem]:
    """Without what reading said of a word (``yes``) where somebody knows what ought to stand there (``true``)."""
    every = [
        (problem, (problem.file, problem.line, problem.column), READERS in problem.message) for problem in problems
    ]
    better = {place for problem, place, of_reading in every if not (problem.warning or of_reading)}
    return [problem for problem, place, of_reading in every if not (of_reading and place in better)]


def _forget_keys(project: Project) -> None:
    """A key that cannot be one is told once in a file, and what its absence makes of that file's flows not at all."""
    told: dict[tuple[str, str], Problem] = {}
    for problem in [one for one in project.problems if one.message.endswith(BOOLEAN_KEY)]:
        if told.setdefault((problem.file, problem.message), problem) is not problem:
            project.problems.remove(problem)
        project.broken |= set(re.findall(r"'([^']*)'", problem.message))
    flows = project.root.value.get("flows")
    files = {file for file, _ in told}
    for name, flow in flows.value.items() if flows is not None else ():
        if flow.file in files:
            project.misshapen.add(("flows", name))


@dataclass(slots=True)
class _Reader:
    packs: Mapping[str, Path]
    limits: tuple[int, int]
    layers: list[Layer] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    read_bytes: int = 0
    fatal: bool = False
    done: set[Path] = field(default_factory=set)

    def wrong(self, place: tuple[str, int, int], message: str, *, fatal: bool = False) -> None:
        self.problems.append(Problem(*place, message))
        self.fatal = self.fatal or fatal

    def read(self, folder: Path, trail: tuple[Path, ...]) -> None:
        """Read the project after everything that it extends; its layer is the last."""
        self.done.add(folder.resolve())
        layer = self._layer(folder)
        if layer is None:
            return
        extends = layer.top.value.get("extends")
        for item in extends.value if extends is not None and isinstance(extends.value, list) else ():
            under = self._extended(folder, item)
            if under is None:
                continue
            if len(trail) > MAX_TRAIL:
                self.wrong(item.place(), f"projects extend each other more than {MAX_TRAIL} deep", fatal=True)
            elif under.resolve() in {path.resolve() for path in (*trail, folder)}:
                circle = " → ".join(path.resolve().name for path in (*trail, folder, under))
                self.wrong(item.place(), f"projects extend each other in a circle: {circle}", fatal=True)
            elif under.resolve() not in self.done:
                self.read(under, (*trail, folder))
        self.layers.append(layer)

    def _extended(self, folder: Path, item: Item) -> Path | None:
        word = str(item.value)
        if "/" in word or "\\" in word or word.startswith("."):
            under = Path(os.path.normpath(folder / word))
            if under.is_dir():
                return under
            self.wrong(item.place(), f"no folder '{word}' to extend", fatal=True)
        elif word in self.packs:
            return self.packs[word]
        else:
            hint = (
                nearest(word, self.packs)
                or f": csflow ships {', '.join(self.packs) or 'none'}; a folder is written ./x"
            )
            self.wrong(item.place(), f"no pack '{word}'{hint}", fatal=True)
        return None

    def _layer(self, folder: Path) -> Layer | None:
        layer = Layer(folder, Item({}, shown(folder / PROJECT_FILE), 1, 1))
        has_project = False
        for root in self._roots(folder):
            if not isinstance(root.value, dict):
                self.wrong(root.place(), "a file holds keys, such as 'flow:' or 'metrics:'")
                continue
            if "flow" in root.value:
                self._flow(layer, root)
                continue
            is_project = "csflow" in root.value
            if is_project and has_project:
                self.wrong(root.value["csflow"].key_place(), "two project files (csflow: 1) in one project")
                continue
            has_project = has_project or is_project
            self._sections(layer, root, ProjectForm if is_project else Sections)
        if not has_project and not self.fatal:
            message = "no project here: a file with 'csflow: 1' is missing (csflow init writes one)"
            self.wrong((shown(folder / PROJECT_FILE), 1, 1), message, fatal=True)
        return layer if has_project else None

    def _roots(self, folder: Path) -> Iterable[Item]:
        for path in project_files(folder):
            self.files.append(path)
            most_files, most_bytes = self.limits
            name = shown(path)
            if len(self.files) > most_files:
                self.wrong((name, 1, 1), f"more than {most_files:,} files of YAML", fatal=True)
                return
            root, problems, whole = read_file(path, name)
            self.read_bytes += path.stat().st_size if path.exists() else 0
            self.problems += problems
            self.fatal = self.fatal or not whole
            if self.read_bytes > most_bytes:
                self.wrong((name, 1, 1), f"more than {most_bytes:,} bytes of YAML in all", fatal=True)
                return
            if whole and root is not None:
                yield root
            elif whole and not problems:
                self.problems.append(Problem(name, 1, 1, "nothing stands in this file", warning=True))

    def _unknown_keys(self, root: Item, form: type[Form]) -> None:
        known = keys_of(form)
        for key in [key for key in root.value if key not in known]:
            item = root.value.pop(key)
            hint = nearest(key, known)
            if not hint and form is Sections:
                hint = ": a file is the project (csflow: 1), one flow (flow: name) or sections (metrics:, roles: …)"
            self.wrong(item.key_place(), f"unknown key '{key}'{hint}")

    def _flow(self, layer: Layer, root: Item) -> None:
        self._unknown_keys(root, FlowForm)
        name = root.value["flow"]
        if not isinstance(name.value, str):
            self.wrong(name.place(), "a flow's name is a word")
            return
        if name.value in layer.flows:
            first = layer.flows[name.value].value["flow"]
            self._twice("flow", name.value, name.place(), first)
            return
        layer.flows[name.value] = expand(root, FlowForm)

    def _sections(self, layer: Layer, root: Item, form: type[Form]) -> None:
        self._unknown_keys(root, form)
        expand(root, form)
        top = layer.top.value
        for key, content in root.value.items():
            present = top.get(key)
            if present is None or present.value is None:
                top[key] = content
            elif isinstance(present.value, dict) and isinstance(content.value, dict):
                top[key] = self._joined(key, present, content, deeper=key == "fields")
            elif content.value is not None:
                self._twice("section", key, content.key_place(), present)

    def _joined(self, what: str, first: Item, second: Item, *, deeper: bool) -> Item:
        """Two pieces of one section, in two files; a name stands in one of them only."""
        joined = dict(first.value)
        for name, content in second.value.items():
            if name not in joined:
                joined[name] = content
            elif deeper and isinstance(joined[name].value, dict) and isinstance(content.value, dict):
                joined[name] = self._joined(f"{what} of {name}", joined[name], content, deeper=False)
            else:
                self._twice(what, name, content.key_place(), joined[name])
        one = replaced(first, joined)
        one.merged = False
        return one

    def _twice(self, what: str, name: str, place: tuple[str, int, int], first: Item) -> None:
        file, line, _ = first.key_place()
        self.wrong(place, f"'{name}' ({what}) is defined twice: first in {file}:{line}")


def _merged(reader: _Reader, own: frozenset[str]) -> tuple[Item, dict[str, tuple[str, int, int]]]:
    """The layers over each other, and where a ``null`` took a name away; ``own``: the project's own files."""
    top: Item | None = None
    flows: dict[str, Item] = {}
    for layer in reader.layers:
        beside = None if layer is reader.layers[-1] else reader.layers[-1].top.value.get("extends")
        flows = merge_flows(flows, layer.flows, reader.problems.append, beside=beside)
        if top is None:
            top = layer.top
        else:
            under = replaced(top, {key: item for key, item in top.value.items() if key not in _NOT_INHERITED})
            top = merge(under, layer.top)
    assert top is not None  # noqa: S101  # read_project saw at least one layer
    flows = resolve_variants(flows, reader.problems.append)
    ordered = {name: flows[name] for name in sorted(flows)}
    keys = {key: top.value[key] for key in keys_of(ProjectForm) if key in top.value}
    if ordered:
        keys["flows"] = Item(ordered, top.file, top.line, top.column, merged=True)
    spoken = [layer.top.value["languages"].value for layer in reader.layers if "languages" in layer.top.value]
    keys["spoken"] = _words((str(item.value) for items in spoken if isinstance(items, list) for item in items), top)
    tests = keys["tests"].value if "tests" in keys else None
    inherited = (name for name, test in tests.items() if test.file not in own) if isinstance(tests, dict) else ()
    keys["inherited"] = _words(inherited, top)
    if _entries(keys.values()) > MAX_ENTRIES:
        message = f"more than {MAX_ENTRIES:,} entries once everything is merged"
        raise DefinitionError([*reader.problems, Problem(top.file, top.line, top.column, message)])
    whole = Item(keys, top.file, top.line, top.column, merged=True)
    removed = removals(whole)
    root = without_nulls(whole, reader.problems.append)
    settle(root, reader.problems.append)
    return expand(root, MergedForm, lists=True), removed


def _words(words: Iterable[str], near: Item) -> Item:
    """A list of words, each once, as if it stood where ``near`` does."""
    made = [Item(word, near.file, near.line, near.column) for word in dict.fromkeys(words)]
    return Item(made, near.file, near.line, near.column, merged=True)


def _entries(items: Iterable[Item]) -> int:
    """How many values the items hold, counted up to a little above the limit."""
    waiting, count = list(items), 0
    while waiting and count <= MAX_ENTRIES:
        value = waiting.pop().value
        count += 1
        if isinstance(value, (dict, list)):
            waiting.extend(value.values() if isinstance(value, dict) else value)
    return count


def _check_form(project: Project) -> None:
    """Note what is wrong with the form, take it out, and look again at what is left."""
    noted: dict[Problem, None] = {}
    around: set[tuple[str | int, ...]] = set()
    for _ in range(_ROUNDS):
        found = [Found(path, message, on_key=key) for path, message, key in shape_problems(plain(project.root))]
        if not found:
            break
        # Around what was taken out, something may be wrong only because it is gone.
        told = [one for one in found if one.path not in around]
        noted |= dict.fromkeys(located(project.root, one) for one in told)
        around |= {one.path[:length] for one in found for length in range(len(one.path))}
        if any(one.path in {(), ("flows",)} for one in found):
            raise DefinitionError([*project.problems, *noted])
        _take_out(project, [one.path for one in found])
    else:
        raise DefinitionError([*project.problems, *noted])
    project.problems += noted
    project.tree = plain(project.root)


def _take_out(project: Project, paths: list[tuple[str | int, ...]]) -> None:
    doomed: list[tuple[Item, Item, str | int]] = []
    project.misshapen |= {path[:2] for path in paths}
    project.bare = project.bare or any(len(path) == 1 for path in paths)
    for path in paths:
        above, here = project.root, project.root
        for step in path:
            above, here = here, _below(here, step) or here
        if here is not above:
            doomed.append((above, here, path[-1]))
            project.broken |= {step for step in path[-1:] if isinstance(step, str)}
    for above, here, _ in doomed:
        if isinstance(above.value, dict):
            above.value = {key: item for key, item in above.value.items() if item is not here}
        elif isinstance(above.value, list):
            above.value = [item for item in above.value if item is not here]


def located(root: Item, found: Found) -> Problem:
    """The problem with its place; for a path that is not in the text, the nearest place above it."""
    here = root
    whole = True
    for step in found.path:
        below = _below(here, step)
        if below is None:
            whole = False
            break
        here = below
    place = here.key_place() if found.on_key or not whole else here.place(found.offset)
    return Problem(*place, found.message, found.warning)


def _below(item: Item, step: str | int) -> Item | None:
    if isinstance(item.value, dict):
        found: Item | None = item.value.get(str(step))
        return found
    if isinstance(item.value, list) and isinstance(step, int) and step < len(item.value):
        return item.value[step]  # type: ignore[no-any-return]
    return None
