"""What the parity tests share."""

from pathlib import Path

import pytest

from benchmarks.common.squad import SQUAD_DEV, how_to_get
from parity.reference import CASED_VOCAB, Pair, squad_pairs


def require_squad() -> None:
    if not SQUAD_DEV.is_file():
        pytest.skip(how_to_get())


@pytest.fixture(scope="session")
def squad() -> list[Pair]:
    require_squad()
    return squad_pairs()


@pytest.fixture(scope="session")
def cased_vocab() -> Path:
    if not CASED_VOCAB.is_file():
        pytest.skip(f"needs the vocab.txt of a cased BERT, in ../shared: {CASED_VOCAB}")
    return CASED_VOCAB
