"""A blocking StreamAnswer call: pairs are sent while results arrive.

Only the index of a pair is kept, until its result arrives. The next pair is taken when gRPC's flow
control and `MAX_UNANSWERED` allow it. Flow control alone counts bytes, and would let hundreds of
short pairs run ahead of the server.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from threading import Semaphore
from typing import Protocol

import grpc

from spanqa import _replies, _requests
from spanqa._errors import InternalError, error_from_rpc
from spanqa._inputs import PairLike
from spanqa._results import StreamItem
from spanqa.v1 import question_answering_pb2 as pb

# Twice the pairs of a stream that a server with default settings works on at a time.
MAX_UNANSWERED = 128


class Exchange:
    """Numbers the pairs of one stream and matches the responses to them."""

    def __init__(self) -> None:
        self._taken = 0
        self._unanswered: set[int] = set()
        self.all_taken = False
        self.over = False
        self.failure: BaseException | None = None
        """The error that the caller's iterable raised, or that a pair caused."""

    def request(self, pair: PairLike) -> pb.StreamAnswerRequest:
        """The message for the next pair."""
        request = _requests.stream_request(self._taken, pair)
        self._unanswered.add(self._taken)
        self._taken += 1
        return request

    def item(self, response: pb.StreamAnswerResponse) -> StreamItem:
        """The item for a response."""
        try:
            index = int(response.id)
            self._unanswered.remove(index)
        except (KeyError, ValueError):
            raise InternalError(
                f"the server answered a pair {response.id!r} that was not waiting for an answer"
            ) from None
        return StreamItem(index, _replies.outcome(response))

    def check_end(self) -> None:
        """Raises the failure, or InternalError if the server ended the stream too early."""
        if self.failure is not None:
            raise self.failure
        if not self.all_taken or self._unanswered:
            raise InternalError("the server ended the stream before it had answered every pair")


class SyncCall(Protocol):
    """The part of a blocking gRPC call that a stream needs."""

    def __iter__(self) -> Iterator[pb.StreamAnswerResponse]: ...

    def cancel(self) -> object: ...


def stream(
    start: Callable[[Iterator[pb.StreamAnswerRequest]], SyncCall], pairs: Iterable[PairLike]
) -> Generator[StreamItem, None, None]:
    """Starts a call at the first ``next``; closing the generator cancels the call."""
    exchange = Exchange()
    started: Future[SyncCall] = Future()
    room = Semaphore(MAX_UNANSWERED - 1)
    call = start(_sending(exchange, pairs, started, room))
    started.set_result(call)
    try:
        responses = iter(call)
        while (response := _next(responses, exchange)) is not None:
            room.release()
            yield exchange.item(response)
        exchange.check_end()
    finally:
        call.cancel()
        exchange.over = True
        room.release()


def _sending(
    exchange: Exchange, pairs: Iterable[PairLike], started: Future[SyncCall], room: Semaphore
) -> Iterator[pb.StreamAnswerRequest]:
    # Runs in a thread of gRPC, which would log an exception and hide it from the caller.
    try:
        for pair in pairs:
            yield exchange.request(pair)
            room.acquire()
            if exchange.over:
                return
        exchange.all_taken = True
    except GeneratorExit:
        raise
    except BaseException as error:
        exchange.failure = error
        started.result().cancel()


def _next(
    responses: Iterator[pb.StreamAnswerResponse], exchange: Exchange
) -> pb.StreamAnswerResponse | None:
    try:
        return next(responses, None)
    except grpc.RpcError as error:
        if exchange.failure is None:
            raise error_from_rpc(error) from error
    raise exchange.failure
