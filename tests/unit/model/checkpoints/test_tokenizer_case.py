"""Upper and lower case, accents and Chinese characters: which of the files counts."""

import string
from itertools import product
from pathlib import Path

import pytest

from spanqa_model.checkpoints.tokenizer import load_tokenizer
from spanqa_model.errors import CheckpointError
from unit.model.checkpoints.tokenizers import (
    assert_as_the_reference,
    served,
    tokens_of,
    write_fast,
    write_files,
)
from unit.model.tiny import SPECIALS, edit_json


def notices(directory: Path) -> list[str]:
    said: list[str] = []
    load_tokenizer(directory, said.append)
    return said


@pytest.mark.parametrize("cased", [False, True])
@pytest.mark.parametrize(
    ("inside", "configured"),
    [
        *product(
            [{"lowercase": True}, {"lowercase": False}],
            [{"do_lower_case": True}, {"do_lower_case": False}],
        ),
        ({"strip_accents": False}, {"do_lower_case": True, "strip_accents": True}),
        ({"strip_accents": True}, {"do_lower_case": False, "strip_accents": None}),
        ({"strip_accents": None}, {"do_lower_case": True, "strip_accents": False}),
        ({"handle_chinese_chars": True}, {"tokenize_chinese_chars": False}),
        ({"handle_chinese_chars": False}, {"tokenize_chinese_chars": True}),
        ({"lowercase": False}, {"tokenizer_class": "PreTrainedTokenizerFast"}),
        ({"lowercase": False}, {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": 1}),
    ],
)
def test_tokenizer_config_json_counts_before_tokenizer_json_as_in_the_reference(
    tmp_path: Path, cased: bool, inside: dict[str, object], configured: dict[str, object]
) -> None:
    write_fast(write_files(tmp_path, cased=cased), **inside)
    edit_json(tmp_path / "tokenizer_config.json", **configured)
    assert_as_the_reference(tmp_path)


def test_what_was_chosen_is_said_where_the_files_differ(tmp_path: Path) -> None:
    write_fast(write_files(tmp_path, cased=True))
    edit_json(tmp_path / "tokenizer_config.json", do_lower_case=False, strip_accents=None)
    [notice] = notices(tmp_path)
    assert "do_lower_case is false, but lowercase is true in tokenizer.json" in notice
    assert notice.endswith("tokenizer_config.json counts, as in transformers")


@pytest.mark.parametrize("named", [{}, {"model_max_length": 512}, {"do_lower_case": None}])
def test_tokenizer_json_counts_where_nothing_contradicts_it(
    tmp_path: Path, named: dict[str, object]
) -> None:
    write_fast(write_files(tmp_path, cased=True), lowercase=False)
    edit_json(tmp_path / "tokenizer_config.json", **named)
    assert tokens_of(served(tmp_path), "Who") == ["W", "##h", "##o"]
    [notice] = notices(tmp_path)
    assert "do_lower_case is not set; lowercase is false in tokenizer.json, which count" in notice


@pytest.mark.parametrize("value", ["true", "True", "TRUE", 1, "1", True])
@pytest.mark.parametrize("fast", [False, True])
def test_true_in_other_words(tmp_path: Path, value: object, fast: bool) -> None:
    write_files(tmp_path, cased=True)
    if fast:
        write_fast(tmp_path, lowercase=False)
    edit_json(tmp_path / "tokenizer_config.json", do_lower_case=value)
    assert tokens_of(served(tmp_path), "Who") == ["who"]


@pytest.mark.parametrize("value", ["false", "False", 0, "0", False])
@pytest.mark.parametrize("option", ["do_lower_case", "strip_accents", "tokenize_chinese_chars"])
def test_false_in_other_words(tmp_path: Path, option: str, value: object) -> None:
    edit_json(write_files(tmp_path) / "tokenizer_config.json", **{option: value})
    text = {"do_lower_case": "Who", "strip_accents": "é"}.get(option, "a中文b")
    changed = tokens_of(served(tmp_path), text)
    edit_json(tmp_path / "tokenizer_config.json", **{option: False})
    assert_as_the_reference(tmp_path)
    assert tokens_of(served(tmp_path), text) == changed
    edit_json(tmp_path / "tokenizer_config.json", **{option: True})
    assert tokens_of(served(tmp_path), text) != changed


@pytest.mark.parametrize("value", ["yes", 2, [True], {"a": 1}, ""])
@pytest.mark.parametrize("option", ["do_lower_case", "strip_accents", "tokenize_chinese_chars"])
def test_neither_true_nor_false(tmp_path: Path, option: str, value: object) -> None:
    edit_json(write_files(tmp_path) / "tokenizer_config.json", **{option: value})
    with pytest.raises(CheckpointError, match=rf"_config\.json: {option} is .*; write true or f"):
        load_tokenizer(tmp_path)


CHINESE = ["中", "文", "东", "##中", "the", "##re", *string.ascii_lowercase]
UNCASED = [f"word{i}" for i in range(1000)]


@pytest.mark.parametrize(
    ("pieces", "lowercase", "notice"),
    [
        ([*CHINESE, "<S>", "<T>"], True, ""),
        ([*CHINESE, "[unused1]", "[B]"], True, ""),
        ([*UNCASED, "USA", "##NASA"], True, "2 of 1,002 pieces with letters have capitals"),
        ([*UNCASED, "ℝ", "##ℝ"], True, ""),
        ([*CHINESE, *string.ascii_uppercase], False, "(transformers would lower-case it)"),
        ([*UNCASED, *(f"Word{i}" for i in range(50))], False, "50 of 1,050 pieces"),
    ],
)
def test_a_vocabulary_alone(
    tmp_path: Path, pieces: list[str], lowercase: bool, notice: str
) -> None:
    write_files(tmp_path)
    lines = "\n".join([*SPECIALS, *pieces]) + "\n"
    (tmp_path / "vocab.txt").write_text(lines, encoding="utf-8")
    assert tokens_of(served(tmp_path), "WORD7 W") == tokens_of(
        served(tmp_path), "word7 w" if lowercase else "WORD7 W"
    )
    if lowercase:
        assert_as_the_reference(tmp_path)
    said = notices(tmp_path)
    assert len(said) == bool(notice)
    assert notice in "".join(said)
    for value in (False, True):  # the file that names it ends the doubt
        edit_json(tmp_path / "tokenizer_config.json", do_lower_case=value)
        assert_as_the_reference(tmp_path)
        assert notices(tmp_path) == []
