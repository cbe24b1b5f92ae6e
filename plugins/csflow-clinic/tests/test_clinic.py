"""The Python of the trade, by hand-computed figures and in a project."""

import csflow_clinic as clinic

from csflow.testing import Asked, check_metric, check_milestone, usage

WEEK = {"window": "7 days", "hours": {"mon-fri": 10, "sat": 6}}  # 56 hours in any seven days


def test_time_in_the_system_against_opening_hours():
    used = {"A": [usage("desk", "2026-01-28", seconds=7 * 3600), usage("desk", "2026-01-30", seconds=7 * 3600)]}
    check_metric(
        clinic.open_share, Asked(usage=used, subjects=["B"], options=WEEK), {"A": 0.25, "B": 0.0}, type="share"
    )


def test_rows_without_seconds_are_unknown():
    check_metric(clinic.open_share, Asked(usage={"A": [usage("desk", "2026-01-30")]}, options=WEEK), {"A": None})


def test_a_clinic_with_hours_of_its_own():
    asked = Asked(
        usage={"A": [usage("desk", "2026-01-30", seconds=3600)]},
        facts={"A": {"customer.open_hours": 20.0}},
        options={"window": "14 days", "per_week": "customer.open_hours", "reads": ["customer.open_hours"]},
    )
    check_metric(clinic.open_share, asked, {"A": 1 / 40}, type="share")


def test_a_level_is_that_of_the_first_word_that_the_post_holds():
    options = {"reads": ["contact.post"], "levels": {1: ["director", "院长"], 2: ["nurse"]}, "other": 3}
    posts = {"a": "Medical Director", "b": "副院长", "c": "Head nurse", "d": "IT", "e": None}
    facts = {contact: {"contact.post": post} for contact, post in posts.items()}
    expect = {"a": "1", "b": "1", "c": "2", "d": "3", "e": None}
    check_metric(clinic.contact_level, Asked(facts=facts, options=options), expect, type="text")


def test_the_first_printed_prescription_is_a_day_and_ten_of_them_another():
    rows = [usage("prescription_printed", "2026-01-05", 4), usage("prescription_printed", "2026-01-09", 6)]
    for least, on in ((1, "2026-01-05"), (10, "2026-01-09"), (11, False)):
        options = {"feature": "prescription_printed", "window": "24 months", "least": least}
        check_milestone(clinic.first_use_of, Asked(usage={"A": rows}, options=options), {"A": on})


def test_stock_is_closed_for_the_month_only_in_this_month():
    rows = {"A": [usage("stock_close", "2026-01-31")], "B": [usage("stock_close", "2026-02-02")], "C": []}
    asked = Asked(usage=rows, options={"window": "2 months"}, today="2026-02-05")
    check_milestone(clinic.month_closed, asked, {"A": False, "B": "2026-02-02", "C": False})


PROJECT = """
csflow: 1
name: clinics
languages: [en]
currency: CNY
zone: Asia/Shanghai
metrics:
  usage.open_share:
    type: share
    uses: clinic/open_share
    with: {window: 7 days, hours: {mon-fri: 10, sat: 6}}
  contact.rank:
    subject: contact
    type: text
    uses: clinic/contact_level
    with: {reads: [contact.post], levels: {1: [院长], 2: [护士]}, other: 3}
"""
FLOW = """
flow: lifecycle
opens: customer.contracts >= 1
stages:
  start:
    milestones:
      printed: {uses: clinic/first_use_of, with: {feature: prescription_printed, window: 24 months}}
      campaign: {uses: clinic/first_use_of, with: {feature: online_campaign, window: 24 months}}
    transitions: {steady: milestones.all}
  steady:
    milestones: {stock: {uses: clinic/month_closed, with: {window: 2 months}}}
    transitions: {settled: milestones.all}
  settled: good
"""


def test_in_a_project(csflow_project):
    project = csflow_project({"csflow.yaml": PROJECT, "lifecycle.yaml": FLOW}, today="2026-01-31")
    for number in ("A", "B"):
        project.book.customer(number, starts="2026-01-01")
        project.book.usage(number, "prescription_printed", on="2026-01-10", seconds=28 * 3600)
    project.book.usage("A", "online_campaign", on="2026-01-30", seconds=28 * 3600)
    project.book.usage("A", "stock_close", on="2026-01-31", seconds=0)
    project.book.contact("p1", "A", post="副院长")
    assert project.run().measured.failed == []
    assert [project.stage(one) for one in ("A", "B")] == ["settled", "start"]
    assert project.values("usage.open_share") == {"A": 0.5, "B": 0.0}
    assert project.values("contact.rank") == {"p1": "1"}
    assert project.milestones("A")["campaign"].startswith("2026-01-30")


def test_wrong_settings_are_told(csflow_project):
    text = PROJECT.replace("hours: {mon-fri: 10, sat: 6}", "hours: {noday: 3}")
    code, out, _ = csflow_project({"csflow.yaml": text, "lifecycle.yaml": FLOW}).csflow("validate")
    assert code == 3
    assert "clinic/open_share: say with: {window: 4 weeks" in out


def test_the_pack_and_the_package_live_together(csflow_project):
    project = csflow_project(pack="clinic")
    code, out, _ = project.csflow("plugins")
    assert code == 0, out
    assert "csflow_metrics: clinic/open_share, clinic/contact_level" in out
    assert project.csflow("validate")[0] == 0
