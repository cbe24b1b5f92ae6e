"""Messages about one customer to one addressee go out in the order in which they were written; on both databases."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict

import pytest
from hand import MONDAY, ZONE, Hand
from post_office import PROJECT, Office, RetryLater, Undeliverable
from sqlalchemy import event, insert, select, update

from csflow.hookspecs import Notifier
from csflow.services import deliver as module
from csflow.services.deliver_tries import GIVE_UP, TRIES
from csflow.services.outbox import Filter, change_outbox
from csflow.store import tables as t

FLOW = """
flow: {name}
label: {{en: {name}, zh: {name}}}
responsible: csm
fields: {{what: {{type: text, label: {{en: What, zh: 何事}}}}}}
stages:
  begin: {{label: {{en: Begun, zh: 开始}}}}
  told: {{label: {{en: Told, zh: 告知}}}}
  led: {{label: {{en: Led, zh: 主管}}}}
  named: {{label: {{en: Named, zh: 点名}}}}
  mailed: {{label: {{en: Mailed, zh: 邮件}}}}
  many: {{label: {{en: Many, zh: 多次}}}}
transitions:
  told: {{trigger: {name}_csm, do: [{{notify: csm, message: tick}}]}}
  led: {{trigger: {name}_lead, do: [{{notify: lead, message: tick}}]}}
  named: {{trigger: {name}_bob, do: [{{notify: bob, message: tick}}]}}
  mailed: {{trigger: {name}_mail, do: [{{notify: csm, message: tick, via: mail}}]}}
  many: {{trigger: {name}_many, do: [{{notify: csm, message: tick}}, {{notify: bob, message: tick, via: mail}}, {{notify: lead, message: tick}}, {{notify: csm, message: tick, via: mail}}]}}
