"""One run of a version's canary at one Triton: what it computes, and whether that is right.

Each time it is a short window, whose logits must be those of the first time. When a Triton has just
started there is also a batch as large as calls may make one: if memory does not suffice for it, no
call is lost. Triton's own warm-up would do that, but one that fails ends Triton 2.51.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
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
# Logits of one version differ by rounding alone, in bfloat16 by some 0.1.
SAME_LOGIT = 1.0


class Outcome(StrEnum):
    """What came of a run."""

    PASSED = "passed"
    TIMED_OUT = "timed_out"
    AWAY = "away"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CanaryWindows:
    """One short window, and the first batch."""

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


class CanaryRunner:
    """Runs the canary of one version, and remembers what it is compared with."""

    def __init__(self, number: str, windows: CanaryWindows, ask: Ask) -> None:
        """Nothing is run yet.

        Args:
            number: the version's.
            windows: what it computes.
            ask: has the version compute windows at a Triton; raises ServerError.
        """
        self._number = number
        self._windows = windows
        self._ask = ask
        self._expected: Logits | None = None
        self._has_passed = False

    async def run_first(self, triton: str) -> Outcome:
        """Run it at a Triton that has just started: the short window, then the first batch.

        Raises:
            StartupError: it failed, and has never passed on any Triton.
        """
        outcome = await self.run(triton, FIRST_SECONDS)
        if outcome is not Outcome.PASSED:
            return outcome
        batch = self._windows.first_batch
        test = f"a first batch of {len(batch.input_ids):,} tokens"
        answer = await self._compute(batch, triton, FIRST_BATCH_SECONDS, test)
        if isinstance(answer, Outcome):
            return answer
        if (by := spread(answer, len(batch.window_lengths))) > SAME_LOGIT:
            # Where the module returns too few logits, Triton hands out the memory behind them.
            reason = f"the logits of identical windows differ by up to {by:.3g}"
            return self._fail(test, triton, reason)
        self._has_passed = True
        return counted(Outcome.PASSED)

    async def run(self, triton: str, within: float = AGAIN_SECONDS) -> Outcome:
        """Have the short window computed, and compare its logits with the first ones.

        Raises:
            StartupError: it failed, and has never passed on any Triton.
        """
        answer = await self._compute(self._windows.short, triton, within, "its canary")
        if isinstance(answer, Outcome):
            return answer
        if self._expected is None:
            self._expected = answer
        if (by := difference(answer, self._expected)) <= SAME_LOGIT:
            return counted(Outcome.PASSED)
        line = "model version %s at %s: its canary's logits differ from before by up to %.3g"
        logger.error(line, self._number, triton, by)
        return counted(Outcome.FAILED)

    async def _compute(
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
        # A Triton that is busy with others' calls is late, too: no line for each time.
        late = outcome is Outcome.TIMED_OUT and self._has_passed
        line = "model version %s: %s could not run at %s: %s"
        logger.log(
            logging.DEBUG if late else logging.WARNING, line, self._number, test, triton, reason
        )
        return counted(outcome)

    def _fail(self, test: str, triton: str, reason: str) -> Outcome:
        """Note a wrong answer; raises StartupError if the version has never passed."""
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
