"""The notifier `file`: one JSON object a line, in `messages.jsonl` beside the project or where CSFLOW_NOTIFY_FILE says.

A message counts as handed over once the lines are on the disk. A file that cannot be written is tried again later.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from csflow.builtin.failing import in_plain_words
from csflow.hookspecs import Message, Notifier, RetryLater, Send, hookimpl

FILE = "CSFLOW_NOTIFY_FILE"
NAME = "messages.jsonl"


class Filing:
    """The plugin for one project's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @hookimpl
    def csflow_notifiers(self) -> dict[str, Notifier]:
        """``file``: needs no address."""
        return {"file": Notifier(self._open)}

    @contextmanager
    def _open(self) -> Iterator[Send]:
        path = Path(os.environ.get(FILE) or self._folder / NAME)
        try:
            with path.open("a", encoding="utf-8") as file:
                try:
                    yield lambda message: _write(file, message)
                finally:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise RetryLater(f"{path} cannot be written: {in_plain_words(error)}") from error


def line_of(message: Message) -> dict[str, Any]:
    """A message as data; of its recipient the addresses are left out."""
    who = message.recipient
    return {
        "id": message.id, "recipient": {"kind": who.kind, "id": who.id, "name": who.name}, "title": message.title,
        "text": message.text, "language": message.language, "at": message.at, "case": message.case,
        "flow": message.flow, "subject": dict(message.subject), "about": list(message.about),
    }  # fmt: skip


def _write(file: Any, message: Message) -> None:
    file.write(json.dumps(line_of(message), ensure_ascii=False) + "\n")
