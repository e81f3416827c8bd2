"""Finds out why a server cannot be reached: plain text, TLS, certificates, or a proxy."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from spanqa._target import place_of, proxy_of

if TYPE_CHECKING:
    from spanqa.cli.connection import Connection

_SECONDS = 3.0
# What an HTTP/2 client sends first, and an empty SETTINGS frame; the server answers with its own.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_AUTHORITY_UNKNOWN = (18, 19, 20, 21)
"""OpenSSL's codes for a certificate whose authority is not trusted, self-signed ones included."""
_EXPIRED = 10


def why_unreachable(connection: Connection) -> str:
    """The cause and its remedy; empty if it is none of those that can be told.

    Connects once more, without gRPC, which does not tell these causes apart.
    """
    target = connection.target
    if proxy := proxy_of(target):
        host = place_of(target)[0]
        return (
            f"{target} is not reached through the proxy that {proxy} names: "
            f"set no_proxy={host} to go past it, or check the proxy"
        )
    if connection.tls is None:
        return _why_plain_text_fails(target)
    return _why_tls_fails(connection, connection.tls)


def _why_plain_text_fails(target: str) -> str:
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    try:
        answers = _handshake(target, unverified)
    except OSError as error:
        if not _is_alert(error):
            return ""
        answers = False
    also = "" if answers else ", and --cert and --key: it wants a client certificate, too"
    return (
        f"the server at {target} speaks TLS, and this call was plain text: "
        f"give --ca FILE with its authority, or --tls if that is a well-known one{also}"
    )


def _why_tls_fails(connection: Connection, tls: ssl.SSLContext) -> str:
    target = connection.target
    try:
        if _handshake(target, tls):
            return ""
    except ssl.SSLCertVerificationError as error:
        return _why_not_trusted(target, error)
    except ssl.SSLError as error:
        if error.reason == "WRONG_VERSION_NUMBER":
            return (
                f"the server at {target} does not speak TLS, it expects plain text: "
                "leave out --tls, --ca, --cert and --key (and their variables)"
            )
        if not _is_alert(error):
            return f"the TLS handshake with {target} failed: {error.reason}"
    except OSError:
        return ""
    if connection.has_certificate:
        return (
            f"the server at {target} does not accept your certificate: "
            "give one with --cert that its authority has signed and that has not expired"
        )
    return f"the server at {target} wants a client certificate: give --cert and --key"


def _why_not_trusted(target: str, error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _AUTHORITY_UNKNOWN:
        return (
            f"the certificate of {target} is signed by an authority that is not trusted: "
            "name the PEM file of that authority with --ca"
        )
    if error.verify_code == _EXPIRED:
        return f"the certificate of {target} has expired: renew it at the server"
    return (
        f"the certificate of {target} does not fit ({error.verify_message.rstrip('.')}): "
        "use a name in --target that the certificate has"
    )


def _handshake(target: str, tls: ssl.SSLContext) -> bool:
    """Whether the server goes on after the handshake; it closes if it misses a certificate."""
    host, port = place_of(target)
    if not host:
        raise OSError("a target without a host")
    tls.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, port), timeout=_SECONDS) as plain,
        tls.wrap_socket(plain, server_hostname=host) as secure,
    ):
        try:
            secure.sendall(_PREFACE)
            return bool(secure.recv(1))
        except (ConnectionError, ssl.SSLError):
            return False


def _is_alert(error: OSError) -> bool:
    """Whether the server ended the handshake and said why, which it does in TLS."""
    return isinstance(error, ssl.SSLError) and "_ALERT_" in (error.reason or "")
