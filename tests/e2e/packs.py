"""A pack lived through: customers, what they do, and passes, day by day; and which of the pack's rules ever happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from csflow.app import Csflow
from csflow.services import effects
from csflow.services.acting import Act, Word
from csflow.services.advance import Request
from csflow.services.customers import Done, Said
from csflow.services.tasking import Answer
from csflow.store import tables as t
from csflow.store.names import name_id
from csflow.store.touching import touch
from csflow.values import Zone, day, day_text

PROJECT = """
csflow: 1
name: lived
extends: [{pack}]
languages: [en, zh]
currency: CNY
zone: Asia/Shanghai
calendar: office
people:
  li: {{name: Li, roles: [csm]}}
  wang: {{name: Wang, roles: [csm]}}
  zhao: {{name: Zhao, roles: [csm_lead]}}
  wu: {{name: Wu, roles: [support]}}
  tang: {{name: Tang, roles: [support_lead]}}
  he: {{name: He, roles: [sales]}}
"""


class World:
    """A project that extends a pack, on a database. Days are texts; what people do happens at noon, passes at the end."""

    def __init__(self, folder: Path, pack: str, *, database: str | None = None, people: str = "") -> None:
        """``people``: more lines of the project's `people:`."""
        folder.mkdir(parents=True)
        (folder / "csflow.yaml").write_text(PROJECT.format(pack=pack) + people, "utf-8")
        self.app = Csflow(folder, database=database)
        self.definition, self.store, self.zone = self.app.definition, self.app.store, Zone("Asia/Shanghai")
        self.happened: set[tuple[str, str]] = set()  # (flow, place) of every effect that happened
        self.today = ""

    def watched(self, monkeypatch: Any) -> World:
        """Have every effect that happens noted."""
        real = effects._wanted

        def wanted(work: Any, due: Any) -> Any:
            found = real(work, due)
            self.happened |= {(one.row.flow, one.effect.place) for one, _ in found}
            return found

        monkeypatch.setattr(effects, "_wanted", wanted)
        return self

    # facts

    def feature(self, *names: str, core: bool) -> None:
        with self.store.writing() as c:
            for name in names:
                c.execute(insert(t.feature).values(key=name, core=int(core)))

    def customer(self, key: str, segment: str | None = None, **roles: str) -> None:
        fields = {"name": f"Clinic {key}"} | ({"segment": segment} if segment else {})
        self.app.add_customer(self._act("he"), key, said=Said(fields, roles))

    def contract(
        self, key: str, starts: str, ends: str, *, amount: float, number: str = "K1", replaces: str | None = None
    ) -> None:
        with self.store.writing() as c:
            id_ = self._id(c, key)
            row = {
                "customer": id_,
                "key": number,
                "starts_on": day(starts),
                "ends": day(ends) + 1,
                "replaces": replaces,
            }
            minor = round(amount * 100)
            c.execute(insert(t.contract).values(**row, amount=minor, value=minor, currency="CNY", happened=0))
            touch(c, "customer", [id_])

    def contact(self, key: str, name: str, **fields: str) -> None:
        with self.store.writing() as c:
            id_ = self._id(c, key)
            row = {"key": name, "customer": id_, "name": name.title(), "happened": 0, "left": 0}
            contact = c.execute(insert(t.contact).values(**row).returning(t.contact.c.id)).scalar_one()
            now = self.zone.at(day(self.today), 600)
            for field, value in fields.items():
                number = name_id(c, "field", f"contact.{field}")
                c.execute(
                    insert(t.field_value).values(field=number, subject=contact, text=value, happened=0, stated=now)
                )
            touch(c, "customer", [id_])

    def leaves(self, key: str, name: str) -> None:
        with self.store.writing() as c:
            c.execute(t.contact.update().where(t.contact.c.key == name).values(left=1, left_on=day(self.today)))
            touch(c, "customer", [self._id(c, key)])

    def uses(
        self, key: str, first: str, last: str, *features: str, seconds: float = 3600.0, source: str = "test"
    ) -> None:
        """The customer uses these features on every day of a span, for so long each."""
        with self.store.writing() as c:
            id_, told_by = self._id(c, key), name_id(c, "source", source)
            known = dict(c.execute(select(t.feature.c.key, t.feature.c.id)).all())
            for on in range(day(first), day(last) + 1):
                for name in features:
                    row = {"customer": id_, "feature": known[name], "day": on, "source": told_by, "seconds": seconds}
                    c.execute(insert(t.usage).values(**row, count=1.0))
                touch(c, "customer", [id_], day=on)

    # what people do

    def say(self, who: str, word: str, target: str, flow: str | None = None, **fields: str) -> Any:
        return self.app.trigger(self._act(who), Word(word, target, flow, fields))

    def fill(self, who: str, case: str, **fields: str) -> None:
        self.app.set_case(self._act(who), case, fields=fields)

    def state(self, who: str, key: str, **fields: str) -> None:
        self.app.set_customer(self._act(who), key, said=Said(fields, {}))

    def do(self, who: str, case: str, task: str, outcome: str = "done") -> None:
        self.app.finish_task(self._act(who), Answer(case, task, outcome))

    def meets(self, who: str, key: str, kind: str = "visit") -> None:
        self.app.add_activity(self._act(who), Done(key, kind))

    def night(self) -> Any:
        """Measure and advance as of the end of the day."""
        now = self.zone.end_of(day(self.today))
        ran = self.app.run(Request(now, "night", now))
        assert ran.outcome is not None
        assert ran.outcome.failed == [], ran.outcome.failed
        return ran.outcome

    def measure(self) -> list[str]:
        """Measure as of the end of the day; the sources that are silent."""
        now = self.zone.end_of(day(self.today))
        return self.app.measure(Request(now, "night", now)).measured.silent

    # what came of it

    def shown(self, key: str, at: str = "23:59") -> dict[str, Any]:
        """What `customer show` says at that time of the day."""
        hour, minute = at.split(":")
        now = self.zone.at(day(self.today), int(hour) * 60 + int(minute))
        return self.app.show_customer(Act("li", now, now), key)

    def rows(self, statement: Any) -> list[Any]:
        with self.store.reading() as connection:
            return list(connection.execute(statement).all())

    def stages(self, key: str, flow: str = "lifecycle") -> list[tuple[str, str]]:
        """(day, stage) of everywhere the customer's cases of a flow were."""
        h, k, c = t.history.c, t.case.c, t.customer.c
        wanted = (c.key == key, k.flow == flow, h.kind.in_(("opened", "moved")))
        rows = select(h.at, h.target).join(t.case, k.id == h.case).join(t.customer, c.id == k.customer).where(*wanted)
        return [(self._text(at), target) for at, target in self.rows(rows.order_by(k.number, h.seq))]

    def entries(self, key: str, kind: str, flow: str = "lifecycle") -> list[tuple[str, str]]:
        """(day, target) of a kind of entry in the history of the customer's cases of a flow."""
        h, k, c = t.history.c, t.case.c, t.customer.c
        rows = select(h.at, h.target).join(t.case, k.id == h.case).join(t.customer, c.id == k.customer)
        rows = rows.where(c.key == key, k.flow == flow, h.kind == kind).order_by(k.number, h.at, h.target)
        return [(self._text(at), target) for at, target in self.rows(rows)]

    def never(self) -> list[str]:
        """The rules of the definition that never happened, as flow and place."""
        h, k = t.history.c, t.case.c
        seen = {(flow, kind, place, target) for flow, kind, place, target in self.rows(
            select(k.flow, h.kind, h.place, h.target).join(t.case, k.id == h.case).distinct())}  # fmt: skip
        places = {(flow, place) for flow, kind, place, _ in seen if kind in ("moved", "opened")}
        told = {
            kind: {(flow, target) for flow, its, _, target in seen if its == kind} for kind in ("milestone", "missed")
        }
        filled = {(flow, target) for flow, kind, place, target in seen if kind == "field" and place == "value"}
        first = {(flow, target) for flow, kind, _, target in seen if kind in ("moved", "opened")}
        found = []
        for flow in self.definition.flows.values():
            found += [f"{flow.name} {one.place}" for one in flow.opens if (flow.name, one.place) not in places]
            found += [f"{flow.name} {name} =" for name, one in flow.fields.items()
                      if one.value is not None and (flow.name, name) not in filled]  # fmt: skip
            ways = {way.place for stage in flow.stages.values() for way in stage.transitions}
            found += [f"{flow.name} {place}" for place in sorted(ways) if (flow.name, place) not in places]
            found += [f"{flow.name} stage {name}" for name in flow.stages if (flow.name, name) not in first]
            milestones = [m for stage in flow.stages.values() for m in stage.milestones] + list(flow.milestones)
            found += [f"{flow.name} milestone {m}" for m in milestones if (flow.name, m) not in told["milestone"]]
            named = {line.name for line in _deadlines(flow)}
            found += [
                f"{flow.name} deadline {name}" for name in sorted(named) if (flow.name, name) not in told["missed"]
            ]
            found += [f"{flow.name} {place}" for place in _effects(flow) if (flow.name, place) not in self.happened]
        return found

    def _text(self, at: int) -> str:
        return self.zone.text(at)[:10]

    def _act(self, who: str) -> Act:
        at = self.zone.at(day(self.today), 720)
        return Act(who, at, at)

    def _id(self, connection: Any, key: str) -> int:
        return int(connection.execute(select(t.customer.c.id).where(t.customer.c.key == key)).scalar_one())


