"""A rollout in front of real version directories, with Triton, its clock and its faults played."""

import asyncio
import math
import shutil
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.grpc_api.items import ServedModel
from spanqa_server.qa.answerer import Answerer, Logits
from spanqa_server.qa.requests import ModelDefaults
from spanqa_server.qa.windows import PackedWindows
from spanqa_server.rollout import Rollout
from spanqa_server.versions import ModelVersion
from unit.server.qa.played import NoThreads, make_limits, no_cache
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

    def offer(self, versions: dict[str, Path]) -> None:
        self.offered.append(versions)

    def load_failures(self) -> dict[str, str]:
        return {number: why for number, why in self.failures.items() if number in self.offered[-1]}

    def answered_at(self, version: str) -> float:
        return self.answers.get(version, -math.inf)

    async def readiness(self, version: str) -> dict[str, bool | None]:
        self.asked.append(version)
        self.was_asked.set()
        await self.gate.wait()
        ready = version in self.holds and version in self.offered[-1]
        return {
            triton: None if triton in self.silent else ready and version not in self.lacks[triton]
            for triton in self.tritons
        }

    def use(self, tritons: Collection[str]) -> None:
        self.used.append(list(tritons))


class FakeInference:
    """Answers for one version, or raises what `errors` has for it, or for its Triton."""

    def __init__(self, stage: "Stage", number: str, triton: str | None) -> None:
        self.stage = stage
        self.number = number
        self.triton = triton

    async def infer(self, packed: PackedWindows) -> Logits:
        self.stage.tried.append(self.number)
        if self.number in self.stage.hanging:
            await asyncio.get_running_loop().create_future()
        for name in (self.number, self.triton):
            if error := self.stage.errors.get(name or ""):
                raise error
        logits = np.full(len(packed.input_ids), self.stage.logit, dtype=np.float32)
        return Logits(logits, logits, queue_seconds=0.0, infer_seconds=0.0)


class Stage:
    """What a test needs of the world around a rollout."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository
        self.host = FakeHost()
        self.errors: dict[str, Exception] = {}
        self.hanging: set[str] = set()
        self.tried: list[str] = []
        self.switches: list[str] = []
        self.limits: dict[str, int] = {}
        self.seconds = 1000.0
        self.logit = 0.0
        self.rollout = Rollout(repository, self.host, self.build, self.switched)

    def build(self, version: ModelVersion, triton: str | None) -> ServedModel:
        answerer = Answerer(
            version.tokenizer,
            ModelDefaults(384, 128, has_no_answer=False),
            make_limits(**self.limits),
            FakeInference(self, version.number, triton),
            NoThreads(),
            no_cache(),
        )
        description = pb.GetModelResponse(name=version.manifest.name, version=version.number)
        return ServedModel(answerer, description)

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

    @property
    def serving(self) -> str:
        return self.rollout.current().description.version

    @property
    def offered(self) -> set[str]:
        return set(self.host.offered[-1])
