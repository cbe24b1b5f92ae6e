"""Roles, people, calendars and messages: who does it, when they work, what they are told."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from csflow.flow.calendars import Calendar, parse_hours
from csflow.flow.definition import Message, Person, Role
from csflow.flow.names import nearest
from csflow.flow.sites import Path, Site, Tree, listed, section
from csflow.values import Day, Zone, day

if TYPE_CHECKING:
    from csflow.flow.expressions import Expression

WAYS = ("by_hand", "least_customers", "least_amount", "round_robin", "pool", "none")
MAX_USES = 100  # flows that send one message
_HOLE = re.compile(r"\{([^{}]*)\}")
_BRACE = re.compile(r"[{}]")


def build_roles(site: Site) -> dict[str, Role]:
    """Every role, with the way it is filled."""
    roles = {name: _role(site, ("roles", name), name, content or {}) for name, content in section(site.tree, "roles")}
    _circles(site, "assign", {name: role.assign.get("") for name, role in roles.items()}, "roles are filled like")
    _circles(site, "leads", {name: role.leads for name, role in roles.items()}, "roles lead")
    return roles


def _circles(site: Site, key: str, onward: dict[str, str | None], what: str) -> None:
    """Note, once each, the circles that roles make which name another role under ``key``."""
    done: set[str] = set()
    for begin in onward:
        trail: list[str] = []
        name: str | None = begin
        while name in onward and name not in done:
            done.add(name)
            trail.append(name)
            name = onward[name]
        if name in trail:
            circle = " → ".join([*trail[trail.index(name) :], name])
            site.wrong(("roles", name, key), f"{what} each other in a circle: {circle}")


def _role(site: Site, path: Path, name: str, content: Tree) -> Role:
    site.name(path, name, "role")
    roles = site.tree.get("roles") or {}
    by = content.get("by")
    made = site.expression((*path, "by"), by, subject="customer") if by is not None else None
    if made is not None and made.type.name not in {"choice", "?"}:
        site.wrong((*path, "by"), f"by: takes a fact that is a word; this is a {made.type}")
    if content.get("leads") is not None:
        site.chosen((*path, "leads"), content["leads"], roles, "role")
    return Role(
        name=name,
        label=site.labels((*path, "label"), content.get("label")),
        by=made,
        assign=_assign(site, (*path, "assign"), content, made),
        leads=content.get("leads"),
        capacity=content.get("capacity"),
    )


def _assign(site: Site, path: Path, content: Tree, by: Expression | None) -> dict[str, str]:
    written, known = content.get("assign"), [*WAYS, *(site.tree.get("roles") or {})]
    if written is None:
        return {}
    if isinstance(written, dict) != (content.get("by") is not None):
        site.wrong(path, "assign: is one way – or, with by:, a mapping of a way for each word")
        return {}
    if not isinstance(written, dict):
        site.chosen(path, written, known, "way to assign, or role,")
        return {"": str(written)}
    for word, way in written.items():
        if by is not None and by.type.choices:
            site.chosen((*path, word), word, by.type.choices, "word", on_key=True)
        site.chosen((*path, word), way, known, "way to assign, or role,")
    return {word: str(way) for word, way in written.items()}


def build_people(site: Site) -> dict[str, Person]:
    """Every colleague that the project names."""
    people = {}
    for name, content in section(site.tree, "people"):
        path: Path = ("people", name)
        if name in (site.tree.get("roles") or {}):
            message = f"'{name}' is a role already, and what is meant for it would go to this person: take another id"
            site.wrong(path, message, on_key=True)
        for place, role in enumerate(listed(content.get("roles"))):
            site.chosen((*path, "roles", place), role, site.tree.get("roles") or {}, "role")
        for way in content.get("address") or {}:  # a number to call is no mistake; a misspelt way is
            near = nearest(way, site.provided) if way not in site.provided else ""
            if near:
                message = f"nothing provides '{way}', so no message goes to this address{near}"
                site.wrong((*path, "address", way), message, on_key=True, warning=True)
        extra = {key: value for key, value in content.items() if key not in {"roles", "label"}}
        label = site.labels((*path, "label"), content.get("label"))
        people[name] = Person(name, listed(content.get("roles")), label, extra)
    return people


def build_calendars(site: Site, zone: str) -> None:
    """Put the calendars into the site; the project's own must be one of them."""
    for name, content in section(site.tree, "calendars"):
        made = _calendar(site, ("calendars", name), name, content, zone)
        if made is not None:
            site.calendars[name] = made
    own = site.tree.get("calendar")
    if own is not None:
        site.chosen(("calendar",), own, site.tree.get("calendars") or {}, "calendar")


