"""vLLM's pooling runner beside the packed module: flash attention without padding, same weights.

`BertForTokenClassification` with two labels has the head of extractive question answering: its two
logits a token are start and end. vLLM is optional. It brings a torch of its own, so it belongs into
an environment of its own: there `pip install vllm` and `python3 -m benchmarks.gpu.run --only vLLM`.

Not yet run with vLLM itself: tests try it with a stand-in that has vLLM's interface.
"""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.bench import (
    FEWEST_ROUNDS,
    MOST_ROUNDS,
    WARM_UPS,
    Batch,
    Bench,
    difference,
    logits_of,
    measure,
    speed,
)
from benchmarks.gpu.options import Deadline, MissingError, Row
from spanqa_model.packed_bert.model import PackedBertForQuestionAnswering
from spanqa_model.packed_bert.torchscript import to_torchscript

MOST_TOKENS = 512
GPU_MEMORY = 0.5  # of all of it; the packed module is there, too


def vllm(bench: Bench, deadline: Deadline) -> Iterator[Row]:
    """All windows at once, as vLLM schedules them, beside the packed module in batches."""
    missing = [name for name in ("vllm", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingError(
            f"{' and '.join(missing)} not installed here: `pip install vllm`, in an environment of "
            "its own, since it brings its own torch; the other sections need none of it"
        )
    batches = bench.batches(bench.batch_windows)
    expected = logits_of(bench.module(), batches)
    packed = to_torchscript(bench.module(), bench.dtype)
    row = speed(measure(packed, batches, deadline.share(3)), batches, bench.module())
    row |= difference(expected, logits_of(packed, batches))
    first = float(row["windows_per_second"])
    yield {"contender": "packed", "dtype": bench.dtype, "over_first": 1.0, **row}
    with tempfile.TemporaryDirectory(prefix="spanqa-vllm-") as directory:
        write_checkpoint(bench.module(), Path(directory))
        asked = Asked(batches)
        engine = start(Path(directory), bench.dtype)
        seconds, logits = keep_asking(engine, asked, deadline.share(1))
    windows, tokens = len(asked.prompts), sum(len(batch.input_ids) for batch in batches)
    rates: Row = {"windows_per_second": windows / seconds, "tokens_per_second": tokens / seconds}
    rates |= {"over_first": windows / seconds / first}
    rates |= difference([one.cpu() for one in expected], asked.by_batch(logits))
    yield {"contender": "vLLM", "dtype": bench.dtype, **rates}


def write_checkpoint(module: PackedBertForQuestionAnswering, directory: Path) -> None:
    """The weights as `BertForTokenClassification`, whose classifier is our last layer."""
    from transformers import BertConfig, BertForTokenClassification

    from benchmarks.gpu.transformers_model import same_model

    ours = same_model(module, torch.device("cpu"))
    config = BertConfig(**{**ours.config.to_dict(), "num_labels": 2})
    theirs = BertForTokenClassification(config)
    renamed = {
        name.replace("qa_outputs.", "classifier."): tensor
        for name, tensor in ours.state_dict().items()
    }
    theirs.load_state_dict(renamed)
    theirs.save_pretrained(directory)


class Asked:
    """The windows of batches as vLLM takes them: tokens, and where the second part begins."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._batches = batches
        self.prompts: list[dict[str, list[int]]] = []
        self.heads: list[int] = []
        for batch in batches:
            lengths = batch.window_lengths.tolist()
            ids, types = (one.cpu().split(lengths) for one in batch[:2])
            self.prompts += [{"prompt_token_ids": one.tolist()} for one in ids]
            self.heads += [int((one == 0).sum()) for one in types]

    def parameters(self) -> list[Any]:
        """Logits instead of probabilities; token types by the number of zeros before the ones."""
        from vllm import PoolingParams

        return [
            PoolingParams(
                task="token_classify",
                use_activation=False,
                extra_kwargs={"compressed_token_type_ids": head},
            )
            for head in self.heads
        ]

    def by_batch(self, logits: Sequence[Tensor]) -> list[Tensor]:
        """[n, 2] of each window → [2, T] of each batch."""
        found, left = [], iter(logits)
        for batch in self._batches:
            parts = [next(left).float().cpu() for _ in batch.window_lengths]
            found.append(torch.cat(parts).T)
        return found


def start(checkpoint: Path, dtype: str) -> Any:
    """Load the checkpoint. There is nothing to cache: no window begins like another."""
    from vllm import LLM

    return LLM(
        model=str(checkpoint),
        runner="pooling",
        dtype=dtype,
        skip_tokenizer_init=True,
        max_model_len=MOST_TOKENS,
        enable_prefix_caching=False,
        gpu_memory_utilization=GPU_MEMORY,
    )


def keep_asking(engine: Any, asked: Asked, seconds: float) -> tuple[float, list[Tensor]]:
    """Median seconds of a round, by the clock of the caller, who gets logits; and the logits."""
    parameters = asked.parameters()

    def once() -> tuple[float, list[Tensor]]:
        begin = perf_counter()
        outputs = engine.encode(
            asked.prompts, parameters, pooling_task="token_classify", use_tqdm=False
        )
        return perf_counter() - begin, [output.outputs.data for output in outputs]

    begin = perf_counter()
    for _ in range(WARM_UPS):
        _, logits = once()
    taken: list[float] = []
    while len(taken) < FEWEST_ROUNDS or (
        len(taken) < MOST_ROUNDS and perf_counter() - begin < seconds
    ):
        taken.append(once()[0])
    return statistics.median(taken), logits
