"""Work on a token budget, and a clock that only tests move."""

import asyncio
from dataclasses import dataclass, field

from spanqa_server.scheduling.call import Call, working_for
from spanqa_server.scheduling.deadline import Deadline
from spanqa_server.scheduling.token_budget import TokenBudget
from unit.server.scheduling.clock import Clock

LATER = 1000.0


@dataclass
class Work:
    """Holds its tokens from when it is admitted until it is told how to end."""

    number: int
    tokens: int
    chunk: bool
    call: Call
    admitted: bool = False
    at_a_time: int = 0
    end: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None
    task: asyncio.Task[None] = field(init=False)

    async def run(self, budget: TokenBudget, log: list[int]) -> None:
        with working_for(self.call):
            async with budget.reserve(self.tokens, chunk=self.chunk) as at_a_time:
                self.at_a_time = at_a_time
                self.admitted = True
                log.append(self.number)
                await self.end.wait()
                if self.error:
                    raise self.error


class Crowd:
    """Work on one budget, in the order in which it came."""

    def __init__(
        self,
        capacity: int,
        chunk_capacity: int | None = None,
        *,
        prefers_newcomers: bool = True,
    ) -> None:
        self.clock = Clock()
        self.budget = TokenBudget(
            capacity, chunk_capacity, self.clock, prefers_newcomers=prefers_newcomers
        )
        self.works: list[Work] = []
        self.log: list[int] = []

    def add(
        self, tokens: int, *, chunk: bool = False, seconds: float = LATER, caller: str = "a"
    ) -> Work:
        call = Call(caller, Deadline(self.clock.now + seconds, seconds))
        work = Work(len(self.works), tokens, chunk, call)
        work.task = asyncio.create_task(work.run(self.budget, self.log))
        self.works.append(work)
        return work

    def running(self) -> list[Work]:
        return [work for work in self.works if work.admitted and not work.task.done()]

    async def finish(self, work: Work) -> None:
        work.end.set()
        await settle()

    async def drain(self) -> None:
        while self.running():
            await self.finish(self.running()[0])
        await asyncio.gather(*(work.task for work in self.works), return_exceptions=True)


async def settle() -> None:
    """Let every task go as far as it can: none of them waits for time to pass."""
    for _ in range(6):
        await asyncio.sleep(0)
