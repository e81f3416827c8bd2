"""How fast a queue moves, and when that is known."""

import pytest

from spanqa_server.scheduling.pace import STANDING_SECONDS, Pace
from unit.server.scheduling.clock import Clock


def test_a_burst_tells_no_pace() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.tokens_per_second is None
    pace.begin()
    clock.now += STANDING_SECONDS / 2
    pace.went(1000)
    assert pace.tokens_per_second is None


def test_a_queue_that_stands_has_the_pace_at_which_work_leaves_it() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.begin()
    for _ in range(10):
        clock.now += 0.5
        pace.went(100)
    assert pace.tokens_per_second == pytest.approx(200)


def test_a_queue_that_does_not_move_gets_slower() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.begin()
    clock.now += 1.0
    pace.went(100)
    clock.now += 9.0
    assert pace.tokens_per_second == pytest.approx(10)


def test_a_queue_that_never_moved_has_no_pace() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.begin()
    clock.now += 60.0
    assert pace.tokens_per_second is None


def test_the_last_seconds_count_most() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.begin()
    for tokens in (*[10] * 60, *[1000] * 20):
        clock.now += 1.0
        pace.went(tokens)
    assert pace.tokens_per_second == pytest.approx(1000, rel=0.05)


def test_time_without_waiting_work_does_not_count() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(10):
        pace.begin()
        clock.now += 0.2
        pace.went(100)
        pace.end()
        clock.now += STANDING_SECONDS * 0.9
    assert pace.tokens_per_second == pytest.approx(500)


def test_a_queue_that_was_empty_for_long_is_forgotten() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.begin()
    clock.now += 5.0
    pace.went(10)
    pace.end()
    assert pace.tokens_per_second == pytest.approx(2)
    clock.now += STANDING_SECONDS
    pace.begin()
    assert pace.tokens_per_second is None
