"""Versions come and go: the newest that works serves, and one that serves is kept."""

import pytest

from spanqa_server.errors import ModelUnavailableError
from spanqa_server.versions.rollout import PATIENCE_SECONDS
from unit.server.versions.rollout_stage import Stage


async def test_the_newest_version_serves_at_once(stage: Stage) -> None:
    stage.publish("1", "2", "10")
    with pytest.raises(ModelUnavailableError, match="not loaded yet; try again later"):
        stage.rollout.current()
    assert await stage.look()
    assert (stage.serving, stage.switches) == ("10", ["10"])
    assert stage.host.offered == [{n: stage.directory(n) for n in ("10", "2")}]
    assert stage.host.tried == ["10"], "a version that takes no calls is not tried"


async def test_a_version_takes_over_once_triton_has_it(serving: Stage) -> None:
    before = serving.rollout.current()
    serving.publish("2", ready=False)
    serving.seconds += 100
    assert await serving.look(3), "version 1 serves on"
    assert serving.rollout.current() is before
    assert serving.offered == {"1", "2"}
    assert serving.states() == {"1": "serving", "2": "loading"}
    serving.host.holds.add("2")
    assert await serving.look(3)
    assert (serving.serving, serving.switches) == ("2", ["1", "2"])
    assert serving.host.tried.count("2") == 1
    assert serving.offered == {"1", "2"}, "the older one stays, to go back to"
    assert serving.states() == {"1": "standby", "2": "serving"}
    serving.withdraw("1")
    assert await serving.look()
    assert serving.states() == {"2": "serving"}


async def test_an_older_version_that_appears_changes_nothing(stage: Stage) -> None:
    await stage.publish_serving("5")
    stage.publish("4")
    assert await stage.look()
    assert (stage.serving, stage.switches) == ("5", ["5"])
    assert stage.offered == {"5", "4"}


async def test_the_serving_version_stays_offered_beside_two_newer_ones(serving: Stage) -> None:
    serving.publish("2", "3", ready=False)
    assert await serving.look(2), "version 1 serves on"
    assert (serving.serving, serving.offered) == ("1", {"1", "2", "3"})
    serving.host.holds.add("2")
    assert await serving.look(2)
    assert (serving.serving, serving.offered) == ("2", {"2", "3"})
    serving.host.holds.add("3")
    assert await serving.look()
    assert (serving.serving, serving.switches) == ("3", ["1", "2", "3"])


async def test_a_withdrawn_version_makes_way_for_the_older_one_at_once(stage: Stage) -> None:
    await stage.publish_serving("1", "2")
    stage.withdraw("2")
    assert await stage.look()
    assert (stage.serving, stage.offered, stage.switches) == ("1", {"1"}, ["2", "1"])


async def test_a_repository_out_of_reach_takes_nothing_away(stage: Stage) -> None:
    await stage.publish_serving("1", "2")
    away = stage.repository.rename(stage.repository.with_name("away"))
    assert await stage.look(2)
    assert (stage.serving, stage.offered) == ("2", {"2"})
    away.rename(stage.repository)
    assert await stage.look()
    assert (stage.offered, stage.switches, stage.host.tried) == ({"1", "2"}, ["2"], ["2"])


async def test_a_version_replaced_under_its_number_is_loaded_anew(serving: Stage) -> None:
    before = serving.rollout.current()
    serving.withdraw("1")
    serving.publish("1", name="second")
    assert await serving.look()
    assert serving.rollout.current() is not before
    assert serving.rollout.current().manifest.name == "second"
    assert (serving.switches, serving.host.tried) == (["1", "1"], ["1", "1"])


async def test_a_version_that_was_away_for_a_moment_serves_on(serving: Stage) -> None:
    serving.publish("2", "3", ready=False)
    away = serving.directory("1").rename(serving.repository / "away")
    assert not await serving.look()
    assert serving.offered == {"2", "3"}
    away.rename(serving.directory("1"))
    assert await serving.look()
    assert serving.offered == {"1", "2", "3"}
    assert (serving.serving, serving.switches) == ("1", ["1"])


async def test_a_restart_of_triton_does_not_bring_an_older_version_at_once(stage: Stage) -> None:
    await stage.publish_serving("1", "2")
    for _ in range(3):  # each recovery gives the newer one its time anew
        stage.host.holds.clear()
        assert not await stage.look()
        stage.host.holds.add("1")  # it is the first that Triton has again
        assert not await stage.look()
        stage.seconds += PATIENCE_SECONDS - 1
        assert not await stage.look()
        stage.host.holds.add("2")
        assert await stage.look()
    assert (stage.serving, stage.switches) == ("2", ["2"])


async def test_patience_has_an_end(stage: Stage) -> None:
    await stage.publish_serving("1", "2")
    stage.host.holds = {"1"}
    assert not await stage.look()
    stage.seconds += PATIENCE_SECONDS
    assert await stage.look()
    assert (stage.serving, stage.switches) == ("1", ["2", "1"])
    stage.host.holds.add("2")
    assert await stage.look(), "and the newer one comes back as soon as it can"
    assert stage.serving == "2"


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


async def test_a_newer_version_needs_no_patience_while_triton_starts_again(serving: Stage) -> None:
    serving.host.holds.clear()
    assert not await serving.look()
    serving.publish("2")
    assert await serving.look()
    assert serving.serving == "2"
