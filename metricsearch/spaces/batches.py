"""Batches of objects of any metric space.

A batch is what travels through the engine: a 2-D array (vectors, bits) or a `Ragged` (strings, sets, signatures,
point sets). Both have len(b), b[slice] and b[index array], which return a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from metricsearch.errors import InvalidInputError


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """Objects of different lengths, end to end: object i is values[offsets[i]:offsets[i + 1]].

    values  : (total,) or (total, columns); strings: uint32 code points; sets: int64, ascending, all different;
              point sets: float32 rows; signatures: float32 rows of centre coordinates, last column the weight
    offsets : (n + 1,) int64, ascending, from 0 to total
    """

    values: NDArray[Any]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: Any) -> "Ragged":
        if isinstance(index, slice) and index.step in (None, 1):
            start, stop, _ = index.indices(len(self))
            bounds = self.offsets[start : max(start, stop) + 1]
            return Ragged(self.values[bounds[0] : bounds[-1]], bounds - bounds[0])
        rows = np.arange(len(self))[index]
        if rows.ndim != 1:
            raise TypeError(f"a batch takes a slice or a 1-D index array, got {index!r}; for object i: b[i:i + 1]")
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        offsets = _offsets(lengths)
        source = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return Ragged(self.values[source], offsets)


Batch: TypeAlias = NDArray[Any] | Ragged


def _offsets(lengths: Any) -> NDArray[np.int64]:
    """(n + 1,) int64 running sum of (n,) lengths, from 0."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def ragged_from_items(items: Sequence[NDArray[Any]], empty: NDArray[Any]) -> Ragged:
    """The arrays of `items` end to end; `empty` gives dtype and columns where there are no items."""
    if not items:
        return Ragged(empty, np.zeros(1, dtype=np.int64))
    return Ragged(np.concatenate(items).astype(empty.dtype, copy=False), _offsets([len(item) for item in items]))


def concatenate(batches: Sequence[Batch]) -> Batch:
    """One batch of all objects in order.

    Raises InvalidInputError when there is no batch, or they are of different kinds or widths.
    """
    batches = list(batches)
    if not batches:
        raise InvalidInputError("batches: expected at least one batch to concatenate, got none")
    if len(batches) == 1:
        return batches[0]
    arrays = [batch for batch in batches if not isinstance(batch, Ragged)]
    ragged = [batch for batch in batches if isinstance(batch, Ragged)]
    parts = arrays or [batch.values for batch in ragged]
    if (arrays and ragged) or len({(part.dtype, part.shape[1:]) for part in parts}) > 1:
        raise InvalidInputError("batches: expected objects of one kind and width, got different ones")
    if arrays:
        return np.concatenate(arrays)
    lengths = np.concatenate([np.diff(batch.offsets) for batch in ragged])
    return Ragged(np.concatenate(parts), _offsets(lengths))


def batch_nbytes(batch: Batch) -> int:
    """Bytes of the arrays of `batch`."""
    return batch.values.nbytes + batch.offsets.nbytes if isinstance(batch, Ragged) else batch.nbytes


def kernel_view(array: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """`array` in the one form that kernels are compiled for: plain, C-contiguous, aligned, read-only `dtype`.

    Whatever memory the array came from (a buffer of the object store, a memory map, a fresh array), its type is then
    the same to numba, so that no query waits for a compilation. Copies only when it must.
    """
    view = np.ascontiguousarray(array, dtype=dtype)
    view = view.view() if view.flags.aligned else view.copy()
    view.flags.writeable = False
    return view


def dense_view(batch: Batch, dtype: DTypeLike) -> NDArray[Any]:
    """The `kernel_view` of a batch of vectors or bits; raise InvalidInputError for another kind of batch."""
    if isinstance(batch, Ragged) or batch.ndim != 2:
        raise InvalidInputError("objects: expected a batch of equally long rows, an (n, d) array")
    return kernel_view(batch, dtype)


def ragged_view(batch: Batch, dtype: DTypeLike) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The `kernel_view` of (values, offsets) of a ragged batch; raise InvalidInputError for an array."""
    if not isinstance(batch, Ragged):
        raise InvalidInputError("objects: expected a Ragged batch, got an array; pass it through check() first")
    return kernel_view(batch.values, dtype), kernel_view(batch.offsets, np.int64)
