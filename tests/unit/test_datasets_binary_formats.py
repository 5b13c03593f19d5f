"""HDF5, fvecs/bvecs/ivecs, npy, IDX: round trips against a slow reader, and one clear line for every damage."""

import gzip
import struct
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracle import formats as oracle

from metricsearch.datasets import (
    HDF5Source,
    VecsSource,
    read_ann_hdf5,
    read_idx,
    read_npy,
    write_ann_hdf5,
    write_npy,
    write_vecs,
)
from metricsearch.errors import CorruptedError, ExistsError, InvalidInputError, MissingDataError

VECTORS = np.arange(12, dtype=np.float32).reshape(4, 3)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 5))


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@given(array=hnp.arrays(np.float32, SHAPES, elements=FLOATS))
def test_fvecs_come_back_with_the_same_bits_and_match_the_oracle(array):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.fvecs"
        assert write_vecs(path, array) == len(array)
        ref, comp = oracle.read_vecs(path.read_bytes(), "f"), VecsSource(path).load()
        assert np.array_equal(np.array(ref, dtype=np.float32), comp)
        assert comp.tobytes() == array.tobytes()


@pytest.mark.parametrize(("ending", "dtype", "code"), [("ivecs", np.int32, "i"), ("bvecs", np.uint8, "B")])
def test_whole_number_vecs_keep_their_type_and_match_the_oracle(tmp_path, ending, dtype, code):
    path = tmp_path / f"x.{ending}"
    array = np.random.default_rng(0).integers(0, 256, (7, 5)).astype(dtype)
    write_vecs(path, [array[:3], array[3:]])
    comp = VecsSource(path).values()
    assert comp.dtype == dtype
    assert comp.tolist() == oracle.read_vecs(path.read_bytes(), code) == array.tolist()


def test_vecs_are_read_in_chunks(tmp_path):
    write_vecs(tmp_path / "x.fvecs", VECTORS)
    source = VecsSource(tmp_path / "x.fvecs")
    assert [len(chunk) for chunk in source.chunks(3)] == [3, 1]
    assert np.array_equal(np.concatenate(list(source.chunks(3))), VECTORS)
    assert np.array_equal(source.take([3, 0, 3]), VECTORS[[3, 0, 3]])


def test_truncated_fvecs_are_refused_with_the_size(tmp_path):
    path = tmp_path / "x.fvecs"
    write_vecs(path, VECTORS)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CorruptedError) as error:
        VecsSource(path)
    assert "59 bytes, expected a multiple of 16" in one_line(error)


def test_record_with_another_dimension_is_named(tmp_path):
    path = tmp_path / "x.fvecs"
    write_vecs(path, VECTORS)
    data = bytearray(path.read_bytes())
    data[2 * 16 : 2 * 16 + 4] = struct.pack("<i", 7)
    path.write_bytes(data)
    source = VecsSource(path)
    with pytest.raises(CorruptedError) as error:
        list(source.chunks(2))
    assert "record 2: expected dimension 3 as in record 0, got 7" in one_line(error)


@pytest.mark.parametrize("head", [b"", b"\1\0", struct.pack("<i", 0), struct.pack("<i", -3)])
def test_fvecs_without_a_dimension_are_refused(tmp_path, head):
    (tmp_path / "x.fvecs").write_bytes(head)
    with pytest.raises(CorruptedError, match="too short|expected a dimension"):
        VecsSource(tmp_path / "x.fvecs")


def test_nan_in_fvecs_is_named_by_its_row(tmp_path):
    path = tmp_path / "x.fvecs"
    write_vecs(path, VECTORS)
    data = bytearray(path.read_bytes())
    data[-4:] = struct.pack("<f", float("nan"))
    path.write_bytes(data)
    with pytest.raises(InvalidInputError) as error:
        list(VecsSource(path).chunks(2))
    assert "row 3 has NaN" in one_line(error)


