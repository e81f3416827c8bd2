"""The command `spanqa-model finetune`, and the export of what it leaves behind."""

import importlib.util
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoTokenizer, BertForQuestionAnswering
from typer.testing import CliRunner

from spanqa_model.build import torchscript_deprecation_accepted
from spanqa_model.checkpoint import load_tokenizer
from spanqa_model.cli import app, main
from spanqa_model.finetune import run
from spanqa_model.versions import MODEL_NAME
from unit.model.finetune.squad import document, write
from unit.model.tiny import edit_json, random_windows, reference_logits

SMALL = (
    *("--max-sequence-tokens", "48", "--doc-stride-tokens", "8", "--epochs", "1"),
    *("--batch-size", "16", "--dtype", "float32"),
)
Shell = Callable[..., object]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Run `spanqa-model` as from a shell; returns what the process would exit with."""

    def start(*arguments: str | Path) -> object:
        monkeypatch.setattr(sys, "argv", ["spanqa-model", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code

    return start


def exported(repository: Path) -> tuple[dict[str, Any], torch.jit.ScriptModule]:
    version = repository / MODEL_NAME / "1"
    with torchscript_deprecation_accepted():
        module: torch.jit.ScriptModule = torch.jit.load(str(version / "model.pt"))
    return json.loads((version / "model.json").read_bytes()), module


def assert_same_logits(module: torch.jit.ScriptModule, reference: BertForQuestionAnswering) -> None:
    windows = random_windows([12, 48, 3], vocab_size=150)
    with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        packed = module(*windows)
    for got, want in zip(packed, reference_logits(reference.eval(), *windows), strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-3)


@pytest.mark.parametrize("lora", [False, True])
def test_a_result_is_exported_by_the_command_that_is_printed(
    shell: Shell,
    base: Path,
    questions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    lora: bool,
) -> None:
    output = tmp_path / "my run"
    options = ("--lora", "--lora-rank", "4", "--lora-alpha", "10") if lora else ()
    files = ("--base", base, "--train", questions, "--dev", questions, "--output", output)
    assert shell("finetune", *files, *SMALL, *options, "--eval-before") == 0
    captured = capsys.readouterr()
    before, after, result, following = captured.out.splitlines()
    assert before.startswith("before: EM ")
    assert after.startswith("after: EM ")
    assert after.endswith(" on 64 questions")
    assert result == f"result: {output}"
    program, *export = shlex.split(following.removeprefix("next: "))
    assert program == "spanqa-model"
    target = ("--repository", tmp_path, "--dtype", "float32", "--device", "cpu")
    assert shell(*export, *target) == 0
    manifest, module = exported(tmp_path)
    assert manifest["name"] == "my run"
    assert manifest["has_no_answer"] is False
    assert (manifest["max_sequence_tokens"], manifest["doc_stride_tokens"]) == (48, 8)
    if lora:
        plain = BertForQuestionAnswering.from_pretrained(base)
        reference = PeftModel.from_pretrained(plain, str(output)).merge_and_unload()
        config = json.loads((output / "adapter_config.json").read_bytes())
        assert config["base_model_name_or_path"] == str(base)
    else:
        reference = BertForQuestionAnswering.from_pretrained(output)
    assert_same_logits(module, reference)


def test_the_tokenizer_of_a_result_is_the_bases(
    shell: Shell, base: Path, questions: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    assert (
        shell(
            *("finetune", "--base", base, "--train", questions, "--limit-train", "8"),
            *("--output", output, *SMALL),
        )
        == 0
    )
    expected = load_tokenizer(base).encode("Who wrote", "the Café?")
    assert load_tokenizer(output).to_str() == load_tokenizer(base).to_str()
    assert AutoTokenizer.from_pretrained(output)("Who wrote", "the Café?").input_ids == expected.ids


def test_squad_2_ends_as_a_version_with_no_answer(
    shell: Shell,
    base: Path,
    questions_v2: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "run"
    files = ("--base", base, "--train", questions_v2, "--dev", questions_v2, "--output", output)
    recipe = ("--lora", "--learning-rate", "1e-2", "--dropout", "0", "--batch-size", "8")
    assert shell("finetune", *files, *SMALL, *recipe, "--epochs", "20") == 0
    assert "unanswerable: " in capsys.readouterr().out
    metrics = json.loads((output / "metrics.json").read_bytes())["after"]
    assert metrics["unanswerable_questions"] == 22
    assert metrics["answerable_questions"] == 42
    assert metrics["unanswerable_exact_match"] > 80
    assert metrics["answerable_exact_match"] > 80
    target = ("--repository", tmp_path, "--dtype", "float32", "--device", "cpu")
    assert shell("export", "--checkpoint", base, "--adapter", output, *target) == 0
    assert exported(tmp_path)[0]["has_no_answer"] is True


def test_export_believes_its_flags_before_what_was_recorded(
    shell: Shell, checkpoint: Path, tmp_path: Path
) -> None:
    facts = {"has_no_answer": False, "max_sequence_tokens": 40, "doc_stride_tokens": 9}
    edit_json(checkpoint / "spanqa.json", **facts)
    target = ("--repository", tmp_path, "--dtype", "float32", "--device", "cpu")
    flags = ("--no-answer", "--doc-stride-tokens", "10")
    assert shell("export", "--checkpoint", checkpoint, *target, *flags) == 0
    manifest, _ = exported(tmp_path)
    assert manifest["has_no_answer"] is True
    assert (manifest["max_sequence_tokens"], manifest["doc_stride_tokens"]) == (40, 10)


@pytest.mark.parametrize("changes", [{"has_no_answer": "no"}, {"doc_stride_tokens": None}])
def test_a_damaged_record_is_named(
    shell: Shell, checkpoint: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    facts = {"has_no_answer": False, "max_sequence_tokens": 40, "doc_stride_tokens": 9}
    edit_json(checkpoint / "spanqa.json", **facts | changes)
    text = shell("export", "--checkpoint", checkpoint, "--repository", tmp_path)
    (name,) = changes
    assert str(text).startswith(f"spanqa-model: {checkpoint}/spanqa.json: {name} is missing or")


def test_a_finished_run_is_not_begun_again_unless_asked(
    shell: Shell, base: Path, questions: Path, tmp_path: Path
) -> None:
    files = ("--base", base, "--train", questions, "--limit-train", "8")
    command = ("finetune", *files, "--output", tmp_path / "run", *SMALL)
    assert shell(*command) == 0
    assert "finished already" in str(shell(*command))
    assert "was begun with --seed 0, not 3" in str(shell(*command, "--seed", "3"))
    assert shell(*command, "--seed", "3", "--restart") == 0


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
    text = shell("finetune", *files, *SMALL, *options)
    assert isinstance(text, str)
    assert text.startswith("spanqa-model: ")
    assert message in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "run"], "Missing option '--train'"),
        (["--train", "x", "--output", "run", "--epochs", "0"], "--epochs"),
        (["--train", "x", "--output", "run", "--dtype", "float16"], "bfloat16"),
        (["--train", "x", "--output", "run", "--limit-train", "0"], "--limit-train"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["finetune", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert message in result.stderr


def test_without_the_extra_the_error_names_it(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    hidden = {"accelerate", "peft"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n in hidden else find(n))
    text = shell("finetune", "--train", tmp_path / "x", "--output", tmp_path / "run")
    assert text == (
        "spanqa-model: fine-tuning needs accelerate, peft: pip install 'spanqa-model[train]'"
    )


def test_an_interrupt_is_one_line(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "finetune", interrupt)
    text = shell("finetune", "--train", tmp_path / "x", "--output", tmp_path / "run")
    assert text == "spanqa-model: interrupted; the same command goes on from the last checkpoint"


def test_processes_but_the_first_fail_in_silence(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "3")
    assert shell("finetune", "--train", tmp_path / "x", "--output", tmp_path / "run") == 1


def test_a_preset_is_a_base_without_its_adapter(
    shell: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write(tmp_path / "train.json", document(4))
    files = ("--train", train, "--output", tmp_path / "mini", "--limit-train", "2")
    assert shell("finetune", *files, *SMALL, "--lora") == 0
    following = capsys.readouterr().out.splitlines()[-1]
    assert following.startswith("next: spanqa-model export --preset minilm-squad --adapter ")
    config = json.loads((tmp_path / "mini" / "adapter_config.json").read_bytes())
    assert config["base_model_name_or_path"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert config["revision"].startswith("1110a243")
