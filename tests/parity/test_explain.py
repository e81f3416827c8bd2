"""The reasons found for an answer of the pipeline that is another one than ours."""

from dataclasses import replace

import pytest

from parity.explain import PipelineReason, Views, explain_pipeline
from parity.handmade import CONTEXT, window
from parity.pipeline_reference import PipelineAnswer
from parity.recipe import Place, Window, best_pairs

WORD = 5  # letters of a word
both_alignments = pytest.mark.parametrize("align_to_words", [False, True])


def in_words(one: Window) -> Window:
    offsets = [
        place and (place[0] // WORD * WORD, -(-place[1] // WORD) * WORD) for place in one.offsets
    ]
    return replace(one, offsets=offsets)


def explain(windows: list[Window], theirs: Place, *, align_to_words: bool) -> PipelineReason | None:
    """Explain an answer of the pipeline where ours is the best pair."""
    views = Views(CONTEXT, windows, [in_words(one) for one in windows])
    answer = PipelineAnswer(theirs, CONTEXT[slice(*theirs)], 0.5)
    ours = best_pairs(windows)[0].place
    return explain_pipeline(views, ours, answer, align_to_words=align_to_words)


@both_alignments
def test_equal_answers_need_no_reason(align_to_words: bool) -> None:
    assert explain([window({3: 1.0}, {4: 1.0})], (3, 5), align_to_words=align_to_words) is None


@both_alignments
def test_marks_that_the_tokenizer_drops(align_to_words: bool) -> None:
    """The mark "f" follows the token "e": ours ends after it."""
    windows = [window({3: 1.0}, {4: 1.0})]
    views = Views(CONTEXT, windows, [in_words(one) for one in windows], {5: 6})
    answer = PipelineAnswer((3, 5), CONTEXT[3:5], 0.5)
    for ours, marks in (((3, 6), True), ((2, 6), False), ((3, 7), False)):
        reason = explain_pipeline(views, ours, answer, align_to_words=align_to_words)
        assert (reason is PipelineReason.MARKS) is marks


@both_alignments
def test_a_window_that_is_surer_of_less(align_to_words: bool) -> None:
    """The first window scores 10 three times, which leaves each a ninth; the second 8 alone."""
    thrice = dict.fromkeys((5, 15, 25), 5.0)
    windows = [window(thrice, thrice), window({5: 4.0}, {9: 4.0}, first=30)]
    assert explain(windows, (35, 40), align_to_words=align_to_words) is PipelineReason.WINDOW


def test_words_around_a_pair() -> None:
    one = [window({6: 1.0}, {12: 1.0})]
    assert explain(one, (5, 15), align_to_words=True) is PipelineReason.WORDS
    assert explain(one, (5, 15), align_to_words=False) is PipelineReason.OTHER


def test_equal_texts_in_two_windows() -> None:
    """A letter that two windows find, at its first place and at another, and a likelier one."""
    half = {4: 1.0, -3: 1.0}
    likelier = {10: 3.0, -3: 1.0}
    again = {4: 1.0, -3: 0.0}
    windows = [window(half, half), window(again, again, first=26), window(likelier, likelier)]
    assert CONTEXT[4] == CONTEXT[4 + 26]
    assert explain(windows, (4, 5), align_to_words=False) is PipelineReason.TEXTS
    assert explain(windows[1:], (30, 31), align_to_words=False) is PipelineReason.OTHER


def test_texts_that_are_equal_as_words() -> None:
    """Three ways into one word, together likelier than the one way into another."""
    one = [window({1: 5.0, 2: 5.0, 3: 5.0, 35: 5.5}, {4: 5.0, 39: 5.5})]
    assert best_pairs(one)[0].place == (35, 40)
    assert explain(one, (0, 5), align_to_words=True) is PipelineReason.WORDS_AND_TEXTS


@both_alignments
def test_a_tie_is_left_to_rounding(align_to_words: bool) -> None:
    """Two windows, and a difference in one logit that rounding can make."""
    half = {0: 5.0, -3: 5.0}
    windows = [window(half, half), window(half, half | {0: 5.0005}, first=30)]
    assert best_pairs(windows)[0].place == (30, 31)
    theirs = (0, WORD if align_to_words else 1)
    assert explain(windows, theirs, align_to_words=align_to_words) is PipelineReason.ROUNDING
