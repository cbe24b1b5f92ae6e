"""A pytest plugin for projects and plugins: a project from a few lines, a book of customers, a clock, what was sent.

Installed with csflow, so a test only names the fixture ``csflow_project``::

    def test_a_customer_that_uses_it_grows(csflow_project):
        project = csflow_project({"csflow.yaml": ..., "lifecycle.yaml": ...}, today="2026-01-05")
        project.book.customer("C-1", starts="2026-01-01")
        project.book.usage("C-1", "core", count=3)
        project.run()
        assert project.stage("C-1") == "growth"

``check_metric``, ``check_milestone`` and ``check_notifier`` hold a plugin against what csflow relies on.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from csflow.app import Csflow
from csflow.hookspecs import Batch, Message, Notifier, Provider, Recipient, RetryLater, Undeliverable, Usage
from csflow.values import Instant, Zone, add, day, day_text, parse_length

PERSON = "test"
ORDER = (
    "people",
    "features",
    "rates",
    "customers",
    "contracts",
    "contacts",
    "usage",
    "activities",
    "answers",
    "cases",
    "triggers",
)  # each brings what a later one names
WAYS = ("console", "file", "mail", "webhook")  # the notifiers that come with csflow
PLAIN = "csflow: 1\nname: tested\ncurrency: EUR\nzone: UTC\n"
Files = str | Mapping[str, str]


@dataclass(slots=True)
class Clock:
    """The day that everything in a test project happens on; verbs look at its end. It stands still until it is told."""

    today: int
    zone: Zone

    @property
    def now(self) -> Instant:
        """The last microsecond of the day."""
        return self.zone.end_of(self.today)

    @property
    def text(self) -> str:
        """The day as ``2026-01-31``."""
        return day_text(self.today)

    def set(self, to: str) -> None:
        """Go to a day."""
        self.today = day(to)

    def travel(self, length: str) -> None:
        """Let time pass: ``1 day``, ``2 weeks``, ``3 months``."""
        self.today = add(self.today, parse_length(length))


class Book:
    """The customers of a test project; what is said of them is imported before the next verb."""

    def __init__(self, project: TestedProject) -> None:
        self._project = project
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._files = 0

    def customer(
        self, id_: str, *, starts: str | None = None, ends: str | None = None, amount: Any = None, **fields: Any
    ) -> None:
        """A customer, and with ``starts`` a contract (a year long, unless it says when it ends)."""
        self.row("customers", id=id_, name=f"{id_} & Co", **fields)
        if starts is not None:
            last = ends or day_text(add(day(starts), parse_length("1 year")) - 1)
            self.contract(id_, starts=starts, ends=last, amount=amount)

    def contract(self, customer: str, id_: str | None = None, *, starts: str, ends: str, amount: Any = None) -> None:
        """A contract; ``ends`` is its last paid day, ``amount`` that of the whole term in the project's currency."""
        money = {} if amount is None else {"amount": amount, "currency": self._project.app.definition.currency}
        self.row(
            "contracts", id=id_ or f"{customer}-{starts}", customer=customer, starts_on=starts, ends_on=ends, **money
        )

    def contact(self, id_: str, customer: str, **fields: Any) -> None:
        """Somebody at a customer."""
        self.row("contacts", id=id_, customer=customer, **fields)

    def usage(self, customer: str, feature: str, *, on: str | None = None, count: float = 1, **more: Any) -> None:
        """Use of the product on a day (today, unless said): ``count``, ``seconds``, ``users``."""
        self.row("usage", customer=customer, feature=feature, day=on or self._project.clock.text, count=count, **more)

    def activity(self, customer: str, kind: str, *, on: str | None = None, **more: Any) -> None:
        """A visit, a call … at noon of a day (today, unless said)."""
        self.row("activities", customer=customer, kind=kind, at=f"{on or self._project.clock.text}T12:00", **more)

    def trigger(self, customer: str, name: str, *, on: str | None = None, **more: Any) -> None:
        """A word that is said to a customer's case at the end of a day (today, unless said)."""
        self.row("triggers", name=name, customer=customer, at=f"{on or self._project.clock.text}T23:59", **more)

    def row(self, kind: str, /, **columns: Any) -> None:
        """A row of any kind that `csflow import` knows, under csflow's own column names."""
        self._rows.setdefault(kind, []).append(columns)

    def write(self) -> None:
        """Import what was said so far. AssertionError with the reasons where a row is refused."""
        rows, self._rows = self._rows, {}
        for kind in sorted(rows, key=ORDER.index):
            self._files += 1
            path = self._project.folder / f"book-{self._files}-{kind}.csv"
            names = list(dict.fromkeys(name for row in rows[kind] for name in row))
            with path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, names, restval="")
                writer.writeheader()
                writer.writerows(rows[kind])
            summary = self._project.bring(kind, path)
            assert not summary.rejected, summary.reasons


