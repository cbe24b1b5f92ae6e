"""`csflow deliver`, `csflow outbox` and the end of `csflow run`, as somebody types them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from csflow.cli import main

PROJECT = """csflow: 1
name: shop
languages: [en]
currency: EUR
zone: Europe/Berlin
roles: {csm: {label: {en: Success manager}}, ghost: {label: {en: Nobody}}}
people: {li: {label: {en: Li}, roles: [csm], address: {WAY: $LI_ADDRESS}}}
messages: {hello: {title: {en: "Hello {customer.name}"}, text: {en: "In {case.stage}"}}}
"""
FLOW = """flow: care
opens: contract.id is known
stages:
  a: {do: [{notify: csm, message: hello}], transitions: {b: since(contract.starts_on) >= days(1)}}
  b: {do: [{notify: csm}], transitions: {c: {trigger: go}}}
  c: good
"""
SECRET = "very-secret-hunter2"  # noqa: S105


def csflow(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose first pass was on 2 January; what it wrote was dropped, so that later messages are pending."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "csflow.yaml").write_text(PROJECT.replace("WAY", "file"), "utf-8")
    (folder / "care.yaml").write_text(FLOW, "utf-8")
    (folder / "customers.csv").write_text("id,name\nC-1,One\nC-2,诊所\n", "utf-8")
    (folder / "contracts.csv").write_text("id,customer,starts_on\nK-1,C-1,2026-01-02\nK-2,C-2,2026-01-02\n", "utf-8")
    monkeypatch.setenv("LI_ADDRESS", "here")
    monkeypatch.setenv("CSFLOW_ACTOR", "li")
    assert csflow("--project", folder, "import", folder).exit_code == 0
    assert csflow("--project", folder, "run", "--as-of", "2026-01-02").exit_code == 0
    assert csflow("--project", folder, "outbox", "drop", "--all").stdout == "2 messages dropped\n"
    return folder


def run(project: Path, *words: str) -> Result:
    return csflow("--project", project, "run", "--as-of", "2026-01-10", *words)


def by_webhook(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on messages go to a webhook where nobody is, with secrets in the environment."""
    (project / "csflow.yaml").write_text(PROJECT.replace("WAY", "webhook"), "utf-8")
    monkeypatch.setenv("LI_ADDRESS", f"http://127.0.0.1:1/{SECRET}")
    monkeypatch.setenv("CSFLOW_WEBHOOK_SECRET", "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=")
    monkeypatch.setenv("CSFLOW_WEBHOOK_PRIVATE", "1")


def test_run_delivers_when_the_pass_is_done(project: Path) -> None:
    done = run(project)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "deliver: 2 messages sent")
    lines = [json.loads(line) for line in (project / "messages.jsonl").read_text("utf-8").splitlines()]
    assert [line["title"] for line in lines] == ["care – One (C-1) – b", "care – 诊所 (C-2) – b"]
    assert run(project).stdout.splitlines()[-1] == "pass as of 2026-01-10 23:59: nothing to do"


def test_run_may_leave_messages_in_the_outbox(project: Path) -> None:
    assert "deliver" not in run(project, "--no-deliver").stdout
    assert csflow("--project", project, "deliver").stdout == "deliver: 2 messages sent\n"


def test_the_json_of_a_run_says_what_was_delivered(project: Path) -> None:
    told = json.loads(run(project, "--format", "json").stdout)
    assert (told["delivered"]["sent"], told["delivered"]["failed"], len(told["moved"])) == (2, [], 2)


def test_a_list_that_is_cut_says_so(project: Path) -> None:
    run(project, "--no-deliver")
    listing = ("--project", project, "outbox", "list")
    assert len(csflow(*listing).stdout.splitlines()) == len(csflow(*listing, "--limit", 4).stdout.splitlines()) == 4
    *rows, last = csflow(*listing, "--limit", 3).stdout.splitlines()
    assert last == "only the newest 3: --all lists them all"
    assert rows == csflow(*listing, "--all").stdout.splitlines()[1:]
    assert len(json.loads(csflow(*listing, "--limit", 3, "--format", "json").stdout)) == 3


