"""Callers that never pause: what became of each call, and when."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import grpc

from spanqa.v1 import question_answering_pb2 as pb
from support.steady import connected

OK = "OK"
WAIT_SECONDS = 90.0
PEOPLE = ["Marie Curie", "Ada Lovelace", "Alan Turing", "Grace Hopper", "Emmy Noether"]
TOWNS = ["Warsaw", "London", "Maida Vale", "New York", "Erlangen"]
REQUESTS = [
    pb.AnswerRequest(
        question=f"Where was {name} born?",
        context=f"{name} was born in {town} in {1867 + number}, and never saw OSTMARKSHIRE again.",
    )
    for number, (name, town) in enumerate(zip(PEOPLE, TOWNS, strict=True))
]
# What tells versions apart: the tokenizer's count, the answer, the weights' score.
Signature = tuple[int, str, float]


@dataclass(frozen=True, slots=True)
class Call:
    """One call that has ended."""

    sent: float
    seconds: float
    request: int
    code: str
    details: str = ""
    version: str = ""
    signature: Signature = (0, "", 0.0)


class Callers:
    """Callers on connections of their own, for as long as `running` lasts."""

    def __init__(self, target: str, count: int = 16, timeout: float = 60.0) -> None:
        self.calls: list[Call] = []
        self._target = target
        self._count = count
        self._timeout = timeout
        self._stop = False
        self._came = asyncio.Condition()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Callers"]:
        """At its end all calls have ended."""
        async with connected(self._target, 4) as stubs, asyncio.TaskGroup() as group:
            for first in range(self._count):
                group.create_task(self._ask_on(stubs[first % len(stubs)], first))
            try:
                yield self
            finally:
                self._stop = True

    def stop(self) -> None:
        """Lets the calls under way be the last."""
        self._stop = True

    async def _ask_on(self, stub: Any, number: int) -> None:
        while not self._stop:
            number += 1
            call = await self._ask(stub, number % len(REQUESTS))
            self.calls.append(call)
            async with self._came:
                self._came.notify_all()
            if call.code != OK:
                await asyncio.sleep(0.05)  # what is refused at once would be asked without end

    async def _ask(self, stub: Any, request: int) -> Call:
        sent = monotonic()
        try:
            reply = await stub.Answer(REQUESTS[request], timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            seconds = monotonic() - sent
            return Call(sent, seconds, request, error.code().name, error.details() or "")
        [answer] = reply.answers
        signature = (reply.usage.context_tokens, answer.text, round(answer.score, 2))
        seconds = monotonic() - sent
        return Call(sent, seconds, request, OK, "", reply.model_version, signature)

    async def until(self, condition: Callable[[], bool], within: float = WAIT_SECONDS) -> None:
        async with asyncio.timeout(within), self._came:
            await self._came.wait_for(condition)

    async def answered(self, more: int, version: str = "") -> None:
        """Wait until so many calls that are sent from now on are answered, by this version."""
        begin = monotonic()
        await self.until(
            lambda: (
                sum(
                    call.code == OK and call.sent > begin and version in ("", call.version)
                    for call in self.calls[-20 * more :]
                )
                >= more
            )
        )

    def failed(self) -> Counter[str]:
        return failed(self.calls)

    def versions(self) -> Counter[str]:
        return Counter(call.version for call in self.calls if call.version)

    def assert_not_mixed(self, first: str, second: str, *, exact: Iterable[str]) -> None:
        """Two versions answered each question, each with its own tokens.

        Those that compute in float32 (`exact`) answered each question always alike: one version's
        tokens with the other's weights would be another signature.
        """
        seen = {version: self._signatures(version) for version in (first, second)}
        assert set(seen[first]) == set(seen[second]) == set(range(len(REQUESTS)))
        for version in exact:
            assert all(len(signatures) == 1 for signatures in seen[version].values())
        for one, other in ((seen[first][n], seen[second][n]) for n in seen[first]):
            assert not {tokens for tokens, _, _ in one} & {tokens for tokens, _, _ in other}
            assert not {score for _, _, score in one} & {score for _, _, score in other}

    def _signatures(self, version: str) -> dict[int, set[Signature]]:
        found: dict[int, set[Signature]] = {}
        for call in self.calls:
            if call.version == version:
                found.setdefault(call.request, set()).add(call.signature)
        return found


def failed(calls: Iterable[Call]) -> Counter[str]:
    """How many ended how, of those that were not answered."""
    return Counter(f"{call.code}: {call.details}" for call in calls if call.code != OK)
