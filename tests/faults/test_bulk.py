"""`spanqa answer` while its server dies and comes back: no row is lost, none fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from support.bulk import command, complete, started, wait_for_rows, write_questions
from support.processes import RunningServer, free_port, running_server, wait_until_serving

ROWS, BREAK = 300, 100


@contextmanager
def serving_on(port: int, repository: Path, log: Path) -> Iterator[RunningServer]:
    """A server on a port that a second one can have later."""
    with running_server(repository, log, "--port", str(port), wait=False) as made:
        server = replace(made, target=f"127.0.0.1:{port}")
        wait_until_serving(server)
        yield server


def test_a_server_is_killed_and_started_again(model_repository: Path, tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "questions.jsonl", ROWS)
    undisturbed, disturbed = tmp_path / "undisturbed.jsonl", tmp_path / "disturbed.jsonl"
    port = free_port()
    with serving_on(port, model_repository, tmp_path / "first.log") as server:
        with started(*command(questions, undisturbed, server.target)) as process:
            complete(process)
        with started(*command(questions, disturbed, server.target)) as process:
            wait_for_rows(disturbed, BREAK)
            server.process.kill()
            server.process.wait()
            with serving_on(port, model_repository, tmp_path / "second.log"):
                assert f"{ROWS} rows answered" in complete(process)
    assert disturbed.read_bytes() == undisturbed.read_bytes()
