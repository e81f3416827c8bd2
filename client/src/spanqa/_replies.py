"""Converts responses to Python values: pure functions that both clients share."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from spanqa._errors import InternalError, SpanQAError, error_from_status
from spanqa._results import (
    Answer,
    AnswerResult,
    DocumentsResult,
    LogitsResult,
    ModelInfo,
    ModelLimits,
    Timing,
    Usage,
    Window,
)
from spanqa.v1 import question_answering_pb2 as pb


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


def batch_outcomes(
    response: pb.BatchAnswerResponse, pairs: int
) -> list[AnswerResult | SpanQAError]:
    """Converts the reply to a BatchAnswer call; raises InternalError if pairs are missing."""
    if len(response.items) != pairs:
        raise InternalError(f"the server replied with {len(response.items)} items to {pairs} pairs")
    return [outcome(item) for item in response.items]


def outcome(item: pb.BatchAnswerItem | pb.StreamAnswerResponse) -> AnswerResult | SpanQAError:
    """Converts the result of one pair; an error is returned, not raised."""
    if item.HasField("response"):
        return answer_result(item.response)
    if item.HasField("error"):
        return error_from_status(item.error)
    return InternalError("the server sent neither an answer nor an error for this pair")


def documents_result(response: pb.AnswerFromDocumentsResponse) -> DocumentsResult:
    """Converts the reply to an AnswerFromDocuments call."""
    return DocumentsResult(
        answers=tuple(_answer(answer) for answer in response.answers),
        document_ids=tuple(response.document_ids),
        no_answer=response.no_answer,
        no_answer_probability=response.no_answer_probability,
        model_version=response.model_version,
        usage=_usage(response.usage),
        timing=_timing(response.timing),
    )


def logits_result(response: pb.ComputeLogitsResponse) -> LogitsResult:
    """Converts the reply to a ComputeLogits call."""
    return LogitsResult(
        windows=tuple(_window(window) for window in response.windows),
        model_version=response.model_version,
        usage=_usage(response.usage),
        timing=_timing(response.timing),
    )


def model_info(response: pb.GetModelResponse) -> ModelInfo:
    """Converts the reply to a GetModel call."""
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
        limits=_limits(response.limits),
    )


def _limits(limits: pb.ModelLimits) -> ModelLimits:
    return ModelLimits(
        max_question_tokens=limits.max_question_tokens,
        max_context_bytes=limits.max_context_bytes,
        max_top_k=limits.max_top_k,
        max_answer_tokens=limits.max_answer_tokens,
        max_sequence_tokens=limits.max_sequence_tokens,
        max_batch_items=limits.max_batch_items,
        max_documents=limits.max_documents,
        max_message_bytes=limits.max_message_bytes,
        max_windows=limits.max_windows,
        max_logits_tokens=limits.max_logits_tokens,
        max_stream_pairs=limits.max_stream_pairs,
        default_timeout=_seconds(limits.default_timeout),
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


def _window(window: pb.Window) -> Window:
    return Window(
        token_ids=tuple(window.token_ids),
        tokens=tuple(window.tokens),
        sequence_ids=tuple(window.sequence_ids),
        starts=tuple(window.starts),
        ends=tuple(window.ends),
        start_logits=tuple(window.start_logits),
        end_logits=tuple(window.end_logits),
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
