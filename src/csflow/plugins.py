"""The plugin manager: made by a function and handed on, never a global.

A plugin that cannot be used costs itself only: what is wrong with it is noted in ``failures``, one line each, and the
others are there. Only two that provide the same name are refused, for nobody could tell which one is meant.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from copy import deepcopy
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
from sqlalchemy import BigInteger, ColumnElement, Double, Integer, Text, column

from csflow import hookspecs
from csflow.errors import Problem, UsageError
from csflow.flow.calls import CALLS
from csflow.flow.files import is_plugin, shown
from csflow.flow.sites import Found
from csflow.flow.types import Outside, Type
from csflow.hookspecs import Failure, Function, Moved, Notifier, Provider, attempt, in_one_line
from csflow.installed import PLUGINS, Entry, fits, installed

ENTRY_POINTS = PLUGINS
OBSERVER = "csflow_moved"
MOVES = 500  # told at once
HOOKS = tuple(sorted(name for name in vars(hookspecs) if name.startswith("csflow_")))
LARGEST = 1e15
COLUMNS: dict[str, Any] = {  # types of functions, and how SQL holds them
    "number": Double, "share": Double, "money": Double, "date": Integer, "time": BigInteger, "boolean": Integer,
    "text": Text,
}  # fmt: skip
NOUNS = {
    "csflow_metrics": "metric", "csflow_milestones": "milestone", "csflow_functions": "function",
    "csflow_notifiers": "notifier", "csflow_effects": "effect", "csflow_importers": "importer",
    "csflow_sections": "section", "csflow_packs": "pack",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a plugin comes from: ``built-in``, ``file`` with its path, or ``package`` with the package's name."""

    kind: str
    place: str
    version: str


class Manager(pluggy.PluginManager):
    """csflow's hooks and the plugins that implement them; ``failures`` is what went wrong, ``origins`` by plugin.

    ``off``: those that are there and switched off, by the name that switches them off. ``places``: line and column of
    what keeps a file from being imported.
    """

    def __init__(self) -> None:
        super().__init__(hookspecs.PROJECT)
        self.add_hookspecs(hookspecs)
        self.failures: list[Failure] = []
        self.origins: dict[str, Origin] = {}
        self.off: dict[str, Origin] = {}
        self.places: dict[str, tuple[int, int]] = {}
        self.told = self.trace.root.get("plugin")
        self.tracing = False

    def note(self, plugin: str, hook: str, reason: str, name: str | None = None) -> None:
        """Keep what went wrong, once."""
        failure = Failure(plugin, hook, reason, name)
        if failure not in self.failures:
            self.failures.append(failure)

    def hooks_of(self, plugin: Any) -> list[str]:
        """The hooks that a plugin implements."""
        return sorted(caller.name for caller in self.get_hookcallers(plugin) or ())

    def follow(self, write: Callable[[str], object]) -> None:
        """Tell every call of a hook, and what came of it, to ``write``, a line at a time."""
        self.trace.root.setwriter(lambda text: write(text.rstrip()))
        self.tracing = True


def make_manager(
    plugins: Iterable[tuple[str, Any]],
    *,
    off: Iterable[str] = (),
    files: Iterable[Path] = (),
    version: str | None = None,
    trace: Callable[[str], object] | None = None,
) -> Manager:
    """A manager that knows csflow's hooks, these plugins (name, module), these files, and what is installed.

    ``off``: names that are left out. ``version``: csflow's own, that installed packages are held against.
    """
    manager = Manager()
    if trace is not None:
        manager.follow(trace)
    left_out = set(off)
    for name in left_out:
        manager.set_blocked(name)
    for name, plugin in plugins:
        origin = Origin("built-in", getattr(plugin, "__name__", name), version or "")
        if name in left_out:
            manager.off[name] = origin
        else:
            _register(manager, name, plugin, origin)
    for path in files:
        name = path.name if path.name not in manager.origins else str(path)
        called = left_out.intersection({name, path.name, path.stem, str(path)})
        manager.off |= dict.fromkeys(called, Origin("file", str(path), ""))
        if not called:
            _add_file(manager, name, path)
    for entry in installed(ENTRY_POINTS):
        if entry.name in left_out:
            manager.off[entry.name] = Origin("package", entry.package, entry.version)
        else:
            _add_installed(manager, entry, version)
    return manager


