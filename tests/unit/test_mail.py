"""The notifier `mail` against a real SMTP server on this machine: encrypted, logged in, and in bad moods."""

from __future__ import annotations

import email
import socket
import ssl
import threading
from contextlib import suppress
from email import policy
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from csflow.builtin import mail
from csflow.hookspecs import Message, NotReady, Recipient, RetryLater, Undeliverable

TLS = Path(__file__).parent / "tls"
PASSWORD = "p@ss wörd"  # noqa: S105


def message(to: str | None = "li@example.com", **more) -> Message:
    address = {"mail": to} if to is not None else {}
    said = {"title": "逾期:Ada & Co", "text": "应于 3 月 1 日完成。\n– Grüße", "language": "zh"} | more
    return Message(
        id=said.pop("id", "ab12"), recipient=Recipient("person", "li", said.pop("name", "李雷"), address),
        at="2026-03-02T12:00:00+01:00", case="desk/C-1/1", flow="desk", subject={"kind": "customer", "id": "C-1"}, **said,
    )  # fmt: skip


class Box:
    """Takes mails; ``answers`` are what it says instead of 250, by command."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.to: list[str] = []
        self.sessions: set[int] = set()
        self.answers: dict[str, str] = {}
        self.tls: list[bool] = []

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802  # aiosmtpd's name
        if "rcpt" in self.answers:
            return self.answers["rcpt"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, session, envelope):  # noqa: N802
        if "data" in self.answers:
            return self.answers["data"]
        self.mails.append(envelope.content)
        self.to += envelope.rcpt_tos
        self.sessions.add(id(session))
        self.tls.append(session.ssl is not None)
        return "250 OK"


def allowed(_server, _session, _envelope, _mechanism, data) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"me", PASSWORD.encode())
    return AuthResult(success=right, handled=right)


def context() -> ssl.SSLContext:
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(TLS / "localhost.pem", TLS / "localhost.key")
    return found


@pytest.fixture
def box(monkeypatch):
    monkeypatch.setenv(mail.SENDER, "csflow@example.com")
    monkeypatch.setattr(mail, "SECONDS", 5.0)
    return Box()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def greet(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as one:
        safe = ssl.create_default_context()
        with safe.wrap_socket(one, server_hostname="localhost") as encrypted:
            encrypted.recv(100)


@pytest.fixture
def starttls(box, monkeypatch):
    """A server that wants STARTTLS and a login; its port."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "localhost.pem"))
    server = Controller(
        box, hostname="127.0.0.1", port=free_port(), tls_context=context(), require_starttls=True, auth_required=True,
        authenticator=allowed,
    )  # fmt: skip
    server.start()
    yield server.server.sockets[0].getsockname()[1]
    server.stop()


@pytest.fixture
def plain(box, monkeypatch):
    server = Controller(box, hostname="127.0.0.1", port=free_port())
    server.start()
    monkeypatch.setenv(mail.URL, f"smtp://127.0.0.1:{server.server.sockets[0].getsockname()[1]}")
    yield server
    server.stop()


def send(*messages: Message) -> None:
    with mail.csflow_notifiers()["mail"].open() as one:
        for each in messages:
            one(each)


def read(raw: bytes):
    return email.message_from_bytes(raw, policy=policy.default)


def test_a_mail_goes_over_starttls_with_a_login_and_chinese_arrives_intact(box, starttls, monkeypatch):
    monkeypatch.setenv(mail.URL, f"smtp+starttls://me:p%40ss%20w%C3%B6rd@localhost:{starttls}")
    send(message())
    letter = read(box.mails[0])
    assert (letter["Subject"], letter["To"], letter["From"]) == (
        "逾期:Ada & Co", "李雷 <li@example.com>", "csflow@example.com",
    )  # fmt: skip
    assert letter.get_content().replace("\r\n", "\n").strip() == "应于 3 月 1 日完成。\n– Grüße"
    assert (letter["Message-ID"], box.tls) == ("<ab12@example.com>", [True])


def test_a_mail_goes_over_smtps(box, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "localhost.pem"))
    port = free_port()
    server = Controller(box, hostname="127.0.0.1", port=port, ssl_context=context())
    monkeypatch.setattr(server, "_trigger_server", lambda: greet(port))  # its own greeting trusts no certificate
    server.start()
    monkeypatch.setenv(mail.URL, f"smtps://localhost:{port}")
    send(message())
    server.stop()
    assert len(box.mails) == 1


