"""Messages that are small on the wire and large where they arrive, or in what they ask for."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import Message

from spanqa.v1 import question_answering_pb2 as pb

LARGEST = (16 << 20) - 1024
LONGEST_ID = 1 << 17
QUESTION, TEXT = "who ?", "the light keeper"


@dataclass(frozen=True, slots=True)
class Bomb:
    """The method that it is for, its bytes, and the field that the server names."""

    method: str
    raw: bytes
    field: str


def windows(doc_stride: int) -> bytes:
    """9,900 words in windows of 507, of which neighbours share so many."""
    options = pb.AnswerOptions(max_sequence_tokens=512, doc_stride_tokens=doc_stride)
    return packed(pb.AnswerRequest(question=QUESTION, context="word " * 9900, options=options))


def packed(message: Message) -> bytes:
    return message.SerializeToString()


def documents(*given: pb.Document) -> bytes:
    return packed(pb.AnswerFromDocumentsRequest(question=QUESTION, documents=given))


REFUSED = {
    "empty pairs": Bomb("BatchAnswer", b"\x0a\x00" * (LARGEST // 2), "requests"),
    "empty documents": Bomb("AnswerFromDocuments", b"\x12\x00" * (LARGEST // 2), "documents"),
    "a long id": Bomb(
        "AnswerFromDocuments", documents(pb.Document(id="a" * LARGEST, text=TEXT)), "documents"
    ),
    "an id of some length": Bomb(
        "AnswerFromDocuments",
        documents(pb.Document(id="a" * (LONGEST_ID + 1), text=TEXT)),
        "documents[0].id",
    ),
    "a context of zeros": Bomb(
        "Answer", packed(pb.AnswerRequest(question=QUESTION, context="\0" * LARGEST)), "context"
    ),
    "a long question": Bomb(
        "ComputeLogits",
        packed(pb.ComputeLogitsRequest(question="a" * LARGEST, context=TEXT)),
        "question",
    ),
    "windows without end": Bomb("Answer", windows(506), "context"),
}
# Long work, of which there is no room for many.
HEAVY = Bomb("Answer", windows(500), "")