def local_plugins(folders: Iterable[Path]) -> list[Path]:
    """The ``.py`` files beside each ``csflow.yaml``, without tests, packaging and the demo's population."""
    return [path for folder in folders for path in sorted(folder.glob("*.py")) if is_plugin(path)]


def import_file(path: Path) -> ModuleType:
    """A Python file beside a project as a module. UsageError with file and reason where it cannot be imported."""
    name = f"csflow_local_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # noqa: S101  # of a name that ends with .py
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with redirect_stdout(sys.stderr):  # as `attempt` does
            spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin's own mistake: named, never a traceback
        del sys.modules[name]
        line, _ = _where(error, path)
        said = in_one_line(error).removesuffix(f" ({path.name}, line {line})")  # what Python says of its own errors
        raise UsageError(f"{path}: cannot be imported: {_at(line)}{said}") from error
    return module


def _where(error: BaseException | None, path: Path) -> tuple[int, int]:
    """Line and column of the file that the error comes from; 0 where it comes from none."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno or 0, error.offset or 1
    trace = error.__traceback__ if error is not None else None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            return trace.tb_lineno, 1
        trace = trace.tb_next
    return 0, 0


def _at(line: int) -> str:
    return f"line {line}: " if line else ""


def misplaced(manager: Manager) -> list[Problem]:
    """What went wrong with the plugins, as warnings, in the file's own line where it can be told."""
    found = []
    for one in manager.failures:
        line, column = manager.places.get(one.plugin, (0, 0)) if one.hook == "import" else (0, 0)
        if line:
            reason = one.reason.replace(_at(line), "", 1)
            found.append(Problem(shown(Path(manager.origins[one.plugin].place)), line, column, reason, warning=True))
        else:
            found.append(Problem(one.plugin, 0, 0, f"{one.plugin}: {one.hook}: {one.reason}", warning=True))
    return found


def _add_file(manager: Manager, name: str, path: Path) -> None:
    try:
        module = import_file(path)
        version = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except (UsageError, OSError) as error:
        reason = str(error).removeprefix(f"{path}: ")
        manager.origins[name] = Origin("file", str(path), "")
        manager.note(name, "import", reason)
        line, column = _where(error.__cause__, path)
        if line:
            manager.places[name] = line, column
        return
    _register(manager, name, module, Origin("file", str(path), version))


def _add_installed(manager: Manager, entry: Entry, version: str | None) -> None:
    origin = Origin("package", entry.package, entry.version)
    if entry.name in manager.origins:
        there = manager.origins[entry.name]
        raise UsageError(
            f"two plugins are called '{entry.name}': {there.place} and {entry.package}: uninstall one of them"
        )
    if version is not None and not fits(entry.needs, version):
        manager.origins[entry.name] = origin
        manager.note(entry.name, "import", f"{entry.package} needs csflow {entry.needs}, this is {version}")
        return
    plugin, reason = attempt(load_entry, entry)
    if reason is not None:
        manager.origins[entry.name] = origin
        manager.note(entry.name, "import", f"cannot be imported: {reason}")
        return
    _register(manager, entry.name, plugin, origin)


def load_entry(entry: Entry) -> Any:
    """What an entry point names, imported. Raises whatever importing it raises."""
    module, _, attribute = entry.value.partition(":")
    found: Any = import_module(module.strip())
    for word in filter(None, attribute.strip().split(".")):
        found = getattr(found, word)
    return found


def _register(manager: Manager, name: str, plugin: Any, origin: Origin) -> None:
    manager.origins[name] = origin
    _, reason = attempt(manager.register, plugin, name)
    if reason is not None:
        if manager.has_plugin(name):
            manager.unregister(name=name)
        manager.note(name, "import", f"a hook cannot be used: {reason}")
        return
    implemented = manager.hooks_of(plugin)
    for word in (word for word in vars(plugin) if word.startswith("csflow_")) if hasattr(plugin, "__dict__") else ():
        if word not in HOOKS:
            manager.note(name, word, f"csflow has no hook of that name: it has {', '.join(HOOKS)}")
        elif word not in implemented and callable(getattr(plugin, word)):
            manager.note(name, word, "write @hookimpl above it: without, it is never called")


