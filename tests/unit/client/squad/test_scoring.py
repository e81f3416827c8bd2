"""Scoring by hand and by property."""

from __future__ import annotations

from dataclasses import astuple
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.data.metrics.squad_metrics import get_raw_scores

from spanqa.squad import (
    Question,
    Unit,
    exact_match,
    f1_score,
    normalize_answer,
    score,
    score_all,
)


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("The Denver Broncos!", "denver broncos"),
        ("  an  apple\ta day\n", "apple day"),
        ("a.b", "ab"),
        # Punctuation goes first, so what it leaves can be an article.
        ("t.h.e end", "end"),
        ("theatre and a-ha", "theatre and aha"),
        ("“quoted”", "“quoted”"),
        ("$1,000.00", "100000"),
        ("the", ""),
    ],
)
def test_normalization(text: str, normalized: str) -> None:
    assert normalize_answer(text) == normalized


@pytest.mark.parametrize(
    ("prediction", "golds", "em", "f1"),
    [
        ("the Broncos", ["Denver Broncos", "broncos."], 1, 1),
        ("Denver Broncos", ["Broncos"], 0, 2 / 3),
        ("Carolina Panthers", ["Denver Broncos"], 0, 0),
        # A token counts as often as both have it: 1 common, precision 1/2, recall 1.
        ("very very", ["very"], 0, 2 / 3),
        ("x y z", ["x q", "y z"], 0, 0.8),
        ("", ["Denver"], 0, 0),
        # As the official script has it: equal when empty, yet no token in common.
        ("the", ["a"], 1, 0),
        ("anything", [], 0, 0),
    ],
)
def test_scores(prediction: str, golds: list[str], em: float, f1: float) -> None:
    assert exact_match(prediction, golds) == em
    assert f1_score(prediction, golds) == pytest.approx(f1)


WORDS = st.sampled_from(["the", "a", "Ada", "ada!", "!", "Bob", "did", "an", "x-y", "The end"])
PHRASES = st.lists(WORDS, max_size=3).map(" ".join) | st.text()


@given(prediction=PHRASES, golds=st.lists(PHRASES, max_size=3), v1=st.booleans())
def test_scores_are_those_of_transformers(prediction: str, golds: list[str], v1: bool) -> None:
    # transformers scores as v2 does; v1 differs where a gold answer is empty when normalized.
    v1 = v1 and all(map(normalize_answer, golds))
    example = SimpleNamespace(qas_id="1", answers=[{"text": gold} for gold in golds])
    exact, f1 = get_raw_scores([example], {"1": prediction})
    question = Question("1", "?", "c", tuple(golds), is_impossible=None if v1 else not golds)
    assert score(question, prediction) == pytest.approx((exact["1"], f1["1"]))


def test_v1_files_are_scored_as_v1() -> None:
    assert score(Question("1", "?", "c", ("a",)), "the") == (1, 0)
    assert score(Question("1", "?", "c", ("a",), is_impossible=False), "the") == (1, 1)


def test_both_kinds_of_questions_are_scored_apart_and_together() -> None:
    answerable, other = Question("1", "?", "c", ("Ada",)), Question("2", "?", "c", ())
    # A question that failed is not one that was rightly left unanswered.
    scores = score_all([(answerable, "Ada did"), (other, ""), (other, "Ada"), (other, None)])
    assert scores.has_answer is not None
    assert scores.no_answer is not None
    assert astuple(scores.total) == pytest.approx((4, 25, 100 * (2 / 3 + 1) / 4))
    assert astuple(scores.has_answer) == pytest.approx((1, 0, 100 * 2 / 3))
    assert astuple(scores.no_answer) == pytest.approx((3, 100 / 3, 100 / 3))
    assert score_all([(other, ""), (other, "")]).no_answer is None


@pytest.mark.parametrize(
    ("prediction", "gold", "em", "f1"),
    [
        ("北京", "北京大学", 0, 2 / 3),
        ("《北京大学》。", "北京大学", 1, 1),
        ("北京 大学", "北京大学", 1, 1),
        ("1～2·个", "12个", 1, 1),
        ("东京", "北京", 0, 0.5),
        ("上海", "北京", 0, 0),
        # A word in another script counts as one, and articles stay.
        ("the iPhone手机", "iphone", 0, 0.4),
        ("1998年5月", "1998年", 0, 2 / 3),
        ("アメリカ", "アメリカ合衆国", 0, 8 / 11),
        ("𠮷野家", "𠮷野家", 1, 1),
        ("。", "。", 1, 0),
    ],
)
def test_chinese_and_japanese_are_scored_by_characters(
    prediction: str, gold: str, em: float, f1: float
) -> None:
    assert exact_match(prediction, [gold], "characters") == em
    assert f1_score(prediction, [gold], "characters") == pytest.approx(f1)


@pytest.mark.parametrize(
    ("golds", "unit"),
    [
        (["北京", "上海", "Paris"], "characters"),
        (["東京都", "です"], "characters"),
        (["北京", "Paris"], "words"),
        (["Ada"], "words"),
        (["서울"], "words"),
    ],
)
def test_the_gold_answers_decide_what_is_counted(golds: list[str], unit: Unit) -> None:
    asked = [(Question("1", "?", "c", (gold,)), gold[:1]) for gold in golds]
    scores = score_all(asked)
    assert scores.unit == unit
    assert score_all(asked, "words").total.f1 <= scores.total.f1
    assert score_all(asked, "characters").unit == "characters"


def test_questions_without_labels_are_not_scored() -> None:
    labelled = Question("1", "?", "c", ("Ada",))
    other = Question("2", "?", "c", (), labelled=False)
    scores = score_all([(labelled, "Ada"), (other, "Bob")])
    assert astuple(scores.total) == (1, 100, 100)
    with pytest.raises(ValueError, match="no question is labelled"):
        score_all([(other, "Bob")])
