"""csflow: customer success as code. Nothing is imported before it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from csflow.app import Csflow, find_project
    from csflow.errors import CsflowError, DefinitionError, Problem, RefusedError, StoreError, UsageError
    from csflow.values import Length, Money, Zone

_HOMES = {
    "Csflow": "csflow.app",
    "find_project": "csflow.app",
    "CsflowError": "csflow.errors",
    "DefinitionError": "csflow.errors",
    "Problem": "csflow.errors",
    "RefusedError": "csflow.errors",
    "StoreError": "csflow.errors",
    "UsageError": "csflow.errors",
    "Length": "csflow.values",
    "Money": "csflow.values",
    "Zone": "csflow.values",
}

__all__ = [
    "Csflow",
    "CsflowError",
    "DefinitionError",
    "Length",
    "Money",
    "Problem",
    "RefusedError",
    "StoreError",
    "UsageError",
    "Zone",
    "find_project",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'csflow' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
