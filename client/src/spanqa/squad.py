"""Reads SQuAD v1.1 and v2 files, and scores answers as the official scripts do.

``spanqa evaluate`` and ``spanqa-model finetune`` both use this module, so that they accept the same
files and give the same scores. It needs the standard library only.

An answer and the gold answers are normalized: lower case, no ASCII punctuation, no articles, single
spaces. The score of a question is the best one over its gold answers. If the context has no answer,
the empty answer is the right one.
"""

from __future__ import annotations

import gzip
import json
import lzma
import math
import re
import string
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
_OPENERS: dict[str, Callable[..., Any]] = {".xz": lzma.open, ".gz": gzip.open}
_KINDS: dict[type, str] = {
    list: "a list",
    str: "a string",
    int: "an integer",
    bool: "true or false",
}
_REMEDY = "give a SQuAD v1.1 or v2 file in the official JSON format"
_Value = TypeVar("_Value")


class SquadFormatError(ValueError):
    """A file is neither SQuAD v1.1 nor v2; the message names the file and the place in it."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a SQuAD file."""

    id: str
    question: str
    context: str
    answers: tuple[str, ...]
    """The gold answers; empty if the context has no answer."""
    answer_start: int | None = None
    """The start of the first answer in the context, in code points; only read for training."""
    place: str = field(default="", compare=False)
    """The file and the place in it, as a prefix for error messages."""
    is_impossible: bool | None = None
    """The field of SQuAD v2 that says whether the context has no answer; None if it is missing."""


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


def read_questions(path: Path) -> list[Question]:
    """Reads the questions of a SQuAD file, to ask them and to score the answers.

    Args:
        path: The file, compressed if its name ends in ``.xz`` or ``.gz``.

    Raises:
        OSError: The file cannot be read.
        SquadFormatError: The file cannot be decompressed, is neither SQuAD v1.1 nor v2, has no
            questions, or has an id more than once.
    """
    questions = _read(path, for_training=False)
    first, count = Counter(question.id for question in questions).most_common(1)[0]
    if count > 1:
        raise SquadFormatError(f"{path}: holds the id {first!r} more than once")
    return questions


def read_training_questions(path: Path) -> list[Question]:
    """Reads the questions of a SQuAD file, to train on them.

    Each first answer must lie in the context at its ``answer_start``. An id may occur repeatedly.
    Arguments and errors are those of ``read_questions``.
    """
    return _read(path, for_training=True)


