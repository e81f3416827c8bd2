"""One question about one text, asked in every way that the service has."""

from collections.abc import Callable
from dataclasses import dataclass

import grpc
from google.rpc import status_pb2

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.answers import CODECS, UTF8, UTF16, UTF32, status_of

Response = pb.AnswerResponse | pb.AnswerFromDocumentsResponse
CALL_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of the pair: an answer in this unit, or a status."""

    unit: "pb.OffsetEncoding.ValueType"
    result: Response | status_pb2.Status


@dataclass(frozen=True, slots=True)
class Replies:
    """The same pair in four ways, and its neighbours in the batch."""

    alone: Reply
    others: tuple[Reply, ...]
    neighbours: list[pb.BatchAnswerItem]


def ask(
    stub: QuestionAnsweringServiceStub,
    pair: pb.AnswerRequest,
    neighbours: list[pb.AnswerRequest],
    position: int,
) -> Replies:
    """In all four ways at once, each in its own unit; the pair is `position`th in its batch."""
    eight, sixteen, thirty_two = (counted_in(pair, unit) for unit in (UTF8, UTF16, UTF32))
    pairs = [*neighbours[:position], eight, *neighbours[position:]]
    document = pb.AnswerFromDocumentsRequest(
        question=pair.question, documents=[pb.Document(text=pair.context)], options=eight.options
    )
    entry = pb.StreamAnswerRequest(id="only", request=sixteen)
    alone = stub.Answer.future(thirty_two, timeout=CALL_SECONDS)
    batch = stub.BatchAnswer.future(pb.BatchAnswerRequest(requests=pairs), timeout=CALL_SECONDS)
    documents = stub.AnswerFromDocuments.future(document, timeout=CALL_SECONDS)
    [streamed] = stub.StreamAnswer(iter([entry]), timeout=CALL_SECONDS)
    items = list(batch.result().items)
    assert len(items) == len(pairs)
    mine = items.pop(position)
    others = (
        Reply(UTF8, settled(mine)),
        Reply(UTF16, settled(streamed)),
        Reply(UTF8, outcome(documents.result)),
    )
    return Replies(Reply(UTF32, outcome(alone.result)), others, items)


def counted_in(pair: pb.AnswerRequest, unit: "pb.OffsetEncoding.ValueType") -> pb.AnswerRequest:
    changed = pb.AnswerRequest()
    changed.CopyFrom(pair)
    changed.options.offset_encoding = unit
    return changed


def settled(item: pb.BatchAnswerItem | pb.StreamAnswerResponse) -> Response | status_pb2.Status:
    return item.error if item.WhichOneof("result") == "error" else item.response


def outcome(result: Callable[[], Response]) -> Response | status_pb2.Status:
    try:
        return result()
    except grpc.RpcError as error:
        return status_of(error)


def code_points(
    context: str, answer: pb.Answer, unit: "pb.OffsetEncoding.ValueType"
) -> tuple[int, int]:
    """Where an answer is, in the unit that all units can be compared in."""
    codec, size = CODECS[unit]
    raw = context.encode(codec)
    start, end = (len(raw[: at * size].decode(codec)) for at in (answer.start, answer.end))
    return start, end
