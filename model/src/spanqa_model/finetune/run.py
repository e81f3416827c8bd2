"""A fine-tuning run, from its settings to its result and its scores."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from spanqa.squad import Dataset, Question
from spanqa_model.checkpoints.fetching import fetch, verify_weights
from spanqa_model.checkpoints.lora import merge_adapter
from spanqa_model.checkpoints.reader import Checkpoint, load_checkpoint
from spanqa_model.checkpoints.training_facts import TrainingFacts, check_limits
from spanqa_model.checkpoints.training_figures import METRICS
from spanqa_model.checkpoints.weights import check_finite
from spanqa_model.finetune.data import evaluation_data, sha256_of_all, training_data
from spanqa_model.finetune.evaluation import evaluate
from spanqa_model.finetune.features import TrainingWindows, Windows
from spanqa_model.finetune.model import add_lora, build_model
from spanqa_model.finetune.progress import Reporter
from spanqa_model.finetune.results import save_result
from spanqa_model.finetune.rundir import RunDirectory, is_last
from spanqa_model.finetune.settings import Settings
from spanqa_model.finetune.training import Trained, train, training_arguments
from spanqa_model.packed_bert.devices import Device, default_device

Weights = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Inputs:
    """All inputs of a run, validated."""

    settings: Settings
    directory: Path  # of the base
    base: Checkpoint
    base_sha256: str
    train_questions: Sequence[Question]
    dev_questions: Sequence[Question]
    facts: TrainingFacts
    windows: Windows
    device: Device


def finetune(settings: Settings, reporter: Reporter) -> dict[str, Any] | None:
    """Train, save and evaluate, or continue an interrupted run with the same settings.

    Under torchrun every process calls this; the first one saves and evaluates.

    Returns:
        The content of metrics.json; None in all processes but the first.

    Raises:
        ModelError: the inputs, the settings or the output directory cannot be used, or the loss is
            no longer finite.
    """
    inputs = read_inputs(settings, reporter)
    arguments = training_arguments(settings, cuda=inputs.device == "cuda")
    first = arguments.process_index == 0
    if inputs.device == "cuda" and arguments.world_size < torch.cuda.device_count():
        reporter.say(
            "not all GPUs are used: torchrun --nproc-per-node N starts a process for each of N"
        )
    run = RunDirectory(settings.output)
    with run.locked() if first else nullcontext():
        with arguments.main_process_first(local=False):
            if first:
                identity = settings.identity(
                    base_sha256=inputs.base_sha256,
                    train_sha256=sha256_of_all(settings.train),
                    processes=arguments.world_size,
                )
                run.begin(identity, restart=settings.restart)
            else:
                run.load()
        if first and settings.eval_before and settings.dev and "before" not in run.state:
            run.update(before=evaluate_weights(inputs, inputs.base.state_dict, reporter))
        if not run.state.get("saved"):
            trained = train_or_resume(inputs, arguments, run, reporter)
            if first:
                save(inputs, run, trained)
        if distributed.is_initialized():
            distributed.destroy_process_group()
        return conclude(inputs, run, reporter) if first else None


def read_inputs(settings: Settings, reporter: Reporter) -> Inputs:
    fetched = fetch(settings.source)
    base = load_checkpoint(fetched.directory, reporter.say)
    check_finite(base.state_dict, fetched.directory)
    train = training_data(settings.train, settings.limit_train, skip_bad=settings.skip_bad)
    dev = evaluation_data(settings.dev, settings.limit_dev) if settings.dev else Dataset([])
    for notice in (*train.notices, *dev.notices):
        reporter.say(notice)
    facts = TrainingFacts(
        settings.max_sequence_tokens,
        settings.doc_stride_tokens,
        has_no_answer=not all(question.answers for question in train.questions),
    )
    check_limits(facts, base.config.max_position_embeddings)
    return Inputs(
        settings=settings,
        directory=fetched.directory,
        base=base,
        base_sha256=verify_weights(base.weights_file, settings.source.weights_sha256),
        train_questions=train.questions,
        dev_questions=dev.questions,
        facts=facts,
        windows=Windows(
            base.tokenizer,
            max_sequence_tokens=settings.max_sequence_tokens,
            doc_stride_tokens=settings.doc_stride_tokens,
        ),
        device=default_device(),
    )


def train_or_resume(
    inputs: Inputs, arguments: Any, run: RunDirectory, reporter: Reporter
) -> Trained | None:
    """Train to the checkpoint of the last step; None if it already exists."""
    settings, checkpoint = inputs.settings, run.last_checkpoint()
    if checkpoint is not None:
        if is_last(checkpoint):
            return None
        reporter.say(f"continuing from {checkpoint}")
    questions = inputs.train_questions
    with reporter.phase("cutting windows", "questions", len(questions)) as phase:
        windows = TrainingWindows(inputs.windows.cut(questions, phase.update), questions)
    model = build_model(
        inputs.directory,
        inputs.base.state_dict,
        seed=settings.seed,
        dropout=settings.dropout,
        device=inputs.device,
    )
    if settings.lora:
        model = add_lora(
            model,
            rank=settings.lora_rank,
            alpha=settings.lora_alpha,
            bfloat16=settings.bfloat16,
        )
    return train(model, windows, arguments, reporter, checkpoint=checkpoint)


def save(inputs: Inputs, run: RunDirectory, trained: Trained | None) -> None:
    checkpoint = run.last_checkpoint()
    assert checkpoint is not None
    save_result(
        checkpoint,
        run.path,
        base=inputs.settings.source,
        base_directory=inputs.directory,
        tokenizer=inputs.base.tokenizer,
        facts=inputs.facts,
    )
    run.update(saved=True, training=asdict(trained) if trained else None)


def conclude(inputs: Inputs, run: RunDirectory, reporter: Reporter) -> dict[str, Any]:
    """Evaluate the saved weights and write metrics.json, which marks the run as finished."""
    run.remove_checkpoints()
    metrics = {"training": run.state["training"]}
    if inputs.settings.dev:
        metrics["before"] = run.state.get("before")
        metrics["after"] = evaluate_weights(inputs, saved_weights(inputs, run.path), reporter)
    run.write(METRICS, metrics)
    return metrics


def saved_weights(inputs: Inputs, output: Path) -> Weights:
    """The saved weights, read as the exporter will read them."""
    if inputs.settings.lora:
        return merge_adapter(inputs.base.state_dict, output)
    return load_checkpoint(output).state_dict


def evaluate_weights(inputs: Inputs, weights: Weights, reporter: Reporter) -> dict[str, float]:
    """Exact match and F1 on the dev questions. Weights without a head get a new one."""
    windows = list(inputs.windows.cut(inputs.dev_questions))
    model = build_model(inputs.directory, weights, seed=inputs.settings.seed, device=inputs.device)
    with reporter.phase("evaluating", "windows", len(windows)) as phase:
        return evaluate(
            model,
            inputs.dev_questions,
            windows,
            bfloat16=inputs.settings.bfloat16,
            no_answer=inputs.facts.has_no_answer,
            on_done=phase.update,
        )
