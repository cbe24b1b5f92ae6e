"""SQL ≡ Python: random well-typed expressions over random rows mean the same to both back ends, on both databases."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import replace

import population
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select

from csflow.flow.evaluation import function
from csflow.flow.expressions import bands, choose, compile_expression, weights
from csflow.flow.types import NUMBER
from csflow.store import reading
from csflow.store.facts import load_facts, load_many
from csflow.store.guards import Translator, newest_of
from csflow.store.opening import open_store
from csflow.store.questions import holding
from csflow.store.reading import case_reader, subject_reader
from csflow.values import Length

OUTER = {
    "number": ("usage.hours", "customer.nps", "customer.beds", "customer.contracts", "open.renewal", "open.complaint"),
    "share": ("usage.depth",),
    "money": ("customer.amount", "customer.budget", "usage.worth"),
    "date": ("customer.signed_on", "customer.live_on", "usage.first"),
    "time": ("renewal.opened_at", "renewal.ended_at", "activity.last_visit", "activity.last", "customer.checked_at",
             "complaint.entered_at", "renewal.milestones.r1", "renewal.due"),
    "boolean": ("flag.vip", "customer.agreed", "renewal.overdue", "complaint.waiting"),
    "choice": ("customer.grade", "customer.segment", "renewal.stage", "renewal.end", "complaint.cause"),
    "text": ("customer.name",),
}  # fmt: skip
CASE = {
    "number": ("case.score", "case.missed", "tasks.open", "case.number"),
    "time": ("case.opened_at", "case.entered_at", "milestones.m1", "milestones.m2", "case.due"),
    "date": ("case.clock", "clock"),
    "boolean": ("milestones.all", "tasks.all", "case.waiting", "case.overdue"),
    "choice": ("case.stage", "case.cause"),
}
OWN_CONTRACT = {
    "number": ("contract.health", "contract.seats"),
    "money": ("contract.amount", "contract.renewed_amount"),
    "date": ("contract.starts_on", "contract.ends_on", "contract.signed_on"),
    "boolean": ("contract.renewed",),
    "text": ("contract.product",),
}
OWN_CONTACT = {
    "number": ("contact.level",), "share": ("contact.reach",), "date": ("contact.left_on",),
    "time": ("contact.last_visit", "contact.last_touch"), "boolean": ("contact.left",),
    "choice": ("contact.attitude",),
}  # fmt: skip
THINGS = {
    "contract": OWN_CONTRACT,
    "contact": OWN_CONTACT,
    "activity": {"time": ("activity.at",), "text": ("activity.kind", "activity.person")},
    "task": {"time": ("task.opened_at", "task.due", "task.done_at"), "text": ("task.name",)},
    "renewal": {
        "number": ("renewal.missed",), "money": ("renewal.amount",), "date": ("renewal.clock",),
        "time": ("renewal.opened_at", "renewal.ended_at", "renewal.milestones.r1"),
        "boolean": ("renewal.waiting", "renewal.overdue"), "choice": ("renewal.stage", "renewal.end"),
    },
    "complaint": {
        "number": ("complaint.cost",), "time": ("complaint.opened_at",), "choice": ("complaint.stage", "complaint.cause"),
    },
}  # fmt: skip
CHOICES = {
    "customer.grade": "ABC", "customer.segment": ("shop", "kiosk", "chain"), "renewal.stage": ("open", "won", "lost"),
    "renewal.end": ("good", "bad"), "complaint.cause": ("price", "quality"), "case.stage": ("start", "grow", "gone"),
    "case.cause": ("price", "other"), "contact.attitude": ("for", "against"), "complaint.stage": ("new", "done"),
}  # fmt: skip
ORDERED = ("number", "share", "money", "date", "time")
SCOPES = {
    "case": ("customer", "lifecycle", [OUTER, CASE, OWN_CONTRACT]),
    "contract": ("contract", None, [OUTER, OWN_CONTRACT]),
    "contact": ("contact", None, [OUTER, OWN_CONTACT, OWN_CONTRACT]),
}


class Writer:
    """Writes random expressions of the language as text; every one is well-typed."""

    def __init__(self, draw, scope: str) -> None:
        self.draw, self.scope = draw, scope
        self.subject, self.flow, self.sets = SCOPES[scope]
        self.each: str | None = None

    def pick(self, options):
        return self.draw(st.sampled_from(list(options)))

    def often(self, percent: int) -> bool:
        return self.draw(st.integers(0, 99)) < percent

    def facts(self, kind: str) -> list[str]:
        found = [fact for facts in self.sets for fact in facts.get(kind, ())]
        if self.each is None:
            return found
        inner = list(THINGS[self.each].get(kind, ()))
        # Inside the brackets the thing's name means each one in turn, so that outer facts of that name are hidden.
        outer = [fact for fact in found if not fact.startswith(f"{self.each}.")]
        return inner * 3 + outer if inner else outer

    def fact(self, kind: str) -> str | None:
        known = self.facts(kind)
        return self.pick(known) if known else None

    def length(self, *, clock: bool) -> str:
        units = {"days": (0, 1, 7, 30, 60), "weeks": (1, 4), "months": (1, 2, 3, 6, 12), "years": (1,)}
        if clock:
            units |= {"hours": (1, 24, 1.5), "minutes": (90,), "working_hours": (4, 40), "working_days": (2,)}
        unit = self.pick(units)
        return f"{unit}({self.pick(units[unit])})"

    # Conditions

    def condition(self, depth: int) -> str:
        if depth > 0 and self.often(55):
            return self.pick((self.both, self.both, self.negation, self.fallback))(depth - 1)
        ways = (
            [self.comparison] * 4 + [self.elapsed] * 4 + [self.words] * 2 + [self.plain] * 2 + [self.known, self.moved]
        )
        if self.each is None:
            ways += [self.counted] * 4 + [self.watched]
        return self.pick(ways)(depth)

    def both(self, depth: int) -> str:
        word = self.pick(("and", "or"))
        return "(" + f" {word} ".join(self.condition(depth) for _ in range(self.pick((2, 2, 3)))) + ")"

    def negation(self, depth: int) -> str:
        return f"not ({self.condition(depth)})"

    def fallback(self, depth: int) -> str:
        return f"default({self.condition(depth)}, {self.pick(('true', 'false'))})"

    def plain(self, _depth: int) -> str:
        return self.fact("boolean") or "true"

    def known(self, depth: int) -> str:
        item = self.pick((self.any_fact, lambda _: self.value(self.pick(ORDERED), 1)))(depth)
        return f"{item} is {self.pick(('known', 'unknown'))}"

    def any_fact(self, _depth: int) -> str:
        return self.fact(self.pick((*ORDERED, "boolean", "choice", "text"))) or "today"

    def comparison(self, depth: int) -> str:
        kind = self.pick(ORDERED)
        op = self.pick(("==", "!=", "<", "<=", ">", ">="))
        right = self.value(kind, 0) if self.often(30) else self.constant(kind)
        return f"{self.value(kind, min(depth, 2))} {op} {right}"

    def elapsed(self, depth: int) -> str:
        kind = self.pick(("date", "time"))
        item, op = self.value(kind, min(depth, 1)), self.pick(("==", "!=", "<", "<=", ">", ">=", ">=", "<="))
        if self.each is None and self.often(25):
            item, kind = self.pick(("activity.last_visit", "activity.last_call", "activity.last")), "time"
        return f"{self.pick(('since', 'since', 'until'))}({item}) {op} {self.length(clock=True)}"

    def moved(self, _depth: int) -> str:
        item = self.fact("date")
        if item is None:
            return "today == today"
        return (
            f"{item} {self.pick('+-')} {self.length(clock=False)} {self.pick(('<=', '<', '>=', '>', '==', '!='))} today"
        )

    def words(self, _depth: int) -> str:
        fact = self.fact("choice")
        if fact is None or self.often(15):
            text = self.fact("text") or "customer.name"
            return f"{text} {self.pick(('==', '!='))} '{self.pick(('pro', 'Ada', 'visit', 'li', 'call'))}'"
        if fact == "customer.segment" and self.often(40):
            return f"under({fact}, '{self.pick(('small', 'large'))}')"
        words = CHOICES[fact]
        if self.often(40):
            return f"{fact} {self.pick(('in', 'not in'))} ('{words[0]}', '{words[1]}')"
        return f"{fact} {self.pick(('==', '!='))} '{self.pick(words)}'"

    def watched(self, _depth: int) -> str:
        condition = self.pick(population.WATCHED)
        if self.often(30):
            return f"since(first_time({condition})) {self.pick(('>=', '<'))} {self.length(clock=True)}"
        return f"has_been({condition}, {self.length(clock=True)})"

    def counted(self, depth: int) -> str:
        op = self.pick(("==", "!=", "<", "<=", ">", ">="))
        kind = self.pick(("number", "number", "number", "money", "time", "date", "share", "boolean"))
        if kind == "number" and self.often(70):
            right = self.pick(
                ("0", "1", "2", "customer.contracts", "vars.few", self.aggregate("count", "number", depth))
            )
            left, right = self.aggregate("count", "number", depth), str(right)
            return f"{left} {op} {right}" if self.often(80) else f"{right} {op} {left}"
        fn = (
            self.pick(("sum", "average", "first", "last"))
            if kind in ("number", "money", "share")
            else self.pick(("first", "last"))
        )
        left = self.aggregate(fn, kind, depth)
        if kind == "boolean" or left.startswith("("):
            return left
        return f"{left} {op} {self.constant(kind)}"

    def aggregate(self, fn: str, kind: str, depth: int) -> str:
        thing = self.pick([x for x in THINGS if fn == "count" or kind in THINGS[x]])
        self.each = thing
        parts = [thing]
        if fn != "count":
            parts.append(self.value(kind, 1) if kind != "boolean" else self.fact("boolean"))
        if self.often(75):
            parts.append(self.condition(min(depth, 1)))
        self.each = None
        return f"{fn}({', '.join(parts)})"

    # Values

    def constant(self, kind: str) -> str:
        return self.pick({
            "number": ("0", "1", "2.5", "0.1", "-1", "vars.few", "40"), "share": ("30%", "0.5", "vars.part", "100%", "0.1"),
            "money": ("money(50)", "money(0)", "money(1, 'USD')", "money(100, 'JPY')", "money(2500)", "money(0.5)"),
            "date": ("today", "'2026-02-28'", "'2026-03-31'", "today - days(30)", "'2025-12-31'"),
            "time": ("now", "now - hours(36)", "now - days(60)"),
        }[kind])  # fmt: skip

    def value(self, kind: str, depth: int) -> str:
        fact = self.fact(kind)
        if fact is None or self.often(4):
            fact = self.constant(kind) if kind != "date" else "today"
        if depth <= 0 or self.often(50):
            return fact
        if self.often(25):
            return f"default({fact}, {self.value(kind, 0)})"
        if self.often(25):
            return f"{self.pick(('min', 'max'))}({self.value(kind, depth - 1)}, {self.value(kind, 0)})"
        return self.calculated(kind, depth - 1)

    def calculated(self, kind: str, depth: int) -> str:
        if kind == "date":
            return f"{self.value('date', 0)} {self.pick('+-')} {self.pick(('days(1)', 'weeks(2)'))}"
        if kind == "time":
            ways = [f"{self.value('time', 0)} {self.pick('+-')} {self.pick(('days(1)', 'hours(5)'))}"]
            if self.each is None:
                ways += ["recorded(customer.nps)", "recorded(usage.depth)"]
            return self.pick(ways)
        if kind == "money":
            return self.pick((f"{self.value('money', depth)} {self.pick('+-')} {self.value('money', 0)}",
                              f"{self.value('money', depth)} * {self.value('number', 0)}",
                              f"{self.value('money', depth)} / {self.value('number', 0)}"))  # fmt: skip
        if kind == "share":
            return f"{self.value('share', depth)} * {self.value('share', 0)}"
        ways = [f"({self.value('number', depth)} {self.pick('+-*/')} {self.value('number', 0)})",
                f"days_between({self.value('date', 0)}, {self.value('date', 0)})", f"quarter({self.value('date', 0)})",
                f"{self.value('money', 0)} / {self.value('money', 0)}"]  # fmt: skip
        if self.each is None:
            ways += [self.aggregate("count", "number", 0) + " * 2"]
        return self.pick(ways)


@st.composite
def conditions(draw) -> tuple[str, str]:
    scope = draw(st.sampled_from(("case", "case", "case", "contract", "contact")))
    return scope, Writer(draw, scope).condition(3)


@st.composite
def metrics(draw):
    """A metric of each of the other ways to compute: (scope, kind of metric, its texts)."""
    scope = draw(st.sampled_from(("case", "contract", "contact")))
    writer = Writer(draw, scope)
    kind = writer.pick(("value", "choose", "bands", "by length", "by word", "weights"))
    texts = [writer.condition(1) for _ in range(3)]
    numbers = [writer.value("number", 1) for _ in range(3)]
    dates = writer.value("date", 1)
    extra = writer.value(writer.pick(ORDERED), 2)
    if writer.often(20):
        extra = writer.pick(("usage.hours / ago(usage.hours, days(30))", "ago(customer.grade, months(1)) == 'A'",
                             "ago(contract.health, days(7)) > ago(usage.hours, hours(1))", "since(contract.starts_on)",
                             "until(customer.checked_at)", "ago(flag.vip, days(60))"))  # fmt: skip
    return scope, kind, texts, numbers, dates, extra, writer.often(50)


def made(names, scope: str, drawn):
    """The expression that the strategy `metrics` describes."""
    kind, texts, numbers, date, extra, flag = drawn
    subject, flow, _ = SCOPES[scope]

    def read(text, expect=None):
        return compile_expression(text, names, subject=subject, flow=flow, use="metric", expect=expect)

    if kind == "value":
        return read(extra)
    if kind == "choose":
        words = ("A", "B", "A") if flag else ("A", "B", "C")
        return choose([(w, read(text)) for w, text in zip(words, texts, strict=True)], "C" if flag else None)
    row = [("low", -10.0, False), ("middle", 0.0, flag), ("unknown", 2.5, False), ("high", 40.0, not flag)]
    if kind == "bands":
        return bands(read(numbers[0]), [(None, row)])
    if kind == "by length":
        rows = [(Length(2, "months"), row[:3]), (Length(6, "months"), row), (Length(10, "days"), row[1:])]
        return bands(read(numbers[0]), rows, read(f"since({date})"))
    if kind == "by word":
        return bands(read(numbers[0]), [("A", row[:2]), ("B", row)], read("customer.grade"))
    groups = [(50.0, [(60.0, read(numbers[0])), (40.0, read("customer.grade"))]), (30.0, [(1.0, read(numbers[1]))]),
              (20.0, [(0.0, read(numbers[2])), (2.0, read("usage.depth"))])]  # fmt: skip
    caps = [(40.0, read(texts[0])), (20.0, read(texts[1]))]
    return weights(groups, {"A": 100.0, "B": 50.0, "C": 0.0}, caps, 0.5 if flag else 0.0)


class Judge:
    """Asks both back ends and compares."""

    def __init__(self, connection, book) -> None:
        self.connection, self.book = connection, book
        self.tables = population.Tables(connection, book)
        self.tally: Counter = Counter()
        self.rows = {}
        for moment in (population.EARLY, population.LATE):
            for scope, table in (("case", "case"), ("contract", "contract"), ("contact", "contact")):
                rows = [r for r in self.tables.all[table] if table != "case" or r["flow"] == "lifecycle"]
                kind = {"case": "case"}.get(scope, scope)
                self.rows[scope, moment.now] = {
                    row["id"]: population.Plain(self.tables, moment, kind, row) for row in rows
                }

    def reader(self, scope: str, moment):
        if scope == "case":
            return case_reader("lifecycle", "customer", self.book, moment, stage="start")
        return subject_reader(scope, self.book, moment)

    def sql(self, node, scope: str, moment, *, condition: bool) -> dict:
        reader = self.reader(scope, moment)
        translator = Translator(reader)
        found = translator.condition(node) if condition else translator.value(node)
        statement = select(reader.base.c.id, found.label("found")).select_from(reader.source())
        if scope == "case":
            statement = statement.where(reader.base.c.flow == "lifecycle")
        return dict(self.connection.execute(statement).all())

    def check(self, expression, scope: str, *, condition: bool) -> None:
        plain = function(expression.node)
        for moment in (population.EARLY, population.LATE):
            asked = self.sql(expression.node, scope, moment, condition=condition)
            rows = self.rows[scope, moment.now]
            assert asked.keys() == rows.keys()
            for key, row in rows.items():
                expected, got = plain(row, moment), asked[key]
                got = bool(got) if condition and got is not None else got
                assert same(expected, got), f"{expression.text}\n{scope} {key}: Python {expected!r}, SQL {got!r}"
                self.tally[expected if condition else "value" if expected is not None else "none"] += 1


def same(expected, got) -> bool:
    return (expected is None) == (got is None) and (expected is None or expected == got)


@pytest.fixture
def judge(database):
    store = open_store(database, project=None)
    with store.writing() as connection:
        book = population.World(connection, seed=20_260_331, customers=100).book
    with store.reading() as connection:
        yield Judge(connection, book)
    store.close()


# No shrinking: a failing expression is short enough to read, and shrinking over a database takes minutes.
QUIET = {
    "phases": [Phase.generate],
    "report_multiple_bugs": False,
    "derandomize": True,
    "database": None,
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
}


def judge_conditions(judge, examples: int) -> None:
    """Conditions drawn by chance hold for the same rows in SQL and in Python."""

    @settings(max_examples=examples, **QUIET)
    @given(conditions())
    def check(drawn):
        scope, text = drawn
        subject, flow, _ = SCOPES[scope]
        expression = compile_expression(text, population.NAMES, subject=subject, flow=flow)
        judge.check(expression, scope, condition=True)

    check()


def test_conditions_hold_for_the_same_rows_in_sql_and_in_python(judge):
    judge_conditions(judge, 450)
    tally = judge.tally
    print(dict(tally))
    total = sum(tally.values())
    assert total >= 100_000
    for truth in (True, False, None):
        assert tally[truth] >= total / 10


def test_metrics_have_the_same_values_in_sql_and_in_python(judge):
    @settings(max_examples=120, **QUIET)
    @given(metrics())
    def check(drawn):
        scope, *rest = drawn
        judge.check(made(population.NAMES, scope, rest), scope, condition=False)

    check()
    print(dict(judge.tally))
    assert judge.tally["value"] >= 10_000


def test_loaded_facts_say_in_python_what_sql_says(judge):
    @settings(max_examples=60, **QUIET)
    @given(conditions(), conditions(), st.integers(1, 100))
    def check(one, two, place):
        scope = one[0]
        texts = [one[1]] + ([two[1]] if two[0] == scope else [])
        subject, flow, _ = SCOPES[scope]
        expressions = [compile_expression(text, population.NAMES, subject=subject, flow=flow) for text in texts]
        moment = population.EARLY
        key = list(judge.rows[scope, moment.now])[place % len(judge.rows[scope, moment.now])]
        facts = load_facts(
            judge.connection, lambda: judge.reader(scope, moment), lambda row: row.c.id == key, expressions
        )
        for expression in expressions:
            asked = judge.sql(expression.node, scope, moment, condition=True)[key]
            expected = function(expression.node)(facts, moment)
            assert same(expected, bool(asked) if asked is not None else None), expression.text

    check()


def test_facts_of_many_rows_take_as_many_statements_as_of_one(judge):
    texts = ["usage.depth > 5% and count(contact, contact.level == 1) >= 1", "count(contract) + count(contact) > 2"]
    expressions = [
        compile_expression(text, population.NAMES, subject="customer", flow="lifecycle", expect=None) for text in texts
    ]
    seen = []

    def note(_connection, _cursor, statement, *_rest):
        seen.append(statement)

    event.listen(judge.connection, "before_cursor_execute", note)
    keys = list(judge.rows["case", population.EARLY.now])
    for many in (keys[:1], keys):
        seen.clear()
        reader = functools.partial(judge.reader, "case", population.EARLY)
        found = load_many(judge.connection, reader, lambda row, many=many: row.c.id.in_(many), expressions)
        assert len(found) == len(many)
        assert len(seen) == 3  # the rows, their contacts, their contracts
    for expression in expressions:
        asked = judge.sql(expression.node, "case", population.EARLY, condition=True)
        plain = function(expression.node)
        assert {key: plain(facts, population.EARLY) for key, facts in found.items()} == {
            key: None if truth is None else bool(truth) for key, truth in asked.items()
        }
    event.remove(judge.connection, "before_cursor_execute", note)


def test_facts_of_a_row_that_is_not_there_are_an_error(judge):
    expression = compile_expression("usage.depth > 5%", population.NAMES, subject="customer", flow="lifecycle")
    with pytest.raises(LookupError):
        load_facts(
            judge.connection,
            functools.partial(judge.reader, "case", population.EARLY),
            lambda row: row.c.id == -1,
            [expression],
        )


def test_nesting_makes_the_sql_longer_and_not_many_times_longer(judge):
    def size(text):
        expression = compile_expression(text, population.NAMES, subject="customer", flow="lifecycle")
        reader = judge.reader("case", population.EARLY)
        return len(str(select(Translator(reader).condition(expression.node))))

    for start, end in (
        ("default(", " > 1 and flag.vip, flag.vip)"),
        ("not (true == (", "))"),
        ("(", " or case.waiting) and flag.vip"),
    ):
        inner = "usage.hours > 1" if start.startswith("default") else "flag.vip"
        shallow = size(start * 4 + inner + end.replace(" > 1", "") * 4)
        deep = size(start * 16 + inner + end.replace(" > 1", "") * 16)
        assert deep < 6 * shallow


def test_no_number_makes_either_database_fail(judge):
    for text in (
        "usage.hours * 1e15 * 1e15 * 1e15 * 1e15 * 1e15 * 1e15 * 1e15 * 1e15 > 1",
        "usage.hours / 1e15 / 1e15 / 1e15 / 1e15 / 1e15 / 1e15 / 1e15 / 1e15 > 1",
        "sum(contract, contract.amount * 1e15 * 1e15) > money(1)",
        "usage.hours / (usage.hours - usage.hours) > 1",
        "since(contract.starts_on) > years(1000)",
        "until(case.opened_at) <= days(1000000)",
        "customer.beds + 1e15 > -1e15",
    ):
        expression = compile_expression(text, population.NAMES, subject="customer", flow="lifecycle")
        judge.check(expression, "case", condition=True)


def test_twice_the_arms_make_twice_the_sql(judge):
    def sized(expression):
        translated = Translator(judge.reader("case", population.EARLY)).value(expression.node)
        return len(str(select(translated)))

    def read(text):
        return compile_expression(text, population.NAMES, subject="customer", flow="lifecycle", use="metric")

    def row(many):
        return [(f"band{begin}", float(begin), False) for begin in range(many)]

    hours, since = read("usage.hours + customer.nps"), read("since(customer.live_on)")

    def choice(many):
        return choose([(f"word{least}", read(f"usage.hours > {least}")) for least in range(many)], "less")

    def lengths(many):
        return bands(hours, [(Length(months, "months"), row(5)) for months in range(many)], since)

    def words(many):
        return bands(hours, [(grade, row(many)) for grade in "ABC"], read("customer.grade"))

    for make in (choice, lengths, words, lambda many: bands(hours, [(None, row(many))])):
        assert sized(make(40)) < 2.5 * sized(make(20))
    for make in (lengths, words):
        judge.check(make(20), "case", condition=False)


def test_sums_and_defaults_may_be_as_long_as_the_language_lets_them(judge):
    numbers = [name for name in OUTER["number"] if name.startswith(("usage", "customer"))]
    names = [numbers[place % len(numbers)] for place in range(59)]
    default = "0"
    for name in names[:50]:
        default = f"default({name}, {default})"
    signs = "+-" * 29
    for text in (
        " + ".join(names),
        names[0] + "".join(f" {sign} {name}" for sign, name in zip(signs, names[1:], strict=True)),
        " + ".join(f"quarter(customer.{('signed_on', 'live_on')[place % 2]})" for place in range(59)),
        "usage.hours + (customer.nps + customer.beds) * (usage.hours - (customer.nps - 0.1))",
        default,
        "default(default(default(usage.hours, customer.nps), customer.beds) + 1, default(usage.hours, 3))",
    ):
        judge.check(
            compile_expression(text, population.NAMES, subject="contract", use="metric"), "contract", condition=False
        )


def test_facts_beyond_those_that_are_joined_mean_the_same(judge, monkeypatch):
    monkeypatch.setattr(reading, "MOST_JOINS", 1)
    judge_conditions(judge, 120)


def test_a_metric_reads_more_facts_than_sqlite_joins_tables(judge):
    many = [f"much.m{number}" for number in range(150)]
    names = replace(population.NAMES, metrics=dict.fromkeys(many, ("customer", None)), metric_type=lambda _: NUMBER)
    parts = [
        (1.0, compile_expression(f"default({name}, 40)", names, subject="customer", use="metric")) for name in many
    ]
    score = weights([(1.0, parts)], {}, [], 0.5)
    reader = judge.reader("case", population.EARLY)
    found = Translator(reader).value(score.node)
    newest = newest_of(reader.happened(fact) for fact in score.facts)
    rows = judge.connection.execute(select(found, newest).select_from(reader.source())).all()
    assert set(rows) == {(40.0, None)}


def test_alternatives_inside_a_count_are_asked_of_its_things(judge):
    text = "count(contract, contract.seats == 1 or contract.renewed) >= 1 and (flag.vip or customer.nps > 1)"
    expression = compile_expression(text, population.NAMES, subject="customer", flow="lifecycle")
    reader = judge.reader("case", population.EARLY)
    statement, evidence = holding(
        reader, expression, [reader.base.c.id], where=[reader.base.c.flow == "lifecycle"], dated=True
    )
    rows = judge.connection.execute(statement).all()
    asked = judge.sql(expression.node, "case", population.EARLY, condition=True)
    assert {row.id for row in rows} == {key for key, truth in asked.items() if truth}
    assert {evidence.since(row) for row in rows} == {population.EARLY.now}  # nobody dates a count
