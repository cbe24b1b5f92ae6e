"""A flow's stages and moves as a `transitions` machine: the only place that knows that library.

One machine serves all cases of a flow. Rows are never registered with it: an event is triggered on whatever object
carries ``stage``, which costs microseconds and keeps nothing.
"""

from __future__ import annotations

from typing import Any, Protocol

from transitions import Machine, MachineError

from csflow.errors import RefusedError
from csflow.flow.definition import Flow, Transition

MIRRORED = "mirrors"  # the place of a move that another system made and the flow has no way for


class Staged(Protocol):
    """Anything that is in a stage."""

    stage: str


class FlowMachine:
    """Performs the moves of one flow; a move that the flow does not have is refused."""

    def __init__(self, flow: Flow) -> None:
        self._machine = Machine(
            model=None,
            states=list(flow.stages),
            initial=flow.first,
            auto_transitions=False,
            model_attribute="stage",
            after_state_change=[],
        )
        for stage in flow.stages.values():
            for transition in stage.transitions:
                for target in _targets(flow, transition):
                    self._machine.add_transition(_event(transition.place, target), stage.name, target)
            if flow.mirrors:
                for target in (name for name in flow.stages if name != stage.name):
                    self._machine.add_transition(_event(MIRRORED, target), stage.name, target)

    def move(self, row: Staged, transition: Transition, target: str) -> None:
        """Perform the transition on the row; RefusedError when its stage has no such way out."""
        event: Any = self._machine.events.get(_event(transition.place, target))
        refused = RefusedError(f"no way from '{row.stage}' to '{target}' by {transition.place}")
        if event is None:
            raise refused
        try:
            event.trigger(row)
        except MachineError:
            raise refused from None


def _event(place: str, target: str) -> str:
    return f"{place}>{target}"


def _targets(flow: Flow, transition: Transition) -> list[str]:
    if transition.target != "back":
        return [transition.target]
    return [name for name in flow.stages if name != transition.source]
