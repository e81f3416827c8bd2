"""Windows and labels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from spanqa.squad import Question
from spanqa_model.checkpoints.tokenizer import load_tokenizer
from spanqa_model.errors import DataError
from spanqa_model.finetune.features import TrainingWindows, Window, Windows, collate, label
from unit.model.tiny import write_vocabulary

CLS = (0, 0)
LETTERS = "a b c d e f g h i j k l m n o p q r s t"
WORDS = st.text("abcé東\U0001f600,'Kß", min_size=1, max_size=6)
GAPS = st.sampled_from([" ", "  ", "\n", "\t ", "\u00a0"])


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    directory = tmp_path_factory.mktemp("vocabulary")
    write_vocabulary(directory)
    return load_tokenizer(directory)


def question(
    context: str, answer: str = "", start: int | None = None, text: str = "who"
) -> Question:
    return Question("q", text, context, (answer,) if answer else (), start, "dev.json: data[0].")


def cut(tokenizer: Tokenizer, asked: Question, size: int = 20, stride: int = 6) -> list[Window]:
    windows = Windows(tokenizer, max_sequence_tokens=size, doc_stride_tokens=stride)
    return list(windows.cut([asked]))


def labelled_text(window: Window, asked: Question) -> str | None:
    first, last = label(window, asked)
    if (first, last) == CLS:
        return None
    return asked.context[window.starts[first - window.head] : window.ends[last - window.head]]


@given(
    words=st.lists(st.tuples(WORDS, GAPS), min_size=1, max_size=30),
    data=st.data(),
    size=st.integers(16, 40),
)
def test_the_labelled_tokens_are_the_answer(
    tokenizer: Tokenizer, words: list[tuple[str, str]], data: st.DataObject, size: int
) -> None:
    pieces = [part for pair in words for part in pair]
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, min(first + 3, len(words) - 1)))
    start = sum(map(len, pieces[: 2 * first]))
    padded = "".join(pieces[2 * first : 2 * last + 2])  # with the white space behind it
    asked = question("".join(pieces), padded, start)
    windows = cut(tokenizer, asked, size)
    texts = [labelled_text(window, asked) for window in windows]
    assert set(texts) <= {None, padded.strip()}
    for window, text in zip(windows, texts, strict=True):
        whole = window.starts[0] <= start and start + len(padded.rstrip()) <= window.ends[-1]
        assert whole == (text is not None)
    if len(tokenizer.encode(padded, add_special_tokens=False).ids) <= 6:
        assert padded.strip() in texts, "what fits into the overlap lies whole in some window"


def test_windows_are_laid_out_as_the_model_wants_them(tokenizer: Tokenizer) -> None:
    asked = question(LETTERS)
    windows = cut(tokenizer, asked)
    assert [len(window.ids) for window in windows] == [20, 14]
    for window in windows:
        pieces = [tokenizer.id_to_token(number) for number in window.ids]
        assert pieces[:3] == ["[CLS]", "who", "[SEP]"]
        assert pieces[-1] == "[SEP]"
        assert window.head == 3
        texts = [asked.context[s:e] for s, e in zip(window.starts, window.ends, strict=True)]
        assert texts == pieces[3:-1]
    assert list(windows[0].starts[-6:]) == list(windows[1].starts[:6])


@pytest.mark.parametrize(
    ("asked", "labels"),
    [
        (question(LETTERS, "i", LETTERS.index("i")), [(11, 11), CLS]),
        (question(LETTERS, "i j k l m n o p q r", LETTERS.index("i")), [CLS, CLS]),  # cut off
        (question(LETTERS), [CLS, CLS]),  # unanswerable
        (question(""), [CLS]),
        (question(" \n"), [CLS]),
    ],
    ids=str,
)
def test_a_window_without_the_whole_answer_points_at_cls(
    tokenizer: Tokenizer, asked: Question, labels: list[tuple[int, int]]
) -> None:
    windows = cut(tokenizer, asked)
    assert [label(window, asked) for window in windows] == labels
    assert asked.context.strip() or [len(window.ids) for window in windows] == [4]


def test_special_tokens_in_texts_are_text(tokenizer: Tokenizer) -> None:
    (window,) = cut(tokenizer, question("a [SEP] b", text="[CLS] it"))
    separators = np.flatnonzero(window.ids == tokenizer.token_to_id("[SEP]"))
    assert list(separators) == [window.head - 1, len(window.ids) - 1]


def test_a_question_that_leaves_no_room_is_refused(tokenizer: Tokenizer) -> None:
    cut(tokenizer, question("a b c", text="a " * 10))
    with pytest.raises(DataError, match=r"^dev.json: data\[0\].question has 11 tokens; .* for 10"):
        cut(tokenizer, question("a b c", text="a " * 11))


def test_the_tokenizer_is_left_as_it_is(tokenizer: Tokenizer) -> None:
    before = tokenizer.to_str()
    cut(tokenizer, question("a b c " * 20))
    assert tokenizer.to_str() == before
    assert not tokenizer.encode_special_tokens


def test_a_batch_is_padded_to_its_longest_window_and_masked(tokenizer: Tokenizer) -> None:
    asked = [question("a b", "b", 2), question("a b c d e f", "d e", 6)]
    done: list[int] = []
    cutter = Windows(tokenizer, max_sequence_tokens=20, doc_stride_tokens=6)
    windows = TrainingWindows(cutter.cut(asked, done.append), asked)
    assert windows.lengths == [6, 10]
    assert done == [2]
    batch = collate([windows[0], windows[1]])
    assert batch["attention_mask"].sum(dim=1).tolist() == [6, 10]
    assert batch["token_type_ids"].tolist() == [[0] * 3 + [1] * 3 + [0] * 4, [0] * 3 + [1] * 7]
    assert batch["start_positions"].tolist() == [4, 6]
    assert batch["end_positions"].tolist() == [4, 7]
    assert {(tensor.dtype, len(tensor)) for tensor in batch.values()} == {(torch.int64, 2)}
