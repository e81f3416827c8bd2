"""What the embedded Triton needs of its wheel, with the wheel's files made up."""

import os
import sys
import sysconfig
from pathlib import Path

import pytest

from spanqa_server.errors import StartupError
from spanqa_server.triton.embedded.command import triton_environment
from spanqa_server.triton.embedded.process import EmbeddedTriton
from spanqa_server.triton.embedded.wheel import link_backend, pytriton_package

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
STUB = "triton_python_backend_stub"


def look_in(monkeypatch: pytest.MonkeyPatch, *directories: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(directories[0]))
    monkeypatch.setattr(sys, "path", [str(directory) for directory in directories])


def test_the_wheel_is_found(monkeypatch: pytest.MonkeyPatch, package: Path, tmp_path: Path) -> None:
    look_in(monkeypatch, tmp_path, package.parent.parent)
    assert pytriton_package() == package


async def test_start_without_the_wheel_starts_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    look_in(monkeypatch, tmp_path)
    triton = EmbeddedTriton(tmp_path, threads=0)
    with pytest.raises(StartupError) as raised:
        await triton.start()
    told = str(raised.value)
    assert "the embedded Triton is not installed" in told
    assert "pip install 'spanqa-server[embedded]'" in told
    assert "--triton HOST:PORT" in told
    assert "\n" not in told
    assert triton.pid is None
    await triton.stop()


def test_the_backend_gets_the_stub_of_this_python(package: Path, tmp_path: Path) -> None:
    for _ in range(2):
        link_backend(package, tmp_path / "backends")
        files = (tmp_path / "backends" / "python").iterdir()
        assert {file.name: file.read_text() for file in files} == {
            "libtriton_python.so": "backends/python/libtriton_python.so",
            "triton_python_backend_utils.py": "backends/python/triton_python_backend_utils.py",
            STUB: f"python_backend_stubs/{PYTHON}/{STUB}",
        }


def test_no_stub_for_this_python(package: Path, tmp_path: Path) -> None:
    (package / "python_backend_stubs" / PYTHON / STUB).unlink()
    with pytest.raises(StartupError, match=rf"no Triton stub for Python {PYTHON}: use Python 3"):
        link_backend(package, tmp_path)


def test_environment(monkeypatch: pytest.MonkeyPatch, package: Path) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "own/libraries")
    monkeypatch.setenv("PATH", "own/programs")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "9")
    monkeypatch.setattr(sys, "path", ["", "some/packages", "more/packages"])
    environment = triton_environment(package, threads=0)
    libraries = environment["LD_LIBRARY_PATH"].split(":")
    assert libraries[0] == str(package.parent.parent / "nvidia_pytriton.libs")
    assert libraries[-1] == "own/libraries"
    assert environment["PATH"] == f"{Path(sys.executable).parent}:own/programs"
    assert environment["PYTHONPATH"] == "some/packages:more/packages"
    assert environment["OMP_NUM_THREADS"] == "7"
    assert environment["LRU_CACHE_CAPACITY"] == "9"
    assert environment["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "2048"
    assert triton_environment(package, threads=3)["OMP_NUM_THREADS"] == "3"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    # An empty entry would mean the current directory.
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    assert "" not in triton_environment(package, 0)["LD_LIBRARY_PATH"].split(":")
