"""The machine of a flow lets a case go only where its flow says."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from csflow.errors import RefusedError
from csflow.flow.machine import FlowMachine

Load = Callable[..., Any]
FLOW = """
flow: f
stages:
  a: {transitions: {b: {trigger: go}, hold: {trigger: wait}}}
  b: {transitions: {hold: {trigger: wait}}}
  hold: {transitions: {back: {trigger: go_on}}}
"""


def test_a_move_of_the_flow_changes_the_stage(load_project: Load) -> None:
    flow = load_project(FLOW).definition.flows["f"]
    case = SimpleNamespace(stage="a")
    FlowMachine(flow).move(case, flow.stages["a"].transitions[0], "b")
    assert case.stage == "b"


def test_back_leads_to_any_other_stage_that_is_asked_for(load_project: Load) -> None:
    flow = load_project(FLOW).definition.flows["f"]
    back = flow.stages["hold"].transitions[0]
    for target in ("a", "b"):
        case = SimpleNamespace(stage="hold")
        FlowMachine(flow).move(case, back, target)
        assert case.stage == target


@pytest.mark.parametrize(("stage", "target"), [("b", "b"), ("a", "hold"), ("a", "nowhere")])
def test_a_move_that_the_flow_does_not_have_is_refused_and_changes_nothing(
    load_project: Load, stage: str, target: str
) -> None:
    flow = load_project(FLOW).definition.flows["f"]
    case = SimpleNamespace(stage=stage)
    with pytest.raises(RefusedError, match=f"no way from '{stage}' to '{target}' by stages.a.transitions.b.0"):
        FlowMachine(flow).move(case, flow.stages["a"].transitions[0], target)
    assert case.stage == stage
