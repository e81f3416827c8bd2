"""Version directories as the exporter writes them, made of tiny files."""

import hashlib
import itertools
import json
import os
from pathlib import Path
from typing import Any

from unit.server.vocabulary import make_tokenizer

WRITTEN = itertools.count(1_700_000_000)
WEIGHTS = b"not really a model"
MANIFEST = {
    "name": "tiny",
    "source": "made here",
    "revision": "",
    "weights_sha256": "0" * 64,
    "model_sha256": hashlib.sha256(WEIGHTS).hexdigest(),
    "dtype": "float32",
    "max_sequence_tokens": 384,
    "doc_stride_tokens": 128,
    "max_position_embeddings": 512,
    "has_no_answer": False,
    "license": "Apache-2.0",
    "exact_match": None,
    "f1": 81.5,
}


def decide(repository: Path, number: str, **notes: Any) -> Path:
    """What `spanqa-model` notes on a version made by `write_version`."""
    path = repository / f"bert_qa.{number}.json"
    path.write_text(json.dumps({"model_sha256": MANIFEST["model_sha256"]} | notes))
    return path


def write_version(repository: Path, number: str, **manifest: Any) -> Path:
    directory = repository / "bert_qa" / number
    directory.mkdir(parents=True)
    (directory / "model.pt").write_bytes(WEIGHTS)
    (directory / "model.json").write_text(json.dumps(MANIFEST | manifest))
    # File systems tell times apart by milliseconds only; tests replace versions faster.
    seconds = next(WRITTEN)
    os.utime(directory / "model.json", (seconds, seconds))
    make_tokenizer(lowercase=False).save(str(directory / "tokenizer.json"))
    return directory
