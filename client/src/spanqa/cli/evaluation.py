"""Asks a server the questions of a SQuAD file, and summarizes the answers."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TimeRemainingColumn,
)
from rich.text import Text

from spanqa import AnswerResult, AsyncClient, ModelInfo, Options, SpanQAError
from spanqa._errors import InvalidArgumentError, ResourceExhaustedError
from spanqa._repeating import OVERLOADED
from spanqa.cli.connection import Connection
from spanqa.squad import Accuracy, Question, score_all

# Of one question: whoever asks thousands of them can wait.
PATIENCE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one question: a result or an error."""

    question: Question
    seconds: float
    result: AnswerResult | None = None
    error: SpanQAError | None = None

    @property
    def prediction(self) -> str | None:
        """The text of the answer; empty if there was none, None if the call failed."""
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


@dataclass(frozen=True, slots=True)
class Report:
    """A run in numbers; exact match and F1 in percent, where failed questions count as 0."""

    model: str
    model_version: str
    questions: int
    answered: int
    errors: dict[str, int]
    exact_match: float
    f1: float
    has_answer: Accuracy | None
    """For questions with an answer in their text; None if the file has only one kind."""
    no_answer: Accuracy | None
    """For questions without an answer in their text; None if the file has only one kind."""
    answers_per_second: float
    """Replies of the server; failed questions do not count."""
    seconds: float
    latency_seconds: dict[str, float]
    """p50, p90, p99 and max of the successful calls; empty if there was none."""
    mean_probability: float | None


async def evaluate(
    questions: Sequence[Question],
    connection: Connection,
    *,
    options: Options,
    concurrency: int,
) -> Evaluated:
    """Asks all questions. Errors of single questions are outcomes. Ctrl-C keeps those until then.

    Raises:
        SpanQAError: The server does not even describe its model.
        ValueError: ``options`` allow no answer, but the model was not trained for it.
    """
    async with connection.open_async() as client:
        model = await client.model_info()
        if options.allow_no_answer and not model.has_no_answer:
            raise ValueError(
                f"{model.name} was not trained to give no answer: leave --no-answer off"
            )
        with _progress() as progress:
            task = progress.add_task("questions", total=len(questions))
            begin = time.perf_counter()

            def on_done() -> None:
                progress.advance(task)
                done = int(progress.tasks[task].completed)
                if progress.disable and done % max(1, len(questions) // 10) == 0:
                    progress.console.print(f"{done} of {len(questions)} questions")

            outcomes = await ask_all(client, questions, options, concurrency, on_done)
        seconds = time.perf_counter() - begin
    interrupted = len(outcomes) < len(questions)
    if interrupted:
        kept = f"{len(outcomes)} of {len(questions)} questions"
        progress.console.print(f"spanqa: interrupted after {kept}; the report is of those")
    return Evaluated(model, outcomes, seconds, interrupted)


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


def summarize(evaluated: Evaluated) -> Report:
    """Scores a run."""
    outcomes = evaluated.outcomes
    errors = Counter(o.error.code.name for o in outcomes if o.error is not None)
    best = [o.result.best for o in outcomes if o.result is not None]
    probabilities = [answer.probability for answer in best if answer is not None]
    scores = score_all([(o.question, o.prediction) for o in outcomes])
    return Report(
        model=evaluated.model.name,
        model_version=evaluated.model.version,
        questions=scores.total.questions,
        answered=len(probabilities),
        errors=dict(errors.most_common()),
        exact_match=scores.total.exact_match,
        f1=scores.total.f1,
        has_answer=scores.has_answer,
        no_answer=scores.no_answer,
        answers_per_second=len(best) / evaluated.seconds,
        seconds=evaluated.seconds,
        latency_seconds=latency_summary([o.seconds for o in outcomes if o.result is not None]),
        mean_probability=math.fsum(probabilities) / len(probabilities) if probabilities else None,
    )


def latency_summary(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p90 and p99 by the nearest rank, and the maximum; empty for no values."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    ranks = {f"p{p}": math.ceil(p * len(ordered) / 100) for p in (50, 90, 99)}
    return {name: ordered[rank - 1] for name, rank in ranks.items()} | {"max": ordered[-1]}


def predictions_json(outcomes: Iterable[Outcome]) -> str:
    """The official predictions file. Failed questions are left out, so they score 0 there."""
    return json.dumps({o.question.id: o.prediction for o in outcomes if o.prediction is not None})


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("-/s" if task.speed is None else f"{task.speed:.1f}/s")


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
