"""Logits of exported models against transformers' own BertForQuestionAnswering."""

from collections.abc import Callable, Iterator

import pytest
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
    version_tokenizer,
)
from parity.texts import generated, pairs
from spanqa_model.checkpoints.presets import PRESETS, Source
from spanqa_model.packed_bert.devices import Dtype

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
        tokenizer = version_tokenizer(version)
        texts = [*pairs(), ("who wrote it?", generated(seed=1, words=400))]
        questions = [prepare(tokenizer, *pair) for pair in texts]
        windows = [length for q in questions for length in q.packed.window_lengths.tolist()]
        assert min(windows) < 20, "short windows are wanted too"
        assert max(windows) == 384, "full windows are wanted too"
        return difference(packed_logits(module, questions), reference_logits(reference, questions))


def test_embedded_model_float32(embedded: BertForQuestionAnswering, say: Say) -> None:
    delta = compare_embedded(embedded, "float32")
    say(f"embedded model, float32: {delta}")
    assert delta.maximum <= EXACT
    assert delta.spread > 1, "logits this small would hide a difference"


def test_embedded_model_bfloat16(embedded: BertForQuestionAnswering, say: Say) -> None:
    delta = compare_embedded(embedded, "bfloat16")
    say(f"embedded model, bfloat16: {delta}")
    assert delta.mean <= 0.05 * delta.spread
    assert delta.maximum <= 0.5 * delta.spread


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bert_large_in_its_true_shape(
    large: tuple[BertForQuestionAnswering, Source, list[Logits]], dtype: Dtype, say: Say
) -> None:
    _, source, expected = large
    with exported_model(source, dtype) as (module, _):
        windows = random_windows(LARGE_WINDOWS, 28_996)
        delta = difference(packed_logits(module, [windows]), expected)
    say(f"BERT-large shape, random weights, {dtype}: {delta}")
    if dtype == "float32":
        assert delta.maximum <= EXACT
        assert delta.spread > 0.1, "logits this small would hide a difference"
    else:
        assert delta.mean <= 0.1 * delta.spread
