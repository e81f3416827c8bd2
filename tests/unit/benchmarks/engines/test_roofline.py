"""Where the model's time goes: operations are counted as they are, and each has its kind."""

import numpy as np
import pytest
import torch

from benchmarks.engines.batches import Inputs
from benchmarks.engines.roofline import LINEAR, REST, WHOLE, linear_operations, measure
from spanqa_model.checkpoints.config import BertConfig
from spanqa_model.packed_bert.devices import Dtype
from spanqa_model.packed_bert.model import PackedBertForQuestionAnswering
from spanqa_model.packed_bert.torchscript import saved_and_loaded, to_torchscript

CONFIG = BertConfig(
    vocab_size=64,
    hidden_size=128,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=512,
    max_position_embeddings=64,
    type_vocab_size=2,
    layer_norm_eps=1e-12,
    hidden_act="gelu",
)


def test_a_layer_multiplies_and_adds_once_for_each_weight() -> None:
    module = PackedBertForQuestionAnswering(CONFIG)
    matrices = [parameter for parameter in module.bert.encoder.parameters() if parameter.dim() == 2]
    assert linear_operations(CONFIG) == 2 * sum(matrix.numel() for matrix in matrices)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_every_operation_that_takes_long_has_a_kind(dtype: Dtype) -> None:
    torch.manual_seed(0)
    module = PackedBertForQuestionAnswering(CONFIG).eval()
    loaded = saved_and_loaded(to_torchscript(module, dtype, onednn=True))
    ids, types = np.full(64, 7, np.int32), np.zeros(64, np.int32)
    rows = {row.kind: row for row in measure(loaded, CONFIG, dtype, [Inputs(ids, types)] * 8)}
    shares = [row.share_of_time for kind, row in rows.items() if kind != WHOLE]
    assert sum(shares) == pytest.approx(1)
    # Four linear layers in each layer and the last one; in int8 for each window, and two for
    # [CLS] of all. With AMX some layers are computed in parts.
    if dtype == "int8":
        assert rows[LINEAR].calls_per_batch == 3 * (8 * 4 + 2)
    assert rows[LINEAR].calls_per_batch >= 3 * 4 + 1
    assert rows[REST].share_of_time < 0.5
    assert rows[WHOLE].operations_per_second is not None