def test_a_certificate_that_nobody_vouches_for_is_refused_and_may_be_mended(box, starttls, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv(mail.URL, f"smtp+starttls://me:x@localhost:{starttls}")
    with pytest.raises(RetryLater, match="mail server: its certificate is not trusted: self-signed certificate"):
        send(message())
    assert box.mails == []


@pytest.mark.parametrize(
    ("greeting", "url", "words"),
    [(b"SSH-2.0-nothing of yours\r\n", "smtp", "it answered with something that is not SMTP"),
     (b"", "smtp", "it closed the connection"),
     (b"220 ready\r\n250 h\r\n250 h\r\n", "smtp+starttls", "it does not offer STARTTLS"),
     (b"220 ready\r\n", "smtps", "it does not speak TLS at this port")],
)  # fmt: skip
def test_a_server_that_is_none_is_told_in_plain_words(box, monkeypatch, greeting, url, words):
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard = threading.Thread(target=say, args=(server, greeting), daemon=True)
        heard.start()
        monkeypatch.setenv(mail.URL, f"{url}://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(RetryLater) as told:
            send(message())
        heard.join(5)
    assert str(told.value) == f"the mail server: {words}"


def say(server: socket.socket, greeting: bytes) -> None:
    """Take one connection, say this, and read until the other side has enough."""
    one, _ = server.accept()
    with one:
        one.sendall(greeting)
        one.settimeout(2)
        with suppress(OSError):
            while greeting and one.recv(1000):
                pass


def test_a_wrong_password_is_tried_later_and_stands_in_no_error(box, starttls, monkeypatch):
    monkeypatch.setenv(mail.URL, f"smtp+starttls://me:wrong-secret@localhost:{starttls}")
    with pytest.raises(RetryLater, match="535") as told:
        send(message())
    assert "wrong-secret" not in str(told.value)


def test_a_login_is_never_sent_in_the_clear(box, plain, monkeypatch):
    port = plain.server.sockets[0].getsockname()[1]
    monkeypatch.setenv(mail.URL, f"smtp://me:secret@127.0.0.1:{port}")
    with pytest.raises(RetryLater, match="over smtps:// or smtp\\+starttls:// only"):
        send(message())


def test_many_messages_share_one_connection_and_a_repeat_is_the_same_mail(box, plain):
    send(message(id="a"), message(id="b"), message(id="a"))
    assert len(box.sessions) == 1
    assert box.mails[0] == box.mails[2] != box.mails[1]


@pytest.mark.parametrize(
    ("command", "answer", "kind"),
    [("rcpt", "550 no such user", Undeliverable), ("rcpt", "451 try later", RetryLater),
     ("data", "554 spam", Undeliverable), ("data", "452 full", RetryLater)],
)  # fmt: skip
def test_what_the_server_refuses_for_ever_is_dead_and_what_for_now_comes_again(box, plain, command, answer, kind):
    box.answers[command] = answer
    with pytest.raises(kind, match=answer[:3]), mail.csflow_notifiers()["mail"].open() as one:
        one(message())
    box.answers.clear()
    send(message())
    assert len(box.mails) == 1


def test_after_a_refused_mail_the_next_one_goes_on_the_same_connection(box, plain):
    with mail.csflow_notifiers()["mail"].open() as one:
        box.answers["rcpt"] = "550 no"
        with pytest.raises(Undeliverable):
            one(message())
        box.answers.clear()
        one(message())
    assert len(box.mails) == 1


@pytest.mark.parametrize(
    "to", ["nobody", "a@b@c", "a b@c", "x@y\r\nBcc: all@example.com", "li@example.com, b@example.com"]
)
def test_a_wrong_address_is_undeliverable(box, plain, to):
    with pytest.raises(Undeliverable, match="the mail address is not one"):
        send(message(to))
    assert box.to == []


def test_without_an_address_it_is_undeliverable(box, plain):
    with pytest.raises(Undeliverable, match="has no mail address"):
        send(message(None))


def test_a_title_and_a_name_of_several_lines_add_no_header(box, plain):
    send(message(title="a\r\nBcc: all@example.com", name="x\nCc: y@example.com"))
    letter = read(box.mails[0])
    assert (letter["Bcc"], letter["Cc"], box.to) == (None, None, ["li@example.com"])


def test_the_sender_may_have_a_name(box, plain, monkeypatch):
    for said, name in (("Shop <cs@shop.example>", "Shop"), ('"Läden, Ost" <cs@shop.example>', "Läden, Ost")):
        monkeypatch.setenv(mail.SENDER, said)
        send(message())
        letter = read(box.mails[-1])
        (writer,) = letter["From"].addresses
        assert (writer.display_name, writer.addr_spec) == (name, "cs@shop.example")
        assert letter["Message-ID"] == "<ab12@shop.example>"
    for wrong in ("Shop <cs>", "Shop", "a@b.example, c@d.example", "<a@b.example> <c@d.example>"):
        monkeypatch.setenv(mail.SENDER, wrong)
        with pytest.raises(RetryLater, match=f"^{mail.SENDER} is not a mail address: cs@example.com or Shop <cs@"):
            send(message())


def test_a_missing_setting_is_known_before_anything_is_opened(monkeypatch):
    monkeypatch.setenv(mail.URL, "smtp://127.0.0.1:1")
    monkeypatch.setenv(mail.SENDER, "cs@example.com")
    mail.ready()
    monkeypatch.delenv(mail.URL)
    with pytest.raises(NotReady, match=f"^{mail.URL} is not set"):
        mail.ready()
    monkeypatch.delenv(mail.SENDER)
    with pytest.raises(NotReady, match=f"^{mail.SENDER} is not set"):
        mail.ready()


def test_a_dead_server_and_a_missing_setting_are_tried_later(box, monkeypatch):
    monkeypatch.setenv(mail.URL, "smtp://127.0.0.1:1")
    with pytest.raises(RetryLater, match="the mail server: connection refused: nothing listens there"):
        send(message())
    for wrong in ("foo", "ftp://x", "smtp://", "smtp://h:port", "smtps://[::1"):
        monkeypatch.setenv(mail.URL, wrong)
        with pytest.raises(RetryLater, match=f"^{mail.URL} is not a mail server's address: smtps://USER"):
            send(message())
    monkeypatch.setenv(mail.URL, "")
    with pytest.raises(RetryLater, match=f"^{mail.URL} is not set: smtps://USER"):
        send(message())
    monkeypatch.delenv(mail.SENDER)
    with pytest.raises(RetryLater, match=mail.SENDER):
        send(message())
