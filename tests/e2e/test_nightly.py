"""What docs/how-to/run-every-night.md gives to copy: the script meets every exit code, cron's line is run by a shell,
systemd reads the units, the workflow is YAML that says what its actions and csflow know."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from running import until_it_works
from shop import FAILING as PLUGIN
from walkthrough import DOCS, blocks

from csflow.app import Csflow
from csflow.cli import COMMANDS
from csflow.store.locking import pass_lock

PAGE = DOCS / "how-to" / "run-every-night.md"
GIVEN = {block.title: block.text for block in blocks(PAGE) if block.title}
BESIDE = str(Path(sys.executable).parent)
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if not key.startswith("CSFLOW_")},
    "PATH": f"{BESIDE}{os.pathsep}{os.environ.get('PATH', '')}", "PAUSE": "0", "PYTHONUTF8": "1",
}  # fmt: skip
needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed here: the script needs it")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The project of the page, with its exports beside it and the script to copy."""
    folder = tmp_path / "shop"
    exports = tmp_path / "exports"
    folder.mkdir()
    exports.mkdir()
    for name, text in GIVEN.items():
        if name.endswith((".yaml", ".csv")):
            ((exports if name.endswith(".csv") else folder) / name).write_text(text, "utf-8")
    (tmp_path / "nightly.sh").write_text(GIVEN["nightly.sh"], "utf-8")
    return folder


