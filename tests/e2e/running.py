"""Verbs of a project on one database, as `csflow import`, `measure` and `advance` call them; and the same in a process
of its own that kills itself at the n-th commit."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy import event

from csflow.app import Csflow
from csflow.builtin import usage
from csflow.plugins import make_manager, providers
from csflow.services.advance import Outcome, Request, advance
from csflow.services.importing import Summary, import_file
from csflow.services.measure import Measured, measure
from csflow.store.opening import Store
from csflow.values import day

KILLED = -int(signal.SIGKILL)


class Running:
    """A project folder with a database; time is an argument of every verb."""

    def __init__(self, folder: Path, url: str) -> None:
        manager = make_manager([("usage", usage)])
        self.providers = providers(manager)
        self.app = Csflow(folder, database=url, provided=self.providers)
        self.definition, self.store = self.app.definition, self.app.store
        self.zone = self.app.zone

    def close(self) -> None:
        self.app.close()

    def at(self, text: str) -> int:
        return self.zone.end_of(day(text))

    def bring(self, name: str, path: Path, on: str) -> Summary:
        at = self.at(on)
        target = path.with_name(f"{name}.rejects.csv")
        return import_file(self.store, self.definition, name, path, as_of=at, recorded=at, rejects=target)

    def measure(self, on: str) -> Measured:
        at = self.at(on)
        return measure(self.store, self.definition, self.providers, now=at, recorded=at)

    def advance(self, on: str, **more: object) -> Outcome:
        at = self.at(on)
        return advance(self.store, self.definition, Request(at, "test", at, **more))  # type: ignore[arg-type]

    def run(self, on: str) -> Outcome:
        self.measure(on)
        return self.advance(on)


def die_at_commit(store: Store, number: int) -> None:
    """From now on: SIGKILL when the n-th transaction is about to be committed (never where n is 0)."""
    seen = 0

    def commit(_connection: object) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(store.engine, "commit", commit)


def killed_at(project: Path, url: str, number: int, verb: list[str]) -> bool:
    """Run a verb in a forked process that dies at its n-th commit; False when it had fewer."""
    context = multiprocessing.get_context("spawn" if number == 0 else "fork")
    process = context.Process(target=main, args=(str(project), url, str(number), *verb))
    process.start()
    process.join(120)
    assert process.exitcode in (0, KILLED), (process.exitcode, verb)
    return process.exitcode == KILLED


def kill_through(project: Path, url: str, verb: list[str]) -> int:
    """Run a verb to its end, each try killed one commit later than the one before, on what that one had left behind.

    Returns how often it was killed. No connection to the database may be open: a fork would share it.
    """
    number = 1
    while killed_at(project, url, number, verb):
        number += 1
        assert number < 100, verb
    return number - 1


def until_it_works(process: subprocess.Popen[str], verb: str, database: Path) -> int:
    """Wait until the process, or one that it started, has opened its database file for this verb; that one's number.

    From then on a signal ends it the way csflow says; where the test holds the lock, it can but wait.
    """
    if not Path("/proc/self/fd").exists():  # no Linux
        time.sleep(4)
        return process.pid
    given_up = time.monotonic() + 60
    while time.monotonic() < given_up and process.poll() is None:
        for pid in (process.pid, *_children(process.pid)):
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                if verb in words and str(database) in map(os.readlink, Path(f"/proc/{pid}/fd").iterdir()):
                    return pid
        time.sleep(0.05)
    raise AssertionError(f"it has not opened {database} to {verb}: {process.poll()}")


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def main(folder: str, url: str, number: str, *verb: str) -> None:
    running = Running(Path(folder), url)
    die_at_commit(running.store, int(number))
    if verb[0] == "import":
        running.bring(verb[1], Path(verb[2]), verb[3])
    elif verb[0] == "measure":
        running.measure(verb[1])
    else:
        running.advance(verb[1])
    running.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
