"""csflow.testing finds what it is there to find."""

from __future__ import annotations

import pytest

from csflow.hookspecs import RetryLater, Undeliverable
from csflow.plugins import import_file
from csflow.testing import Asked, check_metric, check_milestone, check_notifier, usage

ASKED = Asked(usage={"a": [usage("x", "2026-01-02", 2)], "b": [usage("x", "2026-01-03", 1)]}, options={"n": [1]})


def good(batch):
    return {key: float(sum(row.count for row in rows)) for key, rows in batch.usage.items()}


def test_a_metric_that_is_right_passes():
    check_metric(good, ASKED, {"a": 2.0, "b": 1.0})
    check_milestone(
        lambda batch: {key: rows[0].day for key, rows in batch.usage.items()},
        ASKED,
        {"a": "2026-01-02", "b": "2026-01-03"},
    )


def keeps(batch, seen=[]):  # noqa: B006  # the mistake that is looked for
    seen.append(1)
    return {key: float(len(seen)) for key in batch.subjects}


def spoils(batch):
    batch.options["n"].append(2)
    return good(batch)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda batch: dict.fromkeys(batch.subjects, 1.0), "a"),
        (spoils, "it changed what it was given"),
        (lambda batch: {**good(batch), **({} if len(batch.subjects) > 1 else dict.fromkeys(batch.subjects, 9.0))}, "one by one"),
        (lambda batch: good(batch) if batch.subjects[0] == "a" and len(batch.subjects) == 2 else {}, "in another order"),
    ],
    ids=["value", "changes", "batches", "order"],
)  # fmt: skip
def test_a_metric_that_is_wrong_is_told(wrong, reason):
    with pytest.raises(AssertionError, match=reason):
        check_metric(wrong, ASKED, {"a": 2.0, "b": 1.0})


def test_a_metric_that_keeps_something_between_calls_is_told():
    with pytest.raises(AssertionError):
        check_metric(keeps, ASKED, {"a": 2.0, "b": 2.0})


def test_a_notifier_that_sends_twice_loses_the_id_or_tells_a_secret_is_told():
    got = []
    check_notifier(lambda m: got.append([m.id, m.title]), lambda: got)
    with pytest.raises(AssertionError, match="3 messages went out, 6 arrived"):
        check_notifier(lambda m: got.extend([[m.id, m.title]] * 2), lambda: got)
    with pytest.raises(AssertionError, match="the id check-1 did not arrive"):
        check_notifier(lambda m: got.append([m.title]), lambda: got)
    state = {"down": False}

    def send(m):
        if state["down"]:
            raise RetryLater("hush: no answer")
        got.append([m.id, m.title])

    def fail():
        state["down"] = True

    with pytest.raises(AssertionError, match="a secret"):
        check_notifier(send, lambda: got, failing=[(fail, RetryLater)], secrets=["hush"])
    state["down"] = False
    with pytest.raises(AssertionError, match="it raised RetryLater, not Undeliverable"):
        check_notifier(send, lambda: got, failing=[(fail, Undeliverable)])
    state["down"] = False
    with pytest.raises(AssertionError, match="the other side failed and it raised nothing"):
        check_notifier(send, lambda: got, failing=[(lambda: None, RetryLater)])


def test_messages_of_a_project_come_into_the_test(csflow_project):
    project = csflow_project(
        {
            "csflow.yaml": "csflow: 1\nname: x\nroles: {csm: CSM}\npeople: {li: {roles: [csm]}}\n",
            "l.yaml": "flow: lifecycle\nopens: customer.contracts >= 1\ndo: [{notify: csm}]\nstages: {a: good}\n",
        },
        today="2026-01-05",
    )
    project.book.customer("C-1", starts="2026-01-01")
    project.run()
    assert project.messages() == []  # the first pass withholds them
    project.book.customer("C-2", starts="2026-01-01")
    project.clock.travel("1 day")
    project.measure()
    project.advance()
    (told,) = project.messages()
    assert (told.recipient.id, told.case) == ("li", "lifecycle/C-2/1")
    assert project.messages() == []


def test_what_switches_nothing_off_is_told_and_what_is_off_fails_no_more(csflow_project):
    text = "csflow: 1\nname: x\ncurrency: EUR\nmetrics: {orders.size: {type: number, uses: bad/size}}\n"
    project = csflow_project(text)
    (project.folder / "bad.py").write_text("1 / 0", "utf-8")
    assert project.csflow("measure", "--as-of", "2026-01-05")[0] == 1
    assert project.csflow("plugins")[0] == 1
    (project.folder / "csflow.yaml").write_text(f"{text}plugins_off: [bda, bad]\n", "utf-8")
    code, out, _ = project.csflow("plugins")
    assert (code, out.count("failed"), out.splitlines()[-1]) == (0, 0, "8 plugins, 0 failing")
    assert "bda  unknown: not there  (switched off)" in out
    (project.folder / "csflow.yaml").write_text(f"{text}plugins_off: [console, bda]\n", "utf-8")
    told = project.csflow("validate")[1].splitlines()
    at = f"{project.folder / 'csflow.yaml'}:5:"
    assert f"{at}15: warning: there is no plugin 'console': did you mean 'csflow.console'?" in told
    assert f"{at}24: warning: there is no plugin 'bda': did you mean 'bad'?" in told
    assert f"{project.folder / 'bad.py'}:1:1: warning: cannot be imported: ZeroDivisionError: division by zero" in told


@pytest.mark.parametrize(("window", "per_day"), [("14 days", 1), ("2 weeks", 1), ("1 month", 14 / 31)])
def test_the_metric_of_a_new_plugin_knows_windows_in_any_unit(csflow_project, window, per_day):
    project = csflow_project("csflow: 1\nname: x\n")
    assert project.csflow("plugins", "new", "orders")[0] == 0
    orders = import_file(project.folder / "orders.py")
    asked = Asked(usage={"C-1": [usage("core", "2026-01-30", 14)]}, options={"window": window})
    check_metric(orders.per_day, asked, {"C-1": per_day})


def test_a_plugin_is_begun_listed_and_followed(csflow_project):
    project = csflow_project("csflow: 1\nname: x\nplugins_off: [old]\n")
    (project.folder / "old.py").write_text("1 / 0", "utf-8")
    assert project.csflow("plugins", "new", "orders")[0] == 0
    assert project.csflow("plugins", "new", "orders")[0] == 2
    assert project.csflow("plugins", "new", "no-name")[0] == 2
    for taken in ("csflow", "json", "class", "test_orders", "conftest"):
        code, _, err = project.csflow("plugins", "new", taken)
        assert (code, "cannot be a plugin's name" in err) == (2, True)
    code, out, _ = project.csflow("plugins")
    assert code == 0
    assert "csflow_metrics: orders/per_day" in out
    assert f"old  file: {project.folder / 'old.py'}  (switched off)" in out
    (project.folder / "orders.py").write_text("1 / 0", "utf-8")
    code, out, _ = project.csflow("plugins", "--format", "jsonl")
    assert code == 1
    assert "line 1: ZeroDivisionError: division by zero" in out
    assert "csflow_metrics of csflow" in project.csflow("--trace-hooks", "measure")[2]
