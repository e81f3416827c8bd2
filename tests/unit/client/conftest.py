"""A real gRPC server on a free port whose replies each test chooses."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb

Handler = Callable[[pb.AnswerRequest, grpc.ServicerContext], pb.AnswerResponse]


def first_word(request: pb.AnswerRequest, context: grpc.ServicerContext) -> pb.AnswerResponse:
    """Answers with the context's first word."""
    text = request.context.split()[0]
    start = request.context.index(text)
    answer = pb.Answer(text=text, start=start, end=start + len(text), score=3.0, probability=0.5)
    return pb.AnswerResponse(answers=[answer], model_version="1")


class FakeService:
    """What the server under test does, and what it was asked."""

    def __init__(self) -> None:
        self.answer: Handler = first_word
        self.model = pb.GetModelResponse(name="fake", version="1", dtype="float32")
        self.model_error: tuple[grpc.StatusCode, str] | None = None
        self.requests: list[pb.AnswerRequest] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.asked = threading.Event()
        self.target = ""

    def handle_answer(
        self, request: pb.AnswerRequest, context: grpc.ServicerContext
    ) -> pb.AnswerResponse:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.asked.set()
        return self.answer(request, context)

    def handle_get_model(
        self, request: pb.GetModelRequest, context: grpc.ServicerContext
    ) -> pb.GetModelResponse:
        if self.model_error is not None:
            context.abort(*self.model_error)
        return self.model


def _handlers(service: FakeService) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        "spanqa.v1.QuestionAnsweringService",
        {
            "Answer": grpc.unary_unary_rpc_method_handler(
                service.handle_answer,
                request_deserializer=pb.AnswerRequest.FromString,
                response_serializer=pb.AnswerResponse.SerializeToString,
            ),
            "GetModel": grpc.unary_unary_rpc_method_handler(
                service.handle_get_model,
                request_deserializer=pb.GetModelRequest.FromString,
                response_serializer=pb.GetModelResponse.SerializeToString,
            ),
        },
    )


@pytest.fixture
def service() -> Iterator[FakeService]:
    """A running server; change its ``answer`` to provoke faults."""
    fake = FakeService()
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((_handlers(fake),))
    fake.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield fake
    server.stop(None).wait()


@pytest.fixture
def never_answers() -> Handler:
    """A handler that holds each call until its caller has gone."""

    def wait(request: pb.AnswerRequest, context: grpc.ServicerContext) -> pb.AnswerResponse:
        gone = threading.Event()
        if context.add_callback(gone.set):
            gone.wait()
        return pb.AnswerResponse()

    return wait


@pytest.fixture
def dead_target() -> Iterator[str]:
    """An address where nothing listens: bound, so nobody else can take it meanwhile."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{reserved.getsockname()[1]}"
