"""An open loop of calls whose answers are known: what came of each, whatever is done to the server.

Nothing is tried again: what the server refuses or loses is told as it is.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import grpc

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub

# Of a call that the server neither answers nor ends when its deadline passes.
HUNG, WRONG, OK = "HUNG", "WRONG", "OK"
HUNG_SECONDS = 5.0
OPTIONS = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))

Known = tuple[pb.AnswerRequest, list[tuple[int, int, str]]]


@dataclass(slots=True)
class Asked:
    """One call; times by the monotonic clock."""

    sent: float
    settled: float = math.inf
    code: str = HUNG
    details: str = ""

    @property
    def seconds(self) -> float:
        return self.settled - self.sent


@dataclass
class Steady:
    """Calls at a rate, in turn over connections, until told to stop."""

    stubs: Sequence[Any]
    known: Sequence[Known]
    rate: float
    timeout: float
    calls: list[Asked] = field(default_factory=list)
    stopped: bool = False

    async def run(self) -> None:
        """Ask until `stop`, and wait for what is under way."""
        begin = monotonic()
        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                await asyncio.sleep(max(0.0, begin + number / self.rate - monotonic()))
                if self.stopped:
                    return
                group.create_task(self._ask(number))

    def stop(self) -> None:
        self.stopped = True

    async def _ask(self, number: int) -> None:
        request, expected = self.known[number % len(self.known)]
        call = Asked(monotonic())
        self.calls.append(call)
        stub = self.stubs[number % len(self.stubs)]
        try:
            async with asyncio.timeout(self.timeout + HUNG_SECONDS):
                response = await stub.Answer(request, timeout=self.timeout)
        except TimeoutError:
            return
        except grpc.aio.AioRpcError as error:
            call.code, call.details = error.code().name, error.details() or ""
        else:
            call.code = OK if spans(response) == expected else WRONG
        call.settled = monotonic()

    def codes(self, since: float = -math.inf, until: float = math.inf) -> dict[str, int]:
        """How many of the calls that were sent in between ended how."""
        some = (call.code for call in self.calls if since <= call.sent < until)
        return dict(Counter(some).most_common())


def spans(response: pb.AnswerResponse) -> list[tuple[int, int, str]]:
    return [(answer.start, answer.end, answer.text) for answer in response.answers]


@asynccontextmanager
async def connected(
    target: str, connections: int, options: Sequence[tuple[str, Any]] = OPTIONS
) -> AsyncIterator[list[Any]]:
    """A stub for each of several connections of their own."""
    async with AsyncExitStack() as stack:
        yield [
            QuestionAnsweringServiceStub(
                await stack.enter_async_context(grpc.aio.insecure_channel(target, options))
            )
            for _ in range(connections)
        ]


async def learn(target: str, requests: Sequence[pb.AnswerRequest]) -> list[Known]:
    """What the server answers while it is left in peace; of several workers one may be late."""
    retries = {
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.5s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
    known: list[Known] = []
    options = [("grpc.service_config", json.dumps(retries))]
    async with connected(target, 1, options) as [stub]:
        for request in requests:
            response = await stub.Answer(request, wait_for_ready=True, timeout=60)
            known.append((request, spans(response)))
    return known
