"""The quickest answer of late."""

from spanqa_server.scheduling.quickest import PERIOD_SECONDS, Quickest
from unit.server.scheduling.clock import Clock


def test_the_least_of_the_last_periods() -> None:
    clock = Clock()
    quickest = Quickest(clock)
    assert quickest.seconds == 0.0, "nothing is known"
    for seconds in (0.5, 0.2, 0.9):
        quickest.note(seconds)
    assert quickest.seconds == 0.2
    clock.now += PERIOD_SECONDS
    quickest.note(0.8)
    assert quickest.seconds == 0.2
    clock.now += PERIOD_SECONDS
    quickest.note(0.9)
    assert quickest.seconds == 0.8
    clock.now += 2 * PERIOD_SECONDS
    assert quickest.seconds == 0.0
