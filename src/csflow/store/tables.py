"""The tables. A day is days since 1970-01-01, an instant UTC microseconds, money minor units; booleans are 0 and 1.

One table for each kind of subject, with an integer id that never leaves the database; ``key`` is the id people use.
Names of metrics, fields, features, sources and conditions are numbers in the narrow tables (`name` holds them).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    REAL,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# An id that counts by itself: SQLite's rowid alias must be INTEGER, PostgreSQL wants 64 bits.
Id = BigInteger().with_variant(Integer, "sqlite")
# SQLite's STRICT tables know INTEGER, REAL and TEXT only; in PostgreSQL text is compared byte by byte, as in SQLite.
Big = BigInteger().with_variant(Integer, "sqlite")
Real: TypeEngine[float] = Double().with_variant(REAL, "sqlite")
Word = Text().with_variant(Text(collation="C"), "postgresql")
STRICT: dict[str, Any] = {"sqlite_strict": True}
CLUSTERED: dict[str, Any] = {"sqlite_strict": True, "sqlite_with_rowid": False}


def _id() -> Column[int]:
    return Column("id", Id, primary_key=True, autoincrement=True)


meta = Table("meta", metadata, Column("key", Word, primary_key=True), Column("value", Word), **STRICT)

name = Table(  # numbers for names: kind is metric, field, feature, source or condition
    "name",
    metadata,
    _id(),
    Column("kind", Word, nullable=False),
    Column("name", Word, nullable=False),
    UniqueConstraint("kind", "name"),
    **STRICT,
)

definition = Table(  # every definition that ever ran, by content
    "definition",
    metadata,
    Column("hash", Word, primary_key=True),
    Column("body", Word, nullable=False),
    Column("as_of", Big, nullable=False),
    **STRICT,
)

customer = Table(
    "customer",
    metadata,
    _id(),
    Column("key", Word, nullable=False, unique=True),
    Column("name", Word),
    Column("signed_on", Integer),
    Column("happened", Integer, nullable=False),  # the first day it is visible
    # What follows from contracts and the day; refreshed when a contract changes or next_change has come.
    Column("contract", Big),  # in force that ends first, else next to begin, else ended last
    Column("amount", Big),  # all in force, project currency; null: a rate is missing
    Column("contracts", Integer, nullable=False, server_default="0"),
    Column("first_day", Integer),  # start of the first contract
    Column("next_change", Integer),
    Index(None, "next_change"),
    **STRICT,
)

contract = Table(
    "contract",
    metadata,
    _id(),
    Column("customer", Big, ForeignKey("customer.id"), nullable=False),
    Column("key", Word, nullable=False),
    Column("product", Word),
    Column("starts_on", Integer, nullable=False),
    Column("ends", Integer),  # exclusive: the day after the last paid day; null = no end
    Column("amount", Big),  # minor units of its currency, for the whole term
    Column("currency", Word),
    Column("value", Big),  # the amount in the project's currency at the rate of the day it happened
    Column("signed_on", Integer),
    Column("replaces", Word),  # key of the same customer's contract that it renews
    Column(
        "inferred", Integer, nullable=False, server_default="0"
    ),  # 1 = no source says `replaces`: the import found it
    Column("happened", Integer, nullable=False),
    UniqueConstraint("customer", "key"),
    Index(None, "customer", "starts_on"),
    Index(None, "customer", "replaces"),
    **STRICT,
)

contact = Table(
    "contact",
    metadata,
    _id(),
    Column("key", Word, nullable=False, unique=True),
    Column("customer", Big, ForeignKey("customer.id"), nullable=False),
    Column("name", Word),
    Column("mail", Word),
    Column("phone", Word),
    Column("post", Word),
    Column("left", Integer),
    Column("left_on", Integer),
    Column("happened", Integer, nullable=False),
    Index(None, "customer"),
    **STRICT,
)

person = Table(
    "person",
    metadata,
    _id(),
    Column("key", Word, nullable=False, unique=True),
    Column("name", Word),
    Column("mail", Word),
    Column("team", Word),
    Column("happened", Integer, nullable=False, server_default="0"),
    **STRICT,
)

organisation = Table(  # one row: the vendor
    "organisation",
    metadata,
    _id(),
    Column("key", Word, nullable=False, unique=True),
    Column("name", Word),
    Column("happened", Integer, nullable=False, server_default="0"),
    **STRICT,
)

assignment = Table(  # who fills a role for a customer
    "assignment",
    metadata,
    Column("customer", Big, ForeignKey("customer.id"), primary_key=True),
    Column("role", Word, primary_key=True),
    Column("person", Word, nullable=False),
    Column("word", Word),  # csflow chose: the word of `by:` then ('' without one); null = people decided
    **CLUSTERED,
)

feature = Table(  # what the product can do; `core` and `product` feed depth and breadth
    "feature",
    metadata,
    _id(),
    Column("key", Word, nullable=False, unique=True),
    Column("name", Word),
    Column("core", Integer),
    Column("product", Word),
    **STRICT,
)

rate = Table(  # units of the project's currency for one unit of `currency`
    "rate",
    metadata,
    Column("currency", Word, primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("rate", Real, nullable=False),
    **CLUSTERED,
)

usage = Table(
    "usage",
    metadata,
    _id(),
    Column("customer", Big, nullable=False),
    Column("feature", Big, nullable=False),  # feature.id
    Column("day", Integer, nullable=False),
    Column("source", Big, nullable=False),  # name.id of kind source
    Column("ref", Word),  # the source's own id, where it has one
    Column("count", Real),
    Column("seconds", Real),
    Column("users", Real),
    Index("uq_usage_ref", "source", "ref", unique=True, sqlite_where=Column("ref", Word).isnot(None)),
    Index(
        "uq_usage_natural",
        "customer",
        "feature",
        "day",
        "source",
        unique=True,
        sqlite_where=Column("ref", Word).is_(None),
    ),
    Index(None, "day", "customer", "feature"),  # which features were used is read from it alone
    Index(None, "customer", "day"),
    **STRICT,
)

usage_log = Table(  # former versions, written only on change
    "usage_log",
    metadata,
    _id(),
    Column("usage", Big, nullable=False),
    Column("customer", Big, nullable=False),
    Column("feature", Big, nullable=False),
    Column("day", Integer, nullable=False),
    Column("count", Real),
    Column("seconds", Real),
    Column("users", Real),
    Column("until", Big, nullable=False),  # known until this instant
    **STRICT,
)

activity = Table(
    "activity",
    metadata,
    _id(),
    Column("customer", Big, ForeignKey("customer.id"), nullable=False),
    Column("contact", Big, ForeignKey("contact.id")),
    Column("kind", Word, nullable=False),
    Column("at", Big, nullable=False),
    Column("person", Word),
    Column("note", Word),
    Column("source", Big, nullable=False),
    Column("ref", Word, nullable=False),  # the source's id, else a hash of the mapped columns
    UniqueConstraint("source", "ref"),
    Index(None, "customer", "kind", "at"),
    Index(None, "contact", "kind", "at"),
    Index(None, "at"),
    **STRICT,
)

answer = Table(  # survey answers: `question` names the customer's or contact's field that it fills
    "answer",
    metadata,
    _id(),
    Column("customer", Big, ForeignKey("customer.id"), nullable=False),
    Column("contact", Big, ForeignKey("contact.id")),
    Column("question", Word, nullable=False),
    Column("day", Integer, nullable=False),
    Column("number", Real),
    Column("text", Word),
    Column("source", Big, nullable=False),
    Column("ref", Word, nullable=False),
    UniqueConstraint("source", "ref"),
    Index(None, "customer", "question", "day"),
    **STRICT,
)

row_log = Table(  # former versions of contract, contact, customer, activity and answer rows, as JSON, on change only
    "row_log",
    metadata,
    _id(),
    Column("kind", Word, nullable=False),
    Column("row", Big, nullable=False),
    Column("body", Word, nullable=False),
    Column("until", Big, nullable=False),
    Index(None, "kind", "row"),
    **STRICT,
)

field_value = (
    Table(  # declared fields, of subjects and of cases: `field` is name.id of 'customer.segment', 'renewal.amount' …
        "field_value",
        metadata,
        Column("field", Big, primary_key=True),
        Column("subject", Big, primary_key=True),
        Column("number", Real),
        Column("text", Word),
        Column("happened", Integer, nullable=False),  # day; 0 = it has always been so
        Column("stated", Big, nullable=False),  # instant it was last stated, even with the same value
        **CLUSTERED,
    )
)

field_log = Table(
    "field_log",
    metadata,
    _id(),
    Column("field", Big, nullable=False),
    Column("subject", Big, nullable=False),
    Column("number", Real),
    Column("text", Word),
    Column("happened", Integer, nullable=False),
    Column("stated", Big, nullable=False),
    Column("actor", Word),
    Index(None, "field", "subject", "happened"),
    **STRICT,
)

measurement = Table(
    "measurement",
    metadata,
    Column("metric", Big, primary_key=True),
    Column("subject", Big, primary_key=True),
    Column("number", Real),
    Column("text", Word),
    Column("happened", Integer),  # day of the newest source fact in it
    Column("known", Big, nullable=False),  # as-of instant of the measure that wrote it
    **CLUSTERED,
)

measurement_log = Table(
    "measurement_log",
    metadata,
    Column("metric", Big, primary_key=True),
    Column("subject", Big, primary_key=True),
    Column("known", Big, primary_key=True),
    Column("number", Real),
    Column("text", Word),
    Column("happened", Integer),
    **CLUSTERED,
)

measured = Table(  # the last measure of each metric
    "measured",
    metadata,
    Column("metric", Big, primary_key=True, autoincrement=False),
    Column("at", Big, nullable=False),
    Column("hash", Word, nullable=False),  # what it was computed by; another hash = measure all subjects
    Column("silent", Integer, nullable=False, server_default="0"),
    Column("error", Word),  # why its plugin failed last time
    **CLUSTERED,
)

plugin_failure = Table(  # what each plugin did wrong last; `current` while it did so the last time it was called
    "plugin_failure",
    metadata,
    Column("plugin", Word, primary_key=True),
    Column("hook", Word, primary_key=True),
    Column("name", Word),
    Column("reason", Word, nullable=False),
    Column("at", Big, nullable=False),
    Column("recorded", Big, nullable=False),
    Column("current", Integer, nullable=False),
    **CLUSTERED,
)

span = Table(  # how long a watched condition has held, as recorded by measure
    "span",
    metadata,
    Column("condition", Big, primary_key=True),
    Column("subject", Big, primary_key=True),
    Column("truth", Integer),  # null = unknown
    Column("since", Big, nullable=False),
    Column("false_until", Big),  # the last moment it was false
    Column("first_true", Big),
    **CLUSTERED,
)

source = Table(  # one row an import source: when it last spoke
    "source",
    metadata,
    Column("source", Big, primary_key=True, autoincrement=False),
    Column("last_day", Integer),
    Column("imported", Big),
    Column("alarmed", Integer, nullable=False, server_default="0"),
    **CLUSTERED,
)

case = Table(
    "case",
    metadata,
    _id(),
    Column("flow", Word, nullable=False),
    Column("subject", Big, nullable=False),
    Column("customer", Big),  # null where the subject is no customer's
    Column("number", Integer, nullable=False),
    Column("key", Word, nullable=False),  # of one_per
    Column("stage", Word, nullable=False),
    Column("ended", Word),  # good bad neutral; null = open
    Column("stay", Integer, nullable=False),  # counts stays
    Column("came_from", Word),
    Column("came_stay", Integer),  # the stay to go `back` to
    Column("opened_at", Big, nullable=False),
    Column("entered_at", Big, nullable=False),
    Column("ended_at", Big),
    Column("clock", Integer),  # the day it counts from
    Column("run", Integer, nullable=False, server_default="0"),  # the clock's run
    Column("waiting", Integer, nullable=False, server_default="0"),
    Column("seq", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("definition", Word, nullable=False),
    UniqueConstraint("flow", "subject", "number"),
    Index("uq_case_open", "flow", "subject", "key", unique=True, sqlite_where=Column("ended", Word).is_(None)),
    Index("ix_case_stage", "flow", "stage", "subject", "customer", "stay", "version"),  # all that most questions read
    Index(None, "customer", "flow", "opened_at"),
    Index(None, "opened_at"),
    **STRICT,
)

history = Table(
    "history",
    metadata,
    Column("case", Big, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("kind", Word, nullable=False),  # opened moved milestone missed met field task closed clock migrated
    Column("at", Big, nullable=False),
    Column("recorded", Big, nullable=False),
    Column("actor", Word, nullable=False),
    Column("definition", Word, nullable=False),
    Column("source", Word),  # stage left
    Column("target", Word),  # stage entered, milestone, deadline, field or task
    Column("place", Word),  # the rule
    Column("because", Word),  # JSON: [{"fact", "value", "measured"}]
    **CLUSTERED,
)

milestone = Table(
    "milestone",
    metadata,
    Column("case", Big, primary_key=True),
    Column("stay", Integer, primary_key=True),  # 0 = the flow's own
    Column("name", Word, primary_key=True),
    Column("stage", Word),
    Column("at", Big, nullable=False),
    Column("current", Integer, nullable=False, server_default="1"),  # 0 once its stage was entered again
    **CLUSTERED,
)

deadline = Table(
    "deadline",
    metadata,
    Column("case", Big, primary_key=True),
    Column("name", Word, primary_key=True),
    Column("run", Integer, primary_key=True),  # the clock's run, or the stay when counted from entering
    Column("due", Big),  # null while stopped or unknown
    Column("anchor", Big),  # what it counts from: a day, or an instant where it hangs on entering or opening
    Column("spec", Word, nullable=False),  # the due time as written: another text = compute it anew
    Column("met", Big),
    Column("missed", Big),
    Column("person", Word),
    Column("stopped", Big),  # since when it stands still
    Column("rest", Big),  # what is left while it stands still: microseconds (of working time where it counts that)
    Column("dropped", Integer, nullable=False, server_default="0"),
    Index("ix_deadline_due", "due", sqlite_where=text("missed IS NULL AND met IS NULL AND dropped = 0")),
    **CLUSTERED,
)

timer = Table(  # effects to come: reminders before, escalations after, repeats
    "timer",
    metadata,
    _id(),
    Column("case", Big, nullable=False),
    Column("place", Word, nullable=False),  # the effect in its flow
    Column("deadline", Word),  # the deadline it hangs on; null = a repeat while in the stage
    Column("run", Integer, nullable=False),
    Column("occurrence", Integer, nullable=False, server_default="0"),
    Column("at", Big, nullable=False),
    Column("fired", Big),
    UniqueConstraint("case", "place", "run", "occurrence"),
    Index("ix_timer_waiting", "at", sqlite_where=text("fired IS NULL")),
    **STRICT,
)

task = Table(
    "task",
    metadata,
    _id(),
    Column("case", Big, nullable=False),
    Column("name", Word, nullable=False),
    Column("number", Integer, nullable=False),
    Column("label", Word),
    Column("role", Word),
    Column("person", Word),
    Column("opened_at", Big, nullable=False),
    Column("due", Big),
    Column("snoozed", Big),
    Column("done_at", Big),
    Column("outcome", Word),  # done, no, not_applicable
    Column("move", Word),  # an approval: the place of the transition that waits
    Column("asker", Word),  # who asked for the approval
    Column("comment", Word),  # said when it was done: personal text, which history never holds
    UniqueConstraint("case", "name", "number"),
    Index("uq_task_open", "case", "name", unique=True, sqlite_where=Column("done_at", Big).is_(None)),
    Index(None, "role", "due"),
    **STRICT,
)

opening = Table(  # an opening rule whose guard is true now: it may not open again before it was not true
    "opening",
    metadata,
    Column("flow", Word, primary_key=True),
    Column("place", Word, primary_key=True),
    Column("subject", Big, primary_key=True),
    Column("key", Word, primary_key=True),
    Column("period", Integer, nullable=False, server_default="0"),
    **CLUSTERED,
)

inbox = Table(  # triggers that were imported or said by effects: handled by the first pass at or after `at`
    "inbox",
    metadata,
    _id(),
    Column("name", Word, nullable=False),
    Column("flow", Word),
    Column("kind", Word, nullable=False),  # customer contract contact person organisation case
    Column("subject", Big, nullable=False),
    Column("customer", Big),
    Column("case_key", Word),  # one_per key of the case it opens or speaks to
    Column("stage", Word),  # set: an imported move (mirrors, `into: case`) into this stage
    Column("at", Big, nullable=False),
    Column("actor", Word, nullable=False),
    Column("fields", Word),  # JSON {name: value as stored}
    Column("source", Big),
    Column("ref", Word),
    Column("handled", Big),
    Column("refused", Word),
    UniqueConstraint("source", "ref", "name", "at"),
    Index("ix_inbox_pending", "at", sqlite_where=Column("handled", Big).is_(None)),
    **STRICT,
)

outbox = Table(
    "outbox",
    metadata,
    _id(),
    Column("effect_id", Word, nullable=False, unique=True),
    Column("case", Big, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("party", Big, nullable=False),  # whom it is about: the customer, or as `services.parties` numbers the others
    Column("verb", Word, nullable=False),  # notify or uses
    Column("recipient", Word),  # as the rule says: role:csm_lead, person:li, contact:KEY, uses:NAME
    Column("message", Word),
    Column("via", Word),
    Column("body", Word, nullable=False),  # JSON: the content, with ids where names and free words are to stand
    Column("at", Big, nullable=False),
    Column("status", Word, nullable=False),  # pending withheld sent dead dropped
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("next_try", Big),
    Column("error", Word),
    Column("addressee", Word),  # who that is: person:li, contact:KEY, uses:NAME; null = not asked yet, as turn
    Column(
        "turn", Big
    ),  # its place among those to the addressee: its id; a copy for a role's next person has the first's
    Column("digest", Word),  # the id of the digest that it is part of, from the first try on
    Column("surplus", Integer, nullable=False, server_default="0"),  # 1 = over the addressee's budget of a day
    Column("claimed", Word),  # by which deliver, until when
    Column("claimed_until", Big),
    Column("sent_at", Big),
    Column("actor", Word),  # who released, retried or dropped it last
    Index(None, "status", "turn", "id"),
    Index(None, "case", "seq"),
    Index("ix_outbox_sent_at", "sent_at", sqlite_where=Column("sent_at", Big).is_not(None)),
    Index("ix_outbox_chain", "party", "addressee", "turn", sqlite_where=text("status = 'pending'")),
    **STRICT,
)

touched = Table(  # what changed since it was last asked about; queue 0 = measure, 1 = advance
    "touched",
    metadata,
    Column("queue", Integer, primary_key=True),
    Column("kind", Word, primary_key=True),  # customer person organisation
    Column("subject", Big, primary_key=True),
    Column("day", Integer, primary_key=True),  # 0 = now; else the day the change becomes visible
    Column("mark", Big, nullable=False),  # another number for each change, so that a later one is not lost
    **CLUSTERED,
)

run = Table(  # one row a verb that wrote: pass, measure, import
    "run",
    metadata,
    _id(),
    Column("verb", Word, nullable=False),
    Column("as_of", Big, nullable=False),
    Column("recorded", Big, nullable=False),
    Column("finished", Integer, nullable=False, server_default="0"),
    Column("definition", Word),
    Column("summary", Word),
    Index(None, "verb", "as_of"),
    **STRICT,
)
