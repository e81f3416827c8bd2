"""Everything that can go wrong while answering or starting, as one tree."""

from dataclasses import dataclass


class ServerError(Exception):
    """Base of all errors of this package. The text is for the caller or operator to read."""

    reason = "INTERNAL"


class StartupError(ServerError):
    """The server cannot start; the text is one line that names the remedy."""

    reason = "STARTUP"


def cannot_listen(host: str, port: int) -> StartupError:
    """Of an address that cannot be listened on."""
    return StartupError(
        f"cannot listen on {bracketed(host)}:{port}: the port is in use or the "
        "address is not of this machine; choose others with --port and --host"
    )


def bracketed(host: str) -> str:
    """As a part of HOST:PORT."""
    return f"[{host}]" if ":" in host else host


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """What is wrong with one field of a request; `field` is its path in the message."""

    field: str
    description: str


def too_long(field: str, size: int, maximum: int) -> FieldViolation:
    """Of a text."""
    return FieldViolation(
        field, f"has {size} bytes of UTF-8; the limit is {maximum}: send a part of it"
    )


def too_many(field: str, count: int, maximum: int, exact: bool = True) -> FieldViolation:
    """Of entries; not exact where nobody counted any further."""
    remedy = {"documents": "send fewer, the most promising ones"}.get(
        field, "send them in several calls"
    )
    more = "" if exact else "more than "
    return FieldViolation(field, f"has {more}{count} entries; the limit is {maximum}: {remedy}")


class InvalidRequestError(ServerError):
    """The request can never succeed."""

    reason = "INVALID_REQUEST"

    def __init__(self, *violations: FieldViolation) -> None:
        self.violations = violations
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in violations))

    def moved(self, path: str, to: str) -> "InvalidRequestError":
        """The same where fields under `path` are known to the caller under `to`."""
        return InvalidRequestError(
            *(
                FieldViolation(to + v.field.removeprefix(path), v.description)
                if v.field.startswith(path)
                else v
                for v in self.violations
            )
        )


class MalformedRequestError(ServerError):
    """The bytes are not the message that the method takes."""

    reason = "MALFORMED_REQUEST"


class UnauthenticatedError(ServerError):
    """The call brings no token, or one that opens nothing."""

    reason = "UNAUTHENTICATED"


class DeadlineError(ServerError):
    """The caller's deadline or the server's own limit passed."""

    reason = "DEADLINE_EXCEEDED"


class OverloadedError(ServerError):
    """There is no room for the request now; it may be tried again after so many seconds."""

    reason = "OVERLOADED"

    def __init__(self, text: str, retry_seconds: float = 1.0) -> None:
        self.retry_seconds = retry_seconds
        super().__init__(text)


class ModelUnavailableError(ServerError):
    """Triton cannot be reached, or does not serve the model now."""

    reason = "MODEL_UNAVAILABLE"


class VersionGoneError(ModelUnavailableError):
    """Triton serves, but not (or no longer) the version that it was asked for."""


class InferenceError(ServerError):
    """Triton answered, but with an error or with something that is no answer."""

    reason = "INFERENCE_FAILED"
