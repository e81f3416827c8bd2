"""Tokenizers that are not BERT's WordPiece are refused, with the reason."""

from pathlib import Path

import pytest

from spanqa_model.checkpoints.reader import load_checkpoint
from spanqa_model.errors import CheckpointError
from spanqa_model.repository.versions import MODEL_NAME
from unit.model.checkpoints.tokenizers import assert_as_the_reference, write_fast, write_files
from unit.model.finetune.runs import OPTIONS, Shell
from unit.model.tiny import SPECIALS, edit_json

JAPANESE = {"tokenizer_class": "BertJapaneseTokenizer"}
KOREAN = {"tokenizer_class": "KoBertTokenizer"}
CODE = {"auto_map": {"AutoTokenizer": ["tokenization_kobert.KoBertTokenizer", None]}}


@pytest.mark.parametrize("fast", [False, True], ids=["vocab.txt", "tokenizer.json"])
@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("tokenizer_config.json", JAPANESE, "tokenizer_class is 'BertJapaneseTokenizer', not"),
        ("config.json", JAPANESE, r"/config\.json: tokenizer_class is 'BertJapaneseTokenizer'"),
        ("tokenizer_config.json", KOREAN, "tokenizer_class is 'KoBertTokenizer', not BERT's"),
        ("tokenizer_config.json", {"tokenizer_class": "AlbertTokenizerFast"}, "'AlbertTokeniz"),
        ("tokenizer_config.json", {"tokenizer_class": ["BertTokenizer"]}, "tokenizer_class is"),
        ("tokenizer_config.json", CODE, r"code of its own \(auto_map: .*kobert"),
        ("tokenizer_config.json", {"auto_map": ["code.Own", None]}, "code of its own"),
        ("config.json", CODE, r"/config\.json: the tokenizer is code of its own"),
        ("tokenizer_config.json", {"word_tokenizer_type": "mecab"}, "_type is 'mecab', not BERT"),
        ("tokenizer_config.json", {"cls_token": "<s>"}, r"cls_token is '<s>'; .* '\[CLS\]'"),
        ("special_tokens_map.json", {"sep_token": {"content": "</s>"}}, "sep_token is '</s>'"),
        ("tokenizer_config.json", {"sep_token": 3}, "3 is not a token"),
    ],
)
def test_another_tokenizer_is_refused(
    checkpoint: Path, fast: bool, file: str, content: dict[str, object], message: str
) -> None:
    if fast:
        write_fast(checkpoint)
    edit_json(checkpoint / file, **content)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(checkpoint)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(["▁the", "▁who", "re", "s"], id="SentencePiece"),
        pytest.param(["Ġthe", "Ġwho", "re", "s"], id="byte-level BPE"),
        pytest.param(["the</w>", "who</w>", "re", "##s"], id="BPE"),
    ],
)
def test_a_vocabulary_of_another_kind_is_refused(checkpoint: Path, pieces: list[str]) -> None:
    text = "\n".join([*SPECIALS, *pieces])
    (checkpoint / "vocab.txt").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"vocab\.txt: not a WordPiece vocabulary \(2 "):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "TokenizersBackend"])
def test_a_class_without_code_needs_tokenizer_json(checkpoint: Path, name: str) -> None:
    edit_json(checkpoint / "tokenizer_config.json", tokenizer_class=name)
    with pytest.raises(CheckpointError, match=r"which needs tokenizer\.json; copy that file"):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize(
    "name", ["BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "ElectraTokenizerFast"]
)
def test_classes_with_berts_code_are_taken(tmp_path: Path, name: str) -> None:
    edit_json(write_files(tmp_path) / "tokenizer_config.json", tokenizer_class=name)
    assert_as_the_reference(tmp_path)


@pytest.mark.parametrize("missing", ["[UNK]", "[MASK]", "[PAD]"])
def test_a_vocabulary_without_another_structure_token(checkpoint: Path, missing: str) -> None:
    file = checkpoint / "vocab.txt"
    text = file.read_text(encoding="utf-8").replace(missing, "[unused7]")
    file.write_text(text, encoding="utf-8")
    if missing == "[UNK]":
        with pytest.raises(CheckpointError, match=r"the vocabulary has no \[UNK\], which stands"):
            load_checkpoint(checkpoint)
    else:
        assert load_checkpoint(checkpoint).tokenizer.token_to_id(missing) is None


def test_export_and_finetune_refuse_in_one_line(
    shell: Shell, checkpoint: Path, questions: Path, tmp_path: Path
) -> None:
    edit_json(checkpoint / "tokenizer_config.json", **JAPANESE)
    reason = "not BERT's WordPiece; with WordPiece the model would read other tokens than"
    assert reason in shell("export", "--checkpoint", checkpoint, "--repository", tmp_path).message
    assert list((tmp_path / MODEL_NAME).glob("[0-9]*")) == []
    files = ("--base", checkpoint, "--train", questions, "--output", tmp_path / "run")
    assert reason in shell("finetune", *files, *OPTIONS).message
