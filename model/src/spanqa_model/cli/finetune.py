"""`spanqa-model finetune`: training on SQuAD. The training libraries are imported only then."""

import importlib.util
import logging
import os
import shlex
from functools import wraps
from typing import Any

import typer
from rich.console import Console

from spanqa_model.checkpoints.presets import PRESETS
from spanqa_model.errors import FinetuneError, ModelError
from spanqa_model.finetune.allocator import keep_freed_memory
from spanqa_model.finetune.progress import Reporter
from spanqa_model.finetune.settings import Settings

EXTRA = ("transformers", "accelerate", "peft", "spanqa")


# Typer reads the options of the command from the fields of the settings.
@wraps(Settings, assigned=("__annotations__",), updated=())
def finetune_command(**options: Any) -> None:
    """Fine-tune a BERT on SQuAD questions.

    After an interruption the same command continues the run. For several GPUs use torchrun.
    """
    settings = Settings(**options)
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


def require_libraries() -> None:
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise FinetuneError(
            f"fine-tuning needs {', '.join(missing)}: pip install 'spanqa-model[train]'"
        )


def quieten_libraries() -> None:
    for name in EXTRA:
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
    else:
        base = "--preset" if settings.base in PRESETS else "--checkpoint"
        arguments = [base, settings.base, "--adapter", output, "--name", name]
        if settings.revision and settings.base not in PRESETS:
            arguments += ["--revision", settings.revision]
    return shlex.join(["spanqa-model", "export", *arguments])
