"""Checkpoint directories for the exporter's tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import BertForQuestionAnswering

from unit.model.tiny import reference_model, write_checkpoint


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors this small gain nothing from threads, which other work may want."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def reference() -> BertForQuestionAnswering:
    """The model of `tiny_checkpoint`; not to be changed."""
    return reference_model()


@pytest.fixture(scope="session")
def tiny_checkpoint(
    tmp_path_factory: pytest.TempPathFactory, reference: BertForQuestionAnswering
) -> Path:
    """A checkpoint directory; not to be changed."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny-bert", reference)


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint directory, to be changed at will."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "tiny-bert"))
