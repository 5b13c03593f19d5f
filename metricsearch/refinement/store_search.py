"""Search with any index over the objects of a store."""

from types import TracebackType
from typing import Any, Literal

import numpy as np

from metricsearch.errors import InvalidInputError, OutdatedIndexError
from metricsearch.indexes import CandidateIndex, ExactIndex, MetricIndex
from metricsearch.refinement.adaptive import estimating, learn_cutoff, search_adaptively
from metricsearch.refinement.checking import CheckedObjects
from metricsearch.refinement.cutoff import ReadingRecord
from metricsearch.refinement.learnt_cutoff import LearntCutoff, require_learnt
from metricsearch.refinement.results import Answer
from metricsearch.refinement.searching import check_search, nearest_all, search_all
from metricsearch.spaces import Batch, Metric
from metricsearch.store import ObjectStore
from metricsearch.threads import resolve_threads
from metricsearch.validation import check_positive


def check_store(store: ObjectStore, metric: Metric, width: int | None = None) -> None:
    """Raise InvalidInputError unless `metric` compares what the store holds, of `width` if one is given."""
    if store.kind != metric.kind:
        raise InvalidInputError(f"{store.path}: holds {store.kind.name}, but {metric.name} compares {metric.kind.name}")
    if width not in (None, store.width):
        raise InvalidInputError(
            f"{store.path}: holds objects of width {store.width}, but those of the index have {width}"
        )


class StoreSearch:
    """An index and one state of the object store whose objects it covers; use it in a `with` statement.

    index: PPPCodes, or any other `CandidateIndex` or `ExactIndex`. n_threads: None = all cores.
    Raises MissingIndexError before `build`, InvalidInputError for a store of other objects (see `check_store`),
    OutdatedIndexError unless the index has the very IDs of the store.
    """

    def __init__(self, index: MetricIndex, store: ObjectStore, *, n_threads: int | None = None) -> None:
        check_store(store, index.metric, index.width)
        self.index, self.n_threads = index, resolve_threads(n_threads)
        self._snapshot = store.snapshot()
        if not np.array_equal(self._snapshot.ids(), index.ids()):
            self._snapshot.close()
            raise OutdatedIndexError(f"{store.path}: the index holds other IDs than the store; build it again")
        self._checked = CheckedObjects(index.n_ordinals)
        self._learnt: LearntCutoff[Any] | None = None

    def __enter__(self) -> "StoreSearch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the snapshot of the store."""
        self._snapshot.close()

    def search(
        self,
        queries: Any,
        k: int = 10,
        *,
        n_candidates: int | Literal["auto"] = 1000,
        target_recall: float = 0.9,
        options: Any = None,
    ) -> list[Answer]:
        """The k nearest of at most n_candidates (R) candidates, for every query.

        n_candidates: "auto" reads, after `learn_cutoff`, as many as the training queries needed on average to find
        target_recall of their k <= 100 nearest, at most 1,000; options are those it was learnt with.
        An answer is shorter than k where the index finds fewer candidates. options: of the index's kind; None = its
        own. Raises InvalidInputError (naming the row; k < 1; R < k; an index without candidates; "auto" before
        `learn_cutoff`), EmptyIndexError, CorruptedError.
        """
        if not isinstance(self.index, CandidateIndex):
            raise InvalidInputError(f"index: {type(self.index).__name__} names no candidates; call nearest()")
        k = check_search(k, n_candidates, target_recall)
        parts = self._snapshot, self._checked
        if n_candidates == "auto":
            index, learnt = estimating(self.index), require_learnt(self._learnt, options, len(self.index))
            batch = self._checked_queries(queries)
            return search_adaptively(index, *parts, batch, k, target_recall, learnt, self.n_threads)
        batch = self._checked_queries(queries)
        return search_all(self.index, *parts, batch, k, n_candidates, options, self.n_threads)

    def learn_cutoff(self, queries: Any = None, *, seed: int = 0, options: Any = None) -> ReadingRecord:
        """Learn for n_candidates="auto" when to stop reading, from deep searches of training queries.

        queries: like those to come; None = 512 of the objects, each without itself. Each reads up to 5,000 objects, and
        what it finds there counts as its true neighbours. options: of these searches and of those to come.
        Raises InvalidInputError: an index without estimates; no other objects.
        """
        batch = None if queries is None else self._checked_queries(queries)
        parts = self._snapshot, self._checked
        self._learnt = learn_cutoff(self.index, *parts, batch, seed, options, self.n_threads)
        return self._learnt.record

    def nearest(self, queries: Any, k: int = 10, *, max_distances: int | None = None) -> list[Answer]:
        """The k nearest of all objects, for every query, or the best within a budget of objects compared.

        Raises InvalidInputError (naming the row; k < 1; an index that is not exact), EmptyIndexError, CorruptedError.
        """
        if not isinstance(self.index, ExactIndex):
            raise InvalidInputError(f"index: {type(self.index).__name__} is approximate; call search()")
        k = check_positive(k, "k")
        if max_distances is not None:
            check_positive(max_distances, "max_distances")
        batch = self._checked_queries(queries)
        return nearest_all(self.index, self._snapshot, self._checked, batch, k, max_distances, self.n_threads)

    def _checked_queries(self, queries: Any) -> Batch:
        return self.index.metric.check(queries, "queries", self.index.width)
