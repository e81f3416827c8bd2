"""An open loop of a program of its own, which takes less of the machine than one in Python.

`make bench-overload` builds it from `benchmarks/flood`, with Go.
"""

from __future__ import annotations

import asyncio
import base64
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spanqa.v1 import question_answering_pb2 as pb
from support.steady import OK, WRONG, Asked, Known, spans


@dataclass(frozen=True, slots=True)
class Flood:
    """Calls at a rate, in turn over connections."""

    program: Path
    target: str
    connections: int
    known: Sequence[Known]
    rate: float
    timeout: float

    async def run(self, seconds: float) -> tuple[list[Asked], float]:
        """Send calls for so long, and wait for the last one.

        Returns what came of each call, in order, and the CPU seconds that it took to send them.
        """
        before = seconds_of_ended_children()
        process = await asyncio.create_subprocess_exec(
            *(self.program, "-target", self.target, "-connections", str(self.connections)),
            *("-rate", str(self.rate), "-timeout", str(self.timeout), "-seconds", str(seconds)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        requests = (base64.b64encode(one.SerializeToString()) for one, _ in self.known)
        told, _ = await process.communicate(b"\n".join(requests))
        if process.returncode:
            sys.exit(f"{self.program} failed; its message is above")
        epoch = time.time() - time.monotonic()
        calls = [self._call(at, line, epoch) for at, line in enumerate(told.decode().splitlines())]
        return calls, seconds_of_ended_children() - before

    def _call(self, number: int, line: str, epoch: float) -> Asked:
        """What a line tells of a call; the monotonic clock was 0 at the epoch."""
        _, sent, settled, code, response = line.split(" ")
        made = Asked(float(sent) - epoch, float(settled) - epoch, constant_case(code))
        if made.code == OK:
            answered = pb.AnswerResponse.FromString(base64.b64decode(response))
            if spans(answered) != self.known[number % len(self.known)][1]:
                made.code = WRONG
        return made


def seconds_of_ended_children() -> float:
    """CPU seconds of the processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def constant_case(name: str) -> str:
    """Go's name of a status as gRPC writes it: ResourceExhausted is RESOURCE_EXHAUSTED."""
    if name.isupper():
        return name
    return "".join(f"_{letter}" if letter.isupper() else letter for letter in name).upper()[1:]
