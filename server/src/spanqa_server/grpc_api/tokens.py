"""Bearer tokens, from a file that is read again when it changes."""

import hashlib
import hmac
import logging
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from spanqa_server.errors import StartupError

logger = logging.getLogger(__name__)

# How long a change of the file may go unnoticed.
LOOK_SECONDS = 1.0
SCHEME = "bearer "


class BearerTokens:
    """The tokens that open the service: one a line, `#` begins a comment."""

    def __init__(self, file: Path, clock: Callable[[], float] = monotonic) -> None:
        """Read them; raises StartupError where there is none."""
        self._file = file
        self._clock = clock
        self._looked_at = clock()
        try:
            self._stamp = stamp_of(file)
            self._digests = read_digests(file)
        except (OSError, ValueError) as error:
            raise StartupError(f"cannot use the tokens file {file}: {error}") from None

    def accept(self, authorization: str | bytes | None) -> bool:
        """Whether the value of a call's `authorization` is one of them.

        The time that it takes says nothing about how much of a token is right.
        """
        self._look()
        if not isinstance(authorization, str) or not authorization.lower().startswith(SCHEME):
            return False
        given = digest(authorization[len(SCHEME) :].strip())
        return sum(hmac.compare_digest(given, one) for one in self._digests) > 0

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        try:
            stamp = stamp_of(self._file)
            if stamp == self._stamp:
                return
            self._digests = read_digests(self._file)
        except (OSError, ValueError) as error:  # what was valid stays so
            logger.error("the tokens file has changed and cannot be used: %s", error)
            return
        self._stamp = stamp
        logger.info("the tokens file has changed: %d tokens", len(self._digests))


def stamp_of(file: Path) -> tuple[int, int, int]:
    state = file.stat()
    return state.st_ino, state.st_mtime_ns, state.st_size


def read_digests(file: Path) -> list[bytes]:
    """Raises OSError, or ValueError where the file has no token or is not text."""
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    digests = [digest(line) for line in lines if line]
    if not digests:
        raise ValueError("it has no token: write one a line")
    return digests


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
