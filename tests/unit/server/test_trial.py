"""A version that served is asked again now and then, and is out while it does not answer right."""

import logging

import pytest

from spanqa_server.errors import (
    DeadlineError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    ServerError,
)
from spanqa_server.trial import PROOF_SECONDS
from unit.server.rollout_stage import Stage


@pytest.fixture
async def serving(stage: Stage) -> Stage:
    stage.publish("1")
    assert await stage.look()
    return stage


async def test_an_answer_is_proof_for_a_while(serving: Stage) -> None:
    assert await serving.look(5)
    assert serving.tried == ["1"]
    for times in (2, 3):
        serving.seconds += PROOF_SECONDS
        assert await serving.look(5)
        assert serving.tried == ["1"] * times


async def test_nonsense_is_no_answer(serving: Stage, caplog: pytest.LogCaptureFixture) -> None:
    serving.logit = 40.0
    assert await serving.look(), "proof is still good"
    serving.seconds += PROOF_SECONDS
    assert not await serving.look()
    assert "gave its trial question the score 0 before and 80 now" in caplog.text
    serving.logit = 0.1  # rounding
    assert await serving.look()


async def test_a_version_that_fails_is_out_until_it_answers(
    serving: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    serving.errors["1"] = InferenceError("CUDA error")
    serving.host.answers["1"] = serving.seconds
    serving.seconds += PROOF_SECONDS
    assert not await serving.look(3)
    assert "fails on its trial question: CUDA error" in caplog.text
    del serving.errors["1"]
    assert await serving.look()
    assert [record.levelno for record in caplog.records if record.levelno > logging.ERROR] == []


@pytest.mark.parametrize(
    "error",
    [ModelUnavailableError("no"), OverloadedError("full"), DeadlineError("late")],
    ids=lambda error: type(error).__name__,
)
async def test_calls_that_are_answered_are_proof_too(serving: Stage, error: ServerError) -> None:
    serving.errors["1"] = error
    serving.seconds += PROOF_SECONDS
    serving.host.answers["1"] = serving.seconds - 1
    assert await serving.look()
    serving.seconds += PROOF_SECONDS
    assert not await serving.look()
    assert not await serving.look()
    serving.errors.clear()
    assert await serving.look(), "asked again in the next look"
