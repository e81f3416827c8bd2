"""The tokenizer of a checkpoint, whether it comes as tokenizer.json or as vocab.txt."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from transformers import BertTokenizerFast

from spanqa_model.checkpoints.reader import load_checkpoint
from spanqa_model.checkpoints.tokenizer import load_tokenizer
from spanqa_model.errors import CheckpointError
from unit.model.tiny import edit_json, vocabulary, write_vocabulary

TEXTS = ["Who wrote THE café?", "It's 3.5 % of the Café's", "naïve [x] a\tb\u00a0c 中文 ẞ", ""]


def same_tokens(ours: Tokenizer, reference: BertTokenizerFast, text: str) -> bool:
    mine = ours.encode(text, add_special_tokens=False)
    theirs = reference(text, add_special_tokens=False, return_offsets_mapping=True)
    return bool(mine.ids == theirs["input_ids"] and mine.offsets == theirs["offset_mapping"])


@pytest.mark.parametrize("cased", [False, True])
@pytest.mark.parametrize("said", [False, True])
def test_vocab_txt_cased_and_uncased(tmp_path: Path, cased: bool, said: bool) -> None:
    """Told by tokenizer_config.json, or seen from the vocabulary."""
    write_vocabulary(tmp_path, cased=cased)
    if said:
        edit_json(tmp_path / "tokenizer_config.json", do_lower_case=not cased)
    tokenizer = load_tokenizer(tmp_path)
    reference = BertTokenizerFast(str(tmp_path / "vocab.txt"), do_lower_case=not cased)
    assert all(same_tokens(tokenizer, reference, text) for text in TEXTS)
    tokens = tokenizer.encode("Who", add_special_tokens=False).tokens
    assert tokens == (["W", "##h", "##o"] if cased else ["who"])


@settings(deadline=None, max_examples=100)
@given(st.booleans(), st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_vocab_txt_tokenizes_any_text_as_the_reference(cased: bool, text: str) -> None:
    ours, reference = TOKENIZERS[cased]
    assert same_tokens(ours, reference, text)


def test_capitals_that_lower_casing_leaves_alone_do_not_make_a_vocabulary_cased(
    tmp_path: Path,
) -> None:
    text = "\n".join([*vocabulary(cased=False), *(f"filler{i}" for i in range(1000)), "ℝ", "##ℝ"])
    (tmp_path / "vocab.txt").write_text(text, encoding="utf-8")
    assert load_tokenizer(tmp_path).encode("Who", add_special_tokens=False).tokens == ["who"]


@pytest.mark.parametrize("strip_accents", [True, False])
def test_strip_accents_is_obeyed(tmp_path: Path, strip_accents: bool) -> None:
    write_vocabulary(tmp_path)
    edit_json(tmp_path / "tokenizer_config.json", strip_accents=strip_accents)
    tokens = load_tokenizer(tmp_path).encode("é", add_special_tokens=False).tokens
    assert tokens == (["e"] if strip_accents else ["é"])


def test_tokenizer_json_goes_before_vocab_txt_and_loses_truncation_and_padding(
    checkpoint: Path,
) -> None:
    fast = load_tokenizer(checkpoint)
    fast.enable_truncation(4)
    fast.enable_padding(length=9)
    fast.save(str(checkpoint / "tokenizer.json"))
    (checkpoint / "vocab.txt").write_bytes(b"\xff not read")
    tokenizer = load_checkpoint(checkpoint).tokenizer
    assert len(tokenizer.encode("who wrote the the the it", add_special_tokens=False)) == 6
    assert len(tokenizer.encode("it", add_special_tokens=False)) == 1


@pytest.mark.parametrize("missing", ["[CLS]", "[SEP]"])
def test_a_vocabulary_without_the_special_tokens_is_refused(checkpoint: Path, missing: str) -> None:
    pieces = [piece for piece in vocabulary(cased=False) if piece != missing]
    (checkpoint / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"vocab\.txt: .* not found in the vocabulary"):
        load_checkpoint(checkpoint)


def test_a_tokenizer_json_without_the_special_tokens_is_refused(checkpoint: Path) -> None:
    pieces = {"[UNK]": 0, "a": 1}
    Tokenizer(WordPiece(pieces, unk_token="[UNK]")).save(str(checkpoint / "tokenizer.json"))
    with pytest.raises(CheckpointError, match=r"the vocabulary has no \[CLS\]"):
        load_checkpoint(checkpoint)


@pytest.fixture(scope="module", autouse=True)
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> None:
    for cased in (False, True):
        directory = tmp_path_factory.mktemp("vocabulary")
        write_vocabulary(directory, cased=cased)
        reference = BertTokenizerFast(str(directory / "vocab.txt"), do_lower_case=not cased)
        TOKENIZERS[cased] = (load_tokenizer(directory), reference)


TOKENIZERS: dict[bool, tuple[Tokenizer, BertTokenizerFast]] = {}
