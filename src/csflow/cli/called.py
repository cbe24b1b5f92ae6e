"""How csflow was called, so that the commands it tells people to type next work where they type them."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from csflow.cli import COMMANDS

DEPTH = "UV_RUN_RECURSION_DEPTH"  # what `uv run` sets for what it runs
_COMMAND = re.compile(rf"\bcsflow (?=(?:{'|'.join(COMMANDS)})\b)")


def as_called(command: str) -> str:
    """``csflow …`` as it is to be typed: behind ``uv run`` for somebody who called csflow so.

    `uv run` puts its environment on the path of what it runs, so the path alone does not tell; and what it runs may
    call another csflow, which is not the one of that environment.
    """
    environment = os.environ.get("VIRTUAL_ENV")
    through_uv = os.environ.get(DEPTH) and environment and Path(environment).resolve() == Path(sys.prefix).resolve()
    return f"uv run {command}" if through_uv else command


def hints_as_called(text: str) -> str:
    """A sentence with commands in it, each as it is to be typed."""
    return _COMMAND.sub(lambda found: as_called(found[0]), text)
