"""`spanqa-model finetune`: training on SQuAD. The training libraries are imported only then."""

import importlib.util
import logging
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from spanqa_model.checkpoints.presets import PRESETS, Source
from spanqa_model.errors import FinetuneError, ModelError
from spanqa_model.finetune.allocator import keep_freed_memory
from spanqa_model.finetune.progress import Reporter
from spanqa_model.finetune.settings import (
    LEARNING_RATE,
    LORA_LEARNING_RATE,
    Settings,
    TrainingDtype,
)

EXTRA = ("transformers", "accelerate", "peft", "spanqa")


def finetune_command(
    train: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="Training questions: SQuAD 1.1 or 2.0, plain or .xz or .gz."
        ),
    ],
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="The directory for checkpoints and the result.")
    ],
    base: Annotated[
        str,
        typer.Option(
            metavar="DIR|ID|PRESET",
            help="The model to train: a directory, a hub id, or the base of a preset of export.",
        ),
    ] = "minilm-squad",
    revision: Annotated[
        str, typer.Option(metavar="COMMIT", help="The hub revision of --base.")
    ] = "",
    dev: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Questions to evaluate on at the end, like --train."),
    ] = None,
    limit_train: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Use only N questions, evenly spread over --train."),
    ] = None,
    limit_dev: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Use only N questions, evenly spread over --dev."),
    ] = None,
    lora: Annotated[
        bool,
        typer.Option("--lora", help="Train only a LoRA adapter, the LayerNorms and the head."),
    ] = False,
    lora_rank: Annotated[
        int, typer.Option(min=1, metavar="N", help="The rank of the LoRA matrices.")
    ] = 32,
    lora_alpha: Annotated[
        float, typer.Option(min=0.0, metavar="X", help="LoRA's scale is alpha / rank.")
    ] = 64.0,
    epochs: Annotated[
        float, typer.Option(min=0.01, metavar="X", help="Epochs; may be a fraction, such as 2.2.")
    ] = 2.0,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="X",
            help=f"The peak learning rate. Default: {LEARNING_RATE:g}; with --lora "
            f"{LORA_LEARNING_RATE:g}.",
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, metavar="N", help="Windows in a batch of each process.")
    ] = 12,
    gradient_accumulation: Annotated[
        int, typer.Option(min=1, metavar="N", help="Batches in one optimizer step.")
    ] = 1,
    warmup_ratio: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, metavar="X", help="The share of steps with warm-up."),
    ] = 0.0,
    weight_decay: Annotated[
        float, typer.Option(min=0.0, metavar="X", help="AdamW's weight decay.")
    ] = 0.0,
    max_grad_norm: Annotated[
        float, typer.Option(min=0.0, metavar="X", help="Gradients are clipped to this norm.")
    ] = 1.0,
    dropout: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, metavar="X", help="The dropout probability. Default: that of --base."
        ),
    ] = None,
    max_sequence_tokens: Annotated[
        int, typer.Option(metavar="N", help="The length of a window.")
    ] = 384,
    doc_stride_tokens: Annotated[
        int, typer.Option(metavar="N", help="The overlap of two windows.")
    ] = 128,
    dtype: Annotated[
        TrainingDtype,
        typer.Option(
            help="The type of matrix products. auto means bfloat16 if the device has it natively."
        ),
    ] = "auto",
    seed: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="The seed of a new head, of dropout and of order."),
    ] = 0,
    save_steps: Annotated[
        int, typer.Option(min=1, metavar="N", help="Steps between two checkpoints.")
    ] = 500,
    eval_before: Annotated[
        bool, typer.Option("--eval-before", help="Also evaluate --base before the training.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Empty --output and start again.")
    ] = False,
) -> None:
    """Fine-tune a BERT on SQuAD questions.

    After an interruption the same command continues the run. For several GPUs use torchrun.
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
    from spanqa_model.finetune.run import finetune  # imports transformers, which takes seconds

    first = os.environ.get("RANK", "0") == "0"  # set by torchrun
    quieten_libraries()
    keep_freed_memory()
    try:
        metrics = finetune(settings, Reporter(Console(stderr=True), quiet=not first))
    except KeyboardInterrupt:
        raise FinetuneError(
            "interrupted; the same command continues from the last checkpoint"
        ) from None
    except ModelError:
        if first:
            raise
        raise typer.Exit(1) from None
    if metrics is not None:
        print_outcome(settings, metrics)


def base_source(base: str, revision: str) -> Source:
    """The base of a preset, without its adapter; otherwise a source for `fetch`."""
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
    """The command that exports the result."""
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
