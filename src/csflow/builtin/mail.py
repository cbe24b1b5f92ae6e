"""The notifier `mail`: SMTP with TLS and a login, one connection for many messages.

CSFLOW_SMTP_URL says where: ``smtps://USER:PASSWORD@HOST:465``, ``smtp+starttls://USER:PASSWORD@HOST:587`` or, without a
login, ``smtp://HOST:25``. CSFLOW_MAIL_FROM says from whom: ``cs@example.com`` or ``Shop <cs@example.com>``.
The message's id is its Message-ID, so a repeat is the same.
"""

from __future__ import annotations

import base64
import os
import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import SplitResult, unquote, urlsplit

from csflow.builtin.failing import in_plain_words
from csflow.hookspecs import Message, Notifier, NotReady, RetryLater, Send, Undeliverable, hookimpl

URL, SENDER = "CSFLOW_SMTP_URL", "CSFLOW_MAIL_FROM"
SECONDS = 30.0  # for each answer of the server
PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_NAMED = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>\s*")
_ADDRESS = re.compile(r"[^@\s<>,;:\"()\[\]]+@[^@\s<>,;:\"()\[\]]+")


class Post:
    """A connection that is made for the first message, and anew when the server has hung up."""

    def __init__(self) -> None:
        self._server: smtplib.SMTP | None = None

    def send(self, message: Message) -> None:
        """Send one message; returns when the server has accepted it."""
        letter = letter_of(message, sender())
        try:
            self._connected().send_message(letter)
        except smtplib.SMTPResponseException as error:
            self._forget(error)
            raise _refused(error.smtp_code, _said(error.smtp_error), login=_is_login(error)) from error
        except smtplib.SMTPRecipientsRefused as error:
            code, said = next(iter(error.recipients.values()))
            raise _refused(code, _said(said)) from error
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            raise RetryLater(f"the mail server: {in_plain_words(error)}") from error

    def _connected(self) -> smtplib.SMTP:
        if self._server is None:
            self._server = connect(os.environ.get(URL, ""))
        return self._server

    def _forget(self, error: smtplib.SMTPResponseException) -> None:
        """After an answer that ends the talk (421, a refused login) the next message needs a new connection."""
        if error.smtp_code in (-1, 421) or not isinstance(error, smtplib.SMTPDataError | smtplib.SMTPSenderRefused):
            self.close()

    def close(self) -> None:
        """Say goodbye, as far as anybody listens."""
        if self._server is not None:
            with suppress(smtplib.SMTPException, OSError):
                self._server.quit()
            with suppress(OSError):
                self._server.close()
        self._server = None


def sender() -> Address:
    """From whom mails come. NotReady where the environment does not say it, or names no address."""
    said = os.environ.get(SENDER, "").strip()
    named = _NAMED.fullmatch(said)
    address, name = (named["address"], named["name"].strip().strip('"')) if named else (said, "")
    try:
        return _addressed(address, name)
    except ValueError:
        wrong = "is not a mail address: cs@example.com or Shop <cs@example.com>" if said else "is not set"
        raise NotReady(f"{SENDER} {wrong}") from None


def ready() -> None:
    """NotReady where it is not known from whom mails come, or by which server."""
    sender()
    _server_of(os.environ.get(URL, ""))


def _server_of(url: str) -> tuple[SplitResult, int]:
    """The parts of the mail server's address, and its port. NotReady, without the URL, where it is wrong."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS[parts.scheme]
    except (ValueError, KeyError):
        parts, port = SplitResult("", "", "", "", ""), 0
    if not parts.hostname:
        wrong = "is not a mail server's address" if url else "is not set"  # without the URL: a password may be in it
        raise NotReady(f"{URL} {wrong}: smtps://USER:PASSWORD@HOST, smtp+starttls://… or smtp://HOST")
    if parts.username and parts.scheme == "smtp":
        raise NotReady(f"{URL}: a login is sent over smtps:// or smtp+starttls:// only")
    return parts, port


def connect(url: str) -> smtplib.SMTP:
    """A connection that is encrypted and logged in as the URL says. NotReady, without the URL, where it is wrong."""
    parts, port = _server_of(url)
    host = str(parts.hostname)
    safe = ssl.create_default_context()
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=safe)
    else:
        server = smtplib.SMTP(host, port, timeout=SECONDS)
    try:
        if parts.scheme == "smtp+starttls":
            server.starttls(context=safe)
        if parts.username:
            _login(server, unquote(parts.username), unquote(parts.password or ""))
    except BaseException:
        server.close()
        raise
    return server


def _login(server: smtplib.SMTP, user: str, password: str) -> None:
    """Log in once, in UTF-8, where the server knows AUTH PLAIN; smtplib's own way takes ASCII only and tries thrice."""
    server.ehlo_or_helo_if_needed()
    if "PLAIN" not in server.esmtp_features.get("auth", "").upper().split():
        server.login(user, password)
        return
    proof = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    code, said = server.docmd("AUTH", f"PLAIN {proof}")
    if code != 235:
        raise smtplib.SMTPAuthenticationError(code, said)


def letter_of(message: Message, writer: Address) -> EmailMessage:
    """The message as a mail. Undeliverable where the recipient has no address that could be one."""
    to = message.recipient.address.get("mail", "").strip()
    if not to:
        raise Undeliverable("the recipient has no mail address")
    letter = EmailMessage()
    letter["From"] = writer
    try:
        letter["To"] = _addressed(to, message.recipient.name or "")
    except ValueError as error:
        raise Undeliverable(str(error)) from error
    letter["Subject"] = " ".join(message.title.split()) or "csflow"
    letter["Message-ID"] = f"<{message.id}@{writer.domain}>"
    letter["Date"] = format_datetime(datetime.fromisoformat(message.at))
    letter["Auto-Submitted"] = "auto-generated"
    letter["Content-Language"] = message.language
    letter.set_content(message.text, cte="base64")
    return letter


def _addressed(to: str, name: str) -> Address:
    """The address as a letter has it, with the name in one line. ValueError where it is none."""
    user, _, domain = to.strip().rpartition("@")
    with suppress(ValueError):
        if _ADDRESS.fullmatch(to.strip()):
            return Address(" ".join(name.split()), user, domain)
    raise ValueError("the mail address is not one")


def check_address(text: str) -> None:
    """ValueError where no mail could go to it."""
    _addressed(text, "")


def _refused(code: int, said: str, *, login: bool = False) -> Exception:
    """What an answer of the server means: 5xx to the message is for ever, everything else may change."""
    if code < 0:  # what smtplib makes of an answer without a number
        return RetryLater("the mail server: it answered with something that is not SMTP")
    told = f"the mail server said {code} {said}".strip()
    if 500 <= code < 600 and not login:
        return Undeliverable(told)
    return RetryLater(told)


def _is_login(error: smtplib.SMTPResponseException) -> bool:
    return not isinstance(error, smtplib.SMTPDataError | smtplib.SMTPSenderRefused)


def _said(text: bytes | str) -> str:
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return " ".join(plain.split())[:200]


@contextmanager
def _opened() -> Iterator[Send]:
    post = Post()
    try:
        yield post.send
    finally:
        post.close()


@hookimpl
def csflow_notifiers() -> dict[str, Notifier]:
    """``mail``, to ``address: {mail: …}`` or a contact's mail."""
    return {"mail": Notifier(_opened, check=check_address, ready=ready)}
