"""A question that each model version is asked: before it takes calls, and now and then after that.

A Triton may say "ready" and compute nothing, or nonsense: after an error of a GPU, with weights
that were damaged on their way. Readiness is what it answers. Of several Tritons each is asked.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from spanqa_server.errors import (
    DeadlineError,
    ModelUnavailableError,
    OverloadedError,
    StartupError,
)
from spanqa_server.grpc_api.items import Deadline, ServedModel
from spanqa_server.qa.requests import Options, Question
from spanqa_server.telemetry import metrics

logger = logging.getLogger(__name__)

# One token each, which the smallest limits allow.
TRIAL = Question("a", ("a",), Options())
TRIAL_SECONDS, TRIAL_PAUSE_SECONDS = 10.0, 30.0
AGAIN_SECONDS = 2.0
# How long an answer proves that the next one will be right.
PROOF_SECONDS = 10.0
# Scores of one version differ by rounding alone, in bfloat16 by some 0.1.
SAME_SCORE = 1.0


class Outcome(StrEnum):
    """What came of a trial question."""

    PASSED = "passed"
    LATE = "late"
    FAILED = "failed"


@dataclass(slots=True)
class Examinee:
    """A version on one Triton, and what it last did."""

    model: ServedModel
    last: Outcome = Outcome.LATE
    asked_at: float = -math.inf
    again_at: float = -math.inf


class Trials:
    """What one version has answered so far, on each Triton."""

    def __init__(
        self, number: str, models: Mapping[str, ServedModel], now: Callable[[], float]
    ) -> None:
        """Of the version with this number, by Triton; `now` is the event loop's clock."""
        self._number = number
        self._examinees = {triton: Examinee(model) for triton, model in models.items()}
        self._now = now
        self._score: float | None = None

    @property
    def failed(self) -> bool:
        """Whether it answered wrongly somewhere when it was last asked."""
        return any(one.last is Outcome.FAILED for one in self._examinees.values())

    async def passed(self, tritons: Sequence[str], answered_at: float) -> list[str]:
        """Those of the Tritons where it answers as it did; asked where its last answer is old.

        Args:
            tritons: which say that they have the version.
            answered_at: when the version last answered a call, on any of them.

        Raises:
            StartupError: it has never answered, and will not.
        """
        outcomes = dict(
            zip(tritons, await asyncio.gather(*map(self._examine, tritons)), strict=True)
        )
        passed = [triton for triton in tritons if outcomes[triton] is Outcome.PASSED]
        if passed or self._now() >= answered_at + PROOF_SECONDS:
            return passed
        # So busy with calls that the trial had no turn.
        return [triton for triton in tritons if outcomes[triton] is Outcome.LATE]

    async def _examine(self, triton: str) -> Outcome:
        one = self._examinees[triton]
        proven = one.last is Outcome.PASSED and self._now() < one.asked_at + PROOF_SECONDS
        if not proven and self._now() >= one.again_at:
            one.last = await self._try(triton, one)
            one.asked_at = self._now()
            metrics.TRIALS.labels(one.last).inc()
        return one.last

    async def _try(self, triton: str, one: Examinee) -> Outcome:
        try:
            score = await ask(one.model, TRIAL_SECONDS if self._score is None else AGAIN_SECONDS)
        except (ModelUnavailableError, OverloadedError, DeadlineError) as error:
            told = "model version %s cannot be tried now at %s: %s"
            logger.warning(told, self._number, triton, error)
            if self._score is None and isinstance(error, DeadlineError):
                # Health is not looked at meanwhile.
                one.again_at = self._now() + TRIAL_PAUSE_SECONDS
            return Outcome.LATE
        except Exception as error:  # tokenizers raise bare Exception
            if self._score is None:
                raise StartupError(f"it failed on a trial question ({error})") from None
            told = "model version %s fails on its trial question at %s: %s"
            logger.error(told, self._number, triton, error)
            return Outcome.FAILED
        if self._score is None:
            self._score = score
        if abs(score - self._score) <= SAME_SCORE:
            return Outcome.PASSED
        told = "model version %s gave its trial question the score %.3g before and %.3g now at %s"
        logger.error(told, self._number, self._score, score, triton)
        return Outcome.FAILED


async def ask(model: ServedModel, within: float) -> float:
    """The score of the answer to the trial question; raises what the answerer does."""
    with model.answerer.texts() as texts:
        async with Deadline.after(within).bounds():
            found = await model.answerer.answer(TRIAL, texts)
    return found.answers[0].span.score if found.answers else 0.0
