"""The canary: fixed windows that each model version computes before it takes calls, and then again.

A Triton may say "ready" and compute nothing, or nonsense: after an error of a GPU, with weights
that were damaged on their way. Readiness is what it answers. Of several Tritons each is asked.
The first batch as large as calls may make one is the canary's, too: where memory does not suffice,
no call is lost. Triton's own warm-up would do that, but one that fails ends Triton 2.51.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from spanqa_server.errors import (
    DeadlineError,
    ModelUnavailableError,
    OverloadedError,
    ServerError,
    StartupError,
)
from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.windows import PackedWindows, repeat_window
from spanqa_server.telemetry import metrics
from spanqa_server.versions.repository import ModelVersion

logger = logging.getLogger(__name__)

Ask = Callable[[PackedWindows, str], Awaitable[Logits]]

FIRST_SECONDS, FIRST_BATCH_SECONDS, AGAIN_SECONDS = 10.0, 60.0, 5.0
PAUSE_SECONDS = 30.0
# A look at the versions does not wait longer for a first batch, which goes on meanwhile.
SOON_SECONDS = 0.5
# How long an answer proves that the next one will be right.
PROOF_SECONDS = 10.0
# Logits of one version differ by rounding alone, in bfloat16 by some 0.1.
SAME_LOGIT = 1.0


class Outcome(StrEnum):
    """What came of asking."""

    PASSED = "passed"
    TIMED_OUT = "timed_out"
    AWAY = "away"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CanaryWindows:
    """What is asked: one short window each time, and a batch once on each Triton."""

    short: PackedWindows
    first_batch: PackedWindows


def windows_for(version: ModelVersion, tokens: int) -> CanaryWindows:
    """A short window, and as many of the longest as make up `tokens`, but at least two.

    Raises:
        StartupError: the version's tokenizer cannot encode a text.
    """
    tokenizer = version.tokenizer
    try:
        letter = tokenizer.encode("a").ids[:1].tolist()
    except Exception as error:  # the tokenizers library raises bare Exception
        raise StartupError(f"tokenizer.json: it cannot encode a text ({error})") from None
    longest = version.manifest.max_position_embeddings
    head = [tokenizer.cls_id, *letter, tokenizer.sep_id]
    filling = (letter or [tokenizer.sep_id]) * (longest - len(head) - 1)
    short, long = ([*head, *part, tokenizer.sep_id] for part in (letter, filling))
    times = max(2, tokens // longest)
    return CanaryWindows(repeat_window(short, len(head), 1), repeat_window(long, len(head), times))


@dataclass(slots=True)
class Examinee:
    """A version on one Triton, and what it last did; warm once it has computed a large batch."""

    last: Outcome = Outcome.TIMED_OUT
    warm: bool = False
    first: asyncio.Task[Outcome] | None = None
    timed_out: bool = False
    asked_at: float = -math.inf
    again_at: float = -math.inf


class Canary:
    """What one version has answered so far, on each Triton."""

    def __init__(
        self, number: str, windows: CanaryWindows, ask: Ask, now: Callable[[], float]
    ) -> None:
        """Of the version with this number.

        Args:
            number: the version's.
            windows: what it is asked.
            ask: has them computed by the version on a Triton; raises ServerError.
            now: the event loop's clock.
        """
        self._number = number
        self._windows = windows
        self._ask = ask
        self._now = now
        self._examinees: dict[str, Examinee] = {}
        self._expected: Logits | None = None
        self._has_passed = False

    @property
    def failed(self) -> bool:
        """Whether it answered wrongly somewhere when it was last asked."""
        return any(one.last is Outcome.FAILED for one in self._examinees.values())

    @property
    def under_way(self) -> bool:
        """Whether it computes its first batch somewhere."""
        return any(one.first for one in self._examinees.values())

    def close(self) -> None:
        """The version is gone: nobody waits for what is under way."""
        self.forget(list(self._examinees))

    def forget(self, tritons: Iterable[str]) -> None:
        """These have ended, or lost the version: what they start with is asked as at first."""
        for triton in tritons:
            if (one := self._examinees.pop(triton, None)) and one.first:
                one.first.cancel()

    async def passed(self, tritons: Sequence[str], answered_at: float) -> list[str]:
        """Those of the Tritons where it answers as it did; asked where its last answer is old.

        Args:
            tritons: which say that they have the version.
            answered_at: when the version last answered a call, on any of them.

        Raises:
            StartupError: it has never passed, and will not.
        """
        outcomes = dict(
            zip(tritons, await asyncio.gather(*map(self._examine, tritons)), strict=True)
        )
        passed = [triton for triton in tritons if outcomes[triton] is Outcome.PASSED]
        if passed or self._now() >= answered_at + PROOF_SECONDS:
            return passed
        # So busy with calls that the canary had no turn.
        return [
            triton
            for triton in tritons
            if outcomes[triton] is not Outcome.FAILED and self._examinees[triton].warm
        ]

    async def _examine(self, triton: str) -> Outcome:
        one = self._examinees.setdefault(triton, Examinee())
        proven = one.last is Outcome.PASSED and self._now() < one.asked_at + PROOF_SECONDS
        if proven or self._now() < one.again_at:
            return one.last
        if one.warm:
            outcome = await self._compare(triton, AGAIN_SECONDS)
            # Once proves only that Triton is busy.
            first_timeout = outcome is Outcome.TIMED_OUT and not one.timed_out
            one.timed_out = outcome is Outcome.TIMED_OUT
            if not first_timeout:
                one.last, one.asked_at = outcome, self._now()
            return one.last
        if one.first is None:
            one.first = asyncio.create_task(self._try_first(triton))
        if not (await asyncio.wait({one.first}, timeout=SOON_SECONDS))[0]:
            return Outcome.TIMED_OUT
        first, one.first = one.first, None
        one.last, one.asked_at = Outcome.FAILED, self._now()
        one.again_at = self._now() + PAUSE_SECONDS
        one.last = await first
        if one.last is Outcome.PASSED:
            one.warm = self._has_passed = True
        if one.last in (Outcome.PASSED, Outcome.AWAY):
            one.again_at = -math.inf
        return one.last

    async def _try_first(self, triton: str) -> Outcome:
        outcome = await self._compare(triton, FIRST_SECONDS)
        if outcome is not Outcome.PASSED:
            return outcome
        tokens = len(self._windows.first_batch.input_ids)
        test = f"a first batch of {tokens:,} tokens"
        answer = await self._computed(self._windows.first_batch, triton, FIRST_BATCH_SECONDS, test)
        if isinstance(answer, Outcome):
            return answer
        windows = len(self._windows.first_batch.window_lengths)
        if (by := spread(answer, windows)) <= SAME_LOGIT:
            return counted(Outcome.PASSED)
        # Where the module returns too few logits, Triton hands out the memory behind them.
        reason = f"the logits of identical windows differ by up to {by:.3g}"
        return self._fail(test, triton, reason)

    async def _compare(self, triton: str, within: float) -> Outcome:
        """Have the short window computed, and see whether its logits are what they were."""
        answer = await self._computed(self._windows.short, triton, within, "its canary")
        if isinstance(answer, Outcome):
            return answer
        if self._expected is None:
            self._expected = answer
        if (by := difference(answer, self._expected)) <= SAME_LOGIT:
            return counted(Outcome.PASSED)
        line = "model version %s at %s: its canary's logits differ from before by up to %.3g"
        logger.error(line, self._number, triton, by)
        return counted(Outcome.FAILED)

    async def _computed(
        self, windows: PackedWindows, triton: str, within: float, test: str
    ) -> Logits | Outcome:
        try:
            async with asyncio.timeout(within):
                return await self._ask(windows, triton)
        except (DeadlineError, TimeoutError) as error:
            outcome, reason = Outcome.TIMED_OUT, str(error) or f"no answer within {within:g} s"
        except (ModelUnavailableError, OverloadedError) as error:
            outcome, reason = Outcome.AWAY, str(error)
        except ServerError as error:
            return self._fail(test, triton, str(error))
        line = "model version %s: %s could not run at %s: %s"
        logger.warning(line, self._number, test, triton, reason)
        return counted(outcome)

    def _fail(self, test: str, triton: str, reason: str) -> Outcome:
        """Note a wrong answer; raises StartupError where the version has never passed."""
        counted(Outcome.FAILED)
        if not self._has_passed:
            raise StartupError(f"it failed {test} ({reason})")
        line = "model version %s failed %s at %s: %s"
        logger.error(line, self._number, test, triton, reason)
        return Outcome.FAILED


def counted(outcome: Outcome) -> Outcome:
    metrics.CANARIES.labels(outcome).inc()
    return outcome


def spread(answer: Logits, windows: int) -> float:
    """The largest absolute difference between the logits of equal windows, end to end."""
    rows = (values.reshape(windows, -1) for values in (answer.starts, answer.ends))
    return float(max(np.ptp(row, axis=0).max() for row in rows))


def difference(some: Logits, others: Logits) -> float:
    """The largest absolute difference between logits of the same windows."""
    return float(
        max(
            np.abs(some.starts - others.starts).max(),
            np.abs(some.ends - others.ends).max(),
        )
    )
