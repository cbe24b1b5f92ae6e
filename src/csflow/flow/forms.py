"""The form of the language as pydantic models: which keys stand where, which shorthand stands for which key.

What is done with them – expanding, checking, the JSON Schema – is in `shape`. Imported only when YAML is really read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from csflow.flow.form_kinds import (
    Anything,
    DueText,
    Expr,
    Form,
    Guard,
    Label,
    Length,
    Number,
    OneOrMany,
    Scalar,
    Text,
    Words,
    Yes,
    listed_alone,
    one_of,
    wrapped,
)
from csflow.flow.names import LANGUAGE

if TYPE_CHECKING:
    from csflow.flow.reading import Item


class Fresh(Form):
    """How old a value may be."""

    shorthand = "unknown_after"
    warn_after: Length | None = None
    unknown_after: Length | None = None


TYPE_WORDS = Literal[
    "text",
    "number",
    "share",
    "money",
    "boolean",
    "date",
    "time",
    "length",
    "choice",
    "choices",
    "person",
    "contact",
    "file",
]


class FieldForm(Form):
    """A field that people or imports fill in."""

    shorthand = "type"
    list_shorthand = "choices"
    label: Label | None = None
    type: TYPE_WORDS | None = None
    choices: Anything | None = None
    fresh: Fresh | None = None
    value: Expr | None = None
    renamed_from: Text | None = None

    @model_validator(mode="after")
    def _has_choices(self) -> FieldForm:
        if self.type in {"choice", "choices"} and not self.choices:
            raise ValueError(f"a {self.type} needs choices: [one, another]")
        if self.choices is not None and self.type not in {None, "choice", "choices"}:
            raise ValueError(f"a {self.type} has no choices: leave type out, or write type: choice")
        if self.choices is None and self.type is None:
            raise ValueError("a field has a type or choices")
        if self.choices is not None and not isinstance(self.choices, (list, dict)):
            raise ValueError("choices are a list of words or a tree of them")
        return self


class Weight(Form):
    """A part of a weighted mean, or a group of parts."""

    shorthand = "weight"
    weight: Number | None = None
    parts: dict[str, Number] | None = None


class Cap(Form):
    """A score is at most ``value`` when the condition holds."""

    value: Number
    when: Guard


class MetricForm(Form):
    """A fact that csflow computes."""

    shorthand = "value"
    label: Label | None = None
    type: TYPE_WORDS | None = None
    choices: Anything | None = None
    subject: Literal["customer", "contract", "contact", "person", "organisation", "book"] | None = None
    value: Expr | None = None
    of: Expr | None = None
    by: Expr | None = None
    bands: dict[str, Anything] | None = None
    choose: dict[str, Guard] | None = None
    points: dict[str, Number] | None = None
    weights: dict[str, Weight] | None = None
    at_most: list[Cap] | None = None
    needs: Scalar | None = None
    uses: Text | None = None
    with_: dict[str, Anything] | None = Field(None, alias="with")
    fresh: Fresh | None = None
    better: Literal["higher", "lower"] | None = None
    renamed_from: Text | None = None

    @model_validator(mode="after")
    def _one_way(self) -> MetricForm:
        ways = {key: (key,) for key in ("value", "bands", "choose", "weights", "uses")} | {"bands": ("of", "bands")}
        one_of(self, ways, "a metric is computed in one way ({all}); this has ")
        if self.bands is not None and self.of is None:
            raise ValueError("bands cut a number: say which with of:")
        if self.of is not None and self.bands is None:
            raise ValueError("of: says what bands: cut; there are no bands")
        return self


class RoleForm(Form):
    """A post that people fill."""

    shorthand = "label"
    label: Label | None = None
    by: Expr | None = None
    assign: Anything | None = None
    leads: Text | None = None
    capacity: Number | None = None
    skills: Words | None = None
    renamed_from: Text | None = None


class PersonForm(Form):
    """A colleague."""

    label: Label | None = None
    name: Text | None = None
    roles: Words | None = None
    team: Text | None = None
    skills: Words | None = None
    capacity: Number | None = None
    address: dict[str, Text] | None = None


class CalendarForm(Form):
    """Working time."""

    label: Label | None = None
    zone: Text | None = None
    hours: dict[str, Words]
    holidays: Anything | None = None
    closed_on: Words | None = None
    open_on: Words | None = None


class ActivityForm(Form):
    """A kind of thing that is done with a customer."""

    shorthand = "label"
    label: Label | None = None
    fields: dict[str, FieldForm] | None = None

    @classmethod
    def expand(cls, item: Item) -> Item:
        """A label in languages stands for itself here, too: ``visit: {en: Visit}``."""
        keys = set(item.value) if isinstance(item.value, dict) else set()
        if keys and not keys & set(cls.model_fields) and all(LANGUAGE.match(key) for key in keys):
            return wrapped(item, "label")
        return super().expand(item)


class Due(Form):
    """A time by which something is to be done."""

    shorthand = "due"
    due: DueText
    calendar: Text | None = None
    stops_while: Guard | None = None


VERBS = ("task", "notify", "open", "set", "trigger", "uses")


class EffectForm(Form):
    """One thing that happens."""

    task: Text | None = None
    notify: Text | None = None
    open: Text | None = None
    set: dict[str, Anything] | None = None
    trigger: Anything | None = None
    uses: Text | None = None
    for_: Text | None = Field(None, alias="for")
    due: Due | None = None
    label: Label | None = None
    message: Text | None = None
    via: Text | None = None
    with_: dict[str, Anything] | None = Field(None, alias="with")
    when: Guard | None = None
    every: Length | None = None
    before: Length | None = None
    after: Length | None = None

    @model_validator(mode="after")
    def _one_verb(self) -> EffectForm:
        one_of(self, {verb: (verb,) for verb in VERBS}, "an effect does one thing ({all}); this does ")
        if self.before is not None and self.after is not None:
            raise ValueError("an effect comes before or after the due time, not both")
        return self


class TransitionForm(Form):
    """A way to a stage."""

    shorthand = "when"
    label: Label | None = None
    when: Guard | None = None
    trigger: Text | None = None
    from_: Words | None = Field(None, alias="from")
    only: Words | None = None
    approve: Text | None = None
    asks: Words | None = None
    do: list[EffectForm] | None = None

    @model_validator(mode="after")
    def _moves(self) -> TransitionForm:
        if self.when is None and self.trigger is None:
            raise ValueError("a move needs a guard (when:) or a word (trigger:)")
        return self


class MilestoneForm(Form):
    """An achievement."""

    shorthand = "when"
    label: Label | None = None
    when: Guard | None = None
    uses: Text | None = None
    with_: dict[str, Anything] | None = Field(None, alias="with")
    trigger: Text | None = None
    optional: Yes | None = None
    deadline: Due | None = None
    overdue: list[EffectForm] | None = None
    do: list[EffectForm] | None = None
    renamed_from: Text | None = None

    @model_validator(mode="after")
    def _reached(self) -> MilestoneForm:
        if self.when is not None and self.uses is not None:
            raise ValueError("a milestone has a guard (when:) or a plugin's answer (uses:), not both: null one of them")
        if self.when is None and self.trigger is None and self.uses is None:
            raise ValueError("a milestone needs a guard (when:), a plugin's answer (uses:) or a word (trigger:)")
        if self.with_ is not None and self.uses is None:
            raise ValueError("with: says more about uses:")
        return self


class StageForm(Form):
    """Where a case can be."""

    shorthand = "end"
    label: Label | None = None
    end: Literal["good", "bad", "neutral"] | None = None
    responsible: Text | None = None
    enter: Guard | None = None
    deadline: Due | None = None
    milestones: dict[str, MilestoneForm] | None = None
    transitions: dict[str, Annotated[list[TransitionForm], BeforeValidator(listed_alone), OneOrMany()]] | None = None
    overdue: list[EffectForm] | None = None
    do: list[EffectForm] | None = None
    follows: Text | None = None
    renamed_from: Text | None = None


class OpeningForm(Form):
    """A rule that opens cases."""

    shorthand = "when"
    when: Guard | None = None
    trigger: Text | None = None
    every: Length | None = None
    only: Words | None = None
    to: Text | None = None
    with_: dict[str, Anything] | None = Field(None, alias="with")

    @model_validator(mode="after")
    def _opens(self) -> OpeningForm:
        if self.when is None and self.trigger is None and self.every is None:
            raise ValueError("an opening rule needs when:, trigger: or every:")
        return self


class MigrationForm(Form):
    """Where cases of a dropped stage go on."""

    shorthand = "to"
    to: Text
    clock: Literal["restart", "keep"] | None = None


class FlowForm(Form):
    """A flow: stages and what moves a case between them."""

    flow: Text
    extends: Text | None = None
    label: Label | None = None
    subject: Literal["customer", "contract", "contact", "person", "organisation"] | None = None
    clock: Expr | None = None
    stops_while: Guard | None = None
    opens: Annotated[list[OpeningForm], BeforeValidator(listed_alone), OneOrMany()] | None = None
    one_per: Text | None = None
    again: Length | None = None
    responsible: Text | None = None
    fields: dict[str, FieldForm] | None = None
    stages: dict[str, StageForm]
    transitions: dict[str, Annotated[list[TransitionForm], BeforeValidator(listed_alone), OneOrMany()]] | None = None
    milestones: dict[str, MilestoneForm] | None = None
    deadline: Due | None = None
    overdue: list[EffectForm] | None = None
    do: list[EffectForm] | None = None
    mirrors: Text | None = None
    migrate: dict[str, MigrationForm] | None = None
    renamed_from: Text | None = None


class MessageForm(Form):
    """A template of what is sent."""

    shorthand = "text"
    label: Label | None = None
    title: Label | None = None
    text: Label | None = None
    via: Text | None = None


class GoalForm(Form):
    """What is aimed at."""

    kind: Literal["strategic", "key", "process", "value"] | None = None
    label: Label | None = None
    metric: Text | None = None
    target: Scalar | None = None
    over: Literal["day", "week", "month", "quarter", "year"] | None = None
    by: Words | None = None
    serves: Text | None = None


class RetentionForm(Form):
    """One definition of what keeping revenue means."""

    label: Label | None = None
    grain: Text | None = None
    window: Length | None = None
    reactivation: Text | None = None
    exclude: Words | None = None


class SectionForm(Form):
    """A part of a report."""

    label: Label | None = None
    show: Words | None = None
    by: Words | None = None
    over: Literal["day", "week", "month", "quarter", "year"] | None = None
    when: Guard | None = None
    uses: Text | None = None
    with_: dict[str, Anything] | None = Field(None, alias="with")

    @model_validator(mode="after")
    def _shows(self) -> SectionForm:
        one_of(self, {"show": ("show",), "uses": ("uses",)}, "a section has one of {all}; this has ")
        return self


class ReportForm(Form):
    """A report: its sections in order."""

    list_shorthand = "sections"
    label: Label | None = None
    sections: list[SectionForm]


class ColumnForm(Form):
    """Where a value comes from; ``=`` computes, a number or true/false is a constant."""

    shorthand = "column"
    column: Text | None = None
    format: Text | None = None
    values: dict[str, Scalar] | None = None
    type: TYPE_WORDS | None = None
    value: Scalar | None = None

    @classmethod
    def expand(cls, item: Item) -> Item:
        """A text is a column's name, unless it computes; what is no text is a constant."""
        if isinstance(item.value, (dict, list)) or item.value is None:
            return item
        is_column = isinstance(item.value, str) and not item.value.startswith("=")
        return wrapped(item, "column" if is_column else "value")


