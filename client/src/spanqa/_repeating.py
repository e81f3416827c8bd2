"""When a call that an overloaded server refused is sent again.

gRPC's own retries cannot tell a refusal from a message that is too large; the error's reason does.
"""

from __future__ import annotations

import math
from time import monotonic

from spanqa._channel import Metadata
from spanqa._errors import ResourceExhaustedError, SpanQAError

OVERLOADED = "OVERLOADED"
# By it the server counts calls that are repeated.
_ATTEMPTS = "spanqa-previous-attempts"


class Attempts:
    """The attempts of one call, which share its time limit."""

    def __init__(self, seconds: float | None) -> None:
        self._end = math.inf if seconds is None else monotonic() + seconds
        self._made = 0

    @property
    def timeout(self) -> float | None:
        """Seconds for the next attempt; None means no limit."""
        return None if self._end == math.inf else max(0.0, self._end - monotonic())

    def metadata(self, own: Metadata) -> Metadata:
        """That of the next attempt."""
        return (*own, (_ATTEMPTS, str(self._made))) if self._made else own

    def pause(self, error: SpanQAError) -> float | None:
        """Seconds until the next attempt; None if there is none, and the error is the outcome."""
        self._made += 1
        delay = error.retry_delay
        refused = isinstance(error, ResourceExhaustedError) and error.reason == OVERLOADED
        if not refused or delay is None or monotonic() + delay >= self._end:
            return None
        return delay
