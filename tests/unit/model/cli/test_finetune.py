"""The command `spanqa-model finetune`: its options, and its failures in one line."""

import importlib.util
import json
from pathlib import Path

import pytest

from spanqa_model.finetune import run
from unit.model.finetune.runs import OPTIONS, Shell
from unit.model.finetune.squad import document, write


def test_a_finished_run_is_not_begun_again_unless_asked(
    shell: Shell, base: Path, questions: Path, tmp_path: Path
) -> None:
    files = ("--base", base, "--train", questions, "--limit-train", "8")
    command = ("finetune", *files, "--output", tmp_path / "run", *OPTIONS)
    assert shell(*command).code == 0
    assert "already finished" in shell(*command).message
    assert "was started with --seed 0, not 3" in shell(*command, "--seed", "3").message
    assert shell(*command, "--seed", "3", "--restart").code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--base", "no/such/base"), "no/such/base: no such directory"),
        (("--max-sequence-tokens", "65"), "--max-sequence-tokens 65: the model has 64 positions"),
        (("--doc-stride-tokens", "45"), "--doc-stride-tokens 45: must be positive and smaller"),
        (("--train", "no-such-file"), "no-such-file: No such file or directory"),
        (("--dev", "no-such-file"), "no-such-file: No such file or directory"),
        (("--max-sequence-tokens", "14"), "].question has 3 tokens; windows of 14 have room for 2"),
    ],
)
def test_failures_are_one_line(
    shell: Shell,
    base: Path,
    questions: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    files = ("--base", base, "--train", questions, "--output", tmp_path / "run")
    assert message in shell("finetune", *files, *OPTIONS, *options).message


def test_without_the_extra_the_error_names_it(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    hidden = {"accelerate", "peft"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n in hidden else find(n))
    done = shell("finetune", "--train", tmp_path / "x", "--output", tmp_path / "run")
    assert done.message == (
        "spanqa-model: fine-tuning needs accelerate, peft: pip install 'spanqa-model[train]'"
    )


def test_an_interrupt_is_one_line(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "finetune", interrupt)
    done = shell("finetune", "--train", tmp_path / "x", "--output", tmp_path / "run")
    assert (
        done.message
        == "spanqa-model: interrupted; the same command continues from the last checkpoint"
    )


def test_processes_but_the_first_fail_in_silence(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "3")
    assert shell("finetune", "--train", tmp_path / "x", "--output", tmp_path / "run").code == 1


def test_a_preset_is_a_base_without_its_adapter(shell: Shell, tmp_path: Path) -> None:
    train = write(tmp_path / "train.json", document(4))
    files = ("--train", train, "--output", tmp_path / "mini", "--limit-train", "2")
    following = shell("finetune", *files, *OPTIONS, "--lora").out.splitlines()[-1]
    assert following.startswith("next: spanqa-model export --preset minilm-squad --adapter ")
    config = json.loads((tmp_path / "mini" / "adapter_config.json").read_bytes())
    assert config["base_model_name_or_path"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert config["revision"].startswith("1110a243")
