"""Importing facts from a file: read, staged, compared, written in chunks, summed up."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from csflow.errors import StoreError, UsageError
from csflow.services.importing_files import Source, read_format
from csflow.services.importing_mapping import Mapping, compile_plan, find_mapping, plural
from csflow.services.importing_rejects import Target, write_rejects
from csflow.services.importing_rows import Rows, numeric
from csflow.store.erased import erased_contacts
from csflow.store.importing import make_features, resolve
from csflow.store.importing_apply import apply_chunks, finish, source_number
from csflow.store.importing_contracts import close_absent
from csflow.store.importing_kinds import KINDS, ORDER
from csflow.store.importing_staging import Counts, Staging, Terms
from csflow.store.importing_twins import settle_twins
from csflow.store.opening import immediate
from csflow.store.touching import last_pass
from csflow.values import counted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection

    from csflow.flow.definition import Definition
    from csflow.store.opening import Store
    from csflow.values import Instant

    Progress = Callable[[str, int, int], None]  # what is done (read, write), how much, of how much

LINES = 5  # of suspicious rows that a summary names
ENDINGS = (".csv", ".jsonl", ".ndjson")


@dataclass(slots=True)
class Summary:
    """What one file brought. read = new + changed + unchanged + rejected + merged; ``suspicious`` rows were imported.

    ``merged`` rows went into another of the same key (`on_duplicate`), ``closed`` counts rows of the database that a
    complete file no longer lists.
    """

    name: str
    kind: str
    file: str
    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: int = 0
    suspicious: int = 0
    merged: int = 0
    closed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    suspicions: dict[str, int] = field(default_factory=dict)
    suspicious_lines: dict[str, list[int]] = field(default_factory=dict)  # the first of each
    rejects: str | None = None
    note: str | None = None
    dry_run: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The summary for JSON: stable keys."""
        return asdict(self)


class RejectsError(StoreError):
    """All was imported, but the refused rows could not be written: ``summary`` says what came in."""

    def __init__(self, message: str, summary: Summary) -> None:
        super().__init__(message)
        self.summary = summary


def import_file(
    store: Store,
    definition: Definition,
    name: str,
    path: Path,
    *,
    as_of: Instant,
    dry_run: bool = False,
    complete: bool = False,
    rejects: Path | None = None,
    progress: Progress | None = None,
    recorded: Instant | None = None,
) -> Summary:
    """Import one file by the mapping (or the kind) called ``name``.

    Rows that cannot be used go to ``rejects`` (default: FILE.rejects.csv), the others are written, 20,000 at a time.
    A rejects file, mended, is imported under the same name as its source. A dry run does all of it and takes it back;
    it writes a rejects file only where ``rejects`` names one. Raises UsageError when mapping and file do not fit,
    StoreError when the file or the database cannot be used; what was written then are whole chunks. RejectsError, when
    all is done, where the refused rows cannot be written.
    """
    mapping = find_mapping(definition, name)
    if complete and not mapping.kind.closes:
        able = " and ".join(plural(kind.name) for kind in KINDS.values() if kind.closes)
        raise UsageError(
            f"--complete closes {able}; a {mapping.kind.name} that a file no longer lists cannot be closed"
        )
    target = _target(path, name, rejects, dry_run=dry_run)
    form = read_format(mapping.options, f"imports.{mapping.name}")
    source = Source(path, form)
    try:
        if complete and source.again:
            raise UsageError(f"--complete: {path} lists refused rows, not all there are")
        if target is not None:
            target.refuse_foreign(source.columns)
        plan = compile_plan(mapping, definition, source.columns, str(path), source.named)
        rows = Rows(plan, definition, source.columns)
        work = _Work(definition, rows, source, target, progress or _silent)
        with store.connected() as connection:
            return work.run(connection, as_of, dry_run=dry_run, complete=complete, recorded=recorded)
    finally:
        source.close()


