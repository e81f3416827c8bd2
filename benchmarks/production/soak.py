"""Half an hour at 70 % of capacity: memory, descriptors and latency must not grow.

`make soak`. Single questions come at a steady rate, and beside them batches, streams, documents,
cancelled calls and invalid ones; every process is looked at every ten seconds. Slopes are those of
straight lines through the last two thirds: caches fill at first.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
from collections import Counter, defaultdict
from dataclasses import asdict
from time import monotonic
from typing import Any

import grpc
import numpy as np

from benchmarks.common.report import write_result
from benchmarks.common.serving import load_parser, served
from benchmarks.common.workload import squad_mix
from benchmarks.production.sampling import Curve, Sampler
from spanqa.v1 import question_answering_pb2 as pb
from support.steady import OK, WRONG, Known, Steady, connected, learn, spans

# One in so many seconds, besides the steady single questions.
OTHERS_SECONDS = 1.0
SAMPLE_SECONDS = 10.0
LATENCY_SECONDS = 60.0


def main() -> None:
    """Run, print slopes and latencies, write the curves."""
    parser = load_parser(__doc__, rate=66.0)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    result = asyncio.run(soak(arguments))
    print(f"single questions: {result['codes']}; others: {result['others']}")
    for name, curve in result["curves"].items():
        print(
            f"{name}: {curve['megabytes'][0]:.0f} MB first, {curve['megabytes'][-1]:.0f} last, "
            f"{result['slopes'][name]['megabytes']:+.2f} MB/hour; descriptors "
            f"{min(curve['descriptors'])} to {max(curve['descriptors'])}, "
            f"{result['slopes'][name]['descriptors']:+.2f}/hour"
        )
    for share in ("p50", "p99"):
        print(f"{share} by minute, ms: {[round(ms) for ms in result['latencies'][share]]}")
    if arguments.json:
        write_result(arguments.json, arguments, **result)


async def soak(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything that was seen."""
    seconds = arguments.minutes * 60
    requests = squad_mix(arguments.data, 2000)
    flags = ("--workers", str(arguments.workers))
    with served(arguments.repository, *flags) as server:
        known = await learn(server.target, requests)
        sampler, others = Sampler(server, SAMPLE_SECONDS), Counter[str]()
        async with connected(server.target, 8) as stubs:
            load = Steady(stubs, known, arguments.rate, arguments.timeout)
            tasks = [
                asyncio.create_task(sampler.run()),
                asyncio.create_task(ask_others(stubs[0], known, others)),
            ]
            running = asyncio.create_task(load.run())
            begin = monotonic()
            await asyncio.sleep(seconds)
            load.stop()
            await running
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        sampler.look()
    curves = sampler.by_name()
    return {
        "codes": load.codes(),
        "others": dict(others),
        "curves": {name: asdict(curve) for name, curve in curves.items()},
        "slopes": {name: slopes(curve) for name, curve in curves.items()},
        "latencies": latencies(load, begin),
    }


async def ask_others(stub: Any, known: list[Known], seen: Counter[str]) -> None:
    """A batch, a stream, documents, a cancelled call and an invalid one, in turn."""
    pairs = itertools.cycle(known)
    for number in itertools.count():
        await asyncio.sleep(OTHERS_SECONDS)
        some = list(itertools.islice(pairs, 8))
        kind = number % 5
        if kind == 0:
            batch = pb.BatchAnswerRequest(requests=[request for request, _ in some])
            items = (await stub.BatchAnswer(batch, timeout=60)).items
            right = [spans(item.response) for item in items] == [answer for _, answer in some]
            seen[f"batch {OK if right else WRONG}"] += 1
        elif kind == 1:
            call = stub.StreamAnswer(timeout=60)
            for at, (request, _) in enumerate(some):
                await call.write(pb.StreamAnswerRequest(id=str(at), request=request))
            await call.done_writing()
            answers = {one.id: spans(one.response) async for one in call}
            right = answers == {str(at): answer for at, (_, answer) in enumerate(some)}
            seen[f"stream {OK if right else WRONG}"] += 1
        elif kind == 2:
            texts = [pb.Document(text=request.context) for request, _ in some] * 4
            question = some[0][0].question
            asked = pb.AnswerFromDocumentsRequest(question=question, documents=texts)
            await stub.AnswerFromDocuments(asked, timeout=60)
            seen["documents OK"] += 1
        elif kind == 3:
            call = stub.Answer(some[0][0], timeout=60)
            await asyncio.sleep(0.005)
            call.cancel()
            seen["cancelled"] += 1
        else:
            try:
                await stub.Answer(pb.AnswerRequest(question="", context="x"), timeout=60)
            except grpc.aio.AioRpcError as error:
                seen[error.code().name] += 1


def slopes(curve: Curve) -> dict[str, float]:
    """Growth an hour over the last two thirds."""
    first = len(curve.seconds) // 3
    hours = np.array(curve.seconds[first:]) / 3600
    if len(hours) < 2:
        return {"megabytes": float("nan"), "descriptors": float("nan")}
    megabytes, descriptors = (
        float(np.polyfit(hours, np.array(values[first:]), 1)[0])
        for values in (curve.megabytes, curve.descriptors)
    )
    return {"megabytes": megabytes, "descriptors": descriptors}


def latencies(load: Steady, begin: float) -> dict[str, list[float]]:
    """Milliseconds of single questions, by minute."""
    minutes: defaultdict[int, list[float]] = defaultdict(list)
    for call in load.calls:
        minutes[int((call.sent - begin) // LATENCY_SECONDS)].append(call.seconds * 1e3)
    whole = [minutes[at] for at in sorted(minutes)]
    return {
        f"p{share}": [float(np.percentile(one, share, method="inverted_cdf")) for one in whole]
        for share in (50, 99)
    }


if __name__ == "__main__":
    main()
