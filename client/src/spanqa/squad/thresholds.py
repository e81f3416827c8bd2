"""Finds the threshold of "no answer" that scores best, as the official script of SQuAD v2 does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from spanqa.squad.questions import Question
from spanqa.squad.scoring import Unit, score, unit_for


@dataclass(frozen=True, slots=True)
class BestThresholds:
    """The best scores that a threshold gives, in percent, and such a threshold for each."""

    exact_match: float
    exact_match_threshold: float
    f1: float
    f1_threshold: float


def best_thresholds(
    measured: Sequence[tuple[Question, str | None, float]], unit: Unit | None = None
) -> BestThresholds | None:
    """The thresholds with which exact match and F1 are best.

    Args:
        measured: Questions, each with the text of the best span and how far "no answer" scores
            above it, in logits. "No answer" is given if that exceeds the threshold. A question
            whose text is None failed and scores 0.
        unit: What F1 counts, as for ``score_all``.

    Returns:
        None if no question is labelled.
    """
    labelled = [one for one in measured if one[0].labelled]
    if not labelled:
        return None
    unit = unit or unit_for(question for question, _, _ in labelled)
    answered = [(odds, question, text) for question, text, odds in labelled if text is not None]
    answered.sort(key=lambda one: one[0])
    empty = [score(question, "", unit) for _, question, _ in answered]
    # The scores with the first 0, 1, 2, ... texts given, and "no answer" to the others.
    sums = [(math.fsum(one[0] for one in empty), math.fsum(one[1] for one in empty))]
    for (_, question, text), without in zip(answered, empty, strict=True):
        exact, f1 = score(question, text, unit)
        sums.append((sums[-1][0] + exact - without[0], sums[-1][1] + f1 - without[1]))
    cuts = _cuts([odds for odds, _, _ in answered])
    share = 100 / len(labelled)
    (exact_cut, exact_at), (f1_cut, f1_at) = (
        max((round(sums[given][side], 9), -given) for given in cuts) for side in (0, 1)
    )
    return BestThresholds(exact_cut * share, cuts[-exact_at], f1_cut * share, cuts[-f1_at])


def _cuts(ordered: Sequence[float]) -> dict[int, float]:
    """Thresholds halfway between different values, by how many of them are not above."""
    if not ordered:
        return {0: 0.0}
    cuts = {0: ordered[0] - 1.0}
    for given, (below, above) in enumerate(pairwise(ordered), start=1):
        if below < above:
            cuts[given] = (below + above) / 2
    return cuts | {len(ordered): ordered[-1] + 1.0}
