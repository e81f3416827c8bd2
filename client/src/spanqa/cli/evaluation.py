"""Asks a server the questions of a file."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from rich.console import Console

from spanqa import Answer, AnswerResult, AsyncClient, ModelInfo, Options, SpanQAError
from spanqa._errors import InvalidArgumentError, ResourceExhaustedError
from spanqa._repeating import OVERLOADED
from spanqa.cli.connection import Connection
from spanqa.cli.progress import counting
from spanqa.squad import Question

# Of one question: whoever asks thousands of them can wait.
PATIENCE_SECONDS = 600.0
# A threshold that no difference of logits exceeds; the server takes any finite float32.
NEVER = 1e30


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one question: a result or an error."""

    question: Question
    seconds: float
    result: AnswerResult | None = None
    error: SpanQAError | None = None
    null_odds: float | None = None
    """How far "no answer" scores above the best span, in logits; None if it was not asked for."""
    refused: bool = False
    """Whether ``null_odds`` exceed the threshold."""

    @property
    def best(self) -> Answer | None:
        """The best answer; None if there is none, or "no answer" won."""
        return None if self.result is None or self.refused else self.result.best

    @property
    def prediction(self) -> str | None:
        """The text of the answer; empty if there was none, None if the call failed."""
        return "" if self.refused else self.best_text

    @property
    def best_text(self) -> str | None:
        """As ``prediction``, but the best span even if "no answer" scores higher."""
        if self.result is None:
            return None
        return self.result.best.text if self.result.best else ""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A run, to its end or until it was interrupted."""

    model: ModelInfo
    outcomes: Sequence[Outcome]
    seconds: float
    interrupted: bool = False
    """Whether Ctrl-C ended it; the outcomes are those until then."""


async def evaluate(
    questions: Sequence[Question],
    connection: Connection,
    *,
    options: Options,
    concurrency: int,
    null_odds: bool = False,
) -> Evaluated:
    """Asks all questions. Errors of single questions are outcomes. Ctrl-C keeps those until then.

    Args:
        questions: The questions.
        connection: The server.
        options: How to answer.
        concurrency: How many calls may be under way.
        null_odds: Whether to get the null score and the best span of each question, whichever wins.

    Raises:
        SpanQAError: The server does not even describe its model.
        ValueError: ``options`` allow no answer, but the model was not trained for it; or they ask
            for more answers than the server gives.
    """
    async with connection.open_async() as client:
        model = await client.model_info()
        if options.allow_no_answer and not model.has_no_answer:
            raise ValueError(
                f"{model.name} was not trained to give no answer: leave --no-answer off"
            )
        most = model.limits.max_top_k
        if 0 < most < options.top_k:
            raise ValueError(f"{connection.target} gives up to {most} answers, not {options.top_k}")
        with counting("questions", len(questions)) as on_done:
            begin = time.perf_counter()
            threshold, asked = options.no_answer_threshold, options
            if null_odds:
                asked = replace(options, no_answer_threshold=NEVER)
            outcomes = await ask_all(client, questions, asked, concurrency, on_done)
        seconds = time.perf_counter() - begin
    interrupted = len(outcomes) < len(questions)
    if interrupted:
        kept = f"{len(outcomes)} of {len(questions)} questions"
        Console(stderr=True).print(f"spanqa: interrupted after {kept}; the report is of those")
    if null_odds:
        outcomes = [with_null_odds(outcome, threshold) for outcome in outcomes]
    return Evaluated(model, outcomes, seconds, interrupted)


def with_null_odds(outcome: Outcome, threshold: float) -> Outcome:
    """Compares "no answer" with the best span of a reply that has both.

    Their probabilities have the same denominator, so the logarithm of their ratio is the difference
    of their scores.
    """
    result = outcome.result
    if result is None or result.best is None:
        return outcome
    null, best = (
        math.log(max(probability, sys.float_info.min))
        for probability in (result.no_answer_probability, result.best.probability)
    )
    return replace(outcome, null_odds=null - best, refused=null - best > threshold)


async def ask_all(
    client: AsyncClient,
    questions: Iterable[Question],
    options: Options,
    concurrency: int,
    on_done: Callable[[], object],
) -> list[Outcome]:
    """Runs at most ``concurrency`` calls at a time; outcomes are in the order of the questions.

    If it is cancelled, as Ctrl-C does, it returns the outcomes until then, if there are any.
    """
    numbered = enumerate(questions)
    outcomes: dict[int, Outcome] = {}

    async def work() -> None:
        for index, question in numbered:
            outcomes[index] = await _ask(client, question, options)
            on_done()

    try:
        await asyncio.gather(*(work() for _ in range(concurrency)))
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not outcomes or task is None:
            raise
        task.uncancel()
    return [outcomes[index] for index in sorted(outcomes)]


async def _ask(client: AsyncClient, question: Question, options: Options) -> Outcome:
    begin = time.perf_counter()
    try:
        result = await _answered(client, question, options)
    except SpanQAError as error:
        return Outcome(question, time.perf_counter() - begin, error=error)
    except ValueError as error:
        refused = InvalidArgumentError(str(error))
        return Outcome(question, time.perf_counter() - begin, error=refused)
    return Outcome(question, time.perf_counter() - begin, result=result)


async def _answered(client: AsyncClient, question: Question, options: Options) -> AnswerResult:
    """The answer, asked for again each time that an overloaded server refuses."""
    while True:
        try:
            return await client.answer(question.question, question.context, **asdict(options))
        except ResourceExhaustedError as error:
            if error.reason != OVERLOADED or error.retry_delay is None:
                raise
            await asyncio.sleep(error.retry_delay)