def test_a_file_that_cannot_be_written_is_named(project: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("CSFLOW_NOTIFY_FILE", str(tmp_path / "none" / "box.jsonl"))
    done = run(project)
    assert done.exit_code == 1
    assert f"{tmp_path / 'none' / 'box.jsonl'} cannot be written: No such file or directory" in done.stdout


def test_a_notifier_that_fails_ends_a_run_with_1_and_the_pass_stands(project: Path, monkeypatch) -> None:
    by_webhook(project, monkeypatch)
    done = run(project)
    assert done.exit_code == 1
    assert "2 moved, 2 messages" in done.stdout
    assert (
        len(re.findall(r"^  pending: \w{12} to person:li: the webhook: .*, again at ", done.stdout, re.MULTILINE)) == 2
    )
    assert run(project).exit_code == 0  # nothing is due yet
    status = json.loads(csflow("--project", project, "status", "--format", "json").stdout)
    assert status["outbox"] == {"dropped": 2, "pending": 2}


def test_what_is_held_back_says_why_and_until_when(project: Path, monkeypatch) -> None:
    by_webhook(project, monkeypatch)
    more = range(3, 9)
    (project / "more").mkdir()
    (project / "more" / "customers.csv").write_text("id,name\n" + "".join(f"C-{n},N\n" for n in more), "utf-8")
    rows = "".join(f"K-{n},C-{n},2026-01-02\n" for n in more)
    (project / "more" / "contracts.csv").write_text("id,customer,starts_on\n" + rows, "utf-8")
    assert csflow("--project", project, "import", project / "more").exit_code == 0
    said = run(project).stdout  # a message when a case opens and one for its move: to li, and nobody listens there
    number = re.search(
        r"^  by webhook: others failed again and again, (\d+) messages were not tried", said, re.MULTILINE
    )
    held = "not tried, as messages that go the same way failed again and again: the webhook: connection refused"
    listed = csflow("--project", project, "outbox", "list").stdout
    shown = re.findall(rf"not before 20\d\d-\d\d-\d\d \d\d:\d\d: {held}", listed)
    assert number is not None
    assert len(shown) == int(number[1]) > 0
    rows = json.loads(csflow("--project", project, "outbox", "list", "--format", "json").stdout)
    told = [row for row in rows if row["held"]]
    assert len(told) == len(shown)
    assert all(row["status"] == "pending" and row["next_try"] and row["tries"] == 0 for row in told)
    assert f"error:     {held}" in csflow("--project", project, "outbox", "show", told[0]["id"]).stdout


def test_no_secret_stands_in_the_output_or_in_any_file_of_the_project(project: Path, monkeypatch) -> None:
    by_webhook(project, monkeypatch)
    said = "".join(
        run(project, *words).output
        for words in (("--format", "jsonl"), ())
    )  # fmt: skip
    said += csflow("--project", project, "outbox", "list", "--format", "json").output
    said += csflow(
        "--project",
        project,
        "outbox",
        "show",
        json.loads(csflow("--project", project, "outbox", "list", "--format", "json").stdout)[-1]["id"],
    ).output
    assert "the webhook" in said
    for secret in (SECRET, "c2VjcmV0LXNlY3JldC1zZWNyZXQ"):
        assert secret not in said
        for path in project.rglob("*"):
            if path.is_file():
                assert secret.encode() not in path.read_bytes(), path


def test_json_lines_have_one_for_each_message_and_the_sum_last(project: Path) -> None:
    run(project, "--no-deliver")
    lines = [
        json.loads(line) for line in csflow("--project", project, "deliver", "--format", "jsonl").stdout.splitlines()
    ]
    assert [line["kind"] for line in lines] == ["message", "message", "deliver"]
    assert {line["status"] for line in lines[:2]} == {"sent"}
    assert (lines[2]["sent"], lines[2]["waiting"]) == (2, 0)


def test_a_dry_run_and_a_limit(project: Path) -> None:
    run(project, "--no-deliver")
    done = csflow("--project", project, "deliver", "--dry-run")
    assert done.stdout == "deliver: 2 messages would be sent (dry run: nothing was sent)\n"
    assert not (project / "messages.jsonl").exists()
    assert csflow("--project", project, "deliver", "--limit", "1").stdout.splitlines()[0] == "deliver: 1 message sent"


def test_a_dry_run_tells_of_a_secret_that_is_missing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_webhook(project, monkeypatch)
    run(project, "--no-deliver")
    assert csflow("--project", project, "deliver", "--dry-run").exit_code == 0
    monkeypatch.delenv("CSFLOW_WEBHOOK_SECRET")
    dry, wet = (csflow("--project", project, "deliver", *words) for words in (["--dry-run"], []))
    assert (dry.exit_code, wet.exit_code) == (1, 1)
    for done in (dry, wet):
        assert "CSFLOW_WEBHOOK_SECRET is not set: webhooks are signed" in done.stdout


def test_a_role_that_nobody_has_is_told_in_one_line(project: Path) -> None:
    (project / "care.yaml").write_text(FLOW.replace("{notify: csm}]", "{notify: ghost}]"), "utf-8")
    done = run(project)
    assert done.exit_code == 1
    assert (
        len(re.findall(r"^  dead: \w{12} to role:ghost: nobody fills the role 'ghost'", done.stdout, re.MULTILINE)) == 2
    )


def test_the_list_and_what_is_done_to_it(project: Path) -> None:
    run(project, "--no-deliver")
    lines = csflow("--project", project, "outbox", "list").stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["dropped", "dropped", "pending", "pending"]
    first = lines[2].split()[0]
    assert csflow("--project", project, "outbox", "drop", first, "--dry-run").stdout.splitlines() == [
        "1 message dropped", "dry run: nothing was written",
    ]  # fmt: skip
    told = json.loads(csflow("--project", project, "outbox", "drop", first, "--format", "json").stdout)
    assert [one["status"] for one in told["messages"]] == ["dropped"]
    assert csflow("--project", project, "outbox", "drop", first).exit_code == 2
    assert csflow("--project", project, "outbox", "retry").exit_code == 2
    shown = csflow("--project", project, "outbox", "show", first).stdout
    assert "status:    dropped" in shown
    assert "actor:     li" in shown
    assert csflow("--project", project, "outbox", "list", "--status", "dead").stdout == "no messages\n"


PLUGIN = """
from csflow.hookspecs import RetryLater, hookimpl


@hookimpl
def csflow_notifiers():
    return {"journal": note}


@hookimpl
def csflow_effects():
    return {"shop/greet": greet}


def note(message):
    write(message.id, message.title)


def greet(call):
    write(call.id, call.options["words"])


def write(*words):
    with open(__file__ + ".txt", "a", encoding="utf-8") as file:
        print(*words, file=file)
"""


def test_a_file_beside_the_project_brings_a_notifier_and_an_effect(project: Path) -> None:
    (project / "journal.py").write_text(PLUGIN, "utf-8")
    (project / "csflow.yaml").write_text(PROJECT.replace("WAY", "journal"), "utf-8")
    effect = "{uses: shop/greet, with: {words: =customer.name}}"
    (project / "care.yaml").write_text(FLOW.replace("[{notify: csm}]", f"[{{notify: csm}}, {effect}]"), "utf-8")
    assert csflow("--project", project, "validate").exit_code == 0
    assert run(project).stdout.splitlines()[-1] == "deliver: 4 messages sent"
    written = [line.partition(" ")[2] for line in (project / "journal.py.txt").read_text("utf-8").splitlines()]
    assert sorted(written) == ["One", "care – One (C-1) – b", "care – 诊所 (C-2) – b", "诊所"]


def test_a_plugin_that_breaks_is_named_and_the_others_go_on(project: Path) -> None:
    broken = PLUGIN.replace("write(message.id, message.title)", "1 / 0").replace(
        "write(call.id", "raise SystemExit(3); (call.id"
    )
    (project / "journal.py").write_text(broken, "utf-8")
    (project / "csflow.yaml").write_text(PROJECT.replace("WAY", "journal"), "utf-8")
    (project / "care.yaml").write_text(FLOW.replace("[{notify: csm}]", "[{notify: csm}, {uses: shop/greet}]"), "utf-8")
    done = run(project)
    assert (done.exit_code, "2 moved, 4 messages" in done.stdout) == (1, True)
    assert "  plugin failed: journal.py: csflow_notifiers: ZeroDivisionError: division by zero" in done.stdout
    assert "  plugin failed: journal.py: csflow_effects: SystemExit: it called sys.exit(3)" in done.stdout
    told = json.loads(csflow("--project", project, "plugins", "--format", "json").stdout)
    assert "ZeroDivisionError" in json.dumps(told)


def test_a_template_with_an_unknown_name_is_refused_before_anything_runs(project: Path) -> None:
    text = (project / "csflow.yaml").read_text("utf-8").replace("{customer.name}", "{customer.nam}")
    (project / "csflow.yaml").write_text(text, "utf-8")
    done = csflow("--project", project, "run")
    assert done.exit_code == 3
    assert "csflow.yaml:8:" in done.stderr
    assert "customer.nam" in done.stderr


@pytest.mark.parametrize(
    ("quiet", "told"),
    [("{weekly: [someday]}", "'someday' is no weekday: write sat, or sat-sun"), ("{daily: night}", "is not a time of day"),
     ("{budget: 0}", "csflow.yaml:9:")],
)  # fmt: skip
def test_quiet_times_that_are_none_are_refused(project: Path, quiet: str, told: str) -> None:
    with (project / "csflow.yaml").open("a", encoding="utf-8") as file:
        file.write(f"quiet: {quiet}\n")
    done = csflow("--project", project, "deliver")
    assert (done.exit_code, told in done.stderr) == (3, True)


def test_in_quiet_hours_the_text_says_until_when(project: Path) -> None:
    run(project, "--no-deliver")
    with (project / "csflow.yaml").open("a", encoding="utf-8") as file:
        today = datetime.now(UTC)  # and tomorrow, so that midnight may come in between, in the project's zone too
        quiet = [f"{today + timedelta(days=n):%a}".lower() for n in (-1, 0, 1)]
        file.write(f"quiet: {{weekly: [{', '.join(quiet)}]}}\n")
    done = csflow("--project", project, "deliver")
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "deliver: 0 messages sent")
    assert re.fullmatch(r"  quiet until \d{4}-\d\d-\d\d 00:00: 2 waiting", done.stdout.splitlines()[1])
