"""What the parity tests share."""

from pathlib import Path

import pytest

from benchmarks.common.squad import SQUAD_DEV
from parity.reference import CASED_VOCAB, Pair, squad_pairs


@pytest.fixture(scope="session")
def squad() -> list[Pair]:
    require(SQUAD_DEV)
    return squad_pairs()


@pytest.fixture(scope="session")
def cased_vocab() -> Path:
    require(CASED_VOCAB)
    return CASED_VOCAB


def require(file: Path) -> None:
    if not file.is_file():
        pytest.skip(f"{file} is missing: nothing to compare on (SQuAD: make data)")
