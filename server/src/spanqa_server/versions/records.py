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
from spanqa_server.versions.decisions import Standing
from spanqa_server.versions.repository import (
    ModelVersion,
    VersionFile,
    load_version,
    stamp_of,
)

logger = logging.getLogger(__name__)
# What takes the calls of a version.
Model = TypeVar("Model")
Stamp = tuple[tuple[int, int, int], ...]


class VersionState(StrEnum):
    """Where a version is on its way to the calls."""

    LOADING = "loading"  # Triton does not have it yet, or its canary is under way
    SERVING = "serving"
    STANDBY = "standby"  # older than the one that serves, to go back to
    UNREADABLE = "unreadable"  # a file of it is missing or broken
    NOT_LOADED = "not_loaded"  # Triton could not load it, or takes too long
    FAILED = "failed"  # it did not pass its canary
    HELD = "held"  # not to be used until somebody promotes it


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
    read_as: Stamp = ()
    """The state of its files when they were read."""
    seen_as: Stamp = ()
    """Their state at the last look after that."""

    def changed_and_settled(self, stamp: Stamp) -> bool:
        """Whether its files have changed since they were read, but not since the last look."""
        before, self.seen_as = self.seen_as, stamp
        return self.read_as != stamp == before


class VersionRecords(Generic[Model]):
    """The versions in the repository, and what the log and the metrics say of them."""

    def __init__(self, prepare: Callable[[ModelVersion], Prepared[Model]]) -> None:
        """`prepare` makes a version ready for its canary and for calls; raises StartupError."""
        self._prepare = prepare
        self._records: dict[VersionFile, Record[Model]] = {}
        self._standings: dict[VersionFile, Standing] = {}
        self._held: dict[VersionFile, str] = {}
        self._shown: set[tuple[str, VersionState]] = set()

    def __getitem__(self, file: VersionFile) -> Record[Model]:
        return self._records[file]

    def get(self, file: VersionFile | None) -> Record[Model] | None:
        """The record of a version, if it has been read and is still there."""
        return self._records.get(file) if file else None

    def keep(self, standings: Collection[Standing], held: dict[VersionFile, str]) -> None:
        """Forget all other versions: they are gone. Those that are held are not tried."""
        self._standings = {standing.file: standing for standing in standings}
        for file in self._records.keys() - self._standings.keys():
            if prepared := self._records[file].prepared:
                prepared.canary.close()
        self._records = {
            file: self._records[file] for file in self._standings if file in self._records
        }
        for file, record in self._records.items():
            self._inform(file, record)
        self._hold(held)

    def _inform(self, file: VersionFile, record: Record[Model]) -> None:
        """Tell the version what was measured of it meanwhile."""
        if record.prepared and self._standings[file].manifest:
            record.prepared.version.figures = self._standings[file].figures

    def _hold(self, held: dict[VersionFile, str]) -> None:
        """Note which versions are held; the log says it once."""
        for file, reason in held.items():
            if self._held.get(file) != reason:
                line = "model version %s is held: %s; spanqa-model promote %s lets it serve"
                logger.warning(line, file.directory, reason, file.number)
        for file in self._held.keys() & self._standings.keys() - held.keys():
            logger.info("model version %s is held no longer", file.directory)
        self._held = held

    def is_held(self, file: VersionFile) -> bool:
        """Whether the version must not be tried."""
        return file in self._held

    async def read(self, file: VersionFile) -> Record[Model]:
        """The record of a version, which is read the first time.

        One that is broken is read again when its files have changed: it may have been looked at
        while it was copied.
        """
        known = self._records.get(file)
        if known and not known.reason:
            return known
        stamp = await asyncio.to_thread(stamp_of, file.directory)
        if known and not known.changed_and_settled(stamp):
            return known
        if known and known.prepared:
            known.prepared.canary.close()
        self._records[file] = await self._read(file, stamp, known.reason if known else "")
        return self._records[file]

    async def _read(self, file: VersionFile, stamp: Stamp, told: str) -> Record[Model]:
        """Read it; what was told of it before is not logged again."""
        try:
            version = await asyncio.to_thread(load_version, file.directory)
            record = Record(self._prepare(version), read_as=stamp)
        except Exception as error:  # whatever its files hold, the server goes on
            record = Record(None, reason=told, read_as=stamp)
            self._records[file] = record
            foreseen = isinstance(error, StartupError)
            reason = str(error) if foreseen else f"cannot be used: {error!r}"
            self.fail(file, VersionState.UNREADABLE, reason)
            return record
        self._records[file] = record
        self._inform(file, record)
        return record

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
        """What is wrong with the newest version if all are given up or held; else empty."""
        tried = {file: one for file, one in self._records.items() if file not in self._held}
        if not all(map(given_up, tried.values())):
            return ""
        broken = (f"{file.directory} is broken: {one.reason}" for file, one in tried.items())
        held = (
            f"{file.directory} is held: {reason}; spanqa-model promote {file.number} lets it serve"
            for file, reason in self._held.items()
        )
        told = filter(None, (next(broken, ""), next(held, "")))
        return "; ".join(f"model version {one}" for one in told)

    def show(self) -> None:
        """Tell the metrics each version's state."""
        shown = {
            (file.number, record.state)
            for file, record in self._records.items()
            if file not in self._held
        } | {(file.number, VersionState.HELD) for file in self._held}
        for number, state in self._shown - shown:
            metrics.VERSION_STATE.labels(number, state).set(0)
        for number, state in shown:
            metrics.VERSION_STATE.labels(number, state).set(1)
        self._shown = shown

    def __bool__(self) -> bool:
        return bool(self._records or self._held)
