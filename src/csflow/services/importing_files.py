"""Reading CSV and JSONL in batches: constant memory, exact line numbers, clear words for files that cannot be read.

StoreError where a file cannot be opened or read: another time it may be. UsageError for what stands in it: as long as
it stands there, trying again does not help.
"""

from __future__ import annotations

import csv
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any, TextIO

from csflow.errors import StoreError, UsageError
from csflow.flow.checks_reading import character, setting_mistakes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BATCH = 20_000
BOM = b"\xef\xbb\xbf"
BLOCK = 16_777_216  # bytes: a file without a line end in so many is not read into memory to find one
LONGEST_CELL = 131_072
_HALF = re.compile("[\ud800-\udfff]")  # what JSON can say and no file or database can hold
NO_OBJECT = "this line is not a JSON object"
HALF = "half of a character (\\ud800 … \\udfff alone): write it whole"
NO_TABLES = {  # how files begin that are none
    b"\x1f\x8b": "a gzip file: unpack it first",
    b"PK\x03\x04": "a zip file, or a workbook (.xlsx): unpack it, or save its sheet as CSV",
    b"\xd0\xcf\x11\xe0": "a workbook (.xls): save its sheet as CSV",
}
JSON_ENDINGS = frozenset({".jsonl", ".ndjson"})

MARKS = ("line", "column", "reason")  # what a rejects file has in front of the source's own columns

Row = list[str]


class Unread(Row):
    """A line that is no row: one cell wider than any row, the line as it stands in the last one; ``reason`` is why."""

    def __init__(self, line: str, width: int, reason: str) -> None:
        kept = line.rstrip("\r\n")
        super().__init__([*[""] * width, kept if len(kept) < LONGEST_CELL else f"{kept[: LONGEST_CELL - 1]}…"])
        self.reason = reason


class NoText(str):
    """A cell that was true, false, a list or a mapping in JSON, as text: no id, and a value of some types only."""

    __slots__ = ()

    def __hash__(self) -> int:
        """Another one than the text's: who remembers cells tells them apart."""
        return hash((NoText, str(self)))

    @property
    def nested(self) -> bool:
        """Whether it was a list or a mapping."""
        return self.startswith(("[", "{"))


@dataclass(slots=True)
class Batch:
    """Rows of a file and the line each begins on (counted from 1)."""

    rows: list[Row]
    lines: list[int] | range


@dataclass(frozen=True, slots=True)
class Format:
    """How a file is written: what `with:` of a mapping may say."""

    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'


def read_format(options: dict[str, Any], where: str) -> Format:
    """The `with:` of a mapping. UsageError for a delimiter of several characters or an unknown encoding."""
    for _, message in setting_mistakes(options):
        raise UsageError(f"{where}: {message}")
    delimiter, quote = character(options.get("delimiter", ",")), character(options.get("quote", '"'))
    encoding = str(options.get("encoding", "utf-8"))
    return Format(encoding, delimiter, quote)


