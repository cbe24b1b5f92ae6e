"""A merged, plain tree → a Definition, with every mistake found on the way.

Works on JSON-able data alone, so that a cached tree is built without YAML or pydantic. Order matters: first all names
are collected, then expressions are compiled against them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from csflow.flow.building_fields import build_fields, field_type
from csflow.flow.building_flows import build_flow
from csflow.flow.building_metrics import MetricBuilder
from csflow.flow.building_people import build_calendars, build_messages, build_people, build_roles
from csflow.flow.checks import CURRENCY, check_project
from csflow.flow.definition import Definition, Field
from csflow.flow.expressions import Expression, compile_expression
from csflow.flow.names import CASE_COLUMNS, FlowNames, Names
from csflow.flow.sites import Checks, Found, Path, Site, TooManyError, Tree, ancestors, listed, own_amount, section
from csflow.flow.types import (
    BOOLEAN,
    DATE,
    LENGTH,
    MONEY,
    NUMBER,
    SHARE,
    TEXT,
    Catalogue,
    Functions,
    Importables,
    Type,
    no_functions,
)
from csflow.values import Zone, day, parse_length, parse_share

# What a project says about where it lives and how it is tested does not change what it means.
_NOT_MEANING = frozenset({"database", "extends", "inherited", "tests"})
_MONEY = re.compile(r"-?[0-9]+(\.[0-9]+)? [A-Z]{3}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SHARE = re.compile(r"[0-9]+(\.[0-9]+)?%")
_LENGTH = re.compile(r"[0-9]+(\.[0-9]+)? [a-z ]+")


def build(
    tree: Tree,
    catalogue: Catalogue,
    *,
    provided: frozenset[str] = frozenset(),
    checks: Checks | None = None,
    functions: Callable[[], Functions] = no_functions,
    importables: Importables | None = None,
) -> tuple[Definition | None, list[Found]]:
    """The Definition of a merged tree, and what is wrong with it: with errors, the Definition is not to be used.

    None with so many errors that the rest was not looked at.
    ``provided``: the names that ``uses:`` can call; another one is a warning, and its metric is unknown. ``checks``
    say what is wrong with a ``with:``. ``functions`` gives those of plugins, when an expression calls one. Without
    ``importables`` the columns of imports are not looked at.
    """
    named = tree.get("currency") or "USD"
    currency = named if CURRENCY.fullmatch(named) else "USD"  # told once, not again for every amount
    names = Names(catalogue, currency, tree.get("year_starts") or 1, functions=functions)
    site = Site(tree, names, provided, checks or {}, importables or {})
    definition = None
    with suppress(TooManyError):
        definition = _build(site)
        check_project(site, definition)
    return definition, list(dict.fromkeys(site.found))


def compile_for(
    tree: Tree,
    catalogue: Catalogue,
    text: str,
    *,
    guard: bool,
    functions: Callable[[], Functions] = no_functions,
) -> Expression:
    """An expression about a customer that somebody writes on the spot, for the project of that merged tree.

    A guard, else a fact or anything computed. ``functions`` as for `build`. ExpressionError where it is wrong.
    """
    names = Names(catalogue, tree.get("currency") or "USD", tree.get("year_starts") or 1, functions=functions)
    site = Site(tree, names, frozenset())
    _collect_names(site, MetricBuilder(site))
    return compile_expression(text, site.names, subject="customer", expect=BOOLEAN if guard else None)


def _build(site: Site) -> Definition:
    tree, metrics = site.tree, MetricBuilder(site)
    zone = site.parsed(("zone",), lambda text: Zone(text) and text, tree.get("zone") or "UTC") or "UTC"
    fields = _collect_names(site, metrics)
    build_calendars(site, zone)
    found = {name: metrics.build(name) for name, _ in section(tree, "metrics")}
    flows = {name: build_flow(site, name) for name, _ in section(tree, "flows")}
    messages = build_messages(site)
    roles = build_roles(site)
    return Definition(
        name=str(tree.get("name", "")),
        hash=content_hash(tree, sorted(map(repr, site.names.called.values()))),
        zone=zone,
        currency=site.names.currency,
        languages=listed(tree.get("languages")),
        year_starts=site.names.year_starts,
        calendar=tree.get("calendar"),
        calendars=site.calendars,
        vars={name: value for name, (_, value) in site.names.vars.items()},
        fields=fields,
        metrics=found | site.computed,
        flows=flows,
        roles=roles,
        people=build_people(site),
        activities={name: dict(content or {}) for name, content in section(tree, "activities")},
        messages=messages,
        imports={name: dict(content) for name, content in section(tree, "imports")},
        tree=tree,
        conditions=site.conditions,
        label=site.labels(("label",), tree.get("label")),
    )


def content_hash(tree: Tree, called: Sequence[str] = ()) -> str:
    """sha256 of what the tree means: file names, positions, comments and the order of files do not count.

    ``called``: the functions of plugins, with their versions, that it calls.
    """
    meaning = {key: tree[key] for key in sorted(tree) if key not in _NOT_MEANING}
    if called:
        meaning["functions of plugins"] = list(called)
    for key, content in meaning.items():
        if isinstance(content, dict):
            meaning[key] = {name: content[name] for name in sorted(content)}
    text = json.dumps(meaning, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _collect_names(site: Site, metrics: MetricBuilder) -> dict[str, dict[str, Field]]:
    names, tree = site.names, site.tree
    for name, value in section(tree, "vars"):
        site.name(("vars", name), name, "var")
        names.vars[name] = _var(site, name, value)
    names.activities = tuple(name for name, _ in section(tree, "activities"))
    for name in names.activities:
        site.name(("activities", name), name, "activity")
    names.retentions = tuple(name for name, _ in section(tree, "retention"))
    fields: dict[str, dict[str, Field]] = {}
    for kind, content in section(tree, "fields"):
        fields[kind] = dict(build_fields(site, ("fields", kind), content))
        names.fields[kind] = {name: (field.type, _fresh_text(content[name])) for name, field in fields[kind].items()}
        for name in fields[kind]:
            if name in names.catalogue.kinds[kind].columns:
                site.wrong(
                    ("fields", kind, name), f"'{kind}.{name}' is there already, without declaring it", on_key=True
                )
    for name, flow in section(tree, "flows"):
        site.name(("flows", name, "flow"), name, "flow", on_key=False)
        names.flows[name] = _flow_names(site, name, flow)
    own = dict(names.flows)
    for name, variant in own.items():
        for base in ancestors(tree, name):
            names.flows[base] = _answering_too(names.flows[base], variant)
    metrics.collect()
    for name in names.metrics:
        _metric_name(site, name)
    return fields


def _var(site: Site, name: str, value: Any) -> tuple[Type, Any]:
    if isinstance(value, bool):
        return BOOLEAN, value
    if isinstance(value, (int, float)):
        return NUMBER, float(value)
    path: Path = ("vars", name)
    if _SHARE.fullmatch(value):
        return SHARE, site.parsed(path, parse_share, value)
    if _MONEY.fullmatch(value):
        minor = site.parsed(path, lambda text: own_amount(text, site.names.currency), value)
        return MONEY, None if minor is None else float(minor)
    if _DAY.fullmatch(value):
        return DATE, site.parsed(path, day, value)
    if _LENGTH.fullmatch(value):
        return LENGTH, site.parsed(path, parse_length, value)
    return TEXT, value


def _fresh_text(content: Any) -> str | None:
    fresh = content.get("fresh") if isinstance(content, dict) else None
    return fresh.get("unknown_after") if isinstance(fresh, dict) else None


def _flow_names(site: Site, name: str, flow: Tree) -> FlowNames:
    at: Path = ("flows", name)
    fields: dict[str, Type] = {}
    for word, written in section(flow, "fields"):
        before = len(site.found)
        fields[word] = field_type(site, (*at, "fields", word), written)[0]
        del site.found[before:]  # told when the flow is built
        if word in CASE_COLUMNS or word in {"stage", "end", "milestones"}:
            site.wrong((*at, "fields", word), f"every case has '{word}' already", on_key=True)
    milestones = [word for word, _ in section(flow, "milestones")]
    for stage, content in section(flow, "stages"):
        site.name((*at, "stages", stage), stage, "stage")
        if stage == "back":
            message = "`back` leads to the stage a case came from, so no stage can be called that"
            site.wrong((*at, "stages", stage), message, on_key=True)
        milestones += [word for word, _ in section(content, "milestones")]
    return FlowNames(
        subject=flow.get("subject") or "customer", base=[name, *ancestors(site.tree, name)][-1],
        stages=tuple(word for word, _ in section(flow, "stages")), fields=fields,
        milestones=tuple(dict.fromkeys(milestones)), clock=flow.get("clock") is not None,
    )  # fmt: skip


def _answering_too(base: FlowNames, variant: FlowNames) -> FlowNames:
    """A variant answers to its base's name as well, so that name knows the variant's stages and fields, too."""
    return FlowNames(
        base.subject,
        base.base,
        tuple(dict.fromkeys([*base.stages, *variant.stages])),
        {**variant.fields, **base.fields},
        tuple(dict.fromkeys([*base.milestones, *variant.milestones])),
        base.clock,
    )


def _metric_name(site: Site, name: str) -> None:
    path: Path = ("metrics", name)
    site.name(path, name, "metric")
    head, _, rest = name.partition(".")
    names = site.names
    if not rest:
        site.wrong(path, f"a metric's name has a dot: write 'group.{name}'", on_key=True)
        return
    kind = names.catalogue.kinds.get(head)
    live = head in {"case", "milestones", "tasks", "open", "vars", "activity", "task"}
    live = live or (kind is not None and (rest in kind.columns or rest in names.fields.get(head, {})))
    flow = names.flows.get(head)
    live = live or (flow is not None and (rest in flow.fields or rest in CASE_COLUMNS or rest in {"stage", "end"}))
    if live:
        site.wrong(path, f"'{name}' is a fact already, not measured: give the metric another name", on_key=True)


__all__ = ["build", "compile_for", "content_hash"]
