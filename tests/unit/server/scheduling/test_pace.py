"""How fast a queue moves, and when that is known."""

from itertools import cycle, islice

import pytest

from spanqa_server.scheduling.pace import STANDING_SECONDS, Pace
from unit.server.scheduling.clock import Clock


class Moving:
    """A queue in which work waits, and its pace."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.pace = Pace(self.clock)
        self.pace.begin()

    def move(self, times: int, tokens: int = 100, every: float = 0.5) -> None:
        for _ in range(times):
            self.clock.now += every
            self.pace.went(tokens)

    @property
    def speed(self) -> float | None:
        return self.pace.tokens_per_second


def test_a_burst_tells_no_pace() -> None:
    queue = Moving()
    assert queue.speed is None
    queue.move(3, every=STANDING_SECONDS / 4)
    assert queue.speed is None


def test_what_is_done_while_nothing_waits_does_not_count() -> None:
    queue = Moving()
    queue.move(10)
    queue.pace.end()
    queue.move(100, every=0.005)
    queue.pace.begin()
    queue.move(10)
    assert queue.speed == pytest.approx(200, rel=0.05)


def test_a_queue_that_never_moved_has_no_pace() -> None:
    queue = Moving()
    queue.clock.now += 60.0
    assert queue.speed is None


def test_a_queue_that_stands_has_the_pace_at_which_work_leaves_it() -> None:
    queue = Moving()
    queue.move(10)
    assert queue.speed == pytest.approx(200)


def test_a_long_first_batch_does_not_make_it_slow() -> None:
    queue = Moving()
    queue.clock.now += 10.0
    queue.move(4)
    assert queue.speed == pytest.approx(200)


def test_the_pace_is_the_same_at_any_moment_of_a_batch() -> None:
    queue = Moving()
    seen = []
    for step in islice(cycle((0.8, 0.001, 0.001, 0.001)), 80):
        queue.clock.now += step
        queue.pace.went(100)
        seen.append(queue.speed)
        queue.clock.now += step / 2
        seen.append(queue.speed)
    known = [speed for speed in seen[40:] if speed]
    assert min(known) == pytest.approx(400 / 1.2, rel=0.1)
    assert max(known) == pytest.approx(400 / 1.2, rel=0.1)


def test_a_queue_that_stops_gets_slower() -> None:
    queue = Moving()
    queue.move(10)
    queue.clock.now += 50.0
    assert queue.speed is not None
    assert queue.speed < 20


def test_the_last_seconds_count_most() -> None:
    queue = Moving()
    queue.move(60, 10, every=1.0)
    queue.move(20, 1000, every=1.0)
    assert queue.speed == pytest.approx(1000, rel=0.05)


def test_time_without_waiting_work_does_not_count() -> None:
    queue = Moving()
    for _ in range(20):
        queue.move(1, every=0.2)
        queue.pace.end()
        queue.clock.now += STANDING_SECONDS * 0.9
        queue.pace.begin()
    assert queue.speed == pytest.approx(500)


def test_a_queue_that_was_empty_for_long_is_forgotten() -> None:
    queue = Moving()
    queue.move(10)
    queue.pace.end()
    queue.clock.now += STANDING_SECONDS
    queue.pace.begin()
    assert queue.speed is None
