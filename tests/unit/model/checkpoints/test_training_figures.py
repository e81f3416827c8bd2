"""What a fine-tuning run measured, as the export reads it."""

from dataclasses import replace
from pathlib import Path

import pytest

from spanqa_model.checkpoints.presets import PRESETS, Source
from spanqa_model.checkpoints.training_figures import METRICS, settle_figures
from spanqa_model.figures import Figures

SOURCE = Source(name="mine", repository="elsewhere")
GOOD = '{"after": {"exact_match": 70, "f1": 80.5}}'


@pytest.mark.parametrize(
    ("content", "figures"),
    [
        (GOOD, Figures(70.0, 80.5)),
        ('{"after": {"exact_match": NaN, "f1": 80.5}}', Figures(None, 80.5)),
        ('{"after": {"f1": "80.5", "exact_match": true}}', Figures()),
        ('{"after": [1]}', Figures()),
        ('{"eval_f1": 80.5}', Figures()),
        ("[]", Figures()),
        ("{", Figures()),
    ],
)
def test_files_of_this_name(tmp_path: Path, content: str, figures: Figures) -> None:
    (tmp_path / METRICS).write_text(content, encoding="utf-8")
    assert settle_figures(SOURCE, tmp_path, "float32") == figures


def test_the_adapter_counts_not_its_base(tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text(GOOD, encoding="utf-8")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    assert settle_figures(replace(SOURCE, adapter=adapter), tmp_path, "float32") == Figures()
    assert settle_figures(replace(SOURCE, adapter=tmp_path), adapter, "float32") == Figures(
        70.0, 80.5
    )


def test_a_preset_knows_its_own(tmp_path: Path) -> None:
    assert settle_figures(PRESETS["minilm-squad"], tmp_path, "float32") == Figures(70.99, 80.86)


def test_figures_of_other_dtypes_are_none_of_int8(tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text(GOOD, encoding="utf-8")
    assert settle_figures(SOURCE, tmp_path, "int8") == Figures()
    assert settle_figures(replace(SOURCE, f1=3.0), tmp_path, "int8") == Figures()
    preset = PRESETS["minilm-squad"]
    assert settle_figures(preset, tmp_path, "int8") == preset.in_int8 != Figures()
