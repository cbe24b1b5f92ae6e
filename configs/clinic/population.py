"""The clinics of `csflow demo`: invented, every one of them. What they buy, use, complain of and say, week by week.

`csflow demo` calls `weeks` and sends back, after each week's pass, the cases that are open. So the people of this
world answer what csflow asks them, and what they answer reaches csflow as any company's facts do: in files.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

BEGIN = date(2024, 1, 1)  # a Monday; the last day of each week is a Sunday
WEEKS = 104
NOTE = "generated data: these clinics, their people and their figures are invented"

FEATURES = {
    "booking": ("Online booking", True),
    "records": ("Patient records", True),
    "billing": ("Billing", True),
    "reminders": ("Reminders", True),
    "pharmacy": ("Pharmacy stock", False),
    "campaign_launched": ("Own campaigns", False),
}
# kind of clinic: how many of a hundred, weeks until the first use, share of the product used, what becomes of it
KINDS = {
    "steady": (44, 1, 1.0),
    "late": (14, 7, 0.9),
    "light": (12, 2, 0.45),
    "fading": (12, 1, 1.0),
    "leaving": (7, 2, 0.6),
    "pausing": (6, 1, 0.9),
    "closing": (5, 1, 0.8),
}
WORDS_SAID = {  # (flow, stage) → weeks in the stage before somebody says the word, the word, what is filled in with it
    ("handover", "writing"): (0, "hand_over", {
        "basics": "two doctors, one desk", "environment": "tablets", "sales_process": "met at a fair",
        "surroundings": "residential", "present_state": "paper files", "promises": "booking live in a month",
    }),
    ("handover", "offered"): (0, "accept", {}),
    ("expectation", "open"): (3, "done", {}),
    ("complaint", "soothe"): (0, "soothed", {"summary": "the desk could not book", "hinders": "true",
                                             "needs_resources": "false", "area": "product"}),
    ("complaint", "solve_now"): (0, "solved", {}),
    ("complaint", "solve"): (1, "solved", {}),
    ("complaint", "review"): (1, "reviewed", {"cause": "defect", "measure": "a check before each release"}),
    ("support", "open"): (1, "done", {}),
    ("training", "open"): (1, "done", {}),
    ("request", "open"): (5, "done", {}),
    ("visit", "pick"): (0, "picked", {"purpose": "review"}),
    ("visit", "propose"): (1, "agreed", {}),
    ("visit", "feedback"): (0, "fed_back", {"report": "open requests told"}),
    ("usage_analysis", "filed"): (1, "read", {"comment": "seen"}),
    ("churn_warning", "intervening"): (5, "settled", {"finding": "talked to the owner"}),
    ("lifecycle", "paused"): (7, "resume", {}),
}  # fmt: skip
ANSWERED = {"hand_over": "accept", "picked": "agreed"}  # word → the one that follows it
OFFERS = {  # (flow, stage) → what a colleague writes into the case after a week
    ("renewal", "prepare"): {"goals": "a third of all bookings online", "forecast": "safe"},
    ("renewal", "offer"): {"discount": "5%"},
    ("churn_warning", "open"): {"finding": "the owner was away, the desk had no time"},
}
FILLED = {  # the files of what is said and the fields in each, as `imports.yaml` reads them
    "words": (
        "basics", "environment", "sales_process", "surroundings", "present_state", "promises", "summary", "hinders",
        "needs_resources", "area", "purpose", "agreed_for", "report", "finding", "comment", "pause_reason",
    ),
    "complaints": ("cause", "measure"),
    "renewals": ("cause",),
    "leaving": ("cause",),
}  # fmt: skip
CAUSES = {"complaint": "complaints", "renewal": "renewals", "lifecycle": "leaving"}  # where words with a cause stand

Rows = list[dict[str, Any]]
Case = dict[str, Any]  # case, flow, customer, stage, weeks (in the stage), tasks
Files = dict[str, Rows]
Week = tuple[date, Files, Rows]


@dataclass(slots=True)
class Clinic:
    """One invented clinic and what is going to happen to it."""

    id: str
    number: int
    kind: str
    joins: int  # week
    chain: bool
    amount: int
    ends: date = BEGIN
    terms: int = 0
    gone: int | None = None  # the week it stops for good
    away: range = field(default_factory=lambda: range(0))  # weeks without use that pass
    fades: int = 0  # weeks of full use before a fading clinic uses less and less
    size: int = 1
    renews_at: int = 0  # days before the end that it signs again
    before: int = 0  # days its first contract has run already when it joins
    left: bool = False  # its case stands in `churned`
    said: set[str] = field(default_factory=set)

    def use(self, week: int) -> float:
        """How much of a fully used product this clinic uses in a week, 0…1."""
        age = week - self.joins - KINDS[self.kind][1]
        if age < 0 or week in self.away or (self.gone is not None and week >= self.gone):
            return 0.0
        grown = min(1.0, 0.55 + age / 10) * KINDS[self.kind][2]
        if self.kind == "fading":
            return max(0.0, grown * (1.0 - max(0, age - self.fades) / 12))
        return grown


def weeks(seed: int, customers: int, until: int = WEEKS) -> Generator[Week, list[Case] | None, None]:
    """Two years of ``customers`` clinics: the last day, the rows by file name, and what colleagues do.

    Files are named as the `imports:` expect them. An act has ``case``, ``by`` and either ``task`` (done) or ``fields``
    (filled in). What is sent back after a week are the cases that are open then and those that ended and could go on:
    dicts with ``case``, ``flow``, ``customer``, ``stage``, ``weeks`` in the stage, open ``tasks``. What is said and
    done the next week answers them.
    """
    chance = random.Random(f"{seed}/{customers}")
    clinics = [_clinic(chance, number, customers) for number in range(customers)]
    by_id = {clinic.id: clinic for clinic in clinics}
    open_cases: list[Case] = []
    files: dict[str, Rows] = defaultdict(list)
    acts: Rows = []
    for week in range(until):
        monday = BEGIN + timedelta(weeks=week)
        if week == 0:
            files["features.csv"] = [
                {"feature": name, "title": title, "core": str(core).lower(), "sold_with": ""}
                for name, (title, core) in FEATURES.items()
            ]
        for case in open_cases:
            if case["flow"] == "lifecycle":
                by_id[case["customer"]].left = case["stage"] == "churned"
        for clinic in clinics:
            if week >= clinic.joins:
                _live(chance, clinic, week, monday, files)
                _speak(chance, clinic, week, monday, files)
        for case in open_cases:
            acts += _work(chance, case)
            _answer(chance, by_id[case["customer"]], case, monday, files)
        open_cases = (yield monday + timedelta(days=6), dict(files), acts) or []
        files, acts = defaultdict(list), []


def _clinic(chance: random.Random, number: int, customers: int) -> Clinic:
    kind = chance.choices(list(KINDS), [share for share, _, _ in KINDS.values()])[0]
    if number < len(KINDS):  # a small population, too, has one of each
        kind = list(KINDS)[number]
    # Half have been customers for up to ten months when the demo begins; every second week others are brought in.
    old = number * 2 < customers or number < len(KINDS)
    joins = chance.randrange(2) if old else 2 * chance.randrange(1, WEEKS // 2 - 2)
    chain = chance.random() < 0.15
    amount = chance.randrange(60, 140) * 1000 if chain else chance.randrange(8, 45) * 1000
    clinic = Clinic(f"G-{number + 1:04}", number, kind, joins, chain, amount, size=2 if chain else 1)
    clinic.renews_at = chance.randrange(12, 70)
    clinic.before = chance.randrange(20, 320) if old else 0
    clinic.fades = chance.randrange(8, 56)
    if kind == "leaving":
        clinic.gone = joins + chance.randrange(5, 70)
    elif kind == "closing":
        clinic.gone = joins + chance.randrange(8, 80)
    elif kind in {"pausing", "late"}:
        begin = joins + chance.randrange(8, 60)
        clinic.away = range(begin, begin + 9)
    return clinic


def _live(chance: random.Random, clinic: Clinic, week: int, monday: date, files: dict[str, Rows]) -> None:
    """What a clinic's systems know of its week."""
    if week == clinic.joins:
        _join(chance, clinic, monday, files)
    _renew(clinic, monday, files)
    _use(chance, clinic, week, monday, files)
    # Once a month a third of all clinics are asked what they think, and somebody goes through a third of the contacts.
    if week % 4 == 1 and (week // 4 + clinic.number) % 3 == 0 and week - clinic.joins > 4:
        happy = 9 if clinic.use(week) > 0.7 else 6 if clinic.use(week) > 0.3 else 3
        files["answers.csv"].append(
            {"reply": f"{clinic.id}-{week}", "clinic": clinic.id, "question": "nps", "day": _text(monday),
             "score": min(10, max(0, happy + chance.randrange(-2, 2)))}
        )  # fmt: skip
    if week % 4 == 3 and (week // 4 + clinic.number) % 3 == 0:
        files["contacts.csv"].append(_contact(chance, clinic, week))


def _join(chance: random.Random, clinic: Clinic, monday: date, files: dict[str, Rows]) -> None:
    files["customers.csv"].append(
        {"company_id": clinic.id, "company": f"Clinic {clinic.number + 1} (generated)",
         "sign_date": f"{monday - timedelta(days=clinic.before):%d/%m/%Y}", "type": "C" if clinic.chain else "S",
         "seller": chance.choice(["tang", "he"])}
    )  # fmt: skip
    signed = monday - timedelta(days=clinic.before)
    _sign(clinic, signed + timedelta(days=1), signed, files)
    files["contacts.csv"].append(_contact(chance, clinic, clinic.joins))


def _contact(chance: random.Random, clinic: Clinic, week: int) -> dict[str, Any]:
    mood = (
        "for" if clinic.use(week) > 0.6 or week == clinic.joins else "neutral" if chance.random() < 0.8 else "against"
    )
    return {
        "contact": f"{clinic.id}-owner", "clinic": clinic.id,
        "name": f"Owner of clinic {clinic.number + 1} (generated)",
        "post": "owner", "level": 1, "role": "decides", "attitude": mood, "gone": "false",
    }  # fmt: skip


def _sign(clinic: Clinic, begins: date, signed: date, files: dict[str, Rows]) -> None:
    clinic.terms += 1
    clinic.ends = begins + timedelta(days=364)
    files["contracts.csv"].append(
        {"number": f"{clinic.id}-{clinic.terms}", "clinic": clinic.id, "plan": "Chain" if clinic.chain else "Single",
         "begins": _text(begins), "last_day": _text(clinic.ends), "total": clinic.amount, "signed": _text(signed)}
    )  # fmt: skip


def _renew(clinic: Clinic, monday: date, files: dict[str, Rows]) -> None:
    """Clinics that use what they pay for sign again some weeks before the end; most of the others do not."""
    signs = clinic.ends - timedelta(days=clinic.renews_at)
    stays = clinic.gone is None and clinic.kind != "fading" and (clinic.kind != "light" or clinic.number % 2)
    if stays and monday <= signs < monday + timedelta(days=7):
        clinic.amount = round(clinic.amount * (0.9 + clinic.number % 5 * 0.08), -2)
        _sign(clinic, clinic.ends + timedelta(days=1), signs, files)


def _use(chance: random.Random, clinic: Clinic, week: int, monday: date, files: dict[str, Rows]) -> None:
    use = clinic.use(week)
    if use <= 0.05:
        return
    names = list(FEATURES)[: max(1, round(4 * use))] + (["pharmacy"] if use > 0.8 and week % 3 == 0 else [])
    if use > 0.75 and (week - clinic.joins) % 13 == 12:
        names.append("campaign_launched")
    rows = files["events/usage.csv"]
    times = max(1, round(3.5 * use * clinic.size))
    for place, name in enumerate(names):
        # the first feature on every other day, the others now and then, its own campaign once
        number = 1 if name == "campaign_launched" else int((3 if place == 0 else 0.35) * use + chance.random())
        for day in chance.sample(range(6), number):
            rows.append(
                {"event_id": f"{clinic.id}-{week}-{name}-{day}", "account": clinic.id,
                 "ts": _text(monday + timedelta(days=day)), "name": name, "times": times, "seconds": times * 400}
            )  # fmt: skip


def _speak(chance: random.Random, clinic: Clinic, week: int, monday: date, files: Files) -> None:
    """What a clinic says without being asked: questions, wishes, complaints, that it pauses, that it leaves."""
    if clinic.left or (clinic.gone is not None and week > clinic.gone):
        return
    if clinic.gone == week and clinic.kind == "leaving":
        _say(clinic, "lifecycle", "cancel", monday, files, cause=chance.choice(["price", "value", "service"]))
        return
    if clinic.kind == "pausing" and clinic.away.start == week:
        _say(clinic, "lifecycle", "pause", monday, files, pause_reason="the building is renovated")
    if week - clinic.joins == 2:
        _say(clinic, "training", "training", monday, files, summary="first training")
    drawn = chance.random()
    if drawn < 0.008:
        _say(clinic, "support", "support", monday, files, summary="how do I move a booking?")
    elif drawn < 0.013:
        _say(clinic, "request", "request", monday, files, summary="reminders by text message")
    elif drawn < 0.018:
        _say(clinic, "complaint", "complaint", monday, files, at="10:00", summary="the desk could not book")
        if chance.random() < 0.7:  # somebody was there
            _say(clinic, "complaint", "soothed", monday, files, at="10:20", **WORDS_SAID["complaint", "soothe"][2])


def _answer(chance: random.Random, clinic: Clinic, case: Case, monday: date, files: Files) -> None:
    """What people do about a case in the week after they saw it."""
    flow, stage, name = case["flow"], case["stage"], case["case"]
    if (flow, stage) == ("visit", "agreed"):
        files["activities.csv"].append(
            {"entry": name, "clinic": clinic.id, "contact": f"{clinic.id}-owner", "kind": "visit",
             "day": _text(monday + timedelta(days=2)), "who": "chen"}
        )  # fmt: skip
    if flow == "renewal" and not _stays(clinic) and clinic.ends < monday:
        cause = "closed" if clinic.kind == "closing" else "value"
        _say(clinic, flow, "lost", monday, files, cause=cause)
        return
    if (flow, stage) == ("lifecycle", "churned"):
        if clinic.kind in {"fading", "light"} and 8 <= case["weeks"] < 12:
            _come_back(clinic, name, monday, files)
        return
    if (flow, stage) == ("win_back", "open"):
        if not clinic.left:
            _say(clinic, flow, "done", monday, files, case=name)
        elif case["weeks"] >= 13:
            _say(clinic, flow, "let_go", monday, files, case=name, summary="nobody answers any more")
        return
    waits, word, fields = WORDS_SAID.get((flow, stage), (0, "", {}))
    if word and case["weeks"] >= waits and chance.random() > 0.15:
        _say(clinic, flow, word, monday, files, case=name, **_filled(word, fields, monday))
        then = ANSWERED.get(word)
        if then is not None and chance.random() > 0.15:  # by a colleague the day after, whenever csflow looks again
            _say(clinic, flow, then, monday + timedelta(days=1), files, case=name, **_filled(then, {}, monday))


def _filled(word: str, fields: dict[str, str], monday: date) -> dict[str, str]:
    return {"agreed_for": f"{_text(monday + timedelta(days=2))} 10:00"} if word == "agreed" else fields


def _work(chance: random.Random, case: Case) -> Rows:
    """The tasks that are done this week, and the offer that is written."""
    done = [task for task in case["tasks"] if chance.random() < (0.9 if task == "approve" else 0.5)]
    acts: Rows = [{"case": case["case"], "by": "zhao" if task == "approve" else "chen", "task": task} for task in done]
    if (case["flow"], case["stage"]) in OFFERS and case["weeks"] == 1:
        acts.append({"case": case["case"], "by": "chen", "fields": OFFERS[(case["flow"], case["stage"])]})
    return acts


def _come_back(clinic: Clinic, case: str, monday: date, files: Files) -> None:
    """A clinic that had left signs anew and uses the product as never before."""
    clinic.kind, clinic.gone = "steady", None
    _sign(clinic, monday, monday, files)
    _say(clinic, "lifecycle", "won_back", monday, files, case=case)


def _stays(clinic: Clinic) -> bool:
    return clinic.gone is None and clinic.kind != "fading" and (clinic.kind != "light" or bool(clinic.number % 2))


def _say(
    clinic: Clinic, flow: str, word: str, monday: date, files: Files, *, case: str = "", at: str = "", **fields: str
) -> None:
    who = {"handover": "tang" if word == "hand_over" else "chen", "complaint": "wu", "support": "wu"}.get(flow, "chen")
    file = CAUSES[flow] if "cause" in fields else "words"
    filled = {"flow": flow} if file == "words" else {}
    filled |= {name: fields.get(name, "") for name in FILLED[file]}
    day = monday + timedelta(days=1)
    said = {"said": f"{clinic.id}-{_text(day)}-{word}-{case}", "clinic": clinic.id, "case": case, "word": word}
    files[f"words/{file}.csv"].append({**said, "day": f"{_text(day)} {at}".rstrip(), "who": who, **filled})


def _text(day: date) -> str:
    return day.isoformat()
