"""The service: messages in, messages out. Everything else is the core's."""

from __future__ import annotations  # grpc's classes are generic in its stubs alone

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter
from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceServicer
from spanqa_server.errors import DeadlineError
from spanqa_server.grpc_api.messages import read_question, write_answers
from spanqa_server.qa.answerer import Answerer, AnswerSet
from spanqa_server.telemetry import metrics

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]


class QuestionAnsweringServicer(QuestionAnsweringServiceServicer):
    """Serves one model version."""

    def __init__(
        self, answerer: Answerer, model: pb.GetModelResponse, default_timeout: float
    ) -> None:
        self._answerer = answerer
        self._model = model
        self._default_timeout = default_timeout

    async def Answer(self, request: pb.AnswerRequest, context: Context) -> pb.AnswerResponse:
        """Answer one question about one context."""
        begin = perf_counter()
        remaining = context.time_remaining()
        timeout = self._default_timeout if remaining is None else remaining
        try:
            async with asyncio.timeout(timeout):
                found = await self._answerer.answer(read_question(request))
        except TimeoutError:
            raise DeadlineError(f"no answer within {timeout:.3g} s") from None
        record(found)
        return write_answers(found, self._model.version, perf_counter() - begin)

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        """Describe the model version and the limits."""
        return self._model

    async def BatchAnswer(
        self, request: pb.BatchAnswerRequest, context: Context
    ) -> pb.BatchAnswerResponse:
        """Not there yet."""
        await unimplemented(context, "BatchAnswer")

    async def StreamAnswer(
        self, request_iterator: Any, context: Context
    ) -> AsyncIterator[pb.StreamAnswerResponse]:
        """Not there yet."""
        await unimplemented(context, "StreamAnswer")
        yield pb.StreamAnswerResponse()

    async def AnswerFromDocuments(
        self, request: pb.AnswerFromDocumentsRequest, context: Context
    ) -> pb.AnswerFromDocumentsResponse:
        """Not there yet."""
        await unimplemented(context, "AnswerFromDocuments")

    async def ComputeLogits(
        self, request: pb.ComputeLogitsRequest, context: Context
    ) -> pb.ComputeLogitsResponse:
        """Not there yet."""
        await unimplemented(context, "ComputeLogits")


async def unimplemented(context: Context, method: str) -> NoReturn:
    await context.abort(
        grpc.StatusCode.UNIMPLEMENTED, f"{method} is not implemented in this version; use Answer"
    )


def record(found: AnswerSet) -> None:
    """Count an answered request."""
    for stage in ("tokenize", "queue", "infer", "decode"):
        metrics.STAGE_SECONDS.labels(stage).observe(getattr(found.seconds, stage))
    metrics.QUESTION_TOKENS.inc(found.question_tokens)
    metrics.CONTEXT_TOKENS.inc(found.context_tokens)
    metrics.WINDOWS.inc(found.windows)
