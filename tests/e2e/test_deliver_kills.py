"""A deliver that is killed at any point loses nothing; what was marked as sent is not sent again; repeats are the same.

And each customer's messages arrive in the order in which they were written, though they come from two cases.
"""

from __future__ import annotations

import base64
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import pytest
from receiver import Handler, Receiver, serving
from running import KILLED, die_at_commit
from sqlalchemy import select, update

from csflow.app import Csflow
from csflow.builtin import webhook
from csflow.services import deliver
from csflow.services.acting import Act
from csflow.services.customers import Said
from csflow.store import tables as t

MANY = 5
PROJECT = """csflow: 1
name: p
languages: [en]
currency: EUR
zone: Europe/Berlin
roles: {csm: {label: {en: Success manager}}}
people: {li: {label: {en: Li}, roles: [csm], address: {webhook: $LI_HOOK}}}
messages: {hello: {title: {en: "Hello {customer.name}"}, text: {en: "{case.stage}"}}}
"""
FLOW = (
    "flow: {}\nstages:\n  a: {{do: [{{notify: {}, message: hello}}], transitions: {{b: {{trigger: {}}}}}}}\n  b: good\n"
)


class Counting(Handler):
    def answer(self, body: bytes) -> None:
        receiver = self.server
        with receiver.lock:
            receiver.bodies[self.headers["webhook-id"]].append(body)
            receiver.number += 1
            fatal = receiver.number == receiver.fatal
        if fatal and not receiver.answer_first:
            receiver.kill()
        self.send_response(204)
        self.end_headers()
        self.wfile.flush()
        if fatal and receiver.answer_first:
            receiver.kill()


class Counter(Receiver):
    """Counts by the id of the message; at its n-th request it kills the process that sends."""

    def __init__(self) -> None:
        super().__init__(Counting)
        self.bodies: dict[str, list[bytes]] = defaultdict(list)
        self.number, self.fatal, self.answer_first, self.victim = 0, 0, False, 0
        self.lock = threading.Lock()

    def kill(self) -> None:
        if self.victim:
            os.kill(self.victim, signal.SIGKILL)


@pytest.fixture
def receiver(monkeypatch):
    server = Counter()
    monkeypatch.setenv("LI_HOOK", server.url("/hook"))
    monkeypatch.setenv(webhook.PRIVATE, "1")
    monkeypatch.setenv(webhook.SECRET, "whsec_" + base64.b64encode(b"x" * 32).decode())
    with serving(server):
        yield server


