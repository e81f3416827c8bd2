"""The shortcut by words gives what the whole tokenizer gives."""

import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers

from spanqa_server.qa.words import LONGEST_WORD, WordTokenizer, takes_words_apart
from unit.server.vocabulary import HANGUL, WORDS, make_tokenizer

ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
ASCII = st.text(alphabet=[chr(code) for code in range(128)], max_size=60)
ODD = "\x00\x0b\x1c\x7f\x85\xa0\u0301\u0308\u0323\u2009\u200b\u200d\u2028\u3000\ufe0f\ufffd–é東한"
PIECES = st.lists(
    st.sampled_from([*WORDS, *string.punctuation, *" \t\r\n", *ODD, "[SEP]", "[CLS]", "##a", "X1"])
).map("".join)


def made(*, lowercase: bool) -> Tokenizer:
    tokenizer = make_tokenizer(lowercase=lowercase)
    tokenizer.encode_special_tokens = True
    return tokenizer


WHOLE = {lowercase: made(lowercase=lowercase) for lowercase in (True, False)}
BY_WORDS = {lowercase: WordTokenizer(whole) for lowercase, whole in WHOLE.items()}


def whole(lowercase: bool, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    encoding = WHOLE[lowercase].encode(text, add_special_tokens=False)
    return encoding.ids, encoding.offsets


def by_words(tokenizer: WordTokenizer, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    ids, starts, ends = tokenizer.encode(text)
    return ids.tolist(), list(zip(starts.tolist(), ends.tolist(), strict=True))


@pytest.mark.parametrize("lowercase", [True, False])
@given(text=st.one_of(ANY, ASCII, PIECES))
@example(text="")
@example(text=f"a {HANGUL}, {HANGUL}")
@example(text="e\u0301\u0323x \U0001d15f \ufdfa .\u0301a")
@example(text="x" * 200 + " the")
@settings(max_examples=500, deadline=None)
def test_same_tokens_and_offsets(lowercase: bool, text: str) -> None:
    expected = whole(lowercase, text)
    assert by_words(WordTokenizer(WHOLE[lowercase]), text) == expected
    for _ in ("new words", "known words"):
        assert by_words(BY_WORDS[lowercase], text) == expected


class Spy:
    """Says which words it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, words: list[str], **how: bool) -> object:
        self.asked += sorted(words)
        return WHOLE[True].encode(words, **how)


def test_a_word_is_asked_for_once() -> None:
    spy = Spy()
    tokenizer = WordTokenizer(spy)
    long = "y" * (LONGEST_WORD + 1)
    for text in ("the lake, the", "the lake,", f"the {long}", long):
        assert by_words(tokenizer, text) == whole(True, text)
    assert spy.asked == [",", "lake", "the", long, long]


def test_words_that_are_used_are_remembered() -> None:
    spy = Spy()
    tokenizer = WordTokenizer(spy, capacity=4000)
    for number in range(100):
        tokenizer.encode(f"the w{number}")
    tokenizer.encode("the w99 w0")
    assert (spy.asked.count("the"), spy.asked.count("w99"), spy.asked.count("w0")) == (1, 1, 2)


@given(texts=st.lists(PIECES, max_size=8), capacity=st.sampled_from([0, 300, 1000, 4000]))
@settings(deadline=None)
def test_forgotten_words_are_learned_again(texts: list[str], capacity: int) -> None:
    forgetful = WordTokenizer(WHOLE[True], capacity)
    for text in texts:
        assert by_words(forgetful, text) == whole(True, text)
        assert forgetful.nbytes <= capacity


def test_it_is_not_for_every_kind_of_tokenizer() -> None:
    def changed(**parts: object) -> Tokenizer:
        tokenizer = make_tokenizer(lowercase=True)
        for name, part in parts.items():
            setattr(tokenizer, name, part)
        return tokenizer

    assert takes_words_apart(changed())
    assert not takes_words_apart(changed(normalizer=normalizers.NFC()))
    assert not takes_words_apart(changed(normalizer=normalizers.BertNormalizer(clean_text=False)))
    own_word = changed()
    own_word.add_tokens(["north sea"])
    assert not takes_words_apart(own_word)
