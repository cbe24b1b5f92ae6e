"""What clinics need beside csflow's YAML, in Python.

Metrics: ``clinic/open_share`` (time in the system ÷ opening hours), ``clinic/contact_level`` (a contact's level by its
post). Milestones: ``clinic/first_use_of`` (the first use of a feature, such as a printed
prescription or an online campaign), ``clinic/month_closed`` (stock closed for the month before this one).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from csflow.hookspecs import Batch, Provider, hookimpl

EPOCH = date(1970, 1, 1).toordinal()
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _day(number: int) -> date:
    return date.fromordinal(number + EPOCH)


def _hours(written: Mapping[str, Any]) -> list[float]:
    """Opening hours of each weekday, Monday first, of ``{mon-fri: 10, sat: 6}`` (hours a day)."""
    found = [0.0] * 7
    for days, hours in written.items():
        first, _, last = str(days).partition("-")
        for place in range(DAYS.index(first), DAYS.index(last or first) + 1):
            found[place] = float(hours)
    return found


def open_share(batch: Batch) -> dict[str, float]:
    """Time in the system ÷ opening hours, both of the window. 0…; unit: share.

    Numerator: seconds of usage in the window. Denominator: hours that a clinic is open in it, by ``with: {hours:
    {mon-fri: 10, sat: 6}}``, or by the clinic's own field of hours a week where ``with: {per_week: customer.open_hours,
    reads: [customer.open_hours]}`` names one. Unknown where rows state no seconds, or a clinic is never open.
    """
    days = batch.days
    hours = _hours(batch.options.get("hours", {}))
    usual = sum(hours[_day(batch.today - back).weekday()] for back in range(days))
    own = batch.options.get("per_week")
    found: dict[str, float] = {}
    for clinic in batch.subjects:
        stated = batch.facts.get(clinic, {}).get(str(own)) if own else None
        opened = stated * days / 7 if stated is not None else usual
        rows = batch.usage.get(clinic, ())
        seconds = [row.seconds for row in rows if row.seconds is not None]
        if opened > 0 and (seconds or not rows):
            found[clinic] = sum(seconds) / 3600 / opened
    return found


def check_open_share(options: Mapping[str, Any]) -> None:
    """What `csflow validate` says of wrong settings."""
    try:
        Batch((), options, 0).days  # noqa: B018  # it raises
        _hours(options.get("hours", {}))
    except (KeyError, ValueError):
        raise ValueError("say with: {window: 4 weeks, hours: {mon-fri: 10, sat: 6}}") from None
    if not options.get("hours") and not options.get("per_week"):
        raise ValueError("say the hours: of a week, or per_week: the field that has them")


def contact_level(batch: Batch) -> dict[str, str]:
    """A contact's level by its post: ``with: {reads: [contact.post], levels: {1: [director, owner], 2: [nurse]}}``.

    A post that holds one of the words has its level, the first in the order of the levels; ``other`` names the level of
    any other post. Unknown for a contact without a post.
    """
    levels = {str(level): [str(word).casefold() for word in words] for level, words in batch.options["levels"].items()}
    other = batch.options.get("other")
    found: dict[str, str] = {}
    for contact in batch.subjects:
        post = batch.facts.get(contact, {}).get("contact.post")
        if not post:
            continue
        level = next((level for level, words in levels.items() if any(w in post.casefold() for w in words)), None)
        if level is not None or other is not None:
            found[contact] = level if level is not None else str(other)
    return found


def check_levels(options: Mapping[str, Any]) -> None:
    """What `csflow validate` says of wrong settings."""
    levels = options.get("levels")
    if "contact.post" not in (options.get("reads") or ()) or not isinstance(levels, Mapping):
        raise ValueError("say with: {reads: [contact.post], levels: {1: [director], 2: [nurse]}}")
    if any(not isinstance(words, list) for words in levels.values()):
        raise ValueError("levels: has a list of words for each level")


def first_use_of(batch: Batch) -> dict[str, int | bool]:
    """The day on which ``feature`` was used for the first time in the window; False where it was not."""
    feature, least = batch.options["feature"], float(batch.options.get("least", 1))
    found: dict[str, int | bool] = {}
    for clinic in batch.subjects:
        done = 0.0
        found[clinic] = False
        for row in batch.usage.get(clinic, ()):  # by day
            if row.feature == feature:
                done += 1 if row.count is None else row.count
                if done >= least:
                    found[clinic] = row.day
                    break
    return found


def month_closed(batch: Batch) -> dict[str, int | bool]:
    """Whether ``feature`` (stock closed, by default) was used in this month, which closes the month before."""
    feature = str(batch.options.get("feature", "stock_close"))
    begins = _day(batch.today).replace(day=1).toordinal() - EPOCH
    found: dict[str, int | bool] = {}
    for clinic in batch.subjects:
        days = [row.day for row in batch.usage.get(clinic, ()) if row.feature == feature and row.day >= begins]
        found[clinic] = min(days) if days else False
    return found


def check_feature(options: Mapping[str, Any]) -> None:
    """What `csflow validate` says of wrong settings."""
    if not options.get("feature") or not options.get("window"):
        raise ValueError("say with: {feature: prescription_printed, window: 24 months}")


@hookimpl
def csflow_metrics() -> dict[str, Provider]:
    """Time in the system, levels of contacts."""
    return {
        "clinic/open_share": Provider(compute=open_share, reads_usage=True, check=check_open_share),
        "clinic/contact_level": Provider(compute=contact_level, check=check_levels),
    }


@hookimpl
def csflow_milestones() -> dict[str, Provider]:
    """First uses, and the closing of a month."""
    return {
        "clinic/first_use_of": Provider(compute=first_use_of, reads_usage=True, check=check_feature),
        "clinic/month_closed": Provider(compute=month_closed, reads_usage=True),
    }
