"""A project whose cases send messages, a clock that is set by hand, and a notifier that keeps what it is given."""

from __future__ import annotations

import json
from typing import Any

from hand import MONDAY, ZONE, Hand
from sqlalchemy import select, update

from csflow.hookspecs import Call, Message, RetryLater, Undeliverable
from csflow.services.deliver import Delivered, Handing, Means, deliver
from csflow.store import tables as t

PROJECT = """
csflow: 1
name: p
languages: [en, zh]
currency: EUR
zone: Europe/Berlin
roles:
  csm: {label: {en: Success manager, zh: 客户成功经理}}
  lead: {label: {en: Lead, zh: 主管}}
  nobody: {label: {en: Nobody, zh: 无人}}
people:
  li: {label: {en: Li Lei, zh: 李雷}, roles: [csm], address: {post: li-box, mail: li@example.com}}
  ann: {label: {en: Ann, zh: 安}, roles: [lead], address: {post: ann-box}}
  bob: {label: {en: Bob, zh: 鲍勃}, roles: [lead], address: {post: bob-box}}
fields:
  customer:
    segment: {choices: {small: {en: Small, zh: 小}, large: {en: Large, zh: 大}}, label: {en: Segment, zh: 类型}}
    story: {type: text, label: {en: Story, zh: 说明}}
    share: {type: share, label: {en: Share, zh: 份额}}
messages:
  hello:
    title: {en: "{customer.name} ({customer.segment})", zh: "{customer.name}({customer.segment})"}
    text: {en: "{case.responsible} in {case.stage}: {case.what}. {customer.share} of {customer.amount}", zh: "{case.responsible}"}
  dear: {title: {en: "Dear {contact.name}", zh: "您好 {contact.name}"}, text: {en: "{case.stage} {contact.left}", zh: "{case.stage}"}}
  tick: {text: {en: "tick {case.what}", zh: "tick"}}
"""
DESK = """
flow: desk
label: {en: Desk, zh: 服务台}
responsible: csm
fields: {what: {type: text, label: {en: What, zh: 何事}}}
stages:
  talk:
    label: {en: Talking, zh: 沟通}
    deadline: 2 days
    overdue:
      - {notify: csm, label: {en: Nobody called, zh: 无人致电}}
    transitions:
      talk2: {trigger: go, do: [{notify: csm, message: hello}]}
      told: {trigger: tell, do: [{notify: contact, message: dear, when: contact.phone is known and case.stage == 'told'}]}
      led: {trigger: lead, do: [{notify: lead, message: tick}]}
      lost: {trigger: lose, do: [{notify: nobody}]}
      done: {trigger: act, do: [{uses: shop/act, with: {what: =case.what, number: 7}}]}
      both: {trigger: both, do: [{notify: csm, message: tick}, {notify: li, message: tick}]}
      via: {trigger: mail, do: [{notify: csm, message: tick, via: mail}]}
      six: {trigger: six, do: [{notify: csm, message: tick}, {notify: csm, message: tick}, {notify: csm, message: tick}, {notify: csm, message: tick}, {notify: csm, message: tick}, {notify: csm, message: tick}]}
  talk2: {label: {en: Talked, zh: 已沟通}, transitions: {talk: {trigger: again}}}
  told: good
  led: good
  lost: bad
  done: good
  both: good
  via: good
  six: good
"""


class Office(Hand):
    """The project; `post` is its notifier: what it was given stands in `box`, what it raises is set in `trouble`."""

    def __init__(self, database: str, folder: Any, quiet: str = "") -> None:
        super().__init__(database, folder, {"csflow": PROJECT + quiet, "desk": DESK})
        self.box: list[Message] = []
        self.calls: list[Call] = []
        self.trouble: dict[str, Exception | BaseException] = {}  # addressee's box, or *: what sending raises
        self.now = ZONE.at(MONDAY, 12 * 60)

    def clock(self) -> int:
        return self.now

    def send(self, message: Message) -> None:
        for key in (message.recipient.address.get("post", ""), message.id, "*"):
            if key in self.trouble:
                raise self.trouble[key]
        self.box.append(message)

    def call(self, call: Call) -> None:
        if "call" in self.trouble:
            raise self.trouble["call"]
        self.calls.append(call)

    def means(self, **notifiers: Any) -> Means:
        ways = {"post": self.send, "console": self.send} | notifiers
        return Means({name: ("test", way) for name, way in ways.items()}, {"shop/act": ("test", self.call)}, {})

    def deliver(self, *, limit: int | None = None, dry_run: bool = False, **notifiers: Any) -> Delivered:
        means = self.means(**notifiers)
        return deliver(self.store, self.definition, means, Handing(self.clock, limit, dry_run))

    def later(self, *, minutes: float = 0, days: int = 0) -> None:
        self.now += int(minutes * 60_000_000) + days * 86_400_000_000

    def customers(self, many: int) -> list[str]:
        """Customers of li with a case of `desk` each."""
        keys = [f"C-{n}" for n in range(1, many + 1)]
        for key in keys:
            self.customer(key, csm="li")
            self.open("desk", key, what=f"secret story of {key}")
        return keys

    def outbox(self) -> list[Any]:
        return self.rows(select(t.outbox).order_by(t.outbox.c.id))

    def statuses(self) -> list[str]:
        return [row.status for row in self.outbox()]

    def bodies(self) -> str:
        """All that the outbox holds, as one text."""
        return json.dumps([list(map(str, row)) for row in self.outbox()], ensure_ascii=False)

    def put(self, **values: Any) -> None:
        """Change every row of the outbox by hand."""
        with self.store.writing() as connection:
            connection.execute(update(t.outbox).values(**values))


__all__ = ["Office", "RetryLater", "Undeliverable"]
