import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exported import arrays
from exported.arrays import read_arrays, write_arrays
from exported.errors import BundleInvalidError

DTYPES = st.sampled_from([np.float32, np.float64, np.int64])


def npy(descr: str = "<f8", shape: str = "(2,)", body: bytes = bytes(16)) -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def archive(files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


@given(
    hnp.arrays(DTYPES, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0)),
    st.text("abc._", min_size=1),
)
def test_what_was_written_is_what_is_read(array: np.ndarray, name: str) -> None:
    read = read_arrays(write_arrays({name: array}))
    assert read.keys() == {name}
    assert read[name].dtype == array.dtype
    np.testing.assert_array_equal(read[name], array)


@given(hnp.arrays(DTYPES, hnp.array_shapes(min_dims=1, max_dims=3)))
def test_numpy_reads_what_is_written_and_the_other_way_round(array: np.ndarray) -> None:
    with np.load(io.BytesIO(write_arrays({"a": array})), allow_pickle=False) as loaded:
        np.testing.assert_array_equal(loaded["a"], array)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, a=array)
    np.testing.assert_array_equal(read_arrays(buffer.getvalue())["a"], array)


def test_equal_arrays_give_equal_bytes_whatever_their_layout_in_memory() -> None:
    array = np.arange(12.0).reshape(3, 4)
    written = write_arrays({"a": array})
    assert write_arrays({"a": np.asfortranarray(array)}) == written
    assert write_arrays({"a": array.astype(">f8")}) == written


def test_the_array_read_may_be_changed() -> None:
    array = read_arrays(write_arrays({"a": np.zeros(3)}))["a"]
    array[0] = 1.0
    assert array.sum() == 1.0


@pytest.mark.parametrize(
    "array", [np.array(["text"]), np.array([None]), np.array(1.0), np.zeros(2, np.float16)]
)
def test_an_array_outside_of_the_format_is_not_written(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected 'a' to be a vector or more of float32"):
        write_arrays({"a": array})


def test_pickled_objects_are_refused_and_not_run() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([{"any": "object"}], dtype=object))
    with pytest.raises(BundleInvalidError, match=r"a\.npy is not a plain array"):
        read_arrays(buffer.getvalue())


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (npy("|O"), "not a plain array"),
        (npy("<f2"), "not a plain array"),
        (npy(">f8"), "not a plain array"),
        (npy("[('a', '<f8')]"), "not a plain array"),
        (npy(shape="()"), "not a plain array"),
        (npy(shape="(-2,)"), "not a plain array"),
        (npy(shape="(True,)"), "not a plain array"),
        (npy().replace(b"False", b"True"), "not a plain array"),
        (npy().replace(b"\x01\x00", b"\x02\x00", 1), "not a plain array"),
        (b"", "not a plain array"),
        (npy()[:9], "not a plain array"),
        (npy(shape="(1000000000, 1000000000)"), "does not hold the shape"),
        (npy(body=bytes(15)), "does not hold the shape"),
        (npy(body=bytes(17)), "does not hold the shape"),
    ],
)
def test_a_member_that_is_no_plain_array_is_refused(member: bytes, message: str) -> None:
    with pytest.raises(BundleInvalidError, match=message):
        read_arrays(archive({"a.npy": member}))


def test_an_archive_that_would_inflate_over_the_limit_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arrays, "MAX_ARCHIVE_BYTES", 4 * 2**20)
    bomb = archive({f"{i}.npy": bytes(2**20) for i in range(5)})
    assert len(bomb) < 2**14
    with pytest.raises(BundleInvalidError, match=r"archive inflates to .* at most"):
        read_arrays(bomb)


def test_an_archive_that_lies_about_its_size_is_refused() -> None:
    honest = archive({"a.npy": npy(shape="(1000000,)", body=bytes(8_000_000))})
    size = struct.pack("<I", 8_000_000 + len(npy(shape="(1000000,)", body=b"")))
    lying = honest.replace(size, struct.pack("<I", 100))
    assert lying != honest
    with pytest.raises(BundleInvalidError, match="CRC"):
        read_arrays(lying)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable array archive"),
        (b"PK\x03\x04 and no more", "not a readable array archive"),
        (archive({"notes.txt": b"hello"}), r"holds 'notes\.txt', which is no array"),
        (archive({"a.npy": npy()}, zipfile.ZIP_LZMA), "neither stored nor deflated"),
    ],
)
def test_what_is_no_archive_of_arrays_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(BundleInvalidError, match=message):
        read_arrays(content)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name_are_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.npy", npy())
        file.writestr("a.npy", npy())
    with pytest.raises(BundleInvalidError, match="two arrays of the same name"):
        read_arrays(buffer.getvalue())


@given(st.data())
def test_whatever_bytes_are_changed_the_reader_answers_or_refuses(data: st.DataObject) -> None:
    content = bytearray(write_arrays({"a": np.arange(20.0), "b": np.arange(6).reshape(2, 3)}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = read_arrays(bytes(content))
    except BundleInvalidError:
        return
    assert all(array.dtype.str in ("<f4", "<f8", "<i8") for array in read.values())
