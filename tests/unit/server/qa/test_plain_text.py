"""The shortcut for plain English gives what the whole tokenizer gives."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers

from spanqa_server.qa.plain_text import is_plain, plain_tokenizer
from unit.server.vocabulary import WORDS, make_tokenizer

ASCII = st.text(alphabet=[chr(code) for code in range(128)], max_size=60)
PIECES = st.lists(
    st.sampled_from([*WORDS, *string.punctuation, *" \t\r\n", "[SEP]", "[CLS]", "##a", "X1y"])
).map("".join)


@pytest.mark.parametrize("lowercase", [True, False])
@given(text=st.one_of(ASCII, PIECES))
def test_same_tokens_and_offsets(lowercase: bool, text: str) -> None:
    whole = make_tokenizer(lowercase=lowercase)
    whole.encode_special_tokens = True
    made = plain_tokenizer(whole)
    assert made
    plain, normalize = made
    if not is_plain(text):
        return
    ours, theirs = (
        one.encode(given, add_special_tokens=False)
        for one, given in ((plain, normalize(text)), (whole, text))
    )
    assert (ours.ids, ours.offsets) == (theirs.ids, theirs.offsets)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("", True),
        ("Who?\tNobody.\r\n", True),
        ("a\x00b", False),
        ("a\x7f", False),
        ("a\x0bb", False),
        ("Malmö", False),
        ("–", False),
    ],
)
def test_what_is_plain(text: str, plain: bool) -> None:
    assert is_plain(text) == plain


def test_there_is_none_for_another_kind_of_tokenizer() -> None:
    def changed(**parts: object) -> Tokenizer:
        tokenizer = make_tokenizer(lowercase=True)
        for name, part in parts.items():
            setattr(tokenizer, name, part)
        return tokenizer

    assert plain_tokenizer(changed(normalizer=normalizers.NFC())) is None
    assert plain_tokenizer(changed(normalizer=normalizers.BertNormalizer(clean_text=False))) is None
    own_word = changed()
    own_word.add_tokens(["north sea"])
    assert plain_tokenizer(own_word) is None