@pytest.mark.parametrize(
    ("name", "vectors", "message"),
    [
        ("x.fvecs", np.empty((0, 3), np.float32), "expected at least one"),
        ("x.fvecs", [[1.0, np.nan]], "NaN"),
        ("x.bvecs", np.array([[0, 1], [2, 256]]), "row 1 has values outside 0..255"),
        ("x.ivecs", np.array([[0.5, 1.0]]), "whole numbers"),
        (
            "x.fvecs",
            [np.ones((2, 3)), np.ones((2, 4))],
            "vectors from row 2 on: expected 3 dimensions per vector, got 4",
        ),
        ("x.fvecs", [[1.0, 2.0], [3.0]], "rows of different lengths"),
        ("x.ivecs", [[1, 2], [3]], "rows of different lengths"),
        ("x.txt", VECTORS, "expected a name that ends in"),
    ],
)
def test_vectors_that_the_format_cannot_hold_leave_no_file(tmp_path, name, vectors, message):
    with pytest.raises(InvalidInputError, match=message):
        write_vecs(tmp_path / name, vectors)
    assert list(tmp_path.iterdir()) == []


def test_writers_do_not_overwrite_unless_told(tmp_path):
    path = tmp_path / "x.fvecs"
    write_vecs(path, VECTORS)
    with pytest.raises(ExistsError, match="overwrite=True"):
        write_vecs(path, VECTORS[:1])
    assert len(VecsSource(path)) == 4
    write_vecs(path, VECTORS[:1], overwrite=True)
    assert len(VecsSource(path)) == 1


def test_failed_overwrite_keeps_the_old_file(tmp_path):
    path = tmp_path / "x.npy"
    write_npy(path, VECTORS)
    with pytest.raises(InvalidInputError):
        write_npy(path, VECTORS * np.nan, overwrite=True)
    assert np.array_equal(read_npy(path).load(), VECTORS)
    assert [p.name for p in tmp_path.iterdir()] == ["x.npy"]


@given(
    train=hnp.arrays(np.float32, st.tuples(st.integers(1, 9), st.just(4)), elements=FLOATS),
    test=hnp.arrays(np.float32, st.tuples(st.integers(1, 3), st.just(4)), elements=FLOATS),
    cut=st.integers(0, 9),
)
def test_ann_hdf5_comes_back_from_chunks(train, test, cut):
    neighbors = np.zeros((len(test), 2), dtype=np.int64) + len(train) - 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.hdf5"
        write_ann_hdf5(path, [train[:cut], train[cut:]], test, neighbors, neighbors / 2, distance="angular")
        content = read_ann_hdf5(path)
        assert np.array_equal(content.train.load(), train)
        assert np.array_equal(content.test.load(), test)
        assert np.array_equal(content.neighbors, neighbors)
        assert np.array_equal(content.distances, (neighbors / 2).astype(np.float32))
        assert content.distance == "angular"


def write_hdf5(path, **parts):
    with h5py.File(path, "w") as file:
        for key, value in parts.items():
            if key == "distance":
                file.attrs["distance"] = value
            else:
                file[key] = value
    return path


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"test": VECTORS, "distance": "euclidean"}, "no dataset 'train' of one row per object; it has: test"),
        ({"train": VECTORS, "test": VECTORS}, "attribute 'distance': expected one of euclidean, angular; got None"),
        ({"train": VECTORS, "test": VECTORS, "distance": "hamming"}, "got 'hamming'"),
        ({"train": VECTORS, "test": VECTORS[:, :2], "distance": "euclidean"}, "3 dimensions but test has 2"),
        ({"train": VECTORS[0], "test": VECTORS, "distance": "euclidean"}, r"expected \(n, d\) numbers"),
        (
            {"train": VECTORS, "test": VECTORS, "distance": "euclidean", "neighbors": [[0]]},
            r"one row per test vector \(4\)",
        ),
        (
            {"train": VECTORS, "test": VECTORS[:1], "distance": "euclidean", "neighbors": [[4]]},
            r"expected rows of train, 0\.\.3",
        ),
    ],
)
def test_hdf5_with_another_layout_is_refused(tmp_path, parts, message):
    with pytest.raises(InvalidInputError, match=message) as error:
        read_ann_hdf5(write_hdf5(tmp_path / "x.hdf5", **parts))
    assert "x.hdf5" in one_line(error)


