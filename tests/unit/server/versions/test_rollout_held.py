"""Versions that are held: they take no calls until somebody promotes them."""

import logging
import math
from typing import Any

import pytest

from spanqa_server.errors import ModelUnavailableError
from spanqa_server.versions.host import Machine
from spanqa_server.versions.repository import Figures
from unit.server.version_files import decide
from unit.server.versions.rollout_stage import Stage


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.message for one in caplog.records if one.levelno == logging.WARNING]


async def test_a_worse_version_is_held_and_said_once_until_it_is_promoted(
    serving: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    serving.publish("2", f1=5.0)
    assert await serving.look(3)
    assert (serving.serving, serving.offered, serving.host.tried) == ("1", {"1"}, ["1"])
    assert serving.states() == {"1": "serving", "2": "held"}
    assert told(caplog) == [
        f"model version {serving.directory('2')} is held: F1 5.00, but version 1 has 81.50; "
        "spanqa-model promote 2 lets it serve"
    ]
    decide(serving.repository, "2", decision="promote")
    assert await serving.look()
    assert (serving.serving, serving.switches) == ("2", ["1", "2"])
    assert serving.states() == {"1": "standby", "2": "serving"}
    assert f"model version {serving.directory('2')} is held no longer" in caplog.text


async def test_a_held_version_does_not_stand_in_the_way(serving: Stage) -> None:
    serving.publish("2", f1=5.0)
    serving.publish("3", f1=81.0)
    assert await serving.look()
    assert (serving.serving, serving.offered) == ("3", {"3", "1"})


async def test_figures_that_are_measured_later_count(serving: Stage) -> None:
    serving.publish("2", f1=None)
    assert await serving.look()
    version = serving.rollout.current()
    assert (serving.serving, version.figures) == ("2", Figures())
    decide(serving.repository, "2", exact_match=70.0, f1=80.0)
    assert await serving.look()
    assert serving.rollout.current() is version, "it is not loaded again"
    assert version.figures == Figures(70.0, 80.0)
    decide(serving.repository, "2", exact_match=3.0, f1=5.0)
    assert await serving.look()
    assert serving.serving == "1", "the version before takes over at once"
    assert serving.states() == {"1": "serving", "2": "held"}


async def test_a_version_with_nonsense_as_figures_is_broken(stage: Stage) -> None:
    stage.publish("1", f1=math.nan, exact_match=101)
    assert not await stage.look()
    assert stage.states() == {"1": "unreadable"}
    assert "model.json: exact_match: " in stage.rollout.failure()


async def test_with_held_versions_only_nothing_serves_and_the_reason_is_said(stage: Stage) -> None:
    stage.publish("1")
    decide(stage.repository, "1", decision="hold")
    assert not await stage.look()
    with pytest.raises(ModelUnavailableError):
        stage.rollout.current()
    assert stage.rollout.failure() == (
        f"model version {stage.directory('1')} is held: by export --hold; "
        "spanqa-model promote 1 lets it serve"
    )
    decide(stage.repository, "1", decision="promote")
    assert await stage.look()
    assert (stage.serving, stage.rollout.failure()) == ("1", "")


async def test_a_broken_version_and_a_held_one_are_both_named(stage: Stage) -> None:
    stage.publish("1")
    stage.damage("1")
    stage.publish("2", f1=5.0)
    assert not await stage.look(2)
    failure = stage.rollout.failure()
    assert failure.startswith(f"model version {stage.directory('1')} is broken: model.pt: its sha")
    assert f"; model version {stage.directory('2')} is held: F1 5.00" in failure
    assert stage.states() == {"1": "unreadable", "2": "held"}


async def test_a_held_version_goes_when_it_is_withdrawn(
    serving: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    serving.publish("2", f1=5.0)
    await serving.look()
    serving.withdraw("2")
    assert await serving.look()
    assert serving.states() == {"1": "serving"}
    assert "no longer" not in caplog.text


async def test_a_repository_out_of_reach_holds_nothing(stage: Stage) -> None:
    stage.publish("1")
    stage.publish("2", f1=5.0)
    decide(stage.repository, "2", decision="promote")
    assert await stage.look()
    stage.repository.rename(stage.repository.with_name("gone"))
    assert await stage.look(2)
    assert (stage.serving, stage.offered) == ("2", {"2"})


@pytest.mark.parametrize(
    ("manifest", "remedy"),
    [
        ({"device": "cuda", "dtype": "float16"}, "made for cuda, but Triton computes on cpu: it"),
        ({"device": "cpu", "dtype": "bfloat16"}, "does not compute bfloat16 natively: it may be"),
        ({"device": "cpu", "dtype": "float32"}, None),
        ({"dtype": "float32"}, None),
    ],
)
async def test_the_only_version_serves_with_a_warning_where_it_is_slow(
    stage: Stage, caplog: pytest.LogCaptureFixture, manifest: dict[str, Any], remedy: str | None
) -> None:
    stage.host.machine = Machine("cpu", frozenset({"float32"}))
    stage.publish("1", **manifest)
    assert await stage.look(3)
    assert stage.serving == "1"
    assert [remedy in line for line in told(caplog) if remedy] == ([True] if remedy else [])
    assert len(told(caplog)) == (remedy is not None)


async def test_a_version_for_another_device_does_not_take_over(stage: Stage) -> None:
    stage.host.machine = Machine("cpu")
    stage.publish("1", device="cpu")
    stage.publish("2", device="cuda")
    assert await stage.look()
    assert (stage.serving, stage.states()) == ("1", {"1": "serving", "2": "held"})
