"""Versions that an engine runs, behind the same frontend and Triton as SpanQA's own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from benchmarks import ROOT
from benchmarks.common.models import Weights, link_configurations
from benchmarks.engines.graphs import write_graphs
from benchmarks.engines.questions import ask
from benchmarks.engines.variants import VARIANTS
from spanqa_server.versions.repository import MODEL_NAME

BACKEND = Path(__file__).with_name("triton_model.py")


def engine_repositories(
    weights: Weights, names: Iterable[str], data: Path, calibration: int
) -> dict[str, Path]:
    """A model repository for each variant, beside that of the packed version."""
    packed = weights.repositories["packed"]
    chosen = {name: VARIANTS[name] for name in names}
    graphs = packed.parent / "graphs"
    windows = ask(data, weights.checkpoint, calibration, others=True).inputs
    write_graphs(weights.checkpoint, graphs, chosen.values(), windows)
    repositories = {}
    for number, name in enumerate(chosen):
        repository = packed.parent / f"engine-{number}"
        write_engine_version(packed / MODEL_NAME / "1", name, graphs, repository / MODEL_NAME / "1")
        link_configurations(repository / MODEL_NAME)
        repositories[name] = repository
    return repositories


def write_engine_version(version: Path, variant: str, graphs: Path, target: Path) -> None:
    """A copy of a version whose `model.py` runs the variant's graph instead of `model.pt`."""
    # Bytecode of the product's model.py would be run in place of ours: it is never checked.
    shutil.copytree(version, target, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.move(target / "model.py", target / "product_model.py")
    shutil.copyfile(BACKEND, target / "model.py")
    given = {"root": str(ROOT), "variant": variant, "graphs": str(graphs)}
    (target / "engine.json").write_text(json.dumps(given))
