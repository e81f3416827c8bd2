"""The sentence around an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanqa import Answer
from spanqa._sentences import REACH


def answer_at(context: str, start: int, end: int) -> Answer:
    return Answer(context[start:end], start, end, 0.0, 0.5, 0.0, 0.0, 0)


@pytest.mark.parametrize(
    ("context", "text", "sentence"),
    [
        ("Bob slept. Ada wrote it! So there.", "Ada", "Ada wrote it!"),
        ("Ada wrote it", "wrote", "Ada wrote it"),
        ("One.\n\nAda\nwrote it\n\nTwo.", "wrote", "Ada\nwrote it"),
        ('He said: "Ada did." Bob left.', "Ada", 'He said: "Ada did."'),
        (
            "\u827e\u8fbe\u3002\u5979\u5199\u4e86\u5b83\uff01\u597d\u3002",
            "\u5199",
            "\u5979\u5199\u4e86\u5b83\uff01",
        ),
    ],
)
def test_it_is_what_people_read(context: str, text: str, sentence: str) -> None:
    start = context.index(text)
    assert answer_at(context, start, start + len(text)).sentence(context) == sentence


@given(st.text(st.sampled_from("ab .!?\n\u3002"), max_size=500), st.data())
def test_it_holds_the_answer_and_is_no_longer_than_it_may_be(
    context: str, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(context)))
    end = data.draw(st.integers(start, len(context)))
    answer = answer_at(context, start, end)
    sentence = answer.sentence(context)
    assert answer.text.strip() in sentence
    assert sentence in context
    assert len(sentence) <= len(answer.text) + 2 * REACH


def test_another_text_is_refused() -> None:
    with pytest.raises(ValueError, match="not the text that this answer is from"):
        answer_at("Ada did.", 0, 3).sentence("Bob did.")
