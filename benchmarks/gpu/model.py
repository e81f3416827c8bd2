"""The sections that need no service: each yields a row as soon as it has measured it."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator
from functools import partial

import torch

from benchmarks.common.padded import padded_module
from benchmarks.gpu.bench import Batch, Bench, Model, difference, logits_of, measure, speed
from benchmarks.gpu.options import Deadline, MissingError, Row
from spanqa_model.packed_bert.forms import FORMS
from spanqa_model.packed_bert.torchscript import to_torchscript

SCRIPTED = re.compile(r"TorchScript interpreter.*?(\w*Error: .*)")
MOST_CHARACTERS = 240
PADDINGS = {"padded to 384": 384, "padded to the longest": 0}


def padding(bench: Bench, deadline: Deadline) -> Iterator[Row]:
    """Windows end to end against padded rows through `transformers`, on the same weights."""
    contenders: dict[str, Callable[[], Model]] = {
        "packed": lambda: to_torchscript(bench.module(), bench.dtype)
    }
    for name, pad_to in PADDINGS.items():
        contenders[f"transformers, {name}"] = partial(transformers_rows, bench, pad_to)
    batches = bench.batches(bench.batch_windows)
    for row in against_float32(bench, contenders, batches, deadline):
        yield {"contender": row.pop("name"), "dtype": bench.dtype, **row}


def transformers_rows(bench: Bench, pad_to: int) -> Model:
    """The `transformers` model with its own default attention, on the same weights."""
    if importlib.util.find_spec("transformers") is None:
        raise MissingError("transformers is not installed")
    from benchmarks.gpu.transformers_model import same_model

    model = same_model(bench.module(), bench.device)
    scripted: Model = padded_module(model, bench.dtype, pad_to)
    return scripted


def precision(bench: Bench, deadline: Deadline) -> Iterator[Row]:
    """The packed module in each dtype: how fast, and how far from float32."""
    batches = bench.batches(bench.batch_windows)
    expected = logits_of(bench.module(), batches)
    kinds = ["float32", "TF32", "bfloat16", "float16"]
    if bench.device.type != "cuda":  # no TF32, and float16 takes seconds there
        kinds = ["float32", "bfloat16"]
    before = torch.get_float32_matmul_precision()
    for left, kind in zip(range(len(kinds), 0, -1), kinds, strict=True):
        torch.set_float32_matmul_precision("high" if kind == "TF32" else before)
        try:
            model = to_torchscript(bench.module(), "float32" if kind == "TF32" else kind)
            row = speed(measure(model, batches, deadline.share(left)), batches, bench.module())
            row |= difference(expected, logits_of(model, batches))
        except RuntimeError as error:  # a GPU may lack bfloat16
            row = {"failed": reason(error)}
            still_alive(bench, kind)
        yield {"dtype": kind, **row}
    torch.set_float32_matmul_precision(before)


def batch_sizes(bench: Bench, deadline: Deadline) -> Iterator[Row]:
    """The packed module on ever larger batches."""
    model = to_torchscript(bench.module(), bench.dtype)
    sizes = (1, 2, 4) if bench.small else (1, 2, 4, 8, 16, 32, 64)
    for left, size in zip(range(len(sizes), 0, -1), sizes, strict=True):
        batches = bench.batches(size, most=32)
        measured = measure(model, batches, deadline.share(left))
        yield {"windows": size, "dtype": bench.dtype, **speed(measured, batches, bench.module())}


def attention(bench: Bench, deadline: Deadline) -> Iterator[Row]:
    """Every form of attention that can be exported, on small batches and large ones."""

    def build(form: str) -> Model:
        model: Model = to_torchscript(bench.module(form), bench.dtype)
        return model

    forms = sorted(FORMS, key=lambda form: form != "grouped")  # the others beside it
    contenders: dict[str, Callable[[], Model]] = {form: partial(build, form) for form in forms}
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
    """Speed of each, over the first one's, and its distance from the packed module in float32.

    One that fails says why.
    """
    expected = logits_of(bench.module(), batches[:1])
    first = 0.0
    for left, (name, make) in zip(range(len(contenders), 0, -1), contenders.items(), strict=True):
        row: Row = {"name": name}
        try:
            model = make()
            rates = speed(measure(model, batches, deadline.share(left)), batches, bench.module())
            differences = difference(expected, logits_of(model, batches[:1]))
        except (RuntimeError, ImportError, AttributeError, TypeError, MissingError) as error:
            yield row | {"failed": reason(error)}
            still_alive(bench, name)
            continue
        first = first or float(rates["windows_per_second"])
        row["over_first"] = float(rates["windows_per_second"]) / first
        yield row | rates | differences


def reason(error: Exception) -> str:
    """What happened, on one line; TorchScript says it after a traceback of its own."""
    text = " ".join(str(error).split())
    if scripted := SCRIPTED.search(text):
        return scripted[1][:MOST_CHARACTERS]
    return f"{type(error).__name__}: {text}"[:MOST_CHARACTERS]


def still_alive(bench: Bench, culprit: str) -> None:
    """A CUDA error may leave the process unable to compute: then nothing more can be measured."""
    if bench.device.type != "cuda":
        return
    try:
        torch.cuda.synchronize(bench.device)
    except RuntimeError as error:
        raise ContextLostError(f"{culprit} broke the CUDA context: {reason(error)}") from None


class ContextLostError(Exception):
    """The process can use the GPU no more."""
