"""How long csflow takes to begin, against what a process of that kind cannot do without.

    uv run python tests/benchmarks/startup.py [PROJECT]

`csflow --help` against a bare click program; a warm `csflow advance ONE` (definitions cached, database there, nothing
to do) against a process that only imports SQLAlchemy, transitions, pluggy and click. The least of many runs, taken in turns.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 15
CLICK = "import click\n@click.group()\ndef main(): pass\n@main.command()\ndef one(): pass\nmain(['--help'])"
IMPORTS = "import sqlalchemy, transitions, pluggy, click"
CSFLOW = "from csflow.cli import main; main()"
CUSTOMER = "id,signed_on\nC-1,2026-01-01\n"
CONTRACT = "id,customer,starts_on,ends_on\nK-1,C-1,2026-01-01,2030-01-01\n"


def run(*arguments: str, folder: Path) -> tuple[float, float]:
    """Seconds by the clock and of CPU of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=folder, env=os.environ)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(name: str, bare: list[str], ours: list[str], folder: Path) -> None:
    """The least of each, taken in turns, and their ratio."""
    spent: dict[str, list[tuple[float, float]]] = {"bare": [], "ours": []}
    for _ in range(ROUNDS):
        spent["bare"].append(run(*bare, folder=folder))
        spent["ours"].append(run(*ours, folder=folder))
    least = {what: [min(run[place] for run in runs) for place in (0, 1)] for what, runs in spent.items()}
    for place, what in enumerate(("clock", "CPU")):
        bare_time, our_time = least["bare"][place], least["ours"][place]
        print(
            f"{name}, by {what}: {1000 * our_time:.0f} ms against {1000 * bare_time:.0f} ms, ratio {our_time / bare_time:.2f}"
        )


def main() -> None:
    """Both comparisons, on a copy of the named project (default: the minimal pack) with one customer and its cases."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "configs" / "minimal"
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "configs"  # with its neighbours: a pack may extend another
        shutil.copytree(source.parent, home)
        folder = home / source.name
        (folder.parent / "customers.csv").write_text(CUSTOMER)
        (folder.parent / "contracts.csv").write_text(CONTRACT)
        begun = [["import", "customer", "../customers.csv"], ["import", "contract", "../contracts.csv"], ["run"]]
        for words in (*begun, ["advance", "C-1"]):
            run("-c", CSFLOW, *words, folder=folder)
        compare("csflow --help", ["-c", CLICK], ["-c", CSFLOW, "--help"], folder)
        compare("csflow advance ONE", ["-c", IMPORTS], ["-c", CSFLOW, "advance", "C-1"], folder)


if __name__ == "__main__":
    main()
