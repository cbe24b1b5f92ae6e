"""What went wrong between csflow and a server, in words for people: what they can do about it, no names of Python."""

from __future__ import annotations

import errno
import http.client
import smtplib
import socket
import ssl

from csflow.hookspecs import in_one_line

# The first that fits counts, so what is special stands before what is general.
WORDS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((http.client.RemoteDisconnected,), "it closed the connection without an answer"),
    ((http.client.HTTPException,), "it answered with something that is not HTTP"),
    ((smtplib.SMTPServerDisconnected,), "it closed the connection"),
    ((TimeoutError,), "it did not answer in time"),
    ((ConnectionRefusedError,), "connection refused: nothing listens there"),
    ((ConnectionError,), "it cut the connection"),
    ((UnicodeError,), "its host is not a name"),
)
UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN}


def in_plain_words(error: BaseException) -> str:
    """The reason, to be put after a name: "the webhook: …". What nobody foresaw is ``Type: text``, in one line."""
    if isinstance(error, ssl.SSLError):
        return _encryption(error)
    if isinstance(error, socket.gaierror):
        known = error.errno != socket.EAI_AGAIN
        return "nobody knows its host's name" if known else "its host's name cannot be looked up at the moment"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "it does not offer STARTTLS" if "STARTTLS" in str(error) else "it does not offer what this mail needs"
    for kinds, words in WORDS:
        if isinstance(error, kinds):
            return words
    if isinstance(error, OSError) and error.errno in UNREACHABLE:
        return "there is no way to it through the network"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return in_one_line(error)


def _encryption(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "it closed the connection while encryption was agreed on"
    if getattr(error, "reason", None) == "WRONG_VERSION_NUMBER":
        return "it does not speak TLS at this port"
    said = (getattr(error, "reason", None) or "").lower().replace("_", " ")
    return f"no encryption could be agreed on{f': {said}' if said else ''}"
