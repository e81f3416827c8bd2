"""How fast this CPU computes a model in each dtype, measured with its first layers."""

import time
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from spanqa_model.checkpoints.config import BertConfig
from spanqa_model.packed_bert.build import build_module
from spanqa_model.packed_bert.devices import Dtype, native_dtypes
from spanqa_model.packed_bert.parity import logits_of, sample_windows
from spanqa_model.packed_bert.torchscript import saved_and_loaded, to_torchscript

LAYERS = 2
TURNS = 3
# About the length of a SQuAD window.
LONGEST = 192


def measure_rates(
    config: BertConfig, state_dict: dict[str, Tensor], dtypes: Sequence[Dtype] = ()
) -> dict[Dtype, float]:
    """Tokens a CPU second through the first two layers, in turns, the best of three.

    Args:
        config: the shape of the checkpoint.
        state_dict: its weights.
        dtypes: which to measure; none means those that this CPU computes natively.
    """
    few = replace(config, num_hidden_layers=min(LAYERS, config.num_hidden_layers))
    left_out = tuple(
        f"bert.encoder.layer.{layer}."
        for layer in range(few.num_hidden_layers, config.num_hidden_layers)
    )
    weights = {name: w for name, w in state_dict.items() if not name.startswith(left_out)}
    module = build_module(few, weights)
    windows = sample_windows(config.vocab_size, min(LONGEST, config.max_position_embeddings))
    loaded = {}
    for dtype in dtypes or native_dtypes():
        loaded[dtype] = saved_and_loaded(to_torchscript(module, dtype, onednn=True))
        logits_of(loaded[dtype], windows)
    seconds = dict.fromkeys(loaded, float("inf"))
    for dtype, served in list(loaded.items()) * TURNS:
        started = time.process_time()
        logits_of(served, windows)
        seconds[dtype] = min(seconds[dtype], time.process_time() - started)
    tokens = len(windows[0])
    return {dtype: tokens / took for dtype, took in seconds.items()}