# What plugins provide ------------------------------------------------------------------------------------------------


def provided(manager: Manager, hook: str) -> dict[str, tuple[str, Any]]:
    """What plugins provide through a hook that names things: name → (plugin, value).

    A plugin whose hook raises or returns no names is noted and left out. UsageError where two provide the same name.
    """
    found: dict[str, tuple[str, Any]] = {}
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        plugin = implementation.plugin_name
        manager.told(hook, "of", plugin)
        named, reason = attempt(_named, implementation.function)
        if reason is not None:
            manager.note(plugin, hook, reason)
            continue
        manager.told(hook, "of", plugin, "→", ", ".join(named) or "nothing")
        for name, value in named.items():
            if name in found:
                noun, other = NOUNS[hook], found[name][0]
                raise UsageError(f"{noun} '{name}' is provided by {other} and by {plugin}: switch one off")
            found[name] = (plugin, value)
    return found


def _named(hook: Callable[[], Any]) -> dict[str, Any]:
    named = hook()
    if not isinstance(named, Mapping):
        raise TypeError(f"it returns a dict of names, not {type(named).__name__}")
    wrong = [name for name in named if not isinstance(name, str)]
    if wrong:
        raise TypeError(f"names are texts, not {wrong[0]!r:.60}")
    return dict(named)


def callables(manager: Manager, hook: str) -> dict[str, Callable[..., Any]]:
    """What plugins provide through a hook that names functions; anything else is noted and left out."""
    found: dict[str, Callable[..., Any]] = {}
    for name, (plugin, value) in provided(manager, hook).items():
        if callable(value):
            found[name] = value
        else:
            manager.note(plugin, hook, f"'{name}' is a function, not {type(value).__name__}", name)
    return found


def providers(manager: Manager) -> dict[str, Provider]:
    """Every metric and milestone that a plugin computes, by name. UsageError where two name the same."""
    found: dict[str, Provider] = {}
    for hook in ("csflow_metrics", "csflow_milestones"):
        for name, (plugin, value) in provided(manager, hook).items():
            if name in found:
                raise UsageError(f"'{name}' is provided by {found[name].plugin} and by {plugin}: switch one off")
            made = value if isinstance(value, Provider) else Provider(compute=value) if callable(value) else None
            if made is None or (made.compute is None) == (made.select is None):
                manager.note(plugin, hook, f"'{name}' is a function or a Provider with one, not {value!r:.60}", name)
                continue
            version, call = manager.origins[plugin].version, _followed(manager, name, made.compute)
            found[name] = replace(made, plugin=plugin, version=version, hook=hook, compute=call)
    return found


def _followed(manager: Manager, name: str, compute: Callable[..., Any] | None) -> Callable[..., Any] | None:
    if compute is None or not manager.tracing:
        return compute

    def told(batch: Any) -> Any:
        manager.told(name, "asked about", len(batch.subjects))
        answer = compute(batch)
        manager.told(name, "→", f"{len(answer)} values" if isinstance(answer, Mapping) else type(answer).__name__)
        return answer

    return told


def functions(manager: Manager) -> dict[str, Outside]:
    """The functions that expressions may call, by name; one whose SQL form fails is there and always unknown."""
    found: dict[str, Outside] = {}
    hook = "csflow_functions"
    for name, (plugin, value) in provided(manager, hook).items():
        wrong = _unfit(name, value)
        if wrong is not None:
            manager.note(plugin, hook, wrong, name)
            continue
        asked = _Asked(manager, plugin, name, value)
        version = f"{manager.origins[plugin].version}+{_text_of(manager.get_plugin(plugin))}"
        takes = tuple(Type(kind) for kind in value.takes)
        found[name] = Outside(name, version, takes, Type(value.gives), asked.python, asked.sql, plugin)
        asked.sql(*(column(f"argument_{place}", COLUMNS[kind]()) for place, kind in enumerate(value.takes)))
    return found


