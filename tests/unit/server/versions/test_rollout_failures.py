"""Versions that do not work: never served, told once, and no harm to the others."""

import logging

import pytest
from tokenizers import Tokenizer, models

from spanqa_server.errors import (
    DeadlineError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    ServerError,
)
from spanqa_server.versions import canary
from unit.server.versions.rollout_stage import Stage

LOADING = "Internal: model.pt is no zip archive"


def told(caplog: pytest.LogCaptureFixture, level: int = logging.ERROR) -> list[str]:
    return [record.message for record in caplog.records if record.levelno == level]


def damage(stage: Stage, number: str) -> None:
    (stage.directory(number) / "model.pt").write_bytes(b"half of it")


async def test_a_version_that_cannot_be_read_is_never_offered_and_told_once(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.publish("1", "2")
    damage(stage, "2")
    assert await stage.look(3)
    assert (stage.serving, stage.switches) == ("1", ["1"])
    assert stage.host.offered == [{"1": stage.directory("1")}] * 3
    line = f"model version {stage.directory('2')} is broken: model.pt: its sha256 is not the one in"
    assert [message.startswith(line) for message in told(caplog)] == [True]
    assert stage.rollout.failure() == ""


async def test_broken_versions_leave_the_place_to_older_ones(stage: Stage) -> None:
    stage.publish("1", "2", "3", "4", "5")
    for number in ("3", "5"):
        damage(stage, number)
    await stage.look()
    assert (stage.serving, stage.offered) == ("4", {"4", "2"})


async def test_a_broken_version_that_is_replaced_takes_over(stage: Stage) -> None:
    stage.publish("1", "2")
    damage(stage, "2")
    await stage.look()
    stage.withdraw("2")
    stage.publish("2")
    assert await stage.look()
    assert stage.serving == "2"


async def test_a_version_that_triton_cannot_load_never_serves(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.publish("1")
    await stage.look()
    stage.publish("2", ready=False)
    assert await stage.look()
    assert stage.offered == {"1", "2"}
    stage.host.failures["2"] = LOADING
    assert await stage.look(3)
    assert (stage.serving, stage.offered, stage.tried) == ("1", {"1"}, ["1"])
    where = stage.directory("2")
    assert told(caplog) == [
        f"model version {where} is broken: Triton could not load it ({LOADING})"
    ]
    # Triton may say so for as long as it likes, or forget it.
    stage.host.failures.clear()
    assert await stage.look(2)
    assert stage.offered == {"1"}
    stage.publish("3")
    assert await stage.look()
    assert (stage.serving, stage.offered) == ("3", {"1", "3"})


async def test_a_serving_version_that_triton_cannot_load_again_makes_way(stage: Stage) -> None:
    # Triton loads all that it is offered or nothing: the broken one has to go for the older one.
    stage.publish("1", "2")
    await stage.look()
    stage.host.holds.clear()
    stage.host.failures["2"] = LOADING
    assert not await stage.look()
    assert stage.offered == {"1"}
    stage.host.holds.add("1")
    assert await stage.look(), "nobody waits for a version that is broken"
    assert (stage.serving, stage.switches) == ("1", ["2", "1"])


async def test_a_version_that_triton_could_load_the_second_time_is_not_broken(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.publish("1", ready=False)
    await stage.look()
    stage.host.failures["1"] = LOADING
    assert not await stage.look()
    caplog.clear()
    stage.host.holds.add("1")
    assert await stage.look(3)
    assert stage.serving == "1"
    assert told(caplog) == []
    stage.publish("2", ready=False)
    assert await stage.look(3), "1 serves while 2 loads"
    assert stage.offered == {"1", "2"}


async def test_a_version_whose_model_fails_is_rejected(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.publish("1")
    await stage.look()
    stage.publish("2")
    stage.errors["2"] = InferenceError(
        "the model returned start_logits__0 that contain NaN or infinity"
    )
    assert await stage.look(3)
    assert (stage.serving, stage.offered, stage.tried) == ("1", {"1"}, ["1", "2"])
    assert told(caplog) == [
        f"model version {stage.directory('2')} is broken: it failed its canary "
        "(the model returned start_logits__0 that contain NaN or infinity)"
    ]


@pytest.mark.parametrize(
    "error",
    [ModelUnavailableError("later"), OverloadedError("later"), DeadlineError("later")],
    ids=lambda error: type(error).__name__,
)
async def test_a_version_that_could_not_be_asked_is_asked_again(
    stage: Stage,
    error: ServerError,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(canary, "PAUSE_SECONDS", 0)
    stage.publish("1")
    await stage.look()
    stage.publish("2")
    stage.errors["2"] = error
    assert await stage.look(2)
    assert (stage.serving, stage.offered) == ("1", {"1", "2"})
    assert told(caplog) == []
    assert set(told(caplog, logging.WARNING)) == {
        "model version 2: its canary could not run at first: later"
    }
    del stage.errors["2"]
    assert await stage.look()
    assert (stage.serving, stage.tried) == ("2", ["1", "2", "2", "2"])


async def test_a_version_that_hangs_does_not_hold_up_the_one_that_serves(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stage.publish("1")
    await stage.look()
    monkeypatch.setattr(canary, "FIRST_SECONDS", 0.01)
    stage.publish("2")
    stage.hanging.add("2")
    assert await stage.look(2)
    assert (stage.serving, stage.tried) == ("1", ["1", "2"]), "not in every look"
    assert (
        "version 2: its canary could not run at first: no answer within"
        in told(caplog, logging.WARNING)[0]
    )
    stage.hanging.clear()
    monkeypatch.setattr(canary, "FIRST_SECONDS", 60)
    stage.seconds += canary.PAUSE_SECONDS
    assert await stage.look()
    assert stage.serving == "2"


async def test_a_version_whose_tokenizer_fails_is_rejected(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.publish("1", "2")
    words = {"[CLS]": 0, "[SEP]": 1}
    unable = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    unable.save(str(stage.directory("2") / "tokenizer.json"))
    assert await stage.look(2)
    assert (stage.serving, stage.offered) == ("1", {"1"})
    [line] = told(caplog)
    assert line.startswith(f"model version {stage.directory('2')} is broken: ")
    assert "[UNK]" in line


async def test_where_all_failed_the_newest_is_still_offered(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.publish("1", "2", "3", ready=False)
    damage(stage, "3")
    await stage.look()
    assert stage.offered == {"2", "1"}
    stage.host.failures = {"1": LOADING, "2": LOADING}
    assert not await stage.look(3)
    assert stage.offered == {"2"}
    assert len(told(caplog)) == 3, "each failure once, however often it is looked at"
    where = stage.directory("3")
    assert stage.rollout.failure().startswith(f"model version {where} is broken: model.pt: its ")
    stage.host.holds.add("2")
    assert await stage.look()
    assert stage.serving == "2"
    assert stage.rollout.failure() == ""


async def test_no_version(stage: Stage) -> None:
    assert not await stage.look()
    assert stage.rollout.failure() == f"no model version in {stage.repository / 'bert_qa'}"
    assert stage.offered == set()


async def test_failures_are_told_for_the_newest(stage: Stage) -> None:
    stage.publish("1")
    damage(stage, "1")
    assert not await stage.look()
    told_first = stage.rollout.failure()
    assert told_first.startswith(f"model version {stage.directory('1')} is broken: model.pt: ")
    stage.publish("2")
    damage(stage, "2")
    assert not await stage.look(2)
    assert f"{stage.directory('2')} is broken" in stage.rollout.failure()
    stage.publish("3", ready=False)
    await stage.look()
    assert stage.rollout.failure() == "", "there is hope"
