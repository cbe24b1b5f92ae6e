"""The plugin manager: made by a function and handed on, never a global."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from csflow import hookspecs
from csflow.errors import UsageError
from csflow.flow.files import POPULATION_FILE
from csflow.hookspecs import Provider

ENTRY_POINTS = "csflow.plugins"


def make_manager(plugins: Iterable[tuple[str, Any]], *, off: Iterable[str] = ()) -> pluggy.PluginManager:
    """A manager that knows csflow's hooks, these plugins (name, module), the installed ones, none switched off."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for name in off:
        manager.set_blocked(name)
    for name, plugin in plugins:
        manager.register(plugin, name)
    manager.load_setuptools_entrypoints(ENTRY_POINTS)
    return manager


def local_plugins(folders: Iterable[Path]) -> list[tuple[str, ModuleType]]:
    """The ``.py`` files beside each ``csflow.yaml``, imported; UsageError with file and reason where one cannot be."""
    paths = [path for folder in folders for path in sorted(folder.glob("*.py")) if path.name != POPULATION_FILE]
    return [(str(path), import_file(path)) for path in paths]


def import_file(path: Path) -> ModuleType:
    """A Python file beside a project as a module. UsageError with file and reason where it cannot be imported."""
    name = f"csflow_local_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # noqa: S101  # of a name that ends with .py
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a plugin's own mistake: named, never a traceback
        del sys.modules[name]
        raise UsageError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    return module


def providers(manager: pluggy.PluginManager) -> dict[str, Provider]:
    """Every metric that a plugin computes, by name; UsageError where two name the same."""
    found: dict[str, Provider] = {}
    owner: dict[str, str] = {}
    for implementation in manager.hook.csflow_metrics.get_hookimpls():
        plugin = implementation.plugin_name
        named = implementation.function()
        if not isinstance(named, dict):
            raise UsageError(f"plugin {plugin}: csflow_metrics returns a dict of names, not {type(named).__name__}")
        for name, provider in named.items():
            if name in found:
                raise UsageError(f"metric '{name}' is provided by {owner[name]} and by {plugin}: switch one off")
            found[name] = provider if isinstance(provider, Provider) else Provider(compute=provider)
            owner[name] = plugin
    return found
