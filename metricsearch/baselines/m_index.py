"""M-Index: one pivot space, its cells visited in order of their penalty."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from metricsearch.indexes import CandidateIndex, CandidateStream, check_options
from metricsearch.ppp import PPPCodes, RankingOptions
from metricsearch.spaces import Batch
from metricsearch.validation import check_positive


@dataclass(frozen=True, slots=True, kw_only=True)
class MIndexOptions:
    """How an M-Index searches; may change from query to query.

    max_level: use only the first pivots of each prefix, so that cells are larger; None = all.
    """

    max_level: int | None = None

    def __post_init__(self) -> None:
        if self.max_level is not None:
            check_positive(self.max_level, "max_level")


class MIndex(CandidateIndex[MIndexOptions]):
    """M-Index (D. Novak, M. Batko, P. Zezula, Information Systems 36(4), 2011), approximate search.

    A cell holds the objects with the same l nearest pivots in the same order. Its penalty is the sum over positions
    of max(d(q, p) - d(q, p'), 0), where p is the cell's pivot and p' the query's own at that position. Candidates are
    all objects of the cell of least penalty, then of the next, and so on; those of equal penalty in order of their
    IDs. The paper's keys, which let an exact search skip objects of a visited cell, are not kept.

    metric, n_pivots (k), prefix_length (l), pivot_choice, seed, n_threads: as in `PPPCodes`, of which this is the one
    with a single space and this ranking.
    """

    def __init__(
        self,
        metric: Any,
        n_pivots: int = 128,
        prefix_length: int = 8,
        *,
        pivot_choice: str = "random",
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        self._codes = PPPCodes(
            metric,
            n_spaces=1,
            n_pivots=n_pivots,
            prefix_length=prefix_length,
            options=RankingOptions(ranking="diff"),
            pivot_choice=pivot_choice,
            seed=seed,
            n_threads=n_threads,
        )
        self.metric = self._codes.metric

    @property
    def _pivots(self) -> Batch:  # as every index with pivots has them
        return self._codes.flat_pivots

    def build(self, objects: Any, ids: Any = None) -> Self:
        """See `MetricIndex.build`."""
        self._codes.build(objects, ids)
        return self

    def stream_candidates(
        self, query: Batch, n_candidates: int, options: MIndexOptions | None = None, first_block: int | None = None
    ) -> CandidateStream:
        """See `CandidateIndex.stream_candidates`."""
        options = check_options(options, MIndexOptions, MIndexOptions())
        ranking = RankingOptions(ranking="diff", max_level=options.max_level)
        return self._codes.stream_candidates(query, n_candidates, ranking, first_block)

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def width(self) -> int | None:
        """See `MetricIndex.width`."""
        return self._codes.width

    def ids(self) -> NDArray[np.int64]:
        """IDs of all objects, ascending."""
        return self._codes.ids()

    def ordinals_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `MetricIndex.ordinals_of`."""
        return self._codes.ordinals_of(ids)

    def memory_report(self) -> dict[str, int]:
        """Bytes of all arrays that stay resident, by part."""
        return self._codes.memory_report()
