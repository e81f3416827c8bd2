"""``spanqa answer`` that is stopped and goes on, and all that stops it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from unit.client.cli.bulk_rows import ROWS, asked, lines, write
from unit.client.cli.commands import fails, run
from unit.client.fake_service import FakeService, Handler, first_word, refusal, refuse


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_run_that_is_stopped_goes_on(
    service: FakeService, questions: Path, tmp_path: Path, kind: str
) -> None:
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    undisturbed, stopped = tmp_path / f"undisturbed.{kind}", tmp_path / f"stopped.{kind}"
    assert (
        run("answer", str(questions), "--output", str(undisturbed), target=service.target).exit_code
        == 0
    )
    service.requests.clear()

    def closed_for_seven(
        request: pb.AnswerRequest, context: grpc.ServicerContext
    ) -> pb.AnswerResponse:
        if request.context == "Ada7 did.":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token has expired")
        return first_word(request, context)

    service.answer = closed_for_seven
    command = ["answer", str(questions), "--concurrency", "1", "--output", str(stopped)]
    result = run(*command, target=service.target)
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert "asks for a token" in last
    assert f"7 rows kept in {stopped}.partial: the same command goes on from there" in last
    assert not stopped.exists()

    service.answer = first_word
    result = run(*command, target=service.target)
    assert result.exit_code == 0, result.output
    assert stopped.read_bytes() == undisturbed.read_bytes()
    assert asked(service) == [row["context"] for row in [*ROWS[:8], *ROWS[7:]]]
    assert not list(tmp_path.glob("*.partial*"))


def test_failures_of_the_earlier_run_count(
    service: FakeService, questions: Path, answers: Path
) -> None:
    write(questions, [{"id": 1, "question": "Who?", "context": " "}, ROWS[0]])
    command = ["answer", str(questions), "--concurrency", "1", "--output", str(answers)]

    def closed(request: pb.AnswerRequest, context: grpc.ServicerContext) -> pb.AnswerResponse:
        if request.context == "Ada0 did.":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "closed")
        return first_word(request, context)

    service.answer = closed
    assert run(*command, target=service.target).exit_code == 1
    service.answer = first_word
    result = run(*command, target=service.target)
    assert result.exit_code == 1
    assert "1 of 2 rows failed" in result.stderr


def test_options_that_no_row_can_have_stop_the_run(
    service: FakeService, questions: Path, answers: Path
) -> None:
    service.answer = lambda request, context: refuse(context, refusal("options.top_k", "is 99"))
    command = ["answer", str(questions), "--top-k", "99", "--output", str(answers)]
    result = run(*command, target=service.target)
    fails(result, "options.top_k: is 99")
    assert list(answers.parent.iterdir()) == [questions]


def test_no_answer_needs_a_model_that_knows_it(
    service: FakeService, questions: Path, answers: Path
) -> None:
    command = ["answer", str(questions), "--no-answer", "--output", str(answers)]
    fails(run(*command, target=service.target), "fake was not trained", "leave --no-answer off")
    assert asked(service) == []


def test_no_server(questions: Path, answers: Path, dead_target: str) -> None:
    result = run("answer", str(questions), "--output", str(answers), target=dead_target)
    fails(result, f"no server answers at {dead_target}")
    assert list(answers.parent.iterdir()) == [questions]


def test_answers_that_are_there_stay(service: FakeService, questions: Path, answers: Path) -> None:
    answers.write_text("mine")
    command = ["answer", str(questions), "--output", str(answers)]
    fails(run(*command, target=service.target), "exists", "--restart")
    assert answers.read_text() == "mine"
    assert run(*command, "--restart", target=service.target).exit_code == 0
    assert len(lines(answers)) == 12


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["no.jsonl"], ["no.jsonl", "No such file"]),
        (["Q", "--output", "no/where.jsonl"], ["where.jsonl", "No such file"]),
        (["Q", "--output", "answers"], ["must end in .jsonl", "--output-format"]),
        (["Q", "--context-column", "text"], ["no column 'text'", "--context-column"]),
        (["Q", "--output-format", "parquet"], ["only be written to a file", "--output"]),
        (["Q", "--output", "a.parquet", "--unordered"], ["leave --unordered off"]),
        (["-", "--input-format", "parquet"], ["from standard input", "name a file"]),
    ],
)
def test_what_cannot_be_done(
    questions: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], parts: list[str]
) -> None:
    monkeypatch.chdir(questions.parent)
    given = [str(questions) if part == "Q" else part for part in arguments]
    fails(run("answer", *given, stdin=b""), *parts)


def test_parquet_without_pyarrow(
    questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "spanqa._bulk.parquet", raising=False)
    result = run("answer", str(questions), "--output", str(tmp_path / "a.parquet"))
    fails(result, "pip install 'spanqa[parquet]'")


def test_a_device_is_written_as_it_comes(service: FakeService, questions: Path) -> None:
    command = ["answer", str(questions), "--output", "/dev/null", "--output-format", "jsonl"]
    assert run(*command, target=service.target).exit_code == 0
    assert not Path("/dev/null.partial").exists()


# A test run in the background of a shell ignores Ctrl-C, and so would what it starts.
COMMAND = """
import signal, spanqa.cli
signal.signal(signal.SIGINT, signal.default_int_handler)
spanqa.cli.main()
"""


def started(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", COMMAND, "answer", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)


def stop(process: subprocess.Popen[bytes]) -> str:
    """Presses Ctrl-C, with standard input still open; returns the last line that it says."""
    process.send_signal(signal.SIGINT)
    code = process.wait(20)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    assert code == 130, said
    assert "Traceback" not in said
    return said.splitlines()[-1]


def test_ctrl_c_keeps_what_is_answered(
    service: FakeService, questions: Path, answers: Path, never_answers: Handler
) -> None:
    held = threading.Event()

    def answer_two(request: pb.AnswerRequest, context: grpc.ServicerContext) -> pb.AnswerResponse:
        if request.context not in ("Ada0 did.", "Ada1 did."):
            held.set()
            return never_answers(request, context)
        return first_word(request, context)

    service.answer = answer_two
    one_at_a_time = ["--concurrency", "1", "--target", service.target]
    with started(str(questions), "--output", str(answers), *one_at_a_time) as process:
        assert held.wait(20)
        last = stop(process)
    assert last.startswith(f"spanqa: stopped; 2 rows kept in {answers}.partial")
    assert len(lines(answers.with_name(f"{answers.name}.partial"))) == 2


def test_ctrl_c_while_nothing_comes_in(service: FakeService) -> None:
    with started("-", "--target", service.target) as process:
        assert service.asked.wait(20)
        assert stop(process) == "spanqa: stopped; 0 rows written"
