"""The tokenizer: whole texts, code point offsets, nothing that changes under threads."""

import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from spanqa_server.qa.tokenizer import TextTokenizer
from unit.server.vocabulary import HANGUL, make_tokenizer

CASED = TextTokenizer(make_tokenizer(lowercase=False))
UNCASED = TextTokenizer(make_tokenizer(lowercase=True))
BOTH = pytest.mark.parametrize("tokenizer", [CASED, UNCASED], ids=["cased", "uncased"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def slices(tokenizer: TextTokenizer, text: str) -> list[str]:
    encoded = tokenizer.encode(text)
    return [text[s:e] for s, e in zip(encoded.starts, encoded.ends, strict=True)]


@BOTH
def test_offsets_slice_the_text_in_code_points(tokenizer: TextTokenizer) -> None:
    assert slices(tokenizer, "the 😀 Lake, 東京!") == ["the", "😀", "Lake", ",", "東", "京", "!"]


@BOTH
@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Malmo\u0308", "o\u0308"),
        ("Malmo\u0308 a", "o\u0308"),
        ("Malmo\u0308.", "o\u0308"),
        ("o\u0323\u0302\u0301", "o\u0323\u0302\u0301"),
        ("in \u2764\ufe0f", "\u2764\ufe0f"),
        ("\U0001f3f4\U000e0067\U000e0062\U000e007f a", "\U0001f3f4\U000e0067\U000e0062\U000e007f"),
    ],
)
def test_a_letter_keeps_its_marks(tokenizer: TextTokenizer, text: str, letter: str) -> None:
    words = slices(tokenizer, text)
    assert any(word.endswith(letter) for word in words)
    assert "".join(words) == text.replace(" ", "")


@pytest.mark.parametrize("text", ["a \u0308", "a\u200b\u0308", "a\u2009\u0301"])
def test_marks_upon_nothing_belong_to_no_token(text: str) -> None:
    assert slices(UNCASED, text) == ["a"]


def test_tokens_of_one_syllable_share_its_marks() -> None:
    encoded = UNCASED.encode("한\u0301 a")
    assert encoded.starts.tolist() == [0, 0, 0, 3]
    assert encoded.ends.tolist() == [2, 2, 2, 4]


MARKED = st.text(
    st.sampled_from("aoé한 .👩\u0301\u0308\u0323\ufe0f\u200d\u20e3\u0915\u094d"), max_size=30
)


@BOTH
@given(text=MARKED | TEXTS)
@example(text="e\u0301\u0323x \U0001d15f \ufdfa")
@settings(deadline=None, max_examples=400)
def test_tokens_are_in_order_and_none_ends_between_a_letter_and_its_mark(
    tokenizer: TextTokenizer, text: str
) -> None:
    encoded = tokenizer.encode(text)
    assert len(encoded) == len(encoded.ids) == len(encoded.starts) == len(encoded.ends)
    assert (encoded.starts >= 0).all()
    assert (encoded.ends <= len(text)).all()
    assert (encoded.starts <= encoded.ends).all()
    covered = {
        place
        for start, end in zip(encoded.starts, encoded.ends, strict=True)
        for place in range(start, end)
    }
    for end in encoded.ends.tolist():
        mark = end < len(text) and unicodedata.category(text[end]).startswith("M")
        assert not mark or end in covered, ascii(text)
    assert (encoded.starts[1:] >= encoded.starts[:-1]).all()
    assert (encoded.ends[1:] >= encoded.ends[:-1]).all()


def test_truncation_and_padding_of_the_file_are_ignored() -> None:
    file = make_tokenizer(lowercase=False)
    file.enable_truncation(4)
    file.enable_padding(length=16)
    tokenizer = TextTokenizer(Tokenizer.from_str(file.to_str()))
    assert len(tokenizer.encode("the a in")) == 3
    assert tokenizer.encode("the a " * 50).ids.tolist() == CASED.encode("the a " * 50).ids.tolist()


@BOTH
@pytest.mark.parametrize("text", ["", " ", "\x00", "\x00\x01\x7f\u200b", "\ufffd", "\n\t\r"])
def test_nothing_to_read_gives_no_tokens(tokenizer: TextTokenizer, text: str) -> None:
    encoded = tokenizer.encode(text)
    assert len(encoded) == 0
    assert encoded.starts.shape == encoded.ends.shape == (0,)


@BOTH
def test_characters_that_are_dropped_keep_offsets_right(tokenizer: TextTokenizer) -> None:
    assert slices(tokenizer, "\x00the\x00 \u0007Lake") == ["the", "Lake"]


def test_refuses_a_vocabulary_without_special_tokens() -> None:
    with pytest.raises(ValueError, match=r"no \[CLS\]: not a BERT tokenizer"):
        TextTokenizer(Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]")))


def test_concurrent_use_changes_nothing() -> None:
    file = make_tokenizer(lowercase=True)
    tokenizer = TextTokenizer(file)
    before = file.to_str()
    texts = [f"the {'Lake ' * (n % 7)}[SEP] {n} {HANGUL}" for n in range(200)]
    alone = [tokenizer.encode(text).ids.tolist() for text in texts]
    with ThreadPoolExecutor(4) as pool:
        together = [encoded.ids.tolist() for encoded in pool.map(tokenizer.encode, texts)]
    assert together == alone
    assert file.to_str() == before
