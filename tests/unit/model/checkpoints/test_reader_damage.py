"""Checkpoints with damaged, malicious or meaningless files: refused with the file's name."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from spanqa_model.checkpoints.reader import load_checkpoint
from spanqa_model.checkpoints.weights import read_weights
from spanqa_model.errors import CheckpointError
from unit.model.tiny import use_bin


@pytest.mark.parametrize(
    "file",
    [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "vocab.txt",
        "tokenizer_config.json",
        "pytorch_model.bin",
    ],
)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x00garbage", b"[1, 2]"])
def test_corrupt_files_are_named(checkpoint: Path, file: str, content: bytes) -> None:
    if file == "pytorch_model.bin":
        use_bin(checkpoint)
    (checkpoint / file).write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(checkpoint)
    assert str(checkpoint / file) in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
@pytest.mark.parametrize("kind", ["safetensors", "zip", "legacy"])
def test_damaged_weights_are_read_or_refused(
    tmp_path: Path, kind: str, data: st.DataObject
) -> None:
    weights = {f"bert.encoder.{i}": torch.full((2, 2), float(i)) for i in range(3)}
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.bin")
    if kind == "safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=kind == "zip")
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans(), label="truncate"):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        for at in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=20)):
            content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    refusal, weights = "", {}
    try:
        weights = read_weights(path)
    except CheckpointError as error:
        refusal = str(error)
    assert all(isinstance(tensor, torch.Tensor) for tensor in weights.values())
    assert str(path) in refusal or not refusal


class Malicious:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.victim),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_runs_no_code(checkpoint: Path, tmp_path: Path, zipped: bool) -> None:
    victim = tmp_path / "victim"
    pickled = use_bin(checkpoint)
    torch.save(
        {"bert.encoder.x": Malicious(victim)}, pickled, _use_new_zipfile_serialization=zipped
    )
    with pytest.raises(CheckpointError, match="a pickle of more than tensors") as caught:
        load_checkpoint(checkpoint)
    assert not victim.exists()
    assert "weights_only" not in str(caught.value)
    torch.load(pickled, weights_only=False)
    assert victim.exists(), "the pickle was harmless: the test proves nothing"


@pytest.mark.parametrize(
    "content", [torch.zeros(2), {"bert.encoder.x": 3}, {7: torch.zeros(2)}, [torch.zeros(2)]]
)
def test_a_pickle_of_something_else_is_refused(checkpoint: Path, content: object) -> None:
    torch.save(content, use_bin(checkpoint))
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: not a state dict"):
        load_checkpoint(checkpoint)