def night(shop: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = ["bash", "nightly.sh", "shop", "exports", *more]
    return subprocess.run(words, cwd=shop.parent, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)


@needs_jq
def test_a_night_without_trouble_ends_with_0_and_says_one_line(shop: Path) -> None:
    done = night(shop)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(r"as of [-\d]+ [\d:]+: 1 opened, \d moved, 0 missed\n", done.stdout)


@needs_jq
def test_refused_rows_are_told_and_the_night_goes_on_and_ends_with_1(shop: Path) -> None:
    (shop.parent / "exports/customers.csv").write_text("id,name,signed_on\nC-1,Ada & Co,\nC-2,Bo,no day\n", "utf-8")
    done = night(shop)
    assert done.returncode == 1
    told = done.stdout.splitlines()
    assert told[0] == "shop: some rows were refused:"
    assert told[1].startswith("customers.csv → customer: 2 read, 1 new, 0 changed, 0 unchanged, 1 rejected")
    assert any(re.search(r": 1 opened, \d moved, 0 missed$", line) for line in told)


@needs_jq
def test_a_plugin_that_failed_is_named_and_the_night_ends_with_1(shop: Path) -> None:
    (shop / "orders.py").write_text(PLUGIN, "utf-8")
    (shop / "orders.yaml").write_text("metrics: {shop.orders: {uses: shop/orders, type: number}}\n", "utf-8")
    done = night(shop)
    assert done.returncode == 1
    assert any(line.startswith("failed: shop.orders: ") and "is away" in line for line in done.stdout.splitlines())


@needs_jq
def test_a_wrong_option_ends_with_2(shop: Path) -> None:
    done = night(shop, "--as-often-as-you-like")
    assert (done.returncode, done.stdout) == (2, "shop: the call, or a file, is wrong\n")


@needs_jq
def test_broken_yaml_ends_with_3_and_nothing_is_written(shop: Path) -> None:
    (shop / "more.yaml").write_text("flow: x\n", "utf-8")
    done = night(shop)
    assert (done.returncode, done.stdout) == (3, "shop: the import ended with 3\n")
    assert not (shop / "csflow.db").exists()


@needs_jq
def test_a_pass_that_runs_elsewhere_ends_with_4(shop: Path) -> None:
    app = Csflow(shop)
    with pass_lock(app.store, 0.0):
        done = night(shop, "--no-wait")
    app.close()
    assert (done.returncode, done.stdout) == (4, "shop: another pass is running still\n")


@needs_jq
def test_with_detailed_exitcode_changes_end_with_5(shop: Path) -> None:
    assert night(shop, "--detailed-exitcode").returncode == 5


@needs_jq
def test_a_database_that_is_away_ends_with_6(shop: Path) -> None:
    (shop / "csflow.db").write_bytes(b"this is no database" * 100)
    done = night(shop)
    assert (done.returncode, done.stdout) == (6, "shop: the import ended with 6\n")


@needs_jq
def test_a_database_that_comes_back_is_tried_again(shop: Path) -> None:
    """A csflow that cannot reach the database the first two times it is to run."""
    counter, beside = shop.parent / "tries", shop.parent / "bin"
    beside.mkdir()
    (beside / "csflow").write_text(
        f'#!/bin/sh\nif [ "$1" = run ]; then echo x >>{counter}; [ $(wc -l <{counter}) -gt 2 ] || exit 6; fi\n'
        f'exec {BESIDE}/csflow "$@"\n'
    )
    (beside / "csflow").chmod(0o755)
    environment = {**ENVIRONMENT, "PATH": f"{beside}{os.pathsep}{ENVIRONMENT['PATH']}"}
    words = ["bash", "nightly.sh", "shop", "exports"]
    done = subprocess.run(words, cwd=shop.parent, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, counter.read_text().count("x")) == (0, 3)
    counter.unlink()
    (beside / "csflow").write_text(f'#!/bin/sh\n[ "$1" != run ] || exit 6\nexec {BESIDE}/csflow "$@"\n')
    done = subprocess.run(words, cwd=shop.parent, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (6, "shop: the database, the disk or the network is away\n")


@needs_jq
def test_what_the_doctor_finds_ends_with_7(shop: Path) -> None:
    """Two passes of long ago: the newest is late by the machine's clock."""
    assert night(shop, "--as-of", "2026-02-01").returncode == 0
    done = night(shop, "--as-of", "2026-02-02")
    assert done.returncode == 7
    assert "shop: the doctor says:\nwrong  pass: the last pass was as of 2026-02-02" in done.stdout


@needs_jq
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not tell the children of a process")
def test_a_night_that_is_ended_says_so_and_ends_with_143(shop: Path) -> None:
    app = Csflow(shop)
    with pass_lock(app.store, 0.0):  # so that the run waits
        words = ["bash", "nightly.sh", "shop", "exports"]
        process = subprocess.Popen(
            words, cwd=shop.parent, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        os.kill(until_it_works(process, "run", shop / "csflow.db"), signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    app.close()
    assert (process.returncode, out) == (143, "shop: interrupted (143): the next run goes on from there\n")


def test_every_exit_code_of_the_reference_is_acted_on() -> None:
    listed = re.findall(r"^\| (\d+) \|", (DOCS / "reference/exit-codes.md").read_text("utf-8"), re.MULTILINE)
    acted = re.search(r"case \$code in\n  0 \| 1 \| 5\)(.*?)esac", GIVEN["nightly.sh"], re.DOTALL)
    assert acted is not None
    arms = {"0", "1", "5", "7", *re.findall(r"^  (\d)\)", acted[1], re.MULTILINE), "130", "141", "143"}
    assert arms == set(listed)
    assert "-eq 7" in GIVEN["nightly.sh"]


def test_the_script_is_without_fault_for_bash(tmp_path: Path) -> None:
    (tmp_path / "nightly.sh").write_text(GIVEN["nightly.sh"], "utf-8")
    subprocess.run(["bash", "-n", str(tmp_path / "nightly.sh")], check=True)
    if shutil.which("shellcheck"):
        checked = subprocess.run(["shellcheck", str(tmp_path / "nightly.sh")], capture_output=True, text=True)
        assert checked.stdout == ""


def test_the_line_of_the_crontab_is_one_and_a_shell_can_run_it(shop: Path) -> None:
    [line] = GIVEN["crontab"].splitlines()
    fields = line.split(None, 5)
    assert [bool(re.fullmatch(r"[\d*/,-]+", field)) for field in fields[:5]] == [True] * 5
    minute, hour = int(fields[0]), int(fields[1])
    assert (0 <= minute < 60, 0 <= hour < 24, "%" in fields[5]) == (True, True, False)  # cron makes % a new line
    command = fields[5].replace("/srv/success", str(shop)).replace("/srv/exports", str(shop.parent / "exports"))
    done = subprocess.run(["sh", "-c", command], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.search("1 opened, \\d moved", done.stdout)


def test_systemd_reads_the_service_and_the_timer(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd is not installed here")
    for name in ("csflow.service", "csflow.timer"):
        (tmp_path / name).write_text(GIVEN[name].replace("/usr/local/bin/nightly.sh", "/bin/true"), "utf-8")
    done = subprocess.run(
        [program, "verify", "--man=no", str(tmp_path / "csflow.service"), str(tmp_path / "csflow.timer")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "csflow" in line]
    assert ours == []
    [when] = re.findall(r"^OnCalendar=(.*)$", GIVEN["csflow.timer"], re.MULTILINE)
    subprocess.run([program, "calendar", when], check=True, capture_output=True)


def test_a_unit_with_a_mistake_would_be_told(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd is not installed here")
    text = GIVEN["csflow.service"].replace("ExecStart=/usr/local/bin/nightly.sh", "ExecStrat=/bin/true")
    (tmp_path / "csflow.service").write_text(text, "utf-8")
    done = subprocess.run(
        [program, "verify", "--man=no", str(tmp_path / "csflow.service")], capture_output=True, text=True, timeout=60
    )
    assert "csflow.service" in done.stdout + done.stderr


def test_the_workflow_is_yaml_of_the_shape_that_github_reads() -> None:
    text = GIVEN[".github/workflows/csflow.yml"]
    flow = YAML(typ="safe").load(text)
    assert set(flow) == {"name", "on", "concurrency", "permissions", "jobs"}
    assert [entry["cron"].split()[2:] for entry in flow["on"]["schedule"]] == [["*", "*", "*"]]
    for job in flow["jobs"].values():
        assert set(job) <= {"if", "runs-on", "timeout-minutes", "env", "steps"}
        for step in job["steps"]:
            assert set(step) <= {"name", "if", "uses", "with", "run"}
            assert ("uses" in step) != ("run" in step)
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/x@v1"))


def test_the_commands_of_the_workflow_are_there_and_run(shop: Path) -> None:
    flow = YAML(typ="safe").load(GIVEN[".github/workflows/csflow.yml"])
    scripts = [step["run"] for job in flow["jobs"].values() for step in job["steps"] if "run" in step]
    named = {word for script in scripts for word in re.findall(r"^csflow (\w+)", script, re.MULTILINE)}
    assert named == {"validate", "run", "doctor"} <= set(COMMANDS)
    (shop / ".github/workflows").mkdir(parents=True)
    (shop / ".github/workflows/csflow.yml").write_text(GIVEN[".github/workflows/csflow.yml"], "utf-8")
    environment = {**ENVIRONMENT, "GITHUB_STEP_SUMMARY": str(shop.parent / "summary")}
    for script in scripts:
        if script.startswith("pip ") or ("jq" in script and shutil.which("jq") is None):
            continue
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=shop, env=environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, (script, done.stdout, done.stderr)
