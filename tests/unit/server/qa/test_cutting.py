"""A long text in parts gives the tokens of the whole."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spanqa_server.qa.cutting import MARKS, cut
from spanqa_server.qa.tokenizer import LONG_TEXT, TextTokenizer
from unit.server.qa.test_words import ANY, PIECES, whole
from unit.server.vocabulary import HANGUL, make_tokenizer

MARKED = st.text(st.sampled_from(f"{MARKS} \tab\u0301\u0323東京한é\x00\u3000"), max_size=60)


@pytest.mark.parametrize("lowercase", [True, False])
@given(text=st.one_of(ANY, PIECES, MARKED), size=st.integers(1, 9))
@example(text="e\u0301\u0323x \u0301東\u0301京 .\u0301a 東京東", size=1)
@example(text=f"a {HANGUL}, {HANGUL} [SEP] x\u00bf\u037e\u3002\uff0c", size=1)
@settings(max_examples=500, deadline=None)
def test_parts_have_the_tokens_of_the_whole(lowercase: bool, text: str, size: int) -> None:
    ids, offsets = [], []
    for begin, part in cut(text, size, in_han=True):
        found, places = whole(lowercase, part)
        ids += found
        offsets += [(start + begin, end + begin) for start, end in places]
    assert (ids, offsets) == whole(lowercase, text)


@pytest.mark.parametrize("unit", [".", "a ", "\u00bf", "\u6771", "\u3002", "the light. "])
def test_no_part_is_much_longer_than_it_has_to_be(unit: str) -> None:
    parts = [part for _, part in cut(unit * 10_000, 100, in_han=True)]
    assert "".join(parts) == unit * 10_000
    assert max(map(len, parts)) <= 100 + len(unit)


def test_a_word_is_never_cut() -> None:
    assert [part for _, part in cut("東京" * 50, 10, in_han=False)] == ["東京" * 50]
    assert [part for _, part in cut(f"{'x' * 50} y", 10, in_han=True)] == ["x" * 50, " y"]


@pytest.mark.parametrize("lowercase", [True, False])
def test_a_long_text_has_its_places_in_code_points(lowercase: bool) -> None:
    tokenizer = TextTokenizer(make_tokenizer(lowercase=lowercase))
    text = f"{HANGUL} the Lake, in 東京。" * (LONG_TEXT // 5)
    encoded = tokenizer.encode(text)
    places = list(zip(encoded.starts.tolist(), encoded.ends.tolist(), strict=True))
    assert (encoded.ids.tolist(), places) == whole(lowercase, text)
