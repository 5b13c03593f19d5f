"""Choice of pivots: k reference objects for each of the λ pivot spaces, disjoint between spaces."""

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.partition.prefixes import nearest_pivots
from metricsearch.spaces import VECTORS, Batch, Metric, concatenate
from metricsearch.threads import thread_map
from metricsearch.validation import check_choice

N_PAIRS = 500  # object pairs on which the incremental choice judges a pivot
N_INCREMENTAL_CANDIDATES = 16  # objects it compares for each pivot
KMEANS_ITERATIONS = 10
BALANCING_ROUNDS = 32
BALANCING_SHARE = 16  # one in so many pivots is moved in a round, at least one
MATRIX_CELLS = 1 << 24  # distances held at once when objects are assigned to pivots


def choose_pivots(
    metric: Metric, sample: Batch, n_spaces: int, n_pivots: int, method: str, rng: np.random.Generator
) -> Batch:
    """Choose λ·k pivots from a sample of the data; space j has pivots j·k .. (j+1)·k − 1.

    The shuffled sample is dealt into λ disjoint parts and each space chooses from its own, so no object is a pivot
    twice. method: "random"; "farthest-first" (each pivot is the object farthest from those before it); "k-means"
    (centroids, vectors only); "incremental" (Bustos, Navarro, Chávez 2003: each pivot maximises the mean lower bound
    max_i |d(x, p_i) - d(y, p_i)| over object pairs); "balanced" (cells about equally full: pivots of the emptiest cells
    of the random choice move into the fullest). Raises InvalidInputError for fewer than λ·k objects.
    """
    check_choice(method, "pivot_choice", PIVOT_CHOICES)
    if len(sample) < n_spaces * n_pivots:
        raise InvalidInputError(
            f"pivots: {n_spaces} spaces x {n_pivots} pivots need {n_spaces * n_pivots} objects to choose from, "
            f"got {len(sample)}; lower n_pivots or n_spaces"
        )
    if method == "k-means" and metric.kind is not VECTORS:
        raise InvalidInputError(f"pivot_choice: k-means needs vectors, but {metric.name} compares {metric.kind.name}")
    order = rng.permutation(len(sample))
    parts = [sample[np.sort(part)] for part in np.array_split(order, n_spaces)]
    return concatenate([_METHODS[method](metric, part, n_pivots, rng) for part in parts])


