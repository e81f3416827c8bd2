"""A server of the whole API that answers with first words; each test chooses what goes wrong."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import (  # type: ignore[import-untyped,unused-ignore]
    error_details_pb2,
    status_pb2,
)
from grpc_status import rpc_status

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import (
    QuestionAnsweringServiceServicer,
    add_QuestionAnsweringServiceServicer_to_server,
)

Handler = Callable[[pb.AnswerRequest, grpc.ServicerContext], pb.AnswerResponse]
Requests = Iterator[pb.StreamAnswerRequest]
Responses = Iterator[pb.StreamAnswerResponse]
StreamHandler = Callable[[Requests, grpc.ServicerContext], Responses]
MAX_BATCH_ITEMS = 8
WINDOW_ROOM = 6


class FakeService(QuestionAnsweringServiceServicer):
    """What the server under test does, and what it was asked."""

    def __init__(self) -> None:
        self.answer: Handler = first_word
        self.stream: StreamHandler = in_order
        self.model = pb.GetModelResponse(name="fake", version="1", dtype="float32")
        self.model.limits.max_batch_items = MAX_BATCH_ITEMS
        self.failures: list[tuple[grpc.StatusCode, str]] = []  # one for each of the next calls
        self.batch_reply: pb.BatchAnswerResponse | None = None
        self.requests: list[Any] = []
        self.time_remaining: list[float | None] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.asked = threading.Event()
        self.stream_over = threading.Event()  # ended by either side
        self.target = ""

    def _begin(self, request: object, context: grpc.ServicerContext) -> None:
        self.requests.append(request)
        self.time_remaining.append(context.time_remaining())
        self.metadata.append(dict(context.invocation_metadata()))
        self.asked.set()
        if self.failures:
            context.abort(*self.failures.pop(0))

    def Answer(  # noqa: N802
        self, request: pb.AnswerRequest, context: grpc.ServicerContext
    ) -> pb.AnswerResponse:
        self._begin(request, context)
        return self.answer(request, context)

    def BatchAnswer(  # noqa: N802
        self, request: pb.BatchAnswerRequest, context: grpc.ServicerContext
    ) -> pb.BatchAnswerResponse:
        self._begin(request, context)
        if self.batch_reply is not None:
            return self.batch_reply
        if len(request.requests) > MAX_BATCH_ITEMS:
            message = f"{len(request.requests)} pairs, the limit is {MAX_BATCH_ITEMS}"
            refuse(context, refusal("requests", message))
        return pb.BatchAnswerResponse(
            items=[
                pb.BatchAnswerItem(response=reply)
                if isinstance(reply, pb.AnswerResponse)
                else pb.BatchAnswerItem(error=reply)
                for reply in map(outcome, request.requests)
            ]
        )

    def StreamAnswer(  # noqa: N802
        self,
        request_iterator: Requests,
        context: grpc.ServicerContext,
    ) -> Responses:
        if not context.add_callback(self.stream_over.set):
            self.stream_over.set()
        self._begin(request_iterator, context)
        yield from self.stream(request_iterator, context)

    def AnswerFromDocuments(  # noqa: N802
        self, request: pb.AnswerFromDocumentsRequest, context: grpc.ServicerContext
    ) -> pb.AnswerFromDocumentsResponse:
        self._begin(request, context)
        words = set(request.question.lower().split())
        answers = [
            first_word_of(document.text, index, score=len(words & set(document.text.split())))
            for index, document in enumerate(request.documents)
            if document.text.strip()
        ]
        answers.sort(key=lambda answer: (-answer.score, answer.document_index))
        return pb.AnswerFromDocumentsResponse(
            answers=answers[: request.options.top_k],
            document_ids=[document.id for document in request.documents],
            model_version="1",
        )

    def ComputeLogits(  # noqa: N802
        self, request: pb.ComputeLogitsRequest, context: grpc.ServicerContext
    ) -> pb.ComputeLogitsResponse:
        self._begin(request, context)
        return pb.ComputeLogitsResponse(windows=windows(request), model_version="1")

    def GetModel(  # noqa: N802
        self, request: pb.GetModelRequest, context: grpc.ServicerContext
    ) -> pb.GetModelResponse:
        self._begin(request, context)
        return self.model


USED_PORTS: set[int] = set()


@contextmanager
def running(service: FakeService) -> Iterator[FakeService]:
    """Serves on a free port, with a receive window of 64 KiB that does not grow."""
    options = [("grpc.so_reuseport", 0), ("grpc.http2.bdp_probe", 0)]
    server = grpc.server(ThreadPoolExecutor(8), options=options)
    add_QuestionAnsweringServiceServicer_to_server(service, server)
    service.target = f"127.0.0.1:{new_port(server)}"
    server.start()
    try:
        yield service
    finally:
        server.stop(None).wait()


def new_port(server: grpc.Server) -> int:
    """A port that no test of this process has had.

    gRPC's clients share what they know of an address: that nobody was there a moment ago, too.
    """
    while (port := server.add_insecure_port("127.0.0.1:0")) in USED_PORTS:
        pass
    USED_PORTS.add(port)
    return port


def first_word(request: pb.AnswerRequest, context: grpc.ServicerContext) -> pb.AnswerResponse:
    """Answers with the context's first word, or refuses a context without words."""
    reply = outcome(request)
    return reply if isinstance(reply, pb.AnswerResponse) else refuse(context, reply)


