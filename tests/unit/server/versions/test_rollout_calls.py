"""Calls during a change of versions, and the patience with a Triton that starts again."""

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
from spanqa_server.grpc_api.items import ServedModel
from spanqa_server.versions.rollout import PATIENCE_SECONDS
from unit.server.versions.rollout_stage import Stage


def failing(
    error: Exception, asked: list[str], then: Callable[[], None] = lambda: None
) -> Callable[[ServedModel], Awaitable[str]]:
    """Work that fails the first time, before which something happens."""

    async def work(model: ServedModel) -> str:
        asked.append(model.description.version)
        if len(asked) == 1:
            then()
            raise error
        return model.description.version

    return work


async def test_work_is_done_with_the_version_that_serves(stage: Stage) -> None:
    stage.publish("1")
    await stage.look()

    async def work(model: ServedModel) -> ServedModel:
        return model

    looks = len(stage.host.offered)
    assert await stage.rollout.run(work) is stage.rollout.current()
    assert len(stage.host.offered) == looks, "a call does not look"


async def test_no_version_yet(stage: Stage) -> None:
    asked: list[str] = []
    with pytest.raises(ModelUnavailableError, match="not loaded yet"):
        await stage.rollout.run(failing(VersionGoneError("gone"), asked))
    assert asked == []


async def test_work_is_done_again_with_the_successor(stage: Stage) -> None:
    stage.publish("1")
    await stage.look()
    asked: list[str] = []
    work = failing(VersionGoneError("gone"), asked, lambda: stage.publish("2"))
    assert await stage.rollout.run(work) == "2"
    assert asked == ["1", "2"]


async def test_work_is_done_again_with_the_version_before(stage: Stage) -> None:
    stage.publish("1", "2")
    await stage.look()
    asked: list[str] = []
    work = failing(VersionGoneError("gone"), asked, lambda: stage.withdraw("2"))
    assert await stage.rollout.run(work) == "1"
    assert asked == ["2", "1"]


async def test_work_is_done_again_once(stage: Stage) -> None:
    stage.publish("1")
    await stage.look()
    asked: list[str] = []

    async def work(model: ServedModel) -> None:
        asked.append(model.description.version)
        stage.publish(str(len(asked) + 1))
        raise VersionGoneError(f"gone {len(asked)}")

    with pytest.raises(VersionGoneError, match="gone 2"):
        await stage.rollout.run(work)
    assert asked == ["1", "2"]


async def test_without_a_successor_the_error_stays(stage: Stage) -> None:
    stage.publish("1")
    await stage.look()
    asked: list[str] = []
    work = failing(VersionGoneError("gone"), asked, stage.host.holds.clear)
    with pytest.raises(VersionGoneError, match="gone"):
        await stage.rollout.run(work)
    assert asked == ["1"]


@pytest.mark.parametrize(
    "error",
    [
        *(ModelUnavailableError("x"), InferenceError("x"), DeadlineError("x")),
        *(InvalidRequestError(), RuntimeError("x")),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_other_errors_are_not_tried_again(stage: Stage, error: Exception) -> None:
    stage.publish("1")
    await stage.look()
    asked: list[str] = []
    with pytest.raises(type(error)):
        await stage.rollout.run(failing(error, asked, lambda: stage.publish("2")))
    assert asked == ["1"]
    assert stage.serving == "1"


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
    assert (len(stage.host.offered), stage.host.asked, stage.tried) == (1, ["1"], ["1"])
    assert await stage.look()
    assert len(stage.host.offered) == 2, "the next look is a new one"


async def test_all_calls_that_meet_a_gone_version_move_on_together(stage: Stage) -> None:
    stage.publish("1", "2")
    await stage.look()
    stage.withdraw("2")
    before = len(stage.host.offered)

    async def work(model: ServedModel) -> str:
        if model.description.version == "2":
            raise VersionGoneError("gone")
        return model.description.version

    assert await asyncio.gather(*(stage.rollout.run(work) for _ in range(20))) == ["1"] * 20
    assert len(stage.host.offered) == before + 1


async def test_a_restart_of_triton_does_not_bring_an_older_version_at_once(stage: Stage) -> None:
    stage.publish("1", "2")
    await stage.look()
    stage.host.holds.clear()
    assert not await stage.look()
    stage.host.holds.add("1")  # it is the first that Triton has again
    for _ in range(3):
        assert not await stage.look()
        stage.seconds += (PATIENCE_SECONDS - 1) / 3
    assert (stage.serving, stage.switches) == ("2", ["2"])
    stage.host.holds.add("2")
    assert await stage.look()
    assert (stage.serving, stage.switches) == ("2", ["2"])


async def test_patience_has_an_end(stage: Stage) -> None:
    stage.publish("1", "2")
    await stage.look()
    stage.host.holds = {"1"}
    assert not await stage.look()
    stage.seconds += PATIENCE_SECONDS - 1
    assert not await stage.look()
    stage.seconds += 1
    assert await stage.look()
    assert (stage.serving, stage.switches) == ("1", ["2", "1"])
    stage.host.holds.add("2")
    assert await stage.look(), "and the newer one comes back as soon as it can"
    assert stage.serving == "2"


async def test_patience_begins_anew_after_each_recovery(stage: Stage) -> None:
    stage.publish("1", "2")
    await stage.look()
    for _ in range(3):
        stage.host.holds = {"1"}
        assert not await stage.look()
        stage.seconds += PATIENCE_SECONDS - 1
        assert not await stage.look()
        stage.host.holds = {"1", "2"}
        assert await stage.look()
    assert stage.switches == ["2"]


async def test_at_the_start_the_newest_has_its_time_too(stage: Stage) -> None:
    stage.publish("1")
    stage.publish("2", ready=False)
    assert not await stage.look()
    stage.seconds += PATIENCE_SECONDS - 1
    assert not await stage.look()
    with pytest.raises(ModelUnavailableError):
        stage.rollout.current()
    stage.seconds += 1
    assert await stage.look()
    assert stage.serving == "1"


async def test_a_newer_version_needs_no_patience_while_triton_starts_again(stage: Stage) -> None:
    stage.publish("1")
    await stage.look()
    stage.host.holds.clear()
    assert not await stage.look()
    stage.publish("2")
    assert await stage.look()
    assert stage.serving == "2"
