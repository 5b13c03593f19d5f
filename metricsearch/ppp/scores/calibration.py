"""Learning what a place in a space tells about nearness: g(u) of the aggregation "calibrated".

u = rank / n is an object's relative place in one space. Sample objects serve as queries: among the ranks of the other
sample objects, those of their true nearest neighbours show P(u | near), all of them show P(u | any), and
g = -log(P(u | near) / P(u | any)), made non-decreasing. Sums of g over the spaces then order objects by the evidence
that they are near, as if the spaces were independent.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import CorruptedError
from metricsearch.partition import nearest_pivots
from metricsearch.ppp.aggregation import prefix_keys
from metricsearch.ppp.ranking import RankingOptions, ranking_tables
from metricsearch.spaces import Batch, Metric, concatenate
from metricsearch.spaces.batches import kernel_view
from metricsearch.threads import thread_map

SAMPLE_SIZE = 1024
N_QUERIES = 16, 256  # at least and at most ...
BULK_SHARE = 32  # ... and at most one in so many of the objects
N_NEAR = 10  # true nearest neighbours of each, at most ...
NEAR_SHARE = 100  # ... and at most one in so many of the sample, at least one
N_BINS = 20  # of log u, two per octave: down to u = 1/1024; below, g goes on as a straight line
LOG_STEP = math.log(2.0) / 2
ORIGIN = -(N_BINS - 0.5) * LOG_STEP  # middle of the lowest bin
SLOPE_BINS = 4  # over which the slope of that line is measured
PRIOR = 1.0  # near objects that are taken to lie anywhere: bins without any get a finite score
_INNER_EDGES = np.array([2.0 ** (-i / 2) for i in range(N_BINS - 1, 0, -1)])
_SALT = 1  # the sample is not the one that pivots are drawn from

NO_CALIBRATION = np.empty((0, N_BINS))  # of an index that has learned none


class ObjectSample:
    """A random sample of the objects that pass by, however they are cut into chunks."""

    def __init__(self, seed: int, size: int = SAMPLE_SIZE) -> None:
        self._rng = np.random.default_rng([seed, _SALT])
        self._size = size
        self._rows, self._lots = np.empty(0, dtype=np.int64), np.empty(0)
        self._parts: list[Batch] = []
        self._highest = np.inf  # lots above it are not among the `size` smallest, which are those kept
        self._n_passed = 0

    def passing(self, chunks: Iterator[Batch]) -> Iterator[Batch]:
        """The chunks themselves, looked at as they pass."""
        for batch in chunks:
            lots = self._rng.random(len(batch))
            new = np.flatnonzero(lots < self._highest)
            if len(new):
                self._rows = np.concatenate([self._rows, new + self._n_passed])
                self._lots = np.concatenate([self._lots, lots[new]])
                self._parts.append(batch[new])
            if len(self._lots) > 2 * self._size:
                self._drop()
            self._n_passed += len(batch)
            yield batch

    def _drop(self) -> None:
        kept = np.sort(np.argsort(self._lots, kind="stable")[: self._size])
        self._rows, self._lots = self._rows[kept], self._lots[kept]
        self._parts = [concatenate(self._parts)[kept]]
        self._highest = self._lots.max()

    def taken(self) -> tuple[NDArray[np.int64], Batch | None]:
        """(s,) places of the sample objects among all, ascending, and these objects; None if nothing passed."""
        if not self._parts:
            return self._rows, None
        self._drop()
        return self._rows, self._parts[0]


def learn_calibration(
    metric: Metric,
    sample: ObjectSample,
    prefixes: NDArray[np.uint16],
    pivots: Batch,
    pivot_pairs: NDArray[np.float64] | None,
    options: RankingOptions,
    n_threads: int,
) -> NDArray[np.float64]:
    """(λ, N_BINS) float64, g of each space at the middles of the bins of log u, ascending and non-decreasing.

    Every (s / n_queries)-th of the s sample objects serves as a query, and is not counted among the objects it ranks.
    prefixes: (n, λ, l) of all objects; pivots: λ·k; pivot_pairs: (λ, k, k), needed for "diff_norm" only; options: how
    prefixes are ranked. The result does not depend on n_threads; it is all 0 for one object, and `NO_CALIBRATION` for
    none.
    """
    rows, objects = sample.taken()
    if objects is None:
        return NO_CALIBRATION
    n_sample, (n_objects, n_spaces, prefix_length) = len(rows), prefixes.shape
    n_pivots = len(pivots) // n_spaces
    columns = [kernel_view(prefixes[rows, j], np.uint16) for j in range(n_spaces)]
    options = replace(options, n_spaces=None)
    n_queries = n_query_objects(n_objects, n_sample, len(pivots))
    queries = np.arange(n_queries) * n_sample // n_queries
    n_near = max(1, min(N_NEAR, n_sample // NEAR_SHARE))

    def count(part: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        near, total = np.zeros((2, n_spaces, N_BINS), dtype=np.int64)
        nearest = nearest_pivots(metric, objects[part], objects, min(n_near + 1, n_sample))
        for row, neighbours in zip(part.tolist(), nearest, strict=True):
            neighbours = neighbours[neighbours != row][:n_near]
            to_pivots = metric.distances(objects[row : row + 1], pivots).reshape(n_spaces, n_pivots)
            tables = ranking_tables(to_pivots, n_spaces, n_pivots, prefix_length, options, pivot_pairs)
            for j, (column, table) in enumerate(zip(columns, tables, strict=True)):
                bins = _bins_of(prefix_keys(column, table), row)
                near[j] += np.bincount(bins[neighbours], minlength=N_BINS)[:N_BINS]
                total[j] += np.bincount(bins, minlength=N_BINS)[:N_BINS]
        return near, total

    parts = np.array_split(queries, min(n_threads, n_queries))
    near, total = np.sum(thread_map(count, parts, n_threads), axis=0)
    return kernel_view(np.stack([_minus_log_ratio(near[j], total[j]) for j in range(n_spaces)]), np.float64)


def n_query_objects(n_objects: int, n_sample: int, n_pivots: int) -> int:
    """How many sample objects serve as queries: so few that learning takes clearly less time than building.

    Half as many distances, and where building computes distances in bulk, which is faster, far fewer to pivots.
    n_pivots: of all spaces together.
    """
    affordable = min(n_objects * n_pivots // (2 * (n_sample + n_pivots)), n_objects // BULK_SHARE)
    return min(n_sample, max(N_QUERIES[0], min(affordable, N_QUERIES[1])))


def check_table(table: NDArray[np.generic], n_spaces: int, where: str) -> NDArray[np.float64]:
    """A saved calibration, none included. Raises CorruptedError unless it is one of n_spaces spaces."""
    fits = table.dtype == np.float64 and table.shape in {(n_spaces, N_BINS), NO_CALIBRATION.shape}
    if not (fits and np.isfinite(table).all() and (np.diff(table, axis=1) >= 0).all()):
        raise CorruptedError(
            f"{where}: the index array 'calibration' does not fit {n_spaces} spaces; rebuild the index"
        )
    return kernel_view(table, np.float64)


def _bins_of(keys: NDArray[np.float64], row: int) -> NDArray[np.int64]:
    """Bin of the relative position rank of each of (s,) keys among all but that of `row`, which gets bin N_BINS."""
    keys = keys.copy()
    keys[row] = np.inf  # the last: no other rank counts it
    order = np.argsort(keys)
    ranks = 1 + np.searchsorted(keys[order], keys[order])
    bins = np.empty(len(keys), dtype=np.int64)
    bins[order] = np.searchsorted(_INNER_EDGES, ranks / max(len(keys) - 1, 1))
    bins[row] = N_BINS
    return bins


def _minus_log_ratio(near: NDArray[np.int64], total: NDArray[np.int64]) -> NDArray[np.float64]:
    """g at all bins from the numbers of near objects and of all objects in each."""
    used = np.flatnonzero(total)
    if not len(used):
        return np.zeros(N_BINS)
    shares = total[used] / total.sum()
    ratios = _non_increasing(near[used].astype(np.float64), shares)
    scores = np.log(near.sum() + PRIOR) - np.log(ratios + PRIOR)
    table = np.interp(np.arange(N_BINS), used, scores)  # bins that no rank falls into: between their neighbours
    first = int(used[0])
    if first:
        table[:first] = table[first] - lowest_slope(table[first:]) * np.arange(first, 0, -1)
    return np.maximum.accumulate(table)


def _non_increasing(counts: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """counts / shares, pooled over neighbours (isotonic regression) so that no value is above the one before it."""
    blocks: list[tuple[float, float, int]] = []  # count, share, number of entries
    for count, share in zip(counts.tolist(), shares.tolist(), strict=True):
        block = (count, share, 1)
        while blocks and blocks[-1][0] * block[1] < block[0] * blocks[-1][1]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1], before[2] + block[2])
        blocks.append(block)
    return np.repeat([count / share for count, share, _ in blocks], [n for _, _, n in blocks])


def lowest_slope(table: NDArray[np.float64]) -> float:
    """How much g rises per bin at the low end of a row of bins."""
    reach = min(SLOPE_BINS, len(table) - 1)
    return float(table[reach] - table[0]) / reach if reach else 0.0
