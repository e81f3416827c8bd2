"""Summing up a run, and keeping the work in flight bounded."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanqa import (
    Answer,
    AnswerResult,
    AsyncClient,
    InternalError,
    Options,
    Timing,
    UnavailableError,
    Usage,
)
from spanqa._replies import model_info
from spanqa.cli.evaluation import Evaluated, Outcome, ask_all
from spanqa.cli.outputs import predictions_json
from spanqa.cli.reports import latency_summary, summarize
from spanqa.squad import Question
from spanqa.v1 import question_answering_pb2 as pb

OPTIONS = Options(allow_no_answer=True, no_answer_threshold=0.5)
MODEL = model_info(pb.GetModelResponse(name="fake", version="1"))


def question(name: str, gold: str = "Ada Lovelace") -> Question:
    return Question(name, "Who?", f"{gold} did.", (gold,))


def result(*texts: str, probability: float = 0.5) -> AnswerResult:
    answers = tuple(Answer(t, 0, len(t), 0, probability, 0, 0, 0) for t in texts)
    return AnswerResult(answers, not answers, 0.0, "1", Usage(0, 0, 0), Timing(0, 0, 0, 0, 0))


OUTCOMES = [
    Outcome(question("right"), 0.1, result=result("the Ada Lovelace", probability=0.9)),
    Outcome(question("half"), 0.2, result=result("Ada", probability=0.6)),
    Outcome(question("none"), 0.3, result=result()),
    Outcome(question("down"), 9.0, error=UnavailableError("down")),
    Outcome(question("broken"), 9.0, error=InternalError("broken")),
    Outcome(question("down again"), 9.0, error=UnavailableError("down")),
]


def test_errors_score_zero_and_stay_out_of_the_latencies() -> None:
    report = summarize(Evaluated(MODEL, OUTCOMES, seconds=2.0))
    assert (report.questions, report.answered) == (6, 2)
    assert report.errors == {"UNAVAILABLE": 2, "INTERNAL": 1}
    assert report.exact_match == pytest.approx(100 * 1 / 6)
    assert report.f1 == pytest.approx(100 * (1 + 2 / 3) / 6)
    assert report.answers_per_second == 1.5
    assert report.latency_seconds == {"p50": 0.2, "p90": 0.3, "p99": 0.3, "max": 0.3}
    assert report.mean_probability == pytest.approx(0.75)


def test_a_run_of_errors_alone_can_be_summed_up() -> None:
    report = summarize(Evaluated(MODEL, OUTCOMES[3:], seconds=1.0))
    assert (report.exact_match, report.f1, report.mean_probability) == (0, 0, None)
    assert report.latency_seconds == {}


def test_predictions_leave_out_what_failed() -> None:
    assert json.loads(predictions_json(OUTCOMES)) == {
        "right": "the Ada Lovelace",
        "half": "Ada",
        "none": "",
    }


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_are_values_in_order(seconds: list[float]) -> None:
    summary = latency_summary(seconds)
    assert list(summary) == ["p50", "p90", "p99", "max"]
    assert list(summary.values()) == sorted(summary.values())
    assert set(summary.values()) <= set(seconds)
    assert summary["max"] == max(seconds)
    assert sum(s <= summary["p50"] for s in seconds) >= len(seconds) / 2


class CountingClient:
    """Answers once every other call that may be under way is, and counts them."""

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self.under_way = 0
        self.most = 0
        self.full = asyncio.Event()

    async def answer(self, question: str, context: str, **options: object) -> AnswerResult:
        assert options == asdict(OPTIONS)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        if self.under_way == self.concurrency:
            self.full.set()
        await self.full.wait()
        await asyncio.sleep(0)
        self.under_way -= 1
        if context == "bad":
            raise ValueError("context holds a lone surrogate")
        return result(context)


def test_calls_under_way_are_bounded_and_outcomes_in_order() -> None:
    questions = [Question(str(n), "?", "bad" if n == 5 else str(n), ("x",)) for n in range(20)]
    done: list[Any] = []

    async def run() -> tuple[CountingClient, list[Outcome]]:
        client = CountingClient(3)
        on_done = partial(done.append, 1)
        asked = ask_all(cast(AsyncClient, client), iter(questions), OPTIONS, 3, on_done)
        return client, await asked

    client, outcomes = asyncio.run(run())
    assert client.most == 3
    assert len(done) == 20
    assert [outcome.question for outcome in outcomes] == questions
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    assert [(o.question.id, o.error and o.error.code.name) for o in failed] == [
        ("5", "INVALID_ARGUMENT")
    ]
