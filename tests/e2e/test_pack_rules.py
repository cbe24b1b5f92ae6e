"""What the standard pack does, on the day before a rule's number and on the day of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packs import Script, World
from sqlalchemy import select
from test_standard_pack import hand_over

from csflow.store import tables as t

CORE = tuple(f"c{number:02}" for number in range(100))  # so that one feature is one percent of depth
NIGHTS = [
    *(f"2026-06-{number:02}" for number in (1, 2, 3, 4, 5, 8, 9, 11, 14, 15, 19, 20)),
    *("2026-07-03", "2026-07-04", "2026-07-07", "2026-07-08", "2026-07-09", "2026-07-10"),
    *("2026-08-01", "2026-08-02", "2026-08-03", "2026-08-15", "2026-08-16", "2026-08-17"),
    *("2026-12-03", "2026-12-04"),
]  # fmt: skip


def begins(key: str, *, ends: str = "2027-12-31", amount: float = 5_000, segment: str = "single") -> Script:
    return [
        ("2026-06-01", lambda w: w.customer(key, segment)),
        ("2026-06-01", lambda w: w.contract(key, "2026-01-01", ends, amount=amount)),
    ]


def use(key: str, on: str, *features: str, hours: float = 1, until: str | None = None) -> Script:
    return [(on, lambda w: w.uses(key, on, until or on, *features, seconds=hours * 3600))]


def stops() -> Script:
    """Never used for fourteen days; then on five days, and on four."""
    return [
        *begins("other"), *use("other", "2026-06-01", "c00"),  # use is reported, so theirs is none and not unknown
        *begins("stops-5"), *begins("stops-4"),
        *use("stops-5", "2026-06-19", "c00", until="2026-06-20"), *use("stops-5", "2026-06-18", "c00"),
        *use("stops-4", "2026-06-19", "c00", until="2026-06-20"), *use("stops-4", "2026-06-18", "c00"),
        *use("stops-5", "2026-06-16", "c00", until="2026-06-17"), *use("stops-4", "2026-06-17", "c00"),
    ]  # fmt: skip


def falls() -> Script:
    """A hundred hours in June; in July so many; and in August so many of those."""
    script: Script = []
    for key, july in (("falls-60", 60), ("falls-59", 59), ("up-90", 50), ("up-89", 50)):
        script += [*begins(key), *use(key, "2026-06-03", "c00", hours=100), *use(key, "2026-07-03", "c00", hours=july)]
    script += [*use("up-90", "2026-08-02", "c00", hours=45), *use("up-89", "2026-08-02", "c00", hours=44.5)]
    # 10 hours on the day that counts, 20 on the next; 15 thirty days later, when the first ten are over
    script += [
        *begins("trend"),
        *use("trend", "2026-06-03", "c00", hours=10),
        *use("trend", "2026-06-04", "c00", hours=10),
    ]
    return [*script, *use("trend", "2026-07-03", "c00", hours=5)]


def warned_again() -> Script:
    """Its business changes, is settled, and changes again the next day."""
    warning = "churn_warning/again/1"
    return [
        *begins("again"),
        ("2026-06-05", lambda w: w.state("li", "again", business="changed")),
        ("2026-06-08", lambda w: w.say("li", "settled", warning, finding="moved house")),
        ("2026-06-08", lambda w: w.state("li", "again", business="normal")),
        ("2026-06-09", lambda w: w.state("li", "again", business="changed")),
    ]


def stages() -> Script:
    """60 % of the core features in June; from July on 29 and 30 %; nothing more; one campaign."""
    script: Script = []
    for key in ("deep-29", "deep-30", "silent", "alone"):
        script += [*begins(key), *hand_over(key, "2026-06-02", "2026-06-03"), *use(key, "2026-06-03", *CORE[:60])]
    for on in ("2026-07-03", "2026-07-20"):
        script += [*use("deep-29", on, *CORE[:29]), *use("deep-30", on, *CORE[:30])]
    script += use("deep-29", "2026-08-03", "c29")
    script += [("2026-06-02", lambda w: w.say("wu", "support", "silent", summary="how to begin"))]
    for key, features in (("core-49", 49), ("core-50", 50)):
        script += [*begins(key), *hand_over(key, "2026-06-02", "2026-06-03"), *use(key, "2026-06-03", *CORE[:features])]
    return [*script, *use("alone", "2026-06-19", "campaign_launched")]


def renewals() -> Script:
    """Contracts that ended 30 and 31 days before the first night; one that ends later and is lost before that."""
    script = [*begins("ended-30", ends="2026-05-02"), *begins("ended-31", ends="2026-05-01")]
    script += begins("lost", ends="2026-05-20")
    script += [("2026-06-05", lambda w: w.say("li", "lost", "renewal/lost/K1/1", cause="price"))]
    for key, discount, more in (
        ("off-10", "10%", {}),
        ("off-10-for", "10%", {"in_return": "a case"}),
        ("off-11", "11%", {}),
        ("off-11-for", "11%", {"in_return": "a case"}),
    ):
        said = {"goals": "a site more", "forecast": "lost", "amount": "5000 CNY", "discount": discount, **more}
        script += begins(key, ends="2026-07-31")
        script += offered(key, f"renewal/{key}/K1/1", said)
    for key, ends in (("next-11", "2026-09-11"), ("next-12", "2026-09-12")):
        script += [*begins(key, ends="2026-06-10"), *hand_over(key, "2026-06-02", "2026-06-03"), *follows(key, ends)]
    return script


def offered(key: str, case: str, said: dict[str, str]) -> Script:
    return [
        ("2026-06-02", lambda w: w.do("li", case, "value_pack")),
        ("2026-06-02", lambda w: w.fill("li", case, **said)),
    ]


def follows(key: str, ends: str) -> Script:
    """The next contract is in force on 11 June."""
    return [
        ("2026-06-04", lambda w: w.contract(key, "2026-06-11", ends, amount=5_000, number="K2", replaces="K1")),
        ("2026-06-04", lambda w: w.fill("li", f"renewal/{key}/K1/1", amount="5000 CNY")),
    ]


def complaints() -> Script:
    """Solved at once, solved in a day; the same cause again half a year later, and a day after that."""
    script: Script = []
    for key in ("now", "later"):
        one, two = f"complaint/{key}/1", f"complaint/{key}/2"
        again = "2026-12-03" if key == "now" else "2026-12-04"
        script += [*begins(key), *complains(key, one, "2026-06-03", needs=key == "later"), *complains(key, two, again)]
    return script


def complains(key: str, case: str, on: str, *, needs: bool = False) -> Script:
    said = {"cause": "defect"} | ({"needs_resources": "true", "area": "product"} if needs else {})
    script: Script = [(on, lambda w: w.say("wu", "complaint", key))]
    if on < "2026-12":
        script += [("2026-06-04", lambda w: w.say("wu", "soothed", case, summary="it is gone", hinders="true"))]
        script += [
            ("2026-06-05", lambda w: w.fill("wu", case, **{"needs_resources": "false", "area": "product"} | said))
        ]
    else:
        script += [(on, lambda w: w.fill("wu", case, cause="defect"))]
    return script


def visits() -> Script:
    return [*begins("chain", segment="chain"), ("2026-06-03", lambda w: w.meets("li", "chain"))]


def starts_late() -> Script:
    """Nobody starts: the first month is over on 1 July."""
    return [
        ("2026-06-01", lambda w: w.customer("late", "single")),
        ("2026-06-01", lambda w: w.contract("late", "2026-06-01", "2027-05-31", amount=5_000)),
        *hand_over("late", "2026-06-02", "2026-06-03"),
        ("2026-06-19", lambda w: w.do("li", "churn_warning/late/1", "find_out")),
        ("2026-06-19", lambda w: w.fill("li", "churn_warning/late/1", finding="a new owner")),
    ]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    url = request.getfixturevalue("postgresql_schema")() if request.param == "postgresql" else None
    world = World(tmp_path_factory.mktemp("rules") / "project", "standard", database=url)
    world.feature(*CORE, core=True)
    world.feature("campaign_launched", core=False)
    parts = (stops, falls, warned_again, stages, renewals, complaints, visits, starts_late)
    script = [one for part in parts for one in part()]
    assert {on for on, _ in script} - {*NIGHTS, "2026-06-16", "2026-06-17", "2026-06-18", "2026-07-20"} == set()
    days = sorted({*NIGHTS, *(on for on, _ in script)})
    for on in days:
        world.today = on
        for when, act in script:
            if when == on:
                act(world)
        if on in NIGHTS:
            world.night()
    yield world
    world.app.close()


JUNE = "2026-06-05"
JULY, LAST = "2026-08-14", NIGHTS[-1]  # afterwards the use of July is out of every window
MOVED = {  # everywhere the customer's cases of a flow were until a day, worked out by hand
    # not used since 1 June, so for fourteen days on the 15th; five days of use on the 20th, fourteen days ago on 4 July
    ("churn_warning", "stops-5", JULY): [("2026-06-15", "open"), ("2026-07-04", "normal")],
    ("churn_warning", "stops-4", JULY): [("2026-06-15", "open")],
    # 60 of 100 hours are enough, 59 are not, for seven days since 3 July
    ("churn_warning", "falls-60", JULY): [],
    ("churn_warning", "falls-59", JULY): [("2026-07-10", "open")],
    # 45 of 50 hours are the 90 % that are asked for, for fourteen days since 2 August
    ("churn_warning", "up-90", LAST): [("2026-07-10", "open"), ("2026-08-16", "normal")],
    ("churn_warning", "up-89", LAST): [("2026-07-10", "open")],
    # settled on 8 June at noon, it changes again on the 9th: thirty days of rest are over on 8 July (not used: the 15th)
    ("churn_warning", "again", LAST): [
        ("2026-06-05", "open"), ("2026-06-08", "normal"), ("2026-06-15", "open"), ("2026-07-08", "open"),
    ],
    # 29 % since 3 July lead back on 2 August, and one more on the 3rd is deep enough; 30 % stay
    ("lifecycle", "deep-29", JULY): [
        *(start := [("2026-06-01", "signing"), ("2026-06-03", "activation"), ("2026-06-03", "growth")]),
        ("2026-06-15", "maturity"), ("2026-08-02", "growth"), ("2026-08-03", "maturity"),
    ],
    ("lifecycle", "deep-30", JULY): [*start, ("2026-06-15", "maturity")],
    # half of the core features are enough, less is not
    ("lifecycle", "core-50", JUNE): start,
    ("lifecycle", "core-49", JULY): start[:2],
    # an open question holds it in growth; not one day of use for thirty days since 3 July
    ("lifecycle", "silent", JULY): [*start, ("2026-08-02", "activation")],
    # the last paid day is 20 May, the renewal lost on 5 June: more than thirty days ago on 20 June
    ("lifecycle", "lost", JULY): [("2026-06-01", "signing"), ("2026-06-20", "churned")],
    # the next term is in force on 11 June: three months before its end have come, or come a day later
    ("lifecycle", "next-11", JULY): [*start[:2], ("2026-06-03", "renewal")],
    ("lifecycle", "next-12", JULY): [*start[:2], ("2026-06-03", "renewal"), ("2026-06-11", "growth"), ("2026-06-14", "renewal")],
    ("renewal", "ended-30", LAST): [("2026-06-01", "prepare")],
    ("renewal", "ended-31", LAST): [],
    # 10 % need nobody's leave; 11 % do, and something in return
    ("renewal", "off-10", LAST): [*(offer := [("2026-06-01", "prepare"), ("2026-06-02", "offer")]), ("2026-06-02", "negotiation")],
    ("renewal", "off-10-for", LAST): [*offer, ("2026-06-02", "negotiation")],
    ("renewal", "off-11", LAST): offer,
    ("renewal", "off-11-for", LAST): [*offer, ("2026-06-02", "approval")],
    # visited on 3 June at noon: 75 days later is 17 August
    ("visit", "chain", LAST): [("2026-08-17", "pick")],
    # the first pass of each month of the calendar
    ("usage_analysis", "late", LAST): [(on, "filed") for on in ("2026-06-01", "2026-07-03", "2026-08-01", "2026-12-03")],
}  # fmt: skip


@pytest.mark.parametrize(("flow", "key", "until"), MOVED)
def test_a_case_moves_on_the_day_of_the_number_and_not_before(world: World, flow: str, key: str, until: str) -> None:
    assert [one for one in world.stages(key, flow) if one[0] <= until] == MOVED[flow, key, until]


def test_one_day_of_use_is_the_first_use_and_none_is_not(world: World) -> None:
    assert [one for one in world.entries("core-49", "milestone") if one[1] == "first_use"] == [
        ("2026-06-03", "first_use")
    ]
    assert "first_use" not in {name for _, name in world.entries("late", "milestone")}


def test_one_campaign_of_its_own_is_enough(world: World) -> None:
    told = {key: world.entries(key, "milestone") for key in ("alone", "deep-30")}
    assert ("2026-06-19", "runs_alone") in told["alone"]
    assert "runs_alone" not in {name for _, name in told["deep-30"]}


def test_a_trend_compares_with_thirty_days_ago_to_the_day(world: World) -> None:
    m = t.measurement_log.c
    number = select(t.name.c.id).where(t.name.c.name == "usage.trend").scalar_subquery()
    rows = world.rows(
        select(m.number, m.known).join(t.customer, t.customer.c.id == m.subject)
        .where(m.metric == number, t.customer.c.key == "trend", m.number.is_not(None)).order_by(m.known)
    )  # fmt: skip
    assert (rows[0][0], world.zone.text(rows[0][1])[:10]) == (1.5, "2026-07-03")  # 10 + 5 hours, of 10 on 3 June


def test_the_same_cause_within_six_months_is_told(world: World) -> None:
    f, k, c = t.field_value.c, t.case.c, t.customer.c
    number = select(t.name.c.id).where(t.name.c.name == "complaint.returns").scalar_subquery()
    rows = world.rows(
        select(c.key, f.number).join(t.case, k.id == f.subject).join(t.customer, c.id == k.customer)
        .where(f.field == number, k.number == 2)
    )  # fmt: skip
    assert dict(map(tuple, rows)) == {"now": 1.0, "later": 0.0}  # both opened on 3 June; said on 3 and on 4 December


DUE = {  # by when; the office has 9:00-12:00 and 13:30-18:00
    ("complaint", "now", "stages.soothe"): "2026-06-03 14:00",  # said at noon: 30 minutes after lunch
    ("complaint", "now", "stages.investigate"): "2026-06-04 15:30",  # two hours after lunch
    ("complaint", "now", "stages.solve_now"): "2026-06-08 14:30",  # in the night to Saturday: 3 + 1 hours of Monday
    ("complaint", "later", "stages.solve"): "2026-06-06 23:59",  # 24 hours by the clock, weekend or not
    ("churn_warning", "late", "stages.open"): "2026-06-17 18:00",  # the second working day after Monday
    ("churn_warning", "late", "stages.intervening"): "2026-07-19 23:59",  # thirty days after 19 June
    ("lifecycle", "late", "stages.activation"): "2026-07-01 23:59",
}
TASKS = {
    ("churn_warning", "late", "find_out"): "2026-06-17 18:00",
    ("lifecycle", "late", "rescue_activation"): "2026-07-07 18:00",  # opened on Friday, 3 July
    ("renewal", "off-10", "value_pack"): "2026-06-15 18:00",  # ten working days after 1 June, a Monday
}
TIMERS = {
    ("complaint", "later", "stages.solve|stages.solve.overdue.0"): "2026-06-06 19:59",  # four hours before it is due
    ("complaint", "later", "stages.solve|stages.solve.overdue.2"): "2026-06-07 23:59",  # a day after
    ("lifecycle", "late", "stages.activation|stages.activation.overdue.1"): "2026-07-08 23:59",  # seven days after
}


@pytest.mark.parametrize(
    ("table", "name", "at", "expected"),
    [(t.deadline, "name", "due", DUE), (t.task, "name", "due", TASKS), (t.timer, "place", "at", TIMERS)],
    ids=["deadlines", "tasks", "reminders"],
)
def test_what_is_due_is_due_at_this_minute(world: World, table: Any, name: str, at: str, expected: Any) -> None:
    k, c = t.case.c, t.customer.c
    rows = world.rows(
        select(k.flow, c.key, table.c[name], table.c[at])
        .join(t.case, k.id == table.c.case).join(t.customer, c.id == k.customer).where(k.number == 1)
    )  # fmt: skip
    found = {(flow, key, what): world.zone.text(due)[:16] for flow, key, what, due in rows if due is not None}
    assert {what: found.get(what) for what in expected} == expected


def test_a_success_manager_carries_five_millions_and_not_one_more(tmp_path: Path, database: str) -> None:
    """Li and Wang carry 4 950 000; Max may carry more than others, and carries 4 960 000."""
    more = "  max: {name: Max, roles: [csm], capacity: 6000000}\n"
    world = World(tmp_path / "project", "standard", database=database, people=more)
    world.today = "2026-06-01"
    for who, amount in (("li", 4_950_000), ("wang", 4_950_000), ("max", 4_960_000)):
        world.customer(f"of-{who}", "chain", csm=who)
        world.contract(f"of-{who}", "2026-01-01", "2027-12-31", amount=amount)
    world.night()
    world.today = "2026-06-02"
    for key, amount in (("a", 50_001), ("b", 50_000)):
        world.customer(key, "chain")
        world.contract(key, "2026-01-01", "2027-12-31", amount=amount)
    world.night()
    c, a = t.customer.c, t.assignment.c
    rows = world.rows(select(c.key, a.person).join(t.customer, c.id == a.customer).where(c.key.in_(("a", "b"))))
    world.app.close()
    assert dict(map(tuple, rows)) == {"a": "max", "b": "li"}
