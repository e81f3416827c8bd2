"""Where the packed model's time goes on this CPU, by operation, and how near each is to a peak.

`make roofline`. One thread computes batches of SQuAD windows under libtorch's profiler. Operations
are counted from the model's shape. The peak is measured in the same process: the fastest square
linear layer of the same dtype, by the same operator.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

from benchmarks.common.report import write_result
from benchmarks.common.workload import make_parser, positive_count
from benchmarks.engines.alone import SHAPES, as_in_the_embedded_triton
from benchmarks.engines.batches import Inputs
from benchmarks.engines.questions import ask
from spanqa_model.checkpoints.config import BertConfig, parse_config, read_json
from spanqa_model.export import Target, export
from spanqa_model.packed_bert.devices import Dtype, native_dtypes
from spanqa_model.packed_bert.int8 import Int8Linear, engine_for, quantized_by
from spanqa_model.packed_bert.onednn import OneDnnLinear
from spanqa_model.packed_bert.torchscript import (
    DTYPES,
    load_torchscript,
    saved_and_loaded,
    torchscript_deprecation_accepted,
)

LINEAR, PRODUCTS = "linear layers", "attention: products"
# With the softmax.
FUSED = "aten::_scaled_dot_product_flash_attention_for_cpu"
# Operators by what they are for; all others together are "the rest".
KINDS = {
    LINEAR: ("mkldnn::_linear_pointwise", "aten::addmm", "quantized::linear_dynamic"),
    PRODUCTS: ("aten::bmm", "aten::baddbmm", "aten::mkldnn_convolution", FUSED),
    "attention: softmax": (
        "aten::exp2_",
        "aten::sum",
        "aten::aminmax",
        "aten::div",
        "aten::_softmax",
    ),
    "LayerNorm": ("aten::native_layer_norm",),
    "residuals, embeddings": (
        *("aten::add", "aten::add_", "aten::addcmul", "aten::mul"),
        *("aten::index_select", "aten::embedding"),
    ),
    "GELU by itself": ("aten::gelu", "aten::gelu_"),
    "copies": ("aten::cat", "aten::copy_", "aten::clone", "aten::_to_copy"),
}
REST, WHOLE = "the rest", "the whole, without the profiler"
SQUARES = (512, 1024, 2048)
REPEATS = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of operation: its share of the time, and its rate where arithmetic is counted."""

    dtype: str
    kind: str
    calls_per_batch: float
    milliseconds: float
    share_of_time: float
    operations_per_second: float | None
    share_of_peak: float | None


def main() -> None:
    """Measure, print, write JSON."""
    arguments = parse_arguments()
    as_in_the_embedded_triton("benchmarks.engines.roofline")
    torch.set_num_threads(1)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="spanqa-roofline-") as name:
        directory = Path(name)
        source = SHAPES[arguments.shape](directory / "checkpoint")
        config = parse_config(read_json(directory / "checkpoint" / "config.json"), directory)
        batch = ask(arguments.data, directory / "checkpoint", arguments.windows).inputs
        for dtype in track(arguments.dtypes, "measuring", console=Console(stderr=True)):
            target = Target(dtype=dtype, device="cpu", attention="windowed")
            version = export(source, directory / dtype, target, version=1).directory
            with quantized_by(engine_for(config.hidden_size)):  # as it is served
                module = load_torchscript(version / "model.pt", torch.device("cpu"))
                rows += measure(module, config, dtype, batch[: arguments.windows])
    title = f"{arguments.shape}: {arguments.windows} SQuAD windows, one thread"
    Console(width=140).print(table(title, rows))
    if arguments.json:
        write_result(arguments.json, arguments, rows=[asdict(row) for row in rows])


