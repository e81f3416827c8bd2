"""Between protobuf messages and the plain objects of the core."""

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.qa.offsets import OffsetUnit
from spanqa_server.qa.requests import Options, Question
from spanqa_server.qa.results import AnswerSet, Cost, FoundAnswer, LogitSet

OFFSET_UNITS = {
    pb.OFFSET_ENCODING_UNSPECIFIED: OffsetUnit.UTF32,
    pb.OFFSET_ENCODING_UTF8: OffsetUnit.UTF8,
    pb.OFFSET_ENCODING_UTF16: OffsetUnit.UTF16,
    pb.OFFSET_ENCODING_UTF32: OffsetUnit.UTF32,
}
OFFSET_ENCODINGS = {unit: encoding for encoding, unit in OFFSET_UNITS.items() if encoding}


def read_question(request: pb.AnswerRequest) -> Question:
    """The core's form of a request, unchecked."""
    return Question(request.question, (request.context,), read_options(request.options))


def read_documents(request: pb.AnswerFromDocumentsRequest) -> Question:
    """The core's form of a request, unchecked."""
    return Question(
        request.question,
        tuple(document.text for document in request.documents),
        read_options(request.options),
        field="documents",
        ids=tuple(document.id for document in request.documents),
    )


def read_logits_request(request: pb.ComputeLogitsRequest) -> Question:
    """The core's form of a request, unchecked."""
    options = Options(
        offset_unit=OFFSET_UNITS.get(request.offset_encoding),
        max_sequence_tokens=request.max_sequence_tokens,
        doc_stride_tokens=request.doc_stride_tokens,
    )
    return Question(request.question, (request.context,), options)


def read_options(options: pb.AnswerOptions) -> Options:
    return Options(
        top_k=options.top_k,
        max_answer_tokens=options.max_answer_tokens,
        allow_no_answer=options.allow_no_answer,
        no_answer_threshold=options.no_answer_threshold,
        offset_unit=OFFSET_UNITS.get(options.offset_encoding),
        max_sequence_tokens=options.max_sequence_tokens,
        doc_stride_tokens=options.doc_stride_tokens,
        min_probability=options.min_probability,
        allow_overlap=options.allow_overlap,
        max_answers_per_document=options.max_answers_per_document,
    )


def write_answers(found: AnswerSet, model_version: str, total_seconds: float) -> pb.AnswerResponse:
    """The reply of Answer."""
    return pb.AnswerResponse(
        answers=[write_answer(answer) for answer in found.answers],
        no_answer=found.no_answer,
        no_answer_probability=found.no_answer_probability,
        model_version=model_version,
        usage=write_usage(found.cost),
        timing=write_timing(found.cost, total_seconds),
        offset_encoding=OFFSET_ENCODINGS[found.offset_unit],
    )


def write_document_answers(
    found: AnswerSet, model_version: str, total_seconds: float, document_ids: Sequence[str]
) -> pb.AnswerFromDocumentsResponse:
    """The reply of AnswerFromDocuments."""
    return pb.AnswerFromDocumentsResponse(
        answers=[write_answer(answer) for answer in found.answers],
        no_answer=found.no_answer,
        no_answer_probability=found.no_answer_probability,
        document_ids=document_ids,
        model_version=model_version,
        usage=write_usage(found.cost),
        timing=write_timing(found.cost, total_seconds),
        offset_encoding=OFFSET_ENCODINGS[found.offset_unit],
    )


def write_logits(
    found: LogitSet, model_version: str, total_seconds: float
) -> pb.ComputeLogitsResponse:
    """The reply of ComputeLogits."""
    return pb.ComputeLogitsResponse(
        windows=[
            pb.Window(
                token_ids=window.token_ids,
                tokens=window.tokens,
                sequence_ids=window.sequence_ids,
                starts=window.starts,
                ends=window.ends,
                start_logits=window.start_logits,
                end_logits=window.end_logits,
            )
            for window in found.windows
        ],
        model_version=model_version,
        usage=write_usage(found.cost),
        timing=write_timing(found.cost, total_seconds),
        offset_encoding=OFFSET_ENCODINGS[found.offset_unit],
    )


def write_answer(answer: FoundAnswer) -> pb.Answer:
    return pb.Answer(
        text=answer.text,
        start=answer.start,
        end=answer.end,
        score=answer.span.score,
        probability=answer.span.probability,
        start_logit=answer.span.start_logit,
        end_logit=answer.span.end_logit,
        document_index=answer.document,
    )


def write_usage(cost: Cost) -> pb.Usage:
    return pb.Usage(
        question_tokens=cost.question_tokens,
        context_tokens=cost.context_tokens,
        windows=cost.windows,
    )


def write_timing(cost: Cost, total_seconds: float) -> pb.Timing:
    return pb.Timing(
        tokenize=duration(cost.seconds.tokenize),
        queue=duration(cost.seconds.queue),
        infer=duration(cost.seconds.infer),
        decode=duration(cost.seconds.decode),
        total=duration(total_seconds),
    )


def duration(seconds: float) -> Duration:
    """A protobuf duration, to the nanosecond."""
    whole, fraction = divmod(seconds, 1)
    return Duration(seconds=int(whole), nanos=int(fraction * 1e9))
