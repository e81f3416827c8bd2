"""The way of one request: check → tokenize → window → infer → decode."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from spanqa_server.qa.decoder import Decoded, Span, decode
from spanqa_server.qa.offsets import OffsetUnit, convert_offsets
from spanqa_server.qa.requests import (
    DEFAULT_MAX_ANSWER_TOKENS,
    Limits,
    ModelDefaults,
    Question,
    check_question_tokens,
    check_request,
    resolve_windows,
)
from spanqa_server.qa.tokenizer import LONG_TEXT, TextTokenizer, TokenizedText
from spanqa_server.qa.windows import PackedWindows, WindowPlan, pack_windows, plan_windows

T = TypeVar("T")

# Long texts (LONG_TEXT) are tokenized and this many windows decoded in a thread: shorter
# work costs less than the hop, longer work would hold up other requests. Few threads: they
# share the interpreter with the event loop, and a queue in front of them costs nobody else.
MANY_WINDOWS = 16
LONG_WORK_THREADS = 2


@dataclass(frozen=True, slots=True)
class Logits:
    """What the model gave: float32 [T] each, and the seconds spent waiting and at Triton."""

    starts: npt.NDArray[np.float32]
    ends: npt.NDArray[np.float32]
    queue_seconds: float
    infer_seconds: float


class Inference(Protocol):
    """Whoever computes logits for packed windows."""

    async def infer(self, packed: PackedWindows) -> Logits:
        """Compute the logits; raises a ServerError where that is not possible."""


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """A span as the caller counts: text == context[start:end] in the unit asked for."""

    text: str
    start: int
    end: int
    span: Span


@dataclass(frozen=True, slots=True)
class StageSeconds:
    """Where the time went."""

    tokenize: float
    queue: float
    infer: float
    decode: float


@dataclass(frozen=True, slots=True)
class AnswerSet:
    """The answers to one question, and what they cost."""

    answers: list[FoundAnswer]
    no_answer: bool
    no_answer_probability: float
    question_tokens: int
    context_tokens: int
    windows: int
    seconds: StageSeconds


@dataclass(frozen=True, slots=True)
class PreparedQuestion:
    """A request on its way to the model."""

    question_tokens: int
    context: TokenizedText
    plan: WindowPlan
    packed: PackedWindows


class Answerer:
    """Answers questions with one model version: its tokenizer, its defaults, its inference."""

    def __init__(
        self,
        tokenizer: TextTokenizer,
        model: ModelDefaults,
        limits: Limits,
        inference: Inference,
    ) -> None:
        self.model = model
        self.limits = limits
        self._tokenizer = tokenizer
        self._inference = inference
        self._threads = ThreadPoolExecutor(LONG_WORK_THREADS, "long-text")

    def close(self) -> None:
        """Drop the long work that waits; what runs ends by itself within seconds."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def answer(self, request: Question) -> AnswerSet:
        """Answer one question.

        Raises:
            InvalidRequestError: the request can never succeed.
            ServerError: the model could not be asked.
        """
        check_request(request, self.limits, self.model)
        begin = perf_counter()
        prepared = await self._run(len(request.context) > LONG_TEXT, lambda: self.prepare(request))
        tokenized = perf_counter()
        logits = await self._inference.infer(prepared.packed)
        inferred = perf_counter()
        answer_set = await self._run(
            len(prepared.plan) > MANY_WINDOWS, lambda: find_answers(request, prepared, logits)
        )
        seconds = StageSeconds(
            tokenize=tokenized - begin,
            queue=logits.queue_seconds,
            infer=logits.infer_seconds,
            decode=perf_counter() - inferred,
        )
        return AnswerSet(
            answers=answer_set[0],
            no_answer=answer_set[1],
            no_answer_probability=answer_set[2],
            question_tokens=prepared.question_tokens,
            context_tokens=len(prepared.context),
            windows=len(prepared.plan),
            seconds=seconds,
        )

    async def _run(self, long: bool, work: Callable[[], T]) -> T:
        if long:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        return work()

    def prepare(self, request: Question) -> PreparedQuestion:
        """Tokenize the request and cut its windows."""
        question = self._tokenizer.encode(request.question)
        check_question_tokens(len(question), self.limits)
        context = self._tokenizer.encode(request.context)
        size = resolve_windows(
            request.options,
            self.limits,
            self.model,
            question_tokens=len(question),
            context_tokens=len(context),
        )
        plan = plan_windows(len(context), size.room, size.doc_stride)
        packed = pack_windows(
            question.ids,
            context.ids,
            plan,
            cls_id=self._tokenizer.cls_id,
            sep_id=self._tokenizer.sep_id,
        )
        return PreparedQuestion(len(question), context, plan, packed)


def find_answers(
    request: Question, prepared: PreparedQuestion, logits: Logits
) -> tuple[list[FoundAnswer], bool, float]:
    """Decode: the answers, whether "no answer" won, and its probability."""
    options = request.options
    decoded = decode(
        logits.starts,
        logits.ends,
        prepared.plan,
        prepared.question_tokens + 2,
        prepared.context.starts,
        prepared.context.ends,
        top_k=options.top_k or 1,
        max_answer_tokens=options.max_answer_tokens or DEFAULT_MAX_ANSWER_TOKENS,
        allow_no_answer=options.allow_no_answer,
    )
    no_answer = options.allow_no_answer and null_wins(decoded, options.no_answer_threshold)
    spans = [] if no_answer else decoded.spans
    spans = [span for span in spans if span.probability >= options.min_probability]
    answers = locate(request.context, spans, options.offset_unit or OffsetUnit.UTF32)
    return answers, no_answer, decoded.null_probability


def null_wins(decoded: Decoded, threshold: float) -> bool:
    return not decoded.spans or decoded.null_score - decoded.spans[0].score > threshold


def locate(context: str, spans: list[Span], unit: OffsetUnit) -> list[FoundAnswer]:
    positions = [position for span in spans for position in (span.start, span.end)]
    offsets = convert_offsets(context, positions, unit)
    return [
        FoundAnswer(context[span.start : span.end], offsets[span.start], offsets[span.end], span)
        for span in spans
    ]
