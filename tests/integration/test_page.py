"""The project's page: its figures by hand, the customers behind them, and what HTML comes of it – on both databases."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from click.testing import CliRunner
from shop import FILES, Shop, at
from sqlalchemy import insert, select, update

from csflow.builtin.sections import missed_deadlines
from csflow.cli import main
from csflow.errors import StoreError, UsageError
from csflow.hookspecs import Section
from csflow.services.demo import standing
from csflow.services.page import Count, page_of
from csflow.services.page_html import _figure, html_of, write_page
from csflow.services.status import status
from csflow.store import tables as t
from csflow.values import day

FIGURES = """
metrics:
  heads.contracts: {label: Contracts per customer, subject: book, value: count(contract) / count(customer)}
  heads.worth: {label: Worth per customer, subject: book, value: "sum(contract, contract.amount) / count(customer)"}
  money.large:
    label: In large contracts
    subject: book
    value: sum(contract, contract.amount, contract.amount >= money(10000)) / sum(contract, contract.amount)
"""
METRICS = """
metrics:
  size.state: {label: {en: Size, zh: 规模}, of: customer.beds, bands: {few: 0, some: 10, many: 50}}
  size.points: {points: {few: 0, some: 50, many: 100}, weights: {beds: {weight: 100, parts: {size.state: 100}}}}
  size.colour: {label: {en: Colour, zh: 颜色}, of: size.points, bands: {red: 0, green: 60}}
  kept.rate:
    label: {en: Kept, zh: 续约率}
    subject: book
    value: count(contract, contract.ends_on in period and contract.renewed) / count(contract, contract.ends_on in period)
"""
RENEWAL = """
flow: renewal
label: Renewal
subject: contract
opens: contract.starts_on is known
clock: contract.starts_on
responsible: csm
stages:
  offer: {label: Offer, deadline: 1 month after clock, transitions: {won: {trigger: signed}}}
  won: good
"""
DEADLINES = {"csflow/missed_deadlines": missed_deadlines}
VOID = {"meta", "link", "br", "wbr"}


class Reader(HTMLParser):
    """Reads the tags of a page and fails where one is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in {"h1", "h2", "h3"}:
            self.headings.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def busy(three):
    """C-1 and C-3 overdue since 1 February."""
    three.run("2026-02-03")
    return three


@pytest.fixture
def sized(database, tmp_path):
    """The shop with bands, a score and a rate of the book."""
    opened = Shop(database, tmp_path / "sized", FILES | {"metrics.yaml": METRICS})
    yield opened
    opened.close()


@pytest.fixture
def renewing(database, tmp_path):
    """The shop with a flow of contracts: C-1's and C-3's cases, in both flows, overdue since 1 February."""
    opened = Shop(database, tmp_path / "renewing", FILES | {"renewal.yaml": RENEWAL})
    for key in ("C-1", "C-3"):
        opened.customer(key)
    opened.run("2026-01-05")
    opened.run("2026-02-03")
    yield opened
    opened.close()


def seen(shop, on="2026-02-05", **more):
    return page_of(shop.store, shop.definition, at(on), language="en", **more)


def written(shop, language="en", **more):
    return html_of(seen(shop, **more), language)


def contract(shop, customer: str, key: str, *, ends: str, replaces: str | None = None) -> None:
    with shop.store.writing() as c:
        row = {"key": key, "starts_on": day(ends) - 364, "ends": day(ends) + 1, "replaces": replaces, "happened": 0}
        c.execute(insert(t.contract).values(**row, customer=shop.id(customer, c), amount=1, currency="EUR", value=1))


def test_each_count_of_a_stage_names_the_customers_behind_it(busy):
    [care] = [flow for flow in seen(busy).flows if flow.name == "care"]
    start, grown, *rest = care.stages
    assert start.cases == Count(2, (("C-1", 1), ("C-3", 1)))
    assert start.overdue == Count(2, (("C-1", 1), ("C-3", 1)))
    assert grown.cases == Count(1, (("C-2", 1),))
    assert grown.overdue == Count(0)
    assert all(line.cases.number == 0 for line in rest)
    assert care.open == 3


def test_what_moved_is_counted_for_four_weeks(busy):
    def moved(on):
        return [flow.stages[1].moved for flow in seen(busy, on).flows if flow.name == "care"]

    assert moved("2026-02-03") == [Count(1, (("C-2", 1),))]  # on 7 January, 27 days before
    assert moved("2026-02-04") == [Count(0)]  # at the very end of 7 January is 28 days before


