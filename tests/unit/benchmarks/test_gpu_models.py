"""The models of the GPU benchmark compute what the product does."""

from pathlib import Path

import pytest
import torch
from transformers import BertForQuestionAnswering

from gpu.attention import VARIANTS, OneGroupPlanner, with_attention
from gpu.options import MissingError
from gpu.trained import load_trained
from packed_variants import ATTENTION
from spanqa_model.build import to_torchscript
from unit.model.tiny import packed_model, random_windows, reference_model

CPU = torch.device("cpu")
ON_A_CPU = [name for name in VARIANTS if "group" in name or "window" in name]


@pytest.fixture(scope="module")
def reference() -> BertForQuestionAnswering:
    return reference_model()


@pytest.mark.parametrize("name", [*ON_A_CPU, *ATTENTION])
def test_other_attention_gives_the_same_logits(
    reference: BertForQuestionAnswering, name: str
) -> None:
    windows = random_windows([5, 60, 17, 33, 1])
    module = packed_model(reference)
    if name in VARIANTS:
        other = VARIANTS[name].of(module)
    else:
        other = with_attention(module, *ATTENTION[name])
    with torch.no_grad():
        got, want = torch.stack(other(*windows)), torch.stack(module(*windows))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-4)


def test_one_group_holds_all_windows() -> None:
    ids, types, lengths = random_windows([5] * 900 + [500])
    plan = OneGroupPlanner(256, 2, 512)(ids, types, lengths.long(), torch.float32)
    assert [group.mask.shape for group in plan.groups] == [(901, 1, 1, 512)]


@pytest.mark.parametrize("onednn", [False, True])
def test_the_weights_of_a_version_are_read_back(
    reference: BertForQuestionAnswering, tmp_path: Path, onednn: bool
) -> None:
    module = packed_model(reference)
    to_torchscript(module, "float32", onednn=onednn).save(str(tmp_path / "model.pt"))
    windows = random_windows([5, 60, 17])
    got, want = load_trained(tmp_path, CPU)(*windows), module(*windows)
    torch.testing.assert_close(torch.stack(got), torch.stack(want), rtol=0, atol=1e-4)


def test_a_missing_version_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no model\.pt there"):
        load_trained(tmp_path, CPU)
