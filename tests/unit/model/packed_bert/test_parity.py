"""What the comparison of logits notices."""

import pytest
import torch
from transformers import BertForQuestionAnswering

from spanqa_model.errors import ExportError
from spanqa_model.packed_bert.parity import CPU, WINDOWS, check_agreement, compare, sample_windows
from spanqa_model.packed_bert.torchscript import to_torchscript
from unit.model.tiny import packed_model, reference_model


def test_the_report_notices_a_wrong_model(reference: BertForQuestionAnswering) -> None:
    exported = to_torchscript(packed_model(reference), "float32")
    parity = compare(packed_model(reference_model(seed=9)), exported, sample_windows(256, 60))
    assert parity.max_difference > 1
    assert parity.best_positions_changed > WINDOWS


def scripted(attention: str, dtype: str, model: BertForQuestionAnswering) -> torch.jit.ScriptModule:
    return to_torchscript(packed_model(model, attention=attention), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_forms_that_agree_are_accepted(reference: BertForQuestionAnswering, dtype: str) -> None:
    windowed, grouped = (scripted(form, dtype, reference) for form in ("windowed", "grouped"))
    check_agreement(windowed, grouped, dtype, sample_windows(256, 60), CPU)


@pytest.mark.parametrize(
    ("attention", "seed", "message"),
    [
        ("windowed", 9, r"from those of --attention grouped by .* at most 2"),
        ("flash", 0, r"fails on this device: .*; use --attention grouped"),
    ],
)
def test_a_form_that_disagrees_or_fails_is_refused(
    reference: BertForQuestionAnswering, attention: str, seed: int, message: str
) -> None:
    grouped = scripted("grouped", "float16", reference)
    other = scripted(attention, "float16", reference_model(seed=seed))
    with pytest.raises(ExportError, match=message):
        check_agreement(other, grouped, "float16", sample_windows(256, 60), CPU)
