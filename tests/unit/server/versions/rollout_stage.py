"""A rollout in front of real version directories, with Triton, its clock and its faults played."""

import asyncio
import math
import shutil
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.grpc_api.items import ServedModel
from spanqa_server.qa.answerer import Answerer, Logits
from spanqa_server.qa.requests import ModelDefaults
from spanqa_server.qa.text_cache import TextCache
from spanqa_server.qa.windows import PackedWindows
from spanqa_server.telemetry import metrics
from spanqa_server.triton.client import VersionInference
from spanqa_server.versions.repository import ModelVersion, Readiness
from spanqa_server.versions.rollout import Rollout
from unit.server.qa.played import NoThreads, make_limits
from unit.server.version_files import write_version


class FakeHost:
    """Has the versions in `holds` ready as soon as they are offered."""

    def __init__(self) -> None:
        self.offered: list[dict[str, Path]] = []
        self.holds: set[str] = set()
        self.failures: dict[str, str] = {}
        self.asked: list[str] = []
        self.answers: dict[str, float] = {}
        self.tritons = ["first"]
        self.silent: set[str] = set()
        self.lacks: defaultdict[str, set[str]] = defaultdict(set)
        self.used: list[list[str]] = []
        self.was_asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.chooses = True
        self.away: set[str] = set()
        self.probed: Callable[[str, PackedWindows, str], Awaitable[Logits]]

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

    async def probe(self, version: ModelVersion, packed: PackedWindows, triton: str) -> Logits:
        return await self.probed(version.number, packed, triton)

    async def use(self, tritons: Collection[str]) -> None:
        self.used.append(list(tritons))


class Stage:
    """What a test needs of the world around a rollout."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository
        self.host = FakeHost()
        self.errors: dict[str, Exception] = {}
        self.hanging: set[str] = set()
        self.tried: list[str] = []
        self.switches: list[str] = []
        self.first_batches: list[tuple[str, str, int]] = []
        self.no_triton: Any = None
        self.seconds = 1000.0
        self.logit = 0.0
        self.ragged = False
        self.host.probed = self.compute
        metrics.VERSION_STATE.clear()
        self.rollout = Rollout(repository, self.host, self.build, self.switched, 4096)

    def build(self, version: ModelVersion) -> ServedModel:
        answerer = Answerer(
            TextCache(version.tokenizer, NoThreads(), 0),
            ModelDefaults(384, 128, has_no_answer=False),
            make_limits(),
            VersionInference(self.no_triton, version.number, version.tensor_limits),
            NoThreads(),
        )
        description = pb.GetModelResponse(name=version.manifest.name, version=version.number)
        return ServedModel(answerer, description)

    async def compute(self, number: str, packed: PackedWindows, triton: str) -> Logits:
        """Answer for one version, or raise what `errors` has for it, or for its Triton."""
        first_batch = len(packed.input_ids) > 5
        if first_batch:
            self.first_batches.append((number, triton, len(packed.input_ids)))
        else:
            self.tried.append(number)
        if number in self.hanging or (first_batch and triton in self.hanging):
            await asyncio.get_running_loop().create_future()
        for name in (number, triton, "first batch" if first_batch else ""):
            if error := self.errors.get(name):
                raise error
        logits = np.full(len(packed.input_ids), self.logit, dtype=np.float32)
        if self.ragged and first_batch:
            logits[-len(logits) // 8 :] = 512.0
        return Logits(logits, logits, queue_seconds=0.0, infer_seconds=0.0)

    def switched(self, version: ModelVersion) -> None:
        self.switches.append(version.number)

    def publish(self, *numbers: str, ready: bool = True, **manifest: Any) -> None:
        """Put versions there; Triton will have them once they are offered, or not."""
        for number in numbers:
            write_version(self.repository, number, **manifest)
            if ready:
                self.host.holds.add(number)

    def directory(self, number: str) -> Path:
        return self.repository / "bert_qa" / number

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
        return self.rollout.current().description.version

    @property
    def offered(self) -> set[str]:
        return set(self.host.offered[-1])
