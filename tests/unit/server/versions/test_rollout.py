"""Versions come and go: the newest that works serves, and one that serves is kept."""

import pytest

from spanqa_server.errors import ModelUnavailableError
from unit.server.versions.rollout_stage import Stage


async def test_the_newest_version_serves_at_once(stage: Stage) -> None:
    stage.publish("1", "2", "10")
    assert await stage.look()
    assert (stage.serving, stage.switches) == ("10", ["10"])
    assert stage.host.offered == [{n: stage.directory(n) for n in ("10", "2")}]
    assert stage.tried == ["10"], "a version that takes no calls is not tried"


async def test_nothing_serves_before_the_first_look(stage: Stage) -> None:
    stage.publish("1")
    with pytest.raises(ModelUnavailableError, match="not loaded yet; try again later"):
        stage.rollout.current()
    await stage.look()
    assert stage.serving == "1"


async def test_a_version_that_appears_takes_over(stage: Stage) -> None:
    stage.publish("1")
    await stage.look()
    before = stage.rollout.current()
    stage.publish("2")
    assert await stage.look()
    assert (stage.serving, stage.switches) == ("2", ["1", "2"])
    assert stage.rollout.current() is not before
    assert stage.offered == {"1", "2"}, "the older one stays, to go back to"


async def test_looking_again_changes_nothing(stage: Stage) -> None:
    stage.publish("1", "2")
    assert await stage.look()
    before = stage.rollout.current()
    assert await stage.look(3)
    assert stage.rollout.current() is before
    assert (stage.switches, stage.tried) == (["2"], ["2"])


async def test_a_version_that_triton_has_not_yet_waits(stage: Stage) -> None:
    stage.publish("1")
    await stage.look()
    stage.publish("2", ready=False)
    stage.seconds += 100
    assert await stage.look(3), "version 1 serves on"
    assert stage.serving == "1"
    assert stage.offered == {"1", "2"}
    stage.host.holds.add("2")
    assert await stage.look()
    assert (stage.serving, stage.switches) == ("2", ["1", "2"])


async def test_an_older_version_that_appears_changes_nothing(stage: Stage) -> None:
    stage.publish("5")
    await stage.look()
    stage.publish("4")
    assert await stage.look()
    assert (stage.serving, stage.switches) == ("5", ["5"])
    assert stage.offered == {"5", "4"}


async def test_the_serving_version_stays_offered_beside_two_newer_ones(stage: Stage) -> None:
    stage.publish("1")
    await stage.look()
    stage.publish("2", "3", ready=False)
    assert await stage.look(2), "version 1 serves on"
    assert (stage.serving, stage.offered) == ("1", {"1", "2", "3"})
    stage.host.holds.add("2")
    assert await stage.look(2)
    assert (stage.serving, stage.offered) == ("2", {"2", "3"})
    stage.host.holds.add("3")
    assert await stage.look()
    assert (stage.serving, stage.switches) == ("3", ["1", "2", "3"])


async def test_a_withdrawn_version_makes_way_for_the_older_one_at_once(stage: Stage) -> None:
    stage.publish("1", "2")
    await stage.look()
    stage.withdraw("2")
    assert await stage.look()
    assert (stage.serving, stage.offered, stage.switches) == ("1", {"1"}, ["2", "1"])


async def test_a_repository_out_of_reach_takes_nothing_away(stage: Stage) -> None:
    stage.publish("1", "2")
    await stage.look()
    away = stage.repository.rename(stage.repository.with_name("away"))
    assert await stage.look(2)
    assert (stage.serving, stage.offered) == ("2", {"2"})
    away.rename(stage.repository)
    assert await stage.look()
    assert (stage.offered, stage.switches, stage.tried) == ({"1", "2"}, ["2"], ["2"])


async def test_a_version_replaced_under_its_number_is_loaded_anew(stage: Stage) -> None:
    stage.publish("1", name="first")
    await stage.look()
    before = stage.rollout.current()
    stage.withdraw("1")
    stage.publish("1", name="second")
    assert await stage.look()
    assert stage.rollout.current() is not before
    assert stage.rollout.current().description.name == "second"
    assert (stage.switches, stage.tried) == (["1", "1"], ["1", "1"])


async def test_a_version_that_was_away_for_a_moment_serves_on(stage: Stage) -> None:
    stage.publish("1")
    await stage.look()
    stage.publish("2", "3", ready=False)
    away = stage.directory("1").rename(stage.repository / "away")
    assert not await stage.look()
    assert stage.offered == {"2", "3"}
    away.rename(stage.directory("1"))
    assert await stage.look()
    assert stage.offered == {"1", "2", "3"}
    assert (stage.serving, stage.switches) == ("1", ["1"])
