"""One question about one text, asked in every way that the service has."""

import asyncio
import itertools
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.rpc import status_pb2

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.answers import CODECS, UTF8, UTF16, UTF32, status_of

T = TypeVar("T")
Response = pb.AnswerResponse | pb.AnswerFromDocumentsResponse
CALL_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of the pair: an answer in this unit, or a status."""

    unit: "pb.OffsetEncoding.ValueType"
    result: Response | status_pb2.Status


@dataclass(frozen=True, slots=True)
class Replies:
    """The same pair in four ways, and its neighbours in the batch."""

    alone: Reply
    in_batch: Reply
    in_stream: Reply
    as_document: Reply
    neighbours: list[pb.BatchAnswerItem]

    def others(self) -> tuple[Reply, ...]:
        return self.in_batch, self.in_stream, self.as_document


def code_points(
    context: str, answer: pb.Answer, unit: "pb.OffsetEncoding.ValueType"
) -> tuple[int, int]:
    """Where an answer is, in the unit that all units can be compared in."""
    codec, size = CODECS[unit]
    raw = context.encode(codec)
    start, end = (len(raw[: at * size].decode(codec)) for at in (answer.start, answer.end))
    return start, end


def counted_in(pair: pb.AnswerRequest, unit: "pb.OffsetEncoding.ValueType") -> pb.AnswerRequest:
    changed = pb.AnswerRequest()
    changed.CopyFrom(pair)
    changed.options.offset_encoding = unit
    return changed


def settled(item: pb.BatchAnswerItem | pb.StreamAnswerResponse) -> Response | status_pb2.Status:
    return item.error if item.WhichOneof("result") == "error" else item.response


class Caller:
    """Asks in all four ways at once, each in a unit of its own; for any number of threads."""

    def __init__(self, target: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._channel = grpc.aio.insecure_channel(target)
        self._stub: Any = QuestionAnsweringServiceStub(self._channel)
        self._stream: Any = self._stub.StreamAnswer()
        self._numbers = itertools.count()
        self._streamed: dict[str, asyncio.Future[pb.StreamAnswerResponse]] = {}
        self._writing = asyncio.Lock()
        self._reader = loop.create_task(self._read())

    def ask(
        self, pair: pb.AnswerRequest, neighbours: list[pb.AnswerRequest], position: int
    ) -> Replies:
        """The pair is `position`th in its batch."""
        return run_on(self._loop, self._ask(pair, neighbours, position))

    async def close(self) -> None:
        await self._stream.done_writing()
        await self._reader
        assert not self._streamed, "pairs of the stream without a reply"
        await self._channel.close()

    async def _ask(
        self, pair: pb.AnswerRequest, neighbours: list[pb.AnswerRequest], position: int
    ) -> Replies:
        eight, sixteen, thirty_two = (counted_in(pair, unit) for unit in (UTF8, UTF16, UTF32))
        alone, batch, streamed, document = await asyncio.gather(
            self._call(self._stub.Answer(thirty_two, timeout=CALL_SECONDS)),
            self._batch([*neighbours[:position], eight, *neighbours[position:]]),
            self._through_stream(sixteen),
            self._call(self._stub.AnswerFromDocuments(as_document(eight), timeout=CALL_SECONDS)),
        )
        assert len(batch) == len(neighbours) + 1
        mine = batch.pop(position)
        return Replies(
            Reply(UTF32, alone),
            Reply(UTF8, settled(mine)),
            Reply(UTF16, settled(streamed)),
            Reply(UTF8, document),
            batch,
        )

    async def _call(self, call: Any) -> Response | status_pb2.Status:
        try:
            response: Response = await call
        except grpc.aio.AioRpcError as error:
            return status_of(error)
        return response

    async def _batch(self, pairs: list[pb.AnswerRequest]) -> list[pb.BatchAnswerItem]:
        request = pb.BatchAnswerRequest(requests=pairs)
        response = await self._stub.BatchAnswer(request, timeout=CALL_SECONDS)
        return list(response.items)

    async def _through_stream(self, pair: pb.AnswerRequest) -> pb.StreamAnswerResponse:
        name = str(next(self._numbers))
        reply = self._streamed[name] = self._loop.create_future()
        async with self._writing:
            await self._stream.write(pb.StreamAnswerRequest(id=name, request=pair))
        return await asyncio.wait_for(reply, CALL_SECONDS)

    async def _read(self) -> None:
        async for response in self._stream:
            self._streamed.pop(response.id).set_result(response)


def as_document(pair: pb.AnswerRequest) -> pb.AnswerFromDocumentsRequest:
    return pb.AnswerFromDocumentsRequest(
        question=pair.question, documents=[pb.Document(text=pair.context)], options=pair.options
    )


def run_on(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(work, loop).result(2 * CALL_SECONDS)


@contextmanager
def caller_of(target: str) -> Iterator[Caller]:
    """A caller with an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def make() -> Caller:
        return Caller(target, loop)

    try:
        caller = run_on(loop, make())
        yield caller
        run_on(loop, caller.close())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
