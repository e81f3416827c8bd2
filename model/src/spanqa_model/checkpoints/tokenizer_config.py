"""What the small files of a checkpoint say about its tokenizer, read as transformers reads them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from spanqa_model.checkpoints.config import read_json
from spanqa_model.errors import CheckpointError

TOKENIZER_CONFIG = "tokenizer_config.json"
ADDED_TOKENS = "added_tokens.json"
SPECIAL_TOKENS_MAP = "special_tokens_map.json"
# The tokens that give a window its structure, and two that some files name in addition.
STRUCTURE = {
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
    "pad_token": "[PAD]",
    "mask_token": "[MASK]",
}
BOUNDARIES = ("bos_token", "eos_token")
# Classes of transformers, without "Fast": those with BERT's own code, and those that are what
# tokenizer.json says.
BERT_CLASSES = {
    f"{model}Tokenizer"
    for model in (
        *("Bert", "ConvBert", "DistilBert", "Electra", "LayoutLM", "Lxmert", "MobileBert"),
        *("RetriBert", "SqueezeBert"),
    )
}
GENERIC_CLASSES = {"PreTrainedTokenizer", "TokenizersBackend"}
# The options of `BertTokenizer`, and what its normalizer calls them.
NORMALIZER_FLAGS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
VERY_LARGE = 10**9  # transformers writes 1e30 where it knows no limit


@dataclass(frozen=True, slots=True)
class Added:
    """A token beside the vocabulary, and its number if a file gives it one."""

    token: AddedToken
    number: int | None = None


@dataclass(frozen=True, slots=True)
class TokenizerConfig:
    """The tokenizer's class, options and added tokens.

    `flags` has those of `NORMALIZER_FLAGS` that a file sets. `names` has the structure tokens, by
    the names of `STRUCTURE`; `structure` has all tokens that a text cannot contain. `max_tokens` is
    None where no file sets a limit.
    """

    file: Path
    class_name: str
    flags: dict[str, bool | None]
    names: dict[str, str]
    structure: frozenset[str]
    added: tuple[Added, ...]
    markers: tuple[str, ...]
    max_tokens: int | None

    @property
    def is_generic(self) -> bool:
        """Whether the class obeys tokenizer.json alone."""
        return self.class_name in GENERIC_CLASSES


def read_tokenizer_config(directory: Path) -> TokenizerConfig:
    """Read tokenizer_config.json, special_tokens_map.json and added_tokens.json, where they exist.

    Raises:
        CheckpointError: the tokenizer is not BERT's WordPiece, or a value is impossible.
    """
    file = directory / TOKENIZER_CONFIG
    raw = read_if_there(file)
    # Newer files name the numbers of all added tokens; then transformers reads no older file.
    is_legacy = "added_tokens_decoder" not in raw
    older = read_if_there(directory / SPECIAL_TOKENS_MAP) if is_legacy else {}
    class_name = check_class(raw, directory)
    names = {key: content_of((raw | older).get(key), file) or STRUCTURE[key] for key in STRUCTURE}
    for key in ("cls_token", "sep_token"):
        if names[key] != STRUCTURE[key]:
            raise CheckpointError(
                f"{file}: {key} is {names[key]!r}; windows are made with {STRUCTURE[key]!r}, so "
                "this model cannot be served"
            )
    boundaries = {content_of((raw | older).get(key), file) for key in BOUNDARIES}
    structure = frozenset(filter(None, {*STRUCTURE.values(), *names.values(), *boundaries}))
    markers = read_markers(raw, older, file)
    if is_legacy:
        special = structure | {token.content for token in markers}
        numbered = read_added_tokens(directory / ADDED_TOKENS, special)
    else:
        numbered = read_decoder(raw["added_tokens_decoder"], file)
    known = {added.token.content for added in numbered} | structure
    return TokenizerConfig(
        file=file,
        class_name=class_name,
        flags=read_flags(raw, file),
        names=names,
        structure=structure,
        added=(*numbered, *(Added(token) for token in markers if token.content not in known)),
        markers=tuple(t.content for t in markers if t.content not in structure),
        max_tokens=read_limit(raw),
    )


def read_if_there(file: Path) -> dict[str, Any]:
    return read_json(file) if file.is_file() else {}


def check_class(raw: dict[str, Any], directory: Path) -> str:
    """The name of the tokenizer's class, without "Fast"."""
    file, model_file = directory / TOKENIZER_CONFIG, directory / "config.json"
    model = read_if_there(model_file)
    for source, content in ((file, raw), (model_file, model)):
        own = content.get("auto_map") or {}
        code = own.get("AutoTokenizer") if isinstance(own, dict) else own
        if code and any(code if isinstance(code, list) else [code]):
            raise CheckpointError(
                f"{source}: the tokenizer is code of its own (auto_map: {code!r}), which is not "
                f"run; {ELSEWHERE}"
            )
    source, name = (
        (file, raw.get("tokenizer_class"))
        if raw.get("tokenizer_class")
        else (
            model_file,
            model.get("tokenizer_class") or "BertTokenizer",
        )
    )
    splitter = raw.get("word_tokenizer_type") or "basic"
    if splitter != "basic":
        raise CheckpointError(
            f"{file}: word_tokenizer_type is {splitter!r}, not BERT's WordPiece; {ELSEWHERE}"
        )
    class_name = str(name).removesuffix("Fast")
    if class_name not in BERT_CLASSES | GENERIC_CLASSES:
        raise CheckpointError(
            f"{source}: tokenizer_class is {name!r}, not BERT's WordPiece; {ELSEWHERE}"
        )
    return class_name


