from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csflow.app import shipped_packs
from csflow.errors import DefinitionError
from csflow.flow.loader import Surroundings, load, load_cached
from csflow.flow.reading import plain, read_file
from csflow.store.catalogue import CATALOGUE
from csflow.values import Zone

Load = Callable[..., Any]
Told = Callable[..., list[str]]

PROJECT = "csflow: 1\nname: {}\ncurrency: EUR\nzone: UTC\n"
FLOW = "flow: f\nstages: {a: {transitions: {b: {trigger: go}}}, b: good}\n"
AROUND = Surroundings(CATALOGUE)


def make(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"csflow": PROJECT.format("p"), **files}.items():
        (folder / f"{name}.yaml").write_text(text, "utf-8")
    return folder


def problems_of(folder: Path, around: Surroundings = AROUND) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        load(folder, around)
    return [f"{Path(p.file).name}:{p.line}:{p.column}: {p.message}" for p in caught.value.problems if not p.warning]


# Which files -------------------------------------------------------------------------------------------------


def test_folders_and_file_names_mean_nothing(tmp_path: Path) -> None:
    one = make(tmp_path / "one", flow=FLOW, numbers="vars: {a: 1}")
    two = make(tmp_path / "two")
    (two / "deep" / "deeper").mkdir(parents=True)
    (two / "deep" / "deeper" / "z.yaml").write_text(FLOW)
    (two / "deep" / "a.yml").write_text("vars: {a: 1}")
    assert load(one, AROUND).definition.hash == load(two, AROUND).definition.hash


def test_a_file_in_which_nothing_stands_is_warned_of(tmp_path: Path) -> None:
    loaded = load(make(tmp_path, flow="", notes="# later\n", other=FLOW), AROUND)
    told = [(Path(p.file).name, p.line, p.message, p.warning) for p in loaded.problems]
    assert told == [(name, 1, "nothing stands in this file", True) for name in ("flow.yaml", "notes.yaml")]


def test_names_with_a_dot_and_other_projects_below_are_not_read(tmp_path: Path) -> None:
    folder = make(tmp_path, flow=FLOW)
    make(tmp_path / "inner", wrong="metrcs: 1")
    (tmp_path / ".hidden.yaml").write_text("metrcs: 1")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.yaml").write_text("metrcs: 1")
    (tmp_path / "notes.txt").write_text("metrcs: 1")
    assert list(load(folder, AROUND).definition.flows) == ["f"]


def test_a_loop_of_links_is_walked_once(tmp_path: Path) -> None:
    folder = make(tmp_path / "p", flow=FLOW)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    assert list(load(folder, AROUND).definition.flows) == ["f"]


def test_a_folder_without_a_project_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(FLOW)
    assert "no project here: a file with 'csflow: 1' is missing" in problems_of(tmp_path)[0]


def test_a_project_of_another_version_of_the_language_is_told(tmp_path: Path) -> None:
    assert problems_of(make(tmp_path, csflow="csflow: 2\nname: p"))[0].startswith(
        "csflow.yaml:1:9: csflow: is the version of the language, which is 1; found '2'"
    )


def test_two_project_files_are_told(tmp_path: Path) -> None:
    assert "two project files (csflow: 1) in one project" in problems_of(make(tmp_path, other="csflow: 1"))[0]


def test_a_name_stands_once_in_a_project(told: Told) -> None:
    files = {"a.yaml": "metrics: {m.a: 1}\nvars: {v: 1}", "b.yaml": "vars: {v: 2}\nmetrics: {m.b: 1, m.a: 2}"}
    lines = told(files, named=True)
    assert [line.split("first in")[0] for line in lines] == [
        "b.yaml:1:8: 'v' (vars) is defined twice: ",
        "b.yaml:2:19: 'm.a' (metrics) is defined twice: ",
    ]
    assert lines[1].endswith("a.yaml:1")


def test_a_flow_stands_once_in_a_project(told: Told) -> None:
    assert "b.yaml:1:7: 'f' (flow) is defined twice: first in" in told({"a.yaml": FLOW, "b.yaml": FLOW}, named=True)[0]


