"""Evaluates a model on the questions of a file."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from spanqa.squad import Question
from spanqa_model.finetune.features import Window, collate, model_inputs
from spanqa_model.finetune.scoring import WindowLogits, predict, score

BATCH = 32


def evaluate(
    model: nn.Module,
    questions: Sequence[Question],
    windows: Sequence[Window],
    *,
    bfloat16: bool,
    no_answer: bool,
    on_done: Callable[[int], None],
) -> dict[str, float]:
    """Exact match and F1 of a model, in percent.

    Args:
        model: a `BertForQuestionAnswering`, on its device.
        questions: the questions.
        windows: all their windows.
        bfloat16: whether to multiply in bfloat16.
        no_answer: whether the model may answer that the context holds no answer.
        on_done: called with the number of finished windows.
    """
    logits = all_logits(model, windows, bfloat16=bfloat16, on_done=on_done)
    return score(questions, predict(questions, windows, logits, no_answer=no_answer))


def all_logits(
    model: nn.Module,
    windows: Sequence[Window],
    *,
    bfloat16: bool,
    on_done: Callable[[int], None],
) -> list[WindowLogits]:
    """The logits of each window, in the order of `windows`. Batches have similar lengths."""
    model.eval()
    device = next(model.parameters()).device
    order = sorted(range(len(windows)), key=lambda i: len(windows[i].ids), reverse=True)
    logits: dict[int, WindowLogits] = {}
    for first in range(0, len(order), BATCH):
        batch = order[first : first + BATCH]
        inputs = collate([model_inputs(windows[i].ids, windows[i].head) for i in batch])
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            output = model(**{name: tensor.to(device) for name, tensor in inputs.items()})
        starts, ends = output.start_logits.float().cpu(), output.end_logits.float().cpu()
        for row, i in enumerate(batch):
            length = len(windows[i].ids)
            logits[i] = WindowLogits(starts[row, :length].numpy(), ends[row, :length].numpy())
        on_done(len(logits))
    return [logits[i] for i in range(len(windows))]