def test_overdue_lines_stand_with_who_is_responsible_and_how_late_they_are(busy):
    people = {person.name: person for person in seen(busy).people}
    late = [line for line in people["csm"].lines if line.what == "stages.start"]
    # due one month after 1 January, at the end of 1 February: on the 5th four days late
    assert [(line.case, line.customer, line.due, line.days) for line in late] == [
        ("care/C-1/1", "C-1", "2026-02-01", 4),
        ("care/C-3/1", "C-3", "2026-02-01", 4),
    ]
    assert {line.label["zh"] for line in late} == {"开始"}


def test_a_case_of_a_contract_is_named_as_every_other_command_names_it(renewing):
    [person] = seen(renewing).people
    cases = {line.case for line in person.lines}
    assert cases == {"care/C-1/1", "care/C-3/1", "renewal/C-1/K/1", "renewal/C-3/K/1"}
    assert cases <= set(renewing.explain_all("2026-02-05"))


def test_a_case_late_with_several_things_is_one_overdue_case_everywhere(busy):
    with busy.store.writing() as c:  # C-3's deadline was dropped since; its task, due on the 5th, is not done
        third = select(t.case.c.id).where(t.case.c.customer == busy.id("C-3", c)).scalar_subquery()
        c.execute(update(t.deadline).where(t.deadline.c.case == third).values(dropped=1))
    page, found = seen(busy, "2026-02-08"), status(busy.store, busy.definition, at("2026-02-08"))
    [person] = page.people
    # C-1's deadline and task, C-3's task
    assert (person.name, person.cases, person.number) == ("csm", 2, 3)
    by_page = {line.name: line.overdue.number for flow in page.flows if flow.name == "care" for line in flow.stages}
    by_status = {stage["name"]: stage["overdue"] for stage in found["flows"][0]["stages"]}
    lines = standing(busy.store, busy.definition, at("2026-02-08"))
    by_demo = {line.stage: line.overdue for line in lines if line.flow == "care"}
    assert by_page == by_status == by_demo == {"start": 2, "grown": 0, "asleep": 0, "ending": 0, "lost": 0}
    text = html_of(page, "en")
    assert "<dt>Overdue cases</dt><dd>2</dd>" in text
    assert "Success manager · Deadlines and tasks past due: 3" in text


def test_a_task_left_open_in_a_case_that_ended_makes_nobody_overdue(busy):
    with busy.store.writing() as c:
        c.execute(update(t.case).where(t.case.c.customer == busy.id("C-3", c)).values(ended=at("2026-02-07")))
    [person] = seen(busy, "2026-02-08").people
    assert {line.case for line in person.lines} == {"care/C-1/1"}
    assert sum(line.overdue for line in standing(busy.store, busy.definition, at("2026-02-08"))) == 1


def test_a_deadline_is_with_the_person_it_was_missed_by(busy):
    with busy.store.writing() as c:
        c.execute(update(t.deadline).where(t.deadline.c.missed.is_not(None)).values(person="li"))
    assert {person.name: [line.what for line in person.lines] for person in seen(busy).people}["li"] == [
        "stages.start"
    ] * 2


def test_a_moment_before_the_last_pass_is_refused(busy):
    with pytest.raises(UsageError, match="2026-02-03"):
        seen(busy, "2026-02-02")


def test_customers_stand_in_the_order_of_the_bands_and_the_unknown_ones_last(sized):
    for key, beds in (("C-1", 5.0), ("C-2", 60.0), ("C-3", 70.0)):
        sized.customer(key, beds=beds)
    sized.customer("C-4")
    sized.run("2026-01-05")
    colour, state = seen(sized).bands
    assert (colour.name, colour.score, state.name, state.score) == ("size.colour", True, "size.state", False)
    assert [(word, count.number, [key for key, _ in count.of]) for word, count in state.bands] == [
        ("few", 1, ["C-1"]),
        ("some", 0, []),
        ("many", 2, ["C-2", "C-3"]),
        ("", 1, ["C-4"]),
    ]
    assert [(word, count.number) for word, count in colour.bands] == [("red", 1), ("green", 2), ("", 1)]


def test_a_rate_of_the_book_is_shown_with_both_numbers_and_its_customers(sized):
    for key in ("C-1", "C-2", "C-3"):
        sized.customer(key, starts=None)
        contract(sized, key, "old", ends="2025-12-31")
    contract(sized, "C-1", "new", ends="2026-12-31", replaces="old")
    [rate] = seen(sized).rates
    assert (rate.numerator, rate.denominator, rate.share) == (1, 3, True)
    assert [(one["customer"], one["numerator"], one["denominator"]) for one in rate.of] == [
        ("C-1", 1, 1),
        ("C-2", 0, 1),
        ("C-3", 0, 1),
    ]
    assert "33.3%" in written(sized)
    assert "1 of 3" in written(sized)


