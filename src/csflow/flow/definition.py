"""What a project says, as plain immutable data: the result of loading, the input of everything else.

Names are the ids of the YAML; mappings keep its order. Expressions are compiled (`expressions.Expression`), dates to
come are `due.Due`. Nothing here knows YAML, positions or a database.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from csflow.flow.records import record

if TYPE_CHECKING:
    from csflow.flow.calendars import Calendar
    from csflow.flow.due import Due
    from csflow.flow.expressions import Expression
    from csflow.flow.types import Fact, Type
    from csflow.values import Length

Label = dict[str, str]  # language → text; {"": text} for one text in no language


@record
class Field:
    """A declared field: people or imports fill it; ``value`` is what csflow fills itself (form fields of a flow)."""

    name: str
    type: Type
    label: Label = field(default_factory=dict)
    fresh: Length | None = None  # unknown when stated longer ago
    warn: Length | None = None
    value: Expression | None = None
    choice_labels: dict[str, Label] = field(default_factory=dict)


@record
class Metric:
    """A measured fact. Exactly one of ``expression`` (value, bands, choose, weights) and ``uses`` is set."""

    name: str
    subject: str  # customer contract contact person organisation book
    type: Type
    expression: Expression | None = None
    uses: str | None = None
    options: dict[str, Any] = field(default_factory=dict)  # `with:`, lengths and shares still as text
    label: Label = field(default_factory=dict)
    fresh: Length | None = None
    better: str = "higher"
    reads: tuple[str, ...] = ()  # names of metrics it needs, for the order of measuring
    facts: tuple[Fact, ...] = ()  # what a plugin is given beside the ids: `with: {reads: [contact.post]}`


@record
class Effect:
    """One thing that happens: ``verb`` task|notify|open|set|trigger|uses, ``target`` its main value.

    ``place`` is its address in the flow (``stages.solve.overdue.1``); ``values`` are the ``with:``/``set:`` entries,
    each a constant or an Expression; ``offset`` shifts an overdue effect (negative = before the due time).
    """

    verb: str
    target: str
    place: str
    values: dict[str, Any] = field(default_factory=dict)
    role: str | None = None  # for:
    label: Label = field(default_factory=dict)
    message: str | None = None
    via: str | None = None
    due: Due | None = None
    when: Expression | None = None
    every: Length | None = None
    offset: Length | None = None
    before: bool = False
    flow: str | None = None  # trigger, open: the flow that is spoken to


@record
class Deadline:
    """``name`` is the stage's or milestone's address (``stages.growth``, ``stages.growth.milestones.x``, ``flow``)."""

    name: str
    due: Due
    stops_while: Expression | None = None
    overdue: tuple[Effect, ...] = ()


@record
class Milestone:
    """A named achievement of a stage (once per stay) or of the flow (once per case)."""

    name: str
    when: Expression | None = None
    trigger: str | None = None
    optional: bool = False
    label: Label = field(default_factory=dict)
    deadline: Deadline | None = None
    do: tuple[Effect, ...] = ()


@record
class Transition:
    """One way from ``source`` to ``target`` (``back`` = the stage it came from).

    ``guard`` is everything that must hold, and-ed: ``when``, the target stage's ``enter``, that every field of
    ``asks`` is known. ``place`` is its address (``stages.a.transitions.b.0`` or ``transitions.b.0``).
    """

    source: str
    target: str
    place: str
    guard: Expression | None = None
    when: Expression | None = None
    trigger: str | None = None
    only: tuple[str, ...] = ()
    approve: str | None = None
    asks: tuple[str, ...] = ()
    do: tuple[Effect, ...] = ()


@record
class Stage:
    """A stage in its place; ``transitions`` are all ways out of it, its own first, then the flow's, as written."""

    name: str
    label: Label = field(default_factory=dict)
    end: str | None = None  # good bad neutral
    responsible: str | None = None
    enter: Expression | None = None
    deadline: Deadline | None = None
    milestones: dict[str, Milestone] = field(default_factory=dict)
    transitions: tuple[Transition, ...] = ()
    do: tuple[Effect, ...] = ()
    stops: bool = False  # the flow's stops_while holds here


@record
class Opening:
    """A rule that opens cases: ``when`` a guard, ``trigger`` a word, ``every`` a period (``1 month``)."""

    place: str  # opens.0
    when: Expression | None = None
    trigger: str | None = None
    every: Length | None = None
    only: tuple[str, ...] = ()
    to: str | None = None
    values: dict[str, Any] = field(default_factory=dict)  # with: constants or Expressions


@record
class Flow:
    """One flow, overlays already merged. ``base`` is the flow it is a variant of (itself when none)."""

    name: str
    subject: str
    label: Label
    fields: dict[str, Field]
    stages: dict[str, Stage]
    first: str
    opens: tuple[Opening, ...] = ()
    one_per: str = ""  # "" one open case per subject | "case.id" no limit | "case.F" a field | any other expression
    one_per_key: Expression | None = None  # compiled when it is neither of the first three
    again: Length | None = None
    clock: Expression | None = None
    responsible: str | None = None
    base: str = ""
    milestones: dict[str, Milestone] = field(default_factory=dict)
    deadline: Deadline | None = None
    overdue: tuple[Effect, ...] = ()
    do: tuple[Effect, ...] = ()
    mirrors: str | None = None
    renamed: dict[str, str] = field(default_factory=dict)  # old stage → new stage (renamed_from)
    migrate: dict[str, dict[str, str]] = field(default_factory=dict)  # dropped stage → {to, clock}
    dates: dict[str, Expression] = field(default_factory=dict)  # facts that deadlines hang on, by name


@record
class Role:
    """A post. ``assign`` is one way or, with ``by`` (an expression's text), a way for each word."""

    name: str
    label: Label = field(default_factory=dict)
    by: Expression | None = None
    assign: dict[str, str] = field(default_factory=dict)  # "" for the only way
    leads: str | None = None
    capacity: float | None = None


@record
class Person:
    """A colleague, as `people:` says; ``id`` is what `--by` and history name."""

    id: str
    roles: tuple[str, ...] = ()
    label: Label = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


Template = dict[str, tuple[Any, ...]]  # language → (text | Expression, …)


@record
class Message:
    """A template; holes are expressions in braces. ``title`` and ``text`` by language, cut into literals and holes.

    ``by_use``: title and text as each flow that sends it reads them, by (kind of subject, flow).
    """

    name: str
    title: Template = field(default_factory=dict)
    text: Template = field(default_factory=dict)
    via: str | None = None
    by_use: dict[tuple[str, str | None], tuple[Template, Template]] = field(default_factory=dict)


@record
class Definition:
    """A whole project. ``hash`` is the sha256 of its meaning (merged, shorthands expanded, positions left out)."""

    name: str
    hash: str
    zone: str
    currency: str
    languages: tuple[str, ...]
    year_starts: int
    calendar: str | None
    calendars: dict[str, Calendar]
    vars: dict[str, Any]
    fields: dict[str, dict[str, Field]]  # subject kind → name → field
    metrics: dict[str, Metric]
    flows: dict[str, Flow]
    roles: dict[str, Role]
    people: dict[str, Person]
    activities: dict[str, dict[str, Any]]
    messages: dict[str, Message]
    imports: dict[str, dict[str, Any]]  # as written, shorthands expanded
    tree: dict[str, Any]  # the merged plain tree: goals, retention, reports, tests, plan, quiet …
    conditions: dict[str, Any] = field(default_factory=dict)  # key → Condition that has_been/first_time keep watch on
    label: Label = field(default_factory=dict)
