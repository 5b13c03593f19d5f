"""Recall, candidates needed for a recall, and how certain both are.

Recall counts ties by distance: a result is right if its distance is at most the exact k-th one times
(1 + TIE_TOLERANCE). Values are kept per query; means come with a bootstrap interval over queries.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.validation import check_positive

TIE_TOLERANCE = 1e-6
NEVER = int(np.iinfo(np.int64).max)  # position of a neighbour that is not among the candidates
_BLOCK_ENTRIES = 1 << 22  # of the (replicates, positions) tables of one bootstrap step


def tie_threshold(kth_distances: ArrayLike) -> NDArray[np.float64]:
    """Largest distance that still counts as the exact `kth_distances`."""
    return np.asarray(kth_distances, dtype=np.float64) * (1 + TIE_TOLERANCE)


def recall_of_answer(distances: NDArray[np.float64], kth_distances: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Recall of answers, (n_queries,): the share of k results whose distance is at most the exact k-th one.

    distances: (n_queries, k') true distances found, ascending; only the first k count. kth_distances: (n_queries,)
    exact distance of the k-th neighbour. k: number of neighbours asked for, at most the number of objects.
    """
    found = np.asarray(distances)[:, : check_positive(k, "k")]
    shares: NDArray[np.float64] = (found <= tie_threshold(kth_distances)[:, None]).sum(axis=1) / k
    return shares


def hit_positions(candidates: NDArray[np.int64], right: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Where a ranked candidate list reaches recall 1/k, 2/k, ..., 1: (k,) int64 positions from 1, ascending.

    candidates: (R,) different IDs, best first. right: IDs of all objects within the tied k-th distance (at least k).
    NEVER stands where the list does not get that far.
    """
    places = np.flatnonzero(np.isin(candidates, right, assume_unique=True))[:k] + 1
    positions = np.full(k, NEVER, dtype=np.int64)
    positions[: len(places)] = places
    return positions


def recall_at(positions: NDArray[np.int64], sizes: ArrayLike) -> NDArray[np.float64]:
    """Recall of the first R candidates for each R of `sizes`: (n_queries, n_sizes).

    positions: (n_queries, k) of `hit_positions`.
    """
    grid = np.asarray(sizes, dtype=np.int64)
    rows = [np.searchsorted(row, grid, side="right") for row in positions]
    hits: NDArray[np.float64] = np.array(rows, dtype=np.float64).reshape(len(positions), len(grid))
    return hits / int(positions.shape[1])


def candidates_needed(positions: NDArray[np.int64], target: float) -> float:
    """The smallest R at which the mean recall over queries is at least `target`; infinity if it never is.

    positions: (n_queries, k) of `hit_positions`. The mean recall is a step function of R, so the result is exact.
    """
    needed = _hits_needed(positions.size, target)
    position = int(np.partition(positions.reshape(-1), needed - 1)[needed - 1])
    return np.inf if position == NEVER else float(position)


def candidates_needed_interval(
    positions: NDArray[np.int64], target: float, *, n_replicates: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of `candidates_needed` over queries; a bound may be infinite."""
    n_queries, k = positions.shape
    order = np.argsort(positions, axis=None, kind="stable")
    values = np.where(positions.reshape(-1)[order] == NEVER, np.inf, positions.reshape(-1)[order].astype(np.float64))
    query_of = order // k
    needed = _hits_needed(positions.size, target)
    counts = _replicate_counts(n_queries, n_replicates, seed)
    replicates = np.empty(n_replicates)
    step = max(1, _BLOCK_ENTRIES // positions.size)
    for start in range(0, n_replicates, step):
        hits = np.cumsum(counts[start : start + step][:, query_of], axis=1)
        replicates[start : start + step] = values[(hits < needed).sum(axis=1)]
    return _interval(replicates, level)


def bootstrap_mean(
    values: NDArray[np.float64], *, n_replicates: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentile bootstrap interval of the mean over queries.

    values: (n_queries,) or (n_queries, m). Returns (low, high) with shape () or (m,). The same seed draws the same
    queries for every column.
    """
    table = np.asarray(values, dtype=np.float64)
    counts = _replicate_counts(len(table), n_replicates, seed)
    means = counts @ table / len(table)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high


def percentiles(values: ArrayLike) -> dict[str, float]:
    """Median and tail of per-query costs: p50, p95, p99 (linear interpolation)."""
    p50, p95, p99 = np.percentile(np.asarray(values, dtype=np.float64), [50, 95, 99])
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99)}


def _hits_needed(n_positions: int, target: float) -> int:
    """Number of hits, over all queries, that make a mean recall of `target`."""
    if not n_positions:
        raise InvalidInputError("positions: expected at least one query and k >= 1, got none")
    if not 0 < target <= 1:
        raise InvalidInputError(f"target recall: expected a number in (0, 1], got {target}")
    return max(1, int(np.ceil(target * n_positions - 1e-9)))


def _replicate_counts(n_queries: int, n_replicates: int, seed: int) -> NDArray[np.int64]:
    """How often each query is drawn: (n_replicates, n_queries)."""
    if not n_queries:
        raise InvalidInputError("bootstrap: expected at least one query, got none")
    rng = np.random.default_rng(seed)
    share = np.full(n_queries, 1 / n_queries)
    return rng.multinomial(n_queries, share, size=check_positive(n_replicates, "n_replicates"))


def _interval(replicates: NDArray[np.float64], level: float) -> tuple[float, float]:
    tail = (1 - level) / 2
    # Replicates may be infinite, so take existing values instead of interpolating.
    low, high = np.quantile(replicates, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)