ELSEWHERE = (
    "with WordPiece the model would read other tokens than it was trained on. Take a model whose "
    "tokenizer_class is BertTokenizer or PreTrainedTokenizerFast"
)


def read_flags(raw: dict[str, Any], file: Path) -> dict[str, bool | None]:
    flags: dict[str, bool | None] = {}
    for option, flag in NORMALIZER_FLAGS.items():
        value = raw.get(option)
        if value is None:
            if option == "strip_accents" and option in raw:
                flags[flag] = None  # which means: if lower-cased
            continue
        text = str(value).lower()
        if text not in ("true", "1", "false", "0"):
            raise CheckpointError(f"{file}: {option} is {value!r}; write true or false")
        flags[flag] = text in ("true", "1")
    return flags


def read_limit(raw: dict[str, Any]) -> int | None:
    limit = raw.get("model_max_length")
    if isinstance(limit, int | float) and 0 < limit < VERY_LARGE:
        return int(limit)
    return None


def read_markers(raw: dict[str, Any], older: dict[str, Any], file: Path) -> list[AddedToken]:
    """The tokens that a model was given beside BERT's own, such as [TABLE]."""
    listed: list[Any] = []
    for values in (
        raw.get("additional_special_tokens"),
        older.get("additional_special_tokens"),
        raw.get("extra_special_tokens"),
    ):
        items = list(values.values()) if isinstance(values, dict) else values or []
        if not isinstance(items, list):
            raise CheckpointError(f"{file}: the special tokens {values!r} are not a list")
        listed += items
    tokens = [token_of(item, file, special=True) for item in listed]
    return list({token.content: token for token in reversed(tokens)}.values())[::-1]


def read_added_tokens(file: Path, special: frozenset[str] | set[str]) -> list[Added]:
    """added_tokens.json, in the order of the numbers."""
    added = []
    for content, number in read_if_there(file).items():
        if type(number) is not int:
            raise CheckpointError(f"{file}: {content!r} has the number {number!r}")
        added.append(Added(token_of(content, file, special=content in special), number))
    return sorted(added, key=number_of)


def read_decoder(decoder: Any, file: Path) -> list[Added]:
    try:
        added = [
            Added(token_of(token, file, special=False), int(number))
            for number, token in decoder.items()
        ]
    except (AttributeError, ValueError):
        raise CheckpointError(
            f"{file}: added_tokens_decoder does not map numbers to tokens"
        ) from None
    return sorted(added, key=number_of)


def number_of(added: Added) -> int:
    assert added.number is not None
    return added.number


def content_of(value: Any, file: Path) -> str:
    """The text of a token that is written as a string, or as an object with its options."""
    content = value.get("content") if isinstance(value, dict) else value
    if content is None:
        return ""
    if not isinstance(content, str):
        raise CheckpointError(f"{file}: {value!r} is not a token")
    return content


def token_of(value: Any, file: Path, *, special: bool) -> AddedToken:
    """A token with its options.

    Args:
        value: a string, or an object with the options.
        file: where it stands.
        special: unless the object says; special tokens are found in a text before normalization.
    """
    content = content_of(value, file)
    if not content:
        raise CheckpointError(f"{file}: {value!r} is not a token")
    options = {"normalized": not special, "single_word": False, "lstrip": False, "rstrip": False}
    if isinstance(value, dict):
        options |= {name: value[name] is True for name in options if name in value}
    return AddedToken(content, **options)
