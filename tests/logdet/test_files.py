import gzip
import math
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logdet import csv_file, files, npz_file
from logdet.cells import typed, typed_as_written
from logdet.errors import TableError
from logdet.files import EXTENSIONS, read_table, write_table


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return tmp_path / "rows.csv"


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_numbers_survive_every_kind_of_file(tmp_path: Path, kind: str) -> None:
    x = np.random.default_rng(0).normal(size=(50, 2)) * [1e-300, 1e300]
    path = tmp_path / f"rows{kind}"
    write_table(path, {"a": x[:, 0], 'b,"c"': x[:, 1], "n": np.arange(50), "t": x[:, 0] > 0})
    table = read_table(path)
    assert table.names == ("a", 'b,"c"', "n", "t")
    np.testing.assert_array_equal(table.values, np.column_stack([x, np.arange(50), x[:, 0] > 0]))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_text_keeps_every_float64(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[float]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    write_table(path, {"a": np.array(numbers), "b": np.zeros(len(numbers))})
    assert read_table(path).values[:, 0].tolist() == numbers


def test_text_is_read_as_people_write_it(csv: Path) -> None:
    csv.write_bytes(
        b'\xef\xbb\xbfa,"b ""x""",flag\r\n 1 ,"2.5",TRUE\r\n\r\n+.5,-3E2, false\r\n\r\n'
    )
    table = read_table(csv)
    assert table.names == ("a", 'b "x"', "flag")
    assert table.values.tolist() == [[1.0, 2.5, 1.0], [0.5, -300.0, 0.0]]


def test_cells_that_are_no_numbers_are_named_by_line_and_column(csv: Path) -> None:
    csv.write_text('a,b\n1,x\n\n3,\n"5\n",1 000\ninf,NaN\n')
    message = (
        r"rows\.csv: 5 cells are not a finite number: line 2 column 'b' holds 'x'; "
        r"line 4 column 'b' is missing; line 5 column 'b' holds '1 000'; "
        r"line 7 column 'a' is not finite; line 7 column 'b' is missing$"
    )
    with pytest.raises(TableError, match=message):
        read_table(csv)


def test_of_many_wrong_cells_the_first_ten_are_named_and_all_counted(csv: Path) -> None:
    csv.write_text("a,b\n" + "1,2\n" * 3 + "x,y\n" * 1000)
    with pytest.raises(TableError, match=r"2,000 cells .* line 9 column 'b' .*; and 1,990 more$"):
        read_table(csv)


def test_missing_values_may_be_let_through_and_text_never(csv: Path) -> None:
    csv.write_text("a,b\n1,\nNA,null\n-inf,n/a\n")
    values = read_table(csv, missing="nan").values
    np.testing.assert_array_equal(values, [[1.0, np.nan], [np.nan, np.nan], [-np.inf, np.nan]])
    csv.write_text("a,b\n1,\n2,abc\n")
    with pytest.raises(TableError, match="1 cell is not a finite number: line 3 column 'b' holds"):
        read_table(csv, missing="nan")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,b\n", "has no rows"),
        (b"1,2.5\n3,4\n", "expected a header line of column names in rows.csv, got numbers"),
        (b"a;b\n3;4\n", "expected commas between the columns of rows.csv, got 'a;b'"),
        (b"a,b,a\n1,2,3\n", "has two columns named 'a'"),
        (b"a,,b\n1,2,3\n", "column 2 of rows.csv has no name"),
        (b"a,b\n1,2\n3\n4,5,6\n", "expected 2 cells in every line, line 3 has 1, line 4 has 3$"),
        (b"a,b\n" + b"3\n" * 30, r"line 2 has 1, .*, line 11 has 1 and 20 lines more$"),
        (b"a,b\n1,\xff\n", "is not readable as UTF-8 text"),
        (b"\xff,b\n1,2\n", "is not readable as UTF-8 text"),
    ],
)
def test_text_that_is_no_table_is_refused(csv: Path, content: bytes, message: str) -> None:
    csv.write_bytes(content)
    with pytest.raises(TableError, match=message):
        read_table(csv)


@pytest.mark.parametrize(
    "content", [b"a,b\n1,2\n", gzip.compress(b"a,b\n" + b"1,2\n" * 99)[:-12], b""]
)
def test_a_broken_gzip_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(content)
    with pytest.raises(TableError, match=r"rows\.csv\.gz is (not readable as UTF-8|empty)"):
        read_table(path)


