"""The embedded Triton without Triton: its command, its environment, its last words."""

import os
import sys
import sysconfig
from pathlib import Path

import pytest

from spanqa_server.errors import StartupError
from spanqa_server.triton.embedded import process as embedded


def look_in(monkeypatch: pytest.MonkeyPatch, *directories: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(directories[0]))
    monkeypatch.setattr(sys, "path", [str(directory) for directory in directories])


def test_the_wheel_is_found(monkeypatch: pytest.MonkeyPatch, package: Path, tmp_path: Path) -> None:
    look_in(monkeypatch, tmp_path, package.parent.parent)
    assert embedded.pytriton_package() == package


def test_the_wheel_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    look_in(monkeypatch, tmp_path)
    with pytest.raises(StartupError) as raised:
        embedded.pytriton_package()
    told = str(raised.value)
    assert "pip install 'spanqa-server[embedded]'" in told
    assert "--triton HOST:PORT" in told
    assert "\n" not in told


async def test_start_without_the_wheel_starts_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    look_in(monkeypatch, tmp_path)
    triton = embedded.EmbeddedTriton(tmp_path, threads=0)
    with pytest.raises(StartupError, match="not installed"):
        await triton.start()
    assert triton.pid is None
    await triton.stop()


def test_it_listens_on_loopback_only() -> None:
    triton = embedded.EmbeddedTriton(Path("repository"), threads=0)
    host, _, port = triton.address.rpartition(":")
    assert host == "127.0.0.1"
    command = embedded.triton_command(Path("package"), Path("own"), triton.address)
    assert command[0] == str(Path("package/bin/tritonserver"))
    options = dict(part.split("=") for part in command if part.startswith("--") and "=" in part)
    assert options["--grpc-address"] == "127.0.0.1"
    assert options["--grpc-port"] == port != "0"
    assert (options["--allow-http"], options["--allow-metrics"]) == ("false", "false")
    assert options["--model-repository"] == "own/repository"
    assert options["--model-config-name"] == "embedded"
    assert options["--backend-directory"] == "own/backends"


def test_its_metrics_are_on_loopback_too() -> None:
    assert embedded.EmbeddedTriton(Path("repository"), threads=0).metrics_address == ""
    triton = embedded.EmbeddedTriton(Path("repository"), threads=0, metrics=True)
    host, _, port = triton.metrics_address.rpartition(":")
    assert host == "127.0.0.1"
    command = embedded.triton_command(Path("package"), Path("own"), "a:1", triton.metrics_address)
    assert {"--allow-metrics=true", f"--metrics-address={host}"} <= {*command}
    assert f"--metrics-port={port}" in command


def test_it_traces_where_there_is_a_collector() -> None:
    assert embedded.trace_flags("") == []
    flags = embedded.trace_flags("http://collector:4318")
    assert "--trace-config=opentelemetry,url=http://collector:4318/v1/traces" in flags


def test_it_sees_what_is_offered_within_a_second() -> None:
    command = embedded.triton_command(Path("package"), Path("own"), "127.0.0.1:1")
    assert "--model-control-mode=poll" in command
    assert "--repository-poll-secs=1" in command


def test_every_triton_gets_a_port_of_its_own() -> None:
    assert len({embedded.free_port() for _ in range(5)}) > 1


def test_environment(monkeypatch: pytest.MonkeyPatch, package: Path) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "own/libraries")
    monkeypatch.setenv("PATH", "own/programs")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "9")
    monkeypatch.setattr(sys, "path", ["", "some/packages", "more/packages"])
    environment = embedded.triton_environment(package, threads=0)
    libraries = environment["LD_LIBRARY_PATH"].split(":")
    assert libraries[0] == str(package.parent.parent / "nvidia_pytriton.libs")
    assert libraries[-1] == "own/libraries"
    assert environment["PATH"] == f"{Path(sys.executable).parent}:own/programs"
    assert environment["PYTHONPATH"] == "some/packages:more/packages"
    assert environment["OMP_NUM_THREADS"] == "7"
    assert environment["LRU_CACHE_CAPACITY"] == "9"
    assert environment["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "128"
    assert embedded.triton_environment(package, threads=3)["OMP_NUM_THREADS"] == "3"
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_an_empty_library_path_names_no_directory(
    monkeypatch: pytest.MonkeyPatch, package: Path
) -> None:
    # An empty entry would mean the current directory.
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    assert "" not in embedded.triton_environment(package, 0)["LD_LIBRARY_PATH"].split(":")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], ""),
        (["I0101 all is well"], ""),
        (
            [
                "E1122 16:00:00.000001 77 model_lifecycle.cc:642] failed to load 'bert_qa' "
                "version 1: Internal: RuntimeError: model.pt is no zip archive",
                "error: creating server: Internal - failed to load all models",
            ],
            "Internal: RuntimeError: model.pt is no zip archive",
        ),
        (
            ["starting", "error: creating server: Internal - failed to load all models"],
            "creating server: Internal - failed to load all models",
        ),
        (
            ["E1122 16:00:00.000001 77 main.cc:340] Failed to start: address in use"],
            "Failed to start: address in use",
        ),
    ],
)
def test_the_most_telling_line(lines: list[str], told: str) -> None:
    triton = embedded.EmbeddedTriton(Path("repository"), threads=0)
    triton.last_lines.extend(lines)
    assert triton.failure() == told
