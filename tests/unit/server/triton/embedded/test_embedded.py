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


async def test_start_without_the_wheel_starts_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    look_in(monkeypatch, tmp_path)
    triton = embedded.EmbeddedTriton(tmp_path, threads=0)
    with pytest.raises(StartupError) as raised:
        await triton.start()
    told = str(raised.value)
    assert "the embedded Triton is not installed" in told
    assert "pip install 'spanqa-server[embedded]'" in told
    assert "--triton HOST:PORT" in told
    assert "\n" not in told
    assert triton.pid is None
    await triton.stop()


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