def test_fields_of_one_kind_may_stand_in_two_files(load_project: Load) -> None:
    files = {
        "a.yaml": "fields: {customer: {x1: text}}",
        "b.yaml": "fields: {customer: {x2: text}, contact: {x3: text}}",
    }
    fields = load_project(files).definition.fields
    assert {kind: list(names) for kind, names in fields.items()} == {"customer": ["x1", "x2"], "contact": ["x3"]}


def test_problems_of_all_files_are_told_at_once(told: Told) -> None:
    lines = told({"a.yaml": "a: &x 1", "b.yaml": "on: 1", "c.yaml": "vars: {a: 1, a: 2}"}, named=True)
    assert [line.split(":")[0] for line in lines] == ["a.yaml", "a.yaml", "b.yaml", "c.yaml"]


def test_a_file_that_is_no_yaml_is_told_with_the_others(told: Told) -> None:
    lines = told({"a.yaml": "a: b: c", "b.yaml": "vars: {a: 1, a: 2}"}, named=True)
    assert lines[0] == "a.yaml:1:5: not YAML: mapping values are not allowed here"
    assert lines[1].startswith("b.yaml:1:14: found duplicate key")


def test_a_file_that_is_a_list_is_told(told: Told) -> None:
    assert told("- 1") == ["1:1: a file holds keys, such as 'flow:' or 'metrics:'"]


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    make(tmp_path)
    for number in range(2_001):
        (tmp_path / f"f{number}.yaml").write_text("")
    assert "more than 2,000 files of YAML" in problems_of(tmp_path)[-1]


def test_too_many_bytes_are_refused(tmp_path: Path) -> None:
    make(tmp_path)
    for number in range(9):
        (tmp_path / f"f{number}.yaml").write_text("# " + "x" * 999_000)
    assert "more than 8,000,000 bytes of YAML in all" in problems_of(tmp_path)[-1]


# Extending ---------------------------------------------------------------------------------------------------


def test_a_project_takes_what_it_does_not_say_from_what_it_extends(tmp_path: Path) -> None:
    make(tmp_path / "base", csflow=PROJECT.format("base") + "database: sqlite:///x.db\n", flow=FLOW, v="vars: {a: 1}")
    top = make(tmp_path / "top", csflow="csflow: 1\nname: top\nextends: [../base]\nzone: Asia/Shanghai\nvars: {b: 2}")
    loaded = load(top, AROUND)
    definition = loaded.definition
    assert (definition.name, definition.currency, definition.zone) == ("top", "EUR", "Asia/Shanghai")
    assert definition.vars == {"a": 1.0, "b": 2.0}
    assert "database" not in loaded.tree
    assert list(definition.flows) == ["f"]


def test_later_packs_come_over_earlier_ones(tmp_path: Path) -> None:
    make(tmp_path / "one", v="vars: {a: 1, b: 1}")
    make(tmp_path / "two", v="vars: {a: 2, c: 2}")
    top = make(tmp_path / "top", csflow="csflow: 1\nname: t\nextends: [../one, ../two]")
    assert load(top, AROUND).definition.vars == {"a": 2.0, "b": 1.0, "c": 2.0}


def test_a_pack_is_named_by_its_bare_name(tmp_path: Path) -> None:
    pack = make(tmp_path / "shipped", flow=FLOW)
    top = make(tmp_path / "top", csflow="csflow: 1\nname: t\nextends: basic")
    assert list(load(top, Surroundings(CATALOGUE, {"basic": pack})).definition.flows) == ["f"]
    top = make(tmp_path / "top", csflow="csflow: 1\nname: t\nextends: [basci]")
    expected = "csflow.yaml:3:11: no pack 'basci': did you mean 'basic'?"
    assert problems_of(top, Surroundings(CATALOGUE, {"basic": pack})) == [expected]


def test_a_folder_that_is_not_there_cannot_be_extended(tmp_path: Path) -> None:
    top = make(tmp_path / "top", csflow="csflow: 1\nname: t\nextends: [../none]")
    assert problems_of(top) == ["csflow.yaml:3:11: no folder '../none' to extend"]