def test_a_table_over_the_limit_is_refused_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (csv_file, files, npz_file):
        monkeypatch.setattr(module, "MAX_CELLS", 100)
    for kind in EXTENSIONS:
        path = tmp_path / f"rows{kind}"
        write_table(path, {name: np.zeros(51) for name in "ab"})
        with pytest.raises(TableError, match="over 100 cells; split it"):
            read_table(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rows.txt", r"expected a file named \.csv, \.csv\.gz, \.parquet, \.npz, got rows\.txt"),
        ("none.csv", r"there is no file .*none\.csv"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        read_table(tmp_path / name)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.npz"])
@pytest.mark.parametrize("content", [b"", b"text", b"PAR1PAR1", b"PK\x03\x04"])
def test_a_file_of_another_kind_than_its_name_is_refused(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(TableError, match="is not a"):
        read_table(path)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array(["1", "2"]), "column 'a' of rows.parquet holds string, expected numbers"),
        (pa.array([b"1", b"2"]), "holds binary"),
        (pa.array([1, 2], pa.timestamp("us")), "holds timestamp"),
        (pa.array([[1.0], [2.0]]), "holds list"),
        (pa.array([2**53 + 1, 0]), "holds whole numbers that float64 cannot hold"),
        (pa.array([1.0, None]), "row 2 column 'a' is missing"),
        (pa.array([1.0, np.inf]), "row 2 column 'a' is not finite"),
    ],
)
def test_parquet_columns_that_are_no_numbers_are_refused(
    tmp_path: Path, column: pa.Array, message: str
) -> None:
    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"a": column}), path)
    with pytest.raises(TableError, match=message):
        read_table(path)


def test_parquet_numbers_of_every_type_are_read_exactly(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    columns = {
        "half": pa.array([0.1], pa.float32()),
        "whole": pa.array([2**53], pa.int64()),
        "byte": pa.array([255], pa.uint8()),
        "flag": pa.array([True]),
        "decimal": pa.array(["12.50"]).cast(pa.decimal128(6, 2)),
    }
    parquet.write_table(pa.table(columns), path)
    expected = [float(np.float32(0.1)), 2.0**53, 255.0, 1.0, 12.5]
    assert read_table(path).values.tolist() == [expected]
    parquet.write_table(pa.table({"a": pa.array([1, None, 3])}), path)
    np.testing.assert_array_equal(read_table(path, "nan").values[:, 0], [1.0, np.nan, 3.0])


@pytest.mark.parametrize(
    ("arrays", "names", "values"),
    [
        ({"x": np.float32([[0.1, 2]])}, ("f0", "f1"), [[float(np.float32(0.1)), 2.0]]),
        ({"data": np.array([3, 4])}, ("f0",), [[3.0], [4.0]]),
        ({"x": np.zeros((1, 2)), "names": np.array(["p", "q"])}, ("p", "q"), [[0.0, 0.0]]),
        ({"data": np.array([True]), "names": np.array(["p"])}, ("p",), [[1.0]]),
        ({"x": np.zeros(1), "log_prob": np.ones(1)}, ("x", "log_prob"), [[0.0, 1.0]]),
    ],
)
def test_archives_hold_a_matrix_or_columns(
    tmp_path: Path, arrays: dict, names: tuple, values: list
) -> None:
    np.savez(tmp_path / "rows.npz", **arrays)
    table = read_table(tmp_path / "rows.npz")
    assert table.names == names
    assert table.values.tolist() == values


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((2, 2, 2, 2, 2))}, r"got x \(2, 2, 2, 2, 2\)"),
        ({"x": np.zeros((2, 0, 3))}, "has no columns"),
        ({"x": np.array(1.0)}, r"got x \(\)"),
        ({"y": np.zeros((2, 2))}, "to hold an array x"),
        ({}, "got nothing"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "differ in length"),
        ({"x": np.zeros((2, 2)), "names": np.array(["a"])}, "2 columns and names of shape"),
        ({"x": np.zeros((2, 2)), "names": np.array(["a", "a"])}, "two columns named 'a'"),
        ({"x": np.zeros((0, 2))}, "has no rows"),
        ({"x": np.array([["1", "2"]])}, "holds string, expected numbers"),
        ({"x": np.array([[1j]])}, "holds values that are no numbers"),
        ({"x": np.array([[None]])}, "not an archive of plain numpy arrays"),
    ],
)
def test_archives_of_anything_else_are_refused(tmp_path: Path, arrays: dict, message: str) -> None:
    np.savez(tmp_path / "rows.npz", **arrays)
    with pytest.raises(TableError, match=message):
        read_table(tmp_path / "rows.npz")


