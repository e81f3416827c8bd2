"""Predict the service's latency and capacity from the time of each part, by a simulation.

`.venv/bin/python -m benchmarks.service.queueing --frontends 2 --rates 50,100,200`. Questions
arrive by a Poisson process, each at a frontend chosen by chance. A frontend serves one at a time,
in order. From there they go to the Tritons in turn. An idle Triton takes at once all that waits,
but at most `most` questions, and computes these n in `start + each * n` seconds.

A frontend alone is the queue M/D/1, a Triton alone the bulk-service queue M/G^[1,b]/1 (Bailey 1954,
J. R. Stat. Soc. B 16; Neuts 1967, Ann. Math. Stat. 38), here with times that depend on the batch.

Left out: a frontend's work after Triton counts as before it; each question costs the same, as if
it had one window; no deadlines, refusals, network, or pauses before a batch. Above the capacity
latency grows with --questions. --cores makes all times longer by one factor, so that the mean use
of processors fits at every rate: too much at low rates, and blind to who slows whom and when.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.common.report import percentile, write_result
from benchmarks.common.workload import positive, positive_count
from benchmarks.service.open_loop import rates
from benchmarks.service.schedules import poisson

WARM_UP = 1000
SHARES = (50, 95, 99)
SCALE = ((1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 2))  # frontends, Tritons
SCALE_SHARE = 0.6  # of the capacity


@dataclass(frozen=True, slots=True)
class Service:
    """Seconds of each part, how many processes there are, and questions in the largest batch."""

    frontend: float
    start: float
    each: float
    frontends: int = 1
    tritons: int = 1
    most: int = 32


@dataclass(frozen=True, slots=True)
class Prediction:
    """What comes of a rate (questions a second): percentiles of latency, utilizations (0 to 1)."""

    service: Service
    capacity_per_second: float
    rate: float
    answered_per_second: float
    seconds: dict[str, float]
    frontend_utilization: float
    triton_utilization: float


def capacity(service: Service) -> float:
    """The highest rate that can be kept up, in questions a second."""
    triton = service.most / (service.start + service.each * service.most)
    return min(service.frontends / service.frontend, service.tritons * triton)


def on_cores(service: Service, cores: int, threads: int = 1) -> Service:
    """The same with longer times, if at capacity more than these cores would be busy."""
    rate = capacity(service)
    busy_tritons = min(service.tritons, rate * (service.start + service.each))
    factor = max(1.0, (rate * service.frontend + threads * busy_tritons) / cores)
    frontend, start, each = (s * factor for s in (service.frontend, service.start, service.each))
    return replace(service, frontend=frontend, start=start, each=each)


def through_frontends(service: Service, due: list[float], source: random.Random) -> list[float]:
    """When frontends are done with questions that arrive then, in seconds."""
    free, done = [0.0] * service.frontends, []
    for at in due:
        frontend = source.randrange(service.frontends)
        free[frontend] = max(at, free[frontend]) + service.frontend
        done.append(free[frontend])
    return done


def through_triton(service: Service, due: list[float]) -> tuple[list[float], float]:
    """When one Triton answers questions that reach it in this order, and for how long it works."""
    done: list[float] = []
    free = busy = 0.0
    while len(done) < len(due):
        first = last = len(done)
        begin = max(due[first], free)
        while last < len(due) and last - first < service.most and due[last] <= begin:
            last += 1
        seconds = service.start + service.each * (last - first)
        free, busy = begin + seconds, busy + seconds
        done += [free] * (last - first)
    return done, busy


def simulate(service: Service, due: list[float], seed: int) -> tuple[list[float], float, float]:
    """When questions that arrive then are answered; utilizations of frontends and of Tritons."""
    passed = through_frontends(service, due, random.Random(seed + 1))  # not that of the arrivals
    order = sorted(range(len(due)), key=passed.__getitem__)
    done: dict[int, float] = {}
    busy = 0.0
    for triton in range(service.tritons):
        mine = order[triton :: service.tritons]
        answered, seconds = through_triton(service, [passed[question] for question in mine])
        done.update(zip(mine, answered, strict=True))
        busy += seconds
    at_frontends = len(due) * service.frontend / service.frontends
    in_order = [done[question] for question in range(len(due))]
    return in_order, at_frontends / max(passed), busy / service.tritons / max(in_order)


def predict(service: Service, rate: float, questions: int = 20_000, seed: int = 0) -> Prediction:
    """What comes of a rate, over about so many questions after a warm-up."""
    begin, end = WARM_UP / rate, (WARM_UP + questions) / rate
    due = poisson(rate, end, seed)
    done, *utilizations = simulate(service, due, seed)
    answered = sum(begin < at <= end for at in done) / (end - begin)
    waits = sorted(after - at for at, after in zip(due, done, strict=True) if at > begin)
    seconds = {f"p{share}": percentile(waits, share) for share in SHARES}
    return Prediction(service, capacity(service), rate, answered, seconds, *utilizations)


def main() -> None:
    arguments = parse_arguments()
    measured = read_measured(arguments.data) if arguments.data.name else {}
    arguments.rates = list(measured) or arguments.rates
    service = service_of(arguments, arguments.frontends, arguments.tritons)
    cases = [(service, rate) for rate in arguments.rates]
    for size in SCALE if arguments.scale else ():
        service = service_of(arguments, *size)
        cases.append((service, SCALE_SHARE * capacity(service)))
    predicted = [predict(*case, arguments.questions, arguments.seed) for case in cases]
    show(predicted, measured)
    if arguments.json:
        write_result(arguments.json, arguments, predictions=[asdict(one) for one in predicted])


def parse_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--frontends", type=positive_count, default=1)
    add("--tritons", type=positive_count, default=1)
    add("--frontend-ms", type=positive, default=1.5, help="of a frontend for a question")
    add("--batch-start-ms", type=positive, default=10.0, help="of a Triton for any batch")
    add("--batch-each-ms", type=positive, default=4.2, help="more for each question in it")
    add("--rates", type=rates, default="10,20,40,60,80,100", help="without --measured; a second")
    add("--measured", dest="data", type=Path, default="", metavar="FILE", help="JSON of open_loop")
    add("--scale", action="store_true", help="several sizes too, each at 60 %% of its capacity")
    add("--cores", type=positive_count, help="that all of them share; without it each has its own")
    add("--triton-threads", type=positive_count, default=1, help="cores that a busy Triton takes")
    add("--questions", type=positive_count, default=20_000, help="of each rate")
    add("--seed", type=int, default=0)
    add("--json", type=Path, help="write the figures there")
    return parser.parse_args(given)


def service_of(given: argparse.Namespace, frontends: int, tritons: int) -> Service:
    start, each = given.batch_start_ms / 1e3, given.batch_each_ms / 1e3
    service = Service(given.frontend_ms / 1e3, start, each, frontends, tritons)
    return on_cores(service, given.cores, given.triton_threads) if given.cores else service


def read_measured(path: Path) -> dict[float, dict[str, Any]]:
    try:
        return {one["rate"]: one for one in json.loads(path.read_text())["rates"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"--measured {path}: not what open_loop --json writes ({error!r})")


def show(predicted: list[Prediction], measured: dict[float, dict[str, Any]]) -> None:
    table = Table(title=f"predicted{' | measured' * bool(measured)}; latency in ms")
    names = ("frontends", "Tritons", "capacity/s", "rate", "answered/s", *predicted[0].seconds)
    for column in (*names, "frontends busy", "Tritons busy"):
        table.add_column(column, justify="right")
    for one in predicted:
        both = [asdict(one), *(measured[rate] for rate in measured if rate == one.rate)]
        answered = " | ".join(f"{each['answered_per_second']:.1f}" for each in both)
        seconds = [[each["seconds"][name] or float("inf") for each in both] for name in one.seconds]
        table.add_row(
            *(str(one.service.frontends), str(one.service.tritons)),
            *(f"{one.capacity_per_second:.1f}", f"{one.rate:.1f}", answered),
            *(" | ".join(f"{value * 1e3:.0f}" for value in values) for values in seconds),
            *(f"{one.frontend_utilization:.0%}", f"{one.triton_utilization:.0%}"),
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
