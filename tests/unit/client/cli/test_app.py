"""The commands: against a running server, and with everything a user can get wrong."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest

import spanqa
import spanqa.cli
from spanqa.v1 import question_answering_pb2 as pb
from unit.client.cli.commands import fails, run
from unit.client.fake_service import FakeService, Handler, first_word


def squad(texts: list[tuple[str, list[str]]]) -> dict[str, Any]:
    """A file with a question about each context, with its gold answers."""
    paragraphs = []
    for number, (context, golds) in enumerate(texts):
        answers = [{"text": gold} for gold in golds]
        entry = {"id": f"q{number}", "question": "Who?", "answers": answers}
        paragraphs.append({"context": context, "qas": [entry]})
    return {"data": [{"paragraphs": paragraphs}]}


@pytest.fixture
def squad_file(tmp_path: Path) -> Path:
    """Four questions, of which a server that answers with the first word gets three right."""
    path = tmp_path / "squad.json"
    texts = [("Ada did.", [gold]) for gold in ("Ada", "Ada", "ada!", "Babbage")]
    path.write_text(json.dumps(squad(texts)))
    return path


def test_target_option_goes_before_the_environment(service: FakeService, dead_target: str) -> None:
    result = run("ask", "?", "--target", service.target, stdin=b"Ada", target=dead_target)
    assert result.exit_code == 0, result.output


def test_info_shows_the_model_and_its_limits(service: FakeService) -> None:
    limits = service.model.limits
    for number, field in enumerate(limits.DESCRIPTOR.fields):
        if field.message_type is None:
            setattr(limits, field.name, 7001 + number)
    limits.default_timeout.FromSeconds(77)
    service.model.f1 = 88.25
    text = run("info", target=service.target).stdout
    assert "fake version 1" in text
    assert re.search(r"measured +EM unknown  F1 88.25", text)
    for number in range(len(limits.DESCRIPTOR.fields) - 1):
        assert f"{7001 + number:,}" in text
    assert "77 s" in text
    model = json.loads(run("info", "--json", target=service.target).stdout)
    assert (model["name"], model["exact_match"]) == ("fake", None)
    assert model["limits"]["default_timeout"] == 77.0


def test_evaluate_scores_and_writes_predictions(service: FakeService, squad_file: Path) -> None:
    predictions = squad_file.with_name("predictions.json")
    command = ["evaluate", str(squad_file), "--predictions", str(predictions)]
    result = run(*command, target=service.target)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines() == [f"{done} of 4 questions" for done in (1, 2, 3, 4)]
    rows = {line[:18].strip(): line[18:] for line in result.stdout.splitlines()}
    assert (rows["questions"], rows["answered"], rows["errors"]) == ("4", "4", "0")
    assert (rows["F1"], rows["exact match"]) == ("75.00", "75.00")
    assert json.loads(predictions.read_text()) == {f"q{n}": "Ada" for n in range(4)}
    report = json.loads(run(*command, "--json", "--limit", "2", target=service.target).stdout)
    assert (report["questions"], report["exact_match"], report["errors"]) == (2, 100.0, {})
    assert set(report["latency_seconds"]) == {"p50", "p90", "p99", "max"}


def test_evaluate_scores_questions_without_an_answer_apart(
    service: FakeService, tmp_path: Path
) -> None:
    def say_nothing_of_bob(
        request: pb.AnswerRequest, context: grpc.ServicerContext
    ) -> pb.AnswerResponse:
        if request.context.startswith("Bob"):
            return pb.AnswerResponse(no_answer=True, no_answer_probability=0.75)
        return first_word(request, context)

    texts = [("Ada did.", ["Ada"]), ("Bob did.", []), ("Ada did.", []), ("Bob.", ["Bob"])]
    path = tmp_path / "dev-v2.0.json"
    path.write_text(json.dumps(squad(texts)))
    predictions = tmp_path / "predictions.json"
    service.answer = say_nothing_of_bob
    service.model.has_no_answer = True
    options = ["--no-answer", "--no-answer-threshold", "0.5", "--predictions", str(predictions)]
    result = run("evaluate", str(path), *options, target=service.target)
    assert result.exit_code == 0, result.output
    rows = {line[:18].strip(): line[18:] for line in result.stdout.splitlines()}
    assert (rows["questions"], rows["answered"], rows["exact match"]) == ("4", "2", "50.00")
    assert rows["with answer"] == "EM 50.00  F1 50.00  of 2 questions"
    assert rows["without answer"] == "EM 50.00  F1 50.00  of 2 questions"
    assert json.loads(predictions.read_text()) == {"q0": "Ada", "q1": "", "q2": "Ada", "q3": ""}
    assert {r.options.no_answer_threshold for r in service.requests[1:]} == {0.5}


def test_evaluate_asks_for_no_answer_where_the_model_knows_it(
    service: FakeService, squad_file: Path
) -> None:
    result = run("evaluate", str(squad_file), "--no-answer", target=service.target)
    fails(result, "fake was not trained", "leave --no-answer off")
    assert len(service.requests) == 1


def test_evaluate_counts_failures_and_goes_on(service: FakeService, squad_file: Path) -> None:
    answer: Handler = service.answer
    left = ["once"]

    def fail_once(request: pb.AnswerRequest, context: grpc.ServicerContext) -> pb.AnswerResponse:
        if left:
            left.pop()
            context.abort(grpc.StatusCode.INTERNAL, "out of luck")
        return answer(request, context)

    service.answer = fail_once
    result = run("evaluate", str(squad_file), "--concurrency", "1", target=service.target)
    assert result.exit_code == 1
    assert "INTERNAL 1" in result.stdout
    assert service.requests[1:] == [service.requests[1]] * 4
    last = result.stderr.splitlines()[-1]
    assert last == "spanqa: 1 questions failed; the first, q0: INTERNAL: out of luck"


@pytest.mark.parametrize("command", [["ask", "Who?"], ["info"], ["evaluate", "FILE"]])
def test_unreachable_server(command: list[str], squad_file: Path, dead_target: str) -> None:
    command = [str(squad_file) if part == "FILE" else part for part in command]
    result = run(*command, stdin=b"Ada", target=dead_target)
    fails(result, f"no server answers at {dead_target}", "--target")


@pytest.mark.parametrize(
    ("code", "message", "parts"),
    [
        (
            "UNIMPLEMENTED",
            "no\nsuch\x1b[31m method",
            ["not offer this", "such\ufffd[31m method"],
        ),
        ("DATA_LOSS", "gone", ["check --target", "DATA_LOSS: gone"]),
    ],
)
def test_failed_calls_say_what_to_do(
    service: FakeService, code: str, message: str, parts: list[str]
) -> None:
    service.failures = [(grpc.StatusCode[code], message)]
    fails(run("info", target=service.target), *parts)


def test_a_slow_server(service: FakeService, never_answers: Handler) -> None:
    service.answer = never_answers
    result = run("ask", "Who?", "--timeout", "0.2", stdin=b"Ada", target=service.target)
    fails(result, "within 0.2 s", "raise --timeout")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--target", "http://localhost:1"], "leave out the scheme"),
        (["--timeout", "inf"], "timeout is inf"),
    ],
)
def test_bad_targets_and_timeouts(arguments: list[str], part: str) -> None:
    fails(run("info", *arguments), part)


def test_bad_squad_files(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    fails(run("evaluate", str(file)), "No such file")
    file.write_bytes(b"{}")
    fails(run("evaluate", str(file)), f"{file}: data is missing", "give a SQuAD v1.1")


def test_predictions_that_cannot_be_written(service: FakeService, squad_file: Path) -> None:
    nowhere = squad_file.parent / "none" / "predictions.json"
    result = run("evaluate", str(squad_file), "--predictions", str(nowhere), target=service.target)
    fails(result, "cannot write", "No such file")
    assert service.requests == []


@pytest.mark.parametrize(
    "arguments",
    [["ask"], ["ask", "?", "--top-k", "0"], ["evaluate", "x", "--concurrency", "no"], ["nonsense"]],
)
def test_usage_errors(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("spanqa.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SystemExit, match=r"^spanqa: .*pip install 'spanqa\[cli\]'$"):
        spanqa.cli.main()


def start(*arguments: str, stdin: bytes = b"") -> subprocess.Popen[bytes]:
    """The command as a process, which Ctrl-C reaches."""
    # Whoever started the tests may ignore the signal, and its children inherit that.
    restore = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{restore}; from spanqa_command import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(stdin)
    process.stdin.close()
    process.stdin = None
    return process


@pytest.mark.parametrize("command", [["ask", "Who?"], ["evaluate", "FILE"]])
def test_control_c_is_quiet(
    command: list[str], service: FakeService, squad_file: Path, never_answers: Handler
) -> None:
    service.answer = never_answers
    command = [str(squad_file) if part == "FILE" else part for part in command]
    process = start(*command, "--target", service.target, stdin=b"Ada")
    assert service.asked.wait(timeout=60)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 130


def test_control_c_in_evaluate_keeps_what_it_has(
    service: FakeService, squad_file: Path, never_answers: Handler
) -> None:
    answer: Handler = service.answer
    third = threading.Event()

    def two_then_none(request: pb.AnswerRequest, context: grpc.ServicerContext) -> Any:
        if len(service.requests) < 4:  # one of them asked for the model
            return answer(request, context)
        third.set()
        return never_answers(request, context)

    service.answer = two_then_none
    predictions = squad_file.with_name("predictions.json")
    files = [str(squad_file), "--predictions", str(predictions)]
    command = ["evaluate", *files, "--concurrency", "1", "--json", "--target", service.target]
    process = start(*command)
    assert third.wait(timeout=60)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    told = "spanqa: interrupted after 2 of 4 questions; the report is of those"
    assert stderr.decode().splitlines()[-1] == told
    report = json.loads(stdout)
    assert (report["questions"], report["answered"], report["exact_match"]) == (2, 2, 100.0)
    assert json.loads(predictions.read_text()) == {"q0": "Ada", "q1": "Ada"}


def test_the_version() -> None:
    assert run("--version").stdout == f"spanqa {spanqa.__version__}\n"
