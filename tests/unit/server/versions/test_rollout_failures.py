"""Versions that do not work: never served, told once, and no harm to the others."""

import logging
from collections.abc import Callable

import pytest
from tokenizers import Tokenizer, models

from spanqa_server.errors import (
    DeadlineError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    ServerError,
)
from spanqa_server.versions import canary, canary_run
from spanqa_server.versions.examination import LOAD_SECONDS
from spanqa_server.versions.rollout import PATIENCE_SECONDS
from unit.server.versions.rollout_stage import Stage

LOADING = "Internal: model.pt is no zip archive"
Errors = Callable[[], list[str]]


def cut_short(stage: Stage) -> None:
    stage.damage("2")


def not_loaded(stage: Stage) -> None:
    stage.host.holds.remove("2")
    stage.host.failures["2"] = LOADING


def nonsense(stage: Stage) -> None:
    stage.host.errors["2"] = InferenceError("logits contain NaN")


def out_of_memory(stage: Stage) -> None:
    stage.host.errors["first batch"] = InferenceError("CUDA out of memory")


def too_few_logits(stage: Stage) -> None:
    """Triton hands out the memory behind them."""
    stage.host.ragged = True


def tokenizer_that_fails(stage: Stage) -> None:
    unable = Tokenizer(models.WordPiece({"[CLS]": 0, "[SEP]": 1}, unk_token="[UNK]"))
    unable.save(str(stage.directory("2") / "tokenizer.json"))


@pytest.mark.parametrize(
    ("break_it", "state", "reason"),
    [
        (cut_short, "unreadable", "model.pt: its sha256 is not the one in model.json"),
        (tokenizer_that_fails, "unreadable", "tokenizer.json: it cannot encode a text "),
        (not_loaded, "not_loaded", f"Triton could not load it ({LOADING})"),
        (nonsense, "failed", "it failed its canary (logits contain NaN)"),
        (out_of_memory, "failed", "it failed a first batch of 4,096 tokens (CUDA out of memory)"),
        (
            too_few_logits,
            "failed",
            "it failed a first batch of 4,096 tokens "
            "(the logits of identical windows differ by up to 512)",
        ),
    ],
)
async def test_a_broken_version_never_serves_and_is_told_once(
    serving: Stage, errors: Errors, break_it: Callable[[Stage], None], state: str, reason: str
) -> None:
    serving.publish("2")
    break_it(serving)
    assert await serving.look(3)
    assert (serving.serving, serving.offered, serving.switches) == ("1", {"1"}, ["1"])
    assert serving.states() == {"1": "serving", "2": state}
    [line] = errors()
    assert line.startswith(f"model version {serving.directory('2')} is broken: {reason}")
    assert serving.rollout.failure() == ""
    # Whatever is said of it from now on.
    serving.host.failures.clear()
    assert await serving.look(2)
    assert serving.offered == {"1"}
    serving.host.errors.clear()
    serving.host.ragged = False
    serving.publish("3")
    assert await serving.look(), "it does not stand in the way of a newer one"
    assert (serving.serving, serving.offered) == ("3", {"1", "3"})


async def test_broken_versions_leave_the_place_to_older_ones(stage: Stage) -> None:
    stage.publish("1", "2", "3", "4", "5")
    stage.damage("3")
    stage.damage("5")
    await stage.look()
    assert (stage.serving, stage.offered) == ("4", {"4", "2"})
    stage.withdraw("5")
    stage.publish("5")
    assert await stage.look(), "one that was replaced is another"
    assert stage.serving == "5"


async def test_a_serving_version_that_triton_cannot_load_again_makes_way(stage: Stage) -> None:
    # Triton loads all that it is offered or nothing: the broken one has to go for the older one.
    await stage.publish_serving("1", "2")
    stage.host.holds.clear()
    stage.host.failures["2"] = LOADING
    assert not await stage.look()
    assert stage.offered == {"1"}
    stage.host.holds.add("1")
    assert await stage.look(), "nobody waits for a version that is broken"
    assert (stage.serving, stage.switches) == ("1", ["2", "1"])


async def test_a_version_that_triton_could_load_the_second_time_is_not_broken(
    stage: Stage, errors: Errors
) -> None:
    stage.publish("1", ready=False)
    await stage.look()
    stage.host.failures["1"] = LOADING
    assert not await stage.look()
    told = len(errors())
    stage.host.holds.add("1")
    assert await stage.look(3)
    assert stage.serving == "1"
    assert len(errors()) == told
    stage.publish("2", ready=False)
    assert await stage.look(3), "1 serves while 2 loads"
    assert stage.offered == {"1", "2"}


