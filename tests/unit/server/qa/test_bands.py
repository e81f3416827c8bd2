"""Neighbours taken together: equal to taking each band for itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanqa_server.qa.bands import band, sliding_max, sliding_sum


@given(rows=st.integers(1, 3), columns=st.integers(1, 70), width=st.integers(1, 70), data=st.data())
def test_neighbours_together(rows: int, columns: int, width: int, data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 1 << 32))
    values = np.exp(np.random.default_rng(seed).normal(0, 20, (rows, columns + width - 1)))
    bands = np.stack([band(row, columns, width) for row in values])
    assert (sliding_max(values, width) == bands.max(axis=2)).all()
    # Relative to each sum alone, however small it is beside its neighbours.
    np.testing.assert_allclose(sliding_sum(values, width), bands.sum(axis=2), rtol=1e-12)


def test_a_band_is_a_view_within_its_values() -> None:
    values = np.arange(6.0)
    assert band(values, 4, 3).tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]
    with pytest.raises(ValueError, match="6 values, not 5"):
        band(values, 5, 3)
