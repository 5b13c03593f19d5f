"""VP-tree: the space is halved again and again by the distance from an object, the vantage point."""

import heapq
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from metricsearch.baselines.exact import ListedIndex, NearestSoFar, as_float32, bound_slack
from metricsearch.baselines.object_ids import ObjectIds
from metricsearch.indexes import DistancesTo, Nearest
from metricsearch.spaces import Batch, Metric, check_user_metric, concatenate
from metricsearch.spaces.chunks import iterate_chunks
from metricsearch.spaces.metric import POSTULATE_SAMPLE
from metricsearch.threads import thread_map
from metricsearch.validation import check_integer, check_positive

N_VANTAGE_CANDIDATES = 5  # objects of a node that are tried as its vantage point
SPREAD_SAMPLE = 50  # objects on which they are judged, at most
SLICE_SIZE = 4096  # objects gathered at a time for their distances


class VPTree(ListedIndex):
    """Vantage-point tree (P. N. Yianilos, SODA 1993), searched best first.

    A node's vantage point is the object of the largest spread of distances among a few random ones; half of the other
    objects, the nearer ones, are its inner child, the rest its outer child. For both it keeps the smallest and the
    largest distance. Nodes of at most `bucket_size` objects are not split. Objects are kept in memory while building.

    metric: name, specification, `Metric` or user function (tested to be a metric on a sample of the data).
    n_threads: for building; None = all cores; results do not depend on it.
    """

    def __init__(self, metric: Any, *, bucket_size: int = 8, seed: int = 0, n_threads: int | None = None) -> None:
        super().__init__(metric, n_threads=n_threads)
        self.bucket_size = check_positive(bucket_size, "bucket_size")
        self.seed = check_integer(seed, "seed", 0)
        # A node is a range of this list of ordinals: its vantage point, its inner child, its outer child.
        self._order: NDArray[np.uint32] = np.empty(0, dtype=np.uint32)
        # (n_nodes, 2, 2) smallest and largest distance to inner and outer child; node i has children 2i + 1, 2i + 2.
        self._radii = np.empty((0, 2, 2), dtype=np.float32)
        self._largest = 0.0

    def build(self, objects: Any, ids: Any = None) -> Self:
        """See `MetricIndex.build`. Raises NonMetricError as well."""
        chunks = list(iterate_chunks(objects, self.metric))
        numbers, rows = ObjectIds.number(ids, sum(len(chunk) for chunk in chunks))
        order: NDArray[np.uint32] = np.empty(0, dtype=np.uint32)
        radii: NDArray[np.float32] = np.empty((0, 2, 2), dtype=np.float32)
        width = None
        if chunks:
            batch = concatenate(chunks)
            del chunks
            width = self.metric.kind.width(batch)
            sample = np.random.default_rng(self.seed).permutation(len(batch))[:POSTULATE_SAMPLE]
            check_user_metric(self.metric, batch[sample], self.seed)
            order, radii = _Builder(self, batch, rows).build()
        self._ids, self._width, self._order, self._radii = numbers, width, order, radii
        self._largest = float(radii.max(initial=0.0))
        return self

    def memory_report(self) -> dict[str, int]:
        """Bytes of all arrays that stay resident, by part."""
        return {**super().memory_report(), "order": self._order.nbytes, "radii": self._radii.nbytes}

    def nearest(self, query: Batch, k: int, distances_to: DistancesTo, max_distances: int | None = None) -> Nearest:
        """See `ExactIndex.nearest`. Nodes are visited in the order of their lower bounds of the distance."""
        self._require_objects()
        best = NearestSoFar(k, distances_to, max_distances)
        waiting = [(0.0, 0, 0, len(self))]  # lower bound, node, its range
        while waiting:
            bound, node, start, stop = heapq.heappop(waiting)
            if bound > best.limit:  # at equality it may hold a smaller ID
                break
            if stop - start <= self.bucket_size:
                best.compare(self._ids_in(start, stop))
            elif len(distances := best.compare(self._ids_in(start, start + 1))):
                for child in self._children(bound, node, start, stop, float(as_float32(distances)[0])):
                    if child[0] <= best.limit:
                        heapq.heappush(waiting, child)
            if not best.is_exact:
                break
        return best.answer()

    def _ids_in(self, start: int, stop: int) -> NDArray[np.int64]:
        return self._require_ids().of(self._order[start:stop].astype(np.int64))

    def _children(
        self, bound: float, node: int, start: int, stop: int, distance: float
    ) -> list[tuple[float, int, int, int]]:
        """Entries of both children of a node, given the query's distance to its vantage point."""
        slack = bound_slack(max(distance, self._largest))
        middle = _middle(start, stop)
        ranges = [(start + 1, middle), (middle, stop)]
        children = []
        for side, (smallest, largest) in enumerate(self._radii[node].tolist()):
            own = max(smallest - distance, distance - largest) - slack
            children.append((max(bound, own), 2 * node + 1 + side, *ranges[side]))
        return children


