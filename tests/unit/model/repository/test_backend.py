"""How the embedded Triton's model.py shares out a batch to its threads."""

import itertools
import runpy
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spanqa_model.repository.staging import BACKEND


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
    shares = backend["share_out"](np.array(lengths, np.int32), threads, pace)
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
    assert backend["share_out"](np.array(lengths, np.int32), 2, pace) == shares


@given(lengths=lengths_of_windows, threads=st.integers(1, 4))
def test_logits_come_back_in_their_places(
    backend: dict[str, Any], lengths: list[int], threads: int
) -> None:
    windows = np.array(lengths, np.int32)
    ids = np.arange(windows.sum(), dtype=np.int32)

    def compute(flat: tuple[npt.NDArray[np.int32], ...]) -> list[npt.NDArray[np.float32]]:
        """A token's logits are its number, and the length of its window beside its type."""
        ids, types, windows = flat
        return [ids.astype(np.float32), (np.repeat(windows, windows) + types).astype(np.float32)]

    with ThreadPoolExecutor(threads) as pool:
        pace = backend["Pace"](alone=1, together_at_least=40, together=0.6)
        start, end = backend["infer"]((ids, ids % 2, windows), compute, pool, threads, pace)
    assert start.dtype == end.dtype == np.float32
    assert np.array_equal(start, ids)
    assert np.array_equal(end, np.repeat(windows, windows) + ids % 2)


class FakeRequest:
    """Of a caller who waits, or has given up."""

    def __init__(self, tokens: int, cancelled: bool) -> None:
        self.tokens = tokens
        self.cancelled = cancelled

    def is_cancelled(self) -> bool:
        return self.cancelled


class FakeTriton(ModuleType):
    """What the model uses of Triton's module."""

    class TritonError:
        CANCELLED, INVALID_ARG = "cancelled", "invalid"

        def __init__(self, text: str, code: str) -> None:
            self.code = code

    class InferenceResponse:
        def __init__(self, tensors: Any = (), error: Any = None) -> None:
            self.tensors = tensors
            self.error = error

    @staticmethod
    def Tensor(name: str, values: Any) -> Any:  # noqa: N802
        return values

    @staticmethod
    def get_input_tensor_by_name(request: FakeRequest, name: str) -> Any:
        values = [request.tokens] if name == "window_lengths" else [7] * request.tokens
        return SimpleNamespace(as_numpy=lambda: np.array([values], np.int32))


@pytest.fixture
def model(backend: dict[str, Any]) -> Any:
    made = backend["TritonPythonModel"]()
    made.pool, made.threads, made.pace = None, 1, backend["Pace"](1, 0, 0)
    made.computed = []

    def compute(flat: tuple[npt.NDArray[np.int32], ...]) -> list[npt.NDArray[np.float32]]:
        made.computed.append(len(flat[0]))
        return [flat[0].astype(np.float32)] * 2

    made.compute = compute
    return made


def outcomes(model: Any, *requests: FakeRequest) -> list[str | int]:
    """For each request the code of its error, or the number of its logits."""
    return [
        response.error.code if response.error else len(response.tensors[0][0])
        for response in model.execute([*requests])
    ]


def test_what_nobody_waits_for_is_not_computed(model: Any) -> None:
    waiting, given_up = FakeRequest(5, False), FakeRequest(6, True)
    assert outcomes(model, waiting, given_up, waiting) == [5, "cancelled", 5]
    assert model.computed == [10]
    assert outcomes(model, given_up, given_up) == ["cancelled", "cancelled"]
    assert model.computed == [10]
    assert outcomes(model, given_up) == [6], "asking about one alone is not worth the time"


def test_a_request_that_the_module_refuses_fails_alone(model: Any) -> None:
    compute = model.compute

    def guarded(flat: tuple[npt.NDArray[np.int32], ...]) -> Any:
        if 6 in flat[2]:  # what a scripted `raise` becomes
            raise torch.jit.Error("ValueError: window_lengths holds 6")
        return compute(flat)

    model.compute = guarded
    requests = (FakeRequest(tokens, False) for tokens in (5, 6, 7))
    assert outcomes(model, *requests) == [5, "invalid", 7]
