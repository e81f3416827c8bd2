"""``spanqa answer`` against a running server: files in, files out."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from unit.client.cli.bulk_rows import ROWS, answered, lines, write
from unit.client.cli.commands import run
from unit.client.fake_service import FakeService, first_word, first_word_of


def test_json_lines(service: FakeService, questions: Path, answers: Path) -> None:
    result = run("answer", str(questions), "--output", str(answers), target=service.target)
    assert result.exit_code == 0, result.output
    assert lines(answers) == [answered(row) for row in ROWS]
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] == "12 rows answered"
    assert sorted(path.name for path in answers.parent.iterdir()) == [answers.name, questions.name]


def test_standard_streams(service: FakeService) -> None:
    stdin = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    result = run("answer", "-", stdin=stdin, target=service.target)
    assert result.exit_code == 0, result.output
    assert [json.loads(line) for line in result.stdout.splitlines()] == list(map(answered, ROWS))


def test_csv_and_chosen_columns(service: FakeService, tmp_path: Path) -> None:
    path, made = tmp_path / "q.csv", tmp_path / "a.csv"
    path.write_text('id,q,text\n1,"Who, then?",Ada did.\n')
    options = ["--question-column", "q", "--context-column", "text", "--prefix", "our_"]
    result = run("answer", str(path), "--output", str(made), *options, target=service.target)
    assert result.exit_code == 0, result.output
    header, row = made.read_text().splitlines()
    assert header == (
        "id,q,our_answer,our_start,our_end,our_score,our_probability,our_error_code,our_error"
    )
    assert row == '1,"Who, then?",Ada,0,3,3.0,0.5,,'


def test_from_json_to_csv_every_column_is_kept(service: FakeService, tmp_path: Path) -> None:
    rows = [ROWS[0], {**ROWS[1], "late": [1, "a"]}]
    path, made = write(tmp_path / "q.jsonl", rows), tmp_path / "a.tsv"
    result = run("answer", str(path), "--output", str(made), target=service.target)
    assert result.exit_code == 0, result.output
    assert [line.split("\t")[:4] for line in made.read_text().splitlines()] == [
        ["id", "question", "late", "answer"],
        ["0", "Who?", "", "Ada0"],
        ["1", "Who?", '"[1, ""a""]"', "Ada1"],
    ]


def test_a_late_column_of_a_stream_has_no_place_in_csv(service: FakeService) -> None:
    rows = [ROWS[0], {**ROWS[1], "late": 1}]
    stdin = "".join(json.dumps(row) + "\n" for row in rows).encode()
    result = run("answer", "-", "--output-format", "csv", stdin=stdin, target=service.target)
    assert result.exit_code == 1
    assert "row 2 has a column 'late'" in result.stderr


def test_parquet(service: FakeService, questions: Path, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    command = ["answer", str(questions), "--keep-context", "--output", str(first)]
    assert run(*command, target=service.target).exit_code == 0
    command = ["answer", str(first), "--prefix", "p_", "--output", str(second)]
    result = run(*command, target=service.target)
    assert result.exit_code == 0, result.output
    table = pq.read_table(second)
    assert table["answer"].to_pylist() == table["p_answer"].to_pylist()
    assert table["id"].to_pylist() == list(range(12))
    assert "context" not in table.column_names


def test_options_and_what_they_add(service: FakeService, questions: Path, answers: Path) -> None:
    def two(request: pb.AnswerRequest, context: grpc.ServicerContext) -> pb.AnswerResponse:
        reply = first_word(request, context)
        reply.answers.append(first_word_of(" b", 0, score=1.23456789))
        reply.no_answer_probability = 0.12345678
        reply.usage.windows = 3
        return reply

    service.answer, service.model.has_no_answer = two, True
    options = ["--top-k", "2", "--allow-overlap", "--min-probability", "0.25", "--no-answer"]
    options += ["--no-answer-threshold", "1.5", "--max-answer-tokens", "9", "--details"]
    command = ["answer", str(questions), "--output", str(answers), *options]
    result = run(*command, target=service.target)
    assert result.exit_code == 0, result.output
    sent = next(r for r in service.requests if isinstance(r, pb.AnswerRequest)).options
    assert (sent.top_k, sent.allow_overlap, sent.min_probability) == (2, True, 0.25)
    assert (sent.allow_no_answer, sent.no_answer_threshold, sent.max_answer_tokens) == (
        True,
        1.5,
        9,
    )
    row = lines(answers)[0]
    more = {"answer": "b", "start": 1, "end": 2, "score": 1.2346, "probability": 0.5}
    assert row["more_answers"] == [more]
    assert row["no_answer_probability"] == 0.123457
    assert (row["model_version"], row["windows"], row["server_seconds"]) == ("1", 3, 0.0)


def test_rows_that_fail_say_why(service: FakeService, questions: Path, answers: Path) -> None:
    bad = [{"id": "no text", "question": "Who?"}, {"id": "blank", "question": "?", "context": " "}]
    write(questions, [ROWS[0], *bad, ROWS[1]])
    with questions.open("a") as file:
        file.write("{\n")
    result = run("answer", str(questions), "--output", str(answers), target=service.target)
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert last == "spanqa: 3 of 5 rows failed: the column error_code says why"
    found = [
        (row.get("id"), row["answer"], row["error_code"], row["error"]) for row in lines(answers)
    ]
    assert found[:4] == [
        (0, "Ada0", None, None),
        ("no text", None, "INVALID_ARGUMENT", "context is missing, not a string"),
        ("blank", None, "INVALID_ARGUMENT", "context: is empty"),
        (1, "Ada1", None, None),
    ]
    assert found[4][3].startswith("line 5 is not JSON")


def test_unordered_rows_have_their_number(
    service: FakeService, questions: Path, answers: Path
) -> None:
    command = ["answer", str(questions), "--unordered", "--output", str(answers)]
    assert run(*command, target=service.target).exit_code == 0
    found = sorted(lines(answers), key=lambda row: row["row"])
    assert found == [answered(row, row=row["id"] + 1) for row in ROWS]
