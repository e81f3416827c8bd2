"""How the embedded Triton's model.py shares out batches to its threads."""

import gc
import itertools
import runpy
import sys
from collections.abc import Iterator
from threading import Thread, get_ident
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spanqa_model.repository.staging import BACKEND
from unit.model.repository.played_triton import (
    SECONDS,
    FakeRequest,
    FakeTriton,
    Gate,
    Models,
    logits_of,
)


@pytest.fixture(scope="module")
def backend() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "triton_python_backend_utils", FakeTriton("only Triton has it"))
        return runpy.run_path(str(BACKEND))


lengths_of_windows = st.lists(st.integers(1, 384), min_size=1, max_size=64)


seconds = st.floats(0, 1e3)


@given(
    lengths=lengths_of_windows,
    threads=st.integers(1, 8),
    measured=st.tuples(seconds, seconds, seconds),
)
def test_each_window_is_in_one_share(
    backend: dict[str, Any],
    lengths: list[int],
    threads: int,
    measured: tuple[float, float, float],
) -> None:
    pace = backend["Pace"](*measured)
    shares = backend["share_out"](lengths, threads, pace)
    if shares:
        assert sorted(itertools.chain(*shares)) == list(range(len(lengths)))
        assert len(shares) == min(threads, len(lengths))
        most = max(sum(lengths[window] for window in share) for share in shares)
        assert most <= max(lengths) + sum(lengths) / threads
        assert pace.alone * most <= pace.together_at_least + pace.together * sum(lengths)


@pytest.mark.parametrize(
    ("lengths", "shares"),
    [
        ([100, 300, 200, 20], [[1, 3], [2, 0]]),
        ([384, 60], []),
        ([384], []),
        ([60], [[0]]),
        ([60, 30, 20], [[0], [1, 2]]),
    ],
)
def test_threads_share_operations_where_one_would_get_much_more_than_the_others(
    backend: dict[str, Any], lengths: list[int], shares: list[list[int]]
) -> None:
    pace = backend["Pace"](alone=1, together_at_least=40, together=0.6)
    assert backend["share_out"](lengths, 2, pace) == shares


@pytest.fixture(scope="module")
def models(backend: dict[str, Any]) -> Iterator[Models]:
    made = Models(backend)
    yield made
    made.finalize()


@given(requests=st.lists(lengths_of_windows, min_size=1, max_size=8), threads=st.integers(1, 4))
def test_logits_come_back_in_their_places(
    models: Models, requests: list[list[int]], threads: int
) -> None:
    model = models.make(threads)
    asked = [FakeRequest(*windows) for windows in requests]
    model.execute(asked[::2])
    model.execute(asked[1::2])
    for request in asked:
        start, end = request.response.result(SECONDS).tensors
        ids, windows = np.arange(sum(request.windows)), np.array(request.windows)
        assert start.dtype == end.dtype == np.float32
        assert np.array_equal(start[0], ids)
        assert np.array_equal(end[0], np.repeat(windows, windows) + ids % 2)
    model.finalize()


def test_what_comes_later_does_not_wait_for_what_takes_long(models: Models) -> None:
    gate = Gate()
    model = models.make(2, gate.compute)
    slow, beside, later = FakeRequest(gate.HELD), FakeRequest(30), FakeRequest(20, 10)
    model.execute([slow, beside])
    assert gate.begun.wait(SECONDS)
    assert beside.outcome() == 30
    model.execute([later])
    assert later.outcome() == 30
    assert not slow.response.done()
    gate.opened.set()
    assert slow.outcome() == gate.HELD


def test_the_next_batch_is_taken_when_each_window_has_its_thread(models: Models) -> None:
    gate = Gate()
    model = models.make(1, gate.compute)
    model.execute([FakeRequest(gate.HELD)])
    second = FakeRequest(7)
    execute = Thread(target=model.execute, args=([second],))
    execute.start()
    assert gate.begun.wait(SECONDS)
    assert execute.is_alive(), "Triton would send batches of one"
    gate.opened.set()
    execute.join(SECONDS)
    assert second.outcome() == 7


def test_all_threads_share_the_operations_of_a_window_alone(models: Models) -> None:
    threads: list[int] = []

    def compute(flat: tuple[npt.NDArray[np.int32], ...]) -> list[npt.NDArray[np.float32]]:
        threads.append(get_ident())
        return logits_of(flat)

    model = models.make(2, compute)
    alone, one, other = FakeRequest(384), FakeRequest(100), FakeRequest(90)
    model.execute([alone])
    assert (alone.outcome(), threads) == (384, [get_ident()])
    model.execute([one, other])
    assert (one.outcome(), other.outcome()) == (100, 90)
    assert get_ident() not in threads[1:]


def test_what_nobody_waits_for_is_not_computed(models: Models) -> None:
    model = models.make(1)
    waiting, given_up, last = FakeRequest(5), FakeRequest(6, 4, cancelled=True), FakeRequest(3)
    model.execute([waiting, given_up, last])
    assert [one.outcome() for one in (waiting, given_up, last)] == [5, "cancelled", 3]
    assert model.computed == [[5, 3]]
    alone = FakeRequest(6, cancelled=True)
    model.execute([alone])
    assert alone.outcome() == 6, "asking about one alone is not worth the time"


def test_who_gives_up_behind_a_busy_thread_is_not_computed(models: Models) -> None:
    gate = Gate()
    model = models.make(1, gate.compute)
    model.execute([FakeRequest(gate.HELD)])
    given_up, waiting = FakeRequest(6), FakeRequest(3)
    execute = Thread(target=model.execute, args=([given_up, waiting],))
    execute.start()
    given_up.cancelled = True
    gate.opened.set()
    assert [one.outcome() for one in (given_up, waiting)] == ["cancelled", 3]
    execute.join(SECONDS)
    assert model.computed == [[gate.HELD], [3]]


@pytest.mark.parametrize("failure", [torch.jit.Error, RuntimeError, MemoryError])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_request_that_the_module_refuses_fails_alone(
    models: Models, threads: int, failure: type[Exception]
) -> None:
    def compute(flat: tuple[npt.NDArray[np.int32], ...]) -> Any:
        if 6 in flat[2]:
            raise failure("window_lengths holds 6")
        return logits_of(flat)

    model = models.make(threads, compute)
    requests = [FakeRequest(*windows) for windows in ([5, 8], [6, 3], [7])]
    model.execute(requests)
    assert [request.outcome() for request in requests] == [13, "invalid", 7]


def test_a_bad_tensor_is_told_at_once(models: Models) -> None:
    bad, good = FakeRequest(5, 0), FakeRequest(4)
    models.make(1).execute([bad, good])
    assert [bad.outcome(), good.outcome()] == ["invalid", 4]


def test_an_unloaded_version_first_answers_what_it_has(models: Models) -> None:
    gate = Gate()
    model = models.make(1, gate.compute)
    request = FakeRequest(gate.HELD)
    model.execute([request])
    unload = Thread(target=model.finalize)
    unload.start()
    gate.opened.set()
    unload.join(SECONDS)
    assert request.response.done()
    assert request.outcome() == gate.HELD


def test_a_request_that_is_answered_holds_no_memory(backend: dict[str, Any]) -> None:
    model = Models(backend).make(2)
    request = FakeRequest(40, 60)
    gc.collect()
    gc.disable()
    try:
        model.execute([request])
        assert request.outcome() == 100
        model.finalize()
        model.shares.clear()
        assert not [one for one in gc.get_objects() if type(one).__name__ == "Job"]
    finally:
        gc.enable()
