"""The commands: against a running server, and with everything a user can get wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner, Result

import spanqa.cli
from spanqa.cli.app import app
from spanqa.v1 import question_answering_pb2 as pb

Service = Any  # conftest.FakeService, which pytest's importlib mode keeps from being imported
Handler = Callable[[pb.AnswerRequest, grpc.ServicerContext], pb.AnswerResponse]


def run(*arguments: str, stdin: bytes | None = None, target: str = "") -> Result:
    env = {"SPANQA_TARGET": target} if target else {}
    return CliRunner(env=env).invoke(app, list(arguments), input=stdin)


def fails(result: Result, *parts: str, code: int = 1) -> None:
    """The command failed with one line on standard error that holds these parts."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("spanqa: ")
    for part in parts:
        assert part in lines[0]


@pytest.fixture
def squad_file(tmp_path: Path) -> Path:
    """Four questions, of which a server that answers with the first word gets three right."""
    golds = ["Ada", "Ada", "ada!", "Babbage"]
    qas = [
        {"id": f"q{n}", "question": "Who?", "answers": [{"text": g}]} for n, g in enumerate(golds)
    ]
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": "Ada did.", "qas": qas}]}]}))
    return path


def test_ask_reads_standard_input_and_prints_plain_text(service: Service) -> None:
    result = run("ask", "Who?", stdin="Café did. So there.".encode(), target=service.target)
    assert result.exit_code == 0, result.output
    assert result.stdout == "Café  [0:4]  probability 0.500\n  Café did.\n"


def test_ask_reads_a_file_as_it_is(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\r\n Ada did.\r\n")
    result = run("ask", "Who?", str(path), "--json", "--top-k", "2", target=service.target)
    assert service.requests[0].context == "\r\n Ada did.\r\n"
    assert service.requests[0].options.top_k == 2
    answer = json.loads(result.stdout)["answers"][0]
    assert (answer["text"], answer["start"], answer["end"]) == ("Ada", 3, 6)


def test_target_option_goes_before_the_environment(service: Service, dead_target: str) -> None:
    result = run("ask", "?", "--target", service.target, stdin=b"Ada", target=dead_target)
    assert result.exit_code == 0, result.output


def test_info_shows_the_model_and_its_limits(service: Service) -> None:
    service.model.limits.max_top_k = 20
    service.model.f1 = 88.25
    text = run("info", target=service.target).stdout
    assert "fake version 1" in text
    assert "EM unknown  F1 88.25" in text
    model = json.loads(run("info", "--json", target=service.target).stdout)
    assert (model["name"], model["exact_match"], model["limits"]["max_top_k"]) == ("fake", None, 20)


def test_evaluate_scores_and_writes_predictions(service: Service, squad_file: Path) -> None:
    predictions = squad_file.with_name("predictions.json")
    result = run(
        "evaluate", str(squad_file), "--predictions", str(predictions), target=service.target
    )
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines() == [f"{done} of 4 questions" for done in (1, 2, 3, 4)]
    rows = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert (rows["questions"], rows["answered"], rows["errors"]) == ("4", "4", "0")
    assert (rows["F1"], rows["exact"]) == ("75.00", "match       75.00")
    assert json.loads(predictions.read_text()) == {f"q{n}": "Ada" for n in range(4)}


def test_evaluate_prints_one_json_object(service: Service, squad_file: Path) -> None:
    result = run("evaluate", str(squad_file), "--json", "--limit", "2", target=service.target)
    report = json.loads(result.stdout)
    assert (report["questions"], report["exact_match"], report["errors"]) == (2, 100.0, {})
    assert set(report["latency_seconds"]) == {"p50", "p90", "p99", "max"}


def test_evaluate_counts_failures_and_goes_on(service: Service, squad_file: Path) -> None:
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
    assert len(service.requests) == 4
    last = result.stderr.splitlines()[-1]
    assert last == "spanqa: 1 questions failed; the first, q0: INTERNAL: out of luck"


@pytest.mark.parametrize("command", [["ask", "Who?"], ["info"], ["evaluate", "FILE"]])
def test_unreachable_server(command: list[str], squad_file: Path, dead_target: str) -> None:
    command = [str(squad_file) if part == "FILE" else part for part in command]
    result = run(*command, stdin=b"Ada", target=dead_target)
    fails(result, f"no server answers at {dead_target}", "--target")


def test_slow_server(service: Service, never_answers: Handler) -> None:
    service.answer = never_answers
    result = run("ask", "Who?", "--timeout", "0.2", stdin=b"Ada", target=service.target)
    fails(result, "within 0.2 s", "raise --timeout")


def test_server_that_refuses(service: Service) -> None:
    service.model_error = (grpc.StatusCode.UNIMPLEMENTED, "no\nsuch\x1b[31m method")
    fails(
        run("info", target=service.target), "does not offer this call", "no such\ufffd[31m method"
    )
    service.model_error = (grpc.StatusCode.DATA_LOSS, "gone")
    fails(run("info", target=service.target), "check --target", "DATA_LOSS: gone")


def test_bad_targets(service: Service) -> None:
    fails(run("info", "--target", "http://localhost:1"), "leave out the scheme")
    fails(run("info", "--target", "localhost:99999"), "over 65535")
    fails(run("info", "--timeout", "inf"), "timeout is inf")


def test_bad_texts(service: Service, tmp_path: Path) -> None:
    latin = tmp_path / "latin"
    latin.write_bytes("Café".encode("latin-1"))
    target = service.target
    fails(run("ask", "?", str(latin), target=target), "not UTF-8 at byte 3", "iconv")
    fails(run("ask", "?", stdin=b"\xff", target=target), "standard input is not UTF-8")
    fails(run("ask", "?", str(tmp_path / "none"), target=target), "No such file", "check the path")
    fails(run("ask", "?", str(tmp_path), target=target), "Is a directory")
    fails(run("ask", "\udcff", stdin=b"Ada", target=target), "question holds a lone surrogate")


def test_bad_squad_files(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    fails(run("evaluate", str(file)), "No such file")
    for data, part in (
        (b"", "is not JSON"),
        (b"{}", "data is missing"),
        (b'{"data":[]}', "holds no"),
    ):
        file.write_bytes(data)
        fails(run("evaluate", str(file)), part, "SQuAD v1.1")
    packed = tmp_path / "x.xz"
    packed.write_bytes(b"{}")
    fails(run("evaluate", str(packed)), "cannot be unpacked")


def test_predictions_that_cannot_be_written(service: Service, squad_file: Path) -> None:
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


@pytest.mark.parametrize("command", [["ask", "Who?"], ["evaluate", "FILE"]])
def test_control_c_is_quiet(
    command: list[str], service: Service, squad_file: Path, never_answers: Handler
) -> None:
    service.answer = never_answers
    code = "from spanqa.cli import main; main()"
    command = [str(squad_file) if part == "FILE" else part for part in command]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command, "--target", service.target],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b"Ada")
    process.stdin.close()
    process.stdin = None
    assert service.asked.wait(timeout=60)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 130


def test_output_that_is_not_unicode(service: Service) -> None:
    for arguments in (["ask", "?"], ["ask", "?", "--json"]):
        finished = subprocess.run(
            [sys.executable, "-c", "from spanqa.cli import main; main()", *arguments],
            input="Café did.".encode(),
            capture_output=True,
            env={"PYTHONIOENCODING": "ascii", "SPANQA_TARGET": service.target},
            check=True,
        )
        assert finished.stderr == b""
        assert rb"Caf\xe9" in finished.stdout or json.loads(finished.stdout)
