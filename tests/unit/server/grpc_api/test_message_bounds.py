"""Large messages are refused by their outermost fields, before anything is made of them."""

import re

import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.errors import InvalidRequestError, MalformedRequestError
from spanqa_server.grpc_api.message_bounds import SMALL_MESSAGE, MessageBounds
from spanqa_server.settings import Settings

BOUNDS = MessageBounds.of(Settings())
MEGABYTE = 1 << 20
LONG = "x" * (MEGABYTE + 1)
DOCUMENT = pb.Document(id="1", text="The light keeper.")


def documents(*given: pb.Document, question: str = "Who?") -> pb.AnswerFromDocumentsRequest:
    return pb.AnswerFromDocumentsRequest(question=question, documents=given)


REFUSED = {
    "empty pairs": (
        "BatchAnswer",
        b"\x0a\x00" * (8 * MEGABYTE),
        r"requests: has more than 320 entries; the limit is 256: send them in several calls",
    ),
    "a few pairs too many": (
        "BatchAnswer",
        pb.BatchAnswerRequest(
            requests=[pb.AnswerRequest(context="x" * 300)] * 257
        ).SerializeToString(),
        r"requests: has 257 entries; the limit is 256: send them in several calls",
    ),
    "empty documents": (
        "AnswerFromDocuments",
        b"\x12\x00" * (8 * MEGABYTE),
        r"documents: has more than 1064 entries; the limit is 1000: send fewer",
    ),
    "a long id": (
        "AnswerFromDocuments",
        documents(DOCUMENT, pb.Document(id=LONG + LONG)).SerializeToString(),
        r"documents: has \d+ bytes of UTF-8; the limit is 1048576",
    ),
    "long documents": (
        "AnswerFromDocuments",
        documents(*[pb.Document(text=LONG[: MEGABYTE // 2])] * 3).SerializeToString(),
        r"documents: has \d+ bytes of UTF-8; the limit is 1048576",
    ),
    "a long context": (
        "Answer",
        pb.AnswerRequest(question="Who?", context=LONG).SerializeToString(),
        r"context: has 1048577 bytes of UTF-8; the limit is 1048576: send a part of it",
    ),
    "a long context for logits": (
        "ComputeLogits",
        pb.ComputeLogitsRequest(question="Who?", context=LONG).SerializeToString(),
        r"context: has 1048577 bytes of UTF-8; the limit is 1048576",
    ),
    "both too long": (
        "Answer",
        pb.AnswerRequest(question=LONG, context=LONG).SerializeToString(),
        r"question: has 1048577 .*; context: has 1048577 ",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    method, raw, told = REFUSED[case]
    with pytest.raises(InvalidRequestError) as raised:
        BOUNDS.check(method, raw)
    assert re.match(told, str(raised.value))


@pytest.mark.parametrize(
    ("method", "raw"),
    [
        ("Answer", b"\x78\x00" * SMALL_MESSAGE),
        ("StreamAnswer", b"\x78\x00" * SMALL_MESSAGE),
        ("GetModel", b"\x0a\x00" * SMALL_MESSAGE),
        ("Answer", b"\x0b" * (2 * SMALL_MESSAGE)),
        ("BatchAnswer", b"\xff" * (2 * SMALL_MESSAGE)),
    ],
)
def test_what_no_client_sends(method: str, raw: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        BOUNDS.check(method, raw)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("Answer", pb.AnswerRequest(question="Who?", context=LONG[1:])),
        ("ComputeLogits", pb.ComputeLogitsRequest(question="Who?", context=LONG[1:])),
        ("BatchAnswer", pb.BatchAnswerRequest(requests=[pb.AnswerRequest(context=LONG)] * 3)),
        (
            "BatchAnswer",
            pb.BatchAnswerRequest(requests=[pb.AnswerRequest(context="x" * 300)] * 256),
        ),
        ("AnswerFromDocuments", documents(*[pb.Document(id="x" * 1024, text="x" * 1048)] * 1000)),
        ("StreamAnswer", pb.StreamAnswerRequest(request=pb.AnswerRequest(context=LONG))),
    ],
    ids=["context", "context for logits", "long pairs", "pairs", "documents", "a pair of a stream"],
)
def test_what_is_left_to_the_checks_of_each_text(method: str, message: pb.AnswerRequest) -> None:
    raw = message.SerializeToString()
    assert len(raw) > SMALL_MESSAGE
    BOUNDS.check(method, raw)


def test_small_messages_are_not_looked_at() -> None:
    BOUNDS.check("BatchAnswer", b"\xff" * SMALL_MESSAGE)
