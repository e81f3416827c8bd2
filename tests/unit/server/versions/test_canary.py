"""A version that served is asked again now and then, and is out while it does not answer right."""

import asyncio
import itertools
from pathlib import Path

import pytest

from spanqa_server.errors import (
    DeadlineError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    ServerError,
)
from spanqa_server.versions import canary, canary_run
from spanqa_server.versions.canary import PAUSE_SECONDS, PROOF_SECONDS
from spanqa_server.versions.canary_run import windows_for
from spanqa_server.versions.repository import load_version
from unit.server.version_files import write_version
from unit.server.versions.rollout_stage import FIRST_BATCH_TOKENS, Stage


def test_the_windows_of_a_canary(tmp_path: Path) -> None:
    version = load_version(write_version(tmp_path, "1"))
    longest = version.manifest.max_position_embeddings
    for tokens, windows in ((0, 2), (3 * longest - 1, 2), (3 * longest + 5, 3)):
        made = windows_for(version, tokens)
        assert made.first_batch.window_lengths.tolist() == [longest] * windows
        for packed in (made.short, made.first_batch):
            assert version.tensor_limits.defect(packed) == ""
            assert packed.input_ids[0] == version.tokenizer.cls_id
            assert packed.input_ids[-1] == version.tokenizer.sep_id
            assert set(packed.token_type_ids.tolist()) == {0, 1}
        assert len(made.short.input_ids) <= 5


async def test_an_answer_is_proof_for_a_while(serving: Stage) -> None:
    for times in (1, 2, 3):
        assert await serving.look(5)
        assert serving.host.tried == ["1"] * times
        serving.seconds += PROOF_SECONDS
    first_batch = ("1", "first", FIRST_BATCH_TOKENS)
    assert serving.host.first_batches == [first_batch], "once for each start of Triton"


async def test_nonsense_is_no_answer(serving: Stage, caplog: pytest.LogCaptureFixture) -> None:
    serving.host.logit = 40.0
    assert await serving.look(), "proof is still good"
    serving.seconds += PROOF_SECONDS
    assert not await serving.look()
    assert "at first: its canary's logits differ from before by up to 40" in caplog.text
    with pytest.raises(ModelUnavailableError, match="failed its canary"):
        serving.rollout.current()
    serving.host.logit = 0.1  # rounding
    assert await serving.look()
    assert serving.serving == "1"


