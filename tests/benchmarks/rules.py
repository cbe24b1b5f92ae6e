"""The rules of `project/lifecycle.yaml` once more as plain data: for the floor and the hand-written loop, and to make a
population in which about one customer in a hundred moves. `pass.py` compares the results, so a slip here shows.
"""

from __future__ import annotations

from datetime import date

EPOCH = date(1970, 1, 1).toordinal()
DAY = 86_400_000_000
TODAY = date(2026, 6, 10).toordinal() - EPOCH
NOW = (TODAY + 1) * DAY - 1  # the pass is as of the end of this day (the project's zone is UTC)
MEASURED = NOW - DAY // 2
IN_3_MONTHS = date(2026, 9, 10).toordinal() - EPOCH
IN_6_MONTHS = date(2026, 12, 10).toordinal() - EPOCH
METRICS = (
    "usage.days", "usage.hours", "usage.depth", "usage.breadth", "usage.users", "contacts.reach", "contacts.trained",
    "support.calm", "survey.score", "value.saved",
)  # fmt: skip
STAGES = ("activation", "adoption", "growth", "maturity", "renewal")
MONTHS = (1, 3, 6, 9, 11)  # after the clock is a stage's deadline
ENDS = "contract.ends_on"

# stage → its milestones, each two comparisons that must both hold
MILESTONES: dict[str, dict[str, tuple[tuple[str, str, float], ...]]] = {
    "activation": {
        "first_use": (("usage.days", ">=", 10), ("usage.hours", ">=", 5)),
        "core": (("usage.depth", ">=", 20), ("usage.users", ">=", 10)),
        "trained": (("contacts.trained", ">=", 50), ("contacts.reach", ">=", 20)),
    },
    "adoption": {
        "broad": (("usage.breadth", ">=", 30), ("usage.days", ">=", 20)),
        "reached": (("contacts.reach", ">=", 30), ("contacts.trained", ">=", 20)),
    },
    "growth": {
        "deep": (("usage.depth", ">=", 50), ("usage.hours", ">=", 20)),
        "team": (("usage.users", ">=", 40), ("usage.breadth", ">=", 20)),
    },
    "maturity": {
        "worth": (("value.saved", ">=", 30), ("survey.score", ">=", 30)),
        "calm": (("support.calm", ">=", 40), ("usage.hours", ">=", 10)),
        "advocate": (("survey.score", ">=", 80), ("contacts.reach", ">=", 50)),
    },
    "renewal": {
        "reviewed": (("contacts.reach", ">=", 20), ("value.saved", ">=", 20)),
        "agreed": (("survey.score", ">=", 30), ("support.calm", ">=", 20)),
    },
}
# stage → (target, both comparisons, whom its message goes to); the contract's last day stands for its time rules
TRANSITIONS: dict[str, tuple[tuple[str, tuple[tuple[str, str, float], ...], str | None], ...]] = {
    "activation": (
        ("adoption", (("usage.days", ">=", 60), ("usage.depth", ">=", 50)), "csm"),
        ("churned", ((ENDS, "<=", TODAY - 30), ("usage.days", "<", 5)), None),
    ),
    "adoption": (
        ("growth", (("usage.breadth", ">=", 60), ("usage.users", ">=", 50)), None),
        ("activation", (("usage.days", "<", 5), ("contacts.reach", "<", 20)), "csm_lead"),
    ),
    "growth": (
        ("maturity", (("usage.hours", ">=", 60), ("value.saved", ">=", 50)), None),
        ("adoption", (("usage.breadth", "<", 5), ("usage.users", "<", 20)), None),
    ),
    "maturity": (
        ("renewal", ((ENDS, "<=", IN_3_MONTHS), ("survey.score", ">=", 40)), "csm"),
        ("growth", (("usage.hours", "<", 5), ("value.saved", "<", 20)), None),
    ),
    "renewal": (
        ("maturity", ((ENDS, ">", IN_6_MONTHS), ("survey.score", ">=", 20)), None),
        ("churned", ((ENDS, "<=", TODAY - 1), ("usage.hours", "<", 5)), "csm_lead"),
    ),
}


def place(source: str, target: str) -> str:
    """A transition's address in its flow."""
    return f"stages.{source}.transitions.{target}.0"
