"""How a command reaches the server: the options that all commands share, and what they say."""

from __future__ import annotations

import inspect
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import grpc
import typer

from spanqa import AsyncClient, Client
from spanqa._channel import DEFAULT_TIMEOUT_SECONDS
from spanqa._target import DEFAULT_TARGET, full_target
from spanqa.cli.failures import fail, file_failures

_Rest = ParamSpec("_Rest")


@dataclass(frozen=True, slots=True)
class Connection:
    """A server, and what it takes to be let in."""

    target: str
    """With its port."""
    timeout: float
    """Seconds for each call."""
    token: str | None = None
    credentials: grpc.ChannelCredentials | None = None
    """None means plain text."""
    tls: ssl.SSLContext | None = None
    """The same credentials for a socket, to find out why a connection fails."""
    has_certificate: bool = False
    """Whether ``credentials`` show one of the client's own (mutual TLS)."""

    def open(self) -> Client:
        """A blocking client; raises ValueError for a token or a timeout that cannot be."""
        return Client(
            self.target, timeout=self.timeout, token=self.token, credentials=self.credentials
        )

    def open_async(self) -> AsyncClient:
        """As ``open``, for asyncio."""
        return AsyncClient(
            self.target, timeout=self.timeout, token=self.token, credentials=self.credentials
        )


def connected(
    timeout: float = DEFAULT_TIMEOUT_SECONDS, *, with_target: bool = True
) -> Callable[[Callable[Concatenate[Connection, _Rest], None]], Callable[_Rest, None]]:
    """Gives a command the options of a connection, which becomes its first argument.

    ``@app.command()`` goes above ``@connected()``.

    Args:
        timeout: The default of ``--timeout``, in seconds.
        with_target: Whether to give it ``--target``; else the command says where it connects.
    """

    def decorate(
        command: Callable[Concatenate[Connection, _Rest], None],
    ) -> Callable[_Rest, None]:
        signature = inspect.signature(command, eval_str=True)
        options = dict(inspect.signature(connection_of, eval_str=True).parameters)
        options["timeout"] = options["timeout"].replace(default=timeout)
        if not with_target:
            del options["target"]

        @wraps(command)
        def run(*args: _Rest.args, **kwargs: _Rest.kwargs) -> None:
            given: dict[str, Any] = {name: kwargs.pop(name) for name in options}
            command(connection_of(**given), *args, **kwargs)

        own = list(signature.parameters.values())[1:]
        parameters = [*own, *options.values()]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def connection_of(
    target: Annotated[
        str,
        typer.Option(
            envvar="SPANQA_TARGET",
            metavar="HOST[:PORT]",
            help="The address of the server; without a port, 50051.",
        ),
    ] = DEFAULT_TARGET,
    timeout: Annotated[
        float, typer.Option(min=0.001, metavar="SECONDS", help="The time limit of each call.")
    ] = DEFAULT_TIMEOUT_SECONDS,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="SPANQA_TOKEN",
            metavar="TOKEN",
            help="The token that the server asks for. Other users of this machine can see it: "
            "the variable or --token-file hides it.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(envvar="SPANQA_TOKEN_FILE", metavar="FILE", help="A file with the token."),
    ] = None,
    tls: Annotated[
        bool,
        typer.Option(
            "--tls",
            envvar="SPANQA_TLS",
            help="Use TLS, and trust the well-known authorities unless --ca names another.",
        ),
    ] = False,
    ca: Annotated[
        Path | None,
        typer.Option(
            envvar="SPANQA_CA",
            metavar="FILE",
            help="PEM file with the authority that signs the server's certificate; implies --tls.",
        ),
    ] = None,
    cert: Annotated[
        Path | None,
        typer.Option(
            envvar="SPANQA_CERT",
            metavar="FILE",
            help="PEM file with your own certificate (mutual TLS); implies --tls.",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            envvar="SPANQA_KEY", metavar="FILE", help="PEM file with the private key of --cert."
        ),
    ] = None,
) -> Connection:
    """The connection that the options describe; ends the command if they cannot work."""
    try:
        target = full_target(target)
    except ValueError as error:
        fail(f"{error}")
    if token_file is not None:
        if token is not None:
            fail("give --token or --token-file, not both (or SPANQA_TOKEN, SPANQA_TOKEN_FILE)")
        token = _token_in(token_file)
    if not tls and ca is None and cert is None and key is None:
        return Connection(target, timeout, token)
    context = _tls(ca, cert, key)
    pem = [None if file is None else file.read_bytes() for file in (ca, key, cert)]
    credentials = grpc.ssl_channel_credentials(*pem)
    return Connection(target, timeout, token, credentials, context, cert is not None)


def _token_in(file: Path) -> str:
    with file_failures(file, "read"):
        words = file.read_text(encoding="utf-8-sig").split()
    if len(words) != 1:
        fail(f"{file} must hold one token and nothing else")
    return words[0]


def _tls(ca: Path | None, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    """A context of these files. gRPC itself would report bad ones late, and only in a log."""
    if (cert is None) != (key is None):
        fail("give --cert and --key together (or SPANQA_CERT, SPANQA_KEY)")
    for file in filter(None, (ca, cert, key)):
        with file_failures(file, "read"):
            file.read_bytes()
    try:
        context = ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        fail(f"{ca} is no certificate authority in PEM form: check --ca")
    if cert is not None:
        try:
            context.load_cert_chain(cert, key, password="")
        except ssl.SSLError as error:
            fail(_wrong_pair(error, cert, key))
    return context


def _wrong_pair(error: ssl.SSLError, cert: Path, key: Path | None) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"{key} is not the key of {cert}: check --cert and --key"
    return f"{cert} and {key} are no certificate and unencrypted key in PEM form"
