"""How fast this CPU is in each dtype: measured with the first layers."""

import pytest
from torch import Tensor

from spanqa_model.checkpoints.config import BertConfig
from spanqa_model.packed_bert import rates
from spanqa_model.packed_bert.build import build_module
from spanqa_model.packed_bert.devices import Dtype, native_dtypes
from spanqa_model.packed_bert.model import PackedBertForQuestionAnswering
from spanqa_model.packed_bert.rates import measure_rates
from unit.model.tiny import packed_config, reference_model


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_each_dtype_has_a_rate_of_two_layers(layers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []

    def build(config: BertConfig, weights: dict[str, Tensor]) -> PackedBertForQuestionAnswering:
        built.append(config.num_hidden_layers)
        return build_module(config, weights)

    monkeypatch.setattr(rates, "build_module", build)
    reference = reference_model(layers=layers)
    dtypes: list[Dtype] = ["float32", "bfloat16", "int8"]
    measured = measure_rates(packed_config(reference), reference.state_dict(), dtypes)
    assert list(measured) == dtypes
    assert all(rate > 0 for rate in measured.values())
    assert built == [min(layers, 2)]


def test_dtypes_without_instructions_are_not_measured() -> None:
    reference = reference_model(layers=1)
    assert list(measure_rates(packed_config(reference), reference.state_dict())) == native_dtypes()