def _unfit(name: str, value: Any) -> str | None:
    if not isinstance(value, Function):
        return f"'{name}' is a Function, not {type(value).__name__}"
    if not name.isidentifier() or name in CALLS:
        return f"'{name}' cannot be the name of a function: use letters, digits and _, and no name of the language"
    unknown = [kind for kind in (*value.takes, value.gives) if kind not in COLUMNS]
    if unknown:
        return f"'{name}' takes and gives {', '.join(COLUMNS)}, not '{unknown[0]}'"
    return None


def _text_of(plugin: Any) -> str:
    """A hash of the file that a plugin's functions stand in: a package under work keeps its version."""
    path = getattr(plugin, "__file__", None)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12] if path and Path(path).is_file() else ""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The two forms of a function, asked so that whatever they do wrong is noted and makes the result unknown."""

    manager: Manager
    plugin: str
    name: str
    function: Function

    def python(self, *values: Any) -> Any:
        """The value; None where it fails."""
        kind = self.function.gives
        given, reason = attempt(self.function.python, *values)
        if reason is None and given is not None and not _of(given, kind):
            reason = f"TypeError: {self.name} gives {given!r:.60}, which is no {kind}"
        if reason is not None:
            self.manager.note(self.plugin, "csflow_functions", f"{self.name}: {reason}", self.name)
            return None
        return float(given) if given is not None and COLUMNS[kind] is Double else given

    def sql(self, *columns: Any) -> Any:
        """The SQL form over these columns; None where it fails."""
        made, reason = attempt(self.function.sql, *columns)
        if reason is None and not isinstance(made, ColumnElement):
            reason = f"TypeError: sql gives {type(made).__name__}, not a column"
        if reason is not None:
            self.manager.note(self.plugin, "csflow_functions", f"{self.name}: {reason}", self.name)
            return None
        return made


def _of(value: Any, kind: str) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "text":
        return isinstance(value, str)
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole if kind in {"date", "time"} else (whole or isinstance(value, float)) and abs(value) <= LARGEST


def checks(manager: Manager) -> dict[str, Callable[[dict[str, Any]], str | None]]:
    """What says of a ``with:`` whether it is right, by the name of its ``uses:``."""
    return {name: _check(one.check) for name, one in providers(manager).items() if one.check is not None}


def unreachable(manager: Manager, people: Mapping[str, Any]) -> list[Found]:
    """A warning for each colleague's address that no message could go to; what the environment holds is not known."""
    ways = {way: one for way, (_, one) in provided(manager, "csflow_notifiers").items() if isinstance(one, Notifier)}
    found = []
    for name, content in people.items():
        for way, address in (content.get("address") or {}).items():
            check = ways[way].check if way in ways and not address.startswith("$") else None
            reason = _check(check)(address) if check is not None else None
            if reason is not None:
                message = f"{reason}: no message by {way} can go there"
                found.append(Found(("people", name, "address", way), message, warning=True))
    return found


def _check(check: Callable[[Any], None]) -> Callable[[Any], str | None]:
    def told(written: Any) -> str | None:
        reason = attempt(check, deepcopy(written))[1]
        return None if reason is None else reason.removeprefix("ValueError: ")

    return told


def packs(manager: Manager) -> dict[str, Path]:
    """The folders with flows that plugins bring, by name; one that holds no project is noted and left out."""
    found: dict[str, Path] = {}
    for name, (plugin, value) in provided(manager, "csflow_packs").items():
        if isinstance(value, str | Path) and (Path(value) / "csflow.yaml").is_file():
            found[name] = Path(value)
        else:
            manager.note(plugin, "csflow_packs", f"'{name}' is the folder of a csflow.yaml, not {value!r:.80}", name)
    return found


def tell_moves(manager: Manager, moves: Sequence[Moved]) -> list[Failure]:
    """Tell every observer of these moves; each is given its own copy. What those that raised did wrong."""
    failures = []
    for implementation in manager.hook.csflow_moved.get_hookimpls():
        plugin = implementation.plugin_name
        manager.told(OBSERVER, "to", plugin, len(moves), "moves")
        mine = tuple(replace(move, subject=dict(move.subject)) for move in moves)
        _, reason = attempt(implementation.function, *(mine,)[: len(implementation.argnames)])
        if reason is not None:
            failures.append(Failure(plugin, OBSERVER, reason))
    return failures


