"""A rollout in front of real version directories; the host of the versions, and the clock, obey."""

import asyncio
import math
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.windows import PackedWindows
from spanqa_server.telemetry import metrics
from spanqa_server.versions.host import Host, Machine
from spanqa_server.versions.repository import ModelVersion, Readiness
from spanqa_server.versions.rollout import Rollout
from unit.server.version_files import write_version

FIRST_BATCH_TOKENS = 4096
MAX_F1_DROP = 3.0


class FakeHost(Host):
    """Has the versions in `holds` ready as soon as they are offered, and computes what it is told.

    It stands for `TritonHost`, whose own tests ask a Triton.
    """

    chooses = True

    def __init__(self) -> None:
        self.tritons = ["first"]
        self.holds: set[str] = set()
        self.lacks: defaultdict[str, set[str]] = defaultdict(set)
        """The versions that a Triton lacks though `holds` has them."""
        self.silent: set[str] = set()
        self.away: set[str] = set()
        self.failures: dict[str, str] = {}
        self.answers: dict[str, float] = {}
        self.offered: list[dict[str, Path]] = []
        self.used: list[list[str]] = []
        self.asked: list[str] = []
        self.was_asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.errors: dict[str, Exception] = {}
        """By the version's number, the Triton's name or "first batch"."""
        self.hanging: set[str] = set()
        self.logit = 0.0
        self.computed: Callable[[], int] | None = None
        """How many inferences Triton tells; None: it tells nothing."""
        self.ragged = False
        self.tried: list[str] = []
        self.first_batches: list[tuple[str, str, int]] = []

    machine: Machine | None = None

    async def machine_of(self, version: str) -> Machine | None:
        return self.machine

    async def inferences(self, version: str, triton: str) -> int | None:
        return self.computed() if self.computed else None

    def offer(self, versions: dict[str, Path]) -> None:
        self.offered.append(versions)

    async def load_failures(self) -> dict[str, str]:
        return {number: why for number, why in self.failures.items() if number in self.offered[-1]}

    def answered_at(self, version: str) -> float:
        return self.answers.get(version, -math.inf)

    async def readiness(self, version: str) -> dict[str, Readiness]:
        self.asked.append(version)
        self.was_asked.set()
        await self.gate.wait()
        return {triton: self.answer(triton, version) for triton in self.tritons}

    def answer(self, triton: str, version: str) -> Readiness:
        if triton in self.silent:
            return Readiness.SILENT
        if triton in self.away:
            return Readiness.AWAY
        seen = version in self.offered[-1] or not self.chooses
        ready = seen and version in self.holds and version not in self.lacks[triton]
        return Readiness.READY if ready else Readiness.NOT_LOADED

    async def probe(self, version: str, packed: PackedWindows, triton: str) -> Logits:
        tokens, names = len(packed.input_ids), [version, triton]
        first_batch = tokens > 5
        if first_batch:
            self.first_batches.append((version, triton, tokens))
            names.append("first batch")
        else:
            self.tried.append(version)
        if version in self.hanging or (first_batch and triton in self.hanging):
            await asyncio.get_running_loop().create_future()
        for name in names:
            if error := self.errors.get(name):
                raise error
        logits = np.full(tokens, self.logit, dtype=np.float32)
        if self.ragged and first_batch:
            logits[-tokens // 8 :] = 512.0
        return Logits(logits, logits, queue_seconds=0.0, infer_seconds=0.0)

    async def use(self, tritons: Collection[str]) -> None:
        self.used.append(list(tritons))


class Stage:
    """What a test needs of the world around a rollout."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository
        self.host = FakeHost()
        self.switches: list[str] = []
        self.seconds = 1000.0
        metrics.VERSION_STATE.clear()
        self.rollout: Rollout[ModelVersion] = Rollout(
            repository,
            self.host,
            build=lambda version: version,
            on_switch=lambda version: self.switches.append(version.number),
            first_batch_tokens=FIRST_BATCH_TOKENS,
            max_f1_drop=MAX_F1_DROP,
            clock=lambda: self.seconds,
        )

    def publish(self, *numbers: str, ready: bool = True, **manifest: Any) -> None:
        """Put versions there; Triton will have them once they are offered, or not."""
        for number in numbers:
            write_version(self.repository, number, **manifest)
            if ready:
                self.host.holds.add(number)

    async def publish_serving(self, *numbers: str) -> None:
        """The same, and the newest serves."""
        self.publish(*numbers)
        assert await self.look()
        assert self.serving == numbers[-1]

    def directory(self, number: str) -> Path:
        return self.repository / "bert_qa" / number

    def damage(self, number: str) -> None:
        (self.directory(number) / "model.pt").write_bytes(b"half of it")

    def withdraw(self, number: str) -> None:
        shutil.rmtree(self.directory(number))

    async def look(self, times: int = 1) -> bool:
        for _ in range(times):
            serves = await self.rollout.look()
        return serves

    def states(self) -> dict[str, str]:
        """Of each version, by the metrics."""
        [family] = metrics.VERSION_STATE.collect()
        return {
            sample.labels["version"]: sample.labels["state"]
            for sample in family.samples
            if sample.value
        }

    @property
    def serving(self) -> str:
        return self.rollout.current().number

    @property
    def offered(self) -> set[str]:
        return set(self.host.offered[-1])
