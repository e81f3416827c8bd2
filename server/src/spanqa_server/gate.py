"""Keeps a Triton's model repository free of versions that do not work.

Triton loads all versions that it sees or none, and at a start a broken one keeps it from serving
any. So it polls a view: links to the newest versions that can be read, that it could load, and
that pass their canary. A version that fails on the way is taken out of the view again.
"""

import asyncio
import contextlib
import logging
from pathlib import Path

from prometheus_client.registry import REGISTRY

from spanqa_server.errors import StartupError
from spanqa_server.rollout import Rollout
from spanqa_server.service import start_metrics, stop_signal
from spanqa_server.triton.client import Triton
from spanqa_server.triton.dispatcher import TokenBudget
from spanqa_server.triton.host import TritonHost
from spanqa_server.triton.view import RepositoryView
from spanqa_server.triton_settings import GateSettings
from spanqa_server.versions import MODEL_NAME, ModelVersion

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0


async def keep_gate(settings: GateSettings) -> None:
    """Offer the versions that work to one Triton, until SIGTERM or SIGINT.

    Raises:
        StartupError: there is not one Triton, or the view cannot be written.
    """
    if len(settings.triton) != 1:
        raise StartupError("--triton must name one Triton: each has a gate of its own")
    stop = stop_signal()
    start_metrics(settings, REGISTRY)
    async with contextlib.AsyncExitStack() as stack:
        triton = Triton(
            settings.triton,
            MODEL_NAME,
            budget=TokenBudget(settings.max_tokens_in_flight),
            max_chunk_tokens=settings.chunk_tokens,
        )
        stack.push_async_callback(triton.close)
        view = writable_view(settings.view, settings.model_repository)
        rollout: Rollout[None] = Rollout(
            settings.model_repository,
            TritonHost(triton, view),
            build=lambda version: None,
            on_switch=say_that_it_works,
            first_batch_tokens=settings.canary_tokens,
        )
        logger.info("offering the versions of %s to Triton", settings.model_repository)
        while not stop.is_set():
            try:
                await rollout.look()
            except OSError as error:  # a disk that is full or out of reach
                logger.error("cannot offer model versions: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), POLL_SECONDS)
    logger.info("stopped; Triton keeps what it was offered")


def say_that_it_works(version: ModelVersion) -> None:
    logger.info("%s version %s works", version.manifest.name, version.number)


def writable_view(directory: Path, repository: Path) -> RepositoryView:
    """The view; raises StartupError where no link can be made there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".probe"
        probe.unlink(missing_ok=True)
        probe.symlink_to(repository)
        probe.unlink()
    except OSError as error:
        raise StartupError(f"--view {directory}: {error.strerror}: it must be writable") from None
    return RepositoryView(directory, repository)
