"""The command `spanqa-model export`: its options, and its failures in one line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spanqa_model.checkpoints.presets import PRESETS
from spanqa_model.cli.app import app
from spanqa_model.export import STEPS
from spanqa_model.repository.versions import MODEL_NAME
from unit.model.cli.commands import run_main
from unit.model.tiny import edit_json

OPTIONS = ("--device", "cpu", "--dtype", "float32")
LIMITS = ("--max-sequence-tokens", "48", "--doc-stride-tokens", "16")


def test_export_of_a_directory(
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ("export", "--checkpoint", tiny_checkpoint, "--repository", tmp_path)
    assert run_main(monkeypatch, *arguments, *OPTIONS, *LIMITS, "--no-answer") == 0
    captured = capsys.readouterr()
    report, last = captured.out.splitlines()
    assert report.startswith("parity with the eager float32 module on 8 windows")
    assert last == f"tiny-bert (float32, cpu) is version {tmp_path / MODEL_NAME / '1'}"
    progress = captured.err.splitlines()
    assert len(progress) == STEPS
    assert progress[-1] == f"[{STEPS}/{STEPS}] writing the version"
    manifest = json.loads((tmp_path / MODEL_NAME / "1" / "model.json").read_bytes())
    assert manifest["name"] == "tiny-bert"
    assert manifest["has_no_answer"] is True
    assert manifest["max_sequence_tokens"] == 48
    assert manifest["doc_stride_tokens"] == 16


def test_name_version_and_repository_are_obeyed(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPANQA_MODEL_REPOSITORY", str(tmp_path / "mine"))
    arguments = ("export", "--checkpoint", tiny_checkpoint, "--name", "other", "--version", "7")
    assert run_main(monkeypatch, *arguments, *OPTIONS, *LIMITS) == 0
    manifest = json.loads((tmp_path / "mine" / MODEL_NAME / "7" / "model.json").read_bytes())
    assert manifest["name"] == "other"
    assert manifest["has_no_answer"] is False


def break_nothing(_: Path) -> None:
    pass


def lose_the_weights(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()


def damage_the_weights(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").write_bytes(b"\x00" * 100)


def damage_the_configuration(checkpoint: Path) -> None:
    (checkpoint / "config.json").write_text("{\n\n oops", encoding="utf-8")


def take_another_architecture(checkpoint: Path) -> None:
    edit_json(checkpoint / "config.json", model_type="t5")


@pytest.mark.parametrize(
    ("damage", "options", "message"),
    [
        (break_nothing, ("--checkpoint", "no/such/place"), "no/such/place: no such directory"),
        (break_nothing, ("--adapter", "no-adapter"), "adapter_config.json: missing"),
        (break_nothing, ("--max-sequence-tokens", "65"), "the model has 64 positions"),
        (break_nothing, (), "--max-sequence-tokens 384: the model has 64 positions"),
        (lose_the_weights, LIMITS, "holds neither model.safetensors nor pytorch_model.bin"),
        (damage_the_weights, LIMITS, "model.safetensors: corrupt"),
        (damage_the_configuration, LIMITS, "config.json: not readable as JSON"),
        (take_another_architecture, LIMITS, "model_type is 't5'"),
    ],
)
def test_failures_are_one_line_and_exit_code_1(
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: object,
    options: tuple[str, ...],
    message: str,
) -> None:
    assert callable(damage)
    damage(checkpoint)
    monkeypatch.chdir(tmp_path)
    limits = () if options == () or "--max-sequence-tokens" in options else LIMITS
    arguments = ("export", "--checkpoint", checkpoint, "--repository", tmp_path / "r")
    text = run_main(monkeypatch, *arguments, *OPTIONS, *limits, *options)
    # sys.exit(text) prints the text on stderr and exits with code 1.
    assert isinstance(text, str)
    assert text.startswith("spanqa-model: ")
    assert message in text
    assert "\n" not in text
    assert [p.name for p in (tmp_path / "r" / MODEL_NAME).glob("[0-9]*")] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "bert-huge"], "the presets are minilm-squad, bert-large-cased-squad"),
        (["--preset", "minilm-squad", "--checkpoint", "x"], "not both"),
        (["--version", "0"], "--version"),
        (["--dtype", "int8"], "float32"),
        (["--device", "tpu"], "cuda"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["export", "--repository", str(tmp_path), *arguments], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_empty_checkpoint_is_not_the_default_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a shell variable is empty."""
    monkeypatch.chdir(tmp_path)
    text = run_main(monkeypatch, "export", "--checkpoint", "", "--repository", tmp_path, *OPTIONS)
    assert "config.json: missing" in str(text)


def test_help_names_the_presets() -> None:
    result = CliRunner().invoke(app, ["export", "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert all(preset in result.stdout for preset in PRESETS)
