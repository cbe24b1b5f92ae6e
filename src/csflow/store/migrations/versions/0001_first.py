"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# fmt: off
Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Real: sa.types.TypeEngine[float] = sa.Double().with_variant(sa.REAL(), "sqlite")
Word = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make every table."""
    _case()
    _customer()
    _deadline()
    _definition()
    _feature()
    _field_log()
    _field_value()
    _history()
    _inbox()
    _measured()
    _measurement()
    _measurement_log()
    _meta()
    _milestone()
    _name()
    _opening()
    _organisation()
    _outbox()
    _person()
    _plugin_failure()
    _rate()
    _row_log()
    _run()
    _source()
    _span()
    _task()
    _timer()
    _touched()
    _usage()
    _usage_log()
    _assignment()
    _contact()
    _contract()
    _activity()
    _answer()


def _case() -> None:
    op.create_table("case", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("flow", Word, nullable=False), sa.Column("subject", Big, nullable=False),
        sa.Column("customer", Big, nullable=True), sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("key", Word, nullable=False), sa.Column("stage", Word, nullable=False),
        sa.Column("ended", Word, nullable=True), sa.Column("stay", sa.Integer(), nullable=False),
        sa.Column("came_from", Word, nullable=True), sa.Column("came_stay", sa.Integer(), nullable=True),
        sa.Column("opened_at", Big, nullable=False), sa.Column("entered_at", Big, nullable=False),
        sa.Column("ended_at", Big, nullable=True), sa.Column("clock", sa.Integer(), nullable=True),
        sa.Column("run", sa.Integer(), server_default="0", nullable=False),
        sa.Column("waiting", sa.Integer(), server_default="0", nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False), sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", Word, nullable=False), sa.PrimaryKeyConstraint("id", name=op.f("pk_case")),
        sa.UniqueConstraint("flow", "subject", "number", name=op.f("uq_case_flow_subject_number")),
        sqlite_strict=True)
    op.create_index(op.f("ix_case_customer_flow_opened_at"), "case", ["customer", "flow", "opened_at"], unique=False)
    op.create_index(op.f("ix_case_opened_at"), "case", ["opened_at"], unique=False)
    op.create_index("ix_case_stage", "case", ["flow", "stage", "subject", "customer", "stay", "version"], unique=False)
    op.create_index("uq_case_open", "case", ["flow", "subject", "key"], unique=True,
        sqlite_where=sa.text("ended IS NULL"), postgresql_where=sa.text("ended IS NULL"))


def _customer() -> None:
    op.create_table("customer", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("key", Word, nullable=False), sa.Column("name", Word, nullable=True),
        sa.Column("signed_on", sa.Integer(), nullable=True), sa.Column("happened", sa.Integer(), nullable=False),
        sa.Column("contract", Big, nullable=True), sa.Column("amount", Big, nullable=True),
        sa.Column("contracts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("first_day", sa.Integer(), nullable=True),
        sa.Column("next_change", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer")),
        sa.UniqueConstraint("key", name=op.f("uq_customer_key")), sqlite_strict=True)
    op.create_index(op.f("ix_customer_next_change"), "customer", ["next_change"], unique=False)


def _deadline() -> None:
    op.create_table("deadline", sa.Column("case", Big, nullable=False),
        sa.Column("name", Word, nullable=False), sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("due", Big, nullable=True), sa.Column("anchor", Big, nullable=True),
        sa.Column("spec", Word, nullable=False), sa.Column("met", Big, nullable=True),
        sa.Column("missed", Big, nullable=True), sa.Column("person", Word, nullable=True),
        sa.Column("stopped", Big, nullable=True), sa.Column("rest", Big, nullable=True),
        sa.Column("dropped", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("case", "name", "run", name=op.f("pk_deadline")), sqlite_strict=True,
        sqlite_with_rowid=False)
    op.create_index("ix_deadline_due", "deadline", ["due"], unique=False,
        sqlite_where=sa.text("missed IS NULL AND met IS NULL AND dropped = 0"),
        postgresql_where=sa.text("missed IS NULL AND met IS NULL AND dropped = 0"))


def _definition() -> None:
    op.create_table("definition", sa.Column("hash", Word, nullable=False),
        sa.Column("body", Word, nullable=False), sa.Column("as_of", Big, nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_definition")), sqlite_strict=True)


def _feature() -> None:
    op.create_table("feature", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("key", Word, nullable=False), sa.Column("name", Word, nullable=True),
        sa.Column("core", sa.Integer(), nullable=True), sa.Column("product", Word, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feature")),
        sa.UniqueConstraint("key", name=op.f("uq_feature_key")), sqlite_strict=True)


def _field_log() -> None:
    op.create_table("field_log", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("field", Big, nullable=False), sa.Column("subject", Big, nullable=False),
        sa.Column("number", Real, nullable=True), sa.Column("text", Word, nullable=True),
        sa.Column("happened", sa.Integer(), nullable=False), sa.Column("stated", Big, nullable=False),
        sa.Column("actor", Word, nullable=True), sa.PrimaryKeyConstraint("id", name=op.f("pk_field_log")),
        sqlite_strict=True)
    op.create_index(op.f("ix_field_log_field_subject_happened"), "field_log", ["field", "subject", "happened"], unique=False)


def _field_value() -> None:
    op.create_table("field_value", sa.Column("field", Big, nullable=False),
        sa.Column("subject", Big, nullable=False), sa.Column("number", Real, nullable=True),
        sa.Column("text", Word, nullable=True), sa.Column("happened", sa.Integer(), nullable=False),
        sa.Column("stated", Big, nullable=False),
        sa.PrimaryKeyConstraint("field", "subject", name=op.f("pk_field_value")), sqlite_strict=True,
        sqlite_with_rowid=False)


def _history() -> None:
    op.create_table("history", sa.Column("case", Big, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False), sa.Column("kind", Word, nullable=False),
        sa.Column("at", Big, nullable=False), sa.Column("recorded", Big, nullable=False),
        sa.Column("actor", Word, nullable=False), sa.Column("definition", Word, nullable=False),
        sa.Column("source", Word, nullable=True), sa.Column("target", Word, nullable=True),
        sa.Column("place", Word, nullable=True), sa.Column("because", Word, nullable=True),
        sa.PrimaryKeyConstraint("case", "seq", name=op.f("pk_history")), sqlite_strict=True,
        sqlite_with_rowid=False)


def _inbox() -> None:
    op.create_table("inbox", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("name", Word, nullable=False), sa.Column("flow", Word, nullable=True),
        sa.Column("kind", Word, nullable=False), sa.Column("subject", Big, nullable=False),
        sa.Column("customer", Big, nullable=True), sa.Column("case_key", Word, nullable=True),
        sa.Column("stage", Word, nullable=True), sa.Column("at", Big, nullable=False),
        sa.Column("actor", Word, nullable=False), sa.Column("fields", Word, nullable=True),
        sa.Column("source", Big, nullable=True), sa.Column("ref", Word, nullable=True),
        sa.Column("handled", Big, nullable=True), sa.Column("refused", Word, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("source", "ref", "name", "at", name=op.f("uq_inbox_source_ref_name_at")),
        sqlite_strict=True)
    op.create_index("ix_inbox_pending", "inbox", ["at"], unique=False,
        sqlite_where=sa.text("handled IS NULL"), postgresql_where=sa.text("handled IS NULL"))


def _measured() -> None:
    op.create_table("measured", sa.Column("metric", Big, autoincrement=False, nullable=False),
        sa.Column("at", Big, nullable=False), sa.Column("hash", Word, nullable=False),
        sa.Column("silent", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", Word, nullable=True), sa.PrimaryKeyConstraint("metric", name=op.f("pk_measured")),
        sqlite_strict=True, sqlite_with_rowid=False)


def _measurement() -> None:
    op.create_table("measurement", sa.Column("metric", Big, nullable=False),
        sa.Column("subject", Big, nullable=False), sa.Column("number", Real, nullable=True),
        sa.Column("text", Word, nullable=True), sa.Column("happened", sa.Integer(), nullable=True),
        sa.Column("known", Big, nullable=False),
        sa.PrimaryKeyConstraint("metric", "subject", name=op.f("pk_measurement")), sqlite_strict=True,
        sqlite_with_rowid=False)


def _measurement_log() -> None:
    op.create_table("measurement_log", sa.Column("metric", Big, nullable=False),
        sa.Column("subject", Big, nullable=False), sa.Column("known", Big, nullable=False),
        sa.Column("number", Real, nullable=True), sa.Column("text", Word, nullable=True),
        sa.Column("happened", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("metric", "subject", "known", name=op.f("pk_measurement_log")),
        sqlite_strict=True, sqlite_with_rowid=False)


def _meta() -> None:
    op.create_table("meta", sa.Column("key", Word, nullable=False), sa.Column("value", Word, nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")), sqlite_strict=True)


def _milestone() -> None:
    op.create_table("milestone", sa.Column("case", Big, nullable=False),
        sa.Column("stay", sa.Integer(), nullable=False), sa.Column("name", Word, nullable=False),
        sa.Column("stage", Word, nullable=True), sa.Column("at", Big, nullable=False),
        sa.Column("current", sa.Integer(), server_default="1", nullable=False),
        sa.PrimaryKeyConstraint("case", "stay", "name", name=op.f("pk_milestone")), sqlite_strict=True,
        sqlite_with_rowid=False)


def _name() -> None:
    op.create_table("name", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("kind", Word, nullable=False), sa.Column("name", Word, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_name")),
        sa.UniqueConstraint("kind", "name", name=op.f("uq_name_kind_name")), sqlite_strict=True)


def _opening() -> None:
    op.create_table("opening", sa.Column("flow", Word, nullable=False),
        sa.Column("place", Word, nullable=False), sa.Column("subject", Big, nullable=False),
        sa.Column("key", Word, nullable=False),
        sa.Column("period", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("flow", "place", "subject", "key", name=op.f("pk_opening")), sqlite_strict=True,
        sqlite_with_rowid=False)


def _organisation() -> None:
    op.create_table("organisation", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("key", Word, nullable=False), sa.Column("name", Word, nullable=True),
        sa.Column("happened", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organisation")),
        sa.UniqueConstraint("key", name=op.f("uq_organisation_key")), sqlite_strict=True)


def _outbox() -> None:
    op.create_table("outbox", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("effect_id", Word, nullable=False), sa.Column("case", Big, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False), sa.Column("party", Big, nullable=False),
        sa.Column("verb", Word, nullable=False), sa.Column("recipient", Word, nullable=True),
        sa.Column("message", Word, nullable=True), sa.Column("via", Word, nullable=True),
        sa.Column("body", Word, nullable=False), sa.Column("at", Big, nullable=False),
        sa.Column("status", Word, nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_try", Big, nullable=True), sa.Column("error", Word, nullable=True),
        sa.Column("addressee", Word, nullable=True), sa.Column("turn", Big, nullable=True),
        sa.Column("digest", Word, nullable=True),
        sa.Column("surplus", sa.Integer(), server_default="0", nullable=False),
        sa.Column("claimed", Word, nullable=True), sa.Column("claimed_until", Big, nullable=True),
        sa.Column("sent_at", Big, nullable=True), sa.Column("actor", Word, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("effect_id", name=op.f("uq_outbox_effect_id")), sqlite_strict=True)
    op.create_index(op.f("ix_outbox_case_seq"), "outbox", ["case", "seq"], unique=False)
    op.create_index("ix_outbox_chain", "outbox", ["party", "addressee", "turn"], unique=False,
        sqlite_where=sa.text("status = 'pending'"), postgresql_where=sa.text("status = 'pending'"))
    op.create_index("ix_outbox_sent_at", "outbox", ["sent_at"], unique=False,
        sqlite_where=sa.text("sent_at IS NOT NULL"), postgresql_where=sa.text("sent_at IS NOT NULL"))
    op.create_index(op.f("ix_outbox_status_turn_id"), "outbox", ["status", "turn", "id"], unique=False)


def _person() -> None:
    op.create_table("person", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("key", Word, nullable=False), sa.Column("name", Word, nullable=True),
        sa.Column("mail", Word, nullable=True), sa.Column("team", Word, nullable=True),
        sa.Column("happened", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
        sa.UniqueConstraint("key", name=op.f("uq_person_key")), sqlite_strict=True)


def _plugin_failure() -> None:
    op.create_table("plugin_failure", sa.Column("plugin", Word, nullable=False),
        sa.Column("hook", Word, nullable=False), sa.Column("name", Word, nullable=True),
        sa.Column("reason", Word, nullable=False), sa.Column("at", Big, nullable=False),
        sa.Column("recorded", Big, nullable=False), sa.Column("current", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("plugin", "hook", name=op.f("pk_plugin_failure")), sqlite_strict=True,
        sqlite_with_rowid=False)


def _rate() -> None:
    op.create_table("rate", sa.Column("currency", Word, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False), sa.Column("rate", Real, nullable=False),
        sa.PrimaryKeyConstraint("currency", "day", name=op.f("pk_rate")), sqlite_strict=True,
        sqlite_with_rowid=False)


def _row_log() -> None:
    op.create_table("row_log", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("kind", Word, nullable=False), sa.Column("row", Big, nullable=False),
        sa.Column("body", Word, nullable=False), sa.Column("until", Big, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_row_log")), sqlite_strict=True)
    op.create_index(op.f("ix_row_log_kind_row"), "row_log", ["kind", "row"], unique=False)


def _run() -> None:
    op.create_table("run", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("verb", Word, nullable=False), sa.Column("as_of", Big, nullable=False),
        sa.Column("recorded", Big, nullable=False),
        sa.Column("finished", sa.Integer(), server_default="0", nullable=False),
        sa.Column("definition", Word, nullable=True), sa.Column("summary", Word, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")), sqlite_strict=True)
    op.create_index(op.f("ix_run_verb_as_of"), "run", ["verb", "as_of"], unique=False)


def _source() -> None:
    op.create_table("source", sa.Column("source", Big, autoincrement=False, nullable=False),
        sa.Column("last_day", sa.Integer(), nullable=True), sa.Column("imported", Big, nullable=True),
        sa.Column("alarmed", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_source")), sqlite_strict=True, sqlite_with_rowid=False)


def _span() -> None:
    op.create_table("span", sa.Column("condition", Big, nullable=False),
        sa.Column("subject", Big, nullable=False), sa.Column("truth", sa.Integer(), nullable=True),
        sa.Column("since", Big, nullable=False), sa.Column("false_until", Big, nullable=True),
        sa.Column("first_true", Big, nullable=True),
        sa.PrimaryKeyConstraint("condition", "subject", name=op.f("pk_span")), sqlite_strict=True,
        sqlite_with_rowid=False)


def _task() -> None:
    op.create_table("task", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("case", Big, nullable=False), sa.Column("name", Word, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False), sa.Column("label", Word, nullable=True),
        sa.Column("role", Word, nullable=True), sa.Column("person", Word, nullable=True),
        sa.Column("opened_at", Big, nullable=False), sa.Column("due", Big, nullable=True),
        sa.Column("snoozed", Big, nullable=True), sa.Column("done_at", Big, nullable=True),
        sa.Column("outcome", Word, nullable=True), sa.Column("move", Word, nullable=True),
        sa.Column("asker", Word, nullable=True), sa.Column("comment", Word, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
        sa.UniqueConstraint("case", "name", "number", name=op.f("uq_task_case_name_number")), sqlite_strict=True)
    op.create_index(op.f("ix_task_role_due"), "task", ["role", "due"], unique=False)
    op.create_index("uq_task_open", "task", ["case", "name"], unique=True,
        sqlite_where=sa.text("done_at IS NULL"), postgresql_where=sa.text("done_at IS NULL"))


def _timer() -> None:
    op.create_table("timer", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("case", Big, nullable=False), sa.Column("place", Word, nullable=False),
        sa.Column("deadline", Word, nullable=True), sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("occurrence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("at", Big, nullable=False), sa.Column("fired", Big, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_timer")),
        sa.UniqueConstraint("case", "place", "run", "occurrence", name=op.f("uq_timer_case_place_run_occurrence")),
        sqlite_strict=True)
    op.create_index("ix_timer_waiting", "timer", ["at"], unique=False, sqlite_where=sa.text("fired IS NULL"),
        postgresql_where=sa.text("fired IS NULL"))


def _touched() -> None:
    op.create_table("touched", sa.Column("queue", sa.Integer(), nullable=False),
        sa.Column("kind", Word, nullable=False), sa.Column("subject", Big, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False), sa.Column("mark", Big, nullable=False),
        sa.PrimaryKeyConstraint("queue", "kind", "subject", "day", name=op.f("pk_touched")), sqlite_strict=True,
        sqlite_with_rowid=False)


def _usage() -> None:
    op.create_table("usage", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("customer", Big, nullable=False), sa.Column("feature", Big, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False), sa.Column("source", Big, nullable=False),
        sa.Column("ref", Word, nullable=True), sa.Column("count", Real, nullable=True),
        sa.Column("seconds", Real, nullable=True), sa.Column("users", Real, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage")), sqlite_strict=True)
    op.create_index(op.f("ix_usage_customer_day"), "usage", ["customer", "day"], unique=False)
    op.create_index(op.f("ix_usage_day_customer_feature"), "usage", ["day", "customer", "feature"], unique=False)
    op.create_index("uq_usage_natural", "usage", ["customer", "feature", "day", "source"], unique=True,
        sqlite_where=sa.text("ref IS NULL"), postgresql_where=sa.text("ref IS NULL"))
    op.create_index("uq_usage_ref", "usage", ["source", "ref"], unique=True,
        sqlite_where=sa.text("ref IS NOT NULL"), postgresql_where=sa.text("ref IS NOT NULL"))


def _usage_log() -> None:
    op.create_table("usage_log", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("usage", Big, nullable=False), sa.Column("customer", Big, nullable=False),
        sa.Column("feature", Big, nullable=False), sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("count", Real, nullable=True), sa.Column("seconds", Real, nullable=True),
        sa.Column("users", Real, nullable=True), sa.Column("until", Big, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_log")), sqlite_strict=True)


def _assignment() -> None:
    op.create_table("assignment", sa.Column("customer", Big, nullable=False),
        sa.Column("role", Word, nullable=False), sa.Column("person", Word, nullable=False),
        sa.Column("word", Word, nullable=True),
        sa.ForeignKeyConstraint(["customer"], ["customer.id"], name=op.f("fk_assignment_customer")),
        sa.PrimaryKeyConstraint("customer", "role", name=op.f("pk_assignment")), sqlite_strict=True,
        sqlite_with_rowid=False)


def _contact() -> None:
    op.create_table("contact", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("key", Word, nullable=False), sa.Column("customer", Big, nullable=False),
        sa.Column("name", Word, nullable=True), sa.Column("mail", Word, nullable=True),
        sa.Column("phone", Word, nullable=True), sa.Column("post", Word, nullable=True),
        sa.Column("left", sa.Integer(), nullable=True), sa.Column("left_on", sa.Integer(), nullable=True),
        sa.Column("happened", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["customer"], ["customer.id"], name=op.f("fk_contact_customer")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact")),
        sa.UniqueConstraint("key", name=op.f("uq_contact_key")), sqlite_strict=True)
    op.create_index(op.f("ix_contact_customer"), "contact", ["customer"], unique=False)


def _contract() -> None:
    op.create_table("contract", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("customer", Big, nullable=False), sa.Column("key", Word, nullable=False),
        sa.Column("product", Word, nullable=True), sa.Column("starts_on", sa.Integer(), nullable=False),
        sa.Column("ends", sa.Integer(), nullable=True), sa.Column("amount", Big, nullable=True),
        sa.Column("currency", Word, nullable=True), sa.Column("value", Big, nullable=True),
        sa.Column("signed_on", sa.Integer(), nullable=True), sa.Column("replaces", Word, nullable=True),
        sa.Column("inferred", sa.Integer(), server_default="0", nullable=False),
        sa.Column("happened", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["customer"], ["customer.id"], name=op.f("fk_contract_customer")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contract")),
        sa.UniqueConstraint("customer", "key", name=op.f("uq_contract_customer_key")), sqlite_strict=True)
    op.create_index(op.f("ix_contract_customer_replaces"), "contract", ["customer", "replaces"], unique=False)
    op.create_index(op.f("ix_contract_customer_starts_on"), "contract", ["customer", "starts_on"], unique=False)


def _activity() -> None:
    op.create_table("activity", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("customer", Big, nullable=False), sa.Column("contact", Big, nullable=True),
        sa.Column("kind", Word, nullable=False), sa.Column("at", Big, nullable=False),
        sa.Column("person", Word, nullable=True), sa.Column("note", Word, nullable=True),
        sa.Column("source", Big, nullable=False), sa.Column("ref", Word, nullable=False),
        sa.ForeignKeyConstraint(["contact"], ["contact.id"], name=op.f("fk_activity_contact")),
        sa.ForeignKeyConstraint(["customer"], ["customer.id"], name=op.f("fk_activity_customer")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activity")),
        sa.UniqueConstraint("source", "ref", name=op.f("uq_activity_source_ref")), sqlite_strict=True)
    op.create_index(op.f("ix_activity_at"), "activity", ["at"], unique=False)
    op.create_index(op.f("ix_activity_contact_kind_at"), "activity", ["contact", "kind", "at"], unique=False)
    op.create_index(op.f("ix_activity_customer_kind_at"), "activity", ["customer", "kind", "at"], unique=False)


def _answer() -> None:
    op.create_table("answer", sa.Column("id", Big, autoincrement=True, nullable=False),
        sa.Column("customer", Big, nullable=False), sa.Column("contact", Big, nullable=True),
        sa.Column("question", Word, nullable=False), sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("number", Real, nullable=True), sa.Column("text", Word, nullable=True),
        sa.Column("source", Big, nullable=False), sa.Column("ref", Word, nullable=False),
        sa.ForeignKeyConstraint(["contact"], ["contact.id"], name=op.f("fk_answer_contact")),
        sa.ForeignKeyConstraint(["customer"], ["customer.id"], name=op.f("fk_answer_customer")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_answer")),
        sa.UniqueConstraint("source", "ref", name=op.f("uq_answer_source_ref")), sqlite_strict=True)
    op.create_index(op.f("ix_answer_customer_question_day"), "answer", ["customer", "question", "day"], unique=False)
