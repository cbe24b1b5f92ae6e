"""The hooks: what a plugin may add. A plugin is a module or object with functions marked ``@hookimpl``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from sqlalchemy import Select

    from csflow.flow.calendars import Calendar
    from csflow.flow.moments import Moment

PROJECT = "csflow"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, slots=True)
class Usage:
    """One row of product usage of one customer."""

    feature: str
    day: int  # days since 1970-01-01
    count: float | None
    seconds: float | None
    users: float | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Some thousand subjects that a metric in Python is asked about at once.

    ``subjects`` are ids as people know them; ``options`` the metric's ``with:``; ``today`` a day number. ``usage``
    holds, by customer, the rows of the metric's ``window:`` (by day), empty for a metric without one.
    """

    subjects: tuple[str, ...]
    options: Mapping[str, Any]
    today: int
    usage: Mapping[str, tuple[Usage, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Window:
    """What a metric in SQL is asked for: usage of the days after ``begin`` up to and with ``end``."""

    begin: int
    end: int
    options: Mapping[str, Any]
    moment: Moment
    calendars: Mapping[str, Calendar]


@dataclass(frozen=True, slots=True)
class Provider:
    """How a ``uses:`` of a metric is computed: set-wise by ``select``, or batch by batch by ``compute``.

    ``select`` gives (customer id, value, newest day) for every customer with usage in the window, and ``empty`` is
    the value of a customer without. ``compute`` returns id → value in the metric's own unit (numbers, shares 0…1,
    words, booleans); an id that is left out is unknown.
    """

    compute: Callable[[Batch], Mapping[str, Any]] | None = None
    select: Callable[[Window], Select[Any]] | None = None
    empty: float | None = None
    reads_usage: bool = False


@hookspec
def csflow_metrics() -> Mapping[str, Provider | Callable[[Batch], Mapping[str, Any]]]:  # type: ignore[empty-body]
    """Name the metrics this plugin computes: ``{"shop/orders": function}``; a function is called in batches."""
