"""Model versions: the newest is taken, a broken one is named with the way to a new one."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models

from spanqa_server.errors import StartupError
from spanqa_server.versions import load_newest_version
from unit.server.vocabulary import make_tokenizer

WEIGHTS = b"not really a model"
MANIFEST = {
    "name": "tiny",
    "source": "made here",
    "revision": "",
    "weights_sha256": "0" * 64,
    "model_sha256": hashlib.sha256(WEIGHTS).hexdigest(),
    "dtype": "float32",
    "max_sequence_tokens": 384,
    "doc_stride_tokens": 128,
    "max_position_embeddings": 512,
    "has_no_answer": False,
    "license": "Apache-2.0",
    "exact_match": None,
    "f1": 81.5,
}


def write_version(repository: Path, number: str, **manifest: Any) -> Path:
    directory = repository / "bert_qa" / number
    directory.mkdir(parents=True)
    (directory / "model.pt").write_bytes(WEIGHTS)
    (directory / "model.json").write_text(json.dumps(MANIFEST | manifest))
    make_tokenizer(lowercase=False).save(str(directory / "tokenizer.json"))
    return directory


def failure(repository: Path) -> str:
    with pytest.raises(StartupError) as raised:
        load_newest_version(repository)
    line = str(raised.value)
    assert "\n" not in line
    assert f"spanqa-model export --preset minilm-squad --repository {repository}" in line
    return line


def test_the_newest_version_by_number(tmp_path: Path) -> None:
    for number in ("2", "10", "9"):
        write_version(tmp_path, number, name=f"model {number}")
    for name in ("configs", "11.part", "warmup"):
        (tmp_path / "bert_qa" / name).mkdir()
    (tmp_path / "bert_qa" / "12").write_text("a file")
    version = load_newest_version(tmp_path)
    assert version.number == "10"
    assert version.manifest.name == "model 10"
    assert (version.manifest.exact_match, version.manifest.f1) == (None, 81.5)
    assert len(version.tokenizer.encode("the light keeper")) == 3


def test_what_the_exporter_may_add_is_no_error(tmp_path: Path) -> None:
    write_version(tmp_path, "1", device="cpu")
    assert load_newest_version(tmp_path).number == "1"


@pytest.mark.parametrize("there", ["", "bert_qa", "bert_qa/configs"])
def test_no_version(tmp_path: Path, there: str) -> None:
    repository = tmp_path / "models"
    (repository / there).mkdir(parents=True)
    assert failure(repository).startswith(f"no model version in {repository / 'bert_qa'}; ")


def test_no_repository(tmp_path: Path) -> None:
    assert "no model version in" in failure(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["model.pt", "model.json", "tokenizer.json"])
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    directory = write_version(tmp_path, "1")
    (directory / name).unlink()
    line = failure(tmp_path)
    assert line.startswith(f"model version {directory} is broken: {name}: No such file")


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
    write_version(tmp_path, "1")
    newest = write_version(tmp_path, "2")
    damage(newest)
    line = failure(tmp_path)
    assert line.startswith(f"model version {newest} is broken: ")
    assert told in line


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_sequence_tokens", 7), ("doc_stride_tokens", -1), ("f1", "high"), ("dtype", None)],
)
def test_a_manifest_with_a_bad_value(tmp_path: Path, field: str, value: object) -> None:
    write_version(tmp_path, "1", **{field: value})
    assert f"model.json: {field}: Input should be" in failure(tmp_path)