def _read(path: Path, *, for_training: bool) -> list[Question]:
    try:
        with _OPENERS.get(path.suffix, open)(path, "rb") as file:
            document = json.loads(file.read())
    except (lzma.LZMAError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise SquadFormatError(f"{path}: cannot be decompressed ({error}); {_REMEDY}") from None
    except (ValueError, RecursionError) as error:
        raise SquadFormatError(f"{path}: is not JSON ({error}); {_REMEDY}") from None
    questions = list(_parse(document, f"{path}: ", for_training))
    if not questions:
        raise SquadFormatError(f"{path}: holds no questions; {_REMEDY}")
    return questions


def _parse(document: object, place: str, for_training: bool) -> Iterator[Question]:
    for article, in_article in _items(document, "data", place):
        for paragraph, in_paragraph in _items(article, "paragraphs", in_article):
            context = _member(paragraph, "context", str, in_paragraph)
            for entry, in_entry in _items(paragraph, "qas", in_paragraph):
                yield _question(entry, context, in_entry, for_training)


def _question(entry: object, context: str, place: str, for_training: bool) -> Question:
    golds = list(_items(entry, "answers", place))
    answers = tuple(_member(gold, "text", str, in_gold) for gold, in_gold in golds)
    impossible = None
    if isinstance(entry, dict) and entry.get("is_impossible") is not None:
        impossible = _member(entry, "is_impossible", bool, place)
        if impossible == bool(answers):
            found = "has some" if answers else "is empty"
            raise SquadFormatError(
                f"{place}answers {found}, but is_impossible is {str(impossible).lower()}"
            )
    start = None
    if for_training and golds:
        start = _member(golds[0][0], "answer_start", int, golds[0][1])
        _check_position(answers[0], start, context, f"{place}answers[0]")
    return Question(
        id=_member(entry, "id", str, place),
        question=_member(entry, "question", str, place),
        context=context,
        answers=answers,
        answer_start=start,
        place=place,
        is_impossible=impossible,
    )


def _check_position(answer: str, start: int, context: str, place: str) -> None:
    if not answer.strip():
        raise SquadFormatError(f"{place}.text is blank")
    found = context[start : start + len(answer)] if start >= 0 else ""
    if found != answer:
        raise SquadFormatError(
            f"{place}: the context has {found!r} at {start} (answer_start), not {answer!r}"
        )


def _items(parent: object, key: str, place: str) -> Iterator[tuple[object, str]]:
    for index, item in enumerate(_member(parent, key, list, place)):
        yield item, f"{place}{key}[{index}]."


def _member(parent: object, key: str, kind: type[_Value], place: str) -> _Value:
    if not isinstance(parent, dict) or key not in parent:
        raise SquadFormatError(f"{place}{key} is missing; {_REMEDY}")
    value = parent[key]
    if type(value) is not kind:
        raise SquadFormatError(f"{place}{key} is not {_KINDS[kind]}; {_REMEDY}")
    return value


def score_all(answered: Sequence[tuple[Question, str | None]]) -> Scores:
    """Scores each question with the prediction for it, which is None if the question failed."""
    has_answer = [pair for pair in answered if pair[0].answers]
    no_answer = [pair for pair in answered if not pair[0].answers]
    both_kinds = bool(has_answer and no_answer)
    return Scores(
        total=_accuracy(answered),
        has_answer=_accuracy(has_answer) if both_kinds else None,
        no_answer=_accuracy(no_answer) if both_kinds else None,
    )


def _accuracy(answered: Sequence[tuple[Question, str | None]]) -> Accuracy:
    scores = [score(question, text) for question, text in answered if text is not None]
    return Accuracy(
        questions=len(answered),
        exact_match=100 * math.fsum(exact for exact, _ in scores) / len(answered),
        f1=100 * math.fsum(f1 for _, f1 in scores) / len(answered),
    )


def score(question: Question, prediction: str) -> tuple[float, float]:
    """Exact match and F1, each from 0 to 1, by the script of the question's SQuAD version.

    The scripts differ in empty answers. v2 drops gold answers that normalization empties, uses ""
    if none is left, and gives an empty prediction for it full F1.
    """
    golds = question.answers
    if golds and question.is_impossible is None:
        return exact_match(prediction, golds), f1_score(prediction, golds)
    golds = tuple(gold for gold in golds if normalize_answer(gold)) or ("",)
    exact = exact_match(prediction, golds)
    return exact, max(exact, f1_score(prediction, golds))


def normalize_answer(text: str) -> str:
    """Lower-cases, then removes punctuation, articles and redundant white space, in this order."""
    bare = text.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(prediction: str, golds: Iterable[str]) -> float:
    """1.0 if the normalized prediction equals a normalized gold answer, otherwise 0.0."""
    wanted = normalize_answer(prediction)
    return float(any(normalize_answer(gold) == wanted for gold in golds))


def f1_score(prediction: str, golds: Iterable[str]) -> float:
    """Best harmonic mean of token precision and recall over the gold answers, from 0 to 1."""
    predicted = normalize_answer(prediction).split()
    return max((_token_f1(predicted, normalize_answer(g).split()) for g in golds), default=0)


def _token_f1(predicted: list[str], gold: list[str]) -> float:
    common = (Counter(predicted) & Counter(gold)).total()
    if common == 0:
        return 0.0
    precision = common / len(predicted)
    recall = common / len(gold)
    return 2 * precision * recall / (precision + recall)
