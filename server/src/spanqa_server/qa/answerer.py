"""The way of one request: check → tokenize → window → infer → decode."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from spanqa_server.qa.decoder import Decoded, decode
from spanqa_server.qa.estimates import estimate_window_tokens
from spanqa_server.qa.layout import Layout, lay_out
from spanqa_server.qa.locating import locate
from spanqa_server.qa.raw import read_windows
from spanqa_server.qa.requests import (
    DEFAULT_MAX_ANSWER_TOKENS,
    Limits,
    ModelDefaults,
    Question,
    WindowSize,
    check_logits_tokens,
    check_question_tokens,
    check_request,
    resolve_windows,
)
from spanqa_server.qa.results import AnswerSet, Cost, FoundAnswer, LogitSet, StageSeconds
from spanqa_server.qa.text_cache import TextCache
from spanqa_server.qa.tokenizer import TokenizedText
from spanqa_server.qa.windows import PackedWindows, pack_windows

T = TypeVar("T")
Stage = Callable[[str], AbstractContextManager[object]]
# Told how many tokens all windows of a request have; raises where there is no memory for them.
Claim = Callable[[int], None]

# More windows than this are cut and decoded in a thread: fewer cost less than the hop, and
# more would hold up other requests.
MANY_WINDOWS = 16


def no_stage(name: str) -> AbstractContextManager[object]:
    """A stage that is not traced."""
    return nullcontext()


def no_claim(tokens: int) -> None:
    """Of work that nobody counts."""


@dataclass(frozen=True, slots=True)
class Logits:
    """What the model computed, float32 [T] each, and the seconds of waiting and at Triton."""

    starts: npt.NDArray[np.float32]
    ends: npt.NDArray[np.float32]
    queue_seconds: float
    infer_seconds: float


class Inference(Protocol):
    """Computes logits for packed windows."""

    async def infer(self, packed: PackedWindows) -> Logits:
        """Compute the logits; raises a ServerError where that is not possible."""


@dataclass(frozen=True, slots=True)
class PreparedQuestion:
    """A request that is ready for the model."""

    question: TokenizedText
    layout: Layout
    packed: PackedWindows


class Answerer:
    """Answers questions with one model version: its tokenizer, its defaults, its inference.

    Long work goes to `threads`. A few of them are enough, since they share the interpreter with
    the event loop.
    """

    def __init__(
        self,
        texts: TextCache,
        model: ModelDefaults,
        limits: Limits,
        inference: Inference,
        threads: Executor,
        stage: Stage = no_stage,
    ) -> None:
        self.model = model
        self.limits = limits
        self._texts = texts
        self._tokenizer = texts.tokenizer
        self._inference = inference
        self._threads = threads
        self._stage = stage

    def check(self, request: Question) -> None:
        """Check what needs no tokens; raises InvalidRequestError. `answer` checks it, too."""
        check_request(request, self.limits, self.model)

    def estimate(self, request: Question) -> int:
        """About how many tokens all its windows have together."""
        return estimate_window_tokens(request, self.limits, self.model)

    async def answer(self, request: Question, claim: Claim = no_claim) -> AnswerSet:
        """Answer one question. `claim` is called before windows are cut.

        Raises:
            InvalidRequestError: the request can never succeed.
            ServerError: the model could not be asked.
        """
        begin = perf_counter()
        with self._stage("tokenize"):
            prepared = await self.prepare(request, claim)
        tokenized = perf_counter()
        logits = await self._inference.infer(prepared.packed)
        inferred = perf_counter()
        with self._stage("decode"):
            decoded, answers = await self._run(
                len(prepared.layout.plan) > MANY_WINDOWS,
                lambda: find_answers(request, prepared, logits),
            )
        seconds = (tokenized - begin, perf_counter() - inferred)
        return AnswerSet(
            answers,
            decoded.no_answer,
            decoded.null_probability,
            request.options.unit,
            cost(prepared, logits, *seconds),
        )

    async def compute_logits(self, request: Question, claim: Claim = no_claim) -> LogitSet:
        """The raw results for a question about one text; raises as `answer` does."""
        begin = perf_counter()
        with self._stage("tokenize"):
            prepared = await self.prepare(request, claim)
            check_logits_tokens(len(prepared.packed.input_ids), self.limits)
        tokenized = perf_counter()
        logits = await self._inference.infer(prepared.packed)
        with self._stage("decode"):
            windows = await self._run(
                len(prepared.layout.plan) > 1,
                lambda: read_windows(
                    request,
                    prepared.question,
                    prepared.layout,
                    prepared.packed,
                    logits.starts,
                    logits.ends,
                    self._tokenizer,
                ),
            )
        seconds = (tokenized - begin, 0.0)
        return LogitSet(windows, request.options.unit, cost(prepared, logits, *seconds))

    async def prepare(self, request: Question, claim: Claim = no_claim) -> PreparedQuestion:
        """Check the request, tokenize it and cut its windows."""
        self.check(request)
        (question,) = await self._texts.encode(request.question)
        check_question_tokens(len(question), self.limits)
        tokenized = await self._texts.encode(*request.texts)
        size = resolve_windows(
            request.options,
            self.limits,
            self.model,
            question_tokens=len(question),
            text_tokens=[len(tokens) for tokens in tokenized],
            field=request.field,
        )
        claim(size.tokens)
        return await self._run(
            size.windows > MANY_WINDOWS,
            lambda: self._pack(request.texts, question, tokenized, size),
        )

    def _pack(
        self,
        texts: tuple[str, ...],
        question: TokenizedText,
        tokenized: list[TokenizedText],
        size: WindowSize,
    ) -> PreparedQuestion:
        layout = lay_out(texts, tokenized, size.room, size.doc_stride)
        packed = pack_windows(
            question.ids,
            layout.tokens.ids,
            layout.plan,
            cls_id=self._tokenizer.cls_id,
            sep_id=self._tokenizer.sep_id,
        )
        return PreparedQuestion(question, layout, packed)

    async def _run(self, long: bool, work: Callable[[], T]) -> T:
        if long:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        return work()


def cost(
    prepared: PreparedQuestion, logits: Logits, tokenize_seconds: float, decode_seconds: float
) -> Cost:
    return Cost(
        question_tokens=len(prepared.question),
        context_tokens=len(prepared.layout.tokens),
        windows=len(prepared.layout.plan),
        seconds=StageSeconds(
            tokenize_seconds, logits.queue_seconds, logits.infer_seconds, decode_seconds
        ),
    )


def find_answers(
    request: Question, prepared: PreparedQuestion, logits: Logits
) -> tuple[Decoded, list[FoundAnswer]]:
    """Decode, and keep the answers that are probable enough."""
    options, layout = request.options, prepared.layout
    decoded = decode(
        logits.starts,
        logits.ends,
        layout.plan,
        len(prepared.question) + 2,
        layout.tokens.starts,
        layout.tokens.ends,
        top_k=options.top_k or 1,
        max_answer_tokens=options.max_answer_tokens or DEFAULT_MAX_ANSWER_TOKENS,
        no_answer_threshold=options.no_answer_threshold if options.allow_no_answer else None,
        first_windows=layout.first_windows,
        max_per_document=options.max_answers_per_document or None,
        allow_overlap=options.allow_overlap,
    )
    spans = [span for span in decoded.spans if span.probability >= options.min_probability]
    return decoded, locate(request.texts, layout, spans, options.unit)
