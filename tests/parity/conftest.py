"""What the parity tests share."""

from pathlib import Path

import pytest

from parity.reference import CASED_VOCAB, SQUAD_DEV, Pair, squad_pairs


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
        pytest.skip(f"../shared lacks {file.name}: nothing to compare on")
