"""The graphs that the engines run, all from one checkpoint.

`plain`: BERT by torch.onnx. `dynamic`: int8 weights per channel, activations as they come, the way
of ONNX Runtime. `calibrated`: int8 with scales of activations that NNCF finds on some windows, the
way of OpenVINO. Each as `own-…`, for windows without padding, and as `padded-…`, with a mask.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import BertForQuestionAnswering

from benchmarks.engines.batches import Inputs, feed
from benchmarks.engines.packages import use_packages
from benchmarks.engines.variants import Variant

INPUTS = ("input_ids", "token_type_ids", "attention_mask")
OUTPUTS = ("start_logits", "end_logits")
OPSET = 17


class Rows(nn.Module):
    """The `transformers` model, its inputs in our order and a tuple as its result."""

    def __init__(self, model: BertForQuestionAnswering) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, ids: Tensor, types: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        output = self.model(input_ids=ids, token_type_ids=types, attention_mask=mask)
        return output.start_logits, output.end_logits


def write_graphs(
    checkpoint: Path,
    directory: Path,
    variants: Iterable[Variant],
    calibration: Sequence[Inputs],
    *,
    padded: bool = False,
) -> None:
    """Write what these variants need, float32 first.

    Args:
        checkpoint: a Hugging Face directory.
        directory: for the files; it is made.
        variants: the engines and precisions that will run.
        calibration: windows for `calibrated`.
        padded: write graphs for padded batches, too.
    """
    use_packages()
    directory.mkdir(parents=True, exist_ok=True)
    model = BertForQuestionAnswering.from_pretrained(checkpoint, attn_implementation="eager")
    wanted = {variant.graph for variant in variants}
    for kind in ("own", "padded") if padded else ("own",):
        plain = directory / f"{kind}-plain.onnx"
        export_onnx(model.eval(), plain, masked=kind == "padded")
        if "dynamic" in wanted:
            quantize_dynamically(plain, directory / f"{kind}-dynamic.onnx")
        if "calibrated" in wanted:
            quantize_calibrated(plain, directory / f"{kind}-calibrated.xml", calibration)


def export_onnx(model: BertForQuestionAnswering, file: Path, *, masked: bool) -> None:
    """Batches and lengths of any size."""
    names = INPUTS if masked else INPUTS[:2]
    example = torch.ones((2, 9), dtype=torch.long)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # the tracer warns of itself and of transformers
        torch.onnx.export(
            Rows(model),
            tuple(example for _ in names),
            str(file),
            input_names=list(names),
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "batch", 1: "length"} for name in (*names, *OUTPUTS)},
            opset_version=OPSET,
            dynamo=False,
        )


def quantize_dynamically(plain: Path, file: Path) -> None:
    """The weights' full range, where the CPU adds products of int8 without overflow (VNNI)."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        str(plain),
        str(file),
        per_channel=True,
        reduce_range=not adds_int8_exactly(),
        weight_type=QuantType.QInt8,
    )


def adds_int8_exactly() -> bool:
    """Whether the CPU has VNNI; without it, sums of two products may overflow 16 bits."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


def quantize_calibrated(plain: Path, file: Path, calibration: Sequence[Inputs]) -> None:
    """NNCF's post-training quantization, with what it knows of transformers."""
    import nncf
    import openvino

    model = openvino.convert_model(str(plain))
    names = {one.get_any_name() for one in model.inputs}

    def arrays(window: Inputs) -> dict[str, object]:
        return {name: array for name, array in feed([window]).items() if name in names}

    with contextlib.redirect_stdout(sys.stderr):  # its progress
        quantized = nncf.quantize(
            model,
            nncf.Dataset(calibration, arrays),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(calibration),
        )
    openvino.save_model(quantized, str(file))
