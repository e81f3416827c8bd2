"""The proxy that is shipped, in front of a real frontend: what passes through, and who."""

import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
import trustme
from google.rpc import error_details_pb2, status_pb2

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.board import DOCKER, load
from support.frames import ANSWER, frames
from support.processes import RunningServer, free_port, open_channel, poll, running_server
from support.proxy import RunningProxy, running_proxy
from support.triton import address_of

REQUEST = pb.AnswerRequest(question="Where was she born?", context="She was born in Warsaw.")
BAD = pb.AnswerRequest(question="Where?", context="Here.", options=pb.AnswerOptions(top_k=-1))
LONG = pb.AnswerRequest(question="Where?", context="It is far away. " * 5_000)
TOKEN = (("authorization", "Bearer aaa"),)


@pytest.fixture(scope="module")
def frontend(
    server: RunningServer, model_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """It asks for a token, and has room for a long text, but not for several."""
    directory = tmp_path_factory.mktemp("frontend")
    tokens = directory / "tokens"
    tokens.write_text("aaa\nbbb\n")
    tokens.chmod(0o600)
    flags = (
        *("--tokens-file", str(tokens), "--max-admitted-bytes", "8388608"),
        *("--first-message-timeout", "2"),
    )
    given = ("--triton", address_of(server), *flags)
    with running_server(model_repository, directory / "log", *given) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(
    frontend: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningProxy]:
    with running_proxy(tmp_path_factory.mktemp("proxy"), frontend.target) as running:
        yield running


@pytest.fixture
def stub(proxy: RunningProxy) -> Iterator[QuestionAnsweringServiceStub]:
    with proxy.channel() as channel:
        yield QuestionAnsweringServiceStub(channel)


@pytest.fixture
def direct(frontend: RunningServer) -> Iterator[QuestionAnsweringServiceStub]:
    with open_channel(frontend.target, None) as channel:
        yield QuestionAnsweringServiceStub(channel)


def failed(call: Callable[..., Any], *given: Any, **more: Any) -> Any:
    """The error with which it ends."""
    with pytest.raises(grpc.RpcError) as raised:
        call(*given, timeout=60, **more)
    return raised.value


def test_questions_are_answered_with_a_token_alone(stub: QuestionAnsweringServiceStub) -> None:
    [answer] = stub.Answer(REQUEST, timeout=20, metadata=TOKEN).answers
    assert answer.text == "Warsaw"
    assert failed(stub.Answer, REQUEST).code().name == "UNAUTHENTICATED"


def test_errors_and_their_details_pass_unchanged(
    stub: QuestionAnsweringServiceStub, direct: QuestionAnsweringServiceStub
) -> None:
    passed, given = (failed(one.Answer, BAD, metadata=TOKEN) for one in (stub, direct))
    assert (passed.code(), passed.details()) == (given.code(), given.details())
    told = dict(passed.trailing_metadata())
    assert told == dict(given.trailing_metadata()) | {"date": told["date"]}
    status = status_pb2.Status.FromString(told["grpc-status-details-bin"])
    assert status.details[0].Unpack(error_details_pb2.BadRequest())


def test_refusals_say_when_to_come_again(stub: QuestionAnsweringServiceStub) -> None:
    calls = [stub.Answer.future(LONG, timeout=60, metadata=TOKEN) for _ in range(4)]
    poll(lambda: any(call.done() and call.exception() for call in calls), 60, "a refusal")
    refused: Any = next(error for call in calls if call.done() and (error := call.exception()))
    for call in calls:
        call.cancel()
    assert refused.code().name == "RESOURCE_EXHAUSTED"
    told = dict(refused.trailing_metadata())
    status = status_pb2.Status.FromString(told["grpc-status-details-bin"])
    wait = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(wait)
    assert int(told["grpc-retry-pushback-ms"]) == round(wait.retry_delay.ToMilliseconds())


def test_answers_gain_no_metadata(
    stub: QuestionAnsweringServiceStub, direct: QuestionAnsweringServiceStub
) -> None:
    passed, given = (one.Answer.with_call(REQUEST, metadata=TOKEN)[1] for one in (stub, direct))
    assert set(dict(passed.initial_metadata())) <= set(dict(given.initial_metadata())) | {"date"}
    assert passed.trailing_metadata() == given.trailing_metadata()


def test_a_message_over_the_limit_is_refused(proxy: RunningProxy) -> None:
    with proxy.channel() as channel:
        call: Any = channel.unary_unary("/spanqa.v1.QuestionAnsweringService/Answer")
        refused = failed(call, b"\x0a" * (17 << 20), metadata=TOKEN)
    assert refused.code().name == "RESOURCE_EXHAUSTED"


def test_a_call_without_a_message_ends(proxy: RunningProxy) -> None:
    with frames(proxy.target, 1, proxy.ca) as [client]:
        number = client.open(ANSWER, more=TOKEN)
        client.send()
        assert client.wait({number}, within=20)
        assert client.codes == {number: grpc.StatusCode.DEADLINE_EXCEEDED.value[0]}


def test_pairs_of_a_stream_are_not_held_back(stub: QuestionAnsweringServiceStub) -> None:
    """Each is sent when the one before is answered."""
    pairs: SimpleQueue[pb.StreamAnswerRequest | None] = SimpleQueue()
    answers = stub.StreamAnswer(iter(pairs.get, None), timeout=60, metadata=TOKEN)
    for number in range(20):
        pairs.put(pb.StreamAnswerRequest(id=str(number), request=REQUEST))
        response = next(answers)
        assert (response.id, response.response.answers[0].text) == (str(number), "Warsaw")
    pairs.put(None)
    assert list(answers) == []


def test_prometheus_reads_counts_and_nothing_else(proxy: RunningProxy) -> None:
    assert proxy.healthy == 1
    for path in ("/", "/stats/prometheus", "/config_dump", "/quitquitquit", "/metrics/../certs"):
        assert proxy.page(path)[0] == 404


def test_the_health_check_of_its_container(proxy: RunningProxy) -> None:
    command = load(DOCKER / "compose.yaml")["services"]["proxy"]["healthcheck"]["test"][1:]
    assert command[-1].count("/9901") == 1
    for port, healthy in ((proxy.admin_port, True), (free_port(), False)):
        given = [*command[:-1], command[-1].replace("/9901", f"/{port}")]
        ended = subprocess.run(given, timeout=10, stderr=subprocess.DEVNULL, check=False)
        assert (ended.returncode == 0) == healthy


def test_a_new_certificate_is_shown_without_a_restart(proxy: RunningProxy) -> None:
    before = ssl.get_server_certificate(proxy.address)
    proxy.certificates.issue(proxy.certificates.ours)
    poll(lambda: ssl.get_server_certificate(proxy.address) != before, 30, "the new one")
    with proxy.channel() as channel:
        stub = QuestionAnsweringServiceStub(channel)
        assert stub.Answer(REQUEST, timeout=20, metadata=TOKEN).answers


def test_client_certificates_may_be_asked_for(frontend: RunningServer, tmp_path: Path) -> None:
    with running_proxy(tmp_path, frontend.target, mutual=True) as proxy:
        assert code(proxy, proxy.certificates.ours) == "OK"
        assert code(proxy, proxy.certificates.others) == "UNAVAILABLE"
        assert code(proxy, None) == "UNAVAILABLE"


def code(proxy: RunningProxy, signed_by: trustme.CA | None) -> str:
    """How the call ends of a client with such a certificate."""
    shown = None
    if signed_by:
        leaf = signed_by.issue_cert("client@example.org")
        shown = (leaf.private_key_pem.bytes(), leaf.cert_chain_pems[0].bytes())
    with proxy.channel(shown) as channel:
        try:
            QuestionAnsweringServiceStub(channel).Answer(REQUEST, timeout=20, metadata=TOKEN)
        except grpc.RpcError as error:
            return error.code().name
    return "OK"
