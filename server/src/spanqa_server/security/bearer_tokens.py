"""Bearer tokens, from a file that is read again when it changes."""

import hashlib
import hmac
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic

from spanqa_server.security.renewed import RenewedFiles

# A change of the file may go unnoticed for so long.
LOOK_SECONDS = 1.0
SCHEME = "bearer "


class BearerTokens:
    """The tokens that are accepted: one per line of the file; `#` begins a comment."""

    def __init__(self, file: Path, clock: Callable[[], float] = monotonic) -> None:
        """Read them; raises StartupError if there is none."""
        self._clock = clock
        self._looked_at = clock()
        self._digests = RenewedFiles(
            "tokens file", [file], partial(read_digests, file), secret=[file]
        )

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._digests.content)

    def accept(self, authorization: str | bytes | None) -> bool:
        """Whether the value of a call's `authorization` header has one of them.

        The time that this takes does not depend on how much of a token is right.
        """
        if self._clock() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = self._clock()
            self._digests.renew()
        if not isinstance(authorization, str) or not authorization.lower().startswith(SCHEME):
            return False
        given = digest(authorization[len(SCHEME) :].strip())
        return sum(hmac.compare_digest(given, one) for one in self._digests.content) > 0


def name_of(authorization: str | bytes | None) -> str:
    """The same for each use of a token; the token cannot be told from it."""
    given = authorization if isinstance(authorization, str) else ""
    return digest(given[len(SCHEME) :].strip()).hex()


def read_digests(file: Path) -> list[bytes]:
    """Raises OSError, or ValueError where the file has no token or is not text."""
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    digests = [digest(line) for line in lines if line]
    if not digests:
        raise ValueError("it has no token: write one per line")
    return digests


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
