"""NAPP: inverted lists of the objects that are near a pivot."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metricsearch.baselines.permutations import threaded_prefixes
from metricsearch.baselines.pivot_index import PivotIndex
from metricsearch.baselines.posting_lists import PostingLists
from metricsearch.indexes import CandidateIndex, CandidateStream, check_options
from metricsearch.spaces import Batch
from metricsearch.validation import check_integer, check_positive


@dataclass(frozen=True, slots=True, kw_only=True)
class NAPPOptions:
    """How a NAPP index searches; may change from query to query. None = as the index was made.

    n_searched: how many of the query's nearest pivots count. min_shared: how many of them must be among an object's
    n_indexed nearest for it to be a candidate.
    """

    n_searched: int | None = None
    min_shared: int | None = None

    def __post_init__(self) -> None:
        for name in ("n_searched", "min_shared"):
            if getattr(self, name) is not None:
                check_positive(getattr(self, name), name)


class NAPP(PivotIndex, CandidateIndex[NAPPOptions]):
    """Neighbourhood approximation (E. S. Tellez, E. Chávez, G. Navarro, Information Systems 38(7), 2013).

    Every object is in the lists of its n_indexed nearest pivots. A query counts how often each object occurs in the
    lists of its own n_searched nearest pivots (ScanCount). Candidates are the objects that occur at least min_shared
    times, most often first, ties by ID; there may be fewer than asked for.

    n_searched: None = n_indexed. min_shared: 1..n_searched. Other parameters: see `PivotIndex`.
    """

    def __init__(
        self,
        metric: Any,
        n_pivots: int = 512,
        n_indexed: int = 32,
        *,
        n_searched: int | None = None,
        min_shared: int = 1,
        pivot_choice: str = "random",
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(metric, n_pivots, pivot_choice=pivot_choice, seed=seed, n_threads=n_threads)
        self.n_indexed = check_integer(n_indexed, "n_indexed", 1, self.n_pivots)
        given = self.n_indexed if n_searched is None else n_searched
        self.n_searched = check_integer(given, "n_searched", 1, self.n_pivots)
        self.min_shared = check_integer(min_shared, "min_shared", 1, self.n_searched)
        self._keep(np.empty((0, self.n_indexed), dtype=np.uint16))

    def _describe(self, objects: Batch, pivots: Batch) -> NDArray[np.uint16]:
        return threaded_prefixes(self.metric, objects, pivots, self.n_indexed, self.n_threads)

    def _keep(self, rows: NDArray[np.uint16]) -> None:
        self._lists = PostingLists(rows, self.n_pivots)

    def _parts(self) -> dict[str, int]:
        return self._lists.memory_report()

    def stream_candidates(
        self, query: Batch, n_candidates: int, options: NAPPOptions | None = None, first_block: int | None = None
    ) -> CandidateStream:
        """See `CandidateIndex.stream_candidates`; all candidates are one block."""
        n_wanted = check_positive(n_candidates, "n_candidates")
        n_searched, min_shared = self._resolve(options)
        pivots = np.argsort(self._pivot_distances(query), kind="stable")[:n_searched]
        # The score is how many of the lists do not hold the object.
        amounts = np.full(n_searched, -1)
        found, n_read = self._lists.best(pivots, amounts, n_searched, n_wanted, n_searched - min_shared)
        return CandidateStream(iter([self._ids.of(found)]), self.n_pivots, np.array([n_read]))

    def _resolve(self, options: NAPPOptions | None) -> tuple[int, int]:
        """(n_searched, min_shared) of a query."""
        options = check_options(options, NAPPOptions, NAPPOptions())
        n_searched, min_shared = options.n_searched, options.min_shared
        n_searched = (
            self.n_searched if n_searched is None else check_integer(n_searched, "n_searched", 1, self.n_pivots)
        )
        given = self.min_shared if min_shared is None else min_shared
        return n_searched, check_integer(given, "min_shared", 1, n_searched)