def test_images_are_tables_of_pixels_and_of_what_is_known_of_each(tmp_path: Path) -> None:
    x = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    known = {"label": np.array([7, 8]), "names": np.array(["a", "b"]), "classes": np.arange(5)}
    np.savez(tmp_path / "rows.npz", x=x, **known)
    table = read_table(tmp_path / "rows.npz")
    assert table.image == (2, 2, 3)
    assert table.names[:4] == ("pixel_0_0_0", "pixel_0_0_1", "pixel_0_0_2", "pixel_0_1_0")
    assert table.names[-2:] == ("pixel_1_1_2", "label")
    assert table.values[1].tolist() == [*range(12, 24), 8]
    assert read_table(tmp_path / "rows.npz", drop=frozenset({"label"})).image == (2, 2, 3)
    assert read_table(tmp_path / "rows.npz", drop=frozenset({"pixel_0_0_0"})).image is None


def test_grey_images_have_no_channel_in_their_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", data=np.zeros((3, 1, 2)))
    table = read_table(tmp_path / "rows.npz")
    assert (table.names, table.image) == (("pixel_0_0", "pixel_0_1"), (1, 2, 1))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.csv"
    write_table(path, {"a": np.ones(2)})
    monkeypatch.setattr(csv_file.arrow_csv, "write_csv", _full_disk)
    with pytest.raises(OSError, match="no space"):
        write_table(path, {"a": np.zeros(9)})
    assert os.listdir(tmp_path) == ["rows.csv"]
    assert path.read_text() == "a\n1\n1\n"


def test_a_file_is_not_written_where_it_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"there is no folder .*nowhere to write rows\.csv in"):
        write_table(tmp_path / "nowhere" / "rows.csv", {"a": np.ones(2)})
    with pytest.raises(TableError, match="expected a file named"):
        write_table(tmp_path / "rows.json", {"a": np.ones(2)})


def test_equal_columns_give_equal_compressed_bytes(tmp_path: Path) -> None:
    for name in ("one.csv.gz", "two.csv.gz"):
        write_table(tmp_path / name, {"a": np.ones(2)})
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (["1", "-2"], pa.int64()),
        (["1", ""], pa.int64()),
        (["1.5", "2"], pa.float64()),
        (["007", "1"], pa.string()),
        (["1.50", "2"], pa.string()),
        (["a", "1"], pa.string()),
    ],
)
def test_text_becomes_numbers_only_where_the_same_text_comes_back(
    text: list[str], kind: pa.DataType
) -> None:
    assert typed_as_written(pa.chunked_array([text])).type == kind


@pytest.mark.parametrize(
    ("text", "kind", "values"),
    [
        (["1", "+2", " 3"], pa.int64(), [1, 2, 3]),
        (["1", ""], pa.float64(), [1.0, None]),
        (["1.50", "NA", "inf"], pa.float64(), [1.5, None, math.inf]),
        (["2.0", "1e1"], pa.float64(), [2.0, 10.0]),
        (["1", "2" * 30], pa.string(), ["1", "2" * 30]),
        (["12345678901234567", ""], pa.string(), ["12345678901234567", ""]),
        (["12345678901234567"], pa.int64(), [12345678901234567]),
        (["007", "12"], pa.string(), ["007", "12"]),
        (["0", "0.50"], pa.float64(), [0.0, 0.5]),
        (["", ""], pa.float64(), [None, None]),
        (["none", ""], pa.string(), ["none", ""]),
        (["true", "false"], pa.string(), ["true", "false"]),
        (["1.50", "b"], pa.string(), ["1.50", "b"]),
    ],
)
def test_text_becomes_numbers_where_every_cell_is_one_or_missing(
    text: list[str], kind: pa.DataType, values: list
) -> None:
    column = typed(pa.chunked_array([text]))
    assert column.type == kind
    assert column.to_pylist() == values


def _full_disk(*_: object) -> None:
    raise OSError("no space left on device")
