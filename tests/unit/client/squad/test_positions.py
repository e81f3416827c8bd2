"""Answers to train on: repaired where that is unambiguous, otherwise skipped or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanqa.squad import (
    SquadFormatError,
    read_dataset,
    read_questions,
    read_training_dataset,
    read_training_questions,
)
from spanqa.squad.entries import Entry, Gold
from spanqa.squad.positions import Bad, Placed, place_answer
from unit.client.squad.squad_files import QUESTION, squad, written

TWICE = "Ada saw it. " + "x" * 60 + " Then Ada did."


@pytest.mark.parametrize(
    ("context", "answer", "start"),
    [
        ("Did Ada?", {"text": "Ada", "answer_start": 3}, 4),
        ("Did Ada?", {"text": "Ada", "answer_start": 999}, 4),
        ("Did Ada?", {"text": "Ada?", "answer_start": -4}, 4),
        ("Did Ada?", {"text": " Ada ", "answer_start": 4}, 4),
        ("Did Ada?", {"text": "Ada", "answer_start": True}, 4),
        ("Did Ada?", {"text": "Ada"}, 4),
        # Counted in UTF-16, as JavaScript does: each of these counts as two.
        ("🎉🎉 Ada", {"text": "Ada", "answer_start": 5}, 3),
        (TWICE, {"text": "Ada", "answer_start": 2}, 0),
        (TWICE, {"text": "Ada", "answer_start": 70}, 78),
    ],
)
def test_positions_are_repaired(
    tmp_path: Path, context: str, answer: dict[str, object], start: int
) -> None:
    path = written(tmp_path / "x.json", squad(context, answers=[answer]))
    dataset = read_training_dataset([path])
    (question,) = dataset.questions
    assert question.answer_start == start
    assert context.startswith(question.answers[0], start)
    assert dataset.notices == ("1 answers were moved to where their text is",)


@pytest.mark.parametrize("start", [78, 78.0, "78"])
def test_positions_that_are_right_stay(tmp_path: Path, start: object) -> None:
    answers = [{"text": "Ada", "answer_start": start}]
    dataset = read_training_dataset([written(tmp_path / "x.json", squad(TWICE, answers=answers))])
    assert dataset.questions[0].answer_start == 78
    assert dataset.notices == ()


def test_another_answer_may_be_the_one_to_train_on(tmp_path: Path) -> None:
    answers = [{"text": "Eve", "answer_start": 0}, {"text": "Ada", "answer_start": 4}]
    path = written(tmp_path / "x.json", squad(answers=answers))
    (question,) = read_training_questions(path)
    assert (question.answers, question.answer_start) == (("Ada", "Eve"), 4)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            {"text": "Ada", "answer_start": 40},
            "answers[0]: the context has 'xxx' at 40 (answer_start), not 'Ada'; this occurs at "
            "0, 78",
        ),
        ({"text": "Ada", "answer_start": 999}, "answers[0]: the context has '' at 999"),
        ({"text": "Eve", "answer_start": 0}, "answers[0]: the context has 'Ada' at 0"),
        ({"text": "Eve", "answer_start": 0}, "not 'Eve'; this does not occur in it"),
        ({"text": " ", "answer_start": 3}, "answers[0].text is blank"),
        ({"text": "", "answer_start": 3}, "answers[0].text is blank"),
        ({"text": "Ada", "answer_start": True}, "answers[0]: answer_start is not an integer"),
        ({"text": "Ada"}, "answers[0]: answer_start is missing, and 'Ada' occurs at 0, 78"),
        ({"text": "x", "answer_start": -1}, "occurs at 12, 13, 14 and elsewhere"),
    ],
)
def test_only_training_needs_positions(
    tmp_path: Path, answer: dict[str, object], message: str
) -> None:
    path = written(tmp_path / "x.json", squad(TWICE, answers=[answer]))
    assert read_questions(path)[0].answers == (answer["text"],)
    with pytest.raises(SquadFormatError) as caught:
        read_training_questions(path)
    assert str(caught.value).startswith(f"{path}: {QUESTION}answers[0]")
    assert message in str(caught.value)
    assert "1 of 1 questions cannot be trained on" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"answers": ...}, "answers is missing"),
        ({"answers": None}, "answers is missing"),
        ({"answers": [], "is_impossible": False}, "answers is empty, but is_impossible is false"),
    ],
)
def test_training_needs_labels(tmp_path: Path, changes: dict[str, object], reason: str) -> None:
    path = written(tmp_path / "x.json", squad(**changes))
    with pytest.raises(SquadFormatError) as caught:
        read_training_questions(path)
    assert str(caught.value).startswith(f"{path}: {QUESTION}{reason}")


def many(good: int, bad: int) -> dict[str, Any]:
    """A file with so many good questions, followed by bad ones."""
    document = squad()
    paragraph = document["data"][0]["paragraphs"][0]
    (entry,) = paragraph["qas"]
    nowhere = entry | {"answers": [{"text": "Eve", "answer_start": 1}]}
    paragraph["qas"] = [entry] * good + [nowhere] * bad
    return document


def test_few_bad_questions_are_skipped(tmp_path: Path) -> None:
    dataset = read_training_dataset([written(tmp_path / "x.json", many(198, 2))])
    assert len(dataset.questions) == 198
    (notice,) = dataset.notices
    assert notice.startswith("2 of 200 questions were skipped: ")
    assert "qas[198].answers[0]" in notice
    assert "qas[199].answers[0]" in notice


def test_many_are_refused_and_the_first_five_named(tmp_path: Path) -> None:
    path = written(tmp_path / "x.json", many(200, 8))
    with pytest.raises(SquadFormatError) as caught:
        read_training_dataset([path])
    message = str(caught.value)
    assert [f"qas[{number}]" in message for number in range(199, 208)] == [
        *[False, True, True, True, True, True, False, False, False]
    ]
    assert "and 3 more: 8 of 208 questions cannot be trained on, more than 1%" in message
    assert message.endswith("leave these questions out with --skip-bad")


def test_they_are_skipped_if_asked_for_but_never_all(tmp_path: Path) -> None:
    path = written(tmp_path / "x.json", many(1, 8))
    dataset = read_training_dataset([path], skip_bad=True)
    assert len(dataset.questions) == 1
    assert dataset.notices[0].startswith("8 of 9 questions were skipped: ")
    path = written(tmp_path / "y.json", many(0, 8))
    with pytest.raises(SquadFormatError, match="8 of 8 questions cannot be trained on"):
        read_training_dataset([path], skip_bad=True)


def test_the_share_is_that_of_all_files(tmp_path: Path) -> None:
    good, bad = (
        written(tmp_path / name, json.loads(json.dumps(document)))
        for name, document in (("good.json", many(300, 0)), ("bad.json", many(0, 1)))
    )
    assert len(read_training_dataset([good, bad]).questions) == 300
    with pytest.raises(SquadFormatError):
        read_training_dataset([bad])


def test_only_training_may_have_an_id_more_than_once(tmp_path: Path) -> None:
    document = squad()
    document["data"] *= 2
    path = written(tmp_path / "x.json", document)
    assert len(read_training_questions(path)) == 2
    with pytest.raises(SquadFormatError, match=r"x\.json: holds the id '1' more than once"):
        read_questions(path)
    once = written(tmp_path / "y.json", squad())
    with pytest.raises(SquadFormatError, match=r"y\.json, .*z\.json: holds the id '1'"):
        read_dataset([once, written(tmp_path / "z.json", squad())])


LETTERS = st.text(alphabet="ab 🎉é", max_size=200)


@settings(deadline=None)
@given(context=LETTERS, text=LETTERS, start=st.integers(-50, 300) | st.none())
def test_what_is_placed_lies_there(context: str, text: str, start: int | None) -> None:
    gold = Gold(text, start, "")
    entry = Entry("1", "?", context, (gold,), (gold,), None, labelled=True, place="")
    found = place_answer(entry)
    if isinstance(found, Placed):
        assert context.startswith(found.text, found.start)
        assert found.text.strip() == text.strip() != ""
        assert found.repaired == (found.start != start or found.text != text)
    else:
        assert isinstance(found, Bad)
        assert not text.strip() or context.count(text.strip()) != 1
