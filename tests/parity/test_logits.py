"""Logits of exported models against transformers' own BertForQuestionAnswering."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import BertForQuestionAnswering

from parity.reference import (
    LARGE_WINDOWS,
    Difference,
    Logits,
    difference,
    embedded_reference,
    exported_model,
    large_reference,
    packed_logits,
    prepare,
    random_windows,
    reference_logits,
)
from parity.texts import generated, pairs
from spanqa_model.export import Dtype
from spanqa_model.presets import PRESETS, Source
from spanqa_server.qa.tokenizer import TextTokenizer

Say = Callable[[str], None]
EXACT = 1e-3


@pytest.fixture(scope="module")
def embedded() -> BertForQuestionAnswering:
    return embedded_reference()


@pytest.fixture(scope="module")
def large(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[BertForQuestionAnswering, Source, list[Logits]]]:
    directory = tmp_path_factory.mktemp("bert-large")
    model, source = large_reference(directory)
    expected = list(reference_logits(model, [random_windows(LARGE_WINDOWS, 28_996)]))
    yield model, source, expected
    for file in directory.iterdir():
        file.unlink()


def compare_embedded(reference: BertForQuestionAnswering, dtype: Dtype) -> Difference:
    with exported_model(PRESETS["minilm-squad"], dtype) as (module, version):
        tokenizer = TextTokenizer(Tokenizer.from_file(str(version / "tokenizer.json")))
        texts = [*pairs(), ("who wrote it?", generated(seed=1, words=400))]
        questions = [prepare(tokenizer, *pair) for pair in texts]
        windows = [length for q in questions for length in q.packed.window_lengths.tolist()]
        assert min(windows) < 20, "short windows are wanted too"
        assert max(windows) == 384, "full windows are wanted too"
        return difference(
            packed_logits(module, questions), reference_logits(reference, questions)
        )
