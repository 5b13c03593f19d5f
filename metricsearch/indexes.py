"""What every index is to the engine: it names candidates of a query, best first, or finds the nearest for certain.

Indexes hold no objects; they differ in how they find IDs. Reading the objects and comparing them is the same for all
(see `metricsearch.refinement`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import InvalidInputError
from metricsearch.spaces import BITS, VECTORS, Batch, Metric, Ragged

OptionsT = TypeVar("OptionsT")

DistancesTo = Callable[[NDArray[np.int64]], NDArray[np.float64]]  # (n,) IDs to (n,) distances of the query


@dataclass(frozen=True, slots=True, eq=False)
class CandidateStream:
    """Candidates of one query, found as they are taken.

    blocks: arrays of IDs, (m,) int64, all different, best first. n_pivot_distances: distances from the query to what
    the index keeps in memory (pivots, centres). n_ids_ranked: (m,) int64, IDs that were ranked or counted, per space
    where there are several; advanced in place as blocks are taken.
    """

    blocks: Iterator[NDArray[np.int64]]
    n_pivot_distances: int
    n_ids_ranked: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Estimated:
    """Candidates of one query with estimates. ids: (m,) int64, best first. estimates: (m,) float32, ascending.

    n_pivot_distances, n_ids_ranked: as in `CandidateStream`.
    """

    ids: NDArray[np.int64]
    estimates: NDArray[np.float32]
    n_pivot_distances: int
    n_ids_ranked: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """What an `ExactIndex` found. ids: (k',) int64 and distances: (k',) float64, nearest first, ties by ID.

    n_pivot_distances: distances from the query to what the index keeps in memory. is_exact: whether the search ended
    before it ran out of its budget, so that no other object can be nearer.
    """

    ids: NDArray[np.int64]
    distances: NDArray[np.float64]
    n_pivot_distances: int
    is_exact: bool


class MetricIndex(ABC):
    """An index over objects that are kept elsewhere. metric: of the objects."""

    metric: Metric

    @abstractmethod
    def build(self, objects: Any, ids: Any = None) -> Self:
        """Index `objects`, replacing what the index held.

        objects: a sequence, something with `chunks(size)`, or an iterator of chunks. ids: one int64 >= 0 per object;
        None = 0, 1, 2, ... Bad objects or IDs raise InvalidInputError and leave the index as it was.
        """

    @abstractmethod
    def __len__(self) -> int:
        """Number of objects."""

    @property
    @abstractmethod
    def width(self) -> int | None:
        """Width of the objects (see `ObjectKind.width`). Raises MissingIndexError before `build`."""

    @abstractmethod
    def ids(self) -> NDArray[np.int64]:
        """IDs of all objects, ascending."""

    @abstractmethod
    def memory_report(self) -> dict[str, int]:
        """Bytes of all arrays that stay resident, by part. Those that do not grow with n are among `FIXED_PARTS`."""

    @property
    def memory_bytes(self) -> int:
        """Sum of `memory_report`."""
        return sum(self.memory_report().values())

    def check_query(self, query: Any) -> Batch:
        """One query object as a checked batch of one. Raises MissingIndexError, InvalidInputError."""
        width = self.width
        if not isinstance(query, Ragged) and not (self.metric.kind in (VECTORS, BITS) and _has_rows(query)):
            query = [query]
        batch = self.metric.check(query, "query", width)
        if len(batch) != 1:
            raise InvalidInputError(f"query: expected one object, got {len(batch)}")
        return batch

    def ordinals_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) int64 numbers below `n_ordinals`, one for each object in the index, until its next change."""
        return np.searchsorted(self.ids(), ids)

    @property
    def n_ordinals(self) -> int:
        """Upper bound of `ordinals_of`."""
        return len(self)


class CandidateIndex(MetricIndex, Generic[OptionsT]):
    """An index that names candidates: objects that may be near, found without looking at any object."""

    @abstractmethod
    def stream_candidates(
        self, query: Batch, n_candidates: int, options: OptionsT | None = None, first_block: int | None = None
    ) -> CandidateStream:
        """The min(R, n) best candidates of a checked query, or fewer where the index finds no more.

        options: how to search; None = those of the index. first_block: candidates to find before the first block is
        handed on, so that they can be read while the others are ranked; an index may ignore it.
        Raises EmptyIndexError, MissingIndexError, InvalidInputError.
        """

    def candidates(self, query: Any, n_candidates: int, options: OptionsT | None = None) -> NDArray[np.int64]:
        """IDs of the best min(R, n) candidates of one query object, best first, or fewer where no more are found.

        Raises EmptyIndexError, MissingIndexError, InvalidInputError.
        """
        stream = self.stream_candidates(self.check_query(query), n_candidates, options)
        return np.concatenate([np.empty(0, dtype=np.int64), *stream.blocks])


class EstimatingIndex(CandidateIndex[OptionsT]):
    """An index that also estimates how far its candidates are, so that a search can tell when to stop reading."""

    @property
    @abstractmethod
    def estimate_power(self) -> int | None:
        """Estimates grow with distance ** this; None where the index, as it was made, has no estimates."""

    @abstractmethod
    def estimated(
        self, query: Batch, n_candidates: int, options: OptionsT | None = None, *, of_all: bool = False
    ) -> Estimated:
        """The min(R, n) candidates of `stream_candidates`, with their estimates. of_all: the best of all objects.

        Raises EmptyIndexError, MissingIndexError, InvalidInputError (no estimates).
        """


class ExactIndex(MetricIndex):
    """An index that finds the very nearest objects, comparing as few as it can, or the best within a budget."""

    @abstractmethod
    def nearest(self, query: Batch, k: int, distances_to: DistancesTo, max_distances: int | None = None) -> Nearest:
        """The k nearest objects of a checked query.

        distances_to: gives the distances of the query to objects by their IDs. max_distances: objects to compare at
        most; None = as many as it takes to be certain.
        Raises EmptyIndexError, MissingIndexError, InvalidInputError.
        """


def check_options(options: Any, kind: type[OptionsT], default: OptionsT) -> OptionsT:
    """Options of one search; None = `default`. Raises InvalidInputError unless they are of the index's kind."""
    if options is None:
        return default
    if not isinstance(options, kind):
        raise InvalidInputError(f"options: expected {kind.__name__}(...), got {options!r:.60}")
    return options


def check_no_options(options: Any, index: str) -> None:
    """Raise InvalidInputError if a search of an index without options is given some."""
    if options is not None:
        raise InvalidInputError(f"options: {index} has none, got {options!r:.60}")


def _has_rows(query: Any) -> bool:
    try:
        return np.ndim(query[0]) > 0
    except (TypeError, IndexError, KeyError, ValueError):  # no sequence, or an empty or a ragged one
        return False


# Parts of `MetricIndex.memory_report` whose size does not depend on the number of objects.
FIXED_PARTS = ("pivots", "pivot pairs", "calibration", "sketch map", "list offsets")
