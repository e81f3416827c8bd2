"""Which model version serves: the newest one that works.

Versions appear in the model repository and are withdrawn from it while calls go on. Each is
loaded here (its tokenizer, its checksum), then by Triton, and then has to pass its canary. Only
after that it takes calls. A version that fails on the way is left alone until it is replaced.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from spanqa_server.errors import ModelUnavailableError, VersionGoneError
from spanqa_server.versions.canary import Canary
from spanqa_server.versions.canary_run import CanaryRunner, windows_for
from spanqa_server.versions.decisions import Standing, StandingReader, held_versions
from spanqa_server.versions.examination import Examination
from spanqa_server.versions.host import Host
from spanqa_server.versions.records import Model, Prepared, VersionRecords, VersionState
from spanqa_server.versions.repository import MODEL_NAME, ModelVersion, VersionFile, find_versions

logger = logging.getLogger(__name__)
T = TypeVar("T")

# Versions that Triton is asked to load: one that serves and one to go to or back to.
OFFERED = 2
# A version that served goes on for so long without Triton before an older one takes over:
# Triton may just be starting again.
PATIENCE_SECONDS = 10.0


def now() -> float:
    return asyncio.get_running_loop().time()


class Rollout(Generic[Model]):
    """Gives all calls to the newest version that works."""

    def __init__(
        self,
        repository: Path,
        host: Host,
        build: Callable[[ModelVersion], Model],
        on_switch: Callable[[ModelVersion], None],
        first_batch_tokens: int = 0,
        max_f1_drop: float = 100.0,
        clock: Callable[[], float] = now,
    ) -> None:
        """Nothing is looked at yet.

        Args:
            repository: where versions appear.
            host: whoever runs them.
            build: makes what takes the calls of a version.
            on_switch: called with a version that serves from now on.
            first_batch_tokens: the size of the batch in a version's first canary.
            max_f1_drop: how many points of F1 a version may lose to take over by itself.
            clock: seconds; that of the event loop.
        """
        self._repository = repository
        self._host = host
        self._build = build
        self._on_switch = on_switch
        self._first_batch_tokens = first_batch_tokens
        self._max_f1_drop = max_f1_drop
        self._clock = clock
        self._standings = StandingReader(repository)
        self._records = VersionRecords[Model](self._prepare)
        self._examination = Examination(host, self._records, clock)
        self._serving: VersionFile | None = None
        self._model: Model | None = None
        self._unready_since: float | None = None
        self._known_wrong = False
        self._looking: asyncio.Task[bool] | None = None

    def current(self) -> Model:
        """The version that serves.

        Raises:
            ModelUnavailableError: none has served yet, or it does not answer right now.
        """
        if self._model is None:
            raise ModelUnavailableError("the model is not loaded yet; try again later")
        if self._known_wrong:
            raise ModelUnavailableError("the model failed its canary; try again later")
        return self._model

    def failure(self) -> str:
        """Why no version can serve; empty as long as one may."""
        if not self._records:
            return f"no model version in {self._repository / MODEL_NAME}"
        return self._records.failure(self._examination.given_up)

    async def run(self, work: Callable[[Model], Awaitable[T]]) -> T:
        """Do work with the version that serves; again with its successor if it is gone by then."""
        model = self.current()
        try:
            return await work(model)
        except VersionGoneError:
            if not await self.look():
                raise
            return await work(self.current())

    async def look(self) -> bool:
        """Look for a better version, or wait for the look under way; whether a version serves."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(self._looking)

    async def _look(self) -> bool:
        standings = await asyncio.to_thread(self._find)
        held = held_versions(standings, self._max_f1_drop, self._host.machine)
        self._records.keep(standings, held)
        try:
            return await self._choose([standing.file for standing in standings])
        finally:
            self._records.show()

    def _find(self) -> list[Standing]:
        """The versions, newest first, and whether they may serve."""
        found = find_versions(self._repository)
        if not found and self._serving:
            # More likely a disk that is out of reach than a wish to serve nothing.
            found = [self._serving]
        return self._standings.read(found)

    async def _choose(self, found: list[VersionFile]) -> bool:
        """Let the newest version serve that can; whether one does."""
        before = None
        # What turns out broken, or not loaded, leaves its place to the next older one.
        while (candidates := await self._candidates(found)) != before:
            before = candidates
            self._host.offer({file.number: file.directory for file in candidates})
            for file in candidates:
                if tritons := await self._examination.good_tritons(file, self._serving):
                    return await self._serve(file, tritons, candidates)
        self._unready_since = self._unready_since or self._clock()
        record = self._records.get(self._serving)
        self._known_wrong = bool(record and record.prepared and record.prepared.canary.failed)
        if record and not record.reason:
            record.state = VersionState.FAILED if self._known_wrong else VersionState.LOADING
        return False

    async def _candidates(self, found: list[VersionFile]) -> list[VersionFile]:
        """The versions to offer: the newest `OFFERED` that are good, and the one that serves.

        A good one is neither held nor given up. Those that a Triton of somebody else has not loaded
        do not count. If none is good, it is the newest that can be read, since Triton may load it
        another time.
        """
        good: list[VersionFile] = []
        readable: list[VersionFile] = []
        offered = 0
        for file in found:
            if self._records.is_held(file) or (offered >= OFFERED and file != self._serving):
                continue
            record = await self._records.read(file)
            if record.prepared:
                readable.append(file)
            if not self._examination.given_up(record):
                good.append(file)
                offered += self._host.chooses or record.lacking_since is None
        return good or readable[:1]

    async def _serve(
        self, file: VersionFile, tritons: list[str], candidates: list[VersionFile]
    ) -> bool:
        """Let the version take the calls, if no newer one may come back; whether it takes them."""
        takes_over = file != self._serving
        if takes_over:
            if self._may_come_back(file, candidates):
                return False
            self._switch(file)
        await self._host.use(tritons)
        self._unready_since = None
        self._known_wrong = False
        self._records[file].state = VersionState.SERVING
        for older in candidates[candidates.index(file) + 1 :]:
            if not self._records[older].reason:
                self._records[older].state = VersionState.STANDBY
        if takes_over:
            await self._warn_of_misfit(file)
        return True

    def _may_come_back(self, ready: VersionFile, candidates: list[VersionFile]) -> bool:
        """Whether to wait for a newer version, rather than to step back to the ready one."""
        awaited = self._serving if self._serving else candidates[0]
        if awaited not in candidates or candidates.index(ready) <= candidates.index(awaited):
            return False
        self._unready_since = self._unready_since or self._clock()
        return self._clock() - self._unready_since < PATIENCE_SECONDS

    def _switch(self, file: VersionFile) -> None:
        prepared = self._records[file].prepared
        assert prepared
        if self._serving is not None:
            logger.info("version %s takes over from %s", file.number, self._serving.number)
        self._serving, self._model = file, prepared.model
        self._on_switch(prepared.version)

    async def _warn_of_misfit(self, file: VersionFile) -> None:
        """Say so if the version that has taken over is slow on Triton's device."""
        prepared = self._records[file].prepared
        machine = await self._host.machine_of(file.number)
        if prepared and machine and (misfit := machine.misfit(prepared.version.manifest)):
            logger.warning("model version %s serves, but %s", file.directory, misfit)

    def _prepare(self, version: ModelVersion) -> Prepared[Model]:
        windows = windows_for(version, self._first_batch_tokens)
        runner = CanaryRunner(version.number, windows, partial(self._host.probe, version.number))
        inferences = partial(self._host.inferences, version.number)
        canary = Canary(runner, inferences, self._clock)
        return Prepared(version, canary, self._build(version))
