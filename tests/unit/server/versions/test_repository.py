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

Damage = Callable[[Path], object]


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


@pytest.mark.parametrize("there", [None, "", "bert_qa", "bert_qa/configs"])
def test_no_version(tmp_path: Path, there: str | None) -> None:
    repository = tmp_path / "models"
    if there is not None:
        (repository / there).mkdir(parents=True)
    assert find_versions(repository) == []


def test_a_version_that_was_moved_away_and_back_is_the_same_one_that_was_replaced_is_not(
    tmp_path: Path,
) -> None:
    directory = write_version(tmp_path, "1")
    found = find_versions(tmp_path)
    directory.rename(tmp_path / "away")
    assert find_versions(tmp_path) == []
    (tmp_path / "away").rename(directory)
    assert find_versions(tmp_path) == found
    shutil.rmtree(directory)
    write_version(tmp_path, "1")
    [after] = find_versions(tmp_path)
    assert (after.number, after.directory) == (found[0].number, found[0].directory)
    assert after != found[0]


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


def test_a_version(tmp_path: Path) -> None:
    # An exporter may add fields that this frontend does not know.
    version = load_version(write_version(tmp_path, "10", name="model 10", added="later"))
    assert (version.number, version.manifest.name) == ("10", "model 10")
    assert (version.manifest.exact_match, version.manifest.f1) == (None, 81.5)
    assert len(version.tokenizer.encode("the light keeper")) == 3


def test_a_disk_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(5, "Input/output error")  # as read() does, without a file's name

    monkeypatch.setattr(hashlib, "file_digest", fail)
    assert failure(write_version(tmp_path, "1")) == "a file: Input/output error"


def remove(name: str) -> Damage:
    return lambda directory: (directory / name).unlink()


def directory_for(name: str) -> Damage:
    def damage(directory: Path) -> None:
        (directory / name).unlink()
        (directory / name).mkdir()

    return damage


def overwrite(name: str, content: bytes) -> Damage:
    return lambda directory: (directory / name).write_bytes(content)


def manifest(**changed: object) -> Damage:
    return overwrite("model.json", json.dumps(MANIFEST | changed).encode())


def forget(field: str) -> Damage:
    content = json.dumps({key: MANIFEST[key] for key in MANIFEST if key != field})
    return overwrite("model.json", content.encode())


def other_tokenizer(directory: Path) -> None:
    other = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    other.save(str(directory / "tokenizer.json"))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        *((remove(n), f"{n}: No such file") for n in ("model.pt", "model.json", "tokenizer.json")),
        *((directory_for(name), f"{name}: Is a dir") for name in ("model.pt", "model.json")),
        (overwrite("model.pt", WEIGHTS + b"!"), "model.pt: its sha256 is not the one in model.j"),
        (overwrite("model.json", b"{'name'"), "model.json: content: Invalid JSON"),
        (overwrite("model.json", b"\xff\xfe"), "model.json: content: Invalid JSON"),
        (overwrite("model.json", b"[]"), "model.json: content: Input should be an object"),
        (forget("has_no_answer"), "model.json: has_no_answer: Field required"),
        (manifest(max_sequence_tokens=7), "model.json: max_sequence_tokens: Input should be"),
        (manifest(doc_stride_tokens=-1), "model.json: doc_stride_tokens: Input should be"),
        (manifest(f1="high"), "model.json: f1: Input should be"),
        (manifest(dtype=None), "model.json: dtype: Input should be"),
        (overwrite("tokenizer.json", b"{}"), "tokenizer.json: "),
        (overwrite("tokenizer.json", b""), "tokenizer.json: "),
        (other_tokenizer, "tokenizer.json: the vocabulary has no [CLS]"),
    ],
)
def test_a_broken_file(tmp_path: Path, damage: Damage, told: str) -> None:
    directory = write_version(tmp_path, "1")
    damage(directory)
    assert failure(directory).startswith(told)


def test_the_tensor_limits_are_the_versions_own(tmp_path: Path) -> None:
    version = load_version(write_version(tmp_path, "1", vocab_size=90_000))
    assert version.tensor_limits == TensorLimits(vocabulary=90_000, positions=512)
    # Older versions do not say it.
    older = load_version(write_version(tmp_path, "2"))
    assert older.tensor_limits.vocabulary == older.tokenizer.vocabulary


def test_a_tokenizer_with_ids_that_the_model_lacks(tmp_path: Path) -> None:
    known = load_version(write_version(tmp_path, "1")).tokenizer.vocabulary
    assert load_version(write_version(tmp_path, "2", vocab_size=known)).number == "2"
    told = failure(write_version(tmp_path, "3", vocab_size=known - 1))
    assert told == (
        f"tokenizer.json: its ids go up to {known - 1}, the model has {known - 1} word pieces: "
        "they do not belong together"
    )
