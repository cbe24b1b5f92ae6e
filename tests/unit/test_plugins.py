"""Who provides what: plugins by name, the files beside a project, and what is noted or refused of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from csflow.builtin import mail, webhook
from csflow.errors import UsageError
from csflow.hookspecs import Failure, Moved, Notifier, Provider, attempt, hookimpl
from csflow.installed import PLUGINS, Entry
from csflow.plugins import (
    HOOKS,
    callables,
    import_file,
    local_plugins,
    make_manager,
    misplaced,
    packs,
    provided,
    providers,
    tell_moves,
    unreachable,
)


def plugin(metrics: Any) -> Any:
    return SimpleNamespace(csflow_metrics=hookimpl(lambda: metrics))


def compute(_batch: Any) -> dict[str, float]:
    return {}


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text("from csflow.hookspecs import hookimpl, Provider\n" + text, "utf-8")
    return path


def test_a_plain_function_is_a_provider_and_a_provider_keeps_what_it_says() -> None:
    whole = Provider(compute=compute, reads_usage=True)
    found = providers(make_manager([("mine", plugin({"x/a": compute, "x/b": whole}))]))
    assert found["x/a"].compute is compute
    assert (found["x/b"].compute, found["x/b"].reads_usage, found["x/b"].plugin) == (compute, True, "mine")


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        (["x/a"], "TypeError: it returns a dict of names, not list"),
        (None, "TypeError: it returns a dict of names, not NoneType"),
        ({3: compute}, "TypeError: names are texts, not 3"),
        ({"x/a": 7}, "'x/a' is a function or a Provider with one, not 7"),
    ],
)
def test_a_hook_that_returns_the_wrong_thing_is_noted_and_the_others_are_there(metrics: Any, reason: str) -> None:
    manager = make_manager([("bad", plugin(metrics)), ("good", plugin({"y/a": compute}))])
    assert list(providers(manager)) == ["y/a"]
    assert [(one.plugin, one.hook, one.reason) for one in manager.failures] == [("bad", "csflow_metrics", reason)]


def test_a_metric_that_two_provide_is_refused_until_one_is_switched_off() -> None:
    both = [("mine", plugin({"x/a": compute})), ("yours", plugin({"x/a": compute}))]
    with pytest.raises(
        UsageError, match=r"metric 'x/a' is provided by (mine and by yours|yours and by mine): switch one off"
    ):
        providers(make_manager(both))
    assert list(providers(make_manager(both, off=["mine"]))) == ["x/a"]


def test_a_metric_and_a_milestone_of_one_name_are_refused() -> None:
    other = SimpleNamespace(csflow_milestones=hookimpl(lambda: {"x/a": compute}))
    with pytest.raises(UsageError, match="'x/a' is provided by mine and by yours"):
        providers(make_manager([("mine", plugin({"x/a": compute})), ("yours", other)]))


def test_a_file_is_a_plugin_with_its_name_and_the_hash_of_its_text(tmp_path: Path) -> None:
    path = written(tmp_path, "shop.py", "@hookimpl\ndef csflow_metrics():\n    return {'x/a': len}\n")
    manager = make_manager([], files=local_plugins([tmp_path]))
    assert providers(manager)["x/a"].plugin == "shop.py"
    assert manager.origins["shop.py"].kind == "file"
    before = manager.origins["shop.py"].version
    path.write_text(path.read_text("utf-8") + "\n", "utf-8")
    assert make_manager([], files=[path]).origins["shop.py"].version != before


@pytest.mark.parametrize("name", ["test_orders.py", "orders_test.py", "conftest.py", "setup.py", "population.py"])
def test_a_test_or_a_file_of_packaging_beside_a_project_is_never_imported(tmp_path: Path, name: str) -> None:
    written(tmp_path, name, "raise RuntimeError('imported')\n")
    kept = written(tmp_path, "latest.py", "")
    assert local_plugins([tmp_path]) == [kept]


@pytest.mark.parametrize("name", ["shop.py", "shop"])
def test_a_file_is_switched_off_by_its_name(tmp_path: Path, name: str) -> None:
    written(tmp_path, "shop.py", "raise RuntimeError('never read')\n")
    manager = make_manager([], files=local_plugins([tmp_path]), off=[name])
    assert manager.failures == []
    assert "shop.py" not in manager.origins


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nothing_of_that_name\n", "line 2: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("import sys\nsys.exit(3)\n", "line 3: SystemExit: 3"),
        ("class Odd(BaseException):\n    pass\nraise Odd\n", "line 4: Odd"),
        ("def f(:\n", "line 2: SyntaxError"),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_line_with_its_place(tmp_path: Path, text: str, reason: str) -> None:
    written(tmp_path, "bad.py", text)
    written(tmp_path, "good.py", "@hookimpl\ndef csflow_metrics():\n    return {'x/a': len}\n")
    manager = make_manager([], files=local_plugins([tmp_path]))
    assert list(providers(manager)) == ["x/a"]
    (failure,) = manager.failures
    assert (failure.plugin, failure.hook) == ("bad.py", "import")
    assert failure.reason.startswith(f"cannot be imported: {reason}")
    assert "\n" not in failure.reason
    with pytest.raises(UsageError, match=r"bad\.py: cannot be imported"):
        import_file(tmp_path / "bad.py")


def test_a_hook_without_its_mark_a_hook_nobody_knows_and_wrong_arguments_are_noted(tmp_path: Path) -> None:
    written(tmp_path, "a.py", "def csflow_metrics():\n    return {}\n")
    written(tmp_path, "b.py", "@hookimpl\ndef csflow_metric():\n    return {}\n")
    written(tmp_path, "c.py", "@hookimpl\ndef csflow_metrics(surprise):\n    return {}\n")
    failures = {one.plugin: one for one in make_manager([], files=local_plugins([tmp_path])).failures}
    assert failures["a.py"].reason == "write @hookimpl above it: without, it is never called"
    assert failures["b.py"].reason.startswith("csflow has no hook of that name: it has csflow_effects")
    assert "surprise" in failures["c.py"].reason


def test_the_hooks_are_at_most_twelve() -> None:
    assert len(HOOKS) <= 12


def test_only_functions_are_called() -> None:
    plug = SimpleNamespace(csflow_effects=hookimpl(lambda: {"x/a": len, "x/b": "len"}))
    manager = make_manager([("mine", plug)])
    assert callables(manager, "csflow_effects") == {"x/a": len}
    assert manager.failures == [Failure("mine", "csflow_effects", "'x/b' is a function, not str", "x/b")]


def test_a_pack_is_a_folder_with_a_project(tmp_path: Path) -> None:
    (tmp_path / "csflow.yaml").write_text("csflow: 1\n", "utf-8")
    plug = SimpleNamespace(csflow_packs=hookimpl(lambda: {"shop": tmp_path, "none": tmp_path / "none"}))
    manager = make_manager([("mine", plug)])
    assert packs(manager) == {"shop": tmp_path}
    assert [one.name for one in manager.failures] == ["none"]


def test_observers_hear_their_own_copy_and_one_that_fails_harms_no_other() -> None:
    heard: list[Any] = []

    def spoil(moves: Any) -> None:
        moves[0].subject["id"] = "nobody"

    def leave(moves: Any) -> None:
        raise SystemExit(1)

    def hear(moves: Any) -> None:
        heard.extend(moves)

    plugs = [(str(n), SimpleNamespace(csflow_moved=hookimpl(f))) for n, f in enumerate((hear, spoil, leave))]
    move = Moved("lifecycle/C-1/1", "lifecycle", {"kind": "customer", "id": "C-1"}, "a", "b", "2026-01-01T00:00:00Z")
    failures = tell_moves(make_manager(plugs), [move])
    assert heard == [move]
    assert move.subject["id"] == "C-1"
    line = leave.__code__.co_firstlineno + 1
    assert failures == [Failure("2", "csflow_moved", f"SystemExit: 1 (test_plugins.py:{line})")]


def test_calls_of_hooks_can_be_followed() -> None:
    lines: list[str] = []
    manager = make_manager([("mine", plugin({"x/a": lambda batch: {}}))], trace=lines.append)
    found = providers(manager)
    assert found["x/a"].compute is not None
    found["x/a"].compute(SimpleNamespace(subjects=("a",)))  # type: ignore[arg-type]
    assert any("csflow_metrics of mine" in line for line in lines)
    assert any("x/a asked about 1" in line for line in lines)


def test_provided_names_the_plugin_of_each_value() -> None:
    assert provided(make_manager([("mine", plugin({"x/a": compute}))]), "csflow_metrics") == {"x/a": ("mine", compute)}


def entry(name: str, value: str, needs: str = "", package: str = "shop-orders") -> Entry:
    return Entry(PLUGINS, name, value, package, "1.2", needs)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (entry("orders", "json", ">=9"), "shop-orders needs csflow >=9, this is 0.1.0"),
        (
            entry("orders", "no_such_module_x"),
            "cannot be imported: ModuleNotFoundError: No module named 'no_such_module_x'",
        ),
        (
            entry("orders", "json:nothing"),
            "cannot be imported: AttributeError: module 'json' has no attribute 'nothing'",
        ),
    ],
)
def test_an_installed_package_that_does_not_fit_is_one_line(
    monkeypatch: pytest.MonkeyPatch, made: Entry, reason: str
) -> None:
    monkeypatch.setattr("csflow.plugins.installed", lambda _group: [made])
    manager = make_manager([("good", plugin({"x/a": compute}))], version="0.1.0")
    assert list(providers(manager)) == ["x/a"]
    assert manager.failures == [Failure("orders", "import", reason)]
    assert make_manager([], version="0.1.0", off=["orders"]).failures == []


def test_two_packages_with_a_plugin_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [entry("orders", "json"), entry("orders", "json", package="other-orders")]
    monkeypatch.setattr("csflow.plugins.installed", lambda _group: both)
    with pytest.raises(UsageError, match="two plugins are called 'orders': shop-orders and other-orders"):
        make_manager([], version="0.1.0")
    assert make_manager([], version="0.1.0", off=["orders"]).origins == {}


def test_what_a_plugin_prints_goes_to_stderr_because_scripts_read_stdout(tmp_path, capsys):
    path = tmp_path / "talkative.py"
    path.write_text("print('imported')\ndef say(): print('said'); return 7\n")
    module = import_file(path)
    assert attempt(module.say) == (7, None)
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "imported\nsaid\n")


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("\n\nx = {1: 2\n", (3, 5), "cannot be imported: SyntaxError: '{' was never closed"),
        ("\n1 / 0\n", (2, 1), "cannot be imported: ZeroDivisionError: division by zero"),
    ],
)
def test_what_keeps_a_file_from_being_imported_is_told_at_its_line(
    tmp_path: Path, text: str, place: tuple[int, int], reason: str
) -> None:
    (tmp_path / "bad.py").write_text(text, "utf-8")
    (problem,) = misplaced(make_manager([], files=local_plugins([tmp_path])))
    assert (problem.file, problem.line, problem.column) == (str(tmp_path / "bad.py"), *place)
    assert (problem.message, problem.warning) == (reason, True)


def test_a_mistake_of_another_file_is_told_at_the_line_that_imports_it(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "worse_x.py").write_text("\n\n\ndef f(:\n", "utf-8")
    (tmp_path / "bad.py").write_text(f"import sys\nsys.path.insert(0, {str(tmp_path / 'inner')!r})\nimport worse_x\n")
    (problem,) = misplaced(make_manager([], files=local_plugins([tmp_path])))
    assert (problem.line, problem.column) == (3, 1)
    assert "(worse_x.py, line 4)" in problem.message


def test_a_plugin_without_a_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def csflow_metrics():\n    return {}\n", "utf-8")
    (problem,) = misplaced(make_manager([], files=local_plugins([tmp_path])))
    assert str(problem) == "a.py: csflow_metrics: write @hookimpl above it: without, it is never called"


@pytest.mark.parametrize(
    ("way", "address", "reason"),
    [
        ("webhook", "htp:/foo", "the webhook's address is not one: https://HOST/PATH"),
        ("webhook", "https://", "the webhook's address is not one: https://HOST/PATH"),
        ("webhook", "https://me:secret@x.example", "the webhook's address has a login in it: put a token"),
        ("mail", "not-an-address", "the mail address is not one"),
        ("mail", "a@x.example, b@x.example", "the mail address is not one"),
        ("pager", "x", "four digits, please"),
    ],
)
def test_an_address_that_nothing_could_go_to_is_told_at_its_place(way: str, address: str, reason: str) -> None:
    def digits(text: str) -> None:
        if len(text) != 4:
            raise ValueError("four digits, please")

    pager = SimpleNamespace(csflow_notifiers=hookimpl(lambda: {"pager": Notifier(lambda: None, check=digits)}))
    manager = make_manager([("webhook", webhook), ("mail", mail), ("pager", pager)])
    (found,) = unreachable(manager, {"li": {"address": {way: address}}})
    assert (found.path, found.warning) == (("people", "li", "address", way), True)
    assert found.message.startswith(reason)
    assert found.message.endswith(f": no message by {way} can go there")
    assert "secret" not in found.message


def test_addresses_that_are_right_or_not_known_yet_are_not_told() -> None:
    manager = make_manager([("webhook", webhook), ("mail", mail)])
    right = {"webhook": "https://x.example:8443/a?b=c", "mail": "li@x.example", "phone": "12"}
    people = {"li": {"address": right}, "bo": {"address": {"webhook": "$HOOK", "mail": "$MAIL"}}, "ka": {}}
    assert unreachable(manager, people) == []
