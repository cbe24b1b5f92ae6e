"""Who provides metrics: plugins by name, the files beside a project, and what is refused of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from csflow.errors import UsageError
from csflow.hookspecs import Provider, hookimpl
from csflow.plugins import make_manager, providers


def plugin(metrics: Any) -> Any:
    return SimpleNamespace(csflow_metrics=hookimpl(lambda: metrics))


def compute(_batch: Any) -> dict[int, float]:
    return {}


def test_a_plain_function_is_a_provider_and_a_provider_stays_what_it_is() -> None:
    whole = Provider(compute=compute)
    found = providers(make_manager([("mine", plugin({"x/a": compute, "x/b": whole}))]))
    assert found["x/a"].compute is compute
    assert found["x/b"] is whole


def test_a_plugin_that_returns_no_names_is_named() -> None:
    with pytest.raises(UsageError, match="plugin mine: csflow_metrics returns a dict of names, not list"):
        providers(make_manager([("mine", plugin(["x/a"]))]))


def test_a_metric_that_two_provide_is_refused_until_one_is_switched_off() -> None:
    both = [("mine", plugin({"x/a": compute})), ("yours", plugin({"x/a": compute}))]
    with pytest.raises(
        UsageError, match=r"metric 'x/a' is provided by (mine and by yours|yours and by mine): switch one off"
    ):
        providers(make_manager(both))
    assert list(providers(make_manager(both, off=["mine"]))) == ["x/a"]
