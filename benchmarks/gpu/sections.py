"""The sections that need no service: each yields a row as soon as it has measured it."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial

import torch
from torch import nn

from gpu.attention import VARIANTS, RowsBert
from gpu.bench import Batch, Bench, Model, converted, measure, speed, tensor_float_32
from gpu.exactness import Logits, exactness, logits_of
from gpu.options import Deadline, MissingError, Row
from gpu.trained import load_trained
from padded import PaddedQuestionAnswering, padded_module
from spanqa_model.bert import PackedBertForQuestionAnswering
from spanqa_model.build import to_torchscript, torchscript_deprecation_accepted

SCRIPTED = re.compile(r"TorchScript interpreter.*?(\w*Error: .*)")
TOLD_CHARACTERS = 240
PADDINGS = {"padded to 384": 384, "padded to the longest": 0}


def padding(bench: Bench, deadline: Deadline) -> Iterator[Row]:
    """Windows end to end against padded rows: same weights, same operators, same batches."""
    contenders: dict[str, Callable[[], Model]] = {
        "packed": lambda: to_torchscript(bench.module, bench.dtype)
    }
    for name, pad_to in PADDINGS.items():
        contenders[name] = partial(padded_rows, bench, pad_to)
    for name, pad_to in PADDINGS.items():
        contenders[f"transformers, {name}"] = partial(transformers_rows, bench, pad_to)
    batches = bench.batches(bench.batch_windows)
    for row in against_float32(bench, contenders, batches, deadline):
        yield {"contender": row.pop("name"), "dtype": bench.dtype, **row}


def padded_rows(bench: Bench, pad_to: int) -> Model:
    rows = to_torchscript(RowsBert(bench.module), bench.dtype)
    script: Callable[[nn.Module], Model] = torch.jit.script
    with torchscript_deprecation_accepted():
        return script(PaddedQuestionAnswering(rows, pad_to))


def transformers_rows(bench: Bench, pad_to: int) -> Model:
    """The `transformers` model with its own default attention, on the same weights."""
    if importlib.util.find_spec("transformers") is None:
        raise MissingError("transformers is not installed")
    from gpu.transformers_model import same_model

    model = same_model(bench.module, bench.device)
    scripted: Model = padded_module(model, bench.dtype, pad_to)
    return scripted


def precision(bench: Bench, deadline: Deadline) -> Iterator[Row]:
    """The packed module in each dtype: how fast, and how far from float32."""
    weights: dict[str, Callable[[], PackedBertForQuestionAnswering]] = {
        "random": lambda: bench.module
    }
    if bench.windows.real:  # on made-up tokens, a trained model's answers mean nothing
        weights["trained"] = lambda: load_trained(bench.options.trained, bench.device)
    batches = bench.batches(bench.batch_windows)
    for left, (name, load) in zip((len(weights), 1), weights.items(), strict=False):
        share = Deadline.after(deadline.share(left))
        try:
            module = load()
        except MissingError as error:
            yield {"weights": name, "failed": str(error)}
            continue
        for row in each_dtype(bench, module, batches, share):
            yield {"weights": name, **row}


def each_dtype(
    bench: Bench, module: PackedBertForQuestionAnswering, batches: list[Batch], deadline: Deadline
) -> Iterator[Row]:
    expected = logits_of(module, batches)
    kinds = ["float32", "TF32", "bfloat16", "float16"]
    if bench.device.type != "cuda":  # no TF32, and float16 takes seconds there
        kinds = ["float32", "bfloat16"]
    for left, kind in zip(range(len(kinds), 0, -1), kinds, strict=True):
        with tensor_float_32() if kind == "TF32" else nullcontext():
            try:
                model = to_torchscript(module, "float32" if kind == "TF32" else kind)
                row = speed(measure(model, batches, deadline.share(left)), batches, module)
                actual = logits_of(model, batches)
            except RuntimeError as error:  # a GPU may lack bfloat16
                row, actual = {"failed": told(error)}, []
                still_alive(bench, kind)
        yield {"dtype": kind, **row, **(exactness(expected, actual, batches) if actual else {})}


def batch_sizes(bench: Bench, deadline: Deadline) -> Iterator[Row]:
    """The packed module on ever larger batches."""
    model = to_torchscript(bench.module, bench.dtype)
    sizes = (1, 2, 4) if bench.small else (1, 2, 4, 8, 16, 32, 64)
    for left, size in zip(range(len(sizes), 0, -1), sizes, strict=True):
        batches = bench.batches(size, most=32)
        measured = measure(model, batches, deadline.share(left))
        yield {"windows": size, "dtype": bench.dtype, **speed(measured, batches, bench.module)}


def attention(bench: Bench, deadline: Deadline) -> Iterator[Row]:
    """Ways to attend, on small batches and large ones; a way that fails says why."""

    def build(name: str) -> Model:
        module = VARIANTS[name].of(bench.module)
        make = to_torchscript if VARIANTS[name].scripted else converted
        model: Model = make(module, bench.dtype)
        return model

    contenders: dict[str, Callable[[], Model]] = {name: partial(build, name) for name in VARIANTS}
    sizes = (2,) if bench.small else (1, 8, 32)
    for left, size in zip(range(len(sizes), 0, -1), sizes, strict=True):
        share = Deadline.after(deadline.share(left))
        for row in against_float32(bench, contenders, bench.batches(size), share):
            yield {"attention": row.pop("name"), "windows": size, "dtype": bench.dtype, **row}


def against_float32(
    bench: Bench,
    contenders: dict[str, Callable[[], Model]],
    batches: list[Batch],
    deadline: Deadline,
) -> Iterator[Row]:
    """Speed of each, over the first one's, and its distance from the packed module in float32."""
    expected = logits_of(bench.module, batches[:1])
    first = 0.0
    for left, (name, make) in zip(range(len(contenders), 0, -1), contenders.items(), strict=True):
        row: Row = {"name": name}
        try:
            rates, differences = one(bench, make(), batches, expected, deadline.share(left))
        except (RuntimeError, ImportError, AttributeError, TypeError, MissingError) as error:
            yield row | {"failed": told(error)}
            still_alive(bench, name)
            continue
        first = first or float(rates["windows_per_second"])
        row["over_first"] = float(rates["windows_per_second"]) / first
        yield row | rates | differences


def one(
    bench: Bench, model: Model, batches: list[Batch], expected: Logits, seconds: float
) -> tuple[Row, Row]:
    rates = speed(measure(model, batches, seconds), batches, bench.module)
    return rates, exactness(expected, logits_of(model, batches[:1]), batches[:1])


def told(error: Exception) -> str:
    """What happened, on one line; TorchScript says it after a traceback of its own."""
    text = " ".join(str(error).split())
    if scripted := SCRIPTED.search(text):
        return scripted[1][:TOLD_CHARACTERS]
    return f"{type(error).__name__}: {text}"[:TOLD_CHARACTERS]


def still_alive(bench: Bench, culprit: str) -> None:
    """A CUDA error may leave the process unable to compute: then nothing more can be measured."""
    if bench.device.type != "cuda":
        return
    try:
        torch.cuda.synchronize(bench.device)
    except RuntimeError as error:
        raise ContextLostError(f"{culprit} broke the CUDA context: {told(error)}") from None


class ContextLostError(Exception):
    """The process can use the GPU no more."""
