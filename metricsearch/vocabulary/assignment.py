"""Nearest centres of many points at once: small cells in jitted loops, large products through BLAS."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricsearch.vocabulary import _kernels

PRODUCT_CENTRES = 64  # from so many centres and points on, a matrix product is faster than the loops
PRODUCT_POINTS = 256
PRODUCT_CELLS = 1 << 22  # entries of one product
EXACT_DIMENSION = 128  # up to here x·c - |c|²/2 of bytes stays below 2^23, where float32 still has the halves


class Cells(NamedTuple):
    """Runs of points and the centres they choose from; all (cells,) int64. n_centres 0: the cell is passed over."""

    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    first: NDArray[np.int64]
    n_centres: NDArray[np.int64]


def plain_view(array: NDArray[Any]) -> NDArray[Any]:
    """Read-only, C-contiguous, aligned and no subclass: the one form that the kernels are compiled for."""
    view = np.asarray(np.ascontiguousarray(array))
    view = view.view() if view.flags.aligned else view.copy()
    view.flags.writeable = False
    return view


def assign_nearest(
    x: NDArray[Any],
    rows: NDArray[np.int64],
    cells: Cells,
    centres: NDArray[Any],
    labels: NDArray[np.uint16],
) -> NDArray[np.bool_]:
    """Write into `labels` the number of the nearest centre of its cell for each point; True for cells that changed.

    x: (n, d) uint8 or float32; rows: point i of a cell is x[rows[i]]; centres: (m, d) like x. Squared Euclidean
    distance, ties by the lowest number; both ways of computing give the same labels.
    """
    x, centres = plain_view(x), plain_view(centres)
    by_products = (cells.n_centres >= PRODUCT_CENTRES) & (cells.end - cells.begin >= PRODUCT_POINTS)
    changed = np.zeros(len(cells.begin), dtype=np.bool_)
    nearest = _kernels.nearest_uint8 if x.dtype == np.uint8 else _kernels.nearest_float32
    count = np.where(by_products, 0, cells.n_centres)
    nearest(x, rows, cells.begin, cells.end, cells.first, count, centres, labels, changed)
    for cell in np.flatnonzero(by_products):
        run = slice(cells.begin[cell], cells.end[cell])
        own = centres[cells.first[cell] : cells.first[cell] + cells.n_centres[cell]]
        found = _nearest_by_products(x, rows[run], own)
        changed[cell] = not np.array_equal(labels[run], found)
        labels[run] = found
    return changed


def _nearest_by_products(x: NDArray[Any], rows: NDArray[np.int64], centres: NDArray[Any]) -> NDArray[np.uint16]:
    """argmin |x - c|² = argmax (x·c - |c|²/2). Bytes: exact. float32: near ties are decided by the kernel."""
    whole = x.dtype == np.uint8
    dtype: Any = np.float32 if x.shape[1] <= EXACT_DIMENSION or not whole else np.float64
    columns: NDArray[Any] = centres.astype(dtype).T
    with np.errstate(over="ignore"):
        half = (np.einsum("ij,ij->i", centres, centres, dtype=np.float64) / 2).astype(dtype)
    labels = np.empty(len(rows), dtype=np.uint16)
    block = max(1, PRODUCT_CELLS // len(centres))
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        points: NDArray[Any] = x[part].astype(dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # such rows are decided by the kernel
            scores: NDArray[Any] = np.matmul(points, columns)
            np.subtract(scores, half, out=scores)
        found = scores.argmax(axis=1).astype(np.uint16)
        if not whole:
            _decide_near_ties(x, part, points, scores, half, centres, found)
        labels[start : start + block] = found
    return labels


def _decide_near_ties(
    x: NDArray[Any],
    rows: NDArray[np.int64],
    points: NDArray[Any],
    scores: NDArray[Any],
    half: NDArray[Any],
    centres: NDArray[Any],
    found: NDArray[np.uint16],
) -> None:
    """Overwrite `found` where the second best score is within the rounding error of the best."""
    d = x.shape[1]
    largest = np.sqrt(2 * float(half.max()) + 2.0**-125)  # half may have lost what is smaller
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.einsum("ij,ij->i", points, points, dtype=np.float64))
        error = (d + 4) * (2.0**-23 * (lengths * largest + largest**2) + 2.0**-149)  # the last: the smallest number
        best = scores.max(axis=1)
        close = scores >= (best - 2 * error)[:, None]
    near = np.flatnonzero((close.sum(axis=1) != 1) | ~np.isfinite(best))
    if not len(near):
        return
    labels = np.zeros(len(near), dtype=np.uint16)
    whole_run = [np.array([value], dtype=np.int64) for value in (0, len(near), 0, len(centres))]
    _kernels.nearest_float32(x, rows[near], *whole_run, centres, labels, np.zeros(1, dtype=np.bool_))
    found[near] = labels
