"""`Csflow`: one opened project with its definition and its database, for the faces above.

A verb is imported when it is called: a nightly `advance` does not pay for what `import` or `demo` need.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings

from csflow.errors import DefinitionError, UsageError
from csflow.flow.files import CACHE, GENERATED, POPULATION_FILE, PROJECT_FILE, misnamed
from csflow.flow.loader import Loaded, Packs, Surroundings, folders_of, load, load_cached, project_folders
from csflow.flow.types import Importable
from csflow.store.catalogue import CATALOGUE
from csflow.store.opening import Store, open_store
from csflow.values import Zone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from csflow.flow.definition import Definition
    from csflow.flow.types import Importables, Outside
    from csflow.hookspecs import Failure, Provider
    from csflow.plugins import Manager
    from csflow.services.acting import Act, Word
    from csflow.services.advance import Outcome, Request
    from csflow.services.book import Asked
    from csflow.services.customers import Done, Said
    from csflow.services.deliver import Delivered, Handing, Means
    from csflow.services.demo import Heard, Lived, Population
    from csflow.services.importing import Summary
    from csflow.services.outbox import Filter
    from csflow.services.run import Ran
    from csflow.services.tasking import Answer, Wanted
    from csflow.services.work import Tell
    from csflow.values import Day, Instant, Length

VERSION = "0.1.0"


class Csflow:
    """A project folder, opened lazily: nothing is read before it is asked for."""

    def __init__(
        self,
        project: Path,
        *,
        database: str | None = None,
        provided: Iterable[str] = (),
        trace: Callable[[str], object] | None = None,
    ) -> None:
        self.project = project.resolve()
        self._database = database
        self._trace = trace
        self._made: Manager | None = None
        self._provided = frozenset(provided)

    @cached_property
    def surroundings(self) -> Surroundings:
        """What the project is loaded among: packs, facts of the store, what plugins provide."""
        around = Surroundings(CATALOGUE, shipped_packs(), self._provided, country_holidays, VERSION)
        packs = Packs(around.packs, self._packs)
        return replace(around, functions=self._functions, packs=packs, importables=importables)

    @cached_property
    def definition(self) -> Definition:
        """The checked definition, from the cache where nothing changed. DefinitionError where it is wrong."""
        return load_cached(self.project, self.surroundings)

    @cached_property
    def store(self) -> Store:
        """The project's database, opened; created on first use. StoreError where it cannot be used."""
        return open_store(self.database, project=self.project)

    @property
    def database(self) -> str | None:
        """The address of the database: as asked for, else what the project says, else None (a file beside it)."""
        return self._database or self.definition.tree.get("database")

    @property
    def zone(self) -> Zone:
        """The project's zone: it decides which day a moment falls on."""
        return Zone(self.definition.zone)

    @cached_property
    def plugins(self) -> Manager:
        """The plugins: csflow's own, the files beside the project and what it extends, installed packages.

        One that cannot be used is among its ``failures``. UsageError where two are called alike.
        """
        tree = self.definition.tree  # whose functions may have asked for the plugins already
        return self._made or self._manager(project_folders(self.project, self.surroundings), tree.get("plugins_off"))

    @cached_property
    def providers(self) -> dict[str, Provider]:
        """What computes the metrics and milestones that say ``uses:``. UsageError where two provide the same."""
        from csflow.plugins import providers

        return providers(self.plugins)

    def validate(self) -> Loaded:
        """Read and check everything anew, past the cache. DefinitionError where it is wrong."""
        from csflow.plugins import HOOKS, OBSERVER, checks, misplaced, not_there, provided, providers, unreachable

        off: list[str] = []
        try:
            first = load(self.project, self.surroundings)
            folders = project_folders(self.project, self.surroundings)
            off = first.tree.get("plugins_off") or []
            manager = self._manager(folders, off)
        except DefinitionError:  # told anew below: what csflow and the project's own files provide is no warning
            manager = self._manager([self.project], ())
        names = set(providers(manager)).union(*(provided(manager, hook) for hook in HOOKS if hook != OBSERVER))
        around = replace(self.surroundings, provided=self._provided | names, checks=checks(manager))
        loaded = load(self.project, around)
        later = [*not_there(manager, off), *unreachable(manager, loaded.tree.get("people") or {})]
        told = [*loaded.locate(later), *misplaced(manager)]
        return replace(loaded, problems=[*loaded.problems, *told])

    def measure(self, request: Request) -> Ran:
        """Compute the metrics as of ``request.now``."""
        from csflow.services.run import measure_alone

        return self._with_failures(measure_alone(self.store, self.definition, self.providers, request=request), request)

    def advance(self, request: Request, tell: Tell | None = None) -> Outcome:
        """Move every case that is to move; ``tell`` hears each entry once it is written, then plugins that observe."""
        from csflow.services.advance import advance

        definition = self.definition  # one that calls functions of plugins has made these by now
        if request.dry_run or (self._made is None and not self._observed()):
            return advance(self.store, definition, request, tell)
        from csflow.plugins import MovesTold
        from csflow.services.plugin_health import of_pass
        from csflow.store.calling import FUNCTIONS

        told = MovesTold(self.plugins, tell)
        outcome = advance(self.store, definition, request, told.hear)
        told.end(outcome)
        unmade = [failure for failure in self.plugins.failures if failure.hook == FUNCTIONS]
        self._record(request, [*unmade, *of_pass(outcome.plugins)], (*told.hooks, FUNCTIONS))
        return outcome

    def run(self, request: Request, tell: Tell | None = None) -> Ran:
        """Measure, then advance, at one moment."""
        from csflow.plugins import MovesTold
        from csflow.services.run import run

        told = MovesTold(self.plugins, tell, dry_run=request.dry_run)
        ran = run(self.store, self.definition, self.providers, request=request, tell=told.hear)
        if ran.outcome is not None:
            told.end(ran.outcome)
        return self._with_failures(ran, request)

    def _with_failures(self, ran: Ran, request: Request) -> Ran:
        """What plugins did wrong is told with what was measured, and kept."""
        from csflow.hookspecs import RUN_HOOKS
        from csflow.services.plugin_health import from_dict, of_pass, told_once

        ran.measured.failed[:] = told_once(self.plugins.failures, ran.measured.failed)
        hooks = RUN_HOOKS if ran.outcome is not None else RUN_HOOKS[:-1]
        more = of_pass(ran.outcome.plugins) if ran.outcome is not None else []
        self._record(request, [*map(from_dict, ran.measured.failed), *more], hooks)
        return ran

    def _record(self, request: Request, failures: Iterable[Failure], hooks: Iterable[str]) -> None:
        from csflow.services.plugin_health import record_failures

        if not request.dry_run:
            with self.store.writing() as connection:
                record_failures(connection, failures, at=request.now, recorded=request.recorded, hooks=hooks)

    def _observed(self) -> bool:
        """Whether a plugin hears of moves; asked of the plugins once, then remembered until others are there."""
        from csflow.installed import places, recall, remember

        folders = project_folders(self.project, self.surroundings)
        files = [path for folder in folders for path in sorted(folder.glob("*.py"))]
        off = self.definition.tree.get("plugins_off") or ()
        key = places([VERSION, *off], files)
        kept = recall(self.project / CACHE, key)
        if kept is None:
            kept = bool(self.plugins.hook.csflow_moved.get_hookimpls())
            remember(self.project / CACHE, key, observed=kept)
        return kept

    def deliver(self, request: Handing, tell: Callable[[dict[str, Any]], None] | None = None) -> Delivered:
        """Hand out the messages that wait; ``tell`` hears of each. What fails is in the result, never raised."""
        from csflow.services.deliver import HOOKS, deliver
        from csflow.services.plugin_health import record_failures

        means = self.ways()
        done = deliver(self.store, self.definition, means, request, tell=tell)
        done.plugins += [failure for failure in self.plugins.failures if failure.hook in (*HOOKS, "import")]
        if not request.dry_run:
            with self.store.writing() as connection:
                record_failures(connection, done.plugins, at=done.at, recorded=done.at, hooks=HOOKS)
        return done

    def ways(self) -> Means:
        """How messages can go out: the notifiers and effects of all plugins. UsageError where two have one name."""
        from csflow.plugins import provided
        from csflow.services.deliver import HOOKS, Means

        notifiers, effects = (provided(self.plugins, hook) for hook in HOOKS)
        return Means(notifiers, effects, os.environ)

    def list_plugins(self) -> list[dict[str, Any]]:
        """Every plugin: name, version, origin, hooks, what it provides, whether it is off, its failures."""
        from csflow.plugins import listed
        from csflow.services.plugin_health import plugin_failures

        with self.store.reading() as connection:
            before = plugin_failures(connection)
        for one in before:
            one["at"] = self.zone.text(one["at"])
        return listed(self.plugins, before, self.definition.tree.get("plugins_off") or ())

    def import_from(self, name: str, **said: Any) -> Summary:
        """Import what a plugin reads for a mapping that says ``uses:``. PluginError where it fails."""
        from csflow.plugins import provided
        from csflow.services.importing_plugins import import_rows

        readers = provided(self.plugins, "csflow_importers")
        said.setdefault("rejects", self.project / f"{name}.rejects.csv")
        return import_rows(self.store, self.definition, name, readers, **said)

    # What people read.

    def list_outbox(self, wanted: Filter) -> list[dict[str, Any]]:
        """The messages wanted, the oldest first."""
        from csflow.services import outbox

        return outbox.list_outbox(self.store, self.definition, wanted)

    def show_message(self, id_: str, *, now: Instant) -> dict[str, Any]:
        """One message with its text as it would go out now."""
        from csflow.services import outbox

        return outbox.show_message(self.store, self.definition, id_, now=now)

    def status(self, now: Instant, *, flow: str | None = None, stuck: int = 10) -> dict[str, Any]:
        """Where all cases stand, who moved in the last pass, what is overdue, who is stuck."""
        from csflow.services.status import status

        return status(self.store, self.definition, now, flow=flow, stuck=stuck)

    def book(self, now: Instant, asked: Asked) -> dict[str, Any]:
        """Metrics of a set of customers, over a period and by groups."""
        from csflow.plugins import functions
        from csflow.services.book import book

        return book(self.store, self.definition, now, asked, functions=lambda: functions(self.plugins))

    def explain(
        self, target: str, now: Instant, *, actor: str, recorded: Instant, flow: str | None = None
    ) -> dict[str, Any]:
        """Why the cases of a customer, or one case, are where they are."""
        from csflow.services import explain

        asked = explain.Asked(now, actor, recorded)
        return explain.explain(self.store, self.definition, target, asked, flow=flow)

    def history(
        self, target: str, now: Instant, *, flow: str | None = None, limit: int | None = None, verbose: bool = False
    ) -> dict[str, Any]:
        """Everything that happened to the cases of a customer, or to one case."""
        from csflow.services.history import history

        return history(self.store, self.definition, target, now, flow=flow, limit=limit, verbose=verbose)

    def live(self, population: Population, tell: Heard) -> Lived:
        """Let a generated population live through its weeks; ``tell`` hears of weeks and messages."""
        from csflow.services.demo import DATA, live

        return live(self.store, self.definition, self.providers, population, data=self.project / DATA, tell=tell)

    def page(self, file: Path, now: Instant, *, language: str | None = None) -> list[str]:
        """Write the project's page; what of it could not be made, a line each."""
        from csflow.plugins import callables
        from csflow.services.page_html import write_page

        note = self.project / GENERATED
        return write_page(
            file, self.store, self.definition, now, language=language,
            sections=callables(self.plugins, "csflow_sections"),
            note=note.read_text("utf-8").strip() if note.is_file() else None,
        )  # fmt: skip

    def _manager(self, folders: Iterable[Path], off: Iterable[str] | None) -> Manager:
        from csflow.builtin import console, file, mail, sections, usage, webhook
        from csflow.plugins import local_plugins, make_manager

        files = local_plugins(folders)
        ways = [("csflow.console", console), ("csflow.mail", mail), ("csflow.webhook", webhook)]
        built_in = [("csflow", usage), ("csflow.sections", sections), *ways, ("csflow.file", file.Filing(self.project))]
        self._made = make_manager(built_in, off=off or (), files=files, version=VERSION, trace=self._trace)
        return self._made

    def _functions(self, tree: dict[str, Any], files: tuple[Path, ...]) -> Mapping[str, Outside]:
        """What plugins add to expressions: asked for while a definition is built that calls none of csflow's own."""
        from csflow.plugins import functions

        return functions(self._made or self._manager(folders_of(self.project, files), tree.get("plugins_off")))

    def _packs(self) -> Mapping[str, Path]:
        """What installed packages and the project's own files bring to extend: asked for where csflow ships none."""
        from csflow.plugins import local_plugins, make_manager, packs

        return packs(make_manager((), files=local_plugins([self.project]), version=VERSION))

    def doctor(self, now: Instant, *, clock: Instant, every: Length | None = None) -> dict[str, Any]:
        """What is wrong with the project and its database, and what to do; nothing is changed."""
        from csflow.services.doctor import Looking, examine

        return examine(Looking(now, clock, every, self._database, self.project), self.validate, self._failures)

    def _failures(self) -> list[Failure]:
        """What went wrong with the plugins when each was asked what it provides."""
        from csflow.plugins import HOOKS, OBSERVER, provided, providers

        providers(self.plugins)
        for hook in HOOKS:
            if hook != OBSERVER:
                provided(self.plugins, hook)
        return self.plugins.failures

    # What people do by hand: each is one transaction, or none when it is refused.

    def trigger(self, act: Act, word: Word) -> dict[str, Any]:
        """Say a word to a customer, another subject or a case; what came of it. RefusedError where it may not."""
        from csflow.services import acting

        return acting.trigger(self.store, self.definition, act, word)

    def open_case(self, act: Act, flow: str, *, subject: str, fields: Mapping[str, str]) -> dict[str, Any]:
        """Open a case of any flow; ``fields`` as people write them."""
        from csflow.services import acting

        return acting.open_case(self.store, self.definition, act, flow=flow, subject=subject, fields=fields)

    def set_case(self, act: Act, case: str, *, fields: Mapping[str, str]) -> dict[str, Any]:
        """Fill fields of a case, or say with ``waiting`` that we wait for the customer."""
        from csflow.services import acting

        return acting.set_case(self.store, self.definition, act, case=case, fields=fields)

    def show_case(self, case: str, *, now: Instant) -> dict[str, Any]:
        """A case with its fields, milestones, deadlines, tasks and last entries."""
        from csflow.services import showing

        return showing.show_case(self.store, self.definition, case, now=now)

    def list_tasks(self, wanted: Wanted, *, now: Instant) -> list[dict[str, Any]]:
        """Tasks, the most urgent first."""
        from csflow.services import tasking

        return tasking.list_tasks(self.store, self.definition, wanted, now=now)

    def finish_task(self, act: Act, answer: Answer) -> dict[str, Any]:
        """End a task, or answer an approval."""
        from csflow.services import tasking

        return tasking.finish_task(self.store, self.definition, act, answer)

    def snooze_task(self, act: Act, case: str, *, task: str, until: Day) -> dict[str, Any]:
        """Keep a task out of the lists until a day begins."""
        from csflow.services import tasking

        return tasking.snooze_task(self.store, self.definition, act, case=case, task=task, until=until)

    def assign_task(self, act: Act, case: str, *, task: str, person: str) -> dict[str, Any]:
        """Hand a task to a colleague."""
        from csflow.services import tasking

        return tasking.assign_task(self.store, self.definition, act, case=case, task=task, person=person)

    def add_activity(self, act: Act, done: Done) -> dict[str, Any]:
        """Note a visit, a call … with a customer."""
        from csflow.services import customers

        return customers.add_activity(self.store, self.definition, act, done)

    def add_customer(self, act: Act, customer: str, *, said: Said) -> dict[str, Any]:
        """Enter a customer."""
        from csflow.services import customers

        return customers.add_customer(self.store, self.definition, act, customer=customer, said=said)

    def set_customer(self, act: Act, customer: str, *, said: Said) -> dict[str, Any]:
        """Change what is known of a customer, or who fills a role for it."""
        from csflow.services import customers

        return customers.set_customer(self.store, self.definition, act, customer=customer, said=said)

    def show_customer(self, act: Act, customer: str) -> dict[str, Any]:
        """All that is known of a customer now."""
        from csflow.services import showing

        return showing.show_customer(self.store, self.definition, act, customer=customer)

    def customer_file(self, customer: str, *, now: Instant, since: Instant | None = None) -> list[dict[str, Any]]:
        """All that happened with a customer, oldest first."""
        from csflow.services import showing

        return showing.customer_file(self.store, self.definition, customer, now=now, since=since)

    def change_outbox(self, act: Act, verb: str, *, wanted: Filter) -> list[dict[str, Any]]:
        """Release, retry or drop messages; what was changed. RefusedError where that means nothing."""
        from csflow.services import outbox

        return outbox.change_outbox(
            self.store, self.definition, verb, wanted, actor=act.actor, now=act.recorded, dry_run=act.dry_run
        )

    def erase_contact(self, act: Act, contact: str) -> dict[str, Any]:
        """Blank what says who a contact is; history and figures stay."""
        from csflow.services import customers

        return customers.erase_contact(self.store, self.definition, act, contact=contact)

    def close(self) -> None:
        """Let go of the database, if it was opened."""
        if "store" in self.__dict__:
            self.store.close()


