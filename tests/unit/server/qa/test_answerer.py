"""A question from text to spans, with a real tokenizer; only the model is played."""

from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from spanqa_server.errors import InvalidRequestError
from spanqa_server.qa import answerer as module
from spanqa_server.qa import tokenizer as tokenizer_module
from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.offsets import OffsetUnit
from spanqa_server.qa.tokenizer import LONG_TEXT, TextTokenizer
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


@given(
    TEXTS,
    TEXTS,
    st.sampled_from(OffsetUnit),
    st.sampled_from(sorted(TOKENIZERS)),
    st.sampled_from([0, 1, 9]),
    st.sampled_from([110, 384]),
    st.booleans(),
)
@example("한국?", HANGUL * 3, OffsetUnit.UTF8, "uncased", 9, 384, False)
@example("한국?", HANGUL * 30, OffsetUnit.UTF16, "uncased", 9, 110, True)
@example("😀", "e\u0301\u0323 😀\U0001d15e\ufdfa [SEP]", OffsetUnit.UTF16, "uncased", 9, 384, True)
@settings(deadline=None, max_examples=400)
def test_invariants(
    question: str,
    context: str,
    unit: OffsetUnit,
    name: str,
    top_k: int,
    sequence: int,
    allow_no_answer: bool,
) -> None:
    options = {"top_k": top_k, "max_sequence_tokens": sequence, "allow_no_answer": allow_no_answer}
    try:
        # Never "no answer": then there would be nothing to look at.
        found = ask(
            make_answerer(name),
            question,
            context,
            offset_unit=unit,
            no_answer_threshold=1e6,
            **options,
        )
    except InvalidRequestError:
        empty = [not len(TOKENIZERS[name].encode(text)) for text in (question, context)]
        assert any(empty) or len(TOKENIZERS[name].encode(question)) > 100
        assume(False)
    places = [(answer.start, answer.end) for answer in found.answers]
    assert 1 <= len(places) <= (top_k or 1)
    assert len(set(places)) == len(places)
    for answer in found.answers:
        assert answer.document == 0
        assert cut(context, answer.start, answer.end, unit) == answer.text != ""
    order = [(-a.span.score, a.span.start, a.span.end) for a in found.answers]
    assert order == sorted(order)
    probabilities = [found.no_answer_probability, *(a.span.probability for a in found.answers)]
    assert all(0 <= probability <= 1 for probability in probabilities)
    assert sum(probabilities) <= 1 + 1e-9
    assert (found.no_answer_probability > 0) is allow_no_answer


def test_min_probability_leaves_out_what_is_below_it() -> None:
    context = "the light keeper was Anna , first in the north sea"
    every = ask(make_answerer(), "who ?", context, top_k=50).answers
    probabilities = [answer.span.probability for answer in every]
    least = probabilities[2]
    assert 0 < probabilities[3] < least
    found = ask(make_answerer(), "who ?", context, top_k=50, min_probability=least)
    assert found.answers == every[:3]
    assert not found.no_answer
    assert ask(make_answerer(), "who ?", context, min_probability=1.0).answers == []


@pytest.mark.parametrize(
    ("above", "threshold", "no_answer"),
    [(1.0, 0.5, True), (1.0, 1.5, False), (-1.0, 0.0, False), (-1.0, -1.5, True)],
)
def test_no_answer_wins_by_more_than_the_threshold(
    above: float, threshold: float, no_answer: bool
) -> None:
    question = ("who ?", "the keeper was Anna")
    [best] = ask(make_answerer(), *question).answers
    model = PlayedModel(null=(best.span.score + above) / 2)
    found = ask(
        make_answerer(model=model), *question, allow_no_answer=True, no_answer_threshold=threshold
    )
    assert found.no_answer is no_answer
    assert [answer.text for answer in found.answers] == ([] if no_answer else [best.text])
    assert 0 < found.no_answer_probability < 1
    plain = ask(make_answerer(model=model), *question, no_answer_threshold=threshold)
    assert (plain.no_answer, plain.no_answer_probability) == (False, 0.0)
    assert plain.answers == [best]


class SureModel:
    """Sure that an answer starts with one word, and ends with another."""

    def __init__(self, tokenizer: TextTokenizer, first: str, last: str) -> None:
        self.words = [tokenizer.encode(word).ids[0] for word in (first, last)]

    async def infer(self, packed: PackedWindows) -> Logits:
        starts, ends = ((packed.input_ids == word).astype(np.float32) for word in self.words)
        return Logits(starts * 20, ends * 20, queue_seconds=0.0, infer_seconds=0.0)


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("before", [0, 1, 5, 40])
def test_the_words_that_the_model_points_at(name: str, before: int) -> None:
    model = SureModel(TOKENIZERS[name], "Anna", "Lake")
    context = "the 😀 " * before + "keeper Anna, é Lake was first" + " in the sea" * 7
    options = {"max_sequence_tokens": 20, "doc_stride_tokens": 5}
    found = ask(make_answerer(name, model), "who ?", context, **options)
    [answer] = found.answers
    assert (answer.text, answer.start) == ("Anna, é Lake", context.index("Anna"))
    assert answer.span.score == 40.0


def test_what_the_model_is_asked_and_what_is_counted() -> None:
    model = PlayedModel()
    options = {"max_sequence_tokens": 10, "doc_stride_tokens": 2}
    found = ask(make_answerer(model=model), "who was ?", "the keeper was Anna " * 5, **options)
    tokenizer = TOKENIZERS["cased"]
    question = tokenizer.encode("who was ?").ids.tolist()
    context = tokenizer.encode("the keeper was Anna " * 5).ids.tolist()
    windows = cut_windows(context, 10 - len(question) - 3, 2)
    head = [tokenizer.cls_id, *question, tokenizer.sep_id]
    [packed] = model.asked
    whole = [[*head, *window, tokenizer.sep_id] for window in windows]
    assert packed.input_ids.tolist() == list(chain.from_iterable(whole))
    assert (found.cost.question_tokens, found.cost.context_tokens) == (3, 20)
    assert found.cost.windows == len(windows) == 9
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
    assert len(context) > LONG_TEXT
    threads = SpyThreads()
    options: dict[str, Any] = {"top_k": 20, "offset_unit": OffsetUnit.UTF16}
    long = ask(make_answerer("uncased", threads=threads), "who ?", context, **options)
    assert long.cost.windows > module.MANY_WINDOWS
    assert len(threads.given) == 3, "tokenizing, cutting and decoding"
    monkeypatch.setattr(tokenizer_module, "LONG_TEXT", len(context))
    monkeypatch.setattr(module, "MANY_WINDOWS", long.cost.windows)
    direct = ask(make_answerer("uncased", threads=NoThreads()), "who ?", context, **options)
    assert direct.answers == long.answers
    assert len(direct.answers) == 20
    assert direct.cost.context_tokens == long.cost.context_tokens
