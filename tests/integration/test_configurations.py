"""Triton's two configurations: one contract, and both are valid to a real Triton."""

import re
import shutil
from pathlib import Path

import grpc
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.answers import ask
from support.processes import running_server

MODEL = Path(__file__).parents[2] / "model_repository" / "bert_qa"


def read(file: str) -> model_config_pb2.ModelConfig:
    return text_format.Parse((MODEL / file).read_text(), model_config_pb2.ModelConfig())


PRODUCTION, EMBEDDED = read("config.pbtxt"), read("configs/embedded.pbtxt")
both = pytest.mark.parametrize("config", [PRODUCTION, EMBEDDED], ids=["production", "embedded"])


def test_both_have_the_same_tensors() -> None:
    assert list(PRODUCTION.input) == list(EMBEDDED.input)
    assert list(PRODUCTION.output) == list(EMBEDDED.output)
    assert all(tensor.allow_ragged_batch for tensor in PRODUCTION.input)
    assert PRODUCTION.platform == "pytorch_libtorch"


def test_each_output_is_scattered_by_an_entry_of_its_own() -> None:
    """The backend library scatters only the first target of an entry."""
    assert [list(entry.target_name) for entry in PRODUCTION.batch_output] == [
        [output.name] for output in PRODUCTION.output
    ]
    assert {entry.kind for entry in PRODUCTION.batch_output} == {
        model_config_pb2.BatchOutput.BATCH_SCATTER_WITH_INPUT_SHAPE
    }
    assert all(list(entry.source_input) == ["input_ids"] for entry in PRODUCTION.batch_output)


@both
def test_neither_warms_up(config: model_config_pb2.ModelConfig) -> None:
    """A warm-up that fails ends Triton, and the version that serves with it."""
    assert not config.model_warmup


@both
def test_neither_keeps_triton_from_preparing_the_next_batch(
    config: model_config_pb2.ModelConfig,
) -> None:
    delay = config.dynamic_batching.max_queue_delay_microseconds
    only_delay = model_config_pb2.ModelDynamicBatching(max_queue_delay_microseconds=delay)
    assert config.HasField("dynamic_batching")
    assert config.dynamic_batching == only_delay


def test_triton_takes_the_production_configuration(tiny_repository: Path, tmp_path: Path) -> None:
    """All of it but the libtorch backend and the GPU, which are not here: batching, ragged
    tensors and scatter."""
    shutil.copytree(tiny_repository, tmp_path / "repository")
    config = (MODEL / "config.pbtxt").read_text()
    config = config.replace('platform: "pytorch_libtorch"', 'backend: "python"')
    config, gpus = re.subn("KIND_GPU", "KIND_CPU", config)
    assert gpus == 1
    (tmp_path / "repository" / "bert_qa" / "configs" / "embedded.pbtxt").write_text(config)
    with (
        running_server(tmp_path / "repository", tmp_path / "log") as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        assert ask(QuestionAnsweringServiceStub(channel), "Who?", "It was Ada.").answers
