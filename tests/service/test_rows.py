from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ErrorKind, ServiceError
from service.rows import check_count, table

NAMES = ["a", "b"]
cells = st.one_of(st.none(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False))


@given(st.lists(st.lists(cells, min_size=2, max_size=2), min_size=1, max_size=20))
def test_lists_and_objects_of_the_same_cells_are_the_same_rows(rows: list[list[object]]) -> None:
    listed = table(rows, NAMES)
    named = table([dict(zip(NAMES, row, strict=True)) for row in rows], NAMES)
    expected = [[np.nan if cell is None else float(cell) for cell in row] for row in rows]  # type: ignore[arg-type]
    np.testing.assert_array_equal(listed, np.array(expected))
    np.testing.assert_array_equal(named, listed)


@given(
    st.recursive(
        st.one_of(cells, st.booleans(), st.text()),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    )
)
def test_anything_else_is_refused_in_words_and_never_by_accident(value: object) -> None:
    with contextlib.suppress(ServiceError):
        assert table(value, NAMES).shape[1] == 2


def test_an_integer_too_large_for_a_double_is_refused() -> None:
    with pytest.raises(ServiceError, match="row 0, column 'b'"):
        table([[1, 10**400]], NAMES)


def test_the_culprit_is_named_among_many() -> None:
    rows: list[list[object]] = [[1.0, 2.0] for _ in range(1000)]
    rows[700][1] = "x"
    with pytest.raises(ServiceError, match="row 700, column 'b' of 'rows', got the text 'x'"):
        table(rows, NAMES)


def test_long_names_and_texts_are_cut_in_messages() -> None:
    with pytest.raises(ServiceError) as wide:
        table([[1.0]], [f"feature_{i}" for i in range(4096)])
    with pytest.raises(ServiceError) as long:
        table([["x" * 10_000, 1.0]], NAMES)
    assert len(wide.value.message) < 300
    assert len(long.value.message) < 300


@pytest.mark.parametrize(
    ("operation", "way"),
    [
        ("score", "use the command 'logdet score m FILE' or several requests"),
        ("log_prob", "use the command 'logdet score m FILE' or several requests"),
        ("sample", "use the command 'logdet sample m -n N' or several requests"),
        ("encode", "for more, use several requests"),
        ("decode", "for more, use several requests"),
    ],
)
def test_too_many_rows_are_refused_with_another_way(operation: str, way: str) -> None:
    check_count(5, 5, "m", operation)
    with pytest.raises(ServiceError) as refused:
        check_count(6, 5, "m", operation)
    assert refused.value.kind is ErrorKind.TOO_LARGE
    assert refused.value.message.endswith(way)
