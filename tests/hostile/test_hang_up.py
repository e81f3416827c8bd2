"""SIGHUP never ends a server without a drain."""

import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from support.processes import (
    RunningServer,
    clean_environment,
    free_port,
    poll,
    running_server,
    serve_command,
    wait_until_serving,
)


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_sighup_has_no_effect(
    workers: tuple[str, ...], model_repository: Path, tmp_path: Path
) -> None:
    with running_server(model_repository, tmp_path / "log", *workers) as server:
        processes = [server.process.pid, *(worker.pid for worker in server.workers())]
        for process in processes:
            os.kill(process, signal.SIGHUP)
        said = "SIGHUP has no effect"
        poll(lambda: server.log.read_text().count(said) == len(processes), 10, "what the log says")
        wait_until_serving(server)
        assert server.stop() == 0


def test_closing_the_terminal_ends_the_server_with_a_drain(
    model_repository: Path, tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    log, port = tmp_path / "log", free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            serve_command(model_repository, "--port", str(port)),
            stdin=theirs,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=take_terminal,
            env=clean_environment(),
        )
    os.close(theirs)
    try:
        wait_until_serving(RunningServer(process, f"127.0.0.1:{port}", log, 0))
        os.close(ours)
        assert process.wait(20) == 0
        assert "stopped" in log.read_text()
    finally:
        process.kill()
        process.wait()


def take_terminal() -> None:
    """Make standard input the terminal that a session hangs on."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
