"""``spanqa evaluate`` with files of all kinds, and everything that it writes."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from typer.testing import Result

from spanqa.v1 import question_answering_pb2 as pb
from unit.client.cli.commands import fails, run
from unit.client.fake_service import FakeService, first_word_of

ROWS: list[dict[str, Any]] = [
    {"id": 1, "question": "Who?", "context": "Ada did.", "answers": {"text": ["Ada"]}},
    {"id": 2, "question": "Who?", "context": "Bob did.", "answers": {"text": ["Ada"]}},
]


def unlabelled(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "answers"} for row in rows]


def written(path: Path, rows: object) -> str:
    path.write_text(json.dumps(rows))
    return str(path)


def table(result: Result) -> dict[str, str]:
    return {line[:18].strip(): line[18:] for line in result.stdout.splitlines()}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_standard_input(service: FakeService, pack: Any) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    result = run("evaluate", "-", stdin=pack(lines.encode()), target=service.target)
    assert result.exit_code == 0, result.output
    assert table(result)["exact match"] == "50.00"
    fails_twice = run("evaluate", "-", "-", stdin=b"{}", target=service.target)
    assert fails_twice.exit_code == 2


def test_several_files_are_one(service: FakeService, tmp_path: Path) -> None:
    files = [written(tmp_path / f"{number}.json", [row]) for number, row in enumerate(ROWS)]
    result = run("evaluate", *files, "--predictions", "-", target=service.target)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"1": "Ada", "2": "Bob"}
    assert "exact match       50.00" in result.stderr
    missing = str(tmp_path / "none.json")
    fails(run("evaluate", files[0], missing), f"cannot read {missing}: No such file")


@pytest.mark.parametrize("empty", ["missing", "empty", "not impossible"])
def test_files_without_labels_give_predictions(
    service: FakeService, tmp_path: Path, empty: str
) -> None:
    rows: list[dict[str, Any]] = unlabelled(ROWS)
    if empty != "missing":
        rows = [row | {"answers": []} for row in rows]
    if empty == "not impossible":
        rows = [row | {"is_impossible": False} for row in rows]
    file = written(tmp_path / "test.json", rows)
    result = run("evaluate", file, target=service.target)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"1": "Ada", "2": "Bob"}
    assert "not labelled      2" in result.stderr
    assert "exact match" not in result.stderr
    assert "F1" not in result.stderr
    predictions = tmp_path / "predictions.json"
    options = ["--json", "--predictions", str(predictions)]
    report = json.loads(run("evaluate", file, *options, target=service.target).stdout)
    assert (report["questions"], report["scored"], report["f1"]) == (2, 0, None)
    assert json.loads(predictions.read_text()) == {"1": "Ada", "2": "Bob"}


def test_only_what_is_labelled_is_scored(service: FakeService, tmp_path: Path) -> None:
    file = written(tmp_path / "x.json", [ROWS[0], *unlabelled(ROWS[1:])])
    rows = table(run("evaluate", file, target=service.target))
    assert (rows["questions"], rows["not labelled"], rows["F1"]) == ("2", "1", "100.00")


def test_what_is_unusual_in_a_file_is_said(service: FakeService, tmp_path: Path) -> None:
    rows = [ROWS[0], ROWS[1] | {"is_impossible": 1}, ROWS[1] | {"id": 3, "context": "Bo \ud83d"}]
    result = run("evaluate", written(tmp_path / "x.json", rows), target=service.target)
    assert result.exit_code == 0, result.output
    notices = [line for line in result.stderr.splitlines() if line.startswith("spanqa: ")]
    assert notices == [
        "spanqa: 1 questions have answers although is_impossible is true; "
        "they count as unanswerable",
        "spanqa: 1 texts hold half of a character (a lone surrogate), which is read as U+FFFD",
    ]


@pytest.mark.parametrize(
    ("options", "f1"),
    [([], "66.67  by characters"), (["--score-by", "words"], "0.00")],
)
def test_chinese_is_scored_by_characters(
    service: FakeService, tmp_path: Path, options: list[str], f1: str
) -> None:
    row = {"question": "哪里?", "context": "北京 大学", "answers": {"text": ["北京大学"]}}
    file = written(tmp_path / "x.json", [row])
    assert table(run("evaluate", file, *options, target=service.target))["F1"] == f1


# Of each text: its gold answers, the logits of its best span and of "no answer".
V2 = {
    "Ada did.": (["Ada"], 3.0, 1.0),
    "Bob did.": ([], 2.0, 1.5),
    "Eve did.": (["Eve"], 1.0, 0.0),
    "Nobody did.": ([], 0.0, 4.0),
}


@pytest.fixture
def v2(service: FakeService, tmp_path: Path) -> str:
    """A file of SQuAD v2, and a server whose model knows unanswerable questions."""

    def answer(request: pb.AnswerRequest, context: grpc.ServicerContext) -> pb.AnswerResponse:
        _, best, null = V2[request.context]
        total = 2 * (math.exp(best) + math.exp(null))
        allowed = request.options.allow_no_answer
        wins = allowed and null - best > request.options.no_answer_threshold
        found = first_word_of(request.context, 0, score=best)
        found.probability = math.exp(best) / total
        second = pb.Answer(text="did", start=4, end=7, score=best - 1, probability=0.001)
        answers = [] if wins else [found, second][: request.options.top_k]
        return pb.AnswerResponse(
            answers=answers,
            no_answer=wins,
            no_answer_probability=math.exp(null) / total if allowed else 0.0,
            model_version="1",
        )

    service.answer = answer
    service.model.has_no_answer = True
    rows = [
        {"id": text[:3], "question": "Who?", "context": text, "answers": {"text": golds}}
        for text, (golds, _, _) in V2.items()
    ]
    return written(tmp_path / "dev-v2.json", rows)


def test_null_odds_are_the_difference_of_scores(
    service: FakeService, v2: str, tmp_path: Path
) -> None:
    odds, predictions = tmp_path / "null_odds.json", tmp_path / "predictions.json"
    options = ["--no-answer", "--null-odds", str(odds), "--predictions", str(predictions)]
    assert run("evaluate", v2, *options, target=service.target).exit_code == 0
    assert json.loads(odds.read_text()) == pytest.approx(
        {text[:3]: null - best for text, (_, best, null) in V2.items()}
    )
    assert json.loads(predictions.read_text()) == {"Ada": "Ada", "Bob": "Bob", "Eve": "Eve"} | {
        "Nob": ""
    }


@pytest.mark.parametrize("threshold", [-3.0, -0.75, 0.0, 9.0])
def test_asking_for_null_odds_changes_no_answer(
    service: FakeService, v2: str, tmp_path: Path, threshold: float
) -> None:
    options = ["--no-answer", f"--no-answer-threshold={threshold}", "--json"]
    reports = []
    for more in ([], ["--null-odds", str(tmp_path / "odds.json")]):
        report = json.loads(run("evaluate", v2, *options, *more, target=service.target).stdout)
        for name in ("seconds", "answers_per_second", "latency_seconds", "best_thresholds"):
            del report[name]
        reports.append(report)
    assert reports[0] == reports[1]


def test_the_best_threshold_is_found_and_works(service: FakeService, v2: str) -> None:
    result = run("evaluate", v2, "--no-answer", "--best-threshold", target=service.target)
    rows = table(result)
    assert rows["F1"] == "75.00"
    assert rows["best F1"] == "100.00  at threshold -0.75"
    assert rows["best exact match"] == "100.00  at threshold -0.75"
    options = ["--no-answer", "--no-answer-threshold", "-0.75"]
    assert table(run("evaluate", v2, *options, target=service.target))["F1"] == "100.00"


@pytest.mark.parametrize("no_answer", [True, False])
def test_nbest(service: FakeService, v2: str, tmp_path: Path, no_answer: bool) -> None:
    nbest = tmp_path / "nbest.json"
    options = ["--nbest", str(nbest), "--nbest-size", "2", *(["--no-answer"] * no_answer)]
    assert run("evaluate", v2, *options, target=service.target).exit_code == 0
    if not no_answer:
        asked = service.requests[-1].options
        assert (asked.top_k, asked.allow_overlap) == (2, True)
    best = json.loads(nbest.read_text())
    assert list(best) == ["Ada", "Bob", "Eve", "Nob"]
    assert best["Nob"][0]["text"] == ("" if no_answer else "Nobody")
    for entries in best.values():
        assert len(entries) == 2 + no_answer
        probabilities = [entry["probability"] for entry in entries]
        assert probabilities == sorted(probabilities, reverse=True)
        assert (entries[-1]["start"], entries[-1]["end"]) == (4, 7)


def test_nbest_beyond_the_servers_limit(service: FakeService, v2: str, tmp_path: Path) -> None:
    service.model.limits.max_top_k = 10
    nbest = tmp_path / "nbest.json"
    result = run("evaluate", v2, "--nbest", str(nbest), target=service.target)
    fails(result, f"{service.target} gives up to 10 answers, not 20")


@pytest.mark.parametrize("option", [["--null-odds", "x.json"], ["--best-threshold"]])
def test_null_odds_need_no_answer(option: list[str], v2: str) -> None:
    result = run("evaluate", v2, *option)
    assert result.exit_code == 2
    assert "needs --no-answer" in result.stderr


@pytest.mark.parametrize("option", ["--predictions", "--nbest", "--null-odds"])
def test_files_that_cannot_be_written(service: FakeService, v2: str, option: str) -> None:
    nowhere = str(Path(v2).parent / "none" / "x.json")
    result = run("evaluate", v2, "--no-answer", option, nowhere, target=service.target)
    fails(result, f"cannot write {nowhere}: No such file")
    assert service.requests == []
