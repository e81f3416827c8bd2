"""Ours without Triton, engines behind Triton's interface, and the engines themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.common.models import bert_large
from benchmarks.common.shapes import SMALL
from benchmarks.engines import packages, runners
from benchmarks.engines.batches import Inputs, Logits
from benchmarks.engines.packed import TRITON, Packed, load_backend
from benchmarks.engines.questions import difference
from benchmarks.engines.variants import VARIANTS, beside
from benchmarks.engines.versions import write_engine_version
from spanqa_model.export import Target, export
from spanqa_model.packed_bert import int8

INPUTS = ("input_ids", "token_type_ids", "window_lengths")
LENGTHS = (17, 5, 40, 23, 9)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint, and its version in float32."""
    made = tmp_path_factory.mktemp("engines")
    source = bert_large(made / "checkpoint", SMALL)
    export(source, made / "packed", Target("float32", "cpu", "windowed"), version=1)
    return made


@pytest.fixture
def windows() -> list[Inputs]:
    random = np.random.default_rng(0)
    return [
        Inputs(random.integers(1, 30_000, n).astype(np.int32), (np.arange(n) > 3).astype(np.int32))
        for n in LENGTHS
    ]


@pytest.fixture
def version(directory: Path) -> Path:
    return directory / "packed" / "bert_qa" / "1"


def test_ours_gives_each_window_its_logits_whatever_the_batch(
    version: Path, windows: list[Inputs]
) -> None:
    together, alone = (Packed(version, batch).logits(windows) for batch in (4, 1))
    assert [len(one.starts) for one in together] == list(LENGTHS)
    assert difference(together, alone)[1] < 1e-5
    assert difference(together, alone[::-1])[0] > 1e-3


@pytest.mark.parametrize("wide", [32, 10_000])
def test_ours_in_int8_is_loaded_with_the_engine_it_was_exported_for(
    wide: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "WIDE", wide)
    source = bert_large(tmp_path / "checkpoint", SMALL)
    version = export(source, tmp_path, Target("int8", "cpu", "windowed"), version=1).directory
    wanted = int8.engine_for(SMALL["hidden_size"])
    supported = torch.backends.quantized.supported_engines
    with int8.quantized_by(next(one for one in supported if one not in {wanted, "none"})):
        Packed(version, batch=1)
        assert torch.backends.quantized.engine == wanted


def test_an_engine_answers_behind_the_interface_of_the_product(
    version: Path, windows: list[Inputs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its batch comes whole and end to end, and its logits go back to the requests they are of."""
    target = tmp_path / "1"
    write_engine_version(version, "OpenVINO, int8", tmp_path / "graphs", target)
    asked: list[Any] = []

    def make_runner(variant: object, graphs: Path) -> Any:
        asked.append((variant, graphs))

        def logits(given: list[Inputs]) -> list[Logits]:
            return [
                Logits(one.ids.astype(np.float32), one.types.astype(np.float32)) for one in given
            ]

        return SimpleNamespace(logits=logits)

    def tensor(window: Inputs, name: str) -> Any:
        values = dict(zip(INPUTS, (window.ids, window.types, [len(window.ids)]), strict=True))
        return SimpleNamespace(as_numpy=lambda: np.array([values[name]], np.int32))

    triton = ModuleType(TRITON)
    triton.get_input_tensor_by_name = tensor  # type: ignore[attr-defined]
    triton.Tensor = lambda name, values: (name, values)  # type: ignore[attr-defined]
    triton.InferenceResponse = list  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, TRITON, triton)
    monkeypatch.setattr(runners, "make_runner", make_runner)
    model = load_backend(target).TritonPythonModel()
    model.initialize({"model_repository": str(tmp_path), "model_version": "1"})
    responses = model.execute(windows)
    assert asked == [(VARIANTS["OpenVINO, int8"], tmp_path / "graphs")]
    for window, response in zip(windows, responses, strict=True):
        found = dict(response)
        assert found["start_logits__0"].tolist() == [window.ids.tolist()]
        assert found["end_logits__1"].tolist() == [window.types.tolist()]


def test_each_dtype_is_compared_with_its_own_and_with_int8() -> None:
    assert beside("float32") == [name for name in VARIANTS if "bfloat16" not in name]
    assert set(beside("bfloat16")) & set(VARIANTS) >= {"ONNX Runtime, int8", "OpenVINO, int8"}


@pytest.mark.skipif(not packages.installed(), reason=packages.HOW_TO_INSTALL)
@pytest.mark.filterwarnings("ignore")  # theirs
def test_the_engines_compute_what_ours_does(
    directory: Path, version: Path, windows: list[Inputs]
) -> None:
    from benchmarks.engines.graphs import write_graphs

    chosen = {name: one for name, one in VARIANTS.items() if one.precision != "bf16"}
    graphs = directory / "graphs"
    write_graphs(directory / "checkpoint", graphs, chosen.values(), windows, padded=True)
    ours = Packed(version, 16).logits(windows)
    for name, variant in chosen.items():
        most = 1e-4 if name.endswith("float32") else 0.2
        for batch in (1, 2):
            theirs = runners.make_runner(variant, graphs, batch).logits(windows)
            assert difference(theirs, ours)[1] < most, (name, batch)