def _middle(start: int, stop: int) -> int:
    """Where the outer child of a node begins; the inner one has as many objects, or one more."""
    return start + 1 + (stop - start) // 2


class _Builder:
    """Builds the tree level by level; the nodes of a level do not depend on each other.

    rows: (n,) row of the object of every ordinal.
    """

    def __init__(self, tree: VPTree, objects: Batch, rows: NDArray[np.int64]) -> None:
        self._metric: Metric = tree.metric
        self._bucket_size, self._seed, self._n_threads = tree.bucket_size, tree.seed, tree.n_threads
        self._objects, self._rows = objects, rows
        self._order: NDArray[np.uint32] = np.arange(len(rows), dtype=np.uint32)

    def build(self) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """(order, radii) as the tree keeps them."""
        level, first, radii = [(0, len(self._order))], 0, [np.empty((0, 2, 2))]
        while any(self._is_split(*span) for span in level):
            radii.append(np.stack(thread_map(self._split, list(enumerate(level, first)), self._n_threads)))
            first += len(level)
            level = [half for span in level for half in self._halves(*span)]
        return self._order, as_float32(np.concatenate(radii))

    def _is_split(self, start: int, stop: int) -> bool:
        return stop - start > self._bucket_size

    def _halves(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Ranges of the children; empty ones below a bucket, so that every node has its place."""
        if not self._is_split(start, stop):
            return [(stop, stop), (stop, stop)]
        return [(start + 1, _middle(start, stop)), (_middle(start, stop), stop)]

    def _split(self, node_and_range: tuple[int, tuple[int, int]]) -> NDArray[np.float64]:
        """Put the range of a node in order; returns its (2, 2) radii."""
        node, (start, stop) = node_and_range
        radii = np.zeros((2, 2))
        if not self._is_split(start, stop):
            return radii
        part = self._order[start:stop]
        chosen = self._vantage_point(part, np.random.default_rng((self._seed, node)))
        part[0], part[chosen] = part[chosen], part[0]
        others = np.sort(part[1:])
        distances = self._distances(int(part[0]), others)
        by_distance = np.argsort(distances, kind="stable")
        part[1:], distances = others[by_distance], distances[by_distance]
        n_inner = _middle(start, stop) - start - 1
        for side, half in enumerate((distances[:n_inner], distances[n_inner:])):
            if len(half):
                radii[side] = half[0], half[-1]
        return radii

    def _vantage_point(self, part: NDArray[np.uint32], rng: np.random.Generator) -> int:
        """Position in `part` of the object with the largest second moment of its distances about their median.

        The sample is so small that choosing costs no more distances than splitting.
        """
        n_sample = min(SPREAD_SAMPLE, 1 + len(part) // N_VANTAGE_CANDIDATES)
        shuffled = rng.permutation(len(part))
        candidates, sample = shuffled[:N_VANTAGE_CANDIDATES], shuffled[-n_sample:]
        rows = self._rows[part[np.concatenate([candidates, sample])]]
        objects = self._objects[rows]
        distances = self._metric.exact_pairwise(objects[: len(candidates)], objects[len(candidates) :])
        spreads = ((distances - np.median(distances, axis=1, keepdims=True)) ** 2).mean(axis=1)
        return int(candidates[np.argmax(spreads)])

    def _distances(self, ordinal: int, others: NDArray[np.uint32]) -> NDArray[np.float64]:
        """Distances of one object to others, given by their ordinals."""
        one = self._objects[self._rows[ordinal : ordinal + 1]]
        slices = [others[start : start + SLICE_SIZE] for start in range(0, len(others), SLICE_SIZE)]
        return np.concatenate(
            thread_map(
                lambda part: self._metric.distances(one, self._objects[self._rows[part]]), slices, self._n_threads
            )
        )
