"""What is checked but not built: goals, retention, reports, imports, scenario tests, and circles of metrics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from csflow.flow.building_effects import SUBJECT_KINDS, check_trigger
from csflow.flow.calendars import WEEKDAYS, weekdays
from csflow.flow.checks_reading import check_reading
from csflow.flow.names import LANGUAGE, RETENTION, nearest
from csflow.flow.sites import Path, Site, Tree, listed, section
from csflow.flow.types import WORDS, Type
from csflow.values import day, parse_length, parse_money, parse_share

if TYPE_CHECKING:
    from csflow.flow.definition import Definition

IMPORTED = ("feature", "usage", "activity", "answer", "rate", "trigger", "case")
CURRENCY = re.compile("[A-Z]{3}")
_HOUR = "([01]?[0-9]|2[0-3])"
_CLOCK_SPAN = re.compile(f"{_HOUR}:[0-5][0-9] ?[-–] ?({_HOUR}:[0-5][0-9]|24:00)")
_CLOCK = re.compile("([0-9]+):([0-9]+)")
_MINUTES = 24 * 60  # of a day
_DATABASE = re.compile(r"(sqlite|postgres|postgresql)(\+[a-z0-9_]+)?://.*", re.DOTALL)
_WEEKDAYS = re.compile(r"(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))?")
_LIMIT = re.compile(r"[a-z_]+ *(>=|>) *[0-9]+(\.[0-9]+)?%?")
_COLLECTED = frozenset({"tasks", "messages", "refused", "unknown"})


def check_project(site: Site, definition: Definition) -> None:
    """Note what is wrong with the parts that later verbs read from the tree."""
    _check_settings(site)
    _check_circles(site, definition)
    for name, content in section(site.tree, "retention"):
        site.name(("retention", name), name, "retention definition")
        if content.get("window") is not None:
            site.parsed(("retention", name, "window"), parse_length, content["window"])
    _check_goals(site, definition)
    for name, report in section(site.tree, "reports"):
        for place, content in enumerate(report.get("sections") or ()):
            _check_section(site, ("reports", name, "sections", place), content, definition)
    for name, content in section(site.tree, "imports"):
        _check_import(site, ("imports", name), content)
    inherited = listed(site.tree.get("inherited"))
    for name, content in section(site.tree, "tests"):
        before = len(site.found)
        _Scenario(site, ("tests", name)).check(content)
        if name in inherited:
            _soften(site, name, before)


def _soften(site: Site, name: str, before: int) -> None:
    """One warning of all that is wrong with a test from what is extended: the project changed what it speaks of."""
    found = [one for one in site.found[before:] if not one.warning]
    del site.found[before:]
    site.errors -= len(found)
    for one in found[:1]:
        message = f"test '{name}' of what this extends does not fit any more, null removes it: {one.message}"
        site.wrong(one.path, message, offset=one.offset, on_key=one.on_key, warning=True)


def _check_settings(site: Site) -> None:
    for place, language in enumerate(listed(site.tree.get("languages"))):
        if not LANGUAGE.match(language):
            site.wrong(("languages", place), f"'{language}' is not a language: write it as en, zh or pt-BR")
    _check_quiet(site, site.tree.get("quiet") or {})
    for place, text in enumerate(listed((site.tree.get("plan") or {}).get("fail_if"))):
        if not _LIMIT.fullmatch(text):
            site.wrong(("plan", "fail_if", place), f"'{text}' is not a limit: write amount_moved > 5%")
    database = site.tree.get("database")
    if database and not _DATABASE.fullmatch(database):  # not shown: a password may stand in it
        message = "not the address of a database: write sqlite:///FILE or postgresql://USER@HOST/NAME"
        site.wrong(("database",), message)
    currency = site.tree.get("currency")
    if currency and not CURRENCY.fullmatch(currency):
        site.wrong(("currency",), f"'{currency}' is not a currency: write its three letters, such as EUR")


def _check_quiet(site: Site, quiet: Tree) -> None:
    """Note what is no span or day, and a quiet that never begins or never ends."""
    daily, days = quiet.get("daily"), set[int]()
    if daily is not None and not _CLOCK_SPAN.fullmatch(daily):
        site.wrong(("quiet", "daily"), f"'{daily}' is not a time of day from 00:00 to 23:59: write \"21:00-08:00\"")
    elif daily is not None:
        begin, end = (int(hour) * 60 + int(minute) for hour, minute in _CLOCK.findall(daily))
        if begin == end:
            site.wrong(("quiet", "daily"), f"'{daily}' begins when it ends, so it is never quiet: take it out")
        elif end - begin == _MINUTES:
            site.wrong(("quiet", "daily"), f"'{daily}' is the whole day, every day: no message would ever leave")
    for place, text in enumerate(listed(quiet.get("weekly"))):
        if not _WEEKDAYS.fullmatch(text):
            site.wrong(("quiet", "weekly", place), f"'{text}' is no weekday: write sat, or sat-sun")
        else:
            days |= {*weekdays(text)}
            if len(days) == len(WEEKDAYS):
                site.wrong(("quiet", "weekly", place), "this makes every day quiet: no message would ever leave")
                break


def _check_circles(site: Site, definition: Definition) -> None:
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            circle = " → ".join((*trail[trail.index(name) :], name))
            site.wrong(("metrics", name), f"metrics are computed from each other in a circle: {circle}", on_key=True)
        elif name not in done and len(trail) < 200:
            for other in definition.metrics[name].reads:
                visit(other, (*trail, name))
            done.add(name)

    for name in definition.metrics:
        visit(name, ())


def _check_goals(site: Site, definition: Definition) -> None:
    goals = site.tree.get("goals") or {}
    for name, goal in goals.items():
        path: Path = ("goals", name)
        if goal.get("serves") is not None and site.chosen((*path, "serves"), goal["serves"], goals, "goal"):
            _check_tree_of_goals(site, path, name, goals)
        if goal.get("metric") is not None:
            kind = _figure(site, (*path, "metric"), goal["metric"], definition)
            if kind is not None and goal.get("target") is not None:
                site.value((*path, "target"), goal["target"], kind)
        elif goal.get("target") is not None:
            site.wrong((*path, "target"), "a target needs a metric:", on_key=True)
        _check_by(site, path, goal)


def _check_tree_of_goals(site: Site, path: Path, name: str, goals: dict[str, Tree]) -> None:
    trail = [name]
    above = goals[name].get("serves")
    while above in goals and above not in trail and len(trail) < 100:
        trail.append(above)
        above = goals[above].get("serves")
    if above == name:
        site.wrong((*path, "serves"), f"goals serve each other in a circle: {' → '.join([*trail, name])}")


def _figure(site: Site, path: Path, name: str, definition: Definition) -> Type | None:
    """The type of a metric, of a fact or of a figure of a retention definition; noted where there is none."""
    head, _, rest = name.partition(".")
    if head in site.names.retentions and rest in RETENTION:
        plain = {"opening", "closing", "new", "expansion", "contraction", "churn", "reactivation"}
        # A retention may be above 100 %, so a target is a number or a share there.
        return Type("money") if rest in plain else Type("number" if rest == "quick_ratio" else "any share")
    if name in definition.metrics:
        kind = definition.metrics[name].type
        return Type("any share") if kind.name in {"number", "share"} else kind
    words = [*definition.metrics, *(f"{r}.{figure}" for r in site.names.retentions for figure in RETENTION)]
    site.chosen(path, name, words, "metric")
    return None


def _check_by(site: Site, path: Path, content: Tree) -> None:
    roles = site.tree.get("roles") or {}
    for place, name in enumerate(listed(content.get("by"))):
        at = (*path, "by", place)
        if name in roles:
            continue
        if "." not in name:
            site.chosen(at, name, roles, "role")
            continue
        made = site.expression(at, name, subject="contract" if name.startswith("contract.") else "customer")
        if made is not None and made.type.name not in {*WORDS, "boolean", "?"}:
            site.wrong(at, f"by: takes words; '{name}' is a {made.type}: cut it into bands first")


def _check_section(site: Site, path: Path, content: Tree, definition: Definition) -> None:
    for place, name in enumerate(listed(content.get("show"))):
        _figure(site, (*path, "show", place), name, definition)
    _check_by(site, path, content)
    if content.get("when") is not None:
        site.guard((*path, "when"), content["when"], subject="customer", flow=None)
    if content.get("uses") is not None and content["uses"] not in site.provided:
        site.wrong((*path, "uses"), f"nothing provides '{content['uses']}', so this section stays empty", warning=True)
    site.labels((*path, "label"), content.get("label"))


def _check_import(site: Site, path: Path, content: Tree) -> None:
    into = content["into"]
    kinds = [*SUBJECT_KINDS, *IMPORTED, *site.names.flows]
    site.chosen((*path, "into"), into, kinds, "kind of fact")
    columns = content.get("columns") or {}
    for place, key in enumerate(listed(content.get("key"))):
        if columns:
            site.chosen((*path, "key", place), key, columns, "column")
    site.pause((*path, "every"), content.get("every"), dates=True)
    for share in ("at_least", "max_missing"):
        if content.get(share) is not None:
            site.parsed((*path, share), parse_share, content[share])
    check_reading(site, path, content)
    if into in site.importables and content.get("columns") is not None:
        _check_columns(site, (*path, "columns"), into, columns)
    fields = site.names.fields.get(into, {})
    for name, column in columns.items():
        if name in fields and fields[name][0].choices:
            for word, value in (column.get("values") or {}).items():
                site.value((*path, "columns", name, "values", word), value, fields[name][0])


def _check_columns(site: Site, path: Path, into: str, columns: Tree) -> None:
    """Every column is one that such a row has, and none that it must have is missing: so the import finds it, too."""
    info = site.importables[into]
    known = [*info.columns, *site.names.fields.get(info.fields or "", {})]
    if into in {"trigger", "case"}:  # rows about flows fill their fields
        flow = (columns.get("flow") or {}).get("value")
        about = [site.names.flows[flow]] if flow in site.names.flows else site.names.flows.values()
        known += [word for one in about for word in one.fields]
    for name in columns:
        if name not in known:
            site.wrong((*path, name), f"{into} has no '{name}'{nearest(name, known)}", on_key=True)
    for group in info.needs:
        if not set(group) & set(columns):
            site.wrong(path, f"{' or '.join(map(repr, group))} is missing: without, no row can come in", on_key=True)


class _Scenario:
    """Checks one scenario test: every name a fact, every value one that the fact can have."""

    def __init__(self, site: Site, path: Path) -> None:
        self.site, self.path = site, path

    def check(self, content: Tree) -> None:
        self._facts((*self.path, "given"), content.get("given") or {})
        for place, step in enumerate(content.get("steps") or ()):
            at = (*self.path, "steps", place)
            if step.get("at") is not None:
                self.site.parsed((*at, "at"), day, step["at"])
            if step.get("travel") is not None:
                self.site.parsed((*at, "travel"), parse_length, step["travel"])
            self._facts((*at, "set"), step.get("set") or {})
            self._facts((*at, "expect"), step.get("expect") or {})
            self._said(at, step)

    def _said(self, path: Path, step: Tree) -> None:
        flows = self.site.tree.get("flows") or {}
        trigger = step.get("trigger")
        if isinstance(trigger, dict):
            for flow, word in trigger.items():
                at = (*path, "trigger", flow)
                if self.site.chosen(at, flow, flows, "flow", on_key=True):
                    check_trigger(self.site, at, flow, word)
        for flow in listed(list(step["open"]) if isinstance(step.get("open"), dict) else step.get("open")):
            self.site.chosen((*path, "open"), flow, flows, "flow")
        activity = step.get("activity")
        for kind in listed(list(activity) if isinstance(activity, dict) else activity):
            self.site.chosen((*path, "activity"), kind, self.site.names.activities, "activity")

    def _facts(self, path: Path, written: dict[str, Any]) -> None:
        for name, value in written.items():
            at = (*path, name)
            if name == "today":
                self.site.parsed(at, day, value)
            elif name in SUBJECT_KINDS:
                self._subject(at, name, value)
            elif name not in _COLLECTED:
                self._fact(at, name, value)

    def _subject(self, path: Path, kind: str, written: Any) -> None:
        several = isinstance(written, list)
        for place, one in enumerate(written if several else [written]):
            if not isinstance(one, dict):
                self.site.wrong(path, f"{kind}: holds its facts: {{id: …}}")
                continue
            for name, value in one.items():
                at = (*path, place, name) if several else (*path, name)
                self._fact(at, f"{kind}.{name}", value, subject=kind)

    def _fact(self, path: Path, name: str, value: Any, *, subject: str = "customer") -> None:
        fact = self.site.fact(path, name, subject=subject)
        if fact is None or value in ("unknown", None):
            return
        if fact.type.choices and str(value) not in fact.type.choices and not isinstance(value, list):
            self.site.wrong(path, f"'{fact.name}' is never '{value}'{nearest(str(value), fact.type.choices)}")
        elif fact.type.name == "money":  # a contract may well be in another currency than the project
            self.site.parsed(path, lambda text: parse_money(text, "EUR"), str(value))
        elif fact.type.name in {"boolean", "number", "share", "date"}:
            self.site.value(path, value, fact.type)