def find_project(start: Path) -> Path:
    """The folder with a csflow.yaml that is ``start`` or lies above it. UsageError where there is none."""
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    for folder in (start.resolve(), *start.resolve().parents):
        _refuse_misnamed(folder)
    raise UsageError(
        f"no {PROJECT_FILE} in {start} or above: name a project with --project, or make one with csflow init"
    )


def _refuse_misnamed(folder: Path) -> None:
    other = misnamed(folder)
    if other is not None:
        raise UsageError(f"no {PROJECT_FILE} in {folder}, but {other} is there: call it {PROJECT_FILE}")


def project_at(folder: Path) -> Path:
    """The named folder, if it holds a project. UsageError where it does not."""
    if not (folder / PROJECT_FILE).is_file():
        _refuse_misnamed(folder)
        raise UsageError(f"no {PROJECT_FILE} in {folder}: csflow init {folder} makes a project there")
    return folder.resolve()


def population_in(folder: Path, *, seed: int, customers: int, weeks: int | None = None) -> Population:
    """The generated population that a project or pack brings. UsageError where it has none, or a wrong one."""
    from csflow.plugins import import_file
    from csflow.services.demo import population_of

    path = folder / POPULATION_FILE
    if not path.is_file():
        raise UsageError(f"{path}: there is no population to generate")
    return population_of(import_file(path), seed=seed, customers=customers, weeks=weeks)


