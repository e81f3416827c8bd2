"""The methods of the service: messages in, messages out. The work is done in `qa/`."""

from __future__ import annotations  # grpc's classes are generic in its stubs alone

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceServicer
from spanqa_server.errors import FieldViolation, InvalidRequestError
from spanqa_server.grpc_api import converters
from spanqa_server.grpc_api.callers import Callers
from spanqa_server.grpc_api.items import ServedModel, check_count, settle
from spanqa_server.grpc_api.pipeline import pipeline
from spanqa_server.qa.requests import Question
from spanqa_server.qa.results import Cost
from spanqa_server.scheduling.admission import Admission
from spanqa_server.scheduling.call import Call
from spanqa_server.scheduling.deadline import Deadline
from spanqa_server.telemetry import metrics

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

T = TypeVar("T")
Response = TypeVar("Response")


class HasCost(Protocol):
    """A result that knows its cost."""

    @property
    def cost(self) -> Cost: ...


Found = TypeVar("Found", bound=HasCost)

STAGES = {
    stage: metrics.STAGE_SECONDS.labels(stage) for stage in ("tokenize", "queue", "infer", "decode")
}


class Models(Protocol):
    """Knows which version serves."""

    def current(self) -> ServedModel:
        """The version that serves; raises ModelUnavailableError while there is none."""

    async def run(self, work: Callable[[ServedModel], Awaitable[T]]) -> T:
        """Do work with the version that serves; once more with the next one if it goes away."""


class QuestionAnsweringServicer(QuestionAnsweringServiceServicer):
    """Serves whichever model version is current."""

    def __init__(
        self,
        models: Models,
        admission: Admission,
        default_timeout: float,
        max_batch_items: int,
        max_stream_pairs: int,
        callers: Callers | None = None,
    ) -> None:
        self._models = models
        self._admission = admission
        self._default_timeout = default_timeout
        self._max_batch_items = max_batch_items
        self._max_stream_pairs = max_stream_pairs
        self._callers = callers or Callers()

    async def Answer(self, request: pb.AnswerRequest, context: Context) -> pb.AnswerResponse:
        """Answer one question about one context."""
        question = converters.read_question(request)
        with self._take(question, context) as deadline:
            return await self._answer(question, deadline)

    async def BatchAnswer(
        self, request: pb.BatchAnswerRequest, context: Context
    ) -> pb.BatchAnswerResponse:
        """Answer independent pairs; each gets an answer or a status."""
        check_count("requests", len(request.requests), self._max_batch_items)
        call = self._call(context)
        items = [pb.BatchAnswerItem() for _ in request.requests]

        async def pairs() -> AsyncIterator[tuple[pb.AnswerRequest, pb.BatchAnswerItem]]:
            for pair in zip(request.requests, items, strict=True):
                yield pair

        given = (text for one in request.requests for text in (one.question, one.context))
        with self._admission.admit_batch(call, given):

            async def work(pair: tuple[pb.AnswerRequest, pb.BatchAnswerItem]) -> bool:
                one, item = pair
                await settle(item, self._answer_pair(one, call), "BatchAnswer")
                return True

            async with aclosing(pipeline(pairs(), work, self._max_stream_pairs)) as done:
                async for _ in done:
                    pass
        return pb.BatchAnswerResponse(items=items)

    async def StreamAnswer(
        self, request_iterator: AsyncIterator[pb.StreamAnswerRequest], context: Context
    ) -> AsyncIterator[pb.StreamAnswerResponse]:
        """Answer pairs as they come, in the order in which answers are ready."""
        under_way: set[str] = set()

        async def work(request: pb.StreamAnswerRequest) -> pb.StreamAnswerResponse:
            response = pb.StreamAnswerResponse(id=request.id)
            answer = self._stream_answer(request, under_way, context)
            await settle(response, answer, "StreamAnswer")
            return response

        responses = pipeline(request_iterator, work, self._max_stream_pairs)
        async with aclosing(responses):
            async for response in responses:
                yield response

    async def AnswerFromDocuments(
        self, request: pb.AnswerFromDocumentsRequest, context: Context
    ) -> pb.AnswerFromDocumentsResponse:
        """Answer one question from many documents, ranked jointly."""
        question = converters.read_documents(request)
        ids = [document.id for document in request.documents]
        with self._take(question, context) as deadline:
            return await self._respond(
                lambda model: model.answerer.answer(question),
                partial(converters.write_document_answers, document_ids=ids),
                deadline,
            )

    async def ComputeLogits(
        self, request: pb.ComputeLogitsRequest, context: Context
    ) -> pb.ComputeLogitsResponse:
        """The raw results for one question and one context."""
        question = converters.read_logits_request(request)
        try:
            with self._take(question, context) as deadline:
                return await self._respond(
                    lambda model: model.answerer.compute_logits(question),
                    converters.write_logits,
                    deadline,
                )
        except InvalidRequestError as error:
            raise error.moved("options.", "") from None

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        """Describe the model version that serves, and the limits."""
        return self._models.current().describe()

    def _call(self, context: Context, most_seconds: float = math.inf) -> Call:
        remaining = context.time_remaining()
        seconds = self._default_timeout if remaining is None else remaining
        return Call(self._callers.name(context), Deadline.after(min(seconds, most_seconds)))

    @contextmanager
    def _take(self, question: Question, context: Context) -> Iterator[Deadline]:
        """Check a call and hold room for it; raises InvalidRequestError or OverloadedError."""
        call = self._call(context)
        self._check(question)
        with self._admission.admit(call, question.question, *question.texts):
            yield call.deadline

    def _check(self, question: Question) -> None:
        self._models.current().answerer.check(question)

    async def _answer(self, question: Question, deadline: Deadline) -> pb.AnswerResponse:
        return await self._respond(
            lambda model: model.answerer.answer(question),
            converters.write_answers,
            deadline,
        )

    async def _respond(
        self,
        find: Callable[[ServedModel], Awaitable[Found]],
        write: Callable[[Found, str, float], Response],
        deadline: Deadline,
    ) -> Response:
        """Find something with the version that serves, and write it with version and seconds."""
        begin = perf_counter()

        async def attempt(model: ServedModel) -> Response:
            found = await find(model)
            record(found.cost)
            return write(found, model.version, perf_counter() - begin)

        async with deadline.bounds():
            return await self._models.run(attempt)

    async def _answer_pair(self, request: pb.AnswerRequest, call: Call) -> pb.AnswerResponse:
        question = converters.read_question(request)
        self._check(question)
        async with (
            call.deadline.bounds(),
            self._admission.admit_pair(call, request.question, request.context),
        ):
            return await self._answer(question, call.deadline)

    async def _stream_answer(
        self, request: pb.StreamAnswerRequest, under_way: set[str], context: Context
    ) -> pb.AnswerResponse:
        if request.id in under_way:
            problem = "is in use by another pair of this stream; give each pair its own"
            raise InvalidRequestError(FieldViolation("id", problem))
        under_way.add(request.id)
        call = self._call(context, self._default_timeout)
        try:
            return await self._answer_pair(request.request, call)
        except InvalidRequestError as error:
            raise error.moved("", "request.") from None
        finally:
            under_way.discard(request.id)


def record(cost: Cost) -> None:
    """Count an answered request."""
    for stage, histogram in STAGES.items():
        histogram.observe(getattr(cost.seconds, stage))
    metrics.QUESTION_TOKENS.inc(cost.question_tokens)
    metrics.CONTEXT_TOKENS.inc(cost.context_tokens)
    metrics.WINDOWS.inc(cost.windows)
