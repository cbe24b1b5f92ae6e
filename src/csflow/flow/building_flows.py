"""One flow: stages, the ways between them, milestones, deadlines, opening rules."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from csflow.flow.building_effects import Hand
from csflow.flow.building_fields import build_fields
from csflow.flow.definition import Effect, Field, Flow, Metric, Milestone, Opening, Stage, Transition
from csflow.flow.evaluation import function
from csflow.flow.expressions import Expression, conjunction
from csflow.flow.nodes import Read
from csflow.flow.sites import Found, Path, Site, Tree, listed, section
from csflow.flow.types import BOOLEAN, DATE, Fact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BACK = "back"
MAX_STAGES = 500
MAX_WAYS = 20_000


class _OnlyStage:
    """Facts of a case of which nothing is known but its stage."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def value(self, _fact: Fact) -> str:
        """The stage: no other fact is ever asked for here."""
        return self.stage


def build_flow(site: Site, name: str) -> Flow:
    """The flow of that name, its problems noted."""
    return _FlowBuilder(site, name).build()


class _FlowBuilder:
    def __init__(self, site: Site, name: str) -> None:
        self.site, self.name = site, name
        self.tree: Tree = site.tree["flows"][name]
        self.path: Path = ("flows", name)
        self.subject: str = self.tree.get("subject") or "customer"
        self.stage_trees: dict[str, Tree] = self.tree.get("stages") or {}
        names = site.names.flows[name]
        self.hand = Hand(site, name, self.subject, names.fields, names.clock)
        self.overdue = self.hand.effects((*self.path, "overdue"), "overdue", self.tree.get("overdue"))
        self.milestone_names = Counter(name for part in self._parts() for name, _ in section(part, "milestones"))
        self.enter = {
            stage: self.guard((*self.path, "stages", stage, "enter"), content.get("enter"))
            for stage, content in self.stage_trees.items()
        }

    def guard(self, path: Path, text: Any, use: str = "guard") -> Expression | None:
        return self.site.guard(path, text, subject=self.subject, flow=self.name, use=use)

    def _parts(self) -> tuple[Tree, ...]:
        """The flow and its stages: wherever milestones and ways may stand."""
        return (self.tree, *self.stage_trees.values())

    def build(self) -> Flow:
        site, tree, path = self.site, self.tree, self.path
        fields = dict(self._fields())
        stages = self._stages()
        one_per, one_per_key = self._one_per()
        return Flow(
            name=self.name,
            subject=self.subject,
            label=site.labels((*path, "label"), tree.get("label")),
            fields=fields,
            stages=stages,
            first=next(iter(stages), ""),
            opens=tuple(self._opens()),
            one_per=one_per,
            one_per_key=one_per_key,
            again=site.length((*path, "again"), tree.get("again")),
            clock=self._clock(),
            responsible=self.hand.role((*path, "responsible"), tree.get("responsible")),
            base=site.names.flows[self.name].base,
            milestones=self._milestones(path, "", tree),
            deadline=self.hand.deadline((*path, "deadline"), "flow", tree.get("deadline"), self.overdue),
            overdue=self.overdue,
            do=self.hand.effects((*path, "do"), "do", tree.get("do")),
            mirrors=tree.get("mirrors"),
            renamed=self._renamed(),
            migrate=self._migrate(),
            dates=dict(self.hand.dates),
        )

    def _clock(self) -> Expression | None:
        text = self.tree.get("clock")
        if text is None:
            return None
        return self.site.expression((*self.path, "clock"), text, subject=self.subject, flow=self.name, expect=DATE)

    def _fields(self) -> Iterator[tuple[str, Field]]:
        path = (*self.path, "fields")
        for name, field in build_fields(self.site, path, self.tree.get("fields")):
            value = self.tree["fields"][name].get("value")
            if value is None:
                yield name, field
                continue
            made = self.site.expression(
                (*path, name, "value"), value, subject=self.subject, flow=self.name, expect=field.type
            )
            yield name, replace(field, value=made)

    def _one_per(self) -> tuple[str, Expression | None]:
        text: str = self.tree.get("one_per") or ""
        head, _, rest = text.partition(".")
        if text in {"", "case.id"} or (head == "case" and rest in self.hand.field_types):
            return text, None
        path = (*self.path, "one_per")
        made = self.site.expression(path, text, subject=self.subject, flow=self.name, use="opening")
        self._steady(path, made)
        return text, made

    def _steady(self, path: Path, key: Any) -> None:
        """What tells two openings apart does not hang on the cases that open: each would make room for the next."""
        if not isinstance(key, Expression):
            return
        own = {(f"flow:{self.name}", ""), ("open", self.name)}
        read = {(fact.owner, fact.key if fact.owner == "open" else "") for fact in key.facts}
        if own & read or any(counted.thing == self.name for counted in key.aggregates):
            self.site.wrong(
                path, f"one_per: hangs on the cases of '{self.name}', so each that opens would open another"
            )

    # opening rules

    def _opens(self) -> Iterator[Opening]:
        for place, written in enumerate(self.tree.get("opens") or ()):
            path = (*self.path, "opens", place)
            if written.get("to") is not None:
                self.site.chosen((*path, "to"), written["to"], self.stage_trees, "stage")
            yield Opening(
                place=f"opens.{place}",
                when=self.guard((*path, "when"), written.get("when"), use="opening"),
                trigger=written.get("trigger"),
                every=self.site.pause((*path, "every"), written.get("every"), dates=True),
                only=self.hand.roles((*path, "only"), written.get("only")),
                to=written.get("to"),
                values=dict(self._opening_values((*path, "with"), written.get("with") or {})),
            )

    def _opening_values(self, path: Path, written: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, value in written.items():
            at = (*path, name)
            if self.site.chosen(at, name, self.hand.field_types, "field", on_key=True):
                kind = self.hand.field_types[name]
                setting = self.site.setting(at, value, kind, subject=self.subject, flow=self.name, use="opening")
                if self.tree.get("one_per") == f"case.{name}":
                    self._steady(at, setting)
                yield name, setting

    # stages

    def _stages(self) -> dict[str, Stage]:
        if not self.stage_trees:
            self.site.wrong(self.path, f"flow '{self.name}' has no stages")
        if self._too_large():
            return {}
        shared = self._shared()
        stopped = self._stopped()
        stages = {}
        for name, content in self.stage_trees.items():
            path = (*self.path, "stages", name)
            own = self._ways(path, f"stages.{name}.transitions", name, content)
            ways = [*own, *(replace(way, source=name) for sources, way in shared if name in sources)]
            if (
                not ways
                and not content.get("transitions")
                and content.get("end") is None
                and not self.tree.get("mirrors")
            ):
                message = f"no way leads out of stage '{name}': give it a transition, or an end: good, bad or neutral"
                self.site.found.append(Found(path, message, on_key=True, follows=True))
            stages[name] = self._stage(path, name, content, tuple(ways), stops=name in stopped)
        self._reached(stages)
        return stages

    def _too_large(self) -> bool:
        """Every stage has a copy of every shared way, so both numbers have a limit."""
        ways = sum(len(ways) for _, ways in section(self.tree, "transitions"))
        if len(self.stage_trees) <= MAX_STAGES and ways * len(self.stage_trees) <= MAX_WAYS:
            return False
        message = f"flow '{self.name}' is too large: at most {MAX_STAGES} stages and {MAX_WAYS:,} ways between them"
        self.site.wrong(self.path, message)
        return True

    def _stage(self, path: Path, name: str, content: Tree, ways: tuple[Transition, ...], *, stops: bool) -> Stage:
        own = content.get("responsible")
        address = f"stages.{name}"
        return Stage(
            name=name,
            label=self.site.labels((*path, "label"), content.get("label")),
            end=content.get("end"),
            responsible=self.hand.role((*path, "responsible"), own) or self.tree.get("responsible"),
            enter=self.enter[name],
            deadline=self.hand.deadline(
                (*path, "deadline"), address, content.get("deadline"), self._overdue(path, address, content)
            ),
            milestones=self._milestones(path, f"{address}.", content),
            transitions=ways,
            do=self.hand.effects((*path, "do"), f"{address}.do", content.get("do")),
            stops=stops,
        )

    def _overdue(self, path: Path, address: str, content: Tree) -> tuple[Effect, ...]:
        """What happens when this is missed: its own, else what the flow says for every missed node."""
        if content.get("overdue") is None:
            return self.overdue
        if content.get("deadline") is None:
            message = "overdue: needs a deadline:"
            self.site.found.append(Found((*path, "overdue"), message, on_key=True, follows=True))
        return self.hand.effects((*path, "overdue"), f"{address}.overdue", content["overdue"])

    def _milestones(self, path: Path, prefix: str, content: Tree) -> dict[str, Milestone]:
        made = {}
        for name, written in section(content, "milestones"):
            at = (*path, "milestones", name)
            address = f"{prefix}milestones.{name}"
            self.site.name(at, name, "milestone")
            self._unique_milestone(at, name)
            when = self.guard((*at, "when"), written.get("when"))
            if written.get("uses") is not None:
                when = self._computed(at, name, written)
            if not prefix and when is not None and any(fact.name == "milestones.all" for fact in when.facts):
                self.site.wrong((*at, "when"), "milestones.all speaks of a stage: put this milestone into one")
            made[name] = Milestone(
                name=name,
                when=when,
                trigger=written.get("trigger"),
                optional=bool(written.get("optional")),
                label=self.site.labels((*at, "label"), written.get("label")),
                deadline=self.hand.deadline(
                    (*at, "deadline"), address, written.get("deadline"), self._overdue(at, address, written)
                ),
                do=self.hand.effects((*at, "do"), f"{address}.do", written.get("do")),
            )
        return made

    def _computed(self, path: Path, name: str, written: Tree) -> Expression:
        """What a plugin decides is measured like a metric that is true or false; the guard reads it."""
        site, subject = self.site, self.subject
        uses, given = site.uses(path, written, "milestone"), site.given(path, written, subject)
        site.window(path, written, subject)
        reads = tuple(fact.name for fact in given if fact.kind == "metric")
        key = f"{self.name}/{name}"
        site.computed[key] = Metric(
            name=key, subject=subject, type=BOOLEAN, uses=uses, options=dict(written.get("with") or {}), reads=reads,
            facts=given,
        )  # fmt: skip
        return Expression(uses, Read(BOOLEAN, 0, Fact(key, BOOLEAN, subject, "metric", key)))

    def _unique_milestone(self, path: Path, name: str) -> None:
        if name == "all":
            self.site.wrong(path, "milestones.all means all of them: choose another name", on_key=True)
        if self.milestone_names[name] > 1:
            self.site.wrong(path, f"milestone '{name}' is in this flow twice: give one another name", on_key=True)

    # ways

    def _shared(self) -> list[tuple[tuple[str, ...], Transition]]:
        """The flow's own transitions with the stages they start from: all that have not ended, unless it says."""
        going = tuple(name for name, content in self.stage_trees.items() if content.get("end") is None)
        shared = []
        for way in self._ways(self.path, "transitions", "", self.tree):
            target, _, number = way.place.removeprefix("transitions.").rpartition(".")
            sources = listed(self.tree["transitions"][target][int(number)].get("from"))
            path = (*self.path, "transitions", target, int(number))
            for place, source in enumerate(sources):
                self.site.chosen((*path, "from", place), source, self.stage_trees, "stage")
            sources = sources or tuple(stage for stage in going if stage != way.target)
            self._all_of_none(path, way, sources)
            shared.append((sources, way))
        return shared

    def _ways(self, path: Path, address: str, source: str, content: Tree) -> list[Transition]:
        made = []
        for target, ways in section(content, "transitions"):
            at = (*path, "transitions", target)
            known = [*self.stage_trees, BACK]
            if not self.site.chosen(at, target, known, "stage", on_key=True):
                continue
            for number, way in enumerate(ways):
                if source and way.get("from") is not None:
                    self.site.wrong(
                        (*at, number, "from"), "from: stands in the flow's own transitions only", on_key=True
                    )
                made.append(self._way((*at, number), f"{address}.{target}.{number}", source, target, way))
                if source:
                    self._all_of_none((*at, number), made[-1], (source,))
        return made

    def _all_of_none(self, path: Path, way: Transition, sources: Sequence[str]) -> None:
        """Of no milestones all are reached: such a way would be taken at once, which nobody can have meant."""
        if way.when is None or all(fact.name != "milestones.all" for fact in way.when.facts):
            return
        for stage in sources:
            milestones = section(self.stage_trees.get(stage) or {}, "milestones")
            if all(written.get("optional") for _, written in milestones):
                message = (
                    f"stage '{stage}' has no milestone that milestones.all could wait for, so it would hold at once"
                )
                self.site.found.append(Found((*path, "when"), message, follows=True))

    def _way(self, path: Path, place: str, source: str, target: str, way: Tree) -> Transition:
        when = self.guard((*path, "when"), way.get("when"))
        asks = listed(way.get("asks"))
        parts = [when, self.enter.get(target)]
        for number, field in enumerate(asks):
            at = (*path, "asks", number)
            if self.site.chosen(at, field, self.hand.field_types, "field"):
                parts.append(self.guard(at, f"case.{field} is known"))
        return Transition(
            source=source,
            target=target,
            place=place,
            guard=conjunction(part for part in parts if part is not None),
            when=when,
            trigger=way.get("trigger"),
            only=self.hand.roles((*path, "only"), way.get("only")),
            approve=self.hand.role((*path, "approve"), way.get("approve")),
            asks=asks,
            do=self.hand.effects((*path, "do"), f"{place}.do", way.get("do")),
        )

    def _reached(self, stages: dict[str, Stage]) -> None:
        """Every stage but the first has a move that leads to it."""
        if self.tree.get("mirrors"):
            return
        targets = {way.target for stage in stages.values() for way in stage.transitions if way.target != stage.name}
        targets |= {opening.get("to") for opening in self.tree.get("opens") or ()}
        for name in list(stages)[1:]:
            if name not in targets:
                at = (*self.path, "stages", name)
                self.site.found.append(Found(at, f"no move leads to stage '{name}'", on_key=True, follows=True))

    def _stopped(self) -> set[str]:
        """The stages in which the flow's clocks stand still."""
        text = self.tree.get("stops_while")
        path = (*self.path, "stops_while")
        made = self.guard(path, text)
        if made is None:
            return set()
        other = any((fact.owner, fact.key) != ("case", "stage") for fact in made.all_facts)
        if made.timed or made.aggregates or other:
            self.site.wrong(path, "a flow stops in stages: write case.stage == '…'; a deadline has its own stops_while")
            return set()
        holds = function(made.node)
        moment: Any = None  # a comparison of the stage with words asks for no time
        facts: Any = _OnlyStage
        return {stage for stage in self.stage_trees if holds(facts(stage), moment) is True}

    # changes of definitions

    def _renamed(self) -> dict[str, str]:
        renamed = {}
        for name, content in self.stage_trees.items():
            old = content.get("renamed_from")
            if old is None:
                continue
            at = (*self.path, "stages", name, "renamed_from")
            if old in self.stage_trees:
                where = " in what this extends" if self.site.tree.get("extends") else ""
                self.site.wrong(at, f"'{old}' is still there{where}: change its label, or null it")
            renamed[old] = name
        return renamed

    def _migrate(self) -> dict[str, dict[str, str]]:
        moves = {}
        for name, written in section(self.tree, "migrate"):
            path = (*self.path, "migrate", name)
            if name in self.stage_trees:
                self.site.wrong(path, f"stage '{name}' is still there: null it, or leave its cases", on_key=True)
            self.site.chosen((*path, "to"), written["to"], self.stage_trees, "stage")
            moves[name] = {key: str(value) for key, value in written.items()}
        return moves
