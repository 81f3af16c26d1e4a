"""Rows of every kind into tables of columns."""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from logdet.client.errors import InvalidInput
from logdet.client.rows import is_by_name, kind_of, table_of

NAMES = ("a", "b")
SHUFFLED = {"b": [2.0, 4.0], "other": ["x", "y"], "a": [1.0, 3.0]}
FRAMES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pandas": lambda columns: pd.DataFrame(columns, index=[7, 3]),
    "polars": pl.DataFrame,
    "arrow": pa.table,
    "batch": pa.RecordBatch.from_pydict,
}


def test_a_package_that_another_thread_still_imports_is_no_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", ModuleType("pandas"))
    assert kind_of([[1.0, 2.0]]) == "numpy"
    assert kind_of(pa.table(SHUFFLED)) == "arrow"


@pytest.mark.parametrize("kind", FRAMES)
def test_columns_of_a_frame_are_found_by_name(kind: str) -> None:
    frame = FRAMES[kind](SHUFFLED)
    assert table_of(frame, NAMES, "rows").to_pydict() == {"a": [1.0, 3.0], "b": [2.0, 4.0]}
    assert kind_of(frame) == ("arrow" if kind == "batch" else kind)


@pytest.mark.parametrize("kind", FRAMES)
def test_a_column_that_is_not_there_is_named(kind: str) -> None:
    frame = FRAMES[kind]({"a": [1.0, 2.0], "c": [1.0, 2.0]})
    with pytest.raises(InvalidInput, match=r"one column 'b' in rows, got none; .* a, c"):
        table_of(frame, NAMES, "rows")


def test_a_column_that_is_there_twice_is_refused() -> None:
    twice = pd.DataFrame([[1.0, 2.0, 3.0]], columns=["a", "b", "a"])
    with pytest.raises(InvalidInput, match="expected one column 'a' in rows, got 2"):
        table_of(twice, NAMES, "rows")


@pytest.mark.parametrize(
    "dtype", ["f2", "f4", "f8", ">f8", "i1", "i2", "i4", "i8", ">i4", "u1", "u2", "u4", "u8"]
)
def test_an_array_keeps_its_type_in_every_order_of_memory(dtype: str) -> None:
    x = np.array([[1, 2], [3, 4], [5, 6]], dtype=dtype)
    for given in (x, np.asfortranarray(x), x[::-1][::-1], np.repeat(x, 2, axis=1)[:, ::2]):
        table = table_of(given, NAMES, "rows")
        assert table.to_pydict() == {"a": [1, 3, 5], "b": [2, 4, 6]}
        assert table.schema.field("a").type == pa.from_numpy_dtype(x.dtype.newbyteorder("="))


def test_lists_may_lack_values_and_are_not_rounded() -> None:
    table = table_of([[1, None], (2**53 + 1, 2.5)], NAMES, "rows")
    assert table.to_pydict() == {"a": [1, 2**53 + 1], "b": [None, 2.5]}
    assert table.schema.field("a").type == pa.int64()


def test_dicts_are_rows_by_name() -> None:
    rows = ({"b": 2, "other": "x", "a": 1}, {"a": 1.5, "b": None})
    table = table_of(rows, NAMES, "rows")
    assert table.to_pydict() == {"a": [1.0, 1.5], "b": [2, None]}
    assert kind_of(rows) == "numpy"
    assert is_by_name(rows)
    assert not is_by_name([[1.0, 2.0]])
    assert not is_by_name([])


def test_nan_and_masked_values_are_kept_apart_from_numbers() -> None:
    x = np.ma.masked_array([[1.0, 2.0], [3.0, 4.0]], mask=[[False, True], [False, False]])
    assert table_of(x, NAMES, "rows").to_pydict() == {"a": [1.0, 3.0], "b": [None, 4.0]}
    table = table_of(np.array([[np.nan, -np.inf]]), NAMES, "rows")
    assert np.isnan(table["a"][0].as_py())
    assert table["b"][0].as_py() == -np.inf


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([1.0, 2.0], r"rows of one length.*shape \(2,\) from list"),
        ([[1.0], [1.0, 2.0]], r"rows of one length.*shape \(2,\) from list"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\) from ndarray"),
        (3.0, "rows of one length.*, got float$"),
        ({"a": [1.0], "b": [2.0]}, "list of dicts by name.*, got dict$"),
        ((row for row in [[1.0, 2.0]]), "got a generator; make it a list first"),
        (pl.LazyFrame({"a": [1.0], "b": [2.0]}), r"got a LazyFrame; collect\(\) it first"),
        (np.zeros((4, 3)), r"expected 2 columns in rows \(a, b\), got 3"),
        ([[1.0, {}], [1.0, 2.0]], "of numbers in 'b' of rows, got values of dict and float$"),
        ([[1.0, 1.5], [1.0, 2**53 + 1]], r"in 'b' of rows, got 9007199254740993, .* 2\*\*53$"),
        ([[1.0, 2**70]], r"in 'b' of rows, got 1180591620717411303424, .* 2\*\*53$"),
        (np.zeros((1, 2), np.longdouble), "numbers in 'a' of rows, got values of float"),
        (np.zeros((1, 2), complex), "numbers in 'a' of rows, got values of complex128$"),
        (pd.DataFrame({"a": [1, 2], "b": [1, "x"]}), "'b' of rows, got values of int and str$"),
        ([{"a": 1.0, "b": 2.0}, {"a": 1.0}], r"expected 'b' in each row .*, got row 1 with: a$"),
        ([{"a": 1.0, "b": 2.0}, [1.0, 2.0]], "expected a dict for each row .*, got list at row 1"),
    ],
)
def test_what_is_no_rows_is_refused_in_one_sentence(rows: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as refused:
        table_of(rows, NAMES, "rows")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("value", ["text", True, Decimal("1.5")])
def test_other_values_go_as_they_are_for_the_service_to_refuse(value: object) -> None:
    table = table_of([[1.0, value]], NAMES, "rows")
    assert table["b"].to_pylist() == [value]
    assert not pa.types.is_floating(table.schema.field("b").type)
