"""The score strategies: what an object's place in one space adds to its sum. Smaller is better.

A space's objects come in order of their ranking distances. A strategy gives them scores in the same order, and bounds
those of all that are still to come; the threshold algorithm (`threshold.py`) needs no more.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from metricsearch.errors import MissingIndexError
from metricsearch.ppp.ranking import RankingOptions
from metricsearch.ppp.scores import _kernels
from metricsearch.ppp.scores.calibration import LOG_STEP, ORIGIN, lowest_slope

ScoreOfRanks = Callable[[NDArray[np.float64]], NDArray[np.float64]]  # (m,) ranks to (m,) scores, non-decreasing


class SpaceScores(ABC):
    """Scores of the objects of one space."""

    @abstractmethod
    def of_next(self, keys: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m,) scores of the next m objects, ascending; keys: (m,) their ranking distances, in whole equal groups."""

    @abstractmethod
    def least_after(self, high: float) -> float:
        """A score that no object still to come is below; high: all with ranking distances up to it have come."""

    @abstractmethod
    def of_sample(self, keys: NDArray[np.float64], ranks: NDArray[np.float64]) -> NDArray[np.float64]:
        """About the scores of (s,) sample objects, from their keys and about their position ranks."""


class KeyScores(SpaceScores):
    """The ranking distance itself ("sum")."""

    def of_next(self, keys: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `SpaceScores.of_next`."""
        return keys

    def least_after(self, high: float) -> float:
        """See `SpaceScores.least_after`."""
        return float(np.nextafter(high, np.inf))

    def of_sample(self, keys: NDArray[np.float64], ranks: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `SpaceScores.of_sample`."""
        return keys


class RankScores(SpaceScores):
    """A function of the rank: its logarithm ("log-rank") or a learned one ("calibrated")."""

    def __init__(self, of_ranks: ScoreOfRanks, dense: bool) -> None:
        """dense: ranks count groups of equal ranking distances; otherwise they count objects."""
        self._of_ranks = of_ranks
        self._dense = dense
        self._n_before = 0

    def of_next(self, keys: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `SpaceScores.of_next`."""
        ranks = np.empty(len(keys))
        self._n_before = _kernels.next_ranks(keys, self._n_before, self._dense, ranks)
        return self._of_ranks(ranks)

    def least_after(self, high: float) -> float:
        """See `SpaceScores.least_after`."""
        return float(self._of_ranks(np.array([self._n_before + 1.0]))[0]) if high < np.inf else np.inf

    def of_sample(self, keys: NDArray[np.float64], ranks: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `SpaceScores.of_sample`."""
        return self._of_ranks(ranks)


def log_of_ranks(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) natural logarithms of (m,) ranks."""
    scores = np.empty(len(ranks))
    _kernels.log_scores(ranks, scores)
    return scores


def calibrated_of_ranks(ranks: NDArray[np.float64], table: NDArray[np.float64], n_objects: int) -> NDArray[np.float64]:
    """(m,) scores of (m,) position ranks among n_objects; table: one space's row of `learn_calibration`."""
    scores = np.empty(len(ranks))
    _kernels.calibrated_scores(ranks, n_objects, table, ORIGIN, LOG_STEP, lowest_slope(table), scores)
    return scores


def require_calibration(options: RankingOptions, calibration: NDArray[np.float64]) -> None:
    """Raise MissingIndexError if `options` need a calibration and this is none."""
    if options.aggregation == "calibrated" and not len(calibration):
        raise MissingIndexError(
            "aggregation: 'calibrated' needs what build() learns for an index with that option, but this one has not "
            "learnt it; build PPPCodes(options=RankingOptions(aggregation='calibrated')), or choose another aggregation"
        )


def space_scores(
    options: RankingOptions, n_spaces: int, n_objects: int, calibration: NDArray[np.float64]
) -> list[SpaceScores]:
    """Scores of the first n_spaces spaces of n_objects objects by `options.aggregation`, any but "percentile".

    calibration: (λ, N_BINS) from `learn_calibration`, looked at for "calibrated" only; then (0, N_BINS) raises
    MissingIndexError.
    """
    require_calibration(options, calibration)
    if options.aggregation == "sum":
        return [KeyScores() for _ in range(n_spaces)]
    if options.aggregation == "log-rank":
        return [RankScores(log_of_ranks, options.rank_mode == "dense") for _ in range(n_spaces)]
    return [
        RankScores(partial(calibrated_of_ranks, table=calibration[j], n_objects=n_objects), False)
        for j in range(n_spaces)
    ]