"""
OUTFIT = FLOW.replace("responsible: csm", "subject: organisation").replace("notify: csm", "notify: li")
WORDS = ("csm", "lead", "bob", "mail", "many")


class Orders(Office):
    """Two flows of customers, so that one has two cases, and one of organisations; what was handed out, in order."""

    def __init__(self, database, folder, quiet=""):
        files = {"csflow": PROJECT + quiet, "outfit": OUTFIT.format(name="outfit")}
        Hand.__init__(self, database, folder, files | {name: FLOW.format(name=name) for name in ("east", "west")})
        self.box, self.calls, self.trouble = [], [], {}
        self.now = ZONE.at(MONDAY, 12 * 60)

    def two(self, *keys):
        """Customers with a case of each flow."""
        for key in keys:
            self.customer(key, csm="li")
            for flow in ("east", "west"):
                self.open(flow, key, what="x")

    def ids(self):
        return [message.id for message in self.box]

    def written(self):
        """The ids of the messages, in the order of writing."""
        return [row.effect_id for row in self.outbox()]

    def both_ways(self, **more):
        return self.deliver(**({"mail": self.send} | more))


@pytest.fixture
def orders(database, tmp_path):
    opened = Orders(database, tmp_path / "orders")
    yield opened
    opened.store.close()


def test_a_later_message_of_another_case_waits_while_the_earlier_one_fails_and_goes_right_after_it(orders):
    orders.two("C-1", "C-2")
    for word, key in (("east_csm", "C-1"), ("west_csm", "C-1"), ("west_csm", "C-2"), ("east_mail", "C-1")):
        orders.say(word, key)
    first, second, other, third = orders.written()
    orders.trouble[first] = RetryLater("busy", after=600)
    done = orders.both_ways()
    assert (orders.ids(), done.again, done.waiting, done.next_due) == ([other], 1, 3, orders.now + 600_000_000)
    assert [row.tries for row in orders.outbox()] == [1, 0, 1, 0]
    orders.trouble.clear()
    orders.later(minutes=5)
    assert orders.both_ways().sent == 0  # not due yet: those behind it are not either
    orders.later(minutes=6)
    orders.both_ways()
    assert orders.ids()[1:] == [first, second, third]


@pytest.mark.parametrize("end", ["dead", "dropped", "withheld"])
def test_what_will_not_go_holds_up_nobody(orders, end):
    orders.two("C-1")
    orders.say("east_csm")
    orders.say("west_csm")
    first, second = orders.written()
    if end == "dead":
        orders.trouble[first] = Undeliverable("no such box")
    else:
        with orders.store.writing() as connection:
            connection.execute(update(t.outbox).where(t.outbox.c.effect_id == first).values(status=end))
    orders.deliver()
    assert orders.ids() == [second]
    if end == "withheld":  # released later, it goes later
        orders.say("east_bob")
        orders.say("east_csm")
        change_outbox(orders.store, orders.definition, "release", Filter(), actor="li", now=orders.now)
        orders.trouble[first] = RetryLater("busy")
        orders.deliver()
        assert len(orders.ids()) == 2  # and holds up what is behind it
        orders.trouble.clear()
        orders.later(minutes=5)
        orders.deliver()
        assert orders.ids() == [second, orders.written()[2], first, orders.written()[3]]


def test_the_copies_for_a_role_keep_their_place_among_messages_of_other_cases(orders):
    orders.two("C-1")
    for word in ("east_bob", "west_lead", "east_many"):  # to bob; to ann and bob; among others to bob and to both
        orders.say(word)
    before, role, _, mailed, again, _ = orders.written()
    orders.trouble["ann-box"] = RetryLater("busy")
    orders.both_ways()
    rows = {row.effect_id: row for row in orders.outbox()}
    to_bob = [message.id for message in orders.box if message.recipient.id == "bob"]
    assert [rows[id_].recipient for id_ in to_bob] == ["person:bob", "role:lead", "person:bob", "role:lead"]
    assert (to_bob[0], to_bob[2]) == (before, mailed)
    assert to_bob[1] == hashlib.sha256(f"{role}\x1fperson:bob".encode()).hexdigest()
    orders.trouble.clear()
    orders.later(minutes=5)
    orders.both_ways()
    assert [message.id for message in orders.box if message.recipient.id == "ann"] == [role, again]


def test_other_customers_and_other_people_are_not_held_up(orders):
    orders.two("C-1", "C-2", "C-3")
    for key in ("C-1", "C-2", "C-3"):
        orders.say("east_csm", key)
        orders.say("west_bob", key)
        orders.say("west_csm", key)
    rows = orders.outbox()
    orders.trouble[rows[0].effect_id] = RetryLater("busy")
    orders.deliver()
    assert sorted(orders.ids()) == sorted(row.effect_id for row in rows if row.id not in (rows[0].id, rows[2].id))


def test_messages_of_the_organisation_keep_their_order_and_a_customer_of_the_same_number_is_somebody_else(orders):
    with orders.store.writing() as connection:
        connection.execute(insert(t.organisation).values(key="p", name="p"))
    orders.open("outfit", "organisation", what="x")
    orders.two("C-1")
    orders.say("outfit_csm", "organisation")
    orders.say("outfit_mail", "organisation")
    orders.say("east_csm", "C-1")
    first, second, other = orders.written()
    orders.trouble[first] = RetryLater("busy")
    orders.both_ways()
    assert orders.ids() == [other]
    orders.trouble.clear()
    orders.later(minutes=5)
    orders.both_ways()
    assert orders.ids() == [other, first, second]


def test_messages_that_go_different_ways_are_not_reordered_though_each_way_is_opened_once_at_a_time(orders):
    orders.two("C-1", "C-2")
    for key in ("C-1", "C-2"):
        for word in ("east_csm", "west_mail", "east_mail", "west_csm"):
            orders.say(word, key)
    opened = []

    class Way:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            opened.append(self.name)
            return orders.send

        def __exit__(self, *_):
            pass

    orders.deliver(mail=Notifier(lambda: Way("mail")), post=Notifier(lambda: Way("post")))
    one, two = orders.written()[:4], orders.written()[4:]
    assert [id_ for id_ in orders.ids() if id_ in one] == one
    assert [id_ for id_ in orders.ids() if id_ in two] == two
    assert opened == ["post", "mail", "post"]


def test_a_way_that_is_not_there_holds_up_what_follows_by_another_way_to_the_same_person_about_the_same_customer(
    orders,
):
    orders.two("C-1", "C-2")
    for word, key in (("east_mail", "C-1"), ("west_csm", "C-1"), ("west_bob", "C-1"), ("west_csm", "C-2")):
        orders.say(word, key)
    _, behind, *others = orders.written()
    done = orders.deliver()
    assert (orders.ids(), done.again, done.waiting) == (others, 1, 2)
    change_outbox(orders.store, orders.definition, "drop", Filter((orders.written()[0],)), actor="li", now=orders.now)
    orders.deliver()
    assert orders.ids() == [*others, behind]


def test_a_receiver_that_is_down_counts_the_first_of_a_chain_and_gives_the_others_back(orders):
    keys = [f"C-{n}" for n in range(GIVE_UP + 2)]
    orders.two(*keys)
    for key in keys:
        orders.say("east_csm", key)
        orders.say("west_csm", key)
    orders.trouble["*"] = RetryLater("down")
    done = orders.deliver()
    assert (done.again, done.held, done.waiting) == (GIVE_UP, 2, 2 * len(keys))
    assert sorted(row.tries for row in orders.outbox()) == [0] * (2 * len(keys) - GIVE_UP) + [1] * GIVE_UP
    assert [row.claimed for row in orders.outbox()] == [None] * (2 * len(keys))
    orders.trouble.clear()
    orders.later(minutes=5)
    assert orders.deliver().sent == 2 * len(keys)


def test_what_goes_elsewhere_is_tried_first_but_overtakes_nothing_of_its_own_chain(orders):
    orders.two("C-1", "C-2", "C-3")
    for word, key in (("east_csm", "C-1"), ("east_csm", "C-2"), ("west_csm", "C-2"), ("east_csm", "C-3")):
        orders.say(word, key)
    failing, slow, behind, free = orders.written()
    host = {failing: "bad", slow: "bad", behind: "good", free: "good"}
    orders.trouble[failing] = RetryLater("no answer")
    orders.deliver(post=Notifier(lambda: _Open(orders.send), lambda message: host[message.id]))
    assert orders.ids() == [free, slow, behind]


class _Open:
    def __init__(self, send):
        self.send = send

    def __enter__(self):
        return self.send

    def __exit__(self, *_):
        pass


def test_a_long_chain_goes_out_in_few_claims(orders, monkeypatch):
    orders.two("C-1")
    orders.say("east_csm")
    row = dict(orders.outbox()[0]._mapping)
    del row["id"]
    with orders.store.writing() as connection:
        connection.execute(insert(t.outbox), [row | {"effect_id": f"{n:064x}"} for n in range(299)])
    monkeypatch.setattr(module, "CHUNK", 100)
    seen = []
    event.listen(orders.store.engine, "before_cursor_execute", lambda *said: seen.append(said[2]))
    assert orders.deliver().sent == 300
    assert orders.ids() == orders.written()
    assert len(seen) < 80
    orders.put(status="pending")
    with orders.store.writing() as connection:  # the first failed
        connection.execute(update(t.outbox).where(t.outbox.c.id == 1).values(next_try=orders.now + 1))
    seen.clear()
    assert (orders.deliver().sent, len(orders.box)) == (0, 300)
    assert not any("AS chain" in statement for statement in seen)  # and no other is looked at more closely


def test_what_is_behind_a_message_that_dies_goes_in_the_same_deliver(orders):
    orders.two("C-1")
    for word in ("east_csm", "west_csm", "east_mail"):
        orders.say(word)
    first, second, third = orders.written()
    orders.put(tries=TRIES - 1)
    orders.trouble[first] = RetryLater("busy")
    done = orders.both_ways()
    assert (done.dead, done.sent, orders.ids()) == (1, 2, [second, third])


def test_a_message_that_is_not_addressed_yet_holds_up_what_was_written_after_it(orders, monkeypatch):
    orders.two("C-1", "C-2")
    for word, key in (("east_lead", "C-1"), ("west_bob", "C-1"), ("west_bob", "C-2")):
        orders.say(word, key)
    _, second, other = orders.written()
    with orders.store.writing() as connection:  # another deliver is about to say who has the role
        asked = {"addressee": "person:bob", "turn": t.outbox.c.id}
        connection.execute(update(t.outbox).where(t.outbox.c.recipient == "person:bob").values(**asked))
    monkeypatch.setattr(module, "address", lambda *_: [])
    done = orders.deliver()
    assert (orders.ids(), done.waiting) == ([other], 2)
    monkeypatch.undo()
    orders.deliver()
    assert [message.id for message in orders.box if message.recipient.id == "bob"][1:][1] == second


WALK = """
flow: walk
fields: {go: {type: number, label: {en: Go, zh: 走}}}
stages:
  one: {label: {en: One, zh: 一}, transitions: {two: {trigger: further}, end: {when: case.go == 1}}}
  two: {label: {en: Two, zh: 二}, transitions: {end: {when: case.go == 1, do: [{notify: li}]}}}
  end: {label: {en: End, zh: 终}, end: good, do: [{notify: ann}]}
