"""`metrics.json`: what a fine-tuning run measured of its result, for the export."""

import json
from pathlib import Path
from typing import Any

from spanqa_model.checkpoints.presets import Source
from spanqa_model.figures import Figures

METRICS = "metrics.json"


def settle_figures(source: Source, checkpoint: Path, dtype: str) -> Figures:
    """The source's figures, or else those that the fine-tuning run measured.

    Those hold for all dtypes but int8, which rounds more.

    Args:
        source: where the checkpoint comes from. If it has an adapter, the adapter's figures count.
        checkpoint: the directory of the base.
        dtype: of the version.
    """
    if dtype == "int8":
        return source.in_int8
    given = Figures(source.exact_match, source.f1)
    return given if given.known else read_figures(source.adapter or checkpoint)


def read_figures(directory: Path) -> Figures:
    """What metrics.json says; nothing if another program wrote it."""
    try:
        content: Any = json.loads((directory / METRICS).read_bytes())
    except (OSError, ValueError):
        return Figures()
    after = content.get("after") if isinstance(content, dict) else None
    return Figures.of(after) if isinstance(after, dict) else Figures()
