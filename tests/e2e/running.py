"""Verbs of a project on one database, as `csflow import`, `measure` and `advance` call them; and the same in a process
of its own that kills itself at the n-th commit."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from sqlalchemy import event

from csflow.app import Csflow
from csflow.builtin import usage
from csflow.plugins import make_manager, providers
from csflow.services.advance import Outcome, Request, advance
from csflow.services.importing import Summary, import_file
from csflow.services.measure import Measured, measure
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

    def die_at_commit(self, number: int) -> None:
        """From now on: SIGKILL when the n-th transaction is about to be committed (half of them: just after)."""
        seen = 0

        def commit(_connection: object) -> None:
            nonlocal seen
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(self.store.engine, "commit", commit)


def main(folder: str, url: str, number: str, *verb: str) -> None:
    running = Running(Path(folder), url)
    if int(number):
        running.die_at_commit(int(number))
    if verb[0] == "import":
        running.bring(verb[1], Path(verb[2]), verb[3])
    elif verb[0] == "measure":
        running.measure(verb[1])
    else:
        running.advance(verb[1])
    running.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
