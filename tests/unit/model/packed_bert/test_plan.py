"""What the layers share of a batch, and what is refused before anything is looked up."""

import re
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import BertForQuestionAnswering

from spanqa_model.packed_bert.forms import FORMS
from spanqa_model.packed_bert.plan import packed_position_ids
from spanqa_model.packed_bert.torchscript import to_torchscript
from unit.model.tiny import POSITIONS, packed_model, random_windows

Windows = tuple[Tensor, Tensor, Tensor]


@given(st.lists(st.integers(1, POSITIONS), min_size=1, max_size=7))
def test_positions_count_from_zero_in_each_window(lengths: list[int]) -> None:
    positions = packed_position_ids(torch.tensor(lengths), sum(lengths))
    assert positions.tolist() == [position for n in lengths for position in range(n)]


@pytest.mark.parametrize("form", ["flash", "efficient"])
def test_ragged_kernels_get_the_ends_and_the_longest(form: str) -> None:
    ids, types, lengths = random_windows([5, 60, 7])
    plan = FORMS[form].planner(256, 2, POSITIONS)(ids, types, lengths.long(), torch.float16)
    assert plan.ends.tolist() == [0, 5, 65, 72]
    assert plan.ends.dtype == torch.int32
    assert plan.longest == 60


def with_entry(which: int, place: int, value: int) -> Callable[[Windows], Windows]:
    """Change one entry of one of the three tensors."""

    def change(windows: Windows) -> Windows:
        changed = [tensor.clone() for tensor in windows]
        changed[which][place] = value
        return changed[0], changed[1], changed[2]

    return change


def no_windows(windows: Windows) -> Windows:
    return windows[0], windows[1], windows[2][:0]


def no_tokens(windows: Windows) -> Windows:
    return windows[0][:0], windows[1][:0], windows[2]


def fewer_types(windows: Windows) -> Windows:
    return windows[0], windows[1][:-1], windows[2]


def longer_window(windows: Windows) -> Windows:
    return random_windows([5, POSITIONS + 1])


REFUSALS = {
    "input_ids and window_lengths must hold at least one window": (no_windows, no_tokens),
    "token_type_ids has 43 entries, input_ids 44": (fewer_types,),
    "window_lengths sum to 45, input_ids has 44 entries": (with_entry(2, 0, 6),),
    "window_lengths sum to 43, input_ids has 44 entries": (with_entry(2, 0, 4),),
    "window_lengths holds 0: a window has at least 1 token": (with_entry(2, 1, 0),),
    "window_lengths holds -9: a window has at least 1 token": (with_entry(2, 1, -9),),
    "window_lengths holds 65: a window has at most 64 tokens": (longer_window,),
    "input_ids holds 256: the model knows 0 to 255": (with_entry(0, 43, 256),),
    "input_ids holds -1: the model knows 0 to 255": (with_entry(0, 0, -1),),
    "token_type_ids holds 2: the model knows 0 to 1": (with_entry(1, 20, 2),),
    "token_type_ids holds -3: the model knows 0 to 1": (with_entry(1, 20, -3),),
}


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize(
    ("message", "change"),
    [(message, change) for message, changes in REFUSALS.items() for change in changes],
)
def test_a_batch_that_cannot_be_computed_is_refused(
    reference: BertForQuestionAnswering,
    form: str,
    message: str,
    change: Callable[[Windows], Windows],
) -> None:
    model = packed_model(reference, attention=form)
    windows = change(random_windows([5, 9, 30]))
    with pytest.raises(ValueError, match=re.escape(message)):
        model(*windows)


@pytest.mark.parametrize("form", list(FORMS))
def test_nothing_is_looked_up_for_a_batch_that_is_refused(
    reference: BertForQuestionAnswering, form: str
) -> None:
    model = packed_model(reference, attention=form)
    looked_up: list[object] = []
    for part in model.modules():
        if isinstance(part, torch.nn.Embedding):
            part.register_forward_pre_hook(lambda _, inputs: looked_up.append(inputs))
    with pytest.raises(ValueError, match="input_ids holds 256"):
        model(*with_entry(0, 0, 256)(random_windows([5, 9])))
    assert looked_up == []


@pytest.mark.parametrize("form", list(FORMS))
def test_torchscript_says_the_same(reference: BertForQuestionAnswering, form: str) -> None:
    scripted = to_torchscript(packed_model(reference, attention=form), "float32")
    with pytest.raises(torch.jit.Error) as caught:
        scripted(*with_entry(0, 2, 999)(random_windows([5, 9])))
    last = str(caught.value).strip().splitlines()[-1]
    assert last == "builtins.ValueError: input_ids holds 999: the model knows 0 to 255"


@pytest.mark.parametrize("form", ["windowed", "grouped"])
def test_the_limits_themselves_are_accepted(reference: BertForQuestionAnswering, form: str) -> None:
    ids, types, lengths = random_windows([1, POSITIONS])
    ids[0], ids[1] = 0, 255
    starts, _ = packed_model(reference, attention=form)(ids, types, lengths)
    assert starts.isfinite().all()
