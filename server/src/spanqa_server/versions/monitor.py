"""Looks for model versions again and again, and reports whether one serves."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from spanqa_server.errors import StartupError
from spanqa_server.versions.repository import EXPORT_COMMAND, MODEL_NAME, find_versions
from spanqa_server.versions.rollout import Rollout

logger = logging.getLogger(__name__)

POLL_SECONDS, STARTING_POLL_SECONDS = 1.0, 0.1


class VersionMonitor:
    """Looks for versions, and gives up if none works or none serves in time."""

    def __init__(
        self, rollout: Rollout[Any], *, triton: str, repository: Path, startup_timeout: float
    ) -> None:
        """Nothing is looked at yet.

        Args:
            rollout: decides which version serves.
            triton: what messages call Triton.
            repository: where versions are, for messages.
            startup_timeout: seconds in which a version has to serve for the first time.
        """
        self._rollout = rollout
        self._triton = triton
        self._repository = repository
        self._startup_timeout = startup_timeout

    async def look(self) -> None:
        """Look once; raises StartupError if there is no version, or none that works."""
        await self._rollout.look()
        self._check()

    async def run(self, report: Callable[[bool], Awaitable[None]], stop: asyncio.Event) -> None:
        """Look every second until `stop` is set, and report whenever the answer changes.

        Args:
            report: called with whether a version serves.
            stop: ends the loop.

        Raises:
            StartupError: no version works, or none did in time.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._startup_timeout
        logger.info("waiting for %s", self._triton)
        was_ready: bool | None = None
        ever_ready = False
        while not stop.is_set():
            try:
                ready = await self._rollout.look()
            except OSError as error:  # a disk that is full or out of reach
                logger.error("cannot look for model versions: %s", error)
                ready = bool(was_ready)
            if ready != was_ready:
                was_ready = ready
                await report(ready)
                if not ready and ever_ready:
                    logger.error("Triton does not serve the model; NOT_SERVING until it does")
                elif ever_ready:
                    logger.info("Triton serves the model again")
            ever_ready = ever_ready or ready
            if not ever_ready:
                self._check()
                if loop.time() > give_up:
                    raise self._too_late()
            pause = POLL_SECONDS if ever_ready else STARTING_POLL_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)

    def _check(self) -> None:
        """Raise StartupError if no version can serve."""
        if reason := self._rollout.failure():
            remedy = EXPORT_COMMAND.format(repository=self._repository)
            verb = "export another" if find_versions(self._repository) else "make one"
            raise StartupError(f"{reason}; {verb} with: {remedy}")

    def _too_late(self) -> StartupError:
        return StartupError(
            f"{self._triton} does not serve {MODEL_NAME} after {self._startup_timeout:.0f} s; "
            "check that it runs and has loaded a version of it, or raise --startup-timeout"
        )
