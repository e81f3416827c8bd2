"""The simulation of the service, against what queueing theory knows in closed form."""

import itertools
import json
import math
import statistics
import sys
from pathlib import Path

import pytest

from benchmarks.service import queueing
from benchmarks.service.queueing import Service, capacity, on_cores, predict, simulate
from benchmarks.service.schedules import poisson

NOTHING = 1e-9
SERVICE = Service(frontend=0.0015, start=0.010, each=0.0042)


def latencies(service: Service, rate: float, questions: int) -> list[float]:
    """Seconds from arrival to answer of about so many questions."""
    due = poisson(rate, questions / rate, seed=1)
    done, *_ = simulate(service, due, seed=2)
    return [after - at for at, after in zip(due, done, strict=True)]


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
@pytest.mark.parametrize(
    ("service", "servers"),
    [
        (Service(NOTHING, start=0, each=0.01, most=1), 1),
        (Service(0.01, start=0, each=NOTHING, most=1), 1),
        (Service(0.01, start=0, each=NOTHING, most=1, frontends=3), 3),
    ],
    ids=["a Triton", "a frontend", "three frontends, chosen by chance"],
)
def test_one_question_at_a_time_is_the_queue_m_d_1(
    service: Service, servers: int, load: float
) -> None:
    seconds = 0.01
    mean = statistics.fmean(latencies(service, servers * load / seconds, 200_000))
    assert mean - seconds == pytest.approx(load * seconds / (2 * (1 - load)), rel=0.05)


@pytest.mark.parametrize("offered", [0.2, 1.0, 3.0])  # questions that come during a batch
def test_batches_without_a_limit_that_all_take_as_long(offered: float) -> None:
    """Who finds Triton at work waits for the rest of a batch, half of it in the mean.

    A busy time is of exp(offered) batches in the mean, an idle one of 1/rate seconds.
    """
    seconds = 0.01
    service = Service(NOTHING, start=seconds, each=0, most=10**9)
    busy = offered * math.exp(offered) / (1 + offered * math.exp(offered))
    due = poisson(offered / seconds, 100_000 * seconds / offered, seed=1)
    done, _, utilization = simulate(service, due, seed=2)
    mean = statistics.fmean(after - at for at, after in zip(due, done, strict=True))
    assert utilization == pytest.approx(busy, rel=0.02)
    assert mean == pytest.approx(seconds + busy * seconds / 2, rel=0.02)


def test_batches_take_what_waits_and_no_more_than_the_limit() -> None:
    service = Service(1.0, start=10.0, each=1.0, frontends=1, most=3)
    done, frontends, tritons = simulate(service, [0.0] * 6, seed=0)
    # Frontends are done at 1, 2 ... 6: one question in the first batch, then three, then two.
    assert done == [12.0, 25.0, 25.0, 25.0, 37.0, 37.0]
    assert frontends == 1.0
    assert tritons == pytest.approx(36 / 37)


def test_tritons_take_turns() -> None:
    service = Service(1.0, start=10.0, each=1.0, tritons=2)
    done, *_ = simulate(service, [0.0] * 4, seed=0)
    assert done == [12.0, 13.0, 23.0, 24.0]


@pytest.mark.parametrize("share", [0.05, 0.6, 0.9])
@pytest.mark.parametrize("size", [(1, 1), (2, 2)])
def test_littles_law(size: tuple[int, int], share: float) -> None:
    service = Service(0.0015, 0.010, 0.0042, *size)
    rate = share * capacity(service)
    due = poisson(rate, 50_000 / rate, seed=1)
    done, *_ = simulate(service, due, seed=2)
    changes = sorted([(at, 1) for at in due] + [(at, -1) for at in done])
    numbers = itertools.accumulate(change for _, change in changes)
    area = sum(
        number * (after[0] - before[0])
        for number, (before, after) in zip(numbers, itertools.pairwise(changes), strict=False)
    )
    mean_time = statistics.fmean(after - at for at, after in zip(due, done, strict=True))
    assert area / (max(done) - due[0]) == pytest.approx(rate * mean_time, rel=0.02)


