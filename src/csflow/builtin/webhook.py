"""The notifier `webhook`: a signed POST, with the headers of Standard Webhooks (https://www.standardwebhooks.com).

``address: {webhook: $NAME}``; CSFLOW_WEBHOOK_SECRET signs (``whsec_`` and base64). No redirect is followed, and nothing
is sent to an address that is not public, unless CSFLOW_WEBHOOK_PRIVATE=1: what counts is the address connected to, not
what a name once meant.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import ipaddress
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urlsplit

from csflow.builtin.failing import in_plain_words
from csflow.builtin.file import line_of
from csflow.hookspecs import Message, Notifier, NotReady, RetryLater, Send, Undeliverable, hookimpl

SECRET, PRIVATE = "CSFLOW_WEBHOOK_SECRET", "CSFLOW_WEBHOOK_PRIVATE"
SECONDS = 10.0  # for each part of the answer
WHOLE = 30.0  # seconds for the whole exchange, however slowly it drips
READ_AT_MOST = 65_536  # bytes of an answer's body
BUSY = frozenset({408, 425, 429})


def sign(secret: str, id_: str, at: int, body: bytes) -> str:
    """The header ``webhook-signature``: HMAC-SHA256 of ``id.timestamp.body``, base64. ValueError for a bad secret."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the secret is no base64") from None
    signed = hmac.new(key, f"{id_}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def body_of(message: Message) -> bytes:
    """What is posted: the same bytes in every repeat."""
    content = {"type": "csflow.message", "timestamp": message.at, "data": line_of(message)}
    return json.dumps(content, ensure_ascii=False, sort_keys=True).encode()


class _Guarded(http.client.HTTPConnection):
    """A connection to a public address only, which one is decided by what the name means at this moment."""

    def __init__(self, host: str, port: int, *, safe: ssl.SSLContext | None) -> None:
        super().__init__(host, port, timeout=SECONDS)
        self._safe = safe

    def connect(self) -> None:
        """Look the name up once, refuse what is not public, and connect to that address."""
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        public = [entry for entry in found if is_allowed(str(entry[4][0]))]
        if not public or len(public) < len(found):
            raise Undeliverable(f"the webhook's address is not public ({PRIVATE}=1 allows it)")
        problem: OSError | None = None
        for family, kind, protocol, _, address in public:
            sock = socket.socket(family, kind, protocol)
            sock.settimeout(self.timeout)
            try:
                sock.connect(address)
            except OSError as error:
                sock.close()
                problem = error
                continue
            self.sock = self._safe.wrap_socket(sock, server_hostname=self.host) if self._safe is not None else sock
            return
        raise problem or OSError("no address")


def is_allowed(address: str) -> bool:
    """Whether it is public, or private addresses are allowed."""
    if os.environ.get(PRIVATE) == "1":
        return True
    plain = ipaddress.ip_address(address.partition("%")[0])
    mapped = plain.ipv4_mapped if isinstance(plain, ipaddress.IPv6Address) else None
    return (mapped or plain).is_global and not (mapped or plain).is_multicast


def post(message: Message) -> None:
    """Post one message; returns when the receiver answered 2xx."""
    parts = _address(message.recipient.address.get("webhook", ""))
    body, at = body_of(message), int(time.time())  # the time of the attempt, as the standard wants it
    signature = _signed(message.id, at, body)
    headers = {
        "Content-Type": "application/json; charset=utf-8", "User-Agent": "csflow", "webhook-id": message.id,
        "webhook-timestamp": str(at), "webhook-signature": signature, "Connection": "close",
    }  # fmt: skip
    safe = ssl.create_default_context() if parts.scheme == "https" else None
    connection = _Guarded(parts.hostname or "", parts.port or (443 if safe else 80), safe=safe)
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    _exchange(connection, target, body, headers)


def _signed(id_: str, at: int, body: bytes) -> str:
    """The signature by the secret of the environment. NotReady where that is none."""
    secret = os.environ.get(SECRET)
    if not secret:
        raise NotReady(f"{SECRET} is not set: webhooks are signed")
    try:
        return sign(secret, id_, at, body)
    except ValueError:
        raise NotReady(f"{SECRET} is not base64 after whsec_") from None


def ready() -> None:
    """NotReady where nothing could be signed."""
    _signed("", 0, b"")


def _address(url: str) -> SplitResult:
    if not url:
        raise Undeliverable("the recipient has no webhook address")
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known or any(ord(letter) <= 32 or ord(letter) > 126 for letter in url):
        raise Undeliverable("the webhook's address is not one: https://HOST/PATH")
    if parts.username or parts.password:
        raise Undeliverable("the webhook's address has a login in it: put a token into its path instead")
    return parts


def _exchange(connection: http.client.HTTPConnection, target: str, body: bytes, headers: dict[str, str]) -> None:
    late = threading.Event()
    watch = threading.Timer(WHOLE, _hang_up, [connection, late])
    watch.daemon = True
    watch.start()
    try:
        connection.request("POST", target, body, headers)
        answer = connection.getresponse()
        with closing(answer):
            if late.is_set():
                raise TimeoutError  # told below with every other answer that came too late
            with suppress(http.client.HTTPException, OSError, ValueError):  # it counts, not what it goes on to say
                answer.read(READ_AT_MOST)
    except (http.client.HTTPException, OSError, ValueError) as error:
        # whatever the connection broke with once we have hung up, what happened is that it took too long
        raise RetryLater(f"the webhook: {in_plain_words(TimeoutError() if late.is_set() else error)}") from error
    finally:
        watch.cancel()
        connection.close()
    _judge(answer)


def _judge(answer: http.client.HTTPResponse) -> None:
    code = answer.status
    if 200 <= code < 300:
        return
    if 300 <= code < 400:
        raise Undeliverable(f"the webhook answered {code}: redirects are not followed, give the final address")
    if code in BUSY or code >= 500:
        raise RetryLater(f"the webhook answered {code}", after=_after(answer.headers.get("Retry-After")))
    raise Undeliverable(f"the webhook answered {code}")


def _after(text: str | None) -> float | None:
    """The seconds of a Retry-After header, which may be a date."""
    if text is None:
        return None
    with suppress(ValueError):
        return max(0.0, float(int(text.strip())))
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _hang_up(connection: http.client.HTTPConnection, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)


def receiver_of(message: Message) -> str:
    """The host and port that a message goes to. Undeliverable where its address is none."""
    parts = _address(message.recipient.address.get("webhook", ""))
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def check_address(url: str) -> None:
    """ValueError where no message could be posted to it."""
    try:
        _address(url)
    except Undeliverable as error:
        raise ValueError(str(error)) from None


@contextmanager
def _opened() -> Iterator[Send]:
    yield post


@hookimpl
def csflow_notifiers() -> dict[str, Notifier]:
    """``webhook``, to ``address: {webhook: …}``."""
    return {"webhook": Notifier(_opened, receiver_of, check_address, ready)}