def outcome(request: pb.AnswerRequest, where: str = "") -> pb.AnswerResponse | status_pb2.Status:
    """What becomes of one pair."""
    if not request.context.strip():
        return refusal(f"{where}context", "is empty")
    return pb.AnswerResponse(answers=[first_word_of(request.context, 0)], model_version="1")


def first_word_of(text: str, document_index: int, *, score: float = 3.0) -> pb.Answer:
    word = text.split()[0]
    start = text.index(word)
    return pb.Answer(
        text=word,
        start=start,
        end=start + len(word),
        score=score,
        probability=0.5,
        document_index=document_index,
    )


def in_order(requests: Requests, context: grpc.ServicerContext) -> Responses:
    """Answers each pair before it reads the next."""
    return map(stream_response, requests)


def stream_response(request: pb.StreamAnswerRequest) -> pb.StreamAnswerResponse:
    reply = outcome(request.request, "request.")
    if isinstance(reply, pb.AnswerResponse):
        return pb.StreamAnswerResponse(id=request.id, response=reply)
    return pb.StreamAnswerResponse(id=request.id, error=reply)


def numbered(total: int) -> Iterator[tuple[str, str]]:
    """Pairs that the fake answers with ``Ada0``, ``Ada1`` and so on."""
    return (("Who?", f"Ada{index} did.") for index in range(total))


def endless() -> Iterator[tuple[str, str]]:
    """Pairs without end, too large to fit all into the buffers of a connection."""
    return (("Who?", f"Ada{index} " + "x" * 4096) for index in count())


def never(requests: Requests, context: grpc.ServicerContext) -> Responses:
    """Reads one pair, and answers none."""
    next(requests)
    until_gone(context)
    return iter(())


def until_gone(context: grpc.ServicerContext) -> None:
    """Returns when the caller has gone."""
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait()


def windows(request: pb.ComputeLogitsRequest) -> Iterator[pb.Window]:
    """Words as tokens, ``WINDOW_ROOM`` of the context a window; its first word fits best."""
    question = [(1, *m.span()) for m in re.finditer(r"\S+", request.question)]
    context = [(2, *m.span()) for m in re.finditer(r"\S+", request.context)]
    special = (0, 0, 0)
    for first in range(0, len(context), WINDOW_ROOM):
        piece = context[first : first + WINDOW_ROOM]
        entries = [special, *question, special, *piece, special]
        logits = [5.5 if entry == context[0] else -1.25 for entry in entries]
        texts = ("", request.question, request.context)
        yield pb.Window(
            token_ids=range(100, 100 + len(entries)),
            tokens=[texts[s][start:end] for s, start, end in entries],
            sequence_ids=[s for s, _, _ in entries],
            starts=[start for _, start, _ in entries],
            ends=[end for _, _, end in entries],
            start_logits=logits,
            end_logits=[logit + 1 for logit in logits],
        )


def refuse(context: grpc.ServicerContext, status: status_pb2.Status) -> Any:
    context.abort_with_status(rpc_status.to_status(status))


def refusal(field: str, description: str) -> status_pb2.Status:
    """INVALID_ARGUMENT with every detail that the client reads."""
    violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
    details = packed(
        error_details_pb2.BadRequest(field_violations=[violation]),
        error_details_pb2.ErrorInfo(domain="spanqa.v1", reason="NOT_VALID"),
        error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)),
    )
    return status_pb2.Status(code=3, message=f"{field}: {description}", details=details)


def packed(*messages: Message) -> list[AnyMessage]:
    boxes = [AnyMessage() for _ in messages]
    for box, message in zip(boxes, messages, strict=True):
        box.Pack(message)
    return boxes