def measure(
    module: torch.jit.ScriptModule, config: BertConfig, dtype: Dtype, windows: Sequence[Inputs]
) -> list[Row]:
    """A row for each kind of operation, and one for the whole."""
    lengths = [len(window.ids) for window in windows]
    inputs = (
        torch.from_numpy(np.concatenate([window.ids for window in windows])),
        torch.from_numpy(np.concatenate([window.types for window in windows])),
        torch.tensor(lengths, dtype=torch.int32),
    )

    @torch.no_grad()
    def run() -> None:
        module(*inputs)

    whole = seconds_of(run)
    calls, seconds = profiled(run)
    peak = peak_of(dtype)
    operations = {
        LINEAR: sum(lengths) * linear_operations(config),
        PRODUCTS: sum(length**2 for length in lengths)
        * (4 * config.hidden_size * config.num_hidden_layers),
    }
    spent = sum(seconds.values())
    rows = []
    for kind in (*KINDS, REST):
        rate = operations[kind] / seconds[kind] if seconds[kind] and kind in operations else None
        share = rate / peak if rate else None
        rows.append(
            Row(dtype, kind, calls[kind], 1e3 * seconds[kind], seconds[kind] / spent, rate, share)
        )
    rate = sum(operations.values()) / whole
    return [*rows, Row(dtype, WHOLE, sum(calls.values()), 1e3 * whole, 1.0, rate, rate / peak)]


def linear_operations(config: BertConfig) -> int:
    """Multiplications and additions for a token: query, key, value and output, and two more."""
    hidden, inner = config.hidden_size, config.intermediate_size
    return 2 * config.num_hidden_layers * (4 * hidden * hidden + 2 * hidden * inner)


def profiled(run: Callable[[], None]) -> tuple[dict[str, float], dict[str, float]]:
    """Calls a run and CPU seconds a run of each kind, without what its operators call."""
    kinds = {name: kind for kind, names in KINDS.items() for name in names}
    # The default, Kineto, writes to stderr.
    with torch.autograd.profiler.profile(use_kineto=False) as profile:
        for _ in range(REPEATS):
            run()
    calls: dict[str, float] = defaultdict(float)
    seconds: dict[str, float] = defaultdict(float)
    for event in profile.key_averages():
        kind = kinds.get(event.key, REST)
        calls[kind] += event.count / REPEATS
        seconds[kind] += event.self_cpu_time_total / 1e6 / REPEATS
    return calls, seconds


def peak_of(dtype: Dtype) -> float:
    """Operations a second of the fastest square layer with the operator that the model has."""
    rates = []
    for size in SQUARES:
        layer = nn.Linear(size, size).requires_grad_(False)
        with torchscript_deprecation_accepted():
            made = Int8Linear(layer) if dtype == "int8" else OneDnnLinear(layer.to(DTYPES[dtype]))
            loaded = saved_and_loaded(torch.jit.script(made))
        hidden = torch.randn(size, size).to(DTYPES[dtype])
        rates.append(2 * size**3 / seconds_of(partial(loaded, hidden)))
    return max(rates)


def seconds_of(work: Callable[[], Any]) -> float:
    """CPU seconds, the median after one time that is not counted."""
    taken = []
    for _ in range(REPEATS + 1):
        begin = process_time()
        work()
        taken.append(process_time() - begin)
    return statistics.median(taken[1:])


def table(title: str, rows: Sequence[Row]) -> Table:
    """The rows for people to read."""
    made = Table(title=title)
    made.add_column("dtype")
    made.add_column("operation")
    for column in ("calls", "ms", "share of the time", "GFLOP/s", "share of the peak"):
        made.add_column(column, justify="right")
    for row in rows:
        made.add_row(
            row.dtype,
            row.kind,
            f"{row.calls_per_batch:.0f}",
            f"{row.milliseconds:.1f}",
            f"{row.share_of_time:.1%}",
            "" if row.operations_per_second is None else f"{row.operations_per_second / 1e9:.0f}",
            "" if row.share_of_peak is None else f"{row.share_of_peak:.0%}",
        )
    return made


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--shape", choices=tuple(SHAPES), default="embedded")
    add("--dtypes", nargs="+", default=native_dtypes(), help="what this CPU multiplies natively")
    add("--windows", type=positive_count, default=16, help="in the batch")
    add("--json", type=Path, help="write the figures there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
