"""Measurements of SpanQA, in packages by what they measure.

Run them from the repository's root: `.venv/bin/python -m benchmarks.service.compare --help`.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = ROOT / "model_repository"
RESULTS = ROOT / "benchmarks" / "results"

# Helpers shared with the tests; and our sources, for a machine where they are not installed.
sys.path += [str(ROOT / folder) for folder in ("tests", "client/src", "server/src", "model/src")]