class TestedProject:
    """A project in a folder of its own, on a database of its own."""

    __test__ = False  # no class of tests

    def __init__(self, folder: Path, database: str | None, today: str) -> None:
        self.folder, self._database = folder, database
        self.app = Csflow(folder, database=database)
        self.clock = Clock(day(today), self.app.zone)
        self.book = Book(self)
        self.sent: list[Message] = []

    def change(self, files: Files) -> None:
        """Write files of the project anew: what follows runs under the changed definition, on the same database."""
        _write(self.folder, files)
        self.app.close()
        self.app = Csflow(self.folder, database=self._database)
        self.clock.zone = self.app.zone

    def bring(self, name: str, file: Path | str | None = None) -> Any:
        """Import a file, the text of one (CSV), or what an import's plugin reads; its summary."""
        from csflow.services.importing import import_file

        now = self.clock.now
        if file is None:
            return self.app.import_from(name, as_of=now, recorded=now)
        if isinstance(file, str):
            text, file = file, self.folder / f"{name}.csv"
            file.write_text(text, "utf-8")
        return import_file(self.app.store, self.app.definition, name, file, as_of=now, recorded=now)

    def _request(self, **said: Any) -> Any:
        from csflow.services.advance import Request

        self.book.write()
        return Request(self.clock.now, PERSON, self.clock.now, **said)

    def measure(self, **said: Any) -> Any:
        """Compute the metrics; what was measured, with ``failed``."""
        return self.app.measure(self._request(**said)).measured

    def advance(self, **said: Any) -> Any:
        """Move every case that is to move; the outcome with its ``entries``."""
        return self.app.advance(self._request(**said))

    def run(self, **said: Any) -> Any:
        """Measure, then advance; both outcomes."""
        return self.app.run(self._request(**said))

    def case(self, customer: str, flow: str = "lifecycle", number: int = 1) -> dict[str, Any]:
        """A case with its fields, milestones, deadlines and tasks."""
        return self.app.show_case(f"{flow}/{customer}/{number}", now=self.clock.now)

    def stage(self, customer: str, flow: str = "lifecycle", number: int = 1) -> str:
        """The stage a customer's case is in."""
        return str(self.case(customer, flow, number)["stage"])

    def milestones(self, customer: str, flow: str = "lifecycle", number: int = 1) -> dict[str, str]:
        """The milestones a customer's case has reached in any stage, in order, each with when it was reached last."""
        entries = self.app.history(f"{flow}/{customer}/{number}", self.clock.now)["entries"]
        return {str(one["to"]): str(one["at"]) for one in entries if one["kind"] == "milestone"}

    def values(self, metric: str) -> dict[str, Any]:
        """The metric's stored value of each customer that has one: numbers, or words."""
        from sqlalchemy import select

        from csflow.store import tables as t

        m, n = t.measurement.c, t.name.c
        table = getattr(t, self.app.definition.metrics[metric].subject)
        with self.app.store.reading() as connection:
            rows = connection.execute(
                select(table.c.key, m.text, m.number)
                .select_from(t.measurement.join(t.name, n.id == m.metric).join(table, table.c.id == m.subject))
                .where(n.kind == "metric", n.name == metric)
                .order_by(table.c.key)
            ).all()
        return {key: text if text is not None else number for key, text, number in rows}

    def messages(self) -> list[Message]:
        """Deliver what waits in the outbox into this test, and give what came, in order."""
        from csflow.services.deliver import Handing, Means, deliver

        before = len(self.sent)
        names = {*WAYS, *self.app.ways().notifiers} if hasattr(self.app, "ways") else set(WAYS)
        notifier = captured(self.sent)
        means = Means(dict.fromkeys(sorted(names), (PERSON, notifier)), {}, {})
        deliver(self.app.store, self.app.definition, means, Handing(lambda: self.clock.now))
        return self.sent[before:]

    def csflow(self, *words: str) -> tuple[int, str, str]:
        """Call the command line on this project: exit code, output, errors."""
        from click.testing import CliRunner

        from csflow.cli import main

        self.book.write()
        options = ["--project", str(self.folder)] + (["--database", self.database] if self.database else [])
        done = CliRunner().invoke(main, [*options, *words])
        return done.exit_code, done.stdout, done.stderr

    @property
    def database(self) -> str | None:
        """The address of its database; None for the file in its folder."""
        return self.app.database

    def close(self) -> None:
        """Let go of the database."""
        self.app.close()


