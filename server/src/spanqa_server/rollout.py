"""Which model version serves: the newest one that loads, from the moment that it does.

Versions appear in the model repository and are withdrawn from it while calls go on. Each is
loaded here (its tokenizer, its checksum), then by Triton, then tried with one question; only
after that it takes calls. A version that fails on the way is left alone until it is replaced.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from spanqa_server.errors import ModelUnavailableError, StartupError, VersionGoneError
from spanqa_server.grpc_api.items import ServedModel
from spanqa_server.trial import Trials
from spanqa_server.versions import (
    MODEL_NAME,
    ModelVersion,
    VersionFile,
    find_versions,
    load_version,
)

logger = logging.getLogger(__name__)
T = TypeVar("T")

# Versions that Triton is asked to hold: one that serves and one to go to or back to.
HELD = 2
# A version that served goes on for so long without Triton before an older one takes over:
# Triton may just be starting again.
PATIENCE_SECONDS = 10.0


class Host(Protocol):
    """Whoever runs the versions: Triton, embedded or not."""

    def offer(self, versions: dict[str, Path]) -> None:
        """These versions are good to load, and no others."""

    def load_failures(self) -> dict[str, str]:
        """Versions that could not be loaded, and why, as far as that is known."""

    @property
    def tritons(self) -> Sequence[str]:
        """Each of them, by its name."""

    async def readiness(self, version: str) -> Mapping[str, bool | None]:
        """Which Triton can take calls for the version; None: it does not answer."""

    def use(self, tritons: Collection[str]) -> None:
        """Give calls to these Tritons."""

    def answered_at(self, version: str) -> float:
        """When it last answered one, by the event loop's clock; minus infinity: never."""


@dataclass(slots=True)
class Known:
    """What is known of a version: itself if it could be read, and what is wrong with it."""

    trials: Trials
    version: ModelVersion | None = None
    model: ServedModel | None = None
    failure: str = ""


class Rollout:
    """Keeps the newest version that works in front of the calls."""

    def __init__(
        self,
        repository: Path,
        host: Host,
        build: Callable[[ModelVersion, str | None], ServedModel],
        on_switch: Callable[[ModelVersion], None],
    ) -> None:
        """Nothing is looked at yet.

        Args:
            repository: where versions appear.
            host: whoever runs them.
            build: makes a version ready for calls, on one Triton of the host or on any.
            on_switch: told which version serves from now on.
        """
        self._repository = repository
        self._host = host
        self._build = build
        self._on_switch = on_switch
        self._known: dict[VersionFile, Known] = {}
        self._serving: VersionFile | None = None
        self._model: ServedModel | None = None
        self._unready_since: float | None = None
        self._known_wrong = False
        self._looking: asyncio.Task[bool] | None = None

    def current(self) -> ServedModel:
        """The version that serves.

        Raises:
            ModelUnavailableError: none has served yet, or it does not answer right now.
        """
        if self._model is None:
            raise ModelUnavailableError("the model is not loaded yet; try again later")
        if self._known_wrong:
            raise ModelUnavailableError("the model fails on a trial question; try again later")
        return self._model

    def failure(self) -> str:
        """Why no version can serve; empty where one may."""
        if not self._known:
            return f"no model version in {self._repository / MODEL_NAME}"
        failures = {file: known.failure for file, known in self._known.items()}
        file, reason = next(iter(failures.items()))
        return (
            f"model version {file.directory} is broken: {reason}" if all(failures.values()) else ""
        )

    async def run(self, work: Callable[[ServedModel], Awaitable[T]]) -> T:
        """Do work with the version that serves; if that is gone meanwhile, with its successor."""
        model = self.current()
        try:
            return await work(model)
        except VersionGoneError:
            if not await self.look():
                raise
            return await work(self.current())

    async def look(self) -> bool:
        """Look for a better version, together with whoever looks now; whether one serves."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(self._looking)

    async def _look(self) -> bool:
        found = find_versions(self._repository)
        if not found and self._serving:
            # More likely a disk that is out of reach than a wish to serve nothing.
            found = [self._serving]
        self._known = {file: self._known[file] for file in found if file in self._known}
        candidates = await self._candidates(found)
        self._host.offer({file.number: file.directory for file in candidates})
        for file in candidates:
            if tritons := await self._good_tritons(file):
                break
        else:
            self._unready_since = self._unready_since or now()
            known = self._known.get(self._serving) if self._serving else None
            self._known_wrong = known is not None and known.trials.failed
            return False
        if file != self._serving:
            if self._may_come_back(file, candidates):
                return False
            self._switch(file)
        self._host.use(tritons)
        self._unready_since = None
        self._known_wrong = False
        return True

    async def _candidates(self, found: list[VersionFile]) -> list[VersionFile]:
        """The newest `HELD` versions without a known failure, and the one that serves.

        Where all have failed, the newest that Triton may take at another time.
        """
        failures = self._host.load_failures()
        good: list[VersionFile] = []
        readable: list[VersionFile] = []
        for file in found:
            if len(good) >= HELD and file != self._serving:
                continue
            if file not in self._known:
                self._known[file] = await self._read(file)
            elif (reason := failures.get(file.number)) and not any(
                # Triton may have loaded it at another time
                (await self._host.readiness(file.number)).values()
            ):
                self._fail(file, f"Triton could not load it ({reason})")
            known = self._known[file]
            if known.model:
                readable.append(file)
            if not known.failure:
                good.append(file)
        return good or readable[:1]

    async def _read(self, file: VersionFile) -> Known:
        try:
            version = await asyncio.to_thread(load_version, file.directory)
        except StartupError as error:
            logger.error("model version %s is broken: %s", file.directory, error)
            return Known(Trials(file.number, {}, now), failure=str(error))
        models = {triton: self._build(version, triton) for triton in self._host.tritons}
        return Known(Trials(file.number, models, now), version, self._build(version, None))

    def _fail(self, file: VersionFile, reason: str) -> None:
        if self._known[file].failure != reason:
            logger.error("model version %s is broken: %s", file.directory, reason)
        self._known[file].failure = reason

    async def _good_tritons(self, file: VersionFile) -> list[str]:
        """The Tritons that have the version, where it answers a question."""
        known = self._known[file]
        if known.model is None:
            return []
        answers = await self._host.readiness(file.number)
        if file != self._serving and False in answers.values():
            return []  # its calls would meet a Triton that does not have it yet
        ready = [triton for triton, answer in answers.items() if answer]
        try:
            good = await known.trials.passed(ready, self._host.answered_at(file.number))
        except StartupError as error:
            self._fail(file, str(error))
            return []
        if good:
            known.failure = ""
        return good

    def _may_come_back(self, ready: VersionFile, candidates: list[VersionFile]) -> bool:
        """Whether to wait for a newer version, rather than to step back to the ready one."""
        awaited = self._serving if self._serving else candidates[0]
        if awaited not in candidates or candidates.index(ready) <= candidates.index(awaited):
            return False
        self._unready_since = self._unready_since or now()
        return now() - self._unready_since < PATIENCE_SECONDS

    def _switch(self, file: VersionFile) -> None:
        known = self._known[file]
        assert known.version
        if self._serving is not None:
            logger.info("version %s takes over from %s", file.number, self._serving.number)
        self._serving, self._model = file, known.model
        self._on_switch(known.version)


def now() -> float:
    return asyncio.get_running_loop().time()
