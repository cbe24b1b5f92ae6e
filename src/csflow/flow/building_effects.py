"""Effects and deadlines of a flow: what happens, for whom, until when."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from csflow.flow.definition import Deadline, Effect
from csflow.flow.due import Due, parse_due
from csflow.flow.names import nearest
from csflow.flow.sites import Path, Site, Tree, listed, section
from csflow.flow.types import Type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from csflow.flow.expressions import Expression

VERBS = ("task", "notify", "open", "set", "trigger", "uses")
SUBJECT_KINDS = ("customer", "contract", "contact", "person", "organisation")


def triggers_of(flow: Tree) -> set[str]:
    """Every word that the flow listens to: of its openings, transitions and milestones."""
    heard = {opening.get("trigger") for opening in flow.get("opens") or ()}
    for part in (flow, *(content for _, content in section(flow, "stages"))):
        heard |= {milestone.get("trigger") for _, milestone in section(part, "milestones")}
        for _, ways in section(part, "transitions"):
            heard |= {way.get("trigger") for way in ways}
    return {word for word in heard if word is not None}


@dataclass(slots=True)
class Hand:
    """Builds effects and deadlines of one flow."""

    site: Site
    flow: str
    subject: str
    field_types: dict[str, Type]
    has_clock: bool
    dates: dict[str, Expression] = field(default_factory=dict)  # facts that due times hang on

    def role(self, path: Path, word: str | None) -> str | None:
        """The role, checked; None where none is written."""
        if word is not None:
            self.site.chosen(path, word, self.site.tree.get("roles") or {}, "role")
        return word

    def roles(self, path: Path, words: Any) -> tuple[str, ...]:
        """The roles of a list, each checked."""
        for place, word in enumerate(listed(words)):
            self.role((*path, place), word)
        return listed(words)

    def effects(self, path: Path, place: str, written: list[Tree] | None) -> tuple[Effect, ...]:
        """The effects of a list; ``place`` is its address in the flow."""
        for i, effect in enumerate(written or ()):
            self._timing(path, i, effect)
        made = (self._effect((*path, i), f"{place}.{i}", effect) for i, effect in enumerate(written or ()))
        return tuple(made)

    def _timing(self, path: Path, number: int, written: Tree) -> None:
        """`every:` counts while a case is in a stage, `before:` and `after:` from a due time."""
        in_stage = path[-1] == "do" and path[-3] == "stages"
        if written.get("every") is not None and not in_stage:
            message = "every: repeats what stands under the do: of a stage, here it would happen once"
            self.site.wrong((*path, number, "every"), message, on_key=True)
        for shift in ("before", "after"):
            if written.get(shift) is not None and path[-1] != "overdue":
                message = f"{shift}: counts from a due time: it stands under overdue:"
                self.site.wrong((*path, number, shift), message, on_key=True)

    def _effect(self, path: Path, place: str, written: Tree) -> Effect:
        verb = next(verb for verb in VERBS if verb in written)
        target, flow = self._target(path, verb, written[verb])
        to_contacts = verb == "notify" and target == "contact"
        subject = "contact" if to_contacts else self.subject
        site = self.site
        message = written.get("message")
        if message is not None and site.chosen((*path, "message"), message, site.tree.get("messages") or {}, "message"):
            site.message_uses.setdefault(message, []).append((subject, self.flow))
        shift = "before" if "before" in written else "after"
        return Effect(
            verb=verb,
            target=target,
            place=place,
            flow=flow,
            values=dict(self._values(path, verb, written, flow)),
            role=self.role((*path, "for"), written.get("for")),
            label=site.labels((*path, "label"), written.get("label")),
            message=message,
            via=site.via((*path, "via"), written.get("via")),
            due=self.due((*path, "due"), written.get("due")),
            when=site.guard((*path, "when"), written.get("when"), subject=subject, flow=self.flow),
            every=site.pause((*path, "every"), written.get("every")),
            offset=site.length((*path, shift), written.get(shift)),
            before=shift == "before",
        )

    def _target(self, path: Path, verb: str, main: Any) -> tuple[str, str | None]:
        """The effect's main value as text, and for ``trigger`` and ``open`` the flow that is spoken to."""
        site, at = self.site, (*path, verb)
        flows = site.tree.get("flows") or {}
        if verb == "set":
            return "", None
        if verb == "open":
            site.chosen(at, main, flows, "flow")
            return str(main), str(main)
        if verb == "trigger":
            return self._trigger(at, main)
        if verb == "notify":
            known = [*(site.tree.get("roles") or {}), *(site.tree.get("people") or {}), "contact"]
            site.chosen(at, main, known, "role or person")
        if verb == "uses" and main not in site.provided:
            near = nearest(str(main), site.provided)
            site.wrong(at, f"nothing provides '{main}', so this effect waits in the outbox{near}", warning=True)
        return str(main), None

    def _trigger(self, path: Path, main: Any) -> tuple[str, str | None]:
        site = self.site
        if not isinstance(main, dict):
            flow, word, at, key = self.flow, main, path, False
        elif len(main) != 1:
            site.wrong(path, "a trigger says one word to one flow: {trigger: {flow: word}}")
            return "", None
        else:
            ((flow, word),) = main.items()
            at, key = (*path, flow), True
        if not key or site.chosen(at, flow, site.tree.get("flows") or {}, "flow", on_key=True):
            check_trigger(site, at, flow, word)
        return str(word), str(flow)

    def _values(self, path: Path, verb: str, written: Tree, flow: str | None) -> Iterator[tuple[str, Any]]:
        for name, value in (written.get("with") or {}).items():
            at = (*path, "with", name)
            target = flow if verb in {"open", "trigger"} else None
            if target is None or target not in self.site.names.flows:
                yield name, self._free(at, value)
            elif self.site.chosen(at, name, self.site.names.flows[target].fields, f"field of {target}", on_key=True):
                own = self.site.names.flows[target].fields[name]
                yield name, self.site.setting(at, value, own, subject=self.subject, flow=self.flow)
        if verb == "set":
            for name, value in written["set"].items():
                kind = self._settable((*path, "set", name), name)
                if kind is not None:
                    at = (*path, "set", name)
                    yield name, self.site.setting(at, value, kind, subject=self.subject, flow=self.flow)

    def _free(self, path: Path, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("="):
            return self.site.expression(path, value, subject=self.subject, flow=self.flow, shift=1)
        return value

    def _settable(self, path: Path, name: str) -> Type | None:
        """The type of a field that an effect may set; noted where the name is none."""
        head, _, rest = name.partition(".")
        fields = {f"case.{word}": kind for word, kind in self.field_types.items()}
        for kind in SUBJECT_KINDS:
            fields |= {f"{kind}.{word}": pair[0] for word, pair in self.site.names.fields.get(kind, {}).items()}
        if head == "case" and rest == "waiting":
            return Type("boolean")
        return fields[name] if self.site.chosen(path, name, fields, "field", on_key=True) else None

    # due times

    def due(self, path: Path, written: Tree | None) -> Due | None:
        """A due time with its anchor and calendar checked; None where none is written or it is wrong."""
        if written is None:
            return None
        site, at = self.site, (*path, "due")
        calendar = written.get("calendar") or site.tree.get("calendar")
        due = site.parsed(at, lambda text: parse_due(text, calendar=calendar), written["due"])
        if due is None:
            return None
        if written.get("calendar") is not None:
            site.chosen((*path, "calendar"), written["calendar"], site.tree.get("calendars") or {}, "calendar")
        if due.length is not None and due.length.working and calendar is None:
            site.wrong(at, "working time needs a calendar: say calendar: in the project, or here")
        if due.anchor == "clock" and not self.has_clock:
            site.wrong(at, f"flow '{self.flow}' has no clock: say clock: contract.starts_on, or count from a date")
        elif "." in due.anchor:
            self._anchor(at, due)
        return due

    def _anchor(self, path: Path, due: Due) -> None:
        offset = due.text.rfind(due.anchor)
        before = len(self.site.found)
        made = self.site.expression(path, due.anchor, subject=self.subject, flow=self.flow)
        for place in range(before, len(self.site.found)):
            found = self.site.found[place]
            self.site.found[place] = replace(found, offset=found.offset + offset)
        if made is not None:
            self.dates[due.anchor] = made
        if made is not None and made.type.name not in {"date", "time", "?"}:
            self.site.wrong(path, f"'{due.anchor}' is a {made.type}, not a date to count from", offset=offset)

    def deadline(self, path: Path, name: str, written: Tree | None, overdue: tuple[Effect, ...]) -> Deadline | None:
        """A deadline; ``overdue`` is what happens when it is missed."""
        due = self.due(path, written)
        if written is None or due is None:
            return None
        stops = self.site.guard(
            (*path, "stops_while"), written.get("stops_while"), subject=self.subject, flow=self.flow
        )
        return Deadline(name, due, stops, overdue)


def check_trigger(site: Site, path: Path, flow: str, word: Any) -> None:
    """Whether that flow listens to the word; noted where not."""
    heard = triggers_of(site.tree["flows"][flow])
    if str(word) not in heard:
        site.wrong(path, f"flow '{flow}' does not listen to '{word}'{nearest(str(word), heard)}")
