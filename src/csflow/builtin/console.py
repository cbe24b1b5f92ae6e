"""The notifier `console`: a message on standard error, so that what a command prints for scripts stays what it is."""

from __future__ import annotations

import sys

from csflow.hookspecs import Message, Send, hookimpl


def show(message: Message) -> None:
    """Print one message: to whom, title, text."""
    who = message.recipient
    about = f"  [{message.case}]" if message.case else ""
    lines = [f"→ {who.name or who.id}: {message.title}{about}"]
    lines += [f"    {line}" for line in message.text.splitlines() if line.strip()]
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()


@hookimpl
def csflow_notifiers() -> dict[str, Send]:
    """``console``, for everybody who has no other address."""
    return {"console": show}
