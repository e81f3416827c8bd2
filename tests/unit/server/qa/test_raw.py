"""Raw results: every token of every window, with the model's own logits."""

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from spanqa_server.errors import InvalidRequestError
from spanqa_server.qa.offsets import OffsetUnit
from spanqa_server.qa.results import TokenWindow
from spanqa_server.qa.tokenizer import TextTokenizer
from unit.server.qa.played import (
    TEXTS,
    TOKENIZERS,
    NoThreads,
    PlayedModel,
    SpyThreads,
    ask_logits,
    cut,
    make_answerer,
)
from unit.server.reference import cut_windows
from unit.server.vocabulary import HANGUL

UNITS = st.sampled_from(OffsetUnit)
FIELDS = [field.name for field in fields(TokenWindow)]


@given(TEXTS, TEXTS, UNITS, st.sampled_from(sorted(TOKENIZERS)), st.sampled_from([70, 384]))
@example("😀 who", HANGUL * 9, OffsetUnit.UTF16, "uncased", 70)
@example("[CLS] é", "[SEP] 😀 東", OffsetUnit.UTF8, "cased", 70)
@settings(deadline=None, max_examples=100)
def test_every_token_of_every_window(
    question: str, context: str, unit: OffsetUnit, name: str, sequence: int
) -> None:
    tokenizer = TOKENIZERS[name]
    asked, searched = tokenizer.encode(question), tokenizer.encode(context)
    assume(0 < len(asked) < sequence - 13)
    assume(len(searched))
    model = PlayedModel()
    options: dict[str, Any] = {"max_sequence_tokens": sequence, "doc_stride_tokens": 9}
    found = ask_logits(make_answerer(name, model), question, context, offset_unit=unit, **options)
    pieces = cut_windows(range(len(searched)), sequence - len(asked) - 3, 9)
    assert len(found.windows) == len(pieces)
    [packed], [logits] = model.asked, model.given
    begin = 0
    for window, piece in zip(found.windows, pieces, strict=True):
        head = len(asked) + 2
        length = head + len(piece) + 1
        assert {len(getattr(window, name)) for name in FIELDS} == {length}
        here = slice(begin, begin + length)
        begin += length
        assert window.token_ids == packed.input_ids[here].tolist()
        assert window.start_logits == logits.starts[here].tolist()
        assert window.end_logits == logits.ends[here].tolist()
        assert window.sequence_ids == [0, *[1] * len(asked), 0, *[2] * len(piece), 0]
        for at in (0, head - 1, length - 1):
            assert (window.starts[at], window.ends[at]) == (0, 0)
        check_places(window, 1, question, asked, list(range(len(asked))), unit)
        check_places(window, head, context, searched, piece, unit)
    assert begin == len(packed.input_ids)


def check_places(
    window: TokenWindow, begin: int, text: str, tokens: Any, numbers: list[int], unit: OffsetUnit
) -> None:
    """The tokens' ids, and the text at their places, cut in the caller's unit."""
    for at, number in enumerate(numbers, begin):
        assert window.token_ids[at] == tokens.ids[number]
        expected = text[tokens.starts[number] : tokens.ends[number]]
        assert cut(text, window.starts[at], window.ends[at], unit) == expected


def test_tokens_as_text() -> None:
    options = {"max_sequence_tokens": 9, "doc_stride_tokens": 1}
    found = ask_logits(make_answerer(), "who ?", "the Lakes 😀 \U0001f6a2 [SEP]", **options)
    head = ["[CLS]", "who", "?", "[SEP]"]
    assert [window.tokens for window in found.windows] == [
        [*head, "the", "Lake", "##s", "😀", "[SEP]"],
        [*head, "😀", "[UNK]", "[", "S", "[SEP]"],
        [*head, "S", "##E", "##P", "]", "[SEP]"],
    ]


def test_raw_results_of_too_many_tokens_are_refused_before_the_model_is_asked() -> None:
    model = PlayedModel()
    answerer = make_answerer(model=model, max_logits_tokens=26)
    options = {"max_sequence_tokens": 9, "doc_stride_tokens": 1}
    with pytest.raises(InvalidRequestError, match=r"^context: .* 27 tokens together; the limit is"):
        ask_logits(answerer, "who ?", "the sea in the north " * 2, **options)
    assert model.asked == []


def test_what_it_cost() -> None:
    found = ask_logits(make_answerer(), "who ?", "the light keeper")
    cost = found.cost
    assert (cost.question_tokens, cost.context_tokens, cost.windows) == (2, 3, 1)
    assert (cost.seconds.queue, cost.seconds.infer, cost.seconds.decode) == (0.25, 0.5, 0.0)
    assert cost.seconds.tokenize > 0


def test_several_windows_are_read_in_a_thread() -> None:
    threads = SpyThreads()
    options = {"max_sequence_tokens": 8, "doc_stride_tokens": 1}
    found = ask_logits(make_answerer(threads=threads), "who ?", "the light keeper was", **options)
    assert (len(found.windows), len(threads.given)) == (2, 1)
    [window] = ask_logits(make_answerer(threads=NoThreads()), "who ?", "the light").windows
    assert window.tokens == ["[CLS]", "who", "?", "[SEP]", "the", "light", "[SEP]"]


def test_numbers_that_the_vocabulary_leaves_out() -> None:
    words = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "the": 9, "sea": 12}
    tokenizer = TextTokenizer(Tokenizer(models.WordPiece(words, unk_token="[UNK]")))
    assert tokenizer.pieces(tokenizer.encode("sea").ids) == ["sea"]
