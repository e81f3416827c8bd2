"""What is known of each model version: its state, and what is wrong with it."""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from spanqa_server.errors import StartupError
from spanqa_server.telemetry import metrics
from spanqa_server.versions.canary import Canary
from spanqa_server.versions.repository import ModelVersion, VersionFile, load_version

logger = logging.getLogger(__name__)
# What takes the calls of a version.
Model = TypeVar("Model")


class VersionState(StrEnum):
    """Where a version is on its way to the calls."""

    LOADING = "loading"  # Triton does not have it yet, or its canary is under way
    SERVING = "serving"
    STANDBY = "standby"  # older than the one that serves, to go back to
    UNREADABLE = "unreadable"  # a file of it is missing or broken
    NOT_LOADED = "not_loaded"  # Triton could not load it, or takes too long
    FAILED = "failed"  # it did not pass its canary


@dataclass(slots=True)
class Prepared(Generic[Model]):
    """A version that could be read: its canary, and what takes calls."""

    version: ModelVersion
    canary: Canary
    model: Model


@dataclass(slots=True)
class Record(Generic[Model]):
    """A version's state, and why it is broken, if it is."""

    prepared: Prepared[Model] | None
    state: VersionState = VersionState.LOADING
    reason: str = ""
    lacking_since: float | None = None
    """Since when a Triton answers that it does not have it."""


class VersionRecords(Generic[Model]):
    """The versions in the repository, and what the log and the metrics say of them."""

    def __init__(self, prepare: Callable[[ModelVersion], Prepared[Model]]) -> None:
        """`prepare` makes a version ready for its canary and for calls; raises StartupError."""
        self._prepare = prepare
        self._records: dict[VersionFile, Record[Model]] = {}
        self._shown: set[tuple[str, VersionState]] = set()

    def __getitem__(self, file: VersionFile) -> Record[Model]:
        return self._records[file]

    def get(self, file: VersionFile | None) -> Record[Model] | None:
        """The record of a version, if it has been read and is still there."""
        return self._records.get(file) if file else None

    def keep(self, files: Collection[VersionFile]) -> None:
        """Forget all other versions: they are gone."""
        for file in self._records.keys() - set(files):
            if prepared := self._records[file].prepared:
                prepared.canary.close()
        self._records = {file: self._records[file] for file in files if file in self._records}

    async def read(self, file: VersionFile) -> Record[Model]:
        """The record of a version, which is read the first time."""
        if file not in self._records:
            try:
                version = await asyncio.to_thread(load_version, file.directory)
                self._records[file] = Record(self._prepare(version))
            except StartupError as error:
                self._records[file] = Record(None)
                self.fail(file, VersionState.UNREADABLE, str(error))
        return self._records[file]

    def fail(self, file: VersionFile, state: VersionState, reason: str) -> None:
        """Note what is wrong with a version; the log says it once."""
        record = self._records[file]
        if record.reason != reason:
            logger.error("model version %s is broken: %s", file.directory, reason)
        record.state, record.reason = state, reason

    def recover(self, file: VersionFile) -> None:
        """Nothing is wrong with it any more."""
        record = self._records[file]
        record.state, record.reason = VersionState.LOADING, ""

    def failure(self, given_up: Callable[[Record[Model]], bool]) -> str:
        """What is wrong with the newest version if all are given up; else empty."""
        if not all(map(given_up, self._records.values())):
            return ""
        file, record = next(iter(self._records.items()))
        return f"model version {file.directory} is broken: {record.reason}"

    def show(self) -> None:
        """Tell the metrics each version's state."""
        shown = {(file.number, record.state) for file, record in self._records.items()}
        for number, state in self._shown - shown:
            metrics.VERSION_STATE.labels(number, state).set(0)
        for number, state in shown:
            metrics.VERSION_STATE.labels(number, state).set(1)
        self._shown = shown

    def __bool__(self) -> bool:
        return bool(self._records)
