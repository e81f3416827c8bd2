"""The tokenizer of a checkpoint: tokenizer.json, or one made from vocab.txt."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer
from tokenizers.models import WordPiece

from spanqa_model.checkpoints.config import BertConfig
from spanqa_model.checkpoints.tokenizer_config import (
    NORMALIZER_FLAGS,
    TOKENIZER_CONFIG,
    TokenizerConfig,
    read_tokenizer_config,
)
from spanqa_model.errors import CheckpointError

# What transformers 4 does where no file says anything.
DEFAULT_FLAGS = {"lowercase": True, "strip_accents": None, "handle_chinese_chars": True}
# The share of the pieces with letters above which capitals make a vocabulary a cased one. Cased
# ones have 10 % and more; uncased ones to which words were added have less.
CASED_SHARE = 0.01
# How pieces of SentencePiece and of byte-pair encodings begin or end.
OTHER_KINDS = re.compile("^▁.|^Ġ.|.</w>$")

Say = Callable[[str], None]


def say_nothing(_: str) -> None:
    pass


def load_tokenizer(directory: Path, on_notice: Say = say_nothing) -> Tokenizer:
    """Load the checkpoint's fast tokenizer, or make one from its vocab.txt.

    Options and added tokens are those of tokenizer_config.json and its companions, as in
    transformers. Of all added tokens only those of `structure` are special, which means: text where
    a user writes them. Truncation and padding are switched off, because windows are cut from the
    whole token sequence.

    Args:
        directory: the checkpoint.
        on_notice: called with a sentence where the files contradict each other or leave open
            what the model was trained with.

    Raises:
        CheckpointError: neither file is there, a file is corrupt, or the tokenizer is of a kind
            that is not supported.
    """
    config = read_tokenizer_config(directory)
    fast, vocab = directory / "tokenizer.json", directory / "vocab.txt"
    file = fast if fast.is_file() else vocab
    if not file.is_file():
        raise CheckpointError(f"{directory}: holds neither tokenizer.json nor vocab.txt")
    if config.is_generic and file == vocab:
        raise CheckpointError(
            f"{config.file}: tokenizer_class is {config.class_name!r}, which needs tokenizer.json; "
            "copy that file here as well"
        )
    try:
        if file == fast:
            tokenizer = Tokenizer.from_file(str(fast))
        else:
            tokenizer = wordpiece_tokenizer(vocab, config, on_notice)
        add_tokens(tokenizer, config)
        tokenizer = settle(tokenizer, config, on_notice)
    except CheckpointError:
        raise
    except Exception as error:  # the tokenizers library raises bare Exception
        raise CheckpointError(f"{file}: corrupt ({error}); fetch it again") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def wordpiece_tokenizer(vocab: Path, config: TokenizerConfig, on_notice: Say) -> Tokenizer:
    pieces = vocab.read_text(encoding="utf-8").split("\n")
    others = sum(1 for piece in pieces if OTHER_KINDS.search(piece))
    if others > sum(1 for piece in pieces if piece.startswith("##")):
        raise CheckpointError(
            f"{vocab}: not a WordPiece vocabulary ({others:,} pieces are of SentencePiece or of a "
            "byte-pair encoding); the model needs its own tokenizer, as tokenizer.json"
        )
    implementation = BertWordPieceTokenizer(
        WordPiece.read_file(str(vocab)),
        lowercase=config.flags["lowercase"]
        if "lowercase" in config.flags
        else is_uncased(pieces, vocab, on_notice),
        strip_accents=config.flags.get("strip_accents"),
        handle_chinese_chars=config.flags.get("handle_chinese_chars", True),
        **config.names,
    )
    tokenizer: Tokenizer = implementation._tokenizer
    return tokenizer


def is_uncased(pieces: Iterable[str], vocab: Path, on_notice: Say) -> bool:
    """Whether hardly any piece of the vocabulary has capitals, except tokens such as [CLS], <S>."""
    words = [piece for piece in pieces if not re.fullmatch(r"\[.*\]|<.*>", piece)]
    capitals = sum(1 for word in words if re.search("[A-Z]", word))
    letters = sum(1 for word in words if re.search("[A-Za-z]", word))
    cased = capitals > CASED_SHARE * letters
    if capitals:
        on_notice(
            f"{vocab}: {capitals:,} of {letters:,} pieces with letters have capitals, so text "
            + ("keeps its case (transformers would lower-case it)" if cased else "is lower-cased")
            + f"; do_lower_case in {TOKENIZER_CONFIG} decides otherwise"
        )
    return not cased


def add_tokens(tokenizer: Tokenizer, config: TokenizerConfig) -> None:
    """Add the tokens that other files than tokenizer.json and vocab.txt name."""
    pieces = {number: piece for piece, number in tokenizer.get_vocab().items()}
    for added in config.added:
        content = added.token.content
        tokenizer.add_tokens([added.token])
        number = tokenizer.token_to_id(content)
        if added.number not in (None, number):
            raise CheckpointError(
                f"{config.file.parent}: the added token {content!r} has the number {added.number}, "
                f"but after the vocabulary comes {number}: these files do not belong together"
            )
        if pieces.setdefault(number, content) != content:  # it counts each piece once
            raise CheckpointError(
                f"{config.file.parent}: the added token {content!r} gets the number of "
                f"{pieces[number]!r}, because a piece stands in the vocabulary twice"
            )


def settle(tokenizer: Tokenizer, config: TokenizerConfig, on_notice: Say) -> Tokenizer:
    """A copy with the options of tokenizer_config.json, in which markers are not special."""
    state = json.loads(tokenizer.to_str())
    normalizer = state["normalizer"] or {}
    # Classes of BERT set the options of its normalizer; others leave it as it is.
    if normalizer.get("type") == "BertNormalizer" and not config.is_generic:
        normalizer |= settled_flags(normalizer, config, on_notice)
    for token in state["added_tokens"]:
        token["special"] = token["content"] in config.structure
    check_unknown(state["model"], config.file.parent)
    return Tokenizer.from_str(json.dumps(state))


def settled_flags(
    normalizer: dict[str, Any], config: TokenizerConfig, on_notice: Say
) -> dict[str, bool | None]:
    if not (config.file.parent / "tokenizer.json").is_file():
        return {}
    settled: dict[str, bool | None] = {}
    for option, flag in NORMALIZER_FLAGS.items():
        inside = normalizer[flag]
        chosen = config.flags.get(flag, inside)
        settled[flag] = chosen
        values = f"{flag} is {json.dumps(inside)} in tokenizer.json"
        if chosen != inside:
            on_notice(
                f"{config.file}: {option} is {json.dumps(chosen)}, but {values}; "
                f"{TOKENIZER_CONFIG} counts, as in transformers"
            )
        elif flag not in config.flags and inside != DEFAULT_FLAGS[flag]:
            on_notice(
                f"{config.file}: {option} is not set; {values}, which counts (transformers 4 would "
                f"take {json.dumps(DEFAULT_FLAGS[flag])})"
            )
    return settled


def check_unknown(model: dict[str, Any], directory: Path) -> None:
    if model["type"] == "WordPiece" and model["unk_token"] not in model["vocab"]:
        raise CheckpointError(
            f"{directory}: the vocabulary has no {model['unk_token']}, which stands for unknown "
            "words, so it is not BERT's"
        )


def check_tokenizer(tokenizer: Tokenizer, config: BertConfig, directory: Path) -> None:
    for token in ("[CLS]", "[SEP]"):
        if tokenizer.token_to_id(token) is None:
            raise CheckpointError(
                f"{directory}: the vocabulary has no {token}, so it is not BERT's"
            )
    pieces = max(tokenizer.get_vocab().values()) + 1
    if pieces > config.vocab_size:
        raise CheckpointError(
            f"{directory}: the tokenizer has {pieces} pieces, config.json says "
            f"{config.vocab_size}: these files do not belong together"
        )
