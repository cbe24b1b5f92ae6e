"""The rejects file: every row that was refused, with its line, the column and the reason, ready to be mended."""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from csflow.errors import UsageError
from csflow.services.importing_files import MARKS, Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

REASONS = 20  # different reasons a summary tells apart
OTHER = "other reasons"


@dataclass(slots=True)
class Rejected:
    """How many rows were refused, and how many for each reason (the cells' own words left out)."""

    number: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    unwritten: str | None = None  # why they could not be written, in a line

    def count(self, column: str, reason: str) -> None:
        """One more row."""
        self.number += 1
        plain = re.sub(r"'.*?'", "…", reason)
        said = f"{column}: {plain}" if column else plain
        if said not in self.reasons and len(self.reasons) >= REASONS:
            said = OTHER
        self.reasons[said] = self.reasons.get(said, 0) + 1


@dataclass(frozen=True, slots=True)
class Target:
    """Where refused rows go. ``own``: by the name that csflow gives, not by somebody's choice."""

    path: Path
    own: bool

    def refuse_foreign(self, columns: Sequence[str]) -> None:
        """UsageError where refused rows may not replace what is there: no file, or none that an import wrote.

        A file of somebody's choice must hold rows that were refused of the same columns.
        """
        if not self.path.exists() and not self.path.is_symlink():
            return
        if self.path.is_symlink() or not self.path.is_file():
            raise UsageError(f"{self.path}: not a regular file: name another with --rejects")
        first = self._first_row()
        if first and tuple(first[: len(MARKS)]) != MARKS:
            raise UsageError(f"{self.path} is there, and no import wrote it: name another file with --rejects")
        if first and not self.own and first[len(MARKS) :] != list(columns):
            raise UsageError(f"{self.path} holds refused rows of other columns: name another file with --rejects")

    def _first_row(self) -> list[str]:
        """Of a file that is there; what cannot be read as a row is none of an import's."""
        try:
            with self.path.open(encoding="utf-8", errors="replace", newline="") as file:
                return next(csv.reader(file), [])
        except (OSError, csv.Error):
            return [""]


def write_rejects(rejects: Iterator[tuple[int, str, str]], source: Source, target: Target | None) -> Rejected:
    """Write the rejects (line, column, reason; in the order of lines) beside their rows, read once more from the file.

    Without rejects a file of an earlier import is removed where its name is csflow's own; without a target (a dry run)
    they are counted only. Where the target cannot be written they are counted all the same, and ``unwritten`` says why.
    """
    counted = Rejected()
    if target is None:
        for _, column, reason in rejects:
            counted.count(column, reason)
        return counted
    first = next(rejects, None)
    left = rejects if first is None else _chained(first, rejects)
    try:
        if first is None:
            if target.own:
                target.path.unlink(missing_ok=True)
            return counted
        unfinished = target.path.with_name(f"{target.path.name}.part")
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*MARKS, *source.columns])
            again = Source(source.path, source.form)
            try:
                for (line, column, reason), row in _beside(left, again):
                    counted.count(column, reason)
                    writer.writerow([line, column, reason, *row])
            finally:
                again.close()
        os.replace(unfinished, target.path)  # noqa: PTH105 - Path.replace is the same
    except OSError as error:
        why = error.strerror or error
        counted.unwritten = (
            f"{target.path}: the rejected rows cannot be written ({why}): name another file with --rejects"
        )
        for _, column, reason in left:
            counted.count(column, reason)
    return counted


def _chained(first: tuple[int, str, str], rest: Iterator[tuple[int, str, str]]) -> Iterator[tuple[int, str, str]]:
    yield first
    yield from rest


def _beside(
    rejects: Iterator[tuple[int, str, str]], source: Source
) -> Iterator[tuple[tuple[int, str, str], list[str]]]:
    """Walk rejects and rows of the file side by side: both are in the order of lines."""
    rows = ((line, row) for batch in source.batches() for line, row in zip(batch.lines, batch.rows, strict=True))
    at, row = next(rows, (0, []))
    for reject in rejects:
        while at < reject[0]:
            at, row = next(rows)
        yield reject, row
