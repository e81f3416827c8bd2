"""From logits to answers and figures."""

from itertools import product

import numpy as np
import pytest

from spanqa.squad import Question
from spanqa_model.finetune.features import Window
from spanqa_model.finetune.scoring import WindowLogits, best_span, predict, score

HEAD = 4


def window(tokens: int, *, first: int = 0, question: int = 0) -> Window:
    """A window whose piece has `tokens` tokens of one character each, from `first` on."""
    starts = np.arange(first, first + tokens, dtype=np.int32)
    ids = np.zeros(HEAD + tokens + 1, dtype=np.int32)
    return Window(question, ids, HEAD, starts, starts + 1)


def flat(tokens: int, **peaks: float) -> WindowLogits:
    """Logits of 0 but for `s5=1.0` (start logit of token 5) and so on."""
    sides = {side: np.zeros(HEAD + tokens + 1, dtype=np.float32) for side in "se"}
    for name, value in peaks.items():
        sides[name[0]][int(name[1:])] = value
    return WindowLogits(sides["s"], sides["e"])


@pytest.mark.parametrize("seed", range(20))
def test_the_best_span_is_that_of_the_recipe(seed: int) -> None:
    generator = np.random.default_rng(seed)
    tokens = int(generator.integers(1, 80))
    piece = window(tokens)
    logits = WindowLogits(*generator.normal(size=(2, HEAD + tokens + 1)).astype(np.float32))
    best = [
        sorted(range(len(side)), key=lambda i: float(side[i]), reverse=True)[:20]
        for side in (logits.starts, logits.ends)
    ]
    spans = [
        (float(logits.starts[s]) + float(logits.ends[e]), s, e)
        for s, e in product(*best)
        if HEAD <= s <= e < HEAD + tokens and e - s < 30
    ]
    found = best_span(piece, logits)
    if not spans:
        assert found is None
    else:
        points, start, end = max(spans)
        assert found is not None
        assert (found.start, found.end) == (start - HEAD, end - HEAD + 1)
        assert found.score == pytest.approx(points)


def test_a_window_without_a_piece_has_no_span() -> None:
    assert best_span(window(0), flat(0)) is None


@pytest.mark.parametrize(("length", "fits"), [(30, True), (31, False)])
def test_a_span_has_at_most_30_tokens(length: int, fits: bool) -> None:
    span = best_span(window(60), flat(60, s4=9.0, **{f"e{3 + length}": 9.0}))
    assert span is not None
    assert (span.score == 18.0) == fits


CONTEXT = "abcdefghij"


def question(identifier: str, *answers: str) -> Question:
    return Question(identifier, "?", CONTEXT, answers, None, "")


def test_the_best_of_all_windows_is_the_answer() -> None:
    questions = [question("one"), question("two"), question("none")]
    windows = [window(5), window(5, first=5), window(3, question=1), window(0, question=2)]
    logits = [flat(5, s4=1, e5=1), flat(5, s6=2, e6=2), flat(3, s4=3, e6=3), flat(0)]
    answers = predict(questions, windows, logits, no_answer=False)
    assert answers == {"one": "h", "two": "abc", "none": ""}


@pytest.mark.parametrize(
    ("null_scores", "answer"), [((3.0, 9.0), "ab"), ((4.0, 9.0), "ab"), ((4.1, 9.0), "")]
)
def test_no_answer_is_given_where_the_lowest_null_score_is_above_the_best_span(
    null_scores: tuple[float, float], answer: str
) -> None:
    windows = [window(5), window(5, first=5)]
    first, second = null_scores
    logits = [flat(5, s4=2, e5=2, s0=second), flat(5, s0=first / 2, e0=first / 2)]
    asked = [question("q")]
    assert predict(asked, windows, logits, no_answer=True) == {"q": answer}
    assert predict(asked, windows, logits, no_answer=False) == {"q": "ab"}


def test_scores_of_squad_1() -> None:
    questions = [question("half", "one two three"), question("wrong", "one")]
    assert score(questions, {"half": "two", "wrong": ""}) == {
        "exact_match": 0.0,
        "f1": pytest.approx(25.0),
        "questions": 2,
    }


def test_scores_of_squad_2() -> None:
    questions = [question("a", "one"), question("b"), question("c"), question("d")]
    scores = score(questions, {"a": "one", "b": "", "c": "two", "d": ""})
    assert scores == {
        "exact_match": 75.0,
        "f1": 75.0,
        "questions": 4,
        "answerable_exact_match": 100.0,
        "answerable_f1": 100.0,
        "answerable_questions": 1,
        "unanswerable_exact_match": pytest.approx(200 / 3),
        "unanswerable_questions": 3,
    }
