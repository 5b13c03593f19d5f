"""Binary files of the field: HDF5 as ann-benchmarks lays it out, fvecs/bvecs/ivecs, npy, MNIST's IDX."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.datasets.files import PathLike, check_rows, new_file, read_all, require_file
from metricsearch.datasets.sources import ArraySource, HDF5Source, ObjectSource, as_chunks, hdf5_dataset, open_hdf5
from metricsearch.errors import CorruptedError, InvalidInputError
from metricsearch.spaces import Batch
from metricsearch.validation import check_choice, check_vectors

Chunks = NDArray[Any] | ObjectSource | Iterable[NDArray[Any]]

ANN_DISTANCES = ("euclidean", "angular")
_VECS_DTYPES: dict[str, np.dtype[Any]] = {
    ".fvecs": np.dtype("<f4"),
    ".ivecs": np.dtype("<i4"),
    ".bvecs": np.dtype("u1"),
}
_IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_HDF5_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class AnnBenchmark:
    """An HDF5 file in the layout of ann-benchmarks: train, test, neighbors, distances, attribute `distance`."""

    train: HDF5Source  # (n, d)
    test: HDF5Source  # (n_queries, d)
    neighbors: NDArray[np.int64] | None  # (n_queries, k) rows of train, nearest first
    distances: NDArray[np.float32] | None  # (n_queries, k) as in the file (angular files hold 1 - cosine)
    distance: str  # "euclidean" or "angular"


def read_ann_hdf5(path: PathLike) -> AnnBenchmark:
    """Open `path`; vectors are read when asked for, neighbours at once.

    Raises MissingDataError, CorruptedError (not HDF5, truncated), InvalidInputError (a dataset or attribute is
    missing, shapes disagree, a neighbour is no row of train). Layout: github.com/erikbern/ann-benchmarks.
    """
    path = require_file(path)
    train, test = HDF5Source(path, "train"), HDF5Source(path, "test")
    if train.shape[1] != test.shape[1]:
        raise InvalidInputError(f"{path}: train has {train.shape[1]} dimensions but test has {test.shape[1]}")
    with open_hdf5(path) as file:
        distance = file.attrs.get("distance")
        distance = distance.decode() if isinstance(distance, bytes) else distance
        if distance not in ANN_DISTANCES:
            raise InvalidInputError(
                f"{path}: attribute 'distance': expected one of {', '.join(ANN_DISTANCES)}; got {distance!r}"
            )
        neighbors = _per_query(file, "neighbors", path, len(test))
        distances = _per_query(file, "distances", path, len(test))
    if neighbors is not None and neighbors.size and not (neighbors.min() >= 0 and neighbors.max() < len(train)):
        raise InvalidInputError(f"{path}: neighbors: expected rows of train, 0..{len(train) - 1}, got others")
    return AnnBenchmark(
        train,
        test,
        None if neighbors is None else neighbors.astype(np.int64),
        None if distances is None else distances.astype(np.float32),
        str(distance),
    )


def _per_query(file: Any, key: str, path: Path, n_queries: int) -> NDArray[Any] | None:
    if key not in file:
        return None
    values: NDArray[Any] = hdf5_dataset(file, key, path)[:]
    if values.ndim != 2 or values.shape[0] != n_queries:
        raise InvalidInputError(f"{path}: {key}: expected one row per test vector ({n_queries}), got {values.shape}")
    return values


def write_ann_hdf5(
    path: PathLike,
    train: Chunks,
    test: Any,
    neighbors: Any = None,
    distances: Any = None,
    *,
    distance: str = "euclidean",
    overwrite: bool = False,
) -> None:
    """Write the ann-benchmarks layout; `train` may be an array, a source or an iterable of chunks (streamed).

    train, test : (n, d), (n_queries, d) numbers, stored as float32.  neighbors, distances : (n_queries, k) or None.
    Raises InvalidInputError, ExistsError. Nothing is left behind on failure.
    """
    import h5py

    check_choice(distance, "distance", ANN_DISTANCES)
    queries = check_vectors(test, "test")
    width = queries.shape[1]
    with new_file(path, overwrite=overwrite) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["distance"] = distance
        rows_per_chunk = max(1, _HDF5_CHUNK_BYTES // (4 * width))
        stored = file.create_dataset(
            "train", (0, width), np.float32, maxshape=(None, width), chunks=(rows_per_chunk, width)
        )
        for chunk in as_chunks(train):
            vectors = check_vectors(chunk, "train", width)
            start = stored.shape[0]
            stored.resize(start + len(vectors), axis=0)
            stored[start:] = vectors
        file["test"] = queries
        for key, values, dtype in (("neighbors", neighbors, np.int32), ("distances", distances, np.float32)):
            if values is not None:
                array = np.asarray(values)
                if array.ndim != 2 or len(array) != len(queries):
                    raise InvalidInputError(
                        f"{key}: expected one row per test vector ({len(queries)}), got shape {array.shape}"
                    )
                file[key] = array.astype(dtype)


class VecsSource(ObjectSource):
    """Vectors of an fvecs, bvecs or ivecs file, mapped; every record read is checked to have the same dimension.

    A record is its dimension (int32, little-endian) and its values (float32, uint8, int32), see
    http://corpus-texmex.irisa.fr. Read as float32 vectors; `values` gives the stored type.
    Raises MissingDataError, InvalidInputError (another file ending, NaN), CorruptedError (size or a record is wrong).
    """

    def __init__(self, path: PathLike) -> None:
        self.path = require_file(path)
        self.dtype = _vecs_dtype(self.path)
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            head = file.read(4)
        if len(head) < 4:
            raise CorruptedError(f"{self.path}: {size} bytes, too short for one record; copy or download it again")
        self.dimension = int(struct.unpack("<i", head)[0])
        if self.dimension < 1:
            raise CorruptedError(f"{self.path}: record 0: expected a dimension >= 1, got {self.dimension}")
        record = 4 + self.dimension * self.dtype.itemsize
        if size % record:
            raise CorruptedError(
                f"{self.path}: {size:,} bytes, expected a multiple of {record} ({self.dimension} values per record); "
                "it was probably truncated, copy or download it again"
            )
        self._records = np.memmap(self.path, dtype=np.uint8, mode="r", shape=(size // record, record))

    def __len__(self) -> int:
        return len(self._records)

    def values(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Records start..stop-1 as (m, d) in the type of the file. Raises CorruptedError that names the record."""
        records = np.asarray(self._records[start:stop])
        dimensions = np.ascontiguousarray(records[:, :4]).view("<i4")[:, 0]
        wrong = dimensions != self.dimension
        if wrong.any():
            row = int(np.argmax(wrong))
            raise CorruptedError(
                f"{self.path}: record {start + row}: expected dimension {self.dimension} as in record 0, "
                f"got {dimensions[row]}"
            )
        return np.ascontiguousarray(records[:, 4:]).view(self.dtype)

    def read(self, start: int, stop: int) -> Batch:
        """Vectors start..stop-1 as float32."""
        return check_rows(self.values(start, stop), str(self.path), start)


