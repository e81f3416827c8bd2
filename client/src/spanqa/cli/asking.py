"""Asks rows concurrently and patiently: through refusals, and while the server is away."""

from __future__ import annotations

import asyncio
import queue
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from time import monotonic
from typing import Generic, TypeAlias, TypeVar

import grpc

from spanqa import (
    AnswerResult,
    AsyncClient,
    CallCancelledError,
    InvalidArgumentError,
    Options,
    PermissionDeniedError,
    SpanQAError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)
from spanqa._bulk.rows import Row
from spanqa._repeating import OVERLOADED

Outcome: TypeAlias = AnswerResult | SpanQAError
_Written = TypeVar("_Written")

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 5.0
# Of a row, with errors that may be the server's bad moment.
_ATTEMPTS = 3
_MOMENTARY = (
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.ABORTED,
)
_AWAY = (UnavailableError, CallCancelledError)
_FOR_ALL_ROWS = (UnauthenticatedError, PermissionDeniedError, UnimplementedError)


class StoppedError(Exception):
    """No row can be answered any more; ``error`` says why."""

    def __init__(self, error: SpanQAError) -> None:
        super().__init__(str(error))
        self.error = error


class PatientClient:
    """Asks until there is an outcome that another attempt would not change."""

    def __init__(self, client: AsyncClient, options: Options, patience: float) -> None:
        """``patience``: seconds without any reply after which the server is given up."""
        self._client = client
        self._options = asdict(options)
        self._patience = patience
        self._last_reply = monotonic()
        self._is_away = False

    async def ask(self, row: Row) -> Outcome:
        """The outcome of a row.

        Raises:
            StoppedError: The server is away for too long, or refuses whatever it is asked.
        """
        if row.problem:
            return InvalidArgumentError(row.problem)
        failures, pause = 0, _FIRST_PAUSE_SECONDS
        while True:
            try:
                result = await self._client.answer(row.question, row.context, **self._options)
            except ValueError as error:
                return InvalidArgumentError(str(error))
            except SpanQAError as error:
                failures += error.code in _MOMENTARY
                if not self._is_worth_repeating(error, failures):
                    return error
                delay = error.retry_delay
            else:
                self._note_reply()
                return result
            if delay is None:
                delay, pause = pause, min(2 * pause, _LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(delay * random.uniform(1, 1.2))  # noqa: S311

    def _is_worth_repeating(self, error: SpanQAError, failures: int) -> bool:
        if isinstance(error, _AWAY):
            if not self._is_away:
                self._is_away, self._last_reply = True, monotonic()
            if monotonic() - self._last_reply > self._patience:
                raise StoppedError(error)
            return True
        self._note_reply()
        refused = [violation.field for violation in error.field_violations]
        if isinstance(error, _FOR_ALL_ROWS) or any(f.startswith("options.") for f in refused):
            raise StoppedError(error)
        return error.reason == OVERLOADED or 0 < failures < _ATTEMPTS

    def _note_reply(self) -> None:
        self._is_away = False


async def ask_rows(
    client: PatientClient,
    rows: Iterator[Row],
    render: Callable[[Row, Outcome], _Written],
    write: Callable[[_Written], None],
    *,
    concurrency: int,
    is_ordered: bool,
) -> None:
    """Asks rows, and writes what is made of each and its outcome.

    Single calls, not a stream: if a server dies, each is repeated by itself, and a load balancer
    deals them out. At most ``concurrency`` calls are under way; if the order counts, at most eight
    times as many rows are taken and not written.

    Args:
        client: Asks one row.
        rows: Read in a thread of its own, one at a time.
        render: Called as soon as there is an outcome.
        write: Called in the order of the rows if ``is_ordered``, otherwise as answers come.
        concurrency: How many calls may be under way.
        is_ordered: Whether an answer waits for those of the rows before it.

    Raises:
        StoppedError: From ``client``; calls under way are then cancelled.
        Exception: From ``rows``, ``render`` or ``write``, likewise.
    """
    feeder = _Feeder(rows)
    outlet = _Outlet(write, 8 * concurrency, is_ordered)

    async def work() -> None:
        while True:
            await outlet.room.acquire()
            taken = await feeder.take()
            if taken is None:
                outlet.room.release()
                return
            ticket, row = taken
            outlet.put(ticket, render(row, await client.ask(row)))

    workers = [asyncio.create_task(work()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        feeder.close()
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


class _Outlet(Generic[_Written]):
    def __init__(self, write: Callable[[_Written], None], room: int, is_ordered: bool) -> None:
        self.room = asyncio.Semaphore(room)
        self._write = write
        self._is_ordered = is_ordered
        self._next = 0
        self._held: dict[int, _Written] = {}

    def put(self, ticket: int, written: _Written) -> None:
        if not self._is_ordered:
            self._give(written)
            return
        self._held[ticket] = written
        while self._next in self._held:
            self._give(self._held.pop(self._next))
            self._next += 1

    def _give(self, written: _Written) -> None:
        self._write(written)
        self.room.release()


_Taken: TypeAlias = tuple[int, Row] | None


class _Feeder:
    """Reads in a daemon thread, so that a slow pipe holds up neither the calls nor Ctrl-C."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._numbered = enumerate(rows)
        self._loop = asyncio.get_running_loop()
        self._wanted: queue.SimpleQueue[asyncio.Future[_Taken] | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    async def take(self) -> _Taken:
        """The next row with its number among those taken, from 0; None if there are no more."""
        future: asyncio.Future[_Taken] = self._loop.create_future()
        self._wanted.put(future)
        return await future

    def close(self) -> None:
        """Ends the thread when it has read what it is reading."""
        self._wanted.put(None)

    def _read(self) -> None:
        while (future := self._wanted.get()) is not None:
            taken: _Taken = None
            error: BaseException | None = None
            try:
                taken = next(self._numbered, None)
            except BaseException as raised:
                error = raised
            try:
                self._loop.call_soon_threadsafe(_settle, future, taken, error)
            except RuntimeError:  # the loop is closed: nobody waits
                return


def _settle(future: asyncio.Future[_Taken], taken: _Taken, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(taken)
    else:
        future.set_exception(error)