def _target(path: Path, name: str, rejects: Path | None, *, dry_run: bool) -> Target | None:
    """Where the rows of a file go that are refused; UsageError where that is the file itself."""
    if rejects is None:
        return None if dry_run else Target(path.with_name(f"{path.name}.rejects.csv"), own=True)
    if rejects.exists() and path.exists() and rejects.samefile(path):
        raise UsageError(f"--rejects {rejects}: this is the file that is read: name another")
    return Target(rejects, own=rejects.name == f"{name}.rejects.csv")  # so called where a plugin reads the rows


def files_of(definition: Definition, folder: Path) -> list[tuple[str, Path]]:
    """The imports a folder holds, in the order of dependence: (name, file).

    A file belongs to the mapping whose `with: {path}` matches it, else to the import or kind it is called like.
    """
    if not folder.is_dir():
        raise UsageError(f"'{folder}' is no folder; for one file write csflow import NAME FILE")
    chosen: dict[Path, str] = {}
    for name, said in definition.imports.items():
        pattern = str((said.get("with") or {}).get("path") or "")
        if pattern and not pattern.startswith("/") and ".." not in pattern:
            for path in sorted(folder.glob(pattern)):
                if not path.name.endswith(".rejects.csv"):
                    chosen.setdefault(path, name)
    names = _names(definition)
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in ENDINGS and path.stem in names:
            chosen.setdefault(path, path.stem if path.stem in definition.imports else names[path.stem])
    order = {kind: place for place, kind in enumerate(ORDER)}
    places = {name: place for place, name in enumerate(definition.imports)}

    def rank(item: tuple[Path, str]) -> tuple[int, int, str]:
        return order[find_mapping(definition, item[1]).kind.name], places.get(item[1], len(places)), str(item[0])

    return [(name, path) for path, name in sorted(chosen.items(), key=rank)]


def passed_over(definition: Definition, folder: Path, files: list[tuple[str, Path]]) -> dict[str, str | None]:
    """Data files of a folder that nothing claims (``files``: what `files_of` found) → the name one could have meant.

    Rejects files are none: they are mended and imported by name.
    """
    claimed = {path for _, path in files}
    names = _names(definition)
    found: dict[str, str | None] = {}
    for path in sorted(folder.iterdir()):
        data = path.suffix.lower() in ENDINGS and path.is_file() and not path.name.startswith(".")
        if data and path not in claimed and not path.name.endswith(".rejects.csv"):
            near = get_close_matches(path.stem.lower(), names, 1)
            found[path.name] = f"{near[0]}{path.suffix}" if near else None
    return found


def _names(definition: Definition) -> dict[str, str]:
    """What a file may be called like → the import or kind it belongs to; the names people prefer stand first."""
    own = {one: one for one in definition.imports}
    return own | {plural(kind): kind for kind in KINDS} | {one: one for one in KINDS}


