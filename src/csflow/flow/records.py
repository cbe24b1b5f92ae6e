"""Dataclasses that are cheap to make: a process that starts to ask about one customer makes some sixty of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from collections.abc import Callable

Class = TypeVar("Class")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[Class]) -> type[Class]:
    """A dataclass that the type checker lets nobody change; compared by identity.

    At run time nothing stands in the way of a change: what `frozen=True` writes for each class costs more than reading
    a whole definition from the cache.
    """
    made: Callable[[type[Class]], type[Class]] = dataclass(slots=True, eq=False, repr=False)
    return made(cls)