def test_at_low_load_latency_is_the_sum_of_the_parts() -> None:
    predicted = predict(SERVICE, rate=0.1, questions=2000)
    assert predicted.seconds["p50"] == pytest.approx(0.0015 + 0.010 + 0.0042)
    assert predicted.seconds["p95"] == pytest.approx(predicted.seconds["p50"])


@pytest.mark.parametrize("most", [1, 32])
def test_two_tritons_have_twice_the_capacity(most: int) -> None:
    one, two = (Service(NOTHING, 0.010, 0.0042, tritons=count, most=most) for count in (1, 2))
    assert capacity(one) == pytest.approx(most / (0.010 + 0.0042 * most))
    assert capacity(two) == pytest.approx(2 * capacity(one))
    answered = [predict(service, 1000).answered_per_second for service in (one, two)]
    assert answered[1] == pytest.approx(2 * answered[0], rel=0.02)


@pytest.mark.parametrize(
    "service",
    [SERVICE, Service(0.0015, 0.010, 0.0042, 2, 2), Service(0.020, 0.010, 0.0042, 3, 1)],
    ids=["Triton's", "two of each", "frontends'"],
)
def test_over_the_capacity_the_capacity_is_answered(service: Service) -> None:
    most = capacity(service)
    over, under = predict(service, 1.5 * most), predict(service, 0.9 * most)
    assert over.answered_per_second == pytest.approx(most, rel=0.02)
    assert under.answered_per_second == pytest.approx(0.9 * most, rel=0.02)
    assert over.seconds["p50"] > 10 * under.seconds["p50"]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "service",
    [Service(0.0015, 0.010, 0.0042, 4, 2), Service(0.020, 0.010, 0.0042, 3, 2)],
    ids=["Tritons are the limit", "frontends are the limit"],
)
def test_processes_fit_their_cores(service: Service, threads: int, share: float) -> None:
    cores = 2
    longer = on_cores(service, cores, threads)
    factor = longer.frontend / service.frontend
    assert factor > 1
    assert capacity(longer) == pytest.approx(capacity(service) / factor)
    predicted = predict(longer, share * capacity(longer))
    busy = predicted.frontend_utilization * service.frontends
    busy += predicted.triton_utilization * service.tritons * threads
    assert busy / factor <= cores * 1.01


def test_enough_cores_change_nothing() -> None:
    assert on_cores(SERVICE, cores=2) == SERVICE


def test_predictions_repeat_with_their_seed() -> None:
    first, again, other = (predict(SERVICE, 100, 2000, seed) for seed in (3, 3, 4))
    assert first == again != other


def test_the_command_prints_predicted_beside_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured, written = tmp_path / "measured.json", tmp_path / "written.json"
    seconds = {"p50": 0.123, "p90": 0.2, "p95": 0.456, "p99": None, "max": None}
    report = {"rate": 20.0, "answered_per_second": 19.5, "seconds": seconds}
    measured.write_text(json.dumps({"rates": [report]}))
    options = ["--measured", str(measured), "--scale", "--questions", "500"]
    monkeypatch.setattr(sys, "argv", ["queueing", *options, "--json", str(written)])
    queueing.main()
    shown = capsys.readouterr().out
    assert all(f"| {value} " in shown for value in ("19.5", "123", "456", "inf"))
    result = json.loads(written.read_text())
    assert str(tmp_path) not in written.read_text()
    assert result["predictions"][0]["rate"] == 20.0
    sizes = [
        tuple(one["service"][name] for name in ("frontends", "tritons"))
        for one in result["predictions"]
    ]
    assert sizes == [(1, 1), *queueing.SCALE]


def test_a_file_that_is_no_measurement(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}")
    with pytest.raises(SystemExit, match="open_loop"):
        queueing.read_measured(other)
