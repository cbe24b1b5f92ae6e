"""How a mapping of `imports:` says that its file is written: what no file could be read by is told with the YAML."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from csflow.flow.formulas import compile_formula
from csflow.flow.names import nearest
from csflow.flow.sites import OWN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from csflow.flow.sites import Path, Site, Tree

FILES = ("csflow/csv", "csflow/jsonl")  # what csflow reads itself
SETTINGS = ("path", "encoding", "delimiter", "quote")
_SOME_DAY = datetime(2024, 11, 23, 13, 45, tzinfo=UTC)  # a format must be able to give back its year


def check_reading(site: Site, path: Path, content: Tree) -> None:
    """Note what is wrong with ``uses:``, ``with:``, and the formats and formulas of the columns."""
    uses = content.get("uses")
    if uses is None or uses in FILES:
        written = content.get("with") or {}
        for key in written:
            if key not in SETTINGS:
                message = f"unknown key '{key}'{nearest(key, SETTINGS) or ': there are ' + ', '.join(SETTINGS)}"
                site.wrong((*path, "with", key), message, on_key=True)
        for key, message in setting_mistakes(written):
            site.wrong((*path, "with", key), message)
    elif uses.startswith(OWN):  # nobody else will ever provide it
        site.wrong(
            (*path, "uses"), f"nothing reads '{uses}'{nearest(uses, FILES) or ': there are ' + ', '.join(FILES)}"
        )
    elif uses not in site.provided:
        near = nearest(uses, [*FILES, *site.provided])
        message = f"nothing provides '{uses}', so nothing is imported by it{near}"
        site.wrong((*path, "uses"), message, warning=True)
    for name, column in (content.get("columns") or {}).items():
        _check_column(site, (*path, "columns", name), column)


def setting_mistakes(written: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Which keys of a file's ``with:`` are wrong, and why."""
    for key in ("delimiter", "quote"):
        sign = character(written.get(key, " "))
        if len(sign) != 1 or sign in "\r\n":
            yield key, f"'{sign}': a {key} is one character{' (or tab)' if key == 'delimiter' else ''}"
    encoding = str(written.get("encoding", "utf-8"))
    try:
        "".encode(encoding)
    except (LookupError, ValueError):
        yield "encoding", f"there is no encoding '{encoding}': write utf-8, gb18030, cp1252 …"
    if character(written.get("delimiter", ",")) == character(written.get("quote", '"')):
        yield "quote" if "quote" in written else "delimiter", "delimiter and quote are the same character"


def character(written: Any) -> str:
    """A delimiter or quote as it stands in the file: ``tab`` is one."""
    return {"tab": "\t", "\\t": "\t"}.get(str(written), str(written))


def _check_column(site: Site, path: Path, column: Tree) -> None:
    if column.get("format") is not None:
        site.parsed((*path, "format"), _day_format, column["format"])
    for key in ("column", "value"):
        if str(column.get(key, "")).startswith("="):
            site.parsed((*path, key), lambda text: compile_formula(text[1:], None), column[key])


def _day_format(form: str) -> None:
    """ValueError where no day could be read by it."""
    if "%" not in form:
        raise ValueError(f"'{form}' is not a format of dates: write it with %, such as \"%d.%m.%Y\"")
    try:
        read = datetime.strptime(_SOME_DAY.strftime(form), form)  # noqa: DTZ007 - only its year is looked at
    except (ValueError, re.error):
        raise ValueError(f'\'{form}\' is not a format of dates: write it like "%d.%m.%Y" or "%d.%m.%Y %H:%M"') from None
    if read.year != _SOME_DAY.year:
        raise ValueError(f"'{form}' does not say where the year stands: write it like \"%d.%m.%Y\"")