def _vecs_dtype(path: Path) -> np.dtype[Any]:
    if path.suffix not in _VECS_DTYPES:
        raise InvalidInputError(f"{path}: expected a name that ends in {', '.join(_VECS_DTYPES)}")
    return _VECS_DTYPES[path.suffix]


def write_vecs(path: PathLike, vectors: Chunks, *, overwrite: bool = False) -> int:
    """Write (n, d) values as fvecs, bvecs or ivecs (by the file's ending), from an array or an iterable of chunks.

    Returns n. Raises InvalidInputError (n = 0: the format cannot hold it; dimensions differ; a value that the
    type cannot represent), ExistsError.
    """
    dtype = _vecs_dtype(Path(path))
    n, width = 0, None
    with new_file(path, overwrite=overwrite) as temporary, temporary.open("wb") as file:
        for chunk in as_chunks(vectors):
            values = _as_stored(chunk, dtype, width, n)
            width = values.shape[1]
            records = np.empty((len(values), 4 + width * dtype.itemsize), dtype=np.uint8)
            records[:, :4] = np.frombuffer(struct.pack("<i", width), dtype=np.uint8)
            records[:, 4:] = values.view(np.uint8)
            file.write(records.tobytes())
            n += len(values)
        if n == 0:
            raise InvalidInputError("vectors: expected at least one; this format keeps the dimension in its records")
    return n