def test_projects_that_extend_each_other_are_told(tmp_path: Path) -> None:
    make(tmp_path / "one", csflow="csflow: 1\nname: one\nextends: [../two]")
    two = make(tmp_path / "two", csflow="csflow: 1\nname: two\nextends: [../one]")
    assert "projects extend each other in a circle: two → one → two" in problems_of(two)[0]


def test_a_pack_that_two_packs_extend_is_read_once(tmp_path: Path) -> None:
    make(tmp_path / "root", flow=FLOW, v="vars: {a: 1}")
    make(tmp_path / "left", csflow="csflow: 1\nname: l\nextends: [../root]\nvars: {a: 2}")
    make(tmp_path / "right", csflow="csflow: 1\nname: r\nextends: [../root]")
    top = make(tmp_path / "top", csflow="csflow: 1\nname: t\nextends: [../left, ../right]")
    assert load(top, AROUND).definition.vars == {"a": 2.0}


def test_a_mistake_in_a_pack_is_told_in_its_file(tmp_path: Path) -> None:
    make(tmp_path / "base", wrong="metrics:\n  m.a: customer.nam == 'x'\n")
    top = make(tmp_path / "top", csflow="csflow: 1\nname: t\nextends: [../base]")
    assert problems_of(top)[0].startswith("wrong.yaml:2:8: unknown fact 'customer.nam'")


def test_shorthands_are_written_out_before_layers_are_merged(tmp_path: Path) -> None:
    make(tmp_path / "base", f="flow: f\nstages: {a: {transitions: {b: contract.renewed}}, b: good}")
    over = "flow: f\nextends: f\nstages: {a: {transitions: {b: {only: csm}}}, b: {label: B}}"
    top = make(tmp_path / "top", csflow="csflow: 1\nname: t\nextends: [../base]\nroles: {csm: CSM}", over=over)
    flow = load(top, AROUND).definition.flows["f"]
    (way,) = flow.stages["a"].transitions
    assert way.when is not None
    assert (way.when.text, way.only) == ("contract.renewed", ("csm",))
    assert (flow.stages["b"].end, flow.stages["b"].label) == ("good", {"": "B"})


def test_an_overlay_adds_drops_and_moves_stages(tmp_path: Path) -> None:
    make(
        tmp_path / "base",
        f="flow: f\nstages: {a: {transitions: {b: {trigger: x1}, c: {trigger: x2}}}, b: good, c: bad}",
    )
    over = (
        "flow: f\nextends: f\nstages:\n  c: null\n  m: {follows: a, transitions: {b: {trigger: x3}}}\n"
        "  a: {transitions: {c: null, m: {trigger: x4}}}\n"
    )
    top = make(tmp_path / "top", csflow="csflow: 1\nname: t\nextends: [../base]", over=over)
    flow = load(top, AROUND).definition.flows["f"]
    assert list(flow.stages) == ["a", "m", "b"]
    assert [way.target for way in flow.stages["a"].transitions] == ["b", "m"]


def test_the_holidays_of_a_country_are_asked_for_once_and_kept_as_days(tmp_path: Path) -> None:
    folder = make(tmp_path, c="calendars: {o: {hours: {mon-sun: 09:00-17:00}, holidays: XX}}")
    asked: list[str] = []

    def holidays(country: str) -> list[str]:
        asked.append(country)
        return ["2026-01-01"]

    loaded = load(folder, Surroundings(CATALOGUE, holidays=holidays))
    assert asked == ["XX"]
    assert not loaded.definition.calendars["o"].is_open(20454)
    assert loaded.definition.calendars["o"].is_open(20455)
    assert "holidays of 'XX' are not known" in load(folder, AROUND).problems[0].message


def test_a_pack_keeps_its_choices_in_a_project_of_other_languages(tmp_path: Path) -> None:
    fields = (
        "fields:\n  customer:\n    size: {choices: {s: {en: Small, fr: Petit}, l: {it: Grande}, x: {hr: HR, so: So}}}"
    )
    make(tmp_path / "base", csflow=PROJECT.format("base") + "languages: [en, fr, it]\n", fields=fields)
    for languages in ("[en]", "[fr, de]", "[de]"):
        top = make(tmp_path / "top", csflow=f"csflow: 1\nname: t\nextends: [../base]\nlanguages: {languages}\n")
        size = load(top, AROUND).definition.fields["customer"]["size"]
        assert size.type.choices == ("s", "l", "hr", "so")
        assert size.type.branches == (("x", ("hr", "so")),)
        assert size.choice_labels["s"] == {"en": "Small", "fr": "Petit"}