def test_truncated_hdf5_is_refused(tmp_path):
    path = tmp_path / "x.hdf5"
    write_ann_hdf5(path, np.random.default_rng(0).random((5000, 8)), VECTORS[:, :1].repeat(8, axis=1))
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(CorruptedError) as error:
        read_ann_hdf5(path)
    assert "not a readable HDF5 file" in one_line(error)


def test_nan_in_hdf5_is_named_by_its_row_in_the_file(tmp_path):
    train = np.zeros((5000, 2), np.float32)
    train[4321, 1] = np.inf
    path = write_hdf5(tmp_path / "x.hdf5", train=train)
    with pytest.raises(InvalidInputError, match="'train': row 4321 has NaN or infinity"):
        list(HDF5Source(path, "train").chunks(1000))


def test_hdf5_rows_are_taken_in_the_order_asked_for(tmp_path):
    train = np.random.default_rng(0).random((300, 2)).astype(np.float32)
    with h5py.File(tmp_path / "x.hdf5", "w") as file:
        file.create_dataset("train", data=train, chunks=(64, 2), compression="gzip")
    source = HDF5Source(tmp_path / "x.hdf5", "train")
    rows = [299, 0, 64, 63, 64, 128]
    assert np.array_equal(source.take(rows), train[rows])
    assert source.take([]).shape == (0, 2)
    with pytest.raises(InvalidInputError, match=r"rows: 300 does not exist; the source has rows 0\.\.299"):
        source.take([300])


def test_npy_is_mapped_and_comes_back(tmp_path):
    write_npy(tmp_path / "x.npy", VECTORS)
    assert np.array_equal(read_npy(tmp_path / "x.npy").take([2, 1]), VECTORS[[2, 1]])


@pytest.mark.parametrize("dtype", [np.float64, np.int16, np.uint8])
def test_npy_of_other_number_types_is_read_as_float32(tmp_path, dtype):
    np.save(tmp_path / "x.npy", VECTORS.astype(dtype))
    comp = read_npy(tmp_path / "x.npy").load()
    assert comp.dtype == np.float32
    assert np.array_equal(comp, VECTORS)


def test_npy_with_python_objects_is_refused_and_never_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidInputError) as error:
        read_npy(tmp_path / "x.npy")
    assert "not an array of numbers" in one_line(error)


@pytest.mark.parametrize("content", [b"", b"no array", None])
def test_damaged_npy_is_refused(tmp_path, content):
    path = tmp_path / "x.npy"
    write_npy(path, VECTORS)
    path.write_bytes(path.read_bytes()[:-4] if content is None else content)
    with pytest.raises((CorruptedError, InvalidInputError)) as error:
        read_npy(path)
    assert "x.npy" in one_line(error)


def test_npy_of_one_axis_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", VECTORS[0])
    with pytest.raises(InvalidInputError, match=r"expected an \(n, d\) array"):
        read_npy(tmp_path / "x.npy")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_is_read_plain_and_packed(tmp_path, pack):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "x").write_bytes(pack(bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 3, 4) + array.tobytes()))
    assert np.array_equal(read_idx(tmp_path / "x"), array)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected an IDX header"),
        (b"\0\1\x08\1\0\0\0\0", "expected an IDX header"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 3, 1, 2]), "header promises 11 bytes, it has 10"),
        (bytes([0, 0, 8, 3, 0, 0]), "header promises"),
        (gzip.compress(bytes(1000))[:-9], "damaged gzip"),
    ],
)
def test_damaged_idx_is_refused(tmp_path, data, message):
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(CorruptedError, match=message):
        read_idx(tmp_path / "x")


@pytest.mark.parametrize("read", [VecsSource, read_npy, read_idx, read_ann_hdf5])
def test_missing_file_is_named(tmp_path, read):
    with pytest.raises(MissingDataError) as error:
        read(tmp_path / "gone.fvecs")
    assert "gone.fvecs: no such file" in one_line(error)
