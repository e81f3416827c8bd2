"""Scores answers as the official scripts do.

An answer and the gold answers are normalized: lower case, no ASCII punctuation, no articles, single
spaces. The score of a question is the best one over its gold answers. If the context has no answer,
the empty answer is the right one.

Chinese and Japanese have no spaces between words. There F1 counts characters instead, as the
scripts for CMRC and for MLQA do; words in other scripts count as one. All punctuation is removed.
"""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from spanqa.squad.questions import Question

Unit = Literal["words", "characters"]
"""What F1 counts."""

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
_MORE_PUNCTUATION = string.punctuation + "～"  # the wave is a sign of mathematics in Unicode
# Han with its extensions, the iteration mark, kana, and their half-width and full-width forms.
_CHARACTER = (
    "[\u3005-\u3007\u3040-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff]"
)
_CHARACTERS = re.compile(_CHARACTER)
_TOKENS = re.compile(f"{_CHARACTER}|(?:(?!{_CHARACTER})\\S)+")


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Exact match and F1, in percent of `questions`; failed questions count as 0."""

    questions: int
    exact_match: float
    f1: float


@dataclass(frozen=True, slots=True)
class Scores:
    """The accuracy of a run."""

    total: Accuracy
    has_answer: Accuracy | None
    """On questions with an answer in their context; None if the file has only one kind."""
    no_answer: Accuracy | None
    """On questions without an answer in their context; None if the file has only one kind."""
    unit: Unit


def score_all(answered: Sequence[tuple[Question, str | None]], unit: Unit | None = None) -> Scores:
    """Scores each question with the prediction for it, which is None if the question failed.

    Args:
        answered: Questions with predictions. Those that are not labelled are left out.
        unit: What F1 counts; None means characters if most gold answers are Chinese or Japanese.

    Raises:
        ValueError: No question is labelled.
    """
    labelled = [pair for pair in answered if pair[0].labelled]
    if not labelled:
        raise ValueError("no question is labelled, so there is nothing to score")
    unit = unit or unit_for(question for question, _ in labelled)
    has_answer = [pair for pair in labelled if pair[0].answers]
    no_answer = [pair for pair in labelled if not pair[0].answers]
    both_kinds = bool(has_answer and no_answer)
    return Scores(
        total=_accuracy(labelled, unit),
        has_answer=_accuracy(has_answer, unit) if both_kinds else None,
        no_answer=_accuracy(no_answer, unit) if both_kinds else None,
        unit=unit,
    )


def unit_for(questions: Iterable[Question]) -> Unit:
    """Characters if most gold answers have Chinese or Japanese characters, otherwise words."""
    golds = [gold for question in questions for gold in question.answers]
    without_spaces = sum(_CHARACTERS.search(gold) is not None for gold in golds)
    return "characters" if 2 * without_spaces > len(golds) else "words"


def _accuracy(answered: Sequence[tuple[Question, str | None]], unit: Unit) -> Accuracy:
    scores = [score(question, text, unit) for question, text in answered if text is not None]
    return Accuracy(
        questions=len(answered),
        exact_match=100 * math.fsum(exact for exact, _ in scores) / len(answered),
        f1=100 * math.fsum(f1 for _, f1 in scores) / len(answered),
    )


def score(question: Question, prediction: str, unit: Unit = "words") -> tuple[float, float]:
    """Exact match and F1, each from 0 to 1, by the script of the question's SQuAD version.

    The scripts differ in empty answers. v2 drops gold answers that normalization empties, uses ""
    if none is left, and gives an empty prediction for it full F1.
    """
    golds = question.answers
    if golds and question.is_impossible is None:
        return exact_match(prediction, golds, unit), f1_score(prediction, golds, unit)
    golds = tuple(gold for gold in golds if tokens(gold, unit)) or ("",)
    exact = exact_match(prediction, golds, unit)
    return exact, max(exact, f1_score(prediction, golds, unit))


def normalize_answer(text: str) -> str:
    """Lower-cases, then removes punctuation, articles and redundant white space, in this order."""
    bare = text.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def tokens(text: str, unit: Unit) -> list[str]:
    """What F1 counts of a text, normalized."""
    if unit == "words":
        return normalize_answer(text).split()
    return _TOKENS.findall("".join(filter(_is_no_punctuation, text.lower())))


def _is_no_punctuation(character: str) -> bool:
    return character not in _MORE_PUNCTUATION and unicodedata.category(character)[0] != "P"


def exact_match(prediction: str, golds: Iterable[str], unit: Unit = "words") -> float:
    """1.0 if the normalized prediction equals a normalized gold answer, otherwise 0.0."""
    wanted = tokens(prediction, unit)
    return float(any(tokens(gold, unit) == wanted for gold in golds))


def f1_score(prediction: str, golds: Iterable[str], unit: Unit = "words") -> float:
    """Best harmonic mean of token precision and recall over the gold answers, from 0 to 1."""
    predicted = tokens(prediction, unit)
    return max((_token_f1(predicted, tokens(gold, unit)) for gold in golds), default=0)


def _token_f1(predicted: list[str], gold: list[str]) -> float:
    common = (Counter(predicted) & Counter(gold)).total()
    if common == 0:
        return 0.0
    precision = common / len(predicted)
    recall = common / len(gold)
    return 2 * precision * recall / (precision + recall)
