"""Pivot-permutation prefixes: the nearest pivots of every object, nearest first."""

import numpy as np
from numpy.typing import NDArray

from metricsearch.partition._kernels import nearest_columns
from metricsearch.spaces import Batch, Metric

ROWS_AT_ONCE = 4096


def nearest_pivots(metric: Metric, objects: Batch, pivots: Batch, prefix_length: int) -> NDArray[np.uint16]:
    """Prefix of length l of each object's pivot permutation in one pivot space (PPP, spec section 1.1).

    objects: n checked objects; pivots: k checked objects; prefix_length: l in 1..k.
    Returns (n, l) uint16 pivot indexes by increasing distance, ties by pivot index. The order is that of
    `metric.distances`, whatever the size of the batch: where the rounding of a batched product could change it,
    the distances are computed again with more digits.
    """
    prefixes = np.empty((len(objects), prefix_length), dtype=np.uint16)
    rows = np.arange(len(objects))
    if metric.batched:
        for dtype in (np.float32, np.float64):
            part = objects if len(rows) == len(objects) else objects[rows]
            columns, certain = _batched_order(metric, part, pivots, prefix_length, dtype)
            prefixes[rows[certain]] = columns[certain]
            rows = rows[~certain]
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        distances = np.ascontiguousarray(metric.exact_pairwise(pivots, objects[part]).T)
        prefixes[part] = _smallest(distances, prefix_length)[0]
    return prefixes


def _smallest(distances: NDArray[np.floating], m: int) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
    columns = np.zeros((len(distances), m), dtype=np.uint16)
    values = np.empty((len(distances), m))
    nearest_columns(distances, columns, values)
    return columns, values


def _batched_order(
    metric: Metric, objects: Batch, pivots: Batch, prefix_length: int, dtype: type[np.floating]
) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Nearest pivots from one matrix product, and for which objects rounding cannot have changed their order."""
    distances = metric.pairwise(objects, pivots, dtype)
    columns, values = _smallest(distances, min(prefix_length + 1, len(pivots)))
    error = metric.pairwise_error(objects, pivots, values.astype(distances.dtype))
    certain = np.all(np.diff(values, axis=1) > error[:, 1:] + error[:, :-1], axis=1)
    return columns[:, :prefix_length], certain
