"""What goes wrong while the outbox goes out: plugins that misbehave, receivers that are away, secrets; and effects of plugins."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
from post_office import RetryLater

from csflow.flow.loader import Surroundings, load
from csflow.hookspecs import Notifier, NotReady
from csflow.services import deliver as module
from csflow.services.deliver_tries import GIVE_UP, TRIES
from csflow.services.outbox import Filter, list_outbox
from csflow.store.catalogue import CATALOGUE


@pytest.mark.parametrize("error", [SystemExit(3), ZeroDivisionError("oh"), MemoryError(), AssertionError()], ids=repr)
def test_a_notifier_that_misbehaves_is_named_and_the_others_go_on(office, error):
    office.customers(2)
    office.say("mail", "C-1")
    office.say("go", "C-2")

    def bad(_message):
        raise error

    done = office.deliver(mail=bad)
    assert (done.sent, done.again) == (1, 1)
    assert (done.failed[0]["via"], type(error).__name__ in done.failed[0]["error"]) == ("mail", True)
    assert [(one.plugin, one.hook, one.name) for one in done.plugins] == [("test", "csflow_notifiers", "mail")]


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_way_that_is_not_ready_is_not_opened_and_says_so_in_a_dry_run_too(office, dry_run):
    office.customers(2)
    office.say("mail", "C-1")
    office.say("mail", "C-2")

    def opened():
        raise AssertionError("it was opened")

    def ready():
        raise NotReady("MAIL is not set")

    done = office.deliver(mail=Notifier(opened, ready=ready), dry_run=dry_run)
    assert (done.sent, done.again, done.plugins) == (0, 2, [])
    assert {entry["error"] for entry in done.failed} == {"MAIL is not set"}
    assert [row.tries for row in office.outbox()] == [0, 0]


def test_a_notifier_that_cannot_be_opened_or_closed_is_tried_again_with_all_that_it_took(office):
    office.customers(2)
    office.say("mail", "C-1")
    office.say("mail", "C-2")
    taken = []

    class Lost:
        def __enter__(self):
            return taken.append

        def __exit__(self, *_):
            raise OSError("the disk is full")

    done = office.deliver(mail=Notifier(Lost))
    assert (len(taken), done.sent, done.again, office.statuses()) == (2, 0, 2, ["pending", "pending"])


def test_a_notifier_that_is_down_is_not_asked_for_each_of_a_thousand_messages(office):
    keys = office.customers(12)
    for key in keys:
        office.say("go", key)
    office.trouble["*"] = RetryLater("down")
    done = office.deliver()
    assert (done.again, done.down, done.held, done.waiting) == (GIVE_UP, ["post"], 7, 12)
    assert sorted(row.tries for row in office.outbox()) == [0] * 7 + [1] * 5
    held = [row for row in list_outbox(office.store, office.definition, Filter()) if row["held"]]
    assert len(held) == 7
    assert {(row["status"], row["tries"], row["held"]) for row in held} == {
        ("pending", 0, "not tried, as messages that go the same way failed again and again: down")
    }
    assert {row["next_try"] for row in held} <= {"2026-03-02 12:00", "2026-03-02 12:01"}  # 48 to 72 seconds later
    office.trouble.clear()
    office.later(minutes=5)
    assert office.deliver().sent == 12


def with_people(office, boxes):
    """Six more people with the role of lead, each at an address of its own."""
    more = "".join(f"  p{n}: {{label: P, roles: [lead], address: {{post: {box}}}}}\n" for n, box in enumerate(boxes))
    text = (office.folder / "csflow.yaml").read_text("utf-8")
    (office.folder / "csflow.yaml").write_text(text.replace("people:\n", f"people:\n{more}", 1), "utf-8")
    office.definition = load(office.folder, Surroundings(CATALOGUE)).definition


def by_host(office, host):
    @contextmanager
    def opened():
        yield office.send

    return Notifier(opened, host)


def host(message):
    return message.recipient.address["post"].partition("/")[0]


def test_dead_receivers_hold_up_nobody_but_themselves(office):
    dead = [f"dead{n}/x" for n in range(6)]
    with_people(office, [*dead, "well/x"])
    office.customers(3)
    for key in ("C-1", "C-2", "C-3"):
        office.say("lead", key)
    for box in dead:
        office.trouble[box] = RetryLater("no answer")
    done = office.deliver(post=by_host(office, host))
    # three messages to each of nine people: six of them cannot be reached, none of those is asked five times
    assert (done.sent, done.again, done.held, done.down) == (9, 18, 0, [])
    assert {message.recipient.id for message in office.box} == {"p6", "ann", "bob"}


def test_people_behind_one_dead_receiver_are_held_back_together_and_tried_after_the_others(office):
    with_people(office, [*(f"dead/{n}" for n in range(7)), "well/x"])
    tried = []

    @contextmanager
    def opened():
        def send(message):
            tried.append(message.recipient.id)
            office.send(message)

        yield send

    office.customers(1)
    office.say("lead")
    for n in range(7):
        office.trouble[f"dead/{n}"] = RetryLater("no answer")
    done = office.deliver(post=Notifier(opened, host))
    assert (done.sent, done.again, done.held, done.down) == (3, GIVE_UP, 2, ["post"])
    first, *others = tried
    dead = [f"p{n}" for n in range(7)]
    assert (first in dead, set(others[:3]), set(others[3:]) < set(dead)) == (True, {"p7", "ann", "bob"}, True)
    office.trouble.clear()
    office.later(minutes=5)
    assert office.deliver(post=by_host(office, host)).sent == 7
    assert {(row.status, row.error) for row in office.outbox()} == {("sent", None)}


def test_what_stands_behind_a_message_that_failed_is_not_due_before_it(office):
    office.customers(1)
    office.say("six")
    office.trouble["*"] = RetryLater("busy", after=600)
    done = office.deliver()
    assert (done.again, done.waiting, done.next_due) == (1, 6, office.now + 600_000_000)


def test_a_notifier_that_cannot_say_its_receiver_is_one_receiver(office):
    office.customers(1)
    office.say("go")
    assert office.deliver(post=by_host(office, lambda _message: 1 / 0)).sent == 1


def test_no_secret_of_the_environment_and_no_address_stands_in_an_error(office):
    office.customers(1)
    office.say("mail")
    secret = "hunter2-very-secret"  # noqa: S105
    means = office.means(
        mail=lambda m: (_ for _ in ()).throw(RuntimeError(f"{secret} {m.recipient.address} {m.recipient.name}"))
    )
    environment = {"CSFLOW_SMTP_URL": f"smtps://me:{secret}@example.com", "HOOK_TOKEN": "abcdefgh"}
    means = module.Means(means.notifiers, means.effects, environment)
    done = module.deliver(office.store, office.definition, means, module.Handing(office.clock))
    everything = json.dumps(done.failed) + office.bodies()
    for word in (secret, "li@example.com", "li-box", "Li Lei"):
        assert word not in everything


def test_while_something_is_missing_here_no_try_is_counted_and_nothing_dies_of_it(office):
    text = (office.folder / "csflow.yaml").read_text("utf-8").replace("post: li-box", "post: $LI_BOX")
    (office.folder / "csflow.yaml").write_text(text, "utf-8")
    office.definition = load(office.folder, Surroundings(CATALOGUE)).definition
    office.customers(1)
    office.say("go")
    for _ in range(TRIES + 1):
        done = office.deliver()
        assert done.failed[0]["error"] == "the environment has no LI_BOX, the address for post"
        office.later(minutes=2)
    assert [(row.status, row.tries) for row in office.outbox()] == [("pending", 0)]
    means = module.Means(office.means().notifiers, {}, {"LI_BOX": "there"})
    office.later(minutes=5)
    module.deliver(office.store, office.definition, means, module.Handing(office.clock))
    assert office.box[0].recipient.address["post"] == "there"
    assert "there" not in office.bodies()


# effects of plugins


def test_an_effect_is_called_with_its_values_and_again_under_the_same_id_until_it_works(office):
    office.customers(1)
    office.say("act")
    office.trouble["call"] = RetryLater("later")
    assert office.deliver().again == 1
    office.trouble.clear()
    office.later(minutes=5)
    assert office.deliver().sent == 1
    (call,) = office.calls
    assert (call.name, call.options, call.case) == (
        "shop/act",
        {"number": 7, "what": "secret story of C-1"},
        "desk/C-1/1",
    )
    assert call.id == office.outbox()[0].effect_id
