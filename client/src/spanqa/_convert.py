"""Requests from Python arguments, Python values from responses: pure, shared by both clients."""

from __future__ import annotations

import operator
from numbers import Real

from google.protobuf.duration_pb2 import Duration

from spanqa.results import Answer, AnswerResult, ModelInfo, ModelLimits, Timing, Usage
from spanqa.v1 import question_answering_pb2 as pb

_INT32_MAX = 2**31 - 1


def answer_request(
    question: str,
    context: str,
    *,
    top_k: int,
    max_answer_tokens: int | None,
    allow_no_answer: bool,
    no_answer_threshold: float,
    max_sequence_tokens: int | None,
    doc_stride_tokens: int | None,
    min_probability: float,
) -> pb.AnswerRequest:
    """Builds a request; raises TypeError or ValueError naming the argument that cannot be sent."""
    return pb.AnswerRequest(
        question=_text("question", question),
        context=_text("context", context),
        options=pb.AnswerOptions(
            top_k=_int32("top_k", top_k),
            max_answer_tokens=_int32("max_answer_tokens", max_answer_tokens),
            allow_no_answer=_boolean("allow_no_answer", allow_no_answer),
            no_answer_threshold=_real("no_answer_threshold", no_answer_threshold),
            offset_encoding=pb.OFFSET_ENCODING_UTF32,
            max_sequence_tokens=_int32("max_sequence_tokens", max_sequence_tokens),
            doc_stride_tokens=_int32("doc_stride_tokens", doc_stride_tokens),
            min_probability=_real("min_probability", min_probability),
        ),
    )


def answer_result(response: pb.AnswerResponse) -> AnswerResult:
    """Converts the reply to an Answer call."""
    return AnswerResult(
        answers=tuple(_answer(answer) for answer in response.answers),
        no_answer=response.no_answer,
        no_answer_probability=response.no_answer_probability,
        model_version=response.model_version,
        usage=_usage(response.usage),
        timing=_timing(response.timing),
    )


def model_info(response: pb.GetModelResponse) -> ModelInfo:
    """Converts the reply to a GetModel call."""
    limits = response.limits
    return ModelInfo(
        name=response.name,
        version=response.version,
        checksum=response.checksum,
        source=response.source,
        revision=response.revision,
        license=response.license,
        dtype=response.dtype,
        max_sequence_tokens=response.max_sequence_tokens,
        doc_stride_tokens=response.doc_stride_tokens,
        has_no_answer=response.has_no_answer,
        exact_match=response.exact_match if response.HasField("exact_match") else None,
        f1=response.f1 if response.HasField("f1") else None,
        limits=ModelLimits(
            max_question_tokens=limits.max_question_tokens,
            max_context_bytes=limits.max_context_bytes,
            max_top_k=limits.max_top_k,
            max_answer_tokens=limits.max_answer_tokens,
            max_sequence_tokens=limits.max_sequence_tokens,
            max_batch_items=limits.max_batch_items,
            max_documents=limits.max_documents,
            max_message_bytes=limits.max_message_bytes,
            max_windows=limits.max_windows,
        ),
    )


def _answer(answer: pb.Answer) -> Answer:
    return Answer(
        text=answer.text,
        start=answer.start,
        end=answer.end,
        score=answer.score,
        probability=answer.probability,
        start_logit=answer.start_logit,
        end_logit=answer.end_logit,
        document_index=answer.document_index,
    )


def _usage(usage: pb.Usage) -> Usage:
    return Usage(
        question_tokens=usage.question_tokens,
        context_tokens=usage.context_tokens,
        windows=usage.windows,
    )


def _timing(timing: pb.Timing) -> Timing:
    return Timing(
        tokenize=_seconds(timing.tokenize),
        queue=_seconds(timing.queue),
        infer=_seconds(timing.infer),
        decode=_seconds(timing.decode),
        total=_seconds(timing.total),
    )


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} holds a lone surrogate at index {error.start}: it cannot be sent as UTF-8"
        ) from None
    return value


def _int32(name: str, value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not bool")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an int, not {type(value).__name__}") from None
    if abs(number) > _INT32_MAX:
        raise ValueError(f"{name} is {number}: it must fit into 32 bits")
    return number


def _real(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a float, not {type(value).__name__}")
    return float(value)


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, not {type(value).__name__}")
    return value
