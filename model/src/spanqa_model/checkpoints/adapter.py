"""`adapter_config.json`: what a PEFT adapter is, and which model it was trained on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from spanqa_model.checkpoints.config import read_json
from spanqa_model.checkpoints.presets import PRESETS, Source
from spanqa_model.checkpoints.weights import WEIGHT_FILES
from spanqa_model.errors import CheckpointError

ADAPTER_CONFIG = "adapter_config.json"
MERGE = (
    "merge it with PEFT, in Python: PeftModel.from_pretrained(AutoModelForQuestionAnswering"
    ".from_pretrained(BASE), ADAPTER).merge_and_unload().save_pretrained(DIR); copy the "
    "tokenizer's files of BASE to DIR, and give --checkpoint DIR"
)
# Kinds that add to the input or to each layer, so there is nothing to merge them into.
NOT_MERGEABLE = ("PROMPT", "MULTITASK", "P_TUNING", "PREFIX", "ADAPTION", "CPT", "XLORA", "POLY")


def is_adapter(directory: Path) -> bool:
    """Whether the directory holds a PEFT adapter and no weights of a whole model."""
    return (directory / ADAPTER_CONFIG).is_file() and not any(
        (directory / name).is_file() for name in WEIGHT_FILES
    )


def refuse_adapter(directory: Path) -> None:
    """Refuse an adapter where a whole model is needed.

    Raises:
        CheckpointError: names the way out.
    """
    if is_adapter(directory):
        raise CheckpointError(f"{directory}: is a PEFT adapter, not a whole model; {MERGE}")


def base_of(adapter: Path) -> Source:
    """The model that the adapter was trained on, with the adapter: a preset, a directory or hub id.

    Raises:
        CheckpointError: adapter_config.json is not readable, or its base cannot be found.
    """
    file = adapter / ADAPTER_CONFIG
    config = read_json(file)
    base, revision = named_base(config), config.get("revision") or ""
    name = adapter.resolve().name
    if not base:
        raise CheckpointError(f"{file}: names no base model; give it with --checkpoint DIR")
    for preset in PRESETS.values():
        if base == preset.repository and revision in ("", preset.revision):
            return replace(preset, name=name, adapter=adapter, exact_match=None, f1=None)
    if not Path(base).is_dir() and (base.count("/") != 1 or base.startswith((".", "/", "~"))):
        raise CheckpointError(
            f"{file}: the adapter was trained on {base!r}, which is no directory here; say where "
            "that model is, with --checkpoint DIR or --checkpoint OWNER/NAME"
        )
    return Source(name=name, repository=base, revision=str(revision), adapter=adapter)


def named_base(config: dict[str, Any]) -> str:
    base = config.get("base_model_name_or_path")
    return base if isinstance(base, str) else ""


def doubt_about_base(adapter: Path, base: str) -> str:
    """A sentence if adapter_config.json names another model than `base`, else ""."""
    named = named_base(read_json(adapter / ADAPTER_CONFIG))
    if not named or Path(named).name == Path(base).resolve().name:
        return ""
    return f"{adapter}: was trained on {named!r}, and is merged into {base!r}, as the options say"
