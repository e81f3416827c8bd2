"""The methods of the service: messages in, messages out. The work is done in `qa/`."""

from __future__ import annotations  # grpc's classes are generic in its stubs alone

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceServicer
from spanqa_server.errors import FieldViolation, InvalidRequestError, too_long
from spanqa_server.grpc_api import converters
from spanqa_server.grpc_api.callers import Callers
from spanqa_server.grpc_api.calls import note_cost
from spanqa_server.grpc_api.items import ServedModel, check_count, settle
from spanqa_server.grpc_api.pipeline import pipeline
from spanqa_server.qa.answerer import Claim, no_claim
from spanqa_server.qa.requests import Question
from spanqa_server.qa.results import Cost
from spanqa_server.scheduling.admission import Admission, UnderestimatedError, check_estimate
from spanqa_server.scheduling.call import Call
from spanqa_server.scheduling.deadline import Deadline

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

T = TypeVar("T")
Response = TypeVar("Response")
# Says that a pair has its room in memory.
HasRoom = Callable[[], None]


class HasCost(Protocol):
    """A result that knows its cost."""

    @property
    def cost(self) -> Cost: ...


Found = TypeVar("Found", bound=HasCost)

# What one of many documents takes beside its bytes.
BYTES_OF_A_DOCUMENT = 256


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
        max_timeout: float,
        max_id_bytes: int,
        callers: Callers | None = None,
    ) -> None:
        self._models = models
        self._admission = admission
        self._default_timeout = default_timeout
        self._max_batch_items = max_batch_items
        self._max_stream_pairs = max_stream_pairs
        self._max_timeout = max_timeout
        self._max_id_bytes = max_id_bytes
        self._callers = callers or Callers()

    async def Answer(self, request: pb.AnswerRequest, context: Context) -> pb.AnswerResponse:
        """Answer one question about one context."""
        question = converters.read_question(request)
        return await self._take(
            question, context, lambda deadline, claim: self._answer(question, deadline, claim)
        )

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

        with self._admission.admit_batch(call, request.ByteSize()):

            async def work(
                pair: tuple[pb.AnswerRequest, pb.BatchAnswerItem], has_room: HasRoom
            ) -> bool:
                one, item = pair
                await settle(item, self._answer_pair(one, call, has_room), "BatchAnswer")
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
        # Of a call that has ended, gRPC crashes when it is asked for the peer.
        call_of_a_pair = partial(
            self._call, context, self._default_timeout, self._callers.name(context)
        )

        async def work(
            request: pb.StreamAnswerRequest, has_room: HasRoom
        ) -> pb.StreamAnswerResponse:
            # Of an id that is too long, as much as says which it was.
            response = pb.StreamAnswerResponse(id=request.id[: self._max_id_bytes])
            answer = self._stream_answer(request, under_way, call_of_a_pair, has_room)
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
        message = request.ByteSize() + BYTES_OF_A_DOCUMENT * len(question.texts)
        return await self._take(
            question,
            context,
            lambda deadline, claim: self._respond(
                lambda model: model.answerer.answer(question, claim),
                partial(converters.write_document_answers, document_ids=question.ids),
                deadline,
            ),
            message,
        )

    async def ComputeLogits(
        self, request: pb.ComputeLogitsRequest, context: Context
    ) -> pb.ComputeLogitsResponse:
        """The raw results for one question and one context."""
        question = converters.read_logits_request(request)
        try:
            return await self._take(
                question,
                context,
                lambda deadline, claim: self._respond(
                    lambda model: model.answerer.compute_logits(question, claim),
                    converters.write_logits,
                    deadline,
                ),
            )
        except InvalidRequestError as error:
            raise error.moved("options.", "") from None

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        """Describe the model version that serves, and the limits."""
        return self._models.current().describe()

    def _call(
        self, context: Context, most_seconds: float = math.inf, caller: str | None = None
    ) -> Call:
        remaining = context.time_remaining()
        seconds = self._default_timeout if remaining is None else remaining
        seconds = min(seconds, most_seconds, self._max_timeout)
        return Call(caller or self._callers.name(context), Deadline.after(seconds))

    async def _take(
        self,
        question: Question,
        context: Context,
        work: Callable[[Deadline, Claim], Awaitable[Response]],
        message: int = 0,
    ) -> Response:
        """Check a call, and do its work with room for it; raises as both do."""
        call = self._call(context)
        tokens = self._check(question)
        try:
            with self._admission.admit(call, tokens, message):
                return await work(call.deadline, partial(check_estimate, tokens))
        except UnderestimatedError as error:
            counted = error.tokens
        with self._admission.admit(call, counted, message):
            return await work(call.deadline, no_claim)

    def _check(self, question: Question) -> int:
        """About how many tokens its windows have; raises InvalidRequestError."""
        answerer = self._models.current().answerer
        answerer.check(question)
        return answerer.estimate(question)

    async def _answer(
        self, question: Question, deadline: Deadline, claim: Claim
    ) -> pb.AnswerResponse:
        return await self._respond(
            lambda model: model.answerer.answer(question, claim),
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
            note_cost(found.cost)
            return write(found, model.version, perf_counter() - begin)

        async with deadline.bounds():
            return await self._models.run(attempt)

    async def _answer_pair(
        self, request: pb.AnswerRequest, call: Call, has_room: HasRoom, message: int = 0
    ) -> pb.AnswerResponse:
        question = converters.read_question(request)
        tokens = self._check(question)
        async with call.deadline.bounds():
            try:
                async with self._admission.admit_pair(call, tokens, message):
                    has_room()
                    claim = partial(check_estimate, tokens)
                    return await self._answer(question, call.deadline, claim)
            except UnderestimatedError as error:
                counted = error.tokens
            async with self._admission.admit_pair(call, counted, message):
                return await self._answer(question, call.deadline, no_claim)

    async def _stream_answer(
        self,
        request: pb.StreamAnswerRequest,
        under_way: set[str],
        call_of_a_pair: Callable[[], Call],
        has_room: HasRoom,
    ) -> pb.AnswerResponse:
        if request.id in under_way:
            problem = "is in use by another pair of this stream; give each pair its own"
            raise InvalidRequestError(FieldViolation("id", problem))
        if (size := len(request.id.encode())) > self._max_id_bytes:
            raise InvalidRequestError(too_long("id", size, self._max_id_bytes))
        under_way.add(request.id)
        call = call_of_a_pair()
        try:
            return await self._answer_pair(request.request, call, has_room, request.ByteSize())
        except InvalidRequestError as error:
            raise error.moved("", "request.") from None
        finally:
            under_way.discard(request.id)
