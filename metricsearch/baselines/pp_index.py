"""PP-Index: prefix trees of pivot permutations; a query's prefix is shortened until enough objects share it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.baselines.permutations import smallest, threaded_prefixes
from metricsearch.baselines.pivot_index import PivotIndex
from metricsearch.indexes import CandidateIndex, CandidateStream, check_options
from metricsearch.ppp.aggregation import Records, SpaceStream
from metricsearch.ppp.ranking import RankingTable
from metricsearch.ppp.tree import MAX_PREFIX_LENGTH, PPPTree, build_tree
from metricsearch.spaces import Batch
from metricsearch.threads import thread_map
from metricsearch.validation import check_integer, check_positive

_KEY_BASE = 4.0  # above 2: one mismatch then outweighs all later ones together, whatever the rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class PPIndexOptions:
    """How a PP-Index searches; may change from query to query.

    n_queries: searches per tree, the perturbed ones included; None = as the index was made.
    """

    n_queries: int | None = None

    def __post_init__(self) -> None:
        if self.n_queries is not None:
            check_positive(self.n_queries, "n_queries")


class PPIndex(PivotIndex, CandidateIndex[PPIndexOptions]):
    """PP-Index (A. Esuli, LSDS-IR 2009, CEUR 480; Information Processing & Management 48(5), 2012).

    A tree sorts the objects by the prefixes of their permutations of its own k pivots. A search takes the objects
    that share the query's prefix, shortened pivot by pivot until there are at least n_candidates of them. Candidates
    of all trees and searches are ordered by their longest shared prefix, then by how many searches found them, then
    by ID.

    n_trees: with k pivots each. prefix_length (l). n_queries: searches per tree: the query itself, and as if two
    adjacent pivots of its permutation were swapped, those whose distances differ least first, ties from the front.
    Only l of these swaps change the prefix (l - 1 for l = k), so no more searches are made.
    metric, pivot_choice, seed, n_threads: see `PivotIndex`.
    """

    def __init__(
        self,
        metric: Any,
        n_trees: int = 1,
        n_pivots: int = 128,
        prefix_length: int = 6,
        *,
        n_queries: int = 1,
        pivot_choice: str = "random",
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        n_trees = check_integer(n_trees, "n_trees", 1, 255)
        super().__init__(metric, n_pivots, n_spaces=n_trees, pivot_choice=pivot_choice, seed=seed, n_threads=n_threads)
        self.prefix_length = check_integer(prefix_length, "prefix_length", 1, min(self.n_pivots, MAX_PREFIX_LENGTH))
        self.n_queries = check_positive(n_queries, "n_queries")
        self._trees: list[PPPTree] = []

    def _describe(self, objects: Batch, pivots: Batch) -> NDArray[np.uint16]:
        trees = [pivots[start : start + self.n_pivots] for start in range(0, len(pivots), self.n_pivots)]
        prefixes = [threaded_prefixes(self.metric, objects, own, self.prefix_length, self.n_threads) for own in trees]
        return np.stack(prefixes, axis=1)

    def _keep(self, rows: NDArray[np.uint16]) -> None:
        columns = [np.ascontiguousarray(rows[:, j]) for j in range(self.n_spaces)]
        self._trees = thread_map(lambda column: build_tree(column, self.n_pivots), columns, self.n_threads)

    def _parts(self) -> dict[str, int]:
        return {
            "nodes": sum(array.nbytes for tree in self._trees for array in tree.nodes),
            "suffixes": sum(tree.suffixes.nbytes for tree in self._trees),
            "new-suffix flags": sum(tree.starts.nbytes for tree in self._trees),
            "ordinals": sum(tree.ids.nbytes for tree in self._trees),
        }

    def stream_candidates(
        self, query: Batch, n_candidates: int, options: PPIndexOptions | None = None, first_block: int | None = None
    ) -> CandidateStream:
        """See `CandidateIndex.stream_candidates`; all candidates are one block. IDs ranked: taken from each tree."""
        options = check_options(options, PPIndexOptions, PPIndexOptions())
        n_wanted = min(check_positive(n_candidates, "n_candidates"), len(self))
        n_queries = options.n_queries or self.n_queries
        distances = self._pivot_distances(query).reshape(self.n_spaces, self.n_pivots)
        n_taken = np.zeros(self.n_spaces, dtype=np.int64)
        longest = np.zeros(len(self), dtype=np.uint8)
        n_finds = np.zeros(len(self), dtype=np.uint16)
        for j, tree in enumerate(self._trees):
            for prefix in _query_prefixes(distances[j], self.prefix_length, n_queries):
                ordinals, shared = self._sharing(tree, prefix, n_wanted)
                longest[ordinals] = np.maximum(longest[ordinals], shared)
                n_finds[ordinals] += 1  # a search finds an object once
                n_taken[j] += len(ordinals)
        found = np.flatnonzero(n_finds)
        merits = longest[found].astype(np.int64) * 2**16 + n_finds[found]
        best = found[smallest(-merits, n_wanted)]
        return CandidateStream(iter([self._ids.of(best)]), distances.size, n_taken)

    def _sharing(
        self, tree: PPPTree, prefix: NDArray[np.int64], n_wanted: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(ordinals, pivots shared) of the smallest subtree on the way of `prefix` with at least n_wanted objects."""
        length = self.prefix_length
        # A mismatch at position i costs base^(l - 1 - i): the cost tells the first one.
        table = np.repeat(_KEY_BASE ** np.arange(length - 1.0, -1.0, -1.0)[:, None], self.n_pivots, axis=1)
        table[np.arange(length), prefix] = 0.0
        removed, inserted = np.empty(0, dtype=np.bool_), np.empty((0, length), dtype=np.uint16)
        inserted.flags.writeable = False  # as in PPPCodes, so that no kernel is compiled twice
        stream = SpaceStream(
            Records(tree, len(self), self.n_pivots, removed, inserted), RankingTable(table, np.zeros(length + 1), 0)
        )
        for level in range(length, -1, -1):
            stream.extend(2.0 * _KEY_BASE ** (length - 1 - level), len(self))
            costs, ordinals = stream.take()
            if len(ordinals) >= n_wanted:
                break
        exponents = np.frexp(costs)[1] - 1
        return ordinals, np.where(costs > 0, length - 1 - exponents // 2, length)


def _query_prefixes(distances: NDArray[np.float64], length: int, n_queries: int) -> list[NDArray[np.int64]]:
    """Prefix (l,) of a query with (k,) pivot distances, and those after swapping two adjacent pivots."""
    order = np.argsort(distances, kind="stable")  # ties by pivot index, as for objects
    differences = np.diff(distances[order])[:length]
    swapped = []
    for i in np.argsort(differences, kind="stable")[: n_queries - 1]:
        other = order.copy()
        other[[i, i + 1]] = order[[i + 1, i]]
        swapped.append(other[:length])
    return [order[:length], *swapped]
