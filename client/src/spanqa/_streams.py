"""A StreamAnswer call, of which both ends run at once: pairs go out while results come in.

Nothing is kept of a pair but its index, and only until it is answered. The next pair is taken
when gRPC's flow control and `MAX_UNANSWERED` allow it: gRPC's buffers alone, which count bytes,
would let hundreds of short pairs run ahead of the server.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from threading import Semaphore
from typing import Protocol

import grpc

from spanqa import _replies, _requests
from spanqa.errors import InternalError, error_from_rpc
from spanqa.inputs import PairLike
from spanqa.results import StreamItem
from spanqa.v1 import question_answering_pb2 as pb

# Twice what a server with default settings works on at once in a stream.
MAX_UNANSWERED = 128


class Exchange:
    """Numbers the pairs of one stream and matches the responses to them."""

    def __init__(self) -> None:
        self._taken = 0
        self._unanswered: set[int] = set()
        self.all_taken = False
        self.over = False
        self.failure: BaseException | None = None
        """What the caller's own iterable raised, or what was wrong with a pair."""

    def request(self, pair: PairLike) -> pb.StreamAnswerRequest:
        """The message for the next pair."""
        request = _requests.stream_request(self._taken, pair)
        self._unanswered.add(self._taken)
        self._taken += 1
        return request

    def item(self, response: pb.StreamAnswerResponse) -> StreamItem:
        """What the caller gets for a response."""
        try:
            index = int(response.id)
            self._unanswered.remove(index)
        except (KeyError, ValueError):
            raise InternalError(
                f"the server answered a pair {response.id!r} that was not waiting for an answer"
            ) from None
        return StreamItem(index, _replies.outcome(response))

    def check_end(self) -> None:
        """Raises what there is to raise once the server has ended the stream without an error."""
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
    """Starts a call at the first ``next`` and cancels it when it is closed."""
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
    # Runs in gRPC's thread, which would log an exception and hide it from the caller.
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