def _write(folder: Path, files: Files) -> None:
    for name, text in ({"csflow.yaml": files} if isinstance(files, str) else files).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")


@pytest.fixture
def csflow_project(tmp_path: Path) -> Iterator[Callable[..., TestedProject]]:
    """Makes projects: ``csflow_project(files, pack=…, today=…, database=…)``.

    ``files`` is the text of csflow.yaml, or name → text of several (``.py`` too: a plugin); without a csflow.yaml the
    project is a plain one in euros and UTC. ``pack`` extends a pack.
    """
    made: list[TestedProject] = []

    def make(
        files: Files = "", *, pack: str | None = None, today: str = "2026-01-31", database: str | None = None
    ) -> TestedProject:
        folder = tmp_path / f"project-{len(made) + 1}"
        folder.mkdir()
        texts = {"csflow.yaml": files} if isinstance(files, str) else dict(files)
        if pack is not None:
            texts.setdefault("csflow.yaml", "")
            head = "" if "csflow: 1" in texts["csflow.yaml"] else f"csflow: 1\nname: tested\nextends: [{pack}]\n"
            texts["csflow.yaml"] = head + texts["csflow.yaml"]
        texts.setdefault("csflow.yaml", PLAIN)
        _write(folder, texts)
        made.append(TestedProject(folder, database, today))
        return made[-1]

    yield make
    for project in made:
        project.close()


# Holding plugins against what csflow relies on -----------------------------------------------------------------------