def pivot_pairs(metric: Metric, pivots: Batch, n_spaces: int, n_threads: int) -> NDArray[np.float64]:
    """Distances (λ, k, k) of all pivots of a space to each other."""
    k = len(pivots) // n_spaces
    spaces = [pivots[j * k : (j + 1) * k] for j in range(n_spaces)]
    rows = thread_map(lambda i: metric.distances(pivots[i : i + 1], spaces[i // k]), range(len(pivots)), n_threads)
    return np.stack(rows).reshape(n_spaces, k, k)


def _random(metric: Metric, part: Batch, n_pivots: int, rng: np.random.Generator) -> Batch:
    return part[_distinct_first(metric, part, rng.permutation(len(part)), n_pivots)]


def _distinct_first(metric: Metric, part: Batch, order: NDArray[np.int64], n_pivots: int) -> NDArray[np.int64]:
    """First n_pivots of `order`, passing over copies of earlier ones while enough objects are left.

    Equal pivots cost exact distance computations for every object (their order is a tie), hence only for metrics
    whose distances are computed in bulk.
    """
    if not metric.batched:
        return order[:n_pivots]
    chosen, spare = order[:n_pivots], order[n_pivots:]
    while len(spare):
        distances = metric.pairwise(part[chosen], part[chosen], np.float64)
        copies = (np.tril(distances <= metric.pairwise_error(part[chosen], part[chosen], distances), -1)).any(axis=1)
        if not copies.any():
            break
        n_missing = int(copies.sum())
        chosen = np.concatenate([chosen[~copies], spare[:n_missing]])
        if len(chosen) < n_pivots:  # too few different objects: copies must serve
            return order[:n_pivots]
        spare = spare[n_missing:]
    return chosen


def _farthest_first(metric: Metric, part: Batch, n_pivots: int, rng: np.random.Generator) -> Batch:
    chosen = [int(rng.integers(len(part)))]
    nearest = metric.distances(part[chosen], part)
    while len(chosen) < n_pivots:
        nearest[chosen[-1]] = -1.0  # never again, not even among copies
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, metric.distances(part[chosen[-1:]], part))
        nearest[chosen] = -1.0
    return part[np.array(chosen)]


def _k_means(metric: Metric, part: Batch, n_pivots: int, rng: np.random.Generator) -> Batch:
    from scipy.cluster.vq import kmeans2  # its import takes longer than many a search

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an empty cluster keeps its last centroid, which is fine here
        start = _random(metric, part, n_pivots, rng)
        centroids, _ = kmeans2(part, start, iter=KMEANS_ITERATIONS, minit="matrix")
    return metric.check(centroids, "pivots")


def _incremental(metric: Metric, part: Batch, n_pivots: int, rng: np.random.Generator) -> Batch:
    left, right = rng.integers(len(part), size=(2, N_PAIRS))
    bound = np.zeros(N_PAIRS)
    chosen: list[int] = []
    free = np.ones(len(part), dtype=bool)
    while len(chosen) < n_pivots:
        candidates = rng.choice(
            np.flatnonzero(free), size=min(N_INCREMENTAL_CANDIDATES, int(free.sum())), replace=False
        )
        to_left = metric.exact_pairwise(part[candidates], part[left])
        to_right = metric.exact_pairwise(part[candidates], part[right])
        bounds = np.maximum(bound, np.abs(to_left - to_right))
        best = int(np.argmax(bounds.mean(axis=1)))
        bound = bounds[best]
        chosen.append(int(candidates[best]))
        free[chosen[-1]] = False
    return part[np.array(chosen)]


def _balanced(metric: Metric, part: Batch, n_pivots: int, rng: np.random.Generator) -> Batch:
    """The random choice, improved: where the sum of squared cell sizes falls by it, pivots move.

    In each round the pivots of the emptiest cells are replaced, each by a random object of one of the fullest cells
    that is no copy of its pivot; half as many after a round in vain. Objects that lose their pivot are compared with
    all pivots again, the others with the new ones only: for n objects in the part n·k distances at the start and no
    more than about 2·n·max(1, k / BALANCING_SHARE) in each round, 5·n·k together for large k.
    """
    chosen = _distinct_first(metric, part, rng.permutation(len(part)), n_pivots)
    cells, nearest = _assigned(metric, part, part[chosen])
    n_moved = max(1, n_pivots // BALANCING_SHARE)
    for _ in range(BALANCING_ROUNDS):
        sizes = np.bincount(cells, minlength=n_pivots)
        order = np.argsort(sizes, kind="stable")
        trial = chosen.copy()
        for emptiest, fullest in zip(order[:n_moved], order[::-1][:n_moved], strict=True):
            others = np.flatnonzero((cells == fullest) & (nearest > 0))
            others = others[~np.isin(others, chosen)]  # for user functions that are no metric
            if sizes[fullest] > sizes[emptiest] and len(others):
                trial[emptiest] = rng.choice(others)
        moved = _reassigned(metric, part, chosen, trial, cells, nearest)
        if (np.bincount(moved[0], minlength=n_pivots) ** 2).sum() < (sizes**2).sum():
            chosen, (cells, nearest) = trial, moved
        else:
            n_moved = max(1, n_moved // 2)
    return part[chosen]


def _assigned(metric: Metric, objects: Batch, pivots: Batch) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(n,) the nearest pivot of every object, ties to the first, and its distance."""
    rows = max(1, MATRIX_CELLS // len(pivots))
    cells, nearest = np.zeros(len(objects), dtype=np.int64), np.zeros(len(objects))
    for start in range(0, len(objects), rows):
        cells[start : start + rows] = nearest_pivots(metric, objects[start : start + rows], pivots, 1)[:, 0]
    for cell in np.unique(cells).tolist():
        inside = np.flatnonzero(cells == cell)
        nearest[inside] = metric.distances(pivots[cell : cell + 1], objects[inside])
    return cells, nearest


def _reassigned(
    metric: Metric,
    part: Batch,
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    cells: NDArray[np.int64],
    nearest: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """What `_assigned` gives for the pivots `after`, from what it gave for those `before`."""
    cells, nearest = cells.copy(), nearest.copy()
    changed = np.flatnonzero(before != after)
    lost = np.flatnonzero(np.isin(cells, changed))
    if len(lost):
        cells[lost], nearest[lost] = _assigned(metric, part[lost], part[after])
    for pivot in changed.tolist():
        distances = metric.distances(part[after[pivot : pivot + 1]], part)
        nearer = (distances < nearest) | ((distances == nearest) & (pivot < cells))
        cells[nearer], nearest[nearer] = pivot, distances[nearer]
    return cells, nearest


_METHODS: dict[str, Callable[[Metric, Batch, int, np.random.Generator], Batch]] = {
    "random": _random,
    "farthest-first": _farthest_first,
    "k-means": _k_means,
    "incremental": _incremental,
    "balanced": _balanced,
}
PIVOT_CHOICES = tuple(_METHODS)
