"""The known checkpoints."""

import pytest

from spanqa_model.checkpoints.config import read_json
from spanqa_model.checkpoints.presets import PRESETS, Source


def test_the_embedded_defaults_adapter_was_made_for_that_base() -> None:
    preset = PRESETS["minilm-squad"]
    assert preset.adapter is not None
    config = read_json(preset.adapter / "adapter_config.json")
    assert config["base_model_name_or_path"] == preset.repository
    assert config["revision"] == preset.revision


@pytest.mark.parametrize("preset", PRESETS.values(), ids=str)
def test_presets_are_complete(preset: Source) -> None:
    assert PRESETS[preset.name] is preset
    assert preset.license == "Apache-2.0"
    assert preset.repository.count("/") == 1
    assert not preset.has_no_answer
