"""``spanqa compare``: two servers, or a server and the answers of another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanqa.cli.comparison import Side, compare
from spanqa.squad import Question
from spanqa.v1 import question_answering_pb2 as pb
from unit.client.cli.commands import fails, run
from unit.client.fake_service import FakeService, first_word_of, running

TEXTS = {
    "q0": ("Ada did.", ["Ada"]),
    "q1": ("Bob did.", ["Bob"]),
    "q2": ("then Eve did.", ["Eve"]),
    "q3": ("Tom and Ann did.", ["Tom and Ann"]),
}


def last_name(request: pb.AnswerRequest, context: grpc.ServicerContext) -> pb.AnswerResponse:
    """Answers with the last word that begins with a capital letter."""
    words = [word for word in request.context.split() if word[0].isupper()]
    answer = first_word_of(request.context, 0)
    answer.text, answer.start = words[-1], request.context.rindex(words[-1])
    answer.end = answer.start + len(answer.text)
    return pb.AnswerResponse(answers=[answer], model_version="2")


@pytest.fixture
def other() -> Iterator[FakeService]:
    """A server that answers otherwise."""
    fake = FakeService()
    fake.answer = last_name
    fake.model.version = "2"
    with running(fake):
        yield fake


@pytest.fixture
def file(tmp_path: Path) -> str:
    rows: list[dict[str, Any]] = [
        {"id": name, "question": "Who?", "context": text, "answers": {"text": golds}}
        for name, (text, golds) in TEXTS.items()
    ]
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(rows))
    return str(path)


def test_two_servers_side_by_side(
    service: FakeService, other: FakeService, file: str, tmp_path: Path
) -> None:
    differences = tmp_path / "differences.jsonl"
    options = ["--differences", str(differences)]
    result = run("compare", service.target, other.target, file, *options)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    rows = {line.split("  ")[0]: line.split() for line in lines if line.strip()}
    assert rows["model"][1:] == ["fake", "version", "1", "fake", "version", "2"]
    assert rows["exact match"][2:5] == ["50.00", "75.00", "+25.00"]
    assert rows["F1"][1:3] == ["62.50", "87.50"]
    assert rows["latency p50"][3] == rows["latency p50"][5] == "ms"
    assert "2 of 4 answers are the same" in lines
    assert "of the 2 others A is better in 0, B in 1, and 1 score the same" in lines
    at = lines.index("q2  Who?")
    assert lines[at : at + 4] == [
        "q2  Who?",
        "  gold  Eve",
        "  A     then  probability 0.500  F1 0",
        "  B     Eve  probability 0.500  F1 100",
    ]
    written = [json.loads(line) for line in differences.read_text().splitlines()]
    assert [(one["id"], one["a"], one["b"]) for one in written] == [
        ("q3", "Tom", "Ann"),
        ("q2", "then", "Eve"),
    ]
    notes = [line for line in result.stderr.splitlines() if "asking" in line]
    assert notes == [f"spanqa: asking {one.target}" for one in (service, other)]


def test_json(service: FakeService, other: FakeService, file: str) -> None:
    options = ["--json", "--limit", "3", "--score-by", "words"]
    result = run("compare", service.target, other.target, file, *options)
    report = json.loads(result.stdout)
    assert (report["questions"], report["same"], report["b_better"]) == (3, 2, 1)
    assert report["b"] == {"questions": 3, "exact_match": 100.0, "f1": 100.0}
    assert report["f1"]["mean"] == pytest.approx(100 / 3)
    assert report["f1"]["low"] < report["f1"]["mean"] < report["f1"]["high"]
    assert report["b_report"]["model_version"] == "2"


def test_the_answers_of_an_earlier_version(service: FakeService, file: str, tmp_path: Path) -> None:
    before = tmp_path / "before.json"
    run("evaluate", file, "--predictions", str(before), target=service.target)
    service.answer = last_name
    result = run("compare", str(before), service.target, file, "--show", "1")
    assert result.exit_code == 0, result.output
    assert "2 of 4 answers are the same" in result.stdout
    assert "  A     Tom  F1 50" in result.stdout
    assert "… 1 more: --show N or --differences FILE" in result.stdout
    result = run("compare", str(before), str(before), file)
    assert "4 of 4 answers are the same" in result.stdout
    assert "latency" not in result.stdout


def test_files_without_labels(service: FakeService, other: FakeService, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"question": "Who?", "context": "then Eve did."}\n')
    result = run("compare", service.target, other.target, str(path))
    assert result.exit_code == 0, result.output
    assert "F1" not in result.stdout
    assert result.stdout.splitlines()[-3:] == [
        "question-1  Who?",
        "  A     then  probability 0.500",
        "  B     Eve  probability 0.500",
    ]


def test_what_fails_is_counted(service: FakeService, other: FakeService, file: str) -> None:
    other.failures = []

    def answer(request: pb.AnswerRequest, context: grpc.ServicerContext) -> pb.AnswerResponse:
        if request.context.startswith("Bob"):
            context.abort(grpc.StatusCode.INTERNAL, "out of luck")
        return last_name(request, context)

    other.answer = answer
    result = run("compare", service.target, other.target, file)
    assert result.exit_code == 1
    assert "  B     (failed)  F1 0" in result.stdout
    assert result.stderr.splitlines()[-1].startswith("spanqa: 1 questions failed; the first, q1:")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("{", "holds no answers: give a file that evaluate --predictions wrote"),
        ("[1]", "holds no answers"),
        ('{"q0": 3}', "holds no answers"),
        ('{"other": "Ada"}', "answers none of these questions: their ids differ"),
    ],
)
def test_files_that_hold_no_answers(
    service: FakeService, file: str, tmp_path: Path, content: str, part: str
) -> None:
    path = tmp_path / "answers.json"
    path.write_text(content)
    fails(run("compare", str(path), str(path), file), str(path), part)


def test_both_servers_are_tried_before_one_is_asked(
    service: FakeService, dead_target: str, file: str
) -> None:
    result = run("compare", service.target, dead_target, file)
    fails(result, f"no server answers at {dead_target}")
    assert [type(request) for request in service.requests] == [pb.GetModelRequest]
    fails(run("compare", "http://x", dead_target, file), "neither a file nor the address", "scheme")


TEXT = st.sampled_from(["Ada", "Ada Lovelace", "", None])


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=2))
def test_the_mean_change_is_the_difference_of_the_scores(
    said: list[tuple[str | None, str | None]],
) -> None:
    questions = [Question(str(n), "?", "c", ("Ada Lovelace",)) for n in range(len(said))]
    a, b = (
        Side(name, {str(n): pair[side] for n, pair in enumerate(said)}, {})
        for side, name in enumerate("ab")
    )
    found = compare(questions, a, b)
    assert found.a is not None
    assert found.b is not None
    assert found.f1 is not None
    assert found.f1.mean == pytest.approx(found.b.f1 - found.a.f1)
    assert found.f1.low <= found.f1.mean <= found.f1.high
    assert found.same + len(found.differences) == len(said)
    changes = [difference.change for difference in found.differences]
    assert changes == sorted(changes)