def test_a_number_per_head_is_no_percentage_and_amounts_have_separators(database, tmp_path):
    opened = Shop(database, tmp_path / "heads", FILES | {"metrics.yaml": FIGURES})
    for key, amount in (("C-1", 900_000_000), ("C-2", 100_000_050), ("C-3", None)):  # in cents
        opened.customer(key, amount=amount, starts="2026-01-01" if amount else None)
    text = written(opened)
    opened.close()
    # two contracts of three customers; 10,000,000.50 euros by three; all of it in large contracts
    assert ">0.67</td>" in text
    assert "2 of 3" in text
    assert ">3,333,333.50 EUR</td>" in text
    assert "10,000,000.50 EUR of 3" in text
    assert "C-1</span> 9,000,000 EUR/1" in text
    assert ">100.0%</td>" in text


def test_figures_of_every_kind_are_written_for_people():
    told = {1234567: "1,234,567", 3.978: "3.98", "-0.50 EUR": "-0.50 EUR", "-1234 CNY": "-1,234 CNY", "big": "big"}
    assert {value: _figure(value) for value in told} == told
    assert _figure(None) == "?"


def test_an_end_is_called_as_status_calls_it(database, tmp_path):
    complaint = FILES["complaint.yaml"].replace("closed: good", "closed: neutral")
    opened = Shop(database, tmp_path / "ends", FILES | {"complaint.yaml": complaint})
    opened.customer("C-1")
    opened.run("2026-01-05")
    opened.say("C-1", "complain", "2026-01-06")
    opened.run("2026-01-06")
    text = written(opened)
    opened.close()
    assert 'closed <span class="soft">(neutral end)</span>' in text


def test_without_a_metric_of_the_book_contracts_that_ended_and_were_renewed_are_counted(shop):
    for key, ends in (("C-1", "2025-12-31"), ("C-2", "2025-06-30"), ("C-3", "2025-02-05"), ("C-4", "2025-02-04")):
        shop.customer(key, starts=None)
        contract(shop, key, "old", ends=ends)
    contract(shop, "C-2", "new", ends="2026-06-30", replaces="old")
    contract(shop, "C-4", "new", ends="2026-02-04", replaces="old")
    rate = seen(shop, "2026-02-04").renewals
    # from 5 February 2025 to 4 February 2026: C-1, C-2, C-3 and the second contract of C-4; renewed is that of C-2
    assert (rate.numerator, rate.denominator) == (1, 4)
    assert [one["customer"] for one in rate.of] == ["C-1", "C-2", "C-3", "C-4"]


def test_what_a_customer_is_called_is_text_and_never_markup(busy):
    with busy.store.writing() as c:
        c.execute(update(t.customer).values(name='<script>alert("1")</script>', key="<b>C</b>" + t.customer.c.key))
    text = written(busy, note="<i>note</i>")
    Reader(text)
    assert "<script" not in text
    assert "<b>" not in text
    assert "<i>" not in text
    assert "&lt;b&gt;C&lt;/b&gt;C-1" in text
    assert 'title="&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;"' in text


def test_the_page_asks_nobody_for_anything(busy):
    text = written(busy)
    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text
    tags = Reader(text).tags
    assert not {"script", "iframe", "img", "object", "form"} & {tag for tag, _ in tags}
    links = [attrs["href"] for tag, attrs in tags if tag in {"a", "link"}]
    there = {attrs["id"] for tag, attrs in tags if "id" in attrs}
    assert all(link == "data:," or link[1:] in there for link in links)


def test_headings_descend_and_every_table_has_heads_for_columns_and_rows(busy):
    read = Reader(written(busy))
    assert read.headings[0] == "h1"
    assert set(read.headings[1:]) == {"h2"}
    scopes = [attrs.get("scope") for tag, attrs in read.tags if tag == "th"]
    assert set(scopes) == {"col", "row"}
    assert ("html", {"lang": "en"}) in read.tags


def test_in_chinese_both_the_pages_words_and_the_projects_labels_are_chinese(busy):
    text = written(busy, "zh")
    assert all(word in text for word in ("客户全景", "关怀", "开始", "延期事项与责任人", "客户成功"))
    assert "Where customers stand" not in text


def test_a_plugins_section_stands_on_the_page_and_one_that_fails_costs_only_itself(busy):
    def good(sheet):
        return Section("Beds <now>", ("Customer", "Beds"), (("C-1", None), ("C-2", 60)), note=f"on day {sheet.today}")

    def bad(_sheet):
        raise ValueError("no <luck>")

    def wide(_sheet):
        return Section("Wide", ("One",), ((1, 2),))

    def none(_sheet):
        return None

    made = {"shop/good": good, "shop/bad": bad, "shop/wide": wide, "shop/none": none}
    text = written(busy, sections=made)
    Reader(text)
    assert "Beds &lt;now&gt;" in text
    assert f"on day {day('2026-02-05')}" in text
    assert "shop/bad could not be made: ValueError: no &lt;luck&gt;" in text
    assert "shop/wide could not be made: 1 of its rows do not fit its columns" in text
    assert "shop/none could not be made: it returns a Section, not NoneType" in text
    assert "Overdue, and with whom" in text


