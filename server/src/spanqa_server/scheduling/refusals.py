"""Which calls are refused for want of time, and when they are told to come again."""

import math
from collections.abc import Callable
from functools import cache
from random import uniform

from prometheus_client import Counter

from spanqa_server.errors import OverloadedError
from spanqa_server.scheduling.call import Call
from spanqa_server.scheduling.waiting_line import WaitingLine
from spanqa_server.telemetry import metrics

# A call is refused if it would wait for more than this share of the time that it has.
PATIENCE = 0.9
# Once one had to be, until none had to for so long, the share is smaller: for calls of the same
# caller, or for all if it was the others' work before it.
OVERLOAD_SECONDS = 5.0
# Whoever has so much time may even then wait for half of it, and others for less than that.
PATIENT_SECONDS = 60.0
SHORTEST_DELAY, LONGEST_DELAY = 0.1, 30.0
# So that those who were refused together do not come back together.
JITTER = 0.2
FEW_CALLERS = 1024
REASONS = {
    "calls": "too many calls are open",
    "memory": "too much accepted work is waiting",
    "deadline": "the work queued ahead would take too much of the time that the call allows",
}


class Refusals:
    """Refuses calls that a line cannot serve before their deadlines."""

    def __init__(self, line: WaitingLine, clock: Callable[[], float]) -> None:
        self._line = line
        self._clock = clock
        self._overloaded: dict[str, float] = {}
        self._overloaded_until = -math.inf
        self._promised = 0.0
        self._promised_at = 0.0

    def check(self, tokens: int, call: Call, beside: int = 0, in_flight: int = 0) -> None:
        """Refuse a call that would be late; raises OverloadedError.

        Args:
            tokens: of the call.
            call: who asks, and until when.
            beside: tokens that wait in other lines.
            in_flight: tokens at Triton.
        """
        if call.may_wait or (wait := self._line.wait(tokens, call, beside)) is None:
            return
        pace = self._line.pace.tokens_per_second
        assert pace is not None, "or there were no wait"
        now = self._clock()
        overloaded = now < max(self._overloaded_until, self._overloaded.get(call.caller, -math.inf))
        left = max(0.0, call.deadline.at - now - tokens / max(pace, 1.0))
        if overloaded:
            spare = left * left / (left + PATIENT_SECONDS)
        else:
            spare = PATIENCE * max(0.0, left - in_flight / max(pace, 1.0))
        if wait > spare:
            self._note_overload(call, now)
            raise refusal("deadline", wait - spare + self._turn(tokens, pace, now))

    def _note_overload(self, call: Call, now: float) -> None:
        """By its caller, or by all together if its caller has nothing before it."""
        if not self._line.own_tokens(call):
            self._overloaded_until = now + OVERLOAD_SECONDS
            return
        if len(self._overloaded) > FEW_CALLERS:
            self._overloaded = {k: until for k, until in self._overloaded.items() if until > now}
        self._overloaded[call.caller] = now + OVERLOAD_SECONDS

    def _turn(self, tokens: int, pace: float, now: float) -> float:
        """Seconds in which those that were refused before are served, if they come again."""
        done = (now - self._promised_at) * pace
        before = max(0.0, self._promised - done)
        self._promised_at = now
        self._promised = min(before + tokens, pace * LONGEST_DELAY)
        return before / max(pace, 1.0)


@cache
def refused(why: str) -> Counter:
    """Counts those of a reason."""
    return metrics.REFUSALS.labels(why)


def refusal(why: str, seconds: float) -> OverloadedError:
    """A refusal with a delay, jitter included, after which the call may be sent again."""
    refused(why).inc()
    delay = min(max(seconds, SHORTEST_DELAY), LONGEST_DELAY) * uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
    return OverloadedError(f"{REASONS[why]}; try again in {delay:.1f} s", delay)
