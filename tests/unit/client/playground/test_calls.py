"""What the page's calls give, in front of a server that answers with first words."""

from __future__ import annotations

import http.client
import json
import threading
from typing import Any

import grpc
import pytest

from spanqa.playground.replies import MAX_WINDOWS_CHARACTERS
from spanqa.v1 import question_answering_pb2 as pb
from support.processes import poll
from unit.client.fake_service import FakeService, until_gone
from unit.client.playground.conftest import Ask

TEXT = "😀😀 אברהם נולד 👩‍🚀 e\u0301le\u0300ve"


def question(*texts: str, **options: Any) -> dict[str, Any]:
    documents = [{"id": f"d{index}", "text": text} for index, text in enumerate(texts)]
    return {"question": "Who?", "documents": documents, "options": options}


def in_utf16(text: str, start: int, end: int) -> str:
    return text.encode("utf-16-le")[2 * start : 2 * end].decode("utf-16-le")


@pytest.mark.parametrize("word", TEXT.split())
def test_offsets_are_those_of_javascript(word: str, ask: Ask, fake: FakeService) -> None:
    start = TEXT.index(word)
    answer = pb.Answer(text=word, start=start, end=start + len(word), probability=0.25)
    fake.answer = lambda request, context: pb.AnswerResponse(answers=[answer])
    (found,) = ask("POST", "/api/answer", question(TEXT)).json["answers"]
    assert in_utf16(TEXT, found["start"], found["end"]) == word == found["text"]
    assert found["characters"] == [start, start + len(word)]
    assert found["probability"] == 0.25


def test_several_documents_are_ranked_jointly(ask: Ask) -> None:
    reply = ask("POST", "/api/answer", question("Ada did.", "😀 Who? Nobody", top_k=2)).json
    places = [(each["document_index"], each["text"]) for each in reply["answers"]]
    assert places == [(0, "Ada"), (1, "😀")]
    assert reply["answers"][1]["end"] == 2


def test_options_reach_the_server(ask: Ask, fake: FakeService) -> None:
    options = {"top_k": 7, "max_answer_tokens": 9, "allow_no_answer": True}
    assert ask("POST", "/api/answer", question("Ada", **options)).status == 200
    sent = fake.requests[-1].options
    assert {name: getattr(sent, name) for name in options} == options


def test_windows_have_their_tokens_with_offsets(ask: Ask) -> None:
    body = {"question": "Who? 😀", "text": f"{TEXT} and more"}
    (first, second) = ask("POST", "/api/windows", body).json["windows"]
    assert first["characters"][0] == 0
    assert second["characters"][1] == len(body["text"])
    for window in (first, second):
        columns = ("tokens", "kinds", "starts", "ends", "start_logits", "end_logits")
        for token, kind, start, end, *_ in zip(*map(window.get, columns), strict=True):
            source = ("", body["question"], body["text"])[kind]
            assert in_utf16(source, start, end) == token


def test_windows_are_for_texts_of_moderate_size(ask: Ask, fake: FakeService) -> None:
    body = {"question": "Who?", "text": "x" * (MAX_WINDOWS_CHARACTERS + 1)}
    reply = ask("POST", "/api/windows", body)
    assert (reply.status, fake.requests) == (400, [])
    assert reply.json["fields"][0]["field"] == "text"
    assert "100,000" in reply.json["message"]


def test_the_model_with_its_limits_and_the_target(ask: Ask, fake: FakeService) -> None:
    model = ask("GET", "/api/model").json
    assert (model["name"], model["version"], model["target"]) == ("fake", "1", fake.target)
    assert model["limits"]["max_batch_items"] == fake.model.limits.max_batch_items
    assert model["max_windows_characters"] == MAX_WINDOWS_CHARACTERS


def test_an_error_of_the_server_is_shown_with_all_that_it_said(ask: Ask) -> None:
    reply = ask("POST", "/api/answer", question(" "))
    assert reply.status == 400
    assert reply.json == {
        "code": "INVALID_ARGUMENT",
        "message": "context: is empty",
        "reason": "NOT_VALID",
        "retry_delay": 1.5,
        "fields": [{"field": "context", "description": "is empty"}],
        "remedy": "the server refused the request: correct the fields that it names",
    }


@pytest.mark.parametrize(
    ("code", "status", "remedy"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 429, "overloaded"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504, "--timeout"),
        (grpc.StatusCode.UNAUTHENTICATED, 502, "token"),
        (grpc.StatusCode.INTERNAL, 502, "log"),
    ],
)
def test_every_code_comes_with_a_remedy(
    code: grpc.StatusCode, status: int, remedy: str, ask: Ask, fake: FakeService
) -> None:
    fake.failures.append((code, "as the server put it"))
    reply = ask("POST", "/api/answer", question("Ada"))
    assert (reply.status, reply.json["code"]) == (status, code.name)
    assert reply.json["message"] == "as the server put it"
    assert remedy in reply.json["remedy"]


GOOD = question("Ada")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"\xff", "body"),
        (b"[" * 100_000, "body"),
        ([], "body"),
        (GOOD | {"question": 3}, "question"),
        (GOOD | {"question": "\ud800"}, "question"),
        (GOOD | {"documents": {}}, "documents"),
        (GOOD | {"documents": []}, "documents"),
        (GOOD | {"documents": ["Ada"]}, "documents[0]"),
        (GOOD | {"documents": [{"text": "Ada"}, {}]}, "documents[1].text"),
        (GOOD | {"documents": [{"text": "a\udc00"}]}, "documents[0].text"),
        (GOOD | {"documents": [{"text": "Ada", "id": None}]}, "documents[0].id"),
        (GOOD | {"options": []}, "options"),
        (GOOD | {"options": {"top_k": 0}}, "options.top_k"),
        (GOOD | {"options": {"top_k": 1.5}}, "options.top_k"),
        (GOOD | {"options": {"max_answer_tokens": True}}, "options.max_answer_tokens"),
        (GOOD | {"options": {"max_answer_tokens": 2**31}}, "options.max_answer_tokens"),
        (GOOD | {"options": {"allow_no_answer": 1}}, "options.allow_no_answer"),
        (GOOD | {"options": {"beams": 4}}, "options.beams"),
    ],
    ids=str,
)
def test_a_body_that_is_wrong_is_refused_by_field(
    body: Any, field: str, ask: Ask, fake: FakeService
) -> None:
    reply = ask("POST", "/api/answer", body, Content_Type="application/json")
    assert (reply.status, fake.requests) == (400, [])
    assert reply.json["code"] == "INVALID_ARGUMENT"
    assert [each["field"] for each in reply.json["fields"]] == [field]


def test_a_call_whose_browser_has_gone_is_cancelled(
    ask: Ask, fake: FakeService, address: str
) -> None:
    over = threading.Event()

    def wait(request: pb.AnswerRequest, context: grpc.ServicerContext) -> pb.AnswerResponse:
        until_gone(context)
        over.set()
        return pb.AnswerResponse()

    fake.answer = wait
    connection = http.client.HTTPConnection(address)
    body = json.dumps(GOOD)
    connection.request("POST", "/api/answer", body, {"Content-Type": "application/json"})
    assert fake.asked.wait(10)
    connection.close()
    poll(over.is_set, 10, "the call was cancelled at the server")
