"""What servers do to us, in words for people."""

from __future__ import annotations

import errno
import http.client
import os
import smtplib
import socket
import ssl

import pytest

from csflow.builtin.failing import in_plain_words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (http.client.RemoteDisconnected("Remote end closed"), "it closed the connection without an answer"),
        (http.client.BadStatusLine("SSH-2.0 secret"), "it answered with something that is not HTTP"),
        (http.client.LineTooLong("header"), "it answered with something that is not HTTP"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "it cut the connection"),
        (BrokenPipeError(), "it cut the connection"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "connection refused: nothing listens there"),
        (TimeoutError(), "it did not answer in time"),
        (socket.gaierror(socket.EAI_NONAME, "x"), "nobody knows its host's name"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "its host's name cannot be looked up at the moment"),
        (UnicodeError("label too long"), "its host is not a name"),
        (OSError(errno.ENETUNREACH, "x"), "there is no way to it through the network"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), os.strerror(errno.ENOSPC)),
        (ssl.SSLEOFError(8, "EOF occurred"), "it closed the connection while encryption was agreed on"),
        (ssl.SSLError(), "no encryption could be agreed on"),
        (smtplib.SMTPServerDisconnected("Connection unexpectedly closed"), "it closed the connection"),
        (smtplib.SMTPNotSupportedError("SMTPUTF8 not supported by server"), "it does not offer what this mail needs"),
    ],
)
def test_what_a_server_does_is_told_without_names_of_python(error, words):
    assert in_plain_words(error) == words


def test_what_nobody_foresaw_keeps_its_kind_and_is_one_line():
    assert in_plain_words(RuntimeError("a\n b")) == "RuntimeError: a b"
    assert in_plain_words(OSError()) == "OSError"
