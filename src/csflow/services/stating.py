"""What people write for a field (`80000 CNY`, `80%`, `yes`), as the store holds it; and the way back, for showing."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from csflow.errors import UsageError
from csflow.flow.types import WORDS, Type
from csflow.services.importing_values import Reading, bounded, converter
from csflow.services.meaning import find_subject, near, near_key
from csflow.services.views import View, present
from csflow.store import tables as t
from csflow.values import minor_digits, parse_money, to_minor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from csflow.flow.definition import Definition, Field

Stored = tuple[float | None, str | None]  # number, text


def field_of(fields: Mapping[str, Field], name: str, owner: str) -> Field:
    """The declared field of that name; UsageError with the nearest one."""
    found = fields.get(name)
    if found is None:
        hint = near(name, fields) or f": it has {', '.join(fields) or 'none'}"
        raise UsageError(f"{owner} has no field '{name}'{hint}")
    return found


def stored_fields(
    connection: Connection, view: View, *, fields: Mapping[str, Field], said: Mapping[str, str], owner: str
) -> dict[str, Stored]:
    """Every value said, in stored form; an empty one makes the field unknown. UsageError names the field."""
    return {
        name: stored(connection, view, kind=field_of(fields, name, owner).type, name=f"{owner}.{name}", text=text)
        for name, text in said.items()
    }


def stored(connection: Connection, view: View, *, kind: Type, name: str, text: str) -> Stored:
    """One value in stored form; UsageError says what it should look like."""
    if not text:
        return None, None
    if kind.name == "money":
        return float(_money(text, name, view)), None
    if kind.name == "person":
        return None, known_person(connection, view.definition, text)
    if kind.name == "contact":
        return None, find_subject(connection, text, "contact").key
    try:
        value = converter(kind, Reading(), view.zone, view.definition.currency)(text)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
    if value is None:
        return None, None
    return (None, str(value)) if kind.name in WORDS else (float(value), None)


def _money(text: str, name: str, view: View) -> int:
    """An amount in the project's currency, another one at the rate of the day."""
    own = view.definition.currency
    try:
        amount = parse_money(text, own)
        if amount.currency == own:
            return bounded(amount.minor, own)
        rate = view.moment.rates.get(amount.currency)
        if rate is None:
            raise UsageError(f"{name}: no rate for {amount.currency} is known: import rates, or write it in {own}")
        whole = Decimal(amount.minor).scaleb(-minor_digits(amount.currency))
        return bounded(to_minor(whole * Decimal(str(rate)), own), own)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


def known_person(connection: Connection, definition: Definition, key: str) -> str:
    """The id of a colleague, of `people:` or imported; UsageError with the nearest one."""
    if key in definition.people:
        return key
    if connection.execute(select(t.person.c.id).where(t.person.c.key == key)).first() is None:
        raise UsageError(f"no person '{key}'{near(key, definition.people) or near_key(connection, t.person, key)}")
    return key


def plain(value: Stored) -> float | str | None:
    """A stored value as one thing, for those who know its type."""
    return value[0] if value[1] is None else value[1]


def shown(value: Any, kind: Type, view: View) -> Any:
    """A stored value for people and JSON; several choices are a list."""
    if kind.name == "choices" and isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return present(value, kind, view)
