"""From the text of a cell to what the store holds: one converter for each type, fast for columns that repeat."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any

from csflow import values
from csflow.services.importing_files import NoText

if TYPE_CHECKING:
    from collections.abc import Callable

    from csflow.flow.types import Type
    from csflow.values import Zone

Value = str | int | float | None
REMEMBERED = 50_000  # different cells of one column that a converter keeps in mind
LARGEST = 10**15  # of a number, or of an amount in minor units: what guards make of it fits every database
LONGEST_KEY = 500  # characters of an id: PostgreSQL's index pages hold no more than a third of 8 kB
_WORDS = {"true": 1, "yes": 1, "1": 1, "t": 1, "y": 1, "false": 0, "no": 0, "0": 0, "f": 0, "n": 0}
_NUMBER = re.compile(r"[+-]?(\d{1,18}(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


class Remembering(dict[str, Value]):
    """A converter as a dictionary: a cell seen before costs one look-up, and `map` over it needs no Python frame."""

    def __init__(self, convert: Callable[[str], Value]) -> None:
        super().__init__()
        self.convert = convert

    def __missing__(self, cell: str) -> Value:
        value = self.convert(cell)
        if len(self) >= REMEMBERED:
            self.clear()
        self[cell] = value
        return value


@dataclass(frozen=True, slots=True)
class Reading:
    """How a mapping wants a cell read: ``format`` for dates (strptime's letters), ``words`` replace cells.

    ``computed``: a formula made it, so an amount is rounded.
    """

    format: str | None = None
    words: dict[str, str] | None = None
    computed: bool = False


def converter(kind: Type, reading: Reading, zone: Zone, currency: str) -> Callable[[str], Value]:
    """The function that turns a cell into a value of type ``kind``: None for an empty cell, ValueError says why not."""
    convert = _plain(kind, reading, zone, currency)
    words = reading.words

    def from_cell(cell: str) -> Value:
        if isinstance(cell, NoText) and cell.nested and kind.name != "choices":
            raise ValueError(f"{_quoted(cell)} is a list or a mapping: write one value")
        cell = cell.strip()
        if words is not None:
            cell = words.get(cell, cell)
        return convert(cell) if cell else None

    return from_cell


def _plain(kind: Type, reading: Reading, zone: Zone, currency: str) -> Callable[[str], Value]:
    match kind.name:
        case "number":
            return number
        case "share":
            return _share
        case "money":
            return partial(money, currency=currency, computed=reading.computed)
        case "boolean":
            return _boolean
        case "date":
            return partial(_day, form=reading.format, zone=zone)
        case "time":
            return partial(_instant, form=reading.format, zone=zone)
        case "choice" if kind.choices:
            return partial(_choice, choices=kind.choices)
        case "choices" if kind.choices:
            return partial(_choices, choices=kind.choices)
        case _:
            return str


def key(cell: str) -> str | None:
    """An id: trimmed; ValueError when it is too long to be one, cannot be typed, or was no text and no number."""
    if isinstance(cell, NoText):
        raise ValueError(f"{_quoted(cell)} is no text and no number: write the id as one of these")  # noqa: TRY004 - of the row
    cell = cell.strip()
    if len(cell) > LONGEST_KEY:
        raise ValueError(f"an id has at most {LONGEST_KEY} characters")
    if not cell.isprintable():
        raise ValueError("an id has no invisible characters (line ends, control characters, odd spaces)")
    return cell or None


def currency_code(cell: str) -> str | None:
    """A currency's three letters, in capitals."""
    code = cell.strip().upper()
    if code and not (len(code) == 3 and code.isascii() and code.isalpha()):
        raise ValueError(f"{_quoted(cell)} is not a currency: write its three letters, e.g. EUR")
    return code or None


def number(cell: str) -> float:
    """A decimal number with a point, up to ±10^15; no thousands, no infinity."""
    if not _NUMBER.fullmatch(cell):
        raise ValueError(f"{_quoted(cell)} is not a number")
    found = float(cell)
    if abs(found) > LARGEST:
        raise ValueError(f"{_quoted(cell)} is too large: a number is at most 10^15")
    return found


def money(cell: str, currency: str, *, computed: bool = False) -> int:
    """An amount in minor units of ``currency``; one that a formula computed is rounded."""
    try:
        minor = values.to_minor(Decimal(cell) if computed and _NUMBER.fullmatch(cell) else cell, currency)
    except values.TooFineError:
        raise
    except ValueError:
        raise ValueError(f"{_quoted(cell)} is not an amount in {currency}") from None
    return bounded(minor, currency)


def bounded(minor: int, currency: str) -> int:
    """The amount itself; ValueError when it is larger than any contract, so that sums stay whole numbers."""
    if abs(minor) > LARGEST:
        most = values.money_text(LARGEST, currency)
        raise ValueError(f"{values.money_text(minor, currency)} is too large: an amount is at most {most}")
    return minor


def _share(cell: str) -> float:
    try:
        share = values.parse_share(cell)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(f"{_quoted(cell)} is not a share: write 80% or 0.8")
    return share


def _boolean(cell: str) -> int:
    found = _WORDS.get(cell.lower())
    if found is None:
        raise ValueError(f"{_quoted(cell)} is neither yes nor no")
    return found


def _moment(cell: str, form: str | None) -> datetime:
    try:
        moment = datetime.strptime(cell, form) if form else datetime.fromisoformat(cell)  # noqa: DTZ007 - zone follows
    except ValueError as error:
        if form and "day" in str(error) and "range" in str(error):  # what Python says of a day that no month has
            raise ValueError(f"{_quoted(cell)} is not a day: its month has none of that number") from None
        raise ValueError(f"{_quoted(cell)} {f'does not fit the format {form}' if form else _no_day(cell)}") from None
    if not 1 < moment.year < 9999:
        raise ValueError(f"{_quoted(cell)} is a year that no customer has")
    return moment


def _day(cell: str, form: str | None, zone: Zone) -> int:
    if form is None and len(cell) == 10:
        try:
            return values.day(cell)
        except ValueError:
            raise ValueError(f"{_quoted(cell)} {_no_day(cell)}") from None
    if form is None and len(cell) < 16:  # 20260105 and 2026-W01-1 are dates to Python, and slips to people
        raise ValueError(f"{_quoted(cell)} is not YYYY-MM-DD: give its form with `format:`")
    moment = _moment(cell, form)
    return values.day(moment) if moment.tzinfo is None else zone.day_of(zone.instant(moment))


def _no_day(cell: str) -> str:
    """Why a cell without a `format:` is none: there is no such day, or it is written in another way."""
    reason = values.no_such_day(cell[:10])
    return f"is not a day: {reason}" if reason else "is not YYYY-MM-DD: give its form with `format:`"


def _instant(cell: str, form: str | None, zone: Zone) -> int:
    if form is None and len(cell) != 10 and len(cell) < 16:
        raise ValueError(f"{_quoted(cell)} is not YYYY-MM-DD HH:MM: give its form with `format:`")
    return zone.instant(_moment(cell, form))


def _choice(cell: str, choices: tuple[str, ...]) -> str:
    if cell in choices:
        return cell
    near = get_close_matches(cell, choices, 1, 0.5)
    raise ValueError(
        f"{_quoted(cell)} is not one of {', '.join(choices)}" + (f": did you mean {near[0]}?" if near else "")
    )


def _choices(cell: str, choices: tuple[str, ...]) -> str:
    """Several words, parted by commas or bars, as a JSON list in the order of the definition."""
    said = [word.strip() for word in re.split(r"[|,;]", cell.strip("[]").replace('"', "")) if word.strip()]
    chosen = {_choice(word, choices) for word in said}
    return json.dumps([word for word in choices if word in chosen], ensure_ascii=False)


def fingerprint(*cells: Any) -> str:
    """A stand-in for the id that a source does not give: the same cells make the same one."""
    text = json.dumps(cells, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _quoted(cell: str) -> str:
    return f"'{cell[:40]}…'" if len(cell) > 40 else f"'{cell}'"
