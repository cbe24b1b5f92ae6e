"""The notifier `webhook` against a real HTTP server on this machine: signed, guarded, and with every kind of answer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import ssl
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from receiver import Handler, Receiver, serving

from csflow.builtin import webhook
from csflow.hookspecs import Message, Recipient, RetryLater, Undeliverable

TLS = Path(__file__).parent / "tls"
KEY = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


def message(url: str | None, id_: str = "ab12") -> Message:
    address = {"webhook": url} if url is not None else {}
    return Message(
        id_, Recipient("person", "li", "李雷", address), "逾期", "应于今天", "zh", "2026-03-02T12:00:00+01:00", "desk/C-1/1",
        "desk", {"kind": "customer", "id": "C-1"},
    )  # fmt: skip


class Answering(Handler):
    def answer(self, body: bytes) -> None:
        receiver = self.server
        receiver.seen.append((dict(self.headers), body, self.path))
        receiver.by_id[self.headers["webhook-id"]] += 1
        if receiver.how == "slow":
            receiver.freed.wait(10)
        if receiver.how == "drip":
            self.wfile.write(b"HTTP/1.0 200 OK\r\n")
            for _ in range(100):
                if receiver.freed.wait(0.1):
                    return
                self.wfile.write(b"X: y\r\n")
                self.wfile.flush()
        if receiver.how == "garbage":
            self.wfile.write(b"\x00\xffnonsense\r\n\r\n")
            return
        if receiver.how == "huge":
            self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
            for _ in range(1000):
                try:
                    self.wfile.write(b"x" * 100_000)
                    receiver.written += 100_000
                except OSError:
                    return
            return
        if receiver.how == "nothing":
            self.connection.close()
            return
        self.send_response(receiver.code)
        for name, value in receiver.headers.items():
            self.send_header(name, value)
        self.end_headers()


class Hook(Receiver):
    """Answers in every way that a test asks for, and keeps what came."""

    def __init__(self) -> None:
        super().__init__(Answering)
        self.seen: list = []
        self.by_id: Counter[str] = Counter()
        self.how, self.code, self.headers, self.written = "", 204, {}, 0
        self.freed = threading.Event()


@pytest.fixture
def receiver(monkeypatch):
    monkeypatch.setenv(webhook.PRIVATE, "1")
    monkeypatch.setenv(webhook.SECRET, f"whsec_{KEY}")
    monkeypatch.setattr(webhook, "SECONDS", 1.0)
    monkeypatch.setattr(webhook, "WHOLE", 1.5)
    server = Hook()
    with serving(server):
        yield server
        server.freed.set()


def test_a_message_is_posted_with_the_headers_and_the_signature_of_standard_webhooks(receiver):
    webhook.post(message(receiver.url()))
    headers, body, path = receiver.seen[0]
    assert (headers["webhook-id"], path) == ("ab12", "/hook?token=abc")
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 5
    signed = f"ab12.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(base64.b64decode(KEY), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    told = json.loads(body)
    assert (told["type"], told["data"]["title"], told["data"]["id"]) == ("csflow.message", "逾期", "ab12")
    assert "address" not in body.decode()


def test_the_signature_is_that_of_the_standards_own_example():
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105
    found = webhook.sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_is_a_host_and_a_port():
    same = {webhook.receiver_of(message(f"https://Example.com{rest}")) for rest in ("", "/a", ":443/b?c")}
    assert same == {"example.com:443"}
    assert webhook.receiver_of(message("http://example.com/a")) == "example.com:80"
    with pytest.raises(Undeliverable):
        webhook.receiver_of(message("no address"))


def test_a_repeat_has_the_same_id_and_the_same_body(receiver):
    for _ in range(2):
        webhook.post(message(receiver.url()))
    assert receiver.by_id == {"ab12": 2}
    assert receiver.seen[0][1] == receiver.seen[1][1]


@pytest.mark.parametrize(
    ("code", "kind"),
    [(400, Undeliverable), (404, Undeliverable), (410, Undeliverable), (301, Undeliverable), (307, Undeliverable),
     (408, RetryLater), (429, RetryLater), (500, RetryLater), (503, RetryLater)],
)  # fmt: skip
def test_every_answer_but_2xx_is_a_failure_for_now_or_for_ever(receiver, code, kind):
    receiver.code = code
    receiver.headers = {"Location": receiver.url("/other")}
    with pytest.raises(kind, match=str(code)) as told:
        webhook.post(message(receiver.url()))
    assert "token" not in str(told.value)
    assert len(receiver.seen) == 1  # no redirect was followed


@pytest.mark.parametrize(("text", "seconds"), [("120", 120), ("0", 0), ("soon", None), ("-5", 0)])
def test_a_server_that_is_busy_says_when_to_come_back(receiver, text, seconds):
    receiver.code, receiver.headers = 429, {"Retry-After": text}
    with pytest.raises(RetryLater) as told:
        webhook.post(message(receiver.url()))
    assert told.value.after == seconds


def test_a_time_to_come_back_may_be_a_date(receiver):
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3600))
    receiver.code, receiver.headers = 503, {"Retry-After": later}
    with pytest.raises(RetryLater) as told:
        webhook.post(message(receiver.url()))
    assert 3590 < told.value.after <= 3600


@pytest.mark.parametrize(
    ("how", "words"),
    [("slow", "did not answer in time"), ("drip", "did not answer in time"),
     ("garbage", "answered with something that is not HTTP"), ("nothing", "closed the connection without an answer")],
)  # fmt: skip
def test_a_server_that_is_slow_or_talks_garbage_is_tried_later_and_told_in_plain_words(receiver, how, words):
    receiver.how = how
    begun = time.monotonic()
    with pytest.raises(RetryLater) as told:
        webhook.post(message(receiver.url()))
    assert str(told.value) == f"the webhook: it {words}"
    assert time.monotonic() - begun < 4


def test_an_endless_answer_is_not_read_to_its_end(receiver):
    receiver.how = "huge"
    webhook.post(message(receiver.url()))
    assert receiver.written < 50_000_000


def test_a_dead_server_and_a_name_that_is_none_are_tried_later(monkeypatch, receiver):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(RetryLater, match="connection refused: nothing listens there"):
        webhook.post(message(f"http://127.0.0.1:{port}/"))
    with pytest.raises(RetryLater, match=r"the webhook: .* host's name"):
        webhook.post(message("http://no-such-name.invalid/"))


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "example.com", "http://", "http://a b/", "http://x:99999/", "http://u:p@example.com/",
            "http://example.com/\r\nX: y", "javascript:alert(1)", ""],
)  # fmt: skip
def test_a_wrong_address_is_undeliverable(receiver, url):
    with pytest.raises(Undeliverable, match="webhook"):
        webhook.post(message(url))


def test_an_address_that_is_not_public_is_refused_whatever_its_name(receiver, monkeypatch):
    monkeypatch.delenv(webhook.PRIVATE)
    for host in ("127.0.0.1", "localhost", "0.0.0.0", "[::1]", "2130706433", "[::ffff:127.0.0.1]"):  # noqa: S104
        with pytest.raises((Undeliverable, RetryLater)):
            webhook.post(message(receiver.url(host=host)))
    assert receiver.seen == []


@pytest.mark.parametrize(
    ("address", "public"),
    [("127.0.0.1", False), ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False), ("169.254.169.254", False),
     ("::1", False), ("fe80::1%eth0", False), ("fc00::1", False), ("::ffff:10.0.0.1", False), ("224.0.0.1", False),
     ("100.64.0.1", False), ("8.8.8.8", True), ("2606:4700::1111", True)],
)  # fmt: skip
def test_what_is_public(address, public, monkeypatch):
    monkeypatch.delenv(webhook.PRIVATE, raising=False)
    assert webhook.is_allowed(address) is public


def test_a_name_that_means_another_address_the_second_time_is_looked_up_once(receiver, monkeypatch):
    """DNS rebinding: public when it is looked at, private when it is connected to."""
    monkeypatch.delenv(webhook.PRIVATE)
    real, asked = socket.getaddrinfo, []

    def twofaced(host, port, *rest, **more):
        if host != "rebind.example":
            return real(host, port, *rest, **more)
        asked.append(host)
        return real("127.0.0.1" if len(asked) > 1 else "192.0.2.1", port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", twofaced)
    with pytest.raises(Undeliverable, match="not public"):  # 192.0.2.1 is for documentation: not public either
        webhook.post(message(receiver.url(host="rebind.example")))
    monkeypatch.setattr(webhook, "is_allowed", lambda address: address == "192.0.2.1")
    asked.clear()
    with pytest.raises(RetryLater):  # it goes to the address that was looked at, where nobody is
        webhook.post(message(receiver.url(host="rebind.example")))
    assert (asked, receiver.seen) == (["rebind.example"], [])


def test_encryption_is_checked(receiver, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "localhost.pem", TLS / "localhost.key")
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    url = receiver.url(host="localhost", scheme="https")
    with pytest.raises(RetryLater, match="the webhook: its certificate is not trusted: self-signed certificate"):
        webhook.post(message(url))
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "localhost.pem"))
    webhook.post(message(url))
    assert len(receiver.seen) == 1


def test_without_a_secret_or_with_a_broken_one_nothing_is_sent(receiver, monkeypatch):
    monkeypatch.setenv(webhook.SECRET, "whsec_not base64!")
    with pytest.raises(RetryLater, match="not base64") as told:
        webhook.post(message(receiver.url()))
    assert "not base64!" not in str(told.value)
    monkeypatch.delenv(webhook.SECRET)
    with pytest.raises(RetryLater, match="is not set"):
        webhook.post(message(receiver.url()))
    with pytest.raises(Undeliverable, match="has no webhook"):
        webhook.post(message(None))
    assert receiver.seen == []
