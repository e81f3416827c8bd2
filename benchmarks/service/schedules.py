"""When requests of an open loop are due, and what is said of the calls that came of them."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from dataclasses import dataclass

import numpy as np

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "max": 100.0}
NOT_SENT = "not sent"


@dataclass(slots=True)
class Call:
    """One request; all times in seconds from the start of the schedule."""

    due: float
    sent: float = math.nan
    settled: float = math.inf
    code: str = ""
    """The gRPC status, or `NOT_SENT`."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a rate."""

    rate: float
    offered_per_second: float
    answered_per_second: float
    """Answers (status OK) that came before the schedule's end: what the server kept up with."""
    codes: dict[str, int]
    seconds: dict[str, float | None]
    """From when a request was due to its answer, over all requests of the schedule. One that was
    not answered counts as endless: None where a percentile falls on such a one."""
    most_outstanding: int
    latest_send_seconds: float
    """By how much the generator itself was late at most: above some milliseconds, distrust it."""


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Exponential gaps, as requests of many independent callers have."""
    source, at, times = random.Random(seed), 0.0, []
    while (at := at + source.expovariate(rate)) < seconds:
        times.append(at)
    return times


def constant(rate: float, seconds: float, seed: int) -> list[float]:
    """Equal gaps; the seed changes nothing."""
    return [number / rate for number in range(math.ceil(rate * seconds))]


SCHEDULES = {"poisson": poisson, "constant": constant}


def summary(rate: float, seconds: float, calls: list[Call]) -> Report:
    """Describe the calls of a schedule of so many seconds."""
    answered = [call for call in calls if call.code == "OK"]
    return Report(
        rate,
        len(calls) / seconds,
        sum(call.settled <= seconds for call in answered) / seconds,
        dict(Counter(call.code for call in calls).most_common()),
        latencies(calls),
        most_outstanding(calls),
        max((call.sent - call.due for call in calls if call.code != NOT_SENT), default=0.0),
    )


def latencies(calls: list[Call]) -> dict[str, float | None]:
    """Percentiles of the seconds from due to answered, by nearest rank."""
    seconds = [call.settled - call.due if call.code == "OK" else math.inf for call in calls]
    if not seconds:
        return dict.fromkeys(PERCENTILES)
    found = np.percentile(seconds, list(PERCENTILES.values()), method="inverted_cdf").tolist()
    return {
        name: value if math.isfinite(value) else None
        for name, value in zip(PERCENTILES, found, strict=True)
    }


def most_outstanding(calls: list[Call]) -> int:
    """How many calls were under way at a time at most."""
    sent = [call for call in calls if call.code != NOT_SENT]
    changes = sorted([(call.settled, -1) for call in sent] + [(call.sent, 1) for call in sent])
    return max(itertools.accumulate(change for _, change in changes), default=0)
