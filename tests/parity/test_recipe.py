"""The recipe's post-processing on logits made by hand, and its SQuAD v2 verdicts beside ours."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from parity.decoding import our_answer
from parity.explain import RecipeReason, explain_recipe
from parity.handmade import CONTEXT, HEAD, LOW, window
from parity.recipe import (
    MAX_ANSWER_TOKENS,
    NO_PAIR_TEXT,
    Candidate,
    Verdict,
    answer_text,
    best_pairs,
    no_answer_verdict,
    question_windows,
)
from parity.reference import Logits, Prepared
from spanqa_server.qa.decoder import decode
from spanqa_server.qa.tokenizer import TokenizedText
from spanqa_server.qa.windows import PackedWindows, plan_windows

Say = Callable[[str], None]
PROBLEMS = 1_000


def test_best_pair_is_the_answer() -> None:
    one = window({4: 2.0, 7: 1.0}, {6: 3.0, 3: 9.0})
    assert best_pairs([one])[0] == Candidate(4, 7, np.float32(2), np.float32(3))
    assert answer_text([one], CONTEXT) == "efg"


def test_an_answer_has_at_most_30_tokens() -> None:
    thirty = window({2: 5.0}, {31: 5.0})
    assert answer_text([thirty], CONTEXT) == CONTEXT[2:32]
    thirty_one = window({2: 5.0}, {32: 5.0, 3: 0.0})
    assert answer_text([thirty_one], CONTEXT) == CONTEXT[2:4]


def test_question_and_special_tokens_are_no_answers() -> None:
    one = window({-3: 9.0, -2: 8.0, 5: 1.0}, {-2: 9.0, -1: 8.0, 5: 1.0})
    assert answer_text([one], CONTEXT) == "f"


def test_what_is_not_among_the_best_20_starts_is_no_answer() -> None:
    """Token 59 has the 20th best start; then [CLS] gets a better one, and counts too."""
    starts = {token: 40.0 - token for token in range(19)} | {59: -1.0}
    ends = {59: 5.0}
    best = Candidate(59, 60, np.float32(-1), np.float32(5))
    assert best_pairs([window(starts, ends, tokens=60)])[0] == best
    one = window(starts | {-3: 1.0}, ends, tokens=60)
    (found, *_) = best_pairs([one])
    assert found.score < best.score
    assert explain_recipe([one], best, found, {}) is RecipeReason.CUT


def test_marks_that_the_tokenizer_drops_are_not_in_its_answer() -> None:
    one = window({3: 1.0}, {4: 1.0})
    ours = Candidate(3, 6, np.float32(1), np.float32(1))
    (theirs, *_) = best_pairs([one])
    assert theirs.place == (3, 5)
    assert explain_recipe([one], ours, theirs, {5: 6}) is RecipeReason.MARKS
    assert explain_recipe([one], ours, theirs, {5: 7}) is not RecipeReason.MARKS


def test_without_a_pair_the_word_empty_is_the_answer() -> None:
    one = window(dict.fromkeys(range(20), 9.0), dict.fromkeys(range(60, 80), 9.0), tokens=80)
    assert best_pairs([one]) == []
    assert answer_text([one], CONTEXT) == NO_PAIR_TEXT


def test_the_best_of_all_windows_wins() -> None:
    windows = [
        window({3: 1.0}, {4: 1.0}),
        window({3: 2.0}, {4: 1.0}, first=30),
        window({3: 1.5}, {4: 1.0}, first=60),
    ]
    assert best_pairs(windows)[0].place == (33, 35)
    assert len(best_pairs(windows)) == 20


def test_of_equal_windows_the_first_wins_and_of_equal_starts_the_last() -> None:
    twice = [window({3: 1.0}, {4: 1.0}), window({3: 1.0}, {4: 1.0}, first=30)]
    assert best_pairs(twice)[0].place == (3, 5)
    tie = window({3: 1.0, 5: 1.0}, {7: 2.0})
    assert best_pairs([tie])[0].place == (5, 8)
    tie = window({3: 1.0}, {5: 1.0, 7: 1.0})
    assert best_pairs([tie])[0].place == (3, 8)


def test_scores_are_sums_in_float32() -> None:
    one = window({3: 2.0**24, 5: 2.0**24}, {7: 1.0})
    assert best_pairs([one])[0].score == np.float32(2**24)


@pytest.mark.parametrize(
    ("threshold", "no_answer"), [(0.0, True), (1.5, True), (2.0, False), (3.0, False)]
)
def test_no_answer_wins_by_more_than_the_threshold(threshold: float, no_answer: bool) -> None:
    one = window({-3: 4.0, 3: 2.0}, {-3: 3.0, 4: 3.0})
    verdict = no_answer_verdict([one], threshold)
    assert verdict.best
    assert verdict.best.place == (3, 5)
    assert (float(verdict.null_score), float(verdict.lead)) == (7.0, 2.0)
    assert verdict.no_answer is no_answer


def test_no_answer_scores_the_lowest_of_all_windows() -> None:
    windows = [
        window({-3: 9.0, 3: 2.0}, {-3: 9.0, 4: 3.0}),
        window({-3: 1.0}, {-3: 2.0}, first=30),
    ]
    verdict = no_answer_verdict(windows, 0.0)
    assert (float(verdict.null_score), float(verdict.lead)) == (3.0, -2.0)
    assert not verdict.no_answer


def test_without_a_pair_the_word_empty_stands_in_with_a_score_of_zero() -> None:
    starts = dict.fromkeys([-3, *range(19)], 9.0)
    one = window(starts, dict.fromkeys(range(60, 80), 9.0), tokens=80)
    verdict = no_answer_verdict([one], 0.0)
    assert verdict == Verdict(None, np.float32(9 + LOW), np.float32(9 + LOW), no_answer=False)
    assert no_answer_verdict([one], LOW).no_answer


def random_problem(rng: np.random.Generator) -> tuple[Prepared, Logits]:
    """Windows of any size, with logits that sum without rounding; coarse ones tie often.

    In half of them the best starts lie behind the best ends, so that the best 20 may miss each
    other. [CLS] is lifted, by nothing up to what makes it win nearly always.
    """
    tokens, room = int(rng.integers(1, 121)), int(rng.integers(1, 101))
    plan = plan_windows(tokens, room, int(rng.integers(0, room)) // 2)
    lengths = plan.ends - plan.starts + HEAD + 1
    total = int(lengths.sum())
    slope = np.linspace(0, rng.choice([0, 40]), total) * [[1], [-1]]
    grain = rng.choice([1, 8, 1024])
    values = rng.normal(0, 4, (2, total)) + slope
    starts, ends = (np.rint(values * grain) / grain).astype(np.float32)
    starts[np.cumsum(lengths) - lengths] += np.float32(rng.integers(0, 41))
    ids = np.zeros(total, dtype=np.int32)
    context = TokenizedText(ids[:tokens], np.arange(tokens), np.arange(1, tokens + 1))
    packed = PackedWindows(ids, ids, lengths.astype(np.int32))
    return Prepared(packed, plan, HEAD, context), Logits(starts, ends)


def our_verdict(prepared: Prepared, logits: Logits, threshold: float) -> bool:
    return decode(
        logits.starts,
        logits.ends,
        prepared.plan,
        prepared.head,
        prepared.context.starts,
        prepared.context.ends,
        top_k=1,
        max_answer_tokens=MAX_ANSWER_TOKENS,
        no_answer_threshold=threshold,
    ).no_answer


def test_no_answer_verdicts_are_ours_unless_the_best_20_hide_the_best_span(say: Say) -> None:
    counts: Counter[tuple[bool, bool, RecipeReason | None]] = Counter()
    for seed in range(PROBLEMS):
        rng = np.random.default_rng(seed)
        prepared, logits = random_problem(rng)
        windows = question_windows(prepared, logits)
        threshold = float(rng.integers(-4, 5))
        theirs = no_answer_verdict(windows, threshold)
        verdict = our_verdict(prepared, logits, threshold)
        ours = our_answer(prepared, logits)
        reason = explain_recipe(windows, ours, theirs.best, {})
        assert reason is not RecipeReason.OTHER, seed
        if reason is not RecipeReason.CUT:
            assert verdict is theirs.no_answer, seed
        counts[verdict, theirs.no_answer, reason] += 1
    print(counts)
    for no_answer in (True, False):
        for reason in (None, RecipeReason.CUT, RecipeReason.TIE):
            assert counts[no_answer, no_answer, reason], "this case is wanted too"
    hidden = sum(count for (_, _, reason), count in counts.items() if reason is RecipeReason.CUT)
    different = sum(count for (ours, theirs, _), count in counts.items() if ours != theirs)
    say(
        f"no-answer verdicts: {PROBLEMS - different} of {PROBLEMS} equal to the recipe's; its best "
        f"20 × 20 hide the best span in {hidden}, which are all {different} that differ"
    )