def usage(feature: str, on: str, count: float | None = 1, *, seconds: float | None = None) -> Usage:
    """A row of usage for `check_metric` and `check_milestone`."""
    return Usage(feature, day(on), count, seconds, None)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a metric is asked in a check: the usage and the facts of each subject, the ``with:``, the day."""

    usage: Mapping[str, Sequence[Usage]] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    subjects: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    today: str = "2026-01-31"

    def batch(self, *subjects: str) -> Batch:
        """The batch csflow would ask, for all subjects or for these."""
        chosen = subjects or tuple(dict.fromkeys([*self.subjects, *self.usage, *self.facts]))
        rows = {one: tuple(sorted(self.usage[one], key=lambda row: row.day)) for one in chosen if one in self.usage}
        facts = {one: dict(self.facts[one]) for one in chosen if one in self.facts}
        return Batch(chosen, deepcopy(dict(self.options)), day(self.today), rows, facts)


def check_metric(
    metric: Provider | Callable[[Batch], Mapping[str, Any]],
    asked: Asked,
    expect: Mapping[str, Any],
    *,
    type: str = "number",  # noqa: A002
) -> None:
    """Ask a metric, and hold what it gives against ``expect`` and against what csflow relies on.

    It answers only for whom it was asked, with values of the ``type``; the same when asked twice, in any order, or one
    by one (csflow chooses the batches); and leaves what it is given as it is. AssertionError says which it is not.
    """
    _check(metric, asked, expect, kind=type, dated=False)


def check_milestone(
    milestone: Provider | Callable[[Batch], Mapping[str, Any]], asked: Asked, expect: Mapping[str, bool | str | None]
) -> None:
    """As `check_metric`, for a milestone: True, False, None, or the day it was reached (as text in ``expect``)."""
    wanted = {key: day(value) if isinstance(value, str) else value for key, value in expect.items()}
    _check(milestone, asked, wanted, kind="boolean", dated=True)


def _check(function: Any, asked: Asked, expect: Mapping[str, Any], *, kind: str, dated: bool) -> None:
    from csflow.flow.types import Type
    from csflow.services.computing import answered, checker

    compute = function.compute if isinstance(function, Provider) else function
    assert compute is not None, "a metric in SQL is checked in a project: csflow_project(…).measure()"
    whole = asked.batch()
    check = checker(Type(kind), dated=dated, today=whole.today)

    def ask(batch: Batch) -> dict[str, Any]:
        numbers = {key: place for place, key in enumerate(batch.subjects)}
        given = deepcopy(batch)
        answered(compute, given, numbers, check)
        assert given == batch, "it changed what it was given"
        return {key: value for key, value in dict(compute(batch)).items() if value is not None}

    found = ask(whole)
    wanted = {key: value for key, value in expect.items() if value is not None}
    assert found == pytest.approx(wanted) if kind in {"number", "share"} else found == wanted
    assert ask(whole) == found, "asked twice, it answers differently"
    turned = replace(whole, subjects=tuple(reversed(whole.subjects)))
    assert ask(turned) == found, "asked in another order, it answers differently"
    alone = {key: value for one in whole.subjects for key, value in ask(asked.batch(one)).items()}
    assert alone == found, "asked one by one, it answers differently"
    assert ask(replace(whole, subjects=(), usage={}, facts={})) == {}, "asked about nobody, it answers"


def message(id_: str = "m-1", *, address: Mapping[str, str] | None = None, **said: Any) -> Message:
    """A message to hand to a notifier."""
    to = Recipient("person", "li", "Li 李", dict(address or {}))
    made = Message(
        id_, to, "C-1: 已延期", "Due was 2026-01-31. 应于当天完成。", "zh", "2026-01-31T23:59:59+08:00",
        "lifecycle/C-1/1", "lifecycle", {"kind": "customer", "id": "C-1"},
    )  # fmt: skip
    return replace(made, **said)


def captured(into: list[Message]) -> Notifier:
    """A notifier that puts what it is given into a list."""

    @contextmanager
    def ready() -> Iterator[Callable[[Message], None]]:
        yield into.append

    return Notifier(ready)


def check_notifier(
    notifier: Notifier | Callable[[Message], None],
    received: Callable[[], Sequence[Any]],
    *,
    address: Mapping[str, str] | None = None,
    failing: Iterable[tuple[Callable[[], Any], type[Exception]]] = (),
    secrets: Iterable[str] = (),
) -> None:
    """Hold a notifier against what csflow relies on.

    ``received`` gives what the other side has got so far. Three messages arrive once each, their id with them and
    Chinese intact. ``failing``: (make the other side fail, RetryLater or Undeliverable): it raises that, and nothing
    arrives. No error it raises holds one of the ``secrets``.
    """
    sent = [message(f"check-{number}", address=address) for number in (1, 2, 3)]
    before = len(received())
    with _opened(notifier) as send:
        for one in sent:
            send(one)
    got = list(received())[before:]
    assert len(got) == len(sent), f"{len(sent)} messages went out, {len(got)} arrived"
    text = json.dumps(got, ensure_ascii=False, default=str)
    for one in sent:
        assert one.id in text, f"the id {one.id} did not arrive: a receiver could not drop a repeat"
    assert "已延期" in text, "Chinese did not arrive as it was"
    for fail, kind in failing:
        fail()
        before = len(received())
        reason = _refused(notifier, message("check-4", address=address), kind)
        assert len(received()) == before, f"it raised {kind.__name__}, and yet something arrived"
        for secret in secrets:
            assert secret not in reason, "a secret stands in what it raises"


def _refused(notifier: Notifier | Callable[[Message], None], one: Message, kind: type[Exception]) -> str:
    try:
        with _opened(notifier) as send:
            send(one)
    except (RetryLater, Undeliverable) as error:
        assert isinstance(error, kind), f"it raised {type(error).__name__}, not {kind.__name__}"
        return f"{error!r} {error.__cause__!r}"
    raise AssertionError(f"the other side failed and it raised nothing: {kind.__name__} is due")


@contextmanager
def _opened(notifier: Notifier | Callable[[Message], None]) -> Iterator[Callable[[Message], None]]:
    if isinstance(notifier, Notifier):
        if notifier.ready is not None:
            notifier.ready()
        with notifier.open() as send:
            yield send
    else:
        yield notifier
