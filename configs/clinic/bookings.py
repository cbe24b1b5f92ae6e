"""The metric that clinics need beside the standard ones: how many appointments were booked in the product."""

from __future__ import annotations

from typing import TYPE_CHECKING

from csflow.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from csflow.hookspecs import Batch

FEATURE = "booking"


def bookings(batch: Batch) -> dict[str, float]:
    """Bookings of each clinic in the window; one without a row booked nothing, because its source did report."""
    return {
        clinic: sum(row.count or 0.0 for row in batch.usage.get(clinic, ()) if row.feature == FEATURE)
        for clinic in batch.subjects
    }


@hookimpl
def csflow_metrics() -> Mapping[str, Callable[[Batch], dict[str, float]]]:
    """What ``uses: clinic/bookings`` calls."""
    return {"clinic/bookings": bookings}