@pytest.mark.parametrize("language", ["en", "zh", "de"])
def test_the_standard_pack_is_the_same_in_a_project_of_one_language(tmp_path: Path, language: str) -> None:
    around, text = Surroundings(CATALOGUE, shipped_packs()), "csflow: 1\nname: t\nextends: [standard]\n"
    both = load(make(tmp_path / "both", csflow=text), around).definition
    one = load(make(tmp_path / "one", csflow=f"{text}languages: [{language}]\n"), around).definition
    written = {"languages": both.languages, "hash": both.hash, "tree": both.tree}
    assert asdict(one) | written == asdict(both) | {"tree": both.tree}


# What a project does to what it extends ----------------------------------------------------------------------

BASE = {
    "csflow": PROJECT.format("base") + "languages: [en, zh]\n",
    "flow": "flow: f\nstages: {a: {label: {en: A, zh: 甲}, transitions: {b: usage.seen, c: {trigger: go}}}, b: good, c: good}\n",
    "more": "metrics: {usage.seen: {value: contract.id is known, label: {en: Seen, zh: 见}}}\n",
    "tests": "tests:\n  one: {given: {f.stage: b}, steps: [{at: 2026-01-01, expect: {f.stage: c}}]}\n",
}
TOP = "csflow: 1\nname: t\nextends: [../base]\n"


def told_of(folder: Path) -> list[str]:
    """All problems, errors and warnings, each with the last two parts of its file's path."""
    try:
        found = load(folder, AROUND).problems
    except DefinitionError as error:
        found = error.problems
    return [f"{'/'.join(Path(p.file).parts[-2:])}:{p.line}{' warning' * p.warning}: {p.message}" for p in found]


def test_labels_that_what_is_extended_lacks_are_one_warning_at_the_languages(tmp_path: Path) -> None:
    base = make(tmp_path / "base", **BASE)
    top = make(tmp_path / "top", csflow=f"{TOP}languages: [de, fr]\nroles: {{csm: {{label: {{de: B}}}}}}\n")
    both = "what this extends has 2 labels without de, fr: write them over, or name a language that it has here as well; the first: "
    assert told_of(top) == [
        f"top/csflow.yaml:4 warning: {both}{base}/flow.yaml:2:21",
        "top/csflow.yaml:5 warning: no label in fr",
    ]
    words = "messages: {hi: {text: {en: Hello, zh: 你好}}}\n"
    make(base, csflow=BASE["csflow"], words=words)
    spoken = load(make(tmp_path / "spoken", csflow=f"{TOP}languages: [de, zh]\n"), AROUND)
    (base / "words.yaml").unlink()
    assert spoken.problems == []
    assert next(iter(spoken.definition.flows["f"].stages["a"].label)) == "zh", "what is read instead of de"
    assert next(iter(spoken.definition.messages["hi"].text)) == "zh"
    own = "metrics: {usage.seen: {label: {de: Da, fr: Vu}}}\n"
    flow = "flow: f\nextends: f\nstages: {a: {label: {de: D, fr: F}}}\n"
    assert told_of(make(top, csflow=f"{TOP}languages: [de, fr]\n", own=own, flow=flow)) == []


def test_a_rule_that_misses_what_an_overlay_removed_says_where(tmp_path: Path) -> None:
    make(tmp_path / "base", **BASE)
    top = make(tmp_path / "top", csflow=TOP, own="metrics:\n  usage.seen: null\n")
    assert told_of(top) == [
        f"base/flow.yaml:2: unknown fact 'usage.seen' ({top}/own.yaml:2 removes it)",
    ]
    make(tmp_path / "base", **BASE, visits="activities: {visit: Visit}\nmetrics: {v.x: activity.last_visit is known}\n")
    top = make(tmp_path / "top", csflow=TOP, own="activities: {visit: null}\n")
    assert told_of(top) == [
        f"base/visits.yaml:2: unknown fact 'activity.last_visit' ({top}/own.yaml:1 removes it)",
    ]