def shipped_packs() -> dict[str, Path]:
    """The packs that come with csflow, by name: beside the package in a wheel, in the source tree otherwise."""
    here = Path(__file__).resolve().parent
    homes = (here / "configs", here.parents[1] / "configs")
    home = next((folder for folder in homes if folder.is_dir()), None)
    if home is None:
        return {}
    return {path.name: path for path in sorted(home.iterdir()) if (path / PROJECT_FILE).is_file()}


def country_holidays(country: str) -> list[str] | None:
    """The public holidays of a country (ISO 3166, ``DE`` or ``DE-BY``) as days.

    None where they are not known: a country or a part of it that nobody knows, or no extra ``calendar``.
    """
    # A heavy, optional library that only a cold load of a calendar with a country needs.
    try:
        holidays = import_module("holidays")
    except ImportError:
        return None
    land, _, part = country.partition("-")
    try:
        with catch_warnings(action="ignore", category=UserWarning):  # of years that a country's holidays do not reach
            found = holidays.country_holidays(land, subdiv=part or None, years=range(2000, 2051))
    except (NotImplementedError, TypeError, KeyError, ValueError):
        # The library looks the name up among all its own names: for one that is none it raises the first, for one that
        # is no country a TypeError or what calling that thing gives. The project is loaded, and the name is warned of.
        return None
    return sorted(day.isoformat() for day in found)


def importables() -> Importables:
    """What imports can fill, by kind: looked up when a definition is read anew."""
    from csflow.store.importing_kinds import KINDS

    return {name: Importable(tuple(kind.columns), kind.needs, kind.fields) for name, kind in KINDS.items()}
