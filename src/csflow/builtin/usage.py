"""Metrics of product usage, set-wise in SQL: how often, how deep, how broad, how long.

All read the usage rows of a window of days ending today. A customer without a row in it has used nothing (0), because
its source did report; before any usage was imported everything here is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, and_, case, cast, distinct, func, or_, select
from sqlalchemy.types import Double

from csflow.hookspecs import Provider, Window, hookimpl
from csflow.store import tables as t

u = t.usage.c


def _window(window: Window) -> ColumnElement[bool]:
    return and_(u.day > window.begin, u.day <= window.end)


def active_days(window: Window) -> Select[Any]:
    """Days with any usage. Grain: customer; unit: days."""
    return (
        select(u.customer, cast(func.count(distinct(u.day)), Double), func.max(u.day))
        .where(_window(window))
        .group_by(u.customer)
    )


def feature_share(window: Window) -> Select[Any]:
    """Features used ÷ features asked for: ``core`` ones, those ``available`` to the customer, or a list of names.

    Numerator: distinct features of the set with a row in the window. Denominator: the set's size, for ``available``
    the features without a product and those of products in the customer's contracts in force. 0…1; unknown where
    the set is empty.
    """
    wanted = window.options.get("features", "available")
    if wanted == "available":
        return _available(window)
    f = t.feature
    named = [str(name) for name in (wanted if isinstance(wanted, list) else [wanted])]
    among = f.c.core == 1 if wanted == "core" else f.c.key.in_(named)
    size: Any = select(func.count()).select_from(f).where(among)
    used = _used(window)
    size = size.correlate(used).scalar_subquery()
    share = cast(func.count(case((among, used.c.feature))), Double) / func.nullif(cast(size, Double), 0.0)
    joined = used.join(f, f.c.id == used.c.feature)
    return select(used.c.customer, share, func.max(used.c.day)).select_from(joined).group_by(used.c.customer)


def _used(window: Window) -> Subquery:
    """Each feature that each customer used in the window, once, and on which day the last time."""
    return (
        select(u.customer, u.feature, func.max(u.day).label("day"))
        .where(_window(window))
        .group_by(u.customer, u.feature)
        .subquery("used")
    )


def _available(window: Window) -> Select[Any]:
    """Breadth in two counts for each customer: features used among those available, and all those available."""
    k, f, cu, today = t.contract.c, t.feature, t.customer, window.end
    running = and_(k.customer == cu.c.id, k.starts_on <= today, or_(k.ends.is_(None), k.ends > today))
    products = select(k.product).where(running, k.product.is_not(None)).correlate(cu)
    open_to = or_(f.c.product.is_(None), f.c.product.in_(products))
    size = select(func.count()).select_from(f).where(open_to).correlate(cu).scalar_subquery()
    used = _used(window)
    joined = used.join(cu, cu.c.id == used.c.customer).join(f, f.c.id == used.c.feature)
    share = cast(func.count(case((open_to, used.c.feature))), Double) / func.nullif(cast(size, Double), 0.0)
    return select(cu.c.id, share, func.max(used.c.day)).select_from(joined).group_by(cu.c.id)


def session_hours(window: Window) -> Select[Any]:
    """Hours in the product: seconds of the window ÷ 3600. Unknown where rows are there but none states seconds."""
    hours = func.sum(u.seconds) / 3600.0
    return select(u.customer, hours, func.max(u.day)).where(_window(window)).group_by(u.customer)


def session_share(window: Window) -> Select[Any]:
    """Time in the product ÷ working time of the ``calendar`` (else of the project's) in the same window.

    0…; unknown without a calendar.
    """
    named = window.options.get("calendar")
    calendar = window.moment.calendar if named is None else window.calendars.get(str(named))
    zone = window.moment.zone
    open_us = 0
    if calendar is not None:
        open_us = calendar.between(zone.end_of(window.begin), zone.end_of(window.end))
    share = func.sum(u.seconds) / func.nullif(cast(open_us / 1_000_000, Double), 0.0)
    return select(u.customer, share, func.max(u.day)).where(_window(window)).group_by(u.customer)


def event_count(window: Window) -> Select[Any]:
    """How often one ``feature`` was used: the sum of counts (a row without a count is one use)."""
    wanted = t.feature.c.key == str(window.options.get("feature", ""))
    joined = t.usage.join(t.feature, t.feature.c.id == u.feature)
    total = func.sum(func.coalesce(u.count, 1.0))
    return (
        select(u.customer, total, func.max(u.day))
        .select_from(joined)
        .where(_window(window), wanted)
        .group_by(u.customer)
    )


SETTINGS = {  # what each reads of its `with:`
    active_days: ("window",),
    feature_share: ("window", "features"),
    session_hours: ("window",),
    session_share: ("window", "calendar"),
    event_count: ("window", "feature"),
}


def _checked(settings: tuple[str, ...], options: Mapping[str, Any]) -> None:
    """ValueError for a setting that would be read by nobody: a misspelt one must not mean the default."""
    for name in options:
        if name not in settings:
            raise ValueError(f"there is no setting '{name}': it has {', '.join(settings)}")


@hookimpl
def csflow_metrics() -> dict[str, Provider]:
    """The usage metrics that the standard pack names."""
    return {
        f"csflow/{function.__name__}": Provider(
            select=function,
            empty=0.0,
            reads_usage=True,
            reads_calendar="calendar" in settings,
            check=partial(_checked, settings),
        )
        for function, settings in SETTINGS.items()
    }
