"""Everything that the board and the alerts look at is there, and moves when it should."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2_grpc

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from spanqa_server.qa.windows import PackedWindows
from spanqa_server.triton.protocol import build_request
from support.board import select, selectors
from support.frames import ANSWER, frames
from support.processes import RunningServer, running_server, stopped, wait_until_serving
from support.triton import address_of, on_tcp

QUESTION = pb.AnswerRequest(question="Who?", context="It was Ada.")
HERE = [one for one in selectors() if not one.startswith(("nv_gpu_", "spanqa_tritons"))]
OF_SEVERAL_TRITONS = [one for one in selectors() if one.startswith("spanqa_tritons")]
# Long enough to be kept for the next question about it.
DOCUMENT = "It was Ada, they say. " * 20
OVER = 200


@pytest.fixture(scope="module")
def pages(tiny_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The metrics before and after each thing that can happen."""
    directory = tmp_path_factory.mktemp("board")
    shutil.copytree(tiny_repository, directory / "repository")
    room = ("--max-tokens-in-flight", "4096", "--max-admitted-bytes", str(1 << 20))
    with running_server(
        directory / "repository", directory / "log", "--workers", "2", *room
    ) as server:
        server.wait_for_metrics(lambda _: served(server) >= 2)
        found = [server.metrics_page()]
        with grpc.insecure_channel(server.target) as channel:
            stub = QuestionAnsweringServiceStub(channel)
            ask_in_every_way(stub)
            found.append(server.metrics_page())
            found += overload(server, stub)
        found.append(stay_silent(server))
        fail_at_triton(server)
        found.append(server.metrics_page())
        found.append(bring_a_version(server, directory / "repository" / "bert_qa"))
        found.append(bring_a_broken_version(server, directory / "repository" / "bert_qa"))
        found.append(hold_a_version(server, directory / "repository" / "bert_qa"))
        found.append(kill_a_worker(server))
        found += kill_triton(server)
    return found


def served(server: RunningServer) -> int:
    """How many times a worker began to serve a version."""
    return server.log.read_text().count(" serving ")


def ask_in_every_way(stub: QuestionAnsweringServiceStub) -> None:
    for question in ("Who?", "Where?"):
        stub.Answer(pb.AnswerRequest(question=question, context=DOCUMENT), timeout=10)
    stub.Answer(QUESTION, timeout=10, metadata=(("spanqa-previous-attempts", "1"),))
    stub.BatchAnswer(pb.BatchAnswerRequest(requests=[QUESTION, pb.AnswerRequest()]), timeout=10)
    list(stub.StreamAnswer(iter([pb.StreamAnswerRequest(request=QUESTION)]), timeout=10))
    documents = [pb.Document(text=QUESTION.context)]
    stub.AnswerFromDocuments(
        pb.AnswerFromDocumentsRequest(question="Who?", documents=documents), timeout=10
    )


def overload(server: RunningServer, stub: QuestionAnsweringServiceStub) -> Iterator[str]:
    """More calls than there is room for while the model stands still; one caller gives up."""
    backend = next(c for c in server.children() if c.name().startswith("triton_python"))
    with stopped(backend):
        question = pb.AnswerRequest(question="Who?", context=DOCUMENT)
        calls = [stub.Answer.future(question, timeout=60) for _ in range(OVER)]
        pending = 'nv_inference_pending_request_count{model="bert_qa"}'
        server.wait_for_metrics(
            lambda now: (
                now["spanqa_requests_waiting"] > 0
                and now.get('spanqa_refusals_total{reason="memory"}', 0) > 0
                and any(value > 0 for value in select(server.metrics_page(), pending).values())
            )
        )
        calls[0].cancel()
        yield server.metrics_page()
    codes = [call.code() for call in calls]  # waits for each
    assert {*codes} == {
        grpc.StatusCode.OK,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
    server.wait_until_idle()
    yield server.metrics_page()


def stay_silent(server: RunningServer) -> str:
    """Calls that never send their messages, more than are waited for at a time."""
    with frames(server.target) as [client]:
        for _ in range(20):
            client.open(ANSWER)
        client.send()
        server.wait_for_metrics(
            lambda now: now["spanqa_messages_waiting"] > 0 and now["spanqa_messages_late_total"] > 0
        )
        return server.metrics_page()


def fail_at_triton(server: RunningServer) -> None:
    """A token that no vocabulary has."""
    tokens = np.array([1 << 30], np.int32)
    request = build_request("bert_qa", "1", PackedWindows(tokens, tokens, np.array([1], np.int32)))
    with grpc.insecure_channel(address_of(server)) as channel:
        stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError):
            stub.ModelInfer(request, timeout=10)


