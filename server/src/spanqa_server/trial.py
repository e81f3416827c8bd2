"""A question that each model version is asked: before it takes calls, and now and then after that.

A Triton may say "ready" and compute nothing, or nonsense: after an error of a GPU, with weights
that were damaged on their way. Readiness is what it answers.
"""

import logging
import math
from collections.abc import Callable

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


class Trial:
    """What a version has answered so far."""

    def __init__(self, number: str, now: Callable[[], float]) -> None:
        """Of the version with this number; `now` is the event loop's clock."""
        self._number = number
        self._now = now
        self._score: float | None = None
        self._asked_at = -math.inf
        self._again_at = -math.inf
        self._passed = False

    async def passes(self, model: ServedModel, answered_at: float) -> bool:
        """Whether the version answers as it did; it is asked where its last answer is old.

        Args:
            model: the version.
            answered_at: when it last answered a call.

        Raises:
            StartupError: it has never answered, and will not.
        """
        if self._passed and self._now() < self._asked_at + PROOF_SECONDS:
            return True
        if self._now() < self._again_at:
            return False
        self._passed = await self._try(model, answered_at)
        metrics.TRIALS.labels("passed" if self._passed else "failed").inc()
        self._asked_at = self._now()
        return self._passed

    async def _try(self, model: ServedModel, answered_at: float) -> bool:
        try:
            score = await ask(model, TRIAL_SECONDS if self._score is None else AGAIN_SECONDS)
        except (ModelUnavailableError, OverloadedError, DeadlineError) as error:
            if self._score is not None and self._now() < answered_at + PROOF_SECONDS:
                return True  # so busy with calls that the trial had no turn
            logger.warning("model version %s cannot be tried yet: %s", self._number, error)
            if self._score is None and isinstance(error, DeadlineError):
                # Health is not looked at meanwhile.
                self._again_at = self._now() + TRIAL_PAUSE_SECONDS
            return False
        except Exception as error:  # tokenizers raise bare Exception
            if self._score is None:
                raise StartupError(f"it failed on a trial question ({error})") from None
            logger.error("model version %s fails on its trial question: %s", self._number, error)
            return False
        if self._score is None:
            self._score = score
        same = abs(score - self._score) <= SAME_SCORE
        if not same:
            told = "model version %s gave its trial question the score %.3g before and %.3g now"
            logger.error(told, self._number, self._score, score)
        return same


async def ask(model: ServedModel, within: float) -> float:
    """The score of the answer to the trial question; raises what the answerer does."""
    with model.answerer.texts() as texts:
        async with Deadline.after(within).bounds():
            found = await model.answerer.answer(TRIAL, texts)
    return found.answers[0].span.score if found.answers else 0.0
