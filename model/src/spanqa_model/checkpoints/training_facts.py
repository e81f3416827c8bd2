"""`spanqa.json`: how a checkpoint was fine-tuned, recorded beside its weights for the export."""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from spanqa_model.checkpoints.config import read_json
from spanqa_model.checkpoints.presets import Source
from spanqa_model.errors import CheckpointError, ExportError

FACTS = "spanqa.json"


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """The windows that the model was trained on, and whether it learned to give no answer."""

    max_sequence_tokens: int = 384
    doc_stride_tokens: int = 128
    has_no_answer: bool = False


def settle_facts(source: Source, checkpoint: Path) -> TrainingFacts:
    """Combine three origins: the source's values, then the recorded ones, then the defaults.

    Args:
        source: where the checkpoint comes from. If it has an adapter, the adapter's record counts
            instead of the base's.
        checkpoint: the directory of the base.

    Raises:
        CheckpointError: spanqa.json is not readable.
    """
    explicit = {field.name: getattr(source, field.name) for field in fields(TrainingFacts)}
    known = {name: value for name, value in explicit.items() if value is not None}
    return replace(read_facts(source.adapter or checkpoint), **known)


def read_facts(directory: Path) -> TrainingFacts:
    path = directory / FACTS
    if not path.exists():
        return TrainingFacts()
    recorded = read_json(path)
    for field in fields(TrainingFacts):
        if type(recorded.get(field.name)) is not field.type:
            raise CheckpointError(f"{path}: {field.name} is missing or has the wrong type")
    return TrainingFacts(**{field.name: recorded[field.name] for field in fields(TrainingFacts)})


def write_facts(directory: Path, facts: TrainingFacts) -> None:
    (directory / FACTS).write_text(json.dumps(asdict(facts), indent=2) + "\n", encoding="utf-8")


def check_limits(facts: TrainingFacts, positions: int) -> None:
    """Refuse windows that the model cannot read.

    Args:
        facts: the lengths, in tokens.
        positions: the length of the longest window that the model can read, in tokens.

    Raises:
        ExportError: names the option to change.
    """
    if not 8 <= facts.max_sequence_tokens <= positions:
        raise ExportError(
            f"--max-sequence-tokens {facts.max_sequence_tokens}: the model has {positions} "
            f"positions; choose 8 to {positions}"
        )
    if not 0 < facts.doc_stride_tokens < facts.max_sequence_tokens - 3:
        raise ExportError(
            f"--doc-stride-tokens {facts.doc_stride_tokens}: must be positive and smaller than "
            f"{facts.max_sequence_tokens - 3}, the window without its special tokens"
        )