class Source:
    """An opened file: ``columns`` are its header, `batches` its rows, ``read`` how many bytes were read so far.

    Of a rejects file (``again``) the source's own columns are read: what csflow put in front of them is passed over,
    and that csflow writes commas and UTF-8, whatever the source does, is seen by its first line.
    """

    def __init__(self, path: Path, form: Format) -> None:
        self.path = path
        self.form = form
        self.json = path.suffix.lower() in JSON_ENDINGS
        self.again = False
        self.named: dict[str, int] = {}  # of JSONL: the line that names each column first
        try:
            about = path.stat()
            if not S_ISREG(about.st_mode) and not S_ISDIR(about.st_mode):  # it is read twice, and a pipe is read once
                raise UsageError(f"{path}: not a regular file (a pipe, a device): write it to a file, and import that")
            self.size = about.st_size
            self._check_kind()
            self._check_lines()
            if not self.json and self._begins_with_marks():
                self.form = Format()
            self._file = self._open()
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror or error}") from None
        try:
            self.columns = self._json_columns() if self.json else self._header()
        except BaseException:
            self.close()
            raise

    def _open(self) -> TextIO:
        encoding = (
            "utf-8-sig" if self.form.encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else self.form.encoding
        )
        return self.path.open(encoding=encoding, newline="" if not self.json else None)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def read(self) -> int:
        """Bytes read so far, roughly: the text layer reads ahead."""
        return int(self._file.buffer.tell())

    def batches(self) -> Iterator[Batch]:
        """The rows in order, some thousands at a time; an empty line is no row."""
        return self._guarded(self._json_batches() if self.json else self._csv_batches())

    def _guarded(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        try:
            yield from batches
        except UnicodeError:
            raise self._wrong_encoding() from None
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror or error}") from None

    def _check_kind(self) -> None:
        """UsageError for files that people take for a table, and that are packed, a workbook or one piece of JSON."""
        with self.path.open("rb") as file:
            begin = file.read(len(BOM) + 1)
        told = next((told for mark, told in NO_TABLES.items() if begin.startswith(mark)), None)
        if told is None and self.path.suffix.lower() == ".json" and begin.removeprefix(BOM)[:1] in (b"{", b"["):
            told = "one piece of JSON: write one object a line into a file called .jsonl"
        if told is not None:
            raise UsageError(f"{self.path}: this is {told}")

    def _check_lines(self) -> None:
        if self.size < BLOCK:
            return
        with self.path.open("rb") as file:
            while block := file.read(BLOCK):
                if len(block) == BLOCK and b"\n" not in block and b"\r" not in block:
                    raise UsageError(f"{self.path}: a line is longer than {BLOCK} bytes: this is no table")

    def _begins_with_marks(self) -> bool:
        wanted = f"{','.join(MARKS)},".encode()
        with self.path.open("rb") as file:
            return file.read(len(wanted) + len(BOM)).removeprefix(BOM).startswith(wanted)

    def _reader(self, file: TextIO) -> Any:
        csv.field_size_limit(LONGEST_CELL)
        return csv.reader(file, delimiter=self.form.delimiter, quotechar=self.form.quote, doublequote=True, strict=True)

    def _header(self) -> Row:
        self._rows = self._reader(self._file)
        try:
            header = next((row for row in self._rows if row), None)
        except UnicodeError:
            raise self._wrong_encoding() from None
        except csv.Error as error:
            raise self._unreadable(1, error) from None
        if header is None:
            raise UsageError(f"{self.path}: the file is empty; its first line must name the columns")
        columns = [name.strip() for name in header]
        self.again = tuple(columns[: len(MARKS)]) == MARKS and len(columns) > len(MARKS)
        if self.again:
            columns = columns[len(MARKS) :]
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            raise UsageError(f"{self.path}:1: two columns are named '{twice[0]}': rename one of them")
        if any("\0" in name for name in columns):
            raise UsageError(
                f"{self.path}:1: this is not a text file (it holds zero bytes): say its encoding in `with:`"
            )
        self._line = self._rows.line_num + 1
        return columns

    def _csv_batches(self) -> Iterator[Batch]:
        reader, line = self._rows, self._line
        while True:
            before = reader.line_num
            try:
                rows = list(islice(reader, BATCH))
            except csv.Error as error:
                raise self._unreadable(reader.line_num, error) from None
            if not rows:
                return
            read = reader.line_num - before
            lines = range(line, line + read) if read == len(rows) else _starts(rows, line)
            line += read
            if [] in rows:
                kept = [(row, at) for row, at in zip(rows, lines, strict=True) if row]
                rows, lines = [row for row, _ in kept], [at for _, at in kept]
            yield Batch([row[len(MARKS) :] for row in rows] if self.again else rows, lines)

    def _unreadable(self, line: int, error: csv.Error) -> UsageError:
        begun = self._begin_of_wrong_row() or line
        if "field larger" in str(error):
            return UsageError(
                f"{self.path}:{begun}: a cell has more than {LONGEST_CELL} characters: is a quotation mark left open?"
            )
        if "end of data" in str(error):
            return UsageError(f"{self.path}:{begun}: a quotation mark is opened here, or left open in this row")
        return UsageError(f"{self.path}:{line}: {error}{f' (the row begins in line {begun})' if begun != line else ''}")

    def _begin_of_wrong_row(self) -> int | None:
        """The line on which the row begins that cannot be read: looked for only now, row by row."""
        with self._open() as file:
            reader, begun = self._reader(file), 1
            with suppress(csv.Error, UnicodeError):
                for _ in reader:
                    begun = reader.line_num + 1
                return None
        return begun

    def _json_columns(self) -> Row:
        """JSONL has no header: the columns are the keys of all its rows, in the order they first appear."""
        first = None
        with self._open() as file:
            self._rewound, self._file = self._file, file
            try:
                for number, row in self._guarded_rows():
                    if isinstance(row, dict):
                        for name in row:
                            self.named.setdefault(name, number)
                    else:
                        first = first or (number, row.reason)
            finally:
                self._file = self._rewound
        if not self.named and first is not None:
            raise UsageError(f"{self.path}:{first[0]}: {first[1]}")
        if not self.named:
            raise UsageError(f"{self.path}: the file is empty: no line of it can be read")
        return list(self.named)

    def _guarded_rows(self) -> Iterator[tuple[int, dict[str, str] | Unread]]:
        try:
            yield from self._json_rows(0)
        except UnicodeError:
            raise self._wrong_encoding() from None

    def _json_rows(self, width: int) -> Iterator[tuple[int, dict[str, str] | Unread]]:
        """Line by line; UsageError where the first one is no object: then this is no JSONL."""
        first = True
        for number, line in enumerate(self._file, 1):
            if not line.strip():
                continue
            row = _object(line)
            if row is None and first:
                raise UsageError(f"{self.path}:{number}: {NO_OBJECT}")
            first = False
            if row is None:
                yield number, Unread(line, width, NO_OBJECT)
            elif "\\u" in line and _HALF.search(json.dumps(row, ensure_ascii=False)):
                yield number, Unread(line, width, HALF)
            else:
                yield number, {name: _cell(value) for name, value in row.items()}

    def _json_batches(self) -> Iterator[Batch]:
        columns = self.columns
        rows = self._json_rows(len(columns))
        while chunk := list(islice(rows, BATCH)):
            cells = [row if isinstance(row, Unread) else [row.get(name, "") for name in columns] for _, row in chunk]
            yield Batch(cells, [number for number, _ in chunk])

    def _wrong_encoding(self) -> UsageError:
        """Name the first line that cannot be read: looked for only now, line by line."""
        encoding = self.form.encoding
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode(encoding)
                except UnicodeDecodeError as error:
                    found = f"{self.path}:{number}: byte 0x{line[error.start]:02x} is not {encoding}"
                    break
            else:
                found = f"{self.path}: this is not {encoding}"
        mapped = "or say its encoding in its mapping, e.g. `with: {encoding: gb18030}`"
        return UsageError(f"{found}: save the file as UTF-8, {mapped}")


def _object(line: str) -> dict[str, Any] | None:
    """The JSON object of a line, numbers as they are written; None where it is none."""
    try:
        row = json.loads(line, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _starts(rows: list[Row], line: int) -> list[int]:
    """The line each row begins on, where quoted cells hold line ends."""
    starts = []
    for row in rows:
        starts.append(line)
        line += 1 + sum(_line_ends(cell) for cell in row)
    return starts


def _line_ends(cell: str) -> int:
    return cell.count("\n") + cell.count("\r") - cell.count("\r\n") if "\n" in cell or "\r" in cell else 0


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return NoText(json.dumps(value, ensure_ascii=False))
