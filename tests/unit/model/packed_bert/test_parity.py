"""What the comparison of logits notices."""

import pytest
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


def test_forms_that_agree_are_accepted(reference: BertForQuestionAnswering) -> None:
    windows = sample_windows(256, 60)
    for dtype in ("float32", "float16", "bfloat16"):
        windowed, grouped = (
            to_torchscript(packed_model(reference, attention=form), dtype)
            for form in ("windowed", "grouped")
        )
        check_agreement(windowed, grouped, dtype, windows, CPU)


def test_forms_that_disagree_are_refused(reference: BertForQuestionAnswering) -> None:
    windows = sample_windows(256, 60)
    grouped = to_torchscript(packed_model(reference, attention="grouped"), "bfloat16")
    other = to_torchscript(packed_model(reference_model(seed=9)), "bfloat16")
    with pytest.raises(ExportError, match=r"from those of --attention grouped by .* at most 10"):
        check_agreement(other, grouped, "bfloat16", windows, CPU)


def test_a_form_that_fails_where_it_is_tried_is_refused(
    reference: BertForQuestionAnswering,
) -> None:
    windows = sample_windows(256, 60)
    grouped = to_torchscript(packed_model(reference, attention="grouped"), "float16")
    flash = to_torchscript(packed_model(reference, attention="flash"), "float16")
    with pytest.raises(ExportError, match=r"fails on this device: .*; use --attention grouped"):
        check_agreement(flash, grouped, "float16", windows, CPU)
