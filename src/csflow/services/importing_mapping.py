"""A mapping of `imports:` compiled against the columns of one file: for each of csflow's columns, how to fill it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import repeat
from typing import TYPE_CHECKING, Any

from csflow.errors import UsageError
from csflow.flow.formulas import compile_formula
from csflow.flow.types import BOOLEAN, DATE, NUMBER, TEXT, TIME, Type
from csflow.services.importing_values import Reading, Remembering, converter, currency_code, key, money
from csflow.store.importing_kinds import KINDS, Kind
from csflow.values import Zone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from csflow.flow.definition import Definition, Field
    from csflow.services.importing_values import Value

TYPES = {"date": DATE, "time": TIME, "number": NUMBER, "boolean": BOOLEAN, "text": TEXT}
DUPLICATES = ("sum", "last", "first")
SEPARATORS = (";", "\t", "|")  # what parts cells where a comma does not
ENTRIES = frozenset({"column", "format", "values", "type", "value"})
MAPPING_KEYS = frozenset(
    {"uses", "with", "into", "key", "columns", "every", "at_least", "on_duplicate", "ignore", "replaces", "max_missing"}
    | {"label"}
)


@dataclass(frozen=True, slots=True)
class Filling:
    """How one of csflow's columns is filled: from cells of the file (``reads`` by place), a constant, or a formula."""

    name: str
    reads: tuple[int, ...]
    convert: Callable[[str], Value]
    required: bool
    constant: str | None = None
    compute: Callable[..., str] | None = None
    field: Field | None = None

    def cells(self, columns: Sequence[Sequence[str]], rows: int) -> Iterable[str]:
        """The column's cells of a whole batch, as text."""
        if self.constant is not None:
            return repeat(self.constant, rows)
        if self.compute is not None:
            chosen = [columns[place] for place in self.reads]
            return map(self.compute, *chosen) if chosen else repeat(self.compute(), rows)
        return columns[self.reads[0]]

    def cell(self, row: Sequence[str]) -> str:
        """The column's cell of one row. ValueError when a formula cannot be computed."""
        if self.constant is not None:
            return self.constant
        if self.compute is not None:
            return self.compute(*(row[place] for place in self.reads))
        return row[self.reads[0]]


