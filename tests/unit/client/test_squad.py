"""Scoring by hand and by property; reading files that are right and wrong."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.data.metrics.squad_metrics import get_raw_scores

from spanqa.squad import (
    Question,
    SquadFormatError,
    exact_match,
    f1_score,
    normalize_answer,
    read_questions,
    read_training_questions,
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


def squad(**changes: object) -> dict[str, Any]:
    """A file with one question, without the fields that change to ``...``."""
    answers = [{"text": "Ada", "answer_start": 4}]
    entry = {"id": "1", "question": "Qué?", "answers": answers, **changes}
    entry = {key: value for key, value in entry.items() if value is not ...}
    return {"data": [{"paragraphs": [{"context": "Did Ada?", "qas": [entry]}]}]}


def written(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return path


both_readers = pytest.mark.parametrize("read", [read_questions, read_training_questions])
Reader = Callable[[Path], list[Question]]


@both_readers
@pytest.mark.parametrize(
    ("suffix", "pack"), [(".json", bytes), (".json.xz", lzma.compress), (".gz", gzip.compress)]
)
def test_files_are_read_packed_or_not(
    tmp_path: Path, read: Reader, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"dev{suffix}"
    path.write_bytes(pack(json.dumps(squad()).encode()))
    start = 4 if read is read_training_questions else None
    assert read(path) == [Question("1", "Qué?", "Did Ada?", ("Ada",), start)]


@both_readers
@pytest.mark.parametrize("said", [..., None, True])
def test_a_question_may_have_no_answer(tmp_path: Path, read: Reader, said: object) -> None:
    document = squad(answers=[], is_impossible=said, plausible_answers=[1])
    (question,) = read(written(tmp_path / "dev.json", document))
    assert question.answers == ()
    assert score(question, "") == (1, 1)


QUESTION = "data[0].paragraphs[0].qas[0]."


@both_readers
@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "data is missing; give a SQuAD"),
        ({"data": {}}, "data is not a list; give a SQuAD"),
        ({"data": []}, "holds no questions; give a SQuAD"),
        ({"data": [7]}, "data[0].paragraphs is missing"),
        ({"data": [{"paragraphs": [{"context": None}]}]}, "[0].context is not a string"),
        (squad(id=7), f"{QUESTION}id is not a string"),
        (squad(id=...), f"{QUESTION}id is missing"),
        (squad(question=3), f"{QUESTION}question is not a string"),
        (squad(answers=...), f"{QUESTION}answers is missing"),
        (squad(answers="17"), f"{QUESTION}answers is not a list"),
        (squad(answers=["Ada"]), f"{QUESTION}answers[0].text is missing"),
        (squad(answers=[], is_impossible=False), "answers is empty, but is_impossible is false"),
        (squad(is_impossible=True), "answers has some, but is_impossible is true"),
        (squad(is_impossible=1), f"{QUESTION}is_impossible is not true or false"),
    ],
)
def test_other_json_is_refused_with_the_place(
    tmp_path: Path, read: Reader, document: object, message: str
) -> None:
    path = written(tmp_path / "x.json", document)
    with pytest.raises(SquadFormatError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"text": "?", "answer_start": 4}, "answers[0]: the context has 'A' at 4 (answer_start)"),
        ({"text": "Ada", "answer_start": 999}, "answers[0]: the context has '' at 999"),
        ({"text": "Ada?", "answer_start": -4}, "answers[0]: the context has '' at -4"),
        ({"text": " ", "answer_start": 3}, "answers[0].text is blank"),
        ({"text": "Ada", "answer_start": True}, "answers[0].answer_start is not an integer"),
        ({"text": "Ada"}, "answers[0].answer_start is missing"),
    ],
)
def test_only_training_needs_positions(
    tmp_path: Path, answer: dict[str, object], message: str
) -> None:
    path = written(tmp_path / "x.json", squad(answers=[answer]))
    assert read_questions(path)[0].answers == (answer["text"],)
    with pytest.raises(SquadFormatError) as caught:
        read_training_questions(path)
    assert str(caught.value).startswith(f"{path}: {QUESTION}{message}")


def test_only_training_may_have_an_id_more_than_once(tmp_path: Path) -> None:
    document = squad()
    document["data"] *= 2
    path = written(tmp_path / "x.json", document)
    assert len(read_training_questions(path)) == 2
    with pytest.raises(SquadFormatError, match=r"x\.json: holds the id '1' more than once"):
        read_questions(path)


@both_readers
@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.json", b"{", "is not JSON"),
        ("x.json", b'"\xff"', "is not JSON"),
        ("x.json", b"[" * 100_000, "is not JSON"),
        ("x.xz", b"{}", "cannot be decompressed"),
        ("x.gz", b"{}", "cannot be decompressed"),
        ("x.gz", gzip.compress(b"{}" * 100, mtime=0)[:-9], "cannot be decompressed"),
        ("x.xz", lzma.compress(b"{}" * 100)[:-9], "cannot be decompressed"),
    ],
)
def test_unreadable_files_are_refused(
    tmp_path: Path, read: Reader, name: str, data: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(SquadFormatError, match=f"{name}: {message}"):
        read(path)