def test_of_a_section_with_a_wrong_form_only_the_mistake_is_told(tmp_path: Path) -> None:
    make(tmp_path / "base", **BASE)
    top = make(tmp_path / "top", csflow=TOP, own="metrics: [usage.seen]\n", flow="flow: g\nstages: {a: {x: 1}}\n")
    assert told_of(top) == ["top/flow.yaml:2: unknown key 'x'", "top/own.yaml:1: expected a mapping, found a list"]


def test_a_test_that_a_project_has_from_what_it_extends_may_cease_to_fit(tmp_path: Path) -> None:
    base = make(tmp_path / "base", **BASE)
    flow = "flow: f\nextends: f\nstages:\n  a: {transitions: {b: null, c: null, d: {trigger: go}}}\n  b: null\n  c: null\n  d: good\n"
    top = make(tmp_path / "top", csflow=TOP, flow=flow)
    unfit = "test 'one' of what this extends does not fit any more, null removes it: 'f.stage' is never 'b'"
    assert told_of(top) == [f"base/tests.yaml:2 warning: {unfit} ({top}/flow.yaml:5 removes it)"]
    assert load_cached(top, AROUND).hash == load_cached(top, AROUND).hash == load(top, AROUND).definition.hash
    assert told_of(make(top, csflow=TOP, tests="tests: {one: null}\n")) == []
    (top / "tests.yaml").unlink()
    shutil.copy(base / "tests.yaml", top / "own.yaml")
    assert len(problems_of(top)) == 2, "its own tests must fit"


