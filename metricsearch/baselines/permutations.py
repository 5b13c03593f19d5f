"""What the permutation baselines share: prefixes of many objects, and the best of many scores."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.partition import nearest_pivots
from metricsearch.spaces import Batch, Metric
from metricsearch.threads import thread_map


def threaded_prefixes(
    metric: Metric, objects: Batch, pivots: Batch, prefix_length: int, n_threads: int
) -> NDArray[np.uint16]:
    """What `nearest_pivots` gives, (n, l) uint16, on several threads."""
    parts = np.linspace(0, len(objects), n_threads + 1).astype(np.int64)

    def prefixes_of(part: int) -> NDArray[np.uint16]:
        return nearest_pivots(metric, objects[parts[part] : parts[part + 1]], pivots, prefix_length)

    return np.concatenate(thread_map(prefixes_of, range(n_threads), n_threads))


def smallest(values: NDArray[Any], n: int) -> NDArray[np.int64]:
    """Positions of the n smallest values (all, if there are fewer), ascending, ties by position."""
    if n >= len(values):
        return np.argsort(values, kind="stable")
    largest = np.partition(values, n - 1)[n - 1]
    rows = np.flatnonzero(values < largest)
    ties = np.flatnonzero(values == largest)[: n - len(rows)]  # of scores, often far more than are wanted
    return np.concatenate([rows[np.argsort(values[rows], kind="stable")], ties])
