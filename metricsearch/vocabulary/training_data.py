"""The descriptors of a training, and the two working copies in which they lie ordered by cell."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.files import system_errors
from metricsearch.validation import check_vectors

READ_BYTES = 64 * 2**20  # read from a file at a time


class TrainingData:
    """Descriptors of one training: `source` (n, d) uint8 or float32, never changed, and where copies may lie.

    scratch: folder for copies, or None for memory.
    """

    def __init__(self, source: Any, scratch: Path | None) -> None:
        self.source = source
        self.n, self.dimension = source.shape
        self.dtype = np.dtype(source.dtype)
        self._scratch = scratch
        self._copies: dict[int, NDArray[Any]] = {}

    def points(self, level: int) -> NDArray[Any]:
        """The points as they lie before `level` (from 1) is trained."""
        if level > 1:
            return self._copies[level % 2]
        if isinstance(self.source, np.ndarray):
            return self.source
        copy, row = self._copy(level), 0
        for piece in self.pieces():
            copy[row : row + len(piece)] = piece
            row += len(piece)
        return copy

    def target(self, level: int) -> NDArray[Any]:
        """Where training of `level` puts the points, which the next level finds by `points`."""
        return self._copy(level + 1)

    def _copy(self, level: int) -> NDArray[Any]:
        """One of two copies, in turn."""
        if level % 2 not in self._copies:
            shape = (self.n, self.dimension)
            if self._scratch is None:
                self._copies[level % 2] = np.empty(shape, self.dtype)
            else:
                path = self._scratch / f"points-{level % 2}"
                with system_errors(path):
                    with path.open("wb") as file:  # now, since a full disk under a memory map ends the process
                        os.posix_fallocate(file.fileno(), 0, self.n * self.dimension * self.dtype.itemsize)
                    self._copies[level % 2] = np.memmap(path, self.dtype, "r+", shape=shape)
        return self._copies[level % 2]

    def pieces(self) -> Iterator[NDArray[Any]]:
        """The source in pieces, checked. Raises InvalidInputError that names a row with NaN or infinity."""
        size = max(1, READ_BYTES // (self.dimension * self.dtype.itemsize))
        for start in range(0, self.n, size):
            piece = np.ascontiguousarray(self.source[start : start + size])
            if self.dtype == np.float32 and not np.isfinite(piece).all():
                row = start + int(np.argmax(~np.isfinite(piece).all(axis=1)))
                raise InvalidInputError(f"descriptors: row {row} has NaN or infinity; remove it")
            yield piece

    def checksum(self) -> str:
        """sha256 of the descriptors' bytes."""
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece.data)
        return digest.hexdigest()


@contextmanager
def opened_data(descriptors: Any, memory_bytes: int, max_dimension: int) -> Iterator[TrainingData]:
    """Check `descriptors`; copies of more than `memory_bytes` go to a temporary folder, deleted at the end.

    Raises InvalidInputError.
    """
    if not isinstance(descriptors, np.ndarray | h5py.Dataset):
        raise InvalidInputError(
            f"descriptors: expected an (n, d) array of uint8 or float32, or an h5py dataset, got {type(descriptors)}"
        )
    if descriptors.ndim != 2 or not 1 <= descriptors.shape[1] <= max_dimension:
        raise InvalidInputError(
            f"descriptors: expected shape (n, d) with 1 <= d <= {max_dimension}, got {descriptors.shape}"
        )
    if descriptors.dtype not in (np.dtype(np.uint8), np.dtype(np.float32)):
        raise InvalidInputError(
            f"descriptors: expected uint8 or float32, got {descriptors.dtype}; convert them with astype()"
        )
    if isinstance(descriptors, np.ndarray):
        descriptors = np.asarray(np.ascontiguousarray(descriptors))
        if descriptors.dtype == np.float32:
            check_vectors(descriptors, "descriptors")
    n_bytes = int(np.prod(descriptors.shape, dtype=np.int64)) * descriptors.dtype.itemsize
    with ExitStack() as stack:
        scratch = None
        if 2 * n_bytes > memory_bytes:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="metricsearch-training-")))
        yield TrainingData(descriptors, scratch)
