"""`spanqa.json`: what a fine-tuning run tells the exporter, beside the weights."""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from spanqa_model.checkpoint import read_json
from spanqa_model.errors import CheckpointError
from spanqa_model.presets import FACTS, Source


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """How the model was trained: on which windows, and on unanswerable questions or not."""

    max_sequence_tokens: int = 384
    doc_stride_tokens: int = 128
    has_no_answer: bool = False


def settle_facts(source: Source, checkpoint: Path) -> TrainingFacts:
    """What the source says; for the rest what was recorded beside its weights, or the default.

    Args:
        source: where the checkpoint comes from; its adapter's record goes before the base's.
        checkpoint: the base's directory.

    Raises:
        CheckpointError: spanqa.json is not readable.
    """
    said = {field.name: getattr(source, field.name) for field in fields(TrainingFacts)}
    known = {name: value for name, value in said.items() if value is not None}
    return replace(read_facts(source.adapter or checkpoint), **known)


def read_facts(directory: Path) -> TrainingFacts:
    path = directory / FACTS
    if not path.exists():
        return TrainingFacts()
    recorded = read_json(path)
    for field in fields(TrainingFacts):
        if type(recorded.get(field.name)) is not field.type:
            raise CheckpointError(f"{path}: {field.name} is missing or of another type")
    return TrainingFacts(**{field.name: recorded[field.name] for field in fields(TrainingFacts)})


def write_facts(directory: Path, facts: TrainingFacts) -> None:
    (directory / FACTS).write_text(json.dumps(asdict(facts), indent=2) + "\n", encoding="utf-8")
