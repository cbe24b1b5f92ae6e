"""The page of hooks says what the code says: every hook with its arguments, every field of what it is given."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

from csflow import hookspecs
from csflow.plugins import HOOKS, NOUNS, OBSERVER

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "hooks.md"
TEXT = PAGE.read_text("utf-8")
GIVEN = [
    value
    for value in vars(hookspecs).values()
    if dataclasses.is_dataclass(value) and value.__module__ == hookspecs.__name__ and value is not hookspecs.Failure
]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_stands_in_the_table_with_its_arguments_and_a_docstring(hook: str) -> None:
    function = getattr(hookspecs, hook)
    arguments = ", ".join(inspect.signature(function).parameters)
    assert f"| `{hook}({arguments})` |" in TEXT
    assert inspect.getdoc(function)
    assert function.__annotations__["return"]


def test_the_page_names_no_hook_that_is_not_there() -> None:
    assert set(re.findall(r"csflow_\w+", TEXT)) <= set(HOOKS)
    assert {*NOUNS, OBSERVER} == set(HOOKS)


@pytest.mark.parametrize("kind", GIVEN, ids=lambda kind: kind.__name__)
def test_every_field_of_what_a_plugin_is_given_or_gives_is_described(kind: type) -> None:
    assert f"`{kind.__name__}`" in TEXT
    described = {
        name for row in re.findall(r"^\| (`[^|]*) \|", TEXT, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    described |= {"kind", "name", "address", "role"}  # of a recipient, in the row of its message
    assert {spec.name for spec in dataclasses.fields(kind)} <= described


def test_every_hook_has_an_example_in_the_package_to_copy() -> None:
    example = PAGE.parents[2] / "plugins" / "csflow-example" / "src" / "csflow_example" / "__init__.py"
    assert [hook for hook in HOOKS if f"def {hook}(" not in example.read_text("utf-8")] == []
