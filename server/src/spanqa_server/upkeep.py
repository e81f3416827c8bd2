"""Triton, the model versions on it, and the loop that keeps what is told of them true."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from spanqa_server.errors import StartupError
from spanqa_server.grpc_api.items import ServedModel
from spanqa_server.rollout import Rollout
from spanqa_server.serving import serve_version
from spanqa_server.settings import Settings
from spanqa_server.triton.client import Triton
from spanqa_server.triton.dispatcher import TokenBudget
from spanqa_server.triton.embedded import EmbeddedTriton
from spanqa_server.triton.host import TritonHost
from spanqa_server.versions import EXPORT_COMMAND, MODEL_NAME, ModelVersion

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
LONG_WORK_THREADS = 2


class Upkeep:
    """What answers questions in this process, and whether it can."""

    def __init__(
        self,
        settings: Settings,
        rollout: Rollout[ServedModel],
        budget: TokenBudget,
        embedded: EmbeddedTriton | None,
    ) -> None:
        self.rollout = rollout
        self._budget = budget
        self._settings = settings
        self._embedded = embedded

    @property
    def triton(self) -> list[str]:
        """Where Triton is."""
        return [self._embedded.address] if self._embedded else self._settings.triton

    @property
    def triton_metrics(self) -> str:
        """Where the embedded Triton gives out its metrics, if it does."""
        return self._embedded.metrics_address if self._embedded else ""

    def tokens_per_second(self) -> float:
        """How fast Triton works at present."""
        return self._budget.tokens_per_second

    async def start(self) -> None:
        """Look for versions, and start Triton where it is ours.

        Raises:
            StartupError: there is no version, none that works, or no program to start.
        """
        await self.rollout.look()
        self._check_versions()
        if self._embedded:
            await self._embedded.start()

    async def run(self, tell: Callable[[bool], Awaitable[None]], stop: asyncio.Event) -> None:
        """Keep the version the best one until told to stop; `tell` whether one serves.

        Raises:
            StartupError: no version works, or none did in time.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._settings.startup_timeout
        logger.info("waiting for %s", ",".join(self.triton))
        was_ready: bool | None = None
        ever_ready = False
        while not stop.is_set():
            try:
                ready = await self.rollout.look()
            except OSError as error:  # a disk that is full or out of reach
                logger.error("cannot look for model versions: %s", error)
                ready = bool(was_ready)
            if ready != was_ready:
                was_ready = ready
                await tell(ready)
                if not ready and ever_ready:
                    logger.error("Triton does not serve the model; NOT_SERVING until it does")
                elif ever_ready:
                    logger.info("Triton serves the model again")
            ever_ready = ever_ready or ready
            if not ever_ready:
                self._check_versions()
                if loop.time() > give_up:
                    raise self._too_late()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), POLL_SECONDS if ever_ready else 0.1)

    def _check_versions(self) -> None:
        if reason := self.rollout.failure():
            remedy = EXPORT_COMMAND.format(repository=self._settings.model_repository)
            raise StartupError(f"{reason}; make one with: {remedy}")

    def _too_late(self) -> StartupError:
        where = "the embedded Triton" if self._embedded else f"Triton at {','.join(self.triton)}"
        return StartupError(
            f"{where} does not serve {MODEL_NAME} after {self._settings.startup_timeout:.0f} s; "
            "check that it runs and holds this version, or raise --startup-timeout"
        )


@contextlib.asynccontextmanager
async def open_upkeep(
    settings: Settings, on_switch: Callable[[ModelVersion], None]
) -> AsyncIterator[Upkeep]:
    """The parts, not started yet; what has started by the end of the block is ended."""
    async with contextlib.AsyncExitStack() as stack:
        embedded = None
        if not settings.triton:
            embedded = EmbeddedTriton(
                settings.model_repository,
                settings.threads,
                metrics=settings.metrics_port != 0,
                otlp_endpoint=settings.otlp_endpoint,
            )
            stack.push_async_callback(embedded.stop)
        budget = TokenBudget(
            settings.max_tokens_in_flight, settings.chunks_in_flight * settings.chunk_tokens
        )
        triton = Triton(
            [embedded.address] if embedded else settings.triton,
            MODEL_NAME,
            budget=budget,
            max_chunk_tokens=settings.chunk_tokens,
        )
        stack.push_async_callback(triton.close)
        threads = ThreadPoolExecutor(LONG_WORK_THREADS, "long-text")
        # What waits there is dropped; what runs ends with the process.
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        rollout = Rollout(
            settings.model_repository,
            TritonHost(triton, embedded),
            build=lambda version: serve_version(settings, version, triton, threads),
            on_switch=on_switch,
            first_batch_tokens=settings.canary_tokens,
        )
        yield Upkeep(settings, rollout, budget, embedded)
