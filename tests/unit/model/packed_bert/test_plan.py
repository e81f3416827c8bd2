"""What the layers share of a batch, and what is refused before anything is looked up."""

import re

import pytest
import torch
from torch import Tensor
from transformers import BertForQuestionAnswering

from spanqa_model.packed_bert.forms import FORMS
from spanqa_model.packed_bert.torchscript import to_torchscript
from unit.model.tiny import POSITIONS, packed_model, random_windows

Windows = tuple[Tensor, Tensor, Tensor]


@pytest.mark.parametrize("form", ["flash", "efficient"])
def test_ragged_kernels_get_the_ends_and_the_longest(form: str) -> None:
    ids, types, lengths = random_windows([5, 60, 7])
    plan = FORMS[form].planner(256, 2, POSITIONS)(ids, types, lengths.long(), torch.float16)
    assert plan.ends.tolist() == [0, 5, 65, 72]
    assert plan.ends.dtype == torch.int32
    assert plan.lengths == [5, 60, 7]


GOOD = random_windows([5, 9, 30])


def with_entry(which: int, place: int, value: int) -> Windows:
    """One entry of one of the three tensors changed."""
    changed = [tensor.clone() for tensor in GOOD]
    changed[which][place] = value
    return changed[0], changed[1], changed[2]


NOTHING = "input_ids and window_lengths must hold at least one window"
REFUSALS = [
    (NOTHING, (GOOD[0], GOOD[1], GOOD[2][:0])),
    (NOTHING, (GOOD[0][:0], GOOD[1], GOOD[2])),
    ("token_type_ids has 43 entries, input_ids 44", (GOOD[0], GOOD[1][:-1], GOOD[2])),
    ("window_lengths sum to 45, input_ids has 44 entries", with_entry(2, 0, 6)),
    ("window_lengths sum to 43, input_ids has 44 entries", with_entry(2, 0, 4)),
    ("window_lengths holds 0: a window has at least 1 token", with_entry(2, 1, 0)),
    ("window_lengths holds -9: a window has at least 1 token", with_entry(2, 1, -9)),
    (
        "window_lengths holds 65: a window has at most 64 tokens",
        random_windows([5, POSITIONS + 1]),
    ),
    ("input_ids holds 256: the model knows 0 to 255", with_entry(0, 43, 256)),
    ("input_ids holds -1: the model knows 0 to 255", with_entry(0, 0, -1)),
    ("token_type_ids holds 2: the model knows 0 to 1", with_entry(1, 20, 2)),
    ("token_type_ids holds -3: the model knows 0 to 1", with_entry(1, 20, -3)),
]


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize(("message", "windows"), REFUSALS)
def test_a_batch_that_cannot_be_computed_is_refused_before_anything_is_looked_up(
    reference: BertForQuestionAnswering, form: str, message: str, windows: Windows
) -> None:
    model = packed_model(reference, attention=form)
    looked_up: list[object] = []
    for part in model.modules():
        if isinstance(part, torch.nn.Embedding):
            part.register_forward_pre_hook(lambda _, inputs: looked_up.append(inputs))
    with pytest.raises(ValueError, match=re.escape(message)):
        model(*windows)
    assert looked_up == []


@pytest.mark.parametrize("form", list(FORMS))
def test_torchscript_says_the_same(reference: BertForQuestionAnswering, form: str) -> None:
    scripted = to_torchscript(packed_model(reference, attention=form), "float32")
    with pytest.raises(torch.jit.Error) as caught:
        scripted(*with_entry(0, 2, 999))
    last = str(caught.value).strip().splitlines()[-1]
    assert last == "builtins.ValueError: input_ids holds 999: the model knows 0 to 255"


@pytest.mark.parametrize("form", ["windowed", "grouped"])
def test_the_limits_themselves_are_accepted(reference: BertForQuestionAnswering, form: str) -> None:
    ids, types, lengths = random_windows([1, POSITIONS])
    ids[0], ids[1] = 0, 255
    starts, _ = packed_model(reference, attention=form)(ids, types, lengths)
    assert starts.isfinite().all()
