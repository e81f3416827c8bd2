"""The command `spanqa-model export`: its options, and its failures in one line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from spanqa_model.cli.export import choose_source
from spanqa_model.export import STEPS
from spanqa_model.figures import Figures
from spanqa_model.packed_bert.devices import native_dtypes
from spanqa_model.repository.versions import MODEL_NAME
from unit.model.exporting import load, manifest_of
from unit.model.finetune.runs import Shell
from unit.model.tiny import edit_json

OPTIONS = ("--device", "cpu", "--dtype", "float32")
LIMITS = ("--max-sequence-tokens", "48", "--doc-stride-tokens", "16")


def test_export_of_a_directory(shell: Shell, tiny_checkpoint: Path, tmp_path: Path) -> None:
    files = ("--checkpoint", tiny_checkpoint, "--repository", tmp_path)
    done = shell("export", *files, *OPTIONS, *LIMITS, "--no-answer")
    report, last = done.out.splitlines()
    version = tmp_path / MODEL_NAME / "1"
    assert report.startswith("parity with the eager float32 module on 8 windows")
    assert last == f"tiny-bert (float32, cpu) is version {version}"
    progress = done.err.splitlines()
    assert len(progress) == STEPS
    assert progress[-1] == f"[{STEPS}/{STEPS}] writing the version"
    manifest = manifest_of(version)
    assert (manifest["name"], manifest["has_no_answer"]) == ("tiny-bert", True)
    assert (manifest["max_sequence_tokens"], manifest["doc_stride_tokens"]) == (48, 16)
    assert manifest["attention"] == "windowed"


def test_name_version_repository_and_attention_are_obeyed(
    shell: Shell, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPANQA_MODEL_REPOSITORY", str(tmp_path / "mine"))
    chosen = ("--name", "other", "--version", "7", "--attention", "grouped")
    assert shell("export", "--checkpoint", tiny_checkpoint, *chosen, *OPTIONS, *LIMITS).code == 0
    version = tmp_path / "mine" / MODEL_NAME / "7"
    manifest = manifest_of(version)
    assert (manifest["name"], manifest["attention"]) == ("other", "grouped")
    assert manifest["has_no_answer"] is False
    assert "scaled_dot_product_attention" in str(load(version).inlined_graph)


def test_without_a_dtype_the_fastest_is_chosen_and_the_others_rates_are_said(
    shell: Shell, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    files = ("--checkpoint", tiny_checkpoint, "--repository", tmp_path)
    done = shell("export", *files, "--device", "cpu", *LIMITS)
    _, choice, last = done.out.splitlines()
    chosen = manifest_of(tmp_path / MODEL_NAME / "1")["dtype"]
    assert chosen != "int8"
    assert f"tiny-bert ({chosen}, cpu)" in last
    assert choice.startswith(f"{chosen} was chosen; tokens/s of two layers on one core: float32 ")
    assert [dtype for dtype in native_dtypes() if f"{dtype} " not in choice] == []


def test_a_presets_figures_are_none_of_another_adapters(tmp_path: Path) -> None:
    own = choose_source("minilm-squad", None, "", None)
    other = choose_source("minilm-squad", None, "", tmp_path)
    assert own.f1 is not None
    assert own.in_int8.known
    assert (other.exact_match, other.f1, other.in_int8) == (None, None, Figures())


def break_nothing(_: Path) -> None:
    pass


def take_another_architecture(checkpoint: Path) -> None:
    edit_json(checkpoint / "config.json", model_type="t5")


@pytest.mark.parametrize(
    ("damage", "options", "message"),
    [
        (break_nothing, (*LIMITS, "--checkpoint", "no/such/place"), "no/such/place: no such"),
        # As when a shell variable is empty: not the default model.
        (break_nothing, (*LIMITS, "--checkpoint", ""), "config.json: missing"),
        (break_nothing, (*LIMITS, "--adapter", "no-adapter"), "adapter_config.json: missing"),
        (break_nothing, (), "--max-sequence-tokens 384: the model has 64 positions"),
        (take_another_architecture, LIMITS, "model_type is 't5'"),
    ],
)
def test_failures_are_one_line(
    shell: Shell,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
    options: tuple[str, ...],
    message: str,
) -> None:
    damage(checkpoint)
    monkeypatch.chdir(tmp_path)
    files = ("--checkpoint", checkpoint, "--repository", tmp_path / "r")
    assert message in shell("export", *files, *OPTIONS, *options).message
    assert [path.name for path in (tmp_path / "r" / MODEL_NAME).glob("[0-9]*")] == []


def test_a_version_is_held_from_the_start_if_asked_for(
    shell: Shell, checkpoint: Path, tmp_path: Path
) -> None:
    files = ("--checkpoint", checkpoint, "--repository", tmp_path / "r")
    done = shell("export", *files, *OPTIONS, *LIMITS, "--hold")
    assert done.out.splitlines()[-1] == (
        "version 1 is held (by export --hold); let it serve with: spanqa-model promote 1"
    )


def test_a_result_that_was_measured_worse_is_exported_and_held(
    shell: Shell, checkpoint: Path, tmp_path: Path
) -> None:
    files = ("--checkpoint", checkpoint, "--repository", tmp_path / "r")
    for f1 in (80.0, 5.0):
        metrics = {"after": {"exact_match": f1 / 2, "f1": f1}}
        (checkpoint / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        done = shell("export", *files, *OPTIONS, *LIMITS)
    assert done.out.splitlines()[-1] == (
        "version 2 is held (F1 5.00, but version 1 has 80.00); let it serve with: "
        "spanqa-model promote 2"
    )
    manifest = manifest_of(tmp_path / "r" / MODEL_NAME / "2")
    assert (manifest["exact_match"], manifest["f1"]) == (2.5, 5.0)