class MovesTold:
    """Passes entries of a pass on to whoever listens, and tells moves to observers, some hundred at a time.

    It hears of an entry once that is committed. A pass that is killed between the two has told less than it wrote: who
    must hear of every move reads history.
    """

    def __init__(self, manager: Manager, tell: Callable[[str, Any], None] | None, *, dry_run: bool = False) -> None:
        self._manager, self._tell = manager, tell
        self._deaf = dry_run or not manager.hook.csflow_moved.get_hookimpls()
        self._waiting: list[Moved] = []
        self._kept: dict[str, list[Any]] = {}
        self.failures: list[Failure] = []
        self.hooks = (OBSERVER,)

    def hear(self, kind: str, entry: dict[str, Any]) -> None:
        """Hear of an entry; without a listener it is kept for the outcome."""
        if self._tell is not None:
            self._tell(kind, entry)
        else:
            self._kept.setdefault(kind, []).append(entry)
        if kind == "moved" and not self._deaf:
            named = (entry["case"], entry["flow"], entry["subject"], entry["from"], entry["to"], entry["at"])
            self._waiting.append(Moved(*named))
            if len(self._waiting) >= MOVES:
                self._flush()

    def end(self, outcome: Any) -> None:
        """Tell the last moves; what failed is added to the outcome's ``plugins``."""
        if self._waiting:
            self._flush()
        outcome.entries.update(self._kept)
        outcome.plugins += [{"plugin": one.plugin, "hook": one.hook, "error": one.reason} for one in self.failures]

    def _flush(self) -> None:
        moves, self._waiting = self._waiting, []
        for failure in tell_moves(self._manager, moves):
            if failure not in self.failures:
                self.failures.append(failure)


def listed(manager: Manager, before: Iterable[Mapping[str, Any]], off: Iterable[str]) -> list[dict[str, Any]]:
    """Every plugin as people and scripts read it; ``before``: what was kept of failures of earlier runs."""
    brought: dict[str, dict[str, list[str]]] = {}
    for hook in NOUNS:
        for name, (plugin, _) in provided(manager, hook).items():
            brought.setdefault(plugin, {}).setdefault(hook, []).append(name)
    providers(manager)
    now = [
        (one.plugin, {"hook": one.hook, "error": one.reason, "at": None, "current": True}) for one in manager.failures
    ]
    told = {(plugin, one["hook"]) for plugin, one in now}
    then = [
        (one["plugin"], {"hook": one["hook"], "error": one["reason"], "at": one["at"], "current": one["current"]})
        for one in before
        if (one["plugin"], one["hook"]) not in told
    ]
    rows = []
    # what nothing provides is named as long as something asks for it, what was a plugin once no longer
    stopped = {word for name in off for word in (name, f"{name}.py")}
    failing = [plugin for plugin, one in (*now, *then) if one["current"] and plugin not in stopped]
    for name in dict.fromkeys([*manager.origins, *failing, *off]):
        origin = manager.origins.get(name) or manager.off.get(name) or Origin("unknown", "not there", "")
        there = manager.get_plugin(name)
        rows.append(
            {
                "name": name, "version": origin.version, "origin": origin.kind, "place": origin.place,
                "hooks": manager.hooks_of(there) if there is not None else [], "provides": brought.get(name, {}),
                "off": name in set(off), "failures": [one for plugin_name, one in (*now, *then) if plugin_name == name],
            }
        )  # fmt: skip
    return rows


def not_there(manager: Manager, off: Iterable[str]) -> list[Found]:
    """A warning for each name under ``plugins_off:`` that switches nothing off."""
    known = {word for name in manager.origins for word in (name, name.removesuffix(".py"))}
    found = []
    for place, name in enumerate(off):
        if name not in manager.off:
            near = get_close_matches(name, sorted(known), n=1)
            message = f"there is no plugin '{name}'{f': did you mean {near[0]!r}?' if near else ''}"
            found.append(Found(("plugins_off", place), message, warning=True))
    return found