"""


def test_what_one_move_says_is_in_the_order_of_the_flow_whoever_else_moves_in_the_same_transaction(database, tmp_path):
    hand = Hand(database, tmp_path / "walk", {"csflow": PROJECT, "walk": WALK})
    for key in ("C-1", "C-2"):
        hand.customer(key)
        hand.open("walk", key)
    hand.say("further", "C-2")
    for key in ("C-1", "C-2"):
        hand.set(f"walk/{key}/1", go="1")
    hand.advance(1)
    rows = hand.rows(select(t.outbox.c.case, t.outbox.c.recipient).order_by(t.outbox.c.id))
    assert rows == [(1, "person:ann"), (2, "person:li"), (2, "person:ann")]
    hand.store.close()


# budgets and digests


def budget(database, tmp_path, most):
    return Orders(database, tmp_path / "budget", f"quiet: {{budget: {most}}}\n")


def test_what_stands_behind_a_message_that_fails_takes_nothing_from_the_budget_of_the_others(database, tmp_path):
    orders = budget(database, tmp_path, 3)
    orders.two("C-1", "C-2", "C-3")
    for word, key in (
        ("east_csm", "C-1"), ("west_csm", "C-1"), ("east_mail", "C-1"),  # a chain that would fill the day
        ("east_csm", "C-2"), ("west_csm", "C-3"), ("west_csm", "C-2"),
    ):  # fmt: skip
        orders.say(word, key)
    written = orders.written()
    orders.trouble[written[0]] = RetryLater("busy", after=2 * 86_400)
    done = orders.both_ways()
    # three of the day: one that failed, two about others; the last is of tomorrow, what is behind the first waits
    assert (done.sent, done.again, done.surplus) == (2, 1, 1)
    assert orders.ids() == written[3:5]
    assert told_in_order(orders)
    orders.store.close()


def test_a_digest_leaves_out_what_stands_behind_a_message_that_still_fails(database, tmp_path):
    orders = budget(database, tmp_path, 1)
    orders.two("C-1", "C-2")
    for word, key in (("east_csm", "C-1"), ("west_csm", "C-1"), ("west_csm", "C-2"), ("east_many", "C-2")):
        orders.say(word, key)
    failing, behind, *_ = orders.written()
    orders.trouble[failing] = RetryLater("busy", after=2 * 86_400)
    orders.both_ways()
    for _ in range(2):
        orders.later(days=1)
        orders.both_ways()
    assert behind not in [part for message in orders.box for part in message.about]
    orders.trouble.clear()
    for _ in range(4):
        orders.later(days=1)
        orders.both_ways()
    assert set(orders.statuses()) == {"sent"}
    assert told_in_order(orders)
    orders.store.close()


def test_digests_of_two_ways_that_would_overtake_each_other_are_taken_apart(database, tmp_path):
    orders = budget(database, tmp_path, 1)
    orders.two("C-0", "C-1", "C-2")
    orders.say("east_csm", "C-0")  # uses up the day
    # C-1: mail, post; C-2: post, mail – either digest whole would be too early for one of them
    for word, key in (("east_mail", "C-1"), ("west_csm", "C-2"), ("west_csm", "C-1"), ("east_mail", "C-2")):
        orders.say(word, key)
    assert orders.both_ways().surplus == 4
    for _ in range(5):
        orders.later(days=1)
        orders.both_ways()
    assert set(orders.statuses()) == {"sent"}
    assert told_in_order(orders)
    orders.store.close()


def test_what_a_digest_left_out_goes_in_the_same_deliver_once_it_may(database, tmp_path):
    orders = budget(database, tmp_path, 3)
    orders.two(*(f"C-{n}" for n in range(5)))
    for word in ("east_csm", "west_csm", "east_mail"):  # they use up the day
        orders.say(word, "C-0")
    for word, key in (("mail", "C-2"), ("mail", "C-4"), ("csm", "C-1"), ("csm", "C-3")):
        orders.say(f"east_{word}", key)
    orders.say("west_mail", "C-1")
    mail, other_mail, post, other_post, behind = orders.written()[3:]
    assert orders.both_ways().surplus == 5
    orders.later(days=1)
    assert (orders.both_ways().sent, orders.statuses()) == (3, ["sent"] * 8)
    assert [message.about or message.id for message in orders.box[3:]] == [
        (mail, other_mail),
        (post, other_post),
        behind,
    ]
    orders.store.close()


def test_a_digest_that_was_tried_stays_whole_though_one_part_had_failed_before_or_is_tried_again_by_hand(
    database, tmp_path
):
    orders = budget(database, tmp_path, 1)
    orders.two("C-0", "C-1", "C-2")
    for key in ("C-0", "C-1", "C-2"):
        orders.say("east_csm", key)
    orders.both_ways()
    with orders.store.writing() as connection:
        connection.execute(update(t.outbox).where(t.outbox.c.surplus == 1, t.outbox.c.party == 3).values(tries=4))
    orders.later(days=1)
    orders.trouble["*"] = RetryLater("busy")
    orders.both_ways()
    parts = [row for row in orders.outbox() if row.digest is not None]
    assert (len(parts), {row.tries for row in parts}, len({row.next_try for row in parts})) == (2, {5}, 1)
    one = Filter((parts[1].effect_id,))
    change_outbox(orders.store, orders.definition, "retry", one, actor="li", now=orders.now)
    orders.trouble.clear()
    orders.both_ways()
    assert [message.about for message in orders.box[1:]] == [tuple(row.effect_id for row in parts)]
    orders.store.close()


# by chance


def places(orders):
    """Message or copy for a person → where it stands in the order of writing."""
    found = {}
    for number, row in enumerate(orders.outbox()):
        found.setdefault(row.effect_id, number)
        for person in ("ann", "bob"):
            found[hashlib.sha256(f"{row.effect_id}\x1fperson:{person}".encode()).hexdigest()] = number
    return found


def told_in_order(orders):
    """Whether everybody was told of each customer in the order of writing."""
    about = select(t.outbox.c.effect_id, t.case.c.customer).join(t.case, t.case.c.id == t.outbox.c.case)
    parties = dict(map(tuple, orders.rows(about)))
    place, told = places(orders), defaultdict(list)
    for message in orders.box:
        for id_ in message.about or (message.id,):
            told[(parties[id_], message.recipient.id)].append(place[id_])
    assert len(told) > 1
    return all(numbers == sorted(set(numbers)) for numbers in told.values())


@pytest.mark.parametrize("seed", range(6))
def test_whatever_fails_and_however_many_deliver_each_is_told_of_a_customer_in_the_order_of_writing(
    database, tmp_path, monkeypatch, seed
):
    chance = random.Random(seed)
    orders = budget(database, tmp_path, 4) if seed % 3 == 2 else Orders(database, tmp_path / "orders")
    monkeypatch.setattr(module, "CHUNK", chance.choice([2, 3, 7, 500]))
    keys = [f"C-{n}" for n in range(5)]
    orders.two(*keys)
    last: dict[tuple[str, str], str] = {}
    depth = [0]

    def send(message):
        if depth[0] < 2 and chance.random() < 0.08:  # another one at the same time
            depth[0] += 1
            go()
            depth[0] -= 1
        if trouble and chance.random() < trouble:
            raise chance.choice([RetryLater("busy", after=chance.choice([1, 60, 5000])), OSError(), Undeliverable("x")])
        orders.box.append(message)

    def go():
        return orders.deliver(post=send, mail=send, limit=chance.choice([None, None, 1, 5]))

    trouble = 0.3
    for _ in range(40):
        key, flow = chance.choice(keys), chance.choice(["east", "west"])
        word = chance.choice([word for word in WORDS if word != last.get((key, flow))])
        last[(key, flow)] = word
        orders.say(f"{flow}_{word}", key)
        if chance.random() < 0.3:
            go()
            orders.later(minutes=chance.choice([0, 1, 10, 300]))
    trouble = 0
    for _ in range(30):
        orders.later(days=1)
        if not orders.both_ways(post=orders.send).waiting:
            break
    assert set(orders.statuses()) <= {"sent", "dead"}
    assert len(orders.box) > 10
    assert told_in_order(orders)
    orders.store.close()
