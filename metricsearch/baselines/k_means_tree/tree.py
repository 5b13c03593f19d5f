"""KMeansTree: the space is cut in two by 2-means again and again, until a cell holds one object."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from metricsearch.baselines.exact import ListedIndex, NearestSoFar
from metricsearch.baselines.k_means_tree import _kernels
from metricsearch.baselines.k_means_tree.building import SplitTree, empty_tree, grow_tree
from metricsearch.baselines.object_ids import ObjectIds
from metricsearch.errors import InvalidInputError
from metricsearch.indexes import CandidateIndex, CandidateStream, DistancesTo, Nearest, check_no_options
from metricsearch.spaces import Batch, Metric, concatenate
from metricsearch.spaces.batches import dense_view
from metricsearch.spaces.chunks import iterate_chunks
from metricsearch.validation import check_integer, check_positive

BLOCK_SHARE = 16  # leaves are compared in blocks of one in so many of the objects compared before
_EPSILON = float(np.finfo(np.float64).eps)


class KMeansTree(ListedIndex, CandidateIndex[None]):
    """Binary k-means tree of Euclidean vectors, searched approximately or exactly.

    2-means (Lloyd's algorithm, at most 25 cycles) splits the objects, then each half, until a cell holds at most
    leaf_size objects, or equal ones only, which then share a leaf. A search goes to the nearer centre at each split
    (greedy), then on to the waiting branch whose border is nearest (best bin first: J. S. Beis, D. G. Lowe, CVPR
    1997). An object x beyond the border between the centres c (nearer to q) and c' has
    d(q, x) >= (|q - c'|^2 - |q - c|^2) / (2 |c - c'|), since the border is the plane halfway between them; that makes
    an exact search possible.

    Both centres of every split stay in memory as float32. With leaf_size = 1 they take twice the bytes of the objects.
    Splitting takes time in proportion to n for each level, and outliers may make very many levels.

    metric: "euclidean". balanced: move the border, in parallel, to the median of the objects. max_depth: splits on
    the way to any leaf, at most; None = any number. n_threads: for building; None = all cores; results do not depend
    on it.
    """

    def __init__(
        self,
        metric: Any = "euclidean",
        *,
        leaf_size: int = 1,
        balanced: bool = False,
        max_depth: int | None = None,
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(metric, n_threads=n_threads)
        if self.metric.name != "euclidean":
            raise InvalidInputError(
                f"metric: the k-means tree needs means of vectors, so only euclidean; got {self.metric.name}; "
                "use VPTree or LAESA"
            )
        self.leaf_size = check_positive(leaf_size, "leaf_size")
        if not isinstance(balanced, bool):
            raise InvalidInputError(f"balanced: expected True or False, got {balanced!r}")
        self.balanced = balanced
        self.max_depth = None if max_depth is None else check_integer(max_depth, "max_depth", 0)
        self.seed = check_integer(seed, "seed", 0)
        self._tree = empty_tree()
        self._largest_norm = 0.0

    def build(self, objects: Any, ids: Any = None) -> Self:
        """See `MetricIndex.build`. The objects are held in memory meanwhile; an array is not copied if float32."""
        vectors = _in_memory(objects, self.metric)
        numbers, rows = ObjectIds.number(ids, len(vectors))
        tree = grow_tree(
            vectors,
            rows,
            leaf_size=self.leaf_size,
            max_depth=self.max_depth,
            balanced=self.balanced,
            seed=self.seed,
            n_threads=self.n_threads,
        )
        self._ids, self._tree, self._width = numbers, tree, vectors.shape[1] if len(vectors) else None
        self._largest_norm = float(_kernels.largest_norm(vectors))
        return self

    def memory_report(self) -> dict[str, int]:
        """Bytes of all arrays that stay resident, by part; all of them grow with n."""
        tree = self._tree
        return {
            **super().memory_report(),
            "centres": tree.centres.nbytes,
            "splits": tree.gaps.nbytes + tree.offsets.nbytes + tree.children.nbytes,
            "leaves": tree.starts.nbytes + tree.order.nbytes,
        }

    def depth_report(self) -> dict[str, float]:
        """n_nodes, n_leaves, max_depth (splits on the longest way), mean_depth (splits, mean over all objects).

        Raises MissingIndexError, EmptyIndexError.
        """
        self._require_objects()
        tree = self._tree
        depths = np.empty(len(tree.starts) - 1, dtype=np.int64)
        _kernels.leaf_depths(tree.children, tree.root, depths)
        return {
            "n_nodes": 2 * len(depths) - 1,
            "n_leaves": len(depths),
            "max_depth": int(depths.max()),
            "mean_depth": float(np.average(depths, weights=np.diff(tree.starts))),
        }

    def stream_candidates(
        self, query: Batch, n_candidates: int, options: None = None, first_block: int | None = None
    ) -> CandidateStream:
        """See `CandidateIndex.stream_candidates`; all candidates are one block, leaf after leaf."""
        check_no_options(options, "the k-means tree")
        ids = self._require_objects()
        n_wanted = min(check_positive(n_candidates, "n_candidates"), len(self))
        visit = _Visit(self._tree, query)
        best = visit.next_objects(n_wanted, np.inf)[:n_wanted]
        return CandidateStream(iter([ids.of(best)]), visit.n_centres_compared, np.array([len(best)]))

    def nearest(self, query: Batch, k: int, distances_to: DistancesTo, max_distances: int | None = None) -> Nearest:
        """See `ExactIndex.nearest`. Leaves are visited in the order of `candidates`."""
        ids = self._require_objects()
        best = NearestSoFar(k, distances_to, max_distances)
        visit, slack = _Visit(self._tree, query), self._slack(query)
        n_compared = 0
        while best.is_exact:
            block = visit.next_objects(max(1, n_compared // BLOCK_SHARE), best.limit + slack)
            if not len(block):
                break
            best.compare(ids.of(block))
            n_compared += len(block)
        return best.answer(visit.n_centres_compared)

    def _slack(self, query: Batch) -> float:
        """How much a bound, or a distance, may be off by the rounding of its sums (a generous worst case)."""
        vector = dense_view(query, np.float32)
        lengths = float(_kernels.largest_norm(vector)) + self._largest_norm
        return 16 * (int(vector.shape[1]) + 8) * _EPSILON * lengths


class _Visit:
    """One query's way through the leaves of a tree, best first."""

    def __init__(self, tree: SplitTree, query: Batch) -> None:
        self._tree, self._query = tree, dense_view(query, np.float32)[0]
        n_branches = len(tree.gaps) + 1
        self._heap = np.empty(n_branches), np.empty(n_branches, dtype=np.int64)
        self._heap[0][0], self._heap[1][0] = 0.0, tree.root
        self._state = np.array([1, 0])  # branches that wait, splits visited
        self._out = np.empty(len(tree.order), dtype=np.int64)

    def next_objects(self, n_wanted: int, limit: float) -> NDArray[np.int64]:
        """Ordinals of whole leaves, n_wanted or a few more; fewer where no branch has a bound up to `limit`."""
        tree = self._tree
        n_found = _kernels.visit_leaves(
            self._query, tree.splits, tree.leaves, self._heap, self._state, n_wanted, limit, self._out
        )
        return self._out[:n_found].copy()

    @property
    def n_centres_compared(self) -> int:
        """Distances of the query to centres so far."""
        return 2 * int(self._state[1])


def _in_memory(objects: Any, metric: Metric) -> NDArray[np.float32]:
    """All objects as checked (n, d) float32; a float32 array is not copied."""
    if isinstance(objects, np.ndarray):
        return dense_view(metric.check(objects, "objects"), np.float32)
    chunks = list(iterate_chunks(objects, metric))
    return dense_view(concatenate(chunks) if chunks else np.empty((0, 1)), np.float32)
