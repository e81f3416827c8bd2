"""The service on a real gRPC server, with a real tokenizer and a model in the test's hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import (
    QuestionAnsweringServiceStub,
    add_QuestionAnsweringServiceServicer_to_server,
)
from spanqa_server.errors import ModelUnavailableError
from spanqa_server.grpc_api.interceptors import CallInterceptor
from spanqa_server.grpc_api.items import ServedModel
from spanqa_server.grpc_api.servicer import QuestionAnsweringServicer
from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.windows import PackedWindows
from spanqa_server.scheduling.admission import Admission
from spanqa_server.scheduling.token_budget import TokenBudget
from unit.server.grpc_api.counters import Counters
from unit.server.qa.played import TOKENIZERS, PlayedModel, make_answerer

T = TypeVar("T")
MAX_ID_BYTES = 1024


class ControlledModel(PlayedModel):
    """Waits, or fails, where a test says so for a word of the question or the context."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: dict[str, asyncio.Event] = {}
        self.errors: dict[str, Exception] = {}
        self.under_way = 0
        self.most = 0
        self.changed = asyncio.Condition()
        self.cancelled = 0

    def hold(self, word: str) -> asyncio.Event:
        """Whatever has this word waits until the event is set."""
        return self.gates.setdefault(word, asyncio.Event())

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until this holds, after some change here."""
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(condition)

    async def infer(self, packed: PackedWindows) -> Logits:
        words = TOKENIZERS["cased"].pieces(packed.input_ids)
        await self.count(1)
        try:
            await asyncio.sleep(0)  # as anyone who asks another process
            for word in words:
                if word in self.gates:
                    await self.gates[word].wait()
                if word in self.errors:
                    raise self.errors[word]
            return await super().infer(packed)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            await self.count(-1)

    async def count(self, change: int) -> None:
        self.under_way += change
        self.most = max(self.most, self.under_way)
        async with self.changed:
            self.changed.notify_all()


class Models:
    """One version, or several that each call is done with in turn, or none."""

    def __init__(self, *served: ServedModel) -> None:
        self.served = list(served)

    def current(self) -> ServedModel:
        if not self.served:
            raise ModelUnavailableError("no version yet")
        return self.served[-1]

    async def run(self, work: Callable[[ServedModel], Awaitable[T]]) -> T:
        self.current()
        for model in self.served:
            result = await work(model)
        return result


class Service:
    """The running service, and how it is asked."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        model: ControlledModel,
        models: Models,
        admission: Admission,
    ) -> None:
        self.stub: Any = QuestionAnsweringServiceStub(channel)
        self.model = model
        self.models = models
        self.channel = channel
        self.admission = admission
        self.counters = Counters()

    async def refusal(self, call: Awaitable[object]) -> Refusal:
        """The status that a call ends with."""
        try:
            await call
        except grpc.aio.AioRpcError as error:
            return Refusal(error)
        raise AssertionError("the call was answered")

    async def counted_once(self, method: str, code: str) -> None:
        """One call and no other was counted; a client may know of its end before that."""
        async with asyncio.timeout(20):
            while not self.counters.calls:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert self.counters.calls == {(method, code): 1}


class Refusal:
    """A status, its fields and its reason."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code().name
        self.message = error.details() or ""
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
        self.fields, self.reason = read_details(status or status_pb2.Status())
        self.trailers = dict(error.trailing_metadata() or ())


def read_details(status: status_pb2.Status) -> tuple[list[str], str]:
    """The wrong fields, and the reason."""
    request, info = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        assert detail.Unpack(request) or detail.Unpack(info) or detail.Unpack(retry)
    return [violation.field for violation in request.field_violations], info.reason


def serve_played(model: PlayedModel, version: str = "3") -> ServedModel:
    return ServedModel(
        make_answerer(model=model), version, lambda: pb.GetModelResponse(version=version)
    )


@asynccontextmanager
async def serving(
    *,
    default_timeout: float = 60.0,
    max_stream_pairs: int = 8,
    memory: int = 1 << 30,
    max_timeout: float = 600.0,
) -> AsyncIterator[Service]:
    model = ControlledModel()
    models = Models(serve_played(model))
    admission = Admission(memory, TokenBudget(16_384), long_from=1024)
    servicer = QuestionAnsweringServicer(
        models, admission, default_timeout, 20, max_stream_pairs, max_timeout, MAX_ID_BYTES
    )
    server = grpc.aio.server(interceptors=[CallInterceptor()])
    add_QuestionAnsweringServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Service(channel, model, models, admission)
    finally:
        await server.stop(None)


def pair(question: str = "who ?", context: str = "the light keeper", **options: Any) -> Any:
    return pb.AnswerRequest(question=question, context=context, options=pb.AnswerOptions(**options))
