"""Streams that callers drop at any moment: no worker ends by it."""

from pathlib import Path

import grpc

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.processes import running_server

ROUNDS = 25
SHORT, LONG = "Ada.", "It was Ada. " * 2000


def test_the_server_outlives_streams_that_are_dropped(
    model_repository: Path, tmp_path: Path
) -> None:
    """gRPC for Python crashes when a call that has ended is asked for its peer."""
    with running_server(model_repository, tmp_path / "log") as server:
        for _ in range(ROUNDS):
            with grpc.insecure_channel(
                server.target, options=[("grpc.use_local_subchannel_pool", 1)]
            ) as channel:
                stub = QuestionAnsweringServiceStub(channel)
                for number in range(8):
                    drop_a_stream(stub, LONG if number % 2 else SHORT, first=number % 2 == 0)
                assert stub.Answer(pb.AnswerRequest(question="Who?", context=SHORT), timeout=60)
        assert server.stop() == 0


def drop_a_stream(stub: QuestionAnsweringServiceStub, context: str, *, first: bool) -> None:
    """Of 50 pairs, at once or after the first answer."""
    pair = pb.AnswerRequest(question="Who?", context=context)
    stream = stub.StreamAnswer(
        iter([pb.StreamAnswerRequest(id=str(n), request=pair) for n in range(50)])
    )
    if first:
        next(stream)
    stream.cancel()
