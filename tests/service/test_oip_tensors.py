"""Tensors of the Open Inference Protocol into arrays and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.errors import ServiceError
from service.oip.tensors import DTYPES, as_rows, from_bytes, from_values, to_bytes


@given(st.data(), st.sampled_from(sorted(DTYPES)), arrays.array_shapes(max_dims=3, min_side=0))
def test_bytes_come_back_bit_by_bit(data: Any, datatype: str, shape: tuple[int, ...]) -> None:
    array = data.draw(arrays.arrays(DTYPES[datatype], shape))
    raw = bytes(to_bytes(array))
    assert raw == array.tobytes()
    back = from_bytes("x", datatype, shape, raw)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == raw


def test_bytes_are_looked_at_and_not_copied() -> None:
    body = np.arange(12.0).tobytes()
    x = from_bytes("x", "FP64", (3, 4), memoryview(body))
    assert not x.flags.writeable
    assert np.shares_memory(x, np.frombuffer(body, np.uint8))
    assert as_rows("x", x, "abcd") is x
    single = x.astype(np.float32)
    assert as_rows("x", single, "abcd") is single
    assert np.shares_memory(np.asarray(to_bytes(single)), single)


@given(st.data(), st.sampled_from(sorted(set(DTYPES) - {"FP16"})))
def test_values_are_the_same_flat_and_nested(data: Any, datatype: str) -> None:
    array = data.draw(arrays.arrays(DTYPES[datatype], (2, 3), elements={"allow_nan": False}))
    flat = from_values("x", datatype, [2, 3], array.reshape(-1).tolist())
    nested = from_values("x", datatype, [2, 3], array.tolist())
    np.testing.assert_array_equal(flat, array)
    np.testing.assert_array_equal(nested, array)


def test_null_is_a_missing_value_of_floats_alone() -> None:
    assert np.isnan(from_values("x", "FP32", [1], [None])).all()
    with pytest.raises(ServiceError, match="expected INT32 values in 'x', got null"):
        from_values("x", "INT32", [1], [None])


@pytest.mark.parametrize("largest", [2**53, -(2**53)])
def test_whole_numbers_are_kept_or_refused(largest: int) -> None:
    kept = as_rows("x", np.array([[largest]]), ["a"])
    assert int(kept[0, 0]) == largest
    for dtype in (np.int64, np.uint64):
        beyond = np.array([[abs(largest) + 1]]).astype(dtype)
        with pytest.raises(ServiceError, match=r"at most 2\*\*53"):
            as_rows("x", beyond, ["a"])


def test_booleans_are_zero_or_one() -> None:
    with pytest.raises(ServiceError, match="bytes of 0 and 1"):
        from_bytes("x", "BOOL", (2,), b"\x01\x02")
    assert as_rows("x", from_bytes("x", "BOOL", (1, 2), b"\x01\x00"), "ab").tolist() == [
        [1.0, 0.0]
    ]
