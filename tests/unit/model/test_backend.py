"""The embedded Triton's model.py cuts a large batch between windows, for its threads."""

import runpy
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanqa_model.versions import BACKEND


@pytest.fixture(scope="module")
def backend() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "triton_python_backend_utils", ModuleType("only Triton has it"))
        return runpy.run_path(str(BACKEND))


@given(lengths=st.lists(st.integers(1, 384), min_size=1, max_size=64), threads=st.integers(1, 8))
def test_shares_hold_whole_windows_in_their_order(
    backend: dict[str, Any], lengths: list[int], threads: int
) -> None:
    windows = np.array(lengths, np.int32)
    ids = np.arange(windows.sum(), dtype=np.int32)
    shares = backend["share_out"]((ids, ids % 2, windows), threads)
    for share_ids, share_types, share_windows in shares:
        assert len(share_ids) == len(share_types) == share_windows.sum() > 0
    for whole, pieces in zip((ids, ids % 2, windows), zip(*shares, strict=True), strict=True):
        assert np.array_equal(np.concatenate(pieces), whole)
    assert len(shares) <= threads
    if len(lengths) < backend["WINDOWS_PER_THREAD"] * threads:
        assert len(shares) == 1
    else:
        wanted = windows.sum() / threads
        assert all(abs(len(ids) - wanted) <= max(lengths) for ids, _, _ in shares)