def test_a_flow_that_two_extended_projects_have_is_told_at_the_extends(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one", **BASE), make(tmp_path / "two", flow=FLOW)
    top = make(tmp_path / "top", csflow="csflow: 1\nname: t\nextends: [../one, ../two]\n")
    both = f"both {one}/flow.yaml:1 and {two}/flow.yaml:1 have a flow 'f': extend one of them only"
    assert f"top/csflow.yaml:3: {both}" in told_of(top)


def test_a_language_that_no_label_could_be_written_in_is_told(tmp_path: Path) -> None:
    folder = make(tmp_path, csflow=PROJECT.format("p") + "languages: [EN, pt-BR, zh_CN, fil]\n")
    assert problems_of(folder) == [
        f"csflow.yaml:5:{column}: '{word}' is not a language: write it as en, zh or pt-BR"
        for column, word in ((13, "EN"), (24, "zh_CN"))
    ]


# The shipped packs -------------------------------------------------------------------------------------------


def test_the_standard_packs_office_keeps_the_hours_of_the_projects_zone(tmp_path: Path) -> None:
    around = Surroundings(CATALOGUE, shipped_packs())
    for zone in ("America/New_York", "Asia/Shanghai"):
        folder = make(tmp_path / zone, csflow=f"csflow: 1\nname: t\nextends: [standard]\nzone: {zone}\n")
        definition = load(folder, around).definition
        assert definition.calendars["office"].zone == Zone(zone)
        assert definition.metrics["usage.time_depth"].options == {"window": "30 days"}, "the project's calendar"


@pytest.mark.parametrize("name", ["standard", "clinic", "minimal"])
def test_a_shipped_pack_loads_with_warnings_of_missing_plugins_only(name: str) -> None:
    loaded = load(shipped_packs()[name], Surroundings(CATALOGUE, shipped_packs()))
    rest = [p.message for p in loaded.problems if not p.message.startswith(("nothing provides", "the holidays of"))]
    assert rest == []
    assert all(problem.warning for problem in loaded.problems)


# The cache ---------------------------------------------------------------------------------------------------


def test_a_warm_load_gives_the_same_definition(tmp_path: Path) -> None:
    folder = make(tmp_path, flow=FLOW)
    cold, warm = load_cached(folder, AROUND), load_cached(folder, AROUND)
    assert asdict(cold) == asdict(warm) == asdict(load(folder, AROUND).definition)
    assert len(list((folder / ".csflow" / "cache").glob("*.json"))) == 2  # the tree and the list of files


def test_a_warm_load_imports_neither_yaml_nor_pydantic(tmp_path: Path) -> None:
    folder = make(tmp_path, flow=FLOW)
    load_cached(folder, AROUND)
    script = (
        "import sys; from pathlib import Path; from csflow.flow.loader import *; from csflow.store.catalogue import *\n"
        f"load_cached(Path({str(folder)!r}), Surroundings(CATALOGUE))\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'ruamel', 'pydantic', 'sqlalchemy', 'rich'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_change_of_a_file_is_seen(tmp_path: Path) -> None:
    folder = make(tmp_path, flow=FLOW, v="vars: {a: 1}")
    assert load_cached(folder, AROUND).vars == {"a": 1.0}
    status = (folder / "v.yaml").stat()
    (folder / "v.yaml").write_text("vars: {a: 2}")
    os.utime(folder / "v.yaml", ns=(status.st_atime_ns, status.st_mtime_ns))  # same size, same time
    assert load_cached(folder, AROUND).vars == {"a": 2.0}
    (folder / "w.yaml").write_text("vars: {b: 3}")
    assert load_cached(folder, AROUND).vars == {"a": 2.0, "b": 3.0}
    (folder / "v.yaml").unlink()
    assert load_cached(folder, AROUND).vars == {"b": 3.0}


def test_a_change_in_what_is_extended_is_seen(tmp_path: Path) -> None:
    base = make(tmp_path / "base", v="vars: {a: 1}")
    top = make(tmp_path / "top", csflow="csflow: 1\nname: t\nextends: [../base]")
    assert load_cached(top, AROUND).vars == {"a": 1.0}
    (base / "v.yaml").write_text("vars: {a: 2}")
    assert load_cached(top, AROUND).vars == {"a": 2.0}
    (base / "new.yaml").write_text("vars: {b: 3}")
    assert load_cached(top, AROUND).vars == {"a": 2.0, "b": 3.0}


def test_another_version_or_other_plugins_do_not_take_the_cache(tmp_path: Path) -> None:
    folder = make(tmp_path, m="metrics: {m.a: {uses: x/y, type: number}}")
    load_cached(folder, AROUND)
    (before,) = [path.name for path in (folder / ".csflow" / "cache").glob("[0-9a-f]*.json") if len(path.name) > 60]
    load_cached(folder, Surroundings(CATALOGUE, versions="2"))
    (after,) = [path.name for path in (folder / ".csflow" / "cache").glob("[0-9a-f]*.json") if len(path.name) > 60]
    assert before != after


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"sum": "x", "tree": {}}', b"\xff", b'{"tree": 5}', b"[" * 9999]
)
def test_a_broken_cache_is_ignored_and_written_anew(tmp_path: Path, content: bytes) -> None:
    folder = make(tmp_path, flow=FLOW)
    right = asdict(load_cached(folder, AROUND))
    for path in (folder / ".csflow" / "cache").glob("*.json"):
        path.write_bytes(content)
    assert asdict(load_cached(folder, AROUND)) == right
    assert asdict(load_cached(folder, AROUND)) == right
    assert not list((folder / ".csflow" / "cache").glob(".*.part"))


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    folder = make(tmp_path, flow=FLOW)
    (folder / ".csflow").write_text("a file stands where the folder would be")
    assert asdict(load_cached(folder, AROUND)) == asdict(load(folder, AROUND).definition)


def test_a_wrong_project_is_not_cached(tmp_path: Path) -> None:
    folder = make(tmp_path, v="vars: {a: 1}")
    load_cached(folder, AROUND)
    (folder / "v.yaml").write_text("vars: {a: [1]}")
    for _ in range(2):
        with pytest.raises(DefinitionError):
            load_cached(folder, AROUND)


# Bad input ---------------------------------------------------------------------------------------------------

STANDARD = shipped_packs()["standard"]
TREES = {path.name: plain(read_file(path, "x")[0]) for path in sorted(STANDARD.rglob("*.yaml"))}  # type: ignore[arg-type]
PIECES = st.sampled_from(
    [
        *(None, True, 0, -1, 5.5, "", "80%", "14 days", "a.b", "=case.x", "money(5)", "x = 1", "class", "period"),
        *("1 month after clock", "otherwise", "back", "'", "\\", "__class__.__bases__", "9**9**9", "{customer.name"),
        *([], {}, [None], {"a": 1}, {"a": None}, ["a", "a"], {"when": "true"}, {"en": "x"}, [[1]]),
        *({"x": {"x": {"x": 1}}}, "\u0665", "é" * 50),
    ]
)