@pytest.fixture
def project(tmp_path: Path, database: str) -> Path:
    """A project where MANY customers have two cases each, and of each of them a message waits."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "csflow.yaml").write_text(PROJECT, "utf-8")
    (folder / "care.yaml").write_text(FLOW.format("care", "csm", "go"), "utf-8")
    (folder / "help.yaml").write_text(FLOW.format("help", "li", "gone"), "utf-8")
    app = Csflow(folder, database=database)
    act = Act("li", time.time_ns() // 1_000)
    for n in range(MANY):
        app.add_customer(act, f"C-{n}", said=Said({"name": f"Company {n}"}, {"csm": "li"}))
    for flow in ("care", "help"):
        for n in range(MANY):
            app.open_case(act, flow, subject=f"C-{n}", fields={})
    app.close()
    return folder


def run(folder: str, url: str, later: int, die_at: int) -> None:
    """A deliver at a moment so much later; SIGKILL when its n-th transaction is about to be committed."""
    deliver.CHUNK = 3
    app = Csflow(Path(folder), database=url)
    die_at_commit(app.store, die_at)
    app.deliver(deliver.Handing(lambda: time.time_ns() // 1_000 + later))
    app.close()


def child(project: Path, database: str, receiver: Counter, *, later: int = 0, die_at: int = 0) -> int | None:
    process = multiprocessing.get_context("fork").Process(target=run, args=(str(project), database, later, die_at))
    process.start()
    receiver.victim = process.pid or 0
    process.join(60)
    receiver.victim = 0
    return process.exitcode


def sent(project: Path, database: str) -> dict[str, str]:
    app = Csflow(project, database=database)
    with app.store.reading() as connection:
        rows = connection.execute(select(t.outbox.c.effect_id, t.outbox.c.status)).all()
    app.close()
    return {row.effect_id: row.status for row in rows}


def in_order(project: Path, database: str, receiver: Counter) -> None:
    """What came of each customer came first in the order of writing."""
    app = Csflow(project, database=database)
    with app.store.reading() as connection:
        rows = connection.execute(select(t.outbox.c.party, t.outbox.c.effect_id).order_by(t.outbox.c.id)).all()
    app.close()
    place = {id_: number for number, id_ in enumerate(receiver.bodies)}  # as a dict keeps it: of the first time
    told = defaultdict(list)
    for party, id_ in rows:
        told[party].append(place.get(id_, len(rows)))
    assert {len(numbers) for numbers in told.values()} == {2}
    assert all(numbers == sorted(numbers) for numbers in told.values())


def again(project: Path, database: str) -> None:
    """As it was before: nothing sent, nothing claimed."""
    app = Csflow(project, database=database)
    with app.store.writing() as connection:
        fresh = {
            "status": "pending",
            "tries": 0,
            "next_try": None,
            "claimed": None,
            "claimed_until": None,
            "sent_at": None,
        }
        connection.execute(update(t.outbox).values(**fresh, addressee=None, turn=None))
    app.close()


def finish(project: Path, database: str, receiver: Counter) -> None:
    """After a kill: what is marked stays as it is, the rest goes out once the claim has run out."""
    marked = {id_ for id_, status in sent(project, database).items() if status == "sent"}
    before = {id_: len(bodies) for id_, bodies in receiver.bodies.items()}
    assert marked <= set(before)
    receiver.fatal = 0
    assert child(project, database, receiver, later=deliver.LEASE + 1) == 0
    after = sent(project, database)
    assert set(after.values()) == {"sent"}
    assert set(receiver.bodies) == set(after)  # nothing is lost, and nothing else was sent
    assert {id_: len(receiver.bodies[id_]) for id_ in marked} == {id_: before[id_] for id_ in marked}
    assert all(len(set(bodies)) == 1 for bodies in receiver.bodies.values())  # every repeat says the same
    assert all(len(bodies) <= 2 for bodies in receiver.bodies.values())
    in_order(project, database, receiver)


def test_killed_at_every_commit(project: Path, database: str, receiver: Counter) -> None:
    for number in range(1, 100):
        again(project, database)
        receiver.bodies.clear()
        code = child(project, database, receiver, die_at=number)
        if code == 0:
            break
        assert code == KILLED
        finish(project, database, receiver)
    assert number > 8  # addresses, claims and marks of several chunks


@pytest.mark.parametrize("answer_first", [False, True], ids=["before the answer", "after the answer"])
def test_killed_at_every_message(project: Path, database: str, receiver: Counter, answer_first: bool) -> None:
    for number in range(1, 2 * MANY + 1, 2 if answer_first else 3):
        again(project, database)
        receiver.bodies.clear()
        receiver.number, receiver.fatal, receiver.answer_first = 0, number, answer_first
        assert child(project, database, receiver) in (KILLED, 0)  # the last answer may be marked before the kill comes
        assert receiver.number >= number
        finish(project, database, receiver)


def two_at_once(project: Path, database: str, receiver: Counter) -> None:
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=run, args=(str(project), database, 0, 0)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert child(project, database, receiver) == 0  # what came after something that the other one had claimed
    in_order(project, database, receiver)


def test_two_delivers_at_once_send_each_message_once(project: Path, database: str, receiver: Counter) -> None:
    two_at_once(project, database, receiver)
    assert [len(bodies) for bodies in receiver.bodies.values()] == [1] * (2 * MANY)
    assert set(sent(project, database).values()) == {"sent"}


def test_two_delivers_at_once_keep_the_budget_of_a_day(project: Path, database: str, receiver: Counter) -> None:
    with (project / "csflow.yaml").open("a", encoding="utf-8") as file:
        file.write("quiet: {budget: 4}\n")
    two_at_once(project, database, receiver)
    assert [len(bodies) for bodies in receiver.bodies.values()] == [1] * 4
    assert sorted(sent(project, database).values()) == ["pending"] * (2 * MANY - 4) + ["sent"] * 4


def test_the_command_itself_killed_in_the_middle_and_called_again(
    project: Path, database: str, receiver: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [
        str(Path(sys.executable).parent / "csflow"),
        "--project",
        str(project),
        "--database",
        database,
        "deliver",
    ]
    receiver.fatal = 3
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    receiver.victim = process.pid
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (KILLED, "")
    receiver.victim = 0
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "waiting" in told.stdout  # the claim of the one that died holds for five minutes
    finish(project, database, receiver)
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stdout) == (0, "deliver: 0 messages sent\n")