def test_the_table_of_deadlines_has_the_projects_labels_and_its_link_the_tables_heading(renewing):
    def rows(language):
        page = page_of(renewing.store, renewing.definition, at("2026-02-05"), language=language, sections=DEADLINES)
        return page.sections[0][1].rows, html_of(page, language)

    # both flows: two cases, each missed its one deadline
    found, text = rows("en")
    assert found == (("Care", "Start", 0, 0, 2, "100 %"), ("Renewal", "Offer", 0, 0, 2, "100 %"))
    assert '<a href="#section-0">Deadlines</a>' in text
    assert "stages." not in text
    found, text = rows("zh")
    assert found[0][:2] == ("关怀", "开始")
    assert '<a href="#section-0">节点是否延期</a>' in text


def test_a_section_may_ask_what_a_flow_and_what_is_in_it_are_called(renewing):
    asked = [("care",), ("care", "start"), ("care", "call"), ("care", "asleep"), ("gone",), ("gone", "stages.x")]

    def names(sheet):
        return Section("Names", ("Name",), tuple((sheet.called(*one),) for one in asked))

    [(_, section)] = seen(renewing, sections={"shop/names": names}).sections
    # asleep has no label; the flow gone is none of the project any more
    assert [row[0] for row in section.rows] == ["Care", "Start", "Call them", "asleep", "gone", "stages.x"]


def test_a_file_that_cannot_be_written_is_one_line(busy, tmp_path):
    (tmp_path / "page.html").mkdir()
    with pytest.raises(StoreError, match=r"page\.html: Is a directory"):
        write_page(tmp_path / "page.html", busy.store, busy.definition, at("2026-02-05"))


def test_no_folder_is_made_for_a_page(busy, tmp_path):
    (tmp_path / "file").write_text("", "utf-8")
    for folder in ("pgae", "file", "a/b"):
        with pytest.raises(UsageError, match=rf"/page\.html: there is no folder .*/{folder}: make it first"):
            write_page(tmp_path / folder / "page.html", busy.store, busy.definition, at("2026-02-05"))
    assert not (tmp_path / "pgae").exists()
    assert not (tmp_path / "a").exists()


def test_a_page_replaces_a_page_and_nothing_else(busy, tmp_path):
    page, other = tmp_path / "page.html", tmp_path / "csflow.yaml"
    other.write_text("csflow: 1\n", "utf-8")
    page.write_text("", "utf-8")
    for _ in range(2):
        assert write_page(page, busy.store, busy.definition, at("2026-02-05")) == []
    with pytest.raises(UsageError, match=r"csflow\.yaml is there, and is no page: name another file"):
        write_page(other, busy.store, busy.definition, at("2026-02-05"))
    assert other.read_text("utf-8") == "csflow: 1\n"


def test_without_a_language_it_is_the_projects_first(busy, tmp_path):
    assert write_page(tmp_path / "page.html", busy.store, busy.definition, at("2026-02-05")) == []
    assert '<html lang="en">' in (tmp_path / "page.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("languages", "asked", "there"),
    [
        ("[de]", [], ("Pflege", "Where customers stand", 'lang="en"')),
        ("[de, zh]", [], ("关怀", "客户全景", 'lang="zh"')),
        ("[de, zh]", ["--lang", "de"], ("Pflege", "Where customers stand", 'lang="en"')),
        ("[de]", ["--lang", "zh"], ("关怀", "客户全景", 'lang="zh"')),
    ],
)
def test_labels_are_in_a_language_that_csflow_does_not_speak(database, tmp_path, languages, asked, there):
    care = FILES["care.yaml"].replace("{en: Care, zh: 关怀}", "{en: Care, zh: 关怀, de: Pflege}")
    files = FILES | {"care.yaml": care, "csflow.yaml": FILES["csflow.yaml"].replace("[en, zh]", languages)}
    folder = tmp_path / "shop"
    shop = Shop(database, folder, files)
    shop.customer("C-1")
    shop.run("2026-01-05")
    shop.close()
    command = ["--project", str(folder), "--database", database, "page", str(tmp_path / "page.html"), *asked]
    outcome = CliRunner().invoke(main, command)
    assert outcome.exit_code == 0, outcome.output
    text = (tmp_path / "page.html").read_text("utf-8")
    assert all(word in text for word in there)


def test_before_the_first_pass_the_page_says_so(shop):
    shop.customer("C-1")
    assert "csflow run" in written(shop)