@dataclass(frozen=True, slots=True)
class Mapping:
    """An import as declared, or as a kind's own names imply (``columns`` None)."""

    name: str
    kind: Kind
    columns: dict[str, Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    on_duplicate: str | None = None
    infer_replaces: bool = True
    max_missing: float = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """A mapping made to fit one file. ``fillings`` by csflow's names; ``fields`` those of declared fields."""

    mapping: Mapping
    fillings: dict[str, Filling]
    fields: dict[str, Filling]
    currency: str
    zone: Zone


def find_mapping(definition: Definition, name: str) -> Mapping:
    """The import called ``name``, else the kind of that name (one or many). UsageError with the nearest name."""
    if name in definition.imports:
        return _declared(name, definition.imports[name])
    for kind in KINDS.values():
        if name in {kind.name, plural(kind.name)}:
            return Mapping(kind.name, kind)
    raise UsageError(_nowhere(name, definition))


def _nowhere(name: str, definition: Definition) -> str:
    """What can be imported instead: mappings hide the kinds of their names, which then have the other of their two."""
    kinds = [
        next((word for word in (plural(kind), kind) if word not in definition.imports), None)
        for kind in KINDS
    ]  # fmt: skip
    free = [word for word in kinds if word is not None]
    near = _near(name, [*definition.imports, *free, *KINDS])
    mapped = f"mappings of the project: {', '.join(definition.imports) or 'none'}"
    return f"there is no import '{name}'{near}; {mapped}; kinds, for files with csflow's own columns: {', '.join(free)}"


def plural(kind: str) -> str:
    """What a file of this kind is called."""
    return {"person": "people", "usage": "usage", "activity": "activities"}.get(kind, f"{kind}s")


def _declared(name: str, said: dict[str, Any]) -> Mapping:
    where = f"imports.{name}"
    unknown = sorted(set(said) - MAPPING_KEYS)
    if unknown:
        raise UsageError(f"{where}: no such key '{unknown[0]}'{_near(unknown[0], MAPPING_KEYS)}")
    into = str(said.get("into", ""))
    if into not in KINDS:
        raise UsageError(f"{where}: into: '{into}' is none of {', '.join(KINDS)}{_near(into, KINDS)}")
    duplicate = said.get("on_duplicate")
    if duplicate is not None and duplicate not in DUPLICATES:
        raise UsageError(f"{where}: on_duplicate is {', '.join(DUPLICATES)}, not '{duplicate}'")
    ignore = said.get("ignore") or []
    columns = said.get("columns")
    if (columns is not None and not isinstance(columns, dict)) or not isinstance(ignore, list):
        raise UsageError(f"{where}: columns are `name: column`, ignore a list of columns")
    return Mapping(
        name,
        KINDS[into],
        columns,
        dict(said.get("with") or {}),
        tuple(str(column) for column in ignore),
        duplicate,
        said.get("replaces") not in {"none", None} or "replaces" not in said,
        _share(said.get("max_missing", 0.05), where),
    )


def _share(said: Any, where: str) -> float:
    text = str(said)
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise UsageError(f"{where}: max_missing is a share such as 5%, not '{said}'") from None


def compile_plan(
    mapping: Mapping, definition: Definition, columns: Sequence[str], file: str, named: dict[str, int] | None = None
) -> Plan:
    """Fit a mapping to a file's columns. UsageError lists every column that fits nowhere or is missing, at once.

    ``named``: the line that names a column, where that is not the first.
    """
    said = mapping.columns if mapping.columns is not None else _own_names(mapping, definition, columns)
    problems: list[str] = []
    fillings: dict[str, Filling] = {}
    zone = Zone(definition.zone)
    known = _known(mapping.kind, definition, said)
    for name, entry in said.items():
        if name not in known:
            problems.append(f"{mapping.kind.name} has no '{name}'{_near(name, known)}")
            continue
        try:
            fillings[name] = _filling(
                name, entry, known[name], tuple(columns), (zone, definition.currency, mapping.kind)
            )
        except ValueError as error:
            problems.append(f"{name}: {error}")
    used = {columns[place] for filling in fillings.values() for place in filling.reads}
    left = _left_over(mapping, columns, used, known) if not problems else []
    problems += [f"{_either(group)} is missing" for group in mapping.kind.needs if not set(group) & set(said)]
    told = [f"{file}:{(named or {}).get(column, 1)}: {problem}" for column, problem in left]
    told += [f"{file}:1: {problem}" for problem in problems]
    if told:
        raise UsageError("\n".join(told))
    core = {name: filling for name, filling in fillings.items() if name in mapping.kind.columns}
    declared = {name: filling for name, filling in fillings.items() if name not in mapping.kind.columns}
    return Plan(mapping, core, declared, definition.currency, zone)


def _own_names(mapping: Mapping, definition: Definition, columns: Sequence[str]) -> dict[str, Any]:
    """Without a mapping the file's columns are csflow's own; one that is not is an error of `_left_over`."""
    known = _known(mapping.kind, definition, {})
    return {name: {"column": name} for name in columns if name in known}


def _known(kind: Kind, definition: Definition, said: dict[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = dict(kind.columns)
    declared = definition.fields.get(kind.fields, {}) if kind.fields else {}
    if kind.name in {"trigger", "case"}:
        flow = _constant(said.get("flow"))
        chosen = [definition.flows[flow]] if flow in definition.flows else list(definition.flows.values())
        declared = {name: one for each in reversed(chosen) for name, one in each.fields.items()}
        known |= _known_words(kind, definition, flow)
    if kind.name == "activity" and definition.activities:
        known["kind"] = Type("choice", tuple(definition.activities))  # another one, no guard could ever read
    return {**declared, **known}


def _known_words(kind: Kind, definition: Definition, flow: str) -> dict[str, Any]:
    """The columns whose words the flows declare: a row with another word is refused."""
    if not definition.flows:
        return {}
    known: dict[str, Any] = {"flow": Type("choice", tuple(definition.flows))}
    if kind.name == "case" and flow in definition.flows:
        known["stage"] = Type("choice", tuple(definition.flows[flow].stages))
    if kind.name == "trigger":
        known["name"] = Type("choice", heard_words(definition))
    return known


def heard_words(definition: Definition) -> tuple[str, ...]:
    """Every trigger that some flow listens to."""
    words: dict[str, None] = {}
    for flow in definition.flows.values():
        for stage in flow.stages.values():
            words |= {way.trigger: None for way in stage.transitions if way.trigger}
            words |= {one.trigger: None for one in stage.milestones.values() if one.trigger}
        words |= {one.trigger: None for one in flow.milestones.values() if one.trigger}
        words |= {one.trigger: None for one in flow.opens if one.trigger}
    return tuple(words)


def _constant(entry: Any) -> str:
    """The text of a column that is the same in every row, "" when it is not."""
    said = entry.get("value") if isinstance(entry, dict) else entry
    if isinstance(said, str) and said.startswith("="):
        try:
            formula = compile_formula(said[1:], ())
        except ValueError:
            return ""
        return formula.compute()
    return str(said) if isinstance(entry, dict) and "value" in entry else ""


def _filling(name: str, entry: Any, kind: Any, columns: tuple[str, ...], context: tuple[Zone, str, Kind]) -> Filling:
    zone, currency, into = context
    said = entry if isinstance(entry, dict) else {"column": entry} if isinstance(entry, str) else {"value": entry}
    unknown = sorted(set(said) - ENTRIES)
    if unknown:
        raise ValueError(f"no such key '{unknown[0]}'{_near(unknown[0], ENTRIES)}")
    declared = kind if not isinstance(kind, (str, Type)) else None
    value = said.get("value")
    formula = isinstance(value, str) and value.startswith("=")  # so the loader expands `amount: =a * b`
    column = str(value if formula else said.get("column", name))
    constant = "value" in said and not formula
    computed = not constant and column.startswith("=")
    reading = Reading(said.get("format"), _words(said.get("values")), computed)
    required = name == "id" or any(group == (name,) for group in into.needs)
    convert = (
        key if name == "id" and not reading.words else _converter(kind, said.get("type"), reading, (zone, currency))
    )
    if constant:
        return Filling(name, (), convert, required, constant=_spelled(value), field=declared)
    if computed:
        work = compile_formula(column[1:], columns)
        places = tuple(columns.index(one) for one in work.columns)
        return Filling(name, places, convert, required, compute=work.compute, field=declared)
    if column not in columns:
        raise ValueError(f"the file has no column '{column}'{_near(column, columns)}")
    return Filling(name, (columns.index(column),), convert, required, field=declared)


def _converter(kind: Any, stated: Any, reading: Reading, place: tuple[Zone, str]) -> Callable[[str], Value]:
    zone, currency = place
    if stated is not None and str(stated) not in TYPES | {"share": 0, "money": 0}:
        raise ValueError(f"type is one of {', '.join([*TYPES, 'share', 'money'])}, not '{stated}'")
    if kind == "key":
        words = reading.words or {}
        return Remembering(lambda cell: key(words.get(cell.strip(), cell))).__getitem__
    if kind == "currency":
        return Remembering(lambda cell: currency_code((reading.words or {}).get(cell.strip(), cell))).__getitem__
    if kind == "amount":  # needs the row's currency: see `amounts`
        return converter(TEXT, reading, zone, currency)
    if isinstance(kind, str):
        kind = TYPES[kind]
    wanted = kind if isinstance(kind, Type) else kind.type
    return Remembering(converter(wanted, reading, zone, currency)).__getitem__


def amounts(cells: Iterable[Value], currencies: Iterable[Value], default: str, *, computed: bool) -> list[Value]:
    """Amounts in minor units, each of its row's currency. ValueError names the first that is none."""
    return [
        None if cell is None else money(str(cell), str(currency or default), computed=computed)
        for cell, currency in zip(cells, currencies, strict=False)
    ]


def _words(said: Any) -> dict[str, str] | None:
    if said is None:
        return None
    if not isinstance(said, dict):
        raise ValueError("values are `{cell: word}`")  # noqa: TRY004 - told with the mapping's other mistakes
    return {_spelled(cell): _spelled(word) for cell, word in said.items()} | {
        str(cell): _spelled(word) for cell, word in said.items()
    }


def _spelled(value: Any) -> str:
    """A YAML scalar as a cell: true is `true`."""
    return "" if value is None else json.dumps(value) if isinstance(value, bool) else str(value)


def _left_over(
    mapping: Mapping, columns: Sequence[str], used: set[str], known: dict[str, Any]
) -> list[tuple[str, str]]:
    """The columns that nothing reads, each with what to say of it."""
    if "*" in mapping.ignore:
        return []
    left = [column for column in columns if column not in used and column not in mapping.ignore]
    if len(columns) == 1 and (sign := next((one for one in SEPARATORS if one in columns[0]), None)):
        way = "say `with: {delimiter: " + json.dumps(sign) + "}` in its mapping"
        return [(columns[0], f"one column only, '{columns[0]}': if its cells are parted by {json.dumps(sign)}, {way}")]
    own = f"; a file of {plural(mapping.kind.name)} has {', '.join(known)}" if mapping.columns is None else ""
    way = f"give it a place under columns, or list it under ignore{own}"
    near = {column: "" if column in known else _near(column, known) for column in left}
    return [(column, f"nothing reads column '{column}'{near[column]}: {way}") for column in left]


def _either(group: tuple[str, ...]) -> str:
    return " or ".join(f"'{name}'" for name in group)


def _near(name: str, known: Iterable[str]) -> str:
    lower = {one.lower(): one for one in known}
    found = get_close_matches(name.lower(), lower, 1, 0.6)
    return f" (did you mean {lower[found[0]]}?)" if found else ""
