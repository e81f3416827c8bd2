"""Windows, token for token, against transformers' fast tokenizer with overflow."""

import shutil
from collections.abc import Callable, Iterable
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
from transformers import BertTokenizerFast

from parity.reference import MAX_LENGTH, STRIDE, Pair, prepare
from parity.texts import generated, pairs
from spanqa_model.checkpoints.fetching import fetch
from spanqa_model.checkpoints.presets import PRESETS
from spanqa_model.checkpoints.tokenizer import load_tokenizer
from spanqa_server.qa.tokenizer import TextTokenizer, TokenizedText

Say = Callable[[str], None]
Both = tuple[TextTokenizer, BertTokenizerFast]
QUESTIONS_A_CALL = 250


@pytest.fixture(scope="module")
def uncased() -> Both:
    directory = fetch(PRESETS["minilm-squad"]).directory
    reference = BertTokenizerFast.from_pretrained(directory, local_files_only=True)
    return TextTokenizer(load_tokenizer(directory)), reference


@pytest.fixture(scope="module")
def cased(cased_vocab: Path, tmp_path_factory: pytest.TempPathFactory) -> Both:
    return from_vocab(cased_vocab, tmp_path_factory.mktemp("cased"), lowercase=False)


@pytest.fixture(scope="module")
def uncased_from_vocab(tmp_path_factory: pytest.TempPathFactory) -> Both:
    vocab = fetch(PRESETS["minilm-squad"]).directory / "vocab.txt"
    return from_vocab(vocab, tmp_path_factory.mktemp("uncased"), lowercase=True)


def from_vocab(vocab: Path, directory: Path, *, lowercase: bool) -> Both:
    """Nothing but vocab.txt: the exporter has to see for itself whether it is cased."""
    shutil.copyfile(vocab, directory / "vocab.txt")
    reference = BertTokenizerFast(str(directory / "vocab.txt"), do_lower_case=lowercase)
    return TextTokenizer(load_tokenizer(directory)), reference


@pytest.fixture(params=["uncased", "cased", "uncased_from_vocab"])
def both(request: pytest.FixtureRequest) -> Both:
    tokenizers: Both = request.getfixturevalue(request.param)
    return tokenizers


def assert_same_windows(
    both: Both, compared: Iterable[Pair], *, max_length: int = MAX_LENGTH, stride: int = STRIDE
) -> int:
    """Compare; returns the number of windows."""
    ours, reference = both
    contexts: dict[str, TokenizedText] = {}
    remaining, windows = iter(compared), 0
    while batch := list(islice(remaining, QUESTIONS_A_CALL)):
        theirs = reference(
            [question for question, _ in batch],
            [context for _, context in batch],
            truncation="only_second",
            max_length=max_length,
            stride=stride,
            return_overflowing_tokens=True,
            return_attention_mask=False,
        )
        for _, context in batch:
            if context not in contexts:
                contexts[context] = ours.encode(context)
        mine = [
            prepare(ours, question, contexts[context], max_length=max_length, stride=stride).packed
            for question, context in batch
        ]
        sizes = [len(packed.window_lengths) for packed in mine]
        assert theirs["overflow_to_sample_mapping"] == np.repeat(range(len(batch)), sizes).tolist()
        lengths = np.concatenate([packed.window_lengths for packed in mine])
        assert [len(ids) for ids in theirs["input_ids"]] == lengths.tolist()
        for name in ("input_ids", "token_type_ids"):
            flat = np.concatenate([getattr(packed, name) for packed in mine])
            assert np.array_equal(flat, np.fromiter(chain(*theirs[name]), np.int32, len(flat)))
        windows += len(lengths)
    return windows


def test_all_squad_questions(both: Both, squad: list[Pair], say: Say) -> None:
    windows = assert_same_windows(both, squad)
    say(f"{len(squad):,} SQuAD dev questions: {windows:,} windows equal")
    assert windows > len(squad)


def test_generated_texts(both: Both, say: Say) -> None:
    texts = [
        (generated(seed + 100, 10), generated(seed, 2_000 + seed * 18_000 // 19))
        for seed in range(20)
    ]
    windows = assert_same_windows(both, texts)
    say(f"20 generated texts of 2,000 to 20,000 words: {windows:,} windows equal")
    assert windows > 20 * 10


def test_texts_that_read_like_articles(uncased: Both) -> None:
    assert assert_same_windows(uncased, pairs()) > len(pairs())


@pytest.mark.parametrize(
    ("max_length", "stride"), [(384, 0), (384, 1), (64, 16), (33, 17), (512, 256), (16, 3)]
)
def test_other_lengths_and_overlaps(uncased: Both, max_length: int, stride: int) -> None:
    room = max_length - len(uncased[0].encode("who?")) - 3
    # Contexts around each multiple of the room, where one more window begins.
    texts = [
        ("who?", "it " * words)
        for windows in (1, 2, 3)
        for edge in [room + (windows - 1) * (room - stride)]
        for words in (edge - 1, edge, edge + 1)
    ]
    counted = assert_same_windows(uncased, texts, max_length=max_length, stride=stride)
    assert counted == sum((1, 1, 2, 2, 2, 3, 3, 3, 4))


@pytest.mark.parametrize("context", ["", " ", "\u200b", "it"])
def test_contexts_of_next_to_nothing(uncased: Both, context: str) -> None:
    assert assert_same_windows(uncased, [("who?", context)]) == 1


def test_special_tokens_that_a_user_writes_are_text() -> None:
    directory = fetch(PRESETS["minilm-squad"]).directory
    written = [("what is [MASK]?", "[CLS] a [SEP] b [PAD] c [UNK] " * 200)]
    ours = TextTokenizer(load_tokenizer(directory))
    as_text = BertTokenizerFast.from_pretrained(
        directory, local_files_only=True, split_special_tokens=True
    )
    assert assert_same_windows((ours, as_text), written) > 1
    assert ours.sep_id not in ours.encode(written[0][1]).ids