class ImportForm(Form):
    """A mapping from a file to csflow's facts."""

    label: Label | None = None
    uses: Text | None = None
    with_: dict[str, Anything] | None = Field(None, alias="with")
    into: Text
    key: Words | None = None
    columns: dict[str, ColumnForm] | None = None
    ignore: Words | None = None
    every: Length | None = None
    at_least: Scalar | None = None
    on_duplicate: Literal["sum", "last", "first"] | None = None
    max_missing: Scalar | None = None
    replaces: Literal["none"] | None = None


class StepForm(Form):
    """One step of a scenario."""

    label: Label | None = None
    at: Text | None = None
    travel: Length | None = None
    set: dict[str, Anything] | None = None
    activity: Anything | None = None
    open: Anything | None = None
    trigger: Anything | None = None
    expect: dict[str, Anything] | None = None


class TestForm(Form):
    """A scenario: what is given, what happens, what is expected."""

    label: Label | None = None
    given: dict[str, Anything] | None = None
    steps: list[StepForm]


class Quiet(Form):
    """When no message leaves."""

    shorthand = "daily"
    daily: Text | None = None
    weekly: Words | None = None
    budget: Annotated[int, Field(ge=1)] | None = None


class PlanForm(Form):
    """What a change of the definitions may do at most."""

    fail_if: Words | None = None


