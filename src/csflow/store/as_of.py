"""Constants of a statement that follow from the moment it is asked at, so that it can be asked again at another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, BindParameter, Integer

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

    from csflow.flow.moments import Moment, Recipe
    from csflow.values import Length


class AsOf(BindParameter[Any]):
    """A bind parameter that knows its recipe (`Moment.constant`); its value is that of the moment it was built at."""

    inherit_cache = True

    def __init__(self, moment: Moment, recipe: Recipe, type_: TypeEngine[Any]) -> None:
        super().__init__(None, moment.constant(recipe), type_=type_, unique=True)
        self.recipe = recipe


def now(moment: Moment) -> AsOf:
    """The moment's instant."""
    return AsOf(moment, ("now",), BigInteger())


def today(moment: Moment) -> AsOf:
    """The day it falls on."""
    return AsOf(moment, ("today",), Integer())


def borders(moment: Moment, length: Length, *, until: bool, time: bool) -> tuple[AsOf, AsOf]:
    """`Moment.borders`: the latest that was before, the latest that has been reached."""
    first, second = (border(moment, "border", length, until=until, time=time, place=place) for place in (0, 1))
    return first, second


def border(moment: Moment, kind: str, length: Length, *, until: bool, time: bool, place: int) -> AsOf:
    """One border, its day (``border_day``), or whether the log reaches back to it (``logged``)."""
    size = BigInteger() if kind == "border" and time else Integer()
    return AsOf(moment, (kind, length.amount, length.unit, until, time, place), size)
