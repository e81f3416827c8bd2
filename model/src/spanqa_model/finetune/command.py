"""The command `spanqa-model finetune`. Imports the training libraries only when it runs."""

import importlib.util
import logging
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from spanqa_model.errors import FinetuneError, ModelError
from spanqa_model.finetune.allocator import keep_freed_memory
from spanqa_model.finetune.progress import Reporter
from spanqa_model.finetune.settings import (
    LEARNING_RATE,
    LORA_LEARNING_RATE,
    Settings,
    TrainingDtype,
)
from spanqa_model.presets import PRESETS, Source

EXTRA = ("transformers", "accelerate", "peft")


def finetune_command(
    train: Annotated[Path, typer.Option(help="Questions: SQuAD 1.1 or 2.0; plain, .xz or .gz.")],
    output: Annotated[Path, typer.Option(help="Directory of the result and the checkpoints.")],
    base: Annotated[
        str, typer.Option(help=f"A directory, a hub id, or the base of: {', '.join(PRESETS)}.")
    ] = "minilm-squad",
    revision: Annotated[str, typer.Option(help="The hub revision of --base.")] = "",
    dev: Annotated[
        Path | None, typer.Option(help="Questions to evaluate on at the end, like --train.")
    ] = None,
    limit_train: Annotated[
        int | None, typer.Option(min=1, help="Take this many questions, spread over the file.")
    ] = None,
    limit_dev: Annotated[int | None, typer.Option(min=1, help="The same of --dev.")] = None,
    lora: Annotated[
        bool, typer.Option("--lora", help="Train a LoRA adapter, LayerNorms and the head only.")
    ] = False,
    lora_rank: Annotated[int, typer.Option(min=1, help="Rank of its matrices.")] = 32,
    lora_alpha: Annotated[float, typer.Option(min=0.0, help="It scales by alpha / rank.")] = 64.0,
    epochs: Annotated[float, typer.Option(min=0.01, help="May be a fraction, as 2.2.")] = 2.0,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help=f"The highest. Default: {LEARNING_RATE:g}, with --lora {LORA_LEARNING_RATE:g}.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Windows a step and process.")] = 12,
    gradient_accumulation: Annotated[
        int, typer.Option(min=1, help="Batches that make one step.")
    ] = 1,
    warmup_ratio: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Part of the steps that warms up.")
    ] = 0.0,
    weight_decay: Annotated[float, typer.Option(min=0.0, help="Of AdamW.")] = 0.0,
    max_grad_norm: Annotated[float, typer.Option(min=0.0, help="Clips gradients.")] = 1.0,
    dropout: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Default: the base's own.")
    ] = None,
    max_sequence_tokens: Annotated[int, typer.Option(help="Longest window.")] = 384,
    doc_stride_tokens: Annotated[int, typer.Option(help="What windows share.")] = 128,
    dtype: Annotated[
        TrainingDtype, typer.Option(help="Of products. auto: bfloat16 where it is native.")
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of a new head, dropout, the order.")] = 0,
    save_steps: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 500,
    eval_before: Annotated[
        bool, typer.Option("--eval-before", help="Evaluate the untrained model too.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Empty --output and begin anew.")
    ] = False,
) -> None:
    """Fine-tune a BERT on SQuAD questions.

    The same command continues a run that was cut off. For many GPUs start it with torchrun.
    """
    settings = Settings(
        base=base_source(base, revision),
        train=train,
        output=output,
        dev=dev,
        limit_train=limit_train,
        limit_dev=limit_dev,
        max_sequence_tokens=max_sequence_tokens,
        doc_stride_tokens=doc_stride_tokens,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        gradient_accumulation=gradient_accumulation,
        warmup_ratio=warmup_ratio,
        weight_decay=weight_decay,
        max_grad_norm=max_grad_norm,
        dropout=dropout,
        seed=seed,
        lora=lora,
        lora_rank=lora_rank,
        lora_alpha=lora_alpha,
        dtype=dtype,
        save_steps=save_steps,
        eval_before=eval_before,
        restart=restart,
    )
    require_libraries()
    from spanqa_model.finetune.run import finetune  # takes seconds: it imports transformers

    first = os.environ.get("RANK", "0") == "0"  # torchrun's
    quieten_libraries()
    keep_freed_memory()
    try:
        metrics = finetune(settings, Reporter(Console(stderr=True), quiet=not first))
    except KeyboardInterrupt:
        raise FinetuneError(
            "interrupted; the same command goes on from the last checkpoint"
        ) from None
    except ModelError:
        if first:
            raise
        raise typer.Exit(1) from None
    if metrics is not None:
        print_outcome(settings, metrics)


def base_source(base: str, revision: str) -> Source:
    """A preset's base without its adapter, or whatever `fetch` finds under the name."""
    if base in PRESETS:
        return replace(PRESETS[base], adapter=None)
    return Source(name=Path(base).name, repository=base, revision=revision)


def require_libraries() -> None:
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise FinetuneError(
            f"fine-tuning needs {', '.join(missing)}: pip install 'spanqa-model[train]'"
        )


def quieten_libraries() -> None:
    for name in ("transformers", "accelerate", "peft"):
        logging.getLogger(name).setLevel(logging.ERROR)


def print_outcome(settings: Settings, metrics: dict[str, Any]) -> None:
    for when in ("before", "after"):
        if scores := metrics.get(when):
            print(f"{when}: " + describe(scores))
    print("result: " + str(settings.output))
    print("next: " + export_command(settings))


def describe(scores: dict[str, float]) -> str:
    text = (
        f"EM {scores['exact_match']:.2f}, F1 {scores['f1']:.2f} on {scores['questions']} questions"
    )
    if "unanswerable_questions" in scores and "answerable_questions" in scores:
        text += (
            f" (answerable: {scores['answerable_f1']:.2f} F1; "
            f"unanswerable: {scores['unanswerable_exact_match']:.2f} EM)"
        )
    return text


def export_command(settings: Settings) -> str:
    """What makes a model version of the result."""
    output, name = str(settings.output), settings.output.resolve().name
    if not settings.lora:
        arguments = ["--checkpoint", output]
    elif settings.base.name in PRESETS:
        arguments = ["--preset", settings.base.name, "--adapter", output, "--name", name]
    else:
        arguments = ["--checkpoint", settings.base.repository, "--adapter", output, "--name", name]
        if settings.base.revision:
            arguments += ["--revision", settings.base.revision]
    return shlex.join(["spanqa-model", "export", *arguments])
