"""The notifier against a real HTTP server, through apprise's own JSON service."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import csflow_notify as notify
import pytest

from csflow.hookspecs import Recipient, RetryLater, Undeliverable
from csflow.testing import check_notifier, message

SECRET = "hush-hush-4711"


class Room:
    def __init__(self):
        self.got, self.code = [], 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.code == 200:
                    outer.got.append(json.loads(body))
                self.send_response(outer.code)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"json://user:{SECRET}@127.0.0.1:{self.server.server_port}/"

    def fail(self):
        self.code = 500


@pytest.fixture
def room(monkeypatch):
    made = Room()
    monkeypatch.setenv("CSFLOW_NOTIFY_PERSON_LI", made.url)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_it_sends_once_and_says_when_it_could_not(room, caplog):
    check_notifier(
        notify.csflow_notifiers()["apprise"], lambda: room.got, failing=[(room.fail, RetryLater)], secrets=[SECRET]
    )
    assert SECRET not in caplog.text


def test_a_person_goes_before_the_role_and_all_others_to_the_default():
    environment = {
        "CSFLOW_NOTIFY_PERSON_ANN": "json://p", "CSFLOW_NOTIFY_ROLE_CSM_LEAD": "json://r",
        "CSFLOW_NOTIFY_DEFAULT": "json://d",
    }  # fmt: skip

    def place(who, role=None, **address):
        return notify.places_of(Recipient("person", who, None, address, role), environment)[0]

    assert [place("ann", "csm-lead"), place("li", "csm-lead"), place("li", "csm"), place("li")] == [
        "json://p", "json://r", "json://d", "json://d",
    ]  # fmt: skip
    assert place("ann", apprise="json://c") == "json://c"


def test_a_message_to_a_role_goes_where_the_environment_says_for_it(csflow_project, room, monkeypatch):
    monkeypatch.delenv("CSFLOW_NOTIFY_PERSON_LI")
    monkeypatch.setenv("CSFLOW_NOTIFY_ROLE_CSM", room.url)
    project = csflow_project(
        {
            "people.yaml": "roles: {csm: Manager}\npeople: {li: {roles: [csm]}}\n",
            "lifecycle.yaml": "flow: lifecycle\nopens: customer.id is known\n"
            "stages: {one: {do: [{notify: csm, via: apprise}], transitions: {two: {trigger: go}}}, two: good}\n",
        }
    )
    project.book.customer("C-1")
    project.run()
    project.csflow("outbox", "release", "--all")
    assert project.csflow("deliver")[:2] == (0, "deliver: 1 message sent\n")
    assert [one["title"] for one in room.got] == ["lifecycle – C-1 & Co (C-1) – one"]


def test_those_who_share_a_place_share_its_failures(monkeypatch):
    monkeypatch.setenv("CSFLOW_NOTIFY_DEFAULT", "json://a")
    monkeypatch.setenv("CSFLOW_NOTIFY_PERSON_ANN", "json://b")
    receiver = notify.csflow_notifiers()["apprise"].receiver
    people = (Recipient("person", who, None, {}) for who in ("li", "wu", "ann"))
    li, wu, ann = (receiver(message(recipient=one)) for one in people)
    assert li == wu != ann


def test_a_place_that_nothing_says_is_named_and_never_tried_again():
    with pytest.raises(Undeliverable, match="none of CSFLOW_NOTIFY_PERSON_LI, CSFLOW_NOTIFY_DEFAULT is set"):
        notify.places_of(Recipient("person", "li", None, {}), {})


@pytest.mark.parametrize("urls", [f"nosuch://{SECRET}", "  "])
def test_a_url_that_cannot_be_read_is_told_without_its_secret(monkeypatch, urls):
    monkeypatch.setenv("CSFLOW_NOTIFY_PERSON_LI", urls)
    with notify.csflow_notifiers()["apprise"].open() as send, pytest.raises(Undeliverable) as told:
        send(message())
    assert SECRET not in str(told.value)


def test_csflow_lists_it(csflow_project):
    project = csflow_project("csflow: 1\nname: x\n")
    assert "csflow_notifiers: apprise" in project.csflow("plugins")[1]
