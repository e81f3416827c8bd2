"""When an open loop's requests are due, and what is said of its calls."""

import itertools
import statistics

import pytest

from benchmarks.service.schedules import NOT_SENT, Call, Report, constant, poisson, summary


def answered(due: float, seconds: float, late: float = 0.0) -> Call:
    return Call(due, sent=due + late, settled=due + seconds, code="OK")


def test_poisson_arrivals_have_the_rate_and_exponential_gaps() -> None:
    times = poisson(rate=50, seconds=200, seed=1)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] < 200
    assert len(times) == pytest.approx(10_000, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.05)


def test_arrivals_repeat_with_their_seed() -> None:
    assert poisson(10, 5, seed=3) == poisson(10, 5, seed=3) != poisson(10, 5, seed=4)


@pytest.mark.parametrize(("rate", "seconds", "count"), [(4, 2, 8), (0.5, 3, 2), (3, 1.1, 4)])
def test_constant_arrivals(rate: float, seconds: float, count: int) -> None:
    times = constant(rate, seconds, seed=0)
    assert times == [number / rate for number in range(count)]
    assert times[-1] < seconds


def test_time_counts_from_when_a_request_was_due() -> None:
    """A generator that was held up does not hide that from the latencies."""
    report = summary(10, 10, [answered(1.0, 0.5, late=0.4)])
    assert report.seconds == dict.fromkeys(report.seconds, 0.5)
    assert report.latest_send_seconds == pytest.approx(0.4)


def test_percentiles_are_over_all_requests_by_nearest_rank() -> None:
    calls = [answered(0.0, number / 100) for number in range(1, 98)]
    calls += [Call(0.0, sent=0.0, settled=10.0, code="DEADLINE_EXCEEDED") for _ in range(2)]
    calls.append(Call(0.0, code=NOT_SENT))
    assert summary(100, 1, calls).seconds == {
        **{"p50": 0.5, "p90": 0.9, "p95": 0.95},
        **{"p99": None, "max": None},
    }


def test_rates_and_statuses() -> None:
    calls = [answered(0.0, 0.2), answered(1.0, 0.2), answered(1.9, 0.2)]
    calls += [Call(1.95, sent=1.95, settled=2.0, code="UNAVAILABLE"), Call(1.96, code=NOT_SENT)]
    report = summary(2.5, 2.0, calls)
    assert report.offered_per_second == 2.5
    assert report.answered_per_second == 1.0  # the third came after the schedule's end
    assert report.codes == {"OK": 3, "UNAVAILABLE": 1, NOT_SENT: 1}
    assert report.most_outstanding == 2


def test_a_schedule_without_requests() -> None:
    empty = dict.fromkeys(("p50", "p90", "p95", "p99", "max"))
    assert summary(0.001, 1.0, []) == Report(0.001, 0.0, 0.0, {}, empty, 0, 0.0)
