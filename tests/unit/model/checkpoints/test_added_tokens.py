"""Tokens that a model was given beside its vocabulary, and structure tokens in a text."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer, BertForQuestionAnswering, BertTokenizerFast

from spanqa_model.checkpoints.reader import load_checkpoint
from spanqa_model.checkpoints.tokenizer import load_tokenizer
from spanqa_model.errors import CheckpointError
from spanqa_server.qa.tokenizer import TextTokenizer
from unit.model.checkpoints.tokenizers import (
    assert_as_the_reference,
    served,
    tokens_of,
    vocabulary_size,
    write_fast,
    write_files,
)
from unit.model.exporting import export, tiny_source
from unit.model.tiny import SPECIALS, edit_json, reference_model, write_checkpoint

Write = Callable[[Path], None]


def old_files(directory: Path) -> None:
    """As before transformers 4.34."""
    size = vocabulary_size(directory)
    edit_json(directory / "added_tokens.json", **{"[ROW]": size + 1, "[TABLE]": size})
    edit_json(directory / "special_tokens_map.json", additional_special_tokens=["[TABLE]", "[ROW]"])


def words_that_are_not_special(directory: Path) -> None:
    edit_json(directory / "added_tokens.json", CARD7=vocabulary_size(directory))


def named_in_the_configuration(directory: Path) -> None:
    edit_json(directory / "tokenizer_config.json", additional_special_tokens=["[TABLE]", "<T>"])


def with_options(directory: Path) -> None:
    token = {"content": "[TABLE]", "lstrip": True, "rstrip": True, "single_word": True}
    tokens = [token | {"normalized": False}, "[ROW]"]
    edit_json(directory / "special_tokens_map.json", additional_special_tokens=tokens)


def decoder(directory: Path) -> None:
    size = vocabulary_size(directory)
    options = {"lstrip": False, "rstrip": False, "single_word": False}
    table = options | {"content": "[TABLE]", "normalized": False, "special": True}
    card = options | {"content": "card7", "normalized": True, "special": False}
    edit_json(
        directory / "tokenizer_config.json",
        added_tokens_decoder={str(size + 1): card, str(size): table},
        additional_special_tokens=["[TABLE]"],
    )


def named_by_their_use(directory: Path) -> None:
    edit_json(directory / "tokenizer_config.json", extra_special_tokens={"table_token": "[TABLE]"})


def in_the_vocabulary(directory: Path) -> None:
    with (directory / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("[TABLE]\n")
    named_in_the_configuration(directory)


def saved_by_the_reference(directory: Path) -> None:
    tokenizer = BertTokenizerFast(str(directory / "vocab.txt"))
    tokenizer.add_special_tokens({"additional_special_tokens": ["[TABLE]", "<T>", "</T>"]})
    tokenizer.add_tokens(["card7"])
    tokenizer.save_pretrained(directory)


WAYS = [
    old_files,
    words_that_are_not_special,
    named_in_the_configuration,
    with_options,
    decoder,
    named_by_their_use,
    in_the_vocabulary,
    saved_by_the_reference,
]
every_way = pytest.mark.parametrize("write", WAYS, ids=lambda write: write.__name__)


@pytest.mark.parametrize("fast", [False, True], ids=["vocab.txt", "tokenizer.json"])
@every_way
def test_added_tokens_are_tokens_as_in_the_reference(
    tmp_path: Path, write: Write, fast: bool
) -> None:
    write_files(tmp_path)
    if fast:  # which does not know the added tokens, unless the reference writes it anew
        write_fast(tmp_path)
    before = load_tokenizer(tmp_path).get_vocab_size()
    write(tmp_path)
    assert load_tokenizer(tmp_path).get_vocab_size() > before
    assert_as_the_reference(tmp_path)


@every_way
def test_structure_tokens_that_a_user_writes_stay_text(tmp_path: Path, write: Write) -> None:
    write(write_files(tmp_path))
    text = " ".join(SPECIALS) + "[TABLE]" + "".join(SPECIALS)
    tokens = tokens_of(served(tmp_path), text)
    assert not set(tokens) & set(SPECIALS)
    assert "".join(tokens).replace("##", "").startswith("[pad][unk][cls][sep][mask][")


@pytest.fixture(scope="module")
def with_markers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, BertTokenizerFast]:
    directory = write_files(tmp_path_factory.mktemp("markers"))
    saved_by_the_reference(directory)
    return served(directory), AutoTokenizer.from_pretrained(directory)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(
    parts=st.lists(
        st.one_of(
            st.sampled_from(["[TABLE]", "<T>", "</T>", "card7", "CARD7", " ", "[tab", "le]"]),
            st.text("[]<>/ abTé\u0301中", max_size=5),
        ),
        max_size=12,
    )
)
def test_markers_in_any_text(
    with_markers: tuple[Tokenizer, BertTokenizerFast], parts: list[str]
) -> None:
    ours, reference = with_markers
    mine = ours.encode("".join(parts), add_special_tokens=False)
    theirs = reference("".join(parts), add_special_tokens=False, return_offsets_mapping=True)
    assert (mine.ids, mine.offsets) == (theirs["input_ids"], theirs["offset_mapping"])


def test_the_service_reads_markers_as_tokens_and_structure_as_text(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "tiny-bert", reference_model())
    old_files(directory)
    version = export(tiny_source(directory), tmp_path / "repository").directory
    tokenizer = TextTokenizer(Tokenizer.from_file(str(version / "tokenizer.json")))
    pieces = tokenizer.pieces(tokenizer.encode("who [TABLE]it [SEP] [ROW]").ids)
    assert pieces == ["who", "[TABLE]", "it", "[", "s", "##e", "##p", "]", "[ROW]"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("added_tokens.json", {"[TABLE]": 900}, r"'\[TABLE\]' has the number 900, but after the"),
        ("added_tokens.json", {"[TABLE]": "x"}, r"added_tokens\.json: .* has the number 'x'"),
        ("added_tokens.json", {"": 900}, "'' is not a token"),
        ("tokenizer_config.json", {"additional_special_tokens": "[TABLE]"}, "are not a list"),
        ("tokenizer_config.json", {"additional_special_tokens": [{}]}, "is not a token"),
        ("tokenizer_config.json", {"added_tokens_decoder": ["[TABLE]"]}, "does not map numbers"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"x": "y"}}, "does not map numbers"),
    ],
)
def test_files_that_contradict_or_mean_nothing_are_refused(
    checkpoint: Path, file: str, content: dict[str, object], message: str
) -> None:
    edit_json(checkpoint / file, **content)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(checkpoint)


def test_a_model_that_was_not_resized_for_its_added_tokens_is_refused(
    checkpoint: Path, reference: BertForQuestionAnswering
) -> None:
    size = vocabulary_size(checkpoint)
    count = reference.config.vocab_size - size + 1
    edit_json(checkpoint / "added_tokens.json", **{f"[T{i}]": size + i for i in range(count)})
    with pytest.raises(CheckpointError, match=r"has 257 pieces, config\.json says 256"):
        load_checkpoint(checkpoint)