class Sections(Form):
    """The sections that any file may hold."""

    vars: dict[str, Scalar] | None = None
    fields: dict[Literal["customer", "contract", "contact", "person", "organisation"], dict[str, FieldForm]] | None = (
        None
    )
    metrics: dict[str, MetricForm] | None = None
    roles: dict[str, RoleForm] | None = None
    people: dict[str, PersonForm] | None = None
    calendars: dict[str, CalendarForm] | None = None
    activities: dict[str, ActivityForm] | None = None
    messages: dict[str, MessageForm] | None = None
    goals: dict[str, GoalForm] | None = None
    retention: dict[str, RetentionForm] | None = None
    reports: dict[str, ReportForm] | None = None
    imports: dict[str, ImportForm] | None = None
    tests: dict[str, TestForm] | None = None


class ProjectForm(Sections):
    """The project file."""

    csflow: Literal[1]
    name: Text
    label: Label | None = None
    extends: Words | None = None
    languages: Words | None = None
    currency: Text | None = None
    zone: Text | None = None
    calendar: Text | None = None
    year_starts: Annotated[int, Field(ge=1, le=12)] | None = None
    quiet: Quiet | None = None
    plan: PlanForm | None = None
    database: Text | None = None
    plugins_off: Words | None = None


class MergedForm(ProjectForm):
    """A whole project after its layers were merged.

    ``spoken``: the ``languages:`` of all layers; ``inherited``: the tests that the project has from what it extends.
    """

    flows: dict[str, FlowForm] | None = None
    spoken: list[str] | None = None
    inherited: list[str] | None = None