def _calendar(site: Site, path: Path, name: str, content: Tree, zone: str) -> Calendar | None:
    place = site.parsed((*path, "zone"), Zone, content.get("zone") or zone)
    days = {key: _days(site, (*path, key), content.get(key)) for key in ("closed_on", "open_on")}
    holidays = content.get("holidays")
    if isinstance(holidays, str):
        way = "write a country (DE) or a part of one (DE-BY)" if find_spec("holidays") else "install csflow[calendar]"
        message = f"the holidays of '{holidays}' are not known here: {way}, or list the days"
        site.wrong((*path, "holidays"), message, warning=True)
        holidays = None
    try:
        hours = parse_hours(content.get("hours") or {})
        if place is None:
            return None
        return Calendar(
            name, place, hours, days["closed_on"], days["open_on"], _days(site, (*path, "holidays"), holidays)
        )
    except ValueError as error:
        site.wrong((*path, "hours"), str(error))
        return None


def _days(site: Site, path: Path, written: Any) -> frozenset[Day]:
    made = (site.parsed((*path, place), day, text) for place, text in enumerate(written or ()))
    return frozenset(number for number in made if number is not None)


def build_messages(site: Site) -> dict[str, Message]:
    """Every message, its holes compiled for the flow that sends it (each one that does is checked)."""
    messages = {}
    for name, content in section(site.tree, "messages"):
        path: Path = ("messages", name)
        uses: list[tuple[str, str | None]] = [*site.message_uses.get(name, [])] or [("contact", None)]
        if len(set(uses)) > MAX_USES:
            site.wrong(path, f"more than {MAX_USES} flows send this message: give some of them another", on_key=True)
        made = {
            use: (
                _template(site, (*path, "title"), content.get("title"), use),
                _template(site, (*path, "text"), content.get("text"), use),
            )
            for use in list(dict.fromkeys(uses))[:MAX_USES]
        }
        for part in ("title", "text"):
            site.labels((*path, part), content.get(part))
        messages[name] = Message(name, *next(iter(made.values())), site.via((*path, "via"), content.get("via")), made)
    return messages


def _template(site: Site, path: Path, text: Any, use: tuple[str, str | None]) -> dict[str, tuple[Any, ...]]:
    if text is None:
        return {}
    if not isinstance(text, dict):
        return {"": _pieces(site, path, text, use)}
    return {language: _pieces(site, (*path, language), one, use) for language, one in site.in_order(text).items()}


def _pieces(site: Site, path: Path, text: str, use: tuple[str, str | None]) -> tuple[Any, ...]:
    subject, flow = use
    pieces: list[Any] = []
    end = 0
    for hole in _HOLE.finditer(text):
        pieces.append(text[end : hole.start()])
        pieces.append(_hole(site, path, hole.group(1), hole.start(1), subject, flow))
        end = hole.end()
    pieces.append(text[end:])
    stray = _BRACE.search(_HOLE.sub(lambda match: "_" * len(match[0]), text))
    if stray:
        site.wrong(
            path,
            "a brace that is not closed, or not opened: a hole has one on each side, {customer.name}",
            offset=stray.start(),
        )
    return tuple(piece for piece in pieces if piece is not None and piece != "")


def _hole(site: Site, path: Path, text: str, start: int, subject: str, flow: str | None) -> Expression | None:
    if flow is None and re.search(r"\b(case|milestones|tasks)\.", text):
        return None  # nobody sends it yet, so nobody knows which case is meant
    lead = len(text) - len(text.lstrip())
    before = len(site.found)
    made = site.expression(path, text.strip(), subject=subject, flow=flow, use="message")
    site.found[before:] = [replace(f, offset=f.offset + start + lead) for f in site.found[before:]]
    return made
