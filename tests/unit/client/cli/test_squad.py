"""Scoring by hand and by property; reading files that are right and wrong."""

from __future__ import annotations

import gzip
import json
import lzma
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.data.metrics.squad_metrics import get_raw_scores

from spanqa.cli.squad import (
    SquadFormatError,
    SquadQuestion,
    exact_match,
    f1_score,
    normalize_answer,
    read_questions,
    score,
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


@pytest.mark.parametrize(
    ("prediction", "golds", "em", "f1"),
    [
        ("", [], 1, 1),
        ("Denver", [], 0, 0),
        # Empty after normalization is empty, in an answer and in a gold answer.
        ("the", [], 1, 1),
        ("", ["the"], 1, 1),
        ("", ["Denver", "the"], 0, 0),
        ("the", ["Denver"], 0, 0),
        ("the Broncos", ["Denver Broncos", "broncos."], 1, 1),
        ("Denver Broncos", ["Broncos"], 0, 2 / 3),
    ],
)
def test_scores_of_v2(prediction: str, golds: list[str], em: float, f1: float) -> None:
    question = SquadQuestion("1", "?", "c", tuple(golds), is_impossible=not golds)
    assert score(question, prediction) == pytest.approx((em, f1))


WORDS = st.sampled_from(["the", "a", "Ada", "ada!", "!", "Bob", "did", "an", "x-y", "The end"])
PHRASES = st.lists(WORDS, max_size=3).map(" ".join)


@given(prediction=PHRASES, golds=st.lists(PHRASES, max_size=3))
def test_scores_of_v2_are_those_of_another_implementation(
    prediction: str, golds: list[str]
) -> None:
    example = SimpleNamespace(qas_id="1", answers=[{"text": gold} for gold in golds])
    exact, f1 = get_raw_scores([example], {"1": prediction})
    question = SquadQuestion("1", "?", "c", tuple(golds), is_impossible=not golds)
    assert score(question, prediction) == pytest.approx((exact["1"], f1["1"]))


def test_v1_files_are_scored_as_v1() -> None:
    assert score(SquadQuestion("1", "?", "c", ("a",)), "the") == (1, 0)
    assert score(SquadQuestion("1", "?", "c", ("a",), is_impossible=False), "the") == (1, 1)


@given(st.text())
def test_normalization_is_idempotent(text: str) -> None:
    once = normalize_answer(text)
    assert normalize_answer(once) == once


@given(st.text(), st.text())
def test_f1_is_symmetric_and_between_0_and_1(one: str, other: str) -> None:
    score = f1_score(one, [other])
    assert 0 <= score <= 1
    assert score == pytest.approx(f1_score(other, [one]))


@given(st.text(), st.lists(st.text(), min_size=1))
def test_exact_match_implies_full_f1_and_more_golds_never_hurt(
    prediction: str, golds: list[str]
) -> None:
    if exact_match(prediction, golds) and normalize_answer(prediction):
        assert f1_score(prediction, golds) == 1
    assert exact_match(prediction, [*golds, prediction]) == 1
    assert f1_score(prediction, golds) >= f1_score(prediction, golds[:1])


def squad(**changes: object) -> dict[str, Any]:
    answers = [{"text": "Ada", "answer_start": 0}]
    entry = {"id": "1", "question": "Who?", "answers": answers, **changes}
    return {"version": "1.1", "data": [{"paragraphs": [{"context": "Ada did.", "qas": [entry]}]}]}


@pytest.mark.parametrize("suffix", [".json", ".json.xz", ".json.gz"])
def test_files_are_read_packed_or_not(tmp_path: Path, suffix: str) -> None:
    data = json.dumps(squad(question="Qué?"), ensure_ascii=False).encode()
    packed = {"": data, ".xz": lzma.compress(data), ".gz": gzip.compress(data, mtime=0)}
    path = tmp_path / f"dev{suffix}"
    path.write_bytes(packed[suffix.removeprefix(".json")])
    assert read_questions(path) == [SquadQuestion("1", "Qué?", "Ada did.", ("Ada",))]


def test_questions_without_an_answer_are_read(tmp_path: Path) -> None:
    document = squad(is_impossible=False)
    document["data"] += squad(id="2", answers=[], is_impossible=True, plausible_answers=[1])["data"]
    path = tmp_path / "dev-v2.0.json"
    path.write_text(json.dumps(document))
    assert read_questions(path) == [
        SquadQuestion("1", "Who?", "Ada did.", ("Ada",), is_impossible=False),
        SquadQuestion("2", "Who?", "Ada did.", (), is_impossible=True),
    ]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "data is missing"),
        ({"data": {}}, "data is not a list"),
        ({"data": [{}]}, r"data\[0\].paragraphs is missing"),
        (squad(id=7), r"data\[0\].paragraphs\[0\].qas\[0\].id is not a string"),
        (squad(answers=[]), r"qas\[0\].answers is empty"),
        (squad(answers=[], is_impossible=False), r"qas\[0\].answers is empty"),
        (squad(is_impossible=True), r"qas\[0\].answers has some, but is_impossible is true"),
        (squad(answers=[], is_impossible=1), r"qas\[0\].is_impossible is not true or false"),
        (squad(answers=["Ada"]), r"answers\[0\].text is missing"),
    ],
)
def test_other_json_is_refused_with_the_place(
    tmp_path: Path, document: object, message: str
) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document))
    with pytest.raises(SquadFormatError, match=message):
        read_questions(path)


def test_repeated_ids_are_refused(tmp_path: Path) -> None:
    document = squad()
    document["data"] *= 2
    path = tmp_path / "x.json"
    path.write_text(json.dumps(document))
    with pytest.raises(SquadFormatError, match="'1' more than once"):
        read_questions(path)


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
def test_unreadable_files_are_refused(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(SquadFormatError, match=message):
        read_questions(path)
