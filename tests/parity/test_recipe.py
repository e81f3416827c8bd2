"""The recipe's post-processing on logits made by hand, and its SQuAD v2 verdicts beside ours."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from parity.decoding import Reason, explain, our_answer
from parity.recipe import (
    MAX_ANSWER_TOKENS,
    NO_PAIR_TEXT,
    Candidate,
    Verdict,
    Window,
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
HEAD = 3  # [CLS], a question of one token, [SEP]
LOW = -50.0
CONTEXT = "abcdefghijklmnopqrstuvwxyz" * 4  # of one-letter tokens


def window(
    starts: dict[int, float], ends: dict[int, float], *, tokens: int = 40, first: int = 0
) -> Window:
    """A window over the characters of CONTEXT from `first`: logits by context token, else LOW.

    Negative keys count from the context's first token back: -1 is [SEP], -3 is [CLS].
    """
    offsets = [*[None] * HEAD, *((at, at + 1) for at in range(first, first + tokens)), None]
    logits = np.full((2, len(offsets)), LOW, dtype=np.float32)
    for row, given in zip(logits, (starts, ends), strict=True):
        for token, logit in given.items():
            row[HEAD + token] = logit
    return Window(logits[0], logits[1], offsets)


BY_RULE = {
    "the best pair": ([window({4: 2.0, 7: 1.0}, {6: 3.0, 3: 9.0})], (4, 7)),
    "at most 30 tokens": ([window({2: 5.0}, {31: 5.0})], (2, 32)),
    "not 31": ([window({2: 5.0}, {32: 5.0, 3: 0.0})], (2, 4)),
    "no question, no special tokens": (
        [window({-3: 9.0, -2: 8.0, 5: 1.0}, {-2: 9.0, -1: 8.0, 5: 1.0})],
        (5, 6),
    ),
    "the best of all windows": (
        [
            window({3: 1.0}, {4: 1.0}),
            window({3: 2.0}, {4: 1.0}, first=30),
            window({3: 1.5}, {4: 1.0}, first=60),
        ],
        (33, 35),
    ),
    "of equal windows the first": (
        [window({3: 1.0}, {4: 1.0}), window({3: 1.0}, {4: 1.0}, first=30)],
        (3, 5),
    ),
    "of equal starts the last": ([window({3: 1.0, 5: 1.0}, {7: 2.0})], (5, 8)),
    "of equal ends the last": ([window({3: 1.0}, {5: 1.0, 7: 1.0})], (3, 8)),
    "the word empty without a pair": (
        [window(dict.fromkeys(range(20), 9.0), dict.fromkeys(range(60, 80), 9.0), tokens=80)],
        None,
    ),
}


@pytest.mark.parametrize("rule", BY_RULE)
def test_which_answer_it_takes(rule: str) -> None:
    windows, place = BY_RULE[rule]
    pairs = best_pairs(windows)
    assert len(pairs) == (20 if place else 0)
    assert [pair.place for pair in pairs[:1]] == ([place] if place else [])
    assert answer_text(windows, CONTEXT) == (CONTEXT[slice(*place)] if place else NO_PAIR_TEXT)


def test_scores_are_sums_in_float32() -> None:
    one = window({3: 2.0**24, 5: 2.0**24}, {7: 1.0})
    assert best_pairs([one])[0].score == np.float32(2**24)


def test_what_is_not_among_the_best_20_starts_is_no_answer() -> None:
    """Token 59 has the 20th best start; then [CLS] gets a better one, and counts too."""
    starts = {token: 40.0 - token for token in range(19)} | {59: -1.0}
    ends = {59: 5.0}
    best = Candidate(59, 60, np.float32(-1), np.float32(5))
    assert best_pairs([window(starts, ends, tokens=60)])[0] == best
    one = window(starts | {-3: 1.0}, ends, tokens=60)
    (found, *_) = best_pairs([one])
    assert found.score < best.score
    assert explain([one], best, found, {}) is Reason.CUT


def test_no_answer_wins_by_more_than_the_threshold_in_the_lowest_of_all_windows() -> None:
    lowest = window({-3: 4.0, 3: 2.0}, {-3: 3.0, 4: 3.0})
    higher = window({-3: 9.0}, {-3: 9.0}, first=30)
    for windows in ([lowest], [lowest, higher]):
        verdict = no_answer_verdict(windows, 0.0)
        assert verdict.best
        assert verdict.best.place == (3, 5)
        assert (float(verdict.null_score), float(verdict.lead)) == (7.0, 2.0)
        verdicts = [no_answer_verdict(windows, at).no_answer for at in (0.0, 1.5, 2.0, 3.0)]
        assert verdicts == [True, True, False, False]


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
    counts: Counter[tuple[bool, bool, Reason | None]] = Counter()
    for seed in range(PROBLEMS):
        rng = np.random.default_rng(seed)
        prepared, logits = random_problem(rng)
        windows = question_windows(prepared, logits)
        threshold = float(rng.integers(-4, 5))
        theirs = no_answer_verdict(windows, threshold)
        verdict = our_verdict(prepared, logits, threshold)
        ours = our_answer(prepared, logits)
        reason = explain(windows, ours, theirs.best, {})
        assert reason is not Reason.OTHER, seed
        if reason is not Reason.CUT:
            assert verdict is theirs.no_answer, seed
        counts[verdict, theirs.no_answer, reason] += 1
    print(counts)
    for no_answer in (True, False):
        for reason in (None, Reason.CUT, Reason.TIE):
            assert counts[no_answer, no_answer, reason], "this case is wanted too"
    hidden = sum(count for (_, _, reason), count in counts.items() if reason is Reason.CUT)
    different = sum(count for (ours, theirs, _), count in counts.items() if ours != theirs)
    say(
        f"no-answer verdicts: {PROBLEMS - different} of {PROBLEMS} equal to the recipe's; its best "
        f"20 × 20 hide the best span in {hidden}, which are all {different} that differ"
    )
