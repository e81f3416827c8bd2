"""The least of late."""

from spanqa_server.scheduling.recent_least import PERIOD_SECONDS, RecentLeast
from unit.server.scheduling.clock import Clock


def test_the_least_of_the_last_periods() -> None:
    clock = Clock()
    least = RecentLeast(clock)
    assert least.seconds == 0.0, "nothing is known"
    for seconds in (0.5, 0.2, 0.9):
        least.note(seconds)
    assert least.seconds == 0.2
    clock.now += PERIOD_SECONDS
    least.note(0.8)
    assert least.seconds == 0.2
    clock.now += PERIOD_SECONDS
    least.note(0.9)
    assert least.seconds == 0.8
    clock.now += 2 * PERIOD_SECONDS
    assert least.seconds == 0.0
