"""The way of a request through the frontend without gRPC, each stage measured alone."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from functools import cache
from time import thread_time
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2

from benchmarks import REPOSITORY
from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.grpc_api.converters import read_question, write_answers
from spanqa_server.qa.answerer import Logits, PreparedQuestion, cost, find_answers
from spanqa_server.qa.decoder import Decoded, decode
from spanqa_server.qa.layout import lay_out
from spanqa_server.qa.offsets import OffsetUnit
from spanqa_server.qa.requests import Question
from spanqa_server.qa.results import AnswerSet, FoundAnswer
from spanqa_server.qa.tokenizer import TokenizedText
from spanqa_server.qa.windows import pack_windows, plan_windows
from spanqa_server.triton.protocol import OUTPUTS, build_request, read_logits
from spanqa_server.versions.repository import ModelVersion, load_version

VERSION = REPOSITORY / "bert_qa" / "1"
ROUNDS = 6
HEAD = 14  # [CLS], a question of 12 tokens, [SEP]
ROOM, STRIDE = 384 - HEAD - 1, 128
A = TypeVar("A")
B = TypeVar("B")


def measure_stages(requests: list[pb.AnswerRequest]) -> dict[str, float]:
    """CPU seconds a request of each stage: medians of the rounds after the first."""
    rounds = [run_stages(requests) for _ in range(ROUNDS)][1:]
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


@cache
def served_version() -> ModelVersion:
    """One for all rounds: after the first it knows the words, as a server does."""
    return load_version(VERSION)


def run_stages(requests: list[pb.AnswerRequest]) -> dict[str, float]:
    """Take all requests through one stage after the other."""
    version = served_version()
    tokenizer, manifest = version.tokenizer, version.manifest
    seconds: dict[str, float] = {}

    def stage(name: str, work: Callable[[A], B], inputs: Iterable[A]) -> list[B]:
        given = list(inputs)
        begin = thread_time()
        results = [work(one) for one in given]
        seconds[name] = (thread_time() - begin) / len(given)
        return results

    raw = [request.SerializeToString() for request in requests]
    parsed = stage("parse", pb.AnswerRequest.FromString, raw)
    questions = stage("read", read_question, parsed)
    tokens = stage(
        "tokenize",
        lambda one: (tokenizer.encode(one.question), tokenizer.encode(one.texts[0])),
        questions,
    )

    def window(one: tuple[Question, tuple[TokenizedText, TokenizedText]]) -> PreparedQuestion:
        request, (question, context) = one
        room = manifest.max_sequence_tokens - len(question) - 3
        layout = lay_out(request.texts, [context], room, manifest.doc_stride_tokens)
        ids = {"cls_id": tokenizer.cls_id, "sep_id": tokenizer.sep_id}
        return PreparedQuestion(
            question, layout, pack_windows(question.ids, layout.tokens.ids, layout.plan, **ids)
        )

    prepared = stage("window", window, zip(questions, tokens, strict=True))
    stage(
        "build the Triton request",
        lambda one: build_request("bert_qa", "1", one.packed).SerializeToString(),
        prepared,
    )
    sizes = [len(one.packed.input_ids) for one in prepared]
    replies = [logits_of(size).SerializeToString() for size in sizes]
    logits = stage(
        "read the Triton reply",
        lambda one: read_logits(service_pb2.ModelInferResponse.FromString(one[0]), one[1]),
        zip(replies, sizes, strict=True),
    )
    decoded = stage(
        "decode",
        lambda one: find_answers(one[0], one[1], free(one[2])),
        zip(questions, prepared, logits, strict=True),
    )

    def write(one: tuple[PreparedQuestion, tuple[Decoded, list[FoundAnswer]]]) -> bytes:
        windows, (found, answers) = one
        spent = cost(windows, free(logits[0]), 0.001, 0.001)
        unit = OffsetUnit.UTF32
        answer_set = AnswerSet(answers, found.no_answer, found.null_probability, unit, spent)
        return write_answers(answer_set, "1", 0.01).SerializeToString()

    stage("write the reply", write, zip(prepared, decoded, strict=True))
    return seconds


def rank_windows(windows: int, top_k: int, repeats: int) -> float:
    """CPU seconds to find the best answers in the logits of so many full windows."""
    tokens = ROOM + (windows - 1) * (ROOM - STRIDE)
    plan = plan_windows(tokens, ROOM, STRIDE)
    total = int((plan.ends - plan.starts + HEAD + 1).sum())
    random = np.random.default_rng(0)
    starts, ends = (random.normal(0, 3, total).astype(np.float32) for _ in range(2))
    places = np.arange(tokens) * 5
    begin = thread_time()
    for _ in range(repeats):
        decode(starts, ends, plan, HEAD, places, places + 4, top_k=top_k, max_answer_tokens=30)
    return (thread_time() - begin) / repeats


RANDOM = np.random.default_rng(0)
# The logits repeat: the canary wants the same for each of its windows, which are of this length.
LONGEST = 512
BUFFERS = [RANDOM.normal(0, 3, LONGEST).astype(np.float32).tobytes() * 2048 for _ in OUTPUTS]


def free(logits: tuple[npt.NDArray[np.float32], ...]) -> Logits:
    """Logits that cost no time."""
    starts, ends = logits
    return Logits(starts, ends, 0.0, 0.0)


def logits_of(tokens: int) -> service_pb2.ModelInferResponse:
    """A reply with logits that nobody computed, cut from one buffer."""
    response = service_pb2.ModelInferResponse(
        raw_output_contents=[buffer[: 4 * tokens] for buffer in BUFFERS]
    )
    for name in OUTPUTS:
        response.outputs.add(name=name, datatype="FP32", shape=(1, tokens))
    return response
