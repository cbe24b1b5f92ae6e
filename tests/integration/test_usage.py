"""csflow's own metrics of use, counted by hand over one window of thirty days; on both databases."""

from __future__ import annotations

import pytest

from csflow.builtin import usage

FILES = {
    "office.yaml": """
calendars: {office: {zone: Europe/Berlin, hours: {mon-fri: 09:00-17:00}}}
""",
    "metrics.yaml": """
metrics:
  usage.days: {uses: csflow/active_days, type: number, with: {window: 30 days}}
  usage.core: {uses: csflow/feature_share, type: share, with: {window: 30 days, features: core}}
  usage.open: {uses: csflow/feature_share, type: share, with: {window: 30 days, features: available}}
  usage.some: {uses: csflow/feature_share, type: share, with: {window: 30 days, features: [print, sell]}}
  usage.one: {uses: csflow/feature_share, type: share, with: {window: 30 days, features: print}}
  usage.hours: {uses: csflow/session_hours, type: number, with: {window: 30 days}}
  usage.time: {uses: csflow/session_share, type: share, with: {window: 30 days, calendar: office}}
  usage.never: {uses: csflow/session_share, type: share, with: {window: 30 days}}
  usage.plans: {uses: csflow/event_count, type: number, with: {window: 30 days, feature: plan}}
""",
}
FACTS = {
    "customers": "id\nC-1\nC-2\nC-3\n",
    "contracts": "id,customer,starts_on,product\nK-1,C-1,2026-01-01,pro\nK-2,C-2,2026-01-01,\n",
    "features": "id,core,product\nplan,yes,\nmail,yes,pro\nprint,no,pro\nsell,no,plus\n",
    # of the thirty days until 31 March the first is 2 March
    "usage": (
        "customer,feature,day,count,seconds\n"
        "C-1,mail,2026-03-01,9,9000\n"
        "C-1,plan,2026-03-10,2,3600\n"
        "C-1,plan,2026-03-11,,1800\n"
        "C-1,print,2026-03-11,1,1800\n"
        "C-2,sell,2026-03-20,1,\n"
        "C-2,plan,2026-03-31,1,900\n"
    ),
}


@pytest.fixture
def measured(csflow_project, database):
    """The metrics as of 31 March: name → customer → value."""
    project = csflow_project(FILES, database=database, today="2026-03-31")
    for kind, text in FACTS.items():
        assert project.bring(kind, text).rejected == 0
    project.measure()
    return {name: project.values(name) for name in project.app.definition.metrics}


def test_the_usage_of_a_window_is_counted_for_every_customer(measured):
    assert measured["usage.days"] == {"C-1": 2, "C-2": 2, "C-3": 0}
    assert measured["usage.hours"] == {"C-1": 2.0, "C-2": 0.25, "C-3": 0}
    assert measured["usage.plans"] == {"C-1": 3, "C-2": 1, "C-3": 0}  # a row without a count is one use


def test_depth_is_of_the_core_features_and_breadth_of_those_its_contracts_open(measured):
    assert measured["usage.core"] == {"C-1": 1 / 2, "C-2": 1 / 2, "C-3": 0}  # plan, of plan and mail
    assert measured["usage.open"] == {"C-1": 2 / 3, "C-2": 1.0, "C-3": 0}  # C-2 has no product: plan only


def test_a_share_may_be_of_features_that_the_metric_names(measured):
    assert measured["usage.some"] == {"C-1": 1 / 2, "C-2": 1 / 2, "C-3": 0}
    assert measured["usage.one"] == {"C-1": 1.0, "C-2": 0, "C-3": 0}


def test_time_in_the_product_is_a_share_of_the_calendars_working_time_and_unknown_without_one(measured):
    # 22 working days of 8 hours from 2 to 31 March
    assert measured["usage.time"]["C-1"] == pytest.approx(2 / 176)
    assert measured["usage.never"].get("C-1") is None


@pytest.mark.parametrize(
    ("uses", "options", "told"),
    [
        ("csflow/active_days", {"windw": "3 days"}, "there is no setting 'windw': it has window"),
        (
            "csflow/session_share",
            {"window": "3 days", "feature": "x"},
            "there is no setting 'feature': it has window, calendar",
        ),
        ("csflow/feature_share", {"window": "3 days", "features": "core"}, None),
    ],
)
def test_a_misspelt_setting_of_a_usage_metric_is_told(uses, options, told):
    check = usage.csflow_metrics()[uses].check
    if told is None:
        check(options)
    else:
        with pytest.raises(ValueError, match=told):
            check(options)


def test_without_a_calendar_of_its_own_a_share_of_time_is_of_the_projects(csflow_project, database):
    files = FILES | {"csflow.yaml": "csflow: 1\nname: p\ncurrency: EUR\nzone: Europe/Berlin\ncalendar: office\n"}
    project = csflow_project(files, database=database, today="2026-03-31")
    for kind, text in FACTS.items():
        assert project.bring(kind, text).rejected == 0
    project.measure()
    assert project.values("usage.never") == project.values("usage.time")
    assert project.values("usage.never")["C-1"] == pytest.approx(2 / 176)