@pytest.mark.parametrize(
    "error",
    [ModelUnavailableError("later"), OverloadedError("later"), DeadlineError("later")],
    ids=lambda error: type(error).__name__,
)
async def test_a_version_that_could_not_be_asked_is_asked_again(
    serving: Stage,
    error: ServerError,
    errors: Errors,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(canary, "PAUSE_SECONDS", 0)
    serving.publish("2")
    serving.host.errors["2"] = error
    assert await serving.look(2)
    assert (serving.serving, serving.offered, errors()) == ("1", {"1", "2"}, [])
    warnings = [one.message for one in caplog.records if one.levelno == logging.WARNING]
    assert set(warnings) == {"model version 2: its canary could not run at first: later"}
    serving.host.errors.clear()
    assert await serving.look()
    assert (serving.serving, serving.host.tried) == ("2", ["1", "2", "2", "2"])


async def test_a_version_that_hangs_does_not_hold_up_the_one_that_serves(
    serving: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(canary_run, "FIRST_SECONDS", 0.01)
    serving.publish("2")
    serving.host.hanging.add("2")
    assert await serving.look(2)
    assert (serving.serving, serving.host.tried) == ("1", ["1", "2"]), "not in every look"
    assert "version 2: its canary could not run at first: no answer within" in caplog.text
    serving.host.hanging.clear()
    monkeypatch.setattr(canary_run, "FIRST_SECONDS", 60)
    serving.seconds += canary.PAUSE_SECONDS
    assert await serving.look()
    assert serving.serving == "2"


@pytest.mark.parametrize("chooses", [True, False])
async def test_a_version_that_triton_does_not_load_in_time(
    serving: Stage, chooses: bool, errors: Errors
) -> None:
    serving.host.chooses = chooses
    serving.publish("2", ready=False)
    assert await serving.look()
    serving.seconds += LOAD_SECONDS
    assert await serving.look(3)
    assert serving.states() == {"1": "serving", "2": "not_loaded"}
    assert errors() == [
        f"model version {serving.directory('2')} is broken: "
        "Triton has not loaded it in 120 s; its log may say why"
    ]
    # A Triton that sees for itself may load it yet; where we choose, it is kept away.
    serving.host.holds.add("2")
    assert await serving.look()
    assert serving.serving == ("1" if chooses else "2")
    assert serving.offered == ({"1"} if chooses else {"1", "2"})


async def test_one_that_serves_and_fails_later(serving: Stage) -> None:
    serving.host.errors["1"] = InferenceError("CUDA error")
    serving.seconds += 10
    assert not await serving.look()
    assert serving.states() == {"1": "failed"}
    serving.host.errors.clear()
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
    stage.host.failures["5"] = LOADING
    assert not await stage.look(), "the newest may be on its way"
    stage.seconds += PATIENCE_SECONDS
    assert await stage.look()
    assert (stage.serving, {*stage.host.tried}) == ("1", {"1"})
    assert stage.states()["5"] == "not_loaded"
    assert stage.rollout.failure() == ""
    stage.publish("6")
    assert await stage.look()
    states = stage.states()
    assert (states["6"], states["5"], states["1"]) == ("serving", "not_loaded", "standby")


async def test_where_all_failed_the_newest_is_still_offered(stage: Stage, errors: Errors) -> None:
    assert not await stage.look()
    assert stage.rollout.failure() == f"no model version in {stage.repository / 'bert_qa'}"
    assert stage.offered == set()
    stage.publish("1", "2", "3", ready=False)
    stage.damage("3")
    await stage.look()
    assert stage.offered == {"2", "1"}
    assert stage.rollout.failure() == "", "there is hope"
    stage.host.failures = {"1": LOADING, "2": LOADING}
    assert not await stage.look(3)
    assert stage.offered == {"2"}
    assert len(errors()) == 3, "each failure once, however often it is looked at"
    where = stage.directory("3")
    assert stage.rollout.failure().startswith(f"model version {where} is broken: model.pt: its ")
    stage.host.chooses = False
    assert stage.rollout.failure() == "", "a Triton of somebody else may load them yet"
    stage.host.chooses = True
    stage.host.holds.add("2")
    assert await stage.look()
    assert stage.serving == "2"
    assert stage.rollout.failure() == ""
