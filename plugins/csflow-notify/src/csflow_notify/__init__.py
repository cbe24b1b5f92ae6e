"""Messages of csflow to everything that apprise reaches: chat rooms, phones, services.

``via: apprise`` in a message or effect. Where a message goes is looked up in the environment, never in a file of the
project: CSFLOW_NOTIFY_PERSON_LI for the person ``li``, CSFLOW_NOTIFY_ROLE_CSM for whoever is written to as ``csm``,
else CSFLOW_NOTIFY_DEFAULT. Each holds apprise URLs, separated by spaces. An address ``apprise: $TEAM_ROOM`` of a
person is taken from the environment by csflow itself and comes first.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import apprise

from csflow.hookspecs import Message, Notifier, Recipient, RetryLater, Send, Undeliverable, hookimpl

PREFIX = "CSFLOW_NOTIFY_"
NAME = "apprise"


def places_of(recipient: Recipient, environment: Mapping[str, str]) -> tuple[str, str]:
    """Where a recipient's messages go, and the name of what says so. Undeliverable where nothing says it."""
    own = recipient.address.get(NAME)
    if own:
        return own, f"address {NAME}"
    names = [_variable(recipient.kind, recipient.id)]
    if recipient.role is not None:
        names.append(_variable("role", recipient.role))
    names.append(f"{PREFIX}DEFAULT")
    for name in names:
        if environment.get(name):
            return environment[name], name
    raise Undeliverable(f"none of {', '.join(names)} is set")


def _variable(kind: str, id_: str) -> str:
    word = re.sub(r"\W", "_", id_)
    return f"{PREFIX}{kind}_{word}".upper()


def room(urls: str, name: str) -> apprise.Apprise:
    """The services of these URLs. Undeliverable, naming the variable and never its value, where one cannot be read."""
    found = apprise.Apprise()
    for place, url in enumerate(urls.split(), 1):
        if not found.add(url):
            raise Undeliverable(f"{name}: URL {place} is none that apprise can read")
    if not len(found):
        raise Undeliverable(f"{name} holds no URL")
    return found


@contextmanager
def rooms() -> Iterator[Send]:
    """Make ready: each place is opened once, for all its messages."""
    logger = logging.getLogger("apprise")
    before, logger.disabled = logger.disabled, True  # what it logs may hold a URL with its secret
    opened: dict[str, apprise.Apprise] = {}

    def send(message: Message) -> None:
        urls, name = places_of(message.recipient, os.environ)
        if urls not in opened:
            opened[urls] = room(urls, name)
        body = f"{message.text}\n\n{message.case} · {message.id}"
        try:
            sent = opened[urls].notify(title=message.title, body=body, body_format=apprise.NotifyFormat.TEXT)
        except Exception as error:  # noqa: BLE001  # a service of apprise that breaks; its words may hold a secret
            raise RetryLater(f"{name}: {type(error).__name__}") from None
        if not sent:
            raise RetryLater(f"{name}: not confirmed by all services behind it")

    try:
        yield send
    finally:
        logger.disabled = before


@hookimpl
def csflow_notifiers() -> dict[str, Notifier]:
    """``via: apprise``."""
    return {NAME: Notifier(rooms, lambda message: places_of(message.recipient, os.environ)[0])}
