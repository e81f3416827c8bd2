"""Calls during a change of versions."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from spanqa_server.errors import (
    DeadlineError,
    InferenceError,
    InvalidRequestError,
    ModelUnavailableError,
    VersionGoneError,
)
from spanqa_server.versions.repository import ModelVersion
from unit.server.versions.rollout_stage import Stage


def failing(
    error: Exception, asked: list[str], then: Callable[[], None] = lambda: None
) -> Callable[[ModelVersion], Awaitable[str]]:
    """Work that fails the first time, before which something happens."""

    async def work(version: ModelVersion) -> str:
        asked.append(version.number)
        if len(asked) == 1:
            then()
            raise error
        return version.number

    return work


async def test_a_call_does_not_look(serving: Stage) -> None:
    async def work(version: ModelVersion) -> ModelVersion:
        return version

    assert await serving.rollout.run(work) is serving.rollout.current()
    assert len(serving.host.offered) == 1


async def test_work_is_done_again_with_the_successor(serving: Stage) -> None:
    asked: list[str] = []
    work = failing(VersionGoneError("gone"), asked, lambda: serving.publish("2"))
    assert await serving.rollout.run(work) == "2"
    assert asked == ["1", "2"]


async def test_work_is_done_again_once(serving: Stage) -> None:
    asked: list[str] = []

    async def work(version: ModelVersion) -> None:
        asked.append(version.number)
        serving.publish(str(len(asked) + 1))
        raise VersionGoneError(f"gone {len(asked)}")

    with pytest.raises(VersionGoneError, match="gone 2"):
        await serving.rollout.run(work)
    assert asked == ["1", "2"]


async def test_without_a_successor_the_error_stays(serving: Stage) -> None:
    asked: list[str] = []
    work = failing(VersionGoneError("gone"), asked, serving.host.holds.clear)
    with pytest.raises(VersionGoneError, match="gone"):
        await serving.rollout.run(work)
    assert asked == ["1"]


@pytest.mark.parametrize(
    "error",
    [
        *(ModelUnavailableError("x"), InferenceError("x"), DeadlineError("x")),
        *(InvalidRequestError(), RuntimeError("x")),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_other_errors_are_not_tried_again(serving: Stage, error: Exception) -> None:
    asked: list[str] = []
    with pytest.raises(type(error)):
        await serving.rollout.run(failing(error, asked, lambda: serving.publish("2")))
    assert asked == ["1"]
    assert serving.serving == "1"


async def test_callers_that_look_at_the_same_time_share_one_look(stage: Stage) -> None:
    stage.publish("1")
    stage.host.gate.clear()
    looks = [asyncio.create_task(stage.rollout.look()) for _ in range(5)]
    impatient = looks.pop()
    async with asyncio.timeout(20):
        await stage.host.was_asked.wait()
    late = asyncio.create_task(stage.rollout.look())
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    stage.host.gate.set()
    assert await asyncio.gather(*looks, late) == [True] * 5
    assert (len(stage.host.offered), stage.host.asked) == (1, ["1"])
    assert await stage.look()
    assert len(stage.host.offered) == 2, "the next look is a new one"


async def test_all_calls_that_meet_a_gone_version_move_on_together(stage: Stage) -> None:
    await stage.publish_serving("1", "2")
    stage.withdraw("2")

    async def work(version: ModelVersion) -> str:
        if version.number == "2":
            raise VersionGoneError("gone")
        return version.number

    assert await asyncio.gather(*(stage.rollout.run(work) for _ in range(20))) == ["1"] * 20
    assert len(stage.host.offered) == 2
