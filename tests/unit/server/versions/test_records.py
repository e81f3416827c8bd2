"""The state of each version, as metrics and log tell it."""

import logging

import pytest

from spanqa_server.errors import InferenceError
from spanqa_server.versions.rollout import LOAD_SECONDS, PATIENCE_SECONDS
from unit.server.versions.rollout_stage import Stage


@pytest.fixture
async def serving(stage: Stage) -> Stage:
    stage.publish("1")
    assert await stage.look()
    return stage


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno == logging.ERROR]


async def test_a_version_on_its_way(serving: Stage) -> None:
    serving.publish("2", ready=False)
    assert await serving.look()
    assert serving.states() == {"1": "serving", "2": "loading"}
    serving.host.holds.add("2")
    assert await serving.look()
    assert serving.states() == {"1": "standby", "2": "serving"}
    serving.withdraw("1")
    assert await serving.look()
    assert serving.states() == {"2": "serving"}


async def test_broken_versions_each_in_its_way(serving: Stage) -> None:
    serving.publish("2", "3", "4")
    (serving.directory("2") / "model.pt").write_bytes(b"half of it")
    serving.errors["3"] = InferenceError("not finite")
    serving.host.holds.remove("4")
    serving.host.failures["4"] = "no zip archive"
    assert await serving.look(3)
    assert serving.states() == {
        "1": "serving",
        "2": "unreadable",
        "3": "failed",
        "4": "not_loaded",
    }


@pytest.mark.parametrize("chooses", [True, False])
async def test_a_version_that_triton_does_not_load_in_time(
    serving: Stage, chooses: bool, caplog: pytest.LogCaptureFixture
) -> None:
    serving.host.chooses = chooses
    serving.publish("2", ready=False)
    assert await serving.look()
    serving.seconds += LOAD_SECONDS
    assert await serving.look(3)
    assert serving.states() == {"1": "serving", "2": "not_loaded"}
    assert errors(caplog) == [
        f"model version {serving.directory('2')} is broken: "
        "Triton has not loaded it in 120 s; its log may say why"
    ]
    # A Triton that sees for itself may load it yet; where we choose, it is kept away.
    serving.host.holds.add("2")
    assert await serving.look()
    assert serving.serving == ("1" if chooses else "2")
    assert serving.offered == ({"1"} if chooses else {"1", "2"})


async def test_a_triton_of_others_that_tells_why(
    serving: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    serving.host.chooses = False
    serving.publish("2", ready=False)
    serving.host.failures["2"] = "10.0.0.1:8001: no zip archive"
    assert await serving.look(3)
    assert serving.states()["2"] == "not_loaded"
    assert errors(caplog) == [
        f"model version {serving.directory('2')} is broken: "
        "Triton could not load it (10.0.0.1:8001: no zip archive)"
    ]
    serving.publish("3")
    assert await serving.look()
    assert serving.states() == {"3": "serving", "2": "not_loaded", "1": "standby"}


async def test_one_that_serves_and_fails_later(serving: Stage) -> None:
    serving.errors["1"] = InferenceError("CUDA error")
    serving.seconds += 10
    assert not await serving.look()
    assert serving.states() == {"1": "failed"}
    serving.errors.clear()
    assert await serving.look()
    assert serving.states() == {"1": "serving"}
    serving.host.away = {"first"}
    assert not await serving.look()
    assert serving.states() == {"1": "loading"}
    serving.seconds += 2 * LOAD_SECONDS
    assert not await serving.look(), "nobody is there to load it"
    assert serving.states() == {"1": "loading"}


async def test_a_frontend_that_starts_among_versions_that_triton_does_not_have(
    stage: Stage,
) -> None:
    stage.host.chooses = False
    stage.publish("1")
    stage.publish("2", "3", "4", "5", ready=False)
    assert not await stage.look(), "the newest may be on its way"
    stage.seconds += PATIENCE_SECONDS
    assert await stage.look()
    assert (stage.serving, {*stage.tried}) == ("1", {"1"})
    assert stage.rollout.failure() == ""
    stage.host.holds.add("4")
    assert await stage.look()
    assert stage.serving == "4"


async def test_versions_that_a_triton_of_others_may_load_yet_end_nothing(stage: Stage) -> None:
    stage.host.chooses = False
    stage.publish("1", ready=False)
    stage.host.failures["1"] = "out of memory"
    assert not await stage.look()
    assert stage.states() == {"1": "not_loaded"}
    assert stage.rollout.failure() == "", "there is hope"
