"""MI-File: inverted lists of the objects that have a pivot at a position of their permutation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.baselines.permutations import threaded_prefixes
from metricsearch.baselines.pivot_index import PivotIndex
from metricsearch.baselines.posting_lists import PostingLists
from metricsearch.errors import InvalidInputError
from metricsearch.indexes import CandidateIndex, CandidateStream, check_options
from metricsearch.spaces import Batch
from metricsearch.validation import check_integer, check_positive

_MAX_LISTS = 2**24


@dataclass(frozen=True, slots=True, kw_only=True)
class MIFileOptions:
    """How an MI-File searches; may change from query to query. None = as the index was made.

    n_searched (k_s): how many of the query's nearest pivots count. max_position_difference: lists of objects that have
    a pivot further from its position in the query's permutation are not read.
    """

    n_searched: int | None = None
    max_position_difference: int | None = None

    def __post_init__(self) -> None:
        if self.n_searched is not None:
            check_positive(self.n_searched, "n_searched")
        if self.max_position_difference is not None:
            check_integer(self.max_position_difference, "max_position_difference", 0)


class MIFile(PivotIndex, CandidateIndex[MIFileOptions]):
    """MI-File (G. Amato, C. Gennaro, P. Savino, Multimedia Tools and Applications 71(3), 2014).

    Every object is in the lists of its n_indexed (k_i) nearest pivots, one list per pivot and position, positions
    counted from 0. A query reads the lists of its n_searched (k_s) nearest pivots and scores each object met by the sum
    of |pos_x - pos_q| over these pivots; one not among the object's k_i nearest has pos_x = k_i (counted from 1:
    position k_i + 1). Candidates are in order of (score, ID); objects in no list read are none, so there may be fewer
    than asked for.

    n_searched: None = n_indexed. max_position_difference: lists (p, pos) with |pos - pos_q| above it are not read, as
    if their objects had the pivot at k_i; None = all are read. Other parameters: see `PivotIndex`.
    """

    def __init__(
        self,
        metric: Any,
        n_pivots: int = 128,
        n_indexed: int = 16,
        *,
        n_searched: int | None = None,
        max_position_difference: int | None = None,
        pivot_choice: str = "random",
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(metric, n_pivots, pivot_choice=pivot_choice, seed=seed, n_threads=n_threads)
        self.n_indexed = check_integer(n_indexed, "n_indexed", 1, self.n_pivots)
        if self.n_pivots * self.n_indexed > _MAX_LISTS:
            raise InvalidInputError(
                f"n_indexed: {self.n_pivots} pivots x {self.n_indexed} positions are more than {_MAX_LISTS:,} lists; "
                "lower n_indexed or n_pivots"
            )
        given = self.n_indexed if n_searched is None else n_searched
        self.n_searched = check_integer(given, "n_searched", 1, self.n_pivots)
        # Positions are less than k apart, so this reads all lists.
        given = self.n_pivots if max_position_difference is None else max_position_difference
        self.max_position_difference = check_integer(given, "max_position_difference", 0)
        self._keep(np.empty((0, self.n_indexed), dtype=np.uint32))

    def _describe(self, objects: Batch, pivots: Batch) -> NDArray[np.uint32]:
        prefixes = threaded_prefixes(self.metric, objects, pivots, self.n_indexed, self.n_threads)
        return self._lists_of(prefixes).astype(np.uint32)

    def _lists_of(self, pivots: NDArray[np.integer]) -> NDArray[np.int64]:
        """(..., k_i) numbers of the lists of pivots (..., 1) or (..., k_i) at the positions 0..k_i-1."""
        return pivots.astype(np.int64) * self.n_indexed + np.arange(self.n_indexed)

    def _keep(self, rows: NDArray[np.uint32]) -> None:
        self._lists = PostingLists(rows, self.n_pivots * self.n_indexed)

    def _parts(self) -> dict[str, int]:
        return self._lists.memory_report()

    def stream_candidates(
        self, query: Batch, n_candidates: int, options: MIFileOptions | None = None, first_block: int | None = None
    ) -> CandidateStream:
        """See `CandidateIndex.stream_candidates`; all candidates are one block."""
        n_wanted = check_positive(n_candidates, "n_candidates")
        n_searched, limit = self._resolve(options)
        pivots = np.argsort(self._pivot_distances(query), kind="stable")[:n_searched]
        missing = np.abs(self.n_indexed - np.arange(n_searched))  # what a pivot adds where no list holds the object
        differences = np.abs(np.arange(self.n_indexed) - np.arange(n_searched)[:, None])
        read = differences <= limit
        numbers, amounts = self._lists_of(pivots[:, None])[read], (differences - missing[:, None])[read]
        found, n_read = self._lists.best(numbers, amounts, int(missing.sum()), n_wanted)
        return CandidateStream(iter([self._ids.of(found)]), self.n_pivots, np.array([n_read]))

    def _resolve(self, options: MIFileOptions | None) -> tuple[int, int]:
        """(n_searched, max_position_difference) of a query."""
        options = check_options(options, MIFileOptions, MIFileOptions())
        n_searched, limit = options.n_searched, options.max_position_difference
        return (
            self.n_searched if n_searched is None else check_integer(n_searched, "n_searched", 1, self.n_pivots),
            self.max_position_difference if limit is None else limit,
        )
