"""The tokenizer of a checkpoint, whether it comes as tokenizer.json or as vocab.txt."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from transformers import BertTokenizerFast

from spanqa_model.checkpoints.reader import load_checkpoint
from spanqa_model.checkpoints.tokenizer import load_tokenizer
from spanqa_model.errors import CheckpointError
from unit.model.tiny import edit_json, vocabulary, write_vocabulary


def load_both(directory: Path, *, cased: bool) -> tuple[Tokenizer, BertTokenizerFast]:
    write_vocabulary(directory, cased=cased)
    reference = BertTokenizerFast(str(directory / "vocab.txt"), do_lower_case=not cased)
    return load_tokenizer(directory), reference


@pytest.fixture(scope="module")
def by_case(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[bool, tuple[Tokenizer, BertTokenizerFast]]:
    return {
        cased: load_both(tmp_path_factory.mktemp("vocabulary"), cased=cased)
        for cased in (False, True)
    }


@settings(deadline=None, max_examples=100)
@given(cased=st.booleans(), text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@example(cased=True, text="Who wrote THE café?")
@example(cased=False, text="naïve [x] a\tb\u00a0c 中文 ẞ, 3.5 % of the Café's")
def test_vocab_txt_tokenizes_any_text_as_the_reference(
    by_case: dict[bool, tuple[Tokenizer, BertTokenizerFast]], cased: bool, text: str
) -> None:
    ours, reference = by_case[cased]
    mine = ours.encode(text, add_special_tokens=False)
    theirs = reference(text, add_special_tokens=False, return_offsets_mapping=True)
    assert (mine.ids, mine.offsets) == (theirs["input_ids"], theirs["offset_mapping"])


@pytest.mark.parametrize("cased", [False, True])
def test_the_case_that_tokenizer_config_json_names_counts(tmp_path: Path, cased: bool) -> None:
    edit_json(tmp_path / "tokenizer_config.json", do_lower_case=not cased)
    tokenizer, _ = load_both(tmp_path, cased=True)
    tokens = tokenizer.encode("Who", add_special_tokens=False).tokens
    assert tokens == (["W", "##h", "##o"] if cased else ["who"])


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
@pytest.mark.parametrize("fast", [False, True])
def test_a_vocabulary_without_the_special_tokens_is_refused(
    checkpoint: Path, missing: str, fast: bool
) -> None:
    pieces = [piece for piece in vocabulary(cased=False) if piece != missing]
    if fast:
        model = WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]")
        Tokenizer(model).save(str(checkpoint / "tokenizer.json"))
    else:
        (checkpoint / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    reason = "the vocabulary has no" if fast else r"vocab\.txt: .* not found in the vocabulary"
    with pytest.raises(CheckpointError, match=reason):
        load_checkpoint(checkpoint)
