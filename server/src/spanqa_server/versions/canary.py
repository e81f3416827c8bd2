"""When a version's canary runs again on which Triton, and which Tritons may take its calls.

A Triton may say "ready" and compute nothing, or nonsense: after an error of a GPU, with weights
that were damaged on their way. The canary is a set of fixed windows that each version computes on
each Triton before it takes calls there, and then again.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from spanqa_server.versions.canary_run import CanaryRunner, Outcome

logger = logging.getLogger(__name__)

# Between two attempts at a first run that did not pass.
PAUSE_SECONDS = 30.0
# A look at the versions does not wait longer for a first run, which goes on meanwhile.
SOON_SECONDS = 0.5
# How long an answer proves that the next one will be right.
PROOF_SECONDS = 10.0


@dataclass(slots=True)
class OnTriton:
    """What is known of the version on one Triton."""

    outcome: Outcome = Outcome.TIMED_OUT
    """Of the last run; a time-out counts only if Triton hangs."""
    has_passed: bool = False
    """Its first run, which has the first batch, since the Triton has started."""
    first_run: asyncio.Task[Outcome] | None = None
    timed_out: bool = False
    inferences: int | None = None
    """What Triton had computed when the last run timed out."""
    ran_at: float = -math.inf
    not_before: float = -math.inf
    """The next run."""


class Canary:
    """The canary of one version on all Tritons."""

    def __init__(
        self,
        runner: CanaryRunner,
        inferences: Callable[[str], Awaitable[int | None]],
        now: Callable[[], float],
    ) -> None:
        """Nothing is run yet.

        Args:
            runner: runs it once at a Triton.
            inferences: how many the version has computed at a Triton, for whomever.
            now: the event loop's clock.
        """
        self._runner = runner
        self._inferences = inferences
        self._now = now
        self._known: dict[str, OnTriton] = {}

    @property
    def failed(self) -> bool:
        """Whether it answered wrongly somewhere in its last run."""
        return any(one.outcome is Outcome.FAILED for one in self._known.values())

    @property
    def under_way(self) -> bool:
        """Whether a first run is under way somewhere."""
        return any(one.first_run for one in self._known.values())

    def close(self) -> None:
        """The version is gone: nobody waits for what is under way."""
        self.forget(list(self._known))

    def forget(self, tritons: Iterable[str]) -> None:
        """These have ended, or lost the version: their next run is a first one."""
        for triton in tritons:
            if (one := self._known.pop(triton, None)) and one.first_run:
                one.first_run.cancel()

    async def passed(self, tritons: Sequence[str], answered_at: float) -> list[str]:
        """The Tritons that may take calls; the canary runs where its last answer is old.

        Args:
            tritons: those that say that they have the version.
            answered_at: when the version last answered a call, on any of them.

        Raises:
            StartupError: it has never passed, and will not.
        """
        answers = await asyncio.gather(*map(self._examine, tritons))
        outcomes = dict(zip(tritons, answers, strict=True))
        passed = [triton for triton, outcome in outcomes.items() if outcome is Outcome.PASSED]
        if passed or self._now() >= answered_at + PROOF_SECONDS:
            return passed
        # They answer calls, and are so busy with them that the canary had no turn.
        return [
            triton
            for triton, outcome in outcomes.items()
            if outcome is not Outcome.FAILED and self._known[triton].has_passed
        ]

    async def _examine(self, triton: str) -> Outcome:
        """Run it if it is due; the outcome that counts."""
        one = self._known.setdefault(triton, OnTriton())
        proven = one.outcome is Outcome.PASSED and self._now() < one.ran_at + PROOF_SECONDS
        if proven or self._now() < one.not_before:
            return one.outcome
        if not one.has_passed:
            return await self._examine_first(triton, one)
        outcome = await self._runner.run(triton)
        if outcome is Outcome.TIMED_OUT and not await self._hangs(triton, one):
            return one.outcome
        if outcome is not Outcome.TIMED_OUT:
            one.timed_out, one.inferences = False, None
        elif one.outcome is not Outcome.TIMED_OUT:
            line = "%s gets no calls: its canary timed out twice, and it has computed nothing else"
            logger.warning(line, triton)
        one.outcome, one.ran_at = outcome, self._now()
        return one.outcome

    async def _hangs(self, triton: str, one: OnTriton) -> bool:
        """Whether it timed out before, too, and Triton has computed nothing in between."""
        before, timed_before = one.inferences, one.timed_out
        one.timed_out, one.inferences = True, await self._inferences(triton)
        progress = before is not None and one.inferences is not None and one.inferences > before
        return timed_before and not progress

    async def _examine_first(self, triton: str, one: OnTriton) -> Outcome:
        """Begin the first run, or wait a moment for its end."""
        if one.first_run is None:
            one.first_run = asyncio.create_task(self._runner.run_first(triton))
        if not (await asyncio.wait({one.first_run}, timeout=SOON_SECONDS))[0]:
            return Outcome.TIMED_OUT
        first_run, one.first_run = one.first_run, None
        one.outcome, one.ran_at = Outcome.FAILED, self._now()
        one.not_before = self._now() + PAUSE_SECONDS
        one.outcome = await first_run
        one.has_passed = one.outcome is Outcome.PASSED
        if one.outcome in (Outcome.PASSED, Outcome.AWAY):
            one.not_before = -math.inf
        return one.outcome
