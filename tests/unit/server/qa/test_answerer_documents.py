"""One question about many texts: one ranking, each answer placed in its own text."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from spanqa_server.errors import InvalidRequestError
from spanqa_server.qa import answerer as module
from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.offsets import OffsetUnit
from spanqa_server.qa.windows import PackedWindows
from unit.server.qa.played import (
    TOKENIZERS,
    NoThreads,
    PlayedModel,
    SpyThreads,
    ask,
    cut,
    make_answerer,
)
from unit.server.vocabulary import HANGUL

WORDS = st.sampled_from(["the", "Anna", "😀", "é", HANGUL, "東", "[SEP]", "zq"])
BLANK = st.sampled_from(["", " ", "\u200b", "\x00"])
TEXTS = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)
UNITS = st.sampled_from(OffsetUnit)


@given(
    st.lists(TEXTS | BLANK, min_size=1, max_size=6),
    UNITS,
    st.sampled_from(sorted(TOKENIZERS)),
    st.sampled_from([1, 5, 100]),
    st.sampled_from([12, 384]),
    st.none() | st.floats(-10, 10),
)
@example(["", "😀 Anna", "", HANGUL, " "], OffsetUnit.UTF16, "uncased", 100, 12, None)
@settings(deadline=None, max_examples=200)
def test_invariants(
    texts: list[str],
    unit: OffsetUnit,
    name: str,
    top_k: int,
    sequence: int,
    threshold: float | None,
) -> None:
    options: dict[str, Any] = {"top_k": top_k, "max_sequence_tokens": sequence}
    if threshold is not None:
        options |= {"allow_no_answer": True, "no_answer_threshold": threshold}
    assume(any(len(TOKENIZERS[name].encode(text)) for text in texts))
    found = ask(make_answerer(name), "who ?", *texts, offset_unit=unit, **options)
    assert len(found.answers) <= top_k
    assert found.answers or found.no_answer
    for answer in found.answers:
        assert cut(texts[answer.document], answer.start, answer.end, unit) == answer.text != ""
    places = [(answer.document, answer.start, answer.end) for answer in found.answers]
    assert len(set(places)) == len(places)
    pairs = zip(found.answers, places, strict=True)
    order = [(-answer.span.score, *place) for answer, place in pairs]
    assert order == sorted(order)
    probabilities = [found.no_answer_probability, *(a.span.probability for a in found.answers)]
    assert all(0 <= probability <= 1 for probability in probabilities)
    assert sum(probabilities) <= 1 + 1e-9
    assert (found.no_answer_probability > 0) is (threshold is not None)
    assert not (found.no_answer and found.answers)


@given(TEXTS, st.lists(BLANK, max_size=3), st.lists(BLANK, max_size=3), UNITS, st.booleans())
@settings(deadline=None, max_examples=60)
def test_one_text_among_blank_ones_is_answered_as_alone(
    text: str, before: list[str], after: list[str], unit: OffsetUnit, allow_no_answer: bool
) -> None:
    options = {"top_k": 9, "offset_unit": unit, "allow_no_answer": allow_no_answer}
    alone = ask(make_answerer(), "who ?", text, **options)
    among = ask(make_answerer(), "who ?", *before, text, *after, **options)
    assert {answer.document for answer in among.answers} <= {len(before)}
    told = [(answer.text, answer.start, answer.end) for answer in alone.answers]
    assert [(answer.text, answer.start, answer.end) for answer in among.answers] == told
    scores = [(answer.span.score, answer.span.probability) for answer in alone.answers]
    assert [(a.span.score, a.span.probability) for a in among.answers] == scores
    assert among.no_answer is alone.no_answer
    assert among.no_answer_probability == alone.no_answer_probability
    cost = (among.cost.question_tokens, among.cost.context_tokens, among.cost.windows)
    assert cost == (alone.cost.question_tokens, alone.cost.context_tokens, alone.cost.windows)


class ScoringModel:
    """Knows only some words: gives each a score, as a one-word answer."""

    def __init__(self, scores: dict[str, float], null: float = 0.0) -> None:
        tokenizer = TOKENIZERS["cased"]
        self.scores = {tokenizer.encode(word).ids[0]: score for word, score in scores.items()}
        self.scores[tokenizer.cls_id] = null

    async def infer(self, packed: PackedWindows) -> Logits:
        starts = [self.scores.get(number, -50.0) for number in packed.input_ids.tolist()]
        logits = np.array(starts, dtype=np.float32)
        return Logits(logits, np.zeros_like(logits), queue_seconds=0.0, infer_seconds=0.0)


DOCUMENTS = ("the 😀 light", "", "é keeper", "the 東 sea")
SCORES = {"light": 5.0, "keeper": 7.0, "sea": 6.0}


def answers(model: ScoringModel, **options: Any) -> list[tuple[int, str, int]]:
    options = {"top_k": 3, "max_answer_tokens": 1} | options
    found = ask(make_answerer(model=model), "who ?", *DOCUMENTS, **options)
    return [(answer.document, answer.text, answer.start) for answer in found.answers]


@pytest.mark.parametrize(
    ("unit", "starts"),
    [(OffsetUnit.UTF32, (2, 6, 6)), (OffsetUnit.UTF16, (2, 6, 7)), (OffsetUnit.UTF8, (3, 8, 9))],
)
def test_answers_of_all_texts_are_ranked_jointly(
    unit: OffsetUnit, starts: tuple[int, int, int]
) -> None:
    expected = zip((2, 3, 0), ("keeper", "sea", "light"), starts, strict=True)
    assert answers(ScoringModel(SCORES), offset_unit=unit) == list(expected)


def test_texts_in_which_no_answer_wins_have_none() -> None:
    model = ScoringModel(SCORES, null=5.5)
    told = answers(model, allow_no_answer=True)
    assert [document for document, *_ in told][:2] == [2, 3]
    assert {document for document, *_ in told} == {2, 3}
    found = ask(make_answerer(model=model), "who ?", *DOCUMENTS, allow_no_answer=True)
    assert not found.no_answer
    every = ask(make_answerer(model=ScoringModel(SCORES, 9.0)), "?", *DOCUMENTS, allow_no_answer=1)
    assert (every.answers, every.no_answer) == ([], True)


def test_min_probability_is_a_share_of_all_texts() -> None:
    found = ask(make_answerer(model=ScoringModel(SCORES)), "who ?", *DOCUMENTS, top_k=3)
    first, second, third = (answer.span.probability for answer in found.answers)
    assert first > second > third
    assert len(answers(ScoringModel(SCORES), min_probability=second)) == 2


def test_texts_are_asked_about_together_and_counted_once() -> None:
    model = PlayedModel()
    found = ask(make_answerer(model=model), "who ?", "the light", "", "the light", "sea")
    [packed] = model.asked
    assert packed.window_lengths.tolist() == [7, 7, 6]
    assert (found.cost.context_tokens, found.cost.windows) == (5, 3)
    assert found.cost.question_tokens == 2


def test_no_text_with_a_token_is_refused_by_the_callers_name() -> None:
    with pytest.raises(InvalidRequestError, match=r"^documents: holds no character that the"):
        ask(make_answerer(), "who ?", "\x00", "\u200b")


def test_many_texts_are_worked_on_in_threads_with_equal_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = [f"the light keeper {HANGUL} {number}" for number in range(module.MANY_WINDOWS + 1)]
    options = {"top_k": 50, "offset_unit": OffsetUnit.UTF8}
    threads = SpyThreads()
    many = ask(make_answerer(threads=threads), "who ?", *texts, **options)
    assert len(threads.given) == 2, "packing and decoding"
    monkeypatch.setattr(module, "MANY_WINDOWS", len(texts))
    direct = ask(make_answerer(threads=NoThreads()), "who ?", *texts, **options)
    assert direct.answers == many.answers
    assert len({answer.document for answer in many.answers}) > 10
