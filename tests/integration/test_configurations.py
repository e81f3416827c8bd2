"""Triton's two configurations: one contract, and both are valid to a real Triton."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from time import monotonic

import grpc
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from spanqa_server.triton.embedded.command import (
    BACKENDS,
    REPOSITORY,
    triton_command,
    triton_environment,
)
from spanqa_server.triton.embedded.wheel import link_backend, pytriton_package
from spanqa_server.triton.repository_view import RepositoryView
from support.processes import free_port

MODEL = Path(__file__).parents[2] / "model_repository" / "bert_qa"


def parse(text: str) -> model_config_pb2.ModelConfig:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_both_have_the_same_tensors() -> None:
    production = parse((MODEL / "config.pbtxt").read_text())
    embedded = parse((MODEL / "configs" / "embedded.pbtxt").read_text())
    assert list(production.input) == list(embedded.input)
    assert list(production.output) == list(embedded.output)
    assert all(tensor.allow_ragged_batch for tensor in production.input)
    assert production.platform == "pytorch_libtorch"


def test_each_output_is_scattered_by_an_entry_of_its_own() -> None:
    """The backend library scatters only the first target of an entry."""
    production = parse((MODEL / "config.pbtxt").read_text())
    assert [list(entry.target_name) for entry in production.batch_output] == [
        [output.name] for output in production.output
    ]
    assert {entry.kind for entry in production.batch_output} == {
        model_config_pb2.BatchOutput.BATCH_SCATTER_WITH_INPUT_SHAPE
    }
    assert all(list(entry.source_input) == ["input_ids"] for entry in production.batch_output)


@pytest.mark.parametrize("file", ["config.pbtxt", "configs/embedded.pbtxt"])
def test_neither_warms_up(file: str) -> None:
    """A warm-up that fails ends Triton, and the version that serves with it."""
    assert not parse((MODEL / file).read_text()).model_warmup


@pytest.mark.parametrize("file", ["config.pbtxt", "configs/embedded.pbtxt"])
def test_neither_keeps_triton_from_preparing_the_next_batch(file: str) -> None:
    config = parse((MODEL / file).read_text())
    delay = config.dynamic_batching.max_queue_delay_microseconds
    only_delay = model_config_pb2.ModelDynamicBatching(max_queue_delay_microseconds=delay)
    assert config.HasField("dynamic_batching")
    assert config.dynamic_batching == only_delay


def test_triton_takes_the_production_configuration(tiny_repository: Path, tmp_path: Path) -> None:
    """All of it but the libtorch backend and the GPU, which are not here: batching, ragged
    tensors and scatter."""
    model = tmp_path / "bert_qa"
    shutil.copytree(tiny_repository / "bert_qa", model)
    config = (MODEL / "config.pbtxt").read_text()
    config = config.replace('platform: "pytorch_libtorch"', 'backend: "python"')
    config, gpus = re.subn("KIND_GPU", "KIND_CPU", config)
    assert gpus == 1
    (model / "configs" / "embedded.pbtxt").write_text(config)
    package, address = pytriton_package(), f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as directory, (tmp_path / "log").open("wb") as log:
        link_backend(package, Path(directory) / BACKENDS)
        RepositoryView(Path(directory) / REPOSITORY, tmp_path).offer({"1": model / "1"})
        triton = subprocess.Popen(
            triton_command(package, Path(directory), address),
            env=triton_environment(package, 0),
            stdout=log,
            stderr=log,
        )
        try:
            loaded = wait_for_config(address, triton, tmp_path / "log")
        finally:
            triton.terminate()
            triton.wait(30)
    assert len(loaded.batch_output) == 2
    assert loaded.dynamic_batching.max_queue_delay_microseconds == 1000


def wait_for_config(
    address: str, triton: subprocess.Popen[bytes], log: Path
) -> model_config_pb2.ModelConfig:
    give_up = monotonic() + 90
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        while monotonic() < give_up and triton.poll() is None:
            try:
                ready = stub.ModelReady(
                    service_pb2.ModelReadyRequest(name="bert_qa"), timeout=1, wait_for_ready=True
                )
                if ready.ready:
                    request = service_pb2.ModelConfigRequest(name="bert_qa")
                    return stub.ModelConfig(request, timeout=5).config
            except grpc.RpcError:
                continue
    pytest.fail(f"Triton does not serve it: {log.read_text()[-2000:]}")
