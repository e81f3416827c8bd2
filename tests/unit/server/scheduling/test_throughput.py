"""How fast Triton works, by a clock in the test's hand."""

import math

import pytest

from spanqa_server.scheduling.throughput import MEMORY_SECONDS, Throughput


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def work(pace: Throughput, clock: Clock, rate: float, seconds: float, step: float = 0.1) -> None:
    """Work without a pause, at so many tokens a second."""
    for _ in range(round(seconds / step)):
        clock.now += step
        pace.end(round(rate * step))


def test_nothing_is_known_at_first() -> None:
    assert Throughput(Clock()).tokens_per_second == math.inf


def test_the_rate_of_steady_work() -> None:
    clock = Clock()
    pace = Throughput(clock)
    pace.begin()
    work(pace, clock, rate=5000, seconds=3)
    assert pace.tokens_per_second == pytest.approx(5000)


def test_time_without_work_does_not_count() -> None:
    clock = Clock()
    pace = Throughput(clock)
    for _ in range(5):
        clock.now += 60
        pace.begin()
        work(pace, clock, rate=5000, seconds=1)
    assert pace.tokens_per_second == pytest.approx(5000)


def test_what_is_long_past_is_forgotten() -> None:
    clock = Clock()
    pace = Throughput(clock)
    pace.begin()
    work(pace, clock, rate=9000, seconds=60)
    work(pace, clock, rate=1000, seconds=MEMORY_SECONDS)
    middle = pace.tokens_per_second
    assert 1000 + 8000 / math.e == pytest.approx(middle, rel=0.05)
    work(pace, clock, rate=1000, seconds=6 * MEMORY_SECONDS)
    assert pace.tokens_per_second == pytest.approx(1000, rel=0.05)


def test_several_that_end_at_once() -> None:
    clock = Clock()
    pace = Throughput(clock)
    pace.begin()
    clock.now += 2
    pace.end(300)
    pace.end(700)
    assert pace.tokens_per_second == pytest.approx(500)
