"""What the embedded Triton gets of the server's environment, and what its sockets need."""

from pathlib import Path

import pytest

from spanqa_server.errors import StartupError
from spanqa_server.triton.embedded.command import triton_environment
from spanqa_server.triton.embedded.process import make_private

PASSED_ON = {
    "HOME": "/home/x",
    "LANG": "C.UTF-8",
    "LC_ALL": "C",
    "TZ": "UTC",
    "OMP_NUM_THREADS": "3",
    "MKL_NUM_THREADS": "3",
    "ONEDNN_VERBOSE": "0",
    "LD_PRELOAD": "",
}
KEPT_BACK = {
    "SPANQA_TOKENS_FILE": "/x",
    "SPANQA_TOKEN": "secret",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "https_proxy": "http://user:secret@proxy",
    "DATABASE_URL": "secret",
    "OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret",
}


def test_only_what_it_needs_is_passed_on(package: Path) -> None:
    made = triton_environment(package, 0, PASSED_ON | KEPT_BACK | {"PATH": "/usr/bin"})
    assert PASSED_ON.items() <= made.items()
    assert not KEPT_BACK.keys() & made.keys()
    assert "secret" not in str(made)
    assert made["PATH"].endswith(":/usr/bin")


def test_what_opens_a_collector_is_passed_on_if_there_is_one(package: Path) -> None:
    made = triton_environment(package, 2, KEPT_BACK | PASSED_ON, traces=True)
    assert made["OTEL_EXPORTER_OTLP_HEADERS"] == "api-key=secret"
    assert made["OMP_NUM_THREADS"] == "2"
    assert "SPANQA_TOKEN" not in made


def test_the_directory_of_the_sockets(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    make_private(directory)
    assert directory.stat().st_mode & 0o777 == 0o700
    (directory / "grpc:1").touch()
    make_private(directory)
    assert list(directory.iterdir()) == [], "a socket that is left would be in the way"


@pytest.mark.parametrize("kind", ["open to others", "a link", "a file"])
def test_one_that_somebody_else_may_have_made(tmp_path: Path, kind: str) -> None:
    directory, other = tmp_path / "s", tmp_path / "other"
    other.mkdir(mode=0o700)
    if kind == "a link":
        directory.symlink_to(other)
    elif kind == "a file":
        directory.touch()
    else:
        directory.mkdir()
        directory.chmod(0o755)
    with pytest.raises((StartupError, FileExistsError)):
        make_private(directory)


def test_a_path_that_is_too_long_for_a_socket() -> None:
    with pytest.raises(StartupError, match="set TMPDIR to a shorter path"):
        make_private(Path("/tmp") / ("x" * 100))