def bring_a_version(server: RunningServer, model: Path) -> str:
    coming = model.parent.with_name("coming")
    shutil.copytree(model / "1", coming)
    coming.rename(model / "2")
    server.wait_for_metrics(lambda _: served(server) >= 4, within=30)
    return server.metrics_page()


def bring_a_broken_version(server: RunningServer, model: Path) -> str:
    (model / "3").mkdir()
    broken = 'spanqa_version_state{state="unreadable",version="3"}'
    server.wait_for_metrics(lambda now: now.get(broken) == 1)
    return server.metrics_page()


def hold_a_version(server: RunningServer, model: Path) -> str:
    checksum = json.loads((model / "1" / "model.json").read_text())["model_sha256"]
    notes = {"model_sha256": checksum, "decision": "hold"}
    (model.parent / "bert_qa.4.json").write_text(json.dumps(notes))
    coming = model.parent.with_name("held")
    shutil.copytree(model / "1", coming)
    coming.rename(model / "4")
    held = 'spanqa_version_state{state="held",version="4"}'
    server.wait_for_metrics(lambda now: now.get(held) == 1)
    return server.metrics_page()


def kill_a_worker(server: RunningServer) -> str:
    server.workers()[0].kill()
    server.wait_for_metrics(
        lambda now: now["spanqa_worker_ends_total"] == 1 and served(server) >= 5, within=30
    )
    return server.metrics_page()


def kill_triton(server: RunningServer) -> Iterator[str]:
    server.triton().kill()
    with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as raised:
        QuestionAnsweringServiceStub(channel).Answer(QUESTION, timeout=10)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    server.wait_for_metrics(lambda now: now["spanqa_model_ready"] == 0)
    yield server.metrics_page()
    wait_until_serving(server, within=30)
    server.wait_for_metrics(lambda now: now["spanqa_model_ready"] == 1, within=30)
    yield server.metrics_page()


@pytest.mark.parametrize("selector", HERE)
def test_it_moves(pages: list[str], selector: str) -> None:
    found = [select(page, selector) for page in pages]
    assert found[-1], "not there at the end"
    assert any(one != found[0] for one in found), f"always {found[0]}"


@pytest.fixture(scope="module")
def pages_of_two(
    server: RunningServer, model_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """The metrics with two Tritons, and after one of them is gone."""
    directory = tmp_path_factory.mktemp("two")
    with (
        running_server(model_repository, directory / "other") as other,
        on_tcp(address_of(server)) as first,
        on_tcp(address_of(other)) as second,
    ):
        both = ("--triton", f"{first},{second}", "--first-batch-tokens=0")
        with running_server(model_repository, directory / "log", *both) as front:
            assert front.children() == [], "no Triton of its own"
            front.wait_for_metrics(lambda now: now['spanqa_tritons{state="out"}'] == 0, 60)
            found = [front.metrics_page()]
            other.triton().kill()
            front.wait_for_metrics(lambda now: now['spanqa_tritons{state="out"}'] == 1, 60)
            return [*found, front.metrics_page()]


@pytest.mark.parametrize("selector", OF_SEVERAL_TRITONS)
def test_it_moves_with_several_tritons(pages_of_two: list[str], selector: str) -> None:
    before, after = (select(page, selector) for page in pages_of_two)
    assert before
    assert after
    assert before != after