class _Work:
    """One import under way."""

    def __init__(
        self, definition: Definition, rows: Rows, source: Source, target: Target | None, progress: Progress
    ) -> None:
        self.definition = definition
        self.target = target
        self.rows = rows
        self.source = source
        self.progress = progress
        self.mapping: Mapping = rows.plan.mapping
        self.unwritten: str | None = None

    def run(
        self, connection: Connection, as_of: Instant, *, dry_run: bool, complete: bool, recorded: Instant | None
    ) -> Summary:
        """The whole import on one connection; its temporary tables are empty afterwards."""
        counts = Counts()
        staging = Staging(connection, self.mapping.kind, self.rows.columns, self.rows.fields)
        try:
            self.rows.erased = erased_contacts(connection)
            self._stage(staging, counts)
            connection.commit()
            commit = _nothing if dry_run else connection.commit
            immediate(connection)
            terms = self._terms(connection, as_of)
            note = self._write(staging, terms, counts, commit=commit, complete=complete)
            summary = self._summary(staging, counts, dry_run=dry_run, note=note)
            finish(staging, terms, json.dumps(summary.as_dict(), ensure_ascii=False), recorded=recorded)
            commit()
            connection.rollback()
            if self.unwritten is not None:
                raise RejectsError(self.unwritten, summary)
        finally:
            _clear(connection, staging)
        return summary

    def _stage(self, staging: Staging, counts: Counts) -> None:
        for batch in self.source.batches():
            columns, rejects = self.rows.staged(batch)
            counts.read += len(batch.rows)
            if columns:
                staging.add(columns)
            staging.reject(rejects)
            self.progress("read", min(self.source.read, self.source.size), self.source.size)

    def _terms(self, connection: Connection, as_of: Instant) -> Terms:
        zone = self.rows.plan.zone
        seen = last_pass(connection)
        return Terms(
            source_number(connection, self.mapping.name),
            as_of,
            zone.day_of(as_of),
            self.definition.currency,
            f"import:{self.mapping.name}",
            None if seen is None else zone.day_of(seen),
            self.mapping.on_duplicate,
            not self.rows.numbered,
            self.mapping.infer_replaces and "replaces" not in self.rows.plan.fillings,
        )

    def _write(
        self, staging: Staging, terms: Terms, counts: Counts, *, commit: Callable[[], None], complete: bool
    ) -> str | None:
        if self.mapping.kind.name == "usage":
            make_features(staging)
        commit()
        resolve(staging, terms)
        note = None
        if self.rows.forgotten:
            note = f"{counted(self.rows.forgotten, 'row')} of erased contacts: what says who they were was left out"
        if complete and staging.has_rejects():
            note = f"{note}; " if note else ""
            note += "rows were rejected, so what the file lacks is not known: nothing was closed"
        elif complete:
            close_absent(staging, terms, counts, self.mapping.max_missing)
        settle_twins(staging, terms.on_duplicate, counts)
        commit()
        total = counts.read
        for done in apply_chunks(staging, terms, counts, self._questions()):
            # After writing: an erasure that held a row until now is seen, one that comes later blanks what is written.
            if erased_contacts(staging.connection) != self.rows.erased:
                raise StoreError(f"{self.source.path}: a contact was erased while this came in: import it once more")
            commit()
            self.progress("write", min(done, total), total)
        return note

    def _questions(self) -> dict[str, dict[str, bool]]:
        """Declared fields that answers may fill: kind of subject → field → whether it is a number."""
        if self.mapping.kind.name != "answer":
            return {}
        declared = self.definition.fields
        return {
            kind: {name: numeric(one.type) for name, one in declared.get(kind, {}).items()}
            for kind in ("customer", "contact")
        }

    def _summary(self, staging: Staging, counts: Counts, *, dry_run: bool, note: str | None) -> Summary:
        rejected = write_rejects(staging.rejects(), self.source, self.target)
        counts.rejected, counts.reasons, self.unwritten = rejected.number, rejected.reasons, rejected.unwritten
        written = rejected.number and self.unwritten is None
        return Summary(
            self.mapping.name,
            self.mapping.kind.name,
            self.source.path.name,
            read=counts.read,
            new=counts.new,
            changed=counts.changed,
            unchanged=counts.unchanged,
            rejected=counts.rejected,
            suspicious=sum(counts.suspicions.values()),
            merged=counts.merged,
            closed=counts.closed,
            reasons=counts.reasons,
            suspicions=counts.suspicions,
            suspicious_lines={reason: staging.suspicious(reason, LINES) for reason in counts.suspicions},
            rejects=str(self.target.path) if written and self.target is not None else None,
            note=note,
            dry_run=dry_run,
        )


def _silent(_what: str, _done: int, _total: int) -> None:
    """No progress."""


def _nothing() -> None:
    """A dry run commits nothing."""


def _clear(connection: Connection, staging: Staging) -> None:
    """Leave nothing in the temporary tables; a connection that broke has none left."""
    try:
        connection.rollback()
        immediate(connection, wanted=False)
        staging.clear()
        connection.commit()
    except BaseException as error:
        connection.invalidate()
        if not isinstance(error, SQLAlchemyError):  # somebody stopped us
            raise