async def test_answers_to_calls_do_not_excuse_a_failure(
    serving: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    serving.host.errors["1"] = InferenceError("CUDA error")
    serving.host.answers["1"] = serving.seconds
    serving.seconds += PROOF_SECONDS
    assert not await serving.look(3)
    assert "failed its canary at first: CUDA error" in caplog.text
    serving.host.errors.clear()
    assert await serving.look()


@pytest.mark.parametrize(
    "error",
    [ModelUnavailableError("no"), OverloadedError("full"), DeadlineError("late")],
    ids=lambda error: type(error).__name__,
)
async def test_calls_that_are_answered_are_proof_too(serving: Stage, error: ServerError) -> None:
    serving.host.errors["1"] = error
    serving.seconds += PROOF_SECONDS
    serving.host.answers["1"] = serving.seconds - 1
    assert await serving.look()
    serving.seconds += PROOF_SECONDS
    assert not await serving.look(2)
    assert serving.serving == "1", "calls may still try"
    serving.host.errors.clear()
    assert await serving.look(), "asked again in the next look"


async def test_a_first_batch_that_takes_long_holds_nothing_up(
    serving: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "SOON_SECONDS", 0.01)
    serving.publish("2")
    serving.host.hanging.add("first")
    assert await serving.look(3), "version 1 serves on, and is looked at"
    assert (serving.serving, len(serving.host.first_batches)) == ("1", 2)
    serving.withdraw("2")
    under_way = [task for task in asyncio.all_tasks() if "run_first" in repr(task)]
    assert len(under_way) == 1
    assert await serving.look()
    async with asyncio.timeout(20):
        await asyncio.wait(under_way)
    assert under_way[0].cancelled(), "nobody waits for a version that is gone"


async def test_a_triton_that_started_again_computes_a_first_batch_again(serving: Stage) -> None:
    serving.host.away = {"first"}
    assert not await serving.look()
    serving.host.away = set()
    serving.host.errors["first batch"] = InferenceError("CUDA out of memory")
    serving.host.answers["1"] = serving.seconds
    assert not await serving.look(2), "answers from before its restart prove nothing"
    assert len(serving.host.first_batches) == 2, "not in every look"
    serving.host.errors.clear()
    serving.seconds += PAUSE_SECONDS
    assert await serving.look()
    assert len(serving.host.first_batches) == 3


async def test_a_triton_that_is_only_silent_does_not(serving: Stage) -> None:
    serving.host.silent = {"first"}
    assert not await serving.look()
    serving.host.silent = set()
    assert await serving.look()
    assert len(serving.host.first_batches) == 1


@pytest.fixture
async def several(stage: Stage) -> Stage:
    """With two Tritons."""
    stage.host.tritons = ["first", "second"]
    await stage.publish_serving("1")
    assert stage.host.tried == ["1", "1"]
    assert stage.host.used == [["first", "second"]]
    return stage


@pytest.mark.parametrize("error", [InferenceError("CUDA error"), DeadlineError("late")])
async def test_a_triton_that_fails_is_out_until_it_answers(
    several: Stage, error: ServerError
) -> None:
    several.host.errors["second"] = error
    several.seconds += PROOF_SECONDS
    several.host.answers["1"] = several.seconds  # of the other one
    assert await several.look(3)
    # One that is not answered in time may be busy: it is asked once more.
    busy = isinstance(error, DeadlineError)
    assert several.host.used[1:] == [["first", "second"]] * busy + [["first"]] * (3 - busy)
    several.host.errors.clear()
    assert await several.look()
    assert several.host.used[-1] == ["first", "second"]


async def test_all_that_are_busy_with_calls_stay(several: Stage) -> None:
    several.host.errors = {"first": DeadlineError("late"), "second": DeadlineError("late")}
    several.seconds += PROOF_SECONDS
    several.host.answers["1"] = several.seconds - 1
    assert await several.look()
    assert several.host.used[-1] == ["first", "second"]
    several.host.errors["second"] = InferenceError("CUDA error")
    assert await several.look()
    assert several.host.used[-1] == ["first"]


async def test_a_triton_that_answers_otherwise_from_its_start_is_out(stage: Stage) -> None:
    stage.host.tritons = ["first", "second"]
    stage.host.silent = {"second"}
    await stage.publish_serving("1")
    stage.host.logit = 40.0
    stage.host.silent = set()
    assert await stage.look()
    assert stage.host.used == [["first"], ["first"]]


async def test_a_triton_without_the_version_is_out(several: Stage) -> None:
    several.host.lacks["first"] = {"1"}
    assert await several.look()
    assert several.host.used[-1] == ["second"]
    several.host.lacks.clear()
    several.host.silent = {"second"}
    assert await several.look()
    assert several.host.used[-1] == ["first"]
    several.host.silent = {"first", "second"}
    assert not await several.look()


async def test_a_new_version_waits_for_first_batches_that_are_under_way(
    several: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "SOON_SECONDS", 0.01)
    monkeypatch.setattr(canary_run, "FIRST_BATCH_SECONDS", 0.2)
    several.host.hanging.add("second")
    several.publish("2")
    assert await several.look(2)
    assert several.serving == "1"
    async with asyncio.timeout(20):
        while several.serving == "1":
            assert await several.look()
            await asyncio.sleep(0.05)
    assert several.host.used[-1] == ["first"], "not where it took too long"


async def test_a_new_version_waits_for_all_tritons_that_answer(several: Stage) -> None:
    several.host.lacks["second"] = {"2"}
    several.publish("2")
    assert await several.look(2)
    assert several.serving == "1"
    several.host.silent = {"second"}
    assert await several.look()
    assert several.serving == "2"
    assert several.host.used[-1] == ["first"]


async def test_a_triton_that_is_busy_with_others_is_not_out(serving: Stage) -> None:
    counted = itertools.count(100)
    serving.host.errors["1"] = DeadlineError("late")
    serving.host.computed = lambda: next(counted)
    serving.seconds += PROOF_SECONDS
    for _ in range(5):
        assert await serving.look()
    serving.host.computed = lambda: 200
    assert await serving.look(), "one more than before"
    assert not await serving.look(), "nothing since"
    serving.host.errors.clear()
    assert await serving.look()


async def test_an_idle_triton_that_does_not_tell_is_out_after_two(
    serving: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    serving.host.errors["1"] = DeadlineError("late")
    serving.seconds += PROOF_SECONDS
    assert await serving.look()
    assert not await serving.look()
    assert not await serving.look()
    assert caplog.text.count("its canary timed out twice") == 1
