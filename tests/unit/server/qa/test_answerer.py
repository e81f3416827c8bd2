"""A question from text to spans, with a real tokenizer; only the model is played."""

from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from spanqa_server.errors import InvalidRequestError
from spanqa_server.qa import answerer as module
from spanqa_server.qa import text_cache, tokenizer
from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.offsets import OffsetUnit
from spanqa_server.qa.windows import PackedWindows
from unit.server.qa.played import (
    TEXTS,
    TOKENIZERS,
    NoThreads,
    PlayedModel,
    SpyThreads,
    ask,
    cut,
    make_answerer,
)
from unit.server.reference import cut_windows
from unit.server.vocabulary import HANGUL

WORDS = st.sampled_from(["the", "Anna", "😀", "é", HANGUL, "東", "[SEP]", "zq"])
BLANK = st.sampled_from(["", " ", "\u200b", "\x00"])
SEARCHED = TEXTS | st.lists(WORDS, min_size=1, max_size=12).map(" ".join) | BLANK


@given(
    TEXTS,
    st.lists(SEARCHED, min_size=1, max_size=6),
    st.sampled_from(OffsetUnit),
    st.sampled_from(sorted(TOKENIZERS)),
    st.sampled_from([0, 1, 9, 100]),
    st.sampled_from([20, 110, 384]),
    st.none() | st.floats(-10, 10),
)
@example("한국?", [HANGUL * 3], OffsetUnit.UTF8, "uncased", 9, 384, None)
@example("한국?", [HANGUL * 30], OffsetUnit.UTF16, "uncased", 9, 110, 1e6)
@example("😀", ["e\u0301\u0323 😀\U0001d15e [SEP]"], OffsetUnit.UTF16, "uncased", 9, 384, 1e6)
@example("who", ["", "😀 Anna", "", HANGUL, " "], OffsetUnit.UTF16, "uncased", 100, 20, None)
@settings(deadline=None, max_examples=400)
def test_invariants(
    question: str,
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
    try:
        found = ask(make_answerer(name), question, *texts, offset_unit=unit, **options)
    except InvalidRequestError:
        tokens = len(TOKENIZERS[name].encode(question))
        searched = any(len(TOKENIZERS[name].encode(text)) for text in texts)
        assert not searched or not 0 < tokens <= min(100, sequence - 4)
        assume(False)
    assert len(found.answers) <= (top_k or 1)
    assert found.no_answer is not bool(found.answers)
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


def test_min_probability_leaves_out_what_is_below_it() -> None:
    texts = "the light keeper was Anna ,", "first in the north sea"
    every = ask(make_answerer(), "who ?", *texts, top_k=50).answers
    probabilities = [answer.span.probability for answer in every]
    least = probabilities[2]
    assert 0 < probabilities[3] < least
    found = ask(make_answerer(), "who ?", *texts, top_k=50, min_probability=least)
    assert found.answers == every[:3]
    assert not found.no_answer
    assert ask(make_answerer(), "who ?", *texts, min_probability=1.0).answers == []


@pytest.mark.parametrize(
    ("above", "threshold", "no_answer"),
    [(1.0, 0.5, True), (1.0, 1.5, False), (-1.0, 0.0, False), (-1.0, -1.5, True)],
)
def test_no_answer_wins_by_more_than_the_threshold(
    above: float, threshold: float, no_answer: bool
) -> None:
    question = ("who ?", "the keeper was Anna")
    [best] = ask(make_answerer(), *question).answers
    answerer = make_answerer(model=PlayedModel(null=(best.span.score + above) / 2))
    found = ask(answerer, *question, allow_no_answer=True, no_answer_threshold=threshold)
    assert found.no_answer is no_answer
    assert found.no_answer_probability > 0
    assert [answer.text for answer in found.answers] == ([] if no_answer else [best.text])
    assert ask(answerer, *question, no_answer_threshold=threshold).answers == [best]


class ScoringModel:
    """Knows only some words: gives each a score, as a one-word answer."""

    async def infer(self, packed: PackedWindows) -> Logits:
        words = {"light": 5.0, "keeper": 7.0, "sea": 6.0}
        scores = {TOKENIZERS["cased"].encode(word).ids[0]: score for word, score in words.items()}
        starts = [scores.get(number, -50.0) for number in packed.input_ids.tolist()]
        logits = np.array(starts, dtype=np.float32)
        return Logits(logits, np.zeros_like(logits), queue_seconds=0.0, infer_seconds=0.0)


@pytest.mark.parametrize(
    ("unit", "starts"),
    [(OffsetUnit.UTF32, (2, 6, 6)), (OffsetUnit.UTF16, (2, 6, 7)), (OffsetUnit.UTF8, (3, 8, 9))],
)
def test_answers_of_all_texts_are_ranked_jointly(
    unit: OffsetUnit, starts: tuple[int, int, int]
) -> None:
    answerer = make_answerer(model=ScoringModel())
    texts = ("the 😀 light", "", "é keeper", "the 東 sea")
    options = {"top_k": 3, "max_answer_tokens": 1, "offset_unit": unit}
    found = ask(answerer, "who ?", *texts, **options).answers
    told = [(answer.document, answer.text, answer.start) for answer in found]
    assert told == list(zip((2, 3, 0), ("keeper", "sea", "light"), starts, strict=True))


def test_what_the_model_is_asked_and_what_is_counted() -> None:
    model = PlayedModel()
    options = {"max_sequence_tokens": 10, "doc_stride_tokens": 2}
    texts = "the keeper was Anna " * 5, "", "the light"
    found = ask(make_answerer(model=model), "who was ?", *texts, **options)
    tokenizer = TOKENIZERS["cased"]
    question = tokenizer.encode("who was ?").ids.tolist()
    tokens = [tokenizer.encode(text).ids.tolist() for text in (texts[0], texts[2])]
    windows = [window for ids in tokens for window in cut_windows(ids, 10 - 3 - 3, 2)]
    head = [tokenizer.cls_id, *question, tokenizer.sep_id]
    [packed] = model.asked
    whole = [[*head, *window, tokenizer.sep_id] for window in windows]
    assert packed.input_ids.tolist() == list(chain.from_iterable(whole))
    assert packed.window_lengths.tolist() == [len(window) for window in whole]
    assert (found.cost.question_tokens, found.cost.context_tokens) == (3, 22)
    assert found.cost.windows == len(windows) == 10
    assert (found.cost.seconds.queue, found.cost.seconds.infer) == (0.25, 0.5)
    assert found.cost.seconds.tokenize > 0
    assert found.cost.seconds.decode > 0


def test_the_model_is_not_asked_about_a_bad_request() -> None:
    model = PlayedModel()
    for question, context in (("", "the"), ("\x00", "the"), ("who", "\u200b")):
        with pytest.raises(InvalidRequestError):
            ask(make_answerer(model=model), question, context)
    assert model.asked == []


def test_long_texts_are_worked_on_in_threads_with_equal_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = f"the light keeper was Anna é😀 {HANGUL} " * 800
    assert len(context) > tokenizer.LONG_TEXT
    threads = SpyThreads()
    options: dict[str, Any] = {"top_k": 20, "offset_unit": OffsetUnit.UTF16}
    long = ask(make_answerer("uncased", threads=threads), "who ?", context, **options)
    assert long.cost.windows > module.MANY_WINDOWS
    assert len(threads.given) == 3, "tokenizing, cutting and decoding"
    for one in (tokenizer, text_cache):
        monkeypatch.setattr(one, "LONG_TEXT", len(context))
    monkeypatch.setattr(module, "MANY_WINDOWS", long.cost.windows)
    direct = ask(make_answerer("uncased", threads=NoThreads()), "who ?", context, **options)
    assert direct.answers == long.answers
    assert len(direct.answers) == 20
    assert direct.cost.context_tokens == long.cost.context_tokens
