"""A server whose Triton is behind TLS and a token."""

import asyncio
from pathlib import Path

import grpc

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.certificates import Certificates
from support.fake_triton import fake_triton
from support.processes import RunningServer, running_server
from support.triton import address_of

LIGHT = ("--first-batch-tokens", "0")
REQUEST = pb.AnswerRequest(question="Where was she born?", context="She was born in Warsaw.")


async def test_it_answers_through_tls_with_a_token(
    server: RunningServer, model_repository: Path, tmp_path: Path
) -> None:
    certificates = Certificates.made_in(tmp_path)
    (tmp_path / "token").write_text("a-token\n")
    access = ("--triton-ca", str(tmp_path / "ca.pem"))
    token = ("--triton-token-file", str(tmp_path / "token"))

    def ask(address: str) -> str:
        given = ("--triton", address, *access, *token, "--workers", "2", *LIGHT)
        with (
            running_server(model_repository, tmp_path / "log", *given) as front,
            grpc.insecure_channel(front.target) as channel,
        ):
            stub = QuestionAnsweringServiceStub(channel)
            return stub.Answer(REQUEST, timeout=20).answers[0].text

    closed = fake_triton(behind=address_of(server), credentials=certificates.credentials())
    async with closed as triton:
        triton.token = "a-token"
        assert await asyncio.to_thread(ask, triton.address) == "Warsaw"
        assert triton.requests
