"""Model versions: what is there, newest first; what is wrong with a broken one."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from spanqa_server.errors import StartupError
from spanqa_server.qa.windows import TensorLimits
from spanqa_server.versions.repository import find_versions, load_version
from unit.server.version_files import MANIFEST, WEIGHTS, write_version


def failure(directory: Path) -> str:
    with pytest.raises(StartupError) as raised:
        load_version(directory)
    line = str(raised.value)
    assert "\n" not in line
    return line


def test_versions_are_found_newest_first_by_number(tmp_path: Path) -> None:
    for number in ("2", "10", "9"):
        write_version(tmp_path, number)
    for name in ("configs", "11.part", "warmup", "0", "07", "-3", "1e3", "\u0663"):
        (tmp_path / "bert_qa" / name).mkdir()
    (tmp_path / "bert_qa" / "12").write_text("a file")
    found = find_versions(tmp_path)
    assert [file.number for file in found] == ["10", "9", "2"]
    assert [file.directory for file in found] == [
        tmp_path / "bert_qa" / file.number for file in found
    ]
    assert find_versions(tmp_path) == found


def test_a_version(tmp_path: Path) -> None:
    version = load_version(write_version(tmp_path, "10", name="model 10"))
    assert (version.number, version.manifest.name) == ("10", "model 10")
    assert (version.manifest.exact_match, version.manifest.f1) == (None, 81.5)
    assert len(version.tokenizer.encode("the light keeper")) == 3


def test_what_the_exporter_may_add_is_no_error(tmp_path: Path) -> None:
    assert load_version(write_version(tmp_path, "1", device="cpu")).number == "1"


@pytest.mark.parametrize("there", ["", "bert_qa", "bert_qa/configs"])
def test_no_version(tmp_path: Path, there: str) -> None:
    repository = tmp_path / "models"
    (repository / there).mkdir(parents=True)
    assert find_versions(repository) == []


def test_no_repository(tmp_path: Path) -> None:
    assert find_versions(tmp_path / "nowhere") == []


def test_a_version_that_was_replaced_is_another(tmp_path: Path) -> None:
    directory = write_version(tmp_path, "1")
    [before] = find_versions(tmp_path)
    shutil.rmtree(directory)
    write_version(tmp_path, "1")
    [after] = find_versions(tmp_path)
    assert after.number == before.number
    assert after != before


def test_a_version_that_was_moved_away_and_back_is_the_same(tmp_path: Path) -> None:
    directory = write_version(tmp_path, "1")
    found = find_versions(tmp_path)
    directory.rename(tmp_path / "away")
    assert find_versions(tmp_path) == []
    (tmp_path / "away").rename(directory)
    assert find_versions(tmp_path) == found


def test_a_version_without_manifest_is_found_and_is_another_once_it_has_one(
    tmp_path: Path,
) -> None:
    directory = write_version(tmp_path, "1")
    manifest = (directory / "model.json").read_bytes()
    (directory / "model.json").unlink()
    [before] = find_versions(tmp_path)
    (directory / "model.json").write_bytes(manifest)
    [after] = find_versions(tmp_path)
    assert (after.number, after.directory) == (before.number, before.directory)
    assert after != before


@pytest.mark.parametrize("name", ["model.pt", "model.json", "tokenizer.json"])
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    directory = write_version(tmp_path, "1")
    (directory / name).unlink()
    assert failure(directory).startswith(f"{name}: No such file")


@pytest.mark.parametrize("name", ["model.pt", "model.json"])
def test_a_directory_in_the_place_of_a_file(tmp_path: Path, name: str) -> None:
    directory = write_version(tmp_path, "1")
    (directory / name).unlink()
    (directory / name).mkdir()
    assert failure(directory) == f"{name}: Is a directory"


def test_a_disk_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(5, "Input/output error")  # as read() does, without a file's name

    monkeypatch.setattr(hashlib, "file_digest", fail)
    assert failure(write_version(tmp_path, "1")) == "a file: Input/output error"


def overwrite(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda directory: (directory / name).write_bytes(content)


def forget(field: str) -> Callable[[Path], object]:
    content = json.dumps({key: MANIFEST[key] for key in MANIFEST if key != field})
    return overwrite("model.json", content.encode())


def other_tokenizer(directory: Path) -> None:
    other = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    other.save(str(directory / "tokenizer.json"))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (overwrite("model.pt", WEIGHTS + b"!"), "model.pt: its sha256 is not the one in model.j"),
        (overwrite("model.json", b"{'name'"), "model.json: content: Invalid JSON"),
        (overwrite("model.json", b"\xff\xfe"), "model.json: content: Invalid JSON"),
        (overwrite("model.json", b"[]"), "model.json: content: Input should be an object"),
        (forget("has_no_answer"), "model.json: has_no_answer: Field required"),
        (overwrite("tokenizer.json", b"{}"), "tokenizer.json: "),
        (overwrite("tokenizer.json", b""), "tokenizer.json: "),
        (other_tokenizer, "tokenizer.json: the vocabulary has no [CLS]"),
    ],
)
def test_a_broken_file(tmp_path: Path, damage: Callable[[Path], object], told: str) -> None:
    directory = write_version(tmp_path, "1")
    damage(directory)
    assert failure(directory).startswith(told)


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_sequence_tokens", 7), ("doc_stride_tokens", -1), ("f1", "high"), ("dtype", None)],
)
def test_a_manifest_with_a_bad_value(tmp_path: Path, field: str, value: object) -> None:
    directory = write_version(tmp_path, "1", **{field: value})
    assert failure(directory).startswith(f"model.json: {field}: Input should be")


def test_the_tensor_limits_are_the_versions_own(tmp_path: Path) -> None:
    version = load_version(write_version(tmp_path, "1", vocab_size=90_000))
    assert version.tensor_limits == TensorLimits(vocabulary=90_000, positions=512)


def test_a_version_from_before_the_vocabulary_was_written_down(tmp_path: Path) -> None:
    version = load_version(write_version(tmp_path, "1"))
    assert version.tensor_limits.vocabulary == version.tokenizer.vocabulary


def test_a_tokenizer_with_ids_that_the_model_lacks(tmp_path: Path) -> None:
    tokenizer = load_version(write_version(tmp_path, "1")).tokenizer
    known = tokenizer.vocabulary
    assert load_version(write_version(tmp_path, "2", vocab_size=known)).number == "2"
    told = failure(write_version(tmp_path, "3", vocab_size=known - 1))
    assert told == (
        f"tokenizer.json: its ids go up to {known - 1}, the model has {known - 1} word pieces: "
        "they do not belong together"
    )
