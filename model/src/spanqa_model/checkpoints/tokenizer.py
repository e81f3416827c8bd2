"""The tokenizer of a checkpoint: tokenizer.json, or one made from vocab.txt."""

import re
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer
from tokenizers.models import WordPiece

from spanqa_model.checkpoints.config import BertConfig, read_json
from spanqa_model.errors import CheckpointError


def load_tokenizer(directory: Path) -> Tokenizer:
    """Load the checkpoint's fast tokenizer, or make one from its vocab.txt.

    Truncation and padding are switched off, because windows are cut from the whole token sequence.

    Raises:
        CheckpointError: neither file is there, or the file is corrupt.
    """
    fast, vocab = directory / "tokenizer.json", directory / "vocab.txt"
    file = fast if fast.is_file() else vocab
    if not file.is_file():
        raise CheckpointError(f"{directory}: holds neither tokenizer.json nor vocab.txt")
    try:
        if file == fast:
            tokenizer: Tokenizer = Tokenizer.from_file(str(fast))
        else:
            tokenizer = wordpiece_tokenizer(vocab, directory / "tokenizer_config.json")
    except CheckpointError:
        raise
    except Exception as error:  # the tokenizers library raises bare Exception
        raise CheckpointError(f"{file}: corrupt ({error}); fetch it again") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def wordpiece_tokenizer(vocab: Path, tokenizer_config: Path) -> Tokenizer:
    raw = read_json(tokenizer_config) if tokenizer_config.is_file() else {}
    tokens = vocab.read_text(encoding="utf-8").split("\n")
    # Without do_lower_case the vocabulary decides. An uncased one has the letters A to Z only in
    # special tokens such as [CLS]; other capitals, such as ℝ, have no lower case.
    cased = any(re.search("[A-Z]", token) for token in tokens if not token.startswith("["))
    lowercase = raw.get("do_lower_case", not cased)
    implementation = BertWordPieceTokenizer(
        WordPiece.read_file(str(vocab)),
        lowercase=lowercase,
        strip_accents=raw.get("strip_accents"),
        handle_chinese_chars=raw.get("tokenize_chinese_chars", True),
    )
    tokenizer: Tokenizer = implementation._tokenizer
    return tokenizer


def check_tokenizer(tokenizer: Tokenizer, config: BertConfig, directory: Path) -> None:
    for token in ("[CLS]", "[SEP]"):
        if tokenizer.token_to_id(token) is None:
            raise CheckpointError(
                f"{directory}: the vocabulary has no {token}, so it is not BERT's"
            )
    pieces = tokenizer.get_vocab_size()
    if pieces > config.vocab_size:
        raise CheckpointError(
            f"{directory}: the tokenizer has {pieces} pieces, config.json says "
            f"{config.vocab_size}: these files do not belong together"
        )
