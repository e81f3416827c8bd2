"""Runs of a tiny model: they learn, go on where they were cut off, and stop where they must."""

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.models.bert.modeling_bert import BertEmbeddings

from spanqa_model.checkpoints.training_figures import METRICS
from spanqa_model.errors import FinetuneError
from spanqa_model.finetune import run as run_module
from spanqa_model.finetune import training
from spanqa_model.finetune.rundir import STATE, complete_checkpoint
from spanqa_model.finetune.training import EpochSampler
from unit.model.finetune.runs import result_weights, run

FULL_RESULT = {
    *("config.json", "model.safetensors"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"),
}


class CutOffError(Exception):
    """The run is cut off here."""


def raise_cut(*_: Any, **__: Any) -> None:
    raise CutOffError


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize("lora", [False, True])
def test_a_run_learns_its_questions_and_leaves_its_result(
    base: Path, questions: Path, tmp_path: Path, lora: bool
) -> None:
    output = tmp_path / "run"
    options = {"lora": lora, "epochs": 16.0, "save_steps": 1000, "dropout": 0.0}
    metrics, shown = run(base, questions, output, dev=questions, eval_before=True, **options)
    assert metrics["before"]["f1"] < 50
    assert metrics["after"]["f1"] > 90, "it has not even learned its training questions"
    assert metrics["training"]["loss"] < 0.1
    assert "training: 1024 examples in" in shown
    assert json.loads((output / METRICS).read_bytes()) == metrics
    assert metrics["training"]["steps"] == 128
    result = {"adapter_config.json", "adapter_model.safetensors"} if lora else FULL_RESULT
    left = {path.name for path in output.iterdir()}
    assert left == {STATE, METRICS, "spanqa.json"} | result, "nothing else is left of a run"


def test_a_run_says_what_it_repaired_and_skipped(base: Path, tmp_path: Path) -> None:
    rows = [
        {"question": "who", "context": f"a b {n}", "answer": str(n), "answer_start": 4}
        for n in range(10, 26)
    ]
    rows[0]["answer_start"], rows[1]["answer"] = 3, " "
    train = tmp_path / "train.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, shown = run(base, train, tmp_path / "run", epochs=1.0, skip_bad=True)
    shown = " ".join(shown.split())
    assert "1 answers were moved to where their text is" in shown
    assert "1 of 16 questions were skipped: " in shown
    assert "line 2: answer.text is blank" in shown
    assert "cutting windows: 15 questions" in shown


@pytest.fixture
def cut_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """CutOffError runs off when the checkpoint of a step is complete."""

    def install(step: int) -> None:
        def complete_and_cut(checkpoint: Path) -> None:
            complete_checkpoint(checkpoint)
            if checkpoint.name == f"checkpoint-{step}":
                monkeypatch.undo()
                raise CutOffError

        monkeypatch.setattr(training, "complete_checkpoint", complete_and_cut)

    return install


@pytest.mark.parametrize(
    ("step", "options"),
    [
        (3, {}),
        (8, {"save_steps": 4}),  # between two epochs
        (12, {}),  # in the second epoch
        (6, {"lora": True}),
        (6, {"gradient_accumulation": 2, "batch_size": 3}),
    ],
    ids=str,
)
def test_a_run_that_was_cut_off_ends_as_one_that_was_not(
    base: Path,
    questions: Path,
    tmp_path: Path,
    cut_at: Callable[[int], None],
    step: int,
    options: dict[str, Any],
) -> None:
    run(base, questions, tmp_path / "whole", **options)
    cut_at(step)
    with pytest.raises(CutOffError):
        run(base, questions, tmp_path / "cut", **options)
    _, shown = run(base, questions, tmp_path / "cut", **options)
    assert f"continuing from {tmp_path / 'cut' / f'checkpoint-{step}'}" in shown.replace("\n", "")
    whole, resumed = (result_weights(tmp_path / name) for name in ("whole", "cut"))
    assert same(whole, resumed)


def test_a_run_that_was_cut_off_after_its_last_step_is_not_trained_further(
    base: Path, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"epochs": 1.5}  # the Trainer alone would go on to the end of the epoch
    run(base, questions, tmp_path / "whole", **options)
    monkeypatch.setattr(run_module, "save_result", raise_cut)
    with pytest.raises(CutOffError):
        run(base, questions, tmp_path / "cut", **options)
    monkeypatch.undo()
    assert (tmp_path / "cut" / "checkpoint-12").exists()
    _, shown = run(base, questions, tmp_path / "cut", **options)
    assert "training" not in shown
    assert same(*(result_weights(tmp_path / name) for name in ("whole", "cut")))


def test_a_run_that_was_cut_off_while_it_was_evaluated_is_evaluated(
    base: Path, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"epochs": 1.0, "dev": questions, "limit_dev": 9}
    monkeypatch.setattr(run_module, "evaluate", raise_cut)
    with pytest.raises(CutOffError):
        run(base, questions, tmp_path, **options)
    monkeypatch.undo()
    assert not (tmp_path / METRICS).exists()
    metrics, shown = run(base, questions, tmp_path, **options)
    assert "training" not in shown
    assert metrics["training"]["steps"] == 8
    assert metrics["after"]["questions"] == 9
    assert not list(tmp_path.glob("checkpoint-*"))


def test_token_types_reach_the_adapted_model_in_training(
    base: Path, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    forward = BertEmbeddings.forward

    def watched(self: Any, **inputs: Any) -> Tensor:
        seen.append(inputs["token_type_ids"])
        result: Tensor = forward(self, **inputs)
        return result

    monkeypatch.setattr(BertEmbeddings, "forward", watched)
    run(base, questions, tmp_path, lora=True, epochs=1.0)
    assert len(seen) == 8
    for types in seen:  # [CLS] who wrote it [SEP], then the context
        assert types[:, :5].eq(0).all()
        assert types[:, 5:13].eq(1).all()


def test_a_loss_that_is_no_number_ends_the_run(base: Path, questions: Path, tmp_path: Path) -> None:
    with pytest.raises(FinetuneError, match=r"the loss is (nan|inf) at step .*--learning-rate"):
        run(base, questions, tmp_path, learning_rate=1e30, max_grad_norm=0.0, epochs=4.0)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [10_000, 200_000])
def test_a_full_disk_ends_the_run_in_one_line_and_the_run_goes_on_later(
    base: Path, questions: Path, tmp_path: Path, size: int
) -> None:
    with files_of_at_most(size), pytest.raises(FinetuneError) as caught:
        run(base, questions, tmp_path, epochs=1.0)
    assert f"cannot write to {tmp_path}" in str(caught.value)
    assert "\n" not in str(caught.value)
    metrics, _ = run(base, questions, tmp_path, epochs=1.0)
    assert metrics["training"]["steps"] == 8


def test_an_epochs_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = [7 * i % 50 + 1 for i in range(200)]

    def order(seed: int, epoch: int) -> list[int]:
        sampler = EpochSampler(8, lengths, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(seed, epoch)) for seed, epoch in [(0, 0), (0, 1), (5, 0)]}) == 3
    assert sorted(order(3, 2)) == list(range(200))
    batches = [[lengths[i] for i in order(0, 0)[at : at + 8]] for at in range(0, 200, 8)]
    padded = sum(max(batch) * len(batch) for batch in batches)
    assert padded < 1.25 * sum(lengths), "batches are not of like lengths"
