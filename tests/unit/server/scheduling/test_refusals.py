"""Who is refused for want of time, and when they are to come again."""

from dataclasses import replace

import pytest

from spanqa_server.errors import OverloadedError
from spanqa_server.scheduling.call import Call
from spanqa_server.scheduling.deadline import Deadline
from spanqa_server.scheduling.refusals import (
    JITTER,
    LONGEST_DELAY,
    OVERLOAD_SECONDS,
    PATIENCE,
    PATIENT_SECONDS,
    Refusals,
)
from spanqa_server.scheduling.waiting_line import WaitingLine
from unit.server.scheduling.clock import Clock

PACE = 1000  # tokens a second


class Standing:
    """A line that has stood for a while, and moves at `PACE`."""

    def __init__(self, waiting: int) -> None:
        self.clock = Clock()
        self.line = WaitingLine(self.clock)
        self.refusals = Refusals(self.line, self.clock)
        for _ in range(waiting // 100 + 20):
            self.line.join(100, self.call(1000.0))
        for _ in range(20):
            self.clock.now += 100 / PACE
            self.go()

    def go(self) -> None:
        """The first one goes, and as much is done."""
        self.line.pace.went(self.line.go().tokens)

    def call(self, seconds: float, caller: str = "a") -> Call:
        return Call(caller, Deadline(self.clock.now + seconds, seconds))

    def delay(self, tokens: int, call: Call) -> float | None:
        """When it is told to come again; None if it is taken."""
        try:
            self.refusals.check(tokens, call)
        except OverloadedError as error:
            return error.retry_seconds
        return None


async def test_an_unknown_pace_never_refuses() -> None:
    clock = Clock()
    line = WaitingLine(clock)
    refusals = Refusals(line, clock)
    call = Call("a", Deadline(clock.now + 0.001, 0.001))
    refusals.check(10**9, call)
    for _ in range(1000):
        line.join(1000, call)
    refusals.check(10**9, call)


async def test_nobody_waits_behind_an_empty_line() -> None:
    standing = Standing(0)
    assert not standing.line
    assert standing.delay(10, standing.call(0.01)) is None


@pytest.mark.parametrize("seconds", [4.0, 10.0, 60.0])
async def test_a_call_may_wait_for_nine_tenths_of_its_time(seconds: float) -> None:
    standing = Standing(0)
    for _ in range(round(PATIENCE * seconds * PACE / 100) - 1):
        standing.line.join(100, standing.call(1.0))
    assert standing.delay(10, standing.call(seconds)) is None
    for _ in range(2):
        standing.line.join(100, standing.call(1.0))
    delay = standing.delay(10, standing.call(seconds))
    assert delay is not None
    assert delay <= 0.2 * (1 + JITTER)


async def test_a_call_that_may_wait_longer_lets_others_go_first() -> None:
    standing = Standing(10_000)
    assert standing.delay(10, standing.call(4.0)) is None


async def test_a_pair_of_a_batch_that_was_taken_is_not_refused() -> None:
    standing = Standing(0)
    for _ in range(100):
        standing.line.join(100, standing.call(1.0))
    assert standing.delay(10, replace(standing.call(4.0), may_wait=True)) is None
    assert standing.delay(10, standing.call(4.0)) is not None


async def test_another_connection_is_taken_beside_a_long_queue() -> None:
    standing = Standing(500_000)
    assert standing.delay(170, standing.call(4.0, "other")) is None


async def test_an_overloaded_caller_keeps_a_short_queue_until_nobody_has_to_be_refused() -> None:
    standing = Standing(0)
    for _ in range(50):
        standing.line.join(100, standing.call(4.0))
    assert standing.delay(100, standing.call(8.0)) is None, "5 s of 8"
    assert standing.delay(100, standing.call(4.0)) is not None
    assert standing.delay(100, standing.call(8.0)) is not None, "5 s are more than 8/68 of 8"
    assert standing.delay(100, standing.call(60.0)) is None
    assert standing.delay(100, standing.call(8.0, "other")) is None, "who is not overloaded"
    for _ in range(40):  # what is done meanwhile
        standing.clock.now += (OVERLOAD_SECONDS + 0.1) / 40
        standing.go()
    assert standing.delay(100, standing.call(8.0)) is None


async def test_those_who_are_refused_are_told_to_come_one_after_the_other() -> None:
    standing = Standing(0)
    for _ in range(100):
        standing.line.join(100, standing.call(9.0))
    delays = [standing.delay(100, standing.call(9.0)) for _ in range(100)]
    told = [delay for delay in delays if delay is not None]
    assert len(told) == 100
    excess = 10.0 - 9.0 * 9.0 / (9.0 + PATIENT_SECONDS)
    assert max(told) <= (excess + 100 * 100 / PACE) * (1 + JITTER)
    early, late = sum(told[:20]), sum(told[-20:])
    assert late - early == pytest.approx(20 * 80 * 100 / PACE, rel=0.3)


async def test_nobody_is_told_to_wait_for_ever() -> None:
    standing = Standing(0)
    for _ in range(5000):
        standing.line.join(100, standing.call(4.0))
    delay = standing.delay(100, standing.call(4.0))
    assert delay is not None
    assert delay <= LONGEST_DELAY * (1 + JITTER)