def _as_stored(chunk: Any, dtype: np.dtype[Any], width: int | None, first_row: int) -> NDArray[Any]:
    """`chunk` in the stored type; raise InvalidInputError where that would change a value's meaning."""
    if dtype.kind == "f":
        name = f"vectors from row {first_row} on" if first_row else "vectors"
        return check_vectors(chunk, name, width).astype(dtype, copy=False)
    try:
        array = np.asarray(chunk)
    except ValueError:
        raise InvalidInputError("vectors: expected (n, d) whole numbers, got rows of different lengths") from None
    if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind not in "iu":
        raise InvalidInputError(f"vectors: expected (n, d) whole numbers, got shape {array.shape}, {array.dtype}")
    if width is not None and array.shape[1] != width:
        raise InvalidInputError(f"vectors: expected {width} dimensions per vector, got {array.shape[1]}")
    limits = np.iinfo(dtype)
    bad = ((array < limits.min) | (array > limits.max)).any(axis=1)
    if bad.any():
        row = first_row + int(np.argmax(bad))
        raise InvalidInputError(f"vectors: row {row} has values outside {limits.min}..{limits.max}")
    return np.ascontiguousarray(array, dtype=dtype)


def read_npy(path: PathLike) -> ArraySource:
    """A mapped (n, d) .npy file of numbers, converted to float32 as it is read.

    Raises MissingDataError, CorruptedError (truncated, not npy), InvalidInputError (objects, other shapes).
    """
    path = require_file(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise InvalidInputError(f"{path}: not an array of numbers; save it with numpy.save(..., array)") from None
        raise CorruptedError(f"{path}: not a readable npy file ({error}); copy or download it again") from None
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind not in "fiu":
        shape = getattr(array, "shape", "an archive")
        raise InvalidInputError(f"{path}: expected an (n, d) array of numbers, got {shape}")
    if array.dtype == np.uint8:  # a uint8 batch means packed bits elsewhere; here it is numbers
        array = array.astype(np.float32)
    return ArraySource(array, str(path))


def write_npy(path: PathLike, vectors: Any, *, overwrite: bool = False) -> None:
    """Write (n, d) float32. Raises InvalidInputError, ExistsError."""
    array = check_vectors(vectors, "vectors")
    with new_file(path, overwrite=overwrite) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def read_idx(path: PathLike) -> NDArray[Any]:
    """The array of an IDX file (MNIST), plain or gzip, in the stored shape and type.

    Raises MissingDataError, CorruptedError (wrong magic number, length differs from the header's promise).
    """
    data = read_all(path)
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _IDX_DTYPES:
        raise CorruptedError(
            f"{path}: expected an IDX header (0, 0, type, dimensions), got {data[:4].hex(' ') or 'nothing'}"
        )
    dtype, n_axes = np.dtype(_IDX_DTYPES[data[2]]), data[3]
    start = 4 + 4 * n_axes
    shape = struct.unpack(f">{n_axes}I", data[4:start]) if len(data) >= start else ()
    expected = start + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if len(data) != expected or len(shape) != n_axes:
        raise CorruptedError(
            f"{path}: header promises {expected:,} bytes, it has {len(data):,}; copy or download it again"
        )
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))
