"""The command ``ask``: one text, several texts, no answer, and texts that cannot be read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from spanqa.v1 import question_answering_pb2 as pb
from unit.client.cli.commands import fails, run
from unit.client.fake_service import FakeService, refusal, refuse


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two texts, of which the second fits the question "Who wrote it?" better."""
    texts = {"a.txt": "Bob slept.", "b.txt": "It rained. Ada wrote it."}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return [str(tmp_path / name) for name in texts]


def test_ask_reads_standard_input_and_prints_plain_text(service: FakeService) -> None:
    result = run("ask", "Who?", stdin="Café did. So there.".encode(), target=service.target)
    assert result.exit_code == 0, result.output
    assert result.stdout == "Café  [0:4]  probability 0.500\n  Café did.\n"


def test_ask_reads_a_file_as_it_is(service: FakeService, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\r\n Ada did.\r\n")
    options = ["--top-k", "2", "--per-document", "1", "--allow-overlap"]
    options += ["--min-probability", "0.25", "--max-answer-tokens", "7"]
    result = run("ask", "Who?", str(path), "--json", *options, target=service.target)
    assert service.requests[0].context == "\r\n Ada did.\r\n"
    sent = service.requests[0].options
    assert (sent.top_k, sent.max_answers_per_document, sent.allow_overlap) == (2, 1, True)
    assert (sent.min_probability, sent.max_answer_tokens) == (0.25, 7)
    answer = json.loads(result.stdout)["answers"][0]
    assert (answer["text"], answer["start"], answer["end"]) == ("Ada", 3, 6)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["FILE", "-"])
def test_a_byte_order_mark_is_no_part_of_the_text(
    service: FakeService, tmp_path: Path, encoding: str, name: str
) -> None:
    path = tmp_path / "text"
    path.write_bytes("Café did.".encode(encoding))
    file = str(path) if name == "FILE" else name
    result = run("ask", "Who?", file, stdin=path.read_bytes(), target=service.target)
    assert result.stdout == "Café  [0:4]  probability 0.500\n  Café did.\n"
    assert service.requests[0].context == "Café did."


@pytest.mark.parametrize("others", [0, 1])
def test_texts_that_cannot_be_read_are_named(
    service: FakeService, files: list[str], tmp_path: Path, others: int
) -> None:
    latin = tmp_path / "latin"
    latin.write_bytes("Café".encode("latin-1"))
    for name, *parts in (
        (str(latin), f"{latin} is not UTF-8 at byte 3", "iconv"),
        ("-", "standard input is not UTF-8"),
        (str(tmp_path / "none"), str(tmp_path / "none"), "No such file", "check the path"),
        (str(tmp_path), str(tmp_path), "Is a directory"),
    ):
        command = ["ask", "?", *files[:others], name]
        fails(run(*command, stdin=b"\xff", target=service.target), *parts)
    fails(run("ask", "\udcff", files[0], target=service.target), "question holds a lone surrogate")
    assert service.requests == []


def test_output_that_is_not_unicode(service: FakeService) -> None:
    for arguments in (["ask", "?"], ["ask", "?", "--json"]):
        finished = subprocess.run(
            [sys.executable, "-c", "from spanqa_command import main; main()", *arguments],
            input="Café did.".encode(),
            capture_output=True,
            env={"PYTHONIOENCODING": "ascii", "SPANQA_TARGET": service.target},
            check=True,
        )
        assert finished.stderr == b""
        assert rb"Caf\xe9" in finished.stdout or json.loads(finished.stdout)


def test_several_files_are_ranked_together(service: FakeService, files: list[str]) -> None:
    result = run("ask", "Who wrote it?", *files, "--top-k", "2", target=service.target)
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        f"It  {files[1]} [0:2]  probability 0.500\n  It rained.\n"
        f"Bob  {files[0]} [0:3]  probability 0.500\n  Bob slept.\n"
    )
    (request,) = service.requests
    assert isinstance(request, pb.AnswerFromDocumentsRequest)
    assert [document.id for document in request.documents] == files
    assert request.options.top_k == 2
    printed = json.loads(
        run("ask", "Who wrote it?", *files, "--json", target=service.target).stdout
    )
    assert printed["document_ids"] == files
    assert [(a["text"], a["document_index"]) for a in printed["answers"]] == [("It", 1)]


def test_standard_input_may_be_one_of_several(service: FakeService, files: list[str]) -> None:
    command = ["ask", "Who wrote it?", files[0], "-", files[0]]
    result = run(*command, stdin=b"Ada wrote it.", target=service.target)
    assert result.stdout == "Ada  - [0:3]  probability 0.500\n  Ada wrote it.\n"


def test_the_name_of_a_file_may_be_any_bytes(service: FakeService, tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("caf\udce9", "b\x1b[31m")]
    for name in names:
        Path(name).write_text("Ada")
    result = run("ask", "?", *names, "--top-k", "2", target=service.target)
    assert result.exit_code == 0, result.output
    assert [line.split(" ")[2] for line in result.stdout.splitlines()[::2]] == [
        f"{tmp_path}/caf?",
        f"{tmp_path}/b\ufffd[31m",
    ]


@pytest.mark.parametrize("several", [False, True], ids=["one text", "several"])
def test_options_for_no_answer_reach_the_server(
    service: FakeService, files: list[str], several: bool
) -> None:
    texts = files if several else files[:1]
    options = ["--no-answer", "--no-answer-threshold", "-1.5"]
    run("ask", "Who?", *texts, *options, target=service.target)
    run("ask", "Who?", *texts, target=service.target)
    sent = [(r.options.allow_no_answer, r.options.no_answer_threshold) for r in service.requests]
    assert sent == [(True, -1.5), (False, 0.0)]


def test_no_answer_is_printed_with_its_probability(service: FakeService) -> None:
    reply = pb.AnswerResponse(no_answer=True, no_answer_probability=0.875)
    service.answer = lambda request, context: reply
    result = run("ask", "Who?", "--no-answer", stdin=b"Ada", target=service.target)
    assert (result.exit_code, result.stdout) == (0, "No answer.  probability 0.875\n")


def test_a_model_that_knows_no_no_answer_is_told(service: FakeService) -> None:
    service.answer = lambda request, context: refuse(
        context, refusal("options.allow_no_answer", "the model was not trained for it")
    )
    result = run("ask", "Who?", "--no-answer", stdin=b"Ada", target=service.target)
    fails(result, "options.allow_no_answer: the model was not trained for it")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-", "a.txt", "-"], "- (standard input) may be given once"),
        (["--no-answer-threshold", "1"], "needs --no-answer"),
    ],
)
def test_options_that_contradict_each_other(arguments: list[str], message: str) -> None:
    result = run("ask", "Who?", *arguments, stdin=b"Ada")
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
