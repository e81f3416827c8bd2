"""The training loop: the Trainer of transformers, configured for windows of questions."""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler

from spanqa_model.errors import FinetuneError
from spanqa_model.finetune.features import TrainingWindows, collate
from spanqa_model.finetune.progress import Phase, Reporter
from spanqa_model.finetune.rundir import cannot_write, complete_checkpoint
from spanqa_model.finetune.settings import Settings

LOGGING_STEPS = 10


@dataclass(frozen=True, slots=True)
class Trained:
    """The outcome of the training loop; rate and time exclude the work before a resume."""

    steps: int
    examples_per_second: float
    seconds: float
    loss: float | None  # the mean of the last steps; None after very few steps


def training_arguments(settings: Settings, *, cuda: bool) -> TrainingArguments:
    """The settings of the Trainer. Under torchrun this joins the process group."""
    arguments = TrainingArguments(
        output_dir=str(settings.output),
        num_train_epochs=settings.epochs,
        learning_rate=settings.peak_learning_rate,
        lr_scheduler_type="linear",
        warmup_ratio=settings.warmup_ratio,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation,
        seed=settings.seed,
        bf16=settings.bfloat16,
        use_cpu=not cuda,
        save_strategy="steps",
        save_steps=settings.save_steps,
        # Two, because the Trainer removes the oldest before the newest is complete.
        save_total_limit=2,
        logging_steps=LOGGING_STEPS,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        label_names=["start_positions", "end_positions"],
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
        ddp_timeout=7200,
        dataloader_pin_memory=cuda,
        disable_tqdm=True,
        report_to="none",
        log_level="error",
        log_level_replica="error",
    )
    # One GPU for each process: DataParallel on several would multiply the batch size.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


class EpochSampler(LengthGroupedSampler):  # type: ignore[misc]
    """Batches of similar lengths, in an order that depends only on the seed and the epoch.

    So a run that is resumed within an epoch sees the rest of it, and nothing twice.
    """

    def __init__(self, batch_size: int, lengths: list[int], seed: int) -> None:
        super().__init__(batch_size, lengths=lengths, generator=torch.Generator())
        self._seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader at the start of an epoch."""
        self.generator.manual_seed(self._seed + epoch)


class WindowTrainer(Trainer):  # type: ignore[misc]
    """The Trainer with a reproducible order of examples, and with clear errors."""

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, RuntimeError, SafetensorError) as error:  # torch raises RuntimeError
            raise cannot_write(Path(self.args.output_dir), error) from None

    def _get_train_sampler(self, train_dataset: TrainingWindows | None = None) -> EpochSampler:
        windows = train_dataset if train_dataset is not None else self.train_dataset
        return EpochSampler(examples_per_step(self.args), windows.lengths, self.args.seed)


class CheckpointMarker(TrainerCallback):  # type: ignore[misc]
    """Marks a checkpoint as complete once all processes have written their parts."""

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        args.distributed_state.wait_for_everyone()
        if state.is_world_process_zero:
            complete_checkpoint(Path(args.output_dir) / f"checkpoint-{state.global_step}")


class TrainingProgress(TrainerCallback):  # type: ignore[misc]
    """Reports examples and loss to a phase; stops the run if the loss is not finite."""

    def __init__(self, phase: Phase) -> None:
        self._phase = phase
        self._examples_per_step = 0
        self.loss: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._examples_per_step = examples_per_step(args)
        self._phase.begin(
            total=state.max_steps * self._examples_per_step,
            already=state.global_step * self._examples_per_step,
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._phase.update(state.global_step * self._examples_per_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        if "loss" not in logs:
            return
        self.loss = loss = logs["loss"]
        if not math.isfinite(loss):
            raise FinetuneError(
                f"the loss is {loss} at step {state.global_step}; lower --learning-rate "
                "and start again with --restart"
            )
        self._phase.note = f"loss {loss:.3f}"


def examples_per_step(arguments: TrainingArguments) -> int:
    """Examples in one step of the optimizer, over all processes."""
    batches: int = arguments.gradient_accumulation_steps * arguments.world_size
    return batches * int(arguments.train_batch_size)


def train(
    model: nn.Module,
    windows: TrainingWindows,
    arguments: TrainingArguments,
    reporter: Reporter,
    *,
    checkpoint: Path | None,
) -> Trained:
    """Train to the last step. The output directory gets the checkpoints, that of the end included.

    Args:
        model: the model, which is trained in place.
        windows: the training data.
        arguments: from `training_arguments`.
        reporter: shows the progress.
        checkpoint: where to continue; None starts with the model as it is.

    Raises:
        FinetuneError: the loss is no longer finite, or the GPU's memory is too small.
    """
    trainer = WindowTrainer(
        model=model, args=arguments, train_dataset=windows, data_collator=collate
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(CheckpointMarker())
    with reporter.phase("training", "examples") as phase, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries warn about each other
        progress = TrainingProgress(phase)
        trainer.add_callback(progress)
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except torch.OutOfMemoryError:
            raise FinetuneError(
                "the GPU's memory is too small; lower --batch-size and raise "
                "--gradient-accumulation by the same factor"
            ) from None
    return Trained(trainer.state.global_step, phase.rate, phase.seconds, progress.loss)
