"""Where the objects of a data set come from: memory, a mapped file, HDF5, or a generator; all read in chunks."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.datasets.files import PathLike, check_rows, require_file
from metricsearch.errors import CorruptedError, InvalidInputError
from metricsearch.spaces import Batch, Ragged, concatenate
from metricsearch.validation import check_positive

CHUNK_SIZE = 1024
FEATURE_FILE_FORMAT = "metricsearch-features"  # as metricsearch.features writes it


class ObjectSource(ABC):
    """n objects of one kind that need not fit in memory: `len(s)`, `s.chunks(size)`, `s.take(rows)`."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, start: int, stop: int) -> Batch:
        """Objects start..stop-1 as a batch; 0 <= start <= stop <= len(self)."""

    def chunks(self, chunk_size: int = CHUNK_SIZE) -> Iterator[Batch]:
        """All objects in order, `chunk_size` at a time (the last chunk may be shorter). Raises InvalidInputError."""
        chunk_size = check_positive(chunk_size, "chunk_size")
        return (self.read(i, min(i + chunk_size, len(self))) for i in range(0, len(self), chunk_size))

    def take(self, rows: Any) -> Batch:
        """The objects of `rows` (m,) int64, in that order. Raises InvalidInputError for a row that does not exist."""
        rows = check_row_numbers(rows, len(self))
        order = np.argsort(rows, kind="stable")
        batch = self._take_ascending(rows[order])
        back = np.empty_like(order)
        back[order] = np.arange(order.size)
        return batch[back]

    def load(self) -> Batch:
        """All objects in memory."""
        return self.read(0, len(self))

    def _take_ascending(self, rows: NDArray[np.int64]) -> Batch:
        """Read the blocks that hold `rows` (ascending), each once."""
        size = self.block_size
        parts: list[Batch] = []
        blocks, first = np.unique(rows // size, return_index=True)
        for block, wanted in zip(blocks.tolist(), np.split(rows, first[1:]), strict=False):
            start = block * size
            parts.append(self.read(start, min(start + size, len(self)))[wanted - start])
        return concatenate(parts) if parts else self.read(0, 0)

    @property
    def block_size(self) -> int:
        """Objects that are cheapest read together."""
        return CHUNK_SIZE


class ArraySource(ObjectSource):
    """Objects of an array or Ragged in memory, or of a mapped (n, d) array, which is converted as it is read."""

    def __init__(self, objects: Batch, name: str = "objects") -> None:
        self._objects, self._name = objects, name

    def __len__(self) -> int:
        return len(self._objects)

    def read(self, start: int, stop: int) -> Batch:
        """Objects start..stop-1, checked to be finite."""
        return self._converted(self._objects[start:stop], start)

    def _take_ascending(self, rows: NDArray[np.int64]) -> Batch:
        """The objects of `rows`, checked to be finite."""
        return self._converted(self._objects[rows], 0)

    def _converted(self, batch: Batch, first_row: int) -> Batch:
        if isinstance(batch, Ragged) or batch.dtype == np.uint8:  # uint8 rows are packed bits
            return batch
        return check_rows(batch, self._name, first_row)


class HDF5Source(ObjectSource):
    """Vectors of a 2-D dataset in an HDF5 file, opened for each read, so that it survives fork and threads.

    provenance, metric: what the vectors were made by and the distance meant for them, in a file of features; else None.
    Raises MissingDataError, CorruptedError (no HDF5 file, a damaged chunk), InvalidInputError (no such key, not 2-D).
    """

    def __init__(self, path: PathLike, key: str) -> None:
        self.path, self.key = require_file(path), key
        with open_hdf5(self.path) as file:
            dataset = hdf5_dataset(file, key, self.path)
            if dataset.ndim != 2 or dataset.shape[1] == 0 or dataset.dtype.kind not in "fiu":
                raise InvalidInputError(
                    f"{self.path}: dataset {key!r}: expected (n, d) numbers, got {dataset.shape} {dataset.dtype}"
                )
            self.shape: tuple[int, int] = dataset.shape
            self.provenance, self.metric = feature_attributes(file, dataset, self.path)
            # Compressed chunks are unpacked whole; reading part of one wastes the rest.
            self._block = dataset.chunks[0] if dataset.chunks else CHUNK_SIZE

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def block_size(self) -> int:
        """Rows of one stored chunk."""
        return self._block

    def read(self, start: int, stop: int) -> Batch:
        """Vectors start..stop-1 as float32, checked to be finite."""
        with open_hdf5(self.path) as file:
            try:
                rows = file[self.key][start:stop]
            except OSError as error:
                raise CorruptedError(
                    f"{self.path}: dataset {self.key!r}, rows {start}..{stop - 1}: cannot be read ({error}); "
                    "copy or download the file again"
                ) from None
        return check_rows(rows, f"{self.path}: dataset {self.key!r}", start)


class RowsSource(ObjectSource):
    """The objects of another source at the given rows (ascending)."""

    def __init__(self, source: ObjectSource, rows: NDArray[np.int64]) -> None:
        self._source, self._rows = source, rows

    def __len__(self) -> int:
        return self._rows.size

    def read(self, start: int, stop: int) -> Batch:
        """The objects of rows start..stop-1."""
        return self._source.take(self._rows[start:stop])

    def _take_ascending(self, rows: NDArray[np.int64]) -> Batch:
        return self._source.take(self._rows[rows])


def check_row_numbers(rows: Any, n: int) -> NDArray[np.int64]:
    """`rows` as (m,) int64, each in 0..n-1; raise InvalidInputError otherwise."""
    array = np.asarray(rows)
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InvalidInputError(f"rows: expected a 1-D array of whole numbers, got {array.shape} {array.dtype}")
    bad = (array < 0) | (array >= n)
    if bad.any():
        raise InvalidInputError(f"rows: {array[np.argmax(bad)]} does not exist; the source has rows 0..{n - 1}")
    return array.astype(np.int64)


def as_chunks(objects: Any) -> Iterator[Any]:
    """Chunks of an array, of a source, or of an iterable that yields (m, d) chunks already; they are not checked."""
    if isinstance(objects, ObjectSource):
        return objects.chunks()
    if len(getattr(objects, "shape", ())) == 2:
        return (objects[i : i + CHUNK_SIZE] for i in range(0, max(len(objects), 1), CHUNK_SIZE))
    if isinstance(objects, np.ndarray) or (isinstance(objects, Sequence) and not _are_chunks(objects)):
        return iter([objects])
    return iter(objects)


def _are_chunks(objects: Sequence[Any]) -> bool:
    return all(isinstance(chunk, np.ndarray) and chunk.ndim == 2 for chunk in objects)


def open_hdf5(path: PathLike) -> Any:
    """An h5py.File for reading. Raises MissingDataError, CorruptedError."""
    import h5py

    path = require_file(path)
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise CorruptedError(
            f"{path}: not a readable HDF5 file ({error}); it was probably truncated, copy or download it again"
        ) from None


def is_feature_file(file: Any) -> bool:
    """Whether an open HDF5 file was written by `metricsearch extract`; other programs name attributes as they like."""
    return bool(file.attrs.get("format") == FEATURE_FILE_FORMAT)


def feature_attributes(
    file: Any, dataset: Any, path: PathLike
) -> tuple[dict[str, Any] | None, str | dict[str, Any] | None]:
    """Provenance and metric of a dataset in an open file: its own, or for the parts of local features their group's.

    None where there is none. Raises CorruptedError.
    """
    owner = dataset if "provenance" in dataset.attrs else dataset.parent
    if not is_feature_file(file) or "provenance" not in owner.attrs:
        return None, None
    try:
        provenance, metric = (json.loads(owner.attrs.get(name, "null")) for name in ("provenance", "metric"))
        if not isinstance(provenance, dict):
            raise ValueError("it is no JSON object")
    except (ValueError, TypeError) as error:
        raise CorruptedError(
            f"{path}: dataset {dataset.name!r}: provenance: not readable ({error}); extract the photos again"
        ) from None
    return provenance, metric


def hdf5_dataset(file: Any, key: str, path: PathLike) -> Any:
    """Dataset `key` of an open file; raise InvalidInputError that lists the keys there are."""
    import h5py

    if key not in file or not isinstance(file[key], h5py.Dataset):
        known = ", ".join(sorted(name for name in file if getattr(file[name], "ndim", 0) == 2)) or "none"
        raise InvalidInputError(f"{path}: no dataset {key!r} of one row per object; it has: {known}")
    return file[key]
