"""Where the benchmarks find SQuAD v1.1, and what to do where they do not; no package needed."""

from __future__ import annotations

from pathlib import Path

from benchmarks import ROOT

SOURCE = "https://rajpurkar.github.io/SQuAD-explorer/"
URL = SOURCE + "dataset/dev-v1.1.json"
PLACE = ROOT / ".cache" / "squad" / "dev-v1.1.json"
# The place to put it, and what some machines have beside the repository.
PLACES = (PLACE, ROOT.parent / "shared" / "data" / "squad" / "dev-v1.1.json.xz")
SQUAD_DEV = next((place for place in PLACES if place.is_file()), PLACE)


def how_to_get(file: Path = SQUAD_DEV) -> str:
    """The message for a file that is not there."""
    return (
        f"no SQuAD v1.1 file at {file}: `make data` says where it comes from. Save it as "
        f"{PLACE.relative_to(ROOT)}, or name another v1.1 file with --data (DATA=FILE for make)."
    )
