"""Turns expected failures into one line on standard error that names the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import TYPE_CHECKING, NoReturn

import grpc
import typer

from spanqa._errors import SpanQAError
from spanqa.cli.diagnosis import why_unreachable
from spanqa.cli.terminal import printable
from spanqa.squad import SquadFormatError

if TYPE_CHECKING:
    from spanqa.cli.connection import Connection


def fail(message: str) -> NoReturn:
    """Prints one line and exits with status 1."""
    line = printable(" ".join(message.split()))
    typer.echo(f"spanqa: {line}", err=True)
    raise typer.Exit(1)


@contextmanager
def file_failures(path: str | PathLike[str], verb: str) -> Iterator[None]:
    """Reports a file that cannot be read or written, or that holds no questions."""
    try:
        yield
    except SquadFormatError as error:
        fail(f"{error}")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        place = getattr(error, "filename", None) or path
        fail(f"cannot {verb} {place}: {reason}; check the path and its permissions")


@contextmanager
def service_failures(connection: Connection) -> Iterator[None]:
    """Reports arguments that the client refuses, and failed calls."""
    try:
        yield
    except SpanQAError as error:
        fail(describe(error, connection))
    except (TypeError, ValueError) as error:
        fail(f"{error}")


def describe(error: SpanQAError, connection: Connection) -> str:
    """Describes the failure of a call and its remedy. May connect once more to find the cause."""
    violations = "; ".join(f"{v.field}: {v.description}" for v in error.field_violations)
    return f"{remedy(error, connection)} ({error.code.name}: {violations or error.message})"


def remedy(error: SpanQAError, connection: Connection) -> str:
    if error.code is grpc.StatusCode.UNAVAILABLE and (cause := why_unreachable(connection)):
        return cause
    if error.code is grpc.StatusCode.UNAUTHENTICATED and connection.token is not None:
        return (
            f"the server at {connection.target} does not accept this token:"
            " check --token, --token-file, SPANQA_TOKEN or SPANQA_TOKEN_FILE"
        )
    return _REMEDIES.get(error.code, "check --target and the server's log").format(
        target=connection.target,
        timeout=connection.timeout,
        delay="later" if error.retry_delay is None else f"in {error.retry_delay:g} s",
    )


_REMEDIES = {
    grpc.StatusCode.UNAVAILABLE: "no server answers at {target}:"
    " start one with spanqa-server, or name another with --target",
    grpc.StatusCode.DEADLINE_EXCEEDED: "no reply from {target} within {timeout:g} s:"
    " raise --timeout, or check that a SpanQA server runs there",
    grpc.StatusCode.INVALID_ARGUMENT: "the server refused the request:"
    " correct the fields that it names",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "the server at {target} is overloaded,"
    " or the message is too large:"
    " try again {delay}, or send less",
    grpc.StatusCode.UNIMPLEMENTED: "the server at {target} does not offer this call:"
    " name a SpanQA server with --target, or upgrade it",
    grpc.StatusCode.UNAUTHENTICATED: "the server at {target} asks for a token:"
    " give --token-file FILE, or set SPANQA_TOKEN",
    grpc.StatusCode.PERMISSION_DENIED: "the server at {target} does not allow this:"
    " use another token or certificate",
    grpc.StatusCode.FAILED_PRECONDITION: "the server at {target} is not ready for this:"
    " try again {delay}",
}
