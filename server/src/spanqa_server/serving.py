"""A model version made ready to take calls, and what is told of it."""

from concurrent.futures import Executor

from google.protobuf.duration_pb2 import Duration

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.grpc_api.items import ServedModel
from spanqa_server.qa.answerer import Answerer
from spanqa_server.qa.requests import Limits, ModelDefaults
from spanqa_server.qa.text_cache import TextCache
from spanqa_server.qa.tokenizer import TokenizedText
from spanqa_server.settings import Settings
from spanqa_server.telemetry import metrics, tracing
from spanqa_server.triton.client import Triton, VersionInference
from spanqa_server.versions import ModelVersion

TEXTS_FROM = {True: metrics.TEXTS.labels("cache"), False: metrics.TEXTS.labels("tokenizer")}


def serve_version(
    settings: Settings, version: ModelVersion, triton: Triton, threads: Executor
) -> ServedModel:
    """The version with its tokenizer, its limits and its inference."""
    manifest = version.manifest
    defaults = ModelDefaults(
        manifest.max_sequence_tokens, manifest.doc_stride_tokens, manifest.has_no_answer
    )
    limits = Limits(
        max_question_tokens=settings.max_question_tokens,
        max_context_bytes=settings.max_context_bytes,
        max_top_k=settings.max_top_k,
        max_answer_tokens=settings.max_answer_tokens,
        max_sequence_tokens=manifest.max_position_embeddings,
        max_windows=settings.max_windows,
        max_documents=settings.max_documents,
        max_logits_tokens=settings.max_logits_tokens,
    )
    inference = VersionInference(triton, version.number, version.tensor_limits)
    cache: TextCache[TokenizedText] = TextCache(settings.text_cache_bytes, count_lookup)
    answerer = Answerer(
        version.tokenizer, defaults, limits, inference, threads, cache, tracing.stage
    )
    return ServedModel(answerer, describe_model(version, limits, settings))


def count_lookup(kept: bool) -> None:
    TEXTS_FROM[kept].inc()


def describe_model(
    version: ModelVersion, limits: Limits, settings: Settings
) -> pb.GetModelResponse:
    """What GetModel answers."""
    manifest = version.manifest
    timeout = Duration()
    timeout.FromNanoseconds(round(settings.default_timeout * 1e9))
    return pb.GetModelResponse(
        name=manifest.name,
        version=version.number,
        checksum=manifest.model_sha256,
        source=manifest.source,
        revision=manifest.revision,
        license=manifest.license,
        dtype=manifest.dtype,
        max_sequence_tokens=manifest.max_sequence_tokens,
        doc_stride_tokens=manifest.doc_stride_tokens,
        has_no_answer=manifest.has_no_answer,
        exact_match=manifest.exact_match,
        f1=manifest.f1,
        limits=pb.ModelLimits(
            max_question_tokens=limits.max_question_tokens,
            max_context_bytes=limits.max_context_bytes,
            max_top_k=limits.max_top_k,
            max_answer_tokens=limits.max_answer_tokens,
            max_sequence_tokens=limits.max_sequence_tokens,
            max_batch_items=settings.max_batch_items,
            max_documents=limits.max_documents,
            max_message_bytes=settings.max_message_bytes,
            max_windows=limits.max_windows,
            max_logits_tokens=limits.max_logits_tokens,
            max_stream_pairs=settings.max_stream_pairs,
            default_timeout=timeout,
        ),
    )
