"""Real processes: killed ones, several at once, and what they import."""

import itertools
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from spanqa_model.checkpoints.reader import load_checkpoint
from support.processes import BIN, clean_environment
from unit.model.finetune.runs import SMALL, result_weights, run

SECONDS = 240
# Kills itself where it has written a part of the checkpoint of step 9.
KILLED_WHILE_SAVING = """
import os, signal
from transformers import Trainer
from spanqa_model.cli import main

save = Trainer._save_optimizer_and_scheduler

def save_or_die(self, directory):
    if directory.endswith("checkpoint-9"):
        os.kill(os.getpid(), signal.SIGKILL)
    save(self, directory)

Trainer._save_optimizer_and_scheduler = save_or_die
main()
"""


def arguments(base: Path, train: Path, output: Path, **changes: object) -> list[str]:
    options = SMALL | {"base": base, "train": train, "output": output} | changes
    flags = ((f"--{name.replace('_', '-')}", str(value)) for name, value in options.items())
    return ["finetune", *itertools.chain(*flags)]


def start(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=clean_environment() | {"OMP_NUM_THREADS": "1"},
        check=False,
    )


def test_a_run_that_was_killed_while_it_saved_ends_as_one_that_was_not(
    base: Path, questions: Path, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    command = arguments(base, questions, killed)
    process = start(sys.executable, "-c", KILLED_WHILE_SAVING, *command)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert (killed / "checkpoint-9" / "model.safetensors").exists()
    metrics, shown = run(base, questions, killed)  # the same settings
    assert "checkpoint-6" in shown
    assert metrics["training"]["steps"] == 16
    run(base, questions, tmp_path / "whole")
    one, other = (result_weights(path) for path in (killed, tmp_path / "whole"))
    for name, tensor in one.items():
        assert tensor.equal(other[name]), name


def test_the_command_imports_the_training_libraries_only_when_it_runs() -> None:
    code = (
        "import sys, spanqa_model.cli.app; "
        "print(sorted({'transformers', 'peft', 'accelerate'} & set(sys.modules)))"
    )
    assert start(sys.executable, "-c", code).stdout == "[]\n"


@pytest.mark.slow
def test_two_processes_train_as_one_with_batches_twice_as_large(
    base: Path, questions: Path, tmp_path: Path
) -> None:
    options = {"dropout": 0.0, "learning_rate": 1e-4}
    process = start(
        *(BIN / "torchrun", "--standalone", "--nproc-per-node", "2", BIN / "spanqa-model"),
        *arguments(base, questions, tmp_path / "two", **options, dev=questions),
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("result: ") == 1
    assert process.stderr.count("training: 128 examples in") == 1
    metrics, _ = run(base, questions, tmp_path / "one", **options, batch_size=16)
    assert metrics["training"]["steps"] == 8
    run(base, questions, tmp_path / "half", **options)
    one, two, half = (changes(base, tmp_path / name) for name in ("one", "two", "half"))
    # Not equal: AdamW moves weights with hardly any gradient by the sign of rounding errors.
    assert (
        torch.cosine_similarity(one, two, dim=0) > 0.97 > torch.cosine_similarity(one, half, dim=0)
    )


def changes(base: Path, output: Path) -> Tensor:
    """By how much each weight of the base was moved, in one vector."""
    before, after = load_checkpoint(base).state_dict, result_weights(output)
    return torch.cat([(after[name] - before[name]).flatten() for name in sorted(before)])