def paths_of(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path] * bool(path) + [below for key, value in pairs for below in paths_of(value, (*path, key))]


@given(st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_pack_with_anything_anywhere_loads_or_is_refused_with_places(tmp_path: Path, data: st.DataObject) -> None:
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    trees = json.loads(json.dumps(TREES))
    for _ in range(2):
        name = data.draw(st.sampled_from(sorted(trees)))
        path = data.draw(st.sampled_from(paths_of(trees[name]) or [("x",)]))
        here = trees[name]
        for step in path[:-1]:
            here = here[step]
        here[path[-1]] = data.draw(PIECES)
    for name, tree in trees.items():
        (tmp_path / name).write_text(json.dumps(tree, ensure_ascii=False), "utf-8")
    problems = []
    try:
        load(tmp_path, AROUND)
    except DefinitionError as error:
        problems = error.problems or [None]
    assert all(p is not None and p.line >= 1 and p.column >= 1 and "\n" not in p.message for p in problems)


def test_hostile_files_are_refused_in_bounded_time(told: Told) -> None:
    begun = time.monotonic()
    hostile = {
        "bomb.yaml": "a0: &a0 [x]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 200)),
        "deep.yaml": "[" * 10_000,
        "large.yaml": "a" * 5_000_000,
        "twice.yaml": "vars:\n" + "  a: 1\n" * 5_000,
        "object.yaml": "a: !!python/object/apply:os.system ['true']",
    }
    lines = told(hostile, named=True)
    assert {line.split(":")[0] for line in lines} == set(hostile)
    assert time.monotonic() - begun < 20


def metrics_of(line: str, number: int) -> str:
    return "metrics:\n" + "".join(f"  {line.format(n=n, m=n + 1)}\n" for n in range(number))


def metrics_of_all_after(number: int) -> str:
    sums = [" + ".join(f"m.m{after}" for after in range(n + 1, number)) for n in range(number - 1)]
    return "metrics:\n" + "".join(f"  m.m{n}: {text}\n" for n, text in enumerate([*sums, "customer.amount"]))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"x": metrics_of("m.m{n}: m.m{m} + 1", 3_000)}, "metrics read each other more than 30 deep"),
        ({"x": metrics_of_all_after(45)}, "metrics read each other too deep: say the type: of some"),
        ({"x": metrics_of("m.m{n}: m.x{n} + 1", 3_000)}, "more than 200 mistakes: mend some"),
        ({"x": "flow: f\nstages:\n" + "".join(f"  s{n}: good\n" for n in range(501))}, "flow 'f' is too large"),
        (
            {f"v{n}": f"flow: v{n}\nextends: v{n + 1}\n" for n in range(100)} | {"x": "flow: v100\nstages: {a: good}"},
            "flows extend each other more than 30 deep",
        ),
        (
            {f"v{n}": f"flow: v{n}\nextends: v\n" for n in range(600)}
            | {"v": "flow: v\nstages: {a: good}\nfields:\n" + "".join(f"  f{n}: text\n" for n in range(1_000))},
            "more than 500,000 entries once everything is merged",
        ),
    ],
    ids=["deep", "deep and long", "many mistakes", "many stages", "long chain", "many variants"],
)
def test_what_would_take_for_ever_is_refused_soon(tmp_path: Path, files: dict[str, str], message: str) -> None:
    begun = time.monotonic()
    assert any(message in problem for problem in problems_of(make(tmp_path, **files)))
    assert time.monotonic() - begun < 60


def test_projects_that_extend_each_other_in_a_long_row_are_refused(tmp_path: Path) -> None:
    for number in range(40):
        make(tmp_path / f"p{number}", csflow=f"csflow: 1\nname: p\nextends: [../p{number + 1}]")
    assert "projects extend each other more than 30 deep" in problems_of(tmp_path / "p0")[0]
