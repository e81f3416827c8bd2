"""No process of a server outlives it, whatever is killed and whatever hangs."""

import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from support.processes import RunningServer, poll, running_server, wait_until_serving

Kill = Callable[[RunningServer], None]


def gone(process: psutil.Process) -> bool:
    """A zombie has ended and only waits for init to notice."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def frontend(server: RunningServer) -> None:
    server.process.kill()


def frontend_and_triton(server: RunningServer) -> None:
    """At once: the frontend has no time to end what Triton leaves."""
    triton = server.triton()
    server.process.send_signal(signal.SIGSTOP)
    triton.kill()
    server.process.kill()


def frontend_while_triton_hangs(server: RunningServer) -> None:
    server.triton().suspend()
    server.process.kill()


def frontend_while_the_model_hangs(server: RunningServer) -> None:
    next(one for one in server.children() if one.name().startswith("triton_python")).suspend()
    server.process.kill()


def parent_while_a_worker_hangs(server: RunningServer) -> None:
    server.workers()[0].suspend()
    server.process.kill()


def everything_hangs(server: RunningServer) -> None:
    for child in server.children():
        if "guard.py" not in " ".join(child.cmdline()):
            child.suspend()
    server.process.kill()


@pytest.mark.parametrize(
    ("kill", "workers"),
    [
        (frontend, "1"),
        (frontend_and_triton, "1"),
        (frontend_while_triton_hangs, "1"),
        (frontend_while_the_model_hangs, "1"),
        (frontend_and_triton, "2"),
        (parent_while_a_worker_hangs, "2"),
        (everything_hangs, "2"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_nothing_is_left(tiny_repository: Path, tmp_path: Path, kill: Kill, workers: str) -> None:
    flags = ("--workers", workers, "--shutdown-grace", "0.5")
    with running_server(tiny_repository, tmp_path / "log", *flags) as server:
        children = server.children()
        assert {"tritonserver", "triton_python_backend_stub"} <= {one.name() for one in children}
        try:
            kill(server)
            poll(lambda: all(map(gone, children)), 20, "all processes end")
        finally:
            for child in children:
                if not gone(child):
                    child.kill()


def test_a_triton_that_is_killed_leaves_nothing(tiny_repository: Path, tmp_path: Path) -> None:
    with running_server(tiny_repository, tmp_path / "log") as server:
        before = server.children()
        server.triton().kill()
        poll(lambda: all(map(gone, before)), 20, "its processes end")
        wait_until_serving(server, within=30)
        assert not set(before) & set(server.children())
