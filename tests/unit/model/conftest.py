"""What the tests of several rooms share: checkpoints, questions, the command line."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import BertForQuestionAnswering

from spanqa_model.cli import main
from unit.model.finetune.runs import Outcome, Shell
from unit.model.finetune.squad import document, write
from unit.model.tiny import reference_model, write_checkpoint, write_vocabulary


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


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT without a head; not to be changed."""
    directory = tmp_path_factory.mktemp("base") / "tiny-base"
    reference_model().bert.save_pretrained(directory)
    write_vocabulary(directory)
    return directory


@pytest.fixture(scope="session")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answerable questions; a file not to be changed."""
    return write(tmp_path_factory.mktemp("squad") / "v1.json", document(64))


@pytest.fixture(scope="session")
def questions_v2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions of which every third has no answer; a file not to be changed."""
    content = document(64, unanswerable_every=3)
    return write(tmp_path_factory.mktemp("squad") / "v2.json", content)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run `spanqa-model` as from a shell."""

    def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["spanqa-model", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "1000")
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return Outcome(caught.value.code, captured.out, captured.err)

    return run