Script = list[tuple[str, Callable[[World], Any]]]  # what happens on which day


@contextmanager
def lived(folder: Path, pack: str, script: Script, *, until: str, core: tuple[str, ...], more: str) -> Iterator[World]:
    """The pack with these features after all that the script says: passes on its days, and every Monday from 8 June."""
    with pytest.MonkeyPatch.context() as patch:
        world = World(folder, pack).watched(patch)
        world.feature(*core, core=True)
        world.feature(more, core=False)
        mondays = {day_text(on) for on in range(day("2026-06-08"), day(until), 7)}
        for on in sorted({when for when, _ in script} | mondays):
            world.today = on
            for when, act in script:
                if when == on:
                    act(world)
            world.night()
        yield world
        world.app.close()


def _deadlines(flow: Any) -> list[Any]:
    found = [flow.deadline, *(m.deadline for m in flow.milestones.values())]
    for stage in flow.stages.values():
        found += [stage.deadline, *(m.deadline for m in stage.milestones.values())]
    return [one for one in found if one is not None]


def _effects(flow: Any) -> list[str]:
    """The place of every effect of a flow, each once."""
    found = [*flow.do]
    for stage in flow.stages.values():
        found += [
            *stage.do,
            *(x for way in stage.transitions for x in way.do),
            *(x for m in stage.milestones.values() for x in m.do),
        ]
    found += [x for line in _deadlines(flow) for x in line.overdue]
    return sorted({one.place for one in found})
