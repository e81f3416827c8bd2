"""Texts laid end to end: windows stay within a text, and places lead back to it."""

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from spanqa_server.qa.layout import Layout, lay_out
from spanqa_server.qa.tokenizer import TextTokenizer, TokenizedText
from unit.server.reference import cut_windows
from unit.server.vocabulary import HANGUL, make_tokenizer

TOKENIZER = TextTokenizer(make_tokenizer(lowercase=True))
WORDS = st.sampled_from(["the", "Anna", "😀", "é", HANGUL, "[SEP]", "zq"])
TEXTS = st.lists(WORDS, max_size=20).map(" ".join) | st.sampled_from(["", " ", "\x00", "\u200b\n"])
ROOMS = st.integers(1, 12).flatmap(lambda room: st.tuples(st.just(room), st.integers(0, room - 1)))


def tokenize(texts: list[str]) -> list[TokenizedText]:
    return [TOKENIZER.encode(text) for text in texts]


def lay(texts: list[str], room: int, doc_stride: int) -> Layout:
    return lay_out(tuple(texts), tokenize(texts), room, doc_stride)


@given(st.lists(TEXTS, min_size=1, max_size=7), ROOMS)
@example(["", "the Anna", "", "", "é", ""], (1, 0))
@example(["the Anna é"], (2, 1))
@settings(deadline=None, max_examples=100)
def test_every_window_is_a_window_of_one_text(texts: list[str], cut: tuple[int, int]) -> None:
    tokenized = tokenize(texts)
    assume(any(len(tokens) for tokens in tokenized))
    layout = lay(texts, *cut)
    expected: list[tuple[int, list[tuple[int, int, int]]]] = []
    firsts = []
    for number, tokens in enumerate(tokenized):
        if len(tokens):
            firsts.append(len(expected))
            rows = list(zip(tokens.ids, tokens.starts, tokens.ends, strict=True))
            expected += [(number, cut_rows(rows, window)) for window in windows_of(tokens, cut)]
    assert layout.first_windows.tolist() == firsts
    assert len(layout.plan) == len(expected)
    plan = zip(layout.plan.starts, layout.plan.ends, strict=True)
    for (first, last), (number, rows) in zip(plan, expected, strict=True):
        held = layout.tokens
        assert held.ids[first:last].tolist() == [row[0] for row in rows]
        base = sum(len(text) for text in texts[:number])
        assert layout.bases[number] == base
        assert (held.starts[first:last] - base).tolist() == [row[1] for row in rows]
        assert (held.ends[first:last] - base).tolist() == [row[2] for row in rows]


def windows_of(tokens: TokenizedText, cut: tuple[int, int]) -> list[list[int]]:
    return cut_windows(range(len(tokens)), *cut)


def cut_rows(rows: list[tuple[int, int, int]], window: list[int]) -> list[tuple[int, int, int]]:
    return [rows[token] for token in window]


@given(st.lists(TEXTS, min_size=1, max_size=7), ROOMS)
@example(["", "the", "", "Anna", ""], (1, 0))
@settings(deadline=None, max_examples=100)
def test_places_lead_back_to_their_text(texts: list[str], cut: tuple[int, int]) -> None:
    assume(any(len(tokens) for tokens in tokenize(texts)))
    layout = lay(texts, *cut)
    joined = "".join(texts)
    numbers = [number for number, text in enumerate(texts) for _ in text]
    for start, end in zip(layout.tokens.starts.tolist(), layout.tokens.ends.tolist(), strict=True):
        number = layout.text_at(start)
        assert number == numbers[start]
        base = int(layout.bases[number])
        assert texts[number][start - base : end - base] == joined[start:end]
        assert end - base <= len(texts[number])
